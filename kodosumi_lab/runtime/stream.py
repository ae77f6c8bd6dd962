"""The emitter's half of the delivery protocol: a bounded buffer and the thread that serves it.

Emitting appends to a list and returns. One thread per stream sends what has gathered as
one batch, waits for the acknowledgement, and only then forgets it; at most one batch is
unacknowledged. When nothing is in flight an event leaves at once, under load batches grow
by themselves. The send call is passed in, so nothing here knows Ray.

A stream belongs to one process: its ``producer`` number is random, drawn at the first emit
and never pickled, so no two can share one. A forked child starts without its parent's
streams.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from kodosumi_lab.errors import ClusterError, RunClosed, WaitTimeout
from kodosumi_lab.events import ARTIFACT_BYTES, KIND_ID, dumps, run_date
from kodosumi_lab.runtime import wire
from kodosumi_lab.runtime.wire import Row

__all__ = ["Answer", "EventStream", "Sender", "flush_all"]

_BATCH_EVENTS = 20_000
_BATCH_BYTES = 8 * 2**20
# Beside flow code that computes, the sending thread gets the interpreter lock back after this
# time, several times for each batch; Python's 5 ms halve the rate of events.
_SWITCH_S = 0.0005
# The thread ends after this time without events and comes back with the next one.
_IDLE_S = 5.0


#: Why events of a batch were refused, and the count expected after a gap; both None when all is well.
Answer = tuple[str | None, int | None]


class Sender:
    """How a stream reaches the Spooler. All calls block until the answer is there."""

    def append(
        self, run_id: str, attempt: int, producer: int, first: int, data: bytes
    ) -> tuple[str | None, int | None]:
        """Commit a batch; answers as :class:`kodosumi_lab.runtime.log.Ack` does."""
        raise NotImplementedError

    def artifact(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload, durably, before the event that names it."""
        raise NotImplementedError

    def wait_lease(self, run_id: str, lid: str) -> str | None:
        """Payload of the lease that closes a lock; None when the run ends first."""
        raise NotImplementedError

    def files(self, verb: str, *args: Any) -> Any:
        """Ask the desk beside the log, see :class:`kodosumi_lab.runtime.desk.Desk`."""
        raise NotImplementedError


_streams: weakref.WeakSet[EventStream] = weakref.WeakSet()


class EventStream:
    """Events of one run from this process, on their way to the Spooler.

    Parameters
    ----------
    run_id, attempt
        The run and its attempt.
    sender
        The way to the Spooler.
    max_events, max_bytes
        What may wait for acknowledgement; at either limit emitters wait.
    on_closed
        Called once, from the sending thread, when the Spooler refuses this stream.
    """

    def __init__(
        self,
        run_id: str,
        attempt: int,
        sender: Sender,
        *,
        max_events: int = 100_000,
        max_bytes: int = 32 * 2**20,
        on_closed: Callable[[str], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self._sender = sender
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._on_closed = on_closed
        self.closed: str | None = None
        self.failed: BaseException | None = None
        self._renew()
        _streams.add(self)

    def _renew(self) -> None:
        """Start counting from nothing, as another producer: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._rows: list[Row] = []
        self._nbytes = 0
        self._emitted = 0
        self._acked = 0
        self._producer = 0
        self._thread: threading.Thread | None = None
        self._sleeping = False
        self._throttled_s = 0.0

    # -- emitting ---------------------------------------------------------------------

    def put(self, kind: int, payload: str, agent: str | None = None) -> bool:
        """Take an event; False when the buffer has reached its limit and the caller should wait.

        The event is taken either way: the limit is where emitters wait, not where events end.

        Raises
        ------
        RunClosed
            The run has ended, or a newer attempt has it.
        ClusterError
            The Spooler is gone for good.
        """
        row = (time.time_ns() // 1000, kind, agent, payload)
        with self._lock:
            if self.closed is not None or self.failed is not None:
                self._raise()
            self._rows.append(row)
            self._nbytes += len(payload)
            self._emitted += 1
            if self._sleeping:
                self._sleeping = False
                self._changed.notify_all()
            elif self._thread is None:
                self._start()
            return self._emitted - self._acked < self._max_events and self._nbytes < self._max_bytes

    def _raise(self) -> None:
        if self.closed is not None:
            raise RunClosed(f"nothing more is written for run {self.run_id}, attempt {self.attempt}: {self.closed}")
        raise ClusterError(f"events of run {self.run_id} cannot be delivered: {self.failed}") from self.failed

    @property
    def full(self) -> bool:
        """Whether emitters should wait."""
        return self._emitted - self._acked >= self._max_events or self._nbytes >= self._max_bytes

    def wait_room(self) -> None:
        """Block until emitters need not wait."""
        started = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: not self.full or self.closed or self.failed)
            self._throttled_s += time.monotonic() - started

    async def await_room(self) -> None:
        """Wait without blocking the event loop until emitters need not wait."""
        started = time.monotonic()
        while self.full and not (self.closed or self.failed):
            await asyncio.sleep(0.002)
        with self._lock:
            self._throttled_s += time.monotonic() - started

    # -- waiting ----------------------------------------------------------------------

    def flush(self, timeout_s: float | None = None) -> None:
        """Return when everything emitted so far is durable.

        Raises
        ------
        WaitTimeout
            It was not within `timeout_s`; delivery goes on.
        RunClosed, ClusterError
            It never will be.
        """
        with self._changed:
            target = self._emitted
            self._changed.wait_for(lambda: self._acked >= target or self.closed or self.failed, timeout_s)
            if self._acked >= target:
                return
            if self.closed is not None or self.failed is not None:
                self._raise()
            raise WaitTimeout(f"{target - self._acked:,} events of run {self.run_id} are not durable yet")

    async def aflush(self, timeout_s: float | None = None) -> None:
        """:meth:`flush` that leaves the event loop free."""
        await asyncio.to_thread(self.flush, timeout_s)

    @property
    def pending(self) -> int:
        """Events not acknowledged yet."""
        return self._emitted - self._acked

    # -- sending ----------------------------------------------------------------------

    def _start(self) -> None:
        if not self._producer:
            self._producer = secrets.randbits(64) | 1
            sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._thread = threading.Thread(target=self._serve, name=f"events-{self.run_id[-8:]}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if not self._rows:
                    self._sleeping = True
                    self._changed.wait_for(lambda: bool(self._rows), _IDLE_S)
                    self._sleeping = False
                if not self._rows:
                    self._thread = None
                    return
                rows, self._rows = self._take()
                first = self._acked
                nbytes = sum(len(row[3]) for row in rows)
            try:
                refused = self._deliver(rows, first)
            except Exception as error:  # noqa: BLE001 - edge of the thread: told to emitters by _raise
                with self._changed:
                    self.failed, self._thread = error, None
                    self._changed.notify_all()
                return
            with self._changed:
                self._nbytes -= nbytes
                if refused is None:
                    self._acked += len(rows)
                else:  # not counted: for whoever flushes, what was refused is not durable
                    self.closed, self._thread = refused, None
                    self._rows = []
                if self._throttled_s >= 0.05 and self.closed is None:
                    self._say_throttled()
                self._changed.notify_all()
            if refused is not None:
                if self._on_closed is not None:
                    self._on_closed(refused)
                return

    def _take(self) -> tuple[list[Row], list[Row]]:
        rows = self._rows
        if len(rows) <= _BATCH_EVENTS and self._nbytes <= _BATCH_BYTES:
            return rows, []
        size = n = 0
        for n, row in enumerate(rows, 1):
            size += len(row[3])
            if size >= _BATCH_BYTES or n >= _BATCH_EVENTS:
                break
        return rows[:n], rows[n:]

    def _say_throttled(self) -> None:
        text = f"the flow waited {self._throttled_s:.2f} s because its events came faster than they could be written"
        payload = dumps({"level": "WARNING", "logger": "kodosumi_lab", "message": text})
        self._throttled_s = 0.0
        self._rows.append((time.time_ns() // 1000, KIND_ID["log"], None, payload))
        self._nbytes += len(payload)
        self._emitted += 1

    def _deliver(self, rows: list[Row], first: int) -> str | None:
        rows = [self._without_body(row) if len(row[3]) > ARTIFACT_BYTES else row for row in rows]
        refused, expected = self._sender.append(self.run_id, self.attempt, self._producer, first, wire.encode(rows))
        if expected is not None:
            raise ClusterError(
                f"the Spooler has {expected:,} events of this emitter, which sent number {first:,}: "
                "acknowledged events are missing from the log"
            )
        return refused

    def _without_body(self, row: Row) -> Row:
        data = row[3].encode("utf-8", "replace")
        digest, date = hashlib.sha256(data).hexdigest(), run_date(self.run_id)
        self._sender.artifact(date, digest, data)
        reference: dict[str, Any] = {"artifact": {"sha256": digest, "nbytes": len(data), "date": date}}
        return (*row[:3], dumps(reference))


def flush_all(timeout_s: float) -> None:
    """Give every stream of this process a last chance; used when the process ends."""
    end = time.monotonic() + timeout_s
    for stream in list(_streams):
        if stream.pending and stream.closed is None and stream.failed is None:
            try:
                stream.flush(max(0.0, end - time.monotonic()))
            except (WaitTimeout, RunClosed, ClusterError):
                continue


def _forget_streams() -> None:
    for stream in list(_streams):
        stream._renew()


atexit.register(flush_all, 2.0)
os.register_at_fork(after_in_child=_forget_streams)
