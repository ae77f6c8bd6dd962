"""The thread that starts the runs of a sweep."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kodosumi_lab.errors import FlowError, KodosumiLabError
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime import console
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.sweep_claim import Claim

__all__ = ["Point", "Starter"]

# How often the thread looks for an end. Inside a flow on another node each look is a Ray task.
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


class Starter:
    """A thread that starts runs, so many at a time, until it has started all or somebody wants no more.

    Parameters
    ----------
    max_concurrent
        How many go on at once.
    claim
        Held while it does.

    Attributes
    ----------
    changed : threading.Condition
        Told of each start, and of the end.
    failure : KodosumiLabError or None
        Why the rest was not started.
    """

    def __init__(self, max_concurrent: int, claim: Claim) -> None:
        self.changed = threading.Condition()
        self.failure: KodosumiLabError | None = None
        self._max_concurrent = max_concurrent
        self._claim = claim
        self._queue: collections.deque[tuple[Point, Callable[[Point], Run]]] = collections.deque()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether more runs may be started."""
        return self._thread is not None

    @contextlib.contextmanager
    def adding(self) -> Iterator[Callable[[list[Point], Callable[[Point], Run]], None]]:
        """Within this nobody else starts runs, so what is chosen to be started is still to be started when it is added.

        Raises
        ------
        FlowError
            Another process starts runs of this sweep.
        """
        with self.changed:
            fresh = self._thread is None
            if fresh:
                self._claim.take()
                self.failure = None
            try:
                yield lambda points, begin: self._queue.extend((point, begin) for point in points)
            finally:
                if fresh and self._queue:
                    self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)
                    self._thread.start()
                elif fresh:
                    self._claim.release()

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
            try:
                self._work(active)
            except Exception as error:  # noqa: BLE001 - edge of a thread: whoever waits is told
                self._fail(error)
            with self.changed:
                if self._queue:  # meanwhile
                    continue
                self._claim.release(str(self.failure or ""))
                self._thread = None
                self.changed.notify_all()
                return

    def _work(self, active: list[Run]) -> None:
        """Start what is queued, until nothing is."""
        while True:
            active[:] = [run for run in active if not _over(run)]
            with self.changed:
                if self._claim.is_unwanted:
                    self._drop()
                if not self._queue:
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
                self._fail(error)
            with self.changed:
                self.changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self.changed:
            self.failure = error if isinstance(error, KodosumiLabError) else FlowError(repr(error))
            self._drop()


def _over(run: Run) -> bool:
    """Whether it has ended; one that cannot be read any more keeps no others waiting."""
    try:
        return run.done
    except Exception:  # noqa: BLE001 - deleted, or its log is away: the next launch says so
        return True
