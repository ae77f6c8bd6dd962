"""The view of one run with a cluster behind it: what a person does there reaches the flow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kitchen
import pytest
from playwright.sync_api import expect

from browser.pages import Pages, serve_pages

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def live_pages(lab: Any) -> Iterator[Pages]:
    """Pages over the session's cluster and its log."""
    with serve_pages(Path(lab.log_dir), flows=[kitchen.__name__]) as held:
        yield held


def status(page: Any, name: str) -> Any:
    return page.get_by_role("status").filter(has_text=re.compile(f"^{name}$"))


def test_a_question_is_answered_in_place(open_page: Any, live_pages: Pages) -> None:
    run = kitchen.ask.launch(question="go on?")
    page = open_page(live_pages.of("run", run_id=run.id))
    question = page.get_by_role("region", name="Question: go on?")
    question.get_by_role("button", name="Yes").click()
    expect(status(page, "finished")).to_be_visible()
    results = page.get_by_role("tabpanel", name=re.compile("^Results")).get_by_role("article")
    expect(results.filter(has_text="answered by ada")).to_be_visible()
    expect(results.last).to_contain_text("true")
    expect(question).to_have_count(0)


def test_a_run_is_cancelled_and_says_so_meanwhile(open_page: Any, live_pages: Pages) -> None:
    run = kitchen.asleepy.launch()
    page = open_page(live_pages.of("run", run_id=run.id))
    expect(status(page, "running")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel run").click()
    expect(status(page, "cancelled")).to_be_visible()
    expect(page.get_by_text("cancelled by ada", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile("^complete"))).to_be_visible()


def test_a_rerun_with_another_input_goes_on_in_place(open_page: Any, live_pages: Pages) -> None:
    run = kitchen.add.launch(a=2, b=3)
    page = open_page(live_pages.of("run", run_id=run.id))
    expect(status(page, "finished")).to_be_visible()
    expect(page.get_by_role("article").first).to_contain_text("5")
    page.get_by_role("button", name="Rerun …").click()
    form = page.get_by_role("region", name="Rerun")
    expect(form.get_by_role("spinbutton", name="a")).to_have_value("2")
    form.get_by_role("spinbutton", name="a").fill("40")
    expect(form.get_by_text("Changed: a (2 → 40)")).to_be_visible()
    form.get_by_role("button", name="Rerun", exact=True).click()
    back = page.get_by_role("button", name=f"‹ back to run {run.id[-8:]}")
    expect(back).to_be_visible()
    expect(page.get_by_role("article").first).to_contain_text("43")
    assert page.evaluate("traits.run_id") != run.id
    back.click()
    expect(page.get_by_role("article").first).to_contain_text("5")


def test_a_wrong_input_is_told_at_its_field_and_starts_nothing(open_page: Any, live_pages: Pages) -> None:
    run = kitchen.hello.launch(times=1)
    page = open_page(live_pages.of("run", run_id=run.id))
    page.allowed.append("422")
    expect(status(page, "finished")).to_be_visible()
    page.get_by_role("button", name="Rerun …").click()
    form = page.get_by_role("region", name="Rerun")
    form.get_by_role("spinbutton", name="times").fill("99")
    form.get_by_role("button", name="Rerun", exact=True).click()
    expect(form.get_by_role("spinbutton", name="times")).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)


def test_an_attempt_follows_another_and_the_first_error_is_kept(
    open_page: Any, live_pages: Pages, tmp_path: Path
) -> None:
    run = kitchen.flaky.launch(marker=str(tmp_path / "m"), succeed_at=2)
    page = open_page(live_pages.of("run", run_id=run.id))
    expect(status(page, "finished")).to_be_visible()
    expect(page.get_by_title("attempt 1 ended as error")).to_have_text("attempt 2")
    page.get_by_role("tab", name="Error").click()
    expect(page.get_by_text("attempt 1 fails").first).to_be_visible()
