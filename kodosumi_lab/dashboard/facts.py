"""What there is on the cluster and on disk, as plain values. Asks Ray; call it in a thread."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.runtime import ownership

__all__ = ["ClusterFacts", "LogFacts", "Node", "Weight", "cluster_facts", "log_facts", "weigh"]

_ACTOR_S = 10.0
# A log is weighed again when this has passed, or so many times what it took: at most two per cent of a core.
_WEIGHED_S = 10.0
_WEIGHED_TIMES = 50


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster; amounts are in use and altogether.

    Attributes
    ----------
    id, host, address, head, alive
        Which.
    cpus, gpus, memory, objects
        Reserved and altogether; memory and object store in bytes.
    runs, actors
        Runs that are carried there now, and actors of any kind.
    """

    id: str
    host: str
    address: str
    head: bool
    alive: bool
    cpus: tuple[float, float]
    gpus: tuple[float, float]
    memory: tuple[float, float]
    objects: tuple[float, float]
    runs: list[str]
    actors: int


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster, and this log's actors on it.

    Attributes
    ----------
    address, version, dashboard
        Ray's; ``dashboard`` is the address of Ray's own, empty where it is off.
    nodes
        Alive ones first.
    dispatcher, spooler
        What they say of themselves; None where they did not answer, and why.
    """

    address: str
    version: str
    dashboard: str
    nodes: list[Node]
    dispatcher: dict[str, Any] | None
    spooler: dict[str, Any] | None
    silent: dict[str, str] = field(default_factory=dict)


def cluster_facts(gateway: Gateway) -> ClusterFacts:
    """The cluster that writes the log, which is joined for this.

    Raises
    ------
    ClusterError
        There is none, or it does not answer.
    """
    held = gateway.cluster.connection()
    import ray
    from ray._private import worker

    told: dict[str, Any] = {}
    silent: dict[str, str] = {}
    asked = {name: getattr(held, name).health.remote() for name in ("dispatcher", "spooler")}
    end = time.monotonic() + _ACTOR_S
    for name, answer in {**asked, "tables": held.dispatcher.tables.remote()}.items():
        try:
            told[name] = ray.get(answer, timeout=max(0.0, end - time.monotonic()))
        except ray.exceptions.RayError as error:
            silent["dispatcher" if name == "tables" else name] = " ".join(str(error).split())[:300]
    tables = told.get("tables") or {"nodes": [], "free": {}, "actors": []}
    carried = _carried(gateway, tables["actors"])
    nodes = [_node(one, tables["free"].get(one["NodeID"], {}), tables["actors"], carried) for one in tables["nodes"]]
    url = worker.get_dashboard_url() or ""  # type: ignore[no-untyped-call]
    return ClusterFacts(
        held.home.address,
        ray.__version__,
        url if not url or "://" in url else f"http://{url}",
        sorted(nodes, key=lambda node: (not node.alive, not node.head, node.host)),
        told.get("dispatcher"),
        told.get("spooler"),
        silent,
    )


def _carried(gateway: Gateway, actors: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Ids of open runs by the node of their Runner."""
    where = {one["name"]: one["node"] for one in actors if one["name"]}
    open_runs = gateway.index.frame().filter(pl.col("ended").is_null(), pl.col("runner").is_not_null())
    found: dict[str, list[str]] = {}
    for run_id, runner in open_runs.select("run_id", "runner").iter_rows():
        if runner in where:
            found.setdefault(where[runner], []).append(run_id)
    return found


def _node(
    one: dict[str, Any], free: dict[str, float], actors: list[dict[str, Any]], carried: dict[str, list[str]]
) -> Node:
    whole = one["Resources"]

    def used(name: str) -> tuple[float, float]:
        total = whole.get(name, 0.0)
        return (total - free.get(name, total) if one["Alive"] else 0.0), total

    return Node(
        one["NodeID"],
        one["NodeManagerHostname"],
        one["NodeManagerAddress"],
        "node:__internal_head__" in whole,
        one["Alive"],
        used("CPU"),
        used("GPU"),
        used("memory"),
        used("object_store_memory"),
        carried.get(one["NodeID"], []),
        sum(actor["node"] == one["NodeID"] for actor in actors),
    )


@dataclass(frozen=True, slots=True)
class Weight:
    """What a log takes on disk.

    Attributes
    ----------
    files
        How many.
    parts
        Bytes by folder of the log: ``events, runs, artifacts, files, hot, state``.
    at
        When they were counted.
    """

    files: int
    parts: dict[str, int]
    at: datetime.datetime

    @property
    def nbytes(self) -> int:
        """Altogether."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The log on disk.

    Attributes
    ----------
    path
        Its directory.
    hot_segments, hot_bytes
        What is not sealed yet.
    since, days
        Its first day, and on how many something has started.
    weight
        All of it.
    owners
        Who writes it: ``owner, host, address, pid, state, segments``.
    damaged
        Files that were set aside.
    """

    path: str
    hot_segments: int
    hot_bytes: int
    since: datetime.date | None
    days: int
    weight: Weight
    owners: list[dict[str, Any]]
    damaged: int


def log_facts(gateway: Gateway) -> LogFacts:
    """The log on disk; asks no Ray."""
    layout = gateway.log.layout
    states = {False: "alive", True: "gone", None: "on another host"}
    owners = [
        {
            "owner": one.owner,
            "host": one.host,
            "address": one.address,
            "pid": one.pid,
            "state": states[ownership.is_gone(one)],
            "segments": len(layout.hot_segments(one.owner)),
        }
        for one in ownership.owners(layout)
    ]
    positions = gateway.log.positions()
    dates = layout.dates("runs")
    damaged = len([*layout.damaged.iterdir()]) if layout.damaged.is_dir() else 0
    since = datetime.date.fromisoformat(dates[0]) if dates else None
    hot = len(positions), sum(positions.values())
    return LogFacts(str(layout.root), *hot, since, len(dates), weigh(layout.root), owners, damaged)


_weights: dict[Path, tuple[float, Weight]] = {}
_weighing = threading.Lock()


def weigh(root: Path) -> Weight:
    """What a log takes on disk; not walked through anew each time, but for all who ask."""
    with _weighing:
        until, found = _weights.get(root, (0.0, None))
        if found is None or time.monotonic() > until:
            began = time.monotonic()
            found = _walked(root)
            ended = time.monotonic()
            _weights[root] = ended + max(_WEIGHED_S, _WEIGHED_TIMES * (ended - began)), found
        return found


def _walked(root: Path) -> Weight:
    files, parts = 0, Counter[str]()
    for place, _, names in os.walk(root):
        part = os.path.relpath(place, root).partition(os.sep)[0]
        for name in names:
            try:
                parts[part] += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # sealed, compacted or removed meanwhile
                continue
            files += 1
    return Weight(files, dict(parts), datetime.datetime.now(datetime.UTC))
