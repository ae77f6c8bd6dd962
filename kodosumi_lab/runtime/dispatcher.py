"""The Dispatcher: the detached Ray actor that owns the queue, the slots and the watch.

Its truth is the log. A launch is durable before it is queued; a claim (which Runner, which
attempt) is durable before the Runner is called. One coroutine drives each run from claim
to end by awaiting a call on its Runner, so Ray tells it of a death at once. Lifecycle
changes of any origin (a run that begins to wait for a person, an end written by a Runner)
arrive from the Spooler's ``watch``.

After a restart: the open runs come from the Spooler; claimed ones are reattached by their
Runner's name, unclaimed ones are queued again from what the log holds of their launch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError, RayError

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import ARTIFACT_BYTES, KIND_ID, TERMINAL, dumps, loads, run_date
from kodosumi_lab.forms import secret_fields
from kodosumi_lab.runtime import wire
from kodosumi_lab.runtime.pool import Pool, Slot

__all__ = ["DispatcherActor", "Job", "default_slots"]

logger = logging.getLogger(__name__)

# What a Runner with a small flow takes (PSS about 90 MiB in benchmarks/RESULTS.md, and room for the flow's own data).
_RUNNER_BYTES = 400 * 2**20
# How often a run may be handed to another Runner because the first one died before it began.
_START_TRIES = 3


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
        self._settings = settings
        self._spooler = ray.get_actor("spooler", namespace)
        self._namespace = namespace
        self._log_dir = Path(home["log_dir"])
        self.slots = settings["slots"] or default_slots()
        self._pool = Pool(
            namespace,
            self._spooler,
            home,
            spare=settings["warm_runners"],
            max_runs=settings["runner_max_runs"],
        )
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._born: asyncio.Task[None] | None = None
        self._closed = False
        self._memory_timer: asyncio.TimerHandle | None = None
        # after a crash nobody may ever call: runs must be taken over without being asked for
        ray.get_runtime_context().current_actor.ready.remote()

    async def ready(self) -> int:
        """The process's id, once open runs are taken over; safe to call more than once."""
        if self._born is None:
            self._born = asyncio.get_running_loop().create_task(self._recover())
        try:
            await asyncio.shield(self._born)
        except RayActorError:
            # the Spooler could not start: with its next one comes a next Dispatcher, this one's handle is of no use
            logger.exception("no Spooler")
            os._exit(1)
        return os.getpid()

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
        reason = "" if self._room(job) and not self._queue else self._why_waiting()
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
        await self._append_rows(run_id, 1, order["producer"], rows)
        if run_id not in self._jobs:
            self._jobs[run_id] = job
            self._enqueue(job)
        return reason

    async def _as_artifact(self, run_id: str, text: str) -> str:
        data = text.encode()
        digest, date = hashlib.sha256(data).hexdigest(), run_date(run_id)
        await self._spooler.artifact.remote(date, digest, data)
        return dumps({"artifact": {"sha256": digest, "nbytes": len(data), "date": date}})

    async def _append_rows(self, run_id: str, attempt: int, producer: int, rows: list[Any]) -> str | None:
        data = wire.encode(rows)
        refused, _ = await self._spooler.append.remote(run_id, attempt, producer, 0, data)
        return refused

    async def _say(self, job: Job, attempt: int | None = None, **status: Any) -> str | None:
        """Append a status event; why it was refused, or None."""
        row = (time.time_ns() // 1000, KIND_ID["status"], None, dumps(status))
        return await self._append_rows(job.run_id, attempt or job.attempt, secrets.randbits(64), [row])

    # -- the queue --------------------------------------------------------------------

    def _enqueue(self, job: Job) -> None:
        self._queue.append(job)
        self._queue.sort(key=lambda queued: queued.order)
        self._pump()

    def _used(self) -> int:
        return sum(job.takes_slot for job in self._jobs.values())

    def _room(self, job: Job) -> bool:
        if self._closed or self._used() >= self.slots:
            return False
        return psutil.virtual_memory().available >= self._settings["min_free_memory"] or not any(
            other.driving for other in self._jobs.values()
        )

    def _why_waiting(self) -> str:
        if self._used() >= self.slots:
            return f"waiting for a free slot ({self._used()} of {self.slots} in use)"
        return "waiting for its turn" if self._queue else "waiting for free memory"

    def _pump(self) -> None:
        """Start what there is room for."""
        while self._queue and self._room(self._queue[0]):
            job = self._queue.pop(0)
            job.driving = True
            self._pool.spawn(self._drive(job))
        if self._queue and self._used() < self.slots and self._memory_timer is None and not self._closed:
            self._memory_timer = asyncio.get_running_loop().call_later(1.0, self._pump_again)

    def _pump_again(self) -> None:
        self._memory_timer = None
        self._pump()

    # -- driving one run --------------------------------------------------------------

    async def _drive(self, job: Job, outcome: dict[str, Any] | None = None) -> None:
        """From claim to end, attempt by attempt."""
        try:
            while True:
                outcome = outcome or await self._attempt(job)
                if await self._settle(job, outcome):
                    break
                outcome = None
        except Exception:  # a fault here must not leave a run without an end
            logger.exception("run %s", job.run_id)
            if job.slot is not None:
                self._pool.kill(job.slot)
            await self._say(job, status="lost", reason="the Dispatcher failed; see its log")
        finally:
            self._forget(job)

    async def _attempt(self, job: Job) -> dict[str, Any]:
        """Claim a Runner, hand the run over, await its end."""
        died, tries = "its Runner did not start", 0
        while tries < _START_TRIES:
            try:
                slot = await self._acquire(job)
            except RayError as error:
                return _outcome("lost", f"no Runner could be started: {_short(error)}")
            if slot is None or job.ending is not None:
                if slot is not None:
                    self._pool.release(slot, reusable=True)
                return _outcome(*(job.ending or ("lost", "it was given up")))
            job.slot = slot
            refused = await self._say(job, status="starting", runner=slot.name)
            if refused is not None:
                return _outcome("fenced", refused)
            try:
                answer = await self._hand_over(job, slot)
            except RayActorError as error:
                # an idle Runner may have died long ago, and there may be several of them
                died, tries = f"its Runner died: {_short(error)}", tries + (not slot.waited)
                continue
            if answer == "ok":
                if job.ending is not None:  # cancelled between the claim and the start
                    slot.actor.cancel.remote(job.run_id, *job.ending)
                return await self._watch_runner(job, slot)
            self._pool.kill(slot)
        return _outcome("lost", died)

    async def _hand_over(self, job: Job, slot: Slot) -> str:
        """The Runner's answer to ``start``. Never two Runners with one attempt: a lost answer is asked for."""
        order = self._order(job)
        try:
            return str(await slot.actor.start.remote(order))
        except ActorUnavailableError:
            while True:
                await asyncio.sleep(0.2)
                with contextlib.suppress(ActorUnavailableError):
                    if await slot.actor.carries.remote(job.run_id, job.attempt):
                        return "ok"
                    return str(await slot.actor.start.remote(order))

    async def _acquire(self, job: Job) -> Slot | None:
        """A Runner for the job; None when the job was ended meanwhile."""
        place = (job.meta.get("cwd") or "", tuple(job.meta.get("sys_path") or ()))
        work = asyncio.ensure_future(self._pool.acquire(place, job.ray_options))
        stopped = asyncio.ensure_future(job.woken.wait())
        try:
            done, _ = await asyncio.wait({work, stopped}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                wanted = {k: v for k, v in (job.ray_options or {}).items() if k != "runtime_env"}
                what = f"Ray to provide {wanted}" if wanted else "its process to start"
                await self._say(job, status="starting", reason=f"waiting for {what}")
                await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if work.done():
            return work.result()
        work.cancel()
        return None

    def _order(self, job: Job) -> dict[str, Any]:
        code = job.code
        if "artifact" in code:
            reference = code["artifact"]
            path = self._log_dir / "artifacts" / f"date={reference['date']}" / reference["sha256"]
            code = {"pickle": path.read_bytes()}
        return {
            "run_id": job.run_id,
            "attempt": job.attempt,
            "code": code,
            "inputs": job.inputs,
            "secrets": job.secrets,
            "user": job.meta.get("user"),
            "cwd": job.meta.get("cwd") or os.getcwd(),
            "sys_path": job.meta.get("sys_path") or [],
            "retry": job.attempt <= int(job.meta.get("retries") or 0),
            "max_events": self._settings["buffer_events"],
            "max_bytes": self._settings["buffer_bytes"],
        }

    async def _watch_runner(self, job: Job, slot: Slot) -> dict[str, Any]:
        try:
            while True:
                try:
                    return await slot.actor.wait.remote(job.run_id, job.attempt)  # type: ignore[no-any-return]
                except ActorUnavailableError:  # a broken connection: the process may live, and Ray will know
                    await asyncio.sleep(0.2)
        except RayError as error:
            reason = _death(error)
            if job.ending is not None:
                status, why = job.ending
                return _outcome(status, f"{why}; it did not end within the grace period and was killed")
            return _outcome("lost", reason)

    async def _settle(self, job: Job, outcome: dict[str, Any]) -> bool:
        """Record how an attempt ended; False when another attempt follows."""
        status = outcome["status"]
        for timer in (job.deadline, job.killer):
            if timer is not None:
                timer.cancel()
        job.deadline = job.killer = None
        if job.slot is not None and job.slot.actor is not None:
            self._pool.release(job.slot, reusable=bool(outcome.get("reusable")))
        job.slot = None
        retries = int(job.meta.get("retries") or 0)
        if status in ("error", "lost") and job.attempt <= retries and job.ending is None:
            why = f"attempt {job.attempt} ended as {status}: {outcome['reason']}; retry {job.attempt} of {retries}"
            refused = await self._say(job, job.attempt + 1, status="starting", reason=why[:500])
            if refused is None:
                job.attempt += 1
                job.active_us, job.active_since = 0, None
                return False
            return True
        if outcome.get("recorded") is not True and status in TERMINAL:
            await self._say(job, status=status, reason=outcome["reason"])
        elif status == "fenced":
            # refused where the run has ended or has a newer attempt; else its Runner gave up before an end was written
            await self._say(job, status="lost", reason=f"its events were refused: {outcome['reason']}"[:500])
        return True

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.run_id, None)
        if job in self._queue:
            self._queue.remove(job)
        self._pump()

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
        if job in self._queue:
            self._queue.remove(job)
            await self._say(job, status=job.ending[0], reason=job.ending[1])
            self._forget(job)
            return True
        await self._say(job, status=job.status, cancelling=job.ending[0], reason=job.ending[1])
        job.woken.set()
        grace = self._settings["cancel_grace_s"] if grace_s is None else grace_s
        slot = job.slot
        if slot is not None and slot.actor is not None:
            slot.actor.cancel.remote(run_id, *job.ending)
            loop = asyncio.get_running_loop()
            if job.killer is not None and loop.time() + grace < job.killer.when():
                job.killer.cancel()
                job.killer = None
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
        while not self._closed:
            try:
                cursor, changes = await self._spooler.watch.remote(cursor)
            except RayError as error:
                if self._closed:
                    return
                logger.warning("the Spooler cannot be reached: %s", _short(error))
                await asyncio.sleep(1)
                continue
            for change in changes:
                self._note(change)
            self._pump()

    def _note(self, change: dict[str, Any]) -> None:
        job = self._jobs.get(change["run_id"])
        if job is None or change["attempt"] != job.attempt:
            return
        job.status = change["status"]
        job.active_us, job.active_since = change["active_us"], change["active_since"]
        if job.deadline is not None:
            job.deadline.cancel()
            job.deadline = None
        limit = job.meta.get("timeout_s")
        if limit is not None and job.status == "running" and job.ending is None:
            used = job.active_us / 1e6
            if job.active_since is not None:
                used += max(0.0, time.time() - job.active_since / 1e6)
            job.deadline = asyncio.get_running_loop().call_later(max(0.0, limit - used), self._time_is_up, job)

    # -- after a restart --------------------------------------------------------------

    async def _recover(self) -> None:
        states = {state["run_id"]: state for state in await self._spooler.open_runs.remote()}
        if states:
            launches = await asyncio.to_thread(self._launches, list(states))
            for run_id, state in states.items():
                launch = launches.get(run_id)
                if launch is None:
                    told = {"status": "lost", "reason": "what it was launched with cannot be read back from the log"}
                    row = (time.time_ns() // 1000, KIND_ID["status"], None, dumps(told))
                    await self._append_rows(run_id, state["attempt"], secrets.randbits(64), [row])
                    continue
                job = self._jobs[run_id] = launch
                job.attempt, job.status = state["attempt"], state["status"]
                job.active_us, job.active_since = state["active_us"], state["active_since"]
                await self._take_over(job, state)
        await asyncio.to_thread(self._pool.sweep, {job.slot.name for job in self._jobs.values() if job.slot})
        self._pool.refill()
        self._pool.spawn(self._watch())
        self._pump()

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

    async def _take_over(self, job: Job, state: dict[str, Any]) -> None:
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
                # the node's memory monitor ends whom it likes, at times the Dispatcher before the flow
                reason = "its Runner was gone when the Dispatcher came back; did the node run out of memory?"
                lost = _outcome(*job.ending) if job.ending else _outcome("lost", reason)
                self._pool.spawn(self._drive(job, lost))
                return
        missing = secret_fields(job.inputs) + secret_fields(job.meta.get("options") or {})
        if job.ending is not None or missing:
            why = f"its secret inputs ({', '.join(missing)}) are not kept; launch it again and enter them"
            await self._say(
                job, status=job.ending[0] if job.ending else "error", reason=job.ending[1] if job.ending else why
            )
            self._jobs.pop(job.run_id, None)
            return
        self._queue.append(job)
        self._queue.sort(key=lambda queued: queued.order)

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
        await self._drive(job, await self._watch_runner(job, slot))

    # -- for people -------------------------------------------------------------------

    async def health(self) -> dict[str, Any]:
        """Slots, queue and Runners now."""
        await self.ready()
        return {
            "pid": os.getpid(),
            "slots": self.slots,
            "used": self._used(),
            "queued": len(self._queue),
            "awaiting": sum(job.status == "awaiting" for job in self._jobs.values()),
            "idle_runners": [slot.name for slot in self._pool.idle],
        }

    async def shutdown(self, reason: str) -> None:
        """End every run and every Runner; used when the cluster itself is about to end."""
        await self.ready()
        self._closed = True
        for job in list(self._jobs.values()):
            job.ending = job.ending or ("lost", reason)
            if job in self._queue:
                self._queue.remove(job)
            await self._say(job, status=job.ending[0], reason=job.ending[1])
            if job.slot is not None and job.slot.actor is not None:
                self._pool.kill(job.slot)
        self._pool.close()


def _outcome(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason, "reusable": False}


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


async def _asked(actor: Any, job: Job) -> bool:
    """Whether a Runner carries the job's attempt; a broken connection is no answer."""
    while True:
        try:
            return bool(await actor.carries.remote(job.run_id, job.attempt))
        except ActorUnavailableError:
            await asyncio.sleep(0.2)


def _death(error: RayError) -> str:
    """Why a Runner's process ended, from what Ray says of it."""
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError) or "OutOfMemory" in text or "memory monitor" in text:
        return "its Runner was killed because the node ran out of memory"
    if isinstance(error, ActorDiedError) and "node has died" in text:
        return "the node of its Runner died"
    detail = text.partition("Worker exit detail:")[2] or text
    code = detail.partition("exit code")[2].strip(" .")[:6]
    hint = f" with exit code {code}" if code and code[0].isdigit() else ""
    return f"its Runner's process ended{hint}: {detail.strip()[:200]}"
