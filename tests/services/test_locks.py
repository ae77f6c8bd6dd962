"""Waiting for a person: with a form and without, the log's list of locks, and who won."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from conftest import eventually
from services import asking

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, InputsError, LockClosed
from kodosumi_lab.runtime.locks import LOCKS
from kodosumi_lab.runtime.mock import TracerMock

pytestmark = pytest.mark.ray


def opened(run: kl.Run, count: int = 1) -> list[dict[str, Any]]:
    return eventually(lambda: run.locks if len(run.locks) == count else [], timeout_s=60)


def payloads(run: kl.Run, kind: str) -> list[dict[str, Any]]:
    frame = run.events().filter(pl.col("kind") == kind).sort("seq").collect()
    return [json.loads(text) for text in frame["payload"]]


def test_an_answer_that_does_not_fit_leaves_the_lock_open(lab: Any) -> None:
    run = asking.review.launch()
    (lock,) = opened(run)
    shown = run.lock()
    assert shown["data"] == {"page": 3}
    assert [element["type"] for element in shown["form"]] == ["markdown", "number", "boolean", "password"]
    assert shown["form"][3]["value"] is None
    for wrong in ({"amount": "0"}, {}, {"amount": 1, "other": 2}, "yes"):
        with pytest.raises(InputsError):
            run.answer(wrong)
    assert run.status == "awaiting"
    assert run.answer({"amount": "3", "sure": "on", "pin": "1234"}, by="ada")["amount"] == 3
    assert run.result(60) == {"amount": 3, "sure": True, "pin": "1234"}
    (lease,) = payloads(run, "lease")
    assert (lease["lid"], lease["by"]) == (lock["lid"], "ada")
    assert lease["result"] == {"amount": 3, "sure": True, "pin": {"secret": True}}
    written = run.events().filter(pl.col("kind") != "final").collect()["payload"].to_list()
    assert not any("1234" in text for text in written)


def test_the_first_answer_wins(lab: Any) -> None:
    run = asking.review.launch()
    (lock,) = opened(run)
    run.answer({"amount": 1}, by="ada")
    with pytest.raises((LockClosed, LookupError)):
        run.answer({"amount": 2}, lock=lock["lid"], by="bob")
    assert run.result(60)["amount"] == 1


def test_a_lock_that_nobody_answers_expires(lab: Any) -> None:
    run = asking.review_sync.launch()
    assert "gave up: nobody answered lock 'short'" in run.result(60)


def test_everything_that_waits_is_one_frame(lab: Any) -> None:
    run = asking.two_at_once.launch()
    opened(run, 2)
    frame = kl.locks().filter(pl.col("run_id") == run.id).collect()
    assert frame.schema == LOCKS
    assert frame.select("name", "agent", "flow", "form").rows() == [
        ("one", None, "two_at_once", frame["form"][0]),
        ("two", "clerk", "two_at_once", None),
    ]
    assert json.loads(frame["form"][0])[0]["name"] == "t"
    assert [round(left.total_seconds() / 3600, 3) for left in frame["expires"] - frame["ts"]] == [3, 3]
    assert kl.locks().filter(pl.col("run_id") == run.id).select("lid").head(1).collect().shape == (1, 1)
    run.answer({"t": "x"}, lock="one")
    assert kl.locks().filter(pl.col("run_id") == run.id).collect()["name"].to_list() == ["two"]
    assert run.status == "awaiting"
    run.answer([1, None], lock="two")
    assert run.result(60) == [{"t": "x"}, [1, None]]


def test_a_mock_prints_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    tracer = TracerMock({"approval": {"amount": 1}})
    assert asyncio.run(asking.review(tracer=tracer)) == {"amount": 1}
    tracer.markdown_sync("# Title")
    tracer.agent("clerk").debug_sync("said")
    with tracer.span("work"):
        tracer.warning_sync("careful")
    told = capsys.readouterr()
    assert "[result] # Title" in told.out
    assert "[debug clerk] said" in told.out
    assert "[stderr] careful" in told.err


def test_a_form_must_be_one(lab: Any) -> None:
    with pytest.raises(FlowError, match="a form is a list"):
        TracerMock().lock_sync("x", form={"type": "text"})
