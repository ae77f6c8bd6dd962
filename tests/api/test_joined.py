"""Everything at once over real HTTP and real Ray: services, registered modules, files, locks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from apikit import serving
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.identity import Role, TokenFile
from kodosumi_lab.api.mounting import services_of
from kodosumi_lab.errors import InputsError
from kodosumi_lab.settings import load

pytestmark = pytest.mark.ray

FLOWS = """
import asyncio

import kodosumi_lab as kl
from pydantic import SecretStr


@kl.flow(tags=["joined"], timeout_s=120)
async def joined_lengths(key: SecretStr, times: int = {times}, *, tracer: kl.Tracer) -> list[int]:
    async with tracer.fs() as fs:
        sizes = [info["size"] for info in await fs.ls("in")]
        open("made.html", "w").write("<h1>done</h1>")
        await fs.upload("made.html")
    return [size * times for size in sizes] + [len(key.get_secret_value())]


@kl.flow
async def joined_measure(one: kl.UploadFile, more: list[kl.UploadFile] = []) -> list[int]:
    return [len(await each.read()) for each in [one, *more]]
"""


@pytest.fixture(scope="module")
def gateway(lab: Any) -> Iterator[dict[str, Any]]:
    log_dir = Path(lab.log_dir)
    mounts = services_of(["services.kodo:app"])
    app = create_app(settings=load(log_dir=log_dir), mounts=mounts)
    people = TokenFile(log_dir / "state")
    tokens = {name: people.add(name, role) for name, role in (("ada", Role.USER), ("bob", Role.USER))}
    with serving(app) as url:
        app.state.gateway.catalogue._url = url
        yield {"url": url, "state": log_dir / "state", "root": people.own.read_text().strip(), **tokens}


@pytest.fixture
def ada(gateway: dict[str, Any]) -> Iterator[kl.Client]:
    with kl.Client(gateway["url"], token=gateway["ada"]) as client:
        yield client


def test_an_unchanged_service_is_launched_with_files_and_its_locks_are_answered(
    gateway: dict[str, Any], ada: kl.Client, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputsError, match="must not say no"):
        ada.launch("services/kodo", text="no", password="s3cret!")
    run = ada.launch("services/kodo", text="hi", number=3.5, password="s3cret!", files=[tmp_path / "a.txt"])
    result = run.result(timeout_s=120)
    assert (result["text"], result["number"], result["files"], result["select"]) == ("hi", "3.5", ["a.txt"], "two")
    assert (run.meta["user"], run.meta["summary"], run.meta["launched_by"]) == ("ada", "Everything", "Kodo")
    assert [info["path"] for info in run.files] == ["in/a.txt"]
    assert "in/a.txt" in run.logs()
    assert run.inputs["password"] == {"secret": True}
    given = {"text": "hi", "number": 3.5, "password": "s3cret!", "idempotency_key": "joined"}
    once, twice = ada.launch("services/kodo", **given), ada.launch("services/kodo", **given)
    assert once.id == twice.id != run.id
    folder = Path(gateway["state"]) / "idempotency"
    kept = [json.loads(path.read_text()) for path in folder.iterdir() if path.name != ".secret"]
    assert once.id in [one["run_id"] for one in kept], "the service gave the run the id that the gateway had drawn"
    assert not any("settled" in one or "asked" in one for one in kept)
    asked = ada.launch("services/kodo/ask", topic="bees")
    eventually(lambda: asked.status == "awaiting", timeout_s=60)
    shown = ada._get(f"/runs/{asked.id}/locks/{asked.locks[0]['lid']}").json()
    assert (shown["form"][0]["text"], shown["open"]) == ("bees", True), "the service draws the form"
    drawn = asked.lock("judged")
    assert (drawn["form"], sorted(drawn)) == (shown["form"], ["data", "expires", "form", "lid", "name"])
    with pytest.raises(LookupError, match="0 locks for 'other'; open are: judged"):
        asked.lock("other")

    async def from_a_coroutine() -> dict[str, Any]:
        async with kl.AsyncClient(gateway["url"], token=gateway["ada"]) as client:
            return await (await client.run(asked.id)).lock()

    assert asyncio.run(from_a_coroutine()) == drawn
    with pytest.raises(InputsError, match="decide"):
        asked.answer({"answer": "maybe"})
    with kl.Client(gateway["url"], token=gateway["bob"]) as bob, pytest.raises(kl.errors.RunNotFound):
        bob.run(asked.id)
    asked.answer({"answer": "yes", "sure": "on"}, lock="judged")
    eventually(lambda: [lock for lock in asked.locks if lock["name"] == "plain"], timeout_s=60)
    asked.answer({"comment": "fine"}, lock="plain")
    assert asked.result(timeout_s=60)["judged"] == {"said": "YES", "about": "bees", "sure": True}


def test_somebody_elses_upload_is_refused_by_the_service_too(gateway: dict[str, Any], ada: kl.Client) -> None:
    batch = ada._http.post(f"{gateway['url']}/files/init_batch").json()["batch_id"]
    value = json.dumps({"batchId": batch, "items": {"x": {"filename": "a.txt", "totalChunks": 1}}})
    headers = {"authorization": f"Bearer {gateway['bob']}"}
    form = {"text": "hi", "files": value, "select": "one"}
    answer = httpx.post(f"{gateway['url']}/services/kodo/", json=form, headers=headers, timeout=60)
    assert "no batch" in answer.json()["errors"]["files"][0]


def test_a_registered_module_runs_by_its_path_as_it_is_now(
    gateway: dict[str, Any], ada: kl.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path.name
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{module}.py").write_text(FLOWS.format(times=2))
    (tmp_path / "a.txt").write_text("12345")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("1")
    with kl.Client(gateway["url"], token=gateway["root"]) as root:
        assert root._http.post("/sources", json={"source": module}).status_code == 201
        try:
            run = ada.launch("joined_lengths", key="hunter2", files=tmp_path / "a.txt")
            assert run.result(timeout_s=120) == [10, 7]
            both = [tmp_path / "a.txt", tmp_path / "more" / "a.txt"]
            measured = ada.launch("joined_measure", one=both[0], more=both, files=tmp_path / "more")
            assert measured.result(timeout_s=120) == [5, 5, 1]
            assert [info["path"] for info in measured.files] == ["in/2/a.txt", "in/a.txt", "in/more/a.txt"]
            with pytest.raises(InputsError, match=r"one: .*expected an uploaded file"):
                ada.launch("joined_measure", one=str(both[0]))
            assert module not in sys.modules
            assert (run.inputs["key"], run.meta["timeout_s"], run.meta["user"]) == ({"secret": True}, 120, "ada")
            assert run.files.read_bytes("out/made.html") == b"<h1>done</h1>"
            page = ada._get(f"/runs/{run.id}/files/out/made.html")
            assert page.headers["content-disposition"].startswith("attachment")
            (tmp_path / f"{module}.py").write_text(FLOWS.format(times=3))
            again = ada.launch("joined_lengths", key="k", files=[tmp_path / "a.txt"])
            assert again.result(timeout_s=120) == [15, 1]
        finally:
            deleted = root._http.delete("/sources", params={"source": module})
        assert deleted.status_code == 204
