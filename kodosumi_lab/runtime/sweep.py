"""Sweeps: one flow over many inputs, as many runs and one frame.

Each run says in its ``meta`` which sweep it is of (``sweep``: the id, its position, what varies and
the plan of the whole), and has the tag ``sweep:<id>``, which the run index holds. So a sweep is
found again in the log, from any process, with what was never started; nothing else is kept.

A thread of the launching process starts the runs, a few at a time. What is started goes on
without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import FlowError, RunNotFound, WaitTimeout
from kodosumi_lab.events import TERMINAL
from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import secret_fields
from kodosumi_lab.runtime import cluster, launch, notebook
from kodosumi_lab.runtime.launch import Origin
from kodosumi_lab.runtime.run import Run, event_log, in_notebook, live
from kodosumi_lab.runtime.sweep_claim import Claim
from kodosumi_lab.runtime.sweep_log import points_of
from kodosumi_lab.runtime.sweep_plan import checked_of, planned, recorded
from kodosumi_lab.runtime.sweep_starter import Point, Starter

if TYPE_CHECKING:
    import polars as pl

    from kodosumi_lab.widgets.views import SweepView

__all__ = ["Sweep", "start", "sweep"]

_FAILED = frozenset({"error", "timeout", "lost"})
# How often another process's starting is looked at.
_PAUSE_S = 0.1


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
    zipped : bool
        Whether the inputs vary side by side, instead of each with each.
    log_dir : str
        Directory of the event log.
    max_concurrent : int
        How many go on at a time.
    of : int
        How many combinations there are, those included of which nothing is known before they are started.
    origin : Origin
        Who starts runs again, where that is not the user of this process.
    """

    def __init__(
        self, sweep_id: str, flow: str, over: list[str], points: list[Point], log_dir: str | Path, zipped: bool
    ) -> None:
        self.id = sweep_id
        self.flow = flow
        self.over = over
        self.log_dir = str(log_dir)
        self.origin = Origin()
        self.max_concurrent = 4
        self.of = len(points)
        self._looked: Any = None
        self._points = points
        self.zipped = zipped
        self._starter: Starter | None = None
        self._acting = threading.Lock()
        self._begin: Callable[[Point], Run] = self._repeat
        self._claim = Claim(log_dir, sweep_id)

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
        return dict(Counter(row["status"] or "waiting" for row in self.rows()))

    @property
    def progress(self) -> float:
        """Share of the combinations that have ended, in whatever way, 0 to 1."""
        return sum(row["status"] in TERMINAL for row in self.rows()) / max(1, len(self))

    @property
    def done(self) -> bool:
        """Whether nothing is going on any more: all that is started has ended, and nothing more will be started."""
        return not self.starting and all(row["status"] in (None, *TERMINAL) for row in self.rows())

    @property
    def starting(self) -> bool:
        """Whether more runs are being started, by this process or another one."""
        return (self._starter is not None and self._starter.busy) or self._claim.is_held

    @property
    def failure(self) -> str:
        """Why the rest was not started; empty where nothing failed."""
        return self._claim.failure or str((self._starter and self._starter.failure) or "")

    def _look(self) -> list[Point]:
        """The combinations; what another process has started, or started anew, is taken from the log."""
        if self._starter is not None and self._starter.busy:
            return self._points
        now = event_log(self.log_dir).positions()
        if now != self._looked:
            with contextlib.suppress(RunNotFound):  # not one of them was started
                mine = {point.index: point for point in self._points}
                for found in points_of(self.id, self.log_dir)[1]:
                    point = mine.setdefault(found.index, found)
                    point.run = found.run or point.run
                self._points = [mine[index] for index in sorted(mine)]
            self._looked = now
        return self._points

    def rows(self) -> list[dict[str, Any]]:
        """Per combination the row of its run in the index, with every key there, and its ``point``.

        Returns
        -------
        list[dict]
            With ``run_id status reason error result progress running ended``, all None where it is not started.
        """
        import polars as pl

        points = self._look()
        ids = [point.run.id for point in points if point.run is not None]
        columns = ["run_id", "status", "reason", "error", "result", "progress", "running", "ended"]
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

        return sweep_frame.frame(self.rows(), event_log(self.log_dir))

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
        try:
            more = True
            while more:
                more = self.starting  # be it elsewhere; asked before, so that what is started meanwhile is waited for
                self._wait(end)
                if more and end is not None and time.monotonic() > end:
                    raise WaitTimeout
                if more:
                    time.sleep(_PAUSE_S)
        except WaitTimeout:
            told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
            raise WaitTimeout(f"sweep {self.id} has not ended within {timeout_s:g} s ({told}); it goes on") from None
        failure = self._starter and self._starter.failure
        if failure and any(point.run is None for point in self._look()):
            raise failure
        return self

    def _wait(self, end: float | None) -> None:
        for point in self._look():
            run = self._started(point, end)
            if run is not None:
                run.wait(None if end is None else max(0.0, end - time.monotonic()))

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

    def cancel(self, *, grace_s: float | None = None, by: str | None = None) -> int:
        """Start no more, and cancel what is going on; how many runs that were. What has ended stays as it is.

        `grace_s` and `by` are as for :meth:`Run.cancel`.
        """
        problem: FlowError | None = None
        with self._acting:
            if self._starter is not None:
                self._starter.stop()
            try:
                self._claim.end()
            except FlowError as error:
                problem = error
        cancelled = sum(run.cancel(grace_s=grace_s, by=by) for run in self.runs)
        if problem is not None:
            raise problem
        return cancelled

    def rerun_failed(self, *, cancelled: bool = False) -> int:
        """Run again what ended as ``error``, ``timeout`` or ``lost``; how many that are.

        The new runs take the places of those that failed, which stay in the log. `cancelled` ones are run again
        only when asked for.

        Raises
        ------
        FlowError
            What is to be started had secrets, or another process starts runs of this sweep.
        """
        again = _FAILED | ({"cancelled"} if cancelled else set())
        return self._start(lambda: [row["point"] for row in self.rows() if row["status"] in again])

    def resume(self) -> int:
        """Start what was never started, after :meth:`cancel` or when the process that began it has gone; how many.

        Raises
        ------
        FlowError
            What is to be started had secrets, or another process starts it already.
        """
        return self._start(lambda: [point for point in self._look() if point.run is None and not point.queued])

    def _start(self, choose: Callable[[], list[Point]]) -> int:
        with self._acting:
            points = choose()
            if not points:
                return 0
            if self._begin == self._repeat:
                self._check_secrets(points)
            cluster.connection()
            self._starter = self._starter or Starter(self.max_concurrent, self._claim)
            with self._starter.adding() as add:
                self._looked = None
                points = choose()  # somebody else may have started them meanwhile
                for point in points:
                    point.run, point.earlier, point.queued = None, point.run, True
                add(points, self._begin)
            return len(points)

    def _check_secrets(self, points: list[Point]) -> None:
        for point in points:
            hidden = secret_fields(point.inputs.wire)
            if hidden:
                told = ", ".join(hidden)
                raise FlowError(f"sweep {self.id} had secrets, which are not kept ({told}); sweep again")

    def _repeat(self, point: Point) -> Run:
        """A run like the others, of a sweep that another process began."""
        held = [other.run or other.earlier for other in self._points]
        like = point.earlier or next(run for run in held if run is not None)
        tag = f"sweep:{self.id}"
        tags = [*(one for one in like.meta["tags"] if one != tag), tag]
        about = {"sweep": {**like.meta["sweep"], "index": point.index}, "tags": tags}
        owner, by = like.meta.get("user"), self.origin.user
        if by is not None and by != owner:
            about["by"] = by  # it stays the run of whoever began the sweep, who is to see it
        return launch.again(like, point.inputs, dataclasses.replace(self.origin, user=owner, about=about))

    # -- showing it -------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        return _found, (self.id, self.log_dir)

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"<Sweep {self.id} {self.flow} over {', '.join(self.over)}: {told}>"

    def view(self) -> SweepView:
        """The sweep, live, as a widget: each combination with its inputs; the rest is cancelled and run again in it.

        Examples
        --------
        >>> prime_gaps.sweep(end=[1000, 2000]).view()  # doctest: +SKIP
        """
        from kodosumi_lab.widgets.views import SweepView

        return SweepView(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from kodosumi_lab.runtime import sweep_frame
        from kodosumi_lab.runtime.layout import log_id

        title = f"sweep {self.id} of {self.flow}"
        return {
            **(live(self.view()) if in_notebook() else {}),
            "text/plain": repr(self),
            "text/html": sweep_frame.grid(title, self.over, self.rows(), product=not self.zipped),
            "application/vnd.kodosumi.sweep.v1+json": {
                "sweep_id": self.id,
                "log_dir": self.log_dir,
                "log": log_id(self.log_dir),
            },
        }


# -- starting ---------------------------------------------------------------------------


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
    about = {"id": made.id, "of": len(points), "over": made.over, "zipped": zipped, "max_concurrent": max_concurrent}
    about |= recorded(plan, checked)
    tags = [*flow.options.tags, f"sweep:{made.id}"]
    here = notebook.executing()
    shared = {"tags": tags, **({"notebook": here} if here is not None else {})}

    def begin(point: Point) -> Run:
        again = {"rerun_of": point.earlier.id} if point.earlier is not None else {}
        origin = Origin(about={"sweep": {**about, "index": point.index}, **shared, **again})
        return launch.launch(flow, point.inputs, origin, files=files, code=code)

    made._begin, made.max_concurrent = begin, max_concurrent
    made._start(lambda: points)
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
    about, points = points_of(sweep_id, root)
    made = Sweep(sweep_id, about["flow"], about["over"], points, root, about["zipped"])
    made.max_concurrent, made.of = about.get("max_concurrent", 4), max(len(points), about.get("of", 0))
    return made


def _found(sweep_id: str, log_dir: str) -> Sweep:
    return sweep(sweep_id, log_dir=log_dir)
