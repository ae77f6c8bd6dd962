"""The wheel, installed with its locked dependencies into a fresh environment: what a person has after `pip install`.

`make release-check` runs all stories of JupyterLab over such an environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, eventually

import kodosumi_lab as kl
from browser.lab import Jupyter, Lab, serve_jupyter
from browser.test_lab_extension import current, sidebar
from browser.test_lab_files import double_click
from kodosumi_lab.runtime.layout import log_id

pytestmark = pytest.mark.slow

DEMO_LOG = ROOT / "binder" / "demo_log"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The environment."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv-tools" / "bin"))
    if uv is None:
        pytest.skip("uv is not here, which builds the wheel and makes the environment")
    folder = tmp_path_factory.mktemp("wheel")
    spec = importlib.util.spec_from_file_location("release", ROOT / "packaging" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    subprocess.run([uv, "build", "--wheel", "--quiet", "-o", folder, ROOT], check=True)
    made = release.Environment(uv, folder, ROOT / "binder" / "constraints.txt")
    made.install(next(folder.glob("*.whl")))
    return made


@pytest.fixture(scope="module")
def demo_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded runs of Binder, and two flows."""
    log = tmp_path_factory.mktemp("demo") / "log"
    shutil.copytree(DEMO_LOG, log)
    kl.register("examples.flows.primes", log_dir=log)
    return log


@pytest.fixture(scope="module")
def jupyter(place: Any, demo_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """JupyterLab of that environment, with its own gateway over the recorded runs."""
    folder = tmp_path_factory.mktemp("jupyter")
    env = {"KODOSUMI_LAB_LOG_DIR": str(demo_log)}
    with serve_jupyter(folder, gateway_port=None, python=place.prefix / "bin" / "python", **env) as held:
        yield held


@pytest.fixture
def lab(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> Lab:
    return open_lab(jupyter)


def test_the_extension_is_enabled_and_comes_from_the_environment(place: Any, lab: Lab) -> None:
    told = place.call("jupyter", "labextension", "list")
    assert str(place.prefix / "share" / "jupyter" / "labextensions") in told
    line = next(line for line in told.splitlines() if "kodosumi-lab" in line)
    assert "enabled" in line
    assert "OK" in line
    extension = place.prefix / "share" / "jupyter" / "labextensions" / "kodosumi-lab"
    assert not extension.is_symlink()
    where = place.call("python", "-c", "import kodosumi_lab; print(kodosumi_lab.__file__)")
    assert Path(where.strip()).is_relative_to(place.prefix)
    assert str(ROOT) not in os.pathsep.join([told, where])
    plugins = lab.page.evaluate("globalThis.jupyterapp.listPlugins().filter((id) => id.startsWith('kodosumi-lab:'))")
    assert {"kodosumi-lab:sidebar", "kodosumi-lab:renderer", "kodosumi-lab:files"} <= set(plugins)


def test_the_sidebar_has_flows_and_runs_and_a_run_opens_as_a_tab(lab: Lab, demo_log: Path) -> None:
    bar = sidebar(lab)
    bar.get_by_role("listitem").filter(has_text="prime_gaps").wait_for()
    rows = bar.get_by_role("grid", name="Runs").get_by_role("row")
    eventually(lambda: rows.count() == 4)
    rows.filter(has_text="review").dblclick()
    eventually(lambda: current(lab).startswith("review"))
    lab.page.locator(".kl-lab-run").get_by_text("finished", exact=True).first.wait_for()
    lab.page.locator(".kl-lab-run").get_by_text("complete", exact=False).first.wait_for()


def test_an_exported_run_opens_by_a_double_click(lab: Lab, jupyter: Jupyter, demo_log: Path) -> None:
    run_id = str(kl.runs(log_dir=demo_log).filter(flow="research").collect()["run_id"][0])
    kl.run(run_id, log_dir=demo_log).export(jupyter.folder / "one.kodosumi-run.json")
    shown = double_click(lab, "one.kodosumi-run.json")
    shown.get_by_text("finished", exact=True).first.wait_for()
    shown.get_by_text("complete", exact=False).first.wait_for()


def test_a_saved_output_is_alive_again(lab: Lab, jupyter: Jupyter, demo_log: Path) -> None:
    run_id = str(kl.runs(log_dir=demo_log).filter(flow="review").collect()["run_id"][0])
    run = {"run_id": run_id, "log_dir": str(demo_log), "log": log_id(demo_log)}
    data = {"text/html": "<p>as it <b>was</b></p>", "application/vnd.kodosumi.run.v1+json": run}
    book = lab.open(jupyter.notebook("saved.ipynb", ["one"], outputs=[data]), kernel=False)
    book.output(0).get_by_text("finished", exact=True).first.wait_for()
    assert book.output(0).get_by_text("as it was").count() == 0


def test_a_cell_of_the_environments_kernel_has_the_package(lab: Lab, jupyter: Jupyter, place: Any) -> None:
    code = "import kodosumi_lab as kl\nprint(kl.__file__)\nkl.runs_view()"
    book = lab.open(jupyter.notebook("cell.ipynb", [code]))
    book.run(0)
    assert str(place.prefix) in book.text(0)
    book.output(0).get_by_role("table").get_by_text("review").first.wait_for()
