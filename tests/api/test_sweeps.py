"""Sweeps and comparisons over HTTP, from a recorded log; without a cluster."""

from __future__ import annotations

from typing import Any

from apikit import Api, Recorded
from logkit import Emitter, meta, new_run, row, status

from kodosumi_lab.runtime.sweep_claim import Claim


def part(recorded: Recorded, index: int, *rest: Any, user: str = "ada", **more: Any) -> str:
    run = Emitter(new_run(0, 60 + index))
    plan = {"end": [10, 20], "key": [{"secret": True}, "open"]}
    about = {"id": "5e4", "index": index, "of": 4, "over": ["end", "key"], "zipped": False, "lists": plan, **more}
    facts = meta(
        flow="gaps", user=user, tags=["sweep:5e4"], sweep=about, entrypoint="m:gaps", code={"import": "m:gaps"}
    )
    inputs = {"end": [10, 10, 20, 20][index], "key": [{"secret": True}, "open"][index % 2]}
    run.send(recorded.writer, facts, row("inputs", inputs), status("running"), *rest)
    return run.run_id


def test_a_sweep_has_its_combinations_and_those_that_were_never_started(api: Api, recorded: Recorded) -> None:
    done = part(recorded, 0, row("final", {"application/json": 7}), status("finished"))
    failed = part(recorded, 1, row("error", {"type": "E", "message": "no"}), status("error", reason="E: no"))
    found = api.get("/sweeps/5e4", as_="ada")
    told = found.json()
    assert (told["flow"], told["over"], told["total"], told["zipped"], told["starting"], told["failure"]) == (
        "gaps", ["end", "key"], 4, False, False, "",
    )  # fmt: skip
    assert told["counts"] == {"finished": 1, "error": 1, "waiting": 2}
    assert [(one["run_id"], one["status"], one["error"]) for one in told["rows"]] == [
        (done, "finished", None), (failed, "error", "E: no"), (None, None, None), (None, None, None),
    ]  # fmt: skip
    assert told["rows"][0]["inputs"] == {"end": "10", "key": "secret"}
    assert told["rows"][0]["result"] == "7"
    same = api.get("/sweeps/5e4", as_="ada", headers={"if-none-match": found.headers["etag"]})
    assert same.status_code == 304
    assert len(api.get("/sweeps/5e4?limit=1", as_="ada").json()["rows"]) == 1

    claim = Claim(recorded.root, "5e4")
    claim.take()
    begun = api.get("/sweeps/5e4", as_="ada", headers={"if-none-match": found.headers["etag"]})
    assert (begun.status_code, begun.json()["starting"]) == (200, True)
    claim.release("no cluster")
    told = api.get("/sweeps/5e4", as_="ada").json()
    assert (told["starting"], told["failure"]) == (False, "no cluster")


def test_a_sweep_of_somebody_else_is_none(api: Api, recorded: Recorded) -> None:
    part(recorded, 0, user="bob")
    assert api.get("/sweeps/5e4", as_="bob").status_code == 200
    refused = api.get("/sweeps/5e4", as_="ada")
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:kodosumi-lab:problem:run-not-found")
    assert api.get("/sweeps/none", as_="olga").status_code == 404
    assert api.post("/sweeps/5e4/cancel", as_="ada", json={}).status_code == 404


def test_who_sees_a_part_of_a_sweep_cannot_act_on_the_whole(api: Api, recorded: Recorded) -> None:
    part(recorded, 0, user="bob")
    part(recorded, 1)
    assert [one["index"] for one in api.get("/sweeps/5e4", as_="ada").json()["rows"]] == [1, 2, 3]
    for what in ("cancel", "rerun", "resume"):
        refused = api.post(f"/sweeps/5e4/{what}", as_="ada", json={})
        assert refused.status_code == 403, what
        assert "sweep 5e4 has runs of others" in refused.json()["detail"]


def test_runs_are_compared_line_by_line(api: Api, recorded: Recorded) -> None:
    told = api.get("/compare", params={"run": [recorded.finished, recorded.asking]}, as_="ada").json()
    assert told["runs"] == [recorded.finished, recorded.asking]
    lines = {(one["section"], one["name"]): one for one in told["lines"]}
    assert lines["status", "status"]["values"] == ["finished", "awaiting"]
    assert lines["inputs", "end"]["same"] is False
    assert lines["results", "1"]["values"] == ["forty", None]
    assert told["different"] == sum(not one["same"] for one in told["lines"])


def test_only_what_one_may_see_is_compared(api: Api, recorded: Recorded) -> None:
    assert api.get("/compare", params={"run": [recorded.finished, recorded.failed]}, as_="ada").status_code == 404
    assert api.get("/compare", params={"run": [recorded.finished]}, as_="ada").status_code == 422
    twice = api.get("/compare", params={"run": [recorded.finished, recorded.finished]}, as_="ada")
    assert (twice.status_code, twice.json()["detail"]) == (
        422,
        "a run is named twice; a run does not differ from itself",
    )
