"""``tracer.fs()`` and ``tracer.fs_sync()``: a run's files as its flow sees them, on whatever node it runs.

The verbs and their answers are those of kodosumi, so its services run unchanged.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from kodosumi_lab.events import dumps
from kodosumi_lab.runtime.desk import Desk, RemoteDesk, download, gather
from kodosumi_lab.runtime.filenames import ROOTS, split_path
from kodosumi_lab.runtime.files import FileInfo

__all__ = ["AsyncFileStream", "AsyncFileSystem", "FileStream", "FileSystem", "drop_downloads"]

_downloads: dict[str, list[str]] = {}
_downloads_lock = threading.Lock()


def drop_downloads(run_id: str | None = None) -> None:
    """Remove what this process has downloaded for a run, or for any; called at the end of each."""
    with _downloads_lock:
        runs = [run_id] if run_id is not None else list(_downloads)
        folders = [folder for run in runs for folder in _downloads.pop(run, [])]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


atexit.register(drop_downloads)


# -- what a flow holds ------------------------------------------------------------------


class FileSystem:
    """A run's files, for synchronous flows and Ray tasks; ``tracer.fs_sync()`` makes it.

    Paths are as in ``in/report.csv`` and ``out/figures/a.png``: ``in/`` is what the person gave,
    ``out/`` what the flow delivers. A context manager; closing it twice is fine.

    Parameters
    ----------
    run_id
        The run.
    desk
        Called once, at the first verb.
    say
        Called with the payload of an ``upload`` event for each delivery.
    """

    def __init__(self, run_id: str, desk: Callable[[], Desk | RemoteDesk], say: Callable[[str], None]) -> None:
        self.run_id = run_id
        self._make = desk
        self._say = say
        self._made: Desk | RemoteDesk | None = None
        self._closed = False

    @property
    def _desk(self) -> Desk | RemoteDesk:
        if self._closed:
            raise RuntimeError(f"the files of run {self.run_id} were closed here; call tracer.fs() again")
        if self._made is None:
            self._made = self._make()
        return self._made

    def ls(self, path: str = "") -> list[FileInfo]:
        """Files at or below a path, sorted: ``path, size`` (bytes), ``last_modified`` (seconds since 1970).

        Raises
        ------
        FileNotFoundError
            There is no such file or folder; the roots themselves are always there.
        ValueError
            The path starts with neither ``in`` nor ``out``, or leads out of them.
        """
        return self._desk.ls(self.run_id, path)

    def open(self, path: str) -> FileStream:
        """A file for reading. Nothing is looked up before its first verb."""
        split_path(path)
        return FileStream(self, path)

    def download(self, path: str) -> Iterator[str]:
        """Copy a file, or all files of a folder, to a temporary folder of this machine; each one's place.

        The copies are the flow's own, to change as it likes; they are removed when the run ends.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        """
        desk = self._desk
        folder = tempfile.mkdtemp(prefix="kodosumi-")
        with _downloads_lock:
            _downloads.setdefault(self.run_id, []).append(folder)
        for place in download(desk, self.run_id, path, Path(folder)):
            yield str(place)

    def upload(self, path: str | Path) -> str | None:
        """Deliver a local file, or everything in a local folder, to ``out/``; an ``upload`` event names the files.

        Returns
        -------
        str or None
            Id of the delivery; None when the folder is empty.

        Raises
        ------
        FileNotFoundError
            There is no such local file or folder.
        FileNameError, FileTooLarge
            A file is refused; none was delivered.
        """
        desk, sources = self._desk, gather(path)
        if not sources:
            return None
        batch_id, infos = desk.put(self.run_id, ROOTS[1], sources)
        self._say(dumps({"files": infos}))
        return batch_id

    def remove(self, path: str) -> bool:
        """Remove a file, or a folder with everything in it; always True.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        """
        self._desk.remove(self.run_id, path)
        return True

    def close(self) -> None:
        """Be done with it. Downloads stay until the run ends."""
        self._closed = True

    def __enter__(self) -> FileSystem:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class FileStream:
    """A file of a run, for reading; a context manager that is entered once."""

    def __init__(self, fs: FileSystem, path: str) -> None:
        self.path = path
        self._fs = fs
        self._entered = False
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError(f"the stream is closed; open the file again: {self.path!r}")

    def read(self) -> Iterator[bytes]:
        """The content, in chunks."""
        self._check()
        return self._fs._desk.chunks(self._fs.run_id, self.path)

    def read_all(self) -> bytes:
        """The whole content."""
        return b"".join(self.read())

    def remove(self) -> bool:
        """Remove the file; always True."""
        self._check()
        return self._fs.remove(self.path)

    def close(self) -> None:
        """Be done with it."""
        self._closed = True

    def enter(self) -> None:
        """Begin a ``with`` block."""
        if self._entered:
            raise RuntimeError(f"the stream is in use or was used by a with block; open the file again: {self.path!r}")
        self._check()
        self._entered = True

    def __enter__(self) -> FileStream:
        self.enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


# -- the asynchronous twins -------------------------------------------------------------


class _Done:
    """Answer of a verb that has taken effect at the call; may be awaited, and need not be."""

    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]


class AsyncFileSystem:
    """:class:`FileSystem` that leaves the event loop free; ``tracer.fs()`` makes it.

    ``await tracer.fs()``, ``async with tracer.fs() as fs`` and ``async with await tracer.fs()
    as fs`` are the same.
    """

    def __init__(self, inner: FileSystem) -> None:
        self.run_id = inner.run_id
        self._inner = inner

    def __await__(self) -> Generator[Any, None, AsyncFileSystem]:
        return self._itself().__await__()

    async def _itself(self) -> AsyncFileSystem:
        return self

    async def ls(self, path: str = "") -> list[FileInfo]:
        """See :meth:`FileSystem.ls`."""
        return await asyncio.to_thread(self._inner.ls, path)

    def open(self, path: str) -> AsyncFileStream:
        """See :meth:`FileSystem.open`; not awaited."""
        return AsyncFileStream(self._inner.open(path))

    async def download(self, path: str) -> AsyncIterator[str]:
        """See :meth:`FileSystem.download`; ``async for``."""
        async for place in _each(self._inner.download(path)):
            yield place

    async def upload(self, path: str | Path) -> str | None:
        """See :meth:`FileSystem.upload`."""
        return await asyncio.to_thread(self._inner.upload, path)

    async def remove(self, path: str) -> bool:
        """See :meth:`FileSystem.remove`."""
        return await asyncio.to_thread(self._inner.remove, path)

    def close(self) -> _Done:
        """See :meth:`FileSystem.close`."""
        self._inner.close()
        return _Done()

    async def __aenter__(self) -> AsyncFileSystem:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._inner.close()


class AsyncFileStream:
    """:class:`FileStream` that leaves the event loop free."""

    def __init__(self, inner: FileStream) -> None:
        self.path = inner.path
        self._inner = inner

    async def read(self) -> AsyncIterator[bytes]:
        """See :meth:`FileStream.read`; ``async for``."""
        pieces = await asyncio.to_thread(self._inner.read)
        async for data in _each(pieces):
            yield data

    async def read_all(self) -> bytes:
        """See :meth:`FileStream.read_all`."""
        return await asyncio.to_thread(self._inner.read_all)

    async def remove(self) -> bool:
        """See :meth:`FileStream.remove`."""
        return await asyncio.to_thread(self._inner.remove)

    def close(self) -> _Done:
        """See :meth:`FileStream.close`."""
        self._inner.close()
        return _Done()

    async def __aenter__(self) -> AsyncFileStream:
        self._inner.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._inner.close()


async def _each(values: Iterator[Any]) -> AsyncIterator[Any]:
    """Values of a blocking iterator, each one waited for in a thread."""
    end = object()
    while (value := await asyncio.to_thread(next, values, end)) is not end:
        yield value
