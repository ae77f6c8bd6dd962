"""Routes that act: launch, cancel, answer. They need the cluster that writes the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import CurrentUser, Launcher
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.reading import RunRow, run_row
from kodosumi_lab.errors import (
    FlowError,
    InputsError,
    LockClosed,
    RunNotFound,
    ServiceError,
    UploadError,
    UploadNotFound,
)
from kodosumi_lab.runtime.launch import Origin
from kodosumi_lab.runtime.remote import ForeignRun
from kodosumi_lab.runtime.run import Run

__all__ = ["CREATED", "Key", "answer", "cancel", "launch", "router", "start", "started"]

router = APIRouter()

Key = Annotated[
    str | None,
    Header(
        alias="idempotency-key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$",
        description="the same key with the same body is the same run, for 24 hours",
    ),
]  # fmt: skip


class LaunchBody(BaseModel):
    """What to launch with."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = Field(default_factory=dict, description="by name, as the flow's schema says")
    form: dict[str, Any] | None = Field(None, description="instead: what was entered, by element name")
    batches: list[str] = Field(default_factory=list, max_length=100, description="uploads for the run's in/")

    @model_validator(mode="after")
    def _one_of_them(self) -> LaunchBody:
        if self.form is not None and self.inputs:
            raise ValueError("inputs and form are two ways to say the same; give one")
        if self.form is not None and self.batches:
            raise ValueError("batches go with inputs; a form names its uploads in its file elements")
        return self


class Valid(BaseModel):
    """The inputs fit."""

    valid: Literal[True] = True


class CancelBody(BaseModel):
    """How to cancel."""

    model_config = ConfigDict(extra="forbid")

    grace_s: float | None = Field(None, ge=0, le=86_400, description="seconds before the flow's process is killed")


class Cancelled(BaseModel):
    """What came of cancelling."""

    run_id: str
    cancelled: bool = Field(description="false: it had ended already, which is no error")


class AnswerBody(BaseModel):
    """An answer to a lock."""

    model_config = ConfigDict(extra="forbid")

    result: Any = Field(None, description="the value for the flow")


class Answered(BaseModel):
    """Whose answer counts."""

    run_id: str
    lid: str
    by: str


class Elsewhere(BaseModel):
    """A run that a service has started, but whose events are in its own log."""

    run_id: str
    flow: str
    url: str = Field(description="the endpoint that started it")
    detail: str


#: For the OpenAPI document, of routes that start a run.
CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": RunRow, "description": "It was started before, by the same key"},
    202: {"model": Elsewhere, "description": "It was started by a service that writes to another log"},
    201: {"headers": {"location": {"schema": {"type": "string"}, "description": "the run"}}},
}


@router.post("/flows/{name:path}/launch", tags=["flows"], status_code=201, responses=CREATED, response_model=RunRow)
async def launch_flow(
    name: str, body: LaunchBody, gateway: GatewayOf, user: Launcher, response: Response, key: Key = None
) -> Any:
    """Start a run. It is in the log when this answers."""
    given, entered = (body.inputs, False) if body.form is None else (body.form, True)

    def begin(origin: Origin) -> Run | ForeignRun:
        return launch(gateway, user, name, given, origin, entered=entered, batches=body.batches)

    about = ["launch", name, entered, given, *body.batches]
    return await gateway.act(started, gateway, user, key, about, begin, response)


@router.post("/flows/{name:path}/validate", tags=["flows"])
def validate_flow(name: str, body: LaunchBody, gateway: GatewayOf, user: CurrentUser) -> Valid:
    """Check inputs, or what was entered in the form, without starting anything."""
    gateway.catalogue.check(name, body.inputs if body.form is None else body.form, entered=body.form is not None)
    return Valid()


def launch(
    gateway: Gateway,
    user: User,
    name: str,
    inputs: dict[str, Any],
    origin: Origin,
    *,
    entered: bool = False,
    batches: Sequence[str] = (),
) -> Run | ForeignRun:
    """Start a run of a flow for a user, within the rate that is allowed.

    Raises
    ------
    FlowNotFound, InputsError
        Nothing was started.
    UploadNotFound
        A batch is not the user's; nothing was started.
    ClusterError
        There is no cluster, or it does not answer.
    """
    # what does not fit is told without a cluster
    named = gateway.catalogue.check(name, inputs, entered=entered)
    taken = list(dict.fromkeys([*batches, *named]))
    gateway.claim(taken, user)
    if gateway.catalogue.needs_cluster(name):
        gateway.cluster.connection()
    gateway.rate.take(user)
    return gateway.catalogue.launch(name, inputs, origin, entered=entered, batches=taken)


def started(
    gateway: Gateway,
    user: User,
    key: str | None,
    body: Any,
    begin: Callable[[Origin], Run | ForeignRun],
    response: Response,
) -> RunRow | JSONResponse:
    """Begin a run and answer with its row; blocks."""
    run, fresh = start(gateway, user, key, body, begin)
    if isinstance(run, ForeignRun):
        told = Elsewhere(run_id=run.id, flow=run.flow.name, url=run.flow.url, detail=repr(run))
        return JSONResponse(told.model_dump(), 202)
    response.headers["location"] = f"/api/v1/runs/{run.id}"
    if not fresh:
        response.status_code = 200
    return RunRow.model_validate(run_row(gateway.log.run(run.id)))


def start(
    gateway: Gateway,
    user: User,
    key: str | None,
    body: Any,
    begin: Callable[[Origin], Run | ForeignRun],
    via: str = "http",
) -> tuple[Run | ForeignRun, bool]:
    """Begin a run, once for each key; whether this call did it."""
    if key is None:
        return begin(Origin(user.name, via)), True
    with gateway.keys.held(user.name, key, body) as run_id:
        try:
            gateway.log.run(run_id)
        except (RunNotFound, ValueError):  # a service's ids may be of another kind
            _not_twice(gateway.keys.noted(user.name, key), run_id)
        else:
            return Run(run_id, log_dir=gateway.log.root), False
        try:
            run = begin(Origin(user.name, via, run_id, asking=lambda url: gateway.keys.ask(user.name, key, url)))
        except (InputsError, FlowError, RunNotFound, UploadError, UploadNotFound, Refused):
            gateway.keys.forget(user.name, key)
            raise
        except ServiceError as error:
            if not error.unsure:
                gateway.keys.forget(user.name, key)
            raise
        if run.id != run_id:  # a service draws its own ids
            gateway.keys.settle(user.name, key, run.id)
        return run, True


def _not_twice(noted: dict[str, Any], run_id: str) -> None:
    """Whether the launch may be made again, that a service was asked for and whose run is not in the log."""
    if noted.get("settled"):
        told = f"run {run_id} was started under this key by a service that writes to another log"
        raise Refused(409, "elsewhere", told, run_id=run_id)
    if noted.get("asked"):
        told = (
            f"the service at {noted['asked']} was asked to start a run under this key, and its answer never came: "
            "whether it did is not known here; look at its runs, and draw a new key to launch once more"
        )
        raise Refused(409, "launch-unknown", told, url=noted["asked"])


@router.post("/runs/{run_id}/cancel", tags=["runs"])
async def cancel_run(run_id: str, gateway: GatewayOf, user: Launcher, body: CancelBody | None = None) -> Cancelled:
    """End the run; it stays in the log, as `cancelled`. A run that has ended is left as it is."""
    return await gateway.act(cancel, gateway, user, run_id, body.grace_s if body is not None else None)


def cancel(gateway: Gateway, user: User, run_id: str, grace_s: float | None) -> Cancelled:
    """Cancel a run for a user.

    Raises
    ------
    RunNotFound
        There is none that the user may see.
    ClusterError
        It cannot be reached.
    """
    row = gateway.row(run_id, user)
    if row["ended"] is not None:
        return Cancelled(run_id=run_id, cancelled=False)
    gateway.cluster.connection()
    return Cancelled(run_id=run_id, cancelled=gateway.run_of(row).cancel(grace_s=grace_s, by=user.name))


@router.delete("/runs/{run_id}", tags=["runs"], status_code=204)
async def delete_run(run_id: str, gateway: GatewayOf, user: Launcher) -> None:
    """Take an ended run out of the log, for good. Others' runs take the role admin."""
    await gateway.act(_delete, gateway, user, run_id)


def _delete(gateway: Gateway, user: User, run_id: str) -> None:
    row = gateway.row(run_id, user)
    if row["user"] != user.name and user.role < Role.ADMIN:
        raise Refused(403, "forbidden", f"run {run_id} is {row['user']}'s: deleting it takes the role admin")
    gateway.run_of(row).delete(by=user.name)
    gateway.audit.note(user.name, "http", "delete_run", "ok", run_id=run_id)


@router.post("/runs/{run_id}/locks/{lid}", tags=["locks"])
async def answer_lock(run_id: str, lid: str, body: AnswerBody, gateway: GatewayOf, user: Launcher) -> Answered:
    """Answer a lock; the first answer counts, the next one is told who gave it."""
    await gateway.act(answer, gateway, user, run_id, lid, body.result)
    return Answered(run_id=run_id, lid=lid, by=user.name)


def answer(gateway: Gateway, user: User, run_id: str, lid: str, result: Any) -> None:
    """Answer a lock for a user.

    Raises
    ------
    Refused
        404: the run has had no such lock.
    LockClosed
        Somebody was first, it expired, or the run has ended.
    """
    row = gateway.row(run_id, user)
    _, lease = gateway.lock(run_id, lid)
    if lid not in {str(lock["lid"]) for lock in row["locks"]}:
        raise _closed(run_id, lid, lease)
    gateway.cluster.connection()
    try:
        gateway.run_of(row).answer(result, lock=lid, by=user.name)
    except LookupError as error:  # it was closed a moment ago
        raise _closed(run_id, lid, gateway.lock(run_id, lid)[1]) from error


def _closed(run_id: str, lid: str, lease: dict[str, Any] | None) -> LockClosed:
    if lease is None:
        return LockClosed(f"lock {lid} of run {run_id} is closed: its run or its attempt has ended")
    who = "it expired" if lease.get("expired") else f"{lease.get('by')} answered it first"
    return LockClosed(f"lock {lid} of run {run_id} is closed: {who}", lease.get("by"))
