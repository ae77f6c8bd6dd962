"""Services inside the gateway's process: found by name, mounted below a path, told who calls.

The gateway guards its mounted applications like its own routes; a service behind it sees the
authenticated user, and what a client writes into kodosumi's headers counts for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from kodosumi_lab.errors import FlowError
from kodosumi_lab.runtime import services
from kodosumi_lab.runtime.services import BASE_HEADER, URL_HEADER, USER_HEADER

__all__ = ["Mounted", "lifespans", "load_app", "mount"]

_OURS = {name.encode() for name in (USER_HEADER, BASE_HEADER, URL_HEADER)}


@dataclass(frozen=True)
class Mounted:
    """A service in this process.

    Attributes
    ----------
    source
        ``package.module:app``.
    path
        Below which it answers; ``<path>/openapi.json`` describes it.
    app
        The application.
    """

    source: str
    path: str
    app: Any

    @property
    def openapi(self) -> str:
        """Path of its OpenAPI document, for the Register."""
        return self.path + (getattr(self.app, "openapi_url", None) or "/openapi.json")


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


def mount(
    gateway: Starlette,
    source: str | tuple[str, Any],
    *,
    path: str | None = None,
    user_of: Callable[[Scope], str | None],
    token_file: Path | None = None,
) -> Mounted:
    """Mount a service on the gateway.

    Parameters
    ----------
    gateway
        Its application; it authenticates before its routes.
    source
        ``package.module:app``, or a name and the application itself.
    path
        Below which it answers; ``/services/<name>`` by default, made of the module's name.
    user_of
        The authenticated user's name, from the ASGI scope of a request; None where nobody is known.
    token_file
        File with the token with which this machine's person is let in, recorded with each
        run so that ``Run.answer`` finds its way from a notebook.

    Returns
    -------
    Mounted

    Raises
    ------
    FlowError
        There is no such application, or the path is taken.
    """
    name, app = source if isinstance(source, tuple) else (source, load_app(source))
    where = "/" + (path or f"services/{_slug(name)}").strip("/")
    if any(isinstance(route, Mount) and route.path == where for route in gateway.routes):
        raise FlowError(f"{name!r} cannot be mounted at {where}: another service is there; name another path")
    if token_file is not None and hasattr(app, "state"):
        app.state.gateway_token = str(token_file)
    gateway.mount(where, _Behind(app, user_of), name=name)
    return Mounted(name, where, app)


def _slug(source: str) -> str:
    module, _, name = source.partition(":")
    parts = [part for part in (*module.split("."), name) if part not in ("app", "main", "service", "query", "")]
    return re.sub(r"[^a-z0-9-]+", "-", (parts[-1] if parts else source).lower()).strip("-")


class _Behind:
    """A service as the gateway calls it: kodosumi's headers are the gateway's, not the client's."""

    def __init__(self, app: ASGIApp, user_of: Callable[[Scope], str | None]) -> None:
        self._app, self._user_of = app, user_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            user = self._user_of(scope)
            kept = [(key, value) for key, value in scope["headers"] if key.lower() not in _OURS]
            base = scope.get("root_path", "").encode()
            told = [(BASE_HEADER.encode(), base), (USER_HEADER.encode(), (user or "").encode())]
            scope = {**scope, "headers": kept + told, "kodosumi_lab.user": user or services.ANONYMOUS}
        await self._app(scope, receive, send)


@contextlib.asynccontextmanager
async def lifespans(mounted: Iterable[Mounted]) -> AsyncIterator[None]:
    """Run the services' own start and end, for the gateway's lifespan; meanwhile locks find them in this process."""
    async with contextlib.AsyncExitStack() as stack:
        for one in mounted:
            lifespan = getattr(getattr(one.app, "router", None), "lifespan_context", None)
            if lifespan is not None:
                await stack.enter_async_context(lifespan(one.app))
            services.here[one.path] = (one.app, asyncio.get_running_loop())
            stack.callback(services.here.pop, one.path, None)
        yield
