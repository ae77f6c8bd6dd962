"""Analytics: runs, failures, durations, waiting, volume over time and by what they have in common; SQL beside it."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import panel as pn
import panel_material_ui as pmui
import polars as pl

from kodosumi_lab.api.listing import Listing
from kodosumi_lab.dashboard.numbers import EVERY, Question, every, questions, totals
from kodosumi_lab.dashboard.state import SPLITS, State
from kodosumi_lab.dashboard.style import STATUS_COLOURS
from kodosumi_lab.dashboard.views.base import Desk, View, heading, html, tabs, task
from kodosumi_lab.dashboard.views.charts import Chart, Lines, Series, Stack, TimeAxis
from kodosumi_lab.dashboard.views.sheet import Sheet
from kodosumi_lab.dashboard.views.sql import Console
from kodosumi_lab.dashboard.words import count, duration, empty, esc, share, size, table, tiles
from kodosumi_lab.events import STATUSES

_BLUE, _ORANGE, _RED, _GREEN = "#3d87d9", "#d1901f", "#d9475a", "#2f9e6e"
_NARROWS = ("flow", "user", "status")
_SPANS = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days", "90d": "last 90 days",
          "all": "since the beginning"}  # fmt: skip
_LEGEND = """
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 12px; color: var(--soft); min-height: 18px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-inline-end: 5px;
  vertical-align: -1px; }
.by td:first-child { min-width: 180px; } .by .bar { max-width: 260px; display: flex; }
  .by .bar i.bad { background: var(--bad); }
"""


class Page(View):
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._top = html(_head(desk.state), css=_LEGEND)
        self._tiles = html(min_height=78)
        self._by = html(css=_LEGEND, min_height=180)
        self._nothing = html(visible=False)
        self._axis = TimeAxis(self._marked)
        self._charts = _charts(self._axis)
        self._asked: dict[str, Question] = {}
        self._drawn: dict[str, pl.DataFrame] = {}
        self._sheet = Sheet(desk)
        self._console = Console(desk)
        self._filters = Filters(desk.state)
        cards = [self._card(name, *_TITLES[name]) for name in self._charts]
        by = pn.Column(
            pn.Row(html('<h2 class="grow">By what they have in common</h2>'), self._filters.by, self._code("by"),
                   sizing_mode="stretch_width", align="center", margin=0),
            self._by, sizing_mode="stretch_width", margin=(8, 0),
        )  # fmt: skip
        self._numbers = pn.Column(
            self._filters.pane, self._tiles, self._nothing,
            pn.FlexBox(*cards, gap="12px", sizing_mode="stretch_width", margin=(12, 0, 0, 0)), by,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._place = pn.Column(html(min_height=400), sizing_mode="stretch_width", margin=(12, 0, 0, 0))
        self.pane = pn.Column(self._top, self._place, self._sheet.pane, sizing_mode="stretch_width", margin=0)

    def _card(self, name: str, title: str, legend: str) -> pn.Column:
        head = pn.Row(
            html(f'<h3>{title}</h3><div class="legend">{legend}</div>', css=_LEGEND), self._code(name),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        frame = {"border": "1px solid color-mix(in srgb, var(--panel-on-background-color) 18%, transparent)",
                 "border-radius": "8px", "padding": "12px 12px 4px", "flex": "1 1 340px", "min-width": "0"}  # fmt: skip
        return pn.Column(
            head, pn.pane.Bokeh(self._charts[name].figure, sizing_mode="stretch_width", height=190, margin=0),
            styles=frame, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def _code(self, name: str) -> pmui.IconButton:
        button = pmui.IconButton(
            icon="code", description="Numbers, and the Polars code that gives them", size="small", margin=0
        )

        async def show(_: Any) -> None:
            if name in self._asked:
                await self._sheet.show(self._asked[name], self._drawn.get(name))

        button.on_click(task(show))
        return button

    def _marked(self, low: datetime.datetime, high: datetime.datetime) -> None:
        self.desk.state.param.update(since=low, until=high)

    # -- up to date -------------------------------------------------------------------

    async def show(self) -> None:
        """Ask for the numbers, and draw them."""
        state = self.desk.state
        is_sql = state.tab == "sql"
        self._top.object = _head(state)
        if is_sql:
            self._put(self._console.pane)
            self._console.show()
        else:
            await self._show_numbers(state)
            self._put(self._numbers)  # whole, so that nothing below moves down as its parts come

    def _put(self, pane: pn.viewable.Viewable) -> None:
        if list(self._place) != [pane]:
            self._place.objects = [pane]

    async def entered(self) -> None:
        """Run the query."""
        if self.desk.state.tab == "sql":
            await self._console.ask()

    async def _show_numbers(self, state: State) -> None:
        access = self.desk.access
        self._filters.options(flow=await access.values("flow"), user=await access.values("user"))
        # by the minute, so that sessions which ask the same share an answer
        now = datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0)
        asked = state.listing(now)
        whole = (await access.frame(totals(asked))).row(0, named=True)
        self._filters.show(whole["runs"])
        self._say(whole, asked)
        if not whole["runs"]:
            self._drawn.clear()
        low, high = _range(asked, whole, now)
        width = every(low, high)
        self._asked = questions(asked, width, state.by)
        found = await asyncio.gather(*(access.frame(one) for one in self._asked.values()))
        frames = dict(zip(self._asked, found, strict=True))
        self._by.object = _by_table(frames["by"], state)
        changed = {name: frames[name] for name in self._charts if not _same(self._drawn.get(name), frames[name])}
        self._drawn = frames

        def draw() -> None:
            self._axis.show(low, high)
            for name, frame in changed.items():
                self._charts[name].draw(frame, EVERY[width])

        self.desk.locked(draw)

    def _say(self, whole: dict[str, Any], asked: Listing) -> None:
        failed = f"{count(whole['failed'])} of {count(whole['ended'])} ended"
        self._tiles.object = tiles(
            [
                ("Runs", count(whole["runs"]), f"{count(whole['open'])} open"),
                ("Failed", share(whole["failed"], whole["ended"]), failed),
                ("Duration, p50", duration(whole["p50_s"]), "half of them took less"),
                ("Duration, p95", duration(whole["p95_s"]), "one in twenty took more"),
                ("Waiting now", count(whole["waiting"]), "for a person"),
                ("Events", count(whole["events"]), size(whole["nbytes"])),
            ]
        )
        told = ""
        if not whole["runs"] and asked != Listing(sort=asked.sort):
            told = empty("No run fits", "Take a filter away, or look at a longer time.")
        elif not whole["runs"]:
            first = "Numbers are here once something has run. Launch a flow, here or from a terminal:"
            told = empty("No runs yet", first, "kodosumi-lab run examples.flows.primes:prime_gaps")
        self._nothing.param.update(object=told, visible=bool(told))


def _same(before: pl.DataFrame | None, after: pl.DataFrame) -> bool:
    return before is not None and before.schema == after.schema and before.equals(after)


def _range(
    asked: Listing, whole: dict[str, Any], now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """From when to when charts go: what was asked for, else what there is."""
    minute = datetime.timedelta(minutes=1)
    low = asked.since or whole["first"] or now - 60 * minute
    high = asked.until or (now + minute if asked.since else (whole["last"] or now) + minute)
    return low, max(high, low + 5 * minute)


_RUNS_LEGEND = "".join(
    f'<span><i style="background:{colour}"></i>{name}</span>' for name, colour in STATUS_COLOURS.items()
)


def _key(*pairs: tuple[str, str]) -> str:
    return "".join(f'<span><i style="background:{colour}"></i>{label}</span>' for label, colour in pairs)


_TITLES = {
    "runs": ("Runs", _RUNS_LEGEND),
    "failures": ("Failures", _key(("share of those that ended", _RED))),
    "durations": ("Durations", _key(("p50", _BLUE), ("p95", _ORANGE))),
    "waits": (
        "Waiting",
        _key(("in the queue, p50", _BLUE), ("p95", _GREEN), ("for people or child runs, p95", _ORANGE)),
    ),
    "volume": ("Events", _key(("events, left", _BLUE), ("bytes, right", _ORANGE))),
}


def _charts(axis: TimeAxis) -> dict[str, Chart]:
    return {
        "runs": Stack(axis),
        "failures": Lines(axis, [Series("share", "failed", _RED)], "share"),
        "durations": Lines(axis, [Series("p50", "p50", _BLUE), Series("p95", "p95", _ORANGE)], "s"),
        "waits": Lines(
            axis,
            [Series("queue_p50", "queue, p50", _BLUE), Series("queue_p95", "queue, p95", _GREEN),
             Series("waiting_p95", "for people, p95", _ORANGE)],
            "s",
        ),
        "volume": Lines(
            axis,
            [Series("events", "events", _BLUE), Series("nbytes", "bytes", _ORANGE, right=True)],
            "count",
            "bytes",
        ),
    }  # fmt: skip


def _head(state: State) -> str:
    is_sql = state.tab == "sql"
    links = [(_tab(state, ""), "Charts", not is_sql), (_tab(state, "sql"), "SQL", is_sql)]
    return heading("Analytics") + tabs("Analytics", links)


def _tab(state: State, tab: str) -> str:
    kept = {
        name: getattr(state, name)
        for name in ("status", "flow", "user", "tag", "search", "last", "since", "until", "by")
    }
    return state.link("analytics", **kept, tab=tab, sql=state.sql)


def _by_table(frame: pl.DataFrame, state: State) -> str:
    if frame.is_empty():
        what = "No event says on which node it ran." if state.by == "node" else "Nothing to split."
        return f'<p class="muted">{what}</p>'
    of_runs = "p50" in frame.columns
    measure = "runs" if of_runs else "events"
    most = max([1, *frame[measure].to_list()])
    rows = []
    for row in frame.iter_rows(named=True):
        name = row["name"] or "(none)"
        label = esc(name)
        if state.by in _NARROWS:
            other = State()
            other.read(state.query)
            other.narrow(state.by, name)
            chosen = name in getattr(state, state.by)
            more = (" aria-current=true", " ×") if chosen else ("", "")
            label = f'<a href="{esc(other.query)}"{more[0]}>{label}{more[1]}</a>'
        bad = row["failed"] if of_runs else 0
        bar = (
            f'<div class="bar"><i style="width:{100 * (row[measure] - bad) / most:.1f}%"></i>'
            f'<i class="bad" style="width:{100 * bad / most:.1f}%"></i></div>'
        )
        times = [duration(row["p50"]), duration(row["p95"])] if of_runs else []
        failed = share(row["failed"], row["runs"]) if of_runs else count(row["failed"])
        rows.append([label + bar, count(row["runs"]), failed, *times, count(row["events"]), size(row["nbytes"])])
    columns = [
        state.by,
        "runs",
        "failed" if of_runs else "errors",
        *(["p50", "p95"] if of_runs else []),
        "events",
        "bytes",
    ]
    shown = table(columns, rows, label=f"By {state.by}", numbers=range(1, len(columns)))
    return f'<div class="by">{shown}</div>'


class Filters:
    """Which runs are counted.

    Attributes
    ----------
    pane, by
        The row of filters; what the table is split by.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        box: dict[str, Any] = {
            "margin": 0,
            "sizing_mode": "stretch_width",
            "styles": {"flex": "1 1 150px", "max-width": "260px"},
        }
        many: dict[str, Any] = {**box, "searchable": True}
        self._status = pmui.MultiChoice(label="Status", options=list(STATUSES), **many)
        # what is chosen has to be among the options, or the widget drops it
        self._flow = pmui.MultiChoice(label="Flow", options=list(state.flow), **many)
        self._user = pmui.MultiChoice(label="User", options=list(state.user), **many)
        self._last = pmui.Select(
            label="Time", options={text: name for name, text in _SPANS.items()}, margin=0, width=190
        )
        self._search = pmui.TextInput(label="Search", placeholder="Search in runs", **box)
        self._reset = pmui.Button(label="Reset", variant="outlined", size="small", margin=0, visible=False)
        self._range = html(sizing_mode=None, align="center", visible=False)
        self.by = pmui.Select(label="by", options=list(SPLITS), width=130, margin=0)
        for widget, name in (
            (self._status, "status"), (self._flow, "flow"), (self._user, "user"), (self._search, "search"),
            (self._last, "last"), (self.by, "by"),
        ):  # fmt: skip
            widget.value = getattr(state, name)
            widget.param.watch(lambda event, name=name: self._chosen(name, event.new), "value")
        self._reset.on_click(lambda _: state.go("analytics", by=state.by))
        self.pane = pn.FlexBox(
            self._last, self._flow, self._user, self._status, self._search, self._range, self._reset, gap="10px",
            align_items="center", sizing_mode="stretch_width", margin=(0, 0, 14, 0),
        )  # fmt: skip

    def _chosen(self, name: str, value: Any) -> None:
        if value == getattr(self._state, name):
            return
        if name == "last":
            self._state.param.update(last=value, since=None, until=None)
        else:
            setattr(self._state, name, value)

    def options(self, *, flow: list[str], user: list[str]) -> None:
        """What can be chosen; what is chosen already always can."""
        for widget, known, name in ((self._flow, flow, "flow"), (self._user, user, "user")):
            wanted = [*known, *(one for one in getattr(self._state, name) if one not in known)]
            if widget.options != wanted:
                widget.options = wanted

    def show(self, runs: int) -> None:
        """What is chosen, also where an address or a mark has chosen it."""
        state = self._state
        for widget, name in (
            (self._status, "status"), (self._flow, "flow"), (self._user, "user"), (self._search, "search"),
            (self._last, "last"), (self.by, "by"),
        ):  # fmt: skip
            if widget.value != getattr(state, name):
                widget.value = getattr(state, name)
        marked = state.since is not None or state.until is not None
        told = " – ".join(when.strftime("%d %b %H:%M") if when else "…" for when in (state.since, state.until))
        self._range.param.update(object=f'<span class="tag">{told} UTC</span>', visible=marked)
        begun = State()
        begun.go("analytics", by=state.by)
        self._reset.visible = state.query != begun.query
