"""Where a run's files are reached: beside the log, or through a call to a process that is there.

:class:`Desk` does the work on the machine that holds the log. A process there uses one
directly; any other one uses a :class:`RemoteDesk`, which asks the Spooler's through a call
that is passed in, so nothing here knows Ray. :func:`desk_at` chooses.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import FileNameError
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.filenames import clean_name, split_path
from kodosumi_lab.runtime.files import CHUNK_BYTES, FileInfo, Limits, RunFiles
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.uploads import Uploads

__all__ = ["Desk", "RemoteDesk", "desk_at", "download", "gather"]

#: What other processes may ask of a desk, by name.
_VERBS = frozenset(
    {"here", "ls", "read", "remove", "clear", "inherit", "init_batch", "init", "chunk", "complete", "discard"}
)


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
