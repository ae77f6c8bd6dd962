"""``events``, ``runs``, ``locks`` and ``run``: the log as a person reaches it, with or without Ray."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.runtime.run import Run, event_log

if TYPE_CHECKING:
    import polars as pl

__all__ = ["events", "locks", "run", "runs"]


def events(
    run_id: str | None = None,
    *,
    since: datetime.date | None = None,
    until: datetime.date | None = None,
    log_dir: str | Path | None = None,
) -> pl.LazyFrame:
    """Events of all runs, finished and live, as a Polars LazyFrame over the log.

    See :meth:`kodosumi_lab.runtime.query.EventLog.events` for arguments and columns.

    Examples
    --------
    >>> import kodosumi_lab as kl, polars as pl
    >>> kl.events().group_by("kind").len().collect()  # doctest: +SKIP
    """
    return event_log(log_dir).events(run_id, since=since, until=until)


def runs(*, log_dir: str | Path | None = None) -> pl.LazyFrame:
    """All runs, finished and live, one row each, as a Polars LazyFrame.

    See :meth:`kodosumi_lab.runtime.query.EventLog.runs` for the columns.
    """
    return event_log(log_dir).runs()


def locks(*, log_dir: str | Path | None = None) -> pl.LazyFrame:
    """Everything that waits for a person, over all runs, as a Polars LazyFrame.

    See :func:`kodosumi_lab.runtime.locks.open_locks` for the columns.
    """
    from kodosumi_lab.runtime.locks import open_locks

    return open_locks(event_log(log_dir))


def run(run_id: str, *, log_dir: str | Path | None = None) -> Run:
    """Handle of a run that was launched anywhere, at any time.

    Parameters
    ----------
    run_id
        The id, or its last characters where they are unique.

    Raises
    ------
    RunNotFound
        The log holds no such run, or several end like that.
    """
    import polars as pl

    log = event_log(log_dir)
    if len(run_id) == 36:
        log.run(run_id)
        return Run(run_id, log_dir=log.root)
    found = log.runs().filter(pl.col("run_id").str.ends_with(run_id)).select("run_id").collect()["run_id"]
    if len(found) != 1 or len(run_id) < 4:
        raise RunNotFound(
            f"{len(found)} runs in the log {log.root} end with {run_id!r}; give the whole id or at least four "
            "characters that only one has (`kodosumi-lab runs` lists them)"
        )
    return Run(found[0], log_dir=log.root)
