"""Routes that read a recorded log."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import polars as pl
import pytest
from logkit import Emitter, lines

import kodosumi_lab as kl
from kodosumi_lab.events import arrow_schema


@kl.flow(summary="Add two numbers", tags=["math"])
def api_add(a: int, b: int = 1, secret: str = "") -> int:
    return a + b


def test_flows_are_listed_with_their_schema_and_form(api: Any) -> None:
    found = {flow["name"]: flow for flow in api.get("/flows").json()}["api_add"]
    assert (found["summary"], found["tags"]) == ("Add two numbers", ["math"])
    assert found["schema"]["properties"]["a"]["type"] == "integer"
    assert api.get("/flows/api_add/schema").json() == found["schema"]
    form = {element["name"]: element for element in api.get("/flows/api_add/form").json()}
    assert (form["a"]["type"], form["a"]["required"], form["b"]["value"]) == ("number", True, "1")
    missing = api.get("/flows/nobody")
    assert missing.status_code == 404
    assert missing.json()["type"].endswith("flow-not-found")


def test_runs_are_newest_first_with_their_number(api: Any, recorded: Any) -> None:
    page = api.get("/runs").json()
    assert [item["run_id"] for item in page["items"]] == [recorded.asking, recorded.failed, recorded.finished]
    assert (page["total"], page["next"]) == (3, None)
    assert page["items"][0]["locks"][0]["name"] == "approval"


def test_runs_of_a_notebook_cell(api: Any, recorded: Any) -> None:
    run_id = recorded.begin("primes", "ada", notebook={"path": "/work/one.ipynb", "cell": "c-1"}).run_id
    page = api.get("/runs", params={"cell": "c-1"}).json()
    assert [item["run_id"] for item in page["items"]] == [run_id]
    assert "cell" not in page["items"][0]
    assert api.get("/runs", params={"cell": "c-2"}).json()["total"] == 0
    assert api.get(f"/runs/{run_id}").json()["meta"]["notebook"]["path"] == "/work/one.ipynb"


@pytest.mark.parametrize(
    ("query", "flows"),
    [
        ({"status": "finished"}, ["primes"]),
        ({"status": ["error", "finished"]}, ["research", "primes"]),
        ({"flow": "review"}, ["review"]),
        ({"user": "ada"}, ["review", "primes"]),
        ({"tag": "math"}, ["primes"]),
        ({"search": "NO SUCH topic"}, ["research"]),
        ({"search": "nothing has this"}, []),
        ({"since": "2100-01-01T00:00:00Z"}, []),
        ({"until": "2100-01-01"}, ["review", "research", "primes"]),
        ({"sort": "flow"}, ["primes", "research", "review"]),
        ({"sort": "-events"}, ["primes", "review", "research"]),
    ],
)
def test_runs_are_filtered_and_sorted(api: Any, query: Any, flows: list[str]) -> None:
    page = api.get("/runs", params=query).json()
    assert [item["flow"] for item in page["items"]] == flows
    assert page["total"] == len(flows)


@pytest.mark.parametrize("sort", ["started", "-started", "ended", "-ended", "flow", "-events", "-progress_none"])
def test_pages_hold_every_run_once_even_when_runs_come_in_between(api: Any, recorded: Any, sort: str) -> None:
    for i in range(20):
        recorded.begin("f" + str(i % 3), "ada")
    if sort == "-progress_none":
        assert api.get("/runs", params={"sort": sort}).status_code == 422
        return
    seen: list[str] = []
    cursor = None
    there = {item["run_id"] for item in api.get("/runs", params={"limit": 1000}).json()["items"]}
    while True:
        query = {"limit": 4, "sort": sort} | ({"cursor": cursor} if cursor else {})
        page = api.get("/runs", params=query).json()
        seen += [item["run_id"] for item in page["items"]]
        cursor = page["next"]
        recorded.begin("between", "ada")
        if cursor is None or len(seen) > 200:
            break
        if len(seen) > len(there) + 40:
            break
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


def test_a_cursor_of_another_list_is_refused(api: Any) -> None:
    cursor = api.get("/runs", params={"limit": 1, "sort": "flow"}).json()["next"]
    for wrong in (cursor, "x", "W10"):
        answer = api.get("/runs", params={"cursor": wrong, "sort": "-events"})
        assert answer.status_code == 422
        assert "cursor" in answer.json()["errors"]


def test_own_runs_only_unless_operator(api: Any, recorded: Any) -> None:
    assert {item["user"] for item in api.get("/runs", as_="ada").json()["items"]} == {"ada"}
    assert api.get("/runs", as_="bob").json()["total"] == 1
    assert api.get("/runs", as_="bob", params={"user": "ada"}).json()["total"] == 0
    for path in ("", "/events", "/result", "/locks", "/locks/l1", "/artifacts/abc", "/follow"):
        hidden = api.get(f"/runs/{recorded.asking}{path}", as_="bob")
        assert (hidden.status_code, hidden.json()["type"][-13:]) == (404, "run-not-found"), path
    assert api.get("/locks", as_="bob").json() == []
    assert len(api.get("/locks", as_="ada").json()) == 1


def test_one_run_shows_inputs_and_meta_without_the_code(api: Any, recorded: Any) -> None:
    run = api.get(f"/runs/{recorded.finished}").json()
    assert (run["status"], run["inputs"], run["last_seq"]) == ("finished", {"end": 1}, 45)
    assert "code" not in run["meta"]
    assert api.get("/runs/nonsense").status_code == 404


def test_how_a_run_ended(api: Any, recorded: Any) -> None:
    assert api.get(f"/runs/{recorded.finished}/result").json()["payload"] == {"application/json": {"gaps": 3}}
    failed = api.get(f"/runs/{recorded.failed}/result").json()
    assert (failed["status"], failed["traceback"][:9]) == ("error", "Traceback")
    assert api.get(f"/runs/{recorded.asking}/result").json()["done"] is False


def test_events_come_as_accepted(api: Any, recorded: Any) -> None:
    path = f"/runs/{recorded.finished}/events"
    page = api.get(path).json()
    assert [item["seq"] for item in page["items"]] == list(range(46))
    assert page["items"][3]["payload"] == "0"
    assert page["items"][-2]["payload"] == {"application/json": {"gaps": 3}}
    assert page["items"][0]["agent"] is None
    as_lines = api.get(path, headers={"accept": "application/x-ndjson"}).text.splitlines()
    assert [json.loads(line) for line in as_lines] == page["items"]
    rows = list(csv.DictReader(io.StringIO(api.get(path, headers={"accept": "text/csv"}).text)))
    assert [int(item["seq"]) for item in rows] == list(range(46))
    stream = api.get(path, headers={"accept": "application/vnd.apache.arrow.stream"})
    frame = pl.read_ipc_stream(stream.content)
    assert frame["seq"].to_list() == list(range(46))
    assert stream.headers["content-type"] == "application/vnd.apache.arrow.stream"
    import pyarrow as pa

    assert pa.ipc.open_stream(stream.content).schema.equals(arrow_schema())
    assert api.get(path, headers={"accept": "image/png"}).status_code == 406


def test_events_after_a_seq_page_by_page(api: Any, recorded: Any) -> None:
    path = f"/runs/{recorded.finished}/events"
    seen, after = [], -1
    while after is not None:
        page = api.get(path, params={"after": after, "limit": 7}).json()
        seen += [item["seq"] for item in page["items"]]
        after = page["next"]
    assert seen == list(range(46))
    assert api.get(path, params={"after": 45}).json() == {"items": [], "next": None}
    kinds = api.get(path, params={"kind": ["final", "result"]}).json()["items"]
    assert [item["kind"] for item in kinds] == ["result", "final"]
    empty = api.get(path, params={"after": 45}, headers={"accept": "application/vnd.apache.arrow.stream"})
    assert pl.read_ipc_stream(empty.content).height == 0


def test_runs_come_as_arrow_too(api: Any) -> None:
    answer = api.get("/runs", params={"limit": 2}, headers={"accept": "application/vnd.apache.arrow.stream"})
    assert pl.read_ipc_stream(answer.content)["flow"].to_list() == ["review", "research"]
    assert (answer.headers["x-total"], bool(answer.headers["x-next"])) == ("3", True)
    assert api.get("/runs", headers={"accept": "text/csv"}).text.count("\n") == 4


def test_locks_show_what_was_asked(api: Any, recorded: Any) -> None:
    assert api.get("/locks").json()[0]["run_id"] == recorded.asking
    lock = api.get(f"/runs/{recorded.asking}/locks/l1").json()
    assert (lock["open"], lock["data"], lock["lease"]) == (True, {"text": "draft"}, None)
    assert api.get(f"/runs/{recorded.asking}/locks/none").status_code == 404


def test_an_artifact_is_served_to_who_may_see_a_run_that_names_it(api: Any, recorded: Any) -> None:
    import hashlib

    from kodosumi_lab.events import run_date
    from kodosumi_lab.runtime.layout import Layout

    text = json.dumps({"text/plain": "x" * 100})
    digest = hashlib.sha256(text.encode()).hexdigest()
    emitter: Emitter = recorded.begin("big", "ada")
    date = run_date(emitter.run_id)
    path = Layout(recorded.root).artifact(date, digest)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    from logkit import row

    emitter.send(recorded.writer, row("result", {"artifact": {"sha256": digest, "nbytes": 120, "date": date}}))
    assert api.get(f"/runs/{emitter.run_id}/artifacts/{digest}", as_="ada").text == text
    assert api.get(f"/runs/{recorded.finished}/artifacts/{digest}", as_="ada").status_code == 404
    path.unlink()
    assert api.get(f"/runs/{emitter.run_id}/artifacts/{digest}").status_code == 503


def test_the_run_list_follows_the_log(api: Any, recorded: Any) -> None:
    before = api.get("/runs").json()["total"]
    emitter = recorded.begin("later", "ada")
    assert api.get("/runs").json()["total"] == before + 1
    emitter.send(recorded.writer, *lines("more"))
    assert api.get("/runs").json()["items"][0]["events"] == 4
    recorded.writer.rotate()
    for name in recorded.writer.to_seal():
        recorded.writer.seal(name)
    assert api.get("/runs").json()["total"] == before + 1
