"""What somebody looks at is its address, and the other way round."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodosumi_lab.dashboard.state import LAST, PAGES, RELEVANT, SPLITS, State
from kodosumi_lab.events import STATUSES

NOW = datetime.datetime(2026, 11, 22, 9, 30, tzinfo=datetime.UTC)
words = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12), max_size=3)
times = st.none() | st.datetimes(
    datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1), timezones=st.just(datetime.UTC)
).map(lambda when: when.replace(microsecond=0))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "run": st.uuids().map(str), "tab": st.just("console"), "chosen": st.text("abc/.", max_size=9),
    "status": st.lists(st.sampled_from(STATUSES), unique=True), "flow": words, "user": words, "tag": words,
    "search": st.text(st.characters(codec="utf-8"), max_size=30), "parent": st.uuids().map(str), "compare": st.lists(st.uuids().map(str), max_size=3),
    "last": st.sampled_from(list(LAST)), "since": times, "until": times,
    "sort": st.sampled_from(State.param["sort"].objects), "by": st.sampled_from(SPLITS), "sql": st.text(max_size=40),
}  # fmt: skip


def test_the_beginning_is_a_short_address() -> None:
    assert State().query == "?page=flows"
    state = State()
    state.go("runs", status=["error", "lost"], flow=["a,b"], search="x & y")
    assert state.query == "?page=runs&status=error,lost&flow=a%5C,b&q=x+%26+y"


@given(page=st.sampled_from(list(PAGES)), values=st.fixed_dictionaries(VALUES))
def test_an_address_says_everything_that_its_page_makes_use_of(page: str, values: dict[str, Any]) -> None:
    state, other = State(), State()
    state.go(page, **values)
    assert other.read(state.query) == []
    assert other.query == state.query
    for name in RELEVANT[page]:
        if name != "last" or (values["since"] is None and values["until"] is None):
            assert getattr(other, name) == values[name], name


@given(st.text(max_size=60))
def test_any_address_can_be_read(query: str) -> None:
    state = State()
    assert isinstance(state.read(query), list)
    again = State()
    assert again.read(state.query) == []


def test_what_cannot_be_is_told_and_the_rest_holds() -> None:
    state = State()
    wrong = state.read("?page=runs&status=error,odd&since=yesterday&sort=age&flow=primes&last=3y&tab=<b>")
    assert [reason.partition(" ")[0] for reason in wrong] == ["there", "last=3y", "since=yesterday", "sort=age"]
    assert state.query == "?page=runs&flow=primes"
    assert "there is no page 'nowhere'" in state.read("?page=nowhere")[0]
    assert state.page == "flows"


def test_another_page_begins_from_its_beginning() -> None:
    state = State()
    state.go("runs", search="timeout", status=["error"])
    state.go("run", run="x")
    assert state.query == "?page=run&run=x"
    state.go("runs")
    assert state.query == "?page=runs"


def test_a_range_wins_over_a_span() -> None:
    state = State()
    state.go("analytics", last="24h")
    assert state.range(NOW) == (NOW - datetime.timedelta(days=1), None)
    state.since = NOW - datetime.timedelta(hours=2)
    assert state.range(NOW) == (NOW - datetime.timedelta(hours=2), None)
    assert state.query == "?page=analytics&since=2026-11-22T07:30:00Z"


def test_the_listing_asks_for_what_is_chosen() -> None:
    state = State()
    state.read("?page=runs&status=lost&user=ada&q=big&sort=-events&last=7d&tag=math&parent=p")
    asked = state.listing(NOW)
    assert (asked.status, asked.user, asked.tag, asked.search, asked.sort) == (
        ["lost"],
        ["ada"],
        ["math"],
        "big",
        "-events",
    )
    assert (asked.parent, asked.since, asked.until) == ("p", NOW - datetime.timedelta(days=7), None)


def test_a_choice_is_taken_back_by_choosing_it_again() -> None:
    state = State()
    state.narrow("flow", "primes")
    state.narrow("flow", "review")
    assert state.flow == ["primes", "review"]
    state.narrow("flow", "primes")
    assert state.flow == ["review"]


def test_links_leave_the_state_alone() -> None:
    state = State()
    assert state.link("run", run="abc") == "?page=run&run=abc"
    assert state.page == "flows"


@pytest.mark.parametrize("module", ["state", "numbers", "access", "pulse", "console"])
def test_no_panel_is_needed_below_the_views(module: str) -> None:
    code = f"import sys, kodosumi_lab.dashboard.{module}; assert not {{'panel', 'bokeh', 'ray'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
