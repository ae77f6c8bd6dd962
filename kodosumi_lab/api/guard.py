"""What stands before every route: nobody unknown comes in, no body is too long, no launch too many.

These are ASGI middleware, so they hold for mounted applications and unknown paths as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kodosumi_lab.api import problems
from kodosumi_lab.api.identity import Identity, Role, User
from kodosumi_lab.api.problems import Refused

__all__ = ["AS", "As", "BodyLimit", "CurrentUser", "Guard", "LaunchRate", "Operator", "at_least"]


#: In the scope of a request that this process makes itself: the user in whose name it does.
AS = "kodosumi_lab.as"


class As:
    """The gateway's application as one user asks it within this process; an ASGI application."""

    def __init__(self, app: ASGIApp, user: User) -> None:
        self._app, self._user = app, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app({**scope, AS: self._user}, receive, send)


class Guard:
    """Refuses a request that nobody is known for; else the user is in ``request.state.user``.

    Parameters
    ----------
    app
        What it guards.
    identity
        Who tells.
    public
        Paths that anybody may ask, for health checks.
    pages
        Paths below which people read pages; who is not known there is led to :mod:`.login`.
    """

    def __init__(
        self, app: ASGIApp, identity: Identity, public: Collection[str] = (), pages: Collection[str] = ()
    ) -> None:
        self._app, self._identity, self._public, self._pages = app, identity, frozenset(public), tuple(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        try:
            user = scope.get(AS) or await self._identity.user(HTTPConnection(scope))
        except Refused as error:
            answer: Response = problems.response(error.status, error.kind, error.detail, error.headers)
        else:
            if user is not None:
                scope.setdefault("state", {})["user"] = user
                await self._app(scope, receive, send)
                return
            answer = self._unknown(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not authenticated"})
        else:
            await answer(scope, receive, send)

    def _unknown(self, scope: Scope) -> Response:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if any(path == page or path.startswith(page + "/") for page in self._pages) and _reads_pages(scope):
            # relative, since a proxy in front may have taken a prefix away
            query = urlencode({"next": path[1:] + ("?" + scope["query_string"].decode("latin-1")).rstrip("?")})
            return Response(status_code=303, headers={"location": "../" * (path.count("/") - 1) + f"login?{query}"})
        detail = "nobody is known for this request; send `Authorization: Bearer <token>` with a token that counts"
        return problems.response(401, "unauthenticated", detail, {"www-authenticate": self._identity.challenge})


def _reads_pages(scope: Scope) -> bool:
    return scope.get("method") == "GET" and "text/html" in HTTPConnection(scope).headers.get("accept", "")


class _TooLong(HTTPException):
    """Of this class, since FastAPI takes any other error while a body is read for a bad request."""

    kind = "too-long"


class BodyLimit:
    """Refuses a request whose body is longer than `limit` bytes, whether or not it says so beforehand."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = HTTPConnection(scope).headers.get("content-length", "")
        got, begun = 0, False
        refusal = _TooLong(413, f"the body is longer than {self._limit:,} bytes (setting gateway_body_bytes)")

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._limit:
                raise refusal
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if told.isdigit() and int(told) > self._limit:
                raise refusal
            await self._app(scope, counted, noted)
        except _TooLong:
            if begun:
                raise
            await problems.response(413, refusal.kind, refusal.detail)(scope, receive, send)


class LaunchRate:
    """At most so many launches a minute for each user; a bucket that refills."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, user: User) -> None:
        """Count one launch.

        Raises
        ------
        Refused
            429, with ``Retry-After`` in seconds.
        """
        now = self._clock()
        with self._lock:
            left, at = self._buckets.get(user.name, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
            self._buckets[user.name] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            wait_s = int((1 - left) * 60 / self._per_minute) + 1
            detail = f"{self._per_minute} launches a minute are allowed to {user.name}; try again in {wait_s} s"
            raise Refused(429, "too-many-launches", detail, {"retry-after": str(wait_s)})


def current_user(request: Request) -> User:
    """Who makes the request."""
    user: User = request.state.user
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def at_least(role: Role) -> Callable[[User], User]:
    """Dependency: a user of this role or a greater one."""

    def check(user: CurrentUser) -> User:
        if user.role < role:
            detail = f"this takes the role {role.name.lower()}; {user.name} has {user.role.name.lower()}"
            raise Refused(403, "forbidden", detail)
        return user

    return check


Launcher = Annotated[User, Depends(at_least(Role.USER))]
Operator = Annotated[User, Depends(at_least(Role.OPERATOR))]
Admin = Annotated[User, Depends(at_least(Role.ADMIN))]
