"""Pages of a run's events hold so many bytes at most, however its payloads are sized."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from apikit import Api, Recorded
from hypothesis import given
from hypothesis import strategies as st
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.api import spans as module
from kodosumi_lab.api.spans import Spans
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog

SIZES = st.lists(st.integers(0, 300), min_size=1, max_size=40)


@given(st.lists(SIZES, min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 7), st.integers(3, 30), st.data())
def test_stretches_follow_one_another_and_hold_no_more_than_they_may(
    groups: list[list[int]], nbytes: int, rows: int, block: int, data: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        writer = LogWriter(Path(folder), "test", disk=FastDisk())
        emitter, log = Emitter(new_run()), EventLog(folder)
        emitter.send(writer, meta(flow="f"))
        spans = Spans(log, emitter.run_id, nbytes=nbytes, rows=rows)
        seen: dict[int, tuple[int, int]] = {}
        for group in groups:
            emitter.send(writer, *(row("stdout", "x" * size) for size in group))
            if data.draw(st.booleans()):
                writer.rotate()
                for name in writer.to_seal():
                    writer.seal(name)
            last = log.run(emitter.run_id)["last_seq"]
            for seq in data.draw(st.lists(st.integers(0, last), max_size=5)):
                first, end = spans.around(seq, last)
                assert first <= seq <= end <= last
                for one in range(first, end + 1):
                    assert seen.setdefault(one, (first, end)) == (first, end), "a stretch stays what it is"
        sizes = dict(log.sizes(emitter.run_id, 0, last).iter_rows())
        seq = 0
        while seq <= last:
            first, end = spans.around(seq, last)
            assert first == seq
            assert end - first < rows
            assert end == first or sum(sizes[one] for one in range(first, end + 1)) <= nbytes
            seq = end + 1
        writer.close()


@pytest.fixture
def heavy(recorded: Recorded) -> tuple[str, int]:
    """A run of 2,000 short events and then 60 of 900 kB, partly sealed; how many it has."""
    emitter = recorded.begin("heavy", "ada")
    emitter.send(recorded.writer, *lines(*range(2000)))
    for i in range(60):
        emitter.send(recorded.writer, row("result", {"text/plain": f"{i} " + "x" * 900_000}))
        if i == 20:
            recorded.writer.rotate()
            for name in recorded.writer.to_seal():
                recorded.writer.seal(name)
    emitter.send(recorded.writer, row("final", {"application/json": 1}), status("finished"))
    return emitter.run_id, 3 + 2000 + 60 + 2


def test_a_page_of_events_is_bounded_in_bytes(api: Api, heavy: tuple[str, int]) -> None:
    run_id, count = heavy
    after, seqs, pages = -1, [], []
    while after is not None:
        answer = api.get(f"/runs/{run_id}/events", params={"after": after, "limit": 10_000})
        page = answer.json()
        seqs += [event["seq"] for event in page["items"]]
        pages.append(len(answer.content))
        after = page["next"]
    assert seqs == list(range(count))
    assert max(pages) < 18 * 2**20
    assert 4 <= len(pages) <= 12
    # of some kinds only, and of so many only
    query = {"kind": "result", "limit": 1000}
    few = api.get(f"/runs/{run_id}/events", params=query).json()
    assert 5 < len(few["items"]) < 20
    rest = api.get(f"/runs/{run_id}/events", params={**query, "after": few["next"]}).json()["items"]
    assert rest[0]["payload"]["text/plain"].startswith(f"{len(few['items'])} ")
    exact = api.get(f"/runs/{run_id}/events", params={"limit": 7, "after": 2}).json()
    assert ([event["seq"] for event in exact["items"]], exact["next"]) == ([3, 4, 5, 6, 7, 8, 9], 9)
    table = api.get(f"/runs/{run_id}/events", headers={"accept": "application/vnd.apache.arrow.stream"})
    assert pl.read_ipc_stream(table.content)["seq"].to_list() == list(range(count))


def test_history_that_is_followed_is_bounded_too(api: Api, heavy: tuple[str, int]) -> None:
    run_id, count = heavy
    sent = api.get(f"/runs/{run_id}/follow").text
    assert [int(line[4:]) for line in sent.splitlines() if line.startswith("id: ")] == list(range(count))
    live = api.app.state.gateway.live
    pages = [task.result() for task in live._history.values()]
    assert max(page.nbytes for page in pages) < 2**20, "one event of 900 kB at most"
    late = api.get(f"/runs/{run_id}/follow", headers={"last-event-id": "2010"}).text
    assert [int(line[4:]) for line in late.splitlines() if line.startswith("id: ")] == list(range(2011, count))
