"""A kodosumi service whose flows measure kodosumi.

It runs inside the peer's own environment, started by `kodosumi_peer.py`, and uses nothing but the public surface
of `kodosumi.core`. One form picks the flow, so one registered endpoint is enough for every measurement.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from fastapi import Request
from kodosumi.core import Launch, ServeAPI, Tracer, forms

PAYLOAD_CHARS = 200

app = ServeAPI()


def stamped() -> str:
    """Return a string of `PAYLOAD_CHARS` characters that opens with the wall-clock in nanoseconds."""
    return f"{time.time_ns()} ".ljust(PAYLOAD_CHARS, "x")


def cost(started: float, seconds: list[float]) -> dict[str, float]:
    """Return what a flow that emitted as fast as it could reports as its final result."""
    return {"started": started, "emit_us": statistics.median(seconds) * 1e6, "emitting_s": sum(seconds)}


def burst_sync(inputs: dict[str, Any], tracer: Tracer) -> dict[str, float]:
    """Emit `count` events as fast as the synchronous verb allows."""
    started = time.time()
    seconds = []
    for _ in range(int(inputs["count"])):
        payload = stamped()
        before = time.perf_counter()
        tracer.result_sync(payload)
        seconds.append(time.perf_counter() - before)
    return cost(started, seconds)


async def burst_async(inputs: dict[str, Any], tracer: Tracer) -> dict[str, float]:
    """Emit `count` events as fast as the asynchronous verb allows."""
    started = time.time()
    seconds = []
    for _ in range(int(inputs["count"])):
        payload = stamped()
        before = time.perf_counter()
        await tracer.result(payload)
        seconds.append(time.perf_counter() - before)
    return cost(started, seconds)


def paced_sync(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Emit `count` events, one every `seconds`."""
    for _ in range(int(inputs["count"])):
        tracer.result_sync(stamped())
        time.sleep(float(inputs["seconds"]))


async def paced_async(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Emit `count` events, one every `seconds`."""
    for _ in range(int(inputs["count"])):
        await tracer.result(stamped())
        await asyncio.sleep(float(inputs["seconds"]))


async def asleep(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Say once that the flow's code runs, then do nothing for `seconds`."""
    await tracer.result(stamped())
    await asyncio.sleep(float(inputs["seconds"]))


FLOWS: dict[str, Callable[..., Any]] = {
    flow.__name__: flow for flow in (burst_sync, burst_async, paced_sync, paced_async, asleep)
}


@app.enter(
    "/run",
    model=forms.Model(
        forms.InputText(name="flow", label="Flow"),
        forms.InputText(name="count", label="Count"),
        forms.InputText(name="seconds", label="Seconds"),
        forms.Submit("Run"),
    ),
    summary="Measure",
    description="Runs one of the flows that measure kodosumi.",
)
async def run(request: Request, inputs: dict[str, Any]) -> Any:
    """Launch the flow that the form names."""
    return Launch(request, FLOWS[inputs["flow"]], inputs=inputs)
