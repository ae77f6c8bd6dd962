"""Sweeps as the log has them: their combinations, and the runs of those that were started."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.events import loads, run_date
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime.run import Run, event_log
from kodosumi_lab.runtime.sweep_plan import Plan
from kodosumi_lab.runtime.sweep_starter import Point

__all__ = ["points_of"]

_SAID = frozenset({"id", "index", "over", "zipped"})


def points_of(sweep_id: str, log_dir: str | Path) -> tuple[dict[str, Any], list[Point]]:
    """What the runs of a sweep say of it, and its combinations: of several runs of one the newest counts.

    Raises
    ------
    RunNotFound
        There is no run of it that can be read.
    """
    import polars as pl

    log = event_log(log_dir)
    mine = pl.col("tags").list.contains(f"sweep:{sweep_id}")
    ids = tuple(log.runs().filter(mine).select("run_id").sort("run_id").collect()["run_id"])
    if not ids:
        raise RunNotFound(f"no sweep {sweep_id!r} in the log {log.root}; its runs would have the tag sweep:{sweep_id}")
    said = _said(log.root, ids)
    if len(said) < len(ids):
        _said.cache_clear()  # what cannot be read yet is asked for again
    found: dict[int, Point] = {}
    about: dict[str, Any] = {}
    for run_id, (meta, inputs) in said.items():
        said_of = meta.get("sweep")
        if isinstance(said_of, dict) and said_of.get("id") == sweep_id and said_of.keys() >= _SAID:
            about = {"flow": meta["flow"], **said_of}
            found[about["index"]] = Point(about["index"], Inputs(inputs), Run(run_id, log_dir=log.root))
    if not found:
        raise RunNotFound(f"no run of sweep {sweep_id!r} can be read in the log {log.root}")
    return about, [found[index] for index in sorted(found)] if "lists" not in about else _whole(about, found)


@functools.lru_cache(4)  # a view asks every second, and neither ever changes
def _said(root: Path, ids: tuple[str, ...]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """``meta`` and ``inputs`` of runs by their id, in the order of the ids; those that cannot be read are left out."""
    import polars as pl

    log = event_log(root)
    since, until = (datetime.date.fromisoformat(run_date(run_id)) for run_id in (ids[0], ids[-1]))
    wanted = pl.col("run_id").is_in(ids) & pl.col("kind").is_in(["meta", "inputs"])
    events = log.events(since=since, until=until).filter(wanted & (pl.col("seq") < 3)).collect()
    said: dict[tuple[str, str], Any] = {
        (run_id, kind): loads(payload, log.artifact)
        for run_id, kind, payload in events.select("run_id", "kind", "payload").iter_rows()
    }
    both = ((run_id, said.get((run_id, "meta")), said.get((run_id, "inputs"))) for run_id in ids)
    return {run_id: (meta, inputs) for run_id, meta, inputs in both if meta is not None and inputs is not None}


def _whole(about: dict[str, Any], found: dict[int, Point]) -> list[Point]:
    like = next(iter(found.values())).inputs.wire
    plan = Plan(about["lists"], {}, about["zipped"])
    return [
        found.get(index) or Point(index, Inputs({**like, **given})) for index, given in enumerate(plan.combinations())
    ]
