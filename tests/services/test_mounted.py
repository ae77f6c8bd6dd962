"""A service in the gateway's process: its locks are answered right there, without HTTP."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from conftest import eventually
from fastapi.testclient import TestClient
from services import asking
from starlette.applications import Starlette
from starlette.datastructures import Headers

import kodosumi_lab as kl
from kodosumi_lab.api import mounting
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.errors import InputsError

pytestmark = pytest.mark.ray


@contextlib.contextmanager
def mounted(source: tuple[str, Any]) -> Any:
    name, app = source
    gateway = Starlette(lifespan=lambda _: one.lifespan_context())
    may_see = lambda scope, owner: Headers(scope=scope).get("x-own-runs-of", owner) == owner  # noqa: E731
    one = mounting.Mounted(name, f"/services/{name}", app, user_of=lambda scope: "ada", may_see=may_see)
    gateway.mount(one.path, one)
    with TestClient(gateway) as client:
        yield client


def test_a_lock_is_shown_and_answered_in_the_same_process(lab: Any) -> None:
    with mounted(("kodo", mounting.load_app("services.kodo:app"))) as client:
        answer = client.post("/services/kodo/ask", json={"topic": "bees"}, headers={"x-kodosumi_user": "mallory"})
        run = kl.run(answer.json()["result"])
        assert run.meta["username"] == "ada"
        assert run.meta["app_url"] == "/services/kodo"
        eventually(lambda: run.locks, timeout_s=60)
        assert run.lock()["form"][0]["text"] == "bees"
        with pytest.raises(InputsError, match="decide"):
            run.answer({"answer": "maybe"})
        assert run.answer({"answer": "yes"}, by="bob")["said"] == "YES"
        eventually(lambda: [one for one in run.locks if one["name"] == "plain"], timeout_s=60)
        path = f"/services/kodo/_lock_/{run.id}/{run.locks[0]['lid']}"
        assert client.get(path, headers={"x-own-runs-of": "ada"}).is_success
        assert client.get(path, headers={"x-own-runs-of": "eve"}).status_code == 404
        assert client.post(path, json={"comment": "mine"}, headers={"x-own-runs-of": "eve"}).status_code == 404
        run.answer({"comment": "fine"})
        assert run.result(60)["plain"] == {"comment": "fine", "ok": False}


def test_a_typed_flow_behind_an_endpoint_gets_typed_inputs(lab: Any) -> None:
    app = ServeAPI()
    app.add_flow(asking.pay, path="/pay")
    with mounted(("pay", app)) as client:
        refused = client.post("/services/pay/pay", json={"amount": "0", "day": "2026-01-02"}).json()
        assert set(refused["errors"]) == {"_global_", "amount"}
        answer = client.post("/services/pay/pay", json={"amount": "5", "day": "2026-01-02", "key": "hunter22"})
        run = kl.run(answer.json()["result"])
        assert run.result(60) == "5 on Friday with 8"
        assert run.inputs == {"amount": 5, "day": "2026-01-02", "key": {"secret": True}}
        assert (run.meta["flow"], run.meta["summary"], run.meta["user"]) == ("pay", "Pay", "ada")
