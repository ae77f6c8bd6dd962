"""Comparing runs: what was asked, what happened, how long it took, what came out.

Facts of a run are lines, each with a section and a name; runs are compared line by line.
Everything is read from the log, of each run's last attempt.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kodosumi_lab.events import JSON_MIME, decode, is_reference, loads
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.reading import run as run_of
from kodosumi_lab.runtime.run import Run

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Diff", "diff"]

SECTIONS = ("status", "inputs", "options", "durations", "steps", "metrics", "locks", "results", "errors")
_KINDS = ("span", "metric", "lock", "lease", "result", "final", "error")
# Two times that are closer than this tell nothing.
_SHARE, _LEAST_S = 0.1, 0.05
_LINES = 30
_ROWS = 200


@dataclass(frozen=True, slots=True)
class _Fact:
    """A value as text, what it is compared by, and as a number where it is one."""

    text: str
    key: Any
    number: float | None = None


_Facts = dict[tuple[str, str], _Fact]


def diff(one: Run | str, other: Run | str, *more: Run | str) -> Diff:
    """Compare runs.

    Parameters
    ----------
    one, other, *more
        Runs, or their ids (the last characters are enough where they are unique).

    Returns
    -------
    Diff
        Shown in a notebook with the differences marked; :meth:`Diff.frame` is the same as a frame.

    Raises
    ------
    RunNotFound
        The log holds no such run.
    ValueError
        A run is named twice.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> kl.diff(run, run.rerun(end=10**7).wait())  # doctest: +SKIP
    """
    runs = [run_of(item) if isinstance(item, str) else item for item in (one, other, *more)]
    twice = [run_id for run_id, count in Counter(run.id for run in runs).items() if count > 1]
    if twice:
        raise ValueError(f"run {twice[0]} is named twice; a run does not differ from itself")
    return Diff(runs)


class Diff:
    """What differs between runs, as of when it was made; see :func:`diff`.

    Attributes
    ----------
    runs : list[Run]
        The runs, in the order in which they were named.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        short = [run.id[-8:] for run in runs]
        self._labels = short if len(set(short)) == len(short) else [run.id for run in runs]
        self._facts = [_facts(run) for run in runs]
        names = {key: None for facts in self._facts for key in facts}
        self._names = sorted(names, key=lambda key: SECTIONS.index(key[0]))

    def _row(self, key: tuple[str, str]) -> list[_Fact | None]:
        return [facts.get(key) for facts in self._facts]

    def _same(self, key: tuple[str, str]) -> bool:
        first, *others = self._row(key)
        if key[0] in ("durations", "steps") and all(
            fact is not None and fact.number is not None for fact in (first, *others)
        ):
            numbers = [fact.number or 0.0 for fact in (first, *others) if fact is not None]
            return max(numbers) - min(numbers) <= max(_LEAST_S, _SHARE * max(numbers))
        return all((fact and fact.key) == (first and first.key) for fact in others)

    @property
    def different(self) -> list[tuple[str, str]]:
        """Section and name of everything that differs."""
        return [key for key in self._names if not self._same(key)]

    def frame(self, section: str | None = None) -> pl.DataFrame:
        """All that was compared, in long form.

        Parameters
        ----------
        section
            Only this one of ``status, inputs, options, durations, steps, metrics, locks, results, errors``; where all
            its values are numbers (seconds, for ``durations`` and ``steps``) the runs' columns are Float64.

        Returns
        -------
        polars.DataFrame
            ``section``, ``name``, a column of text for each run under the last characters of its id (null: the run has
            none of that), and ``same``. Times count as the same within 10 %, or 50 ms.

        Raises
        ------
        ValueError
            There is no such section.
        """
        import polars as pl

        if section is not None and section not in SECTIONS:
            raise ValueError(f"there is no section {section!r}; there are: {', '.join(SECTIONS)}")
        names = [key for key in self._names if section in (None, key[0])]
        columns = [list(facts) for facts in zip(*(self._row(key) for key in names), strict=True)] or [
            [] for _ in self.runs
        ]
        numbers = section is not None and all(
            fact is None or fact.number is not None for facts in columns for fact in facts
        )
        made: dict[str, Any] = {
            "section": pl.Series([key[0] for key in names], dtype=pl.String),
            "name": pl.Series([key[1] for key in names], dtype=pl.String),
        }
        for label, facts in zip(self._labels, columns, strict=True):
            values = [None if fact is None else fact.number if numbers else fact.text for fact in facts]
            made[label] = pl.Series(values, dtype=pl.Float64 if numbers else pl.String)
        return pl.DataFrame({**made, "same": pl.Series([self._same(key) for key in names], dtype=pl.Boolean)})

    # -- showing it -------------------------------------------------------------------

    def __repr__(self) -> str:
        different = self.different
        head = f"<Diff {' '.join(self._labels)}: {len(different)} of {len(self._names)} differ>"
        lines = [
            f"  ≠ {section}: {tables.cut(name, 40)}: "
            + " | ".join(tables.cut(_text(fact), 40) for fact in self._row((section, name)))
            for section, name in different[:_LINES]
        ]
        more = [f"  and {len(different) - _LINES} more"] if len(different) > _LINES else []
        return "\n".join([head, *lines, *more])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        parts = [f"<div><b>{len(self.different)} of {len(self._names)} differ</b> (marked ≠)</div>"]
        parts += [self._section(section) for section in SECTIONS if any(key[0] == section for key in self._names)]
        return {"text/plain": repr(self), "text/html": tables.box("comparison of runs", *parts)}

    def _section(self, section: str) -> str:
        names = [key for key in self._names if key[0] == section]
        different = [key for key in names if not self._same(key)]
        rows = []
        for key in [*different, *(key for key in names if key not in different)][:_ROWS]:
            sign, strong = ("≠", "b") if key in different else ("=", "span")
            cells = [
                tables.Cell(f"<{strong}>{html.escape(tables.cut(_text(fact)))}</{strong}>") for fact in self._row(key)
            ]
            rows.append(
                [
                    key[1],
                    tables.Cell(f'<span aria-label="{"differs" if sign == "≠" else "same"}">{sign}</span>'),
                    *cells,
                ]
            )
        told = f"{len(different)} of {len(names)} differ" if different else f"{len(names)} the same"
        more = f"<div>and {len(names) - _ROWS} more, see .frame({section!r})</div>" if len(names) > _ROWS else ""
        inner = tables.table([section, "", *self._labels], rows, side=True) + more
        return f"<details{' open' if different else ''}><summary>{section}: {told}</summary>{inner}</details>"


def _text(fact: _Fact | None) -> str:
    return "—" if fact is None else fact.text


# -- facts of a run ---------------------------------------------------------------------


def _plain(value: Any) -> _Fact:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return _Fact(
        "null" if value is None else tables.short(value), json.dumps(value, sort_keys=True, default=str), number
    )


def _time(value: float) -> _Fact:
    return _Fact(tables.seconds(value), round(value, 3), value)


def _facts(run: Run) -> _Facts:
    row, meta = run._row(), run.meta
    found: _Facts = {}
    for name in ("flow", "status", "reason", "attempt"):
        found["status", name] = _plain(row[name])
    found |= {("inputs", name): _plain(value) for name, value in run.inputs.items()}
    kept = {name: meta.get(name) for name in ("entrypoint", "version", "timeout_s", "retries", "fresh", "python")}
    found |= {("options", name): _plain(value) for name, value in {**kept, **meta.get("options", {})}.items()}
    found |= _durations(run, row)
    events: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _KINDS}
    frame = run._of_kind(*_KINDS)
    for kind, ts, agent, payload in (
        frame.filter(frame["attempt"] == row["attempt"]).select("kind", "ts", "agent", "payload").iter_rows()
    ):
        events[kind].append((ts, agent, payload))
    found |= _steps(events["span"]) | _metrics(events["metric"]) | _locks(run, events["lock"], events["lease"])
    found |= _results(events["result"], events["final"])
    for number, (_, _, payload) in enumerate(events["error"], 1):
        said = loads(payload, run._log.artifact)
        found["errors", _numbered("error", number)] = _plain(f"{said.get('type')}: {said.get('message')}")
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} #{number}"


def _durations(run: Run, row: dict[str, Any]) -> _Facts:
    found: _Facts = {}
    if row["running"] is not None and row["started"] is not None:
        found["durations", "until it ran"] = _time((row["running"] - row["started"]).total_seconds())
    if run.duration_s is not None:
        found["durations", "running to end"] = _time(run.duration_s)
    found["durations", "active"] = _time(row["active_s"])
    return found


def _steps(spans: list[tuple[Any, ...]]) -> _Facts:
    """Durations of spans by name, below their parents, and by how many of that name came before."""
    paths: dict[str, str] = {}
    found: _Facts = {}
    seen: Counter[str] = Counter()
    for _, agent, payload in spans:
        said = json.loads(payload)
        if said.get("state") == "open":
            above = paths.get(str(said.get("parent")))
            path = (
                f"{above} › {said.get('name')}"
                if above
                else f"{agent}: {said.get('name')}"
                if agent
                else str(said.get("name"))
            )
            seen[path] += 1
            paths[str(said.get("id"))] = _numbered(path, seen[path])
            found["steps", paths[str(said.get("id"))]] = _Fact("not ended", "open")
        elif str(said.get("id")) in paths:
            took, error = float(said.get("duration_s") or 0.0), said.get("error")
            fact = _Fact(f"{tables.seconds(took)}, {error}", error) if error else _time(took)
            found["steps", paths[str(said["id"])]] = fact
    return found


def _metrics(metrics: list[tuple[Any, ...]]) -> _Facts:
    values: dict[str, list[float]] = {}
    for _, _, payload in metrics:
        said = json.loads(payload)
        if isinstance(said.get("value"), int | float):
            unit = f" [{said['unit']}]" if said.get("unit") else ""
            values.setdefault(f"{said.get('name')}{unit}", []).append(said["value"])
    return {
        ("metrics", f"{name}, {word}"): _Fact(f"{value:g}", value, value)
        for name, numbers in values.items()
        for word, value in (("last", numbers[-1]), ("min", min(numbers)), ("max", max(numbers)))
    }


def _locks(run: Run, locks: list[tuple[Any, ...]], leases: list[tuple[Any, ...]]) -> _Facts:
    found: _Facts = {}
    answers = {said.get("lid"): (ts, said) for ts, _, text in leases for said in [loads(text, run._log.artifact)]}
    seen: Counter[str] = Counter()
    for asked, _, text in locks:
        said = loads(text, run._log.artifact)
        seen[str(said.get("name"))] += 1
        name = _numbered(str(said.get("name")), seen[str(said.get("name"))])
        answered, lease = answers.get(said.get("lid"), (None, None))
        if said.get("data") is not None:
            found["locks", f"{name}, about"] = _plain(said["data"])
        if lease is None:
            found["locks", f"{name}, answer"] = _plain("none")
        else:
            expired = bool(lease.get("expired"))
            found["locks", f"{name}, answer"] = _plain("expired") if expired else _plain(lease.get("result"))
            found["locks", f"{name}, by"] = _plain(lease.get("by"))
            found["durations", f"waiting at {name}"] = _time((answered - asked).total_seconds())
    return found


def _results(results: list[tuple[Any, ...]], finals: list[tuple[Any, ...]]) -> _Facts:
    found: _Facts = {}
    for number, (_, agent, payload) in enumerate(results, 1):
        found["results", f"{number}{f', {agent}' if agent else ''}"] = _shown(payload)
    for _, _, payload in finals[-1:]:
        found["results", "returned"] = _shown(payload)
    return found


def _shown(payload: str) -> _Fact:
    """A result's text; compared by all of it, however large."""
    data = json.loads(payload)
    if is_reference(data):
        return _Fact(f"({data['artifact']['nbytes']:,} bytes)", data["artifact"]["sha256"])
    key = hashlib.sha256(payload.encode()).hexdigest()
    if isinstance(data, dict) and set(data) == {JSON_MIME}:
        return _plain(data[JSON_MIME])
    value = decode(payload)
    if hasattr(value, "shape") and hasattr(value, "columns"):
        return _Fact(f"table of {value.shape[0]:,} rows, {value.shape[1]} columns", key)
    if isinstance(value, str):
        return _Fact(value, key)
    images = [mime for mime in getattr(value, "bundle", {}) if mime.startswith("image/")]
    return _Fact(f"{images[0]}, {key[:8]}" if images else str(value), key)
