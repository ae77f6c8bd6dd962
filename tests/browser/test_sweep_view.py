"""A sweep as it stands below its cell, and runs compared below their list; in JupyterLab, with Ray behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Jupyter, Lab, serve_jupyter

pytestmark = pytest.mark.ray

FLOWS = """
import time
from pathlib import Path
import kodosumi_lab as kl
kl.connect()

@kl.flow
def simmer(minutes: float, heat: str, gate: str = "") -> dict:
    until = time.monotonic() + 60
    while gate and not Path(gate).exists() and time.monotonic() < until:
        time.sleep(0.05)
    return {"done": f"{heat} for {minutes}"}

@kl.flow
def risky(n: int, marker: str) -> int:
    if n == 2 and not Path(marker).exists():
        raise ValueError("two is not ready")
    return n * 10
"""


@pytest.fixture(scope="module")
def jupyter_on_ray(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter")
    places = {"RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": lab.home.log_dir}
    with serve_jupyter(folder, **places) as held:
        yield held


def test_a_sweep_is_a_live_grid_that_is_stopped_and_gone_on_with(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    lab = open_lab(jupyter_on_ray)
    lab.page.allowed.append("/sweeps/")  # the view may ask before a run of it is in the log
    swept = (
        f"sweep = simmer.sweep(minutes=[1.5, 2.5], heat=['low', 'high'], gate={str(gate)!r}, max_concurrent=1)\nsweep"
    )
    cells = [FLOWS, swept, "time.sleep(40)", "print(sweep.counts)"]
    book = lab.open(jupyter_on_ray.notebook("grid.ipynb", cells))
    book.run(0, timeout_s=120)
    book.run(1)
    view = book.output(1).get_by_role("region", name=re.compile("^Sweep "))
    view.get_by_role("table", name="minutes by heat").wait_for()
    book.run(2, wait=False)  # nothing below needs the kernel's attention
    first = view.get_by_role("button", name=re.compile("minutes 1.5, heat low: running"))
    first.wait_for()
    view.get_by_text("0 of 4: 1 running, 3 waiting").wait_for()
    assert view.get_by_role("button", name=re.compile("minutes 2.5, heat high: waiting")).is_disabled()

    view.get_by_role("button", name="Cancel the rest").click()
    view.get_by_text("1 run cancelled; no more are started").wait_for()
    view.get_by_text("1 of 4: 1 cancelled, 3 waiting").wait_for()
    gate.write_text("")
    view.get_by_role("button", name="Start the rest").click()
    view.get_by_text("4 of 4: 3 finished, 1 cancelled").wait_for()
    view.get_by_role("button", name=re.compile("minutes 2.5, heat high: finished")).click()
    tab = lab.page.get_by_role("tab", name=re.compile("^simmer "))
    tab.wait_for()  # in JupyterLab a run has a tab of its own
    lab.page.get_by_text("high for 2.5").first.wait_for()
    book.ended(2, timeout_s=90)
    lab.page.get_by_role("tab", name="grid.ipynb").click()
    book.run(3)
    assert book.text(3).strip() == "{'cancelled': 1, 'finished': 3}"
    book.save()
    lab.reload(saved="grid.ipynb")
    again = lab.page.get_by_role("region", name=re.compile("^Sweep ")).first
    again.get_by_text("4 of 4: 3 finished, 1 cancelled").wait_for()  # from the saved output


def test_what_failed_in_a_sweep_is_run_again_from_its_list(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    lab = open_lab(jupyter_on_ray)
    lab.page.allowed.append("/sweeps/")  # the view may ask before a run of it is in the log
    swept = f"sweep = risky.sweep(n=[1, 2, 3], marker={str(marker)!r})\nview = sweep.view()\nview"
    book = lab.open(jupyter_on_ray.notebook("list.ipynb", [FLOWS, swept, "print(view.run.wait(60).result())"]))
    book.run(0, timeout_s=120)
    book.run(1)
    view = book.output(1).get_by_role("region", name=re.compile("^Sweep "))
    view.get_by_text("3 of 3: 2 finished, 1 error").wait_for()
    view.get_by_text("two is not ready").first.wait_for()
    marker.write_text("")
    view.get_by_role("button", name="Run failed ones again").click()
    view.get_by_text("3 of 3: 3 finished").wait_for()
    view.get_by_role("button", name="n 2: finished").click()
    view.get_by_role("region", name=re.compile("^Run ")).first.wait_for()  # the widget shows it below
    book.run(2)
    assert book.text(2).strip() == "20"


def test_chosen_runs_are_compared_below_their_list(jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(jupyter_on_ray)
    launched = "one, two = (simmer.launch(minutes=1, heat=heat).wait(60) for heat in ('mild', 'fierce'))"
    listed = "view = kl.runs_view(flow='simmer')\nview"
    chosen = "view.selected = [one.id, two.id]"
    book = lab.open(jupyter_on_ray.notebook("compare.ipynb", [FLOWS, launched, listed, chosen, "print(view.runs)"]))
    book.run(0, timeout_s=120)
    book.run(1, timeout_s=120)
    book.run(2)
    book.run(3)
    out = book.output(2)
    out.get_by_role("button", name="Compare", exact=True).click()
    out.get_by_role("heading", name="2 runs compared").wait_for()
    table = out.get_by_role("table", name="inputs compared")
    row = table.get_by_role("row", name=re.compile("heat"))
    row.wait_for()
    assert row.get_by_role("cell").all_inner_texts()[1:] == ["mild", "fierce"]
    assert row.get_by_role("img", name="differs").count() == 1
    assert table.get_by_role("row", name=re.compile("minutes")).get_by_role("img", name="same").count() == 1
    assert re.search(r'kl\.diff\("\w+", "\w+"\)', out.inner_text().replace("-", ""))
    eventually(lambda: out.get_by_role("button", name="Close").click() is None)
    out.get_by_role("heading", name="2 runs compared").wait_for(state="hidden")
