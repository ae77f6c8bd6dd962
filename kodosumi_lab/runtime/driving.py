"""Driving one run: from the claim of a Runner to an end in the log, attempt by attempt.

One coroutine drives each run by awaiting a call on its Runner, so Ray tells it of a death at
once. Every exit of it leaves a terminal status behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError, RayError

from kodosumi_lab.events import KIND_ID, TERMINAL, dumps
from kodosumi_lab.runtime import wire
from kodosumi_lab.runtime.jobs import Job
from kodosumi_lab.runtime.memory import LACKED
from kodosumi_lab.runtime.pool import Pool, Slot

__all__ = ["Driver", "Recorder", "outcome", "short"]

logger = logging.getLogger(__name__)

# How often a run may be handed to another Runner because the first one died before it began.
_START_TRIES = 3


class Recorder:
    """What the Dispatcher writes to the log, through the Spooler."""

    def __init__(self, spooler: Any) -> None:
        self._spooler = spooler

    async def append(self, run_id: str, attempt: int, producer: int, rows: list[Any]) -> str | None:
        """Append events; why they were refused, or None."""
        refused: str | None
        refused, _ = await self._spooler.append.remote(run_id, attempt, producer, 0, wire.encode(rows))
        return refused

    async def say(self, job: Job, attempt: int | None = None, **status: Any) -> str | None:
        """Append a status; why it was refused, or None."""
        row = (time.time_ns() // 1000, KIND_ID["status"], None, dumps(status))
        return await self.append(job.run_id, attempt or job.attempt, secrets.randbits(64), [row])


class Driver:
    """See the module.

    Parameters
    ----------
    pool
        Where Runners come from.
    log
        Where is written how a run is doing.
    log_dir
        The event log.
    settings
        ``buffer_events, buffer_bytes``.
    ended
        Called when a run has ended, in whatever way.
    """

    def __init__(
        self, pool: Pool, log: Recorder, log_dir: Path, settings: dict[str, Any], ended: Callable[[Job], None]
    ) -> None:
        self._pool = pool
        self._log = log
        self._log_dir = log_dir
        self._settings = settings
        self._ended = ended

    async def drive(self, job: Job, ended: dict[str, Any] | None = None) -> None:
        """From claim to end, attempt by attempt; with `ended` the current attempt has ended already."""
        try:
            while True:
                ended = ended or await self._attempt(job)
                if await self._settle(job, ended):
                    break
                ended = None
        except Exception:  # a fault here must not leave a run without an end
            logger.exception("run %s", job.run_id)
            if job.slot is not None:
                self._pool.kill(job.slot)
            await self._log.say(job, status="lost", reason="the Dispatcher failed; see its log")
        finally:
            self._ended(job)

    async def _attempt(self, job: Job) -> dict[str, Any]:
        """Claim a Runner, hand the run over, await its end."""
        died, tries = "its Runner did not start", 0
        while tries < _START_TRIES:
            try:
                slot = await self._acquire(job)
            except RayError as error:
                return outcome("lost", f"no Runner could be started: {short(error)}")
            if slot is None or job.ending is not None:
                if slot is not None:
                    self._pool.release(slot, reusable=True)
                return outcome(*(job.ending or ("lost", "it was given up")))
            job.slot = slot
            refused = await self._log.say(job, status="starting", runner=slot.name)
            if refused is not None:
                return outcome("fenced", refused)
            try:
                answer = await self._hand_over(job, slot)
            except RayActorError as error:
                # an idle Runner may have died long ago, and there may be several of them
                died, tries = f"its Runner died: {short(error)}", tries + (not slot.waited)
                continue
            if answer == "ok":
                if job.ending is not None:  # cancelled between the claim and the start
                    slot.actor.cancel.remote(job.run_id, *job.ending)
                return await self.watch(job, slot)
            self._pool.kill(slot)
        return outcome("lost", died)

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
                await self._log.say(job, status="starting", reason=f"waiting for {what}")
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
            "retry": job.attempt <= job.retries,
            "max_events": self._settings["buffer_events"],
            "max_bytes": self._settings["buffer_bytes"],
        }

    async def watch(self, job: Job, slot: Slot) -> dict[str, Any]:
        """How the attempt that a Runner carries ended: ``status``, ``reason``, ``reusable``, ``recorded``."""
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
                return outcome(status, f"{why}; it did not end within the grace period and was killed")
            return outcome("lost", reason)

    async def _settle(self, job: Job, ended: dict[str, Any]) -> bool:
        """Record how an attempt ended; False when another attempt follows."""
        status = ended["status"]
        job.still("deadline", "killer")
        if job.slot is not None and job.slot.actor is not None:
            self._pool.release(job.slot, reusable=bool(ended.get("reusable")))
        job.slot = None
        if status in ("error", "lost") and job.attempt <= job.retries and job.ending is None:
            why = f"attempt {job.attempt} ended as {status}: {ended['reason']}; retry {job.attempt} of {job.retries}"
            refused = await self._log.say(job, job.attempt + 1, status="starting", reason=why[:500])
            if refused is None:
                job.attempt += 1
                job.active_us, job.active_since = 0, None
                return False
            return True
        if ended.get("recorded") is not True and status in TERMINAL:
            await self._log.say(job, status=status, reason=ended["reason"])
        elif status == "fenced":
            # refused where the run has ended or has a newer attempt; else its Runner gave up before an end was written
            await self._log.say(job, status="lost", reason=f"its events were refused: {ended['reason']}"[:500])
        return True


def outcome(status: str, reason: str) -> dict[str, Any]:
    """An end that no Runner has told."""
    return {"status": status, "reason": reason, "reusable": False}


def short(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300]


def _death(error: RayError) -> str:
    """Why a Runner's process ended, from what Ray says of it."""
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError) or "OutOfMemory" in text or "memory monitor" in text:
        return LACKED
    if isinstance(error, ActorDiedError) and "node has died" in text:
        return "the node of its Runner died"
    detail = text.partition("Worker exit detail:")[2] or text
    code = detail.partition("exit code")[2].strip(" .")[:6]
    hint = f" with exit code {code}" if code and code[0].isdigit() else ""
    return f"its Runner's process ended{hint}: {detail.strip()[:200]}"
