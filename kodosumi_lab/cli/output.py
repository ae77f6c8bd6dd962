"""How things look: in a terminal, in a pipe (no ANSI, nothing cut) and as JSON."""

from __future__ import annotations

import datetime
import functools
import json
import sys
from typing import TYPE_CHECKING, Any

from kodosumi_lab.events import Rich, dumps

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "age",
    "emit",
    "emit_line",
    "err",
    "facts",
    "grid",
    "jsonable",
    "out",
    "renderable",
    "say",
    "seconds",
    "size",
    "status_text",
    "when",
]

STYLES = {
    "finished": "green",
    "running": "blue",
    "starting": "yellow",
    "awaiting": "bold yellow",
    "error": "red",
    "timeout": "red",
    "lost": "red",
    "cancelled": "bright_black",
}
MARKS = {"finished": "✓", "running": "●", "starting": "○", "awaiting": "?", "cancelled": "–"}

# Rich cuts and wraps at the width: in a pipe nothing may be cut, and no line of text is longer.
_PIPE_WIDTH = 100_000
# A table on a screen is looked at, not read: all rows are in the log.
_SCREEN_ROWS = 40


# -- where ------------------------------------------------------------------------------


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


@functools.cache
def out() -> Console:
    """Standard output: what was asked for."""
    return _console(stderr=False)


@functools.cache
def err() -> Console:
    """Standard error: what is said about it."""
    return _console(stderr=True)


def say(text: str | Text, *, style: str | None = None) -> None:
    """Tell a person something; never on standard output."""
    err().print(text, style=style, soft_wrap=True)


def emit(value: Any) -> None:
    """Write the one JSON document of a command; indented for a person's eyes only."""
    text = dumps(jsonable(value))
    if sys.stdout.isatty():
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    emit_line(text)


def emit_line(text: str) -> None:
    """Write a line as it is, at once: somebody may be waiting for it at the other end of a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- values -----------------------------------------------------------------------------


def jsonable(value: Any) -> Any:
    """A value of a run in terms that JSON has: a table as rows, a figure as its MIME bundle."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Rich):
        return value._repr_mimebundle_()
    frame = _frame(value)
    return value if frame is None else frame.to_dicts()


def _frame(value: Any) -> Any:
    """A Polars frame of any table that a flow may have returned; None for anything else."""
    kind = (type(value).__module__.partition(".")[0], type(value).__name__)
    if kind == ("polars", "DataFrame"):
        return value
    if kind == ("polars", "Series"):
        return value.to_frame()
    if kind in (("pyarrow", "Table"), ("pandas", "DataFrame")):
        import polars as pl

        return pl.from_arrow(value) if kind[0] == "pyarrow" else pl.from_pandas(value)
    return None


def renderable(value: Any) -> RenderableType:
    """What a flow showed, for `out`: Markdown is set, a table is a table, JSON is indented, the rest is text."""
    from rich.markdown import Markdown
    from rich.text import Text

    frame = _frame(value)
    if frame is not None:
        return _rows(frame)
    if isinstance(value, Rich):
        markdown = value.bundle.get("text/markdown")
        if markdown is not None:
            return Markdown(str(markdown)) if out().is_terminal else Text.from_ansi(str(markdown))
        if "text/plain" not in value.bundle and "text/html" in value.bundle:
            return Text.from_ansi(_text_of(str(value.bundle["text/html"])))
        return Text.from_ansi(str(value.bundle.get("text/plain", value)))
    if isinstance(value, str):
        return Text.from_ansi(value)
    text = json.dumps(json.loads(dumps(value)), ensure_ascii=False, indent=2)
    if out().is_terminal:
        from rich.json import JSON

        return JSON(text)
    return Text(text)


def _text_of(html: str) -> str:
    """HTML without its tags, scripts and styles."""
    from html.parser import HTMLParser

    parts: list[str] = []

    class Reader(HTMLParser):
        silent = 0

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.silent += tag in ("script", "style")
            if tag in ("p", "br", "div", "li", "tr", "h1", "h2", "h3"):
                parts.append("\n")

        def handle_endtag(self, tag: str) -> None:
            self.silent -= tag in ("script", "style")

        def handle_data(self, data: str) -> None:
            if self.silent <= 0:
                parts.append(data)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return "\n".join(line.strip() for line in "".join(parts).splitlines() if line.strip())


def _rows(frame: Any) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    cut = out().is_terminal and len(frame) > _SCREEN_ROWS
    shown = frame.head(_SCREEN_ROWS) if cut else frame
    table = grid()
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        table.add_column(name, justify="right" if dtype.is_numeric() else "left")
    for row in shown.iter_rows():
        table.add_row(*(Text.from_ansi(_cell(value)) for value in row))
    if not cut:
        return table
    return Group(table, Text(f"  {_SCREEN_ROWS} of {len(frame):,} rows", style="dim"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else str(value)


# -- pieces -----------------------------------------------------------------------------


def grid(*columns: str) -> Table:
    """An empty table in the style of this program; a column's name starting with ``>`` sets it right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False, border_style="dim")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", no_wrap=True)
    return table


def facts(pairs: list[tuple[str, Any]]) -> Table:
    """Names and values, one pair a line; pairs without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != "":
            table.add_row(name, Text(value) if isinstance(value, str) else value)
    return table


def status_text(status: str) -> Text:
    """A status with its mark and colour."""
    from rich.text import Text

    return Text(f"{MARKS.get(status, '✗')} {status}", style=STYLES.get(status, ""))


def when(moment: datetime.datetime | None, *, full: bool = False) -> str:
    """Local time; without the date when it is today, unless `full`."""
    if moment is None:
        return ""
    local = moment.astimezone()
    if full:
        return f"{local:%Y-%m-%d %H:%M:%S}"
    today = local.date() == datetime.datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%b %d %H:%M}"


def age(started: datetime.datetime | None, ended: datetime.datetime | None) -> str:
    """How long something took, or has taken up to now."""
    if started is None:
        return ""
    return seconds(((ended or datetime.datetime.now(datetime.UTC)) - started).total_seconds())


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 60:
        return f"{value:.1f} s" if value >= 0.1 else f"{value * 1000:.0f} ms"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def size(nbytes: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"
