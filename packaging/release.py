"""Rehearse a release: `make release-check` runs this on what `make dist` has built.

In fresh environments, with the versions of uv.lock: the wheel is installed, looked at, used in JupyterLab as its tests
in a browser do, uninstalled without a trace, and installed over an older version; the source distribution is
installed and looked at. Runs with the Python of the environment that has the tests' packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OLDER = "0.0.1"
EXTENSION = Path("share", "jupyter", "labextensions", "kodosumi-lab")


def run(*command: str | Path, **options: Any) -> str:
    """Run a program; what it prints, on both ways, is the answer, or what the rehearsal ends with."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what was proven, and how long that took."""
    began = time.monotonic()
    yield
    print(f"  {time.monotonic() - began:5.1f} s  {what}", flush=True)


def expect(holds: object, what: str) -> None:
    """End the rehearsal unless it holds."""
    if not holds:
        raise SystemExit(f"not as it should be: {what}")


class Environment:
    """A fresh virtual environment below `folder`, with a home of its own and nothing of whoever runs this."""

    def __init__(self, uv: str, folder: Path, constraints: Path) -> None:
        self.uv, self.prefix, self.constraints = uv, folder / "venv", constraints
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("KODOSUMI_", "JUPYTER", "PYTHON"))
        }
        path = f"{self.prefix / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.variables = {**kept, "HOME": str(folder), "PATH": path, "VIRTUAL_ENV": str(self.prefix)}
        run(uv, "venv", "--quiet", "--seed", "--python", sys.executable, self.prefix)

    def install(self, archive: Path) -> None:
        """Install or upgrade to an archive, with the user's own cache."""
        words = ("pip", "install", "--quiet", "--compile-bytecode", "--constraints", self.constraints, archive)
        run(self.uv, *words, env={**os.environ, "VIRTUAL_ENV": str(self.prefix)})

    def call(self, program: str, *words: str) -> str:
        """Run a program of this environment, from a directory that is not the repository."""
        return run(self.prefix / "bin" / program, *words, env=self.variables, cwd=self.prefix)

    def ours(self) -> set[Path]:
        """Files and folders with our name, or in a folder with our name."""
        return {path for path in self.prefix.rglob("*") if "kodosumi" in str(path.relative_to(self.prefix))}

    def installed(self) -> set[str]:
        """The files among them, without byte code and what uv keeps about how it installed."""
        files = (path for path in self.ours() if path.is_file() and path.suffix != ".pyc")
        return {str(path.relative_to(self.prefix)) for path in files if not path.match("*.dist-info/uv_*.json")}

    def check(self, version: str) -> None:
        """Look at what is installed, as `docs/jupyterlab.md` tells people to."""
        told = self.call("kodosumi-lab", "version")
        expect(f"kodosumi-lab {version}" in told, f"the program is {version}: {told}")
        front = json.loads((self.prefix / EXTENSION / "package.json").read_text())["version"]
        expect(front == version, f"the front end is {version}: {front}")
        told = self.call("jupyter", "labextension", "list")
        line = next((line for line in told.splitlines() if "kodosumi-lab" in line), "")
        expect("enabled" in line and "OK" in line and f"v{version}" in line, f"JupyterLab has the extension:\n{told}")
        told = self.call("jupyter", "server", "extension", "list")
        expect("jupyter_server_proxy" in told, f"the Jupyter server has the gateway's proxy:\n{told}")
        expect(told.count("Validating") == told.count("OK"), f"all server extensions can be loaded:\n{told}")
        problems = json.loads(self.call("kodosumi-lab", "doctor", "--json"))["problems"]
        expect(problems == [], f"doctor finds nothing: {problems}")


def older(uv: str, folder: Path, version: str) -> Path:
    """Build a wheel of these sources that says it is of an older version, and has a module more."""
    source = folder / "older"
    parts = ("kodosumi_lab", "packaging", "pyproject.toml", "README.md", "LICENSE")
    for name in filter(None, run("git", "ls-files", "-z", *parts, cwd=ROOT).split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name in ("kodosumi_lab/__init__.py", "kodosumi_lab/labextension/package.json"):
        text = (source / name).read_text()
        (source / name).write_text(text.replace(f'"{version}"', f'"{OLDER}"', 1))
    (source / "kodosumi_lab" / "gone.py").write_text('"""Newer versions do not have this."""\n')
    run(uv, "build", "--quiet", "--wheel", "--out-dir", folder, source)
    return next(folder.glob("*.whl"))


#: Tests in JupyterLab that are about what is installed; not the command `lab`, and not the tests that install.
STORIES = ("fixtures", "extension", "notebooks", "toasts", "files", "servers", "dragging", "language", "on_ray")


def stories(place: Environment) -> str:
    """Use the environment's JupyterLab as a person would; what pytest says at the end."""
    modules = [ROOT / "tests" / "browser" / f"test_lab_{name}.py" for name in STORIES]
    variables = {**os.environ, "KODOSUMI_TEST_JUPYTER_PYTHON": str(place.prefix / "bin" / "python")}
    told = run(sys.executable, "-m", "pytest", "-q", *modules, cwd=ROOT, env=variables).strip().splitlines()[-1]
    expect("passed" in told and "skipped" not in told, f"all of them ran: {told}")
    return told


def main(archives: Sequence[str]) -> None:
    """Rehearse with a wheel and a source distribution; without names, those in ``dist/``."""
    uv = shutil.which("uv") or str(ROOT / ".venv-tools" / "bin" / "uv")
    found = [Path(name).resolve() for name in archives] or sorted((ROOT / "dist").glob("kodosumi_lab-*"))
    wheel = next(path for path in found if path.suffix == ".whl")
    sdist = next(path for path in found if path.name.endswith(".tar.gz"))
    version = wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        constraints = ROOT / "binder" / "constraints.txt"
        print(wheel.name)
        with step("installed in a fresh environment"):
            place = Environment(uv, folder / "wheel", constraints)
            place.install(wheel)
        fresh = place.installed()
        with step("extensions enabled, doctor finds nothing"):
            place.check(version)
        with step("the stories of JupyterLab hold"):
            print(f"          {stories(place)}")
        with step("uninstalled without a trace"):
            # by pip: uv leaves the byte code of _kodosumi_lab_alias.py, which nobody would ever load
            place.call("python", "-m", "pip", "uninstall", "--yes", "--quiet", "kodosumi-lab")
            expect(not place.ours(), f"nothing is left: {sorted(map(str, place.ours()))}")
        with step(f"installed as {OLDER}, and upgraded"):
            place.install(older(uv, folder, version))
            place.check(OLDER)
            place.install(wheel)
            differ = sorted(place.installed() ^ fresh)
            expect(not differ, f"the same files as in a fresh environment: {differ}")
        with step("extensions enabled, doctor finds nothing"):
            place.check(version)
        print(sdist.name)
        with step("installed in a fresh environment"):
            place = Environment(uv, folder / "sdist", constraints)
            place.install(sdist)
            differ = sorted(place.installed() ^ fresh)
            expect(not differ, f"the same files as from the wheel: {differ}")
        with step("extensions enabled, doctor finds nothing"):
            place.check(version)


if __name__ == "__main__":
    main(sys.argv[1:])
