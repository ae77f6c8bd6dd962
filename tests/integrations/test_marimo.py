"""The views in marimo, a host that knows nothing of Jupyter: over the widget's own channel, with no gateway to reach."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import eventually

pytest.importorskip("marimo", reason="`make test-integrations` has an environment with it")
pytest.importorskip("playwright", reason="`make test-integrations` has an environment with it")

from browser.conftest import ARGS, CHROMIUM
from browser.showcase import Scene
from logkit import FastDisk

from kodosumi_lab.runtime.log import LogWriter

APP = """
import marimo

app = marimo.App()

@app.cell
def _():
    import marimo as mo
    import kodosumi_lab as kl
    return kl, mo

@app.cell
def _(kl, mo):
    mo.ui.anywidget(kl.run({run!r}).view())
    return

@app.cell
def _(kl, mo):
    listed = mo.ui.anywidget(kl.runs_view())
    listed
    return (listed,)

@app.cell
def _(listed, mo):
    mo.md("chosen: " + ", ".join(listed.value["selected"]))
    return

if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    held = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    yield held
    held.close()


@pytest.fixture
def live(writer: LogWriter) -> Scene:
    for n in range(5):
        Scene(writer, f"earlier_{n}", ago_s=60 - n).end()
    one = Scene(writer, "primes", ago_s=1)
    one.many([("stdout", "first line", None)])
    return one


@pytest.fixture
def marimo(live: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a marimo app of a run that goes on and of the list of runs."""
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", str(tmp_path / "log"))
    source = tmp_path / "app.py"
    source.write_text(APP.format(run=live.run_id))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "-q", "run", str(source), "--headless", "--no-token", f"--port={port}"]
    with (tmp_path / "marimo.log").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None, (tmp_path / "marimo.log").read_text()
        try:
            return httpx.get(f"{url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        eventually(up, timeout_s=60, what="marimo answers")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_a_run_is_live_and_what_is_chosen_reaches_python(marimo: str, live: Scene) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install Debian's `chromium`, or set KODOSUMI_TEST_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = browser.new_page(viewport={"width": 1100, "height": 1400})
        page.goto(marimo)
        view = page.get_by_role("region", name=re.compile("^Run "))
        view.get_by_text("running", exact=True).first.wait_for(timeout=60_000)
        live.many([("stdout", "a later line", None)])
        view.get_by_role("tab", name=re.compile("Console")).click()
        view.get_by_text("a later line").first.wait_for()
        live.end()
        view.get_by_text("finished", exact=True).first.wait_for(timeout=30_000)

        listed = page.get_by_role("region", name="Runs")
        listed.get_by_text(re.compile(r"^\d+ runs$")).wait_for(timeout=60_000)
        listed.get_by_role("checkbox", name=f"Select run {live.run_id[-8:]}").check()
        page.get_by_text(f"chosen: {live.run_id}").wait_for(timeout=30_000)
        browser.close()
