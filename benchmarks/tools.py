"""What every benchmark shares: rows of the report, timing, memory and CPU of processes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import psutil

__all__ = ["Row", "cpu_by_process", "cpu_percent", "median", "p99", "pss_mb", "timed"]


@dataclass
class Row:
    """One line of the report.

    Attributes
    ----------
    what, ours, unit
        What was measured.
    limit, limit_name
        The physical limit in the same run, and what that is.
    must
        What DESIGN asks for, in words; empty where it asks nothing.
    reached
        Whether it was; None where nothing is asked.
    peer
        Path of the peer's number in its JSON, dotted.
    """

    what: str
    ours: float
    unit: str
    limit: float | None = None
    limit_name: str = ""
    must: str = ""
    reached: bool | None = None
    peer: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def median(values: Iterable[float]) -> float:
    """Median."""
    return statistics.median(values)


def p99(values: Iterable[float]) -> float:
    """99th percentile (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def timed(call: Callable[[], Any], times: int = 1) -> list[float]:
    """Seconds of each of several calls."""
    result = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        result.append(time.perf_counter() - started)
    return result


def pss_mb(pid: int) -> float:
    """Proportional set size of a process in MiB: shared pages count for their share."""
    return float(psutil.Process(pid).memory_full_info().pss) / 2**20


def cpu_percent(processes: list[psutil.Process], seconds: float) -> float:
    """Per cent of one core that processes use together over a time."""
    return sum(cpu_by_process(processes, seconds).values())


def cpu_by_process(processes: list[psutil.Process], seconds: float) -> dict[int, float]:
    """Per cent of one core that each of several processes uses over a time, by its id."""
    before, started = _cpu(processes), time.perf_counter()
    time.sleep(seconds)
    after, passed = _cpu(processes), time.perf_counter() - started
    return {pid: (after[pid] - before[pid]) / passed * 100 for pid in before.keys() & after.keys()}


def _cpu(processes: list[psutil.Process]) -> dict[int, float]:
    found = {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[process.pid] = times.user + times.system
    return found
