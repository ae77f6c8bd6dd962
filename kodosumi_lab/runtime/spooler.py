"""The Spooler: the detached Ray actor that makes event streams durable.

A thin shell around :class:`kodosumi_lab.runtime.log.LogWriter`: calls arrive on the
actor's event loop, one thread commits everything that waits as one group, the loop
answers. Ray restarts it after a crash and repeats the calls that had no answer; what was
committed already is recognised.

Order at start: claim the owner's name, recover, adopt clusters that are gone, then serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import os
import queue
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import ray

from kodosumi_lab.errors import LockClosed, LogError
from kodosumi_lab.events import KIND_ID, dumps, run_date
from kodosumi_lab.runtime import console, ownership, sealing
from kodosumi_lab.runtime import home as home_module
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.home import Home
from kodosumi_lab.runtime.layout import Layout, parse_segment
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.log import Ack, Batch, LogWriter, make_batch
from kodosumi_lab.runtime.stream import Sender

__all__ = ["SpoolerActor", "SpoolerSender"]

logger = logging.getLogger(__name__)

# After a failed write: often enough that a freed disk is used at once, rare enough not to burn a core.
_RETRY_S = 0.25
_TICK_S = 15.0
_CHANGES = 10_000
# A call that a restarted actor finds again carries the same batches, so a group may be this large.
_GROUP = 512


def _ray_task() -> str | None:
    """Id of the Ray task that is running in this context; None outside Ray's workers."""
    worker = ray._private.worker.global_worker
    if worker.mode != ray.WORKER_MODE:
        return None
    return str(ray.get_runtime_context().get_task_id())


console.task_of = _ray_task


class SpoolerSender(Sender):
    """A stream's way to the Spooler, from any process of the cluster; can be pickled."""

    def __init__(self, actor: Any, home: dict[str, Any]) -> None:
        self.actor = actor
        self.home = home

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if home_module.get() is None:  # a Ray task of a flow: its child runs land beside their parent
            home_module.set_home(Home(**self.home))

    def append(self, run_id: str, attempt: int, producer: int, first: int, ipc: bytes) -> tuple[str | None, int | None]:
        """Commit a batch."""
        refused, expected = ray.get(self.actor.append.remote(run_id, attempt, producer, first, ipc))
        return refused, expected

    def artifact(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload."""
        ray.get(self.actor.artifact.remote(date, sha256, data))

    def wait_lease(self, run_id: str, lid: str) -> str | None:
        """Wait for the answer to a lock."""
        answer: str | None = ray.get(self.actor.wait_lease.remote(run_id, lid))
        return answer


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
    """

    def __init__(self, log_dir: str, owner: str, address: str, settings: dict[str, Any]) -> None:
        root = Path(log_dir)
        self.layout = Layout(root)
        self._claim = ownership.claim(self.layout, owner, timeout_s=30)
        self._claim.record(ownership.here(owner, os.getppid(), address))
        self.writer = LogWriter(root, owner, **settings)
        self.owner = owner
        self._incarnation = secrets.token_hex(8)
        self._queue: queue.SimpleQueue[tuple[Batch, asyncio.Future[Ack]] | None] = queue.SimpleQueue()
        self._changes: deque[dict[str, Any]] = deque(maxlen=_CHANGES)
        self._changed_n = 0
        self._wake: asyncio.Event | None = None
        self._leases: dict[str, asyncio.Event] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Ack]] = set()
        self._views = {run_id: _view(state) for run_id, state in self.writer.runs.items()}
        self._trouble: str | None = None
        self._closing = False
        self._committed = 0
        self._seal_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="log-writer", daemon=True)
        self._thread.start()
        threading.Thread(target=self._adopt_the_dead, name="adopt", daemon=True).start()

    # -- the writing thread -----------------------------------------------------------

    def _serve(self) -> None:
        compacted = 0.0
        while not self._closing:
            try:
                item = self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                item = None
            group = [item] if item is not None else []
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP:
                    further = self._queue.get_nowait()
                    if further is not None:
                        group.append(further)
            if group:
                self._commit(group)
            if self.writer.full:
                self._rotate()
            elif item is None and time.monotonic() - compacted > 3600:
                compacted = time.monotonic()
                threading.Thread(target=self._compact, name="compact", daemon=True).start()

    def _commit(self, group: list[tuple[Batch, asyncio.Future[Ack]]]) -> None:
        while True:
            try:
                acks = self.writer.commit([batch for batch, _ in group])
                break
            except LogError as error:
                if self._closing:
                    return
                if self._trouble is None:
                    logger.error("%s; emitters wait until there is room", error)
                self._trouble = str(error)
                time.sleep(_RETRY_S)
        self._trouble = None
        self._committed += len(group)
        changes = self._publish()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._answer, group, acks, changes)

    def _publish(self) -> list[dict[str, Any]]:
        """What the event loop may know: states are folded before their events are durable, views after."""
        changes = []
        for run_id, before in self.writer.touched.items():
            after = self.writer.runs[run_id]
            if before is None or _visible(before) != _visible(after):
                view = self._views[run_id] = _view(after)
                changes.append(view)
        if len(self._views) > 2 * len(self.writer.runs) + 1000:
            self._views = {run_id: view for run_id, view in self._views.items() if run_id in self.writer.runs}
        return changes

    def _rotate(self) -> None:
        try:
            self.writer.rotate()
        except LogError as error:
            self._trouble = str(error)
            return
        threading.Thread(target=self._seal, name="seal", daemon=True).start()

    def _seal(self) -> None:
        with self._seal_lock:
            for name in self.writer.to_seal():
                try:
                    self.writer.seal(name)
                except OSError as error:
                    logger.error("segment %s cannot be sealed yet: %s", name, error)
                    self._trouble = f"segment {name} cannot be sealed: {error}"
                    return

    def _compact(self) -> None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        with self._seal_lock, contextlib.suppress(LogError):
            held = ownership.claim(self.layout, "compaction")
            try:
                hot = set(self.layout.hot_segments())
                open_dates = {run_date(state.run_id) for state in list(self.writer.runs.values())}
                for date in self.layout.dates("events"):
                    names = {parse_segment(path.stem) for path in self.layout.table("events", date).glob("*.parquet")}
                    if date < today and date not in open_dates and not names & hot:
                        sealing.compact(self.layout, date, Disk(), min_files=8)
            finally:
                held.close()

    def _adopt_the_dead(self) -> None:
        """Seal what this owner left hot, then end the logs of clusters that are gone."""
        self._seal()
        for other in ownership.owners(self.layout):
            if other.owner != self.owner and ownership.is_gone(other):
                try:
                    ownership.adopt(self.layout, other.owner)
                except LogError as error:
                    logger.warning("log of owner %s is not adopted: %s", other.owner, error)

    # -- the event loop ---------------------------------------------------------------

    def _answer(
        self,
        group: list[tuple[Batch, asyncio.Future[Ack]]],
        acks: list[Ack],
        changes: list[dict[str, Any]],
    ) -> None:
        for (_, future), ack in zip(group, acks, strict=True):
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

    async def _append(self, batch: Batch) -> Ack:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Ack] = self._loop.create_future()
        self._queue.put((batch, future))
        return await future

    async def append(
        self, run_id: str, attempt: int, producer: int, first: int, ipc: bytes
    ) -> tuple[str | None, int | None]:
        """Commit a batch; answers when it is durable: why events were refused, and the count expected after a gap."""
        ack = await self._append(Batch(run_id, attempt, producer, first, ipc))
        return ack.refused, ack.expected

    async def artifact(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload under its content hash, durably."""
        await asyncio.to_thread(self._keep, date, sha256, data)

    def _keep(self, date: str, sha256: str, data: bytes) -> None:
        path = self.layout.artifact(date, sha256)
        disk = Disk()
        while not path.exists():
            temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
            try:
                disk.mkdir(path.parent)
                disk.create(temporary, data)
                disk.rename(temporary, path)
                disk.sync_dir(path.parent)
            except OSError as error:
                with contextlib.suppress(OSError):
                    disk.unlink(temporary)
                if self._closing:
                    raise LogError(f"a payload cannot be kept: {error}") from error
                self._trouble = f"a payload cannot be kept: {error}"
                time.sleep(_RETRY_S)

    # -- lifecycle --------------------------------------------------------------------

    async def open_runs(self) -> list[dict[str, Any]]:
        """State of every run that has not ended."""
        self._loop = asyncio.get_running_loop()
        return [_public(view) for view in list(self._views.values()) if not view["ended"]]

    async def watch(self, cursor: tuple[str, int] | None) -> tuple[tuple[str, int], list[dict[str, Any]]]:
        """Lifecycle changes after `cursor`; waits until there are any, 30 s at most.

        With no cursor, one of another incarnation, or one too old: the state of every run
        known here.
        """
        now = (self._incarnation, self._changed_n)
        if cursor is None or cursor[0] != self._incarnation or cursor[1] < self._changed_n - len(self._changes):
            return now, [_public(view) for view in list(self._views.values())]
        if cursor[1] == self._changed_n:
            self._wake = self._wake or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 30)
        skip = len(self._changes) - (self._changed_n - cursor[1])
        return (self._incarnation, self._changed_n), [_public(view) for view in list(self._changes)[skip:]]

    async def wait_end(self, run_id: str, timeout_s: float) -> dict[str, Any] | None:
        """State of a run once it has ended; None when it has not within `timeout_s` or is not known here."""
        end = time.monotonic() + timeout_s
        while True:
            view = self._views.get(run_id)
            if view is None or view["ended"]:
                return _public(view) if view else None
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
            view = self._views.get(run_id)
            if view is None or view["ended"]:
                return None
            if lid in view["answers"]:
                return dumps({**view["answers"][lid], "open_locks": len(view["locks"])})
            if lid not in view["locks"]:
                return None
            await self._changed(run_id, 3600)

    async def answer(self, run_id: str, lid: str, result: str, by: str) -> None:
        """Close a lock with an answer (JSON text).

        Raises
        ------
        LockClosed
            Somebody was first, it expired, or the run has ended.
        """
        view = self._views.get(run_id)
        if view is None or view["ended"]:
            raise LockClosed(f"run {run_id} has ended; its locks are closed")
        token = secrets.token_hex(8)
        payload = {"lid": lid, "result": json.loads(result), "by": by, "token": token}
        ack = await self._lease(run_id, view["attempt"], payload)
        if ack.refused is None:
            return
        view = self._views[run_id]
        held = view["answers"].get(lid)
        if held is None:
            raise LockClosed(f"run {run_id} has no lock {lid}; its open locks: {', '.join(view['locks']) or 'none'}")
        who = "it expired" if held.get("expired") else f"{held.get('by')} answered it first"
        raise LockClosed(f"lock {lid} of run {run_id} is closed: {who}", held.get("by"))

    async def _lease(self, run_id: str, attempt: int, payload: dict[str, Any]) -> Ack:
        row = (time.time_ns() // 1000, KIND_ID["lease"], None, dumps(payload))
        return await self._append(make_batch(run_id, attempt, secrets.randbits(64), 0, [row]))

    def _schedule_expiry(self) -> None:
        assert self._loop is not None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        times = [lock["expires"] for v in list(self._views.values()) for lock in v["locks"].values() if lock["expires"]]
        if times:
            self._expiry = self._loop.call_later(max(0.0, min(times) - time.time()), self._expire)

    def _expire(self) -> None:
        assert self._loop is not None
        for view in list(self._views.values()):
            for lid, lock in view["locks"].items():
                if lock["expires"] and lock["expires"] <= time.time():
                    lease = self._lease(view["run_id"], view["attempt"], {"lid": lid, "expired": True, "result": None})
                    self._tasks.add(task := self._loop.create_task(lease))
                    task.add_done_callback(self._tasks.discard)

    # -- for people and readers elsewhere ---------------------------------------------

    async def read(self, run_id: str, after: int) -> bytes:
        """Events of a run with ``seq > after`` as an Arrow IPC stream, for readers on other nodes."""
        return await asyncio.to_thread(self._read, run_id, after)

    def _read(self, run_id: str, after: int) -> bytes:
        import io

        import polars as pl

        from kodosumi_lab.runtime.query import EventLog

        sink = io.BytesIO()
        frame = EventLog(self.layout.root).events(run_id).filter(pl.col("seq") > after).sort("seq").collect()
        frame.write_ipc_stream(sink, compression="zstd")
        return sink.getvalue()

    async def health(self) -> dict[str, Any]:
        """What people ask when something is slow: waiting batches, trouble, segments, open runs."""
        return {
            "owner": self.owner,
            "pid": os.getpid(),
            "log_dir": str(self.layout.root),
            "waiting": self._queue.qsize(),
            "trouble": self._trouble,
            "open_runs": sum(not state.closed for state in list(self.writer.runs.values())),
            "hot_segments": len(self.layout.hot_segments(self.owner)),
            "batches": self._committed,
        }

    async def close(self) -> None:
        """Commit what waits, seal, and leave the log."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        end = time.monotonic() + 5
        while self._queue.qsize() and time.monotonic() < end:
            time.sleep(0.01)
        self._closing = True
        self._queue.put(None)
        self._thread.join(5)
        with self._seal_lock:
            self.writer.close()
        self._claim.close(remove=all(state.closed for state in self.writer.runs.values()))


def _visible(state: RunState) -> tuple[Any, ...]:
    return state.status, state.attempt, state.runner, state.cancelling, tuple(state.locks)


def _view(state: RunState) -> dict[str, Any]:
    """Committed facts of a run that calls may be answered from."""
    return {
        "run_id": state.run_id,
        "status": state.status,
        "reason": state.reason,
        "attempt": state.attempt,
        "runner": state.runner,
        "cancelling": state.cancelling,
        "active_us": state.active,
        "active_since": state.active_since,
        "ended": state.closed,
        "locks": dict(state.locks),
        "answers": dict(state.answers),
    }


def _public(view: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in view.items() if key not in ("locks", "answers")}
