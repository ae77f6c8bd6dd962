"""Reading: live and sealed in one frame, while somebody writes."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logkit import T0, Emitter, FastDisk, check_whole, lines, meta, new_run, row, status

from kodosumi_lab.errors import LogError, RunNotFound
from kodosumi_lab.runtime import compaction
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EVENTS, RUNS, EventLog


def seal_all(writer: LogWriter) -> None:
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Sealed, compacted and hot events of five runs on two days."""
    root = tmp_path_factory.mktemp("mixed")
    writer = LogWriter(root, "own", disk=FastDisk(), trailing_s=-1)
    emitters = [Emitter(new_run(i % 2, i), i) for i in range(5)]
    for n in range(4):
        for i, emitter in enumerate(emitters):
            rows = [meta(user=f"u{i}")] if emitter.first == 0 else []
            rows += [row("stdout", f"{n} {j}", T0 + 1000 * n + j) for j in range(3)]
            rows.append(row("progress", {"value": n, "total": 4}))
            emitter.send(writer, *rows)
        if n < 3:
            seal_all(writer)
        if n == 1:
            compaction.compact(writer.layout, "2026-01-10", FastDisk())
    emitters[0].send(writer, status("finished"))
    yield root, [emitter.run_id for emitter in emitters]
    writer._segment.close()


def test_live_and_sealed_events_are_one_frame(mixed):
    root, runs = mixed
    frame = EventLog(root).events().collect()
    assert frame.schema == EVENTS
    check_whole(frame)
    assert len(frame) == 5 * 17 + 1
    for run in runs:
        part = EventLog(root).events(run).collect()
        assert part.sort("seq").equals(frame.filter(pl.col("run_id") == run).sort("seq"))


def test_a_log_that_does_not_exist_reads_as_empty(tmp_path):
    log = EventLog(tmp_path / "none")
    assert log.events().collect().schema == EVENTS
    assert log.runs().collect().schema == RUNS
    assert log.events(new_run()).collect().is_empty()
    with pytest.raises(RunNotFound, match="lists those there are"):
        log.run(new_run())
    with pytest.raises(ValueError, match="not a UUIDv7"):
        log.events("x")


def test_days_choose_the_runs_that_started_on_them(mixed):
    root, runs = mixed
    log = EventLog(root)
    day = datetime.date(2026, 1, 11)
    assert set(log.events(since=day).collect()["run_id"]) == {runs[1], runs[3]}
    assert set(log.events(until=datetime.date(2026, 1, 10)).collect()["run_id"]) == {runs[0], runs[2], runs[4]}
    assert log.events(since=datetime.date(2026, 2, 1)).collect().is_empty()


_columns = st.lists(st.sampled_from(list(EVENTS)), min_size=1, unique=True)
_predicates = st.sampled_from(
    [
        None,
        pl.col("kind") == "stdout",
        pl.col("seq") > 6,
        pl.col("seq").is_between(2, 9) & (pl.col("producer") < 3),
        pl.col("payload").str.contains("2 "),
        pl.col("agent").is_null(),
        pl.col("seq") == pl.col("seq").max(),
        pl.col("seq") == pl.col("seq").max().over("run_id"),
        pl.col("ts").dt.year() == 1999,
        pl.col("kind").is_in(["meta", "status"]),
    ]
)


@given(
    columns=_columns, predicate=_predicates, offset=st.integers(0, 20), length=st.integers(0, 40), first=st.booleans()
)
def test_pushed_down_plans_give_what_an_eager_read_gives(mixed, columns, predicate, offset, length, first):
    root, _ = mixed
    log = EventLog(root)
    eager = log.events().collect()

    def plan(frame: pl.LazyFrame) -> pl.LazyFrame:
        frame = frame.sort("run_id", "seq") if first else frame
        frame = frame.filter(predicate) if predicate is not None else frame
        return frame.select(columns)

    lazy, direct = plan(log.events()).collect(), plan(eager.lazy()).collect()
    assert lazy.columns == columns
    by = lazy.columns
    assert lazy.sort(by).equals(direct.sort(by))
    assert plan(log.events()).slice(offset, length).collect().height == direct.slice(offset, length).height
    head = plan(log.events()).head(length).collect()
    assert head.height == min(length, direct.height)
    assert plan(log.events().head(length)).collect().height <= length
    assert plan(log.events()).select(pl.len()).collect().item() == direct.height


def test_a_plan_that_fails_is_not_taken_for_damage(mixed):
    root, _ = mixed
    broken = EventLog(root).events().filter(pl.col("payload").str.to_datetime("%Y", strict=True).is_null())
    with pytest.raises(pl.exceptions.PolarsError):
        broken.collect()


def test_a_frame_made_once_sees_what_was_committed_since(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    log = EventLog(tmp_path)
    frame, a = log.events(), Emitter(new_run())
    assert frame.collect().is_empty()
    a.send(writer, meta())
    assert len(frame.collect()) == 1
    for i in range(100):
        a.send(writer, *lines(i))
        assert len(frame.collect()) == i + 2
    assert frame.collect()["seq"].to_list() == list(range(101))
    seal_all(writer)
    assert len(frame.collect()) == 101
    writer._segment.close()


def test_several_owners_share_one_log(tmp_path):
    writers = [LogWriter(tmp_path, name, disk=FastDisk()) for name in ("a", "b")]
    runs = []
    for i, writer in enumerate(writers):
        a = Emitter(new_run(0, i))
        a.send(writer, meta(), *lines(i))
        runs.append(a.run_id)
    seal_all(writers[0])
    assert EventLog(tmp_path).runs().collect()["run_id"].to_list() == runs
    assert len(EventLog(tmp_path).events().collect()) == 4
    for writer in writers:
        writer._segment.close()


# -- runs ---------------------------------------------------------------------------------


def test_the_run_list_tells_status_place_attempt_and_progress(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    log = EventLog(tmp_path)
    a, b, c, d = (Emitter(new_run(0, i), i) for i in range(4))
    a.send(
        writer,
        meta(tags=["x", "y"], user="ann"),
        status("running", runner="r1"),
        row("progress", {"value": 1, "total": 4, "label": "l"}),
    )
    b.send(writer, meta(), status("starting", reason="waits for a slot"))
    c.send(writer, meta(), status("starting"))
    d.send(writer, meta(parent=a.run_id), status("starting"))
    frame = log.runs().collect()
    assert frame.schema == RUNS
    assert frame["run_id"].to_list() == [e.run_id for e in (a, b, c, d)]
    assert frame["place"].to_list() == [None, 2, 3, 1]  # a child run goes first: its parent waits for it
    assert frame.row(0, named=True) | {
        "progress": 0.25,
        "progress_text": "l",
        "tags": ["x", "y"],
        "user": "ann",
    } == frame.row(0, named=True)
    assert log.place(c.run_id) == 3
    assert log.place(a.run_id) is None
    b.send(writer, status("starting", runner="r2"))
    assert log.runs().collect()["place"].to_list() == [None, None, 2, 1]
    b.send(writer, status("starting", reason="waiting for Ray to provide {'num_cpus': 2}"))
    assert log.place(b.run_id) is None
    Emitter(a.run_id, 9, attempt=2).send(writer, status("starting", reason="again"))
    row_a = log.run(a.run_id)
    assert (row_a["attempt"], row_a["status"], row_a["progress"], row_a["runner"]) == (2, "starting", None, None)
    assert log.runs().filter(pl.col("status") == "starting").select("run_id", "place").collect()["place"].to_list() == [
        2,
        None,
        3,
        1,
    ]
    seal_all(writer)
    assert log.runs().collect()["place"].to_list() == [2, None, 3, 1]
    writer._segment.close()


def test_hidden_runs_are_listed_only_on_request(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    Emitter(new_run(0, 0)).send(writer, meta(hidden=True))
    Emitter(new_run(0, 1)).send(writer, meta())
    log = EventLog(tmp_path)
    assert len(log.runs().collect()) == 1
    assert len(log.runs(hidden=True).collect()) == 2
    writer._segment.close()


@given(columns=st.lists(st.sampled_from(list(RUNS)), min_size=1, unique=True), n=st.integers(0, 6))
def test_run_lists_push_down_columns_filters_and_slices(mixed, columns, n):
    root, runs = mixed
    log = EventLog(root)
    eager = log.runs().collect()
    assert eager["run_id"].to_list() == sorted(runs)
    assert log.runs().select(columns).collect().equals(eager.select(columns))
    assert log.runs().filter(pl.col("user") == "u1").select(columns).head(n).collect().height == min(n, 1)
    assert log.runs().tail(n).collect().equals(eager.tail(n))


def test_text_of_an_artifact_that_is_gone_is_a_log_error(tmp_path):
    with pytest.raises(LogError, match="1,234 bytes is not in the log"):
        EventLog(tmp_path).artifact({"sha256": "0" * 64, "nbytes": 1234, "date": "2026-01-10"})


# -- while somebody writes ------------------------------------------------------------------


def stress(root: Path, rounds: int, read: Any) -> None:
    """Commit, rotate, seal and compact in one thread; `read` in this one sees only whole states."""
    writer = LogWriter(root, "own", disk=FastDisk())
    emitters = [Emitter(new_run(0, i), i) for i in range(3)]
    acked = [0, 0, 0]
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for n in range(rounds):
                for i, emitter in enumerate(emitters):
                    rows = [meta()] if emitter.first == 0 else []
                    emitter.send(writer, *rows, *lines(n, n))
                    acked[i] = emitter.first
                if n % 2:
                    writer.rotate()
                if n % 3 == 0:
                    for name in writer.to_seal():
                        writer.seal(name)
                if n % 7 == 0:
                    compaction.compact(writer.layout, "2026-01-10", FastDisk())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        read([emitter.run_id for emitter in emitters], list(acked))
    thread.join()
    assert failed == []
    read([emitter.run_id for emitter in emitters], list(acked))
    writer._segment.close()


def test_a_reader_beside_a_writer_never_misses_or_doubles_a_row(tmp_path):
    log = EventLog(tmp_path)
    before = [0, 0, 0]

    def read(runs: list[str], acked: list[int]) -> None:
        frame = log.events().collect()
        check_whole(frame)
        counts = dict(frame.group_by("run_id").len().iter_rows())
        for i, run in enumerate(runs):
            assert counts.get(run, 0) >= max(acked[i], before[i])
            before[i] = counts.get(run, 0)

    stress(tmp_path, 60, read)


def test_a_run_list_beside_a_writer_never_goes_back(tmp_path):
    log = EventLog(tmp_path)

    def read(runs: list[str], acked: list[int]) -> None:
        counts = dict(log.runs().select("run_id", "events").collect().iter_rows())
        for run, n in zip(runs, acked, strict=True):
            assert counts.get(run, 0) >= n
            if n:
                assert log.run(run)["events"] >= n
        one = EventLog(tmp_path).events(runs[1]).collect()
        check_whole(one)
        assert len(one) >= acked[1]

    stress(tmp_path, 60, read)


def test_index_files_of_a_version_that_had_fewer_columns_are_read_beside_todays(tmp_path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk(), trailing_s=-1)
    old, new, hot = (Emitter(new_run(0, n), n) for n in range(3))
    for emitter in (old, new):
        emitter.send(writer, meta(notebook={"path": "one.ipynb", "cell": f"c-{emitter.run_id}"}), status("finished"))
        seal_all(writer)
    hot.send(writer, meta(notebook={"path": "one.ipynb", "cell": "hot"}))
    first = min((tmp_path / "runs").rglob("*.parquet"))
    pl.read_parquet(first).drop("cell", "version").write_parquet(first)
    frame = EventLog(tmp_path).runs().collect()
    assert frame.schema == RUNS
    cells = dict(frame.select("run_id", "cell").iter_rows())
    assert cells == {old.run_id: None, new.run_id: f"c-{new.run_id}", hot.run_id: "hot"}
    assert EventLog(tmp_path).run(old.run_id)["cell"] is None
    writer._segment.close()
