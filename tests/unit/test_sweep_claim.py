"""Who starts the runs of a sweep: one process at a time, known to all, and free again when it ends."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually
from logkit import new_run

from kodosumi_lab.errors import FlowError
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime import sweep_claim
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.sweep_claim import Claim
from kodosumi_lab.runtime.sweep_starter import Point, Starter

HOLD = """
import sys, time
from kodosumi_lab.runtime.sweep_claim import Claim
claim = Claim(sys.argv[1], "5e4")
claim.take()
print("held", flush=True)
until = time.monotonic() + 60
while not claim.is_unwanted and time.monotonic() < until:
    time.sleep(0.01)
claim.release("it was asked to stop")
"""


def holder(log: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(log)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
    return process


def test_one_process_holds_it_until_somebody_ends_it(tmp_path: Path) -> None:
    mine = Claim(tmp_path, "5e4")
    assert not mine.is_held
    process = holder(tmp_path)
    assert mine.is_held
    assert not Claim(tmp_path, "5e5").is_held  # another sweep
    with pytest.raises(FlowError, match="another process starts the runs of sweep 5e4"):
        mine.take()
    mine.end()
    assert (process.wait(10), mine.is_held, mine.failure) == (0, False, "it was asked to stop")
    mine.take()
    assert (mine.is_held, mine.is_unwanted, mine.failure) == (True, False, "")  # nothing of before is left
    mine.release()
    assert not mine.is_held
    assert [*(tmp_path / "state" / "sweeps").iterdir()] == []


def test_a_lock_on_a_file_that_is_just_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (Claim(tmp_path, "5e4") for _ in range(3))
    first.take()
    locked = sweep_claim._locked

    def late(file: int, sort: int) -> bool:
        monkeypatch.setattr(sweep_claim, "_locked", locked)
        first.release()  # between the opening and the locking of the second
        return locked(file, sort)

    monkeypatch.setattr(sweep_claim, "_locked", late)
    second.take()
    with pytest.raises(FlowError, match="another process"):
        third.take()
    second.release()


def test_a_killed_process_leaves_it_free(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait(10)
    mine = Claim(tmp_path, "5e4")
    eventually(lambda: not mine.is_held)
    mine.take()
    mine.release()


def test_those_who_look_are_not_in_the_way_of_the_one_who_takes(tmp_path: Path) -> None:
    taken, until = 0, time.monotonic() + 2
    over = threading.Event()

    def look() -> None:
        other = Claim(tmp_path, "5e6")
        while not over.is_set():
            _ = other.is_held

    first = Claim(tmp_path, "5e6")
    first.take()
    first.release()
    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        while time.monotonic() < until:
            first.take()
            first.release()
            taken += 1
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    assert taken > 3


def test_where_there_is_no_log_everybody_may(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "elsewhere", "5e4")
    claim.take()
    assert not claim.is_held
    claim.release()
    assert not (tmp_path / "elsewhere").exists()


def starting(tmp_path: Path, begin: Callable[[Point], Run], count: int = 3) -> tuple[Starter, list[Point]]:
    starter = Starter(1, Claim(tmp_path, "5e4"))
    points = [Point(index, Inputs({}), queued=True) for index in range(count)]
    with starter.adding() as add:
        add(points, begin)
    eventually(lambda: not starter.busy)
    return starter, points


def test_a_run_that_cannot_be_read_any_more_keeps_the_others_not_waiting(tmp_path: Path) -> None:
    starter, points = starting(tmp_path, lambda point: Run(new_run(n=point.index), log_dir=tmp_path))
    assert [point.run is not None for point in points] == [True] * 3
    assert (starter.failure, Claim(tmp_path, "5e4").is_held) == (None, False)


def test_what_cannot_be_started_ends_the_rest_and_says_why(tmp_path: Path) -> None:
    def begin(point: Point) -> Run:
        if point.index == 1:
            raise FlowError("no cluster")
        return Run(new_run(n=point.index), log_dir=tmp_path)

    starter, points = starting(tmp_path, begin)
    assert [(point.run is not None, point.queued) for point in points] == [
        (True, False),
        (False, False),
        (False, False),
    ]
    claim = Claim(tmp_path, "5e4")
    assert (str(starter.failure), claim.failure, claim.is_held) == ("no cluster", "no cluster", False)
    starter.stop()  # blocks nobody


def test_a_lock_that_cannot_be_made_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    starter = Starter(1, Claim(tmp_path, "5e4"))
    with pytest.raises(FlowError, match="its lock cannot be made"), starter.adding():
        raise AssertionError("not reached")
    assert not starter.busy


def test_a_fork_does_not_keep_what_was_given_back(tmp_path: Path) -> None:
    claim = Claim(tmp_path, "5e4")
    claim.take()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
    child.start()
    try:
        claim.release()
        assert not claim.is_held
    finally:
        child.kill()
        child.join()
