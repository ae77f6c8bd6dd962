"""What pages say while they cannot be brought up to date: the log moved away and back, under a real look at it."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apikit import Recorded
from conftest import eventually

from kodosumi_lab.api.identity import Role, TokenFile
from kodosumi_lab.dashboard.access import Access, Problem
from kodosumi_lab.dashboard.freshness import Freshness
from kodosumi_lab.dashboard.numbers import Question
from kodosumi_lab.dashboard.pulse import Pulse
from kodosumi_lab.errors import LogError

NUMBER = Question("n", "Runs", "(kl.runs().select(n=pl.len()))")


@pytest.fixture
def pulse(app: Any) -> Iterator[Pulse]:
    """One that looks twenty times a second, with its beats counted in ``told``."""
    made = Pulse(app.state.gateway, every_s=0.05)
    made.told = []  # type: ignore[attr-defined] # of this test
    stop = made.listen(lambda: made.told.append(made.trouble))  # type: ignore[attr-defined]
    yield made
    stop()


def test_a_log_that_goes_away_is_told_and_tells_when_it_is_back(pulse: Pulse, app: Any, recorded: Recorded) -> None:
    index = app.state.gateway.index
    assert len(index.frame()) == 3
    begun = pulse.looked_at
    eventually(lambda: pulse.looked_at > begun)
    away = recorded.root.with_name("elsewhere")
    recorded.root.rename(away)
    eventually(lambda: pulse.trouble is not None)
    assert "is not there any more" in str(pulse.trouble)
    assert str(recorded.root) in str(pulse.trouble)
    last = pulse.looked_at
    with pytest.raises(LogError, match="not there any more"):
        index.frame()
    away.rename(recorded.root)
    eventually(lambda: pulse.trouble is None and pulse.looked_at > last)
    eventually(lambda: len(pulse.told) >= 2)  # type: ignore[attr-defined]
    assert [bool(one) for one in pulse.told] == [True, False]  # type: ignore[attr-defined]
    assert len(index.frame()) == 3


def test_a_log_that_was_never_there_is_an_empty_one(tmp_path: Any) -> None:
    from kodosumi_lab.api.listing import RunIndex
    from kodosumi_lab.runtime.query import EventLog

    assert RunIndex(EventLog(tmp_path / "new")).frame().is_empty()


def test_a_frame_is_refused_while_the_log_is_away(access: Callable[..., Access], recorded: Recorded) -> None:
    someone = access("olga", Role.OPERATOR)
    assert asyncio.run(someone.frame(NUMBER))["n"].to_list() == [3]
    recorded.root.rename(recorded.root.with_name("elsewhere"))
    try:
        with pytest.raises(Problem, match="not there any more") as refused:
            asyncio.run(someone.frame(NUMBER))
    finally:
        os.rename(recorded.root.with_name("elsewhere"), recorded.root)
    assert refused.value.status == 503, "an answer that is kept would be one of another time"


def test_nobody_is_signed_out_by_a_log_that_is_away_but_by_a_file_that_is_gone(recorded: Recorded) -> None:
    tokens = TokenFile(recorded.root / "state")
    made = tokens.add("ada", Role.USER)
    assert tokens.find(made) is not None
    recorded.root.rename(recorded.root.with_name("elsewhere"))
    assert tokens.find(made) is not None
    assert TokenFile(recorded.root / "state").find(made) is None, "who never read it lets nobody in"
    recorded.root.with_name("elsewhere").rename(recorded.root)
    tokens.path.unlink()
    assert tokens.find(made) is None


def test_a_page_says_since_when_and_why(pulse: Pulse) -> None:
    at = datetime.datetime.now(datetime.UTC)
    clock = [at]
    pages = Freshness(pulse, lambda: clock[0])
    assert pages.told("flows") == ""
    pages.shown("flows")
    pulse.looked_at = at
    pulse.trouble = "the disk is gone"
    clock[0] = at + datetime.timedelta(seconds=40)
    told = pages.told("flows")
    assert told == f"Not up to date: this is as of {at:%H:%M:%S} UTC, 40 seconds ago; the disk is gone. Trying again."
    assert pages.told("runs").startswith("Not shown yet: the disk is gone")


def test_a_look_that_hangs_is_trouble_as_well(app: Any) -> None:
    still = Pulse(app.state.gateway)  # nobody listens: it does not look
    clock = [still.looked_at]
    pages = Freshness(still, lambda: clock[0])
    pages.shown("cluster")
    assert pages.told("cluster") == ""
    clock[0] += datetime.timedelta(seconds=30)
    assert "30 seconds ago; the log does not answer" in pages.told("cluster")


def test_a_page_that_failed_is_tried_again_until_it_is_shown(pulse: Pulse) -> None:
    pages = Freshness(pulse)
    pages.shown("analytics")
    assert pages.failed("analytics", "the query failed") is True
    assert pages.failed("analytics", "the query failed") is False, "told once in the log of the server"
    assert pages.again("analytics")
    assert "just now; the query failed. Trying again." in pages.told("analytics")
    assert pages.told("flows") == ""
    pages.shown("analytics")
    assert not pages.again("analytics")
    assert pages.told("analytics") == ""
