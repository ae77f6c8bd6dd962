"""``Run``: what a person holds. A small, picklable handle; everything else is in the log.

Reading needs the log only. Cancelling, answering and running again need the cluster.
"""

from __future__ import annotations

import asyncio
import datetime
import html
import json
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import (
    ClusterError,
    LogError,
    RunCancelled,
    RunFailed,
    RunLost,
    RunNotFound,
    RunOpen,
    RunTimeout,
    WaitTimeout,
)
from kodosumi_lab.events import TERMINAL, decode, loads

if TYPE_CHECKING:
    import polars as pl

    from kodosumi_lab.runtime.follow import Event
    from kodosumi_lab.runtime.query import EventLog
    from kodosumi_lab.runtime.run_files import FileList
    from kodosumi_lab.widgets.views import Replay, RunView

__all__ = ["Run", "event_log", "in_notebook", "live"]

_FAILURES = {"cancelled": RunCancelled, "timeout": RunTimeout, "lost": RunLost, "error": RunFailed}
_LAST_LINES = 8

_logs: dict[tuple[str, str], EventLog] = {}


def event_log(log_dir: str | Path | None = None) -> EventLog:
    """The log at `log_dir`, or this process's; kept open, so that reading again is cheap."""
    from kodosumi_lab.runtime import home

    here = home.get()
    if log_dir is None:
        if here is not None:
            log_dir = here.log_dir
        else:
            from kodosumi_lab import settings
            from kodosumi_lab.runtime import background

            asked = settings.load()
            found = background.find() if "log_dir" not in asked.model_fields_set else None
            log_dir = found["log_dir"] if found else asked.log_dir
    owner = here.owner if here is not None and here.log_dir == str(log_dir) else ""
    key = (str(log_dir), owner)
    if key not in _logs:
        _logs[key] = _open(Path(log_dir), owner)
    return _logs[key]


def _open(log_dir: Path, owner: str) -> EventLog:
    from kodosumi_lab.runtime.layout import Layout
    from kodosumi_lab.runtime.query import EventLog

    if owner and not Layout(log_dir).owner(owner).exists():
        from kodosumi_lab.runtime.elsewhere import RemoteLog

        return RemoteLog(log_dir)
    return EventLog(log_dir)


class Run:
    """One execution of a flow.

    Attributes
    ----------
    id : str
        UUIDv7; ids sort by start.
    log_dir : str
        Directory of the event log that holds it.
    """

    def __init__(self, run_id: str, *, log_dir: str | Path) -> None:
        self.id = run_id
        self.log_dir = str(log_dir)

    def __reduce__(self) -> tuple[Any, ...]:
        return _run, (self.id, self.log_dir)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _log(self) -> EventLog:
        return event_log(self.log_dir)

    def _row(self) -> dict[str, Any]:
        return self._log.run(self.id)

    # -- how it stands ----------------------------------------------------------------

    @property
    def status(self) -> str:
        """``starting, running, awaiting``, or how it ended: ``finished, error, cancelled, timeout, lost``."""
        return str(self._row()["status"])

    @property
    def reason(self) -> str:
        """Why it has this status; empty where there is nothing to say."""
        row = self._row()
        place = self._log.place(self.id) if row["status"] == "starting" and not row["runner"] else None
        return f"{row['reason']}, place {place} in the queue" if place and row["reason"] else str(row["reason"])

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.status in TERMINAL

    @property
    def progress(self) -> float | None:
        """Last reported progress, 0 to 1; None when the flow reports none."""
        value: float | None = self._row()["progress"]
        return value

    @property
    def duration_s(self) -> float | None:
        """Seconds from its first ``running`` to its end, or to now; None before it runs."""
        row = self._row()
        if row["running"] is None:
            return None
        end = row["ended"] or datetime.datetime.now(datetime.UTC)
        return float((end - row["running"]).total_seconds())

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What the launch recorded: flow, entrypoint, options, user, parent, place."""
        return dict(self._first("meta"))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Inputs as they were launched, as JSON values; secrets read ``{"secret": true}``."""
        return dict(self._first("inputs"))

    def _first(self, kind: str) -> Any:
        import polars as pl

        frame = self.events().filter((pl.col("seq") < 3) & (pl.col("kind") == kind)).collect()
        if frame.is_empty():
            raise RunNotFound(f"no {kind} of run {self.id} in the log {self.log_dir}")
        return loads(frame["payload"][0], self._log.artifact)

    # -- waiting ----------------------------------------------------------------------

    def wait(self, timeout_s: float | None = None) -> Run:
        """Block until the run has ended, in whatever way. Interrupting this does not cancel the run.

        Inside a flow the waiting run gives its slot back meanwhile.

        Raises
        ------
        WaitTimeout
            It had not ended after `timeout_s` seconds; it goes on.
        """
        from kodosumi_lab.runtime import waiting

        if self.done:
            return self
        with waiting.parked(self.id):
            if not waiting.wait_inside(self.id, timeout_s):
                self._wait_log(timeout_s)
        return self

    def _wait_log(self, timeout_s: float | None) -> None:
        end = None if timeout_s is None else time.monotonic() + timeout_s
        pause, seen = 0.005, None
        while True:
            now = self._log.positions()
            if now != seen and self.done:
                return
            seen = now
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"run {self.id} has not ended within {timeout_s:g} s; it goes on")
            time.sleep(pause)
            pause = min(0.05, pause * 1.2)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        from kodosumi_lab.runtime import waiting

        if await asyncio.to_thread(lambda: self.done):
            return await asyncio.to_thread(self._result)
        with waiting.parked(self.id):
            if not await waiting.await_inside(self.id):
                pause, seen = 0.005, None
                while True:
                    now = self._log.positions()
                    if now != seen and await asyncio.to_thread(lambda: self.done):
                        break
                    seen = now
                    await asyncio.sleep(pause)
                    pause = min(0.05, pause * 1.2)
        return await asyncio.to_thread(self._result)

    def result(self, timeout_s: float | None = None) -> Any:
        """What the flow returned, once it has.

        Returns
        -------
        Any
            See :func:`kodosumi_lab.events.decode`: a table that the flow returned is a table again.

        Raises
        ------
        RunFailed
            It ended in another way; the error shows the flow's own traceback.
        WaitTimeout
            It had not ended after `timeout_s` seconds; it goes on.
        """
        self.wait(timeout_s)
        return self._result()

    def _result(self) -> Any:
        row = self._row()
        kind = "final" if row["status"] == "finished" else "error"
        found = self._of_kind(kind)
        payloads = found.filter(found["attempt"] == row["attempt"])["payload"]
        if kind == "final":
            return decode(payloads[-1], self._log.artifact) if len(payloads) else None
        recorded = loads(payloads[-1], self._log.artifact) if len(payloads) else {}
        raise failure_of(self.id, row["status"], row["reason"], recorded.get("traceback"))

    # -- what it said -----------------------------------------------------------------

    def events(self) -> pl.LazyFrame:
        """All its events as a Polars LazyFrame, as of each ``collect``; sort by ``seq`` for their order."""
        return self._log.events(self.id)

    def follow(self, after: int = -1, *, timeout_s: float | None = None) -> Iterator[Event]:
        """Its events as they come, from the start or after a ``seq``, until it ends.

        Raises
        ------
        WaitTimeout
            It had not ended after `timeout_s` seconds; it goes on.
        """
        from kodosumi_lab.runtime.follow import follow

        return follow(self._log, self.id, after=after, timeout_s=timeout_s)

    def afollow(self, after: int = -1, *, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Asynchronous :meth:`follow`."""
        from kodosumi_lab.runtime.follow import afollow

        return afollow(self._log, self.id, after=after, timeout_s=timeout_s)

    def _of_kind(self, *kinds: str) -> pl.DataFrame:
        """Its events of these kinds so far, in order."""
        import polars as pl

        return self.events().filter(pl.col("kind").is_in(kinds)).sort("seq").collect()

    def results(self) -> list[Any]:
        """What its last attempt delivered so far, in order, as Python values."""
        frame = self._of_kind("result")
        frame = frame.filter(frame["attempt"] == frame["attempt"].max()) if len(frame) else frame
        return [decode(payload, self._log.artifact) for payload in frame["payload"]]

    def logs(self) -> str:
        """Its console so far: what it printed and logged, in order."""
        return "\n".join(text for _, text in self._console(None))

    def _console(self, last: int | None) -> list[tuple[str, str]]:
        frame = self._of_kind("stdout", "stderr", "log", "debug").select("seq", "kind", "payload")
        rows = frame.tail(last) if last else frame
        return [(kind, console_text(kind, payload)) for _, kind, payload in rows.iter_rows()]

    @property
    def locks(self) -> list[dict[str, Any]]:
        """Its open locks: ``lid, name, ts, expires``; :meth:`lock` tells what each asks."""
        return list(self._row()["locks"])

    @property
    def files(self) -> FileList:
        """Its files: ``in/`` was given to it, ``out/`` is what its flow delivered."""
        from kodosumi_lab.runtime.run_files import FileList

        return FileList(self.id, self.log_dir)

    def lock(self, lock: str | None = None) -> dict[str, Any]:
        """An open lock as it is shown to a person.

        Parameters
        ----------
        lock
            Its name or id; may be left out when one is open.

        Returns
        -------
        dict
            ``lid, name, data, expires, form``; the form is a list of dicts, one an element, or None.

        Raises
        ------
        LookupError
            No such lock, or several.
        ClusterError
            The service that makes its form cannot be reached.
        """
        import getpass

        from kodosumi_lab.runtime import locks

        return locks.describe(self, self._lid(lock), getpass.getuser())

    def _lid(self, lock: str | None) -> str:
        open_now = self.locks
        found = [item for item in open_now if lock in (None, item["lid"], item["name"])]
        if len(found) != 1:
            names = ", ".join(f"{item['name']} ({item['lid']})" for item in open_now) or "none"
            raise LookupError(f"run {self.id} has {len(found)} locks for {lock!r}; open are: {names}")
        return str(found[0]["lid"])

    # -- acting on it -----------------------------------------------------------------

    def _cluster(self) -> Any:
        from kodosumi_lab.runtime import cluster

        held = cluster.connection()
        if str(held.log_dir) != self.log_dir:
            raise ClusterError(
                f"run {self.id} belongs to the cluster that writes {self.log_dir}, this process is connected to "
                f"the one that writes {held.log_dir}; connect(log_dir={self.log_dir!r}) first"
            )
        return held

    def cancel(self, *, grace_s: float | None = None, by: str | None = None) -> bool:
        """End the run: ask the flow, and kill its process when it has not ended within `grace_s` seconds.

        `by` is who cancels; the user by default.

        Returns
        -------
        bool
            False when it had ended already.
        """
        import getpass

        import ray

        if self.done:
            return False
        held = self._cluster()
        return bool(ray.get(held.dispatcher.cancel.remote(self.id, by or getpass.getuser(), grace_s=grace_s)))

    def export(self, path: str | Path | None = None, *, files: bool = True) -> Path:
        """Write it, as far as it has come, to one file that JupyterLab shows without the log.

        Parameters
        ----------
        path
            A file named ``*.kodosumi-run.json``, or a folder for one; the current folder by default.
        files
            With files of the run up to 4 MiB each and 16 MiB in all; of others the export says why they are not in it.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            It has another name.
        LogError
            The run has more than 200,000 events or 128 MiB, or the file cannot be written.

        Examples
        --------
        >>> run.export("reports")  # doctest: +SKIP
        PosixPath('reports/prime-gaps-5f2c81d0.kodosumi-run.json')
        """
        from kodosumi_lab.runtime import exporting

        return exporting.export(self, path, files=files)

    def delete(self, *, by: str | None = None) -> None:
        """Take an ended run out of the log: readers leave it out from now on, compaction drops its events.

        Neither cancels (which ends a run and keeps it) nor touches its child runs. `by` is who
        deletes; the user by default. Needs no cluster.

        Raises
        ------
        RunOpen
            It has not ended; cancel it first.
        RunNotFound
            The log does not hold it any more.
        """
        import getpass

        status = self.status
        if status not in TERMINAL:
            raise RunOpen(f"run {self.id} is {status}; only a run that has ended can be deleted, so cancel it first")
        try:
            self._log.delete(self.id, by or getpass.getuser())
        except OSError as error:
            raise LogError(f"run {self.id} cannot be deleted: {error.strerror or error}: {self.log_dir}") from error

    def answer(self, result: Any = None, *, lock: str | None = None, by: str | None = None) -> Any:
        """Answer a lock that the run waits at.

        Parameters
        ----------
        result
            Form values by name where the lock has a form, else any JSON value for the flow.
        lock
            Name or id of the lock; may be left out when one is open.
        by
            Who answers; the user by default.

        Returns
        -------
        Any
            What the flow gets: the form's typed values, or what the service made of them.

        Raises
        ------
        InputsError
            The values do not fit the form, with messages by field; the lock stays open.
        LockClosed
            Somebody answered first, or it expired.
        ClusterError
            The cluster or the service that handles the lock cannot be reached; the lock stays open.
        LookupError
            No such lock, or several.
        """
        import getpass

        from kodosumi_lab.runtime import locks

        return locks.answer(self, self._lid(lock), result, by or getpass.getuser())

    def rerun(self, **changes: Any) -> Run:
        """Start a new run of the same flow with the same inputs, but for `changes`.

        Raises
        ------
        InputsError
            They do not fit, or a secret has to be given again.
        """
        from kodosumi_lab.runtime.launch import rerun

        return rerun(self, changes)

    # -- showing it -------------------------------------------------------------------

    def __repr__(self) -> str:
        try:
            row = self._row()
        except RunNotFound:
            return f"<Run {self.id} not in {self.log_dir}>"
        share = f" {row['progress']:.0%}" if row["progress"] is not None and row["status"] not in TERMINAL else ""
        return f"<Run {self.id} {row['flow']} {row['status']}{share}>"

    def view(self, *, tab: str | None = None, compact: bool = True) -> RunView:
        """The live view of this run, as a widget; a run that ends a cell shows it by itself.

        Parameters
        ----------
        tab
            Which part is open at first: ``results console timeline metrics events inputs files error``.
        compact
            Limit its height, as suits a cell's output.
        """
        from kodosumi_lab.widgets.views import RunView

        return RunView(self, tab=tab, compact=compact)

    def replay(self) -> Replay:
        """This run played again as it happened, as a widget; needs no Ray.

        Raises
        ------
        RunOpen
            It has not ended.
        """
        from kodosumi_lab.widgets.views import Replay

        status = self.status
        if status not in TERMINAL:
            raise RunOpen(f"run {self.id} is {status}; only a run that has ended can be played again")
        return Replay(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from kodosumi_lab.runtime.layout import log_id
        from kodosumi_lab.runtime.snapshot import run_html

        try:
            shown = run_html(self)
        except RunNotFound:
            return {"text/plain": repr(self), "text/html": f"<pre>{html.escape(repr(self))}</pre>"}
        return {
            **(live(self.view()) if in_notebook() else {}),
            "text/plain": repr(self),
            "text/html": shown,
            "application/vnd.kodosumi.run.v1+json": {
                "run_id": self.id,
                "log_dir": self.log_dir,
                "log": log_id(self.log_dir),
            },
        }


def live(view: Any) -> dict[str, Any]:
    """What a widget is shown by, to stand beside what others show."""
    told: Any = view._repr_mimebundle_()  # with metadata beside it, or empty where widgets are off
    return dict(told[0] if isinstance(told, tuple) else told)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process, so that widgets have somewhere to be shown."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _run(run_id: str, log_dir: str) -> Run:
    return Run(run_id, log_dir=log_dir)


def failure_of(run_id: str, status: str, reason: str, traceback: str | None) -> RunFailed:
    """The error that stands for the end of a run that did not finish."""
    return _FAILURES[status](run_id, status, reason, traceback)


def console_text(kind: str, payload: str) -> str:
    """A console event as a line of text."""
    data = json.loads(payload)
    if kind != "log" or not isinstance(data, dict):
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    text = f"{data.get('level')} {data.get('logger')}: {data.get('message')}"
    return f"{text}\n{data['traceback']}" if data.get("traceback") else text
