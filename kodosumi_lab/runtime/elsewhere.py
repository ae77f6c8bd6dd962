"""The log, read from a node that does not hold it: the same queries, as Ray tasks where it lies.

A flow on another node that awaits a child run, or a notebook there, meets this class in
place of :class:`kodosumi_lab.runtime.query.EventLog`. Filters, columns and ``head`` travel
with the query; only what is asked for travels back.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from kodosumi_lab.runtime.layout import SegmentName
from kodosumi_lab.runtime.query import EVENTS, RUNS, EventLog

__all__ = ["RemoteLog"]


class RemoteLog(EventLog):
    """An event log on the cluster's head node; see :class:`kodosumi_lab.runtime.query.EventLog`."""

    def events(
        self,
        run_id: str | None = None,
        *,
        since: datetime.date | None = None,
        until: datetime.date | None = None,
    ) -> pl.LazyFrame:
        """Events, collected where the log lies."""
        return self._lazy(EVENTS, "events", run_id, since=since, until=until)

    def runs(self, *, hidden: bool = False) -> pl.LazyFrame:
        """All runs, collected where the log lies."""
        return self._lazy(RUNS, "runs", hidden=hidden)

    def _lazy(self, schema: pl.Schema, verb: str, *args: Any, **kwargs: Any) -> pl.LazyFrame:
        def generate(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            yield _there(_collect, str(self.root), verb, args, kwargs, with_columns, predicate, n_rows)

        return register_io_source(generate, schema=schema, is_pure=False)

    def run(self, run_id: str) -> dict[str, Any]:
        """Row of one run."""
        row: dict[str, Any] = self._ask("run", run_id)
        return row

    def place(self, run_id: str) -> int | None:
        """Place in the queue."""
        place: int | None = self._ask("place", run_id)
        return place

    def delete(self, run_id: str, by: str) -> None:
        """Leave a run out from now on."""
        self._ask("delete", run_id, by)

    def artifact(self, reference: dict[str, Any]) -> str:
        """Text of a payload that is kept beside the log."""
        return str(self._ask("artifact", reference))

    def positions(self) -> dict[SegmentName, int]:
        """Hot segments and their committed lengths now."""
        positions: dict[SegmentName, int] = self._ask("positions")
        return positions

    def _ask(self, verb: str, *args: Any) -> Any:
        return _there(_answer, str(self.root), verb, args)


def _there(function: Any, *args: Any) -> Any:
    """Call a function on the node that holds the log; its errors are raised as they are."""
    import ray

    try:
        return ray.get(_task(function).remote(*args))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


@cache
def _task(function: Any) -> Any:
    import ray

    # the Spooler's node, see cluster._actors
    return ray.remote(function).options(num_cpus=0, resources={"node:__internal_head__": 0.0001}, max_retries=3)


@cache
def _log(root: str) -> EventLog:
    return EventLog(Path(root))


def _answer(root: str, verb: str, args: tuple[Any, ...]) -> Any:
    return getattr(_log(root), verb)(*args)


def _collect(
    root: str,
    verb: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    columns: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> pl.DataFrame:
    frame = getattr(_log(root), verb)(*args, **kwargs)
    if predicate is not None:
        frame = frame.filter(predicate)
    if columns is not None:
        frame = frame.select(columns)
    found: pl.DataFrame = (frame if n_rows is None else frame.head(n_rows)).collect()
    return found
