"""The dashboard in a real browser, beside a real gateway: a test for each page, and what holds on all of them."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import polars as pl
import pytest
from apikit import serving
from conftest import eventually
from playwright.sync_api import expect
from starlette.responses import Response

from browser.board import SCRIPT, Person, Served, panel_serve, running, serve, settled
from browser.showcase import Scene, Showcase
from kodosumi_lab.api.app import create_app
from kodosumi_lab.settings import load

FLOWS = ("--flows", "examples.flows.primes", "--flows", "examples.flows.research")


@pytest.fixture(scope="module")
def served(showcase: Showcase) -> Iterator[Served]:
    """``kodosumi-lab serve`` over the showcase's log; no Ray."""
    with serve(showcase.root, *FLOWS) as held:
        yield held


@pytest.fixture
def look(open_page: Callable[..., Any], served: Served) -> Person:
    """``look("?page=runs", who="ada")``: a page, signed in."""
    return Person(open_page, served)


def query_of(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def nav(page: Any, name: str) -> Any:
    """The way to another page."""
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)


@contextlib.contextmanager
def asked(showcase: Showcase) -> Iterator[None]:
    """Meanwhile one more run waits for a person."""
    one = Scene(showcase.writer, "review", ago_s=1, user="ada")
    one.say("lock", {"lid": "new", "name": "approval", "data": {}, "expires": None, "form": None})
    one.say("status", {"status": "awaiting", "reason": "waiting"})
    try:
        yield
    finally:
        one.say("lease", {"lid": "new", "by": "ada", "result": True})
        one.end("cancelled")


def becomes(shown: Any, /, **expected: str | None) -> None:
    """The address comes to say this."""
    shown.wait_for_function(
        "expected => { const told = new URLSearchParams(location.search);"
        "return Object.entries(expected).every(([name, value]) => told.get(name) === value) }",
        arg=expected,
    )


# -- coming in --------------------------------------------------------------------------


def test_signing_in_leads_to_the_page_that_was_asked_for(open_page: Callable[..., Any], served: Served) -> None:
    page = open_page(served.url + "?page=analytics&by=user")
    page.allowed = ["401"]
    expect(page).to_have_title("Sign in · Kodosumi Lab")
    page.get_by_label("Token").fill("kl_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not count")
    page.get_by_label("Token").fill(served.tokens["olga"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Analytics")).to_be_visible()
    assert query_of(page) == {"page": "analytics", "by": "user"}
    expect(page.get_by_text("olga · operator")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title("Sign in · Kodosumi Lab")
    page.goto(served.url)
    expect(page).to_have_title("Sign in · Kodosumi Lab")


def test_two_people_at_once_see_what_is_theirs(look: Person, showcase: Showcase) -> None:
    olga, bob = look("?page=analytics", who="olga"), look("?page=analytics", who="bob")

    def runs(page: Any) -> int:
        return int(page.locator(".tile", has_text="Runs").first.locator("dd").inner_text().replace(",", ""))

    expect(olga.locator(".tile").first).to_be_visible()
    expect(bob.locator(".tile").first).to_be_visible()
    assert runs(olga) > runs(bob) > 0
    expect(nav(bob, "Control")).to_have_count(0)
    bob.goto(bob.url.partition("?")[0] + f"?page=run&run={showcase.rich}")
    bob.allowed = ["404"]
    expect(bob.get_by_text("there is no run").first).to_be_visible()
    bob.goto(bob.url.partition("?")[0] + "?page=control")
    expect(bob.get_by_text("Control takes the role operator")).to_be_visible()


# -- on every page ----------------------------------------------------------------------


def test_pages_by_link_key_and_the_browser_s_own_buttons(look: Person) -> None:
    page = look()
    expect(page.get_by_role("heading", name="Flows")).to_be_visible()
    for name in ("Runs", "Inbox", "Analytics", "Cluster", "Control"):
        nav(page, name).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        becomes(page, page=name.lower())
        expect(nav(page, name)).to_have_attribute("aria-current", "page")
    expect(page).to_have_title(re.compile(r"Control · Kodosumi Lab$"))
    page.go_back()
    expect(page.get_by_role("heading", name="Cluster", exact=True)).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name="Control", exact=True)).to_be_visible()
    page.locator("body").press("g")
    page.keyboard.press("i")
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.get_by_placeholder(re.compile("^Search runs")).wait_for()
    page.keyboard.press("/")
    page.wait_for_function(
        "() => { let one = document.activeElement; while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;"
        "return one?.placeholder?.startsWith('Search runs') }"
    )
    assert page.foreign == [], "nothing comes from elsewhere"


def test_what_waits_is_counted_everywhere_while_it_happens(look: Person, showcase: Showcase) -> None:
    page = look("?page=cluster")
    badge = nav(page, "Inbox").locator("b")
    expect(badge).to_have_text(re.compile(r"\d+"))
    before = int(badge.inner_text())
    expect(page).to_have_title(f"({before}) Cluster · Kodosumi Lab")
    with asked(showcase):
        expect(badge).to_have_text(str(before + 1))
        expect(page).to_have_title(f"({before + 1}) Cluster · Kodosumi Lab")
    expect(badge).to_have_text(str(before))


def test_without_ray_it_says_so_and_history_opens(look: Person, showcase: Showcase) -> None:
    page = look(f"?page=run&run={showcase.rich}")
    expect(page.get_by_role("status").filter(has_text="no Ray cluster writes the log").first).to_be_visible()
    expect(page.get_by_text("A heap keeps its smallest item first")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("flows", ".flows a"), ("analytics", ".tile"), ("cluster", "text=Not sealed yet"), ("control", "td >> text=olga")],
)
def test_a_page_says_that_it_is_stale_and_then_no_more(look: Person, showcase: Showcase, name: str, shown: str) -> None:
    page = look(f"?page={name}")
    page.allowed = ["500", "503"]
    stale = page.get_by_role("status").filter(has_text="Not up to date")
    expect(page.locator(shown).first).to_be_visible()
    expect(stale).to_have_count(0)
    away = showcase.root.with_name("elsewhere")
    showcase.root.rename(away)
    try:
        expect(stale).to_contain_text(re.compile(r"as of \d\d:\d\d:\d\d UTC, .* not there any more.*Trying again"))
        first = stale.inner_text()
        expect(stale).not_to_have_text(first)  # it grows older
        expect(page.locator(shown).first).to_be_visible()
    finally:
        away.rename(showcase.root)
    expect(stale).to_have_count(0)
    badge = nav(page, "Inbox").locator("b")
    before = int(badge.inner_text())
    with asked(showcase):
        expect(badge).to_have_text(str(before + 1))
    expect(badge).to_have_text(str(before))


def test_a_tab_that_nobody_sees_is_left_alone_until_it_is_looked_at(look: Person, showcase: Showcase) -> None:
    page = look("?page=analytics")
    badge, tile = nav(page, "Inbox").locator("b"), page.locator(".tile", has_text="Runs").first.locator("dd")
    expect(badge).to_have_text(re.compile(r"\d+"))
    expect(tile).to_have_text(re.compile(r"\d+"))
    before, runs = int(badge.inner_text()), tile.inner_text()
    # Chromium without a window shows every tab, so this one says that it is hidden
    show = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    page.evaluate(show + "document.dispatchEvent(new Event('visibilitychange')) }", True)
    page.wait_for_function("() => window.klSeen.told === true")
    with asked(showcase):
        seen = look("?page=cluster")  # who looks is told, as before
        expect(nav(seen, "Inbox").locator("b")).to_have_text(str(before + 1))
        assert (badge.inner_text(), tile.inner_text()) == (str(before), runs)
        page.evaluate(show + "document.dispatchEvent(new Event('visibilitychange')) }", False)
        expect(badge).to_have_text(str(before + 1))
        expect(tile).not_to_have_text(runs)


def test_dark_and_light_are_remembered(look: Person) -> None:
    page = look("?page=analytics", color_scheme="dark")
    dark = "() => getComputedStyle(document.body).backgroundColor === 'rgb(18, 18, 18)'"
    page.wait_for_function(dark)
    toggle = page.get_by_label("Toggle theme").or_(page.locator("[aria-label*=theme i]")).first

    def is_light() -> bool:
        toggle.click()  # a click before the page listens is lost
        page.wait_for_timeout(1000)
        return not page.evaluate(f"({dark})()")

    eventually(is_light)
    page.reload()
    settled(page)
    page.wait_for_function(f"() => !({dark})() && document.documentElement.dataset.theme === 'light'")


@pytest.mark.parametrize("name", ["flows", "runs", "inbox", "analytics", "cluster", "control"])
def test_a_phone_is_wide_enough(look: Person, name: str) -> None:
    page = look(f"?page={name}", width=400, height=800)
    expect(page.get_by_role("heading", name=name.capitalize(), exact=True)).to_be_visible()
    inbox = nav(page, "Inbox")
    expect(inbox).not_to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    main = page.locator(".main-content").first
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth"), "only tables scroll sideways"
    page.get_by_label(re.compile("open drawer", re.IGNORECASE)).click()
    expect(inbox).to_be_in_viewport()
    inbox.click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    expect(inbox).not_to_be_in_viewport()


_SHIFTS = """
window.shifted = []; window.shift = 0;
new PerformanceObserver(list => { for (const one of list.getEntries()) if (!one.hadRecentInput) {
  window.shift += one.value;
  window.shifted.push([one.value.toFixed(4), Math.round(one.startTime), ...one.sources.map(source => {
    const node = source.node, at = rect => [rect.x, rect.y, rect.width, rect.height].map(Math.round).join(' ');
    return `${node?.nodeName}.${node?.className}: ${at(source.previousRect)} > ${at(source.currentRect)}`; })]);
} }).observe({ type: 'layout-shift', buffered: true });
"""


@pytest.mark.parametrize(
    ("name", "width"),
    [("flows", 1200), ("flows&chosen=research", 1200), ("runs", 1200), ("inbox", 1200), ("analytics", 1200),
     ("cluster", 1200), ("control", 1200), ("run", 1200), ("flows", 400), ("analytics", 400), ("cluster", 400),
     ("run", 400)],
)  # fmt: skip
def test_nothing_jumps_while_a_page_loads_and_while_things_happen(
    look: Person, served: Served, showcase: Showcase, name: str, width: int
) -> None:
    page = look("?page=flows", width=width)
    page.context.add_init_script(_SHIFTS)
    page.goto(f"{served.url}?page={name}" + (f"&run={showcase.running}" if name == "run" else ""))
    settled(page)
    expect(page).to_have_title(re.compile(r"^\(\d+\) "))
    before = int(page.title()[1:].partition(")")[0])
    with asked(showcase):
        showcase.live.say("stdout", "more")
        expect(page).to_have_title(re.compile(rf"^\({before + 1}\) "))
    expect(page).to_have_title(re.compile(rf"^\({before}\) "))
    if name == "run":  # which asks for more as long as it goes on
        expect(page.get_by_label("Console").get_by_text("more").first).to_be_attached()
    else:
        page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shift") < 0.1, page.evaluate("window.shifted")


# -- pages ------------------------------------------------------------------------------


def test_flows_are_found_and_show_their_form_and_runs(look: Person) -> None:
    page = look("?page=flows")
    flows = page.locator(".flows a")
    expect(flows).to_have_count(2)
    page.get_by_label("Search", exact=True).fill("primes of")
    expect(page.get_by_text("No flow fits")).to_be_visible()
    becomes(page, q="primes of")
    page.get_by_label("Search", exact=True).fill("documentation agents")
    expect(flows).to_have_count(1)
    flows.first.click()
    becomes(page, chosen="research", q="documentation agents")
    expect(page.get_by_role("button", name="Launch")).to_be_visible()
    recent = page.get_by_role("region", name="Recent runs")
    expect(recent.get_by_role("row")).to_have_count(9)
    again = look(page.url.partition("/dashboard/")[2])
    expect(again.get_by_role("button", name="Launch")).to_be_visible()
    expect(again.get_by_label("Search", exact=True)).to_have_value("documentation agents")
    recent.get_by_role("link").first.click()
    becomes(page, page="run")


def test_launching_without_a_cluster_is_told_under_the_form(look: Person) -> None:
    page = look("?page=flows&chosen=prime_gaps")
    page.allowed = ["503"]
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("no Ray cluster writes the log").last).to_be_visible()


def test_a_source_is_registered_read_and_forgotten(look: Person) -> None:
    page = look("?page=control&tab=sources")
    expect(page.get_by_text("No source is registered")).to_be_visible()
    source = page.get_by_label("Source").last
    source.fill("no.such.module")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text("cannot be used").first).to_be_visible()
    source.fill("examples.flows.profile_table")
    page.get_by_role("button", name="Register").click()
    row = page.get_by_role("region", name="Sources").get_by_role("row").filter(has_text="examples.flows.profile_table")
    expect(row).to_contain_text("ok")
    page.get_by_role("button", name="Read again").click()
    expect(page.get_by_text("examples.flows.profile_table was read")).to_be_visible()
    page.get_by_role("button", name="Unregister").click()
    page.get_by_role("dialog").get_by_role("button", name="Unregister").click()
    expect(page.get_by_text("No source is registered")).to_be_visible()


def test_runs_are_filtered_by_the_address_and_the_other_way_round(look: Person) -> None:
    page = look("?page=runs&status=error&flow=profile_table")
    expect(page.get_by_text("FileNotFoundError").first).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_placeholder(re.compile("^Search runs")).fill("nothing fits this")
    becomes(page, q="nothing fits this", status="error", flow="profile_table")
    page.get_by_placeholder(re.compile("^Search runs")).fill("")
    becomes(page, q=None)
    page.get_by_role("row").nth(1).get_by_text("profile_table").click()
    becomes(page, page="run")
    expect(page.get_by_text("No such file or directory: prices.csv").first).to_be_visible()
    page.go_back()
    becomes(page, page="runs", status="error", flow="profile_table")
    expect(page.get_by_role("row")).to_have_count(2)


def test_a_run_is_shown_live_and_its_part_stands_in_the_address(look: Person, showcase: Showcase) -> None:
    page = look(f"?page=run&run={showcase.running}")
    expect(page.get_by_text("running").first).to_be_visible()
    showcase.live.say("stdout", "said just now")
    page.get_by_role("tab", name=re.compile("Console")).click()
    expect(page.get_by_text("said just now").last).to_be_visible()
    becomes(page, tab="console")
    showcase.live.say("stdout", "and this as well")
    expect(page.get_by_text("and this as well").last).to_be_visible()
    page.reload()
    settled(page)
    expect(page.get_by_role("tab", name=re.compile("Console"))).to_have_attribute("aria-selected", "true")
    page.get_by_role("link", name="All runs").click()
    becomes(page, page="runs")


def test_a_run_is_handed_out_as_a_report_and_as_events(look: Person, showcase: Showcase) -> None:
    page = look(f"?page=run&run={showcase.rich}")
    expect(page.get_by_text("A heap keeps its smallest item first")).to_be_visible()
    found = {}
    for label in ("Report", "Parquet", "CSV", "JSON"):
        page.get_by_role("button", name="Download", exact=True).click()
        with page.expect_download() as download:
            page.get_by_text(re.compile(rf"^(Report|Events) \(?.*{label}|^{label}")).first.click()
        found[download.value.suggested_filename.rpartition(".")[2]] = Path(download.value.path()).read_bytes()
    assert (
        len(pl.read_parquet(found["parquet"])) == len(pl.read_csv(found["csv"])) == len(json.loads(found["json"])) > 200
    )
    assert b"What is a heap?" in found["html"]
    assert b"<script" not in found["html"]


def test_runs_are_compared_and_the_comparison_has_an_address(look: Person, showcase: Showcase) -> None:
    page = look("?page=runs&flow=primes&status=finished")
    boxes = page.get_by_role("row").get_by_role("checkbox")
    expect(boxes.nth(2)).to_be_visible()
    boxes.nth(1).check()
    boxes.nth(2).check()
    expect(page.get_by_role("button", name="Rerun 2")).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    expect(page.get_by_role("region", name="results compared")).to_be_visible()
    again = look(page.url.partition("/dashboard/")[2])
    expect(again.get_by_role("region", name="results compared")).to_be_visible()
    again.get_by_role("link", name="Back to the list").click()
    expect(again.get_by_role("heading", name="2 runs compared")).not_to_be_visible()
    page.get_by_role("button", name="Rerun 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_text("no Ray cluster writes the log").last).to_be_visible()


def test_whose_token_is_revoked_is_out(look: Person, served: Served) -> None:
    from kodosumi_lab.api.identity import Role, TokenFile

    tokens = TokenFile(served.root / "state")
    served.tokens["eve"] = tokens.add("eve", Role.OPERATOR)
    page = look("?page=analytics", who="eve")
    expect(page.locator(".tile").first).to_be_visible()
    page.allowed = ["401"]
    tokens.revoke("eve")
    nav(page, "Flows").click()
    expect(page.get_by_text("eve is signed out")).to_be_visible()
    page.reload()
    expect(page).to_have_title("Sign in · Kodosumi Lab")


def test_the_inbox_has_what_waits_with_its_form(look: Person) -> None:
    page = look("?page=inbox", who="ada")
    page.get_by_text("approval").first.click()
    expect(page.get_by_text("before you decide").first).to_be_visible()
    expect(page.get_by_label(re.compile("Comment")).first).to_be_visible()
    page.get_by_role("button", name="Show run").first.click()
    becomes(page, page="run")


def test_numbers_are_narrowed_by_a_mark_a_name_and_a_filter(look: Person) -> None:
    page = look("?page=analytics")
    tile = page.locator(".tile", has_text="Runs").first.locator("dd")
    expect(tile).to_have_text(re.compile(r"\d"))
    whole = tile.inner_text()
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 90, steps=8)
    page.mouse.up()
    page.wait_for_function("() => /since=.*until=/.test(location.search)")
    expect(tile).not_to_have_text(whole)
    page.get_by_role("region", name="By flow").get_by_role("link", name="primes").click()
    becomes(page, flow="primes")
    expect(page.get_by_role("region", name="By flow").get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Reset").click()
    becomes(page, flow=None, since=None)
    expect(tile).to_have_text(whole)
    page.get_by_label("Search", exact=True).fill("no run says this")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.get_by_text("No run fits")).to_be_visible()


def test_a_chart_hands_out_the_code_that_made_it(look: Person) -> None:
    page = look("?page=analytics&flow=primes")
    expect(page.locator(".tile").first).to_be_visible()
    page.get_by_role("heading", name="Failures").wait_for()
    page.locator("button", has_text="code").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("kl.runs()")).to_be_visible()
    expect(dialog.get_by_text("pl.col('flow').is_in(['primes'])")).to_be_visible()
    expect(dialog.get_by_role("columnheader", name="share")).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert "import kodosumi_lab as kl" in page.evaluate("navigator.clipboard.readText()")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="CSV").or_(dialog.get_by_text("CSV")).first.click()
    assert download.value.suggested_filename == "failures.csv"


def test_sql_reads_the_log_and_nothing_else(look: Person) -> None:
    page = look("?page=analytics&tab=sql", who="ada")
    sql = page.get_by_label("SQL or Polars", exact=True)
    sql.fill('select distinct "user" from runs')
    sql.press("Control+Enter")
    answer = page.get_by_role("region", name="Answer")
    expect(answer.get_by_role("row")).to_have_count(2)
    expect(answer).to_contain_text("ada")
    sql.fill("select * from read_csv('/etc/passwd')")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("files cannot be read here")).to_be_visible()
    sql.fill("select kind, count(*) as n from events group by kind order by n desc")
    page.get_by_role("button", name="Run").click()
    expect(answer).to_contain_text("stdout")
    becomes(page, sql="select kind, count(*) as n from events group by kind order by n desc")
    again = look(page.url.partition("/dashboard/")[2], who="ada")
    expect(again.get_by_role("region", name="Answer")).to_contain_text("stdout")
    sql.fill("runs.group_by('user').agg(pl.len().alias('mine')).sort('user')")
    sql.press("Control+Enter")
    expect(answer.get_by_role("columnheader")).to_contain_text(["user", "mine"])
    expect(answer.get_by_role("row")).to_have_count(2)  # ada's only, as in SQL
    sql.fill("runs.sink_csv('/tmp/x')")
    sql.press("Control+Enter")
    expect(page.get_by_text("'sink_csv' is no word of this console")).to_be_visible()


def test_the_cluster_page_says_what_to_do_first(look: Person, served: Served) -> None:
    page = look("?page=cluster")
    expect(page.get_by_role("heading", name="No Ray cluster")).to_be_visible()
    expect(page.get_by_text("kodosumi-lab up").last).to_be_visible()
    expect(page.get_by_role("button", name="Start Ray here")).to_be_visible()
    expect(page.get_by_text(str(served.root), exact=True)).to_be_visible()
    operator = look("?page=cluster", who="olga")
    expect(operator.get_by_role("heading", name="No Ray cluster")).to_be_visible()
    expect(operator.get_by_role("button", name="Start Ray here")).not_to_be_visible()


def test_the_cluster_page_weighs_the_log_and_leads_to_its_retention(look: Person, served: Served) -> None:
    page = look("?page=cluster", who="olga")
    disk = page.locator("dl.key dd", has_text="counted")
    files = [path for path in served.root.rglob("*") if path.is_file()]
    expect(disk).to_contain_text(re.compile(r"^\d+\.\d [KM]iB in \d+ files \("))
    told = int(re.search(r"in ([\d,]+) files", disk.inner_text())[1])  # type: ignore[index] # it was expected above
    assert abs(told - len(files)) <= 20, "what the gateway itself keeps comes and goes meanwhile"
    page.get_by_role("link", name="Retention", exact=True).click()
    becomes(page, page="control", tab="log")
    expect(page.get_by_role("region", name="Days of the log")).to_be_visible()


def test_a_token_is_made_and_revoked(look: Person, served: Served) -> None:
    page = look("?page=control&tab=users")
    page.get_by_role("textbox", name="User").fill("vera")
    page.get_by_role("button", name="Make a token").click()
    made = page.locator("#code")
    expect(made).to_have_text(re.compile("^kl_"))
    api = served.url.replace("/dashboard/", "/api/v1/runs")
    headers = {"authorization": f"Bearer {made.inner_text()}"}
    assert httpx.get(api, headers=headers).status_code == 200
    row = page.get_by_role("region", name="Users").get_by_role("row").filter(has_text="vera")
    expect(row).to_contain_text("user")
    page.get_by_role("combobox").first.click()
    page.get_by_text("vera", exact=True).last.click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert httpx.get(api, headers=headers).status_code == 401
    page.get_by_role("link", name="Audit").click()
    audit = page.get_by_role("region", name="Audit")
    expect(audit).to_contain_text("revoke_tokens")
    expect(audit).to_contain_text("add_token")
    assert made.inner_text() not in page.content() if made.count() else True


def test_days_settings_and_services_are_told(look: Person) -> None:
    page = look("?page=control&tab=log")
    days = page.get_by_role("region", name="Days of the log")
    expect(days.get_by_role("row").nth(1)).to_contain_text("in use")
    page.get_by_role("button", name="Compact now").click()
    expect(page.get_by_text("nothing to merge")).to_be_visible()
    page.get_by_role("button", name="Take out").click()
    expect(page.get_by_text("no closed day is before")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("region", name="Settings in force")).to_contain_text("gateway_body_bytes")
    page.get_by_role("link", name="Services").click()
    expect(page.get_by_text("Services live on the Ray cluster").first).to_be_visible()


# -- other ways to serve it -------------------------------------------------------------


class Stripped:
    """A proxy in front that takes a prefix away and says nothing of it."""

    def __init__(self, app: Any, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] in ("http", "websocket") and not path.startswith(self._prefix):
            await Response(status_code=404)(scope, receive, send)
            return
        if "path" in scope:
            rest = path[len(self._prefix) :]
            scope = {**scope, "path": rest, "raw_path": rest.encode()}
        await self._app(scope, receive, send)


def test_below_a_prefix_of_a_proxy(open_page: Callable[..., Any], showcase: Showcase) -> None:
    from kodosumi_lab.dashboard.mounted import Dashboard

    app = create_app(settings=load(log_dir=showcase.root), mounts={"/dashboard": Dashboard()}, pages=["/dashboard"])
    with serving(Stripped(app, "/hub/lab")) as url:
        held = Served(f"{url}/hub/lab/dashboard", showcase.root)
        page = Person(open_page, held)(f"?page=run&run={showcase.rich}", who="ada")
        expect(page.get_by_text("A heap keeps its smallest item first")).to_be_visible()
        assert page.url.startswith(f"{url}/hub/lab/dashboard/?page=run")
        nav(page, "Analytics").click()
        expect(page.locator(".tile").first).to_be_visible()
        (cookie,) = [one for one in page.context.cookies() if one["name"].startswith("kodosumi_lab_")]
        assert (cookie["path"], cookie["httpOnly"]) == ("/hub/lab/", True)
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_title("Sign in · Kodosumi Lab")


def test_the_command_prints_an_address_that_signs_in_and_finds_what_runs_already(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    def told(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert (said["found"], Path(said["log_dir"])) == (False, tmp_path)
        return str(said["url"])

    command = [*SCRIPT, "dashboard", "--history", "--no-browser", "--json", "--log-dir", str(tmp_path)]
    with running(command, told) as url:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        again = json.loads(done.stdout)
        assert again["found"] is True
        for entrance in (url, again["url"]):
            page = open_page(entrance)
            page.get_by_role("heading", name="Flows", exact=True).wait_for()
            page.goto(entrance)  # a ticket counts once
            expect(page).to_have_title("Sign in · Kodosumi Lab")


def test_served_alone_it_asks_for_a_token_and_views_ask_over_its_own_socket(
    open_page: Callable[..., Any], showcase: Showcase
) -> None:
    with panel_serve(showcase.root) as held:
        page = open_page(f"{held.url}?page=run&run={showcase.rich}")
        asked: list[str] = []
        page.on("request", lambda one: asked.append(urlsplit(one.url).path))
        page.get_by_label("Token").first.fill("kl_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("does not count here")).to_be_visible()
        page.get_by_label("Token").first.fill(held.tokens["ada"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("A heap keeps its smallest item first")).to_be_visible()
        becomes(page, page="run", run=showcase.rich)
        nav(page, "Runs").click()
        expect(page.get_by_role("row").nth(2)).to_be_visible()
        expect(nav(page, "Control")).to_have_count(0)
        assert not [path for path in asked if "/api/" in path]
