"""Who may come in: users and their tokens."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.views.base import Desk, html, task
from kodosumi_lab.dashboard.views.confirm import Confirm
from kodosumi_lab.dashboard.views.sheet import COPY
from kodosumi_lab.dashboard.words import count, esc, notice, table, when

__all__ = ["People"]

_ROLES = {
    "viewer": "viewer: reads own runs",
    "user": "user: launches, acts on own runs",
    "operator": "operator: reads and acts on everybody's runs",
    "admin": "admin: all of it, and this page",
}
_CSS = """
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 6px;
  padding: 3px 12px;
  cursor: pointer; }
"""


class People:
    """See the module.

    Attributes
    ----------
    pane
        What is shown.
    """

    def __init__(self, desk: Desk, admin: Admin) -> None:
        self._desk, self._admin = desk, admin
        self._table = html(min_height=120)
        self._made = html(css=_CSS, margin=(12, 0, 0, 0))
        box: dict[str, Any] = {"margin": 0, "sizing_mode": "stretch_width"}
        self._name = pmui.TextInput(label="User", max_length=200, styles={"flex": "2 1 200px"}, **box)
        self._role = pmui.Select(
            label="Role", options={text: name for name, text in _ROLES.items()}, value="user",
            styles={"flex": "2 1 260px"}, **box,
        )  # fmt: skip
        self._add = pmui.Button(label="Make a token", icon="key", variant="contained", margin=0)
        self._who = pmui.Select(label="User", options=[], styles={"flex": "1 1 200px", "max-width": "320px"}, **box)
        self._revoke = pmui.Button(label="Revoke", icon="delete", variant="outlined", color="error", margin=0)
        self._confirm = Confirm("Revoke every token of this user?", "Revoke", self._forget)
        self._add.on_click(task(self._make))
        self._revoke.on_click(
            lambda _: self._confirm.ask(f"{self._who.value} is signed out everywhere, at once. Their runs stay.")
        )
        row: dict[str, Any] = {"gap": "10px", "align_items": "center", "sizing_mode": "stretch_width"}
        self.pane = pn.Column(
            self._table, pn.FlexBox(self._who, self._revoke, margin=(10, 0, 0, 0), **row),
            html('<h2 style="margin-top: 22px">A new token</h2>'), pn.FlexBox(self._name, self._role, self._add, **row),
            self._made, self._confirm.pane, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    async def show(self) -> None:
        """As the token file stands now."""
        if not self._admin.has_tokens:
            said = "Who comes in is told by a proxy or an issuer here (setting gateway_identity); see to users there."
            self._table.object = notice(said)
            for widget in list(self.pane)[1:]:
                widget.visible = False
            return
        found = await self._admin.tokens()
        counted: dict[tuple[str, str], list[str]] = {}
        for one in found:
            counted.setdefault((one["user"], one["role"]), []).append(one["created"])
        rows = [
            [f"<b>{esc(name)}</b>", esc(role), count(len(made)), when(max(made))]
            for (name, role), made in sorted(counted.items(), key=lambda item: (-Role.named(item[0][1]), item[0][0]))
        ]
        self._table.object = table(["User", "Role", "Tokens", "Latest"], rows, label="Users", numbers=[2])
        names = sorted({one["user"] for one in found})
        if self._who.options != names:
            self._who.param.update(options=names, value=names[0] if names else None)

    async def _make(self, _: Any) -> None:
        async with self._desk.asking(self._add):
            name = (self._name.value_input or "").strip()
            made = await self._admin.add_token(name, self._role.value)
            self._made.object = (
                f'<div class="notice"><p>This is {esc(name)}’s token. It is shown once; only its hash is kept.</p>'
                f'<div class="row"><code id="code">{esc(made)}</code>'
                f'<button type="button" onclick="{esc(COPY)}">Copy</button></div></div>'
            )
            self._name.param.update(value="", value_input="")
            await self.show()

    async def _forget(self) -> None:
        async with self._desk.asking(self._revoke):
            gone = await self._admin.revoke(self._who.value)
            self._desk.tell(f"{gone} token{'s' if gone != 1 else ''} of {self._who.value} revoked")
            self._made.object = ""
            await self.show()
