"""Times, sizes and numbers as people read them, and HTML around them. Whatever comes from a log is escaped here."""

from __future__ import annotations

import datetime
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "absolute", "ago", "count", "duration", "empty", "esc", "link", "notice", "share", "size", "status", "table",
    "tiles", "when",
]  # fmt: skip

_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86_400, 3600, "hour"), (30 * 86_400, 86_400, "day"),
          (365 * 86_400, 30 * 86_400, "month"), (math.inf, 365 * 86_400, "year"))  # fmt: skip


def esc(value: Any) -> str:
    """Text as HTML shows it."""
    return html.escape(str(value), quote=True)


def ago(at: datetime.datetime, now: datetime.datetime | None = None) -> str:
    """``3 minutes ago``, ``in 2 hours``."""
    seconds = (at - (now or datetime.datetime.now(datetime.UTC))).total_seconds()
    far = abs(seconds)
    if far < 5:
        return "just now"
    _, unit, name = next(step for step in _STEPS if far < step[0])
    number = int(far // unit)
    text = f"{number} {name}{'s' if number != 1 else ''}"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def absolute(at: datetime.datetime) -> str:
    """A time in full."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def when(at: datetime.datetime | str | None) -> str:
    """How long ago, with the time itself for whoever points at it."""
    if at is None or at == "":
        return '<span class="muted">–</span>'
    if isinstance(at, str):
        at = datetime.datetime.fromisoformat(at)
    return f'<time datetime="{at.isoformat()}" title="{absolute(at)}">{ago(at)}</time>'


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``3:05 min``, ``1:02:03 h``, as the views in the browser write it."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    if seconds < 0.001:
        return f"{round(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def size(nbytes: float | None) -> str:
    """``512 B``, ``3.4 MiB``."""
    if nbytes is None:
        return "–"
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def count(number: float | None) -> str:
    """``12,345``; beyond a million ``1.2 M``."""
    if number is None:
        return "–"
    if abs(number) >= 1e6:
        return f"{number / 1e6:.1f} M"
    return f"{number:,.0f}"


def share(part: float | None, whole: float | None) -> str:
    """``12 %`` of a whole; a dash where there is none."""
    return f"{100 * part / whole:.0f} %" if part is not None and whole else "–"


def status(name: str) -> str:
    """A status as every view shows it."""
    return f'<span class="status" data-status="{esc(name)}">{esc(name)}</span>'


def link(query: str, text: str, **attributes: str) -> str:
    """To another page of the dashboard; `text` is text."""
    more = "".join(f' {name.replace("_", "-")}="{esc(value)}"' for name, value in attributes.items())
    return f'<a href="{esc(query)}"{more}>{esc(text)}</a>'


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Numbers in a row: what, how much, and what else is to be said (all of it text)."""
    boxes = "".join(
        f'<div class="tile"><dt>{esc(name)}</dt><dd>{esc(value)}</dd><small>{esc(more) or "&nbsp;"}</small></div>'
        for name, value, more in items
    )
    return f'<dl class="tiles">{boxes}</dl>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, label: str, numbers: Iterable[int] = ()) -> str:
    """A table that scrolls inside itself.

    Parameters
    ----------
    columns
        Names, as text.
    rows
        Cells, as HTML: whatever is not ours went through :func:`esc` before.
    label
        What it is, for those who do not see it.
    numbers
        Places of columns that hold numbers.
    """
    right = set(numbers)
    head = "".join(f'<th scope="col"{_side(i, right)}>{esc(name)}</th>' for i, name in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{_side(i, right)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(label)}"><table><caption>{esc(label)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(place: int, right: set[int]) -> str:
    return ' class="number"' if place in right else ""


def empty(title: str, text: str, code: str = "") -> str:
    """What is said where there is nothing yet: what to do first."""
    shown = f"<pre><code>{esc(code)}</code></pre>" if code else ""
    return f'<div class="empty"><h3>{esc(title)}</h3><p>{_said(text)}</p>{shown}</div>'


def notice(text: str, kind: str = "info") -> str:
    """Something that everybody on the page should know; ``info``, ``warning`` or ``error``."""
    return f'<div class="notice" data-kind="{esc(kind)}" role="status">{_said(text)}</div>'


def _said(text: str) -> str:
    """A sentence as HTML: what stands between backticks is code, and it begins with a capital."""
    parts = [f"<code>{esc(part)}</code>" if at % 2 else esc(part) for at, part in enumerate(text.split("`"))]
    return "".join(parts) if not text[:1].islower() else esc(text[0].upper()) + "".join(parts)[1:]
