"""The gateway over HTTP: run list, event → SSE. No Ray; the server is a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from uuid_utils import uuid7

from benchmarks.log_bench import _build
from benchmarks.tools import Row, median, p99, timed
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.log import LogWriter, make_batch

__all__ = ["lists", "live", "serving"]

_CLIENTS = 8


@contextlib.contextmanager
def serving(root: Path, *options: str, **environment: str) -> Iterator[tuple[str, dict[str, str]]]:
    """URL and headers of a gateway over the log, in a process of its own."""
    script = Path(sys.executable).parent / "kodosumi-lab"
    command = [str(script), "serve", "--json", "--log-dir", str(root), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        token = Path(told["token_file"]).read_text().strip()
        try:
            yield told["url"] + "/api/v1", {"authorization": f"Bearer {token}"}
        finally:
            process.terminate()


def lists(*, quick: bool = False) -> list[Row]:
    """The run list over HTTP, of one client and of several at once."""
    runs = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        _build(Path(folder), runs, 5)
        with serving(Path(folder)) as (url, headers), httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            client.get("/runs").raise_for_status()
            times = timed(lambda: client.get("/runs").raise_for_status(), 100)
            search = median(timed(lambda: client.get("/runs", params={"search": "no such text"}), 15)) * 1000
            rate, slow = _at_once(url, headers, 3 if quick else 10)
    page = median(times) * 1000
    return [
        Row(f"run list over HTTP, first page, {runs:,} runs", page, "ms", must="≤ 50 ms", reached=page <= 50),
        Row(f"run list over HTTP, requests of one client, {runs:,} runs", len(times) / sum(times), "1/s"),
        Row(f"run list over HTTP, requests of {_CLIENTS} clients at once, {runs:,} runs", rate, "1/s", note=f"p99 {slow * 1000:.0f} ms"),
        Row(f"run list over HTTP, text search without a match, {runs:,} runs", search, "ms", must="≤ 200 ms", reached=search <= 200),
    ]  # fmt: skip


def _at_once(url: str, headers: dict[str, str], seconds: float) -> tuple[float, float]:
    """First pages per second for several clients that never pause, and the slowest but one in a hundred."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def ask() -> None:
        # the least a client can do, since it has the same two cores
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        while time.perf_counter() < end:
            started = time.perf_counter()
            connection.request("GET", parts.path + "/runs", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            answer.read()
            times.append(time.perf_counter() - started)
        connection.close()

    with ThreadPoolExecutor(_CLIENTS) as pool:
        for asked in [pool.submit(ask) for _ in range(_CLIENTS)]:
            asked.result()
    return len(times) / seconds, p99(times)


def live(*, quick: bool = False) -> list[Row]:
    """Single events, some time apart, from durable to each of 1 and of 20 subscribers."""
    events = 100 if quick else 500
    rows = []
    for subscribers in (1, 20):
        with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
            late = _late(Path(folder), events, subscribers)
        note = f"p99 {p99(late):.0f} ms"
        rows.append(Row(f"event durable → received over SSE, {subscribers} subscribers", median(late), "ms", note=note))
    return rows


def _late(root: Path, events: int, subscribers: int) -> list[float]:
    """Milliseconds of each event to each subscriber."""
    writer = LogWriter(root, "bench")
    run_id = str(uuid7())
    writer.commit([make_batch(run_id, 1, 1, 0, [_row("meta", {"flow": "f"}), _row("status", {"status": "running"})])])
    with serving(root) as (url, headers):
        durable: list[float] = []
        thread = threading.Thread(target=_write, args=(writer, run_id, events, durable))
        seen = asyncio.run(_subscribers(f"{url}/runs/{run_id}/follow", headers, subscribers, thread))
        thread.join()
    writer.close()
    assert all(len(times) == events for times in seen)
    return [(at - done) * 1000 for times in seen for at, done in zip(times, durable, strict=True)]


def _row(kind: str, payload: object) -> tuple[int, int, str | None, str]:
    return time.time_ns() // 1000, KIND_ID[kind], None, dumps(payload)


def _write(writer: LogWriter, run_id: str, events: int, durable: list[float]) -> None:
    time.sleep(1.0)
    for i in range(events):
        writer.commit([make_batch(run_id, 1, 1, 2 + i, [_row("stdout", "x" * 200)])])
        durable.append(time.monotonic())
        time.sleep(0.01)
    writer.commit([make_batch(run_id, 1, 1, 2 + events, [_row("status", {"status": "finished"})])])


async def _subscribers(url: str, headers: dict[str, str], count: int, writing: threading.Thread) -> list[list[float]]:
    async def one() -> list[float]:
        times = []
        async with httpx.AsyncClient(headers=headers, timeout=60) as client, client.stream("GET", url) as answer:
            async for line in answer.aiter_lines():
                if line == "event: end":
                    break
                if line.startswith("data: ") and '"kind":"stdout"' in line:
                    times.append(time.monotonic())
        return times

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    writing.start()
    return await asyncio.gather(*tasks)
