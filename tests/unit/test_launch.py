"""What a launch may take, and whose its run is: all that is decided before a cluster is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logkit import Emitter, FastDisk, meta, new_run, row

import kodosumi_lab as kl
from kodosumi_lab.errors import InputsError
from kodosumi_lab.flow import entrypoint_of, load
from kodosumi_lab.runtime import console, home, launch
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.probe import about, found_in
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.sender import SpoolerSender
from kodosumi_lab.runtime.tracer import Tracer


@kl.flow
def greet(name: str = "you") -> str:
    return name


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    yield made
    made.close()


def test_inputs_of_a_service_name_no_local_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    with pytest.raises(InputsError, match="files"):
        launch.launch_sent(greet, {"name": "x", "files": [str(secret)]})


def test_a_rerun_of_a_flow_that_is_not_known_takes_secrets_only(writer: LogWriter) -> None:
    made = Emitter(new_run())
    wire = {"amount": 3, "key": {"secret": True}}
    about = meta(flow="pay", entrypoint="elsewhere:pay", code={"import": "elsewhere:pay"}, options={})
    made.send(writer, about, row("inputs", wire))
    run = Run(made.run_id, log_dir=writer.layout.root)
    with pytest.raises(InputsError) as refused:
        run.rerun(amount=4, other=1, key="k")
    assert set(refused.value.errors) == {"amount", "other"}
    with pytest.raises(InputsError, match="key: is a secret; expected text"):
        run.rerun(key={"secret": True})
    with pytest.raises(InputsError, match="key: is a secret, which is not kept"):
        run.rerun()
    again = launch._again(run.meta, wire, {"key": "k"})
    assert (again.wire, again.secrets) == (wire, {"key": "k"})


def test_a_child_run_is_of_whoever_launched_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "machine")
    at: dict[str, Any] = {"log_dir": "/log", "namespace": "n", "user": "ada"}
    before = home.get()
    try:
        parent = Tracer(new_run(), 1, SpoolerSender(None, at))
        assert launch._provenance(launch.Origin())["user"] == "machine"
        with console.capture(parent):
            told = launch._provenance(launch.Origin())
            assert (told["user"], told["parent"]) == ("ada", parent.run_id)
            assert launch._provenance(launch.Origin("bob"))["user"] == "bob"
        with console.capture(Tracer(new_run(), 1, SpoolerSender(None, {"log_dir": "/log", "namespace": "n"}))):
            assert launch._provenance(launch.Origin())["user"] == "machine"
    finally:
        home.set_home(before)


CREWS = """
import kodosumi_lab as kl
from kodosumi_lab import forms


class Crew:
    async def kickoff_async(self, inputs):
        return inputs


bare = Crew()
made = kl.flow(Crew(), name="news", tags=["crew"])
formed = kl.flow(bare, form=forms.Model(forms.InputText("topic")))
"""


def test_an_object_in_a_module_is_a_flow_by_its_name_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "launch_crews.py").write_text(CREWS)
    monkeypatch.syspath_prepend(tmp_path)
    import launch_crews as module

    assert entrypoint_of(module.made) == "launch_crews:made"
    assert entrypoint_of(module.made.with_options(retries=2)) == "launch_crews:made"
    assert entrypoint_of(module.formed) == "launch_crews:formed"
    assert entrypoint_of(load("launch_crews:bare")) == "launch_crews:bare"
    assert load("launch_crews:made") is module.made
    found, failed = found_in(["launch_crews"])
    assert {about(flow)["name"]: about(flow)["entrypoint"] for flow in found} == {
        "news": "launch_crews:made", "Crew": "launch_crews:formed",
    }  # fmt: skip
    assert failed == {}
    # one that has no name there travels by value
    assert entrypoint_of(kl.flow(module.Crew(), name="cell")) is None


def test_a_rerun_finds_the_flow_of_its_module_whatever_else_has_its_name() -> None:
    import kitchen

    other = kl.flow(lambda a: a, name="add")
    assert launch._known({"flow": "add", "entrypoint": "kitchen:add"}) is kitchen.add
    assert launch._known({"flow": "add", "entrypoint": "elsewhere:add"}) is None
    assert other.name == "add"
