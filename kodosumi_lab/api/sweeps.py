"""Routes about several runs at once: sweeps, and comparing."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from kodosumi_lab.api import tags
from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import CurrentUser, Launcher
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.listing import Listing
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.reading import Status
from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.forms import SECRET
from kodosumi_lab.runtime import diff, tables
from kodosumi_lab.runtime.launch import Origin
from kodosumi_lab.runtime.sweep import Sweep, sweep
from kodosumi_lab.runtime.sweep_claim import Claim

__all__ = ["Comparison", "SweepInfo", "router"]

router = APIRouter()

_COMPARED = 12
_ID = re.compile(r"[0-9a-f]{8}")
_TEXT = 500


class SweepRow(BaseModel):
    """One combination of a sweep, with the newest run of it."""

    index: int
    inputs: dict[str, str] = Field(description="those that vary, as texts")
    run_id: str | None = Field(description="null: it is not started")
    status: Status | None
    progress: float | None = Field(description="0 to 1")
    running: datetime.datetime | None
    ended: datetime.datetime | None
    result: str | None = Field(description="preview of the result")
    error: str | None = Field(description="of the run, or the reason of its end")


class SweepInfo(BaseModel):
    """How a sweep stands."""

    id: str
    flow: str
    over: list[str] = Field(description="the inputs that vary")
    zipped: bool = Field(description="whether they vary side by side, instead of each with each")
    starting: bool = Field(description="whether more runs are being started")
    failure: str = Field(description="why the rest was not started; empty where nothing failed")
    counts: dict[str, int] = Field(description="combinations by status; those not started are `waiting`")
    total: int
    rows: list[SweepRow]


class Acted(BaseModel):
    """What came of it."""

    runs: int = Field(description="runs that were cancelled, or will be started")


class Line(BaseModel):
    """One thing that was compared."""

    section: str
    name: str
    values: list[str | None] = Field(description="by run; null: it has none of that")
    same: bool


class Comparison(BaseModel):
    """Runs held against each other, see `kodosumi_lab.diff`."""

    runs: list[str]
    different: int
    lines: list[Line]


# -- sweeps -----------------------------------------------------------------------------


@router.get("/sweeps/{sweep_id}", tags=["sweeps"], response_model=SweepInfo, responses={**tags.NOT_MODIFIED})
def get_sweep(
    sweep_id: str,
    gateway: GatewayOf,
    user: CurrentUser,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    if_none_match: tags.IfNoneMatch = None,
) -> Any:
    """A sweep: what varies, and how each combination stands; the first `limit` of them."""
    found, rows = _visible(gateway, user, sweep_id)
    counts = Counter(row["status"] or "waiting" for row in rows)
    counts["waiting"] += found.of - len(found)  # of which nothing is known yet
    counts = +counts
    state = (sweep_id, limit, found.starting, found.failure, sorted(counts.items()))
    etag = gateway.index.tag(user, repr(state))
    if (unchanged := tags.fresh(if_none_match, etag)) is not None:
        return unchanged
    response.headers.update(tags.headers(etag))
    return SweepInfo(
        id=found.id, flow=found.flow, over=found.over, zipped=found.zipped, starting=found.starting,
        failure=found.failure, counts=dict(counts), total=counts.total(),
        rows=[_row(found, row) for row in rows[:limit]],
    )  # fmt: skip


@router.post("/sweeps/{sweep_id}/cancel", tags=["sweeps"])
async def cancel_sweep(sweep_id: str, gateway: GatewayOf, user: Launcher) -> Acted:
    """Start no more of it, whichever process does, and cancel what is going on."""
    return Acted(runs=await gateway.act(lambda: _mine(gateway, user, sweep_id).cancel(by=user.name)))


@router.post("/sweeps/{sweep_id}/rerun", tags=["sweeps"], status_code=202)
async def rerun_failed(sweep_id: str, gateway: GatewayOf, user: Launcher) -> Acted:
    """Run again what failed; the new runs are those of whoever began the sweep."""
    return Acted(runs=await gateway.act(lambda: _started(gateway, user, sweep_id).rerun_failed()))


@router.post("/sweeps/{sweep_id}/resume", tags=["sweeps"], status_code=202)
async def resume_sweep(sweep_id: str, gateway: GatewayOf, user: Launcher) -> Acted:
    """Start what never was."""
    return Acted(runs=await gateway.act(lambda: _started(gateway, user, sweep_id).resume()))


def _visible(gateway: Gateway, user: User, sweep_id: str) -> tuple[Sweep, list[dict[str, Any]]]:
    """A sweep, and those of its combinations that the user may see.

    Raises
    ------
    RunNotFound
        There is none, or it is somebody else's: the answer is the same.
    """
    wanted = Listing(tag=[f"sweep:{sweep_id}"]).wanted(user)
    seen = set(gateway.index.frame().lazy().filter(*wanted).select("run_id").collect()["run_id"])
    try:
        found = sweep(sweep_id, log_dir=gateway.log.root) if seen else None
    except RunNotFound:
        found = None
    # anybody may give a run that tag: only one that the sweep itself has shows the rest of it
    rows = found.rows() if found is not None else []
    if found is None or not any(row["run_id"] in seen for row in rows):
        failure = Claim(gateway.log.root, sweep_id).failure if user.may_see(None) and _ID.fullmatch(sweep_id) else ""
        if failure:
            raise Refused(404, "sweep-not-started", f"no run of sweep {sweep_id} was started: {failure}")
        raise RunNotFound(f"there is no sweep {sweep_id[:80]!r} that {user.name} may see")
    return found, [row for row in rows if row["run_id"] is None or row["run_id"] in seen]


def _mine(gateway: Gateway, user: User, sweep_id: str) -> Sweep:
    """A sweep that the user may act on, with this process on the cluster."""
    found, rows = _visible(gateway, user, sweep_id)
    if len(rows) < len(found):
        raise Refused(403, "forbidden", f"sweep {sweep_id} has runs of others; cancel or rerun your own one by one")
    gateway.cluster.connection()
    return found


def _started(gateway: Gateway, user: User, sweep_id: str) -> Sweep:
    """One of which the user has runs started, within the rate that is allowed; its runs stay those of who began it."""
    found = _mine(gateway, user, sweep_id)
    gateway.rate.take(user)
    found.origin = Origin(user.name, "http")
    return found


def _row(found: Sweep, row: dict[str, Any]) -> SweepRow:
    point = row["point"]
    texts = {name: _text(point.inputs.wire.get(name)) for name in found.over}
    failed = row["status"] not in (None, "finished")
    error = row["error"] or (row["reason"] if failed and row["ended"] is not None else None)
    return SweepRow(
        index=point.index, inputs=texts, run_id=row["run_id"], status=row["status"], progress=row["progress"],
        running=row["running"], ended=row["ended"], result=row["result"], error=error or None,
    )  # fmt: skip


def _text(value: Any) -> str:
    return "secret" if value == SECRET else tables.cut(tables.short(value), _TEXT)


# -- comparing --------------------------------------------------------------------------


@router.get("/compare", tags=["runs"])
def compare_runs(
    gateway: GatewayOf,
    user: CurrentUser,
    run: Annotated[list[str], Query(min_length=2, max_length=_COMPARED, description="ids, of two or more runs")],
) -> Comparison:
    """Hold runs against each other: inputs, options, durations, steps, metrics, locks, results, errors."""
    runs = [gateway.run(run_id, user) for run_id in run]
    if len({one.id for one in runs}) < len(runs):
        raise Refused(422, "request", "a run is named twice; a run does not differ from itself")
    frame = diff.diff(*runs).frame()
    lines = [
        Line(section=section, name=name, values=[_cut(value) for value in values], same=same)
        for section, name, *values, same in frame.iter_rows()
    ]
    return Comparison(runs=[one.id for one in runs], different=sum(not line.same for line in lines), lines=lines)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"
