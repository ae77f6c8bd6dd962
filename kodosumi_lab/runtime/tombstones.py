"""Runs that were deleted: one line each in ``<log>/tombstones.ndjson``, which is only appended to.

Readers leave such runs out from then on; the next compaction of their day, which has to be
closed, drops their rows and the large payloads that no other run names. The line stays, so
that nothing that turns up later (a hot segment of a cluster that was gone) brings them back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time

from kodosumi_lab.runtime.layout import Layout

__all__ = ["Tombstones"]


class Tombstones:
    """The deleted runs of a log; looking again costs only what was added.

    Parameters
    ----------
    layout
        Of the log.
    """

    def __init__(self, layout: Layout) -> None:
        self._path = layout.tombstones
        self._read_to = 0
        self._ids: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def ids(self) -> frozenset[str]:
        """Ids of all runs deleted so far."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return frozenset()
        with self._lock:
            if size != self._read_to:
                with self._path.open("rb") as file:
                    file.seek(self._read_to)
                    added = file.read()
                whole = added[: added.rfind(b"\n") + 1]
                self._ids |= set(filter(None, map(_run_id, whole.splitlines())))
                self._read_to += len(whole)
            return self._ids

    def add(self, run_id: str, by: str) -> None:
        """Delete a run, durably.

        Raises
        ------
        OSError
            The log cannot be written; nothing was deleted.
        """
        line = json.dumps({"run_id": run_id, "by": by, "ts": time.time()}).encode() + b"\n"
        made = not self._path.exists()
        fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # somebody's line was torn by a crash
                line = b"\n" + line
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        if made:
            fd = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _run_id(line: bytes) -> str | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(line)["run_id"])
    return None
