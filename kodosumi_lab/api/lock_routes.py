"""``/_lock_/{fid}/{lid}``: how a person sees and answers a lock whose handlers a service declares.

The handlers run here, in the service; the answer is appended afterwards, so a handler that
raises leaves the lock open.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse

from kodosumi_lab.api.handling import ANSWER, BODY, ELEMENTS, call_with, form_values, refill
from kodosumi_lab.api.launching import address_of
from kodosumi_lab.errors import ClusterError, InputsError, LockClosed, RunNotFound
from kodosumi_lab.events import dumps
from kodosumi_lab.forms import Model
from kodosumi_lab.runtime import locks
from kodosumi_lab.runtime.run import Run, event_log

if TYPE_CHECKING:
    from kodosumi_lab.api.service import ServeAPI

__all__ = ["add"]

logger = logging.getLogger(__name__)

_PATH = "/_lock_/{fid}/{lid}"
_FAILED: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such lock is open"},
    500: {"description": "The service's handler failed; the lock stays open"},
    503: {"description": "The cluster cannot be reached; the lock stays open"},
}


def _ok(description: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"application/json": {"schema": schema}}}}


def add(app: ServeAPI) -> None:
    """Give a service the two routes."""
    shown = {**_ok("The form", ELEMENTS), **_FAILED}

    @app.get(_PATH, tags=["Locks"], summary="Form of a lock", responses=shown, response_model=None)
    async def show_lock(fid: str, lid: str, request: Request) -> list[dict[str, Any]]:
        """The bare list of the form's elements."""
        _, said = await _find(request, fid, lid)
        return (await _form(request, said)).get_model()

    @app.post(
        _PATH,
        tags=["Locks"],
        summary="Answer a lock",
        responses={
            **_ok("Answered, or the values do not fit", ANSWER),
            **_FAILED,
            409: {"description": "Somebody answered first"},
            422: {"description": "The body is no JSON object"},
        },
        response_model=None,
        openapi_extra={"requestBody": BODY},
    )
    async def answer_lock(fid: str, lid: str, request: Request) -> Any:
        """Hand in form values; the flow gets what the service makes of them."""
        return await _answer(fid, lid, request)


async def _answer(fid: str, lid: str, request: Request) -> Any:
    values = await form_values(request)
    run, said = await _find(request, fid, lid)
    form = await _form(request, said)
    shown, hidden = form.get_model(), form.secret_texts(values)
    errors = await asyncio.to_thread(form.check, values)  # a pattern takes its time
    result: Any = None
    if not errors:
        lease = request.app.leases.get(said["name"])
        result = form.parse(values)
        try:
            if lease is not None:
                result = await call_with(lease, inputs=result, data=said.get("data"), request=request)
        except InputsError as error:
            errors = error.messages
        except HTTPException:
            raise
        except Exception as error:
            logger.exception("lease %r of run %s failed; the lock stays open", said["name"], fid)
            raise HTTPException(500, f"{type(error).__name__}: {error}; the lock stays open") from error
    if errors:
        return {"errors": {"_global_": []} | errors, "elements": refill(form, values)}
    by = str(request.state.user)
    try:
        await asyncio.to_thread(_give, request, run, lid, result, by, form=shown, hidden=hidden)
    except LockClosed as error:
        return JSONResponse({"detail": str(error), "by": error.by}, 409)
    except ClusterError as error:
        raise HTTPException(503, str(error)) from error
    return {"result": json.loads(dumps(result)), "elements": refill(form, values)}


async def _find(request: Request, fid: str, lid: str) -> tuple[Run, dict[str, Any]]:
    try:
        return await asyncio.to_thread(_look, fid, lid, request)
    except (RunNotFound, LookupError, ValueError):
        raise HTTPException(404, f"run {fid} has no open lock {lid}") from None


def _look(fid: str, lid: str, request: Request) -> tuple[Run, dict[str, Any]]:
    log = event_log(request.scope.get("kodosumi_lab.log_dir"))
    run = Run(fid, log_dir=log.root)
    if log.run(fid)["hidden"] or not any(lock["lid"] == lid for lock in run.locks):
        raise LookupError(lid)
    may_see: Callable[[str | None], bool] | None = request.scope.get("kodosumi_lab.may_see")
    if may_see is not None and not may_see(run.meta.get("user")):
        raise LookupError(lid)  # not even that it is there is told
    if not _same_service(str(run.meta.get("app_url")), address_of(request.scope)):
        raise LookupError(lid)  # another's: its handlers are not ours, though their names may be
    return run, locks.payload_of(run, lid)


def _same_service(launched: str, here: str) -> bool:
    """Whether two addresses are one service's; a machine has several names."""
    one, other = urlsplit(launched), urlsplit(here)
    return (bool(one.netloc), one.port, one.path.rstrip("/")) == (
        bool(other.netloc),
        other.port,
        other.path.rstrip("/"),
    )


def _give(request: Request, run: Run, *args: Any, **options: Any) -> None:
    connect: Callable[[], Any] | None = request.scope.get("kodosumi_lab.connect")
    if connect is not None:  # the gateway's own cluster, whatever else this process is on
        connect()
    locks.give(run, *args, **options)


async def _form(request: Request, said: dict[str, Any]) -> Model:
    """The form that the service shows for a lock."""
    handler = request.app.locks.get(said["name"])
    if handler is None:
        if said.get("form") is None:
            raise HTTPException(404, f"this service declares no lock {said['name']!r}, and it has no form of its own")
        return Model.model_validate(said["form"]).without_secrets()
    try:
        form = await call_with(handler, data=said.get("data"), request=request)
    except HTTPException:
        raise
    except Exception as error:
        logger.exception("lock handler %r failed", said["name"])
        raise HTTPException(500, f"{type(error).__name__}: {error}") from error
    if not isinstance(form, Model):
        raise HTTPException(500, f"lock handler {said['name']!r} returned a {type(form).__name__}; expected a Model")
    return Model.model_validate(form.get_model()).without_secrets()
