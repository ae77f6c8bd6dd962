"""A real Chromium, found on the system; without one these tests are skipped and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.lab import gateway, jupyter, open_lab, servers  # noqa: F401 - fixtures of tests in JupyterLab
from browser.pages import Pages, serve_pages
from browser.showcase import Showcase

CHROMIUM = os.environ.get("KODOSUMI_TEST_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--force-color-profile=srgb"]  # fmt: skip
PATIENCE_MS = 60_000  # for whatever a page is to show: Ray's workers and JupyterLab start meanwhile, on two cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a browser is marked so, and tried once more where it fails; the summary counts such reruns.

    Chromium, JupyterLab and Ray on two cores take what time they take: what is too late once is no fault, twice it is.
    """
    for item in items:
        if "browser" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser. One a module: its event loop would be in the way of other tests' own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install Debian's `chromium`, or set KODOSUMI_TEST_CHROMIUM")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        held = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield held
        held.close()


def _told(said: Any) -> str:
    return f"{said.text} ({said.location['url']})"


@pytest.fixture
def open_page(chromium: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open an address: ``open_page(url, width=320)``. A console error or an uncaught one fails the test.

    ``page.allowed`` takes words of console errors that the test provokes.
    """
    made = []

    def opened(url: str, *, width: int = 1000, height: int = 800, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.wrong, page.allowed = [], []
        page.on("console", lambda said: page.wrong.append(_told(said)) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto(url)
        made.append(page)
        return page

    yield opened
    failed = getattr(request.node, "failed", False)
    for i, page in enumerate(made):
        if failed:
            folder = Path(os.environ.get("KODOSUMI_TEST_PICTURES", tmp_path))
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"{request.node.name}-{i}.png".replace("/", "_")
            page.screenshot(path=str(target))
            print(f"picture: {target}")
        wrong = [text for text in page.wrong if not any(word in text for word in page.allowed)]
        page.context.close()
        if not failed:
            assert wrong == []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().when == "call":  # type: ignore[attr-defined]
        item.failed = outcome.get_result().failed  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def showcase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    """A log with every kind of run; a module may write to it."""
    made = Showcase(tmp_path_factory.mktemp("show") / "log", large_events=100_000, runs=120)
    yield made
    made.close()


@pytest.fixture(scope="module")
def pages(showcase: Showcase) -> Iterator[Pages]:
    """Pages of widgets over that log: ``open_page(pages.of("run", run_id=showcase.rich))``."""
    with serve_pages(showcase.root) as held:
        yield held
