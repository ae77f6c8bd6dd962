"""Who uses a background cluster that ends with the last of its users.

Each holds a shared lock on ``users`` beside ``cluster.json``, which the system takes back however
its process ends. The file has the cluster's process id where its users are to end it, and is empty
where that is left to a person.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from kodosumi_lab.runtime import background

__all__ = ["Share", "share"]


class Share:
    """The part that one process has in the background cluster, also before there is one; see :func:`share`."""

    def __init__(self) -> None:
        self._path = background.state_file().with_name("users")
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._pid = ""

    def join(self, found: dict[str, Any], *, keep: bool = False) -> None:
        """Use the cluster that ``background.up`` found or started; `keep` leaves it running."""
        self._pid = str(found["pid"])
        if keep:
            self.leave_to_a_person()
        elif found["started"]:
            self._path.write_text(self._pid)

    @property
    def ends(self) -> bool:
        """Whether the cluster ends with the last of its users."""
        return self._pid != "" and self._path.read_text() == self._pid

    def is_last(self) -> bool:
        """Give the part back; whether there is no other. Whoever comes then waits until this one is closed."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def leave_to_a_person(self) -> None:
        """No user is to end it any more."""
        self._path.write_text("")

    def close(self) -> None:
        """Use it no more."""
        os.close(self._file)


@contextlib.contextmanager
def share() -> Iterator[Share]:
    """A part in the background cluster, until the end of the block."""
    held = Share()
    try:
        yield held
    finally:
        held.close()
