"""Routes that read: flows, runs, one run, events, locks, artifacts. None of them needs Ray."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from kodosumi_lab.api import rendering, tags
from kodosumi_lab.api.catalogue import FlowInfo
from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import Admin, CurrentUser
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.listing import SORTS, Listing
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.events import KINDS, STATUSES, arrow_schema, dumps, is_reference, loads, run_date
from kodosumi_lab.runtime import locks
from kodosumi_lab.runtime.fold import index_schema

__all__ = ["RunRow", "open_locks", "router", "run_row"]

router = APIRouter()

Status = Literal[STATUSES]  # type: ignore[valid-type]
Kind = Literal[KINDS]  # type: ignore[valid-type]
Sort = enum.StrEnum("Sort", {sign + name: sign + name for name in SORTS for sign in ("", "-")})  # type: ignore[misc]
_NEWEST_FIRST = Sort("-started")

# One page of a run's events in memory at a time, however many are asked for; JSON has one page, and `next`.
_PAGE, _PAGE_BYTES = 20_000, 8 * 2**20
_JSON_PAGE = 10_000


class Lock(BaseModel):
    """A point where a run waits for a person."""

    lid: str
    name: str | None
    ts: datetime.datetime = Field(description="since when")
    expires: datetime.datetime | None


class OpenLock(Lock):
    """A lock, with the run that waits at it."""

    run_id: str
    flow: str
    user: str


class RunRow(BaseModel):
    """How a run stands: a row of the log's index."""

    run_id: str
    flow: str
    status: Status
    reason: str
    started: datetime.datetime
    running: datetime.datetime | None
    ended: datetime.datetime | None
    updated: datetime.datetime
    progress: float | None = Field(description="0 to 1")
    progress_text: str | None
    result: str | None = Field(description="preview of the result")
    error: str | None
    attempt: int
    events: int
    nbytes: int
    last_seq: int
    active_s: float
    locks: list[Lock]
    user: str
    parent: str | None
    tags: list[str]
    summary: str
    author: str
    version: str
    entrypoint: str
    place: int | None = Field(None, description="place in the queue, from 1")


class RunPage(BaseModel):
    """One page of the run list."""

    items: list[RunRow]
    total: int = Field(description="runs that fit, on all pages")
    next: str | None = Field(description="cursor of the next page; null on the last one")


class RunDetail(RunRow):
    """A run, with what its launch recorded."""

    meta: dict[str, Any]
    inputs: dict[str, Any] = Field(description='JSON values; secrets read `{"secret": true}`')


class Outcome(BaseModel):
    """How a run ended, or that it has not."""

    run_id: str
    status: Status
    reason: str
    done: bool
    payload: Any = Field(description="the final event's payload: a MIME bundle; null when there is none")
    traceback: str | None


class EventPage(BaseModel):
    """Some events of a run."""

    items: list[dict[str, Any]]
    next: int | None = Field(description="`after` of the next page; null when this one has the newest event")


def run_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the index as JSON shows it."""
    held = row["locks"]
    locks = json.loads(held or "[]") if not isinstance(held, list) else held
    return {**row, "locks": [_lock(lock) for lock in locks]}


def _lock(lock: dict[str, Any]) -> dict[str, Any]:
    expires = lock.get("expires")
    return {
        "lid": str(lock["lid"]),
        "name": lock.get("name"),
        "ts": datetime.datetime.fromtimestamp(lock["ts"] / 1e6, datetime.UTC),
        "expires": datetime.datetime.fromtimestamp(expires, datetime.UTC) if expires else None,
    }


# -- flows ------------------------------------------------------------------------------


@router.get("/flows", tags=["flows"])
def list_flows(
    gateway: GatewayOf,
    search: Annotated[str | None, Query(max_length=1000, description="words that all occur, in any case")] = None,
) -> list[FlowInfo]:
    """All flows, by name, as their sources were read last."""
    return gateway.catalogue.flows(search)


@router.get("/flows/{name:path}/schema", tags=["flows"])
def get_schema(name: str, gateway: GatewayOf) -> dict[str, Any]:
    """JSON schema of the flow's inputs."""
    return gateway.catalogue.get(name).schema


@router.get("/flows/{name:path}/form", tags=["flows"])
def get_form(name: str, gateway: GatewayOf) -> list[dict[str, Any]]:
    """Elements of the flow's input form."""
    return gateway.catalogue.form(name)


@router.get("/flows/{name:path}", tags=["flows"])
def get_flow(name: str, gateway: GatewayOf) -> FlowInfo:
    """One flow as it is now, with the JSON schema of its inputs. Names of endpoints have slashes."""
    return gateway.catalogue.get(name)


# -- runs -------------------------------------------------------------------------------


@router.get(
    "/runs", tags=["runs"], response_model=RunPage,
    responses={200: {"content": rendering.content({"$ref": "#/components/schemas/RunPage"})}, **tags.NOT_MODIFIED},
)  # fmt: skip
def list_runs(
    gateway: GatewayOf,
    user: CurrentUser,
    response: Response,
    status: Annotated[list[Status] | None, Query()] = None,
    flow: Annotated[list[str] | None, Query()] = None,
    by: Annotated[list[str] | None, Query(alias="user")] = None,
    tag: Annotated[list[str] | None, Query(description="all of them")] = None,
    parent: Annotated[str | None, Query(description="child runs of this one")] = None,
    cell: Annotated[str | None, Query(max_length=1000, description="launched by this notebook cell")] = None,
    since: Annotated[datetime.datetime | None, Query(description="started then or later")] = None,
    until: Annotated[datetime.datetime | None, Query(description="started before")] = None,
    search: Annotated[str | None, Query(max_length=1000, description="text in id, flow, tags, result, error …")] = None,
    sort: Sort = _NEWEST_FIRST,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_none_match: tags.IfNoneMatch = None,
) -> Any:
    """One page of the run list, newest first unless asked otherwise.

    Other formats than JSON have the cursor of the next page in the header `x-next`, and the
    number of runs in `x-total`. With the `ETag` of an earlier answer in `If-None-Match` it is
    304 while nothing has changed.
    """
    media = rendering.chosen(accept)
    etag = gateway.index.tag(user, media)
    if (unchanged := tags.fresh(if_none_match, etag)) is not None:
        return unchanged
    asked = Listing(
        status or [], flow or [], by or [], tag or [], parent, cell, _aware(since), _aware(until), search, str(sort)
    )  # fmt: skip
    page, total, following = gateway.index.page(asked, user, limit=limit, cursor=cursor)
    page = page.drop("hidden", "runner", "cell")
    if media == rendering.JSON:
        items = [run_row(row) for row in page.iter_rows(named=True)]
        response.headers.update(tags.headers(etag))
        return RunPage(items=[RunRow.model_validate(item) for item in items], total=total, next=following)
    headers = {"x-total": str(total), **({"x-next": following} if following else {}), **tags.headers(etag)}
    return StreamingResponse(rendering.write(media, [page], _run_schema(page)), media_type=media, headers=headers)


def _run_schema(page: pl.DataFrame) -> Any:
    import pyarrow as pa

    schema = index_schema()
    return pa.schema(
        [schema.field(name) if name in schema.names else pa.field(name, pa.int64()) for name in page.columns]
    )


def _aware(when: datetime.datetime | None) -> datetime.datetime | None:
    """A time without a zone is UTC; polars has no times beyond its own range."""
    if when is None:
        return None
    try:
        return when.astimezone(datetime.UTC) if when.tzinfo else when.replace(tzinfo=datetime.UTC)
    except OverflowError:
        raise Refused(422, "request", f"there is no such time in UTC: {when}") from None


@router.get("/runs/{run_id}", tags=["runs"])
def get_run(run_id: str, gateway: GatewayOf, user: CurrentUser) -> RunDetail:
    """One run: how it stands, what it was launched with."""
    row = gateway.row(run_id, user)
    run = gateway.run_of(row)
    place = gateway.log.place(run_id) if row["status"] == "starting" and not row["runner"] else None
    meta = {key: value for key, value in run.meta.items() if key != "code"}
    return RunDetail.model_validate({**run_row(row), "place": place, "meta": meta, "inputs": run.inputs})


@router.get("/runs/{run_id}/result", tags=["runs"])
def get_result(run_id: str, gateway: GatewayOf, user: CurrentUser) -> Outcome:
    """How the run ended, with the payload that `Run.result()` decodes."""
    row = gateway.row(run_id, user)
    run = gateway.run_of(row)
    done = row["ended"] is not None
    payload = traceback = None
    if done:
        kind = "final" if row["status"] == "finished" else "error"
        wanted = (pl.col("kind") == kind) & (pl.col("attempt") == row["attempt"])
        found = run.events().filter(wanted).sort("seq").collect()["payload"]
        recorded = loads(found[-1], gateway.log.artifact) if len(found) else None
        if kind == "final":
            payload = recorded
        elif recorded:
            traceback = recorded.get("traceback")
    return Outcome(
        run_id=run_id, status=row["status"], reason=row["reason"], done=done, payload=payload, traceback=traceback
    )


# -- events -----------------------------------------------------------------------------


@router.get(
    "/runs/{run_id}/events", tags=["events"], response_model=EventPage,
    responses={200: {"content": rendering.content({"$ref": "#/components/schemas/EventPage"})}},
)  # fmt: skip
def get_events(
    run_id: str,
    gateway: GatewayOf,
    user: CurrentUser,
    after: Annotated[int, Query(ge=-1, le=2**62, description="last `seq` that you have")] = -1,
    limit: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="JSON: 1,000 by default, 10,000 or 8 MiB at most, else all")
    ] = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Events of the run so far, in order: JSON, NDJSON, CSV or an Arrow stream, as `Accept` asks."""
    media = rendering.chosen(accept)
    row = gateway.row(run_id, user)
    if media == rendering.JSON:
        limit = min(limit or 1000, _JSON_PAGE)
    frames = _pages(gateway, row, after, limit, kind or [])
    if media != rendering.JSON:
        found = (frame for frame, _ in frames)
        return StreamingResponse(rendering.write(media, found, arrow_schema()), media_type=media)
    page, nbytes, following = [], 0, after
    for frame, following in frames:  # noqa: B007 - the last one's is wanted
        page.append(frame)
        nbytes += int(frame["payload"].str.len_bytes().sum())
        if nbytes >= _PAGE_BYTES:
            break
    lines = ",".join(rendering.event_lines(pl.concat(page)))
    more = following if following < row["last_seq"] else None
    return Response(f'{{"items":[{lines}],"next":{dumps(more)}}}', media_type=media)


def _pages(
    gateway: Gateway, row: dict[str, Any], after: int, limit: int | None, kinds: list[str]
) -> Iterator[tuple[pl.DataFrame, int]]:
    """At least one frame, be it empty, and the ``seq`` it goes to; all events that there are now and no later ones."""
    run_id, last = row["run_id"], row["last_seq"]
    spans = gateway.spans(run_id, _PAGE_BYTES)
    small = row["nbytes"] <= _PAGE_BYTES
    while True:
        upto = min(last, after + _PAGE)
        if not kinds and limit is not None:  # no seq is left out, so no more is looked at than is given
            upto = min(upto, after + limit)
        if not small and after < last:
            upto = min(upto, spans.around(after + 1, last)[1])
        frame = gateway.events_after(run_id, after, upto, limit, kinds)
        if limit is not None:
            limit -= len(frame)
        after = max(after, frame["seq"][-1]) if limit == 0 and len(frame) else upto
        yield frame, after
        if after >= last or limit == 0:
            return


@router.get(
    "/runs/{run_id}/artifacts/{sha256}", tags=["events"], response_class=Response,
    responses={200: {"content": {"application/json": {"schema": {}}}}},
)  # fmt: skip
def get_artifact(run_id: str, sha256: str, gateway: GatewayOf, user: CurrentUser) -> Response:
    """A payload over 1 MiB, which the event names as `{"artifact": {"sha256": …}}`."""
    gateway.row(run_id, user)
    named = pl.col("payload").str.starts_with('{"artifact"') & pl.col("payload").str.contains(sha256, literal=True)
    # a flow sent by value is an artifact too, but it is code, and only for Runners
    found = gateway.log.events(run_id).filter(named & (pl.col("kind") != "meta")).collect()
    references = [data["artifact"] for text in found["payload"] if is_reference(data := json.loads(text))]
    reference = next((one for one in references if one["sha256"] == sha256), None)
    if reference is None:
        raise Refused(404, "artifact-not-found", f"no event of run {run_id} names an artifact {sha256[:80]!r}")
    text = gateway.log.artifact({**reference, "date": run_date(run_id)})
    return Response(text, media_type=rendering.JSON)


@router.get("/audit", tags=["health"])
def audit(gateway: GatewayOf, _: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, Any]]:
    """What was done through gateways of this log, newest first: MCP calls and deletes, with who."""
    return gateway.audit.entries(limit)


# -- locks ------------------------------------------------------------------------------


@router.get("/locks", tags=["locks"], response_model=list[OpenLock], responses=tags.NOT_MODIFIED)
def list_locks(
    gateway: GatewayOf, user: CurrentUser, response: Response, if_none_match: tags.IfNoneMatch = None
) -> Any:
    """Everything that waits for a person, over all runs; 304 as `/runs`."""
    etag = gateway.index.tag(user)
    if (unchanged := tags.fresh(if_none_match, etag)) is not None:
        return unchanged
    response.headers.update(tags.headers(etag))
    return open_locks(gateway, user)


def open_locks(gateway: Gateway, user: User) -> list[OpenLock]:
    """Everything that waits for a person and that the user may see."""
    rows = gateway.index.frame().filter(pl.col("locks").is_not_null(), *Listing().wanted(user))
    return [
        OpenLock(**_lock(lock), run_id=row["run_id"], flow=row["flow"], user=row["user"])
        for row in rows.iter_rows(named=True)
        for lock in json.loads(row["locks"])
    ]


@router.get("/runs/{run_id}/locks", tags=["locks"])
def run_locks(run_id: str, gateway: GatewayOf, user: CurrentUser) -> list[Lock]:
    """Open locks of the run."""
    return [Lock(**lock) for lock in run_row(gateway.row(run_id, user))["locks"]]


@router.get("/runs/{run_id}/locks/{lid}", tags=["locks"])
def get_lock(run_id: str, lid: str, gateway: GatewayOf, user: CurrentUser) -> dict[str, Any]:
    """One lock of the run as it was asked, open or closed; with the answer once there is one."""
    row = gateway.row(run_id, user)
    asked, lease = gateway.lock(run_id, lid)
    shown = {key: value for key, value in lease.items() if key != "token"} if lease else None
    is_open = lid in {str(lock["lid"]) for lock in row["locks"]}
    if is_open and asked.get("form") is None:  # the service that launched the run may have one
        asked = {**asked, "form": locks.describe(gateway.run_of(row), lid, user.name)["form"]}
    return {**asked, "open": is_open, "lease": shown}
