"""What Binder does with `binder/`, done here: a fresh environment, `postBuild`, `start`, and the lab with Ray in 2 GB.

repo2docker copies the repository to the user's home, calls pip on `binder/requirements.txt` there, runs
`binder/postBuild`, and starts each container with `binder/start` and the command of the hub.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import ROOT, eventually

BINDER = ROOT / "binder"
DEMO_LOG = BINDER / "demo_log"
LIMIT = 2 * 2**30
TOKEN = "let-me-in"  # of a server that ends with the test


def find_uv() -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv-tools" / "bin"))
    if uv is None:
        pytest.skip("uv is not here, which makes the environment")
    return uv


# -- what is committed ------------------------------------------------------------------


def test_the_badge_leads_to_the_first_notebook_of_this_repository() -> None:
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    owner_and_name = address.removeprefix("https://github.com/")
    opened = "examples/01_hello.ipynb"
    assert (ROOT / opened).is_file()
    link = f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?urlpath=lab/tree/{opened}"
    assert f"(https://mybinder.org/badge_logo.svg)]({link})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_be_executed_and_are_valid(name: str) -> None:
    assert os.access(BINDER / name, os.X_OK)
    subprocess.run(["bash", "-n", BINDER / name], check=True)


def test_binder_installs_what_the_lock_file_says() -> None:
    command = [find_uv(), "export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--no-header"]
    command += ["--no-annotate", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (BINDER / "constraints.txt").read_text() == done.stdout, "run `make lock`"


def test_start_opens_the_lab_where_ray_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KODOSUMI_LAB_STATE_DIR": str(tmp_path / "state")}
    command = [BINDER / "start", "echo", "the lab", "opens"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "the lab opens\n")
    told = (tmp_path / "RAY-DID-NOT-START.txt").read_text()
    assert "The recorded runs are all there" in told
    assert told == done.stderr


# -- recorded runs ----------------------------------------------------------------------

# Ray cannot be imported: whatever shows history must do without.
WITHOUT_RAY = """
import json, sys
sys.modules["ray"] = None
import polars as pl
import kodosumi_lab as kl
found = []
for id_ in kl.runs().sort("started").collect()["run_id"]:
    run = kl.run(id_)
    meta = json.loads(run.events().filter(kind="meta").collect()["payload"][0])
    replay = run.replay()
    found.append({
        "flow": meta["flow"], "status": run.status, "events": run.events().collect().height, "meta": meta,
        "results": len(run.results()), "locks": run.events().filter(kind="lock").collect().height,
        "shown": type(replay).__name__,
    })
print(json.dumps(found))
"""


def demo_runs(python: str | Path, log: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    variables = {**environment, "KODOSUMI_LAB_LOG_DIR": str(log)}
    command = [python, "-c", WITHOUT_RAY]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_the_recorded_runs_replay_without_ray() -> None:
    runs = demo_runs(sys.executable, DEMO_LOG, dict(os.environ))
    assert [run["flow"] for run in runs] == ["prime_gaps", "profile_table", "research", "review"]
    assert {run["status"] for run in runs} == {"finished"}
    assert {run["shown"] for run in runs} == {"Replay"}
    assert all(run["results"] and run["events"] > 10 for run in runs)
    assert [run["locks"] for run in runs] == [0, 0, 0, 2]


def test_the_recorded_runs_are_small_and_of_a_binder() -> None:
    files = [path for path in DEMO_LOG.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    assert {path.suffix for path in files} == {".parquet"}
    for run in demo_runs(sys.executable, DEMO_LOG, dict(os.environ)):
        meta = run["meta"]
        assert (meta["user"], meta["host"], meta["cwd"], meta["sys_path"]) == (
            "jovyan",
            "binder",
            "/home/jovyan",
            ["/home/jovyan"],
        )


# -- the same steps ---------------------------------------------------------------------


class Container:
    """A home with the repository in it, and an environment: what repo2docker makes, without Docker.

    Every process that is started below carries a word in its environment by which it is found again.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.prefix, self.mark = folder / "jovyan", folder / "venv", uuid.uuid4().hex
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if not name.startswith(("tests/", "benchmarks/", "labextension/")) and (ROOT / name).is_file():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.home / name)
        self.variables = {
            "HOME": str(self.home), "PATH": f"{self.prefix / 'bin'}{os.pathsep}{os.environ['PATH']}", "LANG": "C.UTF-8",
            "USER": "jovyan", "LOGNAME": "jovyan", "SHELL": "/bin/bash", "BINDER_TEST": self.mark,
            "VIRTUAL_ENV": str(self.prefix), "JUPYTER_PLATFORM_DIRS": "1",
        }  # fmt: skip

    def run(self, *command: str | Path, timeout_s: float = 180) -> str:
        done = subprocess.run(
            command, cwd=self.home, env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}"
        return done.stdout

    def install(self) -> None:
        uv = find_uv()
        # with byte code, as pip makes it; links to uv's cache in place of copies
        changes = {"UV_COMPILE_BYTECODE": "1", "UV_LINK_MODE": "hardlink"}
        mine = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "UV_PROJECT_ENVIRONMENT")
        }
        environment = {**mine, "VIRTUAL_ENV": str(self.prefix), **changes}
        for words in (
            ["venv", "--python", sys.executable, self.prefix],
            ["pip", "install", "-r", "binder/requirements.txt"],
        ):
            done = subprocess.run(
                [uv, *words, "--quiet"],
                cwd=self.home,
                env=environment,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    def processes(self) -> list[psutil.Process]:
        """All that have been started in here and live."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("BINDER_TEST") == self.mark:
                    found.append(process)
        return found

    def memory(self) -> dict[str, int]:
        """Bytes of each process, with its share of what several use (PSS)."""
        sizes: dict[str, int] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error, OSError):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                words = [Path(word).name if word.startswith(str(self.prefix)) else word for word in process.cmdline()]
                sizes[f"{process.pid} {' '.join(words).strip()[:90]}"] = kib * 1024
        return sizes


class Watch:
    """The most memory that a container has taken, looked at all the time."""

    def __init__(self, container: Container) -> None:
        self.most: dict[str, int] = {}
        self._container, self._over = container, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(1.0):
            now = self._container.memory()
            if sum(now.values()) > sum(self.most.values()):
                self.most = now

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def started(container: Container) -> Iterator[str]:
    """`binder/start` with a JupyterLab; its address. Afterwards nothing of it is left."""
    said = container.home / "start.log"
    command = ["binder/start", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
               f"--IdentityProvider.token={TOKEN}"]  # fmt: skip
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=container.home, env=container.variables, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def address() -> str:
        assert process.poll() is None, said.read_text()
        for told in container.home.rglob(f"jpserver-{process.pid}.json"):
            with contextlib.suppress(ValueError):
                return str(json.loads(told.read_text())["url"])
        return ""

    try:
        yield eventually(address, timeout_s=200, what="JupyterLab is open")
    finally:
        with contextlib.suppress(AssertionError):
            container.run("kodosumi-lab", "down")
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            for left in container.processes():
                left.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="Binder is Linux, and so are PSS and the scripts")
def test_binder_opens_the_lab_with_ray_and_history_within_its_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        times[what] = time.monotonic() - began

    container = Container(tmp_path)
    with timed("install"):
        container.install()
    with timed("postBuild"):
        told = container.run("binder/postBuild")
    assert "prime_gaps" in told
    with Watch(container) as watch, contextlib.ExitStack() as stack:
        with timed("start"):
            url = stack.enter_context(started(container))

        def ask(path: str) -> httpx.Response:
            answer = httpx.get(f"{url}kodosumi{path}", headers={"authorization": f"token {TOKEN}"}, timeout=90)
            return answer.raise_for_status()

        assert not (container.home / "RAY-DID-NOT-START.txt").exists()
        refused = httpx.get(f"{url}kodosumi/api/v1/runs", timeout=90)
        assert refused.status_code in (302, 403)  # as Jupyter answers who has not signed in
        with timed("sidebar"):
            assert ask("/api/v1/health").json()["status"] == "ok"
            recorded = {run["flow"] for run in ask("/api/v1/runs").json()["items"]}
        assert recorded == {"prime_gaps", "profile_table", "research", "review"}

        with timed("first notebook"):
            container.run("jupyter", "execute", "--timeout=120", "examples/01_hello.ipynb")
        runs = ask("/api/v1/runs").json()["items"]
        assert {(run["flow"], run["status"]) for run in runs[:2]} == {
            ("countdown", "finished"), ("prime_gaps", "finished"),
        }  # fmt: skip
        assert json.loads(container.run("kodosumi-lab", "doctor", "--json"))["cluster"]["answers"]
    total = sum(watch.most.values())
    report = [f"Binder: {', '.join(f'{what} {seconds:.1f} s' for what, seconds in times.items())}"]
    report += [f"  {len(watch.most)} processes, PSS {total / 2**20:,.0f} MiB together at most:"]
    report += [f"  {n / 2**20:6.0f} MiB  {name}" for name, n in sorted(watch.most.items(), key=lambda pair: -pair[1])]
    with capsys.disabled():
        print("", *report, sep="\n")
    assert total < LIMIT, report
    eventually(lambda: not container.processes(), what="nothing is left")
