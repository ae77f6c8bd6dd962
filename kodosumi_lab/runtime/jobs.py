"""Runs that have not ended, and the queue of those that wait for a slot. Nothing here knows Ray."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from kodosumi_lab.runtime.pool import Slot

__all__ = ["Job", "Queue", "default_slots"]

# What a Runner with a small flow takes (PSS about 90 MiB in benchmarks/RESULTS.md, and room for the flow's own data).
_RUNNER_BYTES = 400 * 2**20
# Memory that others use comes free without telling anybody.
_LOOK_AGAIN_S = 1.0


def default_slots() -> int:
    """Runs at the same time: four for each CPU, as long as memory allows; at least two."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(4 * cpus, int(psutil.virtual_memory().total) // 2 // _RUNNER_BYTES))


@dataclass(slots=True, eq=False)
class Job:
    """A run that has not ended, as the Dispatcher sees it."""

    run_id: str
    meta: dict[str, Any]
    inputs: dict[str, Any]
    secrets: dict[str, str]
    code: dict[str, Any]
    runtime_env: dict[str, Any] | None = None
    attempt: int = 1
    status: str = "starting"
    slot: Slot | None = None
    driving: bool = False
    ending: tuple[str, str] | None = None
    active_us: int = 0
    active_since: int | None = None
    deadline: asyncio.TimerHandle | None = None
    killer: asyncio.TimerHandle | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def order(self) -> tuple[bool, str]:
        """Place in the queue: children first (their parents wait for them), then by start."""
        return (self.meta.get("parent") is None, self.run_id)

    @property
    def ray_options(self) -> dict[str, Any] | None:
        """What Ray must reserve or prepare for a Runner of its own; None for a warm one."""
        options = self.meta.get("options") or {}
        if self.runtime_env is not None:
            options = {**options, "runtime_env": self.runtime_env}
        return dict(options) if options or self.meta.get("fresh") else None

    @property
    def takes_slot(self) -> bool:
        """Whether it counts against the slots now."""
        return self.driving and self.status != "awaiting" and (self.slot is not None or self.ray_options is None)

    @property
    def retries(self) -> int:
        """How often it may be tried again."""
        return int(self.meta.get("retries") or 0)

    def still(self, *timers: str) -> None:
        """Stop its timers, ``deadline`` and ``killer``."""
        for name in timers:
            timer: asyncio.TimerHandle | None = getattr(self, name)
            if timer is not None:
                timer.cancel()
            setattr(self, name, None)


class Queue:
    """Slots, and who waits for one, in order.

    Parameters
    ----------
    slots
        Runs at the same time.
    min_free_memory
        Below this no further run starts, but where there is none at all.
    start
        Called for each job when there is room for it.

    Attributes
    ----------
    jobs : dict[str, Job]
        All runs that have not ended, by id.
    waiting : list[Job]
        Those without a slot, the next one first.
    closed : bool
        Nothing starts any more.
    """

    def __init__(self, slots: int, min_free_memory: int, start: Callable[[Job], None]) -> None:
        self.slots = slots
        self.jobs: dict[str, Job] = {}
        self.waiting: list[Job] = []
        self.closed = False
        self._min_free_memory = min_free_memory
        self._start = start
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: Job) -> None:
        """A job that waits from now on; :meth:`pump` starts it when it is its turn."""
        self.jobs[job.run_id] = job
        self.waiting.append(job)
        self.waiting.sort(key=lambda queued: queued.order)

    def leave(self, job: Job) -> bool:
        """Take a job out of those that wait; whether it was among them."""
        if job in self.waiting:
            self.waiting.remove(job)
            return True
        return False

    def forget(self, job: Job) -> None:
        """A job that has ended: the next one may start."""
        self.jobs.pop(job.run_id, None)
        self.leave(job)
        self.pump()

    def used(self) -> int:
        """Slots in use."""
        return sum(job.takes_slot for job in self.jobs.values())

    def reason(self) -> str:
        """What a further job would wait for; empty where it would start at once."""
        if not self.waiting and self._room():
            return ""
        if self.used() >= self.slots:
            return f"waiting for a free slot ({self.used()} of {self.slots} in use)"
        return "waiting for its turn" if self.waiting else "waiting for free memory"

    def _room(self) -> bool:
        if self.closed or self.used() >= self.slots:
            return False
        return psutil.virtual_memory().available >= self._min_free_memory or not any(
            job.driving for job in self.jobs.values()
        )

    def pump(self) -> None:
        """Start what there is room for."""
        while self.waiting and self._room():
            job = self.waiting.pop(0)
            job.driving = True
            self._start(job)
        if self.waiting and self.used() < self.slots and self._timer is None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._pump_again)

    def _pump_again(self) -> None:
        self._timer = None
        self.pump()
