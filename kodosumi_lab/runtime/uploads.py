"""Uploads: files that come in chunks, in any order, over any time, and are resumed where they stopped.

A batch gathers uploads; an upload is one file, announced with its name and number of
chunks. Chunks are kept under ``<log>/state/uploads/<batch>/<upload>/`` until the batch is
complete, and only then do its files get their names below a run. Everything is on disk,
so a restarted process, or another one on this machine, goes on with the same ids.

``complete`` in order, repeatable from the start after any interruption: check that all
chunks are there and all names and sizes fit, join the chunks, write down what is about to
happen (``complete.json``), rename file by file, write down that it has happened. That
record stays until it expires, so that a repeated call gets the same answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import FileTooLarge, UploadError, UploadNotFound
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.filenames import ROOTS, clean_name
from kodosumi_lab.runtime.files import CHUNK_BYTES, FileInfo, Limits, RunFiles, remove_tree, stage
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.upload_value import UploadValue, parse_upload_value

__all__ = ["MAX_CHUNKS", "UploadStatus", "UploadValue", "Uploads", "parse_upload_value"]

#: Each chunk is a file until its upload is complete.
MAX_CHUNKS = 100_000

_BATCH = re.compile(r"[0-9a-f]{32}")
_UPLOAD = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_CHUNK = re.compile(r"\d{8}")
_RECORD = "complete.json"
_OWNER = "owner.json"
_SHOWN = 10
# Looking for what has expired costs a glance at every upload, so not each batch begins with it.
_SWEEP_S = 600.0


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How far an upload is.

    Attributes
    ----------
    upload_id, batch_id
        Which.
    filename, total_chunks
        As announced; the name as it will be kept.
    received
        Numbers of the chunks that are here, from 0, sorted; whoever resumes sends the others.
    nbytes
        Size of the chunks that are here.
    """

    upload_id: str
    batch_id: str
    filename: str
    total_chunks: int
    received: list[int]
    nbytes: int

    @property
    def missing(self) -> list[int]:
        """Numbers of the chunks that are not here."""
        return sorted(set(range(self.total_chunks)) - set(self.received))


@dataclass(frozen=True, slots=True)
class _Upload:
    """One file of a batch, as announced, in its folder."""

    upload_id: str
    folder: Path
    name: str
    total: int
    announced: int

    def sizes(self) -> dict[int, int]:
        """Sizes of the chunks that are here."""
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if _CHUNK.fullmatch(entry.name):
                    found[int(entry.name)] = entry.stat().st_size
        return found

    def chunk(self, number: int) -> Path:
        """Where a chunk lies."""
        return self.folder / f"{number:08d}"

    @property
    def content(self) -> Path:
        """Where the whole file lies once its chunks are joined; a single chunk is the file."""
        return self.chunk(0) if self.total == 1 else self.folder / "data"


@dataclass(slots=True)
class _Tally:
    """Sizes of a batch's chunks, so that a chunk is not counted by looking at all others."""

    sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    total: int = 0

    def set(self, upload_id: str, number: int, size: int) -> None:
        chunks = self.sizes.setdefault(upload_id, {})
        self.total += size - chunks.get(number, 0)
        chunks[number] = size


class Uploads:
    """All uploads below a log directory. May be used from several threads and processes.

    Parameters
    ----------
    log_dir
        The log directory.
    limits
        Of files and runs, and when an upload is dropped.
    disk
        File operations.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        log_dir: Path | str,
        *,
        limits: Limits | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits()
        self._log_dir = Path(log_dir)
        self._root = Layout(self._log_dir).uploads
        self._disk = disk or Disk()
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}
        self._swept = float("-inf")

    # -- announcing -------------------------------------------------------------------

    def init_batch(self, owner: str | None = None) -> str:
        """Begin a batch, of somebody where it matters whose it is; its id."""
        self.sweep()
        batch_id = secrets.token_hex(16)
        self._disk.mkdir(self._root / batch_id)
        if owner is not None:
            self._write_json(self._root / batch_id / _OWNER, {"owner": owner})
        return batch_id

    def owner_of(self, batch_id: str) -> str | None:
        """Who began a batch, where that was said.

        Raises
        ------
        UploadNotFound
            No such batch.
        """
        found = _read_json(self._batch(batch_id) / _OWNER)
        return str(found["owner"]) if found is not None else None

    def init(self, filename: str, total_chunks: int, batch_id: str | None = None) -> str:
        """Announce a file; its upload id.

        Parameters
        ----------
        filename
            Relative; slashes make folders. Of two uploads of one name in a batch the later counts.
        total_chunks
            How many chunks will come; 0 is an empty file.
        batch_id
            The batch; None begins one for this file, see :meth:`batch_of`.

        Raises
        ------
        FileNameError
            The name leads out of a run's files.
        UploadError
            The number of chunks cannot be, or the batch is complete.
        UploadNotFound
            No such batch.
        """
        name = clean_name(filename)
        if not isinstance(total_chunks, int) or isinstance(total_chunks, bool) or not 0 <= total_chunks <= MAX_CHUNKS:
            raise UploadError(f"total_chunks is {total_chunks!r}; expected a number from 0 to {MAX_CHUNKS:,}: {name!r}")
        batch_id = self.init_batch() if batch_id is None else batch_id
        self._open_batch(batch_id)
        suffix = secrets.token_hex(8)
        folder = self._root / batch_id / suffix
        self._disk.mkdir(folder)
        self._write_json(folder / "upload.json", {"filename": name, "total_chunks": total_chunks, "n": time.time_ns()})
        return f"{batch_id}-{suffix}"

    def is_complete(self, batch_id: str) -> bool:
        """Whether a batch went to a run already.

        Raises
        ------
        UploadNotFound
            No such batch.
        """
        return (self._batch(batch_id) / _RECORD).exists()

    @staticmethod
    def batch_of(upload_id: str) -> str:
        """Batch that an upload belongs to.

        Raises
        ------
        UploadNotFound
            `upload_id` is no upload's id.
        """
        match = _UPLOAD.fullmatch(upload_id) if isinstance(upload_id, str) else None
        if match is None:
            raise _unknown("upload", upload_id)
        return match[1]

    # -- chunks -----------------------------------------------------------------------

    def chunk(self, upload_id: str, number: int, data: bytes) -> int:
        """Keep a chunk durably; how many of this upload are here. Sending one again replaces it.

        Raises
        ------
        UploadError
            No such number, or the batch is complete.
        FileTooLarge
            The file, or the batch, would be over the limit; the chunk is not kept.
        UploadNotFound
            No such upload.
        """
        batch_id = self.batch_of(upload_id)
        self._open_batch(batch_id)
        upload = self._upload(upload_id)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < upload.total:
            raise UploadError(
                f"chunk {number!r} of {upload.name!r} cannot be; it was announced with {upload.total} chunks, from 0"
            )
        self._check_room(batch_id, upload, number, len(data))
        temporary = upload.folder / f"{number:08d}.{secrets.token_hex(4)}.tmp"
        try:
            self._disk.create(temporary, data)
            self._disk.rename(temporary, upload.chunk(number))
        except FileNotFoundError:  # cancelled or expired meanwhile
            raise _unknown("upload", upload_id) from None
        with self._lock:
            tally = self._tally(batch_id)
            tally.set(upload_id, number, len(data))
            return len(tally.sizes[upload_id])

    def _check_room(self, batch_id: str, upload: _Upload, number: int, size: int) -> None:
        with self._lock:
            tally = self._tally(batch_id)
            chunks = tally.sizes.get(upload.upload_id, {})
            before = chunks.get(number, 0)
            self.limits.check_file(upload.name, sum(chunks.values()) - before + size)
            if tally.total - before + size > self.limits.run_bytes:
                raise FileTooLarge(
                    f"the files of a run may have {self.limits.run_bytes:,} bytes together (setting run_files_bytes), "
                    f"batch {batch_id} would have {tally.total - before + size:,}"
                )

    def _tally(self, batch_id: str) -> _Tally:
        tally = self._tallies.get(batch_id)
        if tally is None:
            tally = self._tallies[batch_id] = _Tally()
            for upload in self._all(batch_id):
                for number, size in upload.sizes().items():
                    tally.set(upload.upload_id, number, size)
        return tally

    def status(self, upload_id: str) -> UploadStatus:
        """How far an upload is, for whoever resumes it.

        Raises
        ------
        UploadNotFound
            No such upload, or its batch is complete.
        """
        upload = self._upload(upload_id)
        sizes = upload.sizes()
        return UploadStatus(
            upload_id, self.batch_of(upload_id), upload.name, upload.total, sorted(sizes), sum(sizes.values())
        )

    # -- ending -----------------------------------------------------------------------

    def complete(self, run_id: str, batch_id: str, root: str) -> list[FileInfo]:
        """Give all files of a batch to a run; what it then has of them.

        Each file appears whole, by one rename. A call that was interrupted is repeated; one that
        succeeded answers the same again until the batch expires.

        Parameters
        ----------
        run_id
            The run.
        batch_id
            The batch.
        root
            ``in`` or ``out``.

        Raises
        ------
        UploadError
            Chunks are missing (the message and ``missing`` name them), or the batch went to another run.
        FileNameError, FileTooLarge
            The files do not fit to each other or to what the run has. Nothing has been moved.
        UploadNotFound
            No such batch.
        """
        if root not in ROOTS:
            raise ValueError(f"the files of a batch go to 'in' or 'out', not to {root!r}")
        run = RunFiles(self._log_dir, run_id, limits=self.limits, disk=self._disk)
        with self._held(batch_id) as folder:
            record = _read_json(folder / _RECORD)
            if record is None:
                record = self._prepare(run, batch_id, root)
            elif (record["run_id"], record["root"]) != (run_id, root):
                raise UploadError(f"batch {batch_id} went to {record['root']}/ of run {record['run_id']} already")
            if not record["done"]:
                staged = {name: folder / place for name, place in record["files"].items()}
                record |= {"done": True, "infos": run.publish(root, staged)}
                self._write_json(folder / _RECORD, record)
            self._sweep(folder)
        with self._lock:
            self._tallies.pop(batch_id, None)
        found: list[FileInfo] = record["infos"]
        return found

    def _prepare(self, run: RunFiles, batch_id: str, root: str) -> dict[str, Any]:
        """Check everything, make each file whole, write down what is about to happen."""
        uploads: dict[str, _Upload] = {}
        for upload in sorted(self._all(batch_id), key=lambda upload: upload.announced):
            uploads[upload.name] = upload
        sizes = {name: upload.sizes() for name, upload in uploads.items()}
        missing = {name: sorted(set(range(upload.total)) - set(sizes[name])) for name, upload in uploads.items()}
        missing = {name: numbers for name, numbers in missing.items() if numbers}
        if missing:
            raise UploadError(_lacking(batch_id, missing, uploads), missing)
        run.check_names(root, uploads)
        run.check_room(root, {name: sum(chunks.values()) for name, chunks in sizes.items()})
        for upload in uploads.values():
            if upload.total != 1:
                stage(self._disk, upload.content, _joined(upload), self.limits, upload.name)
            self._disk.sync_dir(upload.folder)
        files = {name: upload.content.relative_to(self._root / batch_id).as_posix() for name, upload in uploads.items()}
        record = {"run_id": run.run_id, "root": root, "files": files, "done": False}
        self._write_json(self._root / batch_id / _RECORD, record)
        return record

    def cancel(self, upload_id: str) -> None:
        """Drop an upload.

        Raises
        ------
        UploadNotFound
            No such upload.
        UploadError
            Its batch is complete.
        """
        batch_id = self.batch_of(upload_id)
        with self._held(batch_id):
            self._open_batch(batch_id)
            self._drop(self._upload(upload_id).folder)
        with self._lock:
            self._tallies.pop(batch_id, None)

    def discard(self, batch_id: str) -> None:
        """Drop a batch with all its uploads; one that is complete leaves its files where they are.

        Raises
        ------
        UploadNotFound
            No such batch.
        """
        with self._held(batch_id) as folder:
            self._drop(folder)
        with self._lock:
            self._tallies.pop(batch_id, None)

    def sweep(self) -> None:
        """:meth:`expire`, if that was not done lately."""
        if self._clock() - self._swept > min(_SWEEP_S, self.limits.expiry_s):
            self.expire()

    def expire(self) -> int:
        """Drop what has been left alone for too long, halves of files and removed files included; how many."""
        self._swept = self._clock()
        end = self._swept - self.limits.expiry_s
        dropped = 0
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            with contextlib.suppress(FileNotFoundError, UploadNotFound):
                if _last_change(path) >= end:
                    continue
                if _BATCH.fullmatch(path.name):
                    self.discard(path.name)
                else:
                    remove_tree(path, self._disk)
                dropped += 1
        with self._lock:  # other processes complete batches too
            self._tallies = {name: tally for name, tally in self._tallies.items() if (self._root / name).is_dir()}
        return dropped

    def _drop(self, folder: Path) -> None:
        gone = self._root / f"x-{secrets.token_hex(8)}"
        self._disk.rename(folder, gone)
        remove_tree(gone, self._disk)

    def _sweep(self, folder: Path) -> None:
        for path in folder.iterdir():
            if path.is_dir():
                remove_tree(path, self._disk)

    # -- what is on disk --------------------------------------------------------------

    def _batch(self, batch_id: str) -> Path:
        folder = self._root / batch_id if isinstance(batch_id, str) and _BATCH.fullmatch(batch_id) else None
        if folder is None or not folder.is_dir():
            raise _unknown("batch", batch_id)
        return folder

    def _open_batch(self, batch_id: str) -> None:
        if self.is_complete(batch_id):
            raise UploadError(f"batch {batch_id} is complete; begin another one")

    def _upload(self, upload_id: str) -> _Upload:
        batch_id = self.batch_of(upload_id)
        folder = self._root / batch_id / upload_id[len(batch_id) + 1 :]
        data = _read_json(folder / "upload.json")
        if data is None:
            raise _unknown("upload", upload_id)
        return _Upload(upload_id, folder, data["filename"], data["total_chunks"], data["n"])

    def _all(self, batch_id: str) -> Iterator[_Upload]:
        for path in self._batch(batch_id).iterdir():
            if path.is_dir():
                with contextlib.suppress(UploadNotFound):  # its announcement was interrupted
                    yield self._upload(f"{batch_id}-{path.name}")

    @contextlib.contextmanager
    def _held(self, batch_id: str) -> Iterator[Path]:
        """Keep other threads and processes from ending the batch at the same time."""
        folder = self._batch(batch_id)
        try:
            fd = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            raise _unknown("batch", batch_id) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._batch(batch_id)  # whoever held it before may have dropped it
            yield folder
        finally:
            os.close(fd)

    def _write_json(self, path: Path, data: dict[str, Any]) -> None:
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        self._disk.create(temporary, json.dumps(data).encode())
        self._disk.rename(temporary, path)
        self._disk.sync_dir(path.parent)


def _joined(upload: _Upload) -> Iterator[bytes]:
    for number in range(upload.total):
        with upload.chunk(number).open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                yield data


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _last_change(path: Path) -> float:
    times = [path.stat().st_mtime]
    if path.is_dir():
        times += [entry.stat().st_mtime for entry in os.scandir(path)]
    return max(times)


def _unknown(what: str, name: Any) -> UploadNotFound:
    return UploadNotFound(f"there is no {what} of that id; it was never begun, was cancelled, or has expired: {name!r}")


def _lacking(batch_id: str, missing: dict[str, list[int]], uploads: dict[str, _Upload]) -> str:
    lines = []
    for name, numbers in list(missing.items())[:_SHOWN]:
        shown = ", ".join(str(number) for number in numbers[:_SHOWN]) + (", …" if len(numbers) > _SHOWN else "")
        lines.append(f"  {name!r} lacks {len(numbers)} of {uploads[name].total} chunks: {shown}")
    if len(missing) > _SHOWN:
        lines.append(f"  and {len(missing) - _SHOWN} files more")
    return f"batch {batch_id} is not complete; send what is missing, or cancel it:\n" + "\n".join(lines)
