"""Files of runs, at ``<log>/files/date=…/<run_id>/{in,out}/…``; knows neither Ray nor HTTP.

``in/`` holds what a person gives to a run, ``out/`` what its flow delivers. A file that is
not whole yet, or on its way out, lies under a random name in ``<log>/state/uploads`` and
enters or leaves by one rename: half a file is never visible. Files are replaced, never
changed in place, so whoever has one open reads it to its end.

Names stay below their root, see :mod:`kodosumi_lab.runtime.filenames`; links that somebody
puts there are neither listed nor followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypedDict

from kodosumi_lab.errors import FileNameError, FileTooLarge
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.filenames import ROOTS, clean_name, split_path
from kodosumi_lab.runtime.layout import Layout

if TYPE_CHECKING:
    from kodosumi_lab.settings import Settings

__all__ = ["CHUNK_BYTES", "FileInfo", "Limits", "RunFiles", "remove_tree", "stage"]

#: What is read, copied or sent in one piece: large enough for disks and networks, small enough for memory.
CHUNK_BYTES = 4 * 2**20


class FileInfo(TypedDict):
    """A file: `path` below the run (``in/a.txt``), `size` in bytes, `last_modified` in seconds since 1970."""

    path: str
    size: int
    last_modified: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run's files may grow to.

    Attributes
    ----------
    file_bytes, run_bytes
        Of one file, and of all files of a run together.
    expiry_s
        Seconds without a chunk after which an upload is dropped.
    """

    file_bytes: int = 4 * 2**30
    run_bytes: int = 16 * 2**30
    expiry_s: float = 86_400.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings say."""
        return cls(settings.file_bytes, settings.run_files_bytes, settings.upload_expiry_h * 3600)

    def check_file(self, path: str, size: int) -> None:
        """Refuse a file that is too large.

        Raises
        ------
        FileTooLarge
            It is over `file_bytes`.
        """
        if size > self.file_bytes:
            raise FileTooLarge(
                f"a file may have {self.file_bytes:,} bytes (setting file_bytes), this one has more: {path}"
            )


def stage(disk: Disk, target: Path, parts: Iterable[bytes], limits: Limits, path: str) -> int:
    """Write a whole new file durably, under a name that nobody looks at; its size.

    Raises
    ------
    FileTooLarge
        It is over the limit; nothing is left of it.
    """
    size = 0
    try:
        disk.create(target, b"")
        fd = disk.open(target)
        try:
            for part in parts:
                size += len(part)
                limits.check_file(path, size)
                disk.append(fd, [part])
            disk.sync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(target)
        raise
    return size


def remove_tree(path: Path, disk: Disk) -> None:
    """Remove a file or a folder that nobody looks at any more; what cannot be removed stays for the next sweep."""
    if not path.is_dir() or path.is_symlink():
        disk.unlink(path)
        return
    with contextlib.suppress(OSError):
        for folder, folders, names in os.walk(path, topdown=False):
            for name in (*names, *(name for name in folders if os.path.islink(Path(folder, name)))):
                disk.unlink(Path(folder, name))
            os.rmdir(folder)


class RunFiles:
    """Files of one run.

    Parameters
    ----------
    log_dir
        The log directory.
    run_id
        The run; whether the log holds it is the caller's business.
    limits
        What the files may grow to.
    disk
        File operations.

    Raises
    ------
    ValueError
        `run_id` is no run's id.
    """

    def __init__(
        self, log_dir: Path | str, run_id: str, *, limits: Limits | None = None, disk: Disk | None = None
    ) -> None:
        run_date(run_id)
        if str(uuid.UUID(run_id)) != run_id:
            raise ValueError(f"run id {run_id!r} is not written as ids are: {uuid.UUID(run_id)}")
        self.run_id = run_id
        self.limits = limits or Limits()
        self._layout = Layout(Path(log_dir))
        self._disk = disk or Disk()
        self._folder = self._layout.files(run_id)

    # -- looking ----------------------------------------------------------------------

    def ls(self, path: str = "") -> list[FileInfo]:
        """Files at or below `path` (a root, a folder or a file), sorted by path; of both roots without one.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder. The roots themselves are always there.
        FileNameError
            The path cannot be one.
        """
        if path in ("", "/"):
            return [info for root in ROOTS for info in self.ls(root)]
        here, _ = self._locate(path)
        kind = _kind(here)
        if kind == "file":
            return [self._info(here)]
        if kind is None and split_path(path)[1]:
            raise self._missing(path)
        return sorted(self._walk(here), key=lambda info: info["path"])

    def _walk(self, folder: Path) -> Iterator[FileInfo]:
        for parent, _, names in os.walk(folder):
            for name in names:
                file = Path(parent, name)
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if _kind(file) == "file":
                        yield self._info(file)

    def _info(self, file: Path) -> FileInfo:
        found = os.lstat(file)
        path = file.relative_to(self._folder).as_posix()
        return {"path": path, "size": found.st_size, "last_modified": found.st_mtime}

    def stat(self, path: str) -> FileInfo:
        """One file.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        IsADirectoryError
            It is a folder.
        """
        file = self.path(path)
        try:
            return self._info(file)
        except FileNotFoundError:
            raise self._missing(path) from None

    def path(self, path: str) -> Path:
        """Where a file lies on this machine, for reading; raises as :meth:`stat`."""
        here, _ = self._locate(path)
        kind = _kind(here)
        if kind == "folder":
            raise IsADirectoryError(errno.EISDIR, f"is a folder of run {self.run_id}, expected a file", path)
        if kind is None:
            raise self._missing(path)
        return here

    def open(self, path: str) -> BinaryIO:
        """A file for reading, in binary; raises as :meth:`stat`."""
        try:
            fd = os.open(self.path(path), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            raise self._missing(path) from None
        return os.fdopen(fd, "rb")

    def chunks(self, path: str, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """A file's content, in pieces of `size` bytes; raises as :meth:`stat`, at the first piece."""
        with self.open(path) as file:
            while data := file.read(size):
                yield data

    @property
    def nbytes(self) -> int:
        """Size of all its files."""
        return sum(info["size"] for info in self.ls())

    # -- changing ---------------------------------------------------------------------

    def write(self, path: str, data: bytes | Iterable[bytes]) -> FileInfo:
        """Keep a file, replacing the one of its name; durable and visible as a whole when this returns.

        Raises
        ------
        FileNameError, FileTooLarge
            It is refused; nothing has changed.
        """
        root, name = split_path(path)
        return self.put(root, {name: data})[0]

    def put(self, root: str, files: Mapping[str, bytes | Iterable[bytes]]) -> list[FileInfo]:
        """Keep several files: all are whole and durable before the first becomes visible; raises as :meth:`write`."""
        names = {clean_name(name): data for name, data in files.items()}
        self.check_names(root, names)
        folder = self._layout.uploads / f"w-{secrets.token_hex(8)}"
        self._disk.mkdir(folder)
        try:
            sizes: dict[str, int] = {}
            for i, (name, data) in enumerate(names.items()):
                parts = (data,) if isinstance(data, bytes) else data
                sizes[name] = stage(self._disk, folder / str(i), parts, self.limits, f"{root}/{name}")
            self.check_room(root, sizes)
            return self.publish(root, {name: folder / str(i) for i, name in enumerate(names)})
        finally:
            remove_tree(folder, self._disk)

    def check_names(self, root: str, names: Iterable[str]) -> None:
        """Refuse names that cannot all be there, with each other and with what is there already.

        Raises
        ------
        FileNameError
            One is a folder that another one needs as a file, or the reverse; or it leads over a link.
        """
        known = set(names)
        for name in known:
            here, parents = self._locate(f"{root}/{name}")
            for parent in parents:
                above = parent.relative_to(self._folder / root).as_posix() if parent != self._folder / root else ""
                if above in known or _kind(parent) == "file":
                    raise FileNameError(f"{root}/{above} is a file, so nothing can lie below it: {root}/{name}")
            if _kind(here) == "folder":
                raise FileNameError(f"a folder of that name is there already: {root}/{name}")

    def check_room(self, root: str, sizes: Mapping[str, int]) -> None:
        """Refuse files with which the run would have too many bytes.

        Raises
        ------
        FileTooLarge
            It would be over `run_bytes`. Two writers at the same moment may pass this together.
        """
        for name, size in sizes.items():
            self.limits.check_file(f"{root}/{name}", size)
        replaced = {f"{root}/{name}" for name in sizes}
        kept = sum(info["size"] for info in self.ls() if info["path"] not in replaced)
        total = kept + sum(sizes.values())
        if total > self.limits.run_bytes:
            raise FileTooLarge(
                f"the files of run {self.run_id} may have {self.limits.run_bytes:,} bytes together (setting "
                f"run_files_bytes), with {len(sizes)} more they would have {total:,}"
            )

    def publish(self, root: str, staged: Mapping[str, Path]) -> list[FileInfo]:
        """Give whole, durable files their names; one that is gone from where it was staged has its name already."""
        folders = set()
        for name, source in staged.items():
            target, _ = self._locate(f"{root}/{name}")
            if self._move(source, target):
                folders.add(target.parent)
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):  # removed again by the flow
                self._disk.sync_dir(folder)
        found = []
        for name in staged:
            with contextlib.suppress(FileNotFoundError):
                found.append(self.stat(f"{root}/{name}"))
        return found

    def _move(self, source: Path, target: Path) -> bool:
        while source.exists():
            try:
                self._disk.mkdir(target.parent)
                self._disk.rename(source, target)
            except FileNotFoundError:  # the folder was empty and has just been removed
                continue
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                path = target.relative_to(self._folder).as_posix()
                raise FileNameError(f"a file and a folder would have the same name: {path}") from None
            return True
        return False

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with everything in it; folders that are empty then go too.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        """
        here, parents = self._locate(path)
        kind = _kind(here)
        if kind is None:
            raise self._missing(path)
        try:
            if kind == "file":
                self._disk.unlink(here)
            else:
                self._discard(here)
        except FileNotFoundError:
            raise self._missing(path) from None
        for parent in reversed(parents):
            with contextlib.suppress(OSError):
                os.rmdir(parent)
                continue
            with contextlib.suppress(OSError):
                self._disk.sync_dir(parent)
            break

    def clear(self) -> None:
        """Remove all files of the run; none is fine."""
        if self._folder.is_dir() and not self._folder.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                self._discard(self._folder)
                self._disk.sync_dir(self._folder.parent)

    def _discard(self, folder: Path) -> None:
        gone = self._layout.uploads / f"x-{secrets.token_hex(8)}"
        self._disk.mkdir(gone.parent)
        self._disk.rename(folder, gone)
        remove_tree(gone, self._disk)

    # -- places -----------------------------------------------------------------------

    def _locate(self, path: str) -> tuple[Path, list[Path]]:
        """Where a path leads, and the folders on the way from its root."""
        root, name = split_path(path)
        way = [self._folder / root]
        for part in name.split("/") if name else ():
            way.append(way[-1] / part)
        for step in (self._folder, *way):
            if step.is_symlink():
                raise FileNameError(f"a link stands in the way, and links are not followed: {path!r}")
        return way[-1], way[:-1]

    def _missing(self, path: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, f"run {self.run_id} has no such file or folder", str(path))

    def __repr__(self) -> str:
        return f"<RunFiles of {self.run_id}>"


def _kind(path: Path) -> str | None:
    """``file`` or ``folder``; None for anything else, links included, and for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else None
