"""The log's writer: what is acknowledged is there once, whatever stops where."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from logkit import (
    ENOSPC,
    T0,
    BadDisk,
    Clock,
    Emitter,
    FastDisk,
    Stop,
    check_whole,
    lines,
    meta,
    new_run,
    payloads,
    row,
    status,
)

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime import compaction, wire
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.log import Batch, LogWriter, make_batch
from kodosumi_lab.runtime.query import EventLog


def read(root: Path, run_id: str | None = None) -> pl.DataFrame:
    return EventLog(root).events(run_id).collect().sort("run_id", "seq")


def writer_of(root: Path, disk: Disk | None = None, **options: Any) -> LogWriter:
    return LogWriter(root, "own", disk=disk or FastDisk(), **options)


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    made = writer_of(tmp_path)
    yield made
    if made._segment is not None:
        made._segment.close()


# -- appending --------------------------------------------------------------------------


def test_events_get_seq_in_the_order_of_their_commit(writer, tmp_path):
    run = new_run()
    a, b = Emitter(run, 1), Emitter(run, 2)
    assert a.send(writer, meta(), *lines("a0")).refused is None
    b.send(writer, *lines("b0", "b1"))
    a.send(writer, *lines("a1"))
    frame = read(tmp_path)
    assert frame["seq"].to_list() == [0, 1, 2, 3, 4]
    assert frame["producer"].to_list() == [1, 1, 2, 2, 1]
    assert frame["producer_seq"].to_list() == [0, 1, 0, 1, 2]
    assert payloads(frame)[1:] == ["a0", "b0", "b1", "a1"]


def test_several_batches_of_a_run_in_one_group_follow_each_other(writer, tmp_path):
    run, other = new_run(), new_run()
    a, b, c = Emitter(run, 1), Emitter(run, 2), Emitter(other, 3)
    acks = writer.commit([a.batch(meta()), c.batch(meta()), b.batch(*lines("b")), c.batch(meta())])
    assert [ack.refused for ack in acks] == [None, None, None, None]
    check_whole(read(tmp_path))
    assert len(read(tmp_path, run)) == 2


def test_a_batch_that_was_committed_already_is_acknowledged_and_not_written_again(writer, tmp_path):
    a = Emitter(new_run())
    batch = a.batch(meta(), *lines(1, 2))
    first = writer.commit([batch])
    assert writer.commit([batch, batch]) == [*first, *first]
    assert len(read(tmp_path)) == 3


def test_a_repeated_batch_is_acknowledged_even_after_the_run_has_ended(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta())
    last = a.batch(*lines("x"), status("finished"))
    writer.commit([last])
    assert writer.commit([last])[0].refused is None
    assert len(read(tmp_path)) == 3


def test_the_new_half_of_a_half_known_batch_is_written(writer, tmp_path):
    run = new_run()
    a = Emitter(run)
    a.send(writer, meta(), row("progress", {"value": 1, "total": 4}), *lines("a"))
    batch = make_batch(run, 1, 7, 1, [row("progress", {"value": 3, "total": 4}), *lines("a", "b")])
    writer.commit([batch])
    assert payloads(read(tmp_path))[2:] == ["a", "b"]
    assert writer.runs[run].progress == 0.25  # the repeated event is not folded again


def test_a_batch_that_would_leave_a_gap_is_not_written(writer, tmp_path):
    run = new_run()
    a = Emitter(run)
    a.send(writer, meta())
    ack = writer.commit([make_batch(run, 1, 7, 3, lines("x"))])[0]
    assert ack.expected == 1
    assert len(read(tmp_path)) == 1
    fresh = new_run()
    assert writer.commit([make_batch(fresh, 1, 7, 3, [meta()])])[0].expected == 0
    assert fresh not in writer.runs


def test_a_run_begins_with_its_meta_and_attempt_one(writer, tmp_path):
    run = new_run()
    assert "not open here" in str(Emitter(run).send(writer, *lines("x")).refused)
    assert "attempt 1" in str(Emitter(run, attempt=2).send(writer, meta()).refused)
    assert writer.runs == {}
    assert read(tmp_path).is_empty()
    assert EventLog(tmp_path).runs().collect().is_empty()


@pytest.mark.parametrize(
    "run_id", ["", "abc", "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff"]
)
def test_a_run_whose_id_has_no_date_is_refused_since_it_could_never_be_sealed(writer, tmp_path, run_id):
    assert "run id" in str(Emitter(run_id).send(writer, meta()).refused)
    Emitter(new_run()).send(writer, meta(), status("finished"))
    writer.close()
    assert len(read(tmp_path)) == 2


def test_a_second_meta_is_refused(writer):
    run = new_run()
    Emitter(run, 1).send(writer, meta(flow="one"))
    assert "exists already" in str(Emitter(run, 2).send(writer, meta(flow="two")).refused)
    assert writer.runs[run].flow == "one"


def test_a_late_repetition_of_a_sealed_runs_first_batch_does_not_begin_it_anew(tmp_path):
    clock = Clock()
    writer = writer_of(tmp_path, clock=clock, trailing_s=5)
    a = Emitter(new_run())
    first = a.batch(meta(), status("finished"))
    writer.commit([first])
    clock.now += 60
    writer.rotate()
    assert writer.runs == {}
    for name in writer.to_seal():
        writer.seal(name)
    assert "exists already" in str(writer.commit([first])[0].refused)
    writer.close()
    check_whole(read(tmp_path))
    assert len(read(tmp_path)) == 2


# -- fencing ----------------------------------------------------------------------------


def test_after_the_end_only_trailing_kinds_of_the_same_attempt_are_written(writer, tmp_path):
    run = new_run()
    Emitter(run, 1).send(writer, meta(), status("finished"))
    ack = Emitter(run, 2).send(writer, *lines("late"), status("error"), row("result", {"text/plain": "r"}))
    assert ack.refused == "the run has ended as finished"
    assert ack.status == "finished"
    assert read(tmp_path)["kind"].to_list() == ["meta", "status", "stdout", "result"]
    for n, kind in enumerate(("final", "lock", "lease", "meta", "error", "inputs")):
        assert Emitter(run, 10 + n).send(writer, row(kind)).refused


def test_trailing_events_are_refused_once_the_grace_period_is_over(tmp_path):
    clock = Clock()
    writer = writer_of(tmp_path, clock=clock, trailing_s=30)
    run = new_run()
    Emitter(run, 1).send(writer, meta(), status("finished"))
    clock.now += 29
    assert Emitter(run, 2).send(writer, *lines("x")).refused is None
    clock.now += 2
    assert "more than 30 s ago" in str(Emitter(run, 3).send(writer, *lines("x")).refused)
    clock.now += 60
    writer.rotate()
    assert "not open here" in str(Emitter(run, 4).send(writer, *lines("x")).refused)
    writer.close()


def test_a_new_attempt_fences_the_old_one(writer, tmp_path):
    run = new_run()
    old = Emitter(run, 1)
    old.send(writer, meta(), status("running", runner="r1"))
    old.send(writer, row("progress", {"value": 0.5, "total": 1}), row("lock", {"lid": "l", "name": "ok?"}))
    assert Emitter(run, 2, attempt=3).send(writer, status("starting")).refused
    assert Emitter(run, 2, attempt=2).send(writer, *lines("early")).refused
    new = Emitter(run, 4, attempt=2)
    assert new.send(writer, status("starting", reason="retry"), status("running", runner="r2")).refused is None
    assert "attempt 2 has the run" in str(old.send(writer, *lines("zombie"), status("finished")).refused)
    state = writer.runs[run]
    assert (state.attempt, state.runner, state.progress, state.locks) == (2, "r2", None, {})
    frame = read(tmp_path)
    check_whole(frame)
    assert frame["attempt"].to_list() == [1, 1, 1, 1, 2, 2]


def test_a_run_belongs_to_the_runner_that_claimed_it(writer):
    run = new_run()
    Emitter(run, 1).send(writer, meta(), status("starting", runner="r1"))
    assert "belongs to Runner r1" in str(Emitter(run, 2).send(writer, status("running", runner="r2")).refused)
    assert Emitter(run, 3).send(writer, status("running", runner="r1")).refused is None


def test_only_the_first_lease_closes_a_lock(writer):
    run = new_run()
    a = Emitter(run, 1)
    a.send(writer, meta(), row("lock", {"lid": "l1", "name": "?", "expires": 1e10}))
    one, two = Emitter(run, 2), Emitter(run, 3)
    acks = writer.commit(
        [one.batch(row("lease", {"lid": "l1", "by": "ann"})), two.batch(row("lease", {"lid": "l1", "by": "bob"}))]
    )
    assert [ack.refused for ack in acks] == [None, "lock l1 is not open"]
    assert writer.runs[run].answers["l1"]["by"] == "ann"


def test_an_answer_of_any_depth_neither_stops_the_log_nor_its_reopening(writer, tmp_path):
    run = new_run()
    emitter = Emitter(run, 1)
    emitter.send(writer, meta(), row("lock", {"lid": "l1", "name": [["odd"]]}))
    deep: Any = []
    for _ in range(600):
        deep = [deep]
    emitter.send(writer, row("lease", {"lid": "l1", "by": "ann", "result": deep}))
    writer.rotate()
    writer.commit([emitter.batch(*lines("on it goes"))])
    writer._segment.close()
    again = writer_of(tmp_path)
    assert json.loads(again.runs[run].answers["l1"]["result"]) == deep
    again.close()


def test_a_refused_batch_that_comes_again_is_refused_again(writer):
    run = new_run()
    Emitter(run, 1).send(writer, meta(), status("finished"))
    late = Emitter(run, 2).batch(*lines("x"), status("error"))
    assert [writer.commit([late])[0].refused for _ in range(2)] == ["the run has ended as finished"] * 2


def test_a_status_that_does_not_exist_is_refused(writer):
    run = new_run()
    Emitter(run, 1).send(writer, meta())
    assert "no status 'done'" in str(Emitter(run, 2).send(writer, status("done")).refused)


# -- malformed batches ------------------------------------------------------------------


def raw(run: str, kind: Any = KIND_ID["stdout"], ts: int = T0, payload: str = '"x"', **more: Any) -> Batch:
    data = wire.encode([(ts, kind, None, payload)])
    return Batch(run, more.get("attempt", 1), more.get("producer", 5), more.get("first", 0), data)


def malformed(run: str) -> dict[str, Batch]:
    good = wire.encode([(T0, KIND_ID["stdout"], "a", '"x"'), (T0, KIND_ID["stdout"], "b", '"yz"')])
    lengths = 16 + 2 * 8
    deep = wire.encode([(T0, KIND_ID["stdout"], "x" * 50_000, "")]).replace(b"x", b"[").replace(b'"', b"[")
    agents = lengths + 2 * 4

    def changed(at: int, to: bytes) -> Batch:
        return Batch(run, 1, 5, 0, good[:at] + to + good[at + len(to) :])

    return {
        "empty": Batch(run, 1, 5, 0, b""),
        "noise": Batch(run, 1, 5, 0, b"noise" * 50),
        "cut": Batch(run, 1, 5, 0, good[: len(good) // 2]),
        "cut in the payloads": Batch(run, 1, 5, 0, good[:-1]),
        "too long": Batch(run, 1, 5, 0, good + b"x"),
        "another format": changed(0, b"KLB2"),
        "more events than there are": changed(4, (2**31).to_bytes(4, "little")),
        "names are no JSON": changed(good.index(b'["a"'), b"{"),
        "names are cut": changed(8, (3).to_bytes(4, "little")),
        "an agent without a name": changed(agents, (9).to_bytes(2, "little")),
        "a length below zero": changed(lengths, (-1).to_bytes(4, "little", signed=True)),
        "lengths beyond the end": changed(lengths, (2**30).to_bytes(4, "little")),
        "no UTF-8": changed(len(good) - 2, b"\xff\xfe"),
        "unknown kind": raw(run, kind=200),
        "ts before 1970": raw(run, ts=-1),
        "ts after 9999": raw(run, ts=2**62),
        "status is no JSON": raw(run, kind=KIND_ID["status"], payload="{"),
        "status is no object": raw(run, kind=KIND_ID["status"], payload="[1]"),
        "names of endless depth": Batch(run, 1, 5, 0, deep),
        "first below zero": raw(run, first=-3),
        "attempt out of range": raw(run, attempt=40_000),
        "producer out of range": raw(run, producer=2**64),
    }


@pytest.mark.parametrize("what", list(malformed("")))
def test_a_malformed_batch_is_refused_without_harm_to_its_group(writer, tmp_path, what):
    run = new_run()
    a = Emitter(run, 1)
    a.send(writer, meta())
    before = writer.runs[run].to_dict()
    assert writer.commit([malformed(run)[what]])[0].refused, what
    assert writer.runs[run].to_dict() == before
    acks = writer.commit([a.batch(*lines("a")), malformed(run)[what], Emitter(run, 2).batch(*lines("b"))])
    assert [ack.refused is None for ack in acks] == [True, False, True]
    frame = read(tmp_path)
    check_whole(frame)
    assert payloads(frame)[1:] == ["a", "b"]


@given(data=st.data())
def test_noise_in_a_batch_is_refused_or_written_whole_but_never_breaks_the_log(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("log")
    writer = writer_of(root)
    run = new_run()
    Emitter(run, 1).send(writer, meta())
    noisy = bytearray(make_batch(run, 1, 5, 0, [*lines("xy", "z"), status("running")]).data)
    for _ in range(data.draw(st.integers(1, 4))):
        noisy[data.draw(st.integers(0, len(noisy) - 1))] = data.draw(st.integers(0, 255))
    writer.commit([Batch(run, 1, 5, 0, bytes(noisy))])
    Emitter(run, 6).send(writer, status("finished"))
    assert len(EventLog(root).runs().collect()) == 1
    writer.close()
    frame = read(root)
    check_whole(frame)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_keys = st.sampled_from(
    [
        "flow",
        "entrypoint",
        "tags",
        "parent",
        "hidden",
        "timeout_s",
        "retries",
        "status",
        "runner",
        "cancelling",
        "reason",
        "value",
        "total",
        "label",
        "type",
        "message",
        "lid",
        "name",
        "expires",
        "artifact",
        "text/plain",
        "application/json",
        "user",
    ]
)


@given(
    kind=st.sampled_from(["meta", "status", "error", "final", "lock", "lease", "progress"]),
    payload=st.dictionaries(_keys, _json, max_size=4),
)
def test_any_json_object_as_payload_leaves_the_log_readable_and_sealable(tmp_path_factory, kind, payload):
    import json

    root = tmp_path_factory.mktemp("log")
    writer = writer_of(root)
    run = new_run()
    event = (T0, KIND_ID[kind], None, json.dumps(payload))
    if kind == "meta":
        writer.commit([make_batch(run, 1, 1, 0, [event])])
    else:
        writer.commit([make_batch(run, 1, 1, 0, [meta()])])
        writer.commit([make_batch(run, 1, 2, 0, [event])])
    log = EventLog(root)
    live = log.run(run)
    assert log.runs(hidden=True).collect().height == 1
    writer.rotate()
    again = EventLog(root).run(run)
    assert again == live
    Emitter(run, 3).send(writer, status("finished"))
    writer.close()
    assert not list((root / "hot").glob("*.arrows"))
    assert EventLog(root).run(run)["events"] == EventLog(root).events(run).collect().height


# -- segments ---------------------------------------------------------------------------


def test_runs_go_on_over_rotation_and_sealing(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta())
    for i in range(5):
        a.send(writer, *lines(i))
        writer.rotate()
        if i % 2:
            for name in writer.to_seal():
                writer.seal(name)
    frame = read(tmp_path)
    check_whole(frame)
    assert payloads(frame)[1:] == ["0", "1", "2", "3", "4"]


def test_the_newest_segment_is_never_offered_for_sealing(tmp_path):
    disk = BadDisk(error=ENOSPC)
    writer = writer_of(tmp_path, disk)
    a = Emitter(new_run())
    a.send(writer, meta())
    assert writer.to_seal() == []
    writer.rotate()
    assert [name.n for name in writer.to_seal()] == [0]
    disk.stop_at = disk.count
    with pytest.raises(LogError, match="cannot be written"):
        a.send(writer, *lines("x"))
    assert [name.n for name in writer.to_seal()] == [0]  # the broken one is needed for recovery
    assert a.send(writer, *lines("x")).refused is None
    assert [name.n for name in writer.to_seal()] == [0, 1]
    check_whole(read(tmp_path))
    writer.close()


def test_a_full_segment_says_so_by_bytes_groups_and_age(tmp_path, monkeypatch):
    clock = Clock()
    writer = writer_of(tmp_path, clock=clock, segment_bytes=20_000, segment_age_s=60)
    a = Emitter(new_run())
    clock.now += 100
    assert not writer.full  # nothing to close
    a.send(writer, meta())
    assert writer.full  # too old
    writer.rotate()
    a.send(writer, *lines("x"))
    assert not writer.full
    a.send(writer, *lines("x" * 20_000))
    assert writer.full
    writer.rotate()
    monkeypatch.setattr("kodosumi_lab.runtime.log._MAX_GROUPS", 2)
    a.send(writer, *lines("x"))
    assert not writer.full
    a.send(writer, *lines("x"))
    assert writer.full
    writer.close()


def test_closing_with_all_runs_ended_leaves_only_parquet(writer, tmp_path):
    Emitter(new_run()).send(writer, meta(), status("finished"))
    writer.rotate()
    Emitter(new_run()).send(writer, meta(), status("error"))
    writer.close()
    assert [p.name for p in (tmp_path / "hot").iterdir()] == []
    assert len(read(tmp_path)) == 4


def test_closing_with_a_run_open_keeps_what_the_next_writer_needs(writer, tmp_path):
    run = new_run()
    a = Emitter(run)
    a.send(writer, meta(), *lines(0))
    writer.close()
    again = writer_of(tmp_path)
    assert a.send(again, *lines(1), status("finished")).refused is None
    again.close()
    frame = read(tmp_path)
    check_whole(frame)
    assert payloads(frame)[1:3] == ["0", "1"]
    assert list((tmp_path / "hot").iterdir()) == []


def test_a_reopened_log_never_uses_a_number_again(tmp_path):
    names = set()
    for i in range(4):
        writer = writer_of(tmp_path)
        Emitter(new_run()).send(writer, meta(), status("finished"))
        writer.close()
        files = {p.name for p in tmp_path.glob("events/*/*.parquet")}
        assert len(files) == i + 1
        names |= files
    assert len(names) == 4


def test_states_after_reopening_are_those_before(writer, tmp_path):
    runs = [new_run(n=i) for i in range(3)]
    for i, run in enumerate(runs):
        a = Emitter(run, 10 + i)
        a.send(writer, meta(tags=["t"]), status("running", runner="r"), row("progress", {"value": i, "total": 3}))
        a.send(writer, row("lock", {"lid": "l", "name": "n"}), *lines("x"))
    writer.rotate()
    Emitter(runs[1], 20).send(writer, row("lease", {"lid": "l", "by": "me"}))
    before = {run: state.to_dict() for run, state in writer.runs.items()}
    writer._segment.close()
    again = writer_of(tmp_path)
    assert {run: state.to_dict() for run, state in again.runs.items()} == before
    again._segment.close()


def test_a_last_segment_that_is_no_arrow_file_is_set_aside(tmp_path):
    writer = writer_of(tmp_path)
    a = Emitter(new_run())
    a.send(writer, meta())
    writer.rotate()
    path = writer._segment.path
    writer._segment.close()
    path.write_bytes(b"zero")
    again = writer_of(tmp_path)
    assert a.send(again, *lines("x")).refused is None
    assert [p.name for p in (tmp_path / "damaged").iterdir()] == ["hot-own-00000001.arrows"]
    check_whole(read(tmp_path))
    again._segment.close()


def test_a_directory_that_cannot_be_used_is_a_log_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="log directory cannot be used"):
        writer_of(tmp_path / "file")


# -- the disk fails ---------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
def test_a_full_disk_at_any_operation_is_a_log_error_and_afterwards_it_goes_on(tmp_path, after):
    for k in range(100):
        root = tmp_path / f"{k}"
        disk = BadDisk(error=ENOSPC, after=after)
        writer = writer_of(root, disk)
        a, b = Emitter(new_run(), 1), Emitter(new_run(), 2)
        a.send(writer, meta())
        disk.stop_at = disk.count + k
        failures = 0
        for step in range(4):

            def act(step: int = step) -> None:
                if step == 2:
                    writer.rotate()
                elif step == 0:
                    group = [a.batch(*lines("a0")), b.batch(meta())]
                    assert [ack.refused for ack in writer.commit(group)] == [None, None]
                    a.first += 1
                    b.first += 1
                else:
                    assert a.send(writer, *lines(f"a{step}")).refused is None

            try:
                act()
            except LogError:
                failures += 1
                check_whole(read(root))
                act()
        assert failures <= 1
        reached = disk.count > disk.stop_at
        disk.stop_at = None
        a.send(writer, status("finished"))
        b.send(writer, status("finished"))
        for name in writer.to_seal():
            writer.seal(name)
        frame = read(root, a.run_id)
        check_whole(frame)
        assert payloads(frame)[1:4] == ["a0", "a1", "a3"], k
        assert len(read(root, b.run_id)) == 2
        writer.close()
        check_whole(read(root))
        assert len(read(root)) == 7
        if not reached:
            assert k > 5
            return
    raise AssertionError("the scenario has no end")


def test_while_the_disk_stays_full_every_commit_fails_and_nothing_appears(tmp_path):
    class Full(Disk):
        full = False

        def append(self, fd: int, parts: Any) -> None:
            if self.full:
                super().append(fd, [bytes(parts[0])[:10]])
                raise OSError(ENOSPC, "No space left on device")
            super().append(fd, parts)

        def create(self, path: Path, data: bytes | memoryview) -> None:
            if self.full:
                super().create(path, bytes(data)[:10])
                raise OSError(ENOSPC, "No space left on device")
            super().create(path, data)

    disk = Full()
    writer = writer_of(tmp_path, disk)
    a = Emitter(new_run())
    a.send(writer, meta())
    disk.full = True
    for _ in range(3):
        with pytest.raises(LogError, match="No space left"):
            a.send(writer, *lines("x"))
        assert len(read(tmp_path)) == 1
        assert EventLog(tmp_path).run(a.run_id)["events"] == 1
    disk.full = False
    a.send(writer, *lines("x"), status("finished"))
    writer.close()
    check_whole(read(tmp_path))
    assert len(read(tmp_path)) == 3


# -- the process ends at any operation ---------------------------------------------------


def scenario(root: Path, disk: Disk, sent: dict[str, list[str]], acked: dict[str, list[str]], closed_day: str) -> None:
    """Two runs, rotation, sealing, compaction, closing; what is sent and acknowledged is noted."""
    writer = writer_of(root, disk)
    emitters = {run: Emitter(run, n) for n, run in enumerate(sent)}

    def say(*texts: str) -> None:
        group = []
        for run, emitter in emitters.items():
            rows = [*lines(*texts)] if emitter.first else [meta(), *lines(*texts)]
            group.append((run, emitter, emitter.batch(*rows)))
            sent[run].append("|".join(texts))
        writer.commit([batch for *_, batch in group])
        for run, emitter, batch in group:
            emitter.first += len(texts) + (emitter.first == 0)
            acked[run].append("|".join(texts))

    try:
        say("1", "2")
        say("3")
        writer.rotate()
        say("4", "5")
        writer.rotate()
        say("6")
        for name in writer.to_seal():
            writer.seal(name)
        compaction.compact(writer.layout, closed_day, disk)
        say("7")
        writer.rotate()
        for name in writer.to_seal():
            writer.seal(name)
    finally:
        if writer._segment is not None:
            writer._segment.close()


def flat(groups: list[str]) -> list[str]:
    return [text for group in groups for text in group.split("|")]


def said(root: Path, runs: list[str]) -> list[list[str]]:
    """Console lines of the runs, in order, after the frame was found whole."""
    frame = read(root)
    check_whole(frame)
    return [payloads(frame.filter(pl.col("kind") == "stdout", pl.col("run_id") == run)) for run in runs]


@pytest.mark.parametrize("share", [1.0, 0.4, 0.0], ids=["all-written", "part-written", "power-cut"])
def test_stopping_at_every_single_operation_leaves_exactly_what_was_acknowledged(tmp_path, share):
    for k in range(400):
        root = tmp_path / str(k)
        runs = [new_run(0, 1), new_run(0, 2)]
        sent: dict[str, list[str]] = {run: [] for run in runs}
        acked: dict[str, list[str]] = {run: [] for run in runs}
        disk = BadDisk(k)  # stopping after one operation is stopping before the next
        done = False
        try:
            scenario(root, disk, sent, acked, "2026-01-10")
            done = True
        except Stop:
            if share < 1 and not disk.unsynced:
                continue  # the same as all-written
            disk.cut_power(share)

        def fits(got: list[list[str]], sent: Any = sent, acked: Any = acked) -> bool:
            pairs = zip(got, sent.values(), acked.values(), strict=True)
            return all(texts in (flat(a), flat(s)) for texts, s, a in pairs)

        assert fits(said(root, runs)), (k, disk.trace[-3:])  # readers see it even before anything recovers
        writer = writer_of(root)
        for n, run in enumerate(runs):
            count = len(flat(acked[run]))
            unanswered = flat(sent[run])[count:]
            emitter = Emitter(run, n)
            emitter.first = count + 1 if count else 0
            rows = lines(*unanswered) if count else [meta(), *lines(*unanswered)]
            if rows:
                assert emitter.send(writer, *rows).refused is None
            assert emitter.send(writer, status("finished")).refused is None
        writer.close()
        whole = [flat(texts) for texts in sent.values()]
        compaction.compact(writer.layout, "2026-01-10", FastDisk())
        assert said(root, runs) == whole, (k, disk.trace[-3:])
        left = [path.suffix for path in root.glob("*/date=2026-01-10/*")]
        assert set(left) == {".parquet"}
        assert len(left) <= 4  # what the interrupted compaction had finished, and one file since
        assert EventLog(root).runs().collect()["events"].to_list() == [len(texts) + 2 for texts in whole]
        if done:
            assert k > 60
            return
    raise AssertionError("the scenario has no end")


# -- the protocol, by a machine -----------------------------------------------------------


class Protocol(RuleBasedStateMachine):
    """Producers with at-least-once delivery, against a writer that dies at any operation."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.disk = BadDisk()
        self.writer: LogWriter | None = writer_of(self.root, self.disk, trailing_s=1e9)
        self.reader = EventLog(self.root)
        self.producers: dict[tuple[str, int], dict[str, Any]] = {}
        self.runs: list[str] = []
        self.ended: set[str] = set()
        self.counter = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self._drop()
            self.reader = None  # type: ignore[assignment]
            gc.collect()
            self.folder.cleanup()

    def _drop(self) -> None:
        if self.writer is not None and self.writer._segment is not None:
            self.writer._segment.close()
        self.writer = None

    def _guard(self, act: Any) -> Any:
        try:
            return act()
        except Stop:
            self.disk.cut_power(self.share)
            self._drop()
            return None
        except LogError:
            assert self.disk.error is not None
            return None

    share = 0.0

    @rule()
    @precondition(lambda self: len(self.runs) < 4)
    def launch(self) -> None:
        run = new_run(len(self.runs) % 2, len(self.runs))
        self.runs.append(run)
        self.producers[run, 0] = {"acked": [], "pending": None, "first": 0, "over": False}

    @rule(n=st.integers(1, 4), who=st.data(), fresh=st.booleans(), end=st.integers(0, 12))
    @precondition(lambda self: self.writer is not None and self.runs)
    def emit(self, n: int, who: Any, fresh: bool, end: int) -> None:
        """Several producers send at once, each at most one batch that is not answered."""
        chosen = who.draw(st.lists(st.sampled_from(sorted(self.producers)), min_size=1, max_size=3, unique=True))
        group = []
        for key in chosen:
            run, number = key
            mine = self.producers[key]
            if mine["over"]:
                continue
            if fresh and self.producers[run, 0]["acked"] and len(self.producers) < 10:
                self.producers[run, len(self.producers)] = {"acked": [], "pending": None, "first": 0, "over": False}
            if mine["pending"] is None:
                texts = [f"{self.counter + i}" for i in range(n)]
                self.counter += n
                rows = lines(*texts)
                if number == 0 and mine["first"] == 0:
                    rows, texts = [meta(), *rows], ["meta", *texts]
                elif end == 12 and run not in self.ended and number == 0:
                    rows, texts = [*rows, status("finished")], [*texts, "status"]
                mine["pending"] = (rows, texts)
            group.append((key, mine))
        if not group:
            return
        batches = [make_batch(key[0], 1, key[1], mine["first"], mine["pending"][0]) for key, mine in group]
        writer = self.writer
        assert writer is not None
        acks = self._guard(lambda: writer.commit(batches))
        if acks is None:
            return
        for (key, mine), ack in zip(group, acks, strict=True):
            rows, texts = mine["pending"]
            assert ack.expected is None
            assert ack.refused is None, ack
            mine["acked"] += texts
            mine["first"] += len(rows)
            mine["pending"] = None
            if "status" in texts:
                self.ended.add(key[0])

    @rule()
    @precondition(lambda self: self.writer is not None)
    def rotate(self) -> None:
        writer = self.writer
        assert writer is not None
        self._guard(writer.rotate)

    @rule(n=st.integers(1, 3))
    @precondition(lambda self: self.writer is not None)
    def seal(self, n: int) -> None:
        writer = self.writer
        assert writer is not None

        def act() -> None:
            for name in writer.to_seal()[:n]:
                try:
                    writer.seal(name)
                except OSError as error:
                    if isinstance(error, LogError) or self.disk.error is None:
                        raise
                    return

        self._guard(act)

    @rule(day=st.sampled_from(["2026-01-10", "2026-01-11"]))
    @precondition(lambda self: self.writer is not None)
    def compact(self, day: str) -> None:
        writer = self.writer
        assert writer is not None

        def act() -> None:
            try:
                compaction.compact(writer.layout, day, self.disk)
            except OSError:
                assert self.disk.error is not None

        self._guard(act)

    @rule(k=st.integers(0, 12), after=st.booleans(), share=st.floats(0, 1), error=st.booleans())
    @precondition(lambda self: self.writer is not None)
    def trouble_ahead(self, k: int, after: bool, share: float, error: bool) -> None:
        self.disk.stop_at = self.disk.count + k
        self.disk.after = after and not error
        self.disk.error = ENOSPC if error else None
        self.share = share

    @rule()
    @precondition(lambda self: self.writer is not None)
    def kill(self) -> None:
        self.disk.cut_power(1.0)
        self._drop()

    @rule(again=st.integers(0, 8))
    @precondition(lambda self: self.writer is None)
    def reopen(self, again: int) -> None:
        self.disk = BadDisk(again if again < 5 else None)  # recovery may be interrupted too
        self.writer = self._guard(lambda: writer_of(self.root, self.disk, trailing_s=1e9))

    @invariant()
    def what_was_acknowledged_is_there_once_and_in_order(self) -> None:
        if not hasattr(self, "reader"):
            return
        frame = self.reader.events().collect().sort("run_id", "seq")
        check_whole(frame)
        for (run, number), mine in self.producers.items():
            part = frame.filter((pl.col("run_id") == run) & (pl.col("producer") == number))
            seen = [
                kind if kind in ("meta", "status") else text.strip('"')
                for kind, text in part.select("kind", "payload").iter_rows()
            ]
            whole = mine["acked"] + (mine["pending"][1] if mine["pending"] else [])
            assert seen in (mine["acked"], whole), (seen, mine)
            assert part["producer_seq"].to_list() == list(range(len(seen)))
        index = self.reader.runs().collect()
        counts = dict(frame.group_by("run_id").len().iter_rows())
        assert dict(index.select("run_id", "events").iter_rows()) == counts


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=settings().max_examples // 2)


# -- two threads --------------------------------------------------------------------------


def test_sealing_in_another_thread_never_takes_the_segment_that_is_written(tmp_path):
    writer = writer_of(tmp_path)
    a = Emitter(new_run())
    a.send(writer, meta())
    stop = threading.Event()
    failed: list[BaseException] = []

    def seal() -> None:
        while not stop.is_set():
            for name in writer.to_seal():
                try:
                    writer.seal(name)
                except BaseException as error:
                    failed.append(error)
                    return

    thread = threading.Thread(target=seal)
    thread.start()
    for i in range(60):
        a.send(writer, *lines(i))
        writer.rotate()
    a.send(writer, status("finished"))
    stop.set()
    thread.join()
    assert failed == []
    writer.close()
    check_whole(read(tmp_path))
    assert len(read(tmp_path)) == 62


def test_the_state_of_a_run_survives_its_own_json():
    state = RunState("r", tags=["a"], locks={"l": {"name": "n"}}, producers={"1:2": 3})
    import json

    data = json.loads(json.dumps(state.to_dict()))
    assert RunState.from_dict({**data, "unknown": 1}) == state
    copy = state.copy()
    copy.locks["x"] = {}
    copy.producers["y"] = 1
    copy.tags.append("b")
    assert (state.locks, state.producers, state.tags) == ({"l": {"name": "n"}}, {"1:2": 3}, ["a"])


def test_batches_in_a_memory_view_are_taken(writer, tmp_path):
    run = new_run()
    batch = make_batch(run, 1, int(np.uint64(2**63)), 0, [meta()])
    writer.commit([Batch(run, 1, batch.producer, 0, memoryview(batch.data))])
    assert read(tmp_path)["producer"].to_list() == [2**63]
    assert dumps({}) == "{}"
