"""Asks before something is done that cannot be taken back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.dashboard.views.base import html, task
from kodosumi_lab.dashboard.words import esc

__all__ = ["Confirm"]


class Confirm:
    """A dialog with two answers.

    Parameters
    ----------
    title, verb
        What it asks, and what the button says that does it.
    then
        What is done.

    Attributes
    ----------
    pane
        What is put somewhere on the page; it is not seen until it opens.
    """

    def __init__(self, title: str, verb: str, then: Callable[[], Awaitable[None]]) -> None:
        self._text = html(min_width=280)
        no = pmui.Button(label="Leave it", variant="outlined", margin=0)
        yes = pmui.Button(label=verb, variant="contained", color="error", margin=0)
        self.pane = pmui.Dialog(
            self._text, pn.Row(no, yes, margin=(16, 0, 0, 0)), title=title, title_variant="h5", close_on_click=True
        )
        no.on_click(lambda _: self._close())

        async def do(_: Any) -> None:
            self._close()
            await then()

        yes.on_click(task(do))

    def ask(self, text: str) -> None:
        """Ask, with this said."""
        self._text.object = f"<p>{esc(text)}</p>"
        self.pane.open = True

    def _close(self) -> None:
        self.pane.open = False
