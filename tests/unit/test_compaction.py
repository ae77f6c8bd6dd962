"""Merging a day's files, group by group: bounded memory, and again when further small files come.

Crash points, damage and deleted runs are in ``test_sealing.py``, ``test_log.py`` and ``test_tombstones.py``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from logkit import Emitter, FastDisk, check_whole, meta, new_run, row, status

from kodosumi_lab.runtime import compaction, sealing
from kodosumi_lab.runtime.compaction import compact
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.tombstones import Tombstones

DAY = "2026-01-10"


def fill(root: Path, runs: range, *, size: int = 100, of: int = 10) -> list[str]:
    """A sealed file for each run."""
    writer = LogWriter(root, f"own{runs.start}", disk=FastDisk(), trailing_s=-1)
    ids = []
    for n in runs:
        emitter = Emitter(new_run(0, n))
        # texts that do not compress away
        texts = [row("stdout", f"{n} {i} ".ljust(size, chr(97 + (n + i) % 26))) for i in range(of)]
        emitter.send(writer, meta(), *texts, status("finished"))
        ids.append(emitter.run_id)
        writer.rotate()
        for name in writer.to_seal():
            writer.seal(name)
    writer.close()
    return ids


def files(root: Path, kind: str = "events") -> list[Path]:
    return sealing.sealed_files(Layout(root).table(kind, DAY))


def rows(root: Path) -> pl.DataFrame:
    return EventLog(root).events().collect().sort("run_id", "seq")


def test_small_files_are_merged_again_with_what_one_merge_has_made(tmp_path: Path) -> None:
    fill(tmp_path, range(5))
    assert compact(Layout(tmp_path), DAY, FastDisk(), min_files=4) == 10
    fill(tmp_path, range(10, 13))
    before, index = rows(tmp_path), EventLog(tmp_path).runs().collect()
    assert [path.stem.partition("-")[0] for path in files(tmp_path)] == ["compact", "own10", "own10", "own10"]
    assert compact(Layout(tmp_path), DAY, FastDisk(), min_files=4) == 8
    assert len(files(tmp_path)) == len(files(tmp_path, "runs")) == 1
    assert rows(tmp_path).equals(before)
    assert EventLog(tmp_path).runs().collect().equals(index)
    check_whole(before)


def test_a_merge_holds_no_more_than_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(tmp_path, range(12), size=10_000, of=20)
    before = rows(tmp_path)
    monkeypatch.setattr(compaction, "GROUP_BYTES", 900_000)
    held: list[int] = []
    read = compaction._readable

    def counted(paths: list[Path]) -> object:
        found = read(paths)
        held.append(sum(table.nbytes for table in found[1]))
        return found

    monkeypatch.setattr(compaction, "_readable", counted)
    assert compact(Layout(tmp_path), DAY, FastDisk()) == 12 + 12
    assert len(held) == 3 + 1
    assert max(held) < 1_000_000
    assert len(files(tmp_path)) == 3
    assert rows(tmp_path).equals(before)
    # what has become large enough is left as it is, but for deleted runs
    assert compact(Layout(tmp_path), DAY, FastDisk()) == 0
    left = files(tmp_path)
    Tombstones(Layout(tmp_path)).add(ids[0], "ada")
    assert compact(Layout(tmp_path), DAY, FastDisk(), min_files=100) == 2
    assert len(set(left) & set(files(tmp_path))) == 2
    assert rows(tmp_path).equals(before.filter(pl.col("run_id") != ids[0]))


def test_row_groups_are_bounded_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "ROW_GROUP_BYTES", 200_000)
    fill(tmp_path, range(1), size=10_000, of=100)
    fill(tmp_path, range(10, 11), size=10, of=1000)
    large, small = (pq.ParquetFile(path).metadata for path in sorted(files(tmp_path), key=lambda path: path.name))
    assert large.num_row_groups == 6
    assert small.num_row_groups == 1
