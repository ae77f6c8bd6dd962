"""A run's state is one function of its events, however they are folded."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logkit import T0, Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.events import KINDS, STATUSES, TERMINAL
from kodosumi_lab.runtime.fold import fold_table, index_table
from kodosumi_lab.runtime.lifecycle import CONTROL, TRAILING, RunState, fold_event, refusal
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.segment import read_snapshot

_ids = st.sampled_from(["l1", "l2"])
_events = st.one_of(
    st.sampled_from(STATUSES).flatmap(
        lambda name: st.builds(
            lambda more: ("status", {"status": name, **more}),
            st.fixed_dictionaries(
                {},
                optional={
                    "runner": st.sampled_from(["r1", None]),
                    "reason": st.text(max_size=5),
                    "cancelling": st.just("x"),
                },
            ),
        )
    ),
    st.builds(
        lambda v, t: ("progress", {"value": v, "total": t, "label": "l"}),
        st.integers(0, 5),
        st.sampled_from([None, 4, 0]),
    ),
    st.builds(lambda lid: ("lock", {"lid": lid, "name": "n", "expires": 5}), _ids),
    st.builds(lambda lid: ("lease", {"lid": lid, "by": "me", "result": [1]}), _ids),
    st.builds(lambda text: ("final", {"text/plain": text}), st.text(max_size=300)),
    st.builds(lambda text: ("error", {"type": "E", "message": text}), st.text(max_size=5)),
    st.sampled_from(["stdout", "result", "debug", "log"]).map(lambda kind: (kind, {"text/plain": "ü"})),
)


@given(
    batches=st.lists(
        st.tuples(st.integers(0, 1), st.booleans(), st.lists(_events, min_size=1, max_size=4), st.booleans()),
        max_size=14,
    )
)
def test_folding_event_by_event_and_folding_the_files_give_the_same_states(tmp_path_factory: Any, batches: Any) -> None:
    root = tmp_path_factory.mktemp("log")
    writer = LogWriter(root, "own", disk=FastDisk(), trailing_s=1e9)
    runs = [new_run(0, 0), new_run(0, 1)]
    for run in runs:
        Emitter(run, 1).send(writer, meta(tags=["a"]))
    tables = []
    refused = set()
    for i, (which, retry, events, rotate) in enumerate(batches):
        state = writer.runs[runs[which]]
        if retry and not state.closed:
            events = [("status", {"status": "starting"}), *events]
        rows = [row(kind, payload, T0 + 1000 * i + j) for j, (kind, payload) in enumerate(events)]
        emitter = Emitter(runs[which], 100 + i, attempt=state.attempt + (retry and not state.closed))
        if emitter.send(writer, *rows).refused is not None:
            refused.add(100 + i)
        if rotate:
            path = writer._segment.path
            writer.rotate()
            tables.append(read_snapshot(path))
    tables.append(read_snapshot(writer._segment.path))
    from_start: dict[str, RunState] = {}
    for snapshot in tables:
        fold_table(from_start, snapshot.table, producers=True)
    last = {data["run_id"]: RunState.from_dict(data) for data in tables[-1].runs}
    fold_table(last, tables[-1].table, producers=True)

    def comparable(state: RunState) -> dict[str, Any]:
        data = state.to_dict()
        # counts of refused events are known only to the writer and need not be: nobody sends them again
        data["producers"] = {
            key: n for key, n in data["producers"].items() if int(key.partition(":")[2]) not in refused
        }
        return data

    for run in runs:
        assert comparable(writer.runs[run]) == comparable(from_start[run])
        assert comparable(writer.runs[run]) == comparable(last[run])
    expected = index_table(list(writer.runs.values()))
    assert index_table(list(from_start.values())).equals(expected)
    live = EventLog(root).runs().collect().drop("place")
    assert live.equals(type(live)(expected).select(live.columns))
    writer._segment.close()


@given(status_=st.sampled_from(STATUSES), kind=st.sampled_from(KINDS), attempt=st.integers(1, 3))
def test_what_a_closed_run_may_receive_is_exactly_what_trails(status_: str, kind: str, attempt: int) -> None:
    state = RunState("r", status=status_, attempt=2, seq=5)
    why = refusal(state, kind, attempt, {"lid": "x", "status": "running"})
    if attempt != 2:
        assert why is not None
    elif status_ in TERMINAL:
        assert (why is None) == (kind in TRAILING)
    else:
        assert (why is None) == (kind not in ("meta", "lease"))
    assert not CONTROL & TRAILING


def fold(state: RunState, *events: tuple[str, int, dict[str, Any]], attempt: int = 1) -> RunState:
    for kind, ts, payload in events:
        fold_event(state, kind, attempt, ts, payload)
    return state


def test_active_time_counts_only_while_running_and_starts_again_with_an_attempt():
    state = fold(
        RunState("r"),
        ("meta", 0, {"flow": "f"}),
        ("status", 10, {"status": "running"}),
        ("status", 30, {"status": "awaiting"}),
        ("status", 100, {"status": "running"}),
    )
    assert state.active_us(105) == 25
    fold(state, ("status", 110, {"status": "finished"}))
    assert (state.active, state.active_us(999), state.ended, state.running, state.started) == (30, 30, 110, 10, 0)
    again = fold(
        fold(RunState("r"), ("status", 0, {"status": "running"})), ("status", 50, {"status": "starting"}), attempt=2
    )
    assert again.active_us(60) == 0


def test_a_new_attempt_forgets_what_belonged_to_the_old_one():
    state = fold(
        RunState("r"),
        ("status", 1, {"status": "running", "runner": "r1"}),
        ("progress", 2, {"value": 1, "total": 2, "label": "x"}),
        ("lock", 3, {"lid": "l", "name": "n"}),
        ("error", 4, {"type": "E", "message": "m"}),
    )
    assert (state.progress, state.error) == (0.5, "E: m")
    fold(state, ("status", 5, {"status": "starting"}), attempt=2)
    assert (state.runner, state.progress, state.progress_text, state.locks, state.error) == (None, None, "", {}, "")


@pytest.mark.parametrize(
    ("payload", "share"),
    [
        ({"value": 1, "total": 4}, 0.25),
        ({"value": 9, "total": 4}, 1.0),
        ({"value": -1, "total": 4}, 0.0),
        ({"value": 3}, None),
        ({"value": 3, "total": 0}, None),
        ({"value": "3", "total": 4}, 0.75),
        ({"value": 10**400, "total": 4}, 0.75),
        ({"value": float("nan"), "total": 4}, 0.75),
        ({}, 0.75),
    ],
)
def test_progress_is_a_share_where_there_is_a_total(payload, share):
    state = fold(RunState("r", progress=0.75), ("progress", 0, payload))
    assert state.progress == share


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"text/plain": "a" * 500}, "a" * 200),
        ({"application/json": {"a": "ü"}}, '{"a": "ü"}'),
        ({"text/markdown": "# x", "text/html": "y"}, "# x"),
        ({"image/png": "..."}, "(image/png)"),
        ({"artifact": {"nbytes": 2_000_000}}, "(2,000,000 bytes)"),
        ({"artifact": "odd"}, "(artifact)"),
        ({"text/plain": "\ud800"}, "?"),
    ],
)
def test_the_index_shows_the_beginning_of_a_result(payload, text):
    assert fold(RunState("r"), ("final", 0, payload)).result == text


def test_an_empty_table_touches_no_run():
    from kodosumi_lab.events import arrow_schema

    assert fold_table({}, arrow_schema().empty_table()) == set()
    assert index_table([]).num_rows == 0


def test_index_times_are_utc(tmp_path: Path):
    writer = LogWriter(tmp_path, "own", disk=FastDisk())
    a = Emitter(new_run())
    a.send(writer, row("meta", {"flow": "f"}, T0), status("running"), *lines("x"))
    row_ = EventLog(tmp_path).run(a.run_id)
    assert row_["started"] == datetime.datetime.fromtimestamp(T0 / 1e6, datetime.UTC)
    assert index_table([writer.runs[a.run_id]]).schema.field("started").type == pa.timestamp("us", "UTC")
    writer._segment.close()
