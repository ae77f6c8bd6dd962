"""The catalogue and imported history beside a live cluster: what they lead to really runs."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kitchen
import pytest
import uvicorn
from conftest import eventually
from fastapi import Request

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.api.launching import Launch
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.errors import InputsError
from kodosumi_lab.runtime.importing import import_history

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def service(lab: Any) -> Iterator[str]:
    """A service of this cluster: its endpoint launches a flow of the kitchen."""
    app = ServeAPI(title="Kitchen")
    app.add_flow(kitchen.hello)

    @app.enter("/towns", forms.Model(forms.InputText("town", value="Bonn"), forms.InputNumber("n", min_value=1)))
    async def towns(request: Request, inputs: dict[str, Any]) -> Any:
        """Look at towns."""
        return Launch(request, "kitchen:hello", inputs={"name": inputs["town"], "times": int(inputs["n"])})

    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_a_flow_behind_an_endpoint_of_this_cluster_is_a_run_like_any_other(lab: Any, service: str) -> None:
    source = f"{service}/openapi.json"
    found = {row["name"]: row for row in kl.register(source).to_dicts()}
    assert set(found) == {"hello", "towns"}
    assert (found["hello"]["author"], found["hello"]["version"]) == ("the tests", "1.2")
    flow = kl.find("hello", source=source)
    assert isinstance(flow, kl.RemoteFlow)
    assert flow.elements == kitchen.hello.elements
    run = flow.launch(name="Ada", times=3)
    assert isinstance(run, kl.Run)
    assert run.result(60) == "hello Ada"
    assert run.inputs == {"name": "Ada", "times": 3}
    assert flow.launch().inputs == {"name": "world", "times": 1}
    with pytest.raises(InputsError, match="times: "):
        flow.launch(times="many")
    towns = kl.find("Look at towns.")
    assert towns.launch(n=2).result(60) == "hello Bonn"
    with pytest.raises(InputsError, match="n: is '0'; expected at least 1"):
        towns.launch(n=0)
    kl.unregister(source)


def test_a_registered_module_leads_to_a_run(lab: Any) -> None:
    kl.register("kitchen:hello")
    flow = kl.find("kitchen:hello", source="kitchen:hello")
    assert flow.launch(name="x", times=1).wait(60).status == "finished"
    kl.unregister("kitchen:hello")


def test_history_is_imported_beside_a_live_spooler_and_runs_again(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "exec" / "ada" / f"6748f0c2{uuid.uuid4().hex[:16]}" / "sqlite3.db"
    path.parent.mkdir(parents=True)
    database = sqlite3.connect(path)
    database.execute("create table monitor (id integer primary key, timestamp real, kind text, message text)")
    meta = {"dict": {"fid": path.parent.name, "username": "ada", "entry_point": "kitchen:hello", "summary": "Hello"}}
    messages = [
        ("meta", json.dumps(meta)), ("inputs", json.dumps({"dict": {"name": "then", "times": 1}})),
        ("status", "running"), ("final", '{"str": "done"}'), ("status", "finished"),
    ]  # fmt: skip
    rows = [(1_732_800_000.0 + n, kind, text) for n, (kind, text) in enumerate(messages)]
    database.executemany("insert into monitor (timestamp, kind, message) values (?, ?, ?)", rows)
    database.commit()
    database.close()
    running = kitchen.hello.launch(name="now", times=1)
    assert import_history(tmp_path / "exec", lab.log_dir).runs == 1
    assert running.wait(60).status == "finished"
    run_id = max(row for row in kl.runs().collect()["run_id"] if row.startswith("0193"))
    old = kl.run(run_id)
    assert old.result() == "done"
    again = old.rerun(name="again")
    assert again.wait(60).status == "finished"
    assert again.inputs == {"name": "again", "times": 1}
    assert again.meta["rerun_of"] == old.id
    assert "imported" not in again.meta


def test_the_page_about_the_register_runs(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    monkeypatch.chdir(ROOT)
    source = "\n".join(
        re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/register.md").read_text(), re.MULTILINE | re.DOTALL)
    )
    space: dict[str, Any] = {"__name__": "page"}
    exec(compile(source.replace("flow.launch", "run = flow.launch"), "docs/register.md", "exec"), space)
    assert space["run"].wait(120).status == "finished"
    kl.unregister("examples.flows")
