"""The Spooler: the detached Ray actor that makes event streams durable.

Calls arrive on the actor's event loop; :class:`kodosumi_lab.runtime.spooling.Spooling`
commits in a thread of its own, and the loop answers. Ray restarts the actor after a crash
and repeats the calls that had no answer; what was committed already is recognised.

Order at start: claim the owner's name, recover, adopt clusters that are gone, then serve.

Whoever holds a handle of this actor loads this module, and every Runner and every Ray task
that emits does: nothing heavy is imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import LockClosed
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime import wire

if TYPE_CHECKING:
    from kodosumi_lab.runtime.log import Ack

__all__ = ["SpoolerActor"]

_CHANGES = 10_000


class SpoolerActor:
    """See the module. All times are seconds.

    Parameters
    ----------
    log_dir
        The log directory on this node.
    owner
        Prefix of this Spooler's segments; the same after a restart.
    address
        Address of the cluster, for others to judge whether it is alive.
    settings
        ``segment_bytes``, ``segment_age_s``, ``trailing_s``.
    files
        ``limits`` of runs' files, and ``direct``: see :class:`kodosumi_lab.runtime.desk.Desk`.
    """

    def __init__(
        self,
        log_dir: str,
        owner: str,
        address: str,
        settings: dict[str, Any],
        files: dict[str, Any] | None = None,
    ) -> None:
        from kodosumi_lab.runtime.desk import Desk
        from kodosumi_lab.runtime.files import Limits
        from kodosumi_lab.runtime.memory import spare
        from kodosumi_lab.runtime.spooling import Spooling

        spare()
        said = files or {}
        self._desk = Desk(log_dir, Limits(**said.get("limits", {})), owner=owner, direct=said.get("direct", True))
        # threads of their own: a slow upload must not stand before the payloads of events
        self._file_threads = ThreadPoolExecutor(2, thread_name_prefix="files")

        self._incarnation = secrets.token_hex(8)
        self._changes: deque[dict[str, Any]] = deque(maxlen=_CHANGES)
        self._changed_n = 0
        self._wake: asyncio.Event | None = None
        self._leases: dict[str, asyncio.Event] = {}
        self._secret_answers: dict[str, Any] = {}  # by the token of their lease
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Ack]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spooling = Spooling(log_dir, owner, address, settings, self._committed)

    # -- the event loop ---------------------------------------------------------------

    def _committed(self, waiting: list[tuple[asyncio.Future[Ack], Ack]], changes: list[dict[str, Any]]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._answer, waiting, changes)

    def _answer(self, waiting: list[tuple[asyncio.Future[Ack], Ack]], changes: list[dict[str, Any]]) -> None:
        for future, ack in waiting:
            if not future.done():
                future.set_result(ack)
        if changes:
            self._changes.extend(changes)
            self._changed_n += len(changes)
            if self._wake is not None:
                self._wake.set()
                self._wake = None
            for change in changes:
                if change["run_id"] in self._leases:
                    self._leases.pop(change["run_id"]).set()
            self._schedule_expiry()

    def _begin(self) -> None:
        """With the first call: the event loop is there, and locks that were open before a restart expire again."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._schedule_expiry()

    async def _append(self, run_id: str, attempt: int, producer: int, first: int, data: bytes) -> Ack:
        from kodosumi_lab.runtime.log import Batch

        self._begin()
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._spooling.put(Batch(run_id, attempt, producer, first, data), future)
        return await future

    async def append(
        self, run_id: str, attempt: int, producer: int, first: int, data: bytes
    ) -> tuple[str | None, int | None]:
        """Commit a batch; answers when it is durable: why events were refused, and the count expected after a gap."""
        ack = await self._append(run_id, attempt, producer, first, data)
        return ack.refused, ack.expected

    async def link(self) -> tuple[str, bytes] | None:
        """Address and key of the short way for emitters on this host."""
        self._begin()
        return self._spooling.link.place

    async def artifact(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload under its content hash, durably."""
        await asyncio.to_thread(self._spooling.keep, date, sha256, data)

    # -- lifecycle --------------------------------------------------------------------

    async def open_runs(self) -> list[dict[str, Any]]:
        """State of every run that has not ended."""
        self._begin()
        return [_public(view) for view in list(self._spooling.views.values()) if not view["ended"]]

    async def watch(self, cursor: tuple[str, int] | None) -> tuple[tuple[str, int], list[dict[str, Any]]]:
        """Lifecycle changes after `cursor`; waits until there are any, 30 s at most.

        With no cursor, one of another incarnation, or one too old: the state of every run
        known here.
        """
        now = (self._incarnation, self._changed_n)
        if cursor is None or cursor[0] != self._incarnation or cursor[1] < self._changed_n - len(self._changes):
            return now, [_public(view) for view in list(self._spooling.views.values())]
        if cursor[1] == self._changed_n:
            self._wake = self._wake or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 30)
        skip = len(self._changes) - (self._changed_n - cursor[1])
        return (self._incarnation, self._changed_n), [_public(view) for view in list(self._changes)[skip:]]

    async def wait_end(self, run_id: str, timeout_s: float) -> dict[str, Any] | None:
        """State of a run once it has ended, None if not yet; ``{"unknown": True}`` where only the log may know."""
        end = time.monotonic() + timeout_s
        while True:
            view = self._spooling.views.get(run_id)
            if view is None or view["ended"]:
                return _public(view) if view else {"unknown": True}
            if time.monotonic() >= end:
                return None
            await self._changed(run_id, end - time.monotonic())

    async def _changed(self, run_id: str, timeout_s: float) -> None:
        event = self._leases.setdefault(run_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout_s)

    async def wait_lease(self, run_id: str, lid: str) -> str | None:
        """The lease that closes a lock, with ``open_locks``, once there is one; None when the run ends first."""
        while True:
            view = self._spooling.views.get(run_id)
            if view is None or view["ended"]:
                return None
            if lid in view["answers"]:
                held = {**view["answers"][lid], "open_locks": len(view["locks"])}
                if held.get("masked"):
                    if held["token"] not in self._secret_answers:
                        return None  # this actor was restarted since, and secrets are kept nowhere
                    held["result"] = self._secret_answers[held["token"]]
                else:
                    held["result"] = json.loads(held["result"])
                return dumps(held)
            if lid not in view["locks"]:
                return None
            await self._changed(run_id, 3600)

    async def answer(
        self,
        run_id: str,
        lid: str,
        result: str,
        by: str,
        more: dict[str, Any] | None = None,
        secret: str | None = None,
        token: str | None = None,
    ) -> None:
        """Close a lock with an answer (JSON text).

        Parameters
        ----------
        run_id, lid, result, by
            The lock, the answer, and who gives it.
        more
            Further facts for the lease.
        secret
            The answer with its secrets, for the flow only; `result` is what the log holds.
        token
            Drawn by the caller: Ray repeats a call whose answer was lost, and the same token is the same answer.

        Raises
        ------
        LockClosed
            Somebody was first, it expired, or the run has ended.
        """
        view = self._spooling.views.get(run_id)
        if view is None or view["ended"]:
            raise LockClosed(f"run {run_id} has ended; its locks are closed")
        token = token or secrets.token_hex(8)
        payload = {**(more or {}), "lid": lid, "result": json.loads(result), "by": by, "token": token}
        if secret is not None:
            payload["masked"] = True
            self._secret_answers[token] = json.loads(secret)
        ack = await self._lease(run_id, view["attempt"], payload)
        view = self._spooling.views[run_id]
        held = view["answers"].get(lid)
        if ack.refused is None or (held is not None and held.get("token") == token):
            return
        self._secret_answers.pop(token, None)
        if held is None:
            raise LockClosed(f"run {run_id} has no lock {lid}; its open locks: {', '.join(view['locks']) or 'none'}")
        who = "it expired" if held.get("expired") else f"{held.get('by')} answered it first"
        raise LockClosed(f"lock {lid} of run {run_id} is closed: {who}", held.get("by"))

    async def _lease(self, run_id: str, attempt: int, payload: dict[str, Any]) -> Ack:
        row = (time.time_ns() // 1000, KIND_ID["lease"], None, dumps(payload))
        return await self._append(run_id, attempt, secrets.randbits(64), 0, wire.encode([row]))

    def _schedule_expiry(self) -> None:
        assert self._loop is not None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        times = [
            lock["expires"]
            for v in list(self._spooling.views.values())
            for lock in v["locks"].values()
            if lock["expires"]
        ]
        if times:
            self._expiry = self._loop.call_later(max(0.0, min(times) - time.time()), self._expire)

    def _expire(self) -> None:
        assert self._loop is not None
        for view in list(self._spooling.views.values()):
            for lid, lock in view["locks"].items():
                if lock["expires"] and lock["expires"] <= time.time():
                    lease = self._lease(view["run_id"], view["attempt"], {"lid": lid, "expired": True, "result": None})
                    self._tasks.add(task := self._loop.create_task(lease))
                    task.add_done_callback(self._tasks.discard)
        # again, should a clock have been set back meanwhile; the leases themselves lead there sooner
        self._expiry = self._loop.call_later(1.0, self._schedule_expiry)

    # -- for people and readers elsewhere ---------------------------------------------

    async def files(self, verb: str, *args: Any) -> Any:
        """Files of runs, for processes that are not on this machine."""
        return await asyncio.get_running_loop().run_in_executor(self._file_threads, self._desk.call, verb, args)

    async def health(self) -> dict[str, Any]:
        """What people ask when something is slow.

        Returns
        -------
        dict
            ``owner, pid, log_dir``; ``waiting, waiting_bytes``: batches that were taken and are not durable yet, and
            ``lag_s`` how long the oldest of them waits; ``batches, bytes``: what was answered since this process
            started; ``delay_s``: from the emit of the oldest event of the last commit until all of it was durable,
            None before the first; ``trouble``: what keeps the log from being written, None; ``open_runs``;
            ``hot_segments``: those that are not sealed yet.
        """
        return self._spooling.health()

    async def close(self) -> None:
        """Commit what waits, seal, and leave the log."""
        await asyncio.to_thread(self._spooling.close)


def _public(view: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in view.items() if key not in ("locks", "answers")}
