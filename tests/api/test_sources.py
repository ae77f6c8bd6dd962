"""Flows of the register and of mounted services through the gateway, as far as it goes without a cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apikit import Api, Recorded, serving
from fastapi import HTTPException, Request
from fastapi.responses import PlainTextResponse
from logkit import Emitter, meta, row

import kodosumi_lab as kl
from kodosumi_lab.api.mounting import services_of
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.runtime.services import RUN_HEADER

FLOWS = """
from typing import Annotated

import kodosumi_lab as kl
from pydantic import Field, SecretStr


@kl.flow(summary="Sum up", tags=["math"], timeout_s=60)
def register_sum(n: Annotated[int, Field(ge={least})], key: SecretStr = SecretStr("")) -> int:
    return n
"""


@kl.flow
def source_twice(n: int) -> int:
    return 2 * n


def kind_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:kodosumi-lab:problem:")


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "summing.py"
    path.write_text(FLOWS.format(least=1))
    os.utime(path, (time.time() - 100,) * 2)
    return path


@pytest.fixture
def closing(recorded: Recorded) -> Iterator[Any]:
    made: list[Api] = []

    def make(**options: Any) -> Api:
        made.append(Api(recorded.root, **options))
        return made[-1]

    yield make
    for api in made:
        api.app.state.gateway.catalogue.close()
        api.app.state.gateway.audit.close()


def test_a_registered_module_is_described_and_checked_without_being_imported(flows: Path, closing: Any) -> None:
    api = closing()
    added = api.post("/sources", json={"source": "summing"}, as_="root")
    assert (added.status_code, added.json()["state"], added.json()["flows"]) == (201, "ok", ["register_sum"])
    (listed,) = api.get("/flows", params={"search": "SUM math"}).json()
    assert (listed["name"], listed["kind"], listed["state"]) == ("register_sum", "module", "ok")
    assert listed["entrypoint"] == "summing:register_sum"
    assert api.get("/flows/register_sum/schema").json()["required"] == ["n"]
    assert [item["name"] for item in api.get("/flows/register_sum/form").json() if item.get("name")] == ["n", "key"]
    for body in ({"inputs": {"n": 0}}, {"form": {"n": "0"}}):
        wrong = api.post("/flows/register_sum/launch", json=body)
        assert (kind_of(wrong), list(wrong.json()["errors"])) == ((422, "inputs"), ["n"])
    assert kind_of(api.post("/flows/register_sum/launch", json={"inputs": {"n": 1}})) == (503, "cluster")
    assert "summing" not in sys.modules


def test_an_edited_module_is_read_as_it_is_now(flows: Path, closing: Any) -> None:
    api = closing()
    api.post("/sources", json={"source": "summing"}, as_="root")
    check = lambda n: api.post("/flows/register_sum/validate", json={"inputs": {"n": n}})  # noqa: E731
    assert check(3).json() == {"valid": True}
    flows.write_text(FLOWS.format(least=10))
    os.utime(flows, (time.time() - 50,) * 2)
    assert check(3).status_code == 422
    assert api.get("/flows/register_sum").json()["schema"]["properties"]["n"]["minimum"] == 10
    flows.write_text("raise RuntimeError('half written')")
    os.utime(flows, (time.time() - 20,) * 2)
    broken = check(11)
    assert (kind_of(broken), "half written" in broken.json()["detail"]) == ((422, "flow"), True)
    stale = api.get("/flows/register_sum").json()
    assert (stale["state"], "half written" in stale["reason"]) == ("stale", True)
    refreshed = api.post("/sources/refresh", params={"source": "summing"}).json()
    assert [(one["state"], "half written" in one["failed"]["summing"]) for one in refreshed] == [("stale", True)]


def test_a_module_that_hangs_or_exits_does_so_elsewhere(flows: Path, closing: Any) -> None:
    api = closing()
    api.post("/sources", json={"source": "summing"}, as_="root")
    flows.write_text("import os; os._exit(3)")
    gone = api.post("/flows/register_sum/validate", json={"inputs": {"n": 3}})
    assert (kind_of(gone), "ended its process" in gone.json()["detail"]) == ((422, "flow"), True)
    flows.write_text(FLOWS.format(least=1))
    assert api.post("/flows/register_sum/validate", json={"inputs": {"n": 3}}).json() == {"valid": True}


def test_sources_are_for_admins_and_say_why_they_fail(flows: Path, closing: Any) -> None:
    api = closing()
    assert kind_of(api.post("/sources", json={"source": "summing"}, as_="olga")) == (403, "forbidden")
    assert kind_of(api.get("/sources", as_="ada")) == (403, "forbidden")
    wrong = api.post("/sources", json={"source": "no_such_module"}, as_="root")
    assert (kind_of(wrong), "no_such_module" in wrong.json()["detail"]) == ((422, "source"), True)
    assert kind_of(api.post("/sources", json={"source": "what is this"}, as_="root")) == (422, "flow")
    nobody = api.post("/sources", json={"source": "http://127.0.0.1:9/openapi.json"}, as_="root")
    assert (kind_of(nobody), list(nobody.json()["errors"])) == ((422, "source"), ["http://127.0.0.1:9/openapi.json"])
    assert api.get("/sources").json() == [], "what cannot be read is not kept"
    api.post("/sources", json={"source": "summing", "token": None}, as_="root")
    assert [one["source"] for one in api.get("/sources").json()] == ["summing"]
    assert kind_of(api.ask("DELETE", "/sources", params={"source": "other"}, as_="root")) == (404, "source-not-found")
    assert api.ask("DELETE", "/sources", params={"source": "summing"}, as_="root").status_code == 204
    assert kind_of(api.get("/flows/register_sum")) == (404, "flow-not-found")
    calls = [entry["call"] for entry in api.get("/audit", as_="root").json()]
    assert calls == ["remove_source", "add_source", "add_source", "add_source"]


def test_files_of_a_launch_are_never_read_from_the_gateways_disk(flows: Path, closing: Any) -> None:
    api = closing()
    api.post("/sources", json={"source": "summing"}, as_="root")
    body = {"inputs": {"n": 1, "files": [str(flows)]}}
    refused = api.post("/flows/register_sum/launch", json=body)
    assert (kind_of(refused), list(refused.json()["errors"])) == ((422, "inputs"), ["files"])
    assert source_twice.name in {one["name"] for one in api.get("/flows").json()}
    refused = api.post("/flows/source_twice/launch", json=body)
    assert (kind_of(refused), list(refused.json()["errors"])) == ((422, "inputs"), ["files"])


def test_an_unchanged_service_is_listed_drawn_and_checked(closing: Any) -> None:
    api = closing(mounts=services_of(["services.kodo:app"]), url="http://gateway")
    found = {one["name"]: one for one in api.get("/flows").json() if one["kind"] == "mounted"}
    assert set(found) == {"services/kodo", "services/kodo/ask", "services/kodo/kinds/{kind}"}
    kodo = found["services/kodo"]
    assert (kodo["summary"], kodo["author"], kodo["organization"]) == ("Everything", "me@example.com", "Example")
    assert kodo["url"].startswith("http://gateway/services/kodo")
    assert api.get("/flows/services/kodo/form").json()[4]["name"] == "text"
    assert api.get("/flows/services%2Fkodo/schema").json()["properties"]["number"]["maximum"] == 10
    wrong = api.post("/flows/services/kodo/launch", json={"form": {"text": "hi", "number": "99"}})
    assert (kind_of(wrong), list(wrong.json()["errors"])) == ((422, "inputs"), ["number"])
    assert kind_of(api.post("/flows/services/kodo/launch", json={"inputs": {"nothing": 1}})) == (422, "inputs")
    assert kind_of(api.post("/flows/services/kodo/launch", json={"inputs": {"text": "hi"}})) == (503, "cluster")


def test_a_service_elsewhere_is_launched_once_for_a_key(closing: Any, recorded: Recorded) -> None:
    service = ServeAPI(title="Elsewhere")
    started: list[str] = []

    @service.post("/go", entry=True, summary="Go")
    async def go(values: dict[str, Any]) -> dict[str, str]:
        started.append(values["word"])
        return {"fid": f"run-{len(started)}"}

    @service.get("/go")
    async def form() -> dict[str, Any]:
        return {"elements": [{"type": "text", "name": "word", "label": "Word", "required": True}]}

    api = closing()
    with serving(service) as url:
        assert api.post("/sources", json={"source": f"{url}/openapi.json"}, as_="root").status_code == 201
        assert api.get("/flows/go/schema").json()["required"] == ["word"]
        wrong = api.post("/flows/go/launch", json={"inputs": {}}, as_="ada")
        assert (kind_of(wrong), list(wrong.json()["errors"])) == ((422, "inputs"), ["word"])
        headers = {"idempotency-key": "k"}
        first = api.post("/flows/go/launch", json={"form": {"word": "now"}}, headers=headers, as_="ada")
        assert (first.status_code, first.json()["run_id"], started) == (202, "run-1", ["now"])
        again = api.post("/flows/go/launch", json={"form": {"word": "now"}}, headers=headers, as_="ada")
        assert (kind_of(again), again.json()["run_id"], started) == ((409, "elsewhere"), "run-1", ["now"])
    gone = api.post("/flows/go/launch", json={"inputs": {"word": "now"}}, headers={"idempotency-key": "g"})
    assert kind_of(gone) == (502, "service")
    assert api.get("/flows/go").json()["state"] == "stale"


def test_a_launch_whose_answer_never_came_is_not_made_again(closing: Any, recorded: Recorded) -> None:
    service = ServeAPI(title="Elsewhere")
    asked: list[tuple[str, str]] = []

    @service.post("/go", entry=True, summary="Go", response_model=None)
    async def go(values: dict[str, Any], request: Request) -> Any:
        asked.append((values["word"], request.headers[RUN_HEADER]))
        if values["word"] == "refuse":
            raise HTTPException(503, "not now")
        return PlainTextResponse("a run was started, but who is to know its id?")

    @service.get("/go")
    async def form() -> dict[str, Any]:
        return {"elements": [{"type": "text", "name": "word", "label": "Word", "required": True}]}

    def launch(word: str, key: str) -> Any:
        body, headers = {"inputs": {"word": word}}, {"idempotency-key": key}
        return closing().post("/flows/go/launch", json=body, headers=headers, as_="ada")  # a gateway that was restarted

    with serving(service) as url:
        closing().post("/sources", json={"source": f"{url}/openapi.json"}, as_="root")
        lost = launch("lost", "k1")
        assert (kind_of(lost), len(asked)) == ((502, "service"), 1)
        again = launch("lost", "k1")
        assert (kind_of(again), again.json()["url"], len(asked)) == ((409, "launch-unknown"), f"{url}/go", 1)
        assert "draw a new key" in again.json()["detail"]
        # had the service written to this log, its run would be known by the id that it was given
        Emitter(asked[0][1]).send(recorded.writer, meta(flow="go", user="ada", code={}), row("inputs", {}))
        found = launch("lost", "k1")
        assert (found.status_code, found.json()["run_id"], len(asked)) == (200, asked[0][1], 1)
        # one that has said no is asked again
        assert [kind_of(launch("refuse", "k2")) for _ in range(2)] == [(502, "service")] * 2
        assert [word for word, _ in asked] == ["lost", "refuse", "refuse"]
