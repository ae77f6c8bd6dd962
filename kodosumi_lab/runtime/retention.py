"""Days of a log: how large they are, and taking whole ones out or together.

A run lies in the partition of the day on which it started, so taking a day out is unlinking directories. Only days
that are closed are touched: every run of theirs has ended, and no hot segment holds anything of them, so that nothing
comes back when it is sealed. Nobody compacts meanwhile. The index goes first: a run that is partly gone is in no list.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime import compaction, ownership, sealing
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout, parse_segment
from kodosumi_lab.runtime.query import EventLog

__all__ = ["Day", "compact", "days", "expire"]

#: In the order in which they are taken out.
_TREES = ("runs", "events", "files", "artifacts")
_HASH = re.compile(r'"sha256":\s*"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Day:
    """A start date of runs.

    Attributes
    ----------
    date : datetime.date
        UTC.
    runs, open
        How many runs, and how many of them have not ended.
    events
        Of these runs.
    files
        Parquet files with events.
    nbytes
        On disk: events, index, large payloads and files. What is hot is not counted.
    closed
        Whether it may be compacted or taken out.
    """

    date: datetime.date
    runs: int
    open: int
    events: int
    files: int
    nbytes: int
    closed: bool


def days(log: EventLog) -> list[Day]:
    """The days of a log, newest first."""
    layout = log.layout
    frame = log.runs(hidden=True).select("run_id", "ended", "events").collect()
    dates = pl.Series("date", [run_date(run_id) for run_id in frame["run_id"]], dtype=pl.String)
    counted = {
        row["date"]: row
        for row in frame.with_columns(dates)
        .group_by("date")
        .agg(runs=pl.len(), open=pl.col("ended").is_null().sum(), events=pl.col("events").sum())
        .iter_rows(named=True)
    }
    hot = _hot_dates(log)
    found = []
    for date in sorted({*counted, *(date for tree in _TREES for date in layout.dates(tree))}, reverse=True):
        row = counted.get(date, {"runs": 0, "open": 0, "events": 0})
        nbytes = sum(_size(layout.root / tree / f"date={date}") for tree in _TREES)
        files = len(sealing.sealed_files(layout.table("events", date)))
        closed = date not in hot and not row["open"] and date < _today()
        day = datetime.date.fromisoformat(date)
        found.append(Day(day, row["runs"], row["open"], row["events"], files, nbytes, closed))
    return found


def expire(log: EventLog, before: datetime.date) -> list[datetime.date]:
    """Take out the closed days before a date, with everything of their runs; there is no way back.

    Large payloads that the launch of a run of another day names stay: it may be run again.

    Returns
    -------
    list of datetime.date
        What is gone.

    Raises
    ------
    LogError
        Somebody compacts the log at this moment, or it cannot be written.
    """
    claim = ownership.claim(log.layout, "compaction", timeout_s=5.0)
    try:
        _sweep(log.layout)
        gone = [day.date for day in days(log) if day.closed and day.date < before]
        wanted = _launch_code(log, {date.isoformat() for date in gone}) if gone else set()
        for date in sorted(gone):
            _take_out(log.layout, date.isoformat(), wanted)
        _sweep(log.layout)
    except OSError as error:
        raise LogError(f"days cannot be taken out of the log: {error.strerror or error}: {log.root}") from error
    finally:
        claim.close(remove=True)
    return gone


def compact(log: EventLog) -> int:
    """Merge the files of each closed day, without its deleted runs; a Spooler with time on its hands does so, too.

    Returns
    -------
    int
        How many files were replaced.

    Raises
    ------
    LogError
        Somebody else is at it.
    """
    claim = ownership.claim(log.layout, "compaction", timeout_s=5.0)
    try:
        return sum(compaction.compact(log.layout, day.date.isoformat(), Disk()) for day in days(log) if day.closed)
    finally:
        claim.close(remove=True)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _hot_dates(log: EventLog) -> set[str]:
    """Start dates of runs that a hot segment or its checkpoint holds, and of those whose sealing is not finished."""
    found = {run_date(run_id) for segment in log._open_hot().values() for run_id in segment.runs}
    hot = set(log.layout.hot_segments())
    for date in log.layout.dates("events"):
        if {parse_segment(path.stem) for path in log.layout.table("events", date).glob("*.parquet")} & hot:
            found.add(date)
    return found


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # compacted or removed meanwhile
                continue
    return total


def _launch_code(log: EventLog, gone: set[str]) -> set[str]:
    """Hashes of the payloads that launches of other days name."""
    meta = log.events().filter(pl.col("kind") == "meta", pl.col("payload").str.contains('"sha256"', literal=True))
    rows = meta.select("run_id", "payload").collect()
    kept = (payload for run_id, payload in rows.iter_rows() if run_date(run_id) not in gone)
    return {found for payload in kept for found in _HASH.findall(json.dumps(json.loads(payload)))}


def _take_out(layout: Layout, date: str, wanted: set[str]) -> None:
    trash = layout.state / "trash"
    Disk().mkdir(trash)
    for tree in _TREES:
        folder = layout.root / tree / f"date={date}"
        if not folder.is_dir():
            continue
        if tree == "artifacts" and any((folder / name).exists() for name in wanted):
            for path in folder.iterdir():
                if path.name not in wanted:
                    path.unlink()
            continue
        # at once for every reader, however long unlinking takes
        folder.rename(trash / f"{secrets.token_hex(8)}-{tree}-{date}")
        Disk().sync_dir(folder.parent)


def _sweep(layout: Layout) -> None:
    trash = layout.state / "trash"
    for folder in trash.iterdir() if trash.is_dir() else []:
        shutil.rmtree(folder, ignore_errors=True)
