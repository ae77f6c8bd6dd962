"""What the Cluster page tells of the log on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apikit import Recorded

from kodosumi_lab.dashboard.facts import log_facts, weigh


def seal(recorded: Recorded) -> None:
    recorded.writer.rotate()
    for name in recorded.writer.to_seal():
        recorded.writer.seal(name)


def test_the_log_is_weighed_part_by_part(app: Any, recorded: Recorded) -> None:
    seal(recorded)
    facts = log_facts(app.state.gateway)
    files = [path for path in recorded.root.rglob("*") if path.is_file()]
    assert facts.weight.files == len(files)
    assert facts.weight.nbytes == sum(path.stat().st_size for path in files)
    events = sum(path.stat().st_size for path in (recorded.root / "events").rglob("*.parquet"))
    assert facts.weight.parts["events"] == events > 0
    assert facts.days == 1
    assert facts.since is not None


def test_it_is_not_walked_through_for_each_who_asks(recorded: Recorded) -> None:
    before = weigh(recorded.root)
    (recorded.root / "state" / "more").write_bytes(b"x" * 1000)
    assert weigh(recorded.root) is before
    assert weigh(Path(recorded.root, "hot")).nbytes == before.parts["hot"], "another place is another weight"
