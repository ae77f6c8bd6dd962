"""Real LangGraph graphs: nodes are spans, interrupts are locks."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.errors import InputsError, RunFailed
from kodosumi_lab.flow import load

pytest.importorskip("langgraph", reason="`make test-integrations` has an environment with it")
pytestmark = pytest.mark.ray


def payloads(run: kl.Run, kind: str) -> list[Any]:
    return [json.loads(text) for text in run.events().filter(pl.col("kind") == kind).sort("seq").collect()["payload"]]


def spans(run: kl.Run, state: str) -> list[dict[str, Any]]:
    return [span for span in payloads(run, "span") if span["state"] == state]


@pytest.mark.parametrize("launched_as", ["flow", "path", "value"])
def test_nodes_are_spans_and_interrupts_are_locks(lab: Any, launched_as: str) -> None:
    from integrations import graphs

    flows = {
        "flow": graphs.refund,
        "path": load("integrations.graphs:graph"),
        "value": kl.flow(graphs.builder.compile(name="refund")),
    }
    run = flows[launched_as].launch(amount=70)
    names = {"flow": "integrations.graphs:refund", "path": "integrations.graphs:graph", "value": "refund (by value)"}
    assert run.meta["entrypoint"] == names[launched_as]
    eventually(lambda: run.done or len(run.locks) == 2, timeout_s=120, what="two interrupts at once")
    assert run.status == "awaiting", run.reason
    assert run.lock("clerk")["data"] == "Anything to add?"
    asked = run.lock("manager")
    assert asked["data"] == {"question": "Grant 70?"}
    assert asked["form"][0]["max_value"] == 100
    with pytest.raises(InputsError, match="granted"):
        run.answer({"granted": 101}, lock="manager")
    run.answer({"granted": "50"}, lock="manager", by="ada")
    run.answer("a regular", lock="clerk")
    end = run.result(60)
    assert (end["amount"], end["granted"]) == (70, 50)
    assert end["notes"][0] == "asked for 70"
    assert sorted(end["notes"][1:3]) == ["clerk: a regular", "manager: 50"]
    assert end["notes"][3] == "paid"

    names = [span["name"] for span in spans(run, "open")]
    assert sorted(names) == ["clerk", "clerk", "look", "manager", "manager", "pay"]
    assert (names[0], names[-1]) == ("look", "pay")
    closed = spans(run, "closed")
    assert {span["id"] for span in closed} == {span["id"] for span in spans(run, "open")}
    assert sorted(span["name"] for span in closed if span["interrupted"]) == ["clerk", "manager"]
    assert payloads(run, "action") == [{"application/json": {"seen": 70}}], "what a node writes to its stream"
    assert payloads(run, "progress")[0]["label"] == "looking", "nodes find the tracer in their config"
    assert "looking at 70" in run.logs()


def test_a_node_that_fails_closes_its_span_and_shows_its_traceback(lab: Any) -> None:
    run = load("integrations.graphs:broken").launch(amount=1)
    with pytest.raises(RunFailed, match=r"(?s)breaks.*ZeroDivisionError: no such amount"):
        run.result(120)
    (span,) = spans(run, "closed")
    assert span["name"] == "breaks"
    assert "no such amount" in span["error"]
