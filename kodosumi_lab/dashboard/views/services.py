"""Services deployed on Ray Serve: what there is, deploy, stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.views.base import Desk, html, task
from kodosumi_lab.dashboard.views.confirm import Confirm
from kodosumi_lab.dashboard.words import empty, esc, notice, status, table

__all__ = ["Services"]

_EXAMPLE = """name: reviews
import_path: my_package.reviews:deployment
route_prefix: /reviews
"""
_SETTLED = ("RUNNING", "DEPLOY_FAILED", "UNHEALTHY")
# A replica may have to make an environment first; whoever wants to know later looks again.
_SETTLED_S = 120.0
_DEPLOY = (
    '<h2>Deploy</h2><p class="muted">YAML, as <code>kodosumi-lab deploy</code> takes it. Services of an earlier '
    "configuration that are not in this one are removed, as Ray Serve does.</p>"
)


class Services:
    """See the module.

    Attributes
    ----------
    pane
        What is shown.
    """

    def __init__(self, desk: Desk, admin: Admin) -> None:
        self._desk, self._admin = desk, admin
        self._table = html('<p class="muted" role="status">asking Ray Serve …</p>', min_height=120)
        self._again = pmui.Button(label="Look again", icon="refresh", variant="outlined", margin=0)
        self._which = pmui.Select(label="Service", options=[], margin=0, width=240)
        self._stop = pmui.Button(label="Stop", icon="stop", variant="outlined", color="error", margin=0)
        self._text = pmui.TextAreaInput(
            label="Configuration", value=_EXAMPLE, rows=6, max_rows=24, auto_grow=True, max_length=100_000,
            sizing_mode="stretch_width", margin=0, sx={"& textarea": {"fontFamily": "monospace", "fontSize": "13px"}},
        )  # fmt: skip
        self._deploy = pmui.Button(label="Deploy", icon="rocket_launch", variant="contained", margin=(10, 0))
        self._confirm = Confirm("Stop this service?", "Stop", self._end)
        self._again.on_click(task(self._look))
        self._stop.on_click(
            lambda _: self._confirm.ask(f"{self._which.value} answers nobody any more; its runs go on.")
        )
        self._deploy.on_click(task(self._begin))
        is_admin = desk.access.may(Role.ADMIN)
        self._acts = pn.FlexBox(
            self._again, *([self._which, self._stop] if is_admin else []), gap="10px", align_items="center",
            sizing_mode="stretch_width", margin=(10, 0),
        )  # fmt: skip
        new = pn.Column(
            html(_DEPLOY),
            self._text, self._deploy, sizing_mode="stretch_width", margin=(18, 0, 0, 0), visible=is_admin,
        )  # fmt: skip
        self.pane = pn.Column(self._table, self._acts, new, self._confirm.pane, sizing_mode="stretch_width", margin=0)

    async def show(self) -> None:
        """As Ray Serve says now."""
        await self._shown()

    async def _shown(self) -> bool:
        """Show what there is; whether nothing is on its way."""
        if self._desk.pulse.away is not None:
            self._nothing(self._desk.pulse.away)
            return True
        try:
            found = await self._admin.services()
        except Problem as problem:
            self._nothing(problem.detail)
            return True
        names = sorted(found)
        if self._which.options != names:
            self._which.param.update(options=names, value=names[0] if names else None)
        self._stop.disabled = not names
        if not found:
            self._table.object = empty(
                "Nothing is deployed", "Services that are carried by a gateway are under Sources."
            )
            return True
        rows = [
            [f"<b>{esc(name)}</b>", status(one["status"]),
             ", ".join(f"{esc(part)} {esc(state)}" for part, state in one["deployments"].items()), esc(one["message"])]
            for name, one in sorted(found.items())
        ]  # fmt: skip
        self._table.object = table(["Service", "State", "Deployments", "Message"], rows, label="Services")
        return all(one["status"] in _SETTLED for one in found.values())

    def _nothing(self, reason: str) -> None:
        self._table.object = notice(f"Services live on the Ray cluster, and {reason}", "warning")
        self._stop.disabled = True

    async def _look(self, _: Any) -> None:
        async with self._desk.asking(self._again):
            await self.show()

    async def _begin(self, _: Any) -> None:
        async with self._desk.asking(self._deploy):
            names = await self._admin.deploy(self._text.value_input or self._text.value)
            self._desk.tell(f"{', '.join(names)}: being deployed")
            await self._until_settled()

    async def _until_settled(self) -> None:
        """Ray Serve tells nobody when a service is there: it is asked until none is on its way."""
        end = time.monotonic() + _SETTLED_S
        while not await self._shown() and time.monotonic() < end:
            await asyncio.sleep(1)

    async def _end(self) -> None:
        async with self._desk.asking(self._stop):
            gone = await self._admin.stop(self._which.value)
            self._desk.tell(f"{', '.join(gone) or 'nothing'} stopped")
            await self.show()
