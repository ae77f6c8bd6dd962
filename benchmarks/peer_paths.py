"""Which number of the peer's JSON stands beside which of ours."""

from __future__ import annotations

from typing import Any

__all__ = ["peer_value"]

#: Beginning of our row's name, to paths in the peer's JSON that are added up.
_PATHS = {
    "cold start to": ["cold_start.cold_start_s"],
    "processes when idle": ["idle_beside_ray.processes_idle"],
    "CPU when idle": ["idle_beside_ray.cpu_idle_percent"],
    "durable events per second": ["burst_sync.durable_events_per_s"],
    "cost of one emit, sync": ["burst_sync.emit_us"],
    "cost of one emit, async": ["burst_async.emit_us"],
    "emit → durable, idle, median": ["idle_emit_to_durable_sync.median_ms"],
    "emit → durable, idle, p99": ["idle_emit_to_durable_sync.p99_ms"],
    "launch → first event durable": ["launch.launch_to_first_event_durable_ms"],
    "launch → flow code running, warm": ["launch.launch_to_flow_running_ms"],
    "20 runs at once": ["twenty_runs.twenty_runs_s"],
    "memory per running flow": ["sleeping_flow.memory_per_running_flow.pss_mb"],
    "one flow asleep": ["sleeping_flow.cpu_one_sleeping_flow_percent"],
    "dashboard, runs: address → drawn, 1,000 runs": ["dashboard.runs_drawn_ms"],
    "dashboard, analytics: address → drawn, 1,000 runs": ["dashboard.numbers_drawn_ms"],
    "dashboard, runs: text search without a match → drawn, 1,000 runs": ["dashboard.search_ms"],
    "bytes per event on disk": ["burst_sync.database_bytes_per_event", "burst_sync.spooler_log_bytes_per_event"],
}


def peer_value(peer: dict[str, Any], what: str) -> float | None:
    """The peer's number for one of our rows, in our unit; None where it has none."""
    for beginning, paths in _PATHS.items():
        if what.startswith(beginning):
            values = [_at(peer, path) for path in paths]
            found = [value for value in values if value is not None]
            return sum(found) if len(found) == len(paths) else None
    return None


def _at(data: Any, path: str) -> float | None:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return float(data) if isinstance(data, int | float) else None
