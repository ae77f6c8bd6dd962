"""The inbox in a real browser: what waits comes and goes by itself, and nothing that was typed is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from logkit import FastDisk

from browser.pages import Pages, serve_pages
from browser.showcase import FORM, Scene, Showcase
from kodosumi_lab.runtime.log import LogWriter


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Showcase]:
    made = Showcase(tmp_path / "log")
    yield made
    made.close()


@pytest.fixture
def pages(show: Showcase) -> Iterator[Pages]:
    with serve_pages(show.root) as held:
        yield held


def ask(show: Showcase, name: str, *, ago_s: float = 1, **more: Any) -> Scene:
    """A run that asks."""
    one = Scene(show.writer, "publish", ago_s=ago_s, user="bob")
    one.say("lock", {"lid": "q1", "name": name, "data": None, "expires": None, "form": FORM, **more})
    one.say("status", {"status": "awaiting", "reason": f"waiting for an answer to {name!r}"})
    return one


def lines(page: Any) -> list[str]:
    """What waits, in the order that is shown."""
    found: list[str] = page.locator(".kl-inbox-name").all_inner_texts()
    return found


def question(page: Any, name: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_role("button", name=name))


def test_what_waits_is_listed_oldest_first_and_counted(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = open_page(pages.of("inbox"))
    page.get_by_text("2 questions waiting").wait_for()
    assert lines(page) == ["approval", "title"]
    ask(show, "older", ago_s=900)
    page.get_by_text("3 questions waiting").wait_for()
    assert lines(page) == ["older", "approval", "title"]
    assert page.evaluate("globalThis.traits.count") == 3


def test_nothing_typed_is_lost_while_others_come_and_go(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    other = ask(show, "other", ago_s=900)
    page = open_page(pages.of("inbox"))
    page.get_by_role("button", name="approval").click()
    comment = question(page, "approval").get_by_label("Comment")
    comment.fill("too sh")
    other.say("lease", {"lid": "q1", "result": {}, "by": "bob"})
    ask(show, "new")
    eventually(lambda: lines(page) == ["approval", "title", "new"])
    page.keyboard.type("ort")
    assert comment.input_value() == "too short"
    page.get_by_role("button", name="approval").click()
    assert not comment.is_visible()
    page.get_by_role("button", name="approval").click()
    assert comment.input_value() == "too short"


def test_it_says_who_was_first_and_keeps_what_was_typed(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    one = ask(show, "publish it?")
    page = open_page(pages.of("inbox"))
    page.get_by_role("button", name="publish it?").click()
    mine = question(page, "publish it?")
    mine.get_by_label("Comment").fill("my reasons")
    one.say("lease", {"lid": "q1", "result": {"verdict": "accept"}, "by": "carl"}, after_s=0.5)
    mine.get_by_text("carl has answered, just now").wait_for()
    assert mine.get_by_label("Comment").input_value() == "my reasons"
    assert mine.get_by_label("Comment").is_disabled()
    mine.get_by_text("The answer").click()
    mine.get_by_role("definition").get_by_text("accept").wait_for()
    page.get_by_text("2 questions waiting").wait_for()
    page.get_by_role("button", name="Clear answered").click()
    assert lines(page) == ["approval", "title"]


@pytest.mark.parametrize(
    ("lease", "words"), [({"expired": True, "by": None}, "Expired: nobody answered in time."), (None, "and nobody answered")]
)  # fmt: skip
def test_it_says_why_nobody_can_answer_any_more(
    open_page: Callable[..., Any], pages: Pages, show: Showcase, lease: Any, words: str
) -> None:
    one = ask(show, "publish it?", expires=time.time() + 500)
    page = open_page(pages.of("inbox"))
    page.get_by_text("expires in 8 minutes").wait_for()
    page.get_by_role("button", name="publish it?").click()
    question(page, "publish it?").get_by_role("button", name="Decide").wait_for()
    if lease:
        one.say("lease", {"lid": "q1", **lease})
    else:
        one.end("cancelled", reason="by ada")
    page.get_by_text(words).wait_for()


def test_an_answer_that_cannot_be_given_says_why_and_stays(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = open_page(pages.of("inbox"))
    page.allowed.append("status of 503")
    page.get_by_role("button", name="approval").click()
    mine = question(page, "approval")
    mine.get_by_label("Copies").fill("101")
    mine.get_by_role("button", name="Decide").click()
    mine.get_by_text("At most 100").wait_for()
    eventually(lambda: page.evaluate("document.activeElement.id") == mine.get_by_label("Verdict").get_attribute("id"))
    mine.get_by_label("Verdict").select_option("accept")
    mine.get_by_label("Copies").fill("100")
    mine.get_by_role("button", name="Decide").click()
    mine.get_by_role("alert").get_by_text("cluster", exact=False).wait_for()
    assert mine.get_by_label("Copies").input_value() == "100"


def test_it_says_that_it_is_reconnecting_and_goes_on_by_itself(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = open_page(pages.of("inbox"))
    page.allowed.append("net::ERR")
    page.get_by_role("button", name="approval").click()
    question(page, "approval").get_by_label("Comment").fill("kept")
    page.route("**/api/v1/**", lambda route: route.abort())
    question(page, "approval").get_by_text("Reconnecting… what you enter is kept.").wait_for()
    ask(show, "meanwhile")
    page.unroute("**/api/v1/**")
    page.get_by_text("3 questions waiting").wait_for()
    assert question(page, "approval").get_by_label("Comment").input_value() == "kept"
    page.get_by_text("Reconnecting…").first.wait_for(state="hidden")


def test_an_empty_inbox_says_what_would_come(open_page: Callable[..., Any], tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "empty", "show", disk=FastDisk())
    with serve_pages(tmp_path / "empty") as pages:
        page = open_page(pages.of("inbox"))
        page.get_by_text("Nothing waits for an answer.").wait_for()
        one = Scene(writer, "publish")
        one.say("lock", {"lid": "q1", "name": "first", "data": None, "expires": None, "form": None})
        page.get_by_text("1 question waiting").wait_for()
        assert not page.get_by_text("Nothing waits").is_visible()
        one.say("lease", {"lid": "q1", "result": True, "by": "bob"})
        page.get_by_text("Nothing waits for an answer.").wait_for()
    writer.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_into_a_phone(open_page: Callable[..., Any], pages: Pages, theme: str) -> None:
    page = open_page(pages.of("inbox", theme=theme), width=320)
    page.get_by_role("button", name="approval").click()
    question(page, "approval").get_by_role("button", name="Decide").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
