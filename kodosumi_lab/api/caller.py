"""Who calls a service, from the headers that a gateway sends."""

from __future__ import annotations

import hmac
import os

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kodosumi_lab.runtime.services import ANONYMOUS, BASE_HEADER, KEY_HEADER, KEY_VARIABLE, USER_HEADER

__all__ = ["KEY_HEADER", "KEY_VARIABLE", "Caller", "text_of"]


class Caller:
    """Sets ``request.state.user`` and ``request.state.prefix``.

    The header counts for whoever reaches the service, so a service that listens beyond
    loopback sets the environment variable :data:`KEY_VARIABLE`. Mounted on the gateway, which
    has authenticated the caller, the user is the gateway's (``scope["kodosumi_lab.user"]``).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with what is known of its caller."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = scope.get("kodosumi_lab.user")
        key = os.environ.get(KEY_VARIABLE)
        if known is None and key and not hmac.compare_digest(headers.get(KEY_HEADER, "").encode(), key.encode()):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "not from the gateway"})
                return
            detail = f"this service answers its gateway only; send its key in the header {KEY_HEADER}"
            await JSONResponse({"detail": detail}, 401)(scope, receive, send)
            return
        user = known or text_of(headers.get(USER_HEADER)) or ANONYMOUS
        state = {**scope.get("state", {}), "user": user, "prefix": headers.get(BASE_HEADER, "")}
        await self._app({**scope, "state": state}, receive, send)


def text_of(header: str | None) -> str | None:
    """Value of a header that was sent as UTF-8; as Latin-1, how servers read it, where it is none."""
    try:
        return header.encode("latin-1").decode() if header is not None else None
    except UnicodeDecodeError:
        return header
