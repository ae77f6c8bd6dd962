"""``run.files``: a run's files as a person holds them, and what ``launch(files=…)`` takes along."""

from __future__ import annotations

import datetime
import io
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

from kodosumi_lab.errors import ClusterError, FileNameError
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime import cluster, home, wire
from kodosumi_lab.runtime.desk import Desk, RemoteDesk, desk_at, download, gather
from kodosumi_lab.runtime.filenames import clean_name
from kodosumi_lab.runtime.files import FileInfo, Limits

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FileList", "desk_of", "sources_of", "tell"]


def _held(log_dir: str) -> cluster.Connection | None:
    """This process's connection to a log's cluster, where it has one."""
    if "ray" not in sys.modules or not cluster._on_ray():
        return None
    here = home.get()
    held = cluster.current()
    if held is None and here is not None and cluster._is_worker():
        held = cluster.connection()
    return held if held is not None and held.home.log_dir == log_dir else None


def desk_of(log_dir: str) -> Desk | RemoteDesk:
    """The way to the files of a log from this process, with Ray or without.

    Raises
    ------
    ClusterError
        The log is on another machine, and this process is not on its cluster.
    """
    held = _held(log_dir)
    if held is not None:
        from kodosumi_lab.runtime.sender import SpoolerSender

        return desk_at(log_dir, SpoolerSender(held.spooler, held.home.to_dict()).files)
    if not Path(log_dir).is_dir():
        raise ClusterError(
            f"the files of log {log_dir} are on another machine, or nowhere; connect to the cluster that writes it"
        )
    from kodosumi_lab import settings

    return Desk(log_dir, Limits.of(settings.load()))


def sources_of(files: Any) -> dict[str, Path]:
    """Names below ``in/`` and local places of what a person gives along.

    Parameters
    ----------
    files
        A path, several, or a mapping of names to paths. A file is kept under its own name and
        a folder with everything in it under the folder's, or under the names that the mapping says.

    Raises
    ------
    FileNotFoundError
        There is no such local file or folder.
    FileNameError
        It is none of these, a name cannot be kept, or two files would have the same.
    """
    if isinstance(files, str | Path):
        files = [files]
    if isinstance(files, Mapping):
        wanted = [(str(name), Path(path)) for name, path in files.items()]
    elif isinstance(files, Sequence) and all(isinstance(path, str | Path) for path in files):
        wanted = [(Path(path).resolve().name, Path(path)) for path in files]
    else:
        raise FileNameError(f"files is a {type(files).__name__}; expected a path, a list of paths, or names with paths")
    found: dict[str, Path] = {}
    for name, path in wanted:
        inside = gather(path)
        for below, place in {name: path}.items() if path.is_file() else inside.items():
            full = clean_name(name if path.is_file() else f"{name}/{below}")
            if full in found:
                raise FileNameError(f"two files would be in/{full}: {str(found[full])!r} and {str(place)!r}")
            found[full] = place
    return found


def tell(log_dir: str, run_id: str, infos: list[FileInfo]) -> None:
    """An ``upload`` event, where there is a Spooler and the run takes events; the files are there anyway."""
    held = _held(log_dir)
    if held is None:
        return
    import ray

    from kodosumi_lab.runtime.run import event_log

    attempt, producer = event_log(log_dir).run(run_id)["attempt"], secrets.randbits(64)
    row = (time.time_ns() // 1000, KIND_ID["upload"], None, dumps({"files": infos}))
    ray.get(held.spooler.append.remote(run_id, attempt, producer, 0, wire.encode([row])))


class FileList(Sequence[FileInfo]):
    """A run's files, as of each look at them: ``in/`` was given to it, ``out/`` is what it delivered.

    A sequence of ``{path, size, last_modified}``, shown as a table.
    """

    def __init__(self, run_id: str, log_dir: str) -> None:
        self._run_id = run_id
        self._log_dir = log_dir

    @property
    def _desk(self) -> Desk | RemoteDesk:
        return desk_of(self._log_dir)

    def ls(self, path: str = "") -> list[FileInfo]:
        """Files at or below a path, sorted.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        ValueError
            The path starts with neither ``in`` nor ``out``, or leads out of them.
        """
        return self._desk.ls(self._run_id, path)

    def __len__(self) -> int:
        return len(self.ls())

    def __iter__(self) -> Iterator[FileInfo]:
        return iter(self.ls())

    @overload
    def __getitem__(self, index: int) -> FileInfo: ...
    @overload
    def __getitem__(self, index: slice) -> list[FileInfo]: ...
    def __getitem__(self, index: int | slice) -> FileInfo | list[FileInfo]:
        return self.ls()[index]

    def __contains__(self, path: object) -> bool:
        return any(path in (info["path"], info) for info in self.ls())

    def frame(self) -> pl.DataFrame:
        """The files as a Polars frame: ``path``, ``size`` in bytes, ``last_modified`` in UTC."""
        import polars as pl

        rows = [
            {**info, "last_modified": datetime.datetime.fromtimestamp(info["last_modified"], datetime.UTC)}
            for info in self.ls()
        ]
        columns: Any = [("path", pl.String), ("size", pl.Int64), ("last_modified", pl.Datetime("us", "UTC"))]
        return pl.DataFrame(rows, schema=columns)

    def __repr__(self) -> str:
        return f"files of run {self._run_id}\n{self.frame()}"

    def _repr_html_(self) -> str:
        return str(self.frame()._repr_html_())

    # -- one file ---------------------------------------------------------------------

    def open(self, path: str) -> BinaryIO:
        """A file for reading, in binary, with ``seek``.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        desk = self._desk
        if isinstance(desk, Desk):
            return desk.run(self._run_id).open(path)
        copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed by whoever asked for it
        try:
            for data in desk.chunks(self._run_id, path):
                copy.write(data)
        except BaseException:
            copy.close()
            raise
        copy.seek(0)
        return copy

    def read_bytes(self, path: str) -> bytes:
        """A file's content; raises as :meth:`open`."""
        sink = io.BytesIO()
        for data in self._desk.chunks(self._run_id, path):
            sink.write(data)
        return sink.getvalue()

    # -- many -------------------------------------------------------------------------

    def download(self, to: str | Path, path: str = "") -> list[Path]:
        """Copy a file, or all files of a folder, below the local folder `to`; where they are then.

        Parameters
        ----------
        to
            Made if it is not there. Files of the same names are replaced.
        path
            Which; without one all of them, below ``in`` and ``out``.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        """
        return list(download(self._desk, self._run_id, path, Path(to)))

    def upload(self, files: Any, *, root: str = "in") -> list[FileInfo]:
        """Give files to the run, as ``launch(files=…)`` does; what it then has of them.

        Parameters
        ----------
        files
            A path, several, or a mapping of names to paths; folders with everything in them.
        root
            ``in``, or ``out``.

        Raises
        ------
        FileNotFoundError
            There is no such local file or folder.
        FileNameError, FileTooLarge
            A file is refused; the run has none of them.
        """
        sources = sources_of(files)
        if not sources:
            return []
        _, infos = self._desk.put(self._run_id, root, sources)
        self._tell(infos)
        return infos

    def _tell(self, infos: list[FileInfo]) -> None:
        tell(self._log_dir, self._run_id, infos)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with everything in it.

        Raises
        ------
        FileNotFoundError
            There is no such file or folder.
        """
        self._desk.remove(self._run_id, path)

    def clear(self) -> None:
        """Remove all files of the run; its events stay."""
        self._desk.clear(self._run_id)
