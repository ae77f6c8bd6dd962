"""The short way to the Spooler: real sockets, real shared memory, another process where it matters."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import time
import warnings
from multiprocessing import AuthenticationError

import pytest

from kodosumi_lab.runtime import home
from kodosumi_lab.runtime.link import BROKEN, Link, LinkServer
from kodosumi_lab.runtime.log import Ack
from kodosumi_lab.runtime.sender import SpoolerSender

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")

RUN = "01a20928-758b-744e-8fc0-c2168ac66057"


@pytest.fixture
def served():
    got = []

    def submit(*batch):
        got.append(batch[:-1])
        batch[-1](Ack(refused=None if batch[3] < 100 else "no", expected=batch[3]))

    server = LinkServer(submit)
    yield server, got
    server.close()


@pytest.mark.parametrize("size", [0, 1, 64 * 2**10, 64 * 2**10 + 1, 9 * 2**20])
def test_a_batch_arrives_as_it_was_sent(served, size):
    server, got = served
    data = os.urandom(size)
    link = Link(*server.place)
    assert link.append(RUN, 3, 2**64 - 1, 7, data) == (None, 7)
    assert link.append(RUN, 3, 5, 100, b"x") == ("no", 100)
    assert [(*batch[:4], bytes(batch[4])) for batch in got] == [(RUN, 3, 2**64 - 1, 7, data), (RUN, 3, 5, 100, b"x")]


def test_many_emitters_at_once_get_their_own_answers(served):
    server, got = served

    def emit(n: int) -> None:
        link = Link(*server.place)
        for i in range(50):
            assert link.append(RUN, 1, n, i, bytes([n]) * (i * 5000)) == (None, i)

    threads = [threading.Thread(target=emit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 400
    assert all(bytes(data) == bytes([producer]) * (first * 5000) for _, _, producer, first, data in got)


def test_a_stranger_without_the_key_is_turned_away(served):
    server, got = served
    with pytest.raises(AuthenticationError):
        Link(server.place[0], b"another key")
    Link(*server.place).append(RUN, 1, 1, 0, b"y")
    assert len(got) == 1


def test_a_server_that_is_gone_is_noticed(served):
    server, _ = served
    with pytest.raises(BROKEN):
        Link("\0kodosumi-lab-nobody", server.place[1])


def _serve(sender):
    server = LinkServer(lambda *batch: os._exit(9))
    sender.send(server.place)
    time.sleep(60)


def test_a_server_killed_before_it_answers_breaks_the_call():
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_serve, args=(sender,), daemon=True)
    process.start()
    link = Link(*receiver.recv())
    with pytest.raises(BROKEN):
        link.append(RUN, 1, 1, 0, b"x" * 200_000)
    process.join(10)
    assert process.exitcode == 9


def test_a_forked_child_has_a_way_of_its_own(served):
    """The lock of the sender is held when the process is forked, as by a thread in the middle of a batch."""
    server, got = served
    sender = SpoolerSender(None, {"log_dir": "x", "namespace": "x"})
    sender._place, sender._look, sender._link = server.place, False, Link(*server.place)
    try:
        with sender._one, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # forking beside threads: what this is about
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    os._exit(0 if sender.append(RUN, 1, 8, 0, b"from the child") == (None, 0) else 1)
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        home.set_home(None)
    assert sender.append(RUN, 1, 9, 0, b"from the parent") == (None, 0)
    assert [bytes(batch[4]) for batch in got] == [b"from the child", b"from the parent"]
