"""The routes of live events, which resume where they were: server-sent events, and frames of Arrow for views."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse

from kodosumi_lab.api.encodings import FRAMES, FRAMES_MEDIA, HEARTBEAT
from kodosumi_lab.api.gateway import GatewayOf
from kodosumi_lab.api.guard import CurrentUser

__all__ = ["router"]

router = APIRouter()

After = Annotated[int, Query(ge=-1, le=2**62, description="last `seq` that you have")]


@router.get(
    "/runs/{run_id}/follow", tags=["events"], response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def follow_run(
    run_id: str,
    gateway: GatewayOf,
    user: CurrentUser,
    after: After = -1,
    last_event_id: Annotated[int | None, Header(ge=-1, le=2**62, description="the same; wins over `after`")] = None,
) -> Response:
    """Events of the run as they come, as server-sent events, until it has ended.

    Each is a message whose id is its `seq` and whose data is the event as `/events` gives it;
    the last one is an `end` event with the run's status. A stream without events has a comment
    as its heartbeat.
    """
    await asyncio.to_thread(gateway.row, run_id, user)
    last = after if last_event_id is None else last_event_id
    events = gateway.live.subscribe(run_id, last, for_s=gateway.settings.gateway_stream_s)
    return EventSourceResponse(_closing(events), ping=gateway.settings.gateway_heartbeat_s)


@router.get(
    "/runs/{run_id}/frames", tags=["views"], response_class=Response,
    responses={200: {"content": {FRAMES_MEDIA: {"schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
async def follow_frames(run_id: str, gateway: GatewayOf, user: CurrentUser, after: After = -1) -> Response:
    """Events of the run as they come, as frames, until it has ended: at once when quiet, at most 20 times a second.

    A frame is four bytes with its length (little endian) and that many bytes: an Arrow stream of events, or the JSON
    text `{"end": {"status": …, "last_seq": …}}`, after which nothing comes. Length 0 is a heartbeat.
    """
    await asyncio.to_thread(gateway.row, run_id, user)
    events = gateway.live.subscribe(run_id, after, FRAMES, for_s=gateway.settings.gateway_stream_s)
    # it knows about heartbeats and about servers that end; what it sends is up to us
    return EventSourceResponse(
        _closing(events),
        ping=gateway.settings.gateway_heartbeat_s,
        ping_message_factory=lambda: HEARTBEAT,  # type: ignore[arg-type, return-value]
        media_type=FRAMES_MEDIA,
    )


async def _closing(events: Any) -> AsyncIterator[bytes]:
    """Close the subscription with its response, not when somebody collects the garbage."""
    async with contextlib.aclosing(events):
        async for data in events:
            yield data
