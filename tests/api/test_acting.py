"""Routes that act, as far as they go without a cluster: what is refused, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apikit import Api, Recorded
from logkit import row, status

import kodosumi_lab as kl
from kodosumi_lab.api.guard import LaunchRate
from kodosumi_lab.api.idempotency import Keys
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.api.problems import Refused


@kl.flow
def api_double(n: int) -> int:
    return 2 * n


def kind_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:kodosumi-lab:problem:")


def test_without_a_cluster_acting_says_why_and_reading_goes_on(api: Api, recorded: Recorded) -> None:
    for path, body in (
        ("/flows/api_double/launch", {"inputs": {"n": 1}}),
        (f"/runs/{recorded.asking}/cancel", None),
        (f"/runs/{recorded.asking}/locks/l1", {"result": True}),
        (f"/runs/{recorded.finished}/rerun", None),
    ):
        answer = api.post(path, json=body)
        assert kind_of(answer) == (503, "cluster"), path
        assert "kodosumi-lab up" in answer.json()["detail"]
    assert api.get("/runs").json()["total"] == 3


def test_inputs_are_checked_before_anything_is_asked_of_the_cluster(api: Api) -> None:
    answer = api.post("/flows/api_double/launch", json={"inputs": {"n": "x", "more": 1}})
    assert kind_of(answer) == (422, "inputs")
    assert set(answer.json()["errors"]) == {"n", "more"}
    assert kind_of(api.post("/flows/nobody/launch", json={})) == (404, "flow-not-found")
    assert kind_of(api.post("/flows/api_double/launch", json={"n": 1})) == (422, "request")
    assert kind_of(api.post("/flows/api_double/launch", content=b"{", headers={"content-type": "application/json"})) == (
        422, "request",
    )  # fmt: skip


def test_what_was_entered_in_a_form_is_checked_as_such(api: Api) -> None:
    def check(**body: Any) -> Any:
        return api.post("/flows/api_double/validate", json=body, as_="bob")

    assert check(form={"n": "7"}).json() == check(inputs={"n": 7}).json() == {"valid": True}
    wrong = check(form={"n": "seven"})
    assert (kind_of(wrong), set(wrong.json()["errors"])) == ((422, "inputs"), {"n"})
    assert kind_of(check(form={"n": "7"}, inputs={"n": 7})) == (422, "request")
    entered = api.post("/flows/api_double/launch", json={"form": {"n": "7"}})
    assert kind_of(entered) == (503, "cluster"), "it fits, so the cluster is asked"


def test_a_viewer_looks_and_does_not_act(api: Api, recorded: Recorded) -> None:
    own = recorded.begin("own", "bob").run_id
    for path in ("/flows/api_double/launch", f"/runs/{own}/cancel", f"/runs/{own}/rerun", f"/runs/{own}/locks/x"):
        assert kind_of(api.post(path, as_="bob", json={})) == (403, "forbidden"), path
    assert api.get(f"/runs/{own}", as_="bob").status_code == 200


def test_runs_of_others_cannot_be_acted_on(api: Api, recorded: Recorded) -> None:
    for path in ("cancel", "rerun", "locks/l1"):
        assert kind_of(api.post(f"/runs/{recorded.failed}/{path}", as_="ada", json={})) == (404, "run-not-found")


def test_what_has_ended_is_not_cancelled_and_that_is_no_error(api: Api, recorded: Recorded) -> None:
    answer = api.post(f"/runs/{recorded.finished}/cancel")
    assert (answer.status_code, answer.json()["cancelled"]) == (200, False)


def test_the_loser_of_a_lock_is_told_who_answered(api: Api, recorded: Recorded) -> None:
    emitter = recorded.emitter
    lease = {"lid": "l1", "result": True, "by": "olga", "token": "t"}
    emitter.send(recorded.writer, row("lease", lease), status("running"))
    answer = api.post(f"/runs/{recorded.asking}/locks/l1", json={"result": False})
    assert (kind_of(answer), answer.json()["by"]) == ((409, "lock-closed"), "olga")
    shown = api.get(f"/runs/{recorded.asking}/locks/l1").json()
    assert (shown["open"], shown["lease"]) == (False, {"lid": "l1", "result": True, "by": "olga"})
    assert kind_of(api.post(f"/runs/{recorded.asking}/locks/l9", json={})) == (404, "lock-not-found")


def test_a_body_that_is_too_long_is_refused_with_and_without_its_length(recorded: Recorded) -> None:
    api = Api(recorded.root, settings={"gateway_body_bytes": 2000})
    body = json.dumps({"inputs": {"n": "x" * 3000}}).encode()
    headers = {"content-type": "application/json"}

    async def in_parts() -> Any:
        for start in range(0, len(body), 500):
            yield body[start : start + 500]

    assert kind_of(api.post("/flows/api_double/launch", content=body, headers=headers)) == (413, "too-long")
    assert kind_of(api.post("/flows/api_double/launch", content=in_parts(), headers=headers)) == (413, "too-long")


def test_launches_beyond_the_rate_are_told_when_to_come_again() -> None:
    now = [0.0]
    rate = LaunchRate(6, clock=lambda: now[0])
    ada, bob = User("ada", Role.USER), User("bob", Role.USER)
    for _ in range(6):
        rate.take(ada)
    with pytest.raises(Refused, match="6 launches a minute") as refused:
        rate.take(ada)
    assert refused.value.headers == {"retry-after": "11"}
    rate.take(bob)
    now[0] = 10.1
    rate.take(ada)


def test_a_key_is_one_run_for_good_and_another_body_is_refused(tmp_path: Path) -> None:
    with Keys(tmp_path / "keys").held("ada", "k", {"n": 1}) as first:
        pass
    again = Keys(tmp_path / "keys")  # after a restart
    with again.held("ada", "k", {"n": 1}) as second:
        assert second == first
    with again.held("bob", "k", {"n": 1}) as theirs:
        assert theirs != first
    with pytest.raises(Refused, match="another request"), again.held("ada", "k", {"n": 2}):
        pass
    again.forget("ada", "k")
    with again.held("ada", "k", {"n": 2}) as third:
        assert third != first
    kept = [path.read_text() for path in (tmp_path / "keys").iterdir() if path.name != ".secret"]
    assert len(kept) == 2


def test_a_launch_that_got_no_further_is_made_under_the_same_id(api: Api, recorded: Recorded) -> None:
    """The first try reserved the id and then found no cluster: the key stays with it."""
    headers = {"idempotency-key": "once"}
    for _ in range(2):
        answer = api.post("/flows/api_double/launch", json={"inputs": {"n": 1}}, headers=headers)
        assert kind_of(answer) == (503, "cluster")
    folder = recorded.root / "state" / "idempotency"
    (kept,) = [path for path in folder.iterdir() if path.name != ".secret"]
    run_id = json.loads(kept.read_text())["run_id"]
    assert kind_of(api.post("/flows/api_double/launch", json={"inputs": {"n": 2}}, headers=headers)) == (
        422, "idempotency-key",
    )  # fmt: skip
    from logkit import Emitter, meta

    Emitter(run_id).send(recorded.writer, meta(flow="api_double", user="olga", code={}), row("inputs", {"n": 1}))
    found = api.post("/flows/api_double/launch", json={"inputs": {"n": 1}}, headers=headers)
    assert (found.status_code, found.json()["run_id"]) == (200, run_id)
    assert found.headers["location"] == f"/api/v1/runs/{run_id}"


def test_deleting_is_for_ended_runs_of_ones_own(api: Api, recorded: Recorded) -> None:
    def delete(run_id: str, who: str) -> tuple[int, str]:
        answer = api.ask("DELETE", f"/runs/{run_id}", as_=who)
        return kind_of(answer) if answer.content else (answer.status_code, "")

    assert delete(recorded.asking, "ada") == (409, "run-open")
    assert delete(recorded.failed, "ada") == (404, "run-not-found")
    assert delete(recorded.failed, "bob") == (403, "forbidden")
    assert delete(recorded.failed, "olga") == (403, "forbidden")
    assert api.get("/runs").json()["total"] == 3
    assert delete(recorded.finished, "ada") == (204, "")
    assert delete(recorded.finished, "ada") == (404, "run-not-found")
    assert delete(recorded.failed, "root") == (204, "")
    assert [item["run_id"] for item in api.get("/runs").json()["items"]] == [recorded.asking]
    entries = [(entry["user"], entry["call"], entry["run_id"]) for entry in api.get("/audit", as_="root").json()]
    assert entries == [("root", "delete_run", recorded.failed), ("ada", "delete_run", recorded.finished)]
    api.app.state.gateway.audit.close()
