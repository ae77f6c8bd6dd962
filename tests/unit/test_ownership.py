"""Who may write a log, and what happens to the log of a cluster that is gone."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from logkit import BadDisk, Emitter, FastDisk, Stop, check_whole, lines, meta, new_run, status

from kodosumi_lab.errors import LogError
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.ownership import Owner, adopt, claim, here, is_gone, owners
from kodosumi_lab.runtime.query import EventLog


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_only_one_can_hold_a_claim(layout):
    first = claim(layout, "a")
    with pytest.raises(LogError, match="another process is writing the segments of owner a"):
        claim(layout, "a")
    claim(layout, "b").close()
    first.close()
    claim(layout, "a").close()


def test_a_claim_waits_for_the_one_before(layout):
    first = claim(layout, "a")
    threading.Timer(0.2, first.close).start()
    claim(layout, "a", timeout_s=10).close()


def test_who_waited_while_the_owner_left_for_good_holds_a_lock_that_counts(layout):
    first = claim(layout, "a")
    got: list[ownership.Claim] = []
    thread = threading.Thread(target=lambda: got.append(claim(layout, "a", timeout_s=10)))
    thread.start()
    time.sleep(0.1)
    first.close(remove=True)
    thread.join(10)
    assert len(got) == 1
    with pytest.raises(LogError):
        claim(layout, "a")
    got[0].close(remove=True)
    assert list(layout.hot.iterdir()) == []


def test_a_claim_ends_with_its_process(layout):
    code = f"""
import os, pathlib
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.ownership import claim
claim(Layout(pathlib.Path({str(layout.root)!r})), "a")
print("held", flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LogError):
            claim(layout, "a")
        child.kill()
        child.wait()
        claim(layout, "a", timeout_s=5).close()


def test_what_is_recorded_of_an_owner_is_read_back(layout):
    held = claim(layout, "a")
    owner = here("a", os.getpid(), "127.0.0.1:1", "s")
    held.record(owner)
    (layout.hot / "torn.json").write_text("{")
    (layout.hot / "strange.json").write_text('{"x": 1}')
    assert owners(layout) == [owner]
    held.close(remove=True)
    assert owners(layout) == []


def test_a_living_process_is_not_gone_and_another_hosts_cannot_be_told():
    owner = here("a", os.getpid(), "127.0.0.1:1")
    assert is_gone(owner) is False
    assert is_gone(dataclasses.replace(owner, host="elsewhere")) is None
    assert is_gone(dataclasses.replace(owner, boot="before")) is True


def test_a_process_number_used_again_is_another_process():
    owner = here("a", os.getpid(), "127.0.0.1:1")
    assert is_gone(dataclasses.replace(owner, created=owner.created - 100)) is True
    assert is_gone(dataclasses.replace(owner, created=owner.created - 1)) is False


def test_a_dead_process_whose_address_still_answers_is_not_gone():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = here("a", child.pid, "")
    child.kill()
    time.sleep(0.1)
    assert is_gone(owner) is True  # a zombie that nobody has reaped
    child.communicate()
    assert is_gone(owner) is True
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert is_gone(dataclasses.replace(owner, address=address)) is False
    assert is_gone(dataclasses.replace(owner, address=address)) is True


def abandoned(layout: Layout) -> list[str]:
    """A log whose process ended with two runs open, one finished, over two segments."""
    held = claim(layout, "a")
    held.record(Owner("a", "h", "b", 1, 0.0, ""))
    writer = LogWriter(layout.root, "a", disk=FastDisk())
    runs = [new_run(i % 2, i) for i in range(3)]
    for i, run in enumerate(runs):
        Emitter(run, i + 1).send(writer, meta(), *lines(i))
    Emitter(runs[0], 9).send(writer, status("finished"))
    Emitter(runs[1], 9, attempt=2).send(writer, status("starting"), status("running", runner="r"))
    writer.rotate()
    Emitter(runs[2], 3).send(writer, *lines("again"))
    writer._segment.close()
    held.close()
    return runs


def test_adopting_ends_open_runs_as_lost_and_leaves_only_parquet(layout):
    runs = abandoned(layout)
    assert set(adopt(layout, "a")) == set(runs[1:])
    assert list(layout.hot.iterdir()) == []
    log = EventLog(layout.root)
    assert log.runs().collect()["status"].to_list() == ["finished", "lost", "lost"]
    assert log.run(runs[1])["attempt"] == 2
    assert "cluster ended" in log.run(runs[1])["reason"]
    check_whole(log.events().collect())


def test_a_log_whose_writer_lives_is_not_adopted(layout):
    abandoned(layout)
    held = claim(layout, "a")
    with pytest.raises(LogError):
        adopt(layout, "a")
    held.close()


def test_adoption_may_stop_anywhere_and_be_repeated(tmp_path):
    runs = abandoned(Layout(tmp_path / "model"))
    for k in range(200):
        layout = Layout(tmp_path / str(k))
        shutil.copytree(tmp_path / "model", layout.root)
        try:
            adopt(layout, "a", disk=BadDisk(k))
            done = True
        except Stop:
            done = False
        if not done:
            assert owners(layout)
            adopt(layout, "a")
        assert list(layout.hot.iterdir()) == []
        log = EventLog(layout.root)
        assert log.runs().collect()["status"].to_list() == ["finished", "lost", "lost"], k
        frame = log.events().collect()
        check_whole(frame)
        assert len(frame) == 2 + 1 + 2 + 2 + 1 + 3, k
        assert set(runs) == set(frame["run_id"])
        if done:
            assert k > 20
            return
    raise AssertionError("adoption has no end")
