"""A run as static HTML: what a notebook shows and keeps. No script, no style sheet, no network."""

from __future__ import annotations

import datetime
import html
import json
from typing import TYPE_CHECKING, Any

from kodosumi_lab.events import TERMINAL

if TYPE_CHECKING:
    from kodosumi_lab.runtime.run import Run

__all__ = ["run_html"]

_LAST_LINES = 8
# fixed colours would vanish on one of the two themes; these hold a contrast of 4.5 on white and on #111
_COLOURS = {
    "finished": "#1a8754",
    "running": "#2878d0",
    "starting": "#8a7a2a",
    "awaiting": "#b0720a",
    "error": "#d6394c",
    "timeout": "#d6394c",
    "lost": "#d6394c",
    "cancelled": "#7d7d7d",
}
_BOX = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5;"
    "border:1px solid var(--jp-border-color2,currentColor);border-radius:4px;padding:8px 12px;"
    "max-width:60em;overflow-wrap:anywhere"
)
_PRE = "margin:4px 0 0;white-space:pre-wrap;font-family:var(--jp-code-font-family,monospace);font-size:12px"


def run_html(run: Run) -> str:
    """Status, progress, duration, result or error, and last console lines of a run."""
    row = run._row()
    parts = [_head(run, row)]
    if row["progress"] is not None and row["status"] not in TERMINAL:
        parts.append(_bar(row))
    if row["status"] == "finished":
        parts.append(_result(run))
    elif row["reason"]:
        parts.append(f"<div>{html.escape(run.reason)}</div>")
    if row["status"] == "error":
        parts.append(_traceback(run))
    lines = [text for _, text in run._console(_LAST_LINES)]
    if lines:
        text = "\n".join("\n".join(lines).splitlines()[-_LAST_LINES:])
        parts.append(f'<pre style="{_PRE};opacity:.85">{html.escape(text)}</pre>')
    return f'<div style="{_BOX}" role="group" aria-label="run {html.escape(row["flow"])}">{"".join(parts)}</div>'


def _head(run: Run, row: dict[str, Any]) -> str:
    colour = _COLOURS.get(row["status"], "inherit")
    now = datetime.datetime.now().astimezone()
    bits = [f'<b style="color:{colour}">{html.escape(row["status"])}</b>', f"<b>{html.escape(row['flow'])}</b>"]
    duration = run.duration_s
    if duration is not None:
        bits.append(_seconds(duration))
    if row["attempt"] > 1:
        bits.append(f"attempt {row['attempt']}")
    bits.append(f"{row['events']:,} events")
    bits.append(f'<code style="opacity:.75">{html.escape(run.id)}</code>')
    if row["status"] not in TERMINAL:
        bits.append(f'<span style="opacity:.75">as of {now:%H:%M:%S}</span>')
    return f"<div>{' · '.join(bits)}</div>"


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02} min"


def _bar(row: dict[str, Any]) -> str:
    share = row["progress"]
    label = html.escape(row["progress_text"] or "")
    return (
        f'<div><progress value="{share:.4f}" max="1" style="width:16em;vertical-align:middle" '
        f'aria-label="progress"></progress> {share:.0%} {label}</div>'
    )


def _result(run: Run) -> str:
    payloads = run._of_kind("final")["payload"]
    bundle = json.loads(payloads[-1]) if len(payloads) else {}
    if "artifact" in bundle:
        return f"<div>result: {bundle['artifact']['nbytes']:,} bytes, see run.result()</div>"
    if bundle.get("application/json", 0) is None:
        return ""
    text = bundle.get("text/plain") or bundle.get("text/markdown")
    if text is None:
        text = json.dumps(bundle.get("application/json"), ensure_ascii=False, indent=1)
    if len(text) > 2000:
        text = text[:2000] + " …"
    return f'<pre style="{_PRE}">{html.escape(text)}</pre>'


def _traceback(run: Run) -> str:
    payloads = run._of_kind("error")["payload"]
    text = json.loads(payloads[-1]).get("traceback", "") if len(payloads) else ""
    return f'<details><summary>traceback</summary><pre style="{_PRE}">{html.escape(text)}</pre></details>'
