"""What came out of a sweep: as a frame, and as a grid for a notebook."""

from __future__ import annotations

import datetime
import html
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from kodosumi_lab.events import STATUSES, TERMINAL, Rich, decode, dumps, is_reference, run_date
from kodosumi_lab.forms import SECRET
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.query import EventLog

__all__ = ["column", "frame", "grid"]

_ROWS = 200
_OWN = ("combination", "run_id", "status", "duration_s", "error", "result")


def frame(rows: list[dict[str, Any]], log: EventLog) -> pl.DataFrame:
    """See :meth:`kodosumi_lab.runtime.sweep.Sweep.frame`; rows are those of the index with their ``point``."""
    wires = [row["point"].inputs.wire for row in rows]
    names = list(dict.fromkeys(name for wire in wires for name in wire))
    columns = [pl.Series("combination", [row["point"].index for row in rows], dtype=pl.Int64)]
    for name in names:
        values = [wire.get(name) for wire in wires]
        if SECRET not in values:
            columns.append(column(f"input.{name}" if name in _OWN or name.startswith("result.") else name, values))
    columns += [
        pl.Series("run_id", [row["run_id"] for row in rows], dtype=pl.String),
        pl.Series("status", [row["status"] for row in rows], dtype=pl.String),
        pl.Series("duration_s", [_took(row) for row in rows], dtype=pl.Float64),
        pl.Series("error", [_error(row) or None for row in rows], dtype=pl.String),
    ]
    return pl.DataFrame(columns + _results(rows, log))


def column(name: str, values: Sequence[Any]) -> pl.Series:
    """A column of JSON values or tables: of their own type where they are of one sort, else of their JSON texts."""
    known = [value for value in values if value is not None]
    sorts = {type(value) for value in known}
    if sorts == {pl.DataFrame} and len({tuple(value.schema.items()) for value in known}) == 1:
        nested = pl.List(pl.Struct(known[0].schema))
        return pl.Series(name, [None if value is None else value.to_struct("") for value in values], dtype=nested)
    if sorts == {int, float}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if len(sorts) <= 1 and sorts != {pl.DataFrame}:
        try:
            made = pl.Series(name, values, dtype=None if known else pl.Null)
        except (pl.exceptions.PolarsError, TypeError, OverflowError):  # lists of mixed values, and the like
            made = None
        if made is not None and dumps(made.to_list()) == dumps(values):  # of structs it drops what the first has not
            return made
    return pl.Series(name, [None if value is None else tables.short(value) for value in values], dtype=pl.String)


def _took(row: dict[str, Any]) -> float | None:
    if row["running"] is None:
        return None
    end = row["ended"] or datetime.datetime.now(datetime.UTC)
    return float((end - row["running"]).total_seconds())


def _error(row: dict[str, Any]) -> str:
    if row["status"] is None:
        return str(row["point"].failure)
    return "" if row["status"] not in TERMINAL or row["status"] == "finished" else str(row["error"] or row["reason"])


def _results(rows: list[dict[str, Any]], log: EventLog) -> list[pl.Series]:
    finished = {row["run_id"]: row for row in rows if row["status"] == "finished"}
    values: dict[str, Any] = {}
    if finished:
        wanted = (pl.col("kind") == "final") & pl.col("run_id").is_in(list(finished))
        since, until = (datetime.date.fromisoformat(run_date(end(finished))) for end in (min, max))
        events = log.events(since=since, until=until).filter(wanted)
        found = events.sort("run_id", "seq").select("run_id", "payload").collect()
        for run_id, payload in found.iter_rows():
            values[run_id] = _value(payload, str(finished[run_id]["result"]))
    given = [values.get(row["run_id"]) for row in rows]
    known = [value for value in given if value is not None]
    if known and all(isinstance(value, dict) for value in known):
        keys = list(dict.fromkeys(key for value in known for key in value))
        return [column(f"result.{key}", [None if value is None else value.get(key) for value in given]) for key in keys]
    return [column("result", given)]


def _value(payload: str, preview: str) -> Any:
    """A result as a JSON value or a table; its preview where it is large, its text where it can only be shown."""
    if is_reference(json.loads(payload)):
        return preview
    value = decode(payload)
    if isinstance(value, Rich):
        return str(value)
    plain = value is None or isinstance(value, str | int | float | bool | list | dict | pl.DataFrame)
    return value if plain else json.loads(dumps(value))  # other libraries' tables


# -- in a notebook ----------------------------------------------------------------------


def grid(title: str, over: list[str], rows: list[dict[str, Any]], *, product: bool) -> str:
    """Static HTML: how many have ended, and each combination; two lists multiplied are a grid."""
    counts = Counter(row["status"] or "waiting" for row in rows)
    told = ", ".join(f"{counts[status]} {status}" for status in (*STATUSES, "waiting") if counts[status])
    done = sum(row["status"] in TERMINAL for row in rows)
    now = datetime.datetime.now().astimezone()
    head = f"<div><b>{html.escape(title)}</b> · {told} · as of {now:%H:%M:%S}</div>"
    bar = f'<div><progress value="{done}" max="{len(rows)}" aria-label="ended"></progress> {done} of {len(rows)}</div>'
    shown = _matrix(over, rows) if product and len(over) == 2 else _list(over, rows)
    return tables.box(title, head, bar, shown)


def _matrix(over: list[str], rows: list[dict[str, Any]]) -> str:
    down, across = over
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        wire = row["point"].inputs.wire
        cells[tables.short(wire.get(down)), tables.short(wire.get(across))] = row
    ups, sides = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
    if len(cells) > _ROWS or len(ups) * len(sides) != len(cells):
        return _list(over, rows)
    head = [f"{down} ↓  {across} →", *sides]
    return tables.table(head, [[up, *(_state(cells[up, side]) for side in sides)] for up in ups], side=True)


def _list(over: list[str], rows: list[dict[str, Any]]) -> str:
    body = []
    for row in rows[:_ROWS]:
        wire = row["point"].inputs.wire
        end = _error(row) or (row["result"] if row["status"] == "finished" and row["result"] != "null" else "")
        run = tables.Cell(f"<code>{row['run_id'][-8:]}</code>") if row["run_id"] else ""
        body.append([row["point"].index, *(tables.short(wire.get(name)) for name in over), _state(row), run, end or ""])
    more = f"<div>and {len(rows) - _ROWS} more, see .frame()</div>" if len(rows) > _ROWS else ""
    return tables.table(["", *over, "status", "run", "result"], body, side=True) + more


def _state(row: dict[str, Any]) -> tables.Cell:
    status = row["status"]
    why = html.escape(f"{row['run_id'] or ''} {_error(row)}".strip(), quote=True)
    return tables.Cell(
        f'<span title="{why}">{tables.mark(status)} {status or "waiting"} {tables.seconds(_took(row))}</span>'
    )
