"""The console: SQL or Polars over the log, read-only; one page of the answer at a time."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import panel as pn
import panel_material_ui as pmui
import polars as pl

from kodosumi_lab.dashboard import console
from kodosumi_lab.dashboard.views.base import Desk, html, task
from kodosumi_lab.dashboard.views.sheet import cells, csv_of
from kodosumi_lab.dashboard.words import duration, esc, notice

__all__ = ["Console"]

_PAGE = 100
_FIRST = """select flow, status, count(*) as runs, avg(active_s) as active_s
from runs
group by flow, status
order by runs desc"""
_EXAMPLES = {
    "Runs by flow and status": _FIRST,
    "What fails, and why": """select flow, error, count(*) as runs, max(started) as latest
from runs
where status in ('error', 'timeout', 'lost')
group by flow, error
order by runs desc""",
    "Events by kind, last day": """select kind, count(*) as events
from events
where ts > now() - interval '1 day'
group by kind
order by events desc""",
    "Slowest runs": """select run_id, flow, "user", active_s, events
from runs
order by active_s desc
limit 20""",
    "Polars: runs by day": """(
    runs.group_by(pl.col("started").dt.truncate("1d").alias("day"))
    .agg(pl.len().alias("runs"), (pl.col("status") == "finished").mean().alias("finished"))
    .sort("day", descending=True)
)""",
    "Polars: last metrics of each run": """(
    events.filter(pl.col("kind") == "metric")
    .with_columns(
        pl.col("payload").str.json_path_match("$.name").alias("metric"),
        pl.col("payload").str.json_path_match("$.value").cast(pl.Float64).alias("value"),
    )
    .sort("ts")
    .group_by("run_id", "metric")
    .agg(pl.col("value").last(), pl.len().alias("values"))
)""",
}
_HELP = (
    "SQL, or one Polars expression that begins with <code>runs</code> or <code>events</code>, the tables of what you "
    "may see. Times are UTC. Answers have at most "
    f"{console.ROWS:,} rows and {console.TIMEOUT_S:g} seconds. Ctrl+Enter runs."
)


class Console:
    """See the module.

    Attributes
    ----------
    pane
        What is shown.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._frame = pl.DataFrame()
        self._query = pmui.TextAreaInput(
            value=desk.state.sql or _FIRST, label="SQL or Polars", rows=6, max_rows=20, auto_grow=True,
            max_length=20_000, sizing_mode="stretch_width", margin=0,
            sx={"& textarea": {"fontFamily": "monospace", "fontSize": "13px"}},
        )  # fmt: skip
        self._run = pmui.Button(label="Run", variant="contained", icon="play_arrow", margin=0)
        self._example = pmui.Select(label="Example", options=["", *_EXAMPLES], width=230, margin=0)
        self._told = html(min_height=24)
        self._table = html()
        self._pages = pmui.Pagination(count=1, value=0, visible=False, margin=(8, 0))
        self._csv = pmui.FileDownload(
            callback=lambda: csv_of(self._frame), filename="answer.csv", label="CSV", visible=False, **_BESIDE
        )
        self._parquet = pmui.FileDownload(
            callback=self._as_parquet, filename="answer.parquet", label="Parquet", visible=False, **_BESIDE
        )
        self._run.on_click(task(self.ask))
        self._query.param.watch(self._entered, "value")
        self._example.param.watch(self._chosen, "value")
        self._pages.param.watch(lambda _: self._draw(), "value")
        self.pane = pn.Column(
            html(f'<p class="muted">{_HELP}</p>'),
            self._query,
            pn.FlexBox(self._run, self._example, self._csv, self._parquet, gap="10px", align_items="center",
                       margin=(10, 0), sizing_mode="stretch_width"),
            self._told, self._table, self._pages, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._begun = False

    def show(self) -> None:
        """What an address says is run at once: it reads only, and somebody wanted it seen."""
        sql = self._desk.state.sql
        if not self._begun and sql:
            self._begun = True
            self._query.param.update(value=sql, value_input=sql)
            task(self.ask)()
        self._begun = True

    def _entered(self, _: Any) -> None:
        self._desk.state.sql = "" if self._query.value == _FIRST else self._query.value

    def _chosen(self, event: Any) -> None:
        if event.new:
            self._query.param.update(value=_EXAMPLES[event.new], value_input=_EXAMPLES[event.new])
            task(self.ask)()

    async def ask(self, *_: Any) -> None:
        """Run what is written, and show the answer."""
        access = self._desk.access
        owner = None if access.user.may_see(None) else access.user.name
        query = self._query.value_input or self._query.value or ""
        self._told.object = '<p class="muted" role="status">running …</p>'
        self._run.param.update(disabled=True, loading=True)
        try:
            answer = await asyncio.to_thread(console.run, access.gateway.log.root, query, user=owner)
        except console.QueryError as error:
            self._told.object = notice(str(error), "error")
            return
        finally:
            self._run.param.update(disabled=False, loading=False)
        self._frame = answer.frame
        rows = f"{len(answer.frame):,} row{'s' if len(answer.frame) != 1 else ''}"
        cut = "" if answer.whole else ", and there are more: narrow the query, or read the log in a notebook"
        self._told.object = f'<p class="muted" role="status">{rows} in {esc(duration(answer.seconds))}{cut}</p>'
        pages = max(1, -(-len(answer.frame) // _PAGE))
        self._pages.param.update(count=pages, value=0, visible=pages > 1)
        for button in (self._csv, self._parquet):
            button.visible = bool(len(answer.frame))
        self._draw()

    def _draw(self) -> None:
        self._table.object = cells(self._frame.slice((self._pages.value or 0) * _PAGE, _PAGE), "Answer")

    def _as_parquet(self) -> io.BytesIO:
        sink = io.BytesIO()
        self._frame.write_parquet(sink)
        sink.seek(0)
        return sink


_BESIDE: dict[str, Any] = {"variant": "outlined", "size": "small", "margin": 0}
