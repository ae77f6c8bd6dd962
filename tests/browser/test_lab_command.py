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
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": None if "--json" in command else subprocess.STDOUT}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.terminate()


def heard(process: subprocess.Popen[str], until: str = "") -> str:
    """What it says up to the line with `until`, or to its end; lines are joined, as a terminal breaks them."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if until and until in line:
            break
    return " ".join(lines)


def cluster(home: Path) -> psutil.Process | None:
    """The background Ray of a person, if it runs."""
    state = home / "state" / "cluster.json"
    return psutil.Process(json.loads(state.read_text())["pid"]) if state.exists() else None


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
        board.get_by_role("heading", name="Flows", exact=True).wait_for()
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
        background = cluster(tmp_path)
        assert background is not None
        below = [*server, *server[0].children(recursive=True), background, *background.children(recursive=True)]
        lab.send_signal(signal.SIGINT)
        assert lab.wait(60) == 0
    # all runs are over: nothing is left of what it started
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert cluster(tmp_path) is None


FLOW = "import kodosumi_lab as kl\n\n@kl.flow\nasync def ask_before_leaving(*, tracer: kl.Tracer):\n    return await tracer.lock('go')\n"


def test_ray_stays_while_a_run_waits_and_where_it_was_there_before(
    person: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    (checkout / "leaving.py").write_text(FLOW)

    def call(*words: str) -> str:
        done = subprocess.run(
            [CLI, *words], cwd=checkout, env=person, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with started([CLI, "lab", "--port", "0"], checkout, person) as lab:
        told = heard(lab, "interrupt ends")
        assert "interrupt ends JupyterLab and Ray; while runs are not over, Ray stays" in told
        background = cluster(tmp_path)
        run_id = json.loads(call("run", "leaving:ask_before_leaving", "--detach", "--json"))["run_id"]
        eventually(lambda: json.loads(call("show", run_id, "--json"))["status"] == "awaiting", timeout_s=60)
        lab.send_signal(signal.SIGTERM)
        rest = heard(lab)
        assert lab.wait(60) == 0
    assert "Ray stays, since 1 run is not over; `kodosumi-lab down` ends it and Ray" in rest
    assert background is not None
    assert cluster(tmp_path) == background
    call("cancel", run_id)
    with started([CLI, "lab", "--port", "0"], checkout, person) as lab:
        told = heard(lab, "interrupt ends")
        assert "(was running already)" in told
        assert "Ray was there before and stays, `kodosumi-lab down` ends it" in told
        lab.send_signal(signal.SIGHUP)  # as a terminal that is closed
        assert lab.wait(60) == 0
    assert cluster(tmp_path) == background
    assert call("down") == "the background cluster is down\n"
    assert cluster(tmp_path) is None


def test_ray_ends_with_the_last_of_those_who_use_it(person: dict[str, str], checkout: Path, tmp_path: Path) -> None:
    command = [CLI, "lab", "--port", "0"]
    with started(command, checkout, person) as first:
        heard(first, "interrupt ends")
        with started(command, checkout, person) as second:
            assert "ends JupyterLab and Ray, unless another `kodosumi-lab lab` uses it" in heard(
                second, "interrupt ends"
            )
            first.send_signal(signal.SIGINT)
            assert "Ray stays, since another `kodosumi-lab lab` uses it; it ends with the last" in heard(first)
            assert first.wait(60) == 0
            background = cluster(tmp_path)
            assert background is not None
            assert background.is_running()
            second.send_signal(signal.SIGINT)
            assert "JupyterLab and Ray have ended" in heard(second)
            assert second.wait(60) == 0
    assert cluster(tmp_path) is None


def test_ray_can_be_kept(person: dict[str, str], checkout: Path, tmp_path: Path) -> None:
    with started([CLI, "lab", "--port", "0", "--keep-ray"], checkout, person) as lab:
        assert "Ray and its runs go on, `kodosumi-lab down` ends them" in heard(lab, "interrupt ends")
        lab.send_signal(signal.SIGINT)
        assert lab.wait(60) == 0
    assert cluster(tmp_path) is not None


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
