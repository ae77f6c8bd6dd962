"""The view of one run in a real browser, over a real gateway and runs that are written meanwhile."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from browser.pages import serve_pages
from browser.showcase import Scene

#: Sum of how far things moved by themselves; https://web.dev/articles/cls calls less than 0.1 good.
_SHIFTS = """() => {
  globalThis.shifts = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shifts += entry.value;
  }).observe({ type: 'layout-shift', buffered: false });
}"""


def tab(page: Page, name: str) -> Any:
    return page.get_by_role("tab", name=re.compile(f"^{name}"))


def panel(page: Page, name: str) -> Any:
    return page.get_by_role("tabpanel", name=re.compile(f"^{name}"))


def test_an_ended_run_shows_what_came_of_it_first(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.rich, compact=False))
    expect(page.get_by_role("region", name=f"Run research {showcase.rich[-8:]}")).to_be_visible()
    expect(tab(page, "Results")).to_have_attribute("aria-selected", "true")
    first = panel(page, "Results").get_by_role("article").first
    expect(first).to_contain_text("Result")
    expect(first.get_by_role("treeitem", name=re.compile("^answer"))).to_contain_text("A heap keeps")
    expect(page.get_by_text("complete · 258 events")).to_be_visible()
    found = panel(page, "Results").get_by_role("article").evaluate_all("all => all.map((one) => one.dataset.kind)")
    assert found == ["final", *["result"] * 7, "answer"]


def test_whatever_a_flow_shows_is_drawn_and_nothing_of_it_runs(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.rich, compact=False))
    results = panel(page, "Results")
    expect(results.get_by_role("heading", name="What is a heap?")).to_be_visible()
    expect(results.get_by_role("heading", name="Untrusted")).to_be_visible()
    image = results.get_by_role("img", name=re.compile("Figure"))
    assert image.evaluate("one => one.naturalWidth") > 100
    expect(results.locator(".bk-Figure canvas").first).to_be_visible()
    assert page.evaluate("globalThis.hit") is None
    kept = page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).host)")
    assert set(kept) <= {page.evaluate("location.host"), ""}


def test_a_table_turns_pages_sorts_and_is_downloaded(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.rich, compact=False))
    table = panel(page, "Results").get_by_role("group", name=re.compile("2,000 rows"))
    expect(table.get_by_text("1–10 of 2,000")).to_be_visible()
    at = table.get_by_role("button", name="Next page").bounding_box()
    table.get_by_role("button", name="Next page").click()
    expect(table.get_by_role("cell", name="row 10", exact=True)).to_be_visible()
    assert table.get_by_role("button", name="Next page").bounding_box() == at
    head = table.get_by_role("columnheader", name="n", exact=True)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(table.get_by_role("row").nth(1)).to_contain_text("1999")
    with page.expect_download() as held:
        table.get_by_role("button", name="Download CSV").click()
    lines = Path(held.value.path()).read_text().splitlines()
    assert (len(lines), lines[0], lines[10]) == (2001, "n,root,name", "9,3,row 9")


def test_tabs_and_menu_go_by_keys(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.rich))
    tab(page, "Results").focus()
    for name in ("Console", "Timeline", "Metrics", "Events", "Inputs", "Files", "Results"):
        page.keyboard.press("ArrowRight")
        expect(tab(page, name)).to_be_focused()
        expect(panel(page, name)).to_be_visible()
    page.keyboard.press("End")
    expect(panel(page, "Files").get_by_role("button", name="report.md")).to_be_visible()
    assert page.evaluate("traits.tab") == "files"
    page.get_by_role("button", name="More actions").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Copy id")).to_be_focused()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Python copied")).to_be_attached()
    assert page.evaluate("navigator.clipboard.readText()") == f'kl.run("{showcase.rich}")'
    expect(page.get_by_role("button", name="More actions")).to_be_focused()


def test_a_failed_run_shows_its_own_traceback_first(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.failing, theme="dark"))
    expect(tab(page, "Error")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label("Traceback")).to_contain_text("profile_table.py")
    expect(page.get_by_role("status").filter(has_text="error")).to_be_visible()


def test_a_live_run_goes_on_without_a_jump(open_page: Any, pages: Any, showcase: Any) -> None:
    live = Scene(showcase.writer, "live", ago_s=1)
    page = open_page(pages.of("run", run_id=live.run_id))
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    page.evaluate(_SHIFTS)
    for i in range(30):
        live.say("progress", {"value": i + 1, "total": 30, "label": f"part {i}", "name": None})
        live.say("result", {"text/markdown": f"### Piece {i}\n\nwith a *line* below"})
        time.sleep(0.02)
    expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("aria-valuenow", "100")
    results = panel(page, "Results")
    expect(results.get_by_role("article")).to_have_count(30)
    expect(results.get_by_role("heading", name="Piece 29")).to_be_in_viewport()
    assert page.evaluate("shifts") < 0.1
    results.evaluate("one => { one.scrollTop = 100; }")
    live.show({"sum": 435}, kind="final")
    expect(results.get_by_role("article")).to_have_count(31)
    assert results.evaluate("one => one.scrollTop") == 100
    live.end()
    expect(page.get_by_text(re.compile(r"^complete · \d+ events$"))).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert page.evaluate("shifts") < 0.1


def test_five_thousand_events_at_once_are_drawn_at_once(open_page: Any, pages: Any, showcase: Any) -> None:
    live = Scene(showcase.writer, "burst", ago_s=1)
    page = open_page(pages.of("run", run_id=live.run_id))
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    live.many([("stdout", f"line {i}", None) for i in range(4999)] + [("result", {"text/plain": "the last"}, None)])
    begun = time.monotonic()
    expect(page.get_by_text("the last")).to_be_visible()
    assert time.monotonic() - begun < 2
    expect(tab(page, "Console")).to_have_text("Console4,999")
    expect(page.get_by_text("5,003 events", exact=True)).to_be_visible()


def test_a_lost_connection_is_told_and_taken_up_where_it_was(open_page: Any, showcase: Any) -> None:
    live = Scene(showcase.writer, "offline", ago_s=1)
    with serve_pages(showcase.root) as pages:
        page = open_page(pages.of("run", run_id=live.run_id))
        page.allowed += ["Failed to load resource", "ERR_"]
        live.show("before")
        expect(page.get_by_text("before")).to_be_visible()
        port = int(pages.url.rpartition(":")[2])
    expect(page.get_by_text(re.compile(r"^as of \d\d:\d\d, reconnecting …$"))).to_be_visible()
    live.show("meanwhile")
    expect(page.get_by_text(re.compile("not reachable, trying again$"))).to_be_visible()
    with serve_pages(showcase.root, port=port):
        expect(page.get_by_text("meanwhile")).to_be_visible()
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        live.end()
        expect(page.get_by_text("complete · 6 events")).to_be_visible()


def test_a_large_run_opens_at_once(open_page: Any, pages: Any, showcase: Any) -> None:
    begun = time.monotonic()
    page = open_page(pages.of("run", run_id=showcase.large))
    expect(panel(page, "Results").get_by_role("article").first).to_contain_text("100000")
    assert time.monotonic() - begun < 5
    expect(tab(page, "Console")).to_have_text("Console99,995")
    expect(page.get_by_text("complete · 100,000 events")).to_be_visible()


def test_acting_says_why_it_cannot_where_no_cluster_is(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.running))
    page.allowed.append("503")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel run")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Not cancelled")).to_be_visible()
    expect(page.get_by_text(re.compile("^Cancel and Rerun are off"))).to_be_visible()
    expect(page.get_by_role("button", name="Rerun …")).to_be_disabled()


def test_a_question_is_asked_on_top_and_goes_when_somebody_has_answered(
    open_page: Any, pages: Any, showcase: Any
) -> None:
    live = Scene(showcase.writer, "ask", ago_s=1)
    page = open_page(pages.of("run", run_id=live.run_id))
    live.say("lock", {"lid": "q1", "name": "approval", "data": {"n": 1}, "expires": None})
    live.say("status", {"status": "awaiting", "reason": "waiting for an answer to 'approval'"})
    question = page.get_by_role("region", name="Question: approval")
    expect(question.get_by_role("button", name="Yes")).to_be_visible()
    live.say("lease", {"lid": "q1", "result": True, "by": "bob"})
    live.say("status", {"status": "running"})
    expect(panel(page, "Results").get_by_role("article")).to_contain_text("answered by bob")
    expect(question).to_have_count(0)


def test_it_fits_a_narrow_place_and_a_wide_one(open_page: Any, pages: Any, showcase: Any) -> None:
    for width in (320, 1600):
        page = open_page(pages.of("run", run_id=showcase.rich), width=width)
        for name in ("Console", "Timeline", "Metrics", "Events", "Inputs", "Files", "Results"):
            tab(page, name).click()
            expect(panel(page, name)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (name, width)


def test_nothing_stays_when_it_is_taken_away(open_page: Any, pages: Any, showcase: Any) -> None:
    page = open_page(pages.of("run", run_id=showcase.running))
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.evaluate("unmount()")
    assert page.evaluate("document.getElementById('root').childElementCount") == 0
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    showcase.live.say("status", {"status": "running", "reason": "nobody hears this"})
    page.wait_for_timeout(500)
    assert asked == []
