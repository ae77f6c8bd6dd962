"""Every file operation that the log's crash safety depends on, in one place.

The writer does nothing to files but through a :class:`Disk`, so that tests can stop the
process, cut the power or fill the disk at each single operation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Disk"]

# writev takes at most IOV_MAX buffers a call; 1024 is Linux's limit and the smallest in use.
_IOV_MAX = 1024


class Disk:
    """Plain POSIX files. Each method is one step that may be the last before a crash."""

    def create(self, path: Path, data: bytes | memoryview) -> None:
        """Write a whole new file and make its content durable (not its name, see :meth:`sync_dir`)."""
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            self.sync(fd)
        finally:
            os.close(fd)

    def open(self, path: Path, *, append: bool = True) -> int:
        """Descriptor for an existing file, for appending or for overwriting in place."""
        return os.open(path, os.O_RDWR | (os.O_APPEND if append else 0))

    def append(self, fd: int, parts: Sequence[bytes | memoryview]) -> None:
        """Append all parts, in order; an error may leave some of them written."""
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        while views:
            written = os.writev(fd, views[:_IOV_MAX])
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]

    def overwrite(self, fd: int, data: bytes) -> None:
        """Replace the first bytes of a file in place, in one write."""
        os.pwrite(fd, data, 0)

    def sync(self, fd: int) -> None:
        """Make the data of an open file durable."""
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)

    def sync_file(self, path: Path) -> None:
        """Make the data of a file durable."""
        fd = os.open(path, os.O_RDWR)
        try:
            self.sync(fd)
        finally:
            os.close(fd)

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, path: Path, length: int) -> None:
        """Cut a file, durably."""
        os.truncate(path, length)
        self.sync_file(path)

    def rename(self, source: Path, target: Path) -> None:
        """Publish a finished file under its name, replacing what is there."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def mkdir(self, path: Path) -> None:
        """Make a directory and its parents, names durable."""
        missing = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in missing:
            self.sync_dir(made.parent)
