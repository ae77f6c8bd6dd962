"""One run: the view that notebooks have, on a page of its own."""

from __future__ import annotations

from typing import Any

import panel as pn

from kodosumi_lab.dashboard.views.base import Desk, View, html
from kodosumi_lab.dashboard.widgets import Run
from kodosumi_lab.dashboard.words import empty, link

__all__ = ["Page"]


class Page(View):
    """See the module. The view in the browser follows the run by itself."""

    live = False

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._head = html(margin=(0, 0, 8, 0))
        self._place = pn.Column(html(), sizing_mode="stretch_width", margin=0)
        self._run: Run | None = None
        self.pane = pn.Column(self._head, self._place, sizing_mode="stretch_width", margin=0)

    async def show(self) -> None:
        """Show the run that the address names."""
        state = self.desk.state
        self._head.object = f'<nav aria-label="Where this is">{link(state.link("runs"), "← All runs")}</nav>'
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
