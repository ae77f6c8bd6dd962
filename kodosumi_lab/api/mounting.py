"""Services inside the gateway's process: found by name, mounted below a path, told who calls.

The gateway guards its mounted applications like its own routes; a service behind it sees the
authenticated user, and what a client writes into kodosumi's headers counts for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import importlib
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from kodosumi_lab.api import problems
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.errors import FlowError
from kodosumi_lab.runtime import addresses, services
from kodosumi_lab.runtime.remote import RemoteFlow
from kodosumi_lab.runtime.services import BASE_HEADER, URL_HEADER, USER_HEADER

if TYPE_CHECKING:
    import httpx

    from kodosumi_lab.api.gateway import Gateway

__all__ = ["Mounted", "MountedFlow", "load_app", "services_of"]

_OF_THE_TRANSFER = ("content-encoding", "content-length", "transfer-encoding")
#: What somebody who may only look may ask.
_READING = ("GET", "HEAD", "OPTIONS")
#: In the scope of a request by the gateway itself, which has counted the launch already.
_ADMITTED = "kodosumi_lab.admitted"
_OURS = {name.encode() for name in (USER_HEADER, BASE_HEADER, URL_HEADER)}


class Mounted:
    """A service in the gateway's process, as an ASGI application: ``gateway.mount(one.path, one)``.

    Parameters
    ----------
    source, path, app
        As the attributes.
    user_of
        Name of the authenticated user, from the ASGI scope of a request; None where nobody is
        known. By default that of ``request.state.user``, which the gateway sets.
    may_see
        Whether whoever makes a request may see and answer for a run of the user named.

    Attributes
    ----------
    source : str
        ``package.module:app``.
    path : str
        Below which it answers.
    app
        The application.
    carrier
        The gateway's application, once it carries this one.
    """

    def __init__(
        self,
        source: str,
        path: str,
        app: Any,
        *,
        user_of: Callable[[Scope], str | None] | None = None,
        may_see: Callable[[Scope, str | None], bool] | None = None,
    ) -> None:
        self.source, self.path, self.app = source, path, app
        self.carrier: Any = None
        self._user_of, self._may_see = user_of or _user_of, may_see or _may_see
        self._announced: str | None = None
        self._announcing = threading.Lock()

    def __repr__(self) -> str:
        return f"<Mounted {self.source} at {self.path}>"

    @property
    def openapi(self) -> str:
        """Path of its OpenAPI document, for the Register."""
        return self.path + (getattr(self.app, "openapi_url", None) or "/openapi.json")

    @property
    def router(self) -> Mounted:
        """Itself: whoever mounts it enters ``router.lifespan_context``, as of any Starlette application."""
        return self

    @contextlib.asynccontextmanager
    async def lifespan_context(self, _: Any = None) -> AsyncIterator[None]:
        """Run the service's own start and end; meanwhile locks find it in this process, and others where it is."""
        async with contextlib.AsyncExitStack() as stack:
            inner = getattr(getattr(self.app, "router", None), "lifespan_context", None)
            if inner is not None:
                await stack.enter_async_context(inner(self.app))
            services.here[self.path] = (self.app, asyncio.get_running_loop())
            stack.callback(services.here.pop, self.path, None)
            stack.callback(self._withdraw)
            state: Any = getattr(self.carrier, "state", None)
            if getattr(state, "url", None) is not None:
                await asyncio.to_thread(self.announce, state.gateway.log.root, state.url)
            yield

    def announce(self, log_dir: str | Path, url: str) -> None:
        """Say to other processes of the log that the gateway at `url` carries the service; once is enough."""
        with self._announcing:
            if self._announced is None:
                addresses.announce(log_dir, self.path, url)
                self._announced = str(log_dir)

    def _withdraw(self) -> None:
        if self._announced is not None:
            addresses.withdraw(self._announced, self.path)
            self._announced = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; kodosumi's headers are the gateway's, not the client's."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        who = scope.get("state", {}).get("user")
        if scope.get("method") not in _READING and _below_user(who):
            await _refuse(scope, receive, send, who)
            return
        user = self._user_of(scope)
        kept = [(key, value) for key, value in scope["headers"] if key.lower() not in _OURS]
        base = scope.get("root_path", "").encode()
        told = [(BASE_HEADER.encode(), base), (USER_HEADER.encode(), (user or "").encode())]
        known = {
            "headers": kept + told,
            "kodosumi_lab.user": user or services.ANONYMOUS,
            "kodosumi_lab.may_see": functools.partial(self._may_see, scope),
            "kodosumi_lab.path": self.path,
        }
        gateway = getattr(getattr(self.carrier, "state", None), "gateway", None)
        if gateway is not None:
            known |= {
                "kodosumi_lab.log_dir": str(gateway.log.root),
                "kodosumi_lab.connect": gateway.cluster.connection,
                "kodosumi_lab.claim": functools.partial(gateway.claim, user=who) if who else None,
                "kodosumi_lab.admit": None if scope.get(_ADMITTED) else functools.partial(_admit, gateway, who),
            }
            url = _listening(scope) if not scope.get(_ADMITTED) else None
            if self._announced is None and url is not None:
                await asyncio.to_thread(self.announce, gateway.log.root, url)
        await self.app({**scope, **known}, receive, send)


def _below_user(who: Any) -> bool:
    return isinstance(who, User) and who.role < Role.USER


async def _refuse(scope: Scope, receive: Receive, send: Send, who: User) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "this takes the role user"})
        return
    detail = f"this takes the role user; {who.name} has {who.role.name.lower()}"
    await problems.response(403, "forbidden", detail)(scope, receive, send)


def _admit(gateway: Gateway, who: Any) -> None:
    """Let a launch pass: the caller may launch, and has not done so too often."""
    if not isinstance(who, User):
        return
    if _below_user(who):
        raise HTTPException(403, f"launching takes the role user; {who.name} has {who.role.name.lower()}")
    try:
        gateway.rate.take(who)
    except Refused as error:  # the service answers this, in its own way
        raise HTTPException(error.status, error.detail, dict(error.headers or {})) from error


def _listening(scope: Scope) -> str | None:
    """Where the gateway listens, as its own socket says."""
    host, port = scope.get("server") or (None, None)
    if host is None or port is None:
        return None
    return f"{scope['scheme']}://{f'[{host}]' if ':' in host else host}:{port}"


def _user_of(scope: Scope) -> str | None:
    return getattr(scope.get("state", {}).get("user"), "name", None)


def _may_see(scope: Scope, owner: str | None) -> bool:
    user = scope.get("state", {}).get("user")
    return bool(user.may_see(owner)) if hasattr(user, "may_see") else True


class MountedFlow(RemoteFlow):
    """A flow behind an endpoint of a service in this process, which is asked without HTTP, as the user who launches.

    Attributes
    ----------
    mounted : Mounted
        The service.
    """

    mounted: Mounted

    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(transport=_in_process(self.mounted, User(self.user or getpass.getuser(), Role.USER)))


def _in_process(mounted: Mounted, user: User) -> httpx.BaseTransport:
    import httpx

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        await mounted({**scope, "state": {"user": user}, _ADMITTED: True}, receive, send)

    async def ask(request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(known, root_path=mounted.path, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            # the answer was read and decoded here, and is one piece
            answer = await client.request(request.method, request.url, headers=request.headers, content=request.content)
            kept = [(key, value) for key, value in answer.headers.items() if key not in _OF_THE_TRANSFER]
            return httpx.Response(answer.status_code, headers=kept, content=answer.content, request=request)

    class InProcess(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.read()
            held = services.here.get(mounted.path)
            return services.blocking(ask(request), held[1]) if held else asyncio.run(ask(request))

    return InProcess()


def services_of(sources: Iterable[str]) -> dict[str, Mounted]:
    """Services to mount, by their path ``/services/<name>``, the name made of the module's.

    Parameters
    ----------
    sources
        ``package.module:app`` each; ``package.module:app=/path`` says where.

    Raises
    ------
    FlowError
        There is no such application, or two have one path.
    """
    found: dict[str, Mounted] = {}
    for given in sources:
        source, _, path = given.partition("=")
        where = "/" + (path or f"services/{_slug(source)}").strip("/")
        if where in found:
            raise FlowError(f"{source!r} and {found[where].source!r} are both to be at {where}; say `{source}=/path`")
        found[where] = Mounted(source, where, load_app(source))
    return found


def load_app(source: str) -> Any:
    """The ASGI application at ``package.module:app``, found as Python finds modules from here.

    Raises
    ------
    FlowError
        Nothing there, or something else. Errors of the module itself pass through.
    """
    module, colon, name = source.partition(":")
    if not colon or not module or not name:
        raise FlowError(f"{source!r} names no application; expected package.module:app")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise FlowError(f"no module {error.name!r} for application {source!r}; looked in {sys.path}") from error
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            apps = [key for key, value in vars(found).items() if isinstance(value, Starlette)]
            listed = f"; it has the applications: {', '.join(apps)}" if apps else ""
            raise FlowError(f"module {module!r} has no {name!r}{listed}")
        found = getattr(found, part)
    if type(found).__module__.startswith("ray.serve"):
        raise FlowError(f"{source!r} is a deployment of Ray Serve; name its ServeAPI, or use `kodosumi-lab deploy`")
    if not callable(found):
        raise FlowError(f"{source!r} is a {type(found).__name__}; expected an ASGI application such as a ServeAPI")
    return found


def _slug(source: str) -> str:
    module, _, name = source.partition(":")
    parts = [part for part in (*module.split("."), name) if part not in ("app", "main", "service", "query", "")]
    return re.sub(r"[^a-z0-9-]+", "-", (parts[-1] if parts else source).lower()).strip("-")
