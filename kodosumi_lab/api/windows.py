"""Stretches of a run's events, by their place among those that fit a filter.

Without a filter the place of an event is its ``seq``. With one, the places are looked up in a list of the ``seq``
that fit, which is kept for a while and only ever continued: scrolling does not search again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import polars as pl

from kodosumi_lab.events import dumps
from kodosumi_lab.runtime.query import EVENTS, EventLog

__all__ = ["Filter", "Window", "Windows"]

# Lists of seq that are kept: eight bytes an event that fits.
_KEPT_BYTES = 64 * 2**20
# A list is searched in stretches, so that a search does not hold all payloads of a long run at once.
_STRETCH = 500_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events; everything that is empty is not asked about.

    Attributes
    ----------
    kinds
        One of these.
    agents
        Of one of these; ``""`` is the flow itself.
    search
        Text in the payload, in any case.
    """

    kinds: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    search: str = ""

    def wanted(self) -> list[pl.Expr]:
        """Conditions, the cheap ones first; none for all events."""
        result = []
        if self.kinds:
            result.append(pl.col("kind").is_in(self.kinds))
        if self.agents:
            result.append(pl.col("agent").fill_null("").is_in(self.agents))
        if self.search:
            result.append(self._said())
        return result

    def _said(self) -> pl.Expr:
        payload = pl.col("payload").str.to_lowercase()
        # within a payload, which is JSON, quotes and line ends are escaped
        texts = dict.fromkeys((self.search.lower(), dumps(self.search)[1:-1].lower()))
        return pl.any_horizontal(payload.str.contains(text, literal=True) for text in texts)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of events.

    Attributes
    ----------
    events
        In order.
    offset
        Place of the first one, from 0.
    total
        How many fit altogether.
    """

    events: pl.DataFrame
    offset: int
    total: int


class Windows:
    """Windows of a log's runs; may be used from several threads."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._kept: OrderedDict[tuple[str, Filter], tuple[int, pl.Series]] = OrderedDict()
        self._lock = threading.Lock()

    def window(self, run_id: str, asked: Filter, last: int, offset: int, limit: int) -> Window:
        """Some of the events up to `last` that fit.

        Parameters
        ----------
        run_id, asked, last
            Of which run, which events, the greatest ``seq``.
        offset
            Place of the first one; a negative one counts from the end.
        limit
            How many.
        """
        if asked == Filter():
            total = last + 1
            start, stop = _stretch(total, offset, limit)
            return Window(self._events(run_id, asked, start, stop - 1), start, total)
        return self.placed(run_id, asked, last, offset, limit)

    def placed(self, run_id: str, asked: Filter, last: int, offset: int, limit: int) -> Window:
        """As :meth:`window`, by counting: also of a run whose events are not all there."""
        seqs = self._fitting(run_id, asked, last)
        start, stop = _stretch(len(seqs), offset, limit)
        if start == stop:
            return Window(pl.DataFrame(schema=EVENTS), start, len(seqs))
        return Window(self._events(run_id, asked, seqs[start], seqs[stop - 1]), start, len(seqs))

    def _events(self, run_id: str, asked: Filter, first: int, last: int) -> pl.DataFrame:
        if last < first:
            return pl.DataFrame(schema=EVENTS)
        query = self._log.events(run_id).filter(pl.col("seq").is_between(first, last), *asked.wanted())
        return query.sort("seq").collect().unique("seq", keep="first", maintain_order=True)

    def _fitting(self, run_id: str, asked: Filter, last: int) -> pl.Series:
        key = (run_id, asked)
        with self._lock:
            upto, seqs = self._kept.get(key, (-1, pl.Series("seq", [], pl.Int64)))
        if upto < last:
            found = [seqs]
            for first in range(upto + 1, last + 1, _STRETCH):
                stretch = pl.col("seq").is_between(first, min(last, first + _STRETCH - 1))
                query = self._log.events(run_id).filter(stretch, *asked.wanted()).select("seq")
                found.append(query.collect()["seq"].unique().sort())
            seqs = pl.concat(found)
            with self._lock:
                if self._kept.get(key, (-1, seqs))[0] < last:
                    self._kept[key] = (last, seqs)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(len(kept) for _, kept in self._kept.values()) * 8 > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return seqs if upto <= last else seqs.head(int(seqs.search_sorted(last, side="right")))


def _stretch(total: int, offset: int, limit: int) -> tuple[int, int]:
    start = max(0, total + offset) if offset < 0 else min(offset, total)
    return start, min(total, start + limit)
