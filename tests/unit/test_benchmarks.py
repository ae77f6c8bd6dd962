"""What `make bench` measures and how its report reads; the measuring itself is tried with ``--quick``."""

from __future__ import annotations

import importlib
import inspect

import pytest

from benchmarks import __main__ as bench
from benchmarks.tools import Row


@pytest.mark.parametrize("part", bench.PARTS)
def test_each_part_can_be_measured_alone_and_quickly(part: str) -> None:
    module, _, function = bench.PARTS[part].partition(":")
    measure = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    assert list(inspect.signature(measure).parameters) == ["quick"]
    assert inspect.getdoc(measure)


def test_groups_name_parts() -> None:
    assert {part for parts in bench.GROUPS.values() for part in parts} <= set(bench.PARTS)


def test_the_report_says_what_was_reached_and_what_was_not() -> None:
    rows = [
        Row("launch → first event durable", 12.7, "ms", must="≤ 20 ms", reached=True),
        Row("durable events per second, one run, 200-byte payloads", 90_000, "1/s", 700_000, "pyarrow", "≥ ½ of pyarrow, ≥ 400 × peer", False),
        Row("scaling: 5 runs at once, 500 events each", 4.2, "s"),
    ]  # fmt: skip
    peer = {"launch": {"launch_to_first_event_durable_ms": 4386.0}, "burst_sync": {"durable_events_per_s": 200.0}}
    lines = bench.report(rows, peer, "## Notes").splitlines()
    assert "| launch → first event durable | 12.7 ms |  | 4,386 ms | 345 × less | ≤ 20 ms | yes |" in lines
    assert any("450 × more" in line and line.endswith("| **no** |") for line in lines)
    assert "| 5 runs at once, 500 events each | 4.2 s |" in lines
    assert lines[-1] == "## Notes"
