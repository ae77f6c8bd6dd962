"""What a chart shows is what its code gives, and nobody's text becomes code."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from apikit import Recorded
from logkit import row, status

from kodosumi_lab.api.identity import Role
from kodosumi_lab.api.listing import Listing
from kodosumi_lab.dashboard.access import Access
from kodosumi_lab.dashboard.numbers import EVERY, answer, every, questions, selected, totals
from kodosumi_lab.dashboard.state import SPLITS
from kodosumi_lab.runtime.query import EventLog

NAMES = {"runs", "failures", "durations", "waits", "volume", "by"}
EARLY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def log(recorded: Recorded) -> EventLog:
    return EventLog(recorded.root)


def ask(log: EventLog, asked: Listing, by: str = "flow") -> dict[str, pl.DataFrame]:
    found = questions(asked, "1d", by)
    assert set(found) == NAMES
    return {name: answer(one, log.runs(), log.events) for name, one in found.items()}


def test_the_numbers_are_those_of_the_runs(log: EventLog) -> None:
    found = ask(log, Listing())
    assert dict(found["runs"].select("status", "runs").iter_rows()) == {"finished": 1, "error": 1, "awaiting": 1}
    assert found["failures"].select("ended", "failed", "share").rows() == [(2, 1, 0.5)]
    assert found["volume"]["events"].sum() == log.runs().collect()["events"].sum()
    assert found["by"].select("name", "runs", "failed").sort("name").rows() == [
        ("primes", 1, 0), ("research", 1, 1), ("review", 1, 0),
    ]  # fmt: skip
    whole = answer(totals(Listing()), log.runs(), log.events).row(0, named=True)
    assert (whole["runs"], whole["open"], whole["waiting"], whole["failed"]) == (3, 1, 1, 1)
    assert 0 <= whole["p50_s"] <= whole["p95_s"]


def test_each_filter_narrows_as_the_run_list_does(log: EventLog, recorded: Recorded, app: Any) -> None:
    from kodosumi_lab.api.identity import User

    olga = User("olga", Role.OPERATOR)
    for asked in (
        Listing(status=["error", "lost"]), Listing(flow=["primes"]), Listing(user=["bob"]), Listing(tag=["math"]),
        Listing(parent="nobody"), Listing(search="TOPIC"), Listing(since=EARLY), Listing(until=EARLY),
    ):  # fmt: skip
        expected, total, _ = app.state.gateway.index.page(asked, olga, limit=50, cursor=None)
        found = eval_code(selected(asked), log)
        assert sorted(found["run_id"]) == sorted(expected["run_id"]), asked
        assert len(found) == total


def eval_code(code: str, log: EventLog) -> pl.DataFrame:
    from kodosumi_lab.dashboard.numbers import Question

    return answer(Question("q", "q", f"({code})"), log.runs(), log.events)


def test_the_code_that_is_handed_out_gives_the_same_in_a_notebook(log: EventLog, recorded: Recorded) -> None:
    import kodosumi_lab as kl

    asked = Listing(status=["error", "finished"], since=EARLY, search="t")
    for one in [totals(asked), *(q for by in SPLITS for q in questions(asked, "1h", by).values())]:
        body = one.script.replace("kl.runs()", f"kl.runs({str(recorded.root)!r})")
        names: dict[str, Any] = {}
        *lines, last = body.split("\n\n")
        bound = last.replace("kl.runs(", "RUNS(").replace("kl.events(", "EVENTS(")
        exec("\n\n".join(lines), names)
        assert names["kl"] is kl
        names |= {"RUNS": lambda *_: log.runs(), "EVENTS": log.events}
        assert eval(bound, names).equals(answer(one, log.runs(), log.events)), one.name


@pytest.mark.parametrize("text", ['"] or __import__("os").system("x") #', "'\\", "a\nb", '"""', "{}", "😀"])
def test_text_stays_text(log: EventLog, text: str) -> None:
    asked = Listing(flow=[text], user=[text], tag=[text], status=[text], search=text, parent=text)
    for by in SPLITS:
        assert all(frame.is_empty() for frame in ask(log, asked, by).values())


def test_agents_and_nodes_are_counted_from_events(log: EventLog, recorded: Recorded) -> None:
    one = recorded.begin("crew", "ada")
    one.send(recorded.writer, (row("stdout", "x")[0], row("stdout", "x")[1], "writer", '"hello"'))
    one.send(recorded.writer, row("status", {"status": "running", "node": "worker-1"}), status("finished"))
    agents = ask(log, Listing(flow=["crew"]), "agent")["by"]
    assert dict(agents.select("name", "events").iter_rows())["writer"] == 1
    nodes = ask(log, Listing(flow=["crew"], since=EARLY), "node")["by"]
    assert nodes.select("name", "runs").rows() == [("worker-1", 1)]


@pytest.mark.parametrize(
    ("seconds", "width"), [(0, "1m"), (3600, "1m"), (86_400, "1h"), (30 * 86_400, "1d"), (4e8, "4w")]
)
def test_bars_are_some_dozens(seconds: float, width: str) -> None:
    assert every(EARLY, EARLY + datetime.timedelta(seconds=seconds)) == width
    assert seconds / EVERY[width] <= 72 or width == "4w"


def test_what_is_counted_is_what_may_be_seen(access: Callable[..., Access]) -> None:
    def total(someone: Access) -> int:
        return int(asyncio.run(someone.frame(totals(Listing())))["runs"][0])

    assert (total(access("ada", Role.USER)), total(access("bob", Role.VIEWER)), total(access("eve", Role.USER))) == (
        2,
        1,
        0,
    )
    assert total(access()) == 3
    agents = questions(Listing(), "1d", "agent")["by"]
    assert asyncio.run(access("bob", Role.USER).frame(agents))["runs"].to_list() == [1]


def test_an_answer_is_kept_while_the_log_stays_as_it_is(access: Callable[..., Access], recorded: Recorded) -> None:
    olga, oscar = access("olga"), access("oscar")
    first = asyncio.run(olga.frame(totals(Listing())))
    assert asyncio.run(oscar.frame(totals(Listing()))) is first, "operators see the same"
    assert asyncio.run(access("ada", Role.USER).frame(totals(Listing()))) is not first
    recorded.begin("primes", "ada")
    assert asyncio.run(olga.frame(totals(Listing())))["runs"][0] == 4
