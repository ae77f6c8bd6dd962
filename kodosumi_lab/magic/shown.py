"""What magics return where the public API has no object for it: text, facts, JSON."""

from __future__ import annotations

import html
import json
from typing import Any

from kodosumi_lab.events import dumps
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.run import Run

__all__ = ["Facts", "Json", "Text", "plain"]


class Text(str):
    """Text that is shown as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Json:
    """A JSON value, shown as JSON.

    Attributes
    ----------
    data
        The value.
    """

    def __init__(self, value: Any) -> None:
        self.data = json.loads(dumps(value))

    def __repr__(self) -> str:
        return json.dumps(self.data, ensure_ascii=False, indent=2)


class Facts(dict[str, Any]):
    """Names and values, shown one a line."""

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {tables.short(value)}" for name, value in self.items())

    def _repr_html_(self) -> str:
        rows = [[name, tables.Cell(html.escape(tables.short(value)))] for name, value in self.items()]
        return tables.box("status", tables.table(["", ""], rows, side=True))


def plain(value: Any) -> Any:
    """An object that a magic returns, as a JSON value."""
    if isinstance(value, Run):
        row = value._row()
        kept = ("run_id", "flow", "status", "reason", "started", "running", "ended", "progress", "attempt", "events")
        result = value.result() if row["status"] == "finished" else None
        return {name: row[name] for name in kept} | {
            "duration_s": value.duration_s,
            "result": result,
            "error": row["error"] or None,
        }
    if isinstance(value, list):
        return [plain(one) for one in value]
    for method in ("collect", "frame"):  # a lazy frame; a sweep, a comparison
        if callable(getattr(value, method, None)):
            value = getattr(value, method)()
            break
    if hasattr(value, "to_dicts"):
        return value.to_dicts()
    if hasattr(value, "values") and hasattr(value, "errors"):  # a form
        return {"values": value.values, "errors": value.errors}
    return value if isinstance(value, str | dict) else repr(value)
