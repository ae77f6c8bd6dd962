"""``tracer.fs()`` and ``tracer.fs_sync()``: a run's files as its flow sees them, on whatever node it runs.

:class:`Desk` does the work on the machine that holds the log. A process there uses one
directly; any other one uses a :class:`RemoteDesk`, which asks the Spooler's through a call
that is passed in, so nothing here knows Ray. :func:`desk_at` chooses.

The verbs and their answers are those of kodosumi, so its services run unchanged.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from kodosumi_lab.errors import FileNameError
from kodosumi_lab.events import dumps
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.files import CHUNK_BYTES, ROOTS, FileInfo, Limits, RunFiles, clean_name, split_path
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.uploads import Uploads

__all__ = [
    "AsyncFileStream",
    "AsyncFileSystem",
    "Desk",
    "FileStream",
    "FileSystem",
    "RemoteDesk",
    "desk_at",
    "download",
    "drop_downloads",
    "gather",
]

#: What other processes may ask of a desk, by name.
_VERBS = frozenset(
    {"here", "ls", "read", "remove", "clear", "inherit", "init_batch", "init", "chunk", "complete", "discard"}
)


# -- where the files are ----------------------------------------------------------------


class Desk:
    """Files of all runs of a log, on the machine that holds it.

    Parameters
    ----------
    log_dir
        The log directory.
    limits
        What files may grow to.
    owner, direct
        What :meth:`here` answers: whose log it is, and whether others on this machine may go
        to the files themselves.
    """

    def __init__(
        self, log_dir: Path | str, limits: Limits | None = None, *, owner: str = "", direct: bool = True
    ) -> None:
        self.limits = limits or Limits()
        self.uploads = Uploads(log_dir, limits=self.limits)
        self._log_dir = Path(log_dir)
        self._owner = owner
        self._direct = direct

    def call(self, verb: str, args: tuple[Any, ...]) -> Any:
        """Do what another process asks for."""
        if verb not in _VERBS:
            raise ValueError(f"there is no file verb {verb!r}; there are: {', '.join(sorted(_VERBS))}")
        return getattr(self if hasattr(self, verb) else self.uploads, verb)(*args)

    def here(self) -> dict[str, Any]:
        """By what another process recognises that it is on the same machine, and the limits in force."""
        self.uploads.sweep()  # whoever opens files asks this
        return {"owner": self._owner, "direct": self._direct, "limits": asdict(self.limits)}

    def run(self, run_id: str) -> RunFiles:
        """Files of one run."""
        return RunFiles(self._log_dir, run_id, limits=self.limits)

    def ls(self, run_id: str, path: str = "") -> list[FileInfo]:
        """See :meth:`RunFiles.ls`."""
        return self.run(run_id).ls(path)

    def chunks(self, run_id: str, path: str) -> Iterator[bytes]:
        """See :meth:`RunFiles.chunks`."""
        return self.run(run_id).chunks(path)

    def read(self, run_id: str, path: str, offset: int, version: str | None = None) -> tuple[str, bytes]:
        """A piece of a file, and which version of the file it is of.

        Raises
        ------
        OSError
            It is not the `version` asked for any more: pieces of two files would be mixed.
        """
        with self.run(run_id).open(path) as file:
            found = os.fstat(file.fileno())
            now = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
            if version not in (None, now):
                raise OSError(errno.ESTALE, "was replaced while it was being read; read it again", path)
            file.seek(offset)
            return now, file.read(CHUNK_BYTES)

    def put(self, run_id: str, root: str, sources: Mapping[str, Path]) -> tuple[str, list[FileInfo]]:
        """Copy local files to a run: a batch id, and what the run then has of them."""
        files = self.run(run_id).put(root, {name: _pieces(path) for name, path in sources.items()})
        return secrets.token_hex(16), files

    def complete(self, run_id: str, batch_id: str, root: str) -> list[FileInfo]:
        """See :meth:`Uploads.complete`."""
        return self.uploads.complete(run_id, batch_id, root)

    def inherit(self, run_id: str, source_id: str) -> list[FileInfo]:
        """Copy what another run has in ``in/``."""
        source = self.run(source_id)
        names = [split_path(info["path"])[1] for info in source.ls("in")]
        return self.run(run_id).put("in", {name: source.chunks(f"in/{name}") for name in names}) if names else []

    def remove(self, run_id: str, path: str) -> None:
        """See :meth:`RunFiles.remove`."""
        self.run(run_id).remove(path)

    def clear(self, run_id: str) -> None:
        """See :meth:`RunFiles.clear`."""
        self.run(run_id).clear()


class RemoteDesk:
    """A :class:`Desk` on another machine; the same verbs.

    Parameters
    ----------
    call
        ``call(verb, *args)`` blocks until that desk has answered.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def ls(self, run_id: str, path: str = "") -> list[FileInfo]:
        """Files at or below a path."""
        found: list[FileInfo] = self._call("ls", run_id, path)
        return found

    def chunks(self, run_id: str, path: str) -> Iterator[bytes]:
        """A file's content, in pieces."""
        offset, version = 0, None
        while True:
            version, data = self._call("read", run_id, path, offset, version)
            if data:
                yield data
            if len(data) < CHUNK_BYTES:
                return
            offset += len(data)

    def put(self, run_id: str, root: str, sources: Mapping[str, Path]) -> tuple[str, list[FileInfo]]:
        """Send local files in chunks; the batch's id, and what the run then has of them."""
        batch_id = self._call("init_batch")
        try:
            for name, path in sources.items():
                total = -(-path.stat().st_size // CHUNK_BYTES)
                upload_id = self._call("init", name, total, batch_id)
                for number, data in enumerate(_pieces(path)):
                    self._call("chunk", upload_id, number, data)
            return batch_id, self.complete(run_id, batch_id, root)
        except BaseException:
            with contextlib.suppress(Exception):  # it expires by itself
                self._call("discard", batch_id)
            raise

    def complete(self, run_id: str, batch_id: str, root: str) -> list[FileInfo]:
        """Give a batch of uploads to a run."""
        found: list[FileInfo] = self._call("complete", run_id, batch_id, root)
        return found

    def inherit(self, run_id: str, source_id: str) -> list[FileInfo]:
        """Copy what another run has in ``in/``."""
        found: list[FileInfo] = self._call("inherit", run_id, source_id)
        return found

    def remove(self, run_id: str, path: str) -> None:
        """Remove a file or a folder."""
        self._call("remove", run_id, path)

    def clear(self, run_id: str) -> None:
        """Remove all files of a run."""
        self._call("clear", run_id)


def desk_at(log_dir: str | Path | None, call: Callable[..., Any]) -> Desk | RemoteDesk:
    """The desk for this process: its own where the log is on this machine, else the one behind `call`.

    That a directory of that name exists says nothing: each node has one where the log lies at its
    default place. It must hold the claim that the Spooler's own host and boot are in.
    """
    there = call("here")
    if log_dir is not None and there["direct"] and ownership.is_here(Layout(Path(log_dir)), there["owner"]):
        return Desk(log_dir, Limits(**there["limits"]))
    return RemoteDesk(call)


# -- local files ------------------------------------------------------------------------


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield data


def gather(path: str | Path) -> dict[str, Path]:
    """Names and places of a local file, or of all files in a local folder.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    FileNameError
        A name cannot be kept, a link leads out of the folder, or something is no file.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such local file or folder", str(path))
    if source.is_file():
        return {clean_name(source.name): source}
    inside, found = source.resolve(), {}
    for parent, folders, names in os.walk(source):
        for name in (*folders, *names):
            entry = Path(parent, name)
            if entry.is_symlink() and (entry.is_dir() or not entry.resolve().is_relative_to(inside)):
                raise FileNameError(f"a link out of the folder, or to a folder, is not followed: {str(entry)!r}")
        for name in names:
            entry = Path(parent, name)
            if not entry.is_file():
                raise FileNameError(f"neither a file nor a folder: {str(entry)!r}")
            found[clean_name(entry.relative_to(source).as_posix())] = entry
    return dict(sorted(found.items()))


def download(desk: Desk | RemoteDesk, run_id: str, path: str, folder: Path) -> Iterator[Path]:
    """Copy a file, or all files of a folder, below a local folder; each file's place once it is whole.

    Raises
    ------
    FileNotFoundError
        The run has no such file or folder.
    """
    infos = desk.ls(run_id, path)
    asked = "/".join(part for part in split_path(path) if part) if path.strip("/") else ""
    for info in infos:
        if info["path"] == asked:
            name = asked.rpartition("/")[2]
        else:
            name = info["path"].removeprefix(f"{asked}/") if asked else info["path"]
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with temporary.open("wb") as file:
                for data in desk.chunks(run_id, info["path"]):
                    file.write(data)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        yield target


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
