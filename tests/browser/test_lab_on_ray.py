"""JupyterLab with Ray behind it: launched in a cell and from a form, followed to the end, and back to the cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Lab, serve_jupyter
from browser.test_lab_extension import current, sidebar

pytestmark = pytest.mark.ray

CELL = """import kodosumi_lab as kl

@kl.flow(summary="Counts in a cell")
async def count_here(upto: int = 5, *, tracer: kl.Tracer):
    for i in range(upto):
        await tracer.progress(i + 1, upto, label=f"at {i + 1}")
    if not await tracer.lock("go-on"):
        return "stopped"
    return f"counted to {upto}"

run = count_here.launch(upto=7)
run.id"""


def test_a_launch_from_a_cell_asks_in_the_sidebar_and_leads_back(
    lab: Any, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    env = {"KODOSUMI_LAB_LOG_DIR": str(lab.home.log_dir), "RAY_ADDRESS": lab.home.address}
    with serve_jupyter(tmp_path, base_url="/user/ada/", gateway_port=None, **env) as jupyter:
        page = open_lab(jupyter)
        book = page.open(jupyter.notebook("sub/count.ipynb", ["'another'", CELL]))
        bar = sidebar(page)
        book.run(1, timeout_s=120)
        run_id = book.text(1).strip("'")
        row = bar.locator(f"[data-run-id='{run_id}']")
        row.get_by_text("go-on").wait_for()
        page.execute("kodosumi:watch-run", runId=run_id)
        bar.get_by_role("button", name="go-on count_here").click()
        bar.get_by_role("button", name="Yes").click()
        page.page.get_by_text("count_here has finished").wait_for()
        page.execute("kodosumi:open-run", runId=run_id)
        page.page.locator(".kl-lab-run").get_by_text("counted to 7").wait_for()
        page.execute("kodosumi:go-to-cell")
        active = "() => globalThis.jupyterapp.shell.currentWidget?.content?.activeCell?.model.id ?? null"
        eventually(lambda: page.page.evaluate(active) == "cell-1")
        assert current(page) == "count.ipynb"
        page.execute("kodosumi:runs-of-cell")
        page.page.get_by_role("table").get_by_role("button", name=f"count_here, run {run_id[-8:]}").wait_for()


def test_a_form_in_a_tab_launches_and_the_run_opens(lab: Any, open_lab: Callable[..., Lab], tmp_path: Path) -> None:
    import kodosumi_lab as kl

    kl.register("examples.flows.primes", log_dir=lab.home.log_dir)
    env = {"KODOSUMI_LAB_LOG_DIR": str(lab.home.log_dir), "RAY_ADDRESS": lab.home.address}
    with serve_jupyter(tmp_path, gateway_port=None, **env) as jupyter:
        page = open_lab(jupyter)
        bar = sidebar(page)
        bar.get_by_role("button", name="Gaps between neighbouring primes").click()
        page.page.get_by_label("End", exact=True).fill("2000")
        page.page.get_by_role("button", name="Launch", exact=True).click()
        eventually(lambda: current(page).startswith("prime_gaps"), timeout_s=60)
        page.page.locator(".kl-lab-run").get_by_text("finished", exact=True).first.wait_for()
        page.page.get_by_text("prime_gaps has finished").wait_for()
        page.execute("kodosumi:rerun-changed")
        page.page.get_by_role("heading", name="Run prime_gaps again").wait_for()
        form = page.page.locator(".kl-lab-form").filter(has_text="again")
        assert form.get_by_label("End", exact=True).input_value() == "2000"
