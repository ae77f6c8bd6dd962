"""``follow``: contiguous over everything that happens to files."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.errors import DamagedFileWarning, RunNotFound, WaitTimeout
from kodosumi_lab.runtime import compaction
from kodosumi_lab.runtime.follow import afollow, afollow_frames, follow, follow_frames
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog


@pytest.fixture
def writer(tmp_path: Any) -> Any:
    made = LogWriter(tmp_path, "own", disk=FastDisk())
    yield made
    if made._segment is not None:
        made._segment.close()


def test_a_finished_run_is_followed_from_start_to_end(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta(), *lines("x", "y"), status("finished"))
    events = list(follow(EventLog(tmp_path), a.run_id))
    assert [event.seq for event in events] == [0, 1, 2, 3]
    assert events[1].value == "x"
    assert "stdout" in repr(events[1])


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("after", [-1, 0, 2, 3, 99])
def test_after_is_exclusive_and_the_end_is_found_even_by_those_who_have_it(writer, tmp_path, after, sealed):
    a = Emitter(new_run())
    a.send(writer, meta(), *lines("x", "y"), status("finished"))
    if sealed:
        writer.close()
    events = list(follow(EventLog(tmp_path), a.run_id, after=after, timeout_s=5))
    assert [event.seq for event in events] == list(range(after + 1, 4))


def test_what_trails_behind_the_end_is_followed_too(writer, tmp_path):
    a, b = Emitter(new_run()), None
    a.send(writer, meta(), status("finished"))
    b = Emitter(a.run_id, 9)
    b.send(writer, *lines("late"))
    assert [event.seq for event in follow(EventLog(tmp_path), a.run_id)] == [0, 1, 2]
    assert [event.seq for event in follow(EventLog(tmp_path), a.run_id, after=1)] == [2]


def test_the_end_of_an_attempt_is_not_the_end_of_the_run(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta(), status("running"), row("error", {"type": "E"}))
    Emitter(a.run_id, 2, attempt=2).send(writer, status("starting"), status("running"), status("finished"))
    assert [event.attempt for event in follow(EventLog(tmp_path), a.run_id)] == [1, 1, 1, 2, 2, 2]


def test_waiting_ends_with_an_error_that_says_the_run_goes_on(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta(), *lines("x"))
    seen = []
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match=f"{a.run_id} has not ended within 0.2 s; it goes on"):
        seen.extend(follow(EventLog(tmp_path), a.run_id, timeout_s=0.2))
        seen.append(None)
    assert time.monotonic() - started < 5
    frames = follow_frames(EventLog(tmp_path), a.run_id, timeout_s=0)
    assert next(frames)["seq"].to_list() == [0, 1]
    with pytest.raises(WaitTimeout):
        next(frames)


def test_a_run_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(RunNotFound):
        list(follow(EventLog(tmp_path), new_run()))

    async def main() -> None:
        async for _ in afollow(EventLog(tmp_path), new_run()):
            pass

    with pytest.raises(RunNotFound):
        asyncio.run(main())


def write_on(writer: LogWriter, run: str, n: int, failed: list[BaseException], *, compact: bool = True) -> None:
    try:
        a, other = Emitter(run, 3), Emitter(new_run(0, 5), 4)
        other.send(writer, meta())
        for i in range(n):
            a.send(writer, *lines(i, i))
            other.send(writer, *lines(i))
            if i % 3 == 0:
                writer.rotate()
            if i % 5 == 0:
                for name in writer.to_seal():
                    writer.seal(name)
            if compact and i % 11 == 0:
                compaction.compact(writer.layout, "2026-01-10", FastDisk())
            time.sleep(0.002)
        a.send(writer, status("finished"))
    except BaseException as error:
        failed.append(error)


def test_rows_are_contiguous_over_rotation_sealing_and_compaction(writer, tmp_path):
    run = new_run()
    Emitter(run, 1).send(writer, meta())
    failed: list[BaseException] = []
    seen: dict[str, list[int]] = {}

    def reader(name: str) -> None:
        seen[name] = [event.seq for event in follow(EventLog(tmp_path), run, timeout_s=60)]

    async def async_reader() -> None:
        seen["async"] = []
        async for frame in afollow_frames(EventLog(tmp_path), run, timeout_s=60):
            seen["async"] += frame["seq"].to_list()

    threads = [threading.Thread(target=reader, args=(f"r{i}",)) for i in range(2)]
    threads.append(threading.Thread(target=lambda: asyncio.run(async_reader())))
    threads.append(threading.Thread(target=write_on, args=(writer, run, 80, failed)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    for seqs in seen.values():
        assert seqs == list(range(162))
    assert len(seen) == 3


def test_a_reader_that_comes_back_with_its_last_seq_misses_nothing(writer, tmp_path):
    run = new_run()
    Emitter(run, 1).send(writer, meta())
    failed: list[BaseException] = []
    thread = threading.Thread(target=write_on, args=(writer, run, 40, failed))
    thread.start()
    seen: list[int] = []
    log = EventLog(tmp_path)
    while not seen or log.run(run)["status"] != "finished" or seen[-1] < log.run(run)["last_seq"]:
        for frame in follow_frames(log, run, after=seen[-1] if seen else -1, timeout_s=60):
            seen += frame["seq"].to_list()
            break
    thread.join()
    assert failed == []
    assert seen == list(range(82))


def test_events_in_a_damaged_file_are_missing_and_the_rest_comes(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta(), *lines("x"))
    for i in range(2):
        writer.rotate()
        a.send(writer, *lines(i))
    a.send(writer, status("finished"))
    writer.close()
    next(tmp_path.glob("events/*/own-00000001.parquet")).write_bytes(b"damaged")
    with pytest.warns(DamagedFileWarning, match="own-00000001"):
        assert [event.seq for event in follow(EventLog(tmp_path), a.run_id, timeout_s=5)] == [0, 1, 3, 4]


def test_an_open_follow_costs_little_while_nothing_happens(writer, tmp_path):
    a = Emitter(new_run())
    a.send(writer, meta())
    frames = follow_frames(EventLog(tmp_path), a.run_id, timeout_s=0.6)
    next(frames)
    before = time.thread_time()
    with pytest.raises(WaitTimeout):
        next(frames)
    assert time.thread_time() - before < 0.1
