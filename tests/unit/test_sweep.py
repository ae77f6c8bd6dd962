"""What a sweep is made of and what it says, read from logs that are written here: no Ray."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pytest
from logkit import Emitter, FastDisk, meta, new_run, row, status
from pydantic import Field, SecretStr

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, InputsError, RunNotFound
from kodosumi_lab.events import encode
from kodosumi_lab.runtime import sweep_plan as plans
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.sweep_frame import column


@kl.flow
def gaps(
    end: Annotated[int, Field(gt=0)], tasks: int = 1, names: list[str] | None = None, key: SecretStr | None = None
) -> int:
    return end


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"end": 5}, "nothing to sweep over"),
        ({"end": []}, "the list for end is empty"),
        ({"end": [1, 2], "tasks": [1], "zipped": True}, "end has 2, tasks has 1"),
        ({"end": [1], "max_concurrent": 0}, "max_concurrent is 0"),
    ],
)
def test_a_sweep_that_cannot_be_says_why(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match=message):
        gaps.sweep(**inputs)


def test_what_is_wrong_with_any_combination_is_told_once_and_before_anything_starts() -> None:
    with pytest.raises(InputsError) as refused:
        gaps.sweep(end=[1, -1, -2], tasks=[1, "many"], mood="good", names=[["a"], "b"])
    assert refused.value.flow == "gaps"
    assert refused.value.errors == {
        "end": [
            "with end=-1: Input should be greater than 0, not -1",
            "with end=-2: Input should be greater than 0, not -2",
        ],
        "tasks": ["with tasks='many': Input should be a valid integer, unable to parse string as an integer"],
        "names": ["with names='b': Input should be a valid list"],
        "mood": ["is no input of this flow, which takes: end, tasks, names, key"],
    }


def test_lists_are_multiplied_or_taken_side_by_side() -> None:
    plan = plans.planned({"end": pl.Series([1, 2]), "tasks": (3, 4), "names": "x"}, False)
    assert plan.combinations() == [{"end": e, "tasks": t} for e in (1, 2) for t in (3, 4)]
    assert plan.same == {"names": "x"}
    assert plans.planned({"end": range(2), "tasks": [3, 4]}, True).combinations() == [
        {"end": 0, "tasks": 3},
        {"end": 1, "tasks": 4},
    ]


@pytest.mark.parametrize("zipped", [False, True])
def test_the_plan_is_recorded_where_the_combinations_follow_from_it(zipped: bool) -> None:
    plan = plans.planned({"end": [1, "2", 3], "tasks": [4, 5, 6], "names": [["a"], ["b"], []]}, zipped)
    checked = plans.checked_of(gaps, plan)
    recorded = plans.recorded(plan, checked)
    assert recorded == {"lists": {"end": [1, 2, 3], "tasks": [4, 5, 6], "names": [["a"], ["b"], []]}}
    secret = plans.planned({"end": [1], "key": "hush"}, zipped)
    assert plans.recorded(secret, plans.checked_of(gaps, secret)) == {}


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, None, 3], pl.Int64, [1, None, 3]),
        ([1, 2.5], pl.Float64, [1.0, 2.5]),
        ([True, False], pl.Boolean, [True, False]),
        ([1, "a"], pl.String, ["1", "a"]),
        ([[1], [2, 3]], pl.List(pl.Int64), [[1], [2, 3]]),
        ([[1], [1.5]], pl.String, ["[1]", "[1.5]"]),
        ([{"a": 1}, {"a": 2}], pl.Struct({"a": pl.Int64}), [{"a": 1}, {"a": 2}]),
        ([{"a": 1}, {"b": 2}], pl.String, ['{"a":1}', '{"b":2}']),
        ([2**70], pl.Int128, [2**70]),
        ([None, None], pl.Null, [None, None]),
    ],
)
def test_a_column_has_the_type_of_its_values_and_loses_none(values: list[Any], dtype: Any, expected: list[Any]) -> None:
    made = column("x", values)
    assert made.dtype == dtype
    assert made.to_list() == expected


def test_a_column_of_tables_can_be_exploded() -> None:
    one = pl.DataFrame({"day": [datetime.date(2026, 1, 1)], "n": [1]})
    made = column("result", [one, None, one.clear()])
    assert made.to_frame().explode("result").unnest("result").rows() == [
        (datetime.date(2026, 1, 1), 1),
        (None, None),
    ]
    assert column("result", [one, one.rename({"n": "m"})]).dtype == pl.String


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    yield made
    made.close()


def write(writer: LogWriter, n: int, index: int, *rest: Any, **more: Any) -> str:
    run = Emitter(new_run(n=n))
    about = {"id": "abc", "index": index, "of": 3, "over": ["end"], "zipped": False, **more}
    first = meta(flow="gaps", tags=["x", "sweep:abc"], sweep=about, options={})
    run.send(
        writer, first, row("inputs", {"end": [10, 20, 30][index], "status": "odd", "key": {"secret": True}}), *rest
    )
    return run.run_id


def final(value: Any) -> Any:
    return (*row("final")[:3], encode(value))


def test_a_sweep_is_found_in_the_log_with_its_newest_runs_and_what_was_never_started(writer: LogWriter) -> None:
    root = writer.layout.root
    failed = write(
        writer, 0, 0, status("running"), row("error", {"type": "E", "message": "no"}), status("error", reason="E: no")
    )
    newer = write(writer, 1, 0, status("running"), final({"a": 1, "b": "x"}), status("finished"))
    other = write(writer, 2, 1, status("running", runner="r"))
    Emitter(new_run(n=3)).send(writer, meta(tags=["sweep:other"]), row("inputs", {}))
    sweep = kl.sweep("abc", log_dir=root)
    assert [run.id for run in sweep] == [newer, other]
    assert failed not in [run.id for run in sweep.runs]
    assert len(sweep) == 2

    write(writer, 4, 1, status("running"), final({"a": 2}), status("finished"), lists={"end": [10, 20, 30]})
    assert len(sweep.frame()) == 3  # as of each look
    frame = kl.sweep("abc", log_dir=root).frame()
    assert frame.columns[:3] == ["combination", "end", "input.status"]
    assert frame.select("end", "status", "result.a", "result.b").rows() == [
        (10, "finished", 1, "x"),
        (20, "finished", 2, None),
        (30, None, None, None),
    ]
    assert "key" not in frame.columns
    assert repr(sweep) == "<Sweep abc gaps over end: 2 finished, 1 waiting>"
    with pytest.raises(IndexError, match="combination 2 of sweep abc is not started"):
        sweep[2]
    with pytest.raises(RunNotFound, match="no sweep 'nowhere'"):
        kl.sweep("nowhere", log_dir=root)


def test_secrets_are_not_kept_so_a_sweep_that_had_some_is_not_gone_on_with(writer: LogWriter) -> None:
    write(writer, 0, 0, status("running"), status("error", reason="E: no"))
    sweep = kl.sweep("abc", log_dir=writer.layout.root)
    with pytest.raises(FlowError, match=r"had secrets, which are not kept \(key\)"):
        sweep.rerun_failed()


def test_a_handle_is_pickled_and_what_is_badly_said_is_passed_over(writer: LogWriter) -> None:
    import pickle

    write(writer, 0, 0, status("running"), final(1), status("finished"))
    odd = meta(flow="gaps", tags=["sweep:abc"], sweep={"id": "abc"}, options={})
    Emitter(new_run(n=1)).send(writer, odd, row("inputs", {}))
    again = pickle.loads(pickle.dumps(kl.sweep("abc", log_dir=writer.layout.root)))
    assert (again.id, again.of, again.counts) == ("abc", 3, {"finished": 1})


def test_a_grid_tells_each_state_in_words(writer: LogWriter) -> None:
    html = "<b>"
    write(writer, 0, 0, status("running"), row("error", {"type": "E", "message": html}), status("error", reason=html))
    write(writer, 1, 1, status("running"), final(None), status("finished"))
    shown = kl.sweep("abc", log_dir=writer.layout.root)._repr_mimebundle_()["text/html"]
    assert "✗ error" in shown
    assert "✓ finished" in shown
    assert "E: &lt;b&gt;" in shown
    assert 'max="2"' in shown
