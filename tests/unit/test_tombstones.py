"""Deleting a run: readers leave it out at once, compaction drops its rows and payloads for good."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.errors import RunNotFound, RunOpen
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.compaction import compact
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.sealing import sealed_files
from kodosumi_lab.runtime.tombstones import Tombstones


def written(root: Path, *, segments: int = 2, artifacts: bool = False) -> list[str]:
    """Runs of one day, one ended in each segment, the last one open; every second names a payload of its own and all
    name a shared one."""
    writer = LogWriter(root, "test", disk=FastDisk())
    ids = []
    for i in range(segments):
        ids.append(new_run(0, i))
        emitter = Emitter(ids[-1])
        emitter.send(writer, meta(), row("inputs"), *lines(*range(5)))
        if artifacts:
            for text in (f"own {i}", "shared"):
                emitter.send(writer, row("result", {"artifact": kept(root, ids[-1], text)}))
        emitter.send(writer, status("finished"))
        writer.rotate()
        for name in writer.to_seal():
            writer.seal(name)
    writer.close()
    return ids


def kept(root: Path, run_id: str, text: str) -> dict[str, Any]:
    digest, date = hashlib.sha256(text.encode()).hexdigest(), run_date(run_id)
    path = Layout(root).artifact(date, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return {"sha256": digest, "nbytes": len(text), "date": date}


def test_a_deleted_run_is_gone_for_every_reader(tmp_path: Path) -> None:
    first, second = written(tmp_path)
    log, other = EventLog(tmp_path), EventLog(tmp_path)
    assert other.runs().collect().height == 2
    Run(first, log_dir=tmp_path).delete(by="ada")
    for reader in (log, other, EventLog(tmp_path)):
        assert reader.runs().collect()["run_id"].to_list() == [second]
        assert reader.events().collect()["run_id"].unique().to_list() == [second]
        assert reader.events(first).collect().is_empty()
        with pytest.raises(RunNotFound):
            reader.run(first)
    with pytest.raises(RunNotFound):
        Run(first, log_dir=tmp_path).delete()


def test_a_run_that_is_not_over_cannot_be_deleted(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "test", disk=FastDisk())
    run_id = new_run()
    Emitter(run_id).send(writer, meta(), status("running"))
    with pytest.raises(RunOpen, match="cancel it first"):
        Run(run_id, log_dir=tmp_path).delete()
    writer.close()


def test_a_torn_line_deletes_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    reader, writer = Tombstones(layout), Tombstones(layout)
    assert reader.ids() == frozenset()
    writer.add("a", "ada")
    assert reader.ids() == {"a"}
    with layout.tombstones.open("ab") as file:
        file.write(b'{"run_id": "to')
    assert reader.ids() == {"a"}
    writer.add("b", "ada")
    assert reader.ids() == Tombstones(layout).ids() == {"a", "b"}


@pytest.mark.parametrize("before", [False, True], ids=["sealed", "compacted"])
def test_compaction_drops_rows_and_payloads_that_nobody_else_names(tmp_path: Path, before: bool) -> None:
    ids = written(tmp_path, segments=3, artifacts=True)
    layout, date, disk = Layout(tmp_path), run_date(ids[0]), FastDisk()
    if before:
        assert compact(layout, date, disk) == 6
    own = kept(tmp_path, ids[0], "own 0")
    Tombstones(layout).add(ids[0], "ada")
    assert compact(layout, date, disk, min_files=100) > 0
    for kind in ("events", "runs"):
        frames = [pl.read_parquet(path) for path in sealed_files(layout.table(kind, date))]
        assert set(pl.concat(frames)["run_id"]) == set(ids[1:])
    assert not layout.artifact(date, own["sha256"]).exists()
    shared = hashlib.sha256(b"shared").hexdigest()
    assert layout.artifact(date, shared).exists()
    assert EventLog(tmp_path).events(ids[1]).collect().height == 10
    assert compact(layout, date, disk, min_files=100) == 0, "there is nothing left to drop"


def test_a_day_of_deleted_runs_only_compacts_to_nothing(tmp_path: Path) -> None:
    ids = written(tmp_path)
    for run_id in ids:
        Tombstones(Layout(tmp_path)).add(run_id, "ada")
    assert compact(Layout(tmp_path), run_date(ids[0]), FastDisk()) == 4
    assert EventLog(tmp_path).runs().collect().is_empty()
    assert EventLog(tmp_path).events().collect().is_empty()
