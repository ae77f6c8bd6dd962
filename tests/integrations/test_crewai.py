"""A real CrewAI crew, launched as kodosumi services do: by its import path, behind an endpoint."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from integrations.model import TEXT, ScriptedModel

import kodosumi_lab as kl

pytest.importorskip("crewai", reason="`make test-integrations` has an environment with it")
pytestmark = pytest.mark.ray


def launched(path: str) -> kl.Run:
    from integrations import crews

    answer = TestClient(crews.app).post(path, json={"topic": "bees"}).json()
    run = kl.run(answer["result"])
    run.wait(180)
    assert run.status == "finished", f"{run.reason}\n{run.logs()}"
    return run


def payloads(run: kl.Run, kind: str) -> list[Any]:
    return [json.loads(text) for text in run.events().filter(pl.col("kind") == kind).sort("seq").collect()["payload"]]


def test_a_crew_is_recorded_from_its_agents_to_its_result(lab: Any, model: ScriptedModel) -> None:
    before = len(model.asked)
    run = launched("/crew")
    about = payloads(run, "agent")
    assert [one["agent"]["role"] for one in about if "agent" in one] == ["Researcher", "Writer"]
    assert [(one["task"]["name"], one["task"]["agent"]) for one in about if "task" in one] == [
        ("counting", "Researcher"),
        ("writing", "Writer"),
    ]
    assert about[0]["agent"]["tools"][0]["name"] == "count_words"

    counted, written = run.results()
    assert (counted["name"], written["name"]) == ("counting", "writing")
    assert f"{TEXT} That is {len(TEXT.split())} words." in counted["raw"]
    assert run.result()["raw"] == written["raw"] == f"# A text\n\n{TEXT}"
    assert payloads(run, "action"), "steps of the agents are actions"
    assert f"counting {len(TEXT)} characters" in run.logs(), "a tool's print is the run's"

    asked = model.asked[before:]
    assert [body["model"] for body in asked] == ["scripted"] * 3
    assert asked[1]["messages"][-1]["content"] == str(len(TEXT.split())) or any(
        message["role"] == "tool" for message in asked[1]["messages"]
    )
    assert run.meta["entrypoint"] == "integrations.crews:crew"


def test_a_class_of_crewai_is_an_entrypoint(lab: Any) -> None:
    run = launched("/class")
    assert run.result()["raw"] == f"# A text\n\n{TEXT}"
    assert [one["agent"]["role"] for one in payloads(run, "agent") if "agent" in one] == ["Author"]
