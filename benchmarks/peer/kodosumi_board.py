"""Measure the dashboard of kodosumi 1.1.0 in Chromium, over a history of as many runs as ours is measured with.

Runs in our environment (Playwright), the peer in its own. The history is the peer's: one run that it wrote itself,
copied under new ids. The results are added to the peer's JSON::

    python benchmarks/peer/kodosumi_board.py --venv DIR --out benchmarks/peer/kodosumi-1.1.0.json

Where a choice was open, the one that is kinder to the peer was taken: each file is checkpointed, and a first visit,
which fills the caches, does not count. Two more do: one takes the better part of a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests")]

from kodosumi_peer import Peer, adopt_orphans, home, make_environment  # noqa: E402

RUNS, EVENTS = 1000, 100
_SLOW_MS = 180_000


def multiply(peer: Peer) -> int:
    """One run of the peer's, so often that there are `RUNS`; how many events one has."""
    run = peer.launch("burst_sync", count=EVENTS)
    peer.finish(run)
    path = run.path
    assert path is not None
    with sqlite3.connect(path) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        events = opened.execute("SELECT count(*) FROM monitor").fetchone()[0]
    opened.close()
    for _ in range(RUNS - 1):
        shutil.copytree(path.parent, path.parents[1] / uuid.uuid4().hex[:24])
    return int(events)


def taken(act: Callable[[], Any], drawn: Callable[[], Any], times: int = 3) -> float:
    """Milliseconds from the act to the picture; the median without the first."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        drawn()
        measured.append((time.perf_counter() - began) * 1000)
    return statistics.median(measured[1:])


def board(peer: Peer) -> dict[str, float]:
    """What a person sees of it, in milliseconds."""
    from browser.conftest import ARGS, CHROMIUM
    from playwright.sync_api import sync_playwright

    url = f"http://127.0.0.1:{peer.server_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        context = browser.new_context(
            viewport={"width": 1400, "height": 900}, extra_http_headers={"KODOSUMI_API_KEY": peer._token}
        )
        page = context.new_page()
        page.set_default_timeout(_SLOW_MS)
        # nothing from elsewhere, for the peer as for us: it would wait for networks
        page.route(lambda address: not address.startswith(url), lambda route: route.abort())
        row = page.locator("#running-agents-table tbody tr code").first
        runs = taken(lambda: page.goto(f"{url}/admin/dashboard"), row.wait_for)
        numbers = taken(
            lambda: page.goto(f"{url}/admin/dashboard"),
            lambda: page.wait_for_function("document.getElementById('stat-total').textContent.trim() !== '-'"),
        )
        said = page.locator("#results-count")
        searched = []
        for at in range(3):
            field = page.locator("#filter-search")
            began = time.perf_counter()
            field.fill(f"no such text {at}")
            page.wait_for_function("document.getElementById('results-count').textContent === 'No results'")
            searched.append((time.perf_counter() - began) * 1000)
            field.fill("")
            page.wait_for_function("document.getElementById('results-count').textContent.startsWith('Showing')")
        print(said.inner_text())
        browser.close()
    return {"runs_drawn_ms": runs, "numbers_drawn_ms": numbers, "search_ms": statistics.median(searched[1:])}


def main() -> None:
    """Measure, and add to the file."""
    parser = argparse.ArgumentParser(description="Measure the dashboard of kodosumi 1.1.0 on this machine.")
    parser.add_argument("--venv", type=Path, required=True, help="the peer's environment; made if it does not exist")
    parser.add_argument("--out", type=Path, required=True, help="the peer's JSON file")
    options = parser.parse_args()
    make_environment(options.venv.absolute())
    adopt_orphans()
    with home() as directory, Peer(options.venv.absolute(), directory) as peer:
        peer.start_ray()
        peer.start_kodosumi()
        events = multiply(peer)
        result = {"runs": RUNS, "events_per_run": events, **board(peer)}
    print(json.dumps(result))
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.write_text(json.dumps(known | {"dashboard": result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
