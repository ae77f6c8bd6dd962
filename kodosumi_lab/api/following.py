"""The route of live events: server-sent events that resume where they were."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse

from kodosumi_lab.api.gateway import GatewayOf
from kodosumi_lab.api.guard import CurrentUser

__all__ = ["router"]

router = APIRouter()


@router.get(
    "/runs/{run_id}/follow", tags=["events"], response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def follow_run(
    run_id: str,
    gateway: GatewayOf,
    user: CurrentUser,
    after: Annotated[int, Query(ge=-1, le=2**62, description="last `seq` that you have")] = -1,
    last_event_id: Annotated[int | None, Header(ge=-1, le=2**62, description="the same; wins over `after`")] = None,
) -> Response:
    """Events of the run as they come, as server-sent events, until it has ended.

    Each is a message whose id is its `seq` and whose data is the event as `/events` gives it;
    the last one is an `end` event with the run's status. A stream without events has a comment
    as its heartbeat.
    """
    await asyncio.to_thread(gateway.row, run_id, user)
    events = gateway.live.subscribe(run_id, after if last_event_id is None else last_event_id)
    return EventSourceResponse(_closing(events), ping=gateway.settings.gateway_heartbeat_s)


async def _closing(events: Any) -> AsyncIterator[bytes]:
    """Close the subscription with its response, not when somebody collects the garbage."""
    async with contextlib.aclosing(events):
        async for data in events:
            yield data
