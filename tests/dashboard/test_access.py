"""Requests in a person's name, and one look at the log for everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from apikit import Recorded
from conftest import eventually

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Access, Problem
from kodosumi_lab.dashboard.pulse import Pulse


def test_a_session_asks_in_its_user_s_name(access: Callable[..., Access], recorded: Recorded) -> None:
    ada, bob = access("ada", Role.USER), access("bob", Role.VIEWER)
    assert asyncio.run(ada.run(recorded.finished))["status"] == "finished"
    with pytest.raises(Problem, match="may see") as refused:
        asyncio.run(bob.run(recorded.finished))
    assert refused.value.status == 404
    with pytest.raises(Problem, match="takes the role operator"):
        asyncio.run(ada.call("GET", "/sources"))
    assert asyncio.run(access().call("GET", "/sources")) == []


def test_a_refusal_says_what_to_do(access: Callable[..., Access], recorded: Recorded) -> None:
    with pytest.raises(Problem, match="kodosumi-lab up") as refused:
        asyncio.run(access("ada", Role.USER).call("POST", f"/runs/{recorded.asking}/cancel"))
    assert refused.value.status == 503


def test_values_come_by_how_often_they_occur(access: Callable[..., Access], recorded: Recorded) -> None:
    recorded.begin("review", "bob")
    assert asyncio.run(access().values("flow")) == ["review", "primes", "research"]
    assert asyncio.run(access("ada", Role.USER).values("flow")) == ["primes", "review"]


def test_listeners_are_told_of_changes_only(app: Any, recorded: Recorded) -> None:
    pulse = Pulse(app.state.gateway, every_s=0.02)
    told, other = threading.Event(), threading.Event()
    stop = pulse.listen(told.set)
    pulse.listen(other.set)
    assert not told.wait(0.3)
    recorded.begin("primes", "ada")
    assert told.wait(10)
    assert other.wait(10)
    stop()
    told.clear()
    other.clear()
    recorded.begin("primes", "ada")
    assert other.wait(10)
    assert not told.is_set()


def test_nobody_looks_while_nobody_listens(app: Any) -> None:
    pulse = Pulse(app.state.gateway, every_s=0.02)
    assert pulse._thread is None
    stop = pulse.listen(lambda: None)
    stop()
    eventually(lambda: pulse._thread is None)


def test_a_listener_that_fails_is_alone_with_it(app: Any, recorded: Recorded) -> None:
    pulse = Pulse(app.state.gateway, every_s=0.02)
    told = threading.Event()

    def fail() -> None:
        raise RuntimeError("the session has ended")

    pulse.listen(fail)
    pulse.listen(told.set)
    eventually(lambda: pulse._thread is not None)
    assert not told.wait(0.3)
    recorded.begin("primes", "ada")
    assert told.wait(10)


def test_without_a_cluster_it_says_why(app: Any) -> None:
    assert "no Ray cluster writes the log" in (Pulse(app.state.gateway).away or "")
