"""The view of a run in a real browser: from an event on the disk to what a person sees.

The log is written by this process, the gateway is one of its own, the browser a third: as in life,
but for Ray. Times are taken with one clock, `Date.now()` in the page and `time.time()` here.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.tools import Row, median, p99

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "kodosumi_lab" / "widgets" / "static"

# Every frame: how many console events the view counts, and when. A frame's time is when it is drawn.
_WATCH = """() => {
    globalThis.seen = [];
    const look = () => {
        const tab = [...document.querySelectorAll('[role=tab]')].find((t) => t.textContent.startsWith('Console'));
        const count = Number((tab?.querySelector('.kl-tab-count')?.textContent ?? '0').replaceAll(',', ''));
        const seen = globalThis.seen;
        if (seen.length === 0 || seen[seen.length - 1][1] !== count) seen.push([Date.now(), count]);
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""

_SCROLL = """async () => {
    const list = document.querySelector('[role=log]');
    const top = list.scrollHeight - list.clientHeight;
    const frames = [];
    let last = 0;
    const began = performance.now();
    await new Promise((done) => {
        const step = (now) => {
            if (last) frames.push(now - last);
            last = now;
            const share = (now - began) / 4000;
            // down, back up, and jumps in between
            list.scrollTop = share < 0.6 ? top * share / 0.6 : top * Math.abs(Math.sin(share * 40));
            if (share < 1) requestAnimationFrame(step); else done();
        };
        requestAnimationFrame(step);
    });
    return frames;
}"""

_TWENTY = """async (runs) => {
    const began = performance.now();
    const { default: widget } = await import('/static/run.js');
    for (const run_id of runs) {
        const el = document.createElement('div');
        document.body.append(el);
        const traits = { run_id, _log: globalThis.traits._log, _http: true };
        widget.render({ model: { ...globalThis.model, get: (name) => traits[name] }, el });
    }
    const drawn = () => document.querySelectorAll('.kl-status[data-status=finished]').length > runs.length;
    while (!drawn()) await new Promise((done) => requestAnimationFrame(done));
    return performance.now() - began;
}"""


def run(*, quick: bool = False) -> list[Row]:
    """All rows about the browser."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.conftest import ARGS, CHROMIUM
    from browser.showcase import Showcase
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine; install Debian's `chromium`")
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder, sync_playwright() as playwright:
        show = Showcase(Path(folder) / "log", large_events=100_000, runs=60)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        with _pages(show.root) as address:
            page = browser.new_page(viewport={"width": 1000, "height": 800})
            rows = [
                *_latency(show, page, address),
                *_twenty(show, page, address),  # before the large runs, which are sealed for some time
                *_rates(show, page, address, quick),
                *_scrolling(show, page, address),
                *_opening(show, page, address, 200_000 if quick else 1_000_000),
                *_sizes(),
            ]
        browser.close()
        show.close()
    return rows


@contextlib.contextmanager
def _pages(root: Path) -> Iterator[Any]:
    from browser.pages import Pages

    command = [sys.executable, "-m", "benchmarks.browser_page", str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        try:
            yield Pages(told["url"], told["log"])
        finally:
            process.stdin.close()


def _fresh(show: Any, page: Any, address: Any) -> Any:
    """A new running run, shown in the page with its console open."""
    from browser.showcase import Scene

    one = Scene(show.writer, "primes", ago_s=1)
    one.many([("stdout", "first", None)])
    page.goto(address.of("run", run_id=one.run_id, tab="console"))
    page.get_by_text("first").first.wait_for(timeout=30_000)
    page.evaluate(_WATCH)
    page.wait_for_timeout(500)
    return one


def _write(one: Any, texts: list[str]) -> float:
    """Append console lines; when they were on the disk."""
    one.many([("stdout", text, None) for text in texts], after_s=0)
    return time.time() * 1000


def _drawn(page: Any, upto: int, timeout_s: float = 60) -> list[list[float]]:
    page.wait_for_function(f"() => globalThis.seen.at(-1)?.[1] >= {upto}", timeout=timeout_s * 1000)
    return page.evaluate("() => globalThis.seen")


def _waits(seen: list[list[float]], written: list[tuple[int, float]]) -> list[float]:
    """Milliseconds from the disk to the frame that counts it, for each (count, time)."""
    return [next(at for at, count in seen if count >= n) - when for n, when in written]


def _latency(show: Any, page: Any, address: Any) -> list[Row]:
    one = _fresh(show, page, address)
    written = []
    for i in range(100):
        written.append((i + 2, _write(one, [f"single {i}"])))
        time.sleep(0.06)
    single = _waits(_drawn(page, 101), written)
    began = 101
    at = []
    for start in range(0, 5_000, 500):
        when = _write(one, [f"burst {i} {'.' * 180}" for i in range(start, start + 500)])
        at += [(began + i + 1, when) for i in range(start, start + 500)]
    burst = _waits(_drawn(page, 5_101), at)
    counts = [count for _, count in page.evaluate("() => globalThis.seen")]
    exact = counts == sorted(counts) and counts[-1] == 5_101
    page.get_by_text("burst 4999").first.wait_for(timeout=10_000)
    one.end()
    return [
        Row("emit → drawn, single events, median", median(single), "ms", note=f"p99 {p99(single):.0f} ms"),
        Row("emit → drawn, 5,000 events at once, median", median(burst), "ms", must="≤ 100 ms", reached=median(burst) <= 100 and exact,
            peer="browser.drawn_ms.median", note="no repeats" if exact else "counted wrong"),
        Row("emit → drawn, 5,000 events at once, p99", p99(burst), "ms", must="≤ 500 ms", reached=p99(burst) <= 500, peer="browser.drawn_ms.p99"),
    ]  # fmt: skip


def _rates(show: Any, page: Any, address: Any, quick: bool) -> list[Row]:
    """Events a second that the view takes: steady rates for some seconds, and how far behind it is at their end."""
    best, told = 0.0, []
    for rate in (10_000, 30_000) if quick else (10_000, 30_000, 60_000, 100_000, 200_000):
        one = _fresh(show, page, address)
        written, count, seconds = [], 1, 3.0
        began = time.time()
        while (spent := time.time() - began) < seconds:
            due = int(rate * spent) - (count - 1)
            if due > 0:
                when = _write(one, ["x" * 120] * due)
                count += due
                written.append((count, when))
            time.sleep(0.02)
        behind = p99(_waits(_drawn(page, count, 120), written))
        one.end()
        actual = (count - 1) / (time.time() - began)
        told.append(f"{actual:,.0f}/s: {behind:.0f} ms")
        if behind > 1000:
            break
        best = max(best, (count - 1) / seconds)
    return [Row("events per second that a live view follows within 1 s (p99)", best, "1/s", note="; ".join(told))]


def _scrolling(show: Any, page: Any, address: Any) -> list[Row]:
    page.goto(address.of("run", run_id=show.large, tab="console"))
    page.get_by_role("log").get_by_text(re.compile(r"line \d+")).first.wait_for(timeout=30_000)
    page.wait_for_timeout(1000)
    frames = page.evaluate(_SCROLL)
    dropped = sum(max(0, round(frame / 16.7) - 1) for frame in frames)
    share = 100 * dropped / (len(frames) + dropped)
    return [
        Row("scrolling 100,000 console lines, frame, median", median(frames), "ms", note=f"p99 {p99(frames):.0f} ms"),
        Row("scrolling 100,000 console lines, frames dropped", share, "%", note="headless, without a GPU"),
    ]


def _opening(show: Any, page: Any, address: Any, events: int) -> list[Row]:
    from browser.showcase import large

    run_id = large(show.writer, events)
    times = []
    for _ in range(3):
        page.goto("about:blank")
        started = time.perf_counter()
        page.goto(address.of("run", run_id=run_id, tab="console"))
        page.locator(".kl-status[data-status=finished]").wait_for(timeout=60_000)
        page.get_by_role("log").get_by_text(re.compile(r"line \d+")).first.wait_for(timeout=60_000)
        times.append(time.perf_counter() - started)
    return [Row(f"opening a run of {events:,} events, to its status and console", median(times) * 1000, "ms")]


def _twenty(show: Any, page: Any, address: Any) -> list[Row]:
    finished = [run_id for i, run_id in enumerate(show.listed) if i % 7 < 3][:20]
    times = []
    for _ in range(3):
        page.goto(address.of("run", run_id=show.rich))
        page.locator(".kl-status[data-status=finished]").wait_for(timeout=30_000)
        times.append(page.evaluate(_TWENTY, finished))
    return [Row("a page with 20 views of runs, to the last status", median(times), "ms", note="of 3")]


def _sizes() -> list[Row]:
    rows = []
    for path in sorted(STATIC.glob("*.js")):
        size = len(gzip.compress(path.read_bytes(), 9)) / 1000
        rows.append(Row(f"bundle {path.name}, gzipped", size, "kB", must="≤ 150 kB", reached=size <= 150))
    return rows
