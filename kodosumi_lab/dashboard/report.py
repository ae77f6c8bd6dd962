"""A run as one HTML document: to print, to send, to keep.

It has no script and asks nobody for anything; what the flow showed is sanitised.
"""

from __future__ import annotations

import datetime
import html
import json
import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from kodosumi_lab.dashboard.words import absolute, count, duration, esc, size
from kodosumi_lab.events import ARROW_MIME, BOKEH_MIME, JSON_MIME, TERMINAL, is_reference, loads
from kodosumi_lab.runtime.run import Run

__all__ = ["report"]

_LINES = 2000
_ROWS = 60
_TEXT = 200_000
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_CSS = """
body { font: 14px/1.5 system-ui, 'Segoe UI', Roboto, sans-serif; color: #1c232b; max-width: 62em; margin: 2em auto;
  padding: 0 1.5em; }
h1 { font-size: 1.6em; margin: 0; } h2 { font-size: 1.15em; border-bottom: 1px solid #c9d0d7; padding-bottom: 3px;
  margin: 2em 0 .6em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { text-align: start;
  vertical-align: top;
  padding: 3px 12px 3px 0; border-bottom: 1px solid #e3e7ea; overflow-wrap: anywhere; } th { color: #55606b;
  font-weight: 600; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; border: 1px solid #e3e7ea;
  border-radius: 6px; padding: 8px 12px;
  font: 12px/1.5 ui-monospace, 'DejaVu Sans Mono', monospace; }
.shown { border-inline-start: 3px solid #c9d0d7; padding-inline-start: 12px; margin: 0 0 14px; }
  img { max-width: 100%; }
small, .muted { color: #55606b; } .bad { color: #b3202f; } svg { width: 240px; height: 36px; }
@page { margin: 18mm; } @media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; }
  tr, .shown, img { break-inside: avoid; } }
"""
# Colours and moves of a terminal, and what a progress bar has written over.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n\r]*\r(?!\n|$)")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def report(run: Run, row: dict[str, Any]) -> str:
    """The document.

    Parameters
    ----------
    run, row
        The run, and its row of the index.
    """
    frame = run.events().filter(pl.col("attempt") == row["attempt"]).sort("seq").collect()
    parts = [_head(run, row, frame), _inputs(run)]
    if row["status"] in ("error", "timeout", "lost"):
        parts.append(_failure(run, row, frame))
    parts += [_shown("Result", run, _of(frame, "final")), _shown("Results", run, _of(frame, "result"))]
    parts += [_locks(run, frame), _metrics(frame), _steps(frame), _files(run), _console(run)]
    title = f"{row['flow']} · {row['status']} · {run.id}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{esc(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_CSS}</style></head><body>{''.join(parts)}</body></html>"
    )


def _of(frame: pl.DataFrame, *kinds: str) -> pl.DataFrame:
    return frame.filter(pl.col("kind").is_in(kinds))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{esc(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _head(run: Run, row: dict[str, Any], frame: pl.DataFrame) -> str:
    took = (row["ended"] or row["updated"]) - (row["running"] or row["started"])
    facts = [
        ("Run", f"<code>{esc(run.id)}</code>"),
        ("Status", f"<b>{esc(row['status'])}</b> {esc(row['reason'])}"),
        ("User", esc(row["user"])),
        ("Started", absolute(row["started"])),
        ("Ended", absolute(row["ended"]) if row["ended"] else "not yet"),
        ("Took", duration(took.total_seconds())),
        ("Attempt", str(row["attempt"])),
        ("Events", f"{count(row['events'])}, {size(row['nbytes'])}"),
        ("Entrypoint", f"<code>{esc(row['entrypoint'])}</code>"),
        ("Version", esc(row["version"])),
        ("Tags", esc(", ".join(row["tags"] or []))),
    ]
    shown = _table((), ((f"<b>{name}</b>", value) for name, value in facts if value))
    as_of = "" if row["status"] in TERMINAL else ", which goes on"
    made = absolute(datetime.datetime.now(datetime.UTC))
    return (
        f"<h1>{esc(row['flow'])}</h1><p>{esc(row['summary'])}</p>{shown}"
        f'<p class="muted">Made {made} of {count(len(frame))} events of the run{as_of}.</p>'
    )


def _inputs(run: Run) -> str:
    rows = ((f"<b>{esc(name)}</b>", f"<code>{esc(_json(value))}</code>") for name, value in run.inputs.items())
    return f"<h2>Inputs</h2>{_table((), rows)}" if run.inputs else ""


def _json(value: Any) -> str:
    if value == {"secret": True}:
        return "•••"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failure(run: Run, row: dict[str, Any], frame: pl.DataFrame) -> str:
    found = _of(frame, "error")["payload"]
    told = loads(found[-1], run._log.artifact) if len(found) else {}
    trace = f"<pre>{esc(told.get('traceback') or '')}</pre>" if told.get("traceback") else ""
    return f'<h2>Failure</h2><p class="bad">{esc(row["error"] or row["reason"])}</p>{trace}'


# -- what was shown ---------------------------------------------------------------------


def _shown(title: str, run: Run, frame: pl.DataFrame) -> str:
    if frame.is_empty():
        return ""
    parts = []
    for ts, agent, payload in frame.select("ts", "agent", "payload").iter_rows():
        who = f" · {esc(agent)}" if agent else ""
        parts.append(f'<div class="shown"><small>{ts:%H:%M:%S}{who}</small>{_bundle(run, payload)}</div>')
    return f"<h2>{title}</h2>{''.join(parts)}"


def _bundle(run: Run, payload: str) -> str:
    data = json.loads(payload)
    if is_reference(data):
        data = json.loads(run._log.artifact(data["artifact"]))
    if not isinstance(data, dict):
        return f"<pre>{esc(_json(data))}</pre>"
    if ARROW_MIME in data:
        return _rows_of(data)
    for mime in _IMAGES:
        if mime in data:
            return f'<img alt="" src="data:{mime};base64,{esc("".join(str(data[mime]).split()))}">'
    if "text/markdown" in data:
        return _clean(_markdown(str(data["text/markdown"])))
    if "text/html" in data:
        return _clean(str(data["text/html"]))
    if BOKEH_MIME in data:
        return '<p class="muted">A Bokeh figure, which only the live view draws.</p>'
    value = data.get(JSON_MIME, data.get("text/plain", data))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    return f"<pre>{esc(_cut(text))}</pre>"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}\n… and {len(text) - _TEXT:,} characters more"


def _rows_of(data: dict[str, Any]) -> str:
    from kodosumi_lab._mime import table_of

    table = table_of(data)
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(table)
    rows = ([esc("" if value is None else value) for value in row] for row in frame.head(_ROWS).iter_rows())
    more = f'<p class="muted">and {len(frame) - _ROWS:,} rows more</p>' if len(frame) > _ROWS else ""
    return _table(frame.columns, rows) + more


def _clean(text: str) -> str:
    import nh3

    attributes = {**nh3.ALLOWED_ATTRIBUTES, "*": {"title"}}
    return nh3.clean(text, attributes=attributes, url_schemes={"https", "http", "mailto"}, link_rel="noopener")


def _markdown(text: str) -> str:
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


# -- what happened ----------------------------------------------------------------------


def _locks(run: Run, frame: pl.DataFrame) -> str:
    asked: dict[str, list[str]] = {}
    for kind, ts, payload in _of(frame, "lock", "lease").select("kind", "ts", "payload").iter_rows():
        data = loads(payload, run._log.artifact)
        lid = str(data.get("lid"))
        if kind == "lock":
            asked[lid] = [esc(data.get("name") or lid), f"{ts:%H:%M:%S}", "open", ""]
        elif lid in asked:
            by = "expired" if data.get("expired") else f"by {data.get('by')}"
            asked[lid][2:] = [f"{ts:%H:%M:%S} {esc(by)}", f"<code>{esc(_json(data.get('result')))}</code>"]
    return f"<h2>Questions</h2>{_table(('Question', 'Asked', 'Answered', 'Answer'), asked.values())}" if asked else ""


def _metrics(frame: pl.DataFrame) -> str:
    found: dict[str, list[float]] = {}
    for payload in _of(frame, "metric")["payload"]:
        data = json.loads(payload)
        if isinstance(data.get("value"), int | float):
            found.setdefault(str(data.get("name")), []).append(float(data["value"]))
    rows = (
        [esc(name), count(len(values)), f"{min(values):.6g}", f"{max(values):.6g}", f"{values[-1]:.6g}", _line(values)]
        for name, values in found.items()
    )
    return f"<h2>Metrics</h2>{_table(('Metric', 'Points', 'Least', 'Most', 'Last', ''), rows)}" if found else ""


def _line(values: list[float]) -> str:
    step = max(1, len(values) // 240)
    some = values[::step]
    low, high = min(some), max(some)
    wide, tall = 238 / max(1, len(some) - 1), 32 / ((high - low) or 1)
    points = " ".join(f"{1 + i * wide:.1f},{34 - (value - low) * tall:.1f}" for i, value in enumerate(some))
    return (
        f'<svg viewBox="0 0 240 36" role="img" aria-label="over time"><polyline fill="none" stroke="#1b63b5" '
        f'stroke-width="1.5" points="{points}"/></svg>'
    )


def _steps(frame: pl.DataFrame) -> str:
    rows: list[list[str]] = []
    depth: dict[str, int] = {}
    for ts, agent, payload in _of(frame, "span").select("ts", "agent", "payload").iter_rows():
        data = json.loads(payload)
        key = str(data.get("id"))
        if "duration_s" in data:
            found = next((row for row in rows if row[0] == key), None)
            if found is not None:
                found[3:] = [duration(data["duration_s"]), f'<span class="bad">{esc(data.get("error") or "")}</span>']
            continue
        depth[key] = depth.get(str(data.get("parent")), -1) + 1
        name = f'<span style="padding-inline-start: {depth[key] * 16}px">{esc(data.get("name"))}</span>'
        rows.append([key, f"{ts:%H:%M:%S}", f"{name} <small>{esc(agent or '')}</small>", "", ""])
    return f"<h2>Steps</h2>{_table(('Began', 'Step', 'Took', 'Error'), (row[1:] for row in rows))}" if rows else ""


def _files(run: Run) -> str:
    rows = [(f"<code>{esc(one['path'])}</code>", size(one["size"])) for one in run.files.ls()]
    return f"<h2>Files</h2>{_table(('File', 'Size'), rows)}" if rows else ""


def _console(run: Run) -> str:
    lines = run._console(_LINES)
    if not lines:
        return ""
    said = "\n".join(html.escape(_TERMINAL.sub("", text)) for _, text in lines)
    return f'<h2>Console</h2><p class="muted">The last {count(len(lines))} entries.</p><pre>{said}</pre>'
