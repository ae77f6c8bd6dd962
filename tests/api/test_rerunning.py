"""The form of a run that is to be run again, and what becomes of it; as far as that goes without a cluster."""

from __future__ import annotations

from typing import Any

from apikit import Api, Recorded
from logkit import Emitter, meta, new_run, row, status
from pydantic import SecretStr

import kodosumi_lab as kl
from kodosumi_lab.flow import entrypoint_of


@kl.flow
def rerun_me(topic: str, depth: int = 2, key: SecretStr | None = None) -> str:
    return topic


def record(recorded: Recorded, inputs: dict[str, Any], **about: Any) -> str:
    run = Emitter(new_run(0, 90))
    facts = {"flow": "rerun_me", "user": "ada", "entrypoint": entrypoint_of(rerun_me) or "rerun_me (by value)", **about}
    run.send(
        recorded.writer, meta(code={"import": "x:y"}, options={}, **facts), row("inputs", inputs), status("finished")
    )
    return run.run_id


def kind_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:kodosumi-lab:problem:")


def test_the_form_of_a_run_shows_its_inputs(api: Api, recorded: Recorded) -> None:
    run_id = record(recorded, {"topic": "ants", "depth": 7, "key": {"secret": True}})
    elements = {one["name"]: one for one in api.get(f"/runs/{run_id}/form", as_="ada").json()}
    assert (elements["topic"]["value"], elements["depth"]["value"], elements["depth"]["type"]) == (
        "ants",
        "7",
        "number",
    )
    assert (elements["key"]["type"], elements["key"]["value"], elements["key"]["required"]) == ("password", None, True)


def test_the_form_of_an_unknown_flow_is_json(api: Api, recorded: Recorded) -> None:
    for about in ({"entrypoint": "other:rerun_me"}, {"flow": "gone"}, {"fid": "of a service"}):
        run_id = record(recorded, {"topic": "ants", "n": [1]}, **about)
        elements = api.get(f"/runs/{run_id}/form").json()
        assert [(one["type"], one.get("value")) for one in elements[1:]] == [("json", '"ants"'), ("json", "[1]")], about


def test_what_was_entered_is_checked_before_the_cluster_is_asked(api: Api, recorded: Recorded) -> None:
    run_id = record(recorded, {"topic": "ants", "depth": 7, "key": {"secret": True}})

    def post(**body: Any) -> Any:
        return api.post(f"/runs/{run_id}/rerun", json=body, as_="ada")

    wrong = post(form={"topic": "bees", "depth": "many", "key": "k"})
    assert (kind_of(wrong), set(wrong.json()["errors"])) == ((422, "inputs"), {"depth"})
    forgotten = post(form={"topic": "bees", "depth": "3", "key": ""})
    assert (kind_of(forgotten), set(forgotten.json()["errors"])) == ((422, "inputs"), {"key"})
    assert kind_of(post(form={"topic": "bees", "depth": "3", "key": "k"})) == (503, "cluster")
    assert kind_of(post(form={}, inputs={"topic": "x"})) == (422, "request")


def test_of_an_unknown_flow_nothing_but_secrets_can_be_changed(api: Api, recorded: Recorded) -> None:
    run_id = record(recorded, {"n": 1, "key": {"secret": True}}, flow="gone")

    def post(form: dict[str, Any]) -> Any:
        return api.post(f"/runs/{run_id}/rerun", json={"form": form}, as_="ada")

    assert set(post({"n": "{", "key": "k"}).json()["errors"]) == {"n"}
    assert kind_of(post({"n": "1", "key": "k"})) == (503, "cluster"), "unchanged, so the cluster is asked"


def test_others_runs_have_no_form(api: Api, recorded: Recorded) -> None:
    assert kind_of(api.get(f"/runs/{recorded.asking}/form", as_="bob")) == (404, "run-not-found")
    answer = api.post(f"/runs/{recorded.failed}/rerun", json={"form": {}}, as_="ada")
    assert kind_of(answer) == (404, "run-not-found")
