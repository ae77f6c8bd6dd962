"""The notebooks of ``examples/`` run from top to bottom in a real kernel, on the session's Ray."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

pytestmark = pytest.mark.ray

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


#: What the cells of a notebook show when it does what it tells of.
SHOWN = {
    "02_progress": [
        "4 of 4: asyncio is read",
        "reader: read took",
        "functions in email",
        "judge: rank took",
        "<Replay of ",
    ],
    "03_ask": [
        "'awaiting'",
        "['is 481; expected at most 480']",
        "'decision': 'return'",
        "ada: {",
        "<Inbox of the log ",
    ],
    "04_sweep": [
        "<FlowForm prime_gaps",
        "over end, tasks: 8 finished>",
        "widest",
        "<Diff",
        "✓ twins finished",
        "are 205",
        "({'finished': 8}, 1.0)",
        "<RunsView of the log ",
        "[(3000000, 1), (3000000, 2)]",
    ],
    "05_dashboard": [
        "<dashboard at ",
        "kodosumi/dashboard/?page=analytics&by=user",
        "p95",
        "files cannot be read here",
        "finished in ",
    ],
    "06_api": ["http://127.0.0.1:", "prime_gaps", "finished", "'tasks'", "(422,"],
}


@pytest.fixture
def kernel_env(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a kernel what it needs to join the session's Ray and log."""
    monkeypatch.setenv("RAY_ADDRESS", lab.home.address)
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", lab.home.log_dir)
    # the notebook is to find the examples by itself
    monkeypatch.setenv("PYTHONPATH", os.environ["PYTHONPATH"].replace(str(ROOT), "", 1).strip(os.pathsep))
    monkeypatch.setenv("IPYTHONDIR", str(Path(lab.home.log_dir).parent / "ipython"))


def executed(path: Path, cwd: Path) -> nbformat.NotebookNode:
    """Run a copy of a notebook; an error in a cell fails the test and shows the cell."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(cwd)}}).execute()
    return notebook


def shown(notebook: nbformat.NotebookNode) -> str:
    """All that the cells printed and returned, as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_valid(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.usefixtures("kernel_env")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_beside_its_file(path: Path) -> None:
    notebook = executed(path, path.parent)
    text = shown(notebook)
    assert [words for words in SHOWN.get(path.stem, []) if words not in text] == []
    assert re.findall(r"js_urls = \[[^\]]*https?:[^\]]*\]", json.dumps(notebook)) == [], (
        "a plot's library from elsewhere"
    )


@pytest.mark.usefixtures("kernel_env")
def test_the_first_notebook_runs_in_the_repository_and_shows_what_it_tells_of(lab: Any) -> None:
    notebook = executed(ROOT / "examples" / "01_hello.ipynb", ROOT)
    text = shown(notebook)
    assert lab.home.log_dir in text
    assert "{'greeted': 'Ada', 'counted': 5}" in text
    assert "inputs of flow 'countdown' do not fit, nothing was started" in text
    assert "4 of 4 chunks" in text
    assert "{'status': 'finished', 'reason': ''}" in text
    views = [out for cell in notebook.cells for out in cell.get("outputs", []) if "text/html" in out.get("data", {})]
    assert any("<Run" in out.data["text/plain"] and "finished" in out.data["text/plain"] for out in views)
    assert any("first_after" in out.data["text/plain"] for out in views)
