"""What views draw from: a run at a glance, stretches of its events, its clock, the files that figures need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from apikit import Api, Recorded
from logkit import T0, Emitter, lines, row

from kodosumi_lab.events import KIND_ID, arrow_schema, dumps
from kodosumi_lab.runtime import exporting
from kodosumi_lab.runtime.layout import log_id
from kodosumi_lab.runtime.run import Run


def frame_of(answer: httpx.Response) -> pl.DataFrame:
    import pyarrow as pa

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(answer.content).schema.equals(arrow_schema())
    return pl.read_ipc_stream(answer.content)


def by(agent: str | None, kind: str, payload: Any, ts: int = T0) -> tuple[int, int, str | None, str]:
    return ts, KIND_ID[kind], agent, dumps(payload)


def span(sid: str, state: str, ts: int, parent: str | None = None) -> tuple[int, int, str | None, str]:
    return row("span", {"id": sid, "parent": parent, "name": f"work {sid}", "state": state}, ts)


def payloads(frame: pl.DataFrame, kind: str) -> list[Any]:
    return [json.loads(text) for text in frame.filter(pl.col("kind") == kind)["payload"]]


# -- overview ---------------------------------------------------------------------------


def test_a_short_run_comes_whole_but_for_its_console(api: Api, recorded: Recorded) -> None:
    answer = api.get(f"/runs/{recorded.finished}/overview")
    frame = frame_of(answer)
    assert frame["kind"].to_list() == ["meta", "inputs", "status", "result", "final", "status"]
    assert frame["seq"].to_list() == [0, 1, 2, 43, 44, 45]
    assert (answer.headers["x-last-seq"], answer.headers["x-total"]) == ("45", "46")


def test_an_overview_is_as_of_a_seq(api: Api, recorded: Recorded) -> None:
    answer = api.get(f"/runs/{recorded.finished}/overview", params={"upto": 43})
    assert frame_of(answer)["kind"].to_list() == ["meta", "inputs", "status", "result"]
    assert (answer.headers["x-last-seq"], answer.headers["x-total"]) == ("43", "44")
    assert len(frame_of(api.get(f"/runs/{recorded.finished}/overview", params={"upto": -1}))) == 0
    assert api.get(f"/runs/{recorded.finished}/overview", params={"upto": 10**9}).headers["x-last-seq"] == "45"


def test_results_and_actions_of_a_long_run_are_those_at_its_ends(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("chatty", "ada")
    run.send(recorded.writer, *(row("result", {"text/plain": str(i)}) for i in range(1000)))
    run.send(recorded.writer, *(row("action", {"text/plain": str(i)}) for i in range(1000)))
    frame = frame_of(api.get(f"/runs/{run.run_id}/overview"))
    shown = [int(payload["text/plain"]) for payload in payloads(frame, "result")]
    assert shown == [*range(200), *range(800, 1000)]
    assert [int(payload["text/plain"]) for payload in payloads(frame, "action")] == [*range(500, 1000)]


def test_huge_results_are_given_from_the_ends_and_the_last_one_always(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("wide", "ada")
    for i in range(30):
        run.send(recorded.writer, row("result", {"text/plain": f"{i} " + "x" * 1_000_000}))
    frame = frame_of(api.get(f"/runs/{run.run_id}/overview"))
    shown = [int(payload["text/plain"][:2]) for payload in payloads(frame, "result")]
    assert shown == [*range(8), *range(22, 30)]
    assert frame["payload"].str.len_bytes().sum() < 17 * 2**20


def test_of_progress_the_last_of_each_bar_of_each_agent_stays(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("busy", "ada")

    def bar(agent: str | None, value: int, name: str | None) -> Any:
        return by(agent, "progress", {"value": value, "total": 9, "label": 'its "name":"x"', "name": name})

    for value in range(10):
        run.send(
            recorded.writer, bar(None, value, None), bar(None, value, 'a "b"'), bar("scout", value, None),
            bar("scout", value, "c"),
        )  # fmt: skip
    frame = frame_of(api.get(f"/runs/{run.run_id}/overview")).filter(pl.col("kind") == "progress")
    found = [
        (agent, json.loads(text)["name"], json.loads(text)["value"])
        for agent, text in frame.select("agent", "payload").iter_rows()
    ]
    assert found == [(None, None, 9), (None, 'a "b"', 9), ("scout", None, 9), ("scout", "c", 9)]


def test_a_metric_keeps_its_ends_and_its_peaks(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("training", "ada")

    def point(name: str, i: int) -> Any:
        value = 1000.0 if i == 4321 else -50.5e-3 if i == 7777 else 1.0
        return row("metric", {"name": name, "value": value, "step": i, "unit": None})

    run.send(recorded.writer, *(point("loss", i) for i in range(10_000)), point("rare", 0), point("rare", 1))
    found = payloads(frame_of(api.get(f"/runs/{run.run_id}/overview")), "metric")
    loss = [payload for payload in found if payload["name"] == "loss"]
    assert 400 <= len(loss) <= 1000
    assert (loss[0]["step"], loss[-1]["step"]) == (0, 9999)
    assert {4321, 7777} <= {payload["step"] for payload in loss}
    assert [payload["step"] for payload in found if payload["name"] == "rare"] == [0, 1]
    assert loss == sorted(loss, key=lambda payload: payload["step"])


def test_open_spans_the_longest_and_the_newest_stay_with_those_around_them(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("deep", "ada")
    count = 8000
    rows = [span("root", "open", T0), span("long", "open", T0, "root"), span("open", "open", T0 + 1, "root")]
    for i in range(count):
        at = T0 + 1000 * i
        rows += [span(f"s{i}", "open", at, f"p{i // 100}"), span(f"s{i}", "closed", at + 5)]
        if i % 100 == 99:  # what is around them is closed last, and takes less time than most
            rows += [span(f"p{i // 100}", "open", at, "root"), span(f"p{i // 100}", "closed", at)]
    rows += [span("long", "closed", T0 + 10**9)]
    run.send(recorded.writer, *rows)
    frame = frame_of(api.get(f"/runs/{run.run_id}/overview"))
    events = payloads(frame, "span")
    ids = {payload["id"] for payload in events}
    assert len(ids) <= 5000
    assert {"root", "open", "long", f"s{count - 1}", f"s{count - 500}"} <= ids
    assert sum(payload["id"] == "long" for payload in events) == 2, "both ends of a span stay"
    parents = {payload["parent"] for payload in events if payload["state"] == "open" and payload["parent"]}
    assert parents <= ids


# -- windows ----------------------------------------------------------------------------


def ask(api: Api, run_id: str, **query: Any) -> tuple[list[int], int, int]:
    answer = api.get(f"/runs/{run_id}/window", params=query)
    frame = frame_of(answer)
    return frame["seq"].to_list(), int(answer.headers["x-offset"]), int(answer.headers["x-total"])


def test_a_window_without_a_filter_is_a_stretch_of_the_run(api: Api, recorded: Recorded) -> None:
    run = recorded.finished
    assert ask(api, run, offset=5, limit=3) == ([5, 6, 7], 5, 46)
    assert ask(api, run, offset=-3, limit=10) == ([43, 44, 45], 43, 46)
    assert ask(api, run, offset=-1000, limit=2) == ([0, 1], 0, 46)
    assert ask(api, run, offset=44, limit=10) == ([44, 45], 44, 46)
    assert ask(api, run, offset=100, limit=10) == ([], 46, 46)
    assert ask(api, run, offset=0, limit=0) == ([], 0, 46)
    assert ask(api, run, offset=-2, limit=10, upto=20) == ([19, 20], 19, 21)
    assert api.get(f"/runs/{run}/window", params={"limit": 10**6}).status_code == 422


def test_a_window_of_what_fits_has_its_place_among_that(api: Api, recorded: Recorded) -> None:
    run = recorded.finished
    assert ask(api, run, kind="stdout", offset=0, limit=2) == ([3, 4], 0, 40)
    assert ask(api, run, kind=["result", "final"]) == ([43, 44], 0, 2)
    assert ask(api, run, kind="stdout", offset=-2, limit=5) == ([41, 42], 38, 40)
    assert ask(api, run, kind="stdout", upto=10, offset=-2, limit=5) == ([9, 10], 6, 8)
    assert ask(api, run, kind="stdout", upto=12, offset=-1, limit=5) == ([12], 9, 10)
    assert ask(api, run, kind="stdout", offset=-1, limit=5) == ([42], 39, 40)
    assert ask(api, run, kind="lock") == ([], 0, 0)
    assert api.get(f"/runs/{run}/window", params={"kind": "nothing"}).status_code == 422


def test_the_flow_itself_is_an_agent_without_a_name(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("team", "ada")
    run.send(recorded.writer, by("scout", "debug", "a"), by(None, "debug", "b"), by("scribe", "debug", "c"))
    assert ask(api, run.run_id, agent="scout") == ([3], 0, 1)
    assert ask(api, run.run_id, agent=["scout", "scribe"]) == ([3, 5], 0, 2)
    assert ask(api, run.run_id, agent="", kind="debug") == ([4], 0, 1)
    assert ask(api, run.run_id, agent=["", "scribe"], kind="debug") == ([4, 5], 0, 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [("straße 7", [3]), ("STRASSE", []), ("it's (a) [b] \\d", [4]), ('said "no"', [5]), ("two\nlines", [6]), ("7", [3]),
     ("ÄRGER", [7]), ("absent", [])],
)  # fmt: skip
def test_search_is_for_text_as_it_is_in_any_case(api: Api, recorded: Recorded, text: str, found: list[int]) -> None:
    run = recorded.begin("talk", "ada")
    said = ["Straße 7", "It's (a) [b] \\d", 'she said "No"', "Two\nLines", "ärger"]
    run.send(recorded.writer, *lines(*said))
    assert ask(api, run.run_id, search=text, kind="stdout")[0] == found


def test_a_filter_that_was_asked_before_goes_on_where_it_was(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("long", "ada")
    run.send(recorded.writer, *lines(*range(50)))
    assert ask(api, run.run_id, kind="stdout", search="4", offset=-1)[2] == 14
    run.send(recorded.writer, *lines(*range(50)))
    assert ask(api, run.run_id, kind="stdout", search="4", offset=-1) == ([102], 27, 28)
    assert ask(api, run.run_id, kind="stdout", search="4", upto=52, offset=-1)[1:] == (13, 14)
    name = recorded.writer.layout.hot_segments()[0]
    recorded.writer.rotate()
    recorded.writer.seal(name)
    run.send(recorded.writer, *lines("44"))
    assert ask(api, run.run_id, kind="stdout", search="4", offset=-1) == ([103], 28, 29)


# -- the clock --------------------------------------------------------------------------


def test_the_clock_of_a_short_run_has_every_event_and_only_goes_on(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("ticking", "ada")
    run.send(recorded.writer, *(row("debug", "x", T0 + ms * 1000) for ms in (5, 7, 6, 9)))
    found = api.get(f"/runs/{run.run_id}/clock").json()
    assert found["seq"] == list(range(7))
    start = T0 / 1000
    assert [round(ts - start) for ts in found["ts"]] == [0, 0, 0, 5, 7, 7, 9]


def test_the_clock_of_a_long_run_shows_where_it_was_silent(api: Api, recorded: Recorded) -> None:
    run = recorded.begin("bursts", "ada")
    hour = 3600 * 10**6
    times = [T0 + i for i in range(10_000)] + [T0 + hour + i for i in range(10_000)]
    run.send(recorded.writer, *(row("debug", "x", ts) for ts in times))
    found = api.get(f"/runs/{run.run_id}/clock").json()
    assert len(found["seq"]) == len(found["ts"]) <= 1000
    assert (found["seq"][0], found["seq"][-1]) == (0, 20_002)
    assert found["seq"] == sorted(set(found["seq"]))
    assert found["ts"] == sorted(found["ts"])
    assert {10_002, 10_003} <= set(found["seq"]), "the last event before the silence, and the first one after it"


# -- who may look, and what is kept -----------------------------------------------------


@pytest.mark.parametrize("path", ["overview", "window", "clock", "frames"])
def test_views_of_others_runs_do_not_exist(api: Api, recorded: Recorded, path: str) -> None:
    hidden = api.get(f"/runs/{recorded.asking}/{path}", as_="bob")
    assert (hidden.status_code, hidden.json()["type"][-13:]) == (404, "run-not-found")
    assert api.get(f"/runs/{recorded.asking}/{path}", as_=None).status_code == 401


def test_lists_are_told_as_unchanged_until_the_log_changes(api: Api, recorded: Recorded) -> None:
    for path in ("/runs", "/locks"):
        first = api.get(path, as_="ada")
        tag = {"if-none-match": first.headers["etag"]}
        again = api.get(path, as_="ada", headers=tag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert api.get(path, as_="olga", headers=tag).status_code == 200, "somebody else sees other runs"
        Emitter(recorded.failed, producer=len(path)).send(recorded.writer, *lines("late"))
        changed = api.get(path, as_="ada", headers=tag)
        assert changed.status_code == 200
        assert changed.headers["etag"] != first.headers["etag"]
    as_lines = api.get("/runs", headers={"accept": "application/x-ndjson"})
    assert as_lines.headers["etag"] != api.get("/runs").headers["etag"]
    unchanged = {"accept": "application/x-ndjson", "if-none-match": f'W/{as_lines.headers["etag"]}, "x"'}
    assert api.get("/runs", headers=unchanged).status_code == 304


def test_an_unchanged_list_costs_no_query(api: Api, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = {"if-none-match": api.get("/runs").headers["etag"]}
    index = api.app.state.gateway.index
    monkeypatch.setattr(index, "frame", lambda: pytest.fail("the list was made"))
    assert api.get("/runs", headers=tag).status_code == 304


def test_a_deleted_run_and_a_sealed_segment_change_the_lists(api: Api, recorded: Recorded) -> None:
    tag = {"if-none-match": api.get("/runs").headers["etag"]}
    name = recorded.writer.layout.hot_segments()[0]
    recorded.writer.rotate()
    recorded.writer.seal(name)
    sealed = api.get("/runs", headers=tag)
    assert sealed.status_code == 200
    assert api.ask("DELETE", f"/runs/{recorded.finished}", as_="ada").status_code == 204
    gone = api.get("/runs", headers={"if-none-match": sealed.headers["etag"]})
    assert (gone.status_code, gone.json()["total"]) == (200, 2)


def test_health_says_which_log_it_is_and_not_where(api: Api, recorded: Recorded) -> None:
    found = api.get("/health", as_=None).json()
    assert found["log"] == log_id(recorded.root) == log_id(str(recorded.root / "hot" / ".."))
    assert len(found["log"]) == 16
    assert str(recorded.root) not in json.dumps(found)


def test_bokehs_files_come_from_here_and_are_kept(api: Api) -> None:
    first = api.get("/assets/bokeh.min.js")
    version = first.headers["x-version"]
    assert first.headers["content-type"].startswith("text/javascript")
    assert b"Bokeh" in first.content
    assert "no-cache" in first.headers["cache-control"]
    kept = api.get("/assets/bokeh-widgets.min.js", params={"v": version})
    assert "immutable" in kept.headers["cache-control"]
    assert api.get("/assets/bokeh.min.js", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    for name in ("bokeh.js", "../server/views/ws.py", "lib", "x.min.js"):
        assert api.get(f"/assets/{name}").status_code == 404
    assert api.get("/assets/bokeh.min.js", as_=None).status_code == 401


# -- a file -----------------------------------------------------------------------------


def test_a_run_is_exported_as_it_is_on_the_machine_of_its_log(
    api: Api, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recorded.finished, log_dir=recorded.root)
    (tmp_path / "words.txt").write_text("forty")
    run.files.upload(tmp_path / "words.txt")
    answer = api.get(f"/runs/{run.id}/export", as_="ada")
    name = f"primes-{run.id[-8:]}.kodosumi-run.json"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    written = run.export(tmp_path)
    assert written.name == name
    expected = json.loads(written.read_text())
    assert {**answer.json(), "exported": None} == {**expected, "exported": None}
    assert [file["path"] for file in answer.json()["files"]] == ["in/words.txt"]
    assert "files" not in api.get(f"/runs/{run.id}/export", as_="ada", params={"files": False}).json()
    assert api.get(f"/runs/{run.id}/export", as_="bob").status_code == 404
    monkeypatch.setattr(exporting, "_MOST_EVENTS", 7)
    refused = api.get(f"/runs/{run.id}/export", as_="ada")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (413, "run-too-large")
    assert "--format parquet" in refused.json()["detail"]
