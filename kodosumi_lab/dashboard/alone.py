"""The dashboard without a gateway beside it, under ``panel serve``.

Who comes is told by Panel's own authentication where it is switched on (``--basic-auth``, ``--oauth-provider``); the
role is the greatest that a token gives this name, else the setting ``gateway_default_role``. Without it the page asks
for a token of the gateway.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.identity import Role, TokenFile, User
from kodosumi_lab.api.sessions import Sessions
from kodosumi_lab.dashboard.app import Board, looks
from kodosumi_lab.dashboard.hub import here
from kodosumi_lab.dashboard.views.base import heading, html, task
from kodosumi_lab.dashboard.widgets import Shell
from kodosumi_lab.dashboard.words import notice

__all__ = ["served"]

_GUEST = "guest"


def served() -> None:
    """One session of ``panel serve``."""
    hub = here()
    tokens = TokenFile(hub.gateway.log.layout.state)
    sessions = Sessions(tokens, hub.gateway.log.layout.state)
    user, by_token = _by_panel(hub.gateway, tokens), False
    if user is None:
        user, by_token = sessions.known(pn.state.cookies.get(sessions.cookie, "")), True
    page = (
        Board(hub, user, by_token=by_token, **looks()).page
        if user is not None
        else _SignIn(sessions, looks()["dark"]).page
    )
    page.servable()


def _by_panel(gateway: Gateway, tokens: TokenFile) -> User | None:
    """Whom Panel's own authentication has let in; a guest is nobody."""
    name = pn.state.user
    if not name or name == _GUEST:
        return None
    settings = gateway.settings
    told = (pn.state.user_info or {}).get(settings.gateway_oidc_role_claim)
    named = told if isinstance(told, list) else [told]
    known = [Role[one.upper()] for one in named if isinstance(one, str) and one.upper() in Role.__members__]
    default = tokens.role_of(name) or Role.named(settings.gateway_default_role)
    return User(name, max(known, default=default))


class _SignIn:
    """Asks for a token; the browser keeps a cookie that names it, as it does beside a gateway."""

    def __init__(self, sessions: Sessions, dark: bool) -> None:
        self._sessions = sessions
        self._token = pmui.PasswordInput(label="Token", sizing_mode="stretch_width", margin=(16, 0, 10, 0))
        self._told = html()
        self._shell = Shell(title="Sign in · Kodosumi Lab", query="", dark=dark, width=0, height=0, margin=0)
        button = pmui.Button(label="Sign in", variant="contained", sizing_mode="stretch_width", margin=0)
        button.on_click(task(self._enter))
        self._token.param.watch(task(self._enter), "value")
        more = "It is in the file state/gateway.token of the log, and `kodosumi-lab token NAME` makes more."
        box = pn.Column(
            html(heading("Sign in", more)), self._token, button, self._told,
            styles={"max-width": "380px", "margin": "48px auto"}, sizing_mode="stretch_width",
        )  # fmt: skip
        self.page: Any = pmui.Page(  # type: ignore[attr-defined] # it makes its names known at run time
            title="Kodosumi Lab", main=[box], header=[self._shell], theme="dark" if dark else "default"
        )

    async def _enter(self, _: Any) -> None:
        token = (self._token.value_input or self._token.value or "").strip()
        if not token:
            return
        cookie = self._sessions.sign_in(token)
        if cookie is None:
            self._told.object = notice("That token does not count here.", "error")
        else:
            self._shell.cookie = f"{self._sessions.cookie}={cookie}; max-age={30 * 86_400}; samesite=lax"
