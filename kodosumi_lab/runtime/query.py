"""Reading the log: Polars frames over Parquet and hot segments at once. No Ray, no server.

What a reader must get right, and where:

1. Hot segments are opened first, then the Parquet files are listed, leaving out those of
   the same name: a segment that is sealed in between is neither missed nor read twice.
2. Everything is opened before the first row leaves; a file that vanished in between
   (sealed, compacted) starts the plan again. Open files survive their unlinking.
3. A Parquet file that cannot be read is left out with a :class:`DamagedFileWarning` that
   names it; the rest is served.
"""

from __future__ import annotations

import datetime
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from kodosumi_lab.errors import DamagedFileWarning, LogError, RunNotFound
from kodosumi_lab.events import arrow_schema, run_date
from kodosumi_lab.runtime.fold import fold_table, index_schema, index_table
from kodosumi_lab.runtime.layout import Layout, SegmentName, parse_segment
from kodosumi_lab.runtime.lifecycle import TAKEN, RunState
from kodosumi_lab.runtime.sealing import sealed_files
from kodosumi_lab.runtime.segment import committed_length, read_snapshot, read_tail
from kodosumi_lab.runtime.tombstones import Tombstones

__all__ = ["EVENTS", "RUNS", "EventLog"]


def _polars(schema: pa.Schema) -> pl.Schema:
    return pl.Schema(pl.from_arrow(schema.empty_table()).schema)  # type: ignore[union-attr]


#: Polars schema of events.
EVENTS = _polars(arrow_schema())
_INDEX = _polars(index_schema())
#: Polars schema of the run list: the index and ``place``, the place in the queue from 1.
RUNS = pl.Schema({**_INDEX, "place": pl.Int64()})

_T = TypeVar("_T")

# A damaged file may also make Polars panic, which is no Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)

# Yielding a full scan in slices of this many bytes on disk keeps its memory bounded.
_SCAN_BYTES = 256 * 2**20


class _Hot:
    """A hot segment as read so far; reading again costs only what was added."""

    def __init__(self, path: Path, length: int) -> None:
        snapshot = read_snapshot(path, length)
        if not snapshot.whole:
            _warn_damaged(path, "it ends before its committed length")
        self.path = path
        self.length = snapshot.length
        self.runs = {data["run_id"]: RunState.from_dict(data) for data in snapshot.runs}
        self.frames = [_frame(snapshot.table)]
        fold_table(self.runs, snapshot.table)

    def advance(self, length: int) -> None:
        if length > self.length:
            try:
                table = read_tail(self.path, self.length, length)
            except (ValueError, pa.ArrowException) as error:
                _warn_damaged(self.path, error)
                self.length = length
                return
            self.frames.append(_frame(table))
            fold_table(self.runs, table)
            self.length = length
            if len(self.frames) > 64:
                self.frames = [pl.concat(self.frames, rechunk=False)]


def _warn_damaged(path: Path, reason: object) -> None:
    warnings.warn(
        f"a damaged file of the log was left out: {reason}: {path}; "
        "`kodosumi-lab doctor --set-aside` moves it out of the way",
        DamagedFileWarning,
        stacklevel=4,
    )


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table, schema=EVENTS)
    assert isinstance(frame, pl.DataFrame)
    return frame


class EventLog:
    """An event log, for reading.

    Parameters
    ----------
    root
        The log directory; one that does not exist yet reads as empty.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.layout = Layout(self.root)
        self.tombstones = Tombstones(self.layout)
        self._hot: dict[SegmentName, _Hot] = {}
        self._index: tuple[frozenset[Path], pl.DataFrame] = (frozenset(), pl.DataFrame(schema=_INDEX))
        self._lock = threading.RLock()

    # -- frames -----------------------------------------------------------------------

    def events(
        self,
        run_id: str | None = None,
        *,
        since: datetime.date | None = None,
        until: datetime.date | None = None,
    ) -> pl.LazyFrame:
        """Events of all runs, finished and live, as of each ``collect``.

        Parameters
        ----------
        run_id
            Only this run; its partition and row groups are all that is read.
        since, until
            Only runs that started on these days (UTC, both included).

        Returns
        -------
        polars.LazyFrame
            Columns of :data:`EVENTS`. Rows of one run come in order of ``seq`` when
            sorted by it; across runs no order is promised.
        """
        date = run_date(run_id) if run_id is not None else None
        low = date or (since.isoformat() if since else "")
        high = date or (until.isoformat() if until else "9999")

        def generate(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            deleted = self.tombstones.ids()

            def plan(source: pl.LazyFrame) -> pl.DataFrame:
                if deleted:
                    source = source.filter(~pl.col("run_id").is_in(deleted))
                if run_id is not None:
                    source = source.filter(pl.col("run_id") == run_id)
                if predicate is not None:
                    source = source.filter(predicate)
                if with_columns is not None:
                    source = source.select(with_columns)
                return source.collect()

            left = n_rows
            for found in self._scan("events", low, high, plan, in_range=since is not None or until is not None):
                frame = found if left is None else found.head(left)
                if left is not None:
                    left -= len(frame)
                yield frame
                if left == 0:
                    return

        return register_io_source(generate, schema=EVENTS, is_pure=False)

    def runs(self, *, hidden: bool = False) -> pl.LazyFrame:
        """All runs, finished and live, one row each, as of each ``collect``; newest last.

        Parameters
        ----------
        hidden
            Also the log's own system runs.

        Returns
        -------
        polars.LazyFrame
            Columns of :data:`RUNS`: ``started``, ``running``, ``ended`` and ``updated`` are
            UTC times, ``active_s`` seconds, ``nbytes`` payload bytes, ``progress`` 0 to 1 or
            null, ``place`` the place in the queue of a run that waits for a slot, ``cell`` the id of
            the notebook cell that launched it.
        """

        def generate(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            frame = self._runs()
            if not hidden:
                frame = frame.filter(~pl.col("hidden"))
            if predicate is not None:
                frame = frame.filter(predicate)
            if with_columns is not None:
                frame = frame.select(with_columns)
            yield frame.head(n_rows) if n_rows is not None else frame

        return register_io_source(generate, schema=RUNS, is_pure=False)

    def _runs(self) -> pl.DataFrame:
        frame = self._settled(self._index_now)
        deleted = self.tombstones.ids()
        if deleted:
            frame = frame.filter(~pl.col("run_id").is_in(deleted))
        taken = pl.col("reason").str.contains(f"^({'|'.join(TAKEN)})")
        waiting = (pl.col("status") == "starting") & pl.col("runner").is_null() & ~taken
        queue = (
            frame.filter(waiting)
            .select("run_id", root=pl.col("parent").is_null())
            .sort("root", "run_id")
            .with_row_index("place", offset=1)
            .select("run_id", pl.col("place").cast(pl.Int64))
        )
        if queue.is_empty():
            return frame.with_columns(place=pl.lit(None, pl.Int64)).select(RUNS.names())
        return frame.join(queue, on="run_id", how="left", maintain_order="left").select(RUNS.names())

    def _index_now(self, hot: dict[SegmentName, _Hot]) -> pl.DataFrame:
        states: dict[str, RunState] = {}
        for segment in hot.values():
            for run_id, state in segment.runs.items():
                if run_id not in states or state.seq >= states[run_id].seq:
                    states[run_id] = state
        frame = self._sealed_index(set(hot))
        if not states:
            return frame
        live = pl.from_arrow(index_table(list(states.values())), schema=_INDEX)
        assert isinstance(live, pl.DataFrame)
        return pl.concat([frame.filter(~pl.col("run_id").is_in(live["run_id"].to_list())), live]).sort("run_id")

    def _sealed_index(self, hot: set[SegmentName]) -> pl.DataFrame:
        """Newest index row of each sealed run; sealed files never change, so only new ones are read."""
        files = frozenset(self._sealed("runs", "", "9999", hot))
        known, frame = self._index
        if files == known:
            return frame
        fresh = sorted(files - known) if known <= files else sorted(files)
        opened = self._open(fresh)
        rows = pl.concat([self._read(opened, lambda source: source.collect(), _INDEX), frame.clear()])
        if known <= files:
            rows = pl.concat([frame, rows])
        frame = rows.sort("run_id", "last_seq").unique("run_id", keep="last", maintain_order=True)
        self._index = (files, frame)
        return frame

    # -- one run ----------------------------------------------------------------------

    def sizes(self, run_id: str, first: int, last: int) -> pl.DataFrame:
        """How long the payloads of a run's events from `first` to `last` are, without holding them all at once.

        Returns
        -------
        polars.DataFrame
            ``seq`` (each once, in order) and ``nbytes``.
        """
        date = run_date(run_id)
        wanted = (pl.col("run_id") == run_id) & pl.col("seq").is_between(first, last)

        def plan(source: pl.LazyFrame) -> pl.DataFrame:
            size = pl.col("payload").str.len_bytes().cast(pl.Int64)
            return source.filter(wanted).select("seq", nbytes=size).collect(engine="streaming")

        found = pl.concat(self._scan("events", date, date, plan, in_range=False))
        return found.unique("seq", keep="first").sort("seq")

    def run(self, run_id: str) -> dict[str, Any]:
        """The run's index row, as of now.

        Raises
        ------
        RunNotFound
            The log holds no such run.
        """
        date = run_date(run_id)

        def look(hot: dict[SegmentName, _Hot]) -> dict[str, Any] | None:
            found = [segment.runs[run_id] for segment in hot.values() if run_id in segment.runs]
            if found:
                row: dict[str, Any] = index_table([max(found, key=lambda state: state.seq)]).to_pylist()[0]
                return row
            opened = self._open(self._sealed("runs", date, date, set(hot)))
            rows = self._read(opened, lambda s: s.filter(pl.col("run_id") == run_id).collect(), _INDEX)
            return rows.sort("last_seq").row(-1, named=True) if len(rows) else None

        row = self._settled(look)
        if row is None or run_id in self.tombstones.ids():
            raise RunNotFound(f"no run {run_id} in the log {self.root}; `kodosumi-lab runs` lists those there are")
        row["locks"] = json.loads(row["locks"] or "[]")
        return dict(row)

    def place(self, run_id: str) -> int | None:
        """Place in the queue of a run that waits for a slot, from 1."""
        found = self._runs().filter(pl.col("run_id") == run_id)["place"]
        return found[0] if len(found) else None

    def delete(self, run_id: str, by: str) -> None:
        """Leave a run out from now on, see :class:`kodosumi_lab.runtime.tombstones.Tombstones`."""
        self.tombstones.add(run_id, by)

    def artifact(self, reference: dict[str, Any]) -> str:
        """Text of a payload that is kept beside the log.

        Raises
        ------
        LogError
            It is not there (any more), or this is no reference.
        """
        try:
            path = self.layout.artifact(str(reference["date"]), str(reference["sha256"]))
        except (KeyError, TypeError, ValueError) as error:
            raise LogError(f"{str(reference)[:200]} is no reference to a payload: {error}") from None
        try:
            return path.read_text()
        except OSError as error:
            nbytes = reference.get("nbytes")
            size = f"{nbytes:,}" if isinstance(nbytes, int) else "an unknown number of"
            raise LogError(f"a payload of {size} bytes is not in the log: {path}") from error

    # -- files ------------------------------------------------------------------------

    def positions(self) -> dict[SegmentName, int]:
        """Hot segments and their committed lengths now."""
        result = {}
        for name in self.layout.hot_segments():
            length = committed_length(self.layout.length(name))
            if length is not None:
                result[name] = length
        return result

    def _open_hot(self) -> dict[SegmentName, _Hot]:
        with self._lock:
            positions = self.positions()
            for name in set(self._hot) - set(positions):
                del self._hot[name]
            for name, length in positions.items():
                try:
                    if name in self._hot:
                        self._hot[name].advance(length)
                    else:
                        self._hot[name] = _Hot(self.layout.arrows(name), length)
                except FileNotFoundError:  # sealed meanwhile: its Parquet is listed next, and has more than was read
                    self._hot.pop(name, None)
            return dict(self._hot)

    def _settled(
        self, read: Callable[[dict[SegmentName, _Hot]], _T], discard: Callable[[_T], None] = lambda _: None
    ) -> _T:
        """What `read` makes of the hot segments and the Parquet files that it lists after them.

        Two things make it look again: a file that vanished between its listing and its
        opening, and a hot segment that was sealed since. The latter may have grown before, and
        the Parquet of its successor may be among those listed: that would be a hole.
        """
        for _ in range(100):
            with self._lock:
                hot = self._open_hot()
                try:
                    result = read(hot)
                except FileNotFoundError:
                    continue
            if set(hot) <= set(self.layout.hot_segments()):
                return result
            discard(result)
        raise LogError(f"files of the log kept vanishing while it was opened: {self.root}")

    def _sealed(self, kind: str, low: str, high: str, hot: set[SegmentName]) -> list[Path]:
        files = []
        for date in self.layout.dates(kind):
            if low <= date <= high:
                paths = sealed_files(self.layout.table(kind, date))
                files += [path for path in paths if parse_segment(path.stem) not in hot]
        return files

    def _open(self, files: list[Path]) -> list[tuple[Path, IO[bytes]]]:
        opened: list[tuple[Path, IO[bytes]]] = []
        try:
            for path in files:
                opened.append((path, path.open("rb")))  # noqa: PERF401 - those opened so far are to be closed
        except OSError:
            _close(opened)
            raise
        return opened

    def _scan(self, kind: str, low: str, high: str, plan: Any, *, in_range: bool) -> Iterator[pl.DataFrame]:
        def look(hot: dict[SegmentName, _Hot]) -> tuple[list[pl.DataFrame], list[tuple[Path, IO[bytes]]]]:
            opened = self._open(self._sealed(kind, low, high, set(hot)))
            return [frame for segment in hot.values() for frame in segment.frames], opened

        frames, opened = self._settled(look, lambda found: _close(found[1]))
        try:
            group: list[tuple[Path, IO[bytes]]] = []
            size = 0
            for path, file in opened:
                group.append((path, file))
                size += os.fstat(file.fileno()).st_size
                if size >= _SCAN_BYTES:
                    yield self._read(group, plan, None)
                    group, size = [], 0
            if group:
                yield self._read(group, plan, None)
        finally:
            _close(opened)
        source = pl.concat(frames, rechunk=False).lazy() if frames else pl.LazyFrame(schema=EVENTS)
        if in_range:
            ids = source.select(pl.col("run_id").unique()).collect()["run_id"]
            source = source.filter(pl.col("run_id").is_in([i for i in ids if low <= run_date(i) <= high]))
        yield plan(source)

    def _read(self, opened: list[tuple[Path, IO[bytes]]], plan: Any, empty: pl.Schema | None) -> pl.DataFrame:
        """Run a plan over opened Parquet files, leaving out damaged ones."""
        if not opened:
            return pl.DataFrame(schema=empty)
        try:
            frame = plan(_scan_files([file for _, file in opened], empty))
            assert isinstance(frame, pl.DataFrame)
        except _UNREADABLE:
            good, bad = [], []
            for path, file in opened:
                try:
                    _scan_files([file], empty).collect()
                    good.append((path, file))
                except _UNREADABLE as reason:
                    bad.append((path, file))
                    _warn_damaged(path, reason)
            _close(bad)
            if not bad:
                raise  # the files are whole: it is the query that fails
            if not good:
                return pl.DataFrame(schema=empty) if empty else plan(pl.LazyFrame(schema=EVENTS))
            return self._read(good, plan, empty)
        finally:
            _close(opened)
        return frame


def _close(opened: list[tuple[Path, IO[bytes]]]) -> None:
    for _, file in opened:
        file.close()


def _scan_files(files: list[IO[bytes]], schema: pl.Schema | None) -> pl.LazyFrame:
    """Files of one table; those of an earlier version may lack columns of `schema`, which are null there."""
    for file in files:
        file.seek(0)
    return pl.scan_parquet(files, schema=schema, glob=False, missing_columns="insert", extra_columns="ignore")
