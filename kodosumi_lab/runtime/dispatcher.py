"""The Dispatcher: the detached Ray actor that owns the queue, the slots and the watch.

Its truth is the log. A launch is durable before it is queued (:mod:`~kodosumi_lab.runtime.jobs`); a
claim (which Runner, which attempt) is durable before the Runner is called
(:mod:`~kodosumi_lab.runtime.driving`). Lifecycle changes of any origin (a run that begins to wait
for a person, an end written by a Runner) arrive from the Spooler's ``watch``. After a restart
open runs are taken over (:mod:`~kodosumi_lab.runtime.recovery`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import ARTIFACT_BYTES, KIND_ID, dumps, run_date
from kodosumi_lab.runtime.driving import Driver, Recorder, short
from kodosumi_lab.runtime.jobs import Job, Queue, default_slots
from kodosumi_lab.runtime.memory import spare
from kodosumi_lab.runtime.pool import Pool, first_name
from kodosumi_lab.runtime.recovery import Recovery

__all__ = ["DispatcherActor"]

logger = logging.getLogger(__name__)


class DispatcherActor:
    """See the module.

    Parameters
    ----------
    namespace
        Of all actors of this log.
    home
        Log directory, namespace and address, for Runners.
    settings
        ``slots, warm_runners, runner_max_runs, cancel_grace_s, min_free_memory``,
        ``buffer_events, buffer_bytes``.
    """

    def __init__(self, namespace: str, home: dict[str, Any], settings: dict[str, Any]) -> None:
        spare()
        self._settings = settings
        self._spooler = ray.get_actor("spooler", namespace)
        self._log = Recorder(self._spooler)
        self._pool = Pool(
            namespace,
            self._spooler,
            home,
            spare=settings["warm_runners"],
            max_runs=settings["runner_max_runs"],
        )
        slots = settings["slots"] or default_slots()
        self._queue = Queue(slots, settings["min_free_memory"], self._start)
        self._jobs = self._queue.jobs
        log_dir = Path(home["log_dir"])
        self._driver = Driver(self._pool, self._log, log_dir, settings, self._queue.forget)
        self._recovery = Recovery(
            namespace, log_dir, settings, queue=self._queue, pool=self._pool, driver=self._driver, log=self._log
        )
        self._first = first_name(home["owner"])
        self._born: asyncio.Task[None] | None = None
        # after a crash nobody may ever call: runs must be taken over without being asked for
        ray.get_runtime_context().current_actor.ready.remote()

    async def ready(self) -> int:
        """The process's id, once open runs are taken over; safe to call more than once."""
        if self._born is None:
            self._born = asyncio.get_running_loop().create_task(self._begin())
        try:
            await asyncio.shield(self._born)
        except RayActorError:
            # the Spooler could not start: with its next one comes a next Dispatcher, this one's handle is of no use
            logger.exception("no Spooler")
            os._exit(1)
        return os.getpid()

    async def _begin(self) -> None:
        await self._recovery.take_over(await self._spooler.open_runs.remote())
        keep = {job.slot.name for job in self._jobs.values() if job.slot is not None}
        # one that an earlier Dispatcher has had may be bound to a place
        fresh = not ray.get_runtime_context().was_current_actor_reconstructed
        await asyncio.to_thread(self._pool.sweep, keep | ({self._first} if fresh else set()))
        if fresh:
            self._pool.adopt(self._first)
        self._pool.refill()
        self._pool.spawn(self._watch())
        self._queue.pump()

    def _start(self, job: Job) -> None:
        self._pool.spawn(self._driver.drive(job))

    # -- launching --------------------------------------------------------------------

    async def launch(self, order: dict[str, Any]) -> str:
        """Make a launch durable and queue it.

        Parameters
        ----------
        order
            ``run_id, meta, inputs`` (JSON values), ``secrets, code, runtime_env`` (with the values
            that `meta` leaves out) and ``producer``, drawn by the caller: a repeated call is recognised.
            ``files`` tells what lies in the run's ``in/`` already.

        Returns
        -------
        str
            The status line's reason: empty, or what it waits for.
        """
        await self.ready()
        run_id, code, meta = order["run_id"], dict(order["code"]), order["meta"]
        if run_id in self._jobs:
            return ""
        if "pickle" in code:
            digest, date = hashlib.sha256(code["pickle"]).hexdigest(), run_date(run_id)
            await self._spooler.artifact.remote(date, digest, code["pickle"])
            reference = {"sha256": digest, "nbytes": len(code["pickle"]), "date": date}
            meta = {**meta, "code": {"artifact": reference}}
        else:
            meta = {**meta, "code": code}
        job = Job(run_id, meta, order["inputs"], order["secrets"], code, order["runtime_env"])
        reason = self._queue.reason()
        inputs = dumps(order["inputs"])
        # inputs that look like such a reference must not be taken for one
        if len(inputs) > ARTIFACT_BYTES or set(order["inputs"]) == {"artifact"}:
            inputs = await self._as_artifact(run_id, inputs)
        now = time.time_ns() // 1000
        rows = [
            (now, KIND_ID["meta"], None, dumps(meta)),
            (now, KIND_ID["inputs"], None, inputs),
            (now, KIND_ID["status"], None, dumps({"status": "starting", "reason": reason})),
        ]
        if order.get("files"):  # behind meta and inputs, whose places are known
            rows.insert(2, (now, KIND_ID["upload"], None, dumps({"files": order["files"]})))
        refused = await self._log.append(run_id, 1, order["producer"], rows)
        if refused is not None and run_id not in self._jobs:
            raise LogError(f"run {run_id} was not started: {refused}")
        if run_id not in self._jobs:
            self._queue.add(job)
            self._queue.pump()
        return reason

    async def _as_artifact(self, run_id: str, text: str) -> str:
        data = text.encode()
        digest, date = hashlib.sha256(data).hexdigest(), run_date(run_id)
        await self._spooler.artifact.remote(date, digest, data)
        return dumps({"artifact": {"sha256": digest, "nbytes": len(data), "date": date}})

    # -- ending runs ------------------------------------------------------------------

    async def cancel(
        self, run_id: str, by: str, *, status: str = "cancelled", reason: str = "", grace_s: float | None = None
    ) -> bool:
        """End a run; False when it has ended already.

        A flow that has not ended after `grace_s` seconds is killed.
        """
        await self.ready()
        job = self._jobs.get(run_id)
        if job is None:
            return False
        if job.ending is None:
            job.ending = (status, reason or f"cancelled by {by}")
        if self._queue.leave(job):
            await self._log.say(job, status=job.ending[0], reason=job.ending[1])
            self._queue.forget(job)
            return True
        await self._log.say(job, status=job.status, cancelling=job.ending[0], reason=job.ending[1])
        job.woken.set()
        grace = self._settings["cancel_grace_s"] if grace_s is None else grace_s
        slot = job.slot
        if slot is not None and slot.actor is not None:
            slot.actor.cancel.remote(run_id, *job.ending)
            loop = asyncio.get_running_loop()
            if job.killer is not None and loop.time() + grace < job.killer.when():
                job.still("killer")
            if job.killer is None:
                job.killer = loop.call_later(grace, self._pool.kill, slot)
        return True

    def _time_is_up(self, job: Job) -> None:
        limit = job.meta.get("timeout_s")
        reason = f"it was running for longer than its timeout_s of {limit:g} s"
        self._pool.spawn(self.cancel(job.run_id, "timeout_s", status="timeout", reason=reason))

    async def _watch(self) -> None:
        """Follow lifecycle changes for ever."""
        cursor = None
        while not self._queue.closed:
            try:
                cursor, changes = await self._spooler.watch.remote(cursor)
            except RayError as error:
                if self._queue.closed:
                    return
                logger.warning("the Spooler cannot be reached: %s", short(error))
                await asyncio.sleep(1)
                continue
            for change in changes:
                self._note(change)
            self._queue.pump()

    def _note(self, change: dict[str, Any]) -> None:
        job = self._jobs.get(change["run_id"])
        if job is None or change["attempt"] != job.attempt:
            return
        job.status = change["status"]
        job.active_us, job.active_since = change["active_us"], change["active_since"]
        job.still("deadline")
        limit = job.meta.get("timeout_s")
        if limit is not None and job.status == "running" and job.ending is None:
            used = job.active_us / 1e6
            if job.active_since is not None:
                used += max(0.0, time.time() - job.active_since / 1e6)
            job.deadline = asyncio.get_running_loop().call_later(max(0.0, limit - used), self._time_is_up, job)

    # -- for people -------------------------------------------------------------------

    async def health(self) -> dict[str, Any]:
        """Slots, queue and Runners now."""
        await self.ready()
        return {
            "pid": os.getpid(),
            "slots": self._queue.slots,
            "used": self._queue.used(),
            "queued": len(self._queue.waiting),
            "awaiting": sum(job.status == "awaiting" for job in self._jobs.values()),
            "idle_runners": [slot.name for slot in self._pool.idle],
        }

    async def tables(self) -> dict[str, Any]:
        """Ray's own: ``nodes`` and ``free`` resources as Ray has them, and the ``actors``' ``name`` and ``node``.

        They are read here, not by whoever asks: Ray 2.60 ends a process whose question is on its way while the cluster
        ends, or never answers it.
        """
        return await asyncio.to_thread(_tables)

    async def shutdown(self, reason: str) -> None:
        """End every run and every Runner; used when the cluster itself is about to end."""
        await self.ready()
        self._queue.closed = True
        for job in list(self._jobs.values()):
            job.ending = job.ending or ("lost", reason)
            self._queue.leave(job)
            await self._log.say(job, status=job.ending[0], reason=job.ending[1])
            if job.slot is not None and job.slot.actor is not None:
                self._pool.kill(job.slot)
        self._pool.close()


def _tables() -> dict[str, Any]:
    from ray._private import state

    alive = [one for one in state.actors().values() if one["State"] != "DEAD"]
    return {
        "nodes": ray.nodes(),  # type: ignore[no-untyped-call]
        "free": state.available_resources_per_node(),  # type: ignore[no-untyped-call]
        "actors": [{"name": one["Name"], "node": one["Address"]["NodeID"]} for one in alive],
    }
