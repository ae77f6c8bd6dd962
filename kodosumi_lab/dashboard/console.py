"""SQL or Polars over the log, read-only and bounded: one query, in a process of its own, against a clock.

A query sees two tables, ``runs`` and ``events``, with the rows that its user may see; their times are UTC. What
begins with one of these is an expression (:mod:`kodosumi_lab.dashboard.expressions`), anything else SQL. Polars' SQL
can also read files (``read_csv('…')``); those functions are refused twice: by their names anywhere in the text, and
by looking into the plan for scans of anything else. The process that runs it ends when its time is up, and may
neither take more memory nor more processor time than it is given.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from kodosumi_lab.dashboard.expressions import ExpressionError, evaluate, parsed

__all__ = ["Answer", "QueryError", "refusal", "run"]

ROWS = 10_000
TIMEOUT_S = 20.0
_MEMORY = 4 * 2**30
# At once, for everybody together: each takes a process and up to two threads.
_SLOTS = threading.BoundedSemaphore(2)
_START = "import sys; sys.path.append({root!r}); from kodosumi_lab.dashboard.console import main; main()"
_PACKAGE_ROOT = str(Path(__file__).parents[2])
_LONGEST = 20_000

_EXPRESSION = re.compile(r"[\s(]*(?:runs|events|pl)\s*[.)]")
_READERS = re.compile(r"(?:read|scan)_\w+", re.IGNORECASE)
_BEGINS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|from|values)\b", re.IGNORECASE | re.DOTALL)
# How a plan names what it reads; ours come out of Python.
_SCAN = re.compile(r"^[ \t]*(\w[\w ]*?) SCAN \[", re.MULTILINE)
_OURS = "PYTHON"


class QueryError(ValueError):
    """A query cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave.

    Attributes
    ----------
    frame : polars.DataFrame
        At most :data:`ROWS` rows.
    whole : bool
        False where there were more.
    seconds : float
        It took, without the start of the process.
    """

    frame: pl.DataFrame
    whole: bool
    seconds: float


def refusal(query: str) -> str | None:
    """Why a query is not run; None where it is."""
    if not query.strip():
        return "there is no query; try: select flow, count(*) as runs from runs group by flow"
    if len(query) > _LONGEST:
        return f"the query is longer than {_LONGEST:,} characters"
    if _EXPRESSION.match(query):
        try:
            parsed(query)
        except ExpressionError as error:
            return str(error)
        return None
    if not _BEGINS.match(query):
        return "only queries that read are run here: start with SELECT, WITH or FROM, or with runs. or events."
    found = _READERS.search(query)
    if found:
        return f"files cannot be read here, so {found[0]!r} may not stand in a query; the tables are runs and events"
    return None


def run(log_dir: str | Path, query: str, *, user: str | None, timeout_s: float = TIMEOUT_S, rows: int = ROWS) -> Answer:
    """Answer a query.

    Parameters
    ----------
    log_dir
        The log.
    query
        SQL as Polars understands it, or an expression of Polars.
    user
        Only runs of this user; None: of everybody.
    timeout_s
        The process is ended after this.
    rows
        At most so many are given back.

    Raises
    ------
    QueryError
        It is not one that reads, fails, or takes too long.
    """
    reason = refusal(query)
    if reason is not None:
        raise QueryError(reason)
    if not _SLOTS.acquire(timeout=timeout_s):
        raise QueryError("two other queries are running; try again when one of them has ended")
    try:
        asked = {"log_dir": str(log_dir), "query": query, "user": user, "rows": rows, "cpu_s": int(timeout_s) * 2 + 2}
        process = subprocess.Popen(
            [sys.executable, "-c", _START.format(root=_PACKAGE_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**os.environ, "POLARS_MAX_THREADS": "2", "TZ": "UTC"},
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(json.dumps(asked).encode(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise QueryError(
                f"the query did not end within {timeout_s:g} s; narrow it, for example to a day: "
                "where ts > now() - interval '1 day'"
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()  # closes its pipes, too
    finally:
        _SLOTS.release()
    return _answer(output, errors, process.returncode)


def _answer(output: bytes, errors: bytes, code: int | None) -> Answer:
    header, _, data = output.partition(b"\n")
    try:
        told = json.loads(header)
    except ValueError:
        tail = errors.decode("utf-8", "replace").strip().splitlines()
        why = "it took more memory or time than it is given" if code and code < 0 else (tail[-1] if tail else "")
        raise QueryError(f"the query's process ended: {why or f'exit code {code}'}") from None
    if "error" in told:
        raise QueryError(told["error"])
    return Answer(pl.read_ipc_stream(io.BytesIO(data)), told["whole"], told["seconds"])


# -- in the process of its own -----------------------------------------------------------


def main() -> None:
    """Answer the query on stdin: a line of JSON, then an Arrow stream."""
    asked = json.loads(sys.stdin.buffer.read())
    _bound(asked["cpu_s"])
    try:
        header, frame = _run(asked)
    except pl.exceptions.PolarsError as error:
        header, frame = {"error": _told(error)}, None
    except (QueryError, ValueError, MemoryError) as error:
        header, frame = {"error": str(error) or type(error).__name__}, None
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    if frame is not None:
        frame.write_ipc_stream(sys.stdout.buffer, compat_level=pl.CompatLevel.oldest())
    sys.stdout.buffer.flush()


def _bound(cpu_s: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # nothing can be written, whatever a query comes up with
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _run(asked: dict[str, Any]) -> tuple[dict[str, Any], pl.DataFrame]:
    import time

    from kodosumi_lab.runtime.query import EventLog

    log = EventLog(asked["log_dir"])
    runs = log.runs()
    if asked["user"] is not None:
        runs = runs.filter(pl.col("user") == asked["user"])
    # SQL's now() has no zone, so times have none either: they are UTC
    bare = pl.selectors.datetime().dt.replace_time_zone(None)
    runs = runs.collect().lazy().with_columns(bare)
    events = log.events().join(runs.select("run_id"), on="run_id", how="semi").with_columns(bare)
    began = time.perf_counter()
    plan = _plan(asked["query"], {"runs": runs, "events": events})
    if any(kind != _OURS for kind in _SCAN.findall(plan.explain(optimized=False))):
        raise QueryError("files cannot be read here; the tables are runs and events")
    frame = plan.head(asked["rows"] + 1).collect()
    whole = len(frame) <= asked["rows"]
    seconds = time.perf_counter() - began
    return {"whole": whole, "seconds": seconds}, frame.head(asked["rows"])


def _plan(query: str, tables: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
    if _EXPRESSION.match(query):
        return evaluate(query, tables)
    return pl.SQLContext(tables).execute(query, eager=False)


def _told(error: Exception) -> str:
    text = str(error).strip().partition("\n\nResolved plan until failure")[0]
    if "unsupported function 'user'" in text:
        text = 'user is a word of SQL; for the column write "user", in double quotes'
    return text if len(text) < 2000 else text[:2000] + " …"
