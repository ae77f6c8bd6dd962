"""Parquet files of a Jupyter server, opened as event logs: real files, the application behind the proxy."""

from __future__ import annotations

import base64
import datetime
import tempfile
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest
from apikit import Recorded
from logkit import FastDisk, lines, row
from starlette.testclient import TestClient

import kodosumi_lab as kl
from kodosumi_lab.api.jupyter import jupyter_app
from kodosumi_lab.events import run_date
from kodosumi_lab.jupyter import ROOT_VARIABLE, SECRET_HEADER, SECRET_VARIABLE, setup
from kodosumi_lab.runtime.sealing import seal
from kodosumi_lab.settings import load

SECRET = "only-these-two-know"


class Server:
    """The gateway behind a Jupyter server whose files are in `folder`; its own log is an empty one."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "files"
        self.folder.mkdir()
        app = jupyter_app(SECRET, load(log_dir=tmp_path / "own"), self.folder)
        self.client = TestClient(app, headers={SECRET_HEADER: SECRET})

    def get(self, name: str, below: str = "", **options: Any) -> httpx.Response:
        key = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
        return self.client.get(f"/api/v1/opened/{key}{below}", **options)

    def detail(self, name: str, status: int) -> str:
        answer = self.get(name)
        assert answer.status_code == status, answer.text
        return str(answer.json()["detail"])


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "log")


def exported(recorded: Recorded, target: Path, *wanted: pl.Expr) -> None:
    """As `kodosumi-lab events --format parquet` writes it."""
    kl.events(log_dir=recorded.root).filter(*wanted).sort("run_id", "seq").collect().write_parquet(target)


def events_in(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    with pa.ipc.open_stream(answer.content) as reader:
        return pl.DataFrame(reader.read_all())


def test_an_export_is_listed_and_read_as_a_log(server: Server, recorded: Recorded) -> None:
    exported(recorded, server.folder / "all ünits.parquet")
    about = server.get("all ünits.parquet").json()
    assert (about["runs"], about["run_id"], about["name"]) == (3, None, "all ünits.parquet")
    page = server.get("all ünits.parquet", "/runs?status=finished").json()
    assert [(one["run_id"], one["flow"], one["events"]) for one in page["items"]] == [(recorded.finished, "primes", 46)]
    run = server.get("all ünits.parquet", f"/runs/{recorded.finished}").json()
    assert (run["inputs"], run["meta"]["flow"], run["status"]) == ({"end": 1}, "primes", "finished")
    found = server.get("all ünits.parquet", f"/runs/{recorded.finished}/window?search=39&kind=stdout")
    assert (events_in(found)["seq"].to_list(), found.headers["x-total"]) == ([42], "1")
    overview = events_in(server.get("all ünits.parquet", f"/runs/{recorded.finished}/overview"))
    assert "stdout" not in overview["kind"].to_list()
    assert server.get("all ünits.parquet", f"/runs/{recorded.finished}/clock").json()["seq"][-1] == 45


def test_a_page_of_a_long_run_is_all_that_is_sent(server: Server, recorded: Recorded) -> None:
    last = recorded.begin("long", "ada")
    for i in range(20):
        last.send(recorded.writer, *lines(*range(i * 1000, (i + 1) * 1000)))
    exported(recorded, server.folder / "long.parquet", pl.col("run_id") == last.run_id)
    assert server.get("long.parquet").json()["run_id"] == last.run_id
    answer = server.get("long.parquet", f"/runs/{last.run_id}/window?offset=15000&limit=200")
    assert events_in(answer)["seq"].to_list() == list(range(15_000, 15_200))
    assert len(answer.content) < 30_000
    assert server.get("long.parquet", f"/runs/{last.run_id}/window?limit=10001").status_code == 422


def test_a_run_without_its_beginning_is_shown_as_far_as_it_goes(server: Server, recorded: Recorded) -> None:
    exported(recorded, server.folder / "tail.parquet", pl.col("seq") >= 10)
    told = server.get("tail.parquet", f"/runs/{recorded.finished}").json()
    assert (told["status"], told["meta"], told["inputs"]) == ("finished", {}, {})
    assert datetime.datetime.fromisoformat(told["started"]).year == 2026
    window = server.get("tail.parquet", f"/runs/{recorded.finished}/window?limit=3")
    assert (events_in(window)["seq"].to_list(), window.headers["x-total"]) == ([10, 11, 12], "36")


def test_a_segment_where_it_lies_has_the_run_list_and_the_payloads_of_its_log(
    server: Server, recorded: Recorded
) -> None:
    run_id, sha256 = recorded.begin("large", "ada").run_id, "a" * 64
    reference = {"artifact": {"sha256": sha256, "nbytes": 9, "date": run_date(run_id)}}
    recorded.emitter.send(recorded.writer, row("result", reference))
    payload = recorded.writer.layout.artifact(run_date(run_id), sha256)
    payload.parent.mkdir(parents=True)
    payload.write_text('{"a": 1}')
    recorded.writer.close()
    for name in recorded.writer.layout.hot_segments():
        seal(recorded.writer.layout, name, FastDisk())
    recorded.root.rename(server.folder / "log")
    (segment,) = (server.folder / "log").glob("events/*/*.parquet")
    for kind in ("events", "runs"):  # either of the two is opened by a double-click
        name = f"log/{kind}/{segment.parent.name}/{segment.name}"
        assert server.get(name).json()["runs"] == 4
    name = f"log/events/{segment.parent.name}/{segment.name}"
    assert "result" in events_in(server.get(name, f"/runs/{run_id}/overview"))["kind"].to_list()
    assert server.get(name, f"/runs/{run_id}/artifacts/{sha256}").json() == {"a": 1}
    # of a server whose folder is the run list's, the events lie outside
    listed = f"{segment.parent.name}/{segment.name}"
    alone = jupyter_app(SECRET, load(log_dir=server.folder / "own"), server.folder / "log" / "runs")
    key = base64.urlsafe_b64encode(listed.encode()).decode().rstrip("=")
    answer = TestClient(alone, headers={SECRET_HEADER: SECRET}).get(f"/api/v1/opened/{key}")
    assert answer.status_code == 422
    assert "no event log" in answer.json()["detail"]


def test_what_is_no_event_log_says_what_it_is(server: Server, recorded: Recorded) -> None:
    pl.DataFrame({"city": ["Bonn"], "people": [1]}).write_parquet(server.folder / "towns.parquet")
    assert "no event log: it has no column run_id, seq" in server.detail("towns.parquet", 422)
    assert "Its columns are: city, people" in server.detail("towns.parquet", 422)
    (server.folder / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    assert "torn.parquet cannot be read as Parquet" in server.detail("torn.parquet", 422)
    frame = kl.events(log_dir=recorded.root).collect()
    frame.with_columns(run_id=pl.lit("mine")).write_parquet(server.folder / "ids.parquet")
    assert "run id 'mine' is not a UUIDv7" in server.detail("ids.parquet", 422)
    frame.with_columns(seq=pl.lit("one")).write_parquet(server.folder / "types.parquet")
    assert "types.parquet cannot be read" in server.detail("types.parquet", 422)
    frame.clear().write_parquet(server.folder / "empty.parquet")
    assert server.get("empty.parquet").json()["runs"] == 0


def test_only_parquet_below_the_folder_is_read(server: Server, recorded: Recorded, tmp_path: Path) -> None:
    exported(recorded, tmp_path / "outside.parquet")
    (server.folder / ".hidden").mkdir()
    exported(recorded, server.folder / ".hidden" / "a.parquet")
    (server.folder / "link.parquet").symlink_to(tmp_path / "outside.parquet")
    (server.folder / "notes.txt").write_text("a\n")
    for name in ("../outside.parquet", ".hidden/a.parquet", "link.parquet", "gone.parquet", "a\0.parquet"):
        assert "there is no file" in server.detail(name, 404)
    assert "is no Parquet file" in server.detail("notes.txt", 422)
    assert server.client.get("/api/v1/opened/%25%25").status_code == 422
    exported(recorded, server.folder / "a.parquet")
    key = base64.urlsafe_b64encode(b"a.parquet").decode().rstrip("=")
    assert server.client.get(f"/api/v1/opened/{key}", headers={SECRET_HEADER: "guessed"}).status_code == 401
    assert server.client.get(f"/api/v1/opened/{key}/locks").status_code == 404
    assert server.client.delete(f"/api/v1/opened/{key}/runs/{recorded.finished}").status_code in (403, 404, 405)


def test_a_file_that_is_written_again_is_read_again(server: Server, recorded: Recorded) -> None:
    exported(recorded, server.folder / "a.parquet", pl.col("run_id") == recorded.failed)
    assert server.get("a.parquet").json()["runs"] == 1
    exported(recorded, server.folder / "a.parquet")
    assert server.get("a.parquet").json()["runs"] == 3


def test_nothing_is_left_behind(
    server: Server, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    exported(recorded, server.folder / "a.parquet")
    with server.client:
        assert server.get("a.parquet").json()["runs"] == 3
        assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_proxy_is_told_the_folder_of_the_servers_files() -> None:
    from jupyter_server.serverapp import ServerApp

    given = setup()["environment"]
    assert given()[ROOT_VARIABLE] == ""
    assert given()[SECRET_VARIABLE]
    ServerApp.clear_instance()
    held = ServerApp.instance()
    try:
        held.contents_manager = type("Held", (), {"root_dir": "/data/{a}"})()
        # as jupyter-server-proxy formats it
        assert given()[ROOT_VARIABLE].format(port=1) == "/data/{a}"
    finally:
        ServerApp.clear_instance()
