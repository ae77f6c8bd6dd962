"""A chart's numbers as a table, with the Polars code that gives them in a notebook."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import panel_material_ui as pmui
import polars as pl

from kodosumi_lab.dashboard.numbers import Question
from kodosumi_lab.dashboard.views.base import Desk, html
from kodosumi_lab.dashboard.words import esc, table

__all__ = ["COPY", "Sheet", "cells"]

_ROWS = 200

#: Script of a button that copies the text of the element ``code`` beside it; pages over plain HTTP have no clipboard.
COPY = (
    "const t=this.getRootNode().getElementById('code').textContent;const b=this;const ok=()=>{b.textContent='Copied'};"
    "(navigator.clipboard?navigator.clipboard.writeText(t):Promise.reject()).then(ok,()=>{"
    "const a=document.createElement('textarea');a.value=t;document.body.append(a);a.select();"
    "document.execCommand('copy');a.remove();ok()})"
)
_CSS = """
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 6px;
  padding: 3px 12px;
  cursor: pointer; }
"""


class Sheet:
    """A dialog; one for all charts of a page.

    Attributes
    ----------
    pane
        What is put somewhere on the page; it is not seen until it opens.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._frame = pl.DataFrame()
        self._name = "numbers"
        self._text = html(css=_CSS)
        self._csv = pmui.FileDownload(
            callback=self._as_csv,
            filename="numbers.csv",
            label="CSV",
            variant="outlined",
            size="small",
            margin=(12, 0, 0, 0),
        )
        self.pane = pmui.Dialog(self._text, self._csv, show_close_button=True, close_on_click=True, width_option="md")

    async def show(self, question: Question, frame: pl.DataFrame | None = None) -> None:
        """Open with the numbers of a question."""
        found = frame if frame is not None else await self._desk.access.frame(question)
        self._frame, self._name = found, question.name
        shown = await asyncio.to_thread(cells, found.head(_ROWS), question.title)
        more = f'<p class="muted">{len(found):,} rows, the first {_ROWS} are shown.</p>' if len(found) > _ROWS else ""
        copy = f'<button type="button" onclick="{esc(COPY)}">Copy</button>'
        self._text.object = (
            f'<div class="row"><h2 class="grow">Polars</h2>{copy}</div>'
            f'<pre><code id="code">{esc(question.script)}</code></pre><h2>Numbers</h2>{more}{shown}'
        )
        self._csv.filename = f"{self._name}.csv"
        self.pane.param.update(title=question.title, open=True)

    def _as_csv(self) -> io.BytesIO:
        return csv_of(self._frame)


def csv_of(frame: pl.DataFrame) -> io.BytesIO:
    """A frame as a file of CSV; what CSV has no word for is JSON."""
    flat = frame.with_columns(
        pl.col(name).map_elements(str, return_dtype=pl.String)
        for name, kind in frame.schema.items()
        if kind.is_nested() or kind in (pl.Binary, pl.Object)
    )
    sink = io.BytesIO()
    flat.write_csv(sink)
    sink.seek(0)
    return sink


def cells(frame: pl.DataFrame, label: str) -> str:
    """A frame as a table of HTML; long values are cut, and the whole value is told to who points at it."""
    numbers = [place for place, kind in enumerate(frame.dtypes) if kind.is_numeric()]
    rows = ([_cell(value) for value in row] for row in frame.iter_rows())
    return table(frame.columns, rows, label=label, numbers=numbers)


def _cell(value: Any) -> str:
    if value is None:
        return '<span class="muted">null</span>'
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    if len(text) > 160:
        return f'<span title="{esc(text[:2000])}">{esc(text[:160])}…</span>'
    return esc(text)
