"""Days are taken out whole, and only those of which nothing can come back."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.errors import LogError
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.retention import compact, days, expire

DAY = datetime.date(2026, 1, 10)
LATER = DAY + datetime.timedelta(days=100)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "log")


def write(log: EventLog, *runs: tuple[int, str]) -> list[str]:
    """Runs that start so many days after the first one, each with its last status; all sealed."""
    writer = LogWriter(log.root, "test", disk=FastDisk(), trailing_s=-1)
    ids = []
    for n, (day, last) in enumerate(runs):
        emitter = Emitter(new_run(day, n))
        emitter.send(writer, meta(), status("running"), *lines("x"))
        if last:
            emitter.send(writer, status(last))
        ids.append(emitter.run_id)
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)
    writer.close()
    return ids


def test_days_say_how_large_they_are_and_whether_they_are_closed(log: EventLog) -> None:
    write(log, (0, "finished"), (0, "error"), (1, ""))
    (log.root / "files" / "date=2026-01-10" / "r" / "out").mkdir(parents=True)
    (log.root / "files" / "date=2026-01-10" / "r" / "out" / "a.bin").write_bytes(b"x" * 100_000)
    second, first = days(log)
    assert (first.date, first.runs, first.open, first.events, first.files, first.closed) == (DAY, 2, 0, 8, 1, True)
    assert first.nbytes > 100_000
    assert (second.runs, second.open, second.closed) == (1, 1, False)


def test_closed_days_before_a_date_are_gone_with_everything_of_theirs(log: EventLog) -> None:
    _, kept = write(log, (0, "finished"), (3, "finished"))
    for tree in ("files", "artifacts"):
        (log.root / tree / "date=2026-01-10").mkdir(parents=True)
        (log.root / tree / "date=2026-01-10" / "x").write_bytes(b"x")
    assert expire(log, DAY + datetime.timedelta(days=3)) == [DAY]
    assert log.runs().collect()["run_id"].to_list() == [kept]
    assert set(log.events().collect()["run_id"]) == {kept}
    assert list(log.root.rglob("*2026-01-10*")) == []
    assert [*(log.root / "state" / "trash").iterdir()] == []
    assert expire(log, DAY + datetime.timedelta(days=3)) == []


def test_a_day_stays_while_a_run_of_it_is_open(log: EventLog) -> None:
    ids = write(log, (0, "finished"), (0, ""))
    assert expire(log, LATER) == []
    assert log.runs().collect()["run_id"].to_list() == sorted(ids)


def test_a_day_stays_while_a_hot_segment_holds_anything_of_it(log: EventLog) -> None:
    writer = LogWriter(log.root, "test", disk=FastDisk(), trailing_s=-1)
    emitter = Emitter(new_run(0))
    emitter.send(writer, meta(), status("finished"))
    assert expire(log, LATER) == []
    assert log.runs().collect()["run_id"].to_list() == [emitter.run_id]
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)
    assert expire(log, LATER) == [DAY]
    writer.close()


def test_today_is_never_closed(log: EventLog) -> None:
    from browser.showcase import new_id

    writer = LogWriter(log.root, "test", disk=FastDisk(), trailing_s=-1)
    emitter = Emitter(new_id())
    emitter.send(writer, meta(), status("finished"))
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)
    writer.close()
    assert expire(log, LATER + datetime.timedelta(days=9000)) == []


def test_what_another_day_s_launch_names_stays(log: EventLog) -> None:
    shared, own = (hashlib.sha256(text).hexdigest() for text in (b"shared", b"own"))
    folder = log.root / "artifacts" / "date=2026-01-10"
    folder.mkdir(parents=True)
    for name in (shared, own):
        (folder / name).write_text("{}")
    writer = LogWriter(log.root, "test", disk=FastDisk(), trailing_s=-1)
    for day in (0, 5):
        emitter = Emitter(new_run(day))
        code = {"artifact": {"sha256": shared, "date": "2026-01-10", "nbytes": 2}}
        emitter.send(writer, row("meta", {"flow": "f", "code": code}), status("finished"))
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)
    writer.close()
    assert expire(log, DAY + datetime.timedelta(days=1)) == [DAY]
    assert [path.name for path in folder.iterdir()] == [shared]


@pytest.mark.slow
def test_nothing_is_taken_out_while_somebody_compacts(log: EventLog) -> None:
    write(log, (0, "finished"))
    held = ownership.claim(log.layout, "compaction")
    with pytest.raises(LogError, match="compaction"):
        expire(log, LATER)
    with pytest.raises(LogError, match="compaction"):
        compact(log)
    held.close(remove=True)
    assert expire(log, LATER) == [DAY]


def test_closed_days_are_merged_and_read_the_same(log: EventLog) -> None:
    for _ in range(3):
        write(log, (0, "finished"))
    before = log.events().sort("run_id", "seq").collect()
    assert next(day for day in days(log) if day.date == DAY).files == 3
    assert compact(log) > 0
    assert next(day for day in days(log) if day.date == DAY).files == 1
    assert EventLog(log.root).events().sort("run_id", "seq").collect().equals(before)
    assert compact(log) == 0
    assert ownership.owners(log.layout) == []
