"""Between runs and notebooks: code of flows and runs, from a run to its cell, and from a cell to its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import eventually

from browser.lab import AT_BOTH, Gateway, Jupyter, Lab, Notebook
from browser.showcase import Scene, Showcase
from browser.test_lab_extension import current, sidebar, sources


@pytest.fixture(scope="module")
def gateway(showcase: Showcase) -> Iterator[Gateway]:
    """As everywhere, with flows to launch."""
    held = Gateway(showcase.root, flows=["examples.flows.primes"])
    yield held
    held.stop()


@pytest.fixture
def lab(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> Lab:
    return open_lab(jupyter)


def drag(lab: Lab, element: Any, target: Any, *, below: int = 120) -> None:
    """Drag with the mouse, as a person does, so many pixels below a cell, or into it where that is less than 0."""
    element.scroll_into_view_if_needed()
    start, end = element.bounding_box(), target.bounding_box()
    mouse = lab.page.mouse
    mouse.move(start["x"] + 60, start["y"] + 10)
    mouse.down()
    mouse.move(start["x"] + 90, start["y"] + 20, steps=4)
    mouse.move(end["x"] + 200, end["y"] + end["height"] + below, steps=12)
    mouse.up()


def test_code_is_inserted_and_dragged_into_a_notebook(lab: Lab, jupyter: Jupyter, showcase: Showcase) -> None:
    path = jupyter.notebook("insert.ipynb", [""])
    book = lab.open(path, kernel=False)
    bar = sidebar(lab)
    flow = bar.get_by_role("listitem").filter(has_text="prime_gaps")
    flow.get_by_role("button", name="Insert code").click()
    expected = 'import kodosumi_lab as kl\n\nrun = kl.find("prime_gaps").launch(start=0, end=100000, tasks=4)\nrun'
    eventually(lambda: sources(lab, path) == [expected])
    drag(lab, bar.locator(f"[data-run-id='{showcase.rich}']"), book.view.locator(".jp-Cell").first)
    eventually(lambda: f'run = kl.run("{showcase.rich}")' in sources(lab, path)[-1])
    drag(lab, flow, book.view.locator(".jp-Cell").last)
    eventually(lambda: len(sources(lab, path)) == 3)
    assert sources(lab, path)[-1] == expected
    assert current(lab) == "insert.ipynb", "a drag is no click"


def test_the_settings_are_in_the_editor_and_the_code_style_counts(
    lab: Lab, jupyter: Jupyter, showcase: Showcase
) -> None:
    path = jupyter.notebook("style.ipynb", [""])
    lab.open(path, kernel=False)
    saved = """async (style) => { const { contents, settings } = globalThis.jupyterapp.serviceManager;
        await settings.save('kodosumi-lab:plugin', JSON.stringify({ insertCodeStyle: style })); }"""
    lab.page.evaluate(saved, "magic")
    lab.page.reload()
    lab.ready()
    lab.open(path, kernel=False)
    lab.execute("kodosumi:insert-code", runId=showcase.rich)
    eventually(lambda: sources(lab, path)[-1] == f"%kodosumi show {showcase.rich}")
    lab.page.evaluate(saved, "python")


@AT_BOTH
def test_a_run_leads_to_its_cell_and_a_cell_to_its_runs(lab: Lab, jupyter: Jupyter, showcase: Showcase) -> None:
    path = jupyter.notebook("origin.ipynb", [f"{i} + 1" for i in range(12)])
    notebook = {"path": str(jupyter.folder / path), "cell": "cell-7", "source_sha256": "0" * 64}
    name = "from_a_cell" if jupyter.url.count("/") == 3 else "from_a_hubs_cell"
    one = Scene(showcase.writer, name, ago_s=1, notebook=notebook)
    one.end()
    lab.execute("kodosumi:open-run", runId=one.run_id)
    eventually(lambda: current(lab).startswith(name))
    lab.execute("kodosumi:go-to-cell")
    active = """() => { const w = globalThis.jupyterapp.shell.currentWidget; return w.content?.activeCell?.model.id ?? null; }"""
    eventually(lambda: lab.page.evaluate(active) == "cell-7")
    lab.page.get_by_text("The cell has changed since it launched this run.").first.wait_for()
    lab.execute("kodosumi:runs-of-cell")
    table = lab.page.get_by_role("table")
    table.get_by_role("button", name=name).first.wait_for()
    assert table.get_by_role("button", name="primes").count() == 0


def launched_from(jupyter: Jupyter, showcase: Showcase, path: str, cell: str) -> str:
    """A run that says that it was launched from there."""
    notebook = {"path": str(jupyter.folder / path), "cell": cell, "source_sha256": ""}  # or an absolute path
    return Scene(showcase.writer, "from_afar", ago_s=1, notebook=notebook).end()


@AT_BOTH
def test_a_cell_or_a_notebook_that_is_gone_is_said_so(lab: Lab, jupyter: Jupyter, showcase: Showcase) -> None:
    sidebar(lab)
    path = jupyter.notebook("moving.ipynb", ["1", "2"])
    run_id = launched_from(jupyter, showcase, path, "cell-1")
    lab.execute("kodosumi:go-to-cell", runId=launched_from(jupyter, showcase, path, "cell-deleted"))
    lab.page.get_by_text("The cell that launched this run is no longer in the notebook.").first.wait_for()
    assert current(lab) == "moving.ipynb"
    book = Notebook(lab, path)
    book.ready()  # a kernel that starts changes the notebook's metadata
    book.save()
    lab.close_all()
    (jupyter.folder / path).rename(jupyter.folder / "moved.ipynb")
    lab.page.allowed.append("status of 404")
    lab.execute("kodosumi:go-to-cell", runId=run_id)
    told = "The notebook moving.ipynb is not there any more: it was renamed, moved or deleted. Open it under its new name, and try again."
    lab.page.get_by_text(told).first.wait_for()
    assert lab.page.locator(".jp-Dialog").count() == 0
    lab.open("moved.ipynb", kernel=False)  # its cells keep their ids
    lab.execute("kodosumi:go-to-cell", runId=run_id)
    active = "() => globalThis.jupyterapp.shell.currentWidget?.content?.activeCell?.model.id ?? null"
    eventually(lambda: lab.page.evaluate(active) == "cell-1")
    lab.execute("kodosumi:runs-of-cell")
    lab.page.get_by_role("table").get_by_role("button", name="from_afar").first.wait_for()
    lab.execute("kodosumi:go-to-cell", runId=launched_from(jupyter, showcase, "/elsewhere/far.ipynb", "cell-far"))
    lab.page.get_by_text("is not below the folder that JupyterLab shows").first.wait_for()
