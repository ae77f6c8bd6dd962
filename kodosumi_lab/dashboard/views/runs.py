"""The list of runs, what is done to several of them, and runs compared; what is asked for stands in the address."""

from __future__ import annotations

import datetime
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.state import State
from kodosumi_lab.dashboard.views.base import Desk, View, heading, html
from kodosumi_lab.dashboard.views.compare import Comparison
from kodosumi_lab.dashboard.views.confirm import Confirm
from kodosumi_lab.dashboard.widgets import Runs

__all__ = ["Page"]

_LISTS = ("status", "flow", "user", "tag")


class Page(View):
    """See the module. The view in the browser asks and refreshes by itself."""

    every_s = None

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._runs = Runs(desk, query=asked_of(desk.state))
        self._runs.param.watch(self._asked, "query")
        self._runs.param.watch(lambda event: desk.state.param.update(compare=list(event.new)), "compared")
        self._runs.param.watch(self._selected, "selected")
        self._comparison = Comparison(desk)
        self._again = pmui.Button(
            label="Rerun", icon="replay", variant="outlined", size="small", visible=False, margin=0
        )
        self._confirm = Confirm("Start these runs again, with the same inputs?", "Start", self._rerun)
        self._again.on_click(lambda _: self._confirm.ask(f"{len(self._runs.selected)} new runs are started."))
        head = pn.Row(html(heading("Runs")), self._again, sizing_mode="stretch_width", margin=(0, 0, 12, 0))
        self.pane = pn.Column(
            head, self._comparison.pane, self._runs, self._confirm.pane, sizing_mode="stretch_width", margin=0
        )

    async def show(self) -> None:
        """Ask for what the address says."""
        wanted = asked_of(self.desk.state)
        if wanted != _said(self._runs.query):
            self._runs.query = wanted
        await self._comparison.show()

    def _selected(self, event: Any) -> None:
        number = len(event.new)
        allowed = self.desk.access.may(Role.USER)
        self._again.param.update(visible=bool(number) and allowed, label=f"Rerun {number}" if number else "Rerun")

    async def _rerun(self) -> None:
        async with self.desk.asking(self._again):
            begun, refused = 0, []
            for run_id in list(self._runs.selected):
                try:
                    await self.desk.access.call("POST", f"/runs/{run_id}/rerun", {})
                    begun += 1
                except Problem as problem:
                    refused.append(f"{run_id[-8:]}: {problem.detail}")
            if begun:
                self.desk.tell(f"{begun} run{'s' if begun != 1 else ''} started")
            if refused:
                more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
                raise Problem(f"{refused[0]}{more}")

    def _asked(self, event: Any) -> None:
        """Somebody has asked for something else in the view: say so in the address."""
        said = _said(event.new)
        if self.desk.state.page != "runs" or said == asked_of(self.desk.state):
            return
        other = State()
        query = "&".join(f"{name}={value}" for name, value in _as_address(said).items())
        for reason in other.read(f"?page=runs&{query}"):
            self.desk.tell(reason, "warning")
        names = (*_LISTS, "search", "parent", "sort", "since", "until")
        self.desk.state.param.update(last="all", **{name: getattr(other, name) for name in names})


def asked_of(state: State) -> dict[str, Any]:
    """What a state asks for, as the view takes it."""
    since, until = state.range(datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0))
    found: dict[str, Any] = {name: list(getattr(state, name)) for name in _LISTS}
    found |= {"search": state.search, "parent": state.parent, "sort": state.sort if state.sort != "-started" else ""}
    found |= {"since": _time(since), "until": _time(until)}
    return {name: value for name, value in found.items() if value}


def _time(when: datetime.datetime | None) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z") if when is not None else ""


def _said(query: dict[str, Any]) -> dict[str, Any]:
    """What a view asks for, without what it need not say."""
    known = (*_LISTS, "search", "parent", "sort", "since", "until")
    said = {name: query[name] for name in known if query.get(name)}
    if said.get("sort") == "-started":
        del said["sort"]
    return said


def _as_address(said: dict[str, Any]) -> dict[str, str]:
    from urllib.parse import quote

    names = {"search": "q"}
    texts = {}
    for name, value in said.items():
        many = isinstance(value, list)
        text = ",".join(one.replace("\\", "\\\\").replace(",", "\\,") for one in value) if many else str(value)
        texts[names.get(name, name)] = quote(text, safe=",")
    return texts
