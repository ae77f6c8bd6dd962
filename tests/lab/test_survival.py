"""Killed processes, full disks, crowded queues: what must still be true afterwards.

Short versions here; with ``KODOSUMI_SOAK=1`` (``make soak``) the same tests run at full size.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kitchen
import polars as pl
import psutil
import pytest
import ray
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.errors import RunCancelled, RunFailed, RunLost, RunTimeout

pytestmark = pytest.mark.ray

SOAK = os.environ.get("KODOSUMI_SOAK") == "1"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def spooler_pid(held: Any) -> int:
    return int(ray.get(held.spooler.health.remote(), timeout=60)["pid"])


def statuses(run: Any) -> list[str]:
    frame = run.events().filter(pl.col("kind") == "status").sort("seq").collect()
    return [json.loads(payload)["status"] for payload in frame["payload"]]


def whole(run: Any) -> pl.DataFrame:
    events = run.events().sort("seq").collect()
    assert events["seq"].to_list() == list(range(len(events)))
    return events


# -- the Spooler ------------------------------------------------------------------------


@pytest.mark.timeout(1200)
def test_killing_the_spooler_loses_and_repeats_nothing(fresh_lab: Callable[..., Any]) -> None:
    held = fresh_lab(slots=2)
    n, kills = (1_000_000, 20) if SOAK else (120_000, 3)
    run = kitchen.burst.launch(n=n, size=60)
    eventually(lambda: run.status == "running", timeout_s=60)
    killed = 0
    for _ in range(kills):
        time.sleep(random.uniform(0.05, 0.6))
        kill(spooler_pid(held))
        killed += 1
    assert run.result(1100) == n
    events = whole(run).filter(pl.col("kind") == "debug")
    numbers = events["payload"].str.strip_chars('"').str.split(" ").list.first().cast(pl.Int64)
    assert numbers.to_list() == list(range(n))
    assert killed == kills


def test_a_full_disk_slows_emitters_and_loses_nothing(lab: Any, tmp_path: Path, small_disk: Path) -> None:
    held = kl.connect(log_dir=small_disk / "log", slots=2, warm_runners=0)
    try:
        filler = small_disk / "filler"
        filler.write_bytes(b"\0" * (44 * 2**20))
        n = 60_000
        run = kitchen.burst.launch(n=n, size=200)
        trouble = eventually(lambda: ray.get(held.spooler.health.remote())["trouble"], timeout_s=120)
        assert "No space left" in trouble
        assert run.status == "running"
        filler.unlink()
        assert run.result(180) == n
        numbers = whole(run).filter(pl.col("kind") == "debug")["payload"].str.strip_chars('"').str.split(" ")
        assert numbers.list.first().cast(pl.Int64).to_list() == list(range(n))
        assert ray.get(held.spooler.health.remote())["trouble"] is None
    finally:
        from kodosumi_lab.runtime import cluster

        cluster.end_actors(held, "the test is over")
        for actor in (held.dispatcher, held.spooler):
            ray.kill(actor, no_restart=True)
        cluster._connections.remove(held)
        kl.connect(log_dir=lab.log_dir)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


# -- the Runner -------------------------------------------------------------------------


def test_a_killed_runner_ends_its_run_within_two_seconds(lab: Any, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    run = kitchen.sleepy.launch(seconds=60, marker=str(marker))
    pid = int(eventually(lambda: marker.exists() and marker.read_text()))
    kill(pid)
    started = time.monotonic()
    eventually(lambda: run.done, timeout_s=10)
    assert time.monotonic() - started < 2
    with pytest.raises(RunLost, match="process ended"):
        run.result()


def test_events_before_the_last_50_ms_of_a_killed_runner_are_kept(lab: Any, tmp_path: Path) -> None:
    @kl.flow
    def dies(marker: str, *, tracer: kl.Tracer) -> None:
        for i in range(100_000):
            tracer.debug_sync(str(i))
        time.sleep(0.05 + 0.5)  # 50 ms is the promise; the rest is for two shared cores
        os._exit(9)

    run = dies.launch(marker=str(tmp_path))
    with pytest.raises(RunLost):
        run.result(60)
    said = whole(run).filter(pl.col("kind") == "debug")["payload"]
    assert [int(json.loads(text)) for text in said] == list(range(100_000))


def test_os_exit_is_lost_with_the_reason(lab: Any) -> None:
    run = kitchen.fail.launch(kind="exit")
    with pytest.raises(RunLost, match="process ended"):
        run.result(60)


@pytest.mark.parametrize("die", [False, True])
def test_the_retry_policy_is_followed(lab: Any, tmp_path: Path, die: bool) -> None:
    run = kitchen.flaky.launch(marker=str(tmp_path / f"m{die}"), succeed_at=3, die=die)
    assert run.result(120) == 3
    row = kl.runs().filter(pl.col("run_id") == run.id).collect()
    assert row["attempt"][0] == 3
    events = whole(run)
    assert events["attempt"].unique().sort().to_list() == [1, 2, 3]
    gave_up = kitchen.flaky.launch(marker=str(tmp_path / f"g{die}"), succeed_at=9, die=die)
    with pytest.raises(RunLost if die else RunFailed):
        gave_up.result(120)
    assert gave_up.events().collect()["attempt"].max() == 3


def test_a_late_writer_of_an_older_attempt_is_refused(lab: Any, tmp_path: Path) -> None:
    marker = str(tmp_path / "attempts")

    @ray.remote(num_cpus=0)
    def late(tracer: kl.Tracer, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tracer.debug("late")
            tracer.flush()
            Path(marker + "-task").touch()
            time.sleep(0.02)

    @kl.flow(retries=1)
    def splits(*, tracer: kl.Tracer) -> str:
        first = not Path(marker).exists()
        Path(marker).touch()
        if first:
            late.remote(tracer, 8.0)
            while not Path(marker + "-task").exists():
                time.sleep(0.02)
            raise RuntimeError("first attempt fails")
        time.sleep(1.5)
        return "second"

    run = splits.launch()
    assert run.result(120) == "second"
    events = whole(run)
    boundary = events.filter(pl.col("attempt") == 2)["seq"].min()
    assert events.filter((pl.col("payload") == '"late"') & (pl.col("seq") < boundary)).height > 0
    assert events.filter((pl.col("payload") == '"late"') & (pl.col("seq") > boundary)).height == 0


def test_trailing_results_of_ray_tasks_are_kept_and_change_nothing(lab: Any) -> None:
    @ray.remote(num_cpus=0)
    def slow(tracer: kl.Tracer) -> None:
        tracer.result("early")
        tracer.flush()
        eventually(lambda: kl.run(tracer.run_id).status == "finished", timeout_s=60)
        tracer.result("trailing")
        tracer.emit("status", json.dumps({"status": "error"}))
        tracer.emit("final", '{"text/plain":"usurped"}')
        time.sleep(0.5)

    @kl.flow
    def leaves(*, tracer: kl.Tracer) -> str:
        slow.remote(tracer)
        while not kl.run(tracer.run_id).results():
            time.sleep(0.05)
        return "mine"

    run = leaves.launch()
    assert run.result(60) == "mine"
    eventually(lambda: "trailing" in run.results(), timeout_s=10)
    time.sleep(0.3)
    assert run.status == "finished"
    assert run.result() == "mine"
    whole(run)


# -- time and cancelling ----------------------------------------------------------------


@pytest.mark.parametrize("flow", [kitchen.sleepy, kitchen.asleepy], ids=["sync", "async"])
def test_a_run_is_cancelled(lab: Any, flow: Any) -> None:
    run = flow.launch(seconds=60)
    eventually(lambda: run.status == "running")
    assert run.cancel()
    with pytest.raises(RunCancelled, match="cancelled by"):
        run.result(10)
    assert not run.cancel()


def test_a_flow_that_ignores_cancelling_is_killed_after_the_grace_period(lab: Any) -> None:
    run = kitchen.stubborn.launch()
    eventually(lambda: "ready" in run.logs())
    started = time.monotonic()
    run.cancel(grace_s=1.0)
    with pytest.raises(RunCancelled, match="killed"):
        run.result(20)
    assert 1.0 <= time.monotonic() - started < 6
    assert "no" in run.logs().splitlines()


def test_a_flow_that_never_returns_times_out(lab: Any) -> None:
    run = kitchen.asleepy.with_options(timeout_s=0.7).launch(seconds=60)
    with pytest.raises(RunTimeout, match=r"timeout_s of 0\.7"):
        run.result(30)
    assert run.duration_s is not None
    assert 0.6 < run.duration_s < 5


def test_the_time_awaiting_a_person_does_not_count(lab: Any) -> None:
    run = kitchen.ask.with_options(timeout_s=4.0).launch()
    eventually(lambda: run.locks)
    time.sleep(5.0)
    run.answer("yes")
    assert run.result(30) == "yes"


def test_a_queued_run_is_cancelled_before_it_starts(fresh_lab: Callable[..., Any]) -> None:
    fresh_lab(slots=1)
    first = kitchen.asleepy.launch(seconds=60)
    eventually(lambda: first.status == "running")
    second = kitchen.asleepy.launch(seconds=60)
    assert "waiting for a free slot (1 of 1 in use)" in second.reason
    assert "place 1 in the queue" in second.reason
    second.cancel()
    assert second.status == "cancelled"
    assert "running" not in statuses(second)
    first.cancel()
    first.wait(30)


# -- the Dispatcher ---------------------------------------------------------------------


def test_killing_the_dispatcher_changes_nothing_for_runs(fresh_lab: Callable[..., Any], tmp_path: Path) -> None:
    held = fresh_lab(slots=2)
    marker = tmp_path / "pid"
    doomed = kitchen.sleepy.launch(seconds=120, marker=str(marker))
    running = kitchen.sleepy.launch(seconds=8)
    eventually(lambda: running.status == "running" and marker.exists(), timeout_s=60)
    queued = [kitchen.hello.launch(name=str(i)) for i in range(4)]
    limited = kitchen.asleepy.with_options(timeout_s=1.0).launch(seconds=60)
    kill(ray.get(held.dispatcher.health.remote())["pid"])
    eventually(lambda: ray.get(held.dispatcher.health.remote(), timeout=60)["queued"] >= 0, timeout_s=60)
    assert running.result(60) == "slept"
    assert running.events().collect()["attempt"].max() == 1
    for i, run in enumerate(queued):
        assert run.result(60) == f"hello {i}"
        whole(run)
    with pytest.raises(RunTimeout):
        limited.result(60)
    kill(int(marker.read_text()))
    with pytest.raises(RunLost):
        doomed.result(20)


def test_a_queued_run_whose_secrets_died_with_the_dispatcher_asks_for_them(fresh_lab: Callable[..., Any]) -> None:
    held = fresh_lab(slots=1)
    first = kitchen.asleepy.launch(seconds=60)
    eventually(lambda: first.status == "running", timeout_s=60)
    run = kitchen.login.launch(user="ada", password="pw")
    kill(ray.get(held.dispatcher.health.remote())["pid"])
    with pytest.raises(RunFailed, match=r"password.*enter them"):
        run.result(60)
    first.cancel()
    first.wait(30)


# -- crowds -----------------------------------------------------------------------------


def test_runs_that_wait_do_not_block_a_small_machine(fresh_lab: Callable[..., Any]) -> None:
    from examples.flows.primes import prime_gaps

    fresh_lab(slots=2)
    asking = [kitchen.ask.launch(question=f"q{i}") for i in range(3)]
    parents = [kitchen.parent.launch(depth=1) for _ in range(3)]
    primes = [prime_gaps.launch(end=20_000, tasks=2) for _ in range(2)]
    for run in [*parents, *primes]:
        run.result(240)
    for run in asking:
        eventually(lambda run=run: run.locks, timeout_s=120)
        run.answer("yes")
        assert run.result(60) == "yes"


@pytest.mark.timeout(1800)
def test_many_launches_at_once_all_finish_in_bounded_memory(fresh_lab: Callable[..., Any]) -> None:
    held = fresh_lab(slots=4, warm_runners=2)
    n = 1000 if SOAK else 100
    stop, peak = threading.Event(), [0]
    me = psutil.Process()

    def runners() -> int:
        return sum("RunnerActor" in " ".join(_cmdline(p)) for p in me.children(recursive=True))

    def watch() -> None:
        while not stop.wait(0.5):
            peak[0] = max(peak[0], runners())

    watcher = threading.Thread(target=watch)
    before = runners()
    watcher.start()
    runs = [kitchen.hello.launch(name=str(i)) for i in range(n)]
    waiting = kl.runs().filter(pl.col("place").is_not_null()).collect()
    assert waiting["place"].to_list() == list(range(1, len(waiting) + 1))
    if len(waiting):
        assert set(waiting["status"]) == {"starting"}
    for i, run in enumerate(runs):
        assert run.result(900) == f"hello {i}"
    stop.set()
    watcher.join()
    assert peak[0] - before <= 4 + 2 + 2  # slots, warm ones, and replacements on their way
    assert ray.get(held.dispatcher.health.remote())["queued"] == 0
    assert set(kl.runs().collect()["status"]) == {"finished"}


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_kernel_ends_a_runner_before_the_spooler_and_the_dispatcher(lab: Any) -> None:
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    run = kitchen.sleepy.launch(seconds=60)
    eventually(lambda: run.status == "running", timeout_s=60)
    said = run.events().filter(pl.col("kind") == "status").collect()["payload"]
    [runner] = {json.loads(text)["pid"] for text in said if "pid" in json.loads(text)}
    others = [ray.get(lab.spooler.health.remote())["pid"], ray.get(lab.dispatcher.ready.remote())]
    assert max(map(score, others)) < score(runner)
    run.cancel(grace_s=0)
    run.wait(60)
