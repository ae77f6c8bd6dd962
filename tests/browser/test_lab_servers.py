"""The JupyterLab extension on other servers: below a hub's base URL, with the package's own gateway, with none, with another log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from browser.lab import Gateway, Lab, serve_jupyter
from browser.showcase import Showcase
from browser.test_lab_extension import sidebar


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    """Another log."""
    made = Showcase(tmp_path_factory.mktemp("else") / "log")
    yield made
    made.close()


AT_BOTH = pytest.mark.parametrize("base_url", ["/", "/user/ada/"], ids=["root", "hub"])


@AT_BOTH
def test_the_packages_own_gateway_is_live_through_the_proxy(
    showcase: Showcase, open_lab: Callable[..., Lab], tmp_path: Path, base_url: str
) -> None:
    settings = {"KODOSUMI_LAB_LOG_DIR": str(showcase.root)}
    with serve_jupyter(tmp_path, base_url=base_url, gateway_port=None, **settings) as jupyter:
        lab = open_lab(jupyter)
        bar = sidebar(lab)
        bar.locator(f"[data-run-id='{showcase.running}']").wait_for()
        lab.execute("kodosumi:open-run", runId=showcase.running)
        label = f"through the proxy at {jupyter.url}"
        showcase.live.say("progress", {"value": 1, "total": 10, "label": label, "name": None})
        lab.page.locator(".kl-lab-run").get_by_text(label).wait_for()
        lab.reload(saved=f"run:{showcase.running}")
        lab.page.locator(".kl-lab-run").get_by_text(label).wait_for()
        lab.close_all()


def test_a_server_without_a_gateway_is_explained(open_lab: Callable[..., Lab], tmp_path: Path) -> None:
    with serve_jupyter(tmp_path, gateway_port=0) as jupyter:
        lab = open_lab(jupyter)
        lab.page.allowed.append("status of 404")
        bar = sidebar(lab)
        bar.get_by_text("This Jupyter server has no gateway.").wait_for()
        bar.get_by_text("pip install kodosumi-lab").wait_for()
        lab.page.get_by_role("button", name="Kodosumi: This Jupyter server has no gateway").wait_for()


def test_a_run_of_another_log_is_shown_by_its_widget_while_the_kernel_lives(
    showcase: Showcase, elsewhere: Showcase, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    gateway = Gateway(showcase.root)
    try:
        with serve_jupyter(tmp_path, gateway_port=gateway.port, KODOSUMI_LAB_LOG_DIR=str(elsewhere.root)) as jupyter:
            lab = open_lab(jupyter)
            book = lab.open(jupyter.notebook("other.ipynb", [f"import kodosumi_lab as kl\nkl.run({elsewhere.rich!r})"]))
            book.run(0)
            book.output(0).get_by_role("heading", name="What is a heap?").wait_for()
            assert book.output(0).locator(".kl-lab-page").count() == 0, "the widget shows it, over its comm"
            book.save()
            lab.reload(saved="other.ipynb")
            book.ready()
            book.output(0).get_by_role("heading", name="What is a heap?").wait_for()
            book.restart()
            lab.page.reload()
            lab.ready()
            book.ready()
            told = "As it was when the cell ran: this run is in another log"
            book.output(0).get_by_text(told).wait_for()
            book.output(0).get_by_text("finished", exact=True).wait_for()
    finally:
        gateway.stop()


@AT_BOTH
def test_the_dashboard_is_made_when_its_tab_is_opened(
    showcase: Showcase, open_lab: Callable[..., Lab], tmp_path: Path, base_url: str
) -> None:
    settings = {"KODOSUMI_LAB_LOG_DIR": str(showcase.root)}
    with serve_jupyter(tmp_path, base_url=base_url, gateway_port=None, **settings) as jupyter:
        lab = open_lab(jupyter)
        lab.theme("dark")
        lab.execute("kodosumi:open-dashboard")
        frame = lab.page.frame_locator(".kl-lab-frame")
        frame.get_by_role("heading", name="Flows", exact=True).wait_for()
        background = frame.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
        assert max(int(part) for part in background[4:-1].split(",")) < 60, "as dark as JupyterLab"


def test_the_dashboard_is_in_a_cell(showcase: Showcase, open_lab: Callable[..., Lab], tmp_path: Path) -> None:
    settings = {"KODOSUMI_LAB_LOG_DIR": str(showcase.root)}
    with serve_jupyter(tmp_path, base_url="/user/ada/", gateway_port=None, **settings) as jupyter:
        lab = open_lab(jupyter)
        code = "from kodosumi_lab.dashboard.frame import frame\nframe('?page=analytics')"
        book = lab.open(jupyter.notebook("board.ipynb", [code]))
        book.run(0)
        frame = book.output(0).frame_locator("iframe")
        frame.get_by_role("heading", name="Analytics").wait_for()
        frame.get_by_role("link", name="Runs", exact=True).click()
        frame.get_by_placeholder("Search runs").wait_for()
        assert "page=runs" not in lab.page.url
