"""The emitter's half of delivery, against a real log writer."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import queue
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from logkit import Emitter, FastDisk, check_whole, meta, new_run, payloads, status

from kodosumi_lab.errors import ClusterError, RunClosed, WaitTimeout
from kodosumi_lab.events import KIND_ID, dumps, encode
from kodosumi_lab.runtime.log import Ack, Batch, LogWriter
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.stream import EventStream, Sender, flush_all

OUT = KIND_ID["stdout"]


class Spool(Sender):
    """A log writer in a thread of its own, on a way that delays, repeats and loses answers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.writer = LogWriter(root, "own", disk=FastDisk(), trailing_s=1e9)
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.delay_s = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.repeat = False
        self.fail: Exception | None = None
        self.batches: list[int] = []
        self.order: list[str] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            item = self.inbox.get()
            if item is None:
                return
            batch, answer = item
            acks = self.writer.commit([batch])
            if self.repeat:  # the answer got lost, the call came again
                acks = self.writer.commit([batch])
            answer.put(acks[0])

    def commit(self, batch: Batch) -> Ack:
        answer: queue.Queue[Ack] = queue.Queue()
        self.inbox.put((batch, answer))
        return answer.get(timeout=30)

    def append(self, run_id: str, attempt: int, producer: int, first: int, ipc: bytes) -> tuple[str | None, int | None]:
        self.gate.wait(30)
        if self.fail is not None:
            raise self.fail
        time.sleep(self.delay_s)
        self.order.append("append")
        self.batches.append(first)
        ack = self.commit(Batch(run_id, attempt, producer, first, ipc))
        return ack.refused, ack.expected

    def artifact(self, date: str, sha256: str, data: bytes) -> None:
        self.order.append("artifact")
        path = self.writer.layout.artifact(date, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def close(self) -> None:
        self.gate.set()
        self.inbox.put(None)
        self.thread.join(10)
        if self.writer._segment is not None:
            self.writer._segment.close()


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    made = Spool(tmp_path)
    yield made
    made.close()


@pytest.fixture
def run(spool: Spool) -> str:
    run = new_run()
    spool.commit(Emitter(run).batch(meta()))
    return run


def said(spool: Spool, run: str) -> list[Any]:
    frame = EventLog(spool.root).events(run).collect()
    check_whole(frame)
    return payloads(frame.filter(pl.col("kind") == "stdout"))


def test_events_arrive_in_order_and_once_although_calls_are_repeated(spool, run):
    spool.repeat = True
    stream = EventStream(run, 1, spool)
    for i in range(3000):
        stream.put(OUT, dumps(i))
    stream.flush(30)
    assert said(spool, run) == list(range(3000))
    assert stream.pending == 0
    assert len(spool.batches) < 1000


def test_an_idle_stream_sends_at_once(spool, run):
    stream = EventStream(run, 1, spool)
    for _ in range(5):
        stream.put(OUT, dumps("x"))
        started = time.monotonic()
        stream.flush(10)
        assert time.monotonic() - started < 2
    assert spool.batches == [0, 1, 2, 3, 4]


def test_batches_grow_while_one_is_on_its_way(spool, run):
    spool.gate.clear()
    stream = EventStream(run, 1, spool)
    for i in range(500):
        stream.put(OUT, dumps(i))
    spool.gate.set()
    stream.flush(30)
    assert len(spool.batches) <= 3
    assert said(spool, run) == list(range(500))


def test_events_of_eight_threads_arrive_once_and_each_threads_in_order(spool, run):
    stream = EventStream(run, 1, spool, max_events=200)

    def emit(n: int) -> None:
        for i in range(400):
            if not stream.put(OUT, dumps([n, i])):
                stream.wait_room()

    threads = [threading.Thread(target=emit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stream.flush(30)
    rows = said(spool, run)
    assert len(rows) == 3200
    for n in range(8):
        assert [i for who, i in rows if who == n] == list(range(400))


def test_a_full_buffer_blocks_and_an_event_says_so(spool, run):
    spool.gate.clear()
    stream = EventStream(run, 1, spool, max_events=10)
    for i in range(9):
        assert stream.put(OUT, dumps(i))
    assert not stream.put(OUT, dumps(9))
    assert stream.full
    threading.Timer(0.2, spool.gate.set).start()
    started = time.monotonic()
    stream.wait_room()
    assert time.monotonic() - started > 0.1
    stream.put(OUT, dumps(10))
    stream.flush(30)
    stream.put(OUT, dumps(11))
    stream.flush(30)
    frame = EventLog(spool.root).events(run).filter(pl.col("kind") == "log").collect()
    assert len(frame) == 1
    assert "the flow waited 0." in json.loads(frame["payload"][0])["message"]
    assert said(spool, run) == list(range(12))


def test_bytes_fill_a_buffer_too_and_coroutines_wait_without_blocking(spool, run):
    spool.gate.clear()
    stream = EventStream(run, 1, spool, max_bytes=1000)
    assert not stream.put(OUT, dumps("x" * 2000))

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        task = asyncio.create_task(tick())
        asyncio.get_running_loop().call_later(0.2, spool.gate.set)
        await stream.await_room()
        await stream.aflush(30)
        task.cancel()
        return ticks

    assert asyncio.run(main()) > 5
    assert not stream.full


def test_flush_says_when_it_was_not_durable_in_time_and_delivery_goes_on(spool, run):
    spool.gate.clear()
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("x"))
    with pytest.raises(WaitTimeout, match=f"1 events of run {run} are not durable yet"):
        stream.flush(0.1)
    spool.gate.set()
    stream.flush(30)
    assert said(spool, run) == ["x"]


def test_a_refused_stream_is_closed_and_says_why(spool, run):
    heard: list[str] = []
    stream = EventStream(run, 1, spool, on_closed=heard.append)
    stream.put(OUT, dumps("before"))
    stream.flush(30)
    ack = spool.commit(Emitter(run, 99, attempt=2).batch(status("starting")))
    assert ack.refused is None
    stream.put(OUT, dumps("zombie"))
    with pytest.raises(RunClosed, match="attempt 2 has the run"):
        stream.flush(10)
    with pytest.raises(RunClosed):
        stream.put(OUT, dumps("zombie"))
    stream.wait_room()
    assert heard == ["attempt 1 is over, attempt 2 has the run"]
    assert said(spool, run) == ["before"]


def test_a_spooler_that_is_gone_for_good_is_an_error_for_emitters(spool, run):
    spool.fail = ConnectionError("the actor is dead")
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("x"))
    with pytest.raises(ClusterError, match="cannot be delivered: the actor is dead"):
        stream.flush(10)
    with pytest.raises(ClusterError):
        stream.put(OUT, dumps("y"))
    stream.wait_room()
    flush_all(0.1)


def test_missing_acknowledged_events_are_an_error(spool, run):
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("x"))
    stream.flush(10)
    spool.writer.runs[run].producers.clear()
    stream.put(OUT, dumps("y"))
    with pytest.raises(ClusterError, match="acknowledged events are missing"):
        stream.flush(10)


def test_a_payload_above_one_mebibyte_is_kept_once_before_the_event_that_names_it(spool, run):
    stream = EventStream(run, 1, spool)
    value = "ü" * 1_200_000
    payload = encode(value)
    for _ in range(2):
        stream.put(KIND_ID["result"], payload)
        stream.put(OUT, dumps("small"))
    stream.flush(30)
    assert spool.order[0] == "artifact"
    kept = list(spool.root.glob("artifacts/*/*"))
    assert [path.name for path in kept] == [hashlib.sha256(payload.encode()).hexdigest()]
    log = EventLog(spool.root)
    from kodosumi_lab.events import decode

    rows = log.events(run).filter(pl.col("kind") == "result").collect()["payload"]
    assert [decode(text, log.artifact) for text in rows] == [value, value]
    assert rows.str.len_bytes().max() < 300
    assert said(spool, run) == ["small", "small"]


def test_batches_are_bounded(spool, run):
    spool.gate.clear()
    stream = EventStream(run, 1, spool)
    for i in range(45_000):
        stream.put(OUT, dumps(i))
    spool.gate.set()
    stream.flush(60)
    steps = [b - a for a, b in zip(spool.batches, [*spool.batches[1:], 45_000], strict=True)]
    assert max(steps) <= 20_000
    assert said(spool, run) == list(range(45_000))


def test_text_that_utf8_cannot_hold_does_not_hold_up_the_others(spool, run):
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("a"), "agent \ud800")
    stream.put(OUT, '"raw \ud800"', "ok")
    stream.put(OUT, dumps("b"), None)
    stream.flush(10)
    frame = EventLog(spool.root).events(run).collect().sort("seq")
    assert frame["agent"].to_list() == [None, "agent ?", "ok", None]
    assert said(spool, run) == ["a", "raw ?", "b"]


def test_a_forked_child_speaks_as_another_producer(spool, run):
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("parent"))
    stream.flush(10)
    before = stream._producer
    stream._renew()  # what os.fork does in the child
    assert stream.pending == 0
    stream.put(OUT, dumps("child"))
    stream.flush(10)
    assert stream._producer != before
    assert said(spool, run) == ["parent", "child"]


def test_a_streams_thread_ends_when_idle_and_comes_back(spool, run, monkeypatch):
    monkeypatch.setattr("kodosumi_lab.runtime.stream._IDLE_S", 0.05)
    stream = EventStream(run, 1, spool)
    for i in range(3):
        stream.put(OUT, dumps(i))
        stream.flush(10)
        end = time.monotonic() + 10
        while stream._thread is not None and time.monotonic() < end:
            time.sleep(0.01)
        assert stream._thread is None
    assert said(spool, run) == [0, 1, 2]


def test_what_waits_gets_a_last_chance_when_the_process_ends(spool, run):
    gc.collect()
    spool.gate.clear()
    stream = EventStream(run, 1, spool)
    stream.put(OUT, dumps("last"))
    threading.Timer(0.1, spool.gate.set).start()
    flush_all(10)
    assert stream.pending == 0
