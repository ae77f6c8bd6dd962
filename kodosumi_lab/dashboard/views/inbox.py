"""Everything that waits for a person, oldest first, answered in place."""

from __future__ import annotations

import panel as pn

from kodosumi_lab.dashboard.views.base import Desk, View, heading, html
from kodosumi_lab.dashboard.widgets import Inbox

__all__ = ["Page"]


class Page(View):
    """See the module. The view in the browser asks and refreshes by itself."""

    every_s = None

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        head = html(heading("Inbox", "Runs that wait for an answer. The first answer counts."), margin=(0, 0, 8, 0))
        self.pane = pn.Column(head, Inbox(desk), sizing_mode="stretch_width", margin=0, max_width=1000)
