"""The numbers behind the charts. Each is a piece of Polars code, and what is drawn is what that code gives.

So "copy as Polars" hands out the very text that was run. It is made of templates and of values written as Python
writes them; nobody else's text is ever evaluated.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import polars as pl

from kodosumi_lab.api.listing import SEARCHED, Listing

__all__ = ["EVERY", "Question", "answer", "every", "questions", "selected", "totals"]

#: Widths of bars over time.
EVERY = {
    "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "4w": 4 * 604_800,
}  # fmt: skip
_MOST_BARS = 72
_MOST_ROWS = 20
_FAILED = '["error", "timeout", "lost"]'


@dataclass(frozen=True, slots=True)
class Question:
    """A chart's numbers.

    Attributes
    ----------
    name, title
        For programs and for people.
    code
        An expression of Polars over ``kl.runs()`` or ``kl.events()`` that gives a LazyFrame.
    """

    name: str
    title: str
    code: str

    @property
    def script(self) -> str:
        """What gives the same frame in a notebook."""
        more = "import datetime\n" if "datetime." in self.code else ""
        return f"{more}import polars as pl\nimport kodosumi_lab as kl\n\n{self.code}.collect()"


def every(low: datetime.datetime, high: datetime.datetime) -> str:
    """How wide bars are so that some dozens of them cover a time."""
    seconds = max(1.0, (high - low).total_seconds())
    return next((name for name, width in EVERY.items() if seconds / width <= _MOST_BARS), "4w")


def selected(asked: Listing) -> str:
    """The runs that are asked for."""
    wanted = [
        f"pl.col({name!r}).is_in({values!r})"
        for name, values in (("status", asked.status), ("flow", asked.flow), ("user", asked.user))
        if values
    ]
    wanted += [f'pl.col("tags").list.contains({tag!r})' for tag in asked.tag]
    if asked.parent is not None:
        wanted.append(f'pl.col("parent") == {asked.parent!r}')
    if asked.since is not None:
        wanted.append(f'pl.col("started") >= {_time(asked.since)}')
    if asked.until is not None:
        wanted.append(f'pl.col("started") < {_time(asked.until)}')
    if asked.search:
        wanted.append(
            f'pl.concat_str(pl.col({list(SEARCHED)!r}).fill_null(""), pl.col("tags").list.join(" ").fill_null(""), '
            f'separator="\\n").str.to_lowercase().str.contains({asked.search.lower()!r}, literal=True)'
        )
    return "kl.runs()" + "".join(f"\n    .filter({one})" for one in wanted)


def _time(when: datetime.datetime) -> str:
    return f"datetime.datetime.fromisoformat({when.astimezone(datetime.UTC).isoformat(timespec='seconds')!r})"


def totals(asked: Listing) -> Question:
    """What stands above the charts, and from when to when they go."""
    return Question(
        "totals",
        "In all",
        f"""({selected(asked)}
    .select(
        first=pl.col("started").min(),
        last=pl.col("started").max(),
        runs=pl.len(),
        open=pl.col("ended").is_null().sum(),
        waiting=pl.col("locks").is_not_null().sum(),
        failed=pl.col("status").is_in({_FAILED}).sum(),
        ended=pl.col("ended").is_not_null().sum(),
        p50_s=(pl.col("ended") - pl.col("running")).dt.total_seconds(fractional=True).quantile(0.5),
        p95_s=(pl.col("ended") - pl.col("running")).dt.total_seconds(fractional=True).quantile(0.95),
        events=pl.col("events").sum(),
        nbytes=pl.col("nbytes").sum(),
    )
)""",
    )


def questions(asked: Listing, width: str, by: str) -> dict[str, Question]:
    """What the charts ask, by name.

    Parameters
    ----------
    asked
        Of which runs.
    width
        Of a bar, one of :data:`EVERY`.
    by
        ``flow``, ``user``, ``status``, ``agent`` or ``node``.
    """
    runs = selected(asked)
    at = f'at=pl.col("started").dt.truncate({width!r})'
    found = [
        Question(
            "runs",
            "Runs",
            f"""({runs}
    .group_by("status", {at})
    .agg(runs=pl.len())
    .sort("at", "status")
)""",
        ),
        Question(
            "failures",
            "Failures",
            f"""({runs}
    .filter(pl.col("ended").is_not_null())
    .group_by({at})
    .agg(ended=pl.len(), failed=pl.col("status").is_in({_FAILED}).sum())
    .with_columns(share=pl.col("failed") / pl.col("ended"))
    .sort("at")
)""",
        ),
        Question(
            "durations",
            "Durations",
            f"""({runs}
    .filter(pl.col("ended").is_not_null(), pl.col("running").is_not_null())
    .with_columns(seconds=(pl.col("ended") - pl.col("running")).dt.total_seconds(fractional=True))
    .group_by({at})
    .agg(runs=pl.len(), p50=pl.col("seconds").quantile(0.5), p95=pl.col("seconds").quantile(0.95))
    .sort("at")
)""",
        ),
        Question(
            "waits",
            "Waiting",
            f"""({runs}
    .filter(pl.col("running").is_not_null())
    .with_columns(
        queue=(pl.col("running") - pl.col("started")).dt.total_seconds(fractional=True),
        waiting=(pl.coalesce("ended", "updated") - pl.col("running")).dt.total_seconds(fractional=True)
        - pl.col("active_s"),
    )
    .group_by({at})
    .agg(
        queue_p50=pl.col("queue").quantile(0.5),
        queue_p95=pl.col("queue").quantile(0.95),
        waiting_p95=pl.col("waiting").clip(0).quantile(0.95),
    )
    .sort("at")
)""",
        ),
        Question(
            "volume",
            "Events",
            f"""({runs}
    .group_by({at})
    .agg(events=pl.col("events").sum(), nbytes=pl.col("nbytes").sum())
    .sort("at")
)""",
        ),
        _split(asked, runs, by),
    ]
    return {one.name: one for one in found}


def _split(asked: Listing, runs: str, by: str) -> Question:
    counted = f"""    .agg(
        runs=pl.len(),
        failed=pl.col("status").is_in({_FAILED}).sum(),
        p50=(pl.col("ended") - pl.col("running")).dt.total_seconds(fractional=True).quantile(0.5),
        p95=(pl.col("ended") - pl.col("running")).dt.total_seconds(fractional=True).quantile(0.95),
        events=pl.col("events").sum(),
        nbytes=pl.col("nbytes").sum(),
    )
    .sort("runs", "name", descending=[True, False])
    .head({_MOST_ROWS})
)"""
    events = "kl.events(" + ", ".join(_days(asked)) + ")"
    if by == "agent":
        return Question(
            "by",
            "By agent",
            f"""({events}
    .select("run_id", "agent", "kind", nbytes=pl.col("payload").str.len_bytes())
    .join({_indented(runs)}.select("run_id"), on="run_id", how="semi")
    .group_by(name=pl.col("agent").fill_null("the flow itself"))
    .agg(
        runs=pl.col("run_id").n_unique(),
        failed=(pl.col("kind") == "error").sum(),
        events=pl.len(),
        nbytes=pl.col("nbytes").sum(),
    )
    .sort("events", "name", descending=[True, False])
    .head({_MOST_ROWS})
)""",
        )
    if by == "node":
        return Question(
            "by",
            "By node",
            f"""({_indented(runs)}
    .join(
        {events}
        .filter(pl.col("kind") == "status")
        .select("run_id", "seq", name=pl.col("payload").str.json_path_match("$.node"))
        .drop_nulls("name")
        .sort("seq")
        .unique("run_id", keep="last", maintain_order=True),
        on="run_id",
    )
    .group_by("name")
{counted}""",
        )
    return Question("by", f"By {by}", f"({runs}\n    .group_by(name=pl.col({by!r}))\n{counted}")


def _indented(code: str) -> str:
    return code.replace("\n", "\n    ")


def _days(asked: Listing) -> list[str]:
    """The days of a log that have to be read: partitions go by the start of runs."""
    found = []
    if asked.since is not None:
        day = asked.since.astimezone(datetime.UTC).date()
        found.append(f"since=datetime.date({day.year}, {day.month}, {day.day})")
    if asked.until is not None:
        day = asked.until.astimezone(datetime.UTC).date()
        found.append(f"until=datetime.date({day.year}, {day.month}, {day.day})")
    return found


def answer(question: Question, runs: pl.LazyFrame, events: Callable[..., pl.LazyFrame]) -> pl.DataFrame:
    """The frame that a question's code gives.

    Parameters
    ----------
    question
        Of :func:`questions` or :func:`totals`.
    runs, events
        What ``kl.runs()`` and ``kl.events(…)`` stand for: those that somebody may see.

    Returns
    -------
    polars.DataFrame
        As the code says; times are UTC, durations seconds.
    """
    names: Mapping[str, Any] = {
        "pl": pl,
        "datetime": datetime,
        "kl": SimpleNamespace(runs=lambda: runs, events=events),
        "__builtins__": {},
    }
    # templates of this module and literals, see selected()
    frame: pl.LazyFrame = eval(question.code, dict(names))  # noqa: S307
    return frame.collect()
