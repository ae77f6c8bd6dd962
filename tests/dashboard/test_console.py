"""SQL over the log: reads only, only what may be seen, never for ever."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from apikit import Recorded

from kodosumi_lab.dashboard import console
from kodosumi_lab.dashboard.console import QueryError, refusal, run


def test_a_query_sees_finished_and_live_runs(recorded: Recorded) -> None:
    found = run(recorded.root, "select flow, status from runs order by flow", user=None)
    assert found.frame.rows() == [("primes", "finished"), ("research", "error"), ("review", "awaiting")]
    assert found.whole
    joined = (
        "select r.flow, count(*) as n from events e join runs r using (run_id) where kind = 'stdout' group by r.flow"
    )
    assert run(recorded.root, joined, user=None).frame.rows() == [("primes", 40)]


def test_times_can_be_compared_with_now(recorded: Recorded) -> None:
    before = "select count(*) from events where ts < now() + interval '1 day'"
    assert run(recorded.root, before, user=None).frame.item() > 40
    assert run(recorded.root, before.replace("<", ">"), user=None).frame.item() == 0


def test_a_user_s_rows_are_all_there_are(recorded: Recorded) -> None:
    assert set(run(recorded.root, 'select distinct "user" from runs', user="ada").frame["user"]) == {"ada"}
    ids = run(recorded.root, "select distinct run_id from events", user="bob").frame["run_id"].to_list()
    assert ids == [recorded.failed]
    assert run(recorded.root, "select * from events", user="eve").frame.is_empty()


def test_rows_are_bounded_and_it_says_so(recorded: Recorded) -> None:
    found = run(recorded.root, "select * from events", user=None, rows=5)
    assert (len(found.frame), found.whole) == (5, False)


def test_a_query_without_end_is_ended(recorded: Recorded) -> None:
    tables = ", ".join(f"events {name}" for name in "abcdefgh")
    endless = f"select a.payload from {tables} where a.seq < h.seq order by b.payload"
    with pytest.raises(QueryError, match=r"did not end within|more memory or time"):
        run(recorded.root, endless, user=None, timeout_s=3)


EXPRESSIONS = {
    "runs.select('flow', 'status').sort('flow')": [("primes", "finished"), ("research", "error"), ("review", "awaiting")],
    "(\n  events.filter(pl.col('kind') == 'stdout')\n  .join(runs, on='run_id').group_by('flow').len()\n)": [("primes", 40)],
    "runs.filter((pl.col('flow') == 'primes') | ~pl.col('status').is_in(['error', 'awaiting'])).select(pl.len())": [(1,)],
    "runs.group_by(pl.col('started').dt.truncate('1d').alias('day')).agg(n=pl.len()).select('n')": [(3,)],
    "events.filter(pl.col('kind') == 'lock').select(pl.col('payload').str.json_path_match('$.name'))": [("approval",)],
    "runs.collect().head(1).select(pl.lit(-2) * 3 % 4)": [(2,)],
}  # fmt: skip


@pytest.mark.parametrize("query", EXPRESSIONS)
def test_polars_is_understood_too(recorded: Recorded, query: str) -> None:
    assert run(recorded.root, query, user=None).frame.rows() == EXPRESSIONS[query]


def test_an_expression_sees_the_same_rows_as_sql(recorded: Recorded) -> None:
    assert set(run(recorded.root, "runs.select('user').unique()", user="ada").frame["user"]) == {"ada"}
    assert run(recorded.root, "events.select('run_id')", user="eve").frame.is_empty()


FORBIDDEN = {
    "runs.sink_parquet('/tmp/x')": "'sink_parquet' is no word",
    "runs.collect().write_csv('/tmp/x')": "'write_csv' is no word",
    "pl.read_csv('/etc/passwd')": "'read_csv' is no word",
    "pl.scan_parquet('/etc/*')": "'scan_parquet' is no word",
    "runs.select(pl.col('flow').map_elements(print))": "'map_elements' is no word",
    "runs.__class__.__mro__": "'__mro__' is no word|'__class__' is no word",
    "runs.select(pl.lit('{0.__init__.__globals__}'.format(pl)))": "'format' is no word",
    "runs.pipe(pl.DataFrame)": "is no word",
    "runs.filter(lambda row: True)": "'lambda row: True' cannot stand in an expression here",
    "runs.select([x for x in 'ab'])": "cannot stand in an expression here",
    "runs.select(pl.lit(9**9**9))": "Pow|cannot stand",
    "runs.filter(pl.col('n') > 1 and True)": "& and | join conditions",
    "runs.join(open('/etc/passwd'))": "there is no 'open' here",
    "runs.select(f'{1}')": "cannot stand",
    "runs.select(": "that is no expression",
    "runs.len()": "AttributeError: 'LazyFrame' object has no attribute 'len'",
    "runs.head(1, 2, 3)": "TypeError",
    "pl.len()": "gives Expr; expected a frame",
    "runs.select('nothing')": "nothing",
}


@pytest.mark.parametrize("query", FORBIDDEN)
def test_an_expression_only_computes(recorded: Recorded, query: str) -> None:
    with pytest.raises(QueryError, match=FORBIDDEN[query]):
        run(recorded.root, query, user=None)


def test_every_word_of_an_expression_is_one_of_polars() -> None:
    from kodosumi_lab.dashboard.expressions import WORDS

    spaces = [pl.Expr, pl.LazyFrame, pl.DataFrame, pl, pl.selectors, type(pl.LazyFrame().group_by("a")), pl.col("a").str,
              pl.col("a").dt, pl.col("a").list, pl.col("a").struct, pl.col("a").arr, pl.col("a").cat, pl.col("a").bin,
              pl.col("a").name, pl.when(True), pl.when(True).then(1)]  # fmt: skip
    assert sorted(word for word in WORDS if not any(hasattr(space, word) for space in spaces)) == []
    dangerous = (
        "read",
        "scan",
        "sink",
        "write",
        "map_",
        "apply",
        "pipe",
        "inspect",
        "serial",
        "register",
        "sql",
        "from_",
    )
    assert sorted(word for word in WORDS if word.startswith(dangerous) or "_" in word[:1]) == []


READS = [
    "select * from read_csv('{0}')", 'select * from "read_csv"(\'{0}\')', "select * from READ_CSV('{0}')",
    "select * from /* hi */ read_csv /**/ ('{0}')", "with t as (select * from read_csv('{0}')) select * from t",
    "select * from runs where flow in (select a from read_csv('{0}'))", "select * from read_parquet('{0}')",
    "select * from scan_csv('{0}')",
]  # fmt: skip


@pytest.mark.parametrize("query", READS)
def test_no_file_is_read(recorded: Recorded, tmp_path: Path, query: str) -> None:
    pl.DataFrame({"a": ["secret"]}).write_csv(tmp_path / "x.csv")
    with pytest.raises(QueryError, match="files cannot be read here"):
        run(recorded.root, query.format(tmp_path / "x.csv"), user=None)


@pytest.mark.parametrize("query", READS[:-2])
def test_the_plan_is_looked_into_as_well(
    recorded: Recorded, tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pl.DataFrame({"a": ["secret"]}).write_csv(tmp_path / "x.csv")
    asked = {"log_dir": str(recorded.root), "query": query.format(tmp_path / "x.csv"), "user": None, "rows": 10}
    with pytest.raises(QueryError, match="files cannot be read here"):
        console._run(asked)
    assert console._run({**asked, "query": "select 'Csv SCAN [x]' as a from events limit 1"})[1].rows() == [
        ("Csv SCAN [x]",)
    ]


@pytest.mark.parametrize(
    "query",
    ["", "  ", "drop table runs", "delete from runs", "create table x as select 1", "truncate table runs", "copy runs to 'x'",
     "insert into runs values (1)", "-- select\ndrop table runs", "selectx", "x" * 30_000],
)  # fmt: skip
def test_only_what_reads_is_run(query: str) -> None:
    assert refusal(query) is not None


@pytest.mark.parametrize(
    "query", ["select 1", "-- why\n  with t as (select 1) select * from t", "FROM runs select flow", "(select 1)"]
)
def test_what_reads_is_run(query: str) -> None:
    assert refusal(query) is None


@pytest.mark.parametrize(
    ("query", "told"),
    [("select * from nowhere", "nowhere"), ("select nothing from runs", "nothing"), ("select 1; select 2", "one"),
     ("select user from runs", "double quotes"), ("select * from 'x.csv'", "not found")],
)  # fmt: skip
def test_a_query_that_fails_says_why(recorded: Recorded, query: str, told: str) -> None:
    with pytest.raises(QueryError, match=told) as failed:
        run(recorded.root, query, user=None)
    assert "Resolved plan" not in str(failed.value)
