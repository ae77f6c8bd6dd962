"""Services that a gateway carries: who may call them, where they are said to be, whose log they write. No Ray."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from apikit import Api, Recorded, serving
from fastapi import Request
from fastapi.testclient import TestClient
from logkit import row, status

from kodosumi_lab import forms
from kodosumi_lab.api import launching, mounting
from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.service import Launch, ServeAPI
from kodosumi_lab.errors import ClusterError
from kodosumi_lab.runtime import addresses, services
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.settings import load

FORM = [{"type": "text", "name": "word", "label": "Word"}]


def service(title: str = "Greetings") -> ServeAPI:
    app = ServeAPI(title=title)

    @app.post("/where")
    async def where(request: Request) -> dict[str, Any]:
        return launching._caller(request)

    @app.lock("judged")
    def judged(data: Any) -> forms.Model:
        return forms.Model(forms.InputText("word", label=f"Word of {title}"))

    @app.enter("/", forms.Model(forms.Submit("Go")))
    async def enter(request: Request) -> Any:
        return Launch(request, "os.path:join", inputs={})

    return app


@pytest.fixture
def api(recorded: Recorded) -> Api:
    made = {path: mounting.Mounted(path, path, service(path)) for path in ("/services/one", "/services/two")}
    return Api(recorded.root, mounts=made, settings={"gateway_launches_per_minute": 2})


def ask(api: Api, method: str, path: str, as_: str = "ada", **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {api.tokens[as_]}", **options.pop("headers", {})}

    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway:8370") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(one())


def asking(recorded: Recorded, service: str, **lock: Any) -> str:
    """A run of ada that waits at a lock of a service."""
    made = recorded.begin("review", "ada", app_url=service, handlers=["judged"])
    made.send(recorded.writer, row("lock", {"lid": "l1", "name": "judged", **lock}), status("awaiting"))
    return made.run_id


# -- where a service is -----------------------------------------------------------------


def test_a_forged_host_is_not_where_a_service_is(api: Api) -> None:
    told = ask(api, "POST", "/services/one/where", headers={"host": "evil.example"}).json()
    assert told["app_url"] == "/services/one"
    assert "evil" not in json.dumps(told)
    assert not any("token" in key or str(value).endswith(".token") for key, value in told.items())
    alone = TestClient(service(), base_url="http://127.0.0.1:8000")
    assert alone.post("/where", headers={"host": "evil.example"}).json()["app_url"] == "http://127.0.0.1:8000"


def test_a_gateway_says_itself_where_it_is_to_its_owner_only(recorded: Recorded) -> None:
    app = create_app(
        settings=load(log_dir=recorded.root), mounts={"/s": mounting.Mounted("s", "/s", service())}
    )  # fmt: skip
    token = app.state.token_file.read_text().strip()
    with serving(app) as url:
        headers = {"authorization": f"Bearer {token}", "host": "evil.example"}
        assert httpx.post(f"{url}/s/where", headers=headers, trust_env=False).is_success
        assert addresses.find(recorded.root, "/s") == (f"{url}/s", token)
        (record,) = (recorded.root / "state" / "services").iterdir()
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert token not in record.read_text()
        told = json.loads(record.read_text())
        told["process"]["created"] -= 100  # the port belongs to somebody else by now
        record.write_text(json.dumps(told))
        assert addresses.find(recorded.root, "/s") is None
    assert addresses.find(recorded.root, "/s") is None
    assert not record.exists()


@contextlib.contextmanager
def listener() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that writes down what it is sent."""
    heard: list[dict[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        heard.append({key.decode(): value.decode() for key, value in scope["headers"]} | {"path": scope["path"]})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b"[]"})

    with serving(app) as url:
        yield url, heard


def test_no_token_goes_where_a_run_says_its_service_is(recorded: Recorded, api: Api, tmp_path: Path) -> None:
    assert api.admin
    secret = tmp_path / "other.token"
    secret.write_text("kl_secret")
    with listener() as (url, heard):
        for place in (url, f"{url}/services/one"):
            meta = {"app_url": place, "handlers": ["judged"], "gateway_token": str(secret)}
            services.elements_of(meta, recorded.asking, "l1", "ada", str(recorded.root))
        assert len(heard) == 2
        assert not any("authorization" in sent or "kl_secret" in str(sent) or api.admin in str(sent) for sent in heard)


def test_the_token_goes_to_the_gateway_that_carries_the_service(recorded: Recorded, api: Api) -> None:
    with listener() as (url, heard):
        addresses.announce(recorded.root, "/services/far", url)
        run_id = asking(recorded, "/services/far")
        assert Run(run_id, log_dir=recorded.root).lock()["form"] == []
        (sent,) = heard
        assert sent["authorization"] == f"Bearer {api.admin}"
        assert sent["path"] == f"/services/far/_lock_/{run_id}/l1"


def test_a_service_that_nobody_carries_is_told(recorded: Recorded) -> None:
    run = Run(asking(recorded, "/services/nowhere"), log_dir=recorded.root)
    with pytest.raises(ClusterError, match=r"no gateway that runs now carries the service /services/nowhere"):
        run.lock()


def test_a_client_reads_and_calls_nothing_that_a_gateway_names(tmp_path: Path) -> None:
    secret = tmp_path / "mine.token"
    secret.write_text("kl_secret")
    with listener() as (url, heard):
        meta = {"app_url": url, "handlers": ["judged"], "gateway_token": str(secret)}
        with pytest.raises(ClusterError, match="only that gateway can ask"):
            services.elements_of(meta, "r", "l1", "ada", "http://gateway:8370")
        assert heard == []


def test_a_service_key_goes_to_this_machine_or_the_address_of_the_environment(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.KEY_VARIABLE, "s3cret")
    with listener() as (url, heard):
        services.elements_of({"app_url": url}, recorded.asking, "l1", "Łucja", str(recorded.root))
        assert heard[0][services.KEY_HEADER] == "s3cret"
        assert heard[0][services.USER_HEADER] == "Łucja"
    other = "http://services.example:8000"
    assert services._address(other, "r", str(recorded.root)) == (other, {})
    monkeypatch.setenv(services.URL_VARIABLE, other + "/")
    assert services._address(other, "r", str(recorded.root))[1] == {services.KEY_HEADER: "s3cret"}


# -- who may call it --------------------------------------------------------------------


def test_somebody_who_may_only_look_changes_nothing(api: Api) -> None:
    assert ask(api, "GET", "/services/one/openapi.json", as_="bob").is_success
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = ask(api, method, "/services/one/where", as_="bob")
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:kodosumi-lab:problem:forbidden")
    assert ask(api, "POST", "/services/one/where", as_="ada").is_success


def test_launches_of_services_count(api: Api) -> None:
    answers = [ask(api, "POST", "/services/one/", json={}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 429]
    assert (
        "no Ray cluster writes the log" in answers[0].text
    )  # the gateway's cluster, not one that this process would start
    assert int(answers[2].headers["retry-after"]) > 0


def test_names_beyond_ascii_arrive_whole(api: Api, recorded: Recorded) -> None:
    plain = TestClient(service())
    assert plain.post("/where", headers={b"x-kodosumi_user": "Łucja".encode()}).json()["user"] == "Łucja"
    assert plain.post("/where", headers={b"x-kodosumi_user": b"J\xfcrgen"}).json()["user"] == "Jürgen"


# -- whose log it is --------------------------------------------------------------------


def test_a_lock_of_the_gateways_log_is_shown_by_its_own_service_only(api: Api, recorded: Recorded) -> None:
    run_id = asking(recorded, "/services/one")
    (element,) = ask(api, "GET", f"/services/one/_lock_/{run_id}/l1").json()
    assert element["label"] == "Word of /services/one"
    assert ask(api, "GET", f"/services/two/_lock_/{run_id}/l1").status_code == 404
    assert ask(api, "GET", f"/services/one/_lock_/{recorded.asking}/l1").status_code == 404


def test_a_lock_is_shown_in_process_whoever_asks(api: Api, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.KEY_VARIABLE, "s3cret")
    run = Run(asking(recorded, "/services/one"), log_dir=recorded.root)
    with TestClient(api.app):
        assert run.lock()["form"][0]["label"] == "Word of /services/one"
    assert os.environ[services.KEY_VARIABLE] == "s3cret"


def test_a_lock_handler_presets_no_password(recorded: Recorded) -> None:
    app = ServeAPI()

    @app.lock("judged")
    def judged() -> forms.Model:
        return forms.Model(forms.InputPassword("pin", value="1234"))

    api = Api(recorded.root, mounts={"/s": mounting.Mounted("s", "/s", app)})
    assert "1234" not in ask(api, "GET", f"/s/_lock_/{asking(recorded, '/s')}/l1").text
