"""The flows of ``examples/`` do what they say, on real Ray."""

from __future__ import annotations

import datetime
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from examples.flows.primes import prime_gaps
from examples.flows.profile_table import PROFILE, profile_table
from examples.flows.research import research
from examples.flows.retrieval import standard_library, terms
from kodosumi_lab.errors import InputsError, RunFailed
from kodosumi_lab.events import BOKEH_MIME, Rich

pytestmark = pytest.mark.ray

QUESTION = "How do I split a path into root and extension?"


def events_of(run: Any) -> pl.DataFrame:
    return run.events().sort("seq").collect()


def payloads(run: Any, kind: str) -> list[Any]:
    return [json.loads(payload) for payload in events_of(run).filter(pl.col("kind") == kind)["payload"]]


# -- primes -----------------------------------------------------------------------------


def gaps_by_trial_division(start: int, end: int) -> list[tuple[int, int, int]]:
    """Size, count and first place of each gap, in the plainest way."""
    primes = [n for n in range(max(2, start), end) if all(n % d for d in range(2, int(n**0.5) + 1))]
    found: dict[int, list[int]] = {}
    for before, after in itertools.pairwise(primes):
        found.setdefault(after - before, []).append(before)
    return [(size, len(places), places[0]) for size, places in sorted(found.items())]


@pytest.mark.parametrize(
    ("start", "end", "tasks"),
    [(0, 20_000, 1), (0, 20_000, 7), (7, 8_000, 4), (-50, 30, 64), (113, 128, 3), (24, 29, 2), (2, 3, 1)],
)
def test_prime_gaps_are_those_of_trial_division_whatever_the_borders(
    lab: Any, start: int, end: int, tasks: int
) -> None:
    table = prime_gaps.launch(start=start, end=end, tasks=tasks).result(120)
    assert table.select("gap", "count", "first_after").rows() == gaps_by_trial_division(start, end)
    assert table["first_before"].to_list() == (table["first_after"] + table["gap"]).to_list()
    assert table.is_empty() or table["share"].sum() == pytest.approx(1)


def test_prime_gaps_over_many_blocks_meets_known_numbers(lab: Any) -> None:
    run = prime_gaps.launch(end=10**7, tasks=3)
    table = run.result(120)
    assert table["count"].sum() == 664_579 - 1
    assert table.row(-1, named=True)["gap"] == 154
    assert table.row(-1, named=True)["first_after"] == 4_652_353
    assert run.progress == 1.0


def test_ray_tasks_of_prime_gaps_speak_for_the_run(lab: Any) -> None:
    run = prime_gaps.launch(end=10_000, tasks=3)
    run.wait(120)
    events = events_of(run)
    # the flow and its tasks are several producers: between them the log keeps no order
    printed = {line.partition(":")[0] for line in payloads(run, "stdout")}
    assert printed == {"primes in [0, 10,000) with 3 Ray tasks", "chunk 1", "chunk 2", "chunk 3"}
    assert {metric["name"] for metric in payloads(run, "metric")} == {
        f"primes per second, chunk {n}" for n in (1, 2, 3)
    }
    flows_own = events.filter(pl.col("kind") == "final")["producer"][0]
    assert flows_own not in set(events.filter(pl.col("kind") == "metric")["producer"])
    assert events["seq"].to_list() == list(range(len(events)))
    # each task waits until its events are durable, so none comes after the flow's last word
    assert events["kind"].to_list()[-2:] == ["final", "status"]


def test_prime_gaps_says_what_is_wrong_with_its_inputs(lab: Any) -> None:
    with pytest.raises(RunFailed, match="end is 5, but start is 9; give an end that is greater"):
        prime_gaps.launch(start=9, end=5).result(60)
    with pytest.raises(InputsError, match=r"(?s)end: .*tasks: "):
        prime_gaps.launch(end=0, tasks=65)


# -- profile_table ----------------------------------------------------------------------


@pytest.fixture
def frame() -> pl.DataFrame:
    days = [datetime.date(2026, 1, 1) + datetime.timedelta(days=i % 40) for i in range(400)]
    return pl.DataFrame(
        {
            "n": [None if i % 4 == 0 else i for i in range(400)],
            "share": [float("nan") if i == 0 else i / 400 for i in range(400)],
            "city": [("Bonn", "Ulm", "Ulm", None)[i % 4] for i in range(400)],
            "day": days,
        }
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_is_profiled_column_by_column(lab: Any, tmp_path: Path, frame: pl.DataFrame, ending: str) -> None:
    path = tmp_path / f"table{ending}"
    frame.write_csv(path) if ending == ".csv" else frame.write_parquet(path)
    run = profile_table.launch(path=path)
    profile = run.result(120)
    assert profile.schema == PROFILE
    rows = {row["column"]: row for row in profile.iter_rows(named=True)}
    assert list(rows) == frame.columns
    assert [rows[name]["nulls"] for name in frame.columns] == [100, 1, 100, 0]
    assert [rows[name]["distinct"] for name in frame.columns] == [300, 399, 2, 40]
    assert [rows[name]["dtype"] for name in frame.columns] == ["Int64", "Float64", "String", "Date"]
    numbers = frame["n"].drop_nulls()
    assert (rows["n"]["min"], rows["n"]["max"]) == ("1", "399")
    assert rows["n"]["mean"] == pytest.approx(numbers.mean())
    assert rows["n"]["q25"] == pytest.approx(numbers.quantile(0.25, "linear"))
    assert rows["city"]["top"] == [{"value": "Ulm", "count": 200}, {"value": "Bonn", "count": 100}]
    assert rows["day"]["max"] == "2026-02-09"
    assert rows["city"]["mean"] is None

    shown = [result.bundle for result in run.results() if isinstance(result, Rich)]
    charts = [bundle[BOKEH_MIME] for bundle in shown if BOKEH_MIME in bundle]
    assert len(charts) == 4
    titles = json.dumps(charts)
    assert all(f"{name} (" in titles for name in frame.columns)
    (report,) = [bundle["text/markdown"] for bundle in shown if "text/markdown" in bundle]
    assert "| city | String | 25.0% | 2 | Bonn … Ulm | Ulm (200), Bonn (100) |" in report
    assert set(run.logs().splitlines()) >= {"city: 2 distinct values, 100 missing"}


def test_a_sample_profiles_that_many_rows(lab: Any, tmp_path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(tmp_path / "table.parquet")
    profile = profile_table.launch(path=tmp_path / "table.parquet", sample_rows=50).result(120)
    assert profile["rows"].to_list() == [50] * 4


def test_a_path_that_cannot_be_profiled_is_named(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"FileNotFoundError: no file at .*nothing\.csv"):
        profile_table.launch(path=tmp_path / "nothing.csv").result(60)
    with pytest.raises(RunFailed, match=r"'table.xlsx' cannot be profiled; expected a file that ends in .csv or"):
        profile_table.launch(path=tmp_path / "table.xlsx").result(60)


# -- research ---------------------------------------------------------------------------


def test_the_index_finds_what_a_word_and_its_inflections_mean() -> None:
    assert terms("splitting the Paths of getFiles()") == terms("split path file")
    best, _ = standard_library().search(dict.fromkeys(terms("copy a whole directory tree"), 1.0), 1)[0]
    assert best.name == "shutil.copytree"


def test_research_answers_with_cited_sources_and_named_agents(lab: Any) -> None:
    run = research.launch(question=QUESTION)
    found = run.result(120)
    assert found["sources"][0]["name"] == "os.path.splitext"
    assert {"os.path", "pathlib"} <= {source["module"] for source in found["sources"]}
    assert found["rounds"] == 1
    assert "- `os.path.splitext`: Split the extension from a pathname. [1]" in found["answer"]
    events = events_of(run)
    assert set(events["agent"].drop_nulls()) == {"retriever", "critic", "writer"}
    spans = events.filter(pl.col("kind") == "span")
    assert {span["name"] for span in payloads(run, "span")} == {"index", "retrieve", "write"}
    assert len(spans) == 6


def test_the_critic_sends_the_retriever_back_for_words_it_did_not_find(lab: Any) -> None:
    run = research.launch(question="Deserialise a dokument", sources=3)
    found = run.result(120)
    assert found["rounds"] > 1
    coverage = [metric["value"] for metric in payloads(run, "metric")]
    assert coverage[0] < 0.8
    assert len(coverage) == found["rounds"]
    assert "retriever: deserialis" in run.logs()
    assert any("deserializ" in source["name"] or source["module"] in ("json", "pickle") for source in found["sources"])


def test_research_says_so_when_there_is_nothing(lab: Any) -> None:
    found = research.launch(question="zxqy blorp?").result(60)
    assert found["sources"] == []
    assert "says nothing about it" in found["answer"]
    with pytest.raises(RunFailed, match="no words to search for"):
        research.launch(question="how do I?").result(60)


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint that keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), EndpointHandler)
        self.asked: list[dict[str, Any]] = []
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class EndpointHandler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        answer = {"choices": [{"message": {"role": "assistant", "content": "Use `os.path.splitext` [1]."}}]}
        data = b"sorry" if self.server.broken else json.dumps(answer).encode()
        self.send_response(503 if self.server.broken else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_writer_uses_a_language_model_and_does_without_when_it_fails(lab: Any, endpoint: Endpoint) -> None:
    env = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_MODEL": "tiny", "OPENAI_API_KEY": "none-needed"}
    flow = research.with_options(runtime_env={"env_vars": env})
    found = flow.launch(question=QUESTION).result(120)
    assert "Use `os.path.splitext` [1]." in found["answer"]
    assert "1. `os.path.splitext(p)`" in found["answer"]
    (asked,) = endpoint.asked
    assert (asked["path"], asked["model"], asked["key"]) == ("/v1/chat/completions", "tiny", "Bearer none-needed")
    assert QUESTION in asked["messages"][0]["content"]
    assert "[1] os.path.splitext(p)\nSplit the extension" in asked["messages"][0]["content"]

    endpoint.broken = True
    run = flow.launch(question=QUESTION)
    assert "- `os.path.splitext`: Split the extension" in run.result(120)["answer"]
    warned = events_of(run).filter(pl.col("kind") == "stderr").row(0, named=True)
    assert warned["agent"] == "writer"
    assert f"no answer from the language model at {endpoint.url}" in warned["payload"]
    assert "503" in warned["payload"]
