"""Layout and binding: one page for each session, made of the views.

``panel serve kodosumi_lab/dashboard/app.py`` serves it alone; :mod:`kodosumi_lab.dashboard.mounted` beside the gateway.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui
from panel.util import edit_readonly  # type: ignore[attr-defined] # it is listed nowhere

from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.freshness import Freshness
from kodosumi_lab.dashboard.hub import Hub
from kodosumi_lab.dashboard.numbers import Question
from kodosumi_lab.dashboard.reconnect import watch
from kodosumi_lab.dashboard.state import PAGES, State
from kodosumi_lab.dashboard.views.base import Desk, View, html, task
from kodosumi_lab.dashboard.widgets import Seen, Shell
from kodosumi_lab.dashboard.words import esc, notice
from kodosumi_lab.icon import ICON

__all__ = ["Board", "looks"]

logger = logging.getLogger(__name__)

# How soon a page that could not be brought up to date is tried again.
_AGAIN_S = 4.0
#: The name that Panel gives a file which it serves.
_SERVED = "bokeh_app_"

pn.extension(notifications=True, reconnect=True, loading_indicator=False)

_ICONS = {
    "flows": "M4 6h6v5H4zM14 3h6v5h-6zM14 15h6v5h-6zM10 8.5h2v9h2M12 8.5V5.5h2",
    "runs": "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
    "run": "M6 4l14 8-14 8z",
    "inbox": "M4 5h16v14H4zM4 13h5l1.5 2.5h3L15 13h5",
    "analytics": "M4 20V10M10 20V4M16 20v-7M22 20H2",
    "cluster": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5",
    "control": "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
}
_KEYS = {"f": "flows", "r": "runs", "i": "inbox", "a": "analytics", "c": "cluster", "o": "control"}
#: Who may look; others do not find these pages in their navigation.
_ROLES = {"cluster": Role.OPERATOR, "control": Role.OPERATOR}
_WAITING = Question(
    "waiting",
    "Waiting",
    '(kl.runs().filter(pl.col("locks").is_not_null()).select(n=pl.col("locks").str.json_decode('
    "pl.List(pl.Struct({'lid': pl.String()}))).list.len().sum()))",
)

# The views that notebooks share take their type from JupyterLab's variables.
_ROOT = """
#loader { background: none }
/* what is said of a lost connection, reconnect.py says */
[id^=reconnect-notification] { display: none !important; }
:root { --jp-ui-font-family: var(--bokeh-base-font); --jp-ui-font-size1: 14px;
  --jp-border-color2: color-mix(in srgb, var(--panel-on-background-color) 22%, var(--panel-background-color)); }
"""
_NAV = """
nav { display: flex; flex-direction: column; gap: 2px; padding: 10px 8px; }
nav a { display: flex; align-items: center; gap: 12px; padding: 9px 12px; border-radius: 8px; color: var(--fg); }
nav a:hover { background: var(--tint); text-decoration: none; }
nav a[aria-current=page] { background: color-mix(in srgb, var(--accent) 16%, var(--bg)); font-weight: 650; }
nav svg { width: 20px; height: 20px; flex: none; fill: none; stroke: currentColor; stroke-width: 1.8;
  stroke-linecap: round;
  stroke-linejoin: round; }
nav b { margin-inline-start: auto; min-width: 22px; padding: 0 7px; border-radius: 11px; text-align: center;
  font-size: 12px;
  line-height: 20px; background: light-dark(#c0273a, #ff8a94); color: light-dark(#fff, #2b0a0e); }
"""
_WHO = """
:host { color: inherit; } .who { justify-content: flex-end; } form, .who { display: flex; gap: 12px;
  align-items: center; margin: 0; white-space: nowrap; }
.who span { overflow: hidden; text-overflow: ellipsis; max-width: 28ch; }
button { font: inherit; font-size: 13px; color: inherit; background: none; border: 1px solid currentColor;
  border-radius: 6px;
  padding: 3px 10px; cursor: pointer; opacity: .9; }
@media (max-width: 599px) { .who span { display: none; } }
"""


class Board:
    """The dashboard as one session has it.

    Parameters
    ----------
    hub
        What the process shares.
    user
        Whose session it is.
    api
        Where the browser finds the gateway, relative to the page; empty where there is none beside it.
    dark
        Whether the page begins dark.
    by_token
        Whether the user came with a token, and is out once it is revoked.
    narrow
        Whether it is as narrow as a phone, with the pages' names out of the way.

    Attributes
    ----------
    page
        What is served.
    """

    def __init__(
        self,
        hub: Hub,
        user: User,
        *,
        api: str = "",
        by_token: bool = False,
        dark: bool = False,
        narrow: bool = False,
    ) -> None:
        self.hub, self.user = hub, user
        self._by_token = by_token
        self.state = State()
        location = pn.state.location
        wrong = self.state.read(location.search if location is not None else "")
        self.desk = Desk(self.state, hub.access(user, by_token=by_token), hub.pulse, api)
        self._fresh = Freshness(hub.pulse)
        self._views: dict[str, View] = {}
        self._wanted, self._counted, self._showing = False, True, False
        self._shown_at = 0.0
        self._missed = False
        self._seen = Seen(width=0, height=0, margin=0)
        self._links = {name: self.state.link(name) for name in PAGES}
        self._later: asyncio.TimerHandle | None = None
        self._nav = html(css=_NAV)
        self._refused = ""
        self._notice = html(visible=False, margin=(0, 0, 12, 0))
        self._trouble = html(visible=False, margin=(0, 0, 12, 0))
        self._say_away()
        self._body = pn.Column(html(min_height=400), sizing_mode="stretch_width", margin=0)
        keys = {key: (self.state.link(name), PAGES[name]) for key, name in _KEYS.items() if self._may_look(name)}
        self._shell = Shell(query=self.state.query, dark=dark, narrow=narrow, keys=keys, width=0, height=0, margin=0)
        self.desk.download = self._shell.download
        self.page: Any = pmui.Page(  # type: ignore[attr-defined] # it makes its names known at run time
            title="Kodosumi Lab",
            favicon="data:image/svg+xml," + quote(ICON),
            logo="data:image/svg+xml," + quote(ICON.replace("#2f7fd6", "#ffffff")),
            site_url="?page=flows",
            header=[html(self._who(), css=_WHO, align="center"), self._shell, self._seen],
            sidebar=[self._nav],
            sidebar_width=208,
            sidebar_resizable=False,
            sidebar_open=not narrow,
            main=[
                pn.Column(
                    self._notice,
                    self._trouble,
                    self._body,
                    sizing_mode="stretch_width",
                    margin=(20, 24),
                    max_width=1680,
                )
            ],
            busy_indicator=None,
            raw_css=[_ROOT],
            theme="dark" if dark else "default",
        )
        with edit_readonly(self.page):
            # it follows whether any session of the process is busy, and each change walks through all models of a page
            self.page.busy = False
        if pn.state.notifications is not None:
            pn.state.notifications.position = "top-right"  # below are the buttons that people press next
        self._bind()
        if self.desk.doc is not None:
            watch(self.desk.doc, self.page)
        if wrong:
            pn.state.onload(lambda: self.desk.tell("; ".join(wrong), "warning"))

    # -- binding ----------------------------------------------------------------------

    def _bind(self) -> None:
        self.state.param.watch(lambda *_: self._ask(), [name for name in self.state.param if name != "name"])
        self._shell.param.watch(self._went, "query")
        self._seen.param.watch(lambda _: self._shown_again(), "hidden")
        self._shell.param.watch(self._visited, "visits")
        self._shell.param.watch(lambda _: task(self._place().entered)(), "entered")
        self._shell.param.watch(lambda event: setattr(self.page, "sidebar_open", not event.new), "narrow")
        self._shell.param.watch(lambda event: setattr(self.page, "dark_theme", event.new), "dark")
        self.page.param.watch(lambda event: setattr(self._shell, "dark", event.new), "dark_theme")
        self._draw_nav(0)
        self._place()
        pn.state.onload(self._begin)

    def _begin(self) -> None:
        self._ask()
        if self.desk.doc is None or not self.desk.doc.session_context:
            return
        stop = self.hub.pulse.listen(lambda: self.desk.locked(self._changed))

        def leave(_: Any) -> None:
            stop()
            if self._later is not None:
                self._later.cancel()

        pn.state.on_session_destroyed(leave)
        # times are told as "3 minutes ago", and nothing else may happen for long
        pn.state.add_periodic_callback(self._ask, period=30_000)

    def _changed(self) -> None:
        """The log has changed: views in the browser ask by themselves, those made here no more often than they want."""
        self._say_trouble()  # also where the look before this one never came back
        if self._seen.hidden:
            self._missed = True
            return
        for tell in self.desk.changed:
            tell()
        view = self._views.get(self.state.page)
        every_s = view.every_s if view is not None else None
        left = 0.0 if every_s is None else every_s - (time.monotonic() - self._shown_at)
        self._ask(whole=every_s is not None and left <= 0)
        if left > 0:
            self._look_again(left)

    def _look_again(self, in_s: float) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(in_s, lambda: self.desk.locked(self._in_time))

    def _shown_again(self) -> None:
        """A tab that nobody could see is looked at."""
        if self._missed and not self._seen.hidden:
            self._missed = False
            self._changed()
            self._ask()

    def _in_time(self) -> None:
        self._later = None
        self._ask()

    def _went(self, event: Any) -> None:
        if event.new == self.state.query:
            return
        for reason in self.state.read(event.new):
            self.desk.tell(reason, "warning")

    def _visited(self, _: Any) -> None:
        """On a phone the pages' names lie over the page."""
        if self._shell.narrow:
            self.page.sidebar_open = False

    def _ask(self, *_: Any, whole: bool = True) -> None:
        """Show what is looked at as it is now; what is asked for meanwhile comes once, afterwards.

        Without the `whole` only what is on every page.
        """
        self._wanted = self._wanted or whole
        self._counted = False
        self._shell.query = self.state.query
        if not self._showing:
            self._showing = True
            pn.state.execute(self._show)

    async def _show(self) -> None:
        try:
            while self._wanted or not self._counted:
                whole, self._wanted, self._counted = self._wanted, False, True
                await self._once(whole)
        finally:
            self._showing = False

    async def _once(self, whole: bool) -> None:
        page, told = self.state.page, ""
        try:
            view = self._place()
            await self._about()
            if whole:
                await view.show()
                self._shown_at = time.monotonic()
                self._fresh.shown(page)
        except Problem as problem:
            if 400 <= problem.status < 500:  # it will not be another time
                told = problem.detail
                self._fresh.shown(page)
            else:
                self._fresh.failed(page, problem.detail)
        except Exception as error:
            # the edge of a session: whoever looks is told, and the next look may well succeed
            reason = f"the page failed with {type(error).__name__}: {error}; the server's log has more"
            if self._fresh.failed(page, reason):
                logger.exception("page %s of %s", page, self.user.name)
        if whole or told or self._fresh.again(page):
            self._refused = told
        if self._fresh.again(page):
            self._look_again(_AGAIN_S)
        self._say_trouble()

    def _place(self) -> View:
        """The view of the page that is looked at, in its place."""
        name = self.state.page
        if name not in self._views:
            self._views[name] = self._make(name)
        view = self._views[name]
        if list(self._body) != [view.pane]:
            self._body.objects = [view.pane]
            self._shell.title = f"{PAGES[name]} · Kodosumi Lab"
        return view

    def _make(self, name: str) -> View:
        if not self._may_look(name):
            return _Closed(self.desk, name)
        module = importlib.import_module(f"kodosumi_lab.dashboard.views.{name}")
        view: View = module.Page(self.desk)
        return view

    def _may_look(self, name: str) -> bool:
        return self.user.role >= _ROLES.get(name, Role.VIEWER)

    # -- what is on every page ---------------------------------------------------------

    async def _about(self) -> None:
        waiting = await self.desk.access.frame(_WAITING)
        number = int(waiting["n"][0] or 0)
        self._shell.waiting = number
        self._draw_nav(number)
        self._say_away()

    def _say_away(self) -> None:
        away = self.hub.pulse.away
        _tell(self._notice, f"History only: {away}." if away else "", "warning")

    def _say_trouble(self) -> None:
        stale = self._fresh.told(self.state.page)
        _tell(self._trouble, self._refused or stale, "error" if self._refused else "warning")

    def _draw_nav(self, waiting: int) -> None:
        links = []
        for name, label in PAGES.items():
            if name == "run" or not self._may_look(name):
                continue  # one comes to a run from somewhere
            here = self.state.page == name or (name == "runs" and self.state.page == "run")
            badge = f'<b aria-label="{waiting} waiting">{waiting}</b>' if name == "inbox" and waiting else ""
            links.append(
                f'<a href="{esc(self._links[name])}"{" aria-current=page" if here else ""}>'
                f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{_ICONS[name]}"/></svg>{label}{badge}</a>'
            )
        text = f'<nav aria-label="Pages">{"".join(links)}</nav>'
        if self._nav.object != text:
            self._nav.object = text

    def _who(self) -> str:
        name = f"{esc(self.user.name)} · {self.user.role.name.lower()}"
        out = (
            '<form method="post" action="../logout"><button>Sign out</button></form>'
            if self._by_token and self.desk.api
            else ""
        )
        return f'<div class="who"><span title="{name}">{name}</span>{out}</div>'


def _tell(pane: Any, text: str, kind: str) -> None:
    told = notice(text, kind) if text else ""
    if pane.object != told:
        pane.param.update(object=told, visible=bool(text))


def looks() -> dict[str, Any]:
    """How the browser that asks shows its page, as its cookies say; for :class:`Board`."""
    cookies = pn.state.cookies
    return {"dark": cookies.get("kodosumi-lab-theme") == "dark", "narrow": cookies.get("kodosumi-lab-narrow") == "1"}


class _Closed(View):
    """A page that somebody may not look at."""

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__(desk)
        role = _ROLES[name].name.lower()
        told = f"{PAGES[name]} takes the role {role}; {desk.access.user.name} has {desk.access.user.role.name.lower()}."
        self.pane = html(notice(told, "warning"))


if __name__.startswith(_SERVED):
    from kodosumi_lab.dashboard.alone import served

    served()
