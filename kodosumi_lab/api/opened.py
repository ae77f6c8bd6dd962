"""Event logs that are files of the Jupyter server: a Parquet of events, read as a log of its own.

JupyterLab names the file (:func:`router`); what is answered below ``/opened/<key>`` is what the gateway's own routes
answer over its log, since a file is put into a log directory that has nothing else: links, and the run list, which is
folded from the events in bounded memory. So a view of a file costs what it shows, as any view does.

Only Parquet files below the server's folder are read, never hidden ones, and nothing that a file says is followed:
no service, no flow, no path in it.
"""

from __future__ import annotations

import base64
import binascii
import shutil
import tempfile
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from kodosumi_lab.api import reading, viewing
from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.guard import Admin
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.windows import Filter, Window, Windows
from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.events import arrow_schema, run_date
from kodosumi_lab.runtime.fold import fold_table, index_schema, index_table
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.query import EVENTS, EventLog
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.sealing import write_index
from kodosumi_lab.settings import Settings

__all__ = ["Files", "router"]

# Logs over files that are kept ready: a folder with a few links, and a run list, each.
_KEPT = 8
# A segment has 32 MiB, a compacted day's file 64: what is larger was made by somebody who can read it with Polars.
_MOST_BYTES = 4 * 2**30
# Runs of one file: their rows are held while they are folded.
_MOST_RUNS = 200_000
_BATCH = 50_000
_NAME = "opened.parquet"
_SHOWN = 12


class OpenedFile(BaseModel):
    """What a file is, before anything of it is shown."""

    name: str
    nbytes: int = Field(description="of the file")
    runs: int
    run_id: str | None = Field(description="the only run; null where there are several, or none")


class _Part(Run):
    """A run of which a file may hold a part only, without its beginning."""

    def _first(self, kind: str) -> Any:
        try:
            return super()._first(kind)
        except RunNotFound:
            return {}


class _Places(Windows):
    """Windows of runs that may begin late: the place of an event is counted, never taken to be its ``seq``."""

    def window(self, run_id: str, asked: Filter, last: int, offset: int, limit: int) -> Window:
        """As :meth:`Windows.window`."""
        return self.placed(run_id, asked, last, offset, limit)


class _FileGateway(Gateway):
    """What the routes read from, over one file; its folder goes when nobody reads from it any more."""

    def __init__(self, folder: str, settings: Settings) -> None:
        log = EventLog(folder)
        # there are no flows and no cluster, and no route that asks for them
        super().__init__(log, settings, None, None)  # type: ignore[arg-type]
        self.windows = _Places(log)
        self.close = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def run_of(self, row: dict[str, Any]) -> Run:
        """As :meth:`Gateway.run_of`."""
        return _Part(row["run_id"], log_dir=self.log.root)


class Files:
    """The Parquet files below a folder, opened as logs; may be used from several threads.

    Parameters
    ----------
    root
        What JupyterLab's file browser shows; None where its files are not in a folder.
    settings
        Of the gateway.
    """

    def __init__(self, root: Path | None, settings: Settings) -> None:
        self._root = root.resolve() if root is not None else None
        self._settings = settings
        self._kept: OrderedDict[tuple[Path, int, int], _FileGateway] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: str) -> Path:
        """The file that a key names: its path below the folder, in URL-safe base64.

        Raises
        ------
        Refused
            It is not there or may not be read, or it is no Parquet file.
        """
        try:
            relative = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise Refused(404, "file-not-found", f"{key[:80]!r} names no file") from None
        name = PurePosixPath(relative).name
        if not name.lower().endswith(".parquet"):
            raise Refused(422, "no-event-log", f"{name[:200]!r} is no Parquet file")
        if self._root is None:
            raise Refused(404, "file-not-found", "the files of this Jupyter server are not in a folder of its machine")
        path = self._inside(relative)
        if path is None:
            raise Refused(404, "file-not-found", f"there is no file {relative[:300]!r} in the Jupyter server's folder")
        return path

    def _inside(self, relative: str) -> Path | None:
        assert self._root is not None
        try:
            path = (self._root / relative.lstrip("/")).resolve()
            below = path.relative_to(self._root)
            if any(part.startswith(".") for part in below.parts) or not path.is_file():
                return None
        except (OSError, ValueError):  # it leads out of the folder, or its name has a null byte
            return None
        return path

    def open(self, key: str) -> Gateway:
        """The log of a file, made when it is asked for first and when the file is another one.

        Raises
        ------
        Refused
            As :meth:`find`; or it is no event log.
        """
        path = self.find(key)
        told = path.stat()
        known = (path, told.st_mtime_ns, told.st_size)
        with self._lock:
            if known not in self._kept:
                self._kept[known] = self._made(path, told.st_size)
            self._kept.move_to_end(known)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[known]

    def close(self) -> None:
        """Remove what was made for them: a server that ends by a signal runs no finalizers."""
        with self._lock:
            for held in self._kept.values():
                held.close()
            self._kept.clear()

    def _made(self, path: Path, nbytes: int) -> _FileGateway:
        if nbytes > _MOST_BYTES:
            detail = (
                f"{path.name} has {nbytes:,} bytes; up to {_MOST_BYTES:,} are shown here. Polars reads it in any size"
            )
            raise Refused(422, "too-large", detail)
        folder = tempfile.mkdtemp(prefix="kodosumi-opened-")
        try:
            self._linked(self._events_of(path), Layout(Path(folder)))
            return _FileGateway(folder, self._settings)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not isinstance(error, (pa.ArrowException, pl.exceptions.PolarsError, OSError)):
                raise
            said = " ".join(str(error).split())[:300]
            raise Refused(422, "no-event-log", f"{path.name} cannot be read as Parquet: {said}") from None

    def _events_of(self, path: Path) -> Path:
        """The file itself; of a log's run list, the events that it lists, which have the same name."""
        names = pq.read_schema(path).names
        if set(names) >= {"run_id", "last_seq", "status"} and path.parent.parent.name == "runs":
            events = path.parents[2] / "events" / path.parent.name / path.name
            if events.is_file() and self._root in events.resolve().parents:
                return events
        wrong = [name for name in EVENTS if name not in names]
        if wrong:
            has = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
            detail = f"{path.name} is no event log: it has no column {', '.join(wrong)}. Its columns are: {has}"
            raise Refused(422, "no-event-log", detail)
        return path

    def _linked(self, source: Path, layout: Layout) -> None:
        """Make the file the only one of a log."""
        index = source.parents[2] / "runs" / source.parent.name / source.name if len(source.parents) > 2 else source
        in_a_log = source.parent.parent.name == "events" and self._root in index.parents
        table = _listed(index) if in_a_log and index.is_file() else None
        table = _folded(source) if table is None else table
        by_date: dict[str, list[int]] = {}
        for place, run_id in enumerate(table["run_id"].to_pylist()):
            by_date.setdefault(_date(run_id, source.name), []).append(place)
        for date, places in by_date.items():
            for kind in ("events", "runs"):
                layout.table(kind, date).mkdir(parents=True)
            layout.table("events", date).joinpath(_NAME).symlink_to(source)
            with pa.OSFile(str(layout.table("runs", date) / _NAME), "wb") as sink:
                write_index(table.take(places), sink)
        beside = source.parents[2] / "artifacts" if in_a_log else None
        if beside is not None and beside.is_dir():
            (layout.root / "artifacts").symlink_to(beside)


def _date(run_id: str, name: str) -> str:
    try:
        return run_date(run_id)
    except ValueError as error:
        raise Refused(422, "no-event-log", f"{name} is no event log: {error}") from None


def _listed(index: Path) -> pa.Table | None:
    """The run list that a log keeps beside the file: it also knows what runs said before; None if it is damaged."""
    try:
        return pq.read_table(index).select(index_schema().names).cast(index_schema())
    except (pa.ArrowException, OSError, KeyError):
        return None


def _folded(source: Path) -> pa.Table:
    """The run list of a file, made of its events."""
    states: dict[str, RunState] = {}
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(_BATCH, columns=list(EVENTS)):
            table = pa.Table.from_batches([batch]).select(list(EVENTS)).cast(arrow_schema())
            fold_table(states, table.sort_by([("run_id", "ascending"), ("seq", "ascending")]))
            if len(states) > _MOST_RUNS:
                detail = f"{source.name} has more than {_MOST_RUNS:,} runs; Polars reads it in any size"
                raise Refused(422, "too-large", detail)
    for state in states.values():
        if not state.started:  # its beginning is in another file
            state.started = _begun(state.run_id, source.name)
            state.status = "running" if state.status == "starting" else state.status
    return index_table(list(states.values()))


def _begun(run_id: str, name: str) -> int:
    _date(run_id, name)
    return (uuid.UUID(run_id).int >> 80) * 1000


def router(root: Path | None, settings: Settings) -> APIRouter:
    """Routes below ``/opened/<key>``: the file, its run list, and what views of a run draw from.

    Parameters
    ----------
    root, settings
        As of :class:`Files`.
    """
    files = Files(root, settings)

    def enter(key: str, request: Request, _: Admin) -> None:
        request.state.gateway = files.open(key)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        try:
            yield
        finally:
            files.close()

    made = APIRouter(prefix="/opened/{key}", tags=["views"], dependencies=[Depends(enter)], lifespan=lifespan)

    @made.get("")
    def opened(key: str, request: Request) -> OpenedFile:
        """A Parquet file of the Jupyter server's folder, if it is an event log."""
        path, ids = files.find(key), request.state.gateway.log.runs(hidden=True).collect()["run_id"]
        return OpenedFile(
            name=path.name, nbytes=path.stat().st_size, runs=len(ids), run_id=ids[0] if len(ids) == 1 else None
        )

    made.get("/runs", response_model=reading.RunPage)(reading.list_runs)
    made.get("/runs/{run_id}", response_model=reading.RunDetail)(reading.get_run)
    made.get("/runs/{run_id}/artifacts/{sha256}")(reading.get_artifact)
    made.include_router(viewing.router)
    return made
