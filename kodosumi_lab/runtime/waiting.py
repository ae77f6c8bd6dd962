"""A run that waits for another one: from inside a flow, waiting gives the slot back.

The waiting run says ``awaiting``, which the Dispatcher sees, and ``running`` afterwards. A
flow may run on a node that does not hold the log, so in there the Spooler tells of the end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from kodosumi_lab.errors import WaitTimeout
from kodosumi_lab.events import dumps
from kodosumi_lab.runtime import console

__all__ = ["await_inside", "parked", "wait_inside"]

_ROUND_S = 30.0
_lock = threading.Lock()
_waits: Counter[str] = Counter()


@contextmanager
def parked(run_id: str) -> Iterator[None]:
    """While in the block, the current run (if any) awaits run `run_id`."""
    tracer = console.current()
    if tracer is None:
        yield
        return
    with _lock:
        _waits[tracer.run_id] += 1
        if _waits[tracer.run_id] == 1:
            tracer.emit("status", dumps({"status": "awaiting", "reason": f"waiting for run {run_id}"}))
    try:
        yield
    finally:
        with _lock:
            _waits[tracer.run_id] -= 1
            if _waits[tracer.run_id] == 0:
                del _waits[tracer.run_id]
                tracer.emit("status", dumps({"status": "running"}))


def wait_inside(run_id: str, timeout_s: float | None) -> bool:
    """Inside a flow: wait for a run's end and answer True. Elsewhere, or of a run of another cluster: False at once.

    Raises
    ------
    WaitTimeout
        It had not ended after `timeout_s` seconds.
    """
    if console.current() is None:
        return False
    import ray

    from kodosumi_lab.runtime import cluster

    spooler = cluster.connection().spooler
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = _ROUND_S if end is None else min(_ROUND_S, end - time.monotonic())
        if left <= 0:
            raise WaitTimeout(f"run {run_id} has not ended within {timeout_s:g} s; it goes on")
        answer = ray.get(spooler.wait_end.remote(run_id, left))
        if answer:
            return "unknown" not in answer


async def await_inside(run_id: str) -> bool:
    """:func:`wait_inside` without a limit, leaving the event loop free."""
    if console.current() is None:
        return False
    import ray

    from kodosumi_lab.runtime import cluster

    spooler = (await asyncio.to_thread(cluster.connection)).spooler
    answer = None
    while not answer:
        answer = await asyncio.to_thread(ray.get, spooler.wait_end.remote(run_id, _ROUND_S))
    return "unknown" not in answer
