"""The log's writer: batches in, acknowledged events out. One owner, one thread.

:class:`LogWriter` assigns ``seq``, recognises what it has already, refuses what may no
longer be written, and commits all batches that wait as one group (one fsync). It knows
nothing of Ray or asyncio; the Spooler actor is a thin shell around it, and the tests drive
it with a disk that stops at any operation.

Delivery (the emitter's half is :mod:`kodosumi_lab.runtime.stream`): each producer numbers
its events from 0 and has at most one batch unacknowledged. A batch that was committed
before its acknowledgement got lost is recognised by (run, attempt, producer,
producer_seq); one that would leave a gap is not committed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import KIND_ID, KINDS, arrow_schema, run_date
from kodosumi_lab.runtime import sealing, wire
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.fold import fold_table
from kodosumi_lab.runtime.layout import Layout, SegmentName
from kodosumi_lab.runtime.lifecycle import CONTROL, NAMED_BAR, TRAILING, RunState, control_payload, fold_event, refusal
from kodosumi_lab.runtime.segment import (
    HotWriter,
    committed_length,
    read_snapshot,
    recover_length,
    set_aside,
    settle_length,
)

__all__ = ["Ack", "Batch", "LogWriter", "make_batch"]

_CONTROL_IDS = np.array(sorted(KIND_ID[kind] for kind in CONTROL), dtype=np.uint8)
_PROGRESS_ID = KIND_ID["progress"]
_KINDS = pa.array(KINDS, pa.string())

# 9999-12-31: beyond it no library can show a time.
_LAST_TS = 253_402_300_799_999_999

# Small batches cost readers more than bytes do: a segment of very many is sealed early.
_MAX_GROUPS = 8192


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one producer, as they come over the wire.

    Attributes
    ----------
    run_id, attempt
        The run and its attempt.
    producer, first
        Who emitted them and the producer's count of the first event.
    data
        The events, as :mod:`kodosumi_lab.runtime.wire` has them.
    """

    run_id: str
    attempt: int
    producer: int
    first: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to a batch.

    Attributes
    ----------
    refused
        Why events of it were not written, or None. What could be written has been.
    expected
        The producer's next count, when the batch would have left a gap: nothing was written.
    status
        The run's status afterwards.
    """

    refused: str | None = None
    expected: int | None = None
    status: str = ""


def make_batch(
    run_id: str,
    attempt: int,
    producer: int,
    first: int,
    rows: Iterable[wire.Row],
) -> Batch:
    """Batch of ``(ts in microseconds, code of the kind, agent, payload)`` rows."""
    return Batch(run_id, attempt, producer, first, wire.encode(list(rows)))


class LogWriter:
    """Writes one owner's segments.

    Parameters
    ----------
    root
        The log directory.
    owner
        Lower-case letters and digits; nobody else may write under that name at the same time.
    disk
        File operations.
    segment_bytes, segment_age_s
        A hot segment is closed at this size, or at this age when it has events.
    trailing_s
        How long after its end a run may still receive events of :data:`TRAILING`.
    clock
        Seconds, monotonic.

    Raises
    ------
    LogError
        The directory cannot be used.
    """

    def __init__(
        self,
        root: Path,
        owner: str,
        *,
        disk: Disk | None = None,
        segment_bytes: int = 32 * 2**20,
        segment_age_s: float = 900.0,
        trailing_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.layout = Layout(root)
        self.owner = owner
        self.disk = disk or Disk()
        self.segment_bytes = segment_bytes
        self.segment_age_s = segment_age_s
        self.trailing_s = trailing_s
        self.clock = clock
        self.runs: dict[str, RunState] = {}
        self._closed_at: dict[str, float] = {}
        self._segment: HotWriter | None = None
        self._opened_at = 0.0
        self._next_n = 0
        self._schema = arrow_schema()
        self._undo: dict[str, RunState | None] = {}
        self._broken: HotWriter | None = None
        self._oldest_us: int | None = None
        self._began = time.time()
        try:
            self._recover()
        except OSError as error:
            raise LogError(f"log directory cannot be used: {error.strerror or error}: {root}") from error

    # -- opening ----------------------------------------------------------------------

    def _recover(self) -> None:
        for folder in (self.layout.hot, self.layout.state):
            self.disk.mkdir(folder)
        names = self.layout.hot_segments(self.owner)
        self._sweep(names)
        while names:
            last = names[-1]
            path, len_path = self.layout.arrows(last), self.layout.length(last)
            self._next_n = max(self._next_n, last.n + 1)
            length = recover_length(path, committed_length(len_path))
            if length == 0:  # the header is whole before the name exists: only damage leads here
                set_aside(self.layout, path, self.disk)
                names.pop()
                continue
            if length < path.stat().st_size:
                self.disk.truncate(path, length)
            settle_length(self.disk, len_path, length)
            snapshot = read_snapshot(path, length)
            self.runs = {data["run_id"]: RunState.from_dict(data) for data in snapshot.runs}
            fold_table(self.runs, snapshot.table, producers=True)
            break
        if self._next_n == 0:
            self._next_n = sealing.next_number(self.layout, self.owner)
        now = self.clock()
        self._closed_at = {run_id: now for run_id, state in self.runs.items() if state.closed}
        self._open_segment()

    def _sweep(self, names: list[SegmentName]) -> None:
        """Remove what a stop between two steps of opening or sealing left behind."""
        whole = {str(name) for name in names}
        for path in self.layout.hot.glob(f"{self.owner}-*"):
            if path.suffix == ".new" or (path.suffix == ".len" and path.stem not in whole):
                self.disk.unlink(path)

    def _open_segment(self) -> None:
        self._settle_broken()
        self._evict()
        name = SegmentName(self.owner, self._next_n)
        runs = [state.to_dict() for state in self.runs.values()]
        try:
            self._segment = HotWriter(self.layout, name, self.disk, runs)
        except OSError:
            if self.layout.arrows(name).exists():  # readers may have opened it: never another file of that name
                self._next_n += 1
            raise
        self._next_n += 1
        self._opened_at = self.clock()

    def _settle_broken(self) -> None:
        if self._broken is not None:
            # Another segment makes the length of this one final, so it must be durable first;
            # what lies beyond is not read by anyone, cutting it only saves room.
            settle_length(self.disk, self.layout.length(self._broken.name), self._broken.length)
            self.disk.truncate(self._broken.path, self._broken.length)
            self._broken = None

    def _evict(self) -> None:
        """Forget runs that ended so long ago that nothing of them can be accepted any more."""
        horizon = self.clock() - self.trailing_s
        for run_id in [run_id for run_id, at in self._closed_at.items() if at < horizon]:
            del self._closed_at[run_id]
            self.runs.pop(run_id, None)

    # -- committing -------------------------------------------------------------------

    def commit(self, batches: list[Batch]) -> list[Ack]:
        """Append a group of batches and make it durable.

        Returns
        -------
        list[Ack]
            One answer for each batch, in order. When this returns, everything that was
            not refused survives a power cut.

        Raises
        ------
        LogError
            Nothing of the group was committed; the same call may be made again.
        """
        self._undo, self._oldest_us = {}, None
        staged: list[pa.RecordBatch] = []
        try:
            if self._segment is None:
                self._open_segment()
            acks = [self._stage(batch, staged) for batch in batches]
            if staged:
                assert self._segment is not None
                self._segment.append(staged)
        except OSError as error:
            self._roll_back()
            raise LogError(f"event log cannot be written: {error.strerror or error}: {self.layout.root}") from error
        except BaseException:  # memory, an interrupt: what was folded must not outlive what was not written
            self._roll_back()
            raise
        now = self.clock()
        for run_id in self._undo:
            if self.runs[run_id].closed:
                self._closed_at.setdefault(run_id, now)
        return acks

    def _roll_back(self) -> None:
        for run_id, before in self._undo.items():
            if before is None:
                self.runs.pop(run_id, None)
            else:
                self.runs[run_id] = before
        if self._segment is not None:
            self._segment.close()
            self._broken, self._segment = self._segment, None

    def _stage(self, batch: Batch, staged: list[pa.RecordBatch]) -> Ack:
        try:
            rows, kinds = self._read(batch)
            control = _control_payloads(kinds, rows)
        except (ValueError, TypeError, KeyError, RecursionError, pa.ArrowException) as error:
            return Ack(refused=f"the batch cannot be read: {error}")
        state = self.runs.get(batch.run_id)
        if state is None:
            why = self._unwelcome(batch, kinds)
            if why is not None:
                return why
            state = self.runs[batch.run_id] = RunState(batch.run_id)
            self._undo.setdefault(batch.run_id, None)
        elif batch.run_id not in self._undo:
            self._undo[batch.run_id] = state.copy()
        key = f"{batch.attempt}:{batch.producer}"
        expected, n = state.producers.get(key, -1) + 1, len(kinds)
        if batch.first > expected:
            return Ack(refused="a gap", expected=expected, status=state.status)
        skip = expected - batch.first
        if skip >= n:
            return Ack(status=state.status)
        seq0 = state.seq
        refused, keep = self._admit(state, batch, rows, kinds, control, skip)
        if keep.any():
            # not further than what was written: a refused batch that comes again is refused again
            state.producers[key] = batch.first + int(np.flatnonzero(keep)[-1])
            numbers = np.arange(batch.first, batch.first + n)
            if not keep.all():
                rows, numbers = rows.filter(pa.array(keep)), numbers[keep]
            staged.append(self._complete(batch, state, rows, numbers, seq0))
        return Ack(refused=refused, status=state.status)

    def _read(self, batch: Batch) -> tuple[pa.RecordBatch, np.ndarray]:
        """Rows of a batch, all of them such that they can be written, sealed and shown."""
        rows = wire.decode(batch.data)
        rows.validate(full=True)
        kinds = rows.column(1).to_numpy(zero_copy_only=True)
        ts = rows.column(0).to_numpy(zero_copy_only=True)
        if len(kinds) and kinds.max() >= len(KINDS):
            raise ValueError(f"there is no kind of code {kinds.max()}")
        if len(ts) and (ts.min() < 0 or ts.max() > _LAST_TS):
            raise ValueError("ts is not within the years 1970 to 9999, in microseconds")
        if batch.first < 0 or not 0 <= batch.producer < 2**64 or not 0 < batch.attempt < 2**15:
            raise ValueError(
                f"first {batch.first}, producer {batch.producer} or attempt {batch.attempt} is out of range"
            )
        return rows, kinds

    def _unwelcome(self, batch: Batch, kinds: np.ndarray) -> Ack | None:
        """Why a batch cannot be the beginning of a new run."""
        if len(kinds) == 0 or kinds[0] != KIND_ID["meta"]:
            return Ack(refused=f"run {batch.run_id} is not open here")
        if batch.attempt != 1:
            return Ack(refused=f"a run begins with attempt 1, not {batch.attempt}")
        if batch.first > 0:
            return Ack(refused="a gap", expected=0)
        try:
            run_date(batch.run_id)
        except ValueError as error:
            return Ack(refused=str(error))
        # an old id: its run may have been sealed and forgotten here, and the batch be a late repetition
        began = (uuid.UUID(batch.run_id).int >> 80) / 1000
        if began < max(self._began, time.time() - self.trailing_s) and sealing.holds(self.layout, batch.run_id):
            return Ack(refused="the run exists already")
        return None

    def _admit(
        self,
        state: RunState,
        batch: Batch,
        rows: pa.RecordBatch,
        kinds: np.ndarray,
        control: dict[int, dict[str, Any]],
        skip: int,
    ) -> tuple[str | None, np.ndarray]:
        """Fold what may be written; the reason for the first refusal, and which rows to keep."""
        keep = np.arange(len(kinds)) >= skip
        if not state.closed and batch.attempt == state.attempt and not any(KINDS[kinds[i]] in CONTROL for i in control):
            for i, data in control.items():
                if i >= skip:
                    fold_event(state, KINDS[kinds[i]], batch.attempt, rows.column(0)[i].as_py(), data)
            state.seq += len(kinds) - skip
            return None, keep
        late = state.closed and self.clock() - self._closed_at.get(state.run_id, self.clock()) > self.trailing_s
        refused = None
        for i in range(skip, len(kinds)):
            kind, payload = KINDS[kinds[i]], control.get(i)
            why = refusal(state, kind, batch.attempt, payload)
            if why is None and late and kind in TRAILING:
                why = f"the run ended more than {self.trailing_s:g} s ago"
            if why is not None:
                keep[i] = False
                refused = refused or why
                continue
            if payload is not None:
                fold_event(state, kind, batch.attempt, rows.column(0)[i].as_py(), payload)
            state.seq += 1
        return refused, keep

    def _complete(
        self, batch: Batch, state: RunState, rows: pa.RecordBatch, numbers: np.ndarray, seq0: int
    ) -> pa.RecordBatch:
        """The batch in the log's schema."""
        n = rows.num_rows
        ts, payload = rows.column(0), rows.column(3)
        first = int(ts[0].as_py())  # a producer's events come in order of time
        self._oldest_us = first if self._oldest_us is None else min(first, self._oldest_us)
        state.last_ts = max(state.last_ts, int(pc.max(ts).as_py()))
        state.nbytes += int(pc.sum(pc.binary_length(payload)).as_py())
        columns = [
            pa.repeat(pa.scalar(batch.run_id), n),
            pa.array(np.arange(seq0, seq0 + n)),
            ts.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            _KINDS.take(rows.column(1)),
            rows.column(2),
            payload,
            pa.repeat(pa.scalar(batch.attempt, pa.int16()), n),
            pa.repeat(pa.scalar(batch.producer, pa.uint64()), n),
            pa.array(numbers),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def resume(self, states: list[RunState]) -> None:
        """Go on with runs whose events are all sealed; nobody else may be writing them.

        Raises
        ------
        LogError
            The log cannot be written.
        """
        self.runs.update({state.run_id: state for state in states})
        self.rotate()  # readers and recovery know a run by the checkpoint of the segment that it goes on in

    @property
    def touched(self) -> dict[str, RunState | None]:
        """Runs that the last commit touched, with their state before (None: new)."""
        return self._undo

    @property
    def oldest_us(self) -> int | None:
        """When the oldest event that the last commit wrote was emitted, microseconds; None: it wrote none."""
        return self._oldest_us

    # -- closing segments -------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the hot segment should be closed now."""
        segment = self._segment
        if segment is None or segment.groups == 0:
            return False
        return (
            segment.length >= self.segment_bytes
            or segment.groups >= _MAX_GROUPS
            or self.clock() - self._opened_at >= self.segment_age_s
        )

    def rotate(self) -> None:
        """Close the hot segment and open the next; :meth:`seal` turns closed ones into Parquet."""
        try:
            self._finish()
            self._open_segment()
        except OSError as error:
            raise LogError(f"event log cannot be written: {error.strerror or error}: {self.layout.root}") from error

    def _finish(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            try:
                segment.finish()
            except OSError:
                # a failed sync is not to be repeated on the same descriptor: the length is written anew
                segment.close()
                self._broken = segment
                raise

    def to_seal(self) -> list[SegmentName]:
        """Closed segments that are still hot, oldest first; may run in another thread than :meth:`commit`.

        Never the newest one, whatever state this writer is in: recovery needs it, and
        only the next one's existence proves that nothing more is appended to it.
        """
        return self.layout.hot_segments(self.owner)[:-1]

    def seal(self, name: SegmentName) -> None:
        """Turn a closed segment into Parquet; may run in another thread than :meth:`commit`."""
        sealing.seal(self.layout, name, self.disk)

    def close(self) -> None:
        """End writing. Unless a run is open, only Parquet is left behind.

        Raises
        ------
        LogError
            A segment could not be sealed; it stays hot and readable.
        """
        try:
            self._finish()
            self._settle_broken()
            if all(state.closed for state in self.runs.values()):
                for name in self.layout.hot_segments(self.owner):
                    self.seal(name)
        except OSError as error:
            raise LogError(f"event log cannot be sealed: {error.strerror or error}: {self.layout.root}") from error


def _control_payloads(kinds: np.ndarray, rows: pa.RecordBatch) -> dict[int, dict[str, Any]]:
    """Decoded payloads of the events that change a run's state; of ``progress`` the last of the run's own."""
    wanted = np.flatnonzero(np.isin(kinds, _CONTROL_IDS)).tolist()
    for i in reversed(np.flatnonzero(kinds == _PROGRESS_ID).tolist()):
        if NAMED_BAR not in rows.column(3)[i].as_py():
            wanted = sorted([*wanted, i])
            break
    result = {}
    for i in wanted:
        try:
            result[i] = control_payload(rows.column(3)[i].as_py())
        except ValueError as error:
            raise ValueError(f"{KINDS[kinds[i]]} event: {error}") from error
    return result
