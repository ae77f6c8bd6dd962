"""Benchmarks with Ray: from an emit to the disk, from a launch to flow code, what idles."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import ray

import kodosumi_lab as kl
from benchmarks import flows
from benchmarks.http_bench import serving
from benchmarks.tools import Row, cpu_by_process, cpu_percent, median, p99, pss_mb, timed
from kodosumi_lab.events import arrow_schema

__all__ = ["cold_start", "idle", "run"]

# How long the CPU of processes that idle is measured, after they have come to rest.
_REST_S, _MEASURE_S = 25, 30


def run(*, quick: bool = False) -> list[Row]:
    """From an emit to the disk, from a launch to flow code, memory: all in one embedded Ray."""
    folder = Path(tempfile.mkdtemp(prefix="kodosumi-bench-"))
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    held = kl.connect(log_dir=folder / "log", warm_runners=2)
    rows = _emitting(held, 30_000 if quick else 300_000)
    rows += _launching(held, 5 if quick else 20)
    rows += _twenty()
    rows += _memory(held)
    rows += _asleep(held)
    rows += _scaling(quick)
    _end(held)
    rows += _bytes(folder / "log")
    return rows


def _end(held: Any) -> None:
    ray.get(held.dispatcher.shutdown.remote("the benchmark is over"))
    ray.get(held.spooler.close.remote())
    ray.shutdown()


def cold_start(*, quick: bool = False) -> list[Row]:
    """A fresh Python process, with no Ray before it, to the result of its first run."""
    code = (
        "import time; t = time.time()\n"
        "import tempfile, kodosumi_lab as kl, os\n"
        "from benchmarks.flows import started_at\n"
        "kl.connect('local', log_dir=tempfile.mkdtemp())\n"
        "connected = time.time() - t\n"
        "started_at.launch().result(120)\n"
        "print(connected, time.time() - t, flush=True)\n"
    )
    bare = "import time; t = time.time()\nimport ray\nray.init(include_dashboard=False, log_to_driver=False)\nprint(time.time() - t)"
    ours, connected, plain = [], [], []
    for _ in range(1 if quick else 3):
        told = _said(code)
        connected.append(told[0])
        ours.append(told[1])
        plain += _said(bare)
    note = f"connected after {median(connected):.1f} s"
    return [Row("cold start to the first run finished", median(ours), "s", median(plain), "importing and starting Ray alone", "≤ ½ of the peer's", None, "cold_start.cold_start_s", note)]  # fmt: skip


def _said(code: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()[-2:]]


def idle(*, quick: bool = False) -> list[Row]:
    """Processes and CPU of an idle lab as it is by default, with a gateway, over an idle Ray; by process."""
    folder = Path(tempfile.mkdtemp(prefix="kodosumi-bench-"))
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    time.sleep(_REST_S)
    seconds = 10 if quick else _MEASURE_S
    before = cpu_by_process(_processes(), seconds)
    held = kl.connect(log_dir=folder / "log")
    with serving(folder / "log", "--address", held.home.address):
        flows.started_at.launch().result(60)
        time.sleep(_REST_S)
        after = cpu_by_process(_processes(), seconds)
        names = _names(_processes())
    _end(held)
    ours = {pid: name for pid, name in names.items() if "kodosumi" in name.lower() or "Actor" in name}
    extra = round(sum(after.values()) - sum(before.values()), 2)  # the kernel counts in hundredths of a second
    listed = ", ".join(
        f"{Path(name.removeprefix('ray::')).name} {after.get(pid, 0):.2g} %" for pid, name in sorted(ours.items())
    )
    grown = {name: sum(v for pid, v in after.items() if names.get(pid) == name and pid not in ours) - sum(v for pid, v in before.items() if names.get(pid) == name) for name in {names.get(pid) for pid in before}}  # fmt: skip
    theirs = ", ".join(f"{Path(name or '?').name} {value:+.2g} %" for name, value in sorted(grown.items(), key=lambda item: -item[1])[:3])  # fmt: skip
    return [
        Row("processes when idle, beside Ray's own", len(ours), "", must="≤ 4", reached=len(ours) <= 4, peer="idle.processes_idle"),
        Row("CPU when idle, over idle Ray", extra, "% of a core", limit=sum(before.values()), limit_name="idle Ray alone", must="≤ 1 %", reached=extra <= 1, peer="idle.cpu_idle_percent", note=f"{listed}; Ray's own: {theirs}"),
    ]  # fmt: skip


def _processes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def _names(processes: list[psutil.Process]) -> dict[int, str]:
    result = {}
    for process in processes:
        try:
            words = process.cmdline()
            script = next((word for word in words[1:] if word.endswith((".py", "kodosumi-lab"))), None)
            result[process.pid] = script or (words[0] if words else process.name())
        except psutil.Error:
            continue
    return result


def _emitting(held: Any, n: int) -> list[Row]:
    flows.burst.launch(n=2000).result(60)
    before = ray.get(held.spooler.health.remote())["batches"]
    measured = flows.burst.launch(n=n).result(300)
    batches = ray.get(held.spooler.health.remote())["batches"] - before
    ours = n / measured["durable_s"]
    bare = _bare_pyarrow(n, max(1, n // max(1, batches)))
    cost = flows.emit_cost.launch().result(300)
    idle, disk = flows.idle_latency.launch().result(300), _bare_sync(Path(held.log_dir))
    return [
        Row("durable events per second, one run, 200-byte payloads", ours, "1/s", bare, f"pyarrow append and fsync of {n // max(1, batches):,}-event batches, no Ray", "≥ ½ of pyarrow, ≥ 400 × peer", ours >= bare / 2, "events_per_s"),
        Row("cost of one emit, sync, 200-byte string", cost["sync_us"], "µs", must="≤ 5 µs", reached=cost["sync_us"] <= 5, peer="emit.sync"),
        Row("cost of one emit, async, 200-byte string", cost["async_us"], "µs", must="≤ 5 µs", reached=cost["async_us"] <= 5, peer="emit.async"),
        Row("emit → durable, idle, median", median(idle), "ms", median(disk), "appending and fdatasync of 1 kB, nothing else", must="≤ 5 ms", reached=median(idle) <= 5, peer="latency.median"),
        Row("emit → durable, idle, p99", p99(idle), "ms", p99(disk), "appending and fdatasync of 1 kB, nothing else", must="≤ 20 ms", reached=p99(idle) <= 20, peer="latency.p99"),
    ]  # fmt: skip


def _bare_pyarrow(n: int, size: int) -> float:
    """Events per second of the physical limit: the same columns, batches and fsyncs, nothing else."""
    schema = arrow_schema()
    payload = f'{{"text/plain":"{flows.TEXT}"}}'
    with tempfile.TemporaryDirectory() as folder:
        fd = os.open(Path(folder) / "bare.arrows", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(fd, schema.serialize())
        started = time.perf_counter()
        for first in range(0, n, size):
            count = min(size, n - first)
            columns = [
                pa.array(["01a20928-758b-744e-8fc0-c2168ac66057"] * count),
                pa.array(range(first, first + count), pa.int64()),
                pa.array([0] * count, pa.timestamp("us", "UTC")),
                pa.array(["result"] * count),
                pa.nulls(count, pa.string()),
                pa.array([payload] * count),
                pa.array([1] * count, pa.int16()),
                pa.array([7] * count, pa.uint64()),
                pa.array(range(first, first + count), pa.int64()),
            ]
            os.write(fd, pa.RecordBatch.from_arrays(columns, schema=schema).serialize())
            os.fdatasync(fd)
        seconds = time.perf_counter() - started
        os.close(fd)
    return n / seconds


def _bare_sync(folder: Path, times: int = 300) -> list[float]:
    """Milliseconds of an append that is made durable, one at a time, on the log's disk."""
    found = []
    fd = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(times):
        time.sleep(0.02)
        started = time.perf_counter()
        os.write(fd, b"x" * 1000)
        os.fdatasync(fd)
        found.append((time.perf_counter() - started) * 1000)
    os.close(fd)
    (folder / "bare").unlink()
    return found


def _launching(held: Any, times: int) -> list[Row]:
    durable, running = [], []
    for _ in range(times):
        started = time.time()
        launched = flows.started_at.launch()
        durable.append((time.time() - started) * 1000)
        running.append((launched.result(60) - started) * 1000)
    fresh, bare = flows.started_at.with_options(fresh=True), []
    cold = []
    for _ in range(5):
        started = time.time()
        cold.append(fresh.launch().result(60) - started)
        bare += timed(_bare_actor)
    ratio = median(cold) / median(bare)
    return [
        Row("launch → first event durable", median(durable), "ms", must="≤ 20 ms", reached=median(durable) <= 20, peer="launch.durable"),
        Row("launch → flow code running, warm Runner", median(running), "ms", must="≤ 100 ms", reached=median(running) <= 100, peer="launch.running"),
        Row("launch → flow code running, new process", median(cold), "s", median(bare), "a bare Ray actor's start and first call", "≤ 1.2 × a bare actor", ratio <= 1.2, note=f"{ratio:.2f} ×"),
    ]  # fmt: skip


@ray.remote(num_cpus=0)
class _Bare:
    async def pid(self) -> int:
        return os.getpid()


def _bare_actor() -> None:
    actor = _Bare.remote()
    ray.get(actor.pid.remote())
    ray.kill(actor)


def _twenty() -> list[Row]:
    rows = []
    for count in (1, 5, 20, 50):
        started = time.perf_counter()
        launched = [flows.burst.launch(n=500) for _ in range(count)]
        for one in launched:
            one.wait(300)
        seconds = time.perf_counter() - started
        if count == 20:
            rows.append(
                Row(
                    "20 runs at once, 500 events each, to the last event",
                    seconds,
                    "s",
                    must="≥ 10 × faster than the peer",
                    peer="twenty_runs",
                )
            )
        else:
            rows.append(Row(f"scaling: {count} runs at once, 500 events each", seconds, "s"))
    return rows  # fmt: skip


def _memory(held: Any) -> list[Row]:
    bare = _Bare.remote()
    bare_pid = ray.get(bare.pid.remote())
    launched = [flows.sleeping.launch(seconds=30) for _ in range(3)]
    pids = []
    for one in launched:
        while not one.results():
            time.sleep(0.05)
        pids.append(one.results()[0])
    ours, theirs = median([pss_mb(pid) for pid in pids]), pss_mb(bare_pid)
    for one in launched:
        one.cancel(grace_s=0)
        one.wait(60)
    ray.kill(bare)
    ratio = ours / theirs
    return [Row("memory per running flow (PSS)", ours, "MiB", theirs, "a bare Ray actor", "≤ 1.3 × a bare actor", ratio <= 1.3, "memory", f"{ratio:.2f} ×")]  # fmt: skip


def _asleep(held: Any) -> list[Row]:
    time.sleep(25)
    idle = cpu_percent(_processes(), 15)
    launched = flows.asleep.launch(seconds=120)
    time.sleep(8)
    asleep = cpu_percent(_processes(), 15)
    viewer = subprocess.Popen(
        [sys.executable, "-c", f"import kodosumi_lab as kl\nfor e in kl.run({launched.id!r}, log_dir={launched.log_dir!r}).follow(): pass"]
    )  # fmt: skip
    time.sleep(5)
    watching = cpu_percent([psutil.Process(viewer.pid)], 15)
    launched.cancel()
    viewer.wait(30)
    extra = asleep - idle
    return [
        Row("one flow asleep, over the idle lab", extra, "% of a core", must="≤ 2 %", reached=extra <= 2, peer="sleeping"),
        Row("one open live view (follow) of it", watching, "% of a core", must="≤ 1 %", reached=watching <= 1),
    ]  # fmt: skip


def _scaling(quick: bool) -> list[Row]:
    rows = []
    for n in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000, 10_000_000):
        seconds = flows.burst.launch(n=n).result(1200)["durable_s"]
        rows.append(Row(f"scaling: {n:,} events in one run", n / seconds, "1/s"))
    for size, n in ((20, 100_000), (200, 100_000), (2_000, 50_000), (20_000, 5_000), (1_000_000, 100)):
        seconds = flows.burst.launch(n=n, size=size).result(600)["durable_s"]
        rows.append(
            Row(
                f"scaling: payloads of {size:,} bytes",
                n / seconds,
                "1/s",
                note=f"{n * size / seconds / 2**20:.0f} MiB/s",
            )
        )
    for emitters in (1, 2, 4, 8):
        rate = flows.spread.launch(n=80_000, emitters=emitters).result(600)
        rows.append(Row(f"scaling: {emitters} Ray tasks emitting into one run", rate, "1/s"))
    return rows


def _bytes(log: Path) -> list[Row]:
    import pyarrow.parquet as pq

    files = list(log.glob("events/**/*.parquet"))
    events = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
    size = sum(path.stat().st_size for path in files)
    each = size / max(1, events)
    return [Row("bytes per event on disk, sealed, repeated 200-byte text", each, "B", must="≤ 1/10 of the peer's", peer="bytes", note="see the log's row for varied text")]  # fmt: skip
