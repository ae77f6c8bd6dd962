"""Hot segments to Parquet, and many small Parquet files of a closed day to few.

Both survive a stop at any step. Sealing: the Parquet files are published by rename, then
the hot segment is unlinked; until then it wins over them, so a repeated seal just writes
them again. Compaction: an intent names inputs and outputs before anything is published;
once all outputs exist the inputs are void, before that the outputs are. Readers
(:func:`sealed_files`) and the next compaction judge by the same rule.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kodosumi_lab.errors import DamagedFileWarning
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.fold import fold_table, index_table
from kodosumi_lab.runtime.layout import Layout, SegmentName, parse_segment
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.segment import read_snapshot, set_aside
from kodosumi_lab.runtime.tombstones import Tombstones

__all__ = ["compact", "holds", "next_number", "seal", "sealed_files", "write_events"]

# One run is read by decoding the row groups that hold it: small ones keep that cheap.
ROW_GROUP = 20_000
# Compacted files stay below this, so that one run's row groups are found without large footers.
COMPACT_ROWS = 4_000_000
# Where an event, or a launch, names a payload that is kept beside the log.
_HASH = re.compile(r'"sha256":"([0-9a-f]{64})"')
# An unfinished file that nobody has written to for this long has no writer any more.
_TMP_S = 3600


def next_number(layout: Layout, owner: str) -> int:
    """First number that no sealed segment of `owner` has."""
    taken = [-1]
    for date in layout.dates("runs"):
        folder = layout.table("runs", date)
        stems = [path.stem for path in folder.glob(f"{owner}-*.parquet")]
        # a name in an unfinished compaction is void for readers, whatever stands under it
        stems += [name.removesuffix(".parquet") for _, inputs, _ in _intents(folder) for name in inputs]
        taken += [name.n for name in map(parse_segment, stems) if name is not None and name.owner == owner]
    return max(taken) + 1


def holds(layout: Layout, run_id: str) -> bool:
    """Whether a sealed segment has events of the run."""
    for path in sealed_files(layout.table("runs", run_date(run_id))):
        with contextlib.suppress(pa.ArrowException, OSError):  # damaged or compacted at this moment
            if pq.read_table(pa.memory_map(str(path)), columns=["run_id"], filters=[("run_id", "=", run_id)]).num_rows:
                return True
    return False


def write_events(table: pa.Table, sink: pa.NativeFile) -> None:
    """Write events as this log keeps them: sorted by (run_id, seq), zstd, statistics, small row groups."""
    table = table.sort_by([("run_id", "ascending"), ("seq", "ascending")])
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=3,
        write_page_checksum=True,
        use_dictionary=["run_id", "kind", "agent", "producer"],
        column_encoding={
            "seq": "DELTA_BINARY_PACKED",
            "ts": "DELTA_BINARY_PACKED",
            "producer_seq": "DELTA_BINARY_PACKED",
        },
    )


def _write_index(table: pa.Table, sink: pa.NativeFile) -> None:
    pq.write_table(table, sink, compression="zstd", row_group_size=100_000, write_page_checksum=True)


def _publish(disk: Disk, path: Path, table: pa.Table, write: Callable[[pa.Table, pa.NativeFile], None]) -> Path:
    """Write `table` beside its final name and make the content durable."""
    disk.mkdir(path.parent)
    temporary = path.with_suffix(".tmp")  # one writer per name, so a repeated sealing takes it up again
    sink = pa.BufferOutputStream()
    write(table, sink)
    disk.create(temporary, memoryview(sink.getvalue()))
    return temporary


def _by_date(table: pa.Table) -> dict[str, pa.Table]:
    ids = pc.unique(table["run_id"])
    dates = pa.array([run_date(run_id) for run_id in ids.to_pylist()])
    column = pc.take(dates, pc.index_in(table["run_id"], ids))
    found = pc.unique(column).to_pylist()
    return {date: table if len(found) == 1 else table.filter(pc.equal(column, date)) for date in sorted(found)}


def seal(layout: Layout, name: SegmentName, disk: Disk) -> None:
    """Turn one closed hot segment into Parquet and unlink it. Segments are sealed in order."""
    hot = layout.arrows(name)
    snapshot = read_snapshot(hot)
    if snapshot.table.num_rows:
        runs = {data["run_id"]: RunState.from_dict(data) for data in snapshot.runs}
        touched = fold_table(runs, snapshot.table)
        for date, table in _by_date(snapshot.table).items():
            ids = set(pc.unique(table["run_id"]).to_pylist()) & touched
            index = index_table([runs[run_id] for run_id in ids])
            for kind, rows, write in (("events", table, write_events), ("runs", index, _write_index)):
                target = layout.table(kind, date) / f"{name}.parquet"
                disk.rename(_publish(disk, target, rows, write), target)
                disk.sync_dir(target.parent)
    if snapshot.whole:
        disk.unlink(hot)
    else:
        # what could be read is sealed; the rest may still be worth something to a person
        set_aside(layout, hot, disk)
    disk.sync_dir(layout.hot)
    disk.unlink(layout.length(name))


# -- the sealed files that count --------------------------------------------------------


def _intents(folder: Path) -> list[tuple[Path, list[str], list[str]]]:
    result = []
    for path in sorted(folder.glob("*.intent")):
        with contextlib.suppress(FileNotFoundError, ValueError):  # finished or torn: it decides nothing
            data = json.loads(path.read_text())
            result.append((path, data["inputs"], data["outputs"]))
    return result


def sealed_files(folder: Path) -> list[Path]:
    """Parquet files of a partition that count at this moment.

    Files that a compaction has replaced, or has not published completely, are left out.
    """
    for _ in range(100):
        listed = _listing(folder)
        intents = _intents(folder)
        # A listing is no snapshot: while it is made a compaction may publish, unlink and
        # withdraw its intent. Two equal ones around the intents are one.
        if _listing(folder) == listed:
            break
    names = {name for name in listed if name.endswith(".parquet")}
    present = frozenset(names)
    for _, inputs, outputs in intents:
        names -= set(inputs) if present.issuperset(outputs) else set(outputs)
    return [folder / name for name in sorted(names)]


def _listing(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if name.endswith((".parquet", ".intent"))}
    except FileNotFoundError:
        return set()


def settle(folder: Path, disk: Disk) -> None:
    """Finish or undo what an interrupted compaction left, and remove unfinished files."""
    names = {path.name for path in folder.glob("*.parquet")}
    for path, inputs, outputs in _intents(folder):
        for name in inputs if names.issuperset(outputs) else outputs:
            disk.unlink(folder / name)
        disk.sync_dir(folder)
        disk.unlink(path)
    for path in [*folder.glob("*.tmp"), *folder.glob("*.intent")]:
        with contextlib.suppress(FileNotFoundError):
            # another owner, adopted by another process, may be sealing into this partition right now
            if path.name.startswith("compact-") or time.time() - path.stat().st_mtime > _TMP_S:
                disk.unlink(path)


def compact(layout: Layout, date: str, disk: Disk, *, min_files: int = 2) -> int:
    """Merge the files of a closed day, leaving out deleted runs.

    Parameters
    ----------
    date
        A start date of which no run is open and no segment is hot; the caller knows.
    min_files
        Do nothing below this number of files, unless they hold deleted runs.

    Returns
    -------
    int
        How many files were replaced.
    """
    replaced = 0
    deleted = [run_id for run_id in Tombstones(layout).ids() if run_date(run_id) == date]
    dropped: set[str] = set()
    for kind in ("events", "runs"):
        folder = layout.table(kind, date)
        if not folder.is_dir():
            continue
        settle(folder, disk)
        hot = set(layout.hot_segments())  # those that are sealed already, but not unlinked, win over their Parquet
        names = [(path, parse_segment(path.stem)) for path in sealed_files(folder)]
        # what is compacted already is taken up again where it holds deleted runs
        holding = {path for path, _ in names if _holds_any(path, deleted)}
        wanted = [path for path, name in names if (path in holding if name is None else name not in hot)]
        inputs, read = _readable(wanted)
        if not inputs or (len(inputs) < min_files and not holding.intersection(inputs)):
            continue
        if kind == "events":
            gone = [table.filter(pc.is_in(table["run_id"], pa.array(deleted, pa.string()))) for table in read]
            # the code of a launch stays: a rerun on another day may have been started from it
            dropped |= _artifacts([table.filter(pc.not_equal(table["kind"], "meta")) for table in gone])
        read = [table.filter(pc.invert(pc.is_in(table["run_id"], pa.array(deleted, pa.string())))) for table in read]
        stem = f"compact-{uuid.uuid4().hex[:12]}"
        tables = _merged_events(read) if kind == "events" else [_merged_index(read)]
        write = write_events if kind == "events" else _write_index
        outputs = [folder / f"{stem}-{i}.parquet" for i in range(len(tables))]
        ready = [_publish(disk, path, table, write) for path, table in zip(outputs, tables, strict=True)]
        intent = folder / f"{stem}.intent"
        plan = {"inputs": [p.name for p in inputs], "outputs": [p.name for p in outputs]}
        temporary = folder / f"{stem}.tmp"
        disk.create(temporary, json.dumps(plan).encode())
        disk.rename(temporary, intent)
        disk.sync_dir(folder)
        for path, output in zip(ready, outputs, strict=True):
            disk.rename(path, output)
        disk.sync_dir(folder)
        settle(folder, disk)
        replaced += len(inputs)
    _drop_artifacts(layout, date, dropped, disk)
    return replaced


def _holds_any(path: Path, run_ids: list[str]) -> bool:
    """Whether a sealed file has rows of one of these runs; a damaged one is left as it is."""
    if run_ids:
        with contextlib.suppress(pa.ArrowException, OSError):
            found = pq.read_table(pa.memory_map(str(path)), columns=["run_id"], filters=[("run_id", "in", run_ids)])
            return bool(found.num_rows)
    return False


_REFERENCE = '{"artifact":'


def _artifacts(tables: list[pa.Table]) -> set[str]:
    """Hashes of the payloads beside the log that events name."""
    found: set[str] = set()
    for table in tables:
        named = table.filter(pc.match_substring(table["payload"], _REFERENCE))["payload"]
        found.update(match for payload in named.to_pylist() for match in _HASH.findall(payload))
    return found


def _drop_artifacts(layout: Layout, date: str, dropped: set[str], disk: Disk) -> None:
    """Unlink payloads that only deleted runs named; none, where a file that may name them cannot be read."""
    if not dropped:
        return
    folder = layout.table("events", date)
    for path in sealed_files(folder):
        try:
            dropped -= _artifacts([pq.read_table(pa.memory_map(str(path)), columns=["payload"])])
        except (pa.ArrowException, OSError):
            return
    for digest in dropped:
        disk.unlink(layout.artifact(date, digest))


def _readable(paths: list[Path]) -> tuple[list[Path], list[pa.Table]]:
    """Files whose every page is as it was written, and their rows; damaged ones stay as they are."""
    good, tables = [], []
    for path in paths:
        try:
            with pa.memory_map(str(path)) as source:
                tables.append(pq.ParquetFile(source, page_checksum_verification=True).read())
            good.append(path)
        except (pa.ArrowException, OSError) as error:
            warnings.warn(
                f"a damaged file of the log was not compacted: {error}: {path}", DamagedFileWarning, stacklevel=3
            )
    return good, tables


def _merged_events(tables: list[pa.Table]) -> list[pa.Table]:
    """All events once, in files of bounded size whose ranges of run ids do not overlap."""
    table = pa.concat_tables(tables, promote_options="default")
    table = table.sort_by([("run_id", "ascending"), ("seq", "ascending")])
    if table.num_rows > 1:
        run, seq = table["run_id"].combine_chunks(), table["seq"].combine_chunks()
        same = pc.and_(pc.equal(run[1:], run[:-1]), pc.equal(seq[1:], seq[:-1]))
        if pc.any(same).as_py():
            first = pa.concat_arrays([pa.array([True]), pc.invert(same)])
            table = table.filter(first)
    return [table.slice(start, COMPACT_ROWS) for start in range(0, max(1, table.num_rows), COMPACT_ROWS)]


def _merged_index(tables: list[pa.Table]) -> pa.Table:
    """One row per run: the one with the greatest ``last_seq``."""
    table = pa.concat_tables(tables, promote_options="default")
    table = table.sort_by([("run_id", "ascending"), ("last_seq", "ascending")])
    if table.num_rows == 0:
        return table
    run = table["run_id"].combine_chunks()
    last = pa.concat_arrays([pc.not_equal(run[1:], run[:-1]), pa.array([True])])
    return table.filter(last)
