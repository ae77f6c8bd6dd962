"""The gateway with a cluster behind it: launches over HTTP, and what waiting for a person costs."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import ray

import kodosumi_lab as kl
from benchmarks import flows
from benchmarks.http_bench import serving
from benchmarks.ray_bench import _end
from benchmarks.tools import Row, cpu_by_process, median, p99, pss_mb

__all__ = ["launching", "locks"]

_CLIENTS = 8


@contextlib.contextmanager
def _lab(**settings: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        ray.init(address="local", include_dashboard=False, log_to_driver=False)
        held = kl.connect(log_dir=Path(folder) / "log", **settings)
        try:
            yield held
        finally:
            _end(held)


def launching(*, quick: bool = False) -> list[Row]:
    """Launches over HTTP beside the same launches from this process: one after the other, and many into the queue."""
    times = 10 if quick else 50
    environment = {"KODOSUMI_LAB_GATEWAY_LAUNCHES_PER_MINUTE": "100000"}
    with _lab(warm_runners=2, slots=2) as held:
        options = ["--address", held.home.address, "--flows", flows.__name__]
        with serving(held.log_dir, *options, **environment) as (url, headers):
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                _launched(client)  # the gateway joins the cluster when it is first asked to act
                answered, running = zip(*(_launched(client) for _ in range(times)), strict=True)
            own = [_launched_here() for _ in range(times)]
            rate = _burst(url, headers, times)
    return [
        Row("launch over HTTP → answered, its first event durable", median(answered), "ms", median([a for a, _ in own]), "the same launch from a process on the cluster", note=f"p99 {p99(answered):.0f} ms"),
        Row("launch over HTTP → flow code running, warm Runner", median(running), "ms", median([r for _, r in own]), "the same launch from a process on the cluster", "≤ 100 ms", median(running) <= 100),
        Row(f"launches over HTTP of {_CLIENTS} clients at once, answered", rate, "1/s"),
    ]  # fmt: skip


def _launched(client: httpx.Client) -> tuple[float, float]:
    """Milliseconds until the launch is answered, and until flow code ran."""
    started = time.time()
    answer = client.post("/flows/started_at/launch", json={"inputs": {}})
    answered = time.time() - started
    answer.raise_for_status()
    return answered * 1000, (kl.run(answer.json()["run_id"]).result(60) - started) * 1000


def _launched_here() -> tuple[float, float]:
    started = time.time()
    run = flows.started_at.launch()
    answered = time.time() - started
    return answered * 1000, (run.result(60) - started) * 1000


def _burst(url: str, headers: dict[str, str], times: int) -> float:
    """Launches answered per second; they queue behind the slots, and all of them finish."""

    def one(_: int) -> None:
        answer = client.post("/flows/started_at/launch", json={"inputs": {}})
        answer.raise_for_status()
        ids.append(answer.json()["run_id"])

    ids: list[str] = []
    with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
        with ThreadPoolExecutor(_CLIENTS) as pool:
            started = time.perf_counter()
            list(pool.map(one, range(times)))
            seconds = time.perf_counter() - started
        for run_id in ids:
            kl.run(run_id).wait(300)
    return times / seconds


def locks(*, quick: bool = False) -> list[Row]:
    """Memory and CPU of locks at which nobody answers: 100 in one run, and in runs of their own."""
    runs, seconds = (3, 10) if quick else (20, 30)
    with _lab(warm_runners=2, slots=2) as held:
        shared = [ray.get(held.spooler.health.remote())["pid"], ray.get(held.dispatcher.ready.remote())]
        one = flows.asking.launch(locks=1)
        _open(1)
        before = [_pss([*shared, _pid(one)])]
        hundred = flows.asking.launch(locks=100)
        _open(101)
        before.append(_pss([*shared, _pid(hundred)]))
        idle = sum(cpu_by_process(_children(), seconds).values())
        more = [flows.asking.launch(locks=1) for _ in range(runs)]
        _open(101 + runs)
        each = median([_pss([_pid(run)]) for run in more])
        cpu = sum(cpu_by_process(_children(), seconds).values()) - idle
        for run in (one, hundred, *more):
            run.cancel(grace_s=0)
        for run in (one, hundred, *more):
            run.wait(120)
    return [
        Row("memory of 100 idle locks in one run", before[1] - before[0], "MiB", note="over a run with one lock; its Runner, the Spooler and the Dispatcher, PSS"),
        Row(f"memory of a run that waits for a person, {runs} of them", each, "MiB", note=f"100 of them: {each * 100 / 1024:.1f} GiB; CPU of all together {cpu:.1f} % of a core"),
    ]  # fmt: skip


def _children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def _pid(run: Any) -> int:
    """Process that carries the run."""
    said = run.events().filter(kind="status").collect()["payload"]
    return next(int(status["pid"]) for status in map(json.loads, said) if "pid" in status)


def _pss(pids: list[int]) -> float:
    time.sleep(5)  # what was used to get here is given back by then
    return sum(pss_mb(pid) for pid in pids)


def _open(count: int) -> None:
    end = time.monotonic() + 600
    while len(kl.locks().collect()) < count:
        assert time.monotonic() < end, f"{count} locks did not open"
        time.sleep(0.2)
