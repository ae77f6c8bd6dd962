"""Where flows come from: what is registered and how it stands; register, read again, unregister."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.views.base import Desk, html, task
from kodosumi_lab.dashboard.views.confirm import Confirm
from kodosumi_lab.dashboard.words import count, empty, esc, status, table, when

__all__ = ["Sources"]


class Sources:
    """See the module; nothing for those who may not see sources.

    Attributes
    ----------
    pane
        What is shown.
    """

    def __init__(self, desk: Desk, changed: Callable[[], Awaitable[None]] | None = None) -> None:
        self._desk, self._changed = desk, changed
        self._table = html(min_height=60)
        self._new = pmui.TextInput(
            label="Source", placeholder="package.module, …/openapi.json or …/-/routes", margin=0,
            sizing_mode="stretch_width", max_length=2000, styles={"flex": "3 1 260px"},
        )  # fmt: skip
        self._token = pmui.PasswordInput(
            label="Its token, if it wants one", margin=0, sizing_mode="stretch_width", styles={"flex": "1 1 180px"}
        )
        self._add = pmui.Button(label="Register", icon="add", variant="contained", margin=0)
        self._which = pmui.Select(label="Source", options=[], margin=0, sizing_mode="stretch_width",
                                  styles={"flex": "1 1 220px", "max-width": "420px"})  # fmt: skip
        self._refresh = pmui.Button(label="Read again", icon="refresh", variant="outlined", margin=0)
        self._remove = pmui.Button(label="Unregister", icon="delete", variant="outlined", color="error", margin=0)
        self._confirm = Confirm("Unregister this source?", "Unregister", self._unregister)
        self._add.on_click(task(self._register))
        self._refresh.on_click(task(self._read))
        self._remove.on_click(lambda _: self._confirm.ask(f"Its flows leave the catalogue: {self._which.value}"))
        is_admin = desk.access.may(Role.ADMIN)
        box: dict[str, Any] = {"gap": "10px", "align_items": "center", "sizing_mode": "stretch_width"}
        shown: list[Any] = [html("<h2>Sources</h2>"), self._table]
        self._act = pn.FlexBox(
            self._which, self._refresh, *([self._remove] if is_admin else []), margin=(10, 0, 0, 0), **box
        )
        shown += [self._act]
        if is_admin:
            shown += [pn.FlexBox(self._new, self._token, self._add, margin=(14, 0, 0, 0), **box), self._confirm.pane]
        self.pane = pn.Column(
            *shown, sizing_mode="stretch_width", margin=(28, 0, 0, 0), visible=desk.access.may(Role.OPERATOR)
        )

    async def show(self) -> None:
        """As the register stands now."""
        if not self._desk.access.may(Role.OPERATOR):
            return
        found: list[dict[str, Any]] = await self._desk.access.call("GET", "/sources")
        names = [one["source"] for one in found]
        if self._which.options != names:
            self._which.param.update(options=names, value=names[0] if names else None)
        self._act.visible = bool(names)
        if not found:
            told = "Modules, or services by the address of their document."
            self._table.object = empty("No source is registered", told)
            return
        rows = [
            [esc(one["source"]), esc(one["kind"]), status(one["state"]), count(len(one["flows"])),
             when(one["refreshed"]), "<br>".join(esc(f"{part}: {why}") for part, why in one["failed"].items())]
            for one in found
        ]  # fmt: skip
        columns = ["Source", "Kind", "State", "Flows", "Read", "What failed, and why"]
        self._table.object = table(columns, rows, label="Sources", numbers=[3])

    async def _register(self, _: Any) -> None:
        async with self._desk.asking(self._add):
            source = (self._new.value_input or "").strip()
            body = {"source": source, **({"token": self._token.value} if self._token.value else {})}
            found = await self._desk.access.call("POST", "/sources", body)
            self._desk.tell(f"{source} is registered, with {len(found['flows'])} flows")
            self._new.param.update(value="", value_input="")
            self._token.value = ""
            await self._again()

    async def _read(self, _: Any) -> None:
        async with self._desk.asking(self._refresh):
            found = await self._desk.access.call("POST", "/sources/refresh", source=self._which.value)
            failed = [one["source"] for one in found if one["failed"]]
            told = (
                f"{', '.join(failed)} cannot be read; see why in the table"
                if failed
                else f"{self._which.value} was read"
            )
            self._desk.tell(told, "warning" if failed else "success")
            await self._again()

    async def _unregister(self) -> None:
        async with self._desk.asking(self._remove):
            await self._desk.access.call("DELETE", "/sources", source=self._which.value)
            self._desk.tell(f"{self._which.value} is not registered any more")
            await self._again()

    async def _again(self) -> None:
        await self.show()
        if self._changed is not None:
            await self._changed()
