"""The dashboard: from an address to what a person sees, what a session costs, and what sessions cost that nobody touches.

The server is `kodosumi-lab serve`, the browser Chromium; times are those of the page, from the navigation or the click
until what was asked for is drawn. There is no Ray.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.http_bench import serving
from benchmarks.log_bench import _build
from benchmarks.tools import Row, cpu_percent, median, pss_mb
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.log import LogWriter, make_batch

__all__ = ["run"]

ROOT = Path(__file__).resolve().parents[1]
_SESSIONS = 20


def run(*, quick: bool = False) -> list[Row]:
    """All rows about the dashboard."""
    rows = []
    sizes = ((1_000, 20), (5_000, 20)) if quick else ((1_000, 100), (100_000, 100))
    for runs, events in sizes:
        with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
            _build(Path(folder), runs, events)
            rows += _pages(Path(folder), f"{runs:,} runs, {runs * events:,} events", quick)
            if runs == sizes[-1][0]:
                rows += _sessions(Path(folder), f"{runs:,} runs", quick)
    return rows


@contextlib.contextmanager
def _board(root: Path) -> Iterator[tuple[Any, str, psutil.Process]]:
    """A browser that is signed in, the dashboard's address, and the server's process."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.conftest import ARGS, CHROMIUM
    from playwright.sync_api import sync_playwright

    with serving(root) as (api, headers), sync_playwright() as playwright:
        url = api.removesuffix("/api/v1")
        server = next(child for child in psutil.Process().children() if "serve" in child.cmdline())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        page.goto(f"{url}/login")
        page.get_by_label("Token").fill(headers["authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Flows", exact=True).wait_for(timeout=60_000)
        page.close()
        yield context, f"{url}/dashboard/", server
        browser.close()


def _taken(page: Any, act: Callable[[], Any], drawn: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    drawn()
    return (time.perf_counter() - began) * 1000


def _pages(root: Path, of: str, quick: bool) -> list[Row]:
    times = 3 if quick else 7
    rows = []
    with _board(root) as (context, url, _):
        page = context.new_page()
        page.set_default_timeout(120_000)
        shown: dict[str, Callable[[], Any]] = {
            "runs": lambda: page.get_by_role("row").nth(5).wait_for(),
            "analytics": page.locator(".tile").first.wait_for,
        }
        for name, drawn in shown.items():
            drawn_in = [_taken(page, lambda n=name: page.goto(f"{url}?page={n}"), drawn) for _ in range(times)]
            note = f"the first time {drawn_in[0]:.0f} ms"
            rows.append(Row(f"dashboard, {name}: address → drawn, {of}", median(drawn_in[1:]), "ms", note=note))
        tile = page.locator(".tile dd").first
        narrowed = []
        for i in range(times):
            before = tile.inner_text()
            link = page.get_by_role("region", name="By flow").get_by_role("link").nth(i % 2)
            narrowed.append(_taken(page, link.click, lambda before=before: _differs(page, before)))
            with contextlib.suppress(Exception):
                page.get_by_role("button", name="Reset").click(timeout=5_000)
                _is(page, before)
        rows.append(Row(f"dashboard, analytics: filter → drawn, {of}", median(narrowed), "ms"))
        page.goto(f"{url}?page=runs")
        shown["runs"]()
        searched = []
        field, nothing = page.get_by_placeholder("Search runs").first, page.get_by_text("No run fits")
        for i in range(times):
            searched.append(_taken(page, lambda i=i: field.fill(f"no such text {i}"), nothing.wait_for))
            field.fill("")
            shown["runs"]()
        rows.append(Row(f"dashboard, runs: text search without a match → drawn, {of}", median(searched), "ms"))
    return rows


def _differs(page: Any, before: str) -> None:
    _poll(page, lambda text: text != before)


def _is(page: Any, wanted: str) -> None:
    _poll(page, lambda text: text == wanted)


def _poll(page: Any, good: Callable[[str], bool]) -> None:
    tile = page.locator(".tile dd").first
    end = time.perf_counter() + 60
    while not good(tile.inner_text()):
        if time.perf_counter() > end:
            raise AssertionError("the numbers did not change")
        page.wait_for_timeout(5)


def _sessions(root: Path, of: str, quick: bool) -> list[Row]:
    seconds = 10 if quick else 60
    with _board(root) as (context, url, server):

        def opened(name: str) -> Any:
            page = context.new_page()
            page.goto(f"{url}?page={name}")
            page.get_by_role("heading", name=name.capitalize(), exact=True).wait_for(timeout=120_000)
            return page

        opened("analytics")
        time.sleep(3)
        one = pss_mb(server.pid)
        for i in range(_SESSIONS - 1):
            opened(("analytics", "runs", "flows", "inbox")[i % 4])
        time.sleep(5)
        many = pss_mb(server.pid)
        idle = cpu_percent([server], seconds)
        with _busy(root):
            busy = cpu_percent([server], seconds)
    each = (many - one) / (_SESSIONS - 1)
    return [
        Row(f"dashboard, memory of one more session, {of}", each, "MiB", note=f"the process with one: {one:.0f} MiB"),
        Row(f"dashboard, {_SESSIONS} sessions that nobody touches, CPU, {of}", idle, "% of a core", must="near zero", reached=idle < 3),
        Row(f"dashboard, {_SESSIONS} sessions on a log with 20 new events a second, CPU, {of}", busy, "% of a core"),
    ]  # fmt: skip


@contextlib.contextmanager
def _busy(root: Path) -> Iterator[None]:
    """Somebody writes: a run begins each second, and says something twenty times."""
    from uuid_utils import uuid7

    ended = threading.Event()

    def write() -> None:
        writer = LogWriter(root, "busy", trailing_s=5.0)
        count = 0
        while not ended.wait(0.05):
            if count % 20 == 0:
                run_id, producer, first = str(uuid7()), count + 1, 0
                start = [(time.time_ns() // 1000, KIND_ID["meta"], None, dumps({"flow": "busy", "user": "ada"}))]
                start += [(time.time_ns() // 1000, KIND_ID["status"], None, '{"status":"running"}')]
                writer.commit([make_batch(run_id, 1, producer, first, start)])
                first = 2
            row = (time.time_ns() // 1000, KIND_ID["stdout"], None, '"still here"')
            writer.commit([make_batch(run_id, 1, producer, first, [row])])
            first, count = first + 1, count + 1
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
