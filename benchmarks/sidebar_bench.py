"""JupyterLab's sidebar in a real browser: how soon it can be used, what an hour of idling costs, 1,000 live runs in it.

An hour is simulated: the page's clock is moved on by one look at a time, so that all that waits for it happens as
often as in an hour, JupyterLab's own polling included; hence the same page without the extension beside it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.tools import Row, median, p99

ROOT = Path(__file__).resolve().parents[1]
__all__ = ["run"]

# While nothing is open the feed looks at the log this often with the settings as they come.
_LOOK_MS = 10_000
_LOOKS = 3_600_000 // _LOOK_MS
# Real time that the answers to one look are given.
_ANSWER_MS = 60

_WATCH = """() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => list.getEntries().forEach((e) => tasks.push(e.duration))).observe({ type: 'longtask' });
    globalThis.frames = [];
    let last = performance.now();
    const step = (now) => { frames.push(now - last); last = now; requestAnimationFrame(step); };
    requestAnimationFrame(step);
}"""


def run(*, quick: bool = False) -> list[Row]:
    """All rows about the sidebar."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.conftest import ARGS, CHROMIUM
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine; install Debian's `chromium`")
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, "--enable-precise-memory-info"])
        looks = 30 if quick else _LOOKS
        rows = [
            *_idle(browser, Path(folder) / "idle", looks, 1 if quick else 3),
            *_crowd(browser, Path(folder) / "crowd"),
        ]
        browser.close()
    return rows


def _log(root: Path, runs: int, *, end: bool) -> tuple[Any, list[Any]]:
    from browser.showcase import Scene
    from logkit import FastDisk

    from kodosumi_lab.runtime.log import LogWriter

    writer = LogWriter(root / "log", "bench", disk=FastDisk())
    scenes = [Scene(writer, f"flow_{i % 7}", ago_s=2 * runs - i) for i in range(runs)]
    if end:
        for scene in scenes:
            scene.end()
    return writer, scenes


def _page(browser: Any, jupyter: Any, *, clock: bool = False) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    if clock:
        page.clock.install()
    page.goto(f"{jupyter.url}lab/workspaces/bench{time.time_ns()}")
    page.wait_for_function("() => !!globalThis.jupyterapp", timeout=90_000)
    page.evaluate("async () => { await globalThis.jupyterapp.restored; }")
    return page


def _show(page: Any) -> Any:
    page.evaluate("() => globalThis.jupyterapp.commands.execute('kodosumi:show-sidebar')")
    return page.get_by_role("grid", name="Runs")


def _idle(browser: Any, root: Path, looks: int, times: int) -> list[Row]:
    from browser.lab import Gateway, serve_jupyter

    writer, _ = _log(root, 300, end=True)
    gateway = Gateway(writer.layout.root)
    try:
        with serve_jupyter(root / "jupyter", gateway_port=gateway.port) as jupyter:
            rows = _starting(browser, jupyter, times)
            with_it = _hour(browser, jupyter, looks, shown=True)
            settings = root / "jupyter" / "config" / "labconfig" / "page_config.json"
            off = json.loads(settings.read_text())["disabledExtensions"] | {"kodosumi-lab": True}
            settings.write_text(json.dumps({"disabledExtensions": off}))
            without = _hour(browser, jupyter, looks, shown=False)
    finally:
        gateway.stop()
        writer.close()
    hour = f"{looks} looks, {looks * _LOOK_MS / 60_000:.0f} min"
    own = with_it["cpu_s"] - without["cpu_s"]
    return [
        *rows,
        Row("sidebar idle for an hour: main thread beside JupyterLab's own", own, "s", without["cpu_s"], "JupyterLab alone",
            note=f"{hour}; {own / (looks * _LOOK_MS / 1000):.2%} of a core; {with_it['asked']} requests"),
        Row("sidebar idle for an hour: growth of the JS heap", with_it["grown_mb"], "MB", without["grown_mb"], "JupyterLab alone",
            note=f"{with_it['before_mb']:.1f} MB → {with_it['after_mb']:.1f} MB after collections"),
        Row("sidebar with 300 runs: JS heap beside JupyterLab's own", with_it["before_mb"] - without["before_mb"], "MB"),
    ]  # fmt: skip


def _starting(browser: Any, jupyter: Any, times: int) -> list[Row]:
    """From the request of the page, and from JupyterLab being there, to rows that can be clicked."""
    ready, own = [], []
    for _ in range(times):
        page = _page(browser, jupyter)
        there = page.evaluate("() => performance.now()")
        _show(page).get_by_role("row").nth(3).wait_for()
        now = page.evaluate("() => performance.now()")
        ready.append(now)
        own.append(now - there)
        page.context.close()
    return [
        Row("sidebar: page requested → runs can be clicked", median(ready), "ms", median(ready) - median(own), "JupyterLab itself"),
        Row("sidebar: JupyterLab there → runs can be clicked", median(own), "ms"),
    ]  # fmt: skip


def _hour(browser: Any, jupyter: Any, looks: int, *, shown: bool) -> dict[str, float]:
    """CPU of the page's main thread and its heap, over as many looks."""
    page = _page(browser, jupyter, clock=True)
    if shown:
        _show(page).get_by_role("row").nth(3).wait_for()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/kodosumi/" in one.url else None)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.wait_for_timeout(5_000)
    before, cpu = _heap_mb(session), _metric(session, "TaskDuration")
    for _ in range(looks):
        page.clock.fast_forward(_LOOK_MS)
        page.wait_for_timeout(_ANSWER_MS)
    cpu = _metric(session, "TaskDuration") - cpu
    after = _heap_mb(session)
    page.context.close()
    return {"cpu_s": cpu, "before_mb": before, "after_mb": after, "grown_mb": after - before, "asked": len(asked)}


def _heap_mb(session: Any) -> float:
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    return _metric(session, "JSHeapUsedSize") / 1e6


def _metric(session: Any, name: str) -> float:
    told = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in told if one["name"] == name))


def _crowd(browser: Any, root: Path) -> list[Row]:
    """1,000 open runs, 25 of which move each 100 ms, while somebody scrolls."""
    from browser.lab import Gateway, serve_jupyter

    writer, scenes = _log(root, 1000, end=False)
    gateway = Gateway(writer.layout.root)
    try:
        with serve_jupyter(root / "jupyter", gateway_port=gateway.port) as jupyter:
            page = _page(browser, jupyter)
            grid = _show(page)
            grid.get_by_role("row").nth(3).wait_for()
            grid.hover()
            page.wait_for_timeout(3_000)
            page.evaluate(_WATCH)
            for i in range(80):
                for scene in scenes[i % 40 :: 40]:
                    scene.say("progress", {"value": i, "total": 80, "label": f"step {i}", "name": None})
                page.mouse.wheel(0, 700 if i < 40 else -700)
                page.wait_for_timeout(100)
            frames, tasks = page.evaluate("() => [globalThis.frames, globalThis.tasks]")
            page.context.close()
    finally:
        gateway.stop()
        writer.close()
    return [
        Row("sidebar with 1,000 live runs, scrolled: frame, median", median(frames), "ms", 1000 / 60, "60 a second",
            note=f"p99 {p99(frames):.0f} ms, longest {max(frames):.0f} ms; headless, without a GPU"),
        Row("sidebar with 1,000 live runs, scrolled: longest task", max([0, *tasks]), "ms", must="< 200 ms",
            reached=max([0, *tasks]) < 200, note=f"{len(tasks)} over 50 ms"),
    ]  # fmt: skip
