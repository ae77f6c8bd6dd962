"""Runs, batches and failing disks for the tests of the event log."""

from __future__ import annotations

import errno
import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.log import Ack, Batch, LogWriter, make_batch

T0 = 1_790_000_000_000_000  # microseconds


def new_run(day: int = 0, n: int = 0) -> str:
    """Run id that starts `day` days after 2026-01-10 and sorts by `n`."""
    ms = 1_768_003_200_000 + day * 86_400_000 + n
    raw = bytearray(ms.to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def row(kind: str, payload: Any = None, ts: int = T0) -> tuple[int, int, str | None, str]:
    """One event; `payload` is encoded."""
    return ts, KIND_ID[kind], None, dumps({} if payload is None else payload)


def meta(**more: Any) -> tuple[int, int, str | None, str]:
    """First event of a run."""
    return row("meta", {"flow": "f", **more})


def lines(*texts: object) -> list[tuple[int, int, str | None, str]]:
    """Console events."""
    return [row("stdout", str(text)) for text in texts]


def status(name: str, **more: Any) -> tuple[int, int, str | None, str]:
    """Status event."""
    return row("status", {"status": name, **more})


class Emitter:
    """A producer that numbers its events and resends until it is answered, as a stream does."""

    def __init__(self, run_id: str, producer: int = 7, attempt: int = 1) -> None:
        self.run_id, self.producer, self.attempt = run_id, producer, attempt
        self.first = 0

    def batch(self, *rows: Any) -> Batch:
        """Next batch; counts only once :meth:`acked` is called."""
        return make_batch(self.run_id, self.attempt, self.producer, self.first, rows)

    def send(self, writer: LogWriter, *rows: Any) -> Ack:
        """Commit alone."""
        ack = writer.commit([self.batch(*rows)])[0]
        if ack.expected is None:
            self.first += len(rows)
        return ack


class Stop(BaseException):
    """The process ends here."""


class FastDisk(Disk):
    """Waits for no platter: a test that ends no process and cuts no power learns nothing from a real fsync."""

    def sync(self, fd: int) -> None:
        pass

    def sync_dir(self, path: Path) -> None:
        pass


class BadDisk(FastDisk):
    """Counts the operations that change something, and stops or fails at one of them.

    Parameters
    ----------
    stop_at
        The operation, from 0; None never.
    after
        Whether the operation still takes effect.
    error
        Raise this ``errno`` and go on, rather than end the process.
    """

    def __init__(self, stop_at: int | None = None, *, after: bool = False, error: int | None = None) -> None:
        self.stop_at, self.after, self.error = stop_at, after, error
        self.count = 0
        self.dead = False
        self.inside = False
        self.trace: list[str] = []
        #: What a power cut leaves: durable content of files with unsynced changes.
        self.paths: dict[int, Path] = {}
        self.unsynced: dict[Path, int] = {}

    def _step(self, name: str, act: Any) -> Any:
        if self.inside:
            return act()
        if self.dead:
            raise Stop
        k, self.count = self.count, self.count + 1
        self.trace.append(name)
        hit = k == self.stop_at
        if hit and not self.after:
            self._end()
        self.inside = True
        try:
            result = act()
        finally:
            self.inside = False
        if hit:
            self._end()
        return result

    def _end(self) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self.dead = True
        raise Stop

    def create(self, path: Path, data: bytes | memoryview) -> None:
        self._step("create", lambda: Disk.create(self, path, data))

    def open(self, path: Path, *, append: bool = True) -> int:
        fd: int = self._step("open", lambda: Disk.open(self, path, append=append))
        self.paths[fd] = path
        return fd

    def append(self, fd: int, parts: Sequence[bytes | memoryview]) -> None:
        path = self.paths[fd]
        before = path.stat().st_size if path.exists() else 0
        try:
            self._step("append", lambda: Disk.append(self, fd, parts))
        finally:
            self.unsynced.setdefault(path, before)

    def overwrite(self, fd: int, data: bytes) -> None:
        self._step("overwrite", lambda: Disk.overwrite(self, fd, data))

    def sync(self, fd: int) -> None:
        self._step("sync", lambda: FastDisk.sync(self, fd))
        if not self.inside:
            self.unsynced.pop(self.paths.get(fd, Path()), None)

    def sync_dir(self, path: Path) -> None:
        self._step("sync_dir", lambda: FastDisk.sync_dir(self, path))

    def truncate(self, path: Path, length: int) -> None:
        self._step("truncate", lambda: Disk.truncate(self, path, length))
        self.unsynced.pop(path, None)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename", lambda: Disk.rename(self, source, target))

    def unlink(self, path: Path) -> None:
        self._step("unlink", lambda: Disk.unlink(self, path))

    def mkdir(self, path: Path) -> None:
        self._step("mkdir", lambda: Disk.mkdir(self, path))

    def cut_power(self, share: float) -> None:
        """Leave of everything that was not synced only this share."""
        for path, synced in self.unsynced.items():
            if path.exists():
                size = path.stat().st_size
                if size > synced:
                    os.truncate(path, synced + round((size - synced) * share))
        self.unsynced.clear()


ENOSPC = errno.ENOSPC


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def payloads(frame: pl.DataFrame) -> list[Any]:
    """Decoded payloads in order of run and seq."""
    return [json.loads(text) for text in frame.sort("run_id", "seq")["payload"]]


def check_whole(frame: pl.DataFrame) -> None:
    """Every run's seq counts from 0 without gap or repeat, every producer's too where nothing was refused."""
    for (run_id,), part in frame.group_by("run_id"):
        assert part["seq"].sort().to_list() == list(range(len(part))), run_id


def wall_us() -> int:
    """Now, in microseconds."""
    return time.time_ns() // 1000
