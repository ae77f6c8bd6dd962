"""Flows that the benchmarks launch; importable by Runners."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import Any

import ray

import kodosumi_lab as kl

TEXT = ("The quick brown fox jumps over the lazy dog while agents argue about primes. " * 3)[:200]


@kl.flow
def burst(n: int, size: int = 200, *, tracer: kl.Tracer) -> dict[str, float]:
    """Emit `n` events of `size` characters; seconds until emitted and until durable."""
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    tracer.flush()
    started = time.perf_counter()
    for _ in range(n):
        tracer.result_sync(text)
    emitted = time.perf_counter() - started
    tracer.flush()
    return {"emitted_s": emitted, "durable_s": time.perf_counter() - started}


@kl.flow
async def emit_cost(rounds: int = 60, chunk: int = 500, *, tracer: kl.Tracer) -> dict[str, float]:
    """Microseconds of one emit, sync and async: median over chunks, each begun with an empty buffer."""
    sync, asynchronous = [], []
    for _ in range(rounds):
        await tracer.aflush()
        started = time.perf_counter()
        for _ in range(chunk):
            tracer.result_sync(TEXT)
        sync.append((time.perf_counter() - started) / chunk)
        await tracer.aflush()
        started = time.perf_counter()
        for _ in range(chunk):
            await tracer.result(TEXT)
        asynchronous.append((time.perf_counter() - started) / chunk)
    return {"sync_us": statistics.median(sync) * 1e6, "async_us": statistics.median(asynchronous) * 1e6}


@kl.flow
def idle_latency(n: int = 300, *, tracer: kl.Tracer) -> list[float]:
    """Milliseconds from an emit to its acknowledgement, one event at a time."""
    result = []
    for _ in range(n):
        time.sleep(0.02)
        started = time.perf_counter()
        tracer.result(TEXT)
        tracer.flush()
        result.append((time.perf_counter() - started) * 1000)
    return result


@kl.flow
def started_at() -> float:
    """Wall clock when flow code ran."""
    return time.time()


@kl.flow
async def asleep(seconds: float) -> int:
    """Do nothing; the process's id is its result."""
    await asyncio.sleep(seconds)
    return os.getpid()


@kl.flow
def sleeping(seconds: float, *, tracer: kl.Tracer) -> None:
    """Tell the process's id, then sleep."""
    tracer.result(os.getpid())
    time.sleep(seconds)


@kl.flow
async def asking(locks: int, *, tracer: kl.Tracer) -> int:
    """Wait at several locks at once, each with a form."""
    form = kl.forms.Model(kl.forms.Checkbox(name="yes", option="approve", value=False))
    data = {"text": TEXT}
    answers = await asyncio.gather(*(tracer.lock(f"lock {i}", form=form, data=data) for i in range(locks)))
    return len(answers)


@ray.remote(num_cpus=0)
class _Emitter:
    """A process of its own; it is up and connected before the clock starts."""

    def __init__(self, tracer: kl.Tracer) -> None:
        self.tracer = tracer

    def warm(self) -> None:
        self.tracer.debug("warm")
        self.tracer.flush()

    def emit(self, n: int, at: float) -> tuple[float, float]:
        time.sleep(max(0.0, at - time.time()))
        started = time.time()
        for _ in range(n):
            self.tracer.result_sync(TEXT)
        self.tracer.flush()
        return started, time.time()


@kl.flow
def spread(n: int, emitters: int, *, tracer: kl.Tracer) -> float:
    """Events per second of several Ray workers emitting `n` events together."""
    workers = [_Emitter.remote(tracer) for _ in range(emitters)]
    ray.get([worker.warm.remote() for worker in workers])
    at = time.time() + 0.5
    spans: list[Any] = ray.get([worker.emit.remote(n // emitters, at) for worker in workers])
    return n / (max(end for _, end in spans) - min(start for start, _ in spans))
