"""The dashboard beside the gateway, in one process and at one port, as one of its mounted applications.

The gateway has told who comes before anything gets here. A Bokeh session knows of a request only what Bokeh keeps of
it, and keeps that in the page, so everything is taken out but who it is, signed with a key of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.dashboard.hub import Hub

__all__ = ["Dashboard"]

_WHO = "kodosumi_lab_who"
#: What the browser's side keeps about how the page is shown, see ``labextension/src/views/shell.ts``.
_LOOKS = {"kodosumi-lab-theme": (b"dark", b"light"), "kodosumi-lab-narrow": (b"1", b"0")}
# What Bokeh would take a page's session from: nobody chooses another one's.
_SESSION_ID = (b"bokeh-session-id=", b"bokeh_session_id=")
_KEPT = (b"host", b"origin", b"user-agent", b"accept-language", b"x-forwarded-host", b"x-forwarded-proto")
_OF_WEBSOCKETS = (b"connection", b"upgrade")


class Dashboard:
    """An ASGI application for ``create_app(mounts={"/dashboard": Dashboard()}, pages=["/dashboard"])``.

    Panel is imported, which takes a second and some memory, when somebody looks for the first time.

    Parameters
    ----------
    warm
        Do it when the gateway starts, beside everything else.

    Attributes
    ----------
    carrier
        The gateway's application, once it carries this one.
    """

    def __init__(self, *, warm: bool = False) -> None:
        self.carrier: Any = None
        self._warm = warm
        self._hub: Hub | None = None
        self._key = self._cookie_key = secrets.token_hex(32)
        self._app: Any = None
        self._lock = asyncio.Lock()
        self._open = contextlib.AsyncExitStack()

    async def _ready(self) -> Any:
        """Panel's application, made by whoever needs it first."""
        async with self._lock:
            if self._app is None:
                await asyncio.to_thread(importlib.import_module, "kodosumi_lab.dashboard.app")
                app = self._made()
                await self._open.enter_async_context(app.router.lifespan_context(app))
                self._app = app
        return self._app

    def _made(self) -> Any:
        import panel as pn
        from panel.io.fastapi import add_applications

        config: Any = pn.config
        if config.cookie_secret is None:
            config.cookie_secret = self._key
        self._cookie_key = config.cookie_secret
        return add_applications(
            {"/": self._page}, title="Kodosumi Lab", secret_key=self._key.encode(), sign_sessions=True
        ).app

    @property
    def router(self) -> Dashboard:
        """Itself: whoever mounts it enters ``router.lifespan_context``."""
        return self

    @contextlib.asynccontextmanager
    async def lifespan_context(self, _: Any = None) -> AsyncIterator[None]:
        """While the gateway serves."""
        warming = asyncio.ensure_future(self._ready()) if self._warm else None
        async with self._open:
            yield
            if warming is not None:
                with contextlib.suppress(Exception):  # it was told to whoever asked for a page
                    await warming

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, with who it is from and little else."""
        app = await self._ready()
        user = scope.get("state", {}).get("user")
        if isinstance(user, User):
            query = scope.get("query_string", b"").split(b"&")
            kept = b"&".join(part for part in query if not part.lower().startswith(_SESSION_ID))
            lasting = b"v=" in scope.get("query_string", b"") and "/static/" in scope["path"]
            scope = {**scope, "headers": self._headers(scope, user), "query_string": kept}
            send = _kept_by_browsers(send) if lasting else send
        await app(scope, receive, send)

    def _headers(self, scope: Any, user: User) -> list[tuple[bytes, bytes]]:
        from tornado.web import create_signed_value

        allowed = (*_KEPT, *_OF_WEBSOCKETS)
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() in allowed or name.lower().startswith((b"sec-websocket", b"if-", b"range"))
        ]
        who = json.dumps({"name": user.name, "role": user.role.name})
        cookies = {
            "user": create_signed_value(self._cookie_key, "user", user.name).decode(),
            _WHO: create_signed_value(self._cookie_key, _WHO, who).decode(),
            **_looks(scope),
        }
        return [*kept, (b"cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()).encode())]

    def _page(self) -> Any:
        import panel as pn
        from tornado.web import decode_signed_value

        from kodosumi_lab.dashboard.app import Board, looks

        signed = decode_signed_value(self._cookie_key, _WHO, pn.state.cookies.get(_WHO, ""))
        assert signed is not None, "the gateway's guard lets nobody unknown through"
        told = json.loads(signed)
        if self._hub is None:
            self._hub = Hub(self.carrier)
        sessions = getattr(self.carrier.state, "sessions", None)
        by_token = sessions is not None and sessions.by_token
        return Board(self._hub, User(told["name"], Role[told["role"]]), api="../", by_token=by_token, **looks()).page


def _kept_by_browsers(send: Any) -> Any:
    """Files whose address says their version need not be asked for again."""

    async def noted(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            held = [*message["headers"], (b"cache-control", b"private, max-age=31536000, immutable")]
            message = {**message, "headers": held}
        await send(message)

    return noted


def _looks(scope: Any) -> dict[str, str]:
    """Cookies about how the page is shown, as far as they say what they may."""
    cookies = b"; ".join(value for name, value in scope["headers"] if name.lower() == b"cookie").split(b"; ")
    found = {}
    for name, values in _LOOKS.items():
        # the first one counts: it is of the nearest path, and the page's own word is newer than the login's
        told = [value for key, _, value in (cookie.partition(b"=") for cookie in cookies) if key == name.encode()]
        if told and told[0] in values:
            found[name] = told[0].decode()
    return found
