"""The pool of Runners: warm ones that wait, and the ones made for a run.

A warm Runner has our libraries imported and no flow module. It is unbound until its first
run binds it to a place (working directory and import path); afterwards only runs of that
place get it. ``spare`` unbound Runners are kept ready, replaced in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import ray

from kodosumi_lab.runtime.runner import RunnerActor

__all__ = ["Pool", "Slot", "first_name", "make"]

logger = logging.getLogger(__name__)

# Runners that carried a run wait this long for another one; then only the spare ones stay.
_LINGER_S = 20.0

Place = tuple[str, tuple[str, ...]]


@dataclass(slots=True, eq=False)
class Slot:
    """A Runner and what the pool knows of it; `waited`: it was idle, so it may have died unseen."""

    name: str
    actor: Any
    place: Place | None = None
    runs: int = 0
    waited: bool = False
    idle_since: float = 0.0


def make(name: str, namespace: str, spooler: Any, home: dict[str, Any], **options: Any) -> Any:
    """A Runner's actor; `options` are Ray's."""
    cls = ray.remote(RunnerActor).options(
        name=name,
        namespace=namespace,
        lifetime="detached",
        max_concurrency=64,
        **{"num_cpus": 0, **options},
    )
    return cls.remote(name, spooler, home)


def first_name(owner: str) -> str:
    """Name of the Runner that is started together with the Dispatcher of a cluster, rather than after it."""
    return f"runner-{owner}"


class Pool:
    """See the module.

    Parameters
    ----------
    namespace, spooler, home
        Handed to each Runner.
    spare
        Unbound Runners to keep ready.
    max_runs
        Runs a Runner takes before it is retired.
    """

    def __init__(self, namespace: str, spooler: Any, home: dict[str, Any], *, spare: int, max_runs: int) -> None:
        self._namespace = namespace
        self._spooler = spooler
        self._home = home
        self._spare = spare
        self._max_runs = max_runs
        self.idle: list[Slot] = []
        self._starting = 0
        self._awaited: deque[asyncio.Future[Slot | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def _make(self, options: dict[str, Any] | None = None) -> Slot:
        name = f"runner-{secrets.token_hex(8)}"
        return Slot(name, make(name, self._namespace, self._spooler, self._home, **(options or {})))

    async def _ready(self, slot: Slot) -> Slot:
        try:
            await slot.actor.ready.remote()
        except BaseException:  # nobody waits for it any more, or it died: it must not stay behind
            self.kill(slot)
            raise
        return slot

    async def acquire(self, place: Place, options: dict[str, Any] | None) -> Slot:
        """A Runner for a run of `place`; with `options` (Ray's) one of its own."""
        if options is not None:
            slot = await self._ready(self._make(options))
            slot.runs = self._max_runs  # retired after its run
            return slot
        bound = [slot for slot in self.idle if slot.place == place]
        unbound = [slot for slot in self.idle if slot.place is None]
        found = (bound or unbound)[:1]
        if found:
            slot = found[0]
            slot.waited = True
            self.idle.remove(slot)
        else:
            slot = await self._arriving() or await self._ready(self._make())
        slot.place = place
        self.refill()
        return slot

    def release(self, slot: Slot, *, reusable: bool) -> None:
        """Give a Runner back after its run."""
        slot.runs += 1
        if not reusable or slot.runs >= self._max_runs or self._closed:
            self.kill(slot)
            return
        slot.idle_since = time.monotonic()
        self.idle.append(slot)
        self.spawn(self._trim_later())

    def kill(self, slot: Slot) -> None:
        """End a Runner's process."""
        with contextlib.suppress(ValueError):  # Ray knows the actor no more
            ray.kill(slot.actor, no_restart=True)

    def refill(self) -> None:
        """Start Runners until enough spare ones are ready or on their way."""
        missing = self._spare - sum(slot.place is None for slot in self.idle) - self._starting
        for _ in range(max(0, missing)):
            self._starting += 1
            self.spawn(self._start_spare())

    async def _arriving(self) -> Slot | None:
        """A spare Runner that is on its way and nobody waits for; starting one more would slow both."""
        if self._starting <= len(self._awaited):
            return None
        future: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        self._awaited.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._awaited:
                self._awaited.remove(future)
            elif not future.cancelled() and (slot := future.result()) is not None:
                self.idle.append(slot)
            raise

    def adopt(self, name: str) -> None:
        """Take a Runner that somebody else has just started as one of the spare ones, if it is there."""
        with contextlib.suppress(ValueError):
            slot = Slot(name, ray.get_actor(name, self._namespace))
            self._starting += 1
            self.spawn(self._start_spare(slot))

    async def _start_spare(self, made: Slot | None = None) -> None:
        slot: Slot | None = None
        try:
            slot = await self._ready(made or self._make())
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for this Runner must hear of it
            logger.warning("a warm Runner did not start: %s", error)
        finally:
            self._starting -= 1
        while self._awaited:
            future = self._awaited.popleft()
            if not future.done():
                future.set_result(slot)
                return
        if slot is not None and self._closed:
            self.kill(slot)
        elif slot is not None:
            self.idle.append(slot)

    async def _trim_later(self) -> None:
        await asyncio.sleep(_LINGER_S + 0.1)
        horizon = time.monotonic() - _LINGER_S
        bound = [slot for slot in self.idle if slot.place is not None and slot.idle_since <= horizon]
        for slot in bound:
            self.idle.remove(slot)
            self.kill(slot)

    def spawn(self, work: Any) -> None:
        """Run a coroutine in the background, keeping hold of its task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End every idle Runner; the ones on their way end when they arrive."""
        self._closed = True
        for slot in self.idle:
            self.kill(slot)
        self.idle = []

    def sweep(self, keep: set[str]) -> None:
        """End Runners that an earlier Dispatcher left idle."""
        for entry in ray.util.list_named_actors(all_namespaces=True):
            name = entry["name"]
            if entry["namespace"] == self._namespace and name.startswith("runner-") and name not in keep:
                with contextlib.suppress(ValueError):
                    ray.kill(ray.get_actor(name, self._namespace), no_restart=True)
