"""The run list: filters, order, search and pages over the log's index, which is read once for each change."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import polars as pl

import kodosumi_lab
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.errors import LogError
from kodosumi_lab.runtime.query import EventLog

__all__ = ["SEARCHED", "SORTS", "Listing", "RunIndex"]

#: Columns that runs can be sorted by; a leading minus turns the order round.
SORTS = ("started", "updated", "ended", "flow", "status", "user", "events", "nbytes", "active_s")
#: Columns whose text is searched.
SEARCHED = ("run_id", "flow", "summary", "reason", "progress_text", "result", "error", "user")


@dataclass(slots=True)
class Listing:
    """What somebody wants to see of the run list. None and empty mean "whatever"."""

    status: list[str] = field(default_factory=list)
    flow: list[str] = field(default_factory=list)
    user: list[str] = field(default_factory=list)
    tag: list[str] = field(default_factory=list)
    parent: str | None = None
    cell: str | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    search: str | None = None
    sort: str = "-started"

    def wanted(self, viewer: User) -> list[pl.Expr]:
        """Conditions, those of what the viewer may see first."""
        result = [] if viewer.may_see(None) else [pl.col("user") == viewer.name]
        result += [
            pl.col(name).is_in(values)
            for name, values in (("status", self.status), ("flow", self.flow), ("user", self.user))
            if values
        ]
        result += [pl.col("tags").list.contains(tag) for tag in self.tag]
        if self.parent is not None:
            result.append(pl.col("parent") == self.parent)
        if self.cell is not None:
            result.append(pl.col("cell") == self.cell)
        if self.since is not None:
            result.append(pl.col("started") >= self.since)
        if self.until is not None:
            result.append(pl.col("started") < self.until)
        if self.search:
            columns = [pl.col(name).fill_null("") for name in SEARCHED]
            text = pl.concat_str([*columns, pl.col("tags").list.join(" ").fill_null("")], separator="\n")
            result.append(text.str.to_lowercase().str.contains(self.search.lower(), literal=True))
        return result


class RunIndex:
    """The run list of a log, kept until the log changes."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._there = False
        self._kept: tuple[Any, pl.DataFrame] | None = None
        self._kept_at = 0.0
        self._lock = threading.Lock()

    def frame(self) -> pl.DataFrame:
        """All runs that are not hidden, in order of their ids.

        Raises
        ------
        LogError
            As :meth:`state`.
        """
        asked = time.monotonic()
        with self._lock:
            # who waited here is served with what was read meanwhile: it is newer than the question
            if self._kept is None or self._kept_at < asked:
                began, now = time.monotonic(), self.state()
                if self._kept is None or self._kept[0] != now:
                    self._kept = (now, self._log.runs().collect())
                self._kept_at = began
            return self._kept[1]

    def tag(self, viewer: User, *about: str) -> str:
        """``ETag`` of an answer that is made of the run list for somebody: another one once that may differ."""
        said = repr((kodosumi_lab.__version__, self.state(), viewer.name, viewer.role, about))
        return f'"{hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'

    def state(self) -> tuple[Any, ...]:
        """What differs once the run list may: lengths of segments, files of sealing and imports, lines of deleting.

        Raises
        ------
        LogError
            The log was there before, and cannot be read now: it would look like an empty one.
        """
        layout = self._log.layout
        if os.access(layout.root, os.R_OK | os.X_OK):
            self._there = True
        elif self._there:
            what = "may not be read" if layout.root.exists() else "is not there any more"
            raise LogError(f"the log directory {what}; mount it, move it back, or give its rights back: {layout.root}")
        sealed = [(date, layout.table("runs", date).stat().st_mtime_ns) for date in layout.dates("runs")]
        return self._log.positions(), sealed, len(self._log.tombstones.ids())

    def page(
        self, asked: Listing, viewer: User, *, limit: int, cursor: str | None
    ) -> tuple[pl.DataFrame, int, str | None]:
        """One page: its rows, how many there are altogether, and the cursor of the next one."""
        frame = self.frame()
        column, descending = asked.sort.removeprefix("-"), asked.sort.startswith("-")
        column = "run_id" if column == "started" else column  # ids sort by start, and so does the frame
        # only the columns that are asked about are looked at; whole rows are taken for the page alone
        wanted = frame.lazy().with_row_index("row").filter(*asked.wanted(viewer))
        keys = wanted.select("row", *dict.fromkeys([column, "run_id"])).collect()
        total = len(keys)
        if column == "run_id":
            keys = keys.reverse() if descending else keys
        else:
            keys = keys.sort(column, "run_id", descending=descending, nulls_last=True)
        if cursor is not None:
            keys = keys.slice(_place_after(keys, column, descending, _read_cursor(cursor, asked.sort)))
        page = frame[keys["row"].head(limit)]
        more = len(keys) > limit
        return page, total, _cursor(asked.sort, page.row(-1, named=True), column) if more else None


def _place_after(frame: pl.DataFrame, column: str, descending: bool, last: tuple[Any, str]) -> int:
    """How many rows of the sorted frame stand before the cursor or at it, whether its run is still there or not."""
    value, run_id = last
    key, same_id = pl.col(column), pl.col("run_id")
    before_id = same_id >= run_id if descending else same_id <= run_id
    if column == "run_id":
        before = before_id
    elif value is None:
        before = key.is_not_null() | before_id
    else:
        at = pl.lit(value).cast(frame.schema[column])
        nearer = key > at if descending else key < at
        before = (nearer | ((key == at) & before_id)).fill_null(False)
    return int(frame.select(before.sum()).item())


def _cursor(sort: str, row: dict[str, Any], column: str) -> str:
    value = row[column]
    plain = value.isoformat() if isinstance(value, datetime.datetime) else value
    return base64.urlsafe_b64encode(json.dumps([sort, plain, row["run_id"]]).encode()).decode().rstrip("=")


_TIMES = ("updated", "ended")
_CURSOR_TYPES: dict[str, Any] = {"events": int, "nbytes": int, "active_s": float | int}


def _read_cursor(text: str, sort: str) -> tuple[Any, str]:
    try:
        data = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        made_for, value, run_id = data
        expected = _CURSOR_TYPES.get(sort.removeprefix("-"), str)
        if made_for != sort or not isinstance(run_id, str) or not isinstance(value, expected | None):
            raise ValueError("it was made for another order")
        value = _in_range(sort.removeprefix("-"), value)
        run_id.encode()
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        detail = f"cursor {text[:40]!r} is none of a list sorted by {sort}; take it from `next` of the page before"
        raise Refused(422, "request", detail, errors={"cursor": ["is none of this list"]}) from error
    return value, run_id


def _in_range(column: str, value: Any) -> Any:
    """A cursor's value as its column has it; whatever no column can hold raises."""
    if column in _TIMES and isinstance(value, str):
        when = datetime.datetime.fromisoformat(value)
        if when.tzinfo is None:
            raise ValueError("it is a time without a zone")
        return when.astimezone(datetime.UTC)
    if column == "active_s" and value is not None:
        return float(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("it is larger than any count")
    if isinstance(value, str):
        value.encode()  # a lone surrogate is in no text of the log
    return value
