"""Hot segments to Parquet, and which Parquet files count.

Sealing survives a stop at any step: the Parquet files are published by rename, then the hot
segment is unlinked; until then it wins over them, so a repeated seal just writes them again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.fold import fold_table, index_table
from kodosumi_lab.runtime.layout import Layout, SegmentName, parse_segment
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.segment import read_snapshot, set_aside

__all__ = ["holds", "intents", "next_number", "publish", "seal", "sealed_files", "write_events", "write_index"]

# One run is read by decoding the row groups that hold it: small ones keep that cheap.
ROW_GROUP = 20_000
# Nor do they hold many large payloads: whoever wants a few of a run's events decodes all of a group's.
ROW_GROUP_BYTES = 16 * 2**20


def next_number(layout: Layout, owner: str) -> int:
    """First number that no sealed segment of `owner` has."""
    taken = [-1]
    for date in layout.dates("runs"):
        folder = layout.table("runs", date)
        stems = [path.stem for path in folder.glob(f"{owner}-*.parquet")]
        # a name in an unfinished compaction is void for readers, whatever stands under it
        stems += [name.removesuffix(".parquet") for _, inputs, _ in intents(folder) for name in inputs]
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
    mean = (pc.sum(pc.binary_length(table["payload"])).as_py() or 0) // max(1, table.num_rows)
    pq.write_table(
        table,
        sink,
        row_group_size=max(16, min(ROW_GROUP, ROW_GROUP_BYTES // max(1, mean))),
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


def write_index(table: pa.Table, sink: pa.NativeFile) -> None:
    """Write index rows as this log keeps them."""
    pq.write_table(table, sink, compression="zstd", row_group_size=100_000, write_page_checksum=True)


def publish(disk: Disk, path: Path, table: pa.Table, write: Callable[[pa.Table, pa.NativeFile], None]) -> Path:
    """Write `table` beside its final name and make the content durable; where it is, to be renamed."""
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
            for kind, rows, write in (("events", table, write_events), ("runs", index, write_index)):
                target = layout.table(kind, date) / f"{name}.parquet"
                disk.rename(publish(disk, target, rows, write), target)
                disk.sync_dir(target.parent)
    if snapshot.whole:
        disk.unlink(hot)
    else:
        # what could be read is sealed; the rest may still be worth something to a person
        set_aside(layout, hot, disk)
    disk.sync_dir(layout.hot)
    disk.unlink(layout.length(name))


# -- the sealed files that count --------------------------------------------------------


def intents(folder: Path) -> list[tuple[Path, list[str], list[str]]]:
    """Compactions that have begun: the file that says so, inputs, outputs."""
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
        begun = intents(folder)
        # A listing is no snapshot: while it is made a compaction may publish, unlink and
        # withdraw its intent. Two equal ones around the intents are one.
        if _listing(folder) == listed:
            break
    names = {name for name in listed if name.endswith(".parquet")}
    present = frozenset(names)
    for _, inputs, outputs in begun:
        names -= set(inputs) if present.issuperset(outputs) else set(outputs)
    return [folder / name for name in sorted(names)]


def _listing(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if name.endswith((".parquet", ".intent"))}
    except FileNotFoundError:
        return set()
