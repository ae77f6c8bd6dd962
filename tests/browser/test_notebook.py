"""Runs in a notebook as a person meets them: JupyterLab, a kernel, Ray, and the comm or HTTP between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Jupyter, Lab, Notebook, serve_jupyter

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

START = """
import time
from typing import Literal
import kodosumi_lab as kl
kl.connect()

@kl.flow
async def talk(n: int = 3, pause_s: float = 0.0, *, tracer: kl.Tracer) -> dict:
    "Count, and say so."
    import asyncio
    for i in range(n):
        print("line", i)
        tracer.progress(i + 1, n)
        await asyncio.sleep(pause_s)
    await tracer.markdown("**counted**")
    return {"counted": n}

@kl.flow
async def ask(question: str = "Go on?", *, tracer: kl.Tracer) -> str:
    return str(await tracer.lock(question, form=kl.forms.Model(kl.forms.Select("verdict", ["yes", "no"], label="Verdict",
                                                               required=True), kl.forms.Submit("Decide"))))
"""

COMM_ONLY = "from kodosumi_lab.widgets.base import LabWidget; LabWidget._http.default_value = False"


@pytest.fixture(scope="module")
def on_ray(lab: Any, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """JupyterLab whose kernels join the session's Ray; nothing of ours is installed in it."""
    folder = tmp_path_factory.mktemp("notebooks")
    env = {"RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": lab.home.log_dir}
    with serve_jupyter(folder, gateway_port=None, extension=None, **env) as held:
        yield held


@pytest.fixture
def opened(on_ray: Jupyter, open_lab: Callable[..., Lab], request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """Open a notebook with the flows defined, and these cells after that."""

    def make(*cells: str, comm_only: bool = True, **options: Any) -> Notebook:
        name = re.sub(r"\W", "_", request.node.name) + ".ipynb"
        start = f"{COMM_ONLY}\n{START}" if comm_only else START
        book = open_lab(on_ray, **options).open(on_ray.notebook(name, [start, *cells]))
        book.run(0, timeout_s=90)
        return book

    return make


def view(book: Notebook, cell: int) -> Any:
    """The view of a run below a cell."""
    return book.output(cell).locator(".kl").first


def test_a_run_is_alive_below_its_cell(opened: Callable[..., Notebook]) -> None:
    book = opened("run = talk.launch(n=4, pause_s=0.3)\nrun", "run.result()")
    book.run(1)
    shown = view(book, 1)
    shown.get_by_text("finished", exact=True).wait_for()
    shown.get_by_text("counted", exact=True).first.wait_for()
    shown.get_by_role("tab", name=re.compile("Console")).click()
    shown.get_by_text("line 3").wait_for()
    assert "complete" in shown.inner_text()
    book.run(2)
    assert book.text(2) == "{'counted': 4}"


def test_a_view_moves_and_a_question_is_answered_while_a_cell_blocks_the_kernel(
    opened: Callable[..., Notebook],
) -> None:
    book = opened("asked = ask.launch()\nasked", "time.sleep(25)", "asked.result(30)")
    book.run(1)
    shown = view(book, 1)
    shown.get_by_role("button", name="Decide").wait_for()
    book.run(2, wait=False)
    eventually(lambda: _busy(book), what="the kernel is busy")
    shown.get_by_label(re.compile("Verdict")).select_option("yes")
    shown.get_by_role("button", name="Decide").click()
    shown.get_by_text("finished", exact=True).wait_for()
    assert _busy(book), "the answer was to arrive while the cell runs"
    book.ended(2)
    book.run(3)
    assert "yes" in book.text(3)


@pytest.fixture
def without_subshells(on_ray: Jupyter) -> Iterator[None]:
    """JupyterLab's setting by which a comm waits for the cell that runs, as in hosts that know nothing else."""
    name = "@jupyterlab/apputils-extension/kernels-settings.jupyterlab-settings"
    setting = on_ray.folder.parent / "settings" / name
    setting.write_text('{"commsOverSubshells": "disabled"}')
    yield
    setting.unlink()


@pytest.mark.usefixtures("without_subshells")
def test_without_subshells_the_gateway_answers_while_a_cell_blocks_the_kernel(opened: Callable[..., Notebook]) -> None:
    book = opened("asked = ask.launch()\nasked", "time.sleep(20)", "asked.result(30)", comm_only=False)
    assert _kernel(book, "commsOverSubshells") == "disabled"
    book.run(1)
    shown = view(book, 1)
    shown.get_by_role("button", name="Decide").wait_for()
    shown.get_by_label(re.compile("Verdict")).select_option("yes")
    book.run(2, wait=False)
    eventually(lambda: _busy(book), what="the kernel is busy")
    shown.get_by_role("button", name="Decide").click()
    shown.get_by_text("finished", exact=True).wait_for()
    assert _busy(book), "the answer was to arrive while the cell runs"
    book.ended(2)
    book.run(3)
    assert "yes" in book.text(3)


@pytest.mark.usefixtures("without_subshells")
def test_without_subshells_and_gateway_what_is_followed_arrives_while_a_cell_runs(
    opened: Callable[..., Notebook],
) -> None:
    book = opened("run = talk.launch(n=12, pause_s=0.5)\nrun", "run.wait(30)\ntime.sleep(10)")
    assert _kernel(book, "commsOverSubshells") == "disabled"
    book.run(1)
    shown = view(book, 1)
    shown.get_by_text("running", exact=True).wait_for()
    book.run(2, wait=False)
    shown.get_by_text("finished", exact=True).wait_for()
    assert _busy(book), "the kernel says what has come while the cell runs"
    shown.get_by_role("tab", name=re.compile("Events")).click()
    book.ended(2)
    shown.get_by_role("tabpanel").get_by_text("progress").first.wait_for()


def _kernel(book: Notebook, attribute: str) -> Any:
    return book.page.evaluate(
        "([path, name]) => [...globalThis.jupyterapp.shell.widgets('main')].find((w) => w.context?.path === path)"
        ".sessionContext.session.kernel[name]",
        [book.path, attribute],
    )


def _busy(book: Notebook) -> bool:
    return bool(_kernel(book, "status") == "busy")


@pytest.mark.parametrize("how", ["restart", "shutdown"])
def test_a_view_goes_on_by_the_gateway_when_its_kernel_has_gone(opened: Callable[..., Notebook], how: str) -> None:
    book = opened("run = talk.launch(n=40, pause_s=0.25)\nrun.view()", comm_only=False)
    book.run(1)
    shown = view(book, 1)
    shown.get_by_text("running", exact=True).wait_for()
    getattr(book, how)()
    shown.get_by_text("finished", exact=True).wait_for()
    shown.get_by_text("counted", exact=True).first.wait_for()
    assert "complete" in shown.inner_text()


def test_a_view_without_a_gateway_says_that_its_kernel_has_gone(opened: Callable[..., Notebook]) -> None:
    book = opened("run = talk.launch(n=40, pause_s=0.25)\nrun.view()", "kl.runs_view()")
    book.run(1)
    book.run(2)
    shown, listed = view(book, 1), view(book, 2)
    shown.get_by_text("running", exact=True).wait_for()
    listed.get_by_text("talk", exact=True).first.wait_for()
    book.restart()
    shown.get_by_text(re.compile(r"as of \d\d:\d\d – the kernel does not answer, trying again")).wait_for()
    listed.get_by_text("Reconnecting: the kernel does not answer. This is how it was at").wait_for()
    assert "line 1" in shown.inner_text() or "running" in shown.inner_text()  # what was there stays


def test_a_run_is_cancelled_from_its_view(opened: Callable[..., Notebook]) -> None:
    book = opened("run = talk.launch(n=400, pause_s=0.25)\nrun", "run.wait(30).status")
    book.run(1)
    shown = view(book, 1)
    shown.get_by_text("running", exact=True).wait_for()
    shown.get_by_role("button", name="Cancel").click()
    shown.get_by_role("button", name="Cancel run").click()
    shown.get_by_text("cancelled", exact=True).wait_for()
    book.run(2)
    assert book.text(2) == "'cancelled'"


def test_what_is_selected_in_the_list_of_runs_is_selected_in_python(opened: Callable[..., Notebook]) -> None:
    book = opened(
        "talk.launch(n=1).wait(60)\nrunsview = kl.runs_view(flow='talk')\nrunsview",
        "[r.meta['flow'] for r in runsview.runs]",
    )
    book.run(1)
    shown = view(book, 1)
    shown.get_by_role("checkbox").nth(1).check()
    eventually(lambda: (book.run(2), book.text(2))[1] == "['talk']", what="the selection is in Python")


def test_a_finished_run_is_played_again_without_the_cluster(opened: Callable[..., Notebook], on_ray: Jupyter) -> None:
    book = opened("run = talk.launch(n=3, pause_s=0.2).wait(60)\nkl.disconnect()\nrun.replay()")
    book.run(1)
    shown = view(book, 1)
    shown.get_by_role("button", name=re.compile("Play")).first.click()
    shown.locator(".kl-status[data-status=finished]").wait_for()


def test_a_saved_notebook_keeps_a_snapshot(opened: Callable[..., Notebook], on_ray: Jupyter) -> None:
    import json

    book = opened("run = talk.launch(n=1).wait(60)\nrun")
    book.run(1)
    view(book, 1).get_by_text("finished", exact=True).wait_for()
    book.save()
    saved = json.loads((Path(on_ray.folder) / book.path).read_text())
    data = saved["cells"][1]["outputs"][0]["data"]
    assert "finished" in "".join(data["text/html"])
    assert data["application/vnd.kodosumi.run.v1+json"]["run_id"] in "".join(data["text/html"])
