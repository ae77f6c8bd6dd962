"""What the list of runs asks for and what the address says are one thing."""

from __future__ import annotations

from kodosumi_lab.dashboard.state import State
from kodosumi_lab.dashboard.views.runs import _as_address, _said, asked_of


def test_the_view_asks_what_the_address_says_and_back() -> None:
    state = State()
    address = "?page=runs&status=error,lost&flow=a%5C,b,c&user=ada&q=x+%26+y&since=2026-11-22T07:30:00Z&sort=-events"
    assert state.read(address) == []
    asked = asked_of(state)
    assert asked == {
        "status": ["error", "lost"], "flow": ["a,b", "c"], "user": ["ada"], "search": "x & y",
        "since": "2026-11-22T07:30:00Z", "sort": "-events",
    }  # fmt: skip
    other = State()
    assert other.read("?page=runs&" + "&".join(f"{name}={value}" for name, value in _as_address(asked).items())) == []
    assert other.query == state.query


def test_what_need_not_be_said_is_not() -> None:
    assert asked_of(State()) == {}
    assert _said({"status": [], "search": "", "sort": "-started", "limit": 50, "cursor": "x", "flow": ["a"]}) == {
        "flow": ["a"]
    }
