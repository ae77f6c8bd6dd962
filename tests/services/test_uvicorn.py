"""A kodosumi service under plain uvicorn, real HTTP, real Ray."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from conftest import ROOT, eventually

import kodosumi_lab as kl
from kodosumi_lab.errors import ClusterError, InputsError, LockClosed
from kodosumi_lab.runtime.desk import Desk

pytestmark = pytest.mark.ray

FORM = {"text": " hi ", "number": "3.5", "password": "hunter2", "date": "2025-02-01", "check": "on", "select": "one"}


@pytest.fixture(scope="module")
def service(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("uvicorn") / "log.txt"
    env = {**os.environ, "RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": str(lab.log_dir)}
    command = [sys.executable, "-m", "uvicorn", "services.kodo:app", "--port", str(port), "--host", "127.0.0.1"]
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=ROOT / "tests", env=env, stdout=out, stderr=out)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:

        def up() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return client.get("/openapi.json").is_success
            except httpx.ConnectError:
                return False

        eventually(up, timeout_s=60, what="uvicorn")
        yield client
        server.terminate()
        server.wait(20)
    print(log.read_text())


def launched(answer: httpx.Response) -> kl.Run:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    fid = body.get("result") or body["fid"]
    assert answer.headers["kodosumi_launch"] == fid
    return kl.run(fid)


def events(run: kl.Run, kind: str) -> list[Any]:
    frame = run.events().filter(pl.col("kind") == kind).sort("seq").collect()
    return [json.loads(payload) for payload in frame["payload"]]


def test_the_form_is_described(service: httpx.Client) -> None:
    body = service.get("/").json()
    assert body["summary"] == "Everything"
    assert body["tags"] == ["Test"]
    assert body["x-kodosumi"] is True
    assert body["x-author"] == "me@example.com"
    assert [element["type"] for element in body["elements"]] == [
        "markdown", "html", "errors", "break", "text", "number", "password", "textarea", "date", "time",
        "datetime-local", "boolean", "select", "file", "hr", "action", "submit", "cancel",
    ]  # fmt: skip


def test_the_document_marks_what_leads_to_a_flow(service: httpx.Client) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    marks = {
        (path, verb): operation.get("x-kodosumi") for path, verbs in paths.items() for verb, operation in verbs.items()
    }
    assert marks["/", "get"] is True
    assert marks["/", "post"] is False
    assert marks["/kinds/{kind}", "post"] is True
    assert paths["/"]["get"]["x-organization"] == "Example"


def test_values_pass_on_as_they_were_sent_and_every_field_is_there(service: httpx.Client, lab: Any) -> None:
    uploads = Desk(lab.log_dir).uploads
    batch = uploads.init_batch()
    upload = uploads.init("a.txt", 1, batch)
    uploads.chunk(upload, 0, b"hello")
    files = json.dumps({"batchId": batch, "items": {upload: {"filename": "a.txt", "totalChunks": 1}}})
    answer = service.post("/", json={**FORM, "files": files}, headers={"x-kodosumi_user": "ada"})
    run = launched(answer)
    assert run.result(120) == {
        "text": " hi ", "number": "3.5", "password": "hunter2", "area": None, "date": "2025-02-01", "time": None,
        "when": None, "check": True, "select": "one", "files": ["a.txt"], "action": None,
    }  # fmt: skip
    shown = {element.get("name"): element for element in answer.json()["elements"]}
    assert shown["text"]["value"] == " hi "
    assert shown["password"]["value"] is None
    assert [option["value"] for option in shown["select"]["option"]] == [True, False]
    printed = events(run, "stdout")
    assert printed[0].startswith("seen ['action', 'area', 'check'")
    assert printed[1] == "['in/a.txt']"
    assert [file["path"] for file in events(run, "upload")[0]["files"]] == ["in/a.txt"]
    assert [str(value) for value in run.results()] == ["# One\n\nTwo", "{'pw': 7}", "second", "<i>x</i>", "plain"]
    assert events(run, "debug") == ["a\nb"]
    assert events(run, "stderr") == ["careful"]


def test_the_launch_records_whose_endpoint_it_was(service: httpx.Client) -> None:
    run = launched(service.post("/", json=FORM, headers={"x-kodosumi_user": "ada", "x-kodosumi-url": "http://panel"}))
    meta = run.meta
    wanted = {
        "fid": run.id, "username": "ada", "user": "ada", "panel_url": "http://panel",
        "app_url": str(service.base_url).rstrip("/"), "entry_point": "services.kodo:everything", "kodosumi": "1.1.0",
        "tags": ["Test"], "summary": "Everything", "description": "Every element there is.", "deprecated": False,
        "author": "me@example.com", "organization": "Example", "version": "1.0.0", "handlers": ["judged", "plain"],
    }  # fmt: skip
    assert {key: meta[key] for key in wanted} == wanted
    assert run.wait(120).status == "finished"


def test_a_password_is_in_no_file(service: httpx.Client, lab: Any) -> None:
    secret = "correct horse 4711"
    run = launched(service.post("/", json={**FORM, "password": secret, "text": "quiet"}))
    assert run.inputs["password"] == {"secret": True}
    # the flow itself gives it back as its result, which is its own decision
    assert run.result(120)["password"] == secret
    written = [json.dumps(events(run, kind)) for kind in ("meta", "inputs", "status")]
    assert not any(secret in text for text in written)


def test_errors_come_back_by_field(service: httpx.Client) -> None:
    body = service.post("/", json={"text": "no", "select": "one"}).json()
    assert body["errors"] == {"_global_": ["Something is wrong"], "text": ["you must not say no"]}
    assert len(body["elements"]) == 18
    checked = service.post("/", json={"number": "11", "select": "three"}).json()["errors"]
    assert set(checked) == {"_global_", "text", "number", "select"}


def test_failures_of_the_endpoint_are_told(service: httpx.Client) -> None:
    assert service.post("/", json={**FORM, "text": "nothing"}).status_code == 400
    answer = service.post("/", json={**FORM, "text": "crash"})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "RuntimeError: kaboom"
    assert service.post("/", content="no json").status_code == 422


def test_a_lock_with_a_lease_handler_and_one_without(service: httpx.Client) -> None:
    run = launched(service.post("/ask", json={"topic": "bees"}))
    lock = eventually(lambda: run.locks, timeout_s=60)[0]
    path = f"/_lock_/{run.id}/{lock['lid']}"
    elements = service.get(path).json()
    assert [element["type"] for element in elements] == ["markdown", "errors", "text", "boolean"]
    assert elements[0]["text"] == "bees"
    waiting = kl.locks().filter(pl.col("run_id") == run.id).collect().to_dicts()
    assert [(row["name"], row["flow"], row["data"]) for row in waiting] == [("judged", "asking", '{"topic":"bees"}')]

    refused = service.post(path, json={"answer": " maybe "}).json()
    assert refused["errors"] == {"_global_": [], "answer": ["decide"]}
    assert run.status == "awaiting"
    with pytest.raises(InputsError, match="decide"):
        run.answer({"answer": "maybe"}, lock="judged")
    taken = service.post(path, json={"answer": "yes", "sure": "on"}, headers={"x-kodosumi_user": "bob"}).json()
    assert taken["result"] == {"said": "YES", "about": "bees", "sure": True}
    assert service.get(path).status_code == 404

    second = eventually(lambda: [one for one in run.locks if one["name"] == "plain"], timeout_s=60)[0]
    assert run.lock("plain")["form"][0]["name"] == "comment"
    assert run.answer({"comment": "well"}, lock="plain", by="eve") == {"comment": "well", "ok": False}
    assert run.result(60) == {"judged": taken["result"], "plain": {"comment": "well", "ok": False}}
    leases = {lease["lid"]: lease for lease in events(run, "lease")}
    assert leases[lock["lid"]]["by"] == "bob"
    assert leases[lock["lid"]]["form"] == elements
    assert leases[second["lid"]]["by"] == "eve"
    assert kl.locks().filter(pl.col("run_id") == run.id).collect().is_empty()
    assert service.get(f"/_lock_/{run.id}/{second['lid']}").status_code == 404


def test_none_is_an_answer_and_the_loser_is_told_who_won(service: httpx.Client) -> None:
    run = launched(service.post("/ask", json={"topic": "x"}))
    lid = eventually(lambda: run.locks, timeout_s=60)[0]["lid"]
    answer = service.post(f"/_lock_/{run.id}/{lid}", json={"answer": "none"}, headers={"x-kodosumi_user": "bob"})
    assert answer.json()["result"] is None
    from kodosumi_lab.runtime import locks

    with pytest.raises(LockClosed, match="bob answered it first"):
        locks.give(run, lid, {}, "eve")
    run.cancel()


@pytest.mark.parametrize(
    ("kind", "final"),
    [("model", "Order 3"), ("nothing", "<p>done</p>"), ("spread", "14"), ("crew", "{'raw': 'text about bees'}"),
     ("crew-class", "{'raw': 'text about ants'}")],
)  # fmt: skip
def test_entrypoints_of_every_sort(service: httpx.Client, kind: str, final: str) -> None:
    run = launched(service.post(f"/kinds/{kind}"))
    assert str(run.result(120)) == final
    assert run.meta["description"] == "overridden"
    if kind == "nothing":
        assert run.meta["summary"] == "Everything"
    if kind == "spread":
        # what its Ray tasks said may come after its end
        said = [f"squaring {n}" for n in (1, 2, 3)] + [f"task {n}" for n in (1, 2, 3)]
        eventually(lambda: sorted(run.logs().splitlines()) == said, timeout_s=30, what=run.logs())
    if kind.startswith("crew"):
        about, task = events(run, "agent")
        assert about["agent"] == {
            "role": "Writer", "goal": "write", "backstory": "born", "tools": [{"name": "search", "description": "finds"}]
        }  # fmt: skip
        assert task["task"]["agent"] == "Writer"
        assert len(events(run, "action")) == 1
        assert len(events(run, "result")) == 1


def test_a_service_that_is_gone_leaves_the_lock_open(lab: Any) -> None:
    from kodosumi_lab.runtime.launch import Origin, launch_sent

    about = {"app_url": "http://127.0.0.1:9", "handlers": ["judged"]}
    run = launch_sent("services.kodo:asking", {"topic": "x"}, Origin(about=about))
    eventually(lambda: run.locks, timeout_s=60)
    with pytest.raises(ClusterError, match="the lock stays open"):
        run.answer({"answer": "yes"})
    assert run.status == "awaiting"
    run.cancel()


def test_a_service_reruns_with_its_secrets_given_again(service: httpx.Client) -> None:
    run = launched(service.post("/", json=FORM))
    run.wait(120)
    with pytest.raises(InputsError, match="text: cannot be changed here"):
        run.rerun(text="again", password="other")
    again = run.rerun(password="other")
    assert again.result(120)["text"] == " hi "
    assert again.inputs["password"] == {"secret": True}
    assert again.meta["fid"] == again.id


def test_the_path_of_the_log_is_the_same_for_all(service: httpx.Client, lab: Any) -> None:
    run = launched(service.post("/kinds/nothing"))
    assert Path(run.log_dir) == lab.log_dir
