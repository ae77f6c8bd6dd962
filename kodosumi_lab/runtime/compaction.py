"""Many small Parquet files of a closed day to few, and deleted runs out of them.

An intent names inputs and outputs before anything is published; once all outputs exist the
inputs are void, before that the outputs are. Readers (:func:`kodosumi_lab.runtime.sealing.sealed_files`)
and the next compaction judge by the same rule, so it may stop at any step.

Files are merged in groups of bounded size, since a group is in memory at a time. What a group has
become is merged again with further small files, as long as it is small itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kodosumi_lab.errors import DamagedFileWarning
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout, parse_segment
from kodosumi_lab.runtime.sealing import intents, publish, sealed_files, write_events, write_index
from kodosumi_lab.runtime.tombstones import Tombstones

__all__ = ["compact", "settle"]

# What one merge has in memory, several times over while it sorts; a file of half of it is left as it is.
GROUP_BYTES = 64 * 2**20
# Where an event, or a launch, names a payload that is kept beside the log.
_HASH = re.compile(r'"sha256":"([0-9a-f]{64})"')
# An unfinished file that nobody has written to for this long has no writer any more.
_TMP_S = 3600


def settle(folder: Path, disk: Disk) -> None:
    """Finish or undo what an interrupted compaction left, and remove unfinished files."""
    names = {path.name for path in folder.glob("*.parquet")}
    for path, inputs, outputs in intents(folder):
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
        wanted = [path for path in sealed_files(folder) if parse_segment(path.stem) not in hot]
        holding = {path for path in wanted if _holds_any(path, deleted)}
        if len(wanted) < min_files and not holding:
            continue
        for group in _groups(wanted, holding):
            inputs, read = _readable(group)
            if not inputs or (len(inputs) < min_files and not holding.intersection(inputs)):
                continue
            if kind == "events":
                gone = [table.filter(pc.is_in(table["run_id"], pa.array(deleted, pa.string()))) for table in read]
                # the code of a launch stays: a rerun on another day may have been started from it
                dropped |= _artifacts([table.filter(pc.not_equal(table["kind"], "meta")) for table in gone])
            read = [
                table.filter(pc.invert(pc.is_in(table["run_id"], pa.array(deleted, pa.string())))) for table in read
            ]
            _replace(folder, inputs, _merged_events(read) if kind == "events" else _merged_index(read), disk)
            replaced += len(inputs)
    _drop_artifacts(layout, date, dropped, disk)
    return replaced


def _groups(paths: list[Path], holding: set[Path]) -> Iterator[list[Path]]:
    """Small files together, as many as go into memory at once; a large one alone, where it holds deleted runs."""
    group: list[Path] = []
    total = 0
    for path in paths:
        nbytes = _nbytes(path)
        if nbytes > GROUP_BYTES // 2:
            if path in holding:
                yield [path]
            continue
        if group and total + nbytes > GROUP_BYTES:
            yield group
            group, total = [], 0
        group.append(path)
        total += nbytes
    if group:
        yield group


def _nbytes(path: Path) -> int:
    """Bytes that a sealed file takes in memory; a damaged one is found out where it is read."""
    with contextlib.suppress(pa.ArrowException, OSError):
        found = pq.read_metadata(path)
        return sum(found.row_group(i).total_byte_size for i in range(found.num_row_groups))
    return 0


def _replace(folder: Path, inputs: list[Path], table: pa.Table, disk: Disk) -> None:
    """Put one file with these rows in the place of others."""
    stem = f"compact-{uuid.uuid4().hex[:12]}"
    output = folder / f"{stem}-0.parquet"
    ready = publish(disk, output, table, write_events if folder.parent.name == "events" else write_index)
    plan = {"inputs": [path.name for path in inputs], "outputs": [output.name]}
    temporary = folder / f"{stem}.tmp"
    disk.create(temporary, json.dumps(plan).encode())
    disk.rename(temporary, folder / f"{stem}.intent")
    disk.sync_dir(folder)
    disk.rename(ready, output)
    disk.sync_dir(folder)
    settle(folder, disk)


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


def _merged_events(tables: list[pa.Table]) -> pa.Table:
    """All events once, in order of run and ``seq``."""
    table = pa.concat_tables(tables, promote_options="default")
    table = table.sort_by([("run_id", "ascending"), ("seq", "ascending")])
    if table.num_rows > 1:
        run, seq = table["run_id"].combine_chunks(), table["seq"].combine_chunks()
        same = pc.and_(pc.equal(run[1:], run[:-1]), pc.equal(seq[1:], seq[:-1]))
        if pc.any(same).as_py():
            first = pa.concat_arrays([pa.array([True]), pc.invert(same)])
            table = table.filter(first)
    return table


def _merged_index(tables: list[pa.Table]) -> pa.Table:
    """One row per run: the one with the greatest ``last_seq``."""
    table = pa.concat_tables(tables, promote_options="default")
    table = table.sort_by([("run_id", "ascending"), ("last_seq", "ascending")])
    if table.num_rows == 0:
        return table
    run = table["run_id"].combine_chunks()
    last = pa.concat_arrays([pc.not_equal(run[1:], run[:-1]), pa.array([True])])
    return table.filter(last)
