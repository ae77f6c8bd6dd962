"""Static HTML of tables for notebooks, and values as short text. No script, no style sheet, no network.

Nothing is told by colour alone: a status has its mark and its word.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from kodosumi_lab.events import dumps

__all__ = ["Cell", "box", "cut", "mark", "seconds", "short", "table"]

#: Sign of each status; what is in none of them has failed.
_MARKS = {"finished": "✓", "running": "●", "starting": "○", "awaiting": "?", "cancelled": "–", None: "·"}

_BOX = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5;"
    "border:1px solid var(--jp-border-color2,currentColor);border-radius:4px;padding:8px 12px;"
    "max-width:100%;overflow-x:auto"
)
_CELL = (
    "padding:2px 8px;text-align:left;vertical-align:top;border-bottom:1px solid var(--jp-border-color2,currentColor)"
)
_LONGEST = 80


class Cell(str):
    """HTML that is in order: it is put into a table as it is."""

    __slots__ = ()


def mark(status: str | None) -> str:
    """Sign of a status, of a run that was not started when None."""
    return _MARKS.get(status, "✗")


def seconds(value: float | None) -> str:
    """A duration for people; empty when there is none."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.1f} s" if value >= 0.1 else f"{value * 1000:.0f} ms"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def short(value: Any) -> str:
    """A JSON value as text: text as it is, anything else as JSON; nothing when None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)


def cut(text: str, longest: int = _LONGEST) -> str:
    """Text in one line, with an ellipsis where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def box(label: str, *parts: str) -> str:
    """A frame around HTML, with a name for screen readers."""
    return f'<div style="{_BOX}" role="group" aria-label="{html.escape(label)}">{"".join(parts)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", side: bool = False) -> str:
    """A table.

    Parameters
    ----------
    head
        Its columns.
    rows
        Values; text is escaped, but for a :class:`Cell`.
    caption
        What it shows.
    side
        Whether each row's first cell is its heading.
    """
    parts = ['<table style="border-collapse:collapse;margin:4px 0;font-variant-numeric:tabular-nums">']
    if caption:
        parts.append(f'<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption>')
    cells = "".join(f'<th scope="col" style="{_CELL}">{_inner(name)}</th>' for name in head)
    parts.append(f"<thead><tr>{cells}</tr></thead><tbody>")
    for row in rows:
        first = f'<th scope="row" style="{_CELL};font-weight:normal">{_inner(row[0])}</th>' if side else ""
        rest = "".join(f'<td style="{_CELL}">{_inner(value)}</td>' for value in (row[1:] if side else row))
        parts.append(f"<tr>{first}{rest}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _inner(value: Any) -> str:
    if isinstance(value, Cell):
        return str(value)
    return html.escape(cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
