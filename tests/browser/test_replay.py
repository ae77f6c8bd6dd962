"""A finished run replayed in a real browser: the same view, on another clock."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from browser.showcase import Scene, Showcase


def recorded(showcase: Showcase) -> str:
    """A run that said a line every 0.2 s for 4 s, was silent for 30 s, and went on for 2 s."""
    one = Scene(showcase.writer, "primes", ago_s=100)
    for i in range(20):
        one.say("stdout", f"line {i}", after_s=0.2)
    one.say("progress", {"value": 1, "total": 2, "label": "half", "name": None})
    one.say("lock", {"lid": "l1", "name": "approval", "data": {"text": "draft"}, "expires": None, "form": None})
    one.say("status", {"status": "awaiting", "reason": "waiting for an answer to 'approval'"})
    one.say("lease", {"lid": "l1", "result": True, "by": "bob"}, after_s=30)
    one.say("status", {"status": "running"})
    for i in range(20, 30):
        one.say("stdout", f"line {i}", after_s=0.2)
    one.show({"answer": 42}, kind="final")
    return one.end()


def opened(open_page: Any, pages: Any, run_id: str, **options: Any) -> Page:
    page: Page = open_page(pages.of("replay", run_id=run_id), **options)
    expect(page.get_by_role("slider", name="Time")).to_be_visible()
    return page


def seek(page: Page, share: float) -> None:
    page.get_by_role("slider", name="Time").evaluate(
        "(one, share) => { one.value = one.max * share; one.dispatchEvent(new Event('change')); }", share
    )


def test_it_plays_as_it_was_and_skips_silence(open_page: Any, pages: Any, showcase: Showcase) -> None:
    page = opened(open_page, pages, recorded(showcase))
    run = page.get_by_role("region", name=re.compile("^Run primes"))
    expect(run.get_by_text("starting", exact=True)).to_be_visible()
    expect(page.get_by_text("line 19")).to_have_count(0)
    page.get_by_role("combobox", name="Speed").select_option("5×")
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("tab", name=re.compile("^Console")).click()
    expect(page.get_by_role("log", name="Console")).to_contain_text("line 19")
    # 36 s of which 30 are silent, at 5×
    expect(page.get_by_role("log", name="Console")).to_contain_text("line 29", timeout=6_000)
    expect(run.get_by_text("finished", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Play from the start")).to_be_visible()
    lines = page.get_by_role("log", name="Console").locator(".kl-line-text").all_inner_texts()
    assert lines == [f"line {i}" for i in range(30)]


def test_one_goes_anywhere_in_it_and_sees_what_there_was_then(open_page: Any, pages: Any, showcase: Showcase) -> None:
    page = opened(open_page, pages, recorded(showcase))
    slider = page.get_by_role("slider", name="Time")
    seek(page, 0.5)
    expect(page.get_by_text("approval", exact=True)).to_be_visible()
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^18.* s of 36.*, awaiting: waiting for an answer"))
    expect(page.get_by_role("tab", name=re.compile("^Console"))).to_have_text("Console20")
    # it has been answered long ago: nothing can be done about it here
    expect(page.get_by_text("Nothing can be answered here: this is a replay.")).to_be_visible()
    expect(page.get_by_role("button", name="Answer")).to_be_disabled()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    seek(page, 1)
    expect(page.get_by_text("finished", exact=True).first).to_be_visible()
    page.get_by_role("tab", name=re.compile("^Events")).click()
    expect(page.get_by_role("grid", name="Events")).to_contain_text("meta")
    seek(page, 0.05)
    # the tab is the same one, with the events up to then
    expect(page.get_by_role("tab", name=re.compile("^Events"))).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text(re.compile("^1[0-4] events$")).first).to_be_visible()
    expect(page.get_by_role("tab", name=re.compile("^Results"))).not_to_contain_text("1")


def test_keys_play_move_and_go_from_mark_to_mark(open_page: Any, pages: Any, showcase: Showcase) -> None:
    page = opened(open_page, pages, recorded(showcase))
    slider = page.get_by_role("slider", name="Time")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^5.0 s of"))
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^0 of"))
    page.keyboard.press(".")
    page.keyboard.press(".")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("asks: approval$|awaiting"))
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("finished$"))
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_a_large_run_is_replayed_without_reading_it_all(open_page: Any, pages: Any, showcase: Showcase) -> None:
    page = opened(open_page, pages, showcase.large)
    seek(page, 0.9)
    page.get_by_role("tab", name=re.compile("^Console")).click()
    expect(page.get_by_role("tab", name=re.compile("^Console"))).to_have_text(re.compile(r"Console(8|9)\d,\d{3}"))
    asked = page.evaluate(
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/window')).length"
    )
    assert asked < 25


def test_a_run_that_is_not_there_is_told(open_page: Any, pages: Any) -> None:
    page = open_page(pages.of("replay", run_id="01a21448-28f0-7679-ae34-d1d08889f808"))
    page.allowed += ["404"]
    expect(page.get_by_role("alert")).to_contain_text("cannot be replayed")


def test_narrow_places_have_the_player_too(open_page: Any, pages: Any, showcase: Showcase) -> None:
    page = opened(open_page, pages, showcase.rich, width=320)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    seek(page, 0.6)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_in_viewport()
