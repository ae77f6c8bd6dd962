"""Taking over open runs after the Dispatcher was restarted.

The open runs come from the Spooler. Claimed ones are reattached by their Runner's name,
unclaimed ones are queued again from what the log holds of their launch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import KIND_ID, dumps, loads
from kodosumi_lab.forms import secret_fields
from kodosumi_lab.runtime.driving import Driver, Recorder, outcome
from kodosumi_lab.runtime.jobs import Job, Queue
from kodosumi_lab.runtime.memory import LACKED, ended_by_monitor
from kodosumi_lab.runtime.pool import Pool, Slot

__all__ = ["Recovery"]

logger = logging.getLogger(__name__)


class Recovery:
    """See the module.

    Parameters
    ----------
    namespace, log_dir, settings
        As :class:`kodosumi_lab.runtime.dispatcher.DispatcherActor` has them.
    queue, pool, driver, log
        Its parts.
    """

    def __init__(
        self,
        namespace: str,
        log_dir: Path,
        settings: dict[str, Any],
        *,
        queue: Queue,
        pool: Pool,
        driver: Driver,
        log: Recorder,
    ) -> None:
        self._namespace = namespace
        self._log_dir = log_dir
        self._settings = settings
        self._queue = queue
        self._pool = pool
        self._driver = driver
        self._log = log

    async def take_over(self, states: list[dict[str, Any]]) -> None:
        """Go on with open runs, as the Spooler tells of them."""
        if not states:
            return
        launches = await asyncio.to_thread(self._launches, [state["run_id"] for state in states])
        for state in states:
            job = launches.get(state["run_id"])
            if job is None:
                told = {"status": "lost", "reason": "what it was launched with cannot be read back from the log"}
                row = (time.time_ns() // 1000, KIND_ID["status"], None, dumps(told))
                await self._log.append(state["run_id"], state["attempt"], secrets.randbits(64), [row])
                continue
            self._queue.jobs[job.run_id] = job
            job.attempt, job.status = state["attempt"], state["status"]
            job.active_us, job.active_since = state["active_us"], state["active_since"]
            await self._go_on(job, state)

    def _launches(self, run_ids: list[str]) -> dict[str, Job]:
        """Read back from the log what a run needs to start."""
        import polars as pl

        from kodosumi_lab.runtime.query import EventLog

        log = EventLog(self._log_dir)
        rows = log.events(since=None).filter(
            pl.col("run_id").is_in(run_ids) & pl.col("kind").is_in(["meta", "inputs"]) & (pl.col("seq") < 2)
        )
        found: dict[str, dict[str, Any]] = {}
        for run_id, kind, payload in rows.select("run_id", "kind", "payload").collect().iter_rows():
            try:
                data = json.loads(payload)
                if kind == "inputs":
                    data = loads(payload, log.artifact)
            except (ValueError, TypeError, KeyError, LogError):
                logger.exception("what run %s was launched with cannot be read", run_id)
                continue
            found.setdefault(run_id, {})[kind] = data
        return {
            run_id: Job(run_id, item["meta"], item["inputs"], {}, item["meta"]["code"])
            for run_id, item in found.items()
            if "meta" in item and "inputs" in item
        }

    async def _go_on(self, job: Job, state: dict[str, Any]) -> None:
        if state["cancelling"]:
            job.ending = (state["cancelling"], state["reason"])
        if state["runner"] is not None:
            slot = await self._reattach(job, state["runner"])
            if slot is not None:
                job.slot, job.driving = slot, True
                self._pool.spawn(self._redrive(job, slot))
                return
            if state["status"] != "starting":
                job.driving = True
                reason = "its Runner was gone when the Dispatcher came back"
                if await asyncio.to_thread(ended_by_monitor, state["runner"]):
                    reason = LACKED
                lost = outcome(*job.ending) if job.ending else outcome("lost", reason)
                self._pool.spawn(self._driver.drive(job, lost))
                return
        missing = secret_fields(job.inputs) + secret_fields(job.meta.get("options") or {})
        if job.ending is not None or missing:
            why = f"its secret inputs ({', '.join(missing)}) are not kept; launch it again and enter them"
            await self._log.say(
                job, status=job.ending[0] if job.ending else "error", reason=job.ending[1] if job.ending else why
            )
            del self._queue.jobs[job.run_id]
            return
        self._queue.add(job)

    async def _reattach(self, job: Job, name: str) -> Slot | None:
        """The Runner that carries this attempt, if it is alive and does."""
        try:
            actor = ray.get_actor(name, self._namespace)
            carried = await asyncio.wait_for(_asked(actor, job), 60)
        except (ValueError, RayError, TimeoutError):
            return None
        if not carried:
            with contextlib.suppress(ValueError):
                ray.kill(actor, no_restart=True)
            return None
        place = (job.meta.get("cwd") or "", tuple(job.meta.get("sys_path") or ()))
        return Slot(name, actor, place, runs=self._settings["runner_max_runs"])

    async def _redrive(self, job: Job, slot: Slot) -> None:
        if job.ending is not None:
            slot.actor.cancel.remote(job.run_id, *job.ending)
            grace = self._settings["cancel_grace_s"]
            job.killer = asyncio.get_running_loop().call_later(grace, self._pool.kill, slot)
        await self._driver.drive(job, await self._driver.watch(job, slot))


async def _asked(actor: Any, job: Job) -> bool:
    """Whether a Runner carries the job's attempt; a broken connection is no answer."""
    while True:
        try:
            return bool(await actor.carries.remote(job.run_id, job.attempt))
        except ActorUnavailableError:
            await asyncio.sleep(0.2)
