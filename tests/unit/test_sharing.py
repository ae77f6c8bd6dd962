"""Who ends a background cluster that several use: the last of them, if one of them started it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import eventually

from kodosumi_lab.runtime.sharing import Share, share

Joining = Callable[..., Share]


@pytest.fixture
def joining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Joining:
    monkeypatch.setenv("KODOSUMI_LAB_STATE_DIR", str(tmp_path / "state"))

    def join(pid: int = 4711, *, started: bool = False, keep: bool = False) -> Share:
        part = Share()
        part.join({"pid": pid, "started": started}, keep=keep)
        return part

    return join


def test_the_last_one_ends_what_one_of_them_started(joining: Joining) -> None:
    first, second = joining(started=True), joining()
    assert (first.ends, second.ends) == (True, True)
    assert not first.is_last()
    first.close()
    assert second.is_last()
    second.close()


def test_another_cluster_and_what_is_kept_are_left_to_a_person(joining: Joining) -> None:
    found, started = joining(), joining(started=True)
    assert (found.ends, started.ends) == (True, True)  # it is the same cluster
    other = joining(4712)  # another one, which `up` started meanwhile
    assert not other.ends
    kept = joining(keep=True)
    assert not started.ends
    for part in (found, started, other, kept):
        part.close()


def test_what_nobody_of_them_started_is_left_to_a_person(joining: Joining) -> None:
    part = joining()
    assert not part.ends
    part.close()


def test_who_comes_while_it_ends_waits(joining: Joining) -> None:
    leaving = joining(started=True)
    assert leaving.is_last()
    came = threading.Event()

    def come() -> None:
        with share():
            came.set()

    thread = threading.Thread(target=come)
    thread.start()
    assert not came.wait(0.3)
    leaving.close()
    eventually(came.is_set)
    thread.join()
