"""The short way of a batch to the Spooler on the same host: a local socket beside Ray's calls.

A Ray call costs an emitter several trips through the interpreter lock and, above 100 kB, an
object in the object store; a socket costs one write and one read. The protocol is the same
either way: one batch, one answer, and a batch without an answer is sent again (by Ray's way,
which also waits for a Spooler that is being restarted).

A socket takes some 200 kB at a time, and after each piece the emitter waits for the interpreter
lock again, 5 ms where flow code computes. So a large batch goes into memory that both sides
hold (one write, one read), and the socket only says that it is there.

Sockets are Linux's abstract ones: they leave no file behind and have no limit in the length
of a directory. Both sides prove that they know the key, which only Ray's actors hand out
(HMAC challenge of :mod:`multiprocessing.connection`). Where there is no such socket (another
host, another system) connecting fails, and Ray's way is used.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError, reduction
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from typing import TYPE_CHECKING, Any

from kodosumi_lab.runtime.stream import Answer

if TYPE_CHECKING:
    from kodosumi_lab.runtime.log import Ack

__all__ = ["Link", "LinkServer"]

logger = logging.getLogger(__name__)

# run id (36 characters), attempt, producer, first, bytes of the batch in shared memory; if 0, the batch follows
_HEAD = struct.Struct("<36shQqI")
# A Spooler that computes may take a while; one that does not take connections any more must not hang its emitters.
_HANDSHAKE_S = 10
# What fits into a socket's buffer at once.
_LARGE = 64 * 2**10
# A batch is 8 MiB and one event of 1 MiB at most; what is longer is no batch.
_MOST_BYTES = 64 * 2**20

#: What goes wrong with a connection: it broke, the other side is gone, or it is somebody else.
BROKEN = (OSError, EOFError, AuthenticationError)


class LinkServer:
    """The Spooler's end.

    Parameters
    ----------
    submit
        Takes run, attempt, producer, first, batch, and a call that sends the answer back; it
        may be called from any thread, once.

    Attributes
    ----------
    place
        Address and key for :class:`Link`; None where there are no abstract sockets.
    """

    def __init__(self, submit: Callable[[str, int, int, int, bytes, Callable[[Ack], None]], None]) -> None:
        self._submit = submit
        self.place: tuple[str, bytes] | None = None
        self._listener: Listener | None = None
        if sys.platform == "linux":
            address, key = f"\0kodosumi-lab-{secrets.token_hex(12)}", secrets.token_bytes(32)
            self._listener = Listener(address, family="AF_UNIX", backlog=128)
            self.place = (address, key)
            threading.Thread(target=self._accept, name="link", daemon=True).start()

    def _accept(self) -> None:
        assert self._listener is not None
        while self.place is not None:
            try:
                connection = self._listener.accept()
            except BROKEN as error:
                if self.place is not None:
                    logger.warning("an emitter could not connect: %s", error)
                    time.sleep(0.1)  # out of descriptors, most likely: not a reason to spin
                continue
            try:
                if _same_user(connection):
                    threading.Thread(target=self._serve, args=(connection,), name="link", daemon=True).start()
                    continue
            except (OSError, RuntimeError) as error:  # no further thread: emitters take Ray's way
                logger.warning("an emitter could not connect: %s", error)
            connection.close()

    def _serve(self, connection: Connection) -> None:
        guard, gone = threading.Lock(), False

        def reply(ack: Ack) -> None:
            # a closed connection's descriptor may be another file's by now
            with guard, contextlib.suppress(*BROKEN):
                if not gone:
                    connection.send_bytes(json.dumps([ack.refused, ack.expected]).encode())

        try:
            with contextlib.suppress(*BROKEN, struct.error, ValueError):
                self._receive(connection, reply)
        finally:
            with guard:
                gone = True
                connection.close()

    def _receive(self, connection: Connection, reply: Callable[[Ack], None]) -> None:
        place = self.place
        if place is None:
            return
        with _patience(connection):
            deliver_challenge(connection, place[1])
            answer_challenge(connection, place[1])
            memory = reduction.recv_handle(connection)
        try:
            while True:
                request = connection.recv_bytes(_MOST_BYTES)
                run_id, attempt, producer, first, size = _HEAD.unpack_from(request)
                if size > _MOST_BYTES:
                    return
                data = os.pread(memory, size, 0) if size else request[_HEAD.size :]
                self._submit(run_id.decode("ascii", "replace"), attempt, producer, first, data, reply)
        finally:
            os.close(memory)

    def close(self) -> None:
        """Take no further emitters; those connected find out when this process ends."""
        self.place = None
        if self._listener is not None:
            self._listener.close()


def _same_user(connection: Connection) -> bool:
    """Whether a process of this user, or of root, is at the other end: others do not even get to the challenge."""
    with socket.socket(fileno=os.dup(connection.fileno())) as held:
        _, uid, _ = struct.unpack("3i", held.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return uid in (0, os.getuid())


@contextlib.contextmanager
def _patience(connection: Connection) -> Iterator[None]:
    """While in the block, the other side has to answer in time; late is an ``OSError``."""
    with socket.socket(fileno=os.dup(connection.fileno())) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _HANDSHAKE_S, 0))
        yield
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))


class Link:
    """An emitter's end; one batch at a time.

    Raises
    ------
    OSError, EOFError, multiprocessing.AuthenticationError
        Nobody is there, or somebody else.
    """

    def __init__(self, address: str, key: bytes) -> None:
        self._connection: Any = Client(address, family="AF_UNIX")
        with _patience(self._connection):
            answer_challenge(self._connection, key)
            deliver_challenge(self._connection, key)
        self._memory = os.memfd_create("kodosumi-lab-batch")
        weakref.finalize(self, os.close, self._memory)
        reduction.send_handle(self._connection, self._memory, None)

    def append(self, run_id: str, attempt: int, producer: int, first: int, data: bytes) -> Answer:
        """Commit a batch; see :meth:`kodosumi_lab.runtime.stream.Sender.append`."""
        size = len(data) if len(data) > _LARGE else 0
        if size and os.pwrite(self._memory, data, 0) != size:
            raise OSError("the shared memory does not take a batch")
        request = _HEAD.pack(run_id.encode(), attempt, producer, first, size)
        self._connection.send_bytes(request if size else request + data)
        refused, expected = json.loads(self._connection.recv_bytes())
        return refused, expected
