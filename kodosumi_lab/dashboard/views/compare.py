"""Runs held against each other: what was asked, what happened, how long it took, what came out."""

from __future__ import annotations

import asyncio

import panel as pn

from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.views.base import Desk, html
from kodosumi_lab.dashboard.words import empty, esc, link, notice, table
from kodosumi_lab.runtime.diff import SECTIONS, Diff, diff

__all__ = ["Comparison"]

_MOST = 12
_CSS = """
.differs { font-weight: 650; } .same { color: var(--soft); }
details { margin: 0 0 10px; } summary { cursor: pointer; padding: 4px 0; }
"""


class Comparison:
    """See the module.

    Attributes
    ----------
    pane
        What is shown; nothing while no runs are compared.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown: tuple[str, ...] = ()
        self._text = html(css=_CSS, visible=False, margin=(0, 0, 20, 0))
        self.pane = pn.Column(self._text, sizing_mode="stretch_width", margin=0)

    async def show(self) -> None:
        """The runs that the address names."""
        wanted = tuple(dict.fromkeys(self._desk.state.compare))[:_MOST]
        if wanted == self._shown:
            return
        self._shown = wanted
        self._text.visible = bool(wanted)
        if not wanted:
            return
        close = link(self._desk.state.link("runs"), "Back to the list")
        head = f'<div class="row"><h2 class="grow">{len(wanted)} runs compared</h2>{close}</div>'
        self._text.object = f'{head}<p class="muted" role="status">reading them …</p>'
        try:
            self._text.object = head + await self._compared(wanted)
        except Problem as problem:
            self._text.object = head + notice(problem.detail, "error")

    async def _compared(self, wanted: tuple[str, ...]) -> str:
        access = self._desk.access
        if len(wanted) < 2:
            return empty("One run only", "Select two or more in the list, and press Compare.")
        for run_id in wanted:
            await access.run(run_id)  # refuses whoever may not see it

        def compare() -> Diff:
            runs = [access.gateway.run_of(access.gateway.log.run(run_id)) for run_id in wanted]
            return diff(*runs)

        found = await asyncio.to_thread(compare)
        return await asyncio.to_thread(self._told, found)

    def _told(self, found: Diff) -> str:
        frame = found.frame()
        labels = frame.columns[2:-1]
        runs = [
            link(self._desk.state.link("run", run=run.id), label) for run, label in zip(found.runs, labels, strict=True)
        ]
        named = f'<span class="mono">{", ".join(runs)}</span>'
        parts = [f"<p>{len(found.different)} of {len(frame)} lines differ. Runs: {named}</p>"]
        for section in SECTIONS:
            part = frame.filter(frame["section"] == section).sort("same", maintain_order=True)
            if part.is_empty():
                continue
            differ = int((~part["same"]).sum())
            rows = []
            for name, *values, same in part.drop("section").iter_rows():
                kind = "same" if same else "differs"
                sign = f'<span aria-label="{kind}">{"=" if same else "≠"}</span>'
                cells = [
                    f'<span class="{kind}">{esc("—" if value is None else str(value)[:500])}</span>' for value in values
                ]
                rows.append([esc(name), sign, *cells])
            told = f"{differ} of {len(part)} differ" if differ else f"{len(part)} the same"
            shown = table([section, "", *labels], rows, label=f"{section} compared")
            parts.append(
                f"<details{' open' if differ else ''}><summary><b>{section}</b>: {told}</summary>{shown}</details>"
            )
        return "".join(parts)
