"""Hot segments to Parquet, many files to few, and what others can read without us."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from logkit import ENOSPC, BadDisk, Emitter, FastDisk, Stop, check_whole, lines, meta, new_run, payloads, row, status

from kodosumi_lab.errors import DamagedFileWarning
from kodosumi_lab.runtime import compaction, sealing
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog

DAY0, DAY1 = "2026-01-10", "2026-01-11"


def seal_all(writer: LogWriter) -> None:
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)


def end(writer: LogWriter) -> None:
    if writer._segment is not None:
        writer._segment.close()


@pytest.fixture
def filled(tmp_path: Path) -> Any:
    """Four sealed segments of two runs of one day, and a run of the next day that is still hot."""
    writer = LogWriter(tmp_path, "own", disk=FastDisk(), trailing_s=-1)
    one, two, three = Emitter(new_run(0, 1), 1), Emitter(new_run(0, 2), 2), Emitter(new_run(1), 3)
    one.send(writer, meta(), *lines("a"))
    two.send(writer, meta())
    for i in range(3):
        seal_all(writer)
        one.send(writer, *lines(f"one {i}"))
        two.send(writer, *lines(f"two {i}"))
    one.send(writer, status("finished"))
    two.send(writer, status("finished"))
    seal_all(writer)
    three.send(writer, meta(), *lines("hot"))
    yield tmp_path, (one.run_id, two.run_id, three.run_id)
    end(writer)


def files(root: Path, kind: str, date: str = DAY0) -> list[str]:
    return sorted(path.name for path in (root / kind / f"date={date}").iterdir())


def test_a_segment_seals_into_the_start_dates_of_its_runs(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    for day in (0, 1, 0):
        Emitter(new_run(day), 1).send(writer, meta(), *lines(day), status("finished"))
    writer.close()
    for date, count in ((DAY0, 2), (DAY1, 1)):
        events = pl.read_parquet(tmp_path / "events" / f"date={date}" / "own-00000000.parquet", hive_partitioning=False)
        assert len(events) == 3 * count
        assert events["run_id"].n_unique() == count
        assert events.equals(events.sort("run_id", "seq"))
        assert len(pl.read_parquet(tmp_path / "runs" / f"date={date}" / "own-00000000.parquet")) == count
    assert not list((tmp_path / "hot").iterdir())


def test_the_index_row_with_the_greatest_seq_wins(filled):
    root, (one, _, _) = filled
    rows = (
        pl.read_parquet(root / "runs" / f"date={DAY0}" / "*.parquet").filter(pl.col("run_id") == one).sort("last_seq")
    )
    assert rows["status"].to_list() == ["starting"] * 3 + ["finished"]
    assert rows["events"].to_list() == [2, 3, 4, 6]
    found = EventLog(root).run(one)
    assert (found["status"], found["last_seq"], found["events"]) == ("finished", 5, 6)
    assert EventLog(root).runs().filter(pl.col("run_id") == one).collect()["status"].to_list() == ["finished"]


def test_sealing_again_after_a_stop_changes_nothing_for_readers(tmp_path):
    for k in range(30):
        root = tmp_path / str(k)
        writer = LogWriter(root, "own", disk=FastDisk())
        for day in (0, 1):
            Emitter(new_run(day), day).send(writer, meta(), *lines(1, 2), status("finished"))
        name = writer._segment.name
        writer.rotate()
        before = EventLog(root).events().collect().sort("run_id", "seq")
        disk = BadDisk(k)
        try:
            sealing.seal(writer.layout, name, disk)
            done = True
        except Stop:
            done = False
        log = EventLog(root)
        assert log.events().collect().sort("run_id", "seq").equals(before)
        if writer.layout.arrows(name).exists():
            writer.seal(name)
        assert log.events().collect().sort("run_id", "seq").equals(before)
        assert not list(root.glob("*/*/*.tmp"))
        end(writer)
        if done:
            return


def test_a_damaged_hot_segment_is_sealed_as_far_as_it_can_be_read_and_kept_for_people(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    a = Emitter(new_run())
    a.send(writer, meta(), *lines(1))
    good = writer._segment.length
    a.send(writer, *lines(2))
    path, name = writer._segment.path, writer._segment.name
    writer.rotate()
    os.truncate(path, good + 30)
    with pytest.warns(DamagedFileWarning, match="own-00000000"):
        assert len(EventLog(tmp_path).events().collect()) == 2
    writer.seal(name)
    assert [p.name for p in (tmp_path / "damaged").iterdir()] == ["hot-own-00000000.arrows"]
    assert len(EventLog(tmp_path).events().collect()) == 2
    end(writer)


# -- compaction ---------------------------------------------------------------------------


def test_compaction_leaves_one_file_with_everything_once(filled):
    root, runs = filled
    before = EventLog(root).events().collect().sort("run_id", "seq")
    index = EventLog(root).runs().collect()
    assert compaction.compact(Layout(root), DAY0, FastDisk()) == 8
    assert len(files(root, "events")) == len(files(root, "runs")) == 1
    assert EventLog(root).events().collect().sort("run_id", "seq").equals(before)
    assert EventLog(root).runs().collect().equals(index)
    assert pl.read_parquet(root / "runs" / f"date={DAY0}" / "*.parquet")["last_seq"].to_list() == [5, 4]
    assert compaction.compact(Layout(root), DAY0, FastDisk()) == 0
    assert compaction.compact(Layout(root), "2020-01-01", FastDisk()) == 0


def test_compaction_stopped_anywhere_is_read_the_same_and_finished_later(tmp_path):
    def fill(root: Path) -> None:
        writer = LogWriter(root, "own", disk=FastDisk())
        for i in range(3):
            Emitter(new_run(0, i)).send(writer, meta(), *lines(i), status("finished"))
            seal_all(writer)
        writer.close()

    fill(tmp_path / "model")
    for k in range(60):
        root = tmp_path / str(k)
        shutil.copytree(tmp_path / "model", root)
        log = EventLog(root)
        before, index = log.events().collect().sort("run_id", "seq"), log.runs().collect()
        disk = BadDisk(k)
        try:
            compaction.compact(Layout(root), DAY0, disk)
            done = True
        except Stop:
            done = False
        for reader in (log, EventLog(root)):
            assert reader.events().collect().sort("run_id", "seq").equals(before), (k, disk.trace[-2:])
            assert reader.runs().collect().equals(index), (k, disk.trace[-2:])
        plain = pl.scan_parquet(root / "events" / "**" / "*.parquet", hive_partitioning=False).unique(["run_id", "seq"])
        assert plain.collect().sort("run_id", "seq").select(before.columns).equals(before)
        compaction.compact(Layout(root), DAY0, FastDisk())
        for reader in (log, EventLog(root)):
            assert reader.events().collect().sort("run_id", "seq").equals(before)
            assert reader.runs().collect().equals(index)
        assert [name.rpartition(".")[2] for name in files(root, "events")] == ["parquet"]
        if done:
            assert k > 15
            return
    raise AssertionError("compaction has no end")


def test_a_full_disk_during_compaction_loses_nothing(filled):
    root, _ = filled
    before = EventLog(root).events().collect().sort("run_id", "seq")
    for k in range(0, 12, 2):
        with pytest.raises(OSError, match="space"):
            compaction.compact(Layout(root), DAY0, BadDisk(k, error=ENOSPC))
        assert EventLog(root).events().collect().sort("run_id", "seq").equals(before)


def test_of_an_intent_whose_outputs_are_not_all_there_the_inputs_count(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("a-00000000", "a-00000001", "compact-x-0"):
        (folder / f"{name}.parquet").touch()
    plan = {
        "inputs": ["a-00000000.parquet", "a-00000001.parquet"],
        "outputs": ["compact-x-0.parquet", "compact-x-1.parquet"],
    }
    (folder / "compact-x.intent").write_text(json.dumps(plan))
    assert [p.stem for p in sealing.sealed_files(folder)] == ["a-00000000", "a-00000001"]
    (folder / "compact-x-1.parquet").touch()
    assert [p.stem for p in sealing.sealed_files(folder)] == ["compact-x-0", "compact-x-1"]
    assert sealing.sealed_files(tmp_path / "none") == []


def test_a_torn_intent_decides_nothing_and_is_removed(filled):
    root, _ = filled
    folder = root / "events" / f"date={DAY0}"
    (folder / "compact-torn.intent").write_text('{"inputs": [')
    assert len(sealing.sealed_files(folder)) == 4
    compaction.compact(Layout(root), DAY0, FastDisk())
    assert len(files(root, "events")) == 1


def test_a_segment_that_is_still_hot_is_not_compacted(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    for i in range(2):
        Emitter(new_run(0, i)).send(writer, meta(), status("finished"))
        seal_all(writer)
    Emitter(new_run(0, 3)).send(writer, meta(), status("finished"))
    name = writer._segment.name
    writer.rotate()
    with pytest.raises(Stop):  # published, not unlinked
        sealing.seal(writer.layout, name, BadDisk(8))
    assert (tmp_path / "events" / f"date={DAY0}" / f"{name}.parquet").exists()
    assert writer.layout.arrows(name).exists()
    compaction.compact(writer.layout, DAY0, FastDisk())
    assert f"{name}.parquet" in files(tmp_path, "events")
    check_whole(EventLog(tmp_path).events().collect())
    assert len(EventLog(tmp_path).events().collect()) == 6
    end(writer)


def test_numbers_in_an_unfinished_compaction_are_not_used_again(filled):
    root, _ = filled
    folder = root / "runs" / f"date={DAY0}"
    (folder / "compact-x.intent").write_text(json.dumps({"inputs": ["own-00000041.parquet"], "outputs": []}))
    assert sealing.next_number(Layout(root), "own") == 42
    assert sealing.next_number(Layout(root), "other") == 0


# -- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "noise"])
def test_a_damaged_file_is_named_and_left_out_and_the_rest_is_served(filled, how):
    root, runs = filled
    whole = EventLog(root).events().collect()
    path = root / "events" / f"date={DAY0}" / "own-00000001.parquet"
    data = bytearray(path.read_bytes())
    if how == "flipped":
        offset = pq.ParquetFile(path).metadata.row_group(0).column(5).data_page_offset
        data[offset : offset + 8] = b"\xff" * 8
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "flipped": data, "noise": b"x" * 500}[how])
    log = EventLog(root)
    for query in (
        log.events(),
        log.events(runs[0]),
        log.events().filter(pl.col("kind") == "stdout").select("payload", "seq"),
    ):
        with pytest.warns(DamagedFileWarning, match="own-00000001.parquet"):
            query.collect()
    with pytest.warns(DamagedFileWarning):
        assert len(log.events().collect()) == len(whole) - 2
    assert log.run(runs[0])["events"] == 6
    with pytest.warns(DamagedFileWarning, match="was not compacted"):
        compaction.compact(Layout(root), DAY0, FastDisk())
    assert path.exists()


def test_compaction_never_takes_rows_of_a_page_with_a_flipped_bit(filled):
    root, _ = filled
    path = root / "events" / f"date={DAY0}" / "own-00000000.parquet"
    original, table = path.read_bytes(), pq.read_table(path, partitioning=None)
    refused = 0
    for i in range(4, len(original), 5):
        data = bytearray(original)
        data[i] ^= 4
        path.write_bytes(data)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            taken = compaction._readable([path])[1]
        # what is not refused had its bit in bytes that carry no rows
        refused += not taken
        assert not taken or taken[0].equals(table) or i > len(original) - 4000
    assert refused > 100


def test_a_damaged_index_file_is_named_and_the_other_rows_are_served(filled):
    root, runs = filled
    (root / "runs" / f"date={DAY0}" / "own-00000003.parquet").write_bytes(b"x" * 100)
    log = EventLog(root)
    with pytest.warns(DamagedFileWarning, match="own-00000003"):
        assert log.runs().collect()["events"].to_list() == [4, 3, 2]


# -- others' tools -----------------------------------------------------------------------


def test_polars_and_duckdb_read_the_same_files_without_us(filled):
    root, runs = filled
    compaction.compact(Layout(root), DAY0, BadDisk())
    expected = EventLog(root).events().collect().sort("run_id", "seq")
    hot = [pl.read_ipc_stream(path) for path in (root / "hot").glob("*.arrows")]
    cold = pl.scan_parquet(root / "events" / "**" / "*.parquet", hive_partitioning=False).collect()
    plain = pl.concat([cold, *hot]).unique(["run_id", "seq"]).sort("run_id", "seq")
    assert plain.equals(expected)

    found = duckdb.sql(
        f"select distinct on (run_id, seq) * from read_parquet('{root}/events/*/*.parquet') order by run_id, seq"
    ).arrow()
    table = pl.from_arrow(found.read_all() if hasattr(found, "read_all") else found)
    sealed = expected.filter(pl.col("run_id") != runs[2])
    assert table.select("run_id", "seq", "kind", "payload").equals(sealed.select("run_id", "seq", "kind", "payload"))
    assert table["date"].cast(pl.String).unique().to_list() == [DAY0]
    assert payloads(plain.filter(pl.col("run_id") == runs[2]))[1] == "hot"


def test_sealed_events_keep_the_schema_and_their_statistics(filled):
    root, _ = filled
    path = root / "events" / f"date={DAY0}" / "own-00000000.parquet"
    file = pq.ParquetFile(path)
    assert str(file.schema_arrow.field("ts").type) == "timestamp[us, tz=UTC]"
    assert str(file.schema_arrow.field("producer").type) == "uint64"
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.statistics.has_min_max


def test_locks_are_in_the_index_with_names_of_any_text(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    a = Emitter(new_run())
    a.send(writer, meta(flow="fl\ud800ow"), row("lock", {"lid": "l", "name": "a\ud800ü", "expires": 5}))
    seal_all(writer)
    found = EventLog(tmp_path).run(a.run_id)
    assert found["locks"][0]["lid"] == "l"
    assert found["flow"] == "fl?ow"
    assert found["started"].tzinfo is not None
    assert isinstance(found["started"], datetime.datetime)
    end(writer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EventLog(tmp_path).runs().collect()
