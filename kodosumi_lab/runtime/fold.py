"""Folding whole Arrow tables of events into run states, columns at a time.

The Spooler folds event by event while it commits; recovery, sealing and readers have a
table with up to a few hundred thousand rows, of which only the few control events need
Python.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from kodosumi_lab.runtime.lifecycle import CONTROL, NAMED_BAR, RunState, control_payload, fold_event

__all__ = ["fold_table", "index_schema", "index_table"]

_CONTROL = pa.array(sorted(CONTROL), pa.string())


def fold_table(runs: dict[str, RunState], table: pa.Table, *, producers: bool = False) -> set[str]:
    """Apply a segment's events, in commit order, to the states in `runs`.

    Parameters
    ----------
    runs
        States before; changed in place, new runs are added.
    table
        Events, schema of :func:`kodosumi_lab.events.arrow_schema`; rows of one run in order.
    producers
        Also keep each producer's last count (only the writer needs it).

    Returns
    -------
    set of str
        Runs that the table touches.
    """
    if table.num_rows == 0:
        return set()
    kind = table["kind"]
    control = table.filter(pc.is_in(kind, _CONTROL)).select(["run_id", "ts", "kind", "attempt", "payload"])
    for row in control.set_column(1, "ts", control["ts"].cast(pa.int64())).to_pylist():
        fold_event(_state(runs, row["run_id"]), row["kind"], row["attempt"], row["ts"], control_payload(row["payload"]))
    progress = table.filter(pc.equal(kind, "progress"))
    _fold_progress(runs, progress.filter(pc.invert(pc.match_substring(progress["payload"], NAMED_BAR))))
    return _fold_counts(runs, table, producers)


def _state(runs: dict[str, RunState], run_id: str) -> RunState:
    state = runs.get(run_id)
    if state is None:
        state = runs[run_id] = RunState(run_id)
    return state


def _fold_progress(runs: dict[str, RunState], table: pa.Table) -> None:
    ids = table["run_id"].to_pylist()
    last = dict(zip(ids, range(len(ids)), strict=True))
    for run_id, i in last.items():
        state = _state(runs, run_id)
        if table["attempt"][i].as_py() == state.attempt:
            fold_event(state, "progress", state.attempt, 0, control_payload(table["payload"][i].as_py()))


def _fold_counts(runs: dict[str, RunState], table: pa.Table, producers: bool) -> set[str]:
    sized = table.select(["run_id", "seq", "ts"]).append_column("nbytes", pc.binary_length(table["payload"]))
    sized = sized.set_column(2, "ts", sized["ts"].cast(pa.int64()))
    totals = sized.group_by("run_id").aggregate([("seq", "max"), ("ts", "max"), ("nbytes", "sum")])
    for row in totals.to_pylist():
        state = _state(runs, row["run_id"])
        state.seq = max(state.seq, row["seq_max"] + 1)
        state.last_ts = max(state.last_ts, row["ts_max"])
        state.nbytes += row["nbytes_sum"]
    if producers:
        keys = ["run_id", "attempt", "producer"]
        for row in table.group_by(keys).aggregate([("producer_seq", "max")]).to_pylist():
            counts = runs[row["run_id"]].producers
            key = f"{row['attempt']}:{row['producer']}"
            counts[key] = max(counts.get(key, -1), row["producer_seq_max"])
    return set(totals["run_id"].to_pylist())


# -- the index --------------------------------------------------------------------------


def index_schema() -> pa.Schema:
    """Arrow schema of the run index: one cumulative row per run and segment.

    ``last_seq`` is the greatest ``seq`` so far: of several rows of a run the one with the
    greatest counts. ``active_s`` is the time in status ``running`` up to the row.
    """
    ts = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            ("run_id", pa.string()), ("flow", pa.string()), ("status", pa.string()), ("reason", pa.string()),
            ("started", ts), ("running", ts), ("ended", ts), ("updated", ts),
            ("progress", pa.float64()), ("progress_text", pa.string()), ("result", pa.string()),
            ("error", pa.string()), ("attempt", pa.int16()), ("events", pa.int64()), ("nbytes", pa.int64()),
            ("last_seq", pa.int64()), ("active_s", pa.float64()), ("locks", pa.string()),
            ("user", pa.string()), ("parent", pa.string()), ("tags", pa.list_(pa.string())),
            ("summary", pa.string()), ("author", pa.string()), ("version", pa.string()),
            ("entrypoint", pa.string()), ("runner", pa.string()), ("hidden", pa.bool_()),
            ("cell", pa.string()),
        ]
    )  # fmt: skip


def index_table(states: list[RunState]) -> pa.Table:
    """Index rows of the given states, sorted by run id."""
    rows = []
    for state in sorted(states, key=lambda s: s.run_id):
        locks = [{"lid": lid, **lock} for lid, lock in state.locks.items()]
        rows.append(
            {
                "run_id": state.run_id, "flow": state.flow, "status": state.status, "reason": state.reason,
                "started": state.started, "running": state.running, "ended": state.ended, "updated": state.last_ts,
                "progress": state.progress, "progress_text": state.progress_text, "result": state.result,
                "error": state.error, "attempt": state.attempt, "events": state.seq, "nbytes": state.nbytes,
                "last_seq": state.seq - 1, "active_s": state.active_us(state.last_ts) / 1e6,
                "locks": json.dumps(locks) if locks else None,
                "user": state.user, "parent": state.parent, "tags": state.tags, "summary": state.summary,
                "author": state.author, "version": state.version, "entrypoint": state.entrypoint,
                "runner": state.runner, "hidden": state.hidden, "cell": state.cell,
            }
        )  # fmt: skip
    schema = index_schema()
    raw = pa.schema([field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field for field in schema])
    return pa.Table.from_pylist(rows, schema=raw).cast(schema)
