"""Control: who may come in, where flows come from, services, what is kept, settings, and who did what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import panel as pn

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.views.base import Desk, View, heading, html, tabs
from kodosumi_lab.dashboard.views.keeping import Keeping
from kodosumi_lab.dashboard.views.people import People
from kodosumi_lab.dashboard.views.services import Services
from kodosumi_lab.dashboard.views.sources import Sources
from kodosumi_lab.dashboard.words import empty, esc, notice, table, when

__all__ = ["Page"]

#: Part, its title, and who may see it.
_PARTS = {
    "users": ("Users", Role.ADMIN),
    "sources": ("Sources", Role.OPERATOR),
    "services": ("Services", Role.OPERATOR),
    "log": ("Retention", Role.OPERATOR),
    "settings": ("Settings", Role.OPERATOR),
    "audit": ("Audit", Role.ADMIN),
}


class Page(View):
    """See the module."""

    every_s = None

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._admin = Admin(desk.access)
        self._top = html(self._head(_part(desk)))
        self._place = pn.Column(html(min_height=300), sizing_mode="stretch_width", margin=(16, 0, 0, 0))
        self._parts: dict[str, Any] = {}
        self.pane = pn.Column(self._top, self._place, sizing_mode="stretch_width", margin=0)

    def _head(self, part: str) -> str:
        state = self.desk.state
        links = [(state.link("control", tab=name), title, name == part) for name, title in _seen(self.desk).items()]
        return heading("Control") + tabs("Control", links)

    async def show(self) -> None:
        """The part that the address names."""
        part = _part(self.desk)
        self._top.object = self._head(part)
        if part not in self._parts:
            self._parts[part] = _made(part, self.desk, self._admin)
        shown = self._parts[part]
        if list(self._place) != [shown.pane]:
            self._place.objects = [shown.pane]
        await shown.show()


def _seen(desk: Desk) -> dict[str, str]:
    return {name: title for name, (title, role) in _PARTS.items() if desk.access.may(role)}


def _part(desk: Desk) -> str:
    seen = _seen(desk)
    return desk.state.tab if desk.state.tab in seen else next(iter(seen))


def _made(part: str, desk: Desk, admin: Admin) -> Any:
    match part:
        case "users":
            return People(desk, admin)
        case "sources":
            return Sources(desk)
        case "services":
            return Services(desk, admin)
        case "log":
            return Keeping(desk, admin)
        case "settings":
            return _Text(lambda: _settings(admin))
        case _:
            return _Text(lambda: _audit(admin))


class _Text:
    """A part that only tells."""

    def __init__(self, told: Callable[[], Awaitable[str]]) -> None:
        self._told = told
        self.pane = html(min_height=200)

    async def show(self) -> None:
        try:
            self.pane.object = await self._told()
        except Problem as problem:
            self.pane.object = notice(problem.detail, "error")


async def _settings(admin: Admin) -> str:
    rows = []
    for name, value, source, about in admin.settings():
        changed = source != "default"
        told = f"<b>{esc(source)}</b>" if changed else f'<span class="muted">{esc(source)}</span>'
        rows.append([f'<span class="mono">{esc(name)}</span><br><small>{esc(about)}</small>', esc(value) or "–", told])
    said = (
        '<p class="muted">Keyword arguments, then environment variables <code>KODOSUMI_LAB_…</code>, then the file, '
        "then defaults. They are read when the gateway starts.</p>"
    )
    return said + table(["Setting", "Value", "From"], rows, label="Settings in force")


async def _audit(admin: Admin) -> str:
    found = await admin.audit()
    if not found:
        return empty(
            "Nothing was recorded yet", "MCP calls, deletes, and changes on this page are, with who made them."
        )
    rows = []
    for one in found:
        known = ("ts", "user", "via", "call", "outcome")
        more = ", ".join(f"{key}: {value}" for key, value in one.items() if key not in known)
        state = "finished" if one["outcome"] == "ok" else "error"
        outcome = f'<span class="status" data-status="{state}">{esc(one["outcome"])}</span>'
        rows.append([when(one["ts"]), esc(one["user"]), esc(one["via"]), esc(one["call"]), outcome, esc(more)])
    return table(["When", "Who", "Over", "What", "Outcome", "Of what"], rows, label="Audit")
