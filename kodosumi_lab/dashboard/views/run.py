"""One run: the view that notebooks have, on a page of its own; and the run as a file."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui
import polars as pl

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.dashboard.report import report
from kodosumi_lab.dashboard.views.base import Desk, View, html, task
from kodosumi_lab.dashboard.widgets import Run
from kodosumi_lab.dashboard.words import empty, link

__all__ = ["Page"]

#: What a run can be handed out as: its name in the menu, the end of the file's name, its media type.
_FORMS = {
    "report": ("Report (HTML, to print)", "html", "text/html"),
    "parquet": ("Events (Parquet)", "parquet", "application/vnd.apache.parquet"),
    "csv": ("Events (CSV)", "csv", "text/csv"),
    "json": ("Events (JSON)", "json", "application/json"),
}


class Page(View):
    """See the module. The view in the browser follows the run by itself."""

    every_s = None

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._back = html(align="center")
        self._save = pmui.MenuButton(
            label="Download", icon="download", variant="text", size="small", margin=0,
            items=[{"label": label, "value": name} for name, (label, _, _) in _FORMS.items()],
        )  # fmt: skip
        self._save.on_click(task(self._hand_out))
        self._place = pn.Column(html(), sizing_mode="stretch_width", margin=0)
        self._run: Run | None = None
        self._head = pn.Row(self._back, self._save, sizing_mode="stretch_width", margin=(0, 0, 4, 0))
        self.pane = pn.Column(self._head, self._place, sizing_mode="stretch_width", margin=0)

    async def show(self) -> None:
        """Show the run that the address names."""
        state = self.desk.state
        self._back.object = f'<nav aria-label="Where this is">{link(state.link("runs"), "← All runs")}</nav>'
        self._save.visible = bool(state.run)
        if not state.run:
            nothing = empty("No run is chosen", "Take one from the list of runs.")
            self._place.objects = [html(nothing)]
            self._run = None
        elif self._run is None:
            self._run = Run(self.desk, run_id=state.run, tab=state.tab)
            self._run.param.watch(self._went, ["run_id", "tab"])
            self._place.objects = [self._run]
        elif (self._run.run_id, self._run.tab) != (state.run, state.tab):
            self._run.param.update(run_id=state.run, tab=state.tab)

    def _went(self, event: Any) -> None:
        state = self.desk.state
        if state.page == "run" and self._run is not None:
            state.param.update(run=self._run.run_id, tab=self._run.tab or "")

    async def _hand_out(self, item: dict[str, Any]) -> None:
        access, run_id = self.desk.access, self.desk.state.run
        async with self.desk.asking(self._save):
            await access.run(run_id)  # refuses whoever may not see it
            name = item["value"]
            _, ending, mime = _FORMS[name]
            data = await asyncio.to_thread(_MADE[name], access.gateway, run_id)
            self.desk.download(f"{run_id}.{ending}", data, mime)


def _report(gateway: Gateway, run_id: str) -> bytes:
    row = gateway.log.run(run_id)
    return report(gateway.run_of(row), row).encode()


def _events(gateway: Gateway, run_id: str) -> pl.DataFrame:
    return gateway.log.events(run_id).sort("seq").collect()


def _parquet(gateway: Gateway, run_id: str) -> bytes:
    sink = io.BytesIO()
    _events(gateway, run_id).write_parquet(sink)
    return sink.getvalue()


def _csv(gateway: Gateway, run_id: str) -> bytes:
    return _events(gateway, run_id).write_csv().encode()


def _json(gateway: Gateway, run_id: str) -> bytes:
    from kodosumi_lab.api.rendering import event_lines

    return ("[" + ",\n".join(event_lines(_events(gateway, run_id))) + "]\n").encode()


_MADE: dict[str, Callable[[Gateway, str], bytes]] = {
    "report": _report, "parquet": _parquet, "csv": _csv, "json": _json,
}  # fmt: skip
