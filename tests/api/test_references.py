"""What somebody entered is never taken for a reference, and no reference leads out of the artifacts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from apikit import Api, Recorded
from logkit import Emitter, meta, new_run, row, status

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.run import Run

LEADS_OUT = {"sha256": "../../state/secret", "nbytes": 1, "date": "2026-01-10"}


def begun(recorded: Recorded, inputs: Any, **about: Any) -> str:
    made = Emitter(new_run(0, 900 + recorded.n))
    recorded.n += 1
    made.send(recorded.writer, meta(user="ada", entrypoint="m:f", **about), row("inputs", inputs), status("running"))
    return made.run_id


@pytest.mark.parametrize(
    "inputs",
    [
        {"artifact": LEADS_OUT},
        {"artifact": "a text"},
        {"artifact": {"sha256": "0" * 64, "date": "../../etc"}},
        {"artifact": None},
        {"text/plain": "x"},
        {"application/json": [1]},
        {"application/vnd.apache.arrow.stream": "none"},
    ],
)
def test_inputs_are_what_was_entered(recorded: Recorded, api: Api, inputs: dict[str, Any]) -> None:
    state = recorded.root / "state"
    state.mkdir(exist_ok=True)
    (state / "secret").write_text('{"stolen": true}')
    run_id = begun(recorded, inputs)
    assert Run(run_id, log_dir=recorded.root).inputs == inputs
    told = api.get(f"/runs/{run_id}")
    assert told.status_code == 200, told.text
    assert told.json()["inputs"] == inputs


def test_meta_is_no_bundle(recorded: Recorded, api: Api) -> None:
    run_id = begun(recorded, {}, **{"text/plain": "x"})
    assert api.get(f"/runs/{run_id}").json()["meta"]["text/plain"] == "x"


def test_inputs_beside_the_log_are_fetched_once(recorded: Recorded) -> None:
    inputs = {"artifact": LEADS_OUT}  # how a launch keeps inputs that look like a reference
    text = json.dumps(inputs)
    run_id = new_run(0, 990)
    digest, date = hashlib.sha256(text.encode()).hexdigest(), run_date(run_id)
    place = Layout(recorded.root).artifact(date, digest)
    place.parent.mkdir(parents=True)
    place.write_text(text)
    reference = {"artifact": {"sha256": digest, "nbytes": len(text), "date": date}}
    Emitter(run_id).send(recorded.writer, meta(user="ada"), row("inputs", reference), status("running"))
    assert Run(run_id, log_dir=recorded.root).inputs == inputs


def test_no_reference_leads_out(recorded: Recorded) -> None:
    layout = Layout(recorded.root)
    for date, digest in (("2026-01-10", "../x"), ("..", "0" * 64), ("2026-01-10", "0" * 63), ("2026-01-10", "A" * 64)):
        with pytest.raises(ValueError, match="names no artifact"):
            layout.artifact(date, digest)
    log = Run(recorded.asking, log_dir=recorded.root)._log
    for wrong in (LEADS_OUT, {}, {"sha256": 1, "date": None}):
        with pytest.raises(LogError, match="no reference"):
            log.artifact(wrong)


def test_an_artifact_that_another_run_names_is_not_this_ones(recorded: Recorded, api: Api) -> None:
    text = '{"mine": 1}'
    digest = hashlib.sha256(text.encode()).hexdigest()
    run_id = new_run(0, 991)
    place = Layout(recorded.root).artifact(run_date(run_id), digest)
    place.parent.mkdir(parents=True)
    place.write_text(text)
    reference = {"artifact": {"sha256": digest, "nbytes": len(text), "date": run_date(run_id)}}
    made = Emitter(run_id)
    made.send(recorded.writer, meta(user="ada"), row("inputs", {}), row("result", reference), status("running"))
    assert api.get(f"/runs/{run_id}/artifacts/{digest}").json() == {"mine": 1}
    said = [row("stdout", json.dumps(reference)), row("result", {"artifact": {"sha256": digest}})]
    said.append(row("result", {"artifact": [digest]}))
    recorded.emitter.send(recorded.writer, *said)
    refused = api.get(f"/runs/{recorded.emitter.run_id}/artifacts/{digest}")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (404, "artifact-not-found")
