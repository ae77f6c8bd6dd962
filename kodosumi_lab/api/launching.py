"""``Launch``: the answer of an endpoint that starts a run.

The run is submitted the moment ``Launch`` is called. In an ``async def`` endpoint a thread
does that, so that the service goes on answering others meanwhile; whoever sends the response
awaits it first, so nobody is told of a run that was not started.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from kodosumi_lab.compat import KODOSUMI_VERSION
from kodosumi_lab.runtime.launch import Origin, launch_sent, new_id
from kodosumi_lab.runtime.services import ANONYMOUS, LAUNCH_HEADER, RUN_HEADER, URL_HEADER, URL_VARIABLE

if TYPE_CHECKING:
    from kodosumi_lab.runtime.run import Run

__all__ = ["LOG_DIR", "Launch", "Launched", "address_of"]

logger = logging.getLogger(__name__)

#: Environment variable that tells a deployed service which event log is its cluster's.
LOG_DIR = "KODOSUMI_LAB_LOG_DIR"

_TIME_ORDERED = 7
# A launch is repeated under its id for as long as a gateway keeps the key; clocks may differ a little.
_REPEATED_S, _AHEAD_S = 24 * 3600.0, 60.0

_X = {"author": "x-author", "organization": "x-organization", "version": "x-version"}


class Launched(JSONResponse):
    """Response ``{"fid": …}`` of a launch, with the header ``kodosumi_launch``.

    Attributes
    ----------
    fid : str
        Id of the run.
    """

    def __init__(self, fid: str, work: asyncio.Future[Run] | None) -> None:
        super().__init__({"fid": fid}, headers={LAUNCH_HEADER: fid})
        self.fid = fid
        self._work = work

    async def started(self) -> str:
        """The run's id, once its launch is durable.

        Raises
        ------
        KodosumiLabError
            It could not be started.
        """
        if self._work is not None:
            await asyncio.shield(self._work)
        return self.fid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, once the launch is durable."""
        await self.started()
        await super().__call__(scope, receive, send)


def Launch(  # noqa: N802 - kodosumi's name for it, and it makes a response
    request: Request,
    entry_point: Any,
    inputs: Any = None,
    reference: Callable[..., Any] | None = None,
    summary: str | None = None,
    description: str | None = None,
) -> Launched:
    """Start a run, from an endpoint.

    Parameters
    ----------
    request
        The endpoint's.
    entry_point
        ``"package.module:name"``, ``"package.module.name"``, a function, a crew, or a flow.
    inputs
        Any value, often a dict or a pydantic model; the entrypoint gets it as it is. Texts that
        were entered in a password element of the endpoint's form are kept in no file, and files that
        were uploaded for it are in the run's ``in/`` before it starts.
    reference
        The endpoint function whose summary, tags, author and so on describe the run; by default
        the one that is being called.
    summary, description
        In place of the endpoint's.

    Returns
    -------
    Launched
        For the endpoint to return.

    Raises
    ------
    FlowError, InputsError, ClusterError
        The run cannot be started. In an ``async def`` endpoint the response raises them.
    HTTPException
        Behind our gateway: the caller may not launch, or has done so too often.
    """
    fid = _given_id(request) or new_id()
    about = {**_about(request, reference), **_caller(request), "fid": fid, "kodosumi": KODOSUMI_VERSION}
    about["entry_point"] = entry_point if isinstance(entry_point, str) else _name(entry_point)
    about |= {key: value for key, value in (("summary", summary), ("description", description)) if value is not None}
    sent = {"secret": getattr(request.state, "secrets", ()), "batches": getattr(request.state, "batches", ())}

    admit: Callable[[], None] | None = request.scope.get("kodosumi_lab.admit")
    if admit is not None:
        admit()
    origin = Origin(run_id=fid, about=about, connection=request.scope.get("kodosumi_lab.connect"))

    def work() -> Run:
        return launch_sent(entry_point, inputs, origin, runtime_env=_own_env(), **sent)

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # an endpoint that is no coroutine has a thread of its own
        work()
        return Launched(fid, None)
    task = loop.create_task(asyncio.to_thread(work))
    task.add_done_callback(_log_failure)
    return Launched(fid, task)


def _given_id(request: Request) -> str | None:
    """The id that who asks wants the run to have: only one that a gateway can have drawn for this request."""
    given = request.headers.get(RUN_HEADER)
    # an endpoint may launch several runs: the first one is meant
    if given is None or getattr(request.state, "run_id_taken", False):
        return None
    request.state.run_id_taken = True
    try:
        found = uuid.UUID(given)
    except ValueError:
        return None
    age = time.time() - (found.int >> 80) / 1000
    return str(found) if found.version == _TIME_ORDERED and -_AHEAD_S < age < _REPEATED_S else None


def _log_failure(task: asyncio.Task[Run]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a run was not started", exc_info=task.exception())


def _name(entry: Any) -> str:
    target = getattr(entry, "target", entry)
    return f"{getattr(target, '__module__', '')}:{getattr(target, '__qualname__', type(target).__qualname__)}"


def _caller(request: Request) -> dict[str, Any]:
    """Who launched it, and from where."""
    user = str(getattr(request.state, "user", ANONYMOUS))
    handlers = sorted({*getattr(request.app, "locks", ()), *getattr(request.app, "leases", ())})
    return {
        "user": user,
        "username": user,
        "app_url": address_of(request.scope),
        "panel_url": request.headers.get(URL_HEADER),
        "launched_by": request.app.title,
        **({"handlers": handlers} if handlers else {}),
    }


def address_of(scope: Scope) -> str:
    """Where the service is: never what a client's ``Host`` says, which could be anywhere.

    Behind our gateway the path at which it is mounted; else where it listens, or what its environment says.
    """
    mounted: str | None = scope.get("kodosumi_lab.path")
    if mounted is not None:
        return mounted
    given = os.environ.get(URL_VARIABLE)
    if given:
        return given.rstrip("/")
    host, port = scope.get("server") or ("127.0.0.1", None)
    place = f"[{host}]" if ":" in host else host
    usual = port in (None, {"http": 80, "https": 443}.get(scope["scheme"]))
    return f"{scope['scheme']}://{place}{'' if usual else f':{port}'}{scope.get('root_path', '')}"


def _about(request: Request, reference: Callable[..., Any] | None) -> dict[str, Any]:
    """What the endpoint says of itself."""
    route = request.scope.get("route")
    if reference is not None:
        # a GET comes first; of `enter` both say the same
        route = next((one for one in request.app.routes if _is_of(one, reference)), None)
    extra = getattr(route, "openapi_extra", None) or {}
    return {
        "summary": getattr(route, "summary", None) or "",
        "description": getattr(route, "description", None) or "",
        "tags": [str(tag) for tag in getattr(route, "tags", None) or ()],
        "deprecated": bool(getattr(route, "deprecated", False)),
        **{name: extra.get(key) or "" for name, key in _X.items()},
    }


def _is_of(route: BaseRoute, function: Callable[..., Any]) -> bool:
    endpoint = getattr(route, "endpoint", None)
    own = inspect.unwrap(endpoint) if endpoint is not None else None
    # an app that was pickled with its endpoints by value holds copies of them
    same = [getattr(one, name, None) for one in (own, function) for name in ("__module__", "__qualname__")]
    return own is function or (own is not None and same[:2] == same[2:])


def _own_env() -> dict[str, Any] | None:
    """Runtime environment of this process where Ray gave it one: a deployment's packages are its runs' too."""
    import ray

    if not ray.is_initialized():
        return None
    env = dict(ray.get_runtime_context().runtime_env)
    # which log it is, every Runner knows; what is left must be worth a process of its own for each run
    env["env_vars"] = {key: value for key, value in (env.get("env_vars") or {}).items() if key != LOG_DIR}
    kept = {key: value for key, value in env.items() if value and not key.startswith("_") and key != "config"}
    return kept or None
