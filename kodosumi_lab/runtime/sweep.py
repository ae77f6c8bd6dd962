"""Sweeps: one flow over many inputs, as many runs and one frame.

Each run says in its ``meta`` which sweep it is of (``sweep``: the id, its position, what varies and
the plan of the whole), and has the tag ``sweep:<id>``, which the run index holds. So a sweep is
found again in the log, from any process, with what was never started; nothing else is kept.

A thread of the launching process starts the runs, a few at a time. What is started goes on
without it.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import FlowError, KodosumiLabError, RunNotFound, WaitTimeout
from kodosumi_lab.events import TERMINAL, loads, run_date
from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import Inputs, secret_fields
from kodosumi_lab.runtime import cluster, console, launch, notebook
from kodosumi_lab.runtime.launch import Origin
from kodosumi_lab.runtime.run import Run, event_log
from kodosumi_lab.runtime.sweep_plan import Plan, checked_of, planned, recorded

if TYPE_CHECKING:
    import polars as pl

    from kodosumi_lab.widgets.views import RunsView

__all__ = ["Point", "Sweep", "start", "sweep"]

_FAILED = frozenset({"error", "timeout", "lost"})
# How often the starting thread looks for an end. Inside a flow on another node each look is a Ray task.
_PAUSE_S = 0.05
_PAUSE_INSIDE_S = 0.5


@dataclass
class Point:
    """One combination of a sweep.

    Attributes
    ----------
    index
        Its position.
    inputs
        What its runs get.
    run
        The newest of them; None before it is started.
    earlier
        The one before it, which failed.
    failure
        Why it could not be started.
    queued
        Whether it is about to be.
    """

    index: int
    inputs: Inputs
    run: Run | None = None
    earlier: Run | None = None
    failure: str = ""
    queued: bool = False


class Sweep:
    """Runs of one flow over many inputs; made by :meth:`Flow.sweep` and found again by :func:`kodosumi_lab.sweep`.

    Iterating gives the runs in the order of the combinations, each as soon as it is started;
    awaiting gives :meth:`frame` when all have ended.

    Attributes
    ----------
    id : str
        Its runs have the tag ``sweep:<id>``.
    flow : str
        Name of the flow.
    over : list[str]
        The inputs that vary.
    log_dir : str
        Directory of the event log.
    """

    def __init__(
        self, sweep_id: str, flow: str, over: list[str], points: list[Point], log_dir: str | Path, zipped: bool
    ) -> None:
        self.id = sweep_id
        self.flow = flow
        self.over = over
        self.log_dir = str(log_dir)
        self._points = points
        self._zipped = zipped
        self._starter: _Starter | None = None
        self._begin: Callable[[Point], Run] = self._repeat
        self._max_concurrent = 4
        self._found = False

    # -- how it stands ----------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: int) -> Run:
        point = self._look()[index]
        if point.run is None:
            raise IndexError(f"combination {point.index} of sweep {self.id} is not started yet")
        return point.run

    def __iter__(self) -> Iterator[Run]:
        for point in self._look():
            run = self._started(point, None)
            if run is not None:
                yield run

    @property
    def runs(self) -> list[Run]:
        """The runs that were started so far, in the order of the combinations; of a rerun one the newest."""
        return [point.run for point in self._look() if point.run is not None]

    @property
    def counts(self) -> dict[str, int]:
        """How many combinations have which status; those not started yet are ``"waiting"``."""
        return dict(Counter(row["status"] or "waiting" for row in self._rows()))

    @property
    def progress(self) -> float:
        """Share of the combinations that have ended, in whatever way, 0 to 1."""
        return sum(row["status"] in TERMINAL for row in self._rows()) / max(1, len(self))

    @property
    def done(self) -> bool:
        """Whether nothing is going on any more: all that is started has ended, and nothing more will be started."""
        return not self._starting and all(row["status"] in (None, *TERMINAL) for row in self._rows())

    @property
    def _starting(self) -> bool:
        return self._starter is not None and self._starter.busy

    def _look(self) -> list[Point]:
        if self._found:  # runs that another process starts, or has started anew
            self._points = _points(self.id, self.log_dir)[1]
        return self._points

    def _rows(self) -> list[dict[str, Any]]:
        """Per combination the row of its run in the index, with every key there, and its ``point``."""
        import polars as pl

        points = self._look()
        ids = [point.run.id for point in points if point.run is not None]
        columns = ["run_id", "status", "reason", "error", "result", "running", "ended"]
        frame = event_log(self.log_dir).runs().filter(pl.col("run_id").is_in(ids)).select(columns).collect()
        known = {row["run_id"]: row for row in frame.iter_rows(named=True)}
        nothing = dict.fromkeys(columns)
        return [
            {
                **nothing,
                **(known.get(point.run.id, {"run_id": point.run.id}) if point.run is not None else {}),
                "point": point,
            }
            for point in points
        ]

    def frame(self) -> pl.DataFrame:
        """What came out, one row a combination.

        Returns
        -------
        polars.DataFrame
            ``combination`` (its position), the inputs by name (``input.name`` where that is the name of another
            column; secrets are left out), ``run_id``, ``status`` (null where it is not started), ``duration_s`` (from
            its first ``running`` to its end, or to now), ``error`` (its error or the reason of its end), and the
            result: dicts as columns ``result.key``, anything else as ``result``, with tables as lists of rows (explode
            it), and as JSON text where the runs' results are of different sorts. Of a result over 1 MiB it has the
            size; ``sweep[i].result()`` gets it.
        """
        from kodosumi_lab.runtime import sweep_frame

        return sweep_frame.frame(self._rows(), event_log(self.log_dir))

    # -- waiting ----------------------------------------------------------------------

    def wait(self, timeout_s: float | None = None) -> Sweep:
        """Block until all have ended, in whatever way. Interrupting this cancels nothing, and more are started.

        Raises
        ------
        WaitTimeout
            They had not ended after `timeout_s` seconds; they go on.
        KodosumiLabError
            The rest could not be started, for the reason that it tells.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        for point in self._look():
            try:
                run = self._started(point, end)
                if run is not None:
                    run.wait(None if end is None else max(0.0, end - time.monotonic()))
            except WaitTimeout:
                told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
                raise WaitTimeout(
                    f"sweep {self.id} has not ended within {timeout_s:g} s ({told}); it goes on"
                ) from None
        if self._starter is not None and self._starter.failure is not None:
            raise self._starter.failure
        return self

    def __await__(self) -> Generator[Any, None, pl.DataFrame]:
        return asyncio.to_thread(lambda: self.wait().frame()).__await__()

    def _started(self, point: Point, end: float | None) -> Run | None:
        """The run of a combination when it is started; None when it will not be."""
        starter = self._starter
        if starter is not None:
            with starter.changed:
                while point.queued:
                    left = None if end is None else end - time.monotonic()
                    if left is not None and left <= 0:
                        raise WaitTimeout
                    starter.changed.wait(left)
        return point.run

    # -- acting -----------------------------------------------------------------------

    def cancel(self, *, grace_s: float | None = None) -> int:
        """Start no more, and cancel what is going on; how many runs that were. What has ended stays as it is."""
        if self._starter is not None:
            self._starter.stop()
        return sum(run.cancel(grace_s=grace_s) for run in self.runs)

    def rerun_failed(self, *, cancelled: bool = False) -> int:
        """Run again what ended as ``error``, ``timeout`` or ``lost``; how many that are.

        The new runs take the places of those that failed, which stay in the log. `cancelled` ones are run again
        only when asked for.
        """
        again = _FAILED | ({"cancelled"} if cancelled else set())
        failed = [row["point"] for row in self._rows() if row["status"] in again]
        return self._start(failed)

    def resume(self) -> int:
        """Start what was never started, after :meth:`cancel` or when the process that began it has gone; how many.

        Only one process should do that at a time.

        Raises
        ------
        FlowError
            What was to be started had secrets.
        """
        return self._start([point for point in self._look() if point.run is None and not point.queued])

    def _start(self, points: list[Point]) -> int:
        self._found = False  # from here on this process starts them
        if points:
            cluster.connection()
            for point in points:
                point.run, point.earlier, point.queued = None, point.run, True
            if not self._starting:
                self._starter = _Starter(self._max_concurrent)
            assert self._starter is not None
            self._starter.add(points, self._begin)
        return len(points)

    def _repeat(self, point: Point) -> Run:
        """A run like the others, of a sweep that another process began."""
        held = [other.run or other.earlier for other in self._points]
        like = point.earlier or next(run for run in held if run is not None)
        hidden = secret_fields(point.inputs.wire)
        if hidden:
            raise FlowError(f"sweep {self.id} had secrets, which are not kept ({', '.join(hidden)}); sweep again")
        tag = f"sweep:{self.id}"
        tags = [*(one for one in like.meta["tags"] if one != tag), tag]
        origin = Origin(about={"sweep": {**like.meta["sweep"], "index": point.index}, "tags": tags})
        return launch.again(like, point.inputs, origin)

    # -- showing it -------------------------------------------------------------------

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"<Sweep {self.id} {self.flow} over {', '.join(self.over)}: {told}>"

    def view(self) -> RunsView:
        """The runs of the sweep, live, as a widget; what is selected in it is cancelled and compared.

        The sweep itself is drawn as it is at that moment, with the inputs as columns.

        Examples
        --------
        >>> view = prime_gaps.sweep(end=[1000, 2000]).view()  # doctest: +SKIP
        >>> view.runs  # those that are selected in it  # doctest: +SKIP
        """
        from kodosumi_lab.widgets.views import RunsView

        return RunsView(log_dir=self.log_dir, tag=f"sweep:{self.id}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from kodosumi_lab.runtime import sweep_frame

        title = f"sweep {self.id} of {self.flow}"
        shown = sweep_frame.grid(title, self.over, self._rows(), product=not self._zipped)
        return {"text/plain": repr(self), "text/html": shown}


# -- starting ---------------------------------------------------------------------------


class _Starter:
    """A thread that starts runs, so many at a time."""

    def __init__(self, max_concurrent: int) -> None:
        self.changed = threading.Condition()
        self.failure: KodosumiLabError | None = None
        self._max_concurrent = max_concurrent
        self._queue: collections.deque[tuple[Point, Callable[[Point], Run]]] = collections.deque()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether more runs may be started."""
        return self._thread is not None

    def add(self, points: list[Point], begin: Callable[[Point], Run]) -> None:
        """Start these, too."""
        with self.changed:
            self._queue.extend((point, begin) for point in points)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Start no more; a run that is just being started is there when this returns."""
        with self.changed:
            self._drop()
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.busy)

    def _drop(self) -> None:
        for point, _ in self._queue:
            point.run, point.queued = point.earlier, False  # it stays what it was
        self._queue.clear()

    def _run(self) -> None:
        active: list[Run] = []
        while True:
            active = [run for run in active if not run.done]
            with self.changed:
                if not self._queue:
                    self._thread = None
                    self.changed.notify_all()
                    return
                if len(active) >= self._max_concurrent:
                    self.changed.wait(_PAUSE_S if console.current() is None else _PAUSE_INSIDE_S)
                    continue
                point, begin = self._queue.popleft()
            try:
                point.run, point.failure, point.queued = begin(point), "", False
                active.append(point.run)
            except Exception as error:  # noqa: BLE001 - edge of a thread: whoever waits is told
                point.run, point.failure, point.queued = point.earlier, str(error), False
                self.failure = error if isinstance(error, KodosumiLabError) else FlowError(repr(error))
                with self.changed:
                    self._drop()
            with self.changed:
                self.changed.notify_all()


def start(
    flow: Flow, inputs: dict[str, Any], *, max_concurrent: int = 4, zipped: bool = False, files: Any = None
) -> Sweep:
    """Start a sweep; see :meth:`kodosumi_lab.flow.Flow.sweep`."""
    if type(max_concurrent) is not int or max_concurrent < 1:
        raise FlowError(f"max_concurrent is {max_concurrent!r}; expected a whole number from 1")
    if files is not None and launch.has_input(flow, "files"):
        inputs, files = {**inputs, "files": files}, None
    plan = planned(inputs, zipped)
    checked = checked_of(flow, plan)
    held = cluster.connection()
    points = [Point(index, one) for index, one in enumerate(checked)]
    made = Sweep(secrets.token_hex(4), flow.name, list(plan.lists), points, held.home.log_dir, zipped)
    code = launch.code_of(flow)  # the flow as it is now: a notebook goes on while the runs are started
    about = {"id": made.id, "of": len(points), "over": made.over, "zipped": zipped, **recorded(plan, checked)}
    tags = [*flow.options.tags, f"sweep:{made.id}"]
    here = notebook.executing()
    shared = {"tags": tags, **({"notebook": here} if here is not None else {})}

    def begin(point: Point) -> Run:
        again = {"rerun_of": point.earlier.id} if point.earlier is not None else {}
        origin = Origin(about={"sweep": {**about, "index": point.index}, **shared, **again})
        return launch.launch(flow, point.inputs, origin, files=files, code=code)

    made._begin, made._max_concurrent = begin, max_concurrent
    made._start(points)
    return made


# -- found again ------------------------------------------------------------------------


def sweep(sweep_id: str, *, log_dir: str | Path | None = None) -> Sweep:
    """A sweep that was started anywhere, at any time.

    Parameters
    ----------
    sweep_id
        Its id; its runs have the tag ``sweep:<id>``.

    Raises
    ------
    RunNotFound
        The log holds no run of such a sweep.
    """
    root = event_log(log_dir).root
    about, points = _points(sweep_id, root)
    made = Sweep(sweep_id, about["flow"], about["over"], points, root, about["zipped"])
    made._found = True
    return made


def _points(sweep_id: str, log_dir: str | Path) -> tuple[dict[str, Any], list[Point]]:
    """What the runs of a sweep say of it, and its combinations: of several runs of one the newest counts."""
    import polars as pl

    log = event_log(log_dir)
    mine = pl.col("tags").list.contains(f"sweep:{sweep_id}")
    runs = log.runs().filter(mine).select("run_id").sort("run_id").collect()
    if runs.is_empty():
        raise RunNotFound(f"no sweep {sweep_id!r} in the log {log.root}; its runs would have the tag sweep:{sweep_id}")
    since, until = (datetime.date.fromisoformat(run_date(runs["run_id"][i])) for i in (0, -1))
    wanted = pl.col("run_id").is_in(runs["run_id"].to_list()) & pl.col("kind").is_in(["meta", "inputs"])
    events = log.events(since=since, until=until).filter(wanted & (pl.col("seq") < 3)).collect()
    said: dict[tuple[str, str], Any] = {
        (run_id, kind): loads(payload, log.artifact)
        for run_id, kind, payload in events.select("run_id", "kind", "payload").iter_rows()
    }
    found: dict[int, Point] = {}
    about: dict[str, Any] = {}
    for run_id in runs["run_id"]:
        meta, inputs = said.get((run_id, "meta")), said.get((run_id, "inputs"))
        if meta is not None and inputs is not None and meta.get("sweep", {}).get("id") == sweep_id:
            about = {"flow": meta["flow"], **meta["sweep"]}
            found[about["index"]] = Point(about["index"], Inputs(inputs), Run(run_id, log_dir=log.root))
    if not found:
        raise RunNotFound(f"no run of sweep {sweep_id!r} can be read in the log {log.root}")
    return about, [found[index] for index in sorted(found)] if "lists" not in about else _whole(about, found)


def _whole(about: dict[str, Any], found: dict[int, Point]) -> list[Point]:
    like = next(iter(found.values())).inputs.wire
    plan = Plan(about["lists"], {}, about["zipped"])
    return [
        found.get(index) or Point(index, Inputs({**like, **given})) for index, given in enumerate(plan.combinations())
    ]
