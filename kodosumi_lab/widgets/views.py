"""The widgets of a notebook: one run, the list of runs, a sweep, what waits for a person, a run replayed.

Each is the view of ``labextension/src/views`` of its name, bundled into ``static/``. Traits say
what is shown; data and commands go over HTTP or over the comm, see :mod:`kodosumi_lab.widgets.base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from kodosumi_lab.runtime.run import Run
from kodosumi_lab.widgets.base import STATIC, LabWidget

if TYPE_CHECKING:
    from kodosumi_lab.runtime.sweep import Sweep

__all__ = ["Inbox", "Replay", "RunView", "RunsView", "SweepView", "inbox", "runs_view"]


class RunView(LabWidget):
    """A run, live: status, progress, results, console, timeline, metrics, events, files and what it asks.

    Parameters
    ----------
    run
        The run.
    tab
        Which part is open at first: ``results``, ``console``, ``timeline`` and so on; None lets the view choose.
    compact
        Limit its height, as suits a cell's output.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> kl.run("5f2c81d0").view(tab="console")  # doctest: +SKIP
    """

    _esm = STATIC / "run.js"

    run_id = traitlets.Unicode().tag(sync=True)
    tab = traitlets.Unicode("").tag(sync=True)
    compact = traitlets.Bool(True).tag(sync=True)

    def __init__(self, run: Run, *, tab: str | None = None, compact: bool = True) -> None:
        super().__init__(log_dir=run.log_dir, run_id=run.id, tab=tab or "", compact=compact)

    def __repr__(self) -> str:
        return f"<RunView of {self.run!r}>"

    @property
    def run(self) -> Run:
        """The run that is shown; a rerun from within the view is another one."""
        return Run(self.run_id, log_dir=self._root)


class Replay(LabWidget):
    """A run that has ended, played as it happened, at 1 to 100 times its speed; needs no Ray.

    Parameters
    ----------
    run
        The run.
    """

    _esm = STATIC / "replay.js"

    run_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: Run) -> None:
        super().__init__(log_dir=run.log_dir, run_id=run.id)

    def __repr__(self) -> str:
        return f"<Replay of {Run(self.run_id, log_dir=self._root)!r}>"


class RunsView(LabWidget):
    """The list of runs: filters, search, order, pages; cancels and compares what is selected.

    Parameters
    ----------
    log_dir
        Directory of the log; by default this process's.
    **query
        What is listed at first: ``status flow user tag`` (a text or several), ``since until``
        (ISO times), ``search``, ``sort`` (``-started``).

    Attributes
    ----------
    selected : list[str]
        Ids of the chosen runs, in both directions.
    query : dict
        What is asked for now, in both directions.
    compared : list[str]
        Ids of the runs that were compared last.
    """

    _esm = STATIC / "runs.js"

    query = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    compared = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, *, log_dir: str | Path | None = None, **query: str | Sequence[str] | None) -> None:
        super().__init__(log_dir=log_dir, query=_asked(query))

    def __repr__(self) -> str:
        return f"<RunsView of the log {self._root}, by {self.query}: {len(self.selected)} chosen>"

    @property
    def runs(self) -> list[Run]:
        """The chosen runs."""
        return [Run(run_id, log_dir=self._root) for run_id in self.selected]


_SEVERAL = ("status", "flow", "user", "tag")
_ASKED = (*_SEVERAL, "since", "until", "search", "sort")


def _asked(query: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(query) - set(_ASKED))
    if unknown:
        raise TypeError(f"runs cannot be listed by {', '.join(unknown)}; expected some of: {', '.join(_ASKED)}")
    return {
        name: [value] if name in _SEVERAL and isinstance(value, str) else value
        for name, value in query.items()
        if value is not None
    }


class SweepView(LabWidget):
    """A sweep, live: a grid or a list of its combinations, with what is cancelled, run again and started in it.

    Parameters
    ----------
    sweep
        The sweep.

    Attributes
    ----------
    selected : str
        Id of the run that is shown below the grid; empty when none is.
    """

    _esm = STATIC / "sweep.js"

    sweep_id = traitlets.Unicode().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(log_dir=sweep.log_dir, sweep_id=sweep.id)
        self._sweep = sweep

    def __repr__(self) -> str:
        return f"<SweepView of {self._sweep!r}>"

    @property
    def run(self) -> Run | None:
        """The run that is shown below the grid."""
        return Run(self.selected, log_dir=self._root) if self.selected else None


class Inbox(LabWidget):
    """Everything that waits for a person, over all runs, oldest first, to be answered in place.

    Parameters
    ----------
    log_dir
        Directory of the log; by default this process's.

    Attributes
    ----------
    count : int
        How many wait; -1 until that is known.
    """

    _esm = STATIC / "inbox.js"

    count = traitlets.Int(-1).tag(sync=True)

    def __init__(self, *, log_dir: str | Path | None = None) -> None:
        super().__init__(log_dir=log_dir)


def runs_view(*, log_dir: str | Path | None = None, **query: str | Sequence[str] | None) -> RunsView:
    """The list of runs as a widget, see :class:`RunsView`; what is selected in it is ``view.selected``.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> view = kl.runs_view(status=["error", "lost"], search="timeout")  # doctest: +SKIP
    >>> view.runs  # doctest: +SKIP
    """
    return RunsView(log_dir=log_dir, **query)


def inbox(*, log_dir: str | Path | None = None) -> Inbox:
    """Everything that waits for a person as a widget, see :class:`Inbox`; ``kl.locks()`` has it as a frame."""
    return Inbox(log_dir=log_dir)
