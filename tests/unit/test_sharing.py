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


def test_what_was_there_before_or_is_kept_is_left_to_a_person(joining: Joining) -> None:
    assert not joining().ends
    started = joining(started=True)
    assert started.ends
    assert not joining(4712).ends  # another cluster, which `up` started meanwhile
    joining(keep=True)
    assert not started.ends


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
