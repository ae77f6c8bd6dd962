"""What every page has: the session it belongs to, and how it is brought up to date."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import panel as pn

from kodosumi_lab.dashboard.access import Access, Problem
from kodosumi_lab.dashboard.pulse import Pulse
from kodosumi_lab.dashboard.state import State
from kodosumi_lab.dashboard.style import CSS
from kodosumi_lab.dashboard.words import esc

__all__ = ["Desk", "View", "heading", "html", "tabs", "task"]


class Desk:
    """What the pages of one session share.

    Attributes
    ----------
    state, access, pulse
        What is looked at; what can be asked; the look at the log.
    api
        Where the browser finds the gateway, relative to the page; empty where there is none beside it.
    changed
        Called when the log has changed.
    download
        Hands a file to the person: its name, its bytes, and their media type.
    """

    def __init__(self, state: State, access: Access, pulse: Pulse, api: str) -> None:
        self.state, self.access, self.pulse, self.api = state, access, pulse, api
        self.changed: list[Callable[[], None]] = []
        self.download: Callable[[str, bytes, str], None] = lambda *_: None
        self.doc = pn.state.curdoc

    def tell(self, text: str, kind: str = "success") -> None:
        """Say something in passing: ``success``, ``info``, ``warning`` or ``error``."""
        if pn.state.notifications is not None:
            getattr(pn.state.notifications, kind)(text, duration=8000 if kind == "error" else 4000)

    def locked(self, change: Callable[[], None]) -> None:
        """Change models of Bokeh itself, which takes the document's lock."""
        if self.doc is not None and self.doc.session_context:
            self.doc.add_next_tick_callback(change)
        else:
            change()

    @contextlib.asynccontextmanager
    async def asking(self, *buttons: Any) -> AsyncIterator[None]:
        """While something is asked: these cannot be pressed again, and a refusal is told."""
        for button in buttons:
            button.param.update(disabled=True, loading=True)
        try:
            yield
        except Problem as problem:
            self.tell(problem.detail, "error")
        finally:
            for button in buttons:
                button.param.update(disabled=False, loading=False)


class View:
    """One page.

    Attributes
    ----------
    pane
        What is shown.
    every_s
        How soon it is brought up to date again while the log changes all the time; None where it does so by itself,
        or need not.
    """

    every_s: float | None = 4.0
    pane: pn.viewable.Viewable

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def show(self) -> None:
        """Bring it up to date with what is looked at, and with the log."""

    async def entered(self) -> None:
        """Do what a text is for that Ctrl+Enter was pressed in."""


def html(text: str = "", *, css: str = "", **options: Any) -> pn.pane.HTML:
    """A pane of HTML in the dashboard's style."""
    given: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, **options}
    return pn.pane.HTML(text, stylesheets=[CSS + css], **given)


def task(work: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """For ``on_click`` and such: do it beside everything else, without holding up the session."""

    def begin(*args: Any) -> None:
        async def run() -> None:
            await work(*args)

        pn.state.execute(run)

    return begin


def heading(title: str, more: str = "") -> str:
    """The title of a page; `more` is text."""
    said = f'<p class="muted" style="margin:4px 0 0">{esc(more)}</p>' if more else ""
    return f"<header><h1>{esc(title)}</h1>{said}</header>"


def tabs(label: str, links: Iterable[tuple[str, str, bool]]) -> str:
    """Parts of a page, each with an address: where it is, what it is called, and whether one is there."""
    shown = "".join(
        f'<a href="{esc(query)}"{" aria-current=page" if here else ""}>{esc(title)}</a>' for query, title, here in links
    )
    return f'<nav class="tabs" aria-label="{esc(label)}">{shown}</nav>'
