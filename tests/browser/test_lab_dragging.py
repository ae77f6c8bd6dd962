"""What is dragged into a notebook works there: the cells are executed, with Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Lab, serve_jupyter
from browser.test_lab_extension import sidebar, sources
from browser.test_lab_notebooks import drag

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("style", ["python", "magic"])
def test_a_flow_and_a_run_are_dragged_into_a_notebook_and_work(
    lab: Any, open_lab: Callable[..., Lab], tmp_path: Path, style: str
) -> None:
    import kodosumi_lab as kl

    kl.register("examples.flows.primes", log_dir=lab.home.log_dir)
    env = {"KODOSUMI_LAB_LOG_DIR": str(lab.home.log_dir), "RAY_ADDRESS": lab.home.address}
    with serve_jupyter(tmp_path, base_url="/user/ada/", gateway_port=None, **env) as jupyter:
        page = open_lab(jupyter)
        save = """(style) => globalThis.jupyterapp.serviceManager.settings.save('kodosumi-lab:plugin',
            JSON.stringify({ insertCodeStyle: style }))"""
        page.page.evaluate(save, style)
        page.page.reload()
        page.ready()
        path = jupyter.notebook("dragged.ipynb", ["%load_ext kodosumi_lab"])
        book = page.open(path)
        book.run(0)
        bar = sidebar(page)
        flow = bar.get_by_role("listitem").filter(has_text="prime_gaps")
        flow.wait_for()
        drag(page, flow, book.view.locator(".jp-Cell").last)
        eventually(lambda: len(sources(page, path)) == 2)
        book.run(1, timeout_s=120)
        book.output(1).get_by_text("finished", exact=True).first.wait_for()
        run = kl.runs(log_dir=lab.home.log_dir).filter(flow="prime_gaps").sort("started").collect().row(-1, named=True)
        assert run["status"] == "finished"
        row = bar.locator(f"[data-run-id='{run['run_id']}']")
        row.wait_for()
        drag(page, row, book.view.locator(".jp-Cell").first, below=-8)  # what is dropped on a cell goes before it
        eventually(lambda: len(sources(page, path)) == 3)
        assert run["run_id"] in sources(page, path)[0]
        book.run(0)
        book.output(0).get_by_text("finished", exact=True).first.wait_for()
        book.output(0).get_by_text("prime_gaps").first.wait_for()
