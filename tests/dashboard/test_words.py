"""What is read by people, and by no browser as anything but text."""

from __future__ import annotations

import datetime

import pytest

from kodosumi_lab.dashboard import words

NOW = datetime.datetime(2026, 11, 22, 9, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(2, "just now"), (59, "59 seconds ago"), (60, "1 minute ago"), (7300, "2 hours ago"), (90_000, "1 day ago"),
     (40 * 86_400, "1 month ago"), (800 * 86_400, "2 years ago"), (-7200, "in 2 hours")],
)  # fmt: skip
def test_times_are_told_by_how_long_ago(seconds: float, told: str) -> None:
    assert words.ago(NOW - datetime.timedelta(seconds=seconds), NOW) == told


def test_the_time_itself_is_there_for_who_points_at_it() -> None:
    assert 'title="2026-11-22 09:30:00 UTC"' in words.when(NOW)
    assert words.when(NOW.isoformat()) == words.when(NOW)
    assert "–" in words.when(None)


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "–"), (0.0000004, "0 µs"), (0.25, "250 ms"), (4.21, "4.2 s"), (185, "3:05 min"), (3723, "1:02:03 h"),
     (float("nan"), "–"), (-1, "–")],
)  # fmt: skip
def test_durations_read_as_in_the_views(value: float | None, told: str) -> None:
    assert words.duration(value) == told


def test_sizes_counts_and_shares() -> None:
    assert [words.size(n) for n in (None, 5, 2048, 5 * 2**30)] == ["–", "5 B", "2.0 KiB", "5.0 GiB"]
    assert [words.count(n) for n in (None, 12_345, 1_250_000)] == ["–", "12,345", "1.2 M"]
    assert [words.share(1, 4), words.share(1, 0), words.share(None, 3)] == ["25 %", "–", "–"]


def test_nothing_from_a_log_becomes_markup() -> None:
    bad = '<img src=x onerror="alert(1)">\'&'
    made = [
        words.esc(bad), words.status(bad), words.link(bad, bad, title=bad), words.tiles([(bad, bad, bad)]),
        words.empty(bad, bad, bad), words.notice(bad, bad), words.table([bad], [[words.esc(bad)]], label=bad),
    ]  # fmt: skip
    for text in made:
        assert "<img" not in text
        assert '"alert' not in text
        assert "&#x27;" in text


def test_what_is_said_begins_with_a_capital_and_shows_code_as_code() -> None:
    assert "<p>No Ray; try <code>kodosumi-lab up</code></p>" in words.empty("A", "no Ray; try `kodosumi-lab up`")
    assert words.notice("a <b> `c", "error").endswith(">A &lt;b&gt; <code>c</code></div>")
    assert words.notice("").endswith("></div>")
