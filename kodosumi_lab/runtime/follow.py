"""``follow``: the one live reader. Every view, the command line and HTTP use it.

The first frames come from a query, with the hot segments' lengths noted beforehand; after
that only what was appended is read. Rows carry ``seq``, so a row seen twice is dropped and
a missing one is noticed and asked for: sealing and compaction cannot tear the stream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from kodosumi_lab.errors import WaitTimeout
from kodosumi_lab.events import TERMINAL, decode
from kodosumi_lab.runtime.layout import SegmentName
from kodosumi_lab.runtime.query import EVENTS, EventLog
from kodosumi_lab.runtime.segment import read_snapshot, read_tail

__all__ = ["Event", "afollow", "afollow_frames", "events_of", "follow", "follow_frames"]

# 100 looks a second while events come, 20 a second later, 10 after some 5 s of silence.
_FASTEST_S = 0.01
_SLOWER_S = 0.05
_SLOWEST_S = 0.1

_NOTHING = pl.DataFrame(schema=EVENTS)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run.

    Attributes
    ----------
    seq, ts, kind, agent, attempt
        Columns of the log.
    payload
        JSON text as stored.
    """

    run_id: str
    seq: int
    ts: datetime
    kind: str
    agent: str | None
    payload: str
    attempt: int
    log: EventLog

    @property
    def value(self) -> Any:
        """The payload as a Python value, see :func:`kodosumi_lab.events.decode`."""
        return decode(self.payload, self.log.artifact)

    def __repr__(self) -> str:
        text = self.payload if len(self.payload) <= 60 else self.payload[:57] + "…"
        return f"Event({self.seq}, {self.kind}, {text})"


class _Cursor:
    """What has been read; :meth:`read` gives what came since."""

    def __init__(self, log: EventLog, run_id: str, after: int) -> None:
        self.log = log
        self.run_id = run_id
        self.next = after + 1
        self.done = False
        self._seen: dict[SegmentName, int] | None = None

    def read(self) -> pl.DataFrame:
        """Contiguous new rows, sorted by seq; empty when there are none."""
        positions = self.log.positions()
        if self._seen is None:
            # RunNotFound, rather than waiting for ever; and a caller who has the end already finds no other
            self.done = self.log.run(self.run_id)["status"] in TERMINAL
        elif positions == self._seen:
            return _NOTHING
        frame = self._appended(positions)
        if frame is None:
            frame = self._query()
        self._seen = positions
        frame = self._contiguous(frame)
        if frame is None:
            # a hole that the whole log has too is a damaged file, of which the query warns; the rest is served
            frame = self._query().unique("seq", keep="first").sort("seq")
        if len(frame):
            self.next = frame["seq"][-1] + 1
            self._look_for_end(frame)
        return frame

    def _contiguous(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """New rows, once each and sorted; None when some are missing between them."""
        frame = frame.filter(pl.col("seq") >= self.next).unique("seq", keep="first").sort("seq")
        return frame if frame.is_empty() or frame["seq"][-1] - self.next + 1 == len(frame) else None

    def _query(self) -> pl.DataFrame:
        return self.log.events(self.run_id).filter(pl.col("seq") >= self.next).sort("seq").collect()

    def _appended(self, positions: dict[SegmentName, int]) -> pl.DataFrame | None:
        """Rows that were appended to the hot segments; None when only the whole log can tell."""
        frames = [_NOTHING]
        seen = self._seen
        if seen is None or not set(seen) <= set(positions):
            return None
        try:
            for name, length in positions.items():
                if seen.get(name) == length:
                    continue
                path = self.log.layout.arrows(name)
                start = seen.get(name)
                table = read_snapshot(path, length).table if start is None else read_tail(path, start, length)
                frame = pl.from_arrow(table, schema=EVENTS)
                assert isinstance(frame, pl.DataFrame)
                frames.append(frame.filter(pl.col("run_id") == self.run_id))
        except (OSError, ValueError, pa.ArrowException):
            return None  # sealed at this moment, or damaged: the query knows what to make of it
        return pl.concat(frames)

    def _look_for_end(self, frame: pl.DataFrame) -> None:
        for payload in frame.filter(pl.col("kind") == "status")["payload"]:
            self.done = self.done or json.loads(payload).get("status") in TERMINAL


class _Pace:
    def __init__(self, timeout_s: float | None, what: str) -> None:
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._what = what
        self._pause = _FASTEST_S

    def pause(self, idle: bool) -> float:
        longer = self._pause * (1.2 if self._pause < _SLOWER_S else 1.01)
        self._pause = min(_SLOWEST_S, longer) if idle else _FASTEST_S
        if self._end is not None and time.monotonic() > self._end:
            raise WaitTimeout(f"run {self._what} has not ended within {self._timeout_s:g} s; it goes on")
        return self._pause


def follow_frames(
    log: EventLog, run_id: str, *, after: int = -1, timeout_s: float | None = None
) -> Iterator[pl.DataFrame]:
    """Events of a run as they are committed, until it ends.

    Parameters
    ----------
    log, run_id
        What to read.
    after
        Last ``seq`` that the caller has; -1 from the start.
    timeout_s
        Give up after this time.

    Yields
    ------
    polars.DataFrame
        Columns of the log, ``seq`` contiguous within and across frames; only a damaged file
        (:class:`kodosumi_lab.errors.DamagedFileWarning`) leaves a hole.

    Raises
    ------
    RunNotFound
        The log holds no such run.
    WaitTimeout
        The run had not ended within `timeout_s`; it goes on.
    """
    cursor, pace = _Cursor(log, run_id, after), _Pace(timeout_s, run_id)
    while True:
        frame = cursor.read()
        if len(frame):
            yield frame
        if cursor.done:
            return
        time.sleep(pace.pause(frame.is_empty()))


async def afollow_frames(
    log: EventLog, run_id: str, *, after: int = -1, timeout_s: float | None = None
) -> AsyncIterator[pl.DataFrame]:
    """Asynchronous form of :func:`follow_frames`; files are read in a thread."""
    cursor, pace = _Cursor(log, run_id, after), _Pace(timeout_s, run_id)
    while True:
        frame = await asyncio.to_thread(cursor.read)
        if len(frame):
            yield frame
        if cursor.done:
            return
        await asyncio.sleep(pace.pause(frame.is_empty()))


def events_of(log: EventLog, frame: pl.DataFrame) -> Iterator[Event]:
    """Rows of a frame as events."""
    columns = ("run_id", "seq", "ts", "kind", "agent", "payload", "attempt")
    for run_id, seq, ts, kind, agent, payload, attempt in frame.select(columns).iter_rows():
        yield Event(run_id, seq, ts, kind, agent, payload, attempt, log)


def follow(log: EventLog, run_id: str, *, after: int = -1, timeout_s: float | None = None) -> Iterator[Event]:
    """:func:`follow_frames`, event by event."""
    for frame in follow_frames(log, run_id, after=after, timeout_s=timeout_s):
        yield from events_of(log, frame)


async def afollow(
    log: EventLog, run_id: str, *, after: int = -1, timeout_s: float | None = None
) -> AsyncIterator[Event]:
    """:func:`afollow_frames`, event by event."""
    async for frame in afollow_frames(log, run_id, after=after, timeout_s=timeout_s):
        for event in events_of(log, frame):
            yield event
