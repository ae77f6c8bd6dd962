"""What is kept: the days of the log, how large they are; compacting, and taking old days out."""

from __future__ import annotations

import datetime
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.views.base import Desk, html, task
from kodosumi_lab.dashboard.views.confirm import Confirm
from kodosumi_lab.dashboard.words import count, empty, esc, size, table, tiles
from kodosumi_lab.runtime.retention import Day

__all__ = ["Keeping"]

_SHOWN = 400
_BEFORE = 90
_LESS = (
    '<h2 style="margin-top: 22px">Keep less</h2><p class="muted">Events, results, large payloads and files of all runs '
    "that started on these days. Days with an open run stay.</p>"
)


class Keeping:
    """See the module.

    Attributes
    ----------
    pane
        What is shown.
    """

    def __init__(self, desk: Desk, admin: Admin) -> None:
        self._desk, self._admin = desk, admin
        self._days: list[Day] = []
        self._table = html(min_height=160)
        before = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=_BEFORE)
        self._before = pmui.DatePicker(label="Days before", value=before, margin=0, width=190)
        self._expire = pmui.Button(label="Take out", icon="delete", variant="outlined", color="error", margin=0)
        self._compact = pmui.Button(label="Compact now", icon="compress", variant="outlined", margin=0)
        self._confirm = Confirm("Take these days out of the log for good?", "Take out", self._take_out)
        self._expire.on_click(lambda _: self._ask())
        self._compact.on_click(task(self._merge))
        act = pn.Column(
            html(_LESS),
            pn.FlexBox(self._before, self._expire, self._compact, gap="10px", align_items="center",
                       sizing_mode="stretch_width"),
            self._confirm.pane, sizing_mode="stretch_width", margin=0, visible=desk.access.may(Role.ADMIN),
        )  # fmt: skip
        self.pane = pn.Column(self._table, act, sizing_mode="stretch_width", margin=0)

    async def show(self) -> None:
        """The days there are now."""
        self._days = await self._admin.days()
        if not self._days:
            self._table.object = empty("The log is empty", "Each day on which something starts has a row here.")
            return
        nbytes, events, runs = (sum(getattr(day, name) for day in self._days) for name in ("nbytes", "events", "runs"))
        whole = tiles(
            [
                ("Days", count(len(self._days)), f"since {self._days[-1].date}"),
                ("On disk", size(nbytes), "sealed events, payloads, files"),
                ("Runs", count(runs), f"{count(events)} events"),
                ("A day", size(nbytes / len(self._days)), "on the average"),
            ]
        )
        rows = [
            [esc(day.date), count(day.runs), count(day.open) if day.open else "–", count(day.events), count(day.files),
             size(day.nbytes), "closed" if day.closed else '<span class="muted">in use</span>']
            for day in self._days[:_SHOWN]
        ]  # fmt: skip
        columns = ["Day (UTC)", "Runs", "Open", "Events", "Files", "On disk", "State"]
        shown = table(columns, rows, label="Days of the log", numbers=range(1, 6))
        self._table.object = f'{whole}<div style="margin-top: 14px">{shown}</div>'

    def _ask(self) -> None:
        before: datetime.date = self._before.value
        gone = [day for day in self._days if day.closed and day.date < before]
        if not gone:
            self._desk.tell(f"no closed day is before {before}", "info")
            return
        runs, nbytes = sum(day.runs for day in gone), sum(day.nbytes for day in gone)
        self._confirm.ask(
            f"{count(len(gone))} days, {gone[-1].date} to {gone[0].date}, with {count(runs)} runs and {size(nbytes)}."
        )

    async def _take_out(self) -> None:
        async with self._desk.asking(self._expire):
            gone = await self._admin.expire(self._before.value)
            self._desk.tell(f"{count(len(gone))} days were taken out")
            await self.show()

    async def _merge(self, _: Any) -> None:
        async with self._desk.asking(self._compact):
            replaced = await self._admin.compact()
            told = f"{count(replaced)} files were merged" if replaced else "there is nothing to merge"
            self._desk.tell(told)
            await self.show()
