"""The list of runs in a real browser: it finds, sorts and pages, and holds still under the mouse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from logkit import Emitter, FastDisk, wall_us

from browser.pages import Pages, serve_pages
from browser.showcase import Scene, Showcase, new_id
from kodosumi_lab.events import KIND_ID
from kodosumi_lab.runtime.log import LogWriter


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    made = Showcase(tmp_path_factory.mktemp("runs") / "log", runs=120)
    yield made
    made.close()


@pytest.fixture(scope="module")
def pages(show: Showcase) -> Iterator[Pages]:
    with serve_pages(show.root) as held:
        yield held


def opened(open_page: Callable[..., Any], pages: Pages, **options: Any) -> Any:
    traits = options.pop("traits", {})
    page = open_page(pages.of("runs", theme=options.pop("theme", "light"), **traits), **options)
    page.get_by_role("row").nth(1).wait_for()
    return page


def rows(page: Any) -> Any:
    return page.locator("tr[data-id]")


def column(page: Any, key: str) -> list[str]:
    found: list[str] = page.locator(f"tr[data-id] .kl-runs-{key}").all_inner_texts()
    return found


def ids(page: Any) -> list[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('tr[data-id]')].map((row) => row.dataset.id)")
    return found


def test_headers_sort_and_say_so(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    header = page.get_by_role("columnheader", name="Started")
    assert header.get_attribute("aria-sort") == "descending"
    assert ids(page) == sorted(ids(page), reverse=True)
    page.get_by_role("button", name="Started").click()
    eventually(lambda: header.get_attribute("aria-sort") == "ascending" and ids(page) == sorted(ids(page)))
    page.get_by_role("button", name="Flow").click()
    eventually(lambda: column(page, "flow")[0] == "primes")
    assert page.get_by_role("columnheader", name="Flow").get_attribute("aria-sort") == "ascending"
    assert header.get_attribute("aria-sort") is None
    page.get_by_role("button", name="Flow").click()
    eventually(lambda: column(page, "flow")[0] == "review")
    assert page.evaluate("globalThis.traits.query") == {"sort": "-flow"}


def test_filters_narrow_and_are_cleared(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    status = page.get_by_role("group", name="Status")
    status.get_by_role("button", name="lost").click()
    eventually(lambda: set(column(page, "status")) == {"lost"})
    status.get_by_role("button", name="timeout").click()
    eventually(lambda: set(column(page, "status")) == {"lost", "timeout"})
    assert status.get_by_role("button", name="lost").get_attribute("aria-pressed") == "true"
    page.get_by_label("Flow", exact=True).fill("review")
    page.get_by_label("Flow", exact=True).press("Enter")
    eventually(lambda: set(column(page, "flow")) == {"review"})
    page.get_by_label("User", exact=True).fill("bob")
    page.get_by_label("User", exact=True).press("Enter")
    eventually(lambda: set(column(page, "user")) == {"bob"})
    assert page.evaluate("globalThis.traits.query") == {
        "status": ["lost", "timeout"], "flow": ["review"], "user": ["bob"],
    }  # fmt: skip
    page.get_by_role("button", name="User bob: remove").click()
    eventually(lambda: set(column(page, "user")) == {"ada", "bob"})
    page.get_by_role("button", name="Clear filters").click()
    eventually(lambda: "finished" in column(page, "status"))
    assert page.evaluate("globalThis.traits.query") == {}


def test_the_text_filter_is_one_key_away(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    page.keyboard.press("/")
    page.keyboard.type("prices.csv")
    eventually(lambda: column(page, "flow") == ["profile_table"])
    page.get_by_role("searchbox", name="Search runs").fill("there is no such run")
    page.get_by_text("No run fits these filters.").wait_for()
    page.get_by_role("button", name="Clear filters").last.click()
    eventually(lambda: rows(page).count() == 50)
    assert page.get_by_role("searchbox", name="Search runs").input_value() == ""


def test_a_time_range_goes_with_the_clock(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    page.get_by_label("Runs a page").select_option("200")
    eventually(lambda: rows(page).count() > 100)
    page.get_by_label("Started", exact=True).select_option("Last hour")
    eventually(lambda: 60 < rows(page).count() < 100)
    assert "since" in page.evaluate("globalThis.traits.query")


def test_pages_turn_without_repeating_a_run(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    total = int(page.get_by_role("status").filter(has_text="runs").inner_text().split()[0])
    seen = ids(page)
    for _ in range(total // 50):
        page.get_by_role("button", name="Next").click()
        eventually(lambda: ids(page)[0] not in seen)
        seen += ids(page)
    assert len(seen) == len(set(seen)) == total
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_role("button", name="Previous").click()
    page.get_by_role("button", name="First").click()
    eventually(lambda: ids(page) == seen[:50])


def test_a_run_is_followed_in_its_row(open_page: Callable[..., Any], pages: Pages, show: Showcase) -> None:
    page = opened(open_page, pages)
    one = Scene(show.writer, "live", ago_s=0)
    row = page.locator(f'tr[data-id="{one.run_id}"]')
    row.get_by_text("running").wait_for()
    one.say("progress", {"value": 3, "total": 10, "label": "third", "name": None})
    row.get_by_text("30 %").wait_for()
    row.get_by_text("third").wait_for()
    before = row.locator(".kl-runs-duration").inner_text()
    eventually(lambda: row.locator(".kl-runs-duration").inner_text() != before)
    one.show({"n": 1}, kind="final")
    one.end()
    row.get_by_text("finished").wait_for()
    row.get_by_text('{"n": 1}').wait_for()


def test_rows_hold_still_under_the_mouse(open_page: Callable[..., Any], pages: Pages, show: Showcase) -> None:
    page = opened(open_page, pages)
    before = ids(page)
    rows(page).nth(2).hover()
    made = [Scene(show.writer, "fresh", ago_s=0).end() for _ in range(3)]
    page.get_by_role("button", name="3 new").wait_for()
    assert ids(page) == before
    page.get_by_role("button", name="3 new").click()
    eventually(lambda: set(ids(page)[:3]) == set(made))
    page.mouse.move(2, 2)
    another = Scene(show.writer, "fresh", ago_s=0).end()
    eventually(lambda: ids(page)[0] == another)  # nobody is looking: it comes in by itself


def test_rows_hold_still_while_one_is_away_from_the_top(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = opened(open_page, pages, height=500)
    page.mouse.move(2, 2)
    page.evaluate("window.scrollTo(0, 600)")
    before = ids(page)
    made = Scene(show.writer, "fresh", ago_s=0).end()
    pill = page.get_by_role("button", name="1 new")
    pill.wait_for()
    box = pill.bounding_box()
    assert 0 <= box["y"] < 60  # it stays in sight
    assert ids(page) == before
    pill.click()
    eventually(lambda: ids(page)[0] == made and page.evaluate("window.scrollY") < 200)


def test_runs_are_selected_one_by_one_in_ranges_and_by_the_page(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    boxes = page.get_by_role("checkbox", name="Select run")
    order = ids(page)
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    eventually(lambda: page.evaluate("globalThis.traits.selected") == order[1:5])
    page.get_by_text("4 selected").wait_for()
    page.get_by_role("checkbox", name="Select all runs on this page").check()
    eventually(lambda: len(page.evaluate("globalThis.traits.selected")) == 50)
    page.get_by_role("button", name="Next").click()
    eventually(lambda: ids(page) != order)
    page.get_by_text("50 selected").wait_for()  # those of other pages, too
    page.get_by_role("button", name="Deselect all").click()
    assert page.evaluate("globalThis.traits.selected") == []
    page.evaluate(f"globalThis.model.set('selected', ['{ids(page)[0]}'])")
    assert page.get_by_role("checkbox", name="Select run").first.is_checked()


def test_several_are_compared(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    order = ids(page)
    page.get_by_role("checkbox", name="Select run").nth(0).check()
    assert not page.get_by_role("button", name="Compare").is_visible()
    page.get_by_role("checkbox", name="Select run").nth(1).check()
    page.get_by_role("button", name="Compare").click()
    assert page.evaluate("globalThis.traits.compared") == order[:2]
    page.get_by_text(f'kl.diff("{order[0][-12:]}", "{order[1][-12:]}")').wait_for()


def test_cancelling_asks_first_and_says_what_came_of_it(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = opened(open_page, pages)
    page.allowed.append("status of 503")
    rows(page).filter(has_text="error").first.get_by_role("checkbox").check()
    assert page.get_by_role("button", name="Cancel runs").is_disabled()  # it has ended
    rows(page).filter(has_text="running").first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Cancel runs").click()
    page.get_by_text("Cancel 1 run?").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Cancel 1 run?").wait_for(state="hidden")
    page.get_by_role("button", name="Cancel runs").click()
    page.get_by_role("button", name="Yes, cancel").click()
    page.get_by_text("0 cancelled, 1 not:").wait_for()  # there is no cluster here


def test_a_run_opens_below_its_row_by_key_and_mouse(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = opened(open_page, pages)
    opener = page.get_by_role("button", name=f"research, run {show.rich[-8:]}")
    opener.focus()
    page.keyboard.press("Enter")
    page.get_by_role("region", name=show.rich[-8:]).get_by_role("tab", name="Results").wait_for()
    assert opener.get_attribute("aria-expanded") == "true"
    rows(page).filter(has=opener).locator(".kl-runs-started").click()
    page.get_by_role("region", name=show.rich[-8:]).wait_for(state="detached")
    opener.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').dataset.id") == ids(page)[ids(page).index(show.rich) + 1]


def test_it_says_that_it_is_reconnecting_and_since_when(
    open_page: Callable[..., Any], pages: Pages, show: Showcase
) -> None:
    page = opened(open_page, pages)
    page.allowed.append("net::ERR")
    page.route("**/api/v1/runs?**", lambda route: route.abort())
    page.get_by_text("Reconnecting… This is how it was at", exact=False).wait_for()
    assert rows(page).count() == 50
    made = Scene(show.writer, "fresh", ago_s=0).end()
    page.unroute("**/api/v1/runs?**")
    eventually(lambda: ids(page)[0] == made)


def test_an_unchanged_list_costs_a_word(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages)
    answers: list[int] = []
    page.on("response", lambda got: answers.append(got.status) if "/api/v1/runs?" in got.url else None)
    eventually(lambda: page.evaluate("1") and len(answers) >= 3)
    assert set(answers) == {304}


def test_a_log_without_runs_says_what_would_come(open_page: Callable[..., Any], tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "empty", "show", disk=FastDisk())
    with serve_pages(tmp_path / "empty") as pages:
        page = open_page(pages.of("runs"))
        page.get_by_text("No runs yet.").wait_for()
        Scene(writer, "first", ago_s=0)
        rows(page).filter(has_text="first").wait_for()
        assert not page.get_by_text("No runs yet.").is_visible()
    writer.close()


#: All of them with `make soak`: writing them takes half a minute.
MANY = 100_000 if os.environ.get("KODOSUMI_SOAK") else 20_000


def many(writer: LogWriter) -> None:
    """Short runs that have ended, one a second, written as a Spooler writes; every thousandth has failed."""
    began = wall_us() - MANY * 1_000_000
    running, finished, failed = ('{"status":"running"}', '{"status":"finished"}', '{"status":"error","reason":"odd"}')
    for start in range(0, MANY, 5_000):
        group = []
        for n in range(start, start + 5_000):
            at = began + n * 1_000_000
            facts = f'{{"flow":"flow_{n % 37}","user":"user{n % 9}","summary":"number {n}","tags":[]}}'
            ended = failed if n % 1000 == 999 else finished
            rows = [("meta", facts), ("inputs", "{}"), ("status", running), ("status", ended)]
            emitter = Emitter(new_id(MANY - n))
            group.append(
                emitter.batch(*((at + i * 1000, KIND_ID[kind], None, text) for i, (kind, text) in enumerate(rows)))
            )
        writer.commit(group)
    # only now: whoever writes looks into what is sealed for each run that is not of today
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_list_of_many_runs_is_paged_sorted_filtered_and_searched(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    writer = LogWriter(tmp_path / "log", "show", disk=FastDisk(), trailing_s=1.0)
    many(writer)
    with serve_pages(tmp_path / "log") as pages:
        page = opened(open_page, pages)
        page.get_by_text(f"{MANY:,} runs", exact=True).wait_for()
        page.get_by_text(f"1–50 of {MANY:,}").wait_for()
        newest = ids(page)
        page.get_by_role("button", name="Next").click()
        page.get_by_text(f"51–100 of {MANY:,}").wait_for()
        eventually(lambda: max(ids(page)) < min(newest))
        page.get_by_role("button", name="Previous").click()
        eventually(lambda: ids(page) == newest)
        page.get_by_role("button", name="Started").click()
        eventually(lambda: column(page, "flow")[:3] == ["flow_0", "flow_1", "flow_2"])
        page.get_by_role("button", name="error", exact=True).click()
        page.get_by_text(f"{MANY // 1000} runs", exact=True).wait_for()
        page.get_by_role("searchbox").fill(f"number {MANY - 1}")
        page.get_by_text("1 run", exact=True).wait_for()
        assert column(page, "flow") == [f"flow_{(MANY - 1) % 37}"]
        began = time.monotonic()
        page.reload()
        rows(page).first.wait_for()
        assert time.monotonic() - began < 10  # seconds; it is read anew in a fraction of one
    writer.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_gets_cards(open_page: Callable[..., Any], pages: Pages, theme: str) -> None:
    page = opened(open_page, pages, width=320, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    first, second = (rows(page).nth(at).bounding_box() for at in (0, 1))
    assert first["width"] <= 304
    assert second["y"] >= first["y"] + first["height"]
    page.get_by_label("Order").select_option("by flow")
    eventually(lambda: set(column(page, "flow")[:3]) <= {"fresh", "first", "live", "primes"})
