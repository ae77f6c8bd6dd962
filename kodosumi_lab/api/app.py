"""``create_app``: the gateway as one FastAPI application.

The order of a request: CORS (closed unless configured), who is calling, how long the body
is, then the route. Every answer that is an error is a problem (:mod:`.problems`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import kodosumi_lab
from kodosumi_lab import settings as settings_module
from kodosumi_lab.api import (
    acting,
    assets,
    filing,
    following,
    health,
    login,
    metrics,
    problems,
    reading,
    registering,
    rerunning,
    sweeps,
    viewing,
)
from kodosumi_lab.api.catalogue import Catalogue
from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.guard import BodyLimit, Guard
from kodosumi_lab.api.identity import Identity, TokenFile, from_settings
from kodosumi_lab.api.joining import Cluster
from kodosumi_lab.api.registered import RegisterCatalogue
from kodosumi_lab.api.sessions import Sessions
from kodosumi_lab.runtime.run import event_log
from kodosumi_lab.settings import Settings

if TYPE_CHECKING:
    from kodosumi_lab.api.agents import Agents

__all__ = ["PREFIX", "PUBLIC", "create_app"]

logger = logging.getLogger(__name__)

PREFIX = "/api/v1"
_UNSAID = "http://localhost"
#: What anybody may ask: nothing but whether the gateway is there.
PUBLIC = (f"{PREFIX}/health", f"{PREFIX}/ready")


def create_app(
    *,
    log_dir: str | Path | None = None,
    flows: Iterable[str] = (),
    catalogue: Catalogue | None = None,
    identity: Identity | None = None,
    address: str | None = None,
    cluster: Cluster | None = None,
    settings: Settings | None = None,
    mounts: Mapping[str, ASGIApp] | None = None,
    pages: Iterable[str] = (),
    routers: Iterable[APIRouter] = (),
    url: str = _UNSAID,
    mcp: bool = True,
) -> FastAPI:
    """Make the gateway.

    Parameters
    ----------
    log_dir
        The event log; the setting's by default.
    flows
        Modules that are imported here so that their flows can be launched, as ``package.module``, beside those of
        the log's Flow Register and of services among the `mounts`; not with `catalogue`.
    catalogue
        Another provider of flows.
    identity
        Another way to tell who is calling than the settings say.
    address
        Ray address, for launching and acting; the cluster that writes the log by default.
    cluster
        In place of `address`: another way to the cluster.
    settings
        In place of those of the environment.
    mounts
        Further applications by path, such as services and a dashboard. They stand behind the
        same authentication; the user is in ``request.state.user``.
    pages
        Paths among the `mounts` that people read with a browser: they sign in at ``/login``, and a cookie
        says who they are, over the API as well.
    routers
        Further routes under ``/api/v1``.
    url
        Where others reach this gateway.
    mcp
        Whether agents may speak MCP to it.

    Returns
    -------
    FastAPI
        With ``state.gateway``, and ``state.token_file`` where a token was generated.

    Raises
    ------
    SettingsError
        A setting cannot be used.
    FlowError
        A module cannot be imported.
    """
    held, pages = settings or settings_module.load(log_dir=log_dir), tuple(pages)
    held.log_dir = _as_the_cluster_writes_it(held)
    who = identity or from_settings(held)
    sessions = Sessions(who, held.log_dir / "state", held.gateway_cors_origins) if pages else None
    found = catalogue or RegisterCatalogue(held.log_dir, flows, mounts=mounts, url=url)
    gateway = Gateway(event_log(held.log_dir), held, found, cluster or Cluster(held.log_dir, address))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(gateway.open())
            if agents is not None:
                await stack.enter_async_context(agents.open())
            for mounted in (mounts or {}).values():
                inner = getattr(mounted, "router", None)  # Starlette does not start what is mounted
                if inner is not None:
                    await stack.enter_async_context(inner.lifespan_context(mounted))
            yield

    agents = _agents(gateway) if mcp else None
    # no docs pages: FastAPI's load their scripts from elsewhere
    app = FastAPI(
        title="Kodosumi Lab", version=kodosumi_lab.__version__, lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json", docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.gateway = gateway
    app.state.url = url if url != _UNSAID else None
    app.state.token_file = who.ensure() if isinstance(who, TokenFile) else None
    problems.install(app)
    documented = [Depends(HTTPBearer(auto_error=False, description="the gateway's token"))]
    app.include_router(health.router, prefix=PREFIX)
    for router in (
        reading.router, viewing.router, following.router, assets.router, acting.router, rerunning.router,
        registering.router, filing.router, sweeps.router, *routers,
    ):  # fmt: skip
        app.include_router(router, prefix=PREFIX, dependencies=documented, responses=problems.RESPONSES)
    app.include_router(filing.kodosumi, dependencies=documented, responses=problems.RESPONSES)
    app.include_router(metrics.router, dependencies=documented, responses=problems.RESPONSES)
    if agents is not None:
        app.router.routes.append(Route("/mcp", agents))
    for path, mounted in (mounts or {}).items():
        app.mount(path, mounted)
        if hasattr(mounted, "carrier"):
            mounted.carrier = app
    if sessions is not None:
        app.state.sessions = sessions
        app.include_router(login.router)
        app.router.routes += [Route(path, _with_slash) for path in pages]
    public = (*PUBLIC, *login.PATHS) if sessions is not None else PUBLIC
    app.state.metrics = metrics.Metrics(gateway)
    # the last one added is the first that a request meets
    app.add_middleware(BodyLimit, limit=held.gateway_body_bytes)
    app.add_middleware(Guard, identity=sessions or who, public=public, pages=pages)
    app.add_middleware(metrics.Measured, metrics=app.state.metrics)
    if held.gateway_cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=held.gateway_cors_origins, allow_methods=["*"], allow_headers=["*"],
            expose_headers=["etag", "x-last-seq", "x-next", "x-offset", "x-total", "x-version"],
        )  # fmt: skip
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _with_slash(request: Request) -> Response:
    """To the page itself, by a relative way, since a proxy in front may have taken a prefix away."""
    query = f"?{request.url.query}" if request.url.query else ""
    return Response(status_code=307, headers={"location": request.url.path.rpartition("/")[2] + "/" + query})


def _agents(gateway: Gateway) -> Agents | None:
    """MCP, where its SDK is of version 2: CrewAI, for one, brings version 1 into an environment."""
    try:
        from kodosumi_lab.api.agents import Agents
    except ImportError as error:
        logger.warning("no MCP here, since its SDK is older than version 2: %s", error)
        return None
    return Agents(gateway)


def _as_the_cluster_writes_it(held: Settings) -> Path:
    """The background cluster's log unless another one is asked for: its actors are named after the path."""
    from kodosumi_lab.runtime import background

    found = background.find()
    if found is None:
        return held.log_dir
    same = Path(found["log_dir"]).resolve() == held.log_dir.resolve()
    return Path(found["log_dir"]) if same or "log_dir" not in held.model_fields_set else held.log_dir


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the schema of a problem, which no route names as its answer."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, routes=app.routes, description=__doc__.partition("\n")[0]
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = problems.Problem.model_json_schema()
        for operations in document["paths"].values():
            for operation in operations.values():
                if "422" in operation["responses"]:  # FastAPI's own, which is a problem here
                    operation["responses"]["422"] = problems.RESPONSES["default"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema
