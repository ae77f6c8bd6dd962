"""x."""

from kodosumi_lab.dashboard.views.base import Desk, View, heading, html


class Page(View):
    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.pane = html(heading("inbox"))
