"""The style sheet of what the dashboard draws itself. Colours are Panel's variables; those that say something, ours."""

from __future__ import annotations

__all__ = ["CSS", "STATUS_COLOURS"]

#: For charts, which cannot follow the theme by themselves: seen well on white and on black.
STATUS_COLOURS = {
    "finished": "#2f9e6e",
    "running": "#3d87d9",
    "starting": "#8b95a1",
    "awaiting": "#d1901f",
    "cancelled": "#a7afb8",
    "error": "#d9475a",
    "timeout": "#b8663a",
    "lost": "#9a5bc4",
}

CSS = """
:host {
  --fg: var(--panel-on-background-color, CanvasText); --bg: var(--panel-background-color, Canvas);
  --soft: color-mix(in srgb, var(--fg) 68%, var(--bg)); --tint: color-mix(in srgb, var(--fg) 5%, var(--bg));
  --line: color-mix(in srgb, var(--fg) 18%, var(--bg));
  --accent: light-dark(#1b63b5, #6cb2ff); --ok: light-dark(#18774a, #58cf95); --warn: light-dark(#8f5a00, #f0b74a);
  --bad: light-dark(#c0273a, #ff8a94); --idle: light-dark(#5f6670, #aab2bd);
  color: var(--fg); font: 14px/1.45 system-ui, 'Segoe UI', Roboto, sans-serif;
}
* { box-sizing: border-box; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 22px; line-height: 1.25; margin: 0; font-weight: 650; }
h2 { font-size: 16px; margin: 0 0 8px; font-weight: 650; } h3 { font-size: 15px; margin: 0 0 6px; font-weight: 650; }
p { margin: 0 0 8px; } small, .muted { color: var(--soft); } small { font-size: 12px; }
.mono, code, pre { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 12.5px; }
pre { margin: 8px 0; padding: 10px 12px; background: var(--tint); border: 1px solid var(--line); border-radius: 6px;
  overflow: auto; max-height: 340px; text-align: start; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 10px; margin: 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; min-width: 0; }
.tile dt { color: var(--soft); font-size: 12px; }
.tile dd { margin: 2px 0 0; font-size: 21px; font-weight: 650; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 560px; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th { position: sticky; top: 0; background: var(--bg); text-align: start; font-weight: 600; font-size: 12px;
  color: var(--soft);
  border-bottom: 1px solid var(--line); white-space: nowrap; z-index: 1; }
th, td { padding: 7px 12px; vertical-align: top; }
td { border-bottom: 1px solid color-mix(in srgb, var(--line) 60%, var(--bg)); max-width: 46ch;
  overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; } tbody tr:hover td { background: var(--tint); }
.number { text-align: end; white-space: nowrap; } time, .mono > a { white-space: nowrap; }
.empty { text-align: center; padding: 40px 20px; border: 1px dashed var(--line); border-radius: 10px;
  color: var(--soft); }
.empty h3 { color: var(--fg); } .empty pre { display: inline-block; max-width: 100%; }
.notice { border-radius: 8px; padding: 9px 14px; border: 1px solid var(--line);
  border-inline-start: 4px solid var(--accent);
  background: var(--tint); overflow-wrap: anywhere; white-space: pre-wrap; }
.notice[data-kind=warning] { border-inline-start-color: var(--warn); }
.notice[data-kind=error] { border-inline-start-color: var(--bad); }
.status { display: inline-flex; align-items: center; gap: 6px; font-weight: 600; white-space: nowrap;
  color: var(--idle); }
.status::before { content: ''; width: 8px; height: 8px; border-radius: 50%; background: currentColor; flex: none; }
.status:is([data-status=finished], [data-status=ok], [data-status=RUNNING], [data-status=alive]) { color: var(--ok); }
.status:is([data-status=running], [data-status=DEPLOYING]) { color: var(--accent); }
.status:is([data-status=awaiting], [data-status=stale], [data-status=unread]) { color: var(--warn); }
.status:is([data-status=error], [data-status=timeout], [data-status=lost], [data-status=failed], [data-status=dead],
  [data-status=DEPLOY_FAILED], [data-status=UNHEALTHY]) { color: var(--bad); }
.bar { height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; min-width: 80px; margin-top: 4px; }
.bar i { display: block; height: 100%; background: var(--accent); }
.tag { display: inline-block; border: 1px solid var(--line); border-radius: 10px; padding: 0 8px; font-size: 12px;
  color: var(--soft); margin: 0 4px 4px 0; }
.grow { min-width: 0; flex: 1 1 auto; }
.row { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
.key { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
.key dt { color: var(--soft); } .key dd { margin: 0; overflow-wrap: anywhere; }
.tabs { display: flex; flex-wrap: wrap; gap: 4px; border-bottom: 1px solid var(--line); margin-top: 12px; }
.tabs a { padding: 7px 14px; color: var(--soft); border-bottom: 2px solid transparent; }
.tabs a[aria-current=page] { color: var(--fg); border-bottom-color: var(--accent); font-weight: 600; }
@media (max-width: 599px) { .key { grid-template-columns: 1fr; } .key dd { margin-bottom: 6px; }
  th, td { padding: 6px 8px; }
  .tiles { grid-template-columns: repeat(2, 1fr); } }
"""
