"""``python -m benchmarks [--quick] [--only log|ray] [--peer FILE]``: measure, and write RESULTS.md.

Absolute numbers are those of the machine; what counts is each number beside the physical
limit measured in the same run, and beside the peer's on the same machine.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.tools import Row

HERE = Path(__file__).parent
CACHE = HERE.parent / ".bench"


def main() -> None:
    """Measure what was asked for, keep the raw rows, and write the report from all that there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmarks themselves")
    parser.add_argument("--only", choices=["log", "ray", "http", "report"])
    parser.add_argument("--peer", type=Path, default=HERE / "peer" / "kodosumi-1.1.0.json")
    arguments = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    for name in ("log", "ray", "http"):
        if arguments.only in (None, name):
            module = __import__(f"benchmarks.{name}_bench", fromlist=["run"])
            rows = [row.to_dict() for row in module.run(quick=arguments.quick)]
            (CACHE / f"{name}.json").write_text(json.dumps(rows, indent=1))
    rows = [Row(**row) for name in ("ray", "log", "http") if (CACHE / f"{name}.json").exists() for row in json.loads((CACHE / f"{name}.json").read_text())]  # fmt: skip
    peer = json.loads(arguments.peer.read_text()) if arguments.peer.exists() else {}
    text = report(rows, peer)
    (HERE / "RESULTS.md").write_text(text)
    print(text)


def report(rows: list[Row], peer: dict[str, Any]) -> str:
    """The report in Markdown."""
    from benchmarks.peer_paths import peer_value

    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("ray", "polars", "pyarrow", "pydantic")
    )
    lines = [
        "# Results",
        "",
        "Made by `make bench` (`python -m benchmarks`); the peer's column by `python benchmarks/peer/kodosumi_peer.py`.",
        f"{datetime.date.today().isoformat()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.",
        "The machine is shared and noisy: read ratios, not absolute numbers.",
        "",
        "| what | ours | physical limit in the same run | kodosumi 1.1.0 | ours to peer | asked for | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    scaling = []
    for row in rows:
        if row.what.startswith("scaling: "):
            scaling.append(row)
            continue
        theirs = peer_value(peer, row.what)
        limit = f"{number(row.limit)} ({row.limit_name})" if row.limit is not None else ""
        ratio, reached = compare(row, theirs)
        note = f" ({row.note})" if row.note else ""
        shown = f"{number(theirs)} {row.unit}".strip() if theirs is not None else ""
        lines.append(
            f"| {row.what} | {number(row.ours)} {row.unit}{note} | {limit} | {shown} | {ratio} | {row.must} | {reached} |"
        )
    lines += ["", "## How cost grows", "", "| what | ours |", "|---|---|"]
    for row in scaling:
        note = f" ({row.note})" if row.note else ""
        lines.append(f"| {row.what.removeprefix('scaling: ')} | {number(row.ours)} {row.unit}{note} |")
    notes = HERE / "NOTES.md"
    if notes.exists():
        lines += ["", notes.read_text().strip()]
    return "\n".join(lines) + "\n"


def compare(row: Row, theirs: float | None) -> tuple[str, str]:
    """Ratio to the peer in words, and whether what is asked for was reached."""
    if theirs is None or not row.ours or not theirs:
        return "", {True: "yes", False: "**no**", None: ""}[row.reached]
    rate = row.unit == "1/s"
    ratio = row.ours / theirs if rate else theirs / row.ours
    needed = {"≥ ½ of pyarrow, ≥ 400 × peer": 400, "≤ ½ of the peer's": 2, "≥ 10 × faster than the peer": 10, "≤ 1/10 of the peer's": 10}.get(row.must)  # fmt: skip
    reached = row.reached is not False and (needed is None or ratio >= needed)
    text = (
        f"{number(ratio)} × {'more' if rate else 'less'}"
        if ratio >= 1
        else f"{number(1 / ratio)} × {'less' if rate else 'more'}"
    )
    return text, "yes" if reached and (row.reached or needed) else "**no**" if row.must else ""


def number(value: float | None) -> str:
    """A number as people read it: three digits that matter."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
