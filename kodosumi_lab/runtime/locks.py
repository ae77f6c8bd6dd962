"""Locks: everything that waits for a person, and the one way to answer.

An open lock is a ``lock`` event without its ``lease``. Its form, where it has one, stands in
the event as it was shown (:meth:`kodosumi_lab.Tracer.lock`), or is made by the service that
launched the run (:mod:`kodosumi_lab.runtime.services`). Either way an answer is checked
before it is appended, and a refused one leaves the lock open.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from kodosumi_lab.errors import InputsError
from kodosumi_lab.events import dumps, loads
from kodosumi_lab.forms import Model
from kodosumi_lab.runtime import services
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.sent import hide

if TYPE_CHECKING:
    from kodosumi_lab.runtime.run import Run

__all__ = ["LOCKS", "answer", "describe", "give", "open_locks", "payload_of"]

_TIME = pl.Datetime("us", "UTC")

#: Polars schema of :func:`open_locks`.
LOCKS = pl.Schema(
    {
        "run_id": pl.String(), "lid": pl.String(), "name": pl.String(), "ts": _TIME, "expires": _TIME,
        "flow": pl.String(), "summary": pl.String(), "user": pl.String(), "agent": pl.String(),
        "data": pl.String(), "form": pl.String(),
    }
)  # fmt: skip


def open_locks(log: EventLog) -> pl.LazyFrame:
    """Everything that waits for a person, over all runs, as of each ``collect``; oldest first.

    Returns
    -------
    polars.LazyFrame
        Columns of :data:`LOCKS`: ``lid`` names the lock in :meth:`Run.answer`, ``user`` is who
        launched the run, ``agent`` who asks (null: the flow itself), ``data`` and ``form`` are
        JSON texts (null where there is none; a service's own form is asked for by
        :meth:`Run.lock`), ``expires`` is null for a lock without end.
    """

    def generate(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        frame = _open(log)
        if predicate is not None:
            frame = frame.filter(predicate)
        if with_columns is not None:
            frame = frame.select(with_columns)
        yield frame if n_rows is None else frame.head(n_rows)

    return register_io_source(generate, schema=LOCKS, is_pure=False)


def _open(log: EventLog) -> pl.DataFrame:
    columns = ["run_id", "flow", "summary", "user", "started", "locks"]
    waiting = log.runs(hidden=True).filter(pl.col("locks").is_not_null()).select(columns).collect()
    asked = {(row["run_id"], lock["lid"]): row for row in waiting.to_dicts() for lock in json.loads(row["locks"])}
    if not asked:
        return LOCKS.to_frame()
    wanted = pl.col("run_id").is_in(list({run_id for run_id, _ in asked})) & (pl.col("kind") == "lock")
    events = log.events(since=waiting["started"].min().date()).filter(wanted)  # type: ignore[union-attr]
    rows = []
    for run_id, ts, agent, text in events.select("run_id", "ts", "agent", "payload").collect().iter_rows():
        said = _decoded(log, text)
        row = asked.get((run_id, str(said.get("lid"))))
        if row is not None:
            about = {key: row[key] for key in ("run_id", "flow", "summary", "user")}
            rows.append({**about, **_columns(said), "ts": ts, "agent": agent})
    return pl.DataFrame(rows, schema=LOCKS).sort("ts") if rows else LOCKS.to_frame()


def _columns(said: dict[str, Any]) -> dict[str, Any]:
    expires = said.get("expires")
    return {
        "lid": str(said.get("lid")),
        "name": None if said.get("name") is None else str(said["name"]),
        "expires": None if expires is None else int(expires * 1e6),
        **{key: None if said.get(key) is None else dumps(said[key]) for key in ("data", "form")},
    }


def _decoded(log: EventLog, text: str) -> dict[str, Any]:
    said: dict[str, Any] = loads(text, log.artifact)
    return said


def payload_of(run: Run, lid: str) -> dict[str, Any]:
    """What a lock's event says: ``lid, name, data, expires`` and, where it has one, ``form``.

    Raises
    ------
    LookupError
        The run has no such lock.
    """
    events = run.events().filter(pl.col("kind") == "lock").select("payload").collect()["payload"]
    for text in events:
        said = _decoded(run._log, text)
        if said.get("lid") == lid:
            return said
    raise LookupError(f"run {run.id} has no lock {lid}")


def describe(run: Run, lid: str, by: str) -> dict[str, Any]:
    """An open lock as it is shown to a person: ``lid, name, data, expires, form``; the form a list of dicts or None.

    Raises
    ------
    LockClosed
        It was answered meanwhile.
    ClusterError
        The service that makes its form cannot be reached.
    """
    said = payload_of(run, lid)
    form = said.get("form")
    if form is None and services.handled(run.meta, str(said.get("name"))):
        form = services.elements_of(run.meta, run.id, lid, by, run.log_dir)
    return {key: said.get(key) for key in ("lid", "name", "data", "expires")} | {"form": form}


def answer(run: Run, lid: str, result: Any, by: str) -> Any:
    """Answer an open lock.

    Parameters
    ----------
    run, lid
        The run and the lock.
    result
        Form values by name where the lock has a form, else any JSON value.
    by
        Who answers.

    Returns
    -------
    Any
        What the flow gets.

    Raises
    ------
    InputsError
        The values do not fit the form; the lock stays open.
    LockClosed
        Somebody answered first, or it expired.
    ClusterError
        The cluster, or the service that handles the lock, cannot be reached; it stays open.
    """
    said = payload_of(run, lid)
    if services.handled(run.meta, str(said.get("name"))):
        return services.answer_lock(run.meta, run.id, lid, result, by, run.log_dir)
    if said.get("form") is not None:
        form = Model.model_validate(said["form"])
        result = _checked(form, result)
        give(run, lid, result, by, hidden=form.secret_texts(result))
    else:
        give(run, lid, result, by)
    return result


def _checked(form: Model, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        takes = ", ".join(form.fields) or "nothing"
        raise InputsError(_global_=f"a {type(values).__name__} is no answer; expected a dict of values for: {takes}")
    return form.validate(values)


def give(
    run: Run,
    lid: str,
    result: Any,
    by: str,
    *,
    form: list[dict[str, Any]] | None = None,
    hidden: Collection[str] = (),
) -> None:
    """Append the lease that closes a lock; its answer has been checked.

    Parameters
    ----------
    run, lid, result, by
        As for :func:`answer`.
    form
        As it was shown, where the lock's own event does not say.
    hidden
        Texts that only the flow gets, wherever they are in `result`.

    Raises
    ------
    LockClosed
        Somebody answered first, or it expired.
    """
    import ray

    whole = dumps(result)
    kept: dict[str, str] = {}
    shown = dumps(hide(json.loads(whole), "", hidden, kept)) if hidden else whole
    more = {"form": form} if form is not None else {}
    try:
        spooler = run._cluster().spooler
        # Ray repeats a call whose answer was lost; by the token the Spooler knows it again
        token = secrets.token_hex(8)
        ray.get(spooler.answer.remote(run.id, lid, shown, by, more, whole if kept else None, token))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
