"""Forms, inbox and run list with a cluster behind them: what is entered starts flows, answers them and ends them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, eventually

import kodosumi_lab as kl
from browser.pages import Pages, serve_pages

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def pages(lab: Any) -> Iterator[Pages]:
    # Runners import the flows by their names
    assert str(ROOT / "tests") in sys.path
    with serve_pages(Path(lab.log_dir), flows=["browser.orders", "kitchen"]) as held:
        yield held


def launched(page: Any) -> kl.Run:
    return kl.run(eventually(lambda: page.evaluate("globalThis.traits.launched"), timeout_s=60))


def test_a_form_launches_its_flow_with_its_files_once(open_page: Callable[..., Any], pages: Pages) -> None:
    before = len(kl.runs().filter(flow="page_trip").collect())
    page = open_page(pages.of("form", flow="page_trip"))
    page.allowed.append("status of 422")
    page.get_by_label("Who").fill("Ada")
    page.get_by_label("Photos").set_input_files([{"name": "a.png", "mimeType": "image/png", "buffer": b"x" * 700_000}])
    book = page.get_by_role("button", name="Book")
    book.dblclick()  # while the file is on its way
    run = launched(page)
    page.get_by_text(f"Launched: run {run.id}").wait_for()
    assert run.result(60) == {"who": "Ada", "nights": 2, "files": {"in/a.png": 700_000}}
    assert len(kl.runs().filter(flow="page_trip").collect()) == before + 1

    # the same again is another run, with the file sent anew
    page.get_by_label("Who").fill("Bea")
    book.click()
    eventually(lambda: page.evaluate("globalThis.traits.launched") != run.id, timeout_s=60)
    assert launched(page).result(60)["files"] == {"in/a.png": 700_000}


def test_an_inbox_answers_a_flow_with_a_secret_a_file_and_a_word(open_page: Callable[..., Any], pages: Pages) -> None:
    page = open_page(pages.of("form", flow="page_review"))
    page.get_by_label("Title").fill("Bees")
    page.get_by_role("button", name="Launch").click()
    run = launched(page)

    page = open_page(pages.of("inbox"))
    page.get_by_role("button", name="approval").click()
    mine = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="approval"))
    mine.get_by_role("definition").get_by_text("Bees").wait_for()
    mine.get_by_label("Verdict").select_option("accept")
    mine.get_by_label("PIN", exact=True).fill("1234")
    mine.get_by_label("Proof").set_input_files([{"name": "p.pdf", "mimeType": "application/pdf", "buffer": b"proof"}])
    mine.get_by_role("button", name="Decide").click()
    mine.get_by_role("status").get_by_text("Answered").wait_for()

    page.get_by_role("button", name="sure?").click()
    page.get_by_role("button", name="Yes", exact=True).click()
    assert run.result(60) == {"verdict": "accept", "pin": 4, "proof": ["p.pdf"], "sure": True, "files": ["in/p.pdf"]}
    page.get_by_role("button", name="Clear answered").click()
    page.get_by_text("Nothing waits for an answer.").wait_for()


def test_runs_are_cancelled_from_the_list(open_page: Callable[..., Any], pages: Pages) -> None:
    import kitchen

    made = [kitchen.asleepy.launch(seconds=300) for _ in range(2)]
    page = open_page(pages.of("runs"))
    # others of this flow may have been cancelled before
    lines = page.locator(", ".join(f'tr[data-id="{run.id}"]' for run in made))
    eventually(lambda: lines.filter(has_text="running").count() == 2, timeout_s=60)
    page.mouse.move(2, 2)
    for at in range(2):
        lines.nth(at).get_by_role("checkbox").check()
    page.get_by_role("button", name="Cancel runs").click()
    page.get_by_role("button", name="Yes, cancel").click()
    page.get_by_text("2 cancelled").wait_for()
    eventually(lambda: lines.filter(has_text="cancelled").count() == 2)
    assert [run.status for run in made] == ["cancelled", "cancelled"]
