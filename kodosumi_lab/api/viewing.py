"""Routes that views draw from: a long run at a glance, a stretch of its events, its clock; and all of it as a file.

All are as of a ``seq``, which the answer names: ``/frames`` goes on behind it.
"""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from kodosumi_lab.api import rendering
from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import CurrentUser
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.reading import Kind
from kodosumi_lab.api.thinning import thinned
from kodosumi_lab.api.windows import Filter
from kodosumi_lab.events import arrow_schema
from kodosumi_lab.runtime import exporting

__all__ = ["router"]

router = APIRouter()

# As many points as a slider has pixels.
_POINTS = 1000

UpTo = Annotated[int | None, Query(ge=-1, le=2**62, description="only events up to this `seq`")]

_ARROW: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {rendering.ARROW: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            "x-last-seq": {"schema": {"type": "integer"}, "description": "the answer is as of this event"},
            "x-total": {"schema": {"type": "integer"}, "description": "how many events there are, or fit"},
        },
    }
}


_EXPORT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}


class Clock(BaseModel):
    """Points of a run's clock; both lists grow."""

    seq: list[int]
    ts: list[float] = Field(description="milliseconds since 1970")


@router.get("/runs/{run_id}/overview", tags=["views"], response_class=Response, responses=_ARROW)
def overview(run_id: str, gateway: GatewayOf, user: CurrentUser, upto: UpTo = None) -> Response:
    """Events enough to draw everything but the console and the list of all events; a long run is thinned out."""
    last = _last(gateway, run_id, user, upto)
    return _arrow(thinned(gateway.log, run_id, last), {"x-last-seq": last, "x-total": last + 1})


@router.get("/runs/{run_id}/window", tags=["views"], response_class=Response, responses=_ARROW)
def window(
    run_id: str,
    gateway: GatewayOf,
    user: CurrentUser,
    kind: Annotated[list[Kind] | None, Query()] = None,
    agent: Annotated[list[str] | None, Query(max_length=1000, description="empty for the flow itself")] = None,
    search: Annotated[str | None, Query(max_length=1000, description="text in the payload, in any case")] = None,
    upto: UpTo = None,
    offset: Annotated[int, Query(ge=-(2**62), le=2**62, description="negative counts from the end")] = 0,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 200,
) -> Response:
    """A stretch of the events that fit, by their place among them (`x-offset` and on)."""
    last = _last(gateway, run_id, user, upto)
    asked = Filter(tuple(sorted(set(kind or []))), tuple(sorted(set(agent or []))), search or "")
    found = gateway.windows.window(run_id, asked, last, offset, limit)
    return _arrow(found.events, {"x-offset": found.offset, "x-total": found.total, "x-last-seq": last})


@router.get("/runs/{run_id}/clock", tags=["views"])
def clock(run_id: str, gateway: GatewayOf, user: CurrentUser) -> Clock:
    """When which event was: some points, close enough to move through the run by time."""
    last = _last(gateway, run_id, user, None)
    frame = gateway.log.events(run_id).filter(pl.col("seq") <= last).select("seq", "ts").collect()
    # what several processes emit may be a little out of order; a clock only goes on
    ticks = frame.sort("seq").with_columns(pl.col("ts").cum_max())
    points = (ticks if len(ticks) <= _POINTS else ticks[_spread(ticks["ts"])]).unique("seq").sort("seq")
    return Clock(seq=points["seq"].to_list(), ts=(points["ts"].dt.timestamp("us") / 1000).to_list())


@router.get("/runs/{run_id}/export", tags=["views"], response_class=StreamingResponse, responses=_EXPORT)
def export(
    run_id: str, gateway: GatewayOf, user: CurrentUser, files: Annotated[bool, Query(description="small ones")] = True
) -> Response:
    """The run as one file, `*.kodosumi-run.json`, that JupyterLab shows without the log."""
    row = gateway.row(run_id, user)
    if why := exporting.why_too_large(row):
        raise Refused(413, "run-too-large", why)
    named = f'attachment; filename="{exporting.name_of(row).encode("ascii", "replace").decode().replace("?", "-")}"'
    text = exporting.pieces(gateway.run_of(row), row, files=files)
    said = {"content-disposition": named, "cache-control": "no-store"}
    return StreamingResponse(text, media_type="application/json", headers=said)


def _spread(ts: pl.Series) -> pl.Series:
    """Places of points that are even in events, and of some that are even in time: at both ends of each silence."""
    n = len(ts)
    by_event = pl.Series([round(i * (n - 1) / (_POINTS // 2 - 1)) for i in range(_POINTS // 2)])
    us = ts.dt.timestamp("us")
    span = us[-1] - us[0]
    count = _POINTS // 4
    after = us.search_sorted(pl.Series([us[0] + span * i // count for i in range(1, count)])).cast(pl.Int64)
    return pl.concat([by_event, after, after - 1]).unique().sort()


def _last(gateway: Gateway, run_id: str, user: User, upto: int | None) -> int:
    last: int = gateway.row(run_id, user)["last_seq"]
    return last if upto is None else min(last, upto)


def _arrow(frame: pl.DataFrame, headers: dict[str, int]) -> Response:
    data = b"".join(rendering.write(rendering.ARROW, [frame], arrow_schema()))
    said = {name: str(value) for name, value in headers.items()}
    return Response(data, media_type=rendering.ARROW, headers=said | {"cache-control": "no-store"})
