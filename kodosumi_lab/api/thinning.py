"""A long run in few events: enough to draw everything but the console and the list of all events.

What is kept of a run of any length:

- all of ``meta inputs agent upload status error final lock lease``;
- of results the first and the last ones, of actions the last ones;
- of each bar of each agent the last progress;
- of spans those that are open, the longest and the newest, with the spans around them;
- of each metric so many points that its line looks the same: in each stretch the first, the last, the least
  and the greatest.

Which events those are is decided from columns and the beginnings of payloads; whole rows are taken of the chosen
ones alone.
"""

from __future__ import annotations

import polars as pl

from kodosumi_lab.runtime.query import EVENTS, EventLog

__all__ = ["thinned"]

_WHOLE = ("meta", "inputs", "agent", "upload", "status", "error", "final", "lock", "lease")
_DRAWN = ("span", "progress", "metric")

# Results at each end; what a page shows before somebody asks for the rest.
_RESULTS = 200
# The browser gets no more than so many bytes of results at first, but always the last one.
_RESULT_BYTES = 16 * 2**20
_ACTIONS = 500
_SPANS = 5000
# Of those, places for the spans around the chosen ones.
_ANCESTORS = 1000
_POINTS = 1000
# Points of all metrics together, where there are very many of them.
_ALL_POINTS = 200_000
# Values are read of so many points at most; beyond that every n-th stands for its neighbours.
_READ_POINTS = 200_000
_STRETCH = 4

# A JSON text as it stands between its quotes; as a key that is as good as what it says.
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_NAME = rf'"name"\s*:\s*{_TEXT}'
_VALUE = r'"value"\s*:\s*([-+.eE\d]+)'
_ID = rf'"id"\s*:\s*{_TEXT}'
_PARENT = rf'"parent"\s*:\s*{_TEXT}'


def thinned(log: EventLog, run_id: str, last: int) -> pl.DataFrame:
    """The events of a run up to `last` that are worth drawing at first, in order.

    Parameters
    ----------
    log, run_id
        What to read.
    last
        Greatest ``seq``.
    """
    events = log.events(run_id).filter(pl.col("seq") <= last)
    listed = events.filter(pl.col("kind").is_in([*_WHOLE, "result", "action"])).select("seq", "kind").collect()
    results = _of(listed, "result")
    ends = results if len(results) <= 2 * _RESULTS else pl.concat([results.head(_RESULTS), results.tail(_RESULTS)])
    whole = listed.filter(pl.col("kind").is_in(_WHOLE))["seq"]
    kept = pl.concat([whole, ends, _of(listed, "action").tail(_ACTIONS)])
    drawn = events.filter(pl.col("kind").is_in(_DRAWN)).collect()
    chosen = [
        choose(drawn.filter(pl.col("kind") == kind))
        for kind, choose in (("span", _spans), ("progress", _progress), ("metric", _metrics))
    ]
    found = _within(_rows(events, kept), _RESULT_BYTES)
    frames = [found, *(drawn.filter(pl.col("seq").is_in(one.implode())) for one in chosen if len(one))]
    return pl.concat(frames).unique("seq", keep="first").sort("seq")


def _of(listed: pl.DataFrame, kind: str) -> pl.Series:
    return listed.filter(pl.col("kind") == kind)["seq"].sort()


def _rows(events: pl.LazyFrame, seqs: pl.Series) -> pl.DataFrame:
    if seqs.is_empty():
        return pl.DataFrame(schema=EVENTS)
    return events.filter(pl.col("seq").is_in(seqs.implode())).collect()


def _within(frame: pl.DataFrame, nbytes: int) -> pl.DataFrame:
    """Without those results in the middle that are too much altogether; the last one stays."""
    results = frame.filter(pl.col("kind") == "result").select("seq", nbytes=pl.col("payload").str.len_bytes())
    if results.is_empty() or results["nbytes"].sum() <= nbytes:
        return frame
    n = pl.int_range(pl.len())
    by_distance = results.sort("seq", descending=True).with_columns(end=pl.min_horizontal(n, pl.len() - 1 - n))
    too_much = by_distance.sort("end", maintain_order=True).with_columns(sum=pl.col("nbytes").cum_sum())
    dropped = too_much.filter((pl.col("sum") > nbytes) & (pl.int_range(pl.len()) > 0))["seq"]
    return frame.filter(~pl.col("seq").is_in(dropped.implode()))


def _progress(frame: pl.DataFrame) -> pl.Series:
    name = pl.col("payload").str.extract(_NAME)
    return frame.lazy().group_by("agent", name=name).agg(pl.col("seq").max()).collect()["seq"]


# -- spans ------------------------------------------------------------------------------


def _spans(frame: pl.DataFrame) -> pl.Series:
    if len(frame) <= 2 * _SPANS:
        return frame["seq"]
    rows = frame.lazy().select("seq", "ts", span=pl.col("payload").str.extract(_ID))
    seq, ts = pl.col("seq"), pl.col("ts")
    spans = rows.group_by("span").agg(first=seq.min(), last=seq.max(), took=ts.max() - ts.min()).collect()
    is_open = pl.col("first") == pl.col("last")
    still, closed = spans.filter(is_open), spans.filter(~is_open)
    room = max(0, _SPANS - _ANCESTORS - len(still))
    longest = closed.top_k(room // 2, by="took")
    newest = closed.join(longest, on="span", how="anti").top_k(room - room // 2, by="last")
    chosen = pl.concat([still, longest, newest])
    chosen = pl.concat([chosen, _around(frame, spans, chosen)])
    return pl.concat([chosen["first"], chosen["last"]]).unique()


def _around(frame: pl.DataFrame, spans: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """Spans that stand around the chosen ones: without them these would hang in the air."""
    known = found = chosen
    while len(found) and len(known) - len(chosen) < _ANCESTORS:
        opened = frame.lazy().filter(pl.col("seq").is_in(found["first"].implode()))
        parents = opened.select(span=pl.col("payload").str.extract(_PARENT)).drop_nulls().unique().collect()
        missing = parents.join(known, on="span", how="anti")
        found = spans.join(missing, on="span", how="semi").head(_ANCESTORS - (len(known) - len(chosen)))
        known = pl.concat([known, found])
    return known.slice(len(chosen))


# -- metrics ----------------------------------------------------------------------------


def _metrics(frame: pl.DataFrame) -> pl.Series:
    if len(frame) <= _POINTS:
        return frame["seq"]
    named = frame.lazy().select("seq", "payload", name=pl.col("payload").str.extract(_NAME)).sort("seq").collect()
    names = named["name"].n_unique()
    most = max(_STRETCH, min(_POINTS, _ALL_POINTS // names))
    place, count = pl.int_range(pl.len()).over("name"), pl.len().over("name")
    placed = named.with_columns(place=place, count=count)
    few, many = placed.filter(pl.col("count") <= most), placed.filter(pl.col("count") > most)
    if many.is_empty():
        return few["seq"]
    step = -(-len(many) // _READ_POINTS)
    ends = (pl.col("place") == 0) | (pl.col("place") == pl.col("count") - 1)
    read = many.filter((pl.col("place") % step == 0) | ends)
    stretch = pl.col("place") * (most // _STRETCH) // pl.col("count")
    value = pl.col("payload").str.extract(_VALUE).cast(pl.Float64, strict=False)
    seq, at = pl.col("seq"), pl.col("value")
    points = (
        read.lazy()
        .select("seq", "name", stretch=stretch, value=value)
        .group_by("name", "stretch")
        .agg(first=seq.min(), last=seq.max(), least=seq.sort_by(at).first(), most=seq.sort_by(at).last())
        .collect()
    )
    return pl.concat([few["seq"], *(points[name] for name in ("first", "last", "least", "most"))]).unique()
