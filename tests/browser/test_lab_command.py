"""``kodosumi-lab lab``, which is `make lab` once there is an environment: from one command to the first example and back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import ROOT, eventually

from browser.lab import Lab

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CLI = Path(sys.executable).parent / "kodosumi-lab"
EXAMPLE = "examples/01_hello.ipynb"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment of somebody who has never used it, on a machine without a screen."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "IPYTHON"))}
    own |= {"HOME": str(tmp_path), "KODOSUMI_LAB_STATE_DIR": str(tmp_path / "state")}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "KODOSUMI_LAB_LOG_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        own.pop(name, None)
    # these tests ask JupyterLab itself, not its page
    config = tmp_path / ".jupyter" / "jupyter_lab_config.py"
    config.parent.mkdir()
    config.write_text("c.LabApp.expose_app_in_browser = True")
    yield own
    subprocess.run([CLI, "down"], env=own, check=True, capture_output=True, timeout=120)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the examples: JupyterLab saves what it has open."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextlib.contextmanager
def started(command: list[Any], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block."""
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_every_cell_of_the_first_example_runs_in_a_browser(
    person: dict[str, str], checkout: Path, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    with started([CLI, "lab", EXAMPLE, "--port", "0", "--json"], checkout, person) as lab:
        assert lab.stdout is not None
        told = json.loads(lab.stdout.readline())
        server = [one for one in psutil.Process(lab.pid).children() if "jupyterlab" in one.cmdline()]
        assert len(server) == 1
        assert Path(told["log_dir"]).is_relative_to(tmp_path)
        assert httpx.get(told["url"].partition("?")[0], follow_redirects=False).status_code in (302, 403)
        board = open_page(told["dashboard"])
        board.get_by_role("heading", name="Flows", exact=True).wait_for(timeout=60_000)
        board.goto("about:blank")
        page = open_page(told["url"], width=1280, height=1400)
        page.allowed.extend(["favicon", "net::ERR_ABORTED", "Canceled future for", "source map", "404", "403"])
        book = Lab(page, None).open(EXAMPLE)  # it is open already
        cells = json.loads((ROOT / EXAMPLE).read_text())["cells"]
        code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
        for i in code:
            book.run(i, timeout_s=120)
        shown = [book.text(i) for i in code]
        assert any("background Ray" in text for text in shown)
        assert any("'greeted': 'Ada'" in text for text in shown)
        assert any("start: Input should be a valid integer" in text for text in shown)
        assert "prime_gaps" in shown[-2]
        page.screenshot(path=str(tmp_path / "lab.png"))
        page.goto("about:blank")  # it would ask for a server that has ended
        lab.send_signal(signal.SIGINT)
        assert lab.wait(30) == 0
    eventually(lambda: not any(one.is_running() and one.status() != "zombie" for one in server), timeout_s=30)
    # the cluster and its runs go on until they are taken down
    background = psutil.Process(json.loads((tmp_path / "state" / "cluster.json").read_text())["pid"])
    below = [background, *background.children(recursive=True)]
    down = subprocess.run([CLI, "down"], env=person, capture_output=True, text=True, timeout=120, check=True)
    assert down.stdout == "the background cluster is down\n"
    assert psutil.wait_procs(below, timeout=20)[1] == []


def test_what_cannot_be_opened_starts_nothing(person: dict[str, str], checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "other.ipynb").write_text("{}")
    for notebook, why in (
        ("nowhere.ipynb", "there is no nowhere.ipynb"),
        (str(tmp_path / "other.ipynb"), "is not below"),
    ):
        command = [CLI, "lab", notebook]
        done = subprocess.run(command, cwd=checkout, env=person, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert why in " ".join(done.stderr.split())
    assert not (tmp_path / "state").exists()
