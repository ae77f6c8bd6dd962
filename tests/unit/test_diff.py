"""Comparing runs that are written here: what is the same, what is not, and how that is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from logkit import T0, Emitter, FastDisk, meta, new_run, row, status

import kodosumi_lab as kl
from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.events import encode
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.run import Run

SECOND = 1_000_000


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    yield made
    made.close()


def span(
    ids: str, name: str, parent: str | None = None, took: float | None = None, error: str | None = None
) -> list[Any]:
    opened = row("span", {"id": ids, "parent": parent, "name": name, "state": "open"})
    closed = row("span", {"id": ids, "name": name, "state": "closed", "duration_s": took, "error": error})
    return [opened] if took is None else [opened, closed]


def shown(kind: str, value: Any) -> Any:
    return (*row(kind)[:3], encode(value))


def write(writer: LogWriter, n: int, *rows: Any, inputs: Any = None, took: float = 1.0, **about: Any) -> Run:
    made = Emitter(new_run(n=n))
    first = meta(flow="gaps", entrypoint="m:gaps", timeout_s=None, retries=0, **{"options": {}, **about})
    end = row("status", {"status": "finished"}, T0 + int(took * SECOND))
    made.send(writer, first, row("inputs", inputs or {}), status("running"), *rows, end)
    return Run(made.run_id, log_dir=writer.layout.root)


@pytest.fixture
def two(writer: LogWriter) -> tuple[Run, Run]:
    metrics = [row("metric", {"name": "speed", "value": v, "step": i, "unit": "1/s"}) for i, v in enumerate((3, 1, 2))]
    lock = [
        row("lock", {"lid": "l1", "name": "approval", "data": {"q": 1}}),
        row("lease", {"lid": "l1", "by": "ada", "result": True}, T0 + SECOND),
    ]
    one = write(
        writer, 1, *span("a", "read", took=1.0), *span("b", "parse", "a", took=0.2), *span("c", "read", took=2.0),
        *metrics, *lock, shown("result", {"x": 1}), shown("result", pl.DataFrame({"n": [1, 2]})), shown("final", "done"),
        inputs={"end": 10, "deep": True, "text": "<b>"}, took=10.0,
    )  # fmt: skip
    other = write(
        writer, 2, *span("d", "read", took=1.02), *span("e", "read", took=3.0, error="ValueError()"),
        *metrics[:2], lock[0], row("lease", {"lid": "l1", "expired": True, "result": None}, T0 + SECOND),
        shown("result", {"x": 1}), shown("result", pl.DataFrame({"n": [1, 3]})), shown("final", "done"),
        inputs={"end": 100, "deep": True, "text": "<b>"}, took=10.4, options={"num_cpus": 2},
    )  # fmt: skip
    return one, other


def test_runs_are_compared_line_by_line(two: tuple[Run, Run]) -> None:
    found = kl.diff(*two)
    assert found.different == [
        ("inputs", "end"),
        ("options", "num_cpus"),
        ("steps", "read › parse"),
        ("steps", "read #2"),
        ("metrics", "speed [1/s], last"),
        ("locks", "approval, answer"),
        ("locks", "approval, by"),
        ("results", "2"),
    ]
    frame = found.frame()
    one, other = (run.id[-8:] for run in two)
    assert frame.columns == ["section", "name", one, other, "same"]
    lines = {tuple(line[:2]): line[2:] for line in frame.rows()}
    assert lines["inputs", "end"] == ("10", "100", False)
    assert lines["options", "num_cpus"] == (None, "2", False)
    assert lines["steps", "read"] == ("1.0 s", "1.0 s", True)
    assert lines["steps", "read › parse"] == ("0.2 s", None, False)
    assert lines["steps", "read #2"] == ("2.0 s", "3.0 s, ValueError()", False)
    assert lines["durations", "running to end"] == ("10.0 s", "10.4 s", True)
    assert lines["durations", "waiting at approval"] == ("1.0 s", "1.0 s", True)
    assert lines["metrics", "speed [1/s], min"] == ("1", "1", True)
    assert lines["locks", "approval, answer"] == ("true", "expired", False)
    assert lines["results", "2"] == ("table of 2 rows, 1 columns",) * 2 + (False,)  # told apart by what is in it
    assert lines["results", "returned"] == ("done", "done", True)


def test_a_section_of_numbers_has_numbers(two: tuple[Run, Run]) -> None:
    metrics = kl.diff(*two).frame("metrics")
    assert metrics.select(pl.col(pl.Float64)).rows() == [(2.0, 1.0), (1.0, 1.0), (3.0, 3.0)]
    assert kl.diff(*two).frame("errors").schema == {**metrics.schema, **dict.fromkeys(metrics.columns[2:4], pl.Float64)}
    with pytest.raises(ValueError, match="no section 'step'; there are: status, inputs"):
        kl.diff(*two).frame("step")


def test_differences_are_marked_in_words_and_signs(two: tuple[Run, Run]) -> None:
    found = kl.diff(*two)
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"].splitlines()[:2] == [
        f"<Diff {two[0].id[-8:]} {two[1].id[-8:]}: 8 of {len(found.frame())} differ>",
        "  ≠ inputs: end: 10 | 100",
    ]
    page = bundle["text/html"]
    assert page.count('aria-label="differs">≠') == 8
    assert "<summary>inputs: 1 of 3 differ</summary>" in page
    assert "<details><summary>status: 4 the same</summary>" in page
    assert "<b>" not in page.split("text</th>")[1].split("</tr>")[0]  # what a run says is escaped
    assert "&lt;b&gt;" in page


def test_runs_are_named_by_the_end_of_their_ids_and_several_can_be_compared(
    two: tuple[Run, Run], writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", str(writer.layout.root))
    failed = Emitter(new_run(n=3))
    error = row("error", {"type": "ValueError", "message": "no", "traceback": "…"})
    failed.send(
        writer, meta(flow="gaps", options={}), row("inputs", {"end": 10}), status("running"), error, status("error")
    )
    found = kl.diff(two[0], two[1].id[-8:], failed.run_id)
    assert found.frame("errors").row(0)[1:] == ("error", None, None, "ValueError: no", False)
    assert found.frame("status").filter(name="status").row(0)[2:] == ("finished", "finished", "error", False)
    with pytest.raises(ValueError, match="is named twice"):
        kl.diff(two[0], two[0].id)
    with pytest.raises(RunNotFound):
        kl.diff(two[0], "ffffffff")
