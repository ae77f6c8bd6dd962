"""The gateway with a cluster behind it: uvicorn, Ray, and the client as somebody elsewhere uses it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kitchen
import pytest
from apikit import serving
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.identity import Role, TokenFile
from kodosumi_lab.errors import InputsError, LockClosed, RunCancelled
from kodosumi_lab.settings import load

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def gateway(lab: Any) -> Iterator[dict[str, Any]]:
    log_dir = Path(lab.log_dir)
    app = create_app(settings=load(log_dir=log_dir), flows=[kitchen.__name__])
    people = TokenFile(log_dir / "state")
    tokens = {name: people.add(name, role) for name, role in (("ada", Role.USER), ("olga", Role.OPERATOR))}
    with serving(app) as url:
        yield {"url": url, **tokens}


@pytest.fixture
def ada(gateway: dict[str, Any]) -> Iterator[kl.Client]:
    with kl.Client(gateway["url"], token=gateway["ada"]) as client:
        yield client


def test_a_launch_over_http_is_a_run_of_whoever_asked(ada: kl.Client) -> None:
    run = ada.launch("add", a=2, b=3)
    assert run.result(timeout_s=60) == 5
    assert (run.meta["user"], run.meta["launched_by"]) == ("ada", "http")
    again = run.rerun(b=40)
    assert again.result(timeout_s=60) == 42
    assert (again.meta["user"], again.meta["rerun_of"]) == ("ada", run.id)
    assert set(ada.runs(flow="add")["run_id"]) >= {run.id, again.id}
    secret = ada.launch("login", user="ada", password="s3cret")
    assert secret.result(timeout_s=60) == 6
    assert secret.inputs["password"] == {"secret": True}
    with pytest.raises(InputsError, match="password"):
        secret.rerun()


def test_a_sweep_is_cancelled_and_gone_on_with_over_http(gateway: dict[str, Any]) -> None:
    def ask(method: str, path: str, who: str = "olga") -> Any:
        headers = {"authorization": f"Bearer {gateway[who]}"}
        answer = httpx.request(method, f"{gateway['url']}/api/v1/sweeps/{path}", headers=headers, timeout=60)
        return answer.raise_for_status().json()

    sweep = kitchen.asleepy.sweep(seconds=[60.0, 0.2, 0.3], max_concurrent=1)  # this process starts its runs
    eventually(lambda: sweep.counts.get("running") == 1)
    assert ask("GET", sweep.id)["starting"] is True
    assert ask("POST", f"{sweep.id}/cancel") == {"runs": 1}
    eventually(lambda: ask("GET", sweep.id)["counts"] == {"cancelled": 1, "waiting": 2})
    assert sweep.done
    assert ask("POST", f"{sweep.id}/resume") == {"runs": 2}  # the gateway starts the others
    assert sweep.wait(60).counts == {"cancelled": 1, "finished": 2}
    about = sweep[1].meta  # it stays the sweep of whoever began it
    assert (about["user"], about["by"], about["launched_by"]) == (sweep[0].meta["user"], "olga", "http")
    assert ask("POST", f"{sweep.id}/rerun") == {"runs": 0}  # none has failed


def test_the_same_key_is_the_same_run_however_often_and_at_once(gateway: dict[str, Any], ada: kl.Client) -> None:
    headers = {"authorization": f"Bearer {gateway['ada']}", "idempotency-key": uuid.uuid4().hex}
    url = f"{gateway['url']}/api/v1/flows/add/launch"

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:
            return await asyncio.gather(*(client.post(url, json={"inputs": {"a": 1}}) for _ in range(8)))

    answers = asyncio.run(at_once())
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    other = httpx.post(url, json={"inputs": {"a": 2}}, headers=headers)
    assert other.status_code == 422


def test_following_and_answering_from_elsewhere(gateway: dict[str, Any], ada: kl.Client) -> None:
    run = ada.launch("ask", question="ship it?")
    eventually(lambda: run.status == "awaiting", timeout_s=60)
    assert [lock["name"] for lock in run.locks] == [ada.locks()[0]["name"]]
    kinds: list[str] = []
    thread = threading.Thread(target=lambda: kinds.extend(event.kind for event in run.follow(timeout_s=60)))
    thread.start()
    lid = run.locks[0]["lid"]
    run.answer({"approved": True})
    assert run.result(timeout_s=60) == {"approved": True}
    thread.join(60)
    assert {"lock", "lease", "final"} <= set(kinds)
    with kl.Client(gateway["url"], token=gateway["olga"]) as olga:
        late = olga._http.post(f"/runs/{run.id}/locks/{lid}", json={"result": False})
        assert (late.status_code, late.json()["by"]) == (409, "ada")
        with pytest.raises((LookupError, LockClosed)):
            olga.run(run.id).answer(False)


def test_cancelling_from_elsewhere_says_who(gateway: dict[str, Any], ada: kl.Client) -> None:
    run = ada.launch("asleepy", seconds=60)
    eventually(lambda: run.status == "running", timeout_s=60)
    with kl.Client(gateway["url"], token=gateway["olga"]) as olga:
        assert olga.run(run.id).cancel(grace_s=1) is True
    with pytest.raises(RunCancelled, match="cancelled by olga"):
        run.result(timeout_s=60)
    assert run.cancel() is False


def test_an_agent_launches_answers_and_gets_the_result(gateway: dict[str, Any], ada: kl.Client) -> None:
    import httpx2
    from mcp.client import Client
    from mcp.client.streamable_http import streamable_http_client

    async def act() -> list[Any]:
        http = httpx2.AsyncClient(headers={"authorization": f"Bearer {gateway['ada']}"}, timeout=60)
        async with http, Client(streamable_http_client(f"{gateway['url']}/mcp", http_client=http)) as client:
            added = (await client.call_tool("add", {"a": 1, "b": 2})).structured_content
            asked = (await client.call_tool("ask", {"question": "well?"})).structured_content
            where = {"run_id": asked["run_id"], "lid": asked["locks"][0]["lid"]}
            await client.call_tool("answer_lock", {**where, "result": "yes"})
            end = (await client.call_tool("follow_run", {"run_id": asked["run_id"]})).structured_content
            while not end["done"]:
                again = {"run_id": asked["run_id"], "after": end["after"]}
                end = (await client.call_tool("follow_run", again)).structured_content
            return [added, asked, (await client.call_tool("get_run", {"run_id": asked["run_id"]})).structured_content]

    added, asked, answered = asyncio.run(act())
    assert (added["status"], added["result"]) == ("finished", {"application/json": 3})
    assert (asked["status"], answered["status"]) == ("awaiting", "finished")
    run = ada.run(added["run_id"])
    assert (run.meta["user"], run.meta["launched_by"]) == ("ada", "mcp")


def test_a_run_is_run_again_with_its_form_filled_in_anew(gateway: dict[str, Any], ada: kl.Client) -> None:
    headers = {"authorization": f"Bearer {gateway['ada']}"}

    def form_of(run: Any) -> dict[str, Any]:
        elements = httpx.get(f"{gateway['url']}/api/v1/runs/{run.id}/form", headers=headers).json()
        return {one["name"]: one["value"] for one in elements if one.get("name") and one["value"] is not None}

    def again(run: Any, form: dict[str, Any]) -> httpx.Response:
        url = f"{gateway['url']}/api/v1/runs/{run.id}/rerun"
        return httpx.post(url, json={"form": form}, headers=headers, timeout=60)

    run = ada.launch("add", a=2, b=3)
    assert run.result(timeout_s=60) == 5
    assert form_of(run) == {"a": "2", "b": "3"}
    second = again(run, {**form_of(run), "b": "40"})
    assert second.status_code == 201, second.text
    made = ada.run(second.json()["run_id"])
    assert made.result(timeout_s=60) == 42
    assert (made.meta["rerun_of"], made.meta["user"]) == (run.id, "ada")
    secret = ada.launch("login", user="ada", password="s3cret")
    assert secret.result(timeout_s=60) == 6
    assert again(secret, form_of(secret)).json()["errors"].keys() == {"password"}
    longer = again(secret, {**form_of(secret), "password": "longer!"})
    assert ada.run(longer.json()["run_id"]).result(timeout_s=60) == 7
