"""``ServeAPI`` without a cluster: what it declares, what it answers, that it survives Ray Serve's pickling."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import schemathesis
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import allow_header_conformance
from starlette.applications import Starlette

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.api import mounting
from kodosumi_lab.api.caller import KEY_HEADER, KEY_VARIABLE
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.api.templates import Templates
from kodosumi_lab.errors import FlowError, InputsError

app = ServeAPI(title="Plain", version="3")


@app.enter(
    "/",
    forms.Model(forms.Errors(), forms.InputText("name", required=True), forms.Checkbox("ok"), forms.Submit("Go")),
    tags=["Test"],
    author="me",
    deprecated=True,
)
def refuse(inputs: dict[str, Any]) -> None:
    """Refuse everything.

    With care.
    """
    raise InputsError(f"{inputs}", name="is taken")


@app.get("/who", entry=True, version="7", openapi_extra={"x-own": 1})
async def who(request: Request) -> dict[str, str]:
    return {"user": request.state.user, "prefix": request.state.prefix}


@app.get("/plain")
async def plain() -> dict[str, str]:
    return {"a": "b"}


def test_a_description_comes_from_the_docstring_where_nothing_is_said() -> None:
    body = TestClient(app).get("/").json()
    assert body["summary"] == "Refuse everything."
    assert body["deprecated"] is True
    assert body["x-kodosumi"] is True


def test_each_verb_takes_what_describes_an_endpoint() -> None:
    made = ServeAPI()
    for verb in ("get", "post", "put", "delete", "patch", "options", "head"):

        @getattr(made, verb)("/x", entry=True, author="a", organization="o", version="v")
        async def endpoint() -> None: ...

    operations = made.openapi()["paths"]["/x"]
    wanted = {"x-kodosumi": True, "x-author": "a", "x-organization": "o", "x-version": "v"}
    assert len(operations) == 7
    for operation in operations.values():
        assert wanted.items() <= operation.items()
    paths = app.openapi()["paths"]
    assert paths["/who"]["get"]["x-own"] == 1
    assert "x-kodosumi" not in paths["/plain"]["get"]


def test_what_was_entered_is_shown_again_and_two_requests_do_not_meet() -> None:
    client = TestClient(app)
    body = client.post("/", json={"name": "Ada", "ok": "on"}).json()
    assert body["errors"] == {"_global_": ["{'_global_': None, 'name': 'Ada', 'ok': True}"], "name": ["is taken"]}
    assert [element.get("value") for element in body["elements"]] == [None, "Ada", True, None]
    assert client.get("/").json()["elements"][1]["value"] is None


def test_the_caller_is_in_the_request_state() -> None:
    client = TestClient(app)
    assert client.get("/who").json() == {"user": "_annon_", "prefix": ""}
    told = client.get("/who", headers={"x-kodosumi_user": "ada", "x-kodosumi_base": "/-/a"})
    assert told.json() == {"user": "ada", "prefix": "/-/a"}


def test_with_a_key_only_the_gateway_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "s3cret")
    client = TestClient(app)
    assert client.get("/who").status_code == 401
    assert client.get("/who", headers={KEY_HEADER: "wrong"}).status_code == 401
    assert client.get("/who", headers={KEY_HEADER: "s3cret"}).is_success


def test_it_survives_the_pickling_of_an_ingress() -> None:
    from ray import cloudpickle, serve

    TestClient(app).get("/plain")  # its middleware is built now, as in a process that serves it
    copy = cloudpickle.loads(cloudpickle.dumps(app))
    copy.state.own = 1
    assert TestClient(copy).post("/", json={"name": "x"}).json()["errors"]["name"] == ["is taken"]
    assert copy.openapi() == app.openapi()

    @serve.deployment
    @serve.ingress(app)
    class Deployed: ...

    assert cloudpickle.loads(cloudpickle.dumps(Deployed)) is not None


def test_a_lock_that_is_not_open_is_not_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", str(tmp_path / "log"))
    client = TestClient(app)
    for fid in ("no-id", "019aa0f1-0000-7000-8000-000000000000"):
        assert client.get(f"/_lock_/{fid}/abc").status_code == 404
        assert client.post(f"/_lock_/{fid}/abc", json={}).status_code == 404


def test_a_flow_becomes_an_endpoint_in_one_line() -> None:
    @kl.flow(summary="Add", tags=["math"], author="me")
    def add(a: int, b: int = 1) -> int:
        return a + b

    made = ServeAPI()
    made.add_flow(add)
    client = TestClient(made)
    body = client.get("/add").json()
    assert (body["summary"], body["tags"], body["x-author"]) == ("Add", ["math"], "me")
    assert [element["name"] for element in body["elements"] if element.get("name")] == ["a", "b"]
    errors = client.post("/add", json={"a": "many"}).json()["errors"]
    assert set(errors) == {"_global_", "a"}


def test_templates_are_found_in_each_directory(tmp_path: Any) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.html").write_text(f"<p>{name} {{{{ x }}}}</p>")
    pages = Templates(tmp_path / "one", tmp_path / "two")
    assert pages.get_template("one.html").render(x=1) == "<p>one 1</p>"
    assert pages.get_template("two.html").render(x=2) == "<p>two 2</p>"


# -- mounted ------------------------------------------------------------------------------


def test_a_mounted_service_hears_the_gateway_not_the_client() -> None:
    one = mounting.Mounted("my.greetings:app", "/services/greetings", app, user_of=lambda scope: "ada")
    made = Starlette()
    made.mount(one.path, one)
    assert one.openapi == "/services/greetings/openapi.json"
    client = TestClient(made)
    told = client.get("/services/greetings/who", headers={"x-kodosumi_user": "mallory", "x-kodosumi_base": "/x"})
    assert told.json() == {"user": "ada", "prefix": "/services/greetings"}
    assert client.get(one.openapi).json()["servers"] == [{"url": "/services/greetings"}]


def test_a_mounted_service_runs_its_own_start_and_end() -> None:
    import contextlib

    from kodosumi_lab.runtime import services

    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> Any:
        seen.append("up")
        yield
        seen.append("down")

    inner = ServeAPI(lifespan=lifespan)
    one = mounting.Mounted("inner", "/in", inner)
    made = Starlette(lifespan=one.router.lifespan_context)
    made.mount(one.path, one)
    with TestClient(made) as client:
        assert seen == ["up"]
        assert services.here["/in"][0] is inner
        assert client.get("/in/openapi.json").is_success
    assert seen == ["up", "down"]
    assert services.here == {}


def test_two_services_need_two_paths() -> None:
    with pytest.raises(FlowError, match="both to be at /services/kodo"):
        mounting.services_of(["services.kodo:app", "services.kodo:app"])
    found = mounting.services_of(["services.kodo:app", "services.kodo:app=/other"])
    assert [(path, one.openapi) for path, one in found.items()] == [
        ("/services/kodo", "/services/kodo/openapi.json"),
        ("/other", "/other/openapi.json"),
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("services.kodo", "expected package.module:app"),
        ("services.nowhere:app", "no module 'services.nowhere'"),
        ("services.kodo:ap", "it has the applications: app"),
        ("services.kodo:fast_app", "deployment of Ray Serve"),
        ("services.kodo:KINDS", "is a dict"),
    ],
)
def test_a_source_that_is_none_is_told_apart(source: str, message: str) -> None:
    with pytest.raises(FlowError, match=message):
        mounting.load_app(source)


# -- the document -------------------------------------------------------------------------

schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("operation", [one.ok() for one in schema.get_all_operations()], ids=lambda one: one.label)
def test_no_request_that_the_document_allows_fails(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        # FastAPI names the methods of a path's first route only
        answer = case.call_and_validate(excluded_checks=[allow_header_conformance])
        assert answer.status_code < 500

    ask()


def test_errors_of_inputs_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(InputsError("whole", name="bad")))
    assert error.messages == {"_global_": ["whole"], "name": ["bad"]}
