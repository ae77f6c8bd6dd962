"""Runs in a notebook of JupyterLab: from an event on the disk to the frame that shows it below a cell.

JupyterLab, its kernel and the gateway are processes of their own; the log is written by this one.
The same is measured over HTTP and with the comm as the only way, as in hosts without our server.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.browser_bench import _WATCH, _drawn, _waits, _write
from benchmarks.tools import Row, median, p99

ROOT = Path(__file__).resolve().parents[1]
__all__ = ["run"]

_COMM_ONLY = "from kodosumi_lab.widgets.base import LabWidget; LabWidget._http.default_value = False\n"
_LAST = "() => document.querySelectorAll('.jp-Notebook .kl-status[data-status=finished]').length >= 20"

# A hiccup of the machine delays all events of a burst.
_BURSTS = 5


def run(*, quick: bool = False) -> list[Row]:
    """All rows about notebooks."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.conftest import ARGS, CHROMIUM
    from browser.showcase import Showcase
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine; install Debian's `chromium`")
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder, sync_playwright() as playwright:
        show = Showcase(Path(folder) / "log", large_events=1000, runs=60)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        with _jupyter(show, Path(folder) / "jupyter") as jupyter:
            rows = [
                *_latency(show, browser, jupyter, "over HTTP", "", 20 if quick else 100),
                *_latency(show, browser, jupyter, "over the comm", _COMM_ONLY, 20 if quick else 100),
                *_twenty(show, browser, jupyter),
            ]
        browser.close()
        show.close()
    return rows


@contextmanager
def _jupyter(show: Any, folder: Path) -> Iterator[Any]:
    from browser.lab import Gateway, serve_jupyter

    gateway = Gateway(show.root)
    try:
        with serve_jupyter(folder, gateway_port=gateway.port, KODOSUMI_LAB_LOG_DIR=str(show.root)) as jupyter:
            yield jupyter
    finally:
        gateway.stop()


def _lab(browser: Any, jupyter: Any) -> Any:
    from browser.lab import Lab

    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.allowed = []
    page.goto(f"{jupyter.url}lab/workspaces/bench{time.time_ns()}")
    return Lab(page, jupyter)


def _latency(show: Any, browser: Any, jupyter: Any, way: str, before: str, singles: int) -> list[Row]:
    from browser.showcase import Scene

    one = Scene(show.writer, "primes", ago_s=1)
    one.many([("stdout", "first", None)])
    lab = _lab(browser, jupyter)
    cell = f"{before}import kodosumi_lab as kl\nkl.run({one.run_id!r}).view(tab='console')"
    book = lab.open(jupyter.notebook(f"latency{time.time_ns()}.ipynb", [cell]))
    book.run(0)
    page = lab.page
    page.get_by_role("log").get_by_text("first").first.wait_for(timeout=60_000)
    page.evaluate(_WATCH)
    page.wait_for_timeout(1000)
    written = []
    for i in range(singles):
        written.append((i + 2, _write(one, [f"single {i}"])))
        time.sleep(0.06)
    single = _waits(_drawn(page, singles + 1), written)
    bursts = []
    for before in (singles + 2 + 5_000 * n for n in range(_BURSTS)):
        at = []
        for start in range(0, 5_000, 500):
            when = _write(one, [f"burst {i} {'.' * 180}" for i in range(start, start + 500)])
            at += [(before + i, when) for i in range(start, start + 500)]
        bursts.append(_waits(_drawn(page, before + 4_999), at))
        page.wait_for_timeout(500)
    burst = sorted(bursts, key=median)[_BURSTS // 2]
    one.end()
    page.get_by_text("finished", exact=True).first.wait_for(timeout=30_000)
    page.context.close()
    return [
        Row(f"notebook, {way}: emit → drawn, single events, median", median(single), "ms", note=f"p99 {p99(single):.0f} ms"),
        Row(f"notebook, {way}: emit → drawn, 5,000 events at once, median", median(burst), "ms", must="≤ 100 ms", reached=median(burst) <= 100,
            note=f"p99 {p99(burst):.0f} ms; the middle one of {_BURSTS}: {', '.join(f'{median(one):.0f}' for one in bursts)}"),
    ]  # fmt: skip


def _twenty(show: Any, browser: Any, jupyter: Any) -> list[Row]:
    """A saved notebook with 20 runs as outputs, opened without a kernel."""
    finished = [run_id for i, run_id in enumerate(show.listed) if i % 7 < 3][:20]
    about = {"log_dir": str(show.root), "log": _log_id(show.root)}
    outputs = [
        {"text/plain": run_id, "application/vnd.kodosumi.run.v1+json": {"run_id": run_id, **about}}
        for run_id in finished
    ]
    path = jupyter.notebook("twenty.ipynb", [f"# run {run_id}" for run_id in finished], outputs=outputs)
    times = []
    for _ in range(3):
        lab = _lab(browser, jupyter)
        lab.page.set_viewport_size({"width": 1280, "height": 20_000})  # all are seen, so all are drawn
        began = time.perf_counter()
        lab.open(path, kernel=False)
        lab.page.wait_for_function(_LAST, timeout=60_000)
        times.append((time.perf_counter() - began) * 1000)
        lab.page.context.close()
    return [
        Row(
            "opening a notebook with 20 views of runs, to the last status", median(times), "ms", note="without a kernel"
        )
    ]


def _log_id(root: Path) -> str:
    from kodosumi_lab.runtime.layout import log_id

    return log_id(root)
