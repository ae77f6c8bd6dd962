"""Bringing the runs of a kodosumi 1.1 installation into this log.

``<exec_dir>/<user>/<fid>/sqlite3.db`` holds one run each, read as it is and never changed.
Each becomes a run of this log through the log's own writer, under an owner of its own, so
a Spooler may be writing meanwhile.

Importing again adds only runs that are not in the log yet: the id follows from the first
message's time and the ``fid``, the producer from the ``fid``. All events of a run are one
commit group, so a stop leaves whole runs behind. Only a run that is too large for one group
may be there in part; the next import takes up the owner that stopped, and what it has
already is recognised as a Spooler recognises a batch that is sent again.

A run that had not ended there is ``lost`` here. Once it has ended there, the next import goes on with
it: its state before that status, read back from the log, is the writer's again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pyarrow as pa

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import ARTIFACT_BYTES, KIND_ID, TERMINAL, arrow_schema, dumps, run_date
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.fold import fold_table
from kodosumi_lab.runtime.history import History, Message, microseconds
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.lifecycle import CONTROL, RunState
from kodosumi_lab.runtime.log import Batch, LogWriter, make_batch
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.wire import Row

__all__ = ["Imported", "databases", "import_history"]

# Owners of imports begin with it: an import that was stopped is found and taken up by the next one.
_OWNER = "import"
_BATCH_ROWS = 10_000
# Within a run a commit is due from here on: that much of it is in memory.
_GROUP_BYTES = 32 * 2**20
# Between two runs a commit is due from here on; so a run of up to the difference is in one group.
_ENOUGH_BYTES = 8 * 2**20
# Payloads that the fold reads stay in the event, however large: without its lid a lock is none.
_INLINE = frozenset(KIND_ID[kind] for kind in ("meta", "status", "lock", "lease"))


@dataclass(slots=True)
class Imported:
    """What an import found and did.

    Attributes
    ----------
    runs, events
        Added to the log, or to be added by an import that is no dry run.
    present
        Runs that the log had already.
    failed
        Databases that were left out, and why.
    going_on
        Databases that another process has open for a run without an end: left for a later import.
    resumed
        Databases of runs that were in the log as ``lost``, have ended there since, and so have here.
    """

    runs: int = 0
    events: int = 0
    present: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    going_on: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)


def databases(exec_dir: Path) -> list[Path]:
    """Databases of runs below a kodosumi execution directory.

    Raises
    ------
    LogError
        It is no directory.
    """
    if not exec_dir.is_dir():
        raise LogError(f"no such directory; expected kodosumi's, with <user>/<fid>/sqlite3.db in it: {exec_dir}")
    return sorted(exec_dir.glob("*/*/sqlite3.db"))


def import_history(
    exec_dir: str | Path,
    log_dir: str | Path,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Add the runs of a kodosumi 1.1 installation to an event log.

    Parameters
    ----------
    exec_dir
        kodosumi's execution directory.
    log_dir
        The event log; made where there is none.
    dry_run
        Read everything, write nothing.
    progress
        Called with the databases done and all there are.

    Raises
    ------
    LogError
        The directory is none, the log cannot be written, or another import is writing to it.
    """
    paths = databases(Path(exec_dir))
    layout = Layout(Path(log_dir))
    log = EventLog(layout.root)
    if dry_run:
        return _Import(None, log).run(paths, progress)
    # two imports at once would add the same runs twice: the writer knows only its own
    alone = ownership.claim(layout, "importing")
    try:
        owner = next(iter(_stopped(layout)), f"{_OWNER}{secrets.token_hex(4)}")
        held = ownership.claim(layout, owner)
        writer = None
        try:
            held.record(ownership.here(owner, os.getpid(), ""))
            writer = LogWriter(layout.root, owner, trailing_s=0.0)
            return _Import(writer, log).run(paths, progress)
        finally:
            if writer is not None:
                writer.close()
            # with an open run its hot segment has to be taken up again
            held.close(remove=not layout.hot_segments(owner))
    finally:
        alone.close(remove=True)


def _stopped(layout: Layout) -> Iterator[str]:
    for other in ownership.owners(layout):
        if other.owner.startswith(_OWNER) and ownership.is_gone(other):
            yield other.owner


class _Import:
    """One import; without a writer it only counts."""

    def __init__(self, writer: LogWriter | None, log: EventLog) -> None:
        self.done = Imported()
        self._writer = writer
        self._log = log
        self._known = dict(log.runs(hidden=True).select("run_id", "status").collect().iter_rows())
        self._ended_since: list[Path] = []
        self._batches: list[tuple[Path, Batch]] = []
        self._nbytes = 0
        self._open: set[Path] | None = None

    def run(self, paths: list[Path], progress: Callable[[int, int], None]) -> Imported:
        for n, path in enumerate(paths):
            progress(n, len(paths))
            self._each(path, self._take)
        self._commit()
        self._resume()
        progress(len(paths), len(paths))
        return self.done

    def _each(self, path: Path, work: Callable[[Path, History, sqlite3.Connection], None]) -> None:
        """Do something with a database; one that cannot be read is named and left out."""
        if self._nbytes >= _ENOUGH_BYTES:
            self._commit()
        try:
            with contextlib.closing(_connect(path)) as database:
                first = next((us for us in map(microseconds, _column(database, "timestamp")) if us is not None), None)
                if first is None:
                    self.done.failed[str(path)] = "it holds no message with a time"
                    return
                front = {kind: next(_column(database, "message", kind), None) for kind in ("meta", "inputs")}
                work(path, History(path.parent.name, path.parent.parent.name, first, **front), database)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, LogError):
                raise
            self.done.failed[str(path)] = str(error)

    def _take(self, path: Path, history: History, database: sqlite3.Connection) -> None:
        state = self._writer.runs.get(history.run_id) if self._writer is not None else None
        status = self._known.get(history.run_id)
        if status is not None and (state is None or state.closed):
            self.done.present += 1
            if status == "lost" and _ended(database):
                self.done.resumed.append(str(path))
                self._ended_since.append(path)
        elif not _ended(database) and self._held(path):
            self.done.going_on.append(str(path))
        else:
            # an import that was stopped may have been going on with a run that had been lost
            after = _Lost.of(self._log, history) if status is not None else None
            self._add(path, history, _messages(database), after)

    def _resume(self) -> None:
        """Go on with runs that have ended since they were imported as ``lost``."""
        if self._writer is None or not self._ended_since:
            return

        def prepare(path: Path, history: History, _: sqlite3.Connection) -> None:
            lost = found[path] = _Lost.of(self._log, history)
            states.append(lost.before(self._log))

        def go_on(path: Path, history: History, database: sqlite3.Connection) -> None:
            self._add(path, history, _messages(database), found[path])

        found: dict[Path, _Lost] = {}
        states: list[RunState] = []
        for path in self._ended_since:
            self._each(path, prepare)
        self._writer.resume(states)
        for path in found:
            self._each(path, go_on)
        self.done.runs -= len(found)  # they were there
        self._commit()

    def _held(self, path: Path) -> bool:
        """Whether another process of this machine has the database open: its run is still going on."""
        if self._open is None:
            self._open = set(_open_databases())
        return path.resolve() in self._open

    def _add(self, path: Path, history: History, messages: Iterator[Message], after: _Lost | None = None) -> None:
        """Stage a run's rows; `after` a status that said ``lost``, those that the log has not."""
        before, nbytes, count, last = len(self._batches), self._nbytes, 0, 0
        rows = history.rows(messages)
        if after is not None and after.place is not None:  # that status took the place of the first of them
            rows, count = itertools.islice(rows, after.place, None), after.place + 1
        begun, parted = count, False
        try:
            while chunk := list(itertools.islice(rows, _BATCH_ROWS)):
                if self._nbytes >= _GROUP_BYTES:
                    self._commit()
                    parted = True
                self._stage(path, history, count, chunk)
                count, last = count + len(chunk), chunk[-1][0]
        except sqlite3.Error as error:
            if not parted:
                del self._batches[before:]
                self._nbytes = nbytes
            else:  # what is in the log cannot be taken back
                reason = f"imported; its database is damaged after {count:,} events: {error}"
                end = (last, KIND_ID["status"], None, dumps({"status": "lost", "reason": reason}))
                self._stage(path, history, count, [end])
            raise
        self.done.runs += 1
        self.done.events += count - begun

    # -- writing ----------------------------------------------------------------------

    def _stage(self, path: Path, history: History, first: int, rows: list[Row]) -> None:
        if self._writer is None:
            return
        rows = [self._sized(history.run_id, row) for row in rows]
        self._batches.append((path, make_batch(history.run_id, 1, history.producer, first, rows)))
        self._nbytes += sum(len(row[3]) for row in rows)

    def _sized(self, run_id: str, row: Row) -> Row:
        """The row; a large payload is kept beside the log, before the event that names it."""
        if len(row[3]) <= ARTIFACT_BYTES or row[1] in _INLINE:
            return row
        assert self._writer is not None
        data, date = row[3].encode(), run_date(run_id)
        digest = hashlib.sha256(data).hexdigest()
        path, disk = self._writer.layout.artifact(date, digest), self._writer.disk
        try:
            if not path.exists():
                temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
                disk.mkdir(path.parent)
                disk.create(temporary, data)
                disk.rename(temporary, path)
                disk.sync_dir(path.parent)
        except OSError as error:
            raise LogError(f"a payload cannot be kept: {error.strerror or error}: {path}") from error
        return (*row[:3], dumps({"artifact": {"sha256": digest, "nbytes": len(data), "date": date}}))

    def _commit(self) -> None:
        batches, self._batches, self._nbytes = self._batches, [], 0
        if self._writer is None or not batches:
            return
        for (path, batch), ack in zip(batches, self._writer.commit([batch for _, batch in batches]), strict=True):
            if ack.refused is not None:
                self.done.failed[str(path)] = f"run {batch.run_id} was refused: {ack.refused}"
        if self._writer.full:
            self._writer.rotate()
            for name in self._writer.to_seal():
                self._writer.seal(name)


@dataclass(frozen=True, slots=True)
class _Lost:
    """The status that ended an imported run here before it ended there.

    Attributes
    ----------
    run_id
        Of which run.
    seq
        Of that event; -1 where there is none.
    place
        Its count at the import's producer, None where another one wrote it.
    """

    run_id: str
    seq: int
    place: int | None

    @classmethod
    def of(cls, log: EventLog, history: History) -> _Lost:
        """Find it in the log."""
        said = log.events(history.run_id).filter(pl.col("kind") == "status").sort("seq").collect()
        lost = said.filter(pl.col("payload").str.json_path_match("$.status") == "lost")
        if lost.is_empty():
            return cls(history.run_id, -1, None)
        row = lost.row(-1, named=True)
        return cls(history.run_id, row["seq"], row["producer_seq"] if row["producer"] == history.producer else None)

    def before(self, log: EventLog) -> RunState:
        """The run's state as if that status had not been said; the events' numbers go on behind it."""
        row, events = log.run(self.run_id), log.events(self.run_id)
        told = events.filter(pl.col("kind").is_in([*CONTROL, "progress"])).sort("seq").collect()
        runs = {self.run_id: RunState(self.run_id)}
        fold_table(runs, told.filter(pl.col("seq") != self.seq).to_arrow().cast(arrow_schema()))
        state = runs[self.run_id]
        state.seq, state.nbytes = row["last_seq"] + 1, row["nbytes"]
        state.last_ts = events.select(pl.col("ts").max()).collect().to_arrow()["ts"].cast(pa.int64())[0].as_py()
        counts = events.group_by("attempt", "producer").agg(pl.col("producer_seq").max()).collect()
        state.producers = {f"{attempt}:{producer}": n for attempt, producer, n in counts.iter_rows()}
        return state


# -- databases --------------------------------------------------------------------------


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database for reading, in such a way that nothing is written beside it.

    kodosumi's databases are in WAL mode. With a WAL file somebody may be writing, and locks
    are needed; without one the database was closed, and opening it with locks would leave
    files in a directory that is not ours.
    """
    with path.open("rb") as file:
        header = file.read(20)
    wal = path.with_name(path.name + "-wal")
    closed = header[18:20] == b"\x02\x02" and not (wal.exists() and wal.stat().st_size)
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{'immutable=1' if closed else 'mode=ro'}", uri=True)
    database.text_factory = lambda data: data.decode("utf-8", "replace")
    return database


def _column(database: sqlite3.Connection, column: str, kind: str | None = None) -> Iterator[Any]:
    where, values = ("where kind = ?", (kind,)) if kind is not None else ("", ())
    query = f"select {column} from monitor {where} order by id"  # noqa: S608 - names of our own
    return (_text(value) if kind is not None else value for (value,) in database.execute(query, values))


def _messages(database: sqlite3.Connection) -> Iterator[Message]:
    for timestamp, kind, message in database.execute("select timestamp, kind, message from monitor order by id"):
        yield timestamp, _text(kind), _text(message)


def _ended(database: sqlite3.Connection) -> bool:
    marks = ", ".join("?" * len(TERMINAL))
    query = f"select 1 from monitor where kind = 'status' and message in ({marks}) limit 1"  # noqa: S608 - only marks
    return database.execute(query, sorted(TERMINAL)).fetchone() is not None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _open_databases() -> Iterator[Path]:
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error, OSError):
                for file in process.open_files():
                    if file.path.endswith("sqlite3.db"):
                        yield Path(file.path).resolve()
