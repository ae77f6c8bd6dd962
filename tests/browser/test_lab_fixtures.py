"""The fixtures that open JupyterLab do what the tests on top of them take for granted."""

from __future__ import annotations

from collections.abc import Callable

from browser.lab import Jupyter, Lab


def test_a_cell_is_run_and_its_output_is_there(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(jupyter)
    book = lab.open(
        jupyter.notebook("cells.ipynb", ["n = 6 * 7\nprint(n)", "import os; os.environ['KODOSUMI_LAB_LOG_DIR']"])
    )
    book.run(0)
    assert book.text(0).strip() == "42"
    book.run(1)
    assert book.text(1).endswith("/log'")
    book.run(0)
    assert book.output(0).inner_text().strip() == "42"


def test_a_failing_cell_fails_the_test(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> None:
    import pytest

    book = open_lab(jupyter).open(jupyter.notebook("wrong.ipynb", ["1 / 0"]))
    with pytest.raises(AssertionError, match="division by zero"):
        book.run(0)


def test_the_theme_changes_and_the_gateway_is_below_the_base_url(
    jupyter: Jupyter, open_lab: Callable[..., Lab]
) -> None:
    lab = open_lab(jupyter)
    lab.theme("dark")
    dark = lab.page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim()")
    lab.theme("light")
    light = lab.page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim()")
    assert dark != light
    told = lab.page.evaluate(f"fetch('{jupyter.url}kodosumi/api/v1/health').then((r) => r.json())")
    assert told["status"] == "ok"


def test_a_page_comes_back_with_its_notebook(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(jupyter)
    book = lab.open(jupyter.notebook("back.ipynb", ["print('here')"]))
    book.run(0)
    book.save()
    lab.reload(saved="back.ipynb")
    lab.page.get_by_text("here", exact=True).wait_for()
    book.ready()
    book.restart()
    book.run(0)
