"""The gateway over HTTP: run list, event → SSE, many subscribers. No Ray; the server is a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from uuid_utils import uuid7

from benchmarks.log_bench import _build
from benchmarks.tools import Row, median, p99, timed
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.log import LogWriter, make_batch

__all__ = ["run"]


@contextlib.contextmanager
def _serving(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """URL and headers of a gateway over the log."""
    script = Path(sys.executable).parent / "kodosumi-lab"
    command = [str(script), "serve", "--json", "--log-dir", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        token = Path(told["token_file"]).read_text().strip()
        try:
            yield told["url"] + "/api/v1", {"authorization": f"Bearer {token}"}
        finally:
            process.terminate()


def run(*, quick: bool = False) -> list[Row]:
    """All of them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        rows += _lists(Path(folder), 10_000 if quick else 100_000)
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        rows += _live(Path(folder), 100 if quick else 500)
    return rows


def _lists(root: Path, runs: int) -> list[Row]:
    _build(root, runs, 5)
    with _serving(root) as (url, headers), httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        client.get("/runs").raise_for_status()
        times = timed(lambda: client.get("/runs").raise_for_status(), 100)
        search = median(timed(lambda: client.get("/runs", params={"search": "no such text"}), 15)) * 1000
        page = median(times) * 1000
    return [
        Row(f"run list over HTTP, first page, {runs:,} runs", page, "ms", must="≤ 50 ms", reached=page <= 50),
        Row(f"run list over HTTP, requests of one client, {runs:,} runs", len(times) / sum(times), "1/s"),
        Row(f"run list over HTTP, text search without a match, {runs:,} runs", search, "ms", must="≤ 200 ms", reached=search <= 200),
    ]  # fmt: skip


def _live(root: Path, events: int) -> list[Row]:
    """Single events, some time apart, from durable to each of 1 and of 20 subscribers."""
    rows = []
    for subscribers in (1, 20):
        writer = LogWriter(root, f"bench{subscribers}")
        run_id = str(uuid7())
        writer.commit(
            [make_batch(run_id, 1, 1, 0, [_row("meta", {"flow": "f"}), _row("status", {"status": "running"})])]
        )
        with _serving(root) as (url, headers):
            durable: list[float] = []
            thread = threading.Thread(target=_write, args=(writer, run_id, events, durable))
            seen = asyncio.run(_subscribers(f"{url}/runs/{run_id}/follow", headers, subscribers, thread))
            thread.join()
        writer.close()
        assert all(len(times) == events for times in seen)
        late = [(at - done) * 1000 for times in seen for at, done in zip(times, durable, strict=True)]
        note = f"p99 {p99(late):.0f} ms"
        rows.append(Row(f"event durable → received over SSE, {subscribers} subscribers", median(late), "ms", note=note))
    return rows


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
