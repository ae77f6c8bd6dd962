"""``python -m benchmarks [--quick] [--only PART …] [--peer FILE]``: measure, and write RESULTS.md.

Each part keeps its rows in ``rows.json``, of which the report is made, so a part can be measured
again on its own. What ``--quick`` measures goes to ``.bench`` instead: its sizes prove nothing.
Absolute numbers are those of the machine; what counts is each number beside the physical limit
measured in the same run, and beside the peer's on the same machine.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.tools import Row

HERE = Path(__file__).parent
QUICK = HERE.parent / ".bench"

#: What can be measured on its own, in the order of the report.
PARTS = {
    "cold": "ray_bench:cold_start",
    "idle": "ray_bench:idle",
    "ray": "ray_bench:run",
    "log": "log_bench:run",
    "list": "http_bench:lists",
    "sse": "http_bench:live",
    "launch": "service_bench:launching",
    "locks": "service_bench:locks",
    "browser": "browser_bench:run",
    "notebook": "notebook_bench:run",
    "sidebar": "sidebar_bench:run",
    "dashboard": "dashboard_bench:run",
}
#: Several parts by one name.
GROUPS = {"http": ["list", "sse", "launch", "locks"], "report": []}


def main() -> None:
    """Measure what was asked for, keep the raw rows, and write the report from all that there are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmarks themselves")
    parser.add_argument(
        "--only", nargs="+", choices=[*PARTS, *GROUPS], metavar="PART", help=", ".join([*PARTS, *GROUPS])
    )
    parser.add_argument("--peer", type=Path, default=HERE / "peer" / "kodosumi-1.1.0.json")
    arguments = parser.parse_args()
    folder = QUICK if arguments.quick else HERE
    folder.mkdir(exist_ok=True)
    kept = folder / "rows.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for part in [part for name in arguments.only or PARTS for part in GROUPS.get(name, [name])]:
        module, _, function = PARTS[part].partition(":")
        measure = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        known[part] = [row.to_dict() for row in measure(quick=arguments.quick)]
        kept.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    rows = [Row(**row) for part in PARTS for row in known.get(part, [])]
    peer = json.loads(arguments.peer.read_text()) if arguments.peer.exists() else {}
    text = report(rows, peer, "" if arguments.quick else (HERE / "NOTES.md").read_text())
    (folder / "RESULTS.md").write_text(text)
    print(text)


def report(rows: list[Row], peer: dict[str, Any], notes: str) -> str:
    """The report in Markdown; `notes` are what people have to say of it."""
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
    return "\n".join([*lines, "", notes]).rstrip() + "\n"


def compare(row: Row, theirs: float | None) -> tuple[str, str]:
    """Ratio to the peer in words, and whether what is asked for was reached."""
    if not theirs or row.ours <= 0:  # a difference of two measurements may be below nothing
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
