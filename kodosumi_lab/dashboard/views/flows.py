"""The catalogue: flows by name, tag and source; the form of one, launched from here; its recent runs."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import polars as pl

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.numbers import Question
from kodosumi_lab.dashboard.views.base import Desk, View, heading, html
from kodosumi_lab.dashboard.views.sources import Sources
from kodosumi_lab.dashboard.widgets import Form
from kodosumi_lab.dashboard.words import count, duration, empty, esc, link, notice, share, status, table, when

__all__ = ["Page"]

_RECENT = 8
_COUNTS = Question(
    "counts",
    "Runs by flow",
    """(kl.runs()
    .group_by("flow")
    .agg(
        runs=pl.len(),
        failed=pl.col("status").is_in(["error", "timeout", "lost"]).sum(),
        ended=pl.col("ended").is_not_null().sum(),
        latest=pl.col("started").max(),
    )
)""",
)
_CSS = """
.flows { display: grid; gap: 8px; }
.flows a { display: block; padding: 10px 12px; border: 1px solid var(--line); border-radius: 8px; color: var(--fg); }
.flows a:hover { background: var(--tint); text-decoration: none; }
.flows a[aria-current=true] { border-color: var(--accent); box-shadow: inset 3px 0 0 var(--accent); }
.flows b { overflow-wrap: anywhere; } .flows p { margin: 2px 0 6px; color: var(--soft); }
.flows small { display: block; }
"""
_LAUNCHED_BY_NOTHING = """import kodosumi_lab as kl

@kl.flow(summary="Say hello")
def hello(name: str = "world"):
    return f"hello {name}"

kl.register("my_package.flows")"""


class Page(View):
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._search = pmui.TextInput(
            label="Search", placeholder="Search flows, tags, sources", value=desk.state.search,
            sizing_mode="stretch_width", min_height=56, margin=(0, 0, 10, 0),
        )  # fmt: skip
        self._search.param.watch(self._searched, "value_input")
        self._list = html(css=_CSS, min_height=300)
        self._about = html(css=_CSS)
        self._recent = html(margin=(16, 0, 0, 0))
        self._form: Form | None = None
        self._place = pn.Column(html(), sizing_mode="stretch_width", margin=(12, 0, 0, 0))
        self._sources = Sources(desk, self.show)
        self._sources.pane.visible = False  # until what is above has its height
        left = pn.Column(self._search, self._list, styles={"flex": "1 1 300px", "min-width": "0"}, margin=0)
        right = pn.Column(
            self._about, self._place, self._recent, styles={"flex": "2.2 1 420px", "min-width": "0"}, margin=0
        )
        self.pane = pn.Column(
            html(heading("Flows"), margin=(0, 0, 12, 0)),
            pn.FlexBox(left, right, gap="24px", align_items="flex-start", sizing_mode="stretch_width", margin=0),
            self._sources.pane, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def _searched(self, event: Any) -> None:
        if self.desk.state.page == "flows":
            self.desk.state.search = event.new.strip()

    async def show(self) -> None:
        """The flows that fit, and the one that is chosen."""
        state, access = self.desk.state, self.desk.access
        if (self._search.value_input or "").strip() != state.search:
            self._search.param.update(value=state.search, value_input=state.search)
        found: list[dict[str, Any]] = await access.call("GET", "/flows", search=state.search or None)
        counts = {row["flow"]: row for row in (await access.frame(_COUNTS)).iter_rows(named=True)}
        self._list.object = self._listed(found, counts)
        await self._show_chosen()
        await self._sources.show()
        self._sources.pane.visible = access.may(Role.OPERATOR)

    # -- the list ---------------------------------------------------------------------

    def _listed(self, found: list[dict[str, Any]], counts: dict[str, Any]) -> str:
        if found:
            return f'<div class="flows">{"".join(self._entry(flow, counts.get(flow["name"])) for flow in found)}</div>'
        if self.desk.state.search:
            return empty("No flow fits", "All words have to occur in its name, summary, tags or source.")
        return empty("No flows yet", "Write one in a module, and register the module:", _LAUNCHED_BY_NOTHING)

    def _entry(self, flow: dict[str, Any], counted: dict[str, Any] | None) -> str:
        state = self.desk.state
        tags = "".join(f'<span class="tag">{esc(tag)}</span>' for tag in flow["tags"])
        told = "never run"
        if counted is not None:
            failed = f", {share(counted['failed'], counted['ended'])} failed" if counted["failed"] else ""
            told = f"{count(counted['runs'])} runs{failed}, latest {when(counted['latest'])}"
        stale = f' <span class="status" data-status="stale" title="{esc(flow["reason"])}">stale</span>'
        return (
            f'<a href="{esc(state.link("flows", chosen=flow["name"], search=state.search))}"'
            f"{' aria-current=true' if flow['name'] == state.chosen else ''}>"
            f"<b>{esc(flow['name'])}</b>{stale if flow['state'] != 'ok' else ''}<p>{esc(flow['summary'])}</p>{tags}"
            f"<small>{told}</small></a>"
        )

    # -- the chosen one ---------------------------------------------------------------

    async def _show_chosen(self) -> None:
        name = self.desk.state.chosen
        if not name:
            self._leave()
            self._about.object = empty("Choose a flow", "Its form, and what it did lately, are shown here.")
            self._recent.object = ""
            return
        if self._form is None or self._form.flow != name:
            self._leave()
            try:
                flow = await self.desk.access.call("GET", f"/flows/{name}")
            except Problem as problem:
                self._about.object = notice(problem.detail, "error")
            else:
                self._about.object = _about(flow)
                self._form = Form(self.desk, flow=name)
                self._place.objects = [self._form]
        self._recent.object = await self._recently(name)

    def _leave(self) -> None:
        if self._form is not None:
            self._place.objects = [html()]
            self._form.close()
            self._form = None

    async def _recently(self, name: str) -> str:
        code = f'(kl.runs().filter(pl.col("flow") == {name!r}).sort("run_id", descending=True).head({_RECENT}))'
        found = await self.desk.access.frame(Question("recent", "Recent runs", code))
        more = link(self.desk.state.link("runs", flow=[name]), "All of them")
        head = f'<div class="row"><h2 class="grow">Recent runs</h2>{more if len(found) else ""}</div>'
        return head + (self._runs(found) if len(found) else '<p class="muted">It was never run.</p>')

    def _runs(self, found: pl.DataFrame) -> str:
        rows = []
        for row in found.iter_rows(named=True):
            end = row["ended"] or row["updated"]
            took = (end - row["running"]).total_seconds() if row["running"] else None
            shown = row["error"] or row["result"] or row["progress_text"] or row["reason"] or ""
            run = link(self.desk.state.link("run", run=row["run_id"]), row["run_id"][-8:], title=row["run_id"])
            rows.append(
                [status(row["status"]), f'<span class="mono">{run}</span>', when(row["started"]), duration(took),
                 esc(row["user"]), esc(shown[:160])]
            )  # fmt: skip
        columns = ["Status", "Run", "Started", "Duration", "User", "Result"]
        return table(columns, rows, label="Recent runs", numbers=[3])


def _about(flow: dict[str, Any]) -> str:
    facts = [("Source", f"{flow['source']} ({flow['kind']})"), ("Entrypoint", flow["entrypoint"] or flow["url"] or "")]
    facts += [("Author", flow["author"]), ("Version", flow["version"]), ("Organization", flow["organization"])]
    shown = "".join(f"<dt>{name}</dt><dd>{esc(value)}</dd>" for name, value in facts if value)
    tags = "".join(f'<span class="tag">{esc(tag)}</span>' for tag in flow["tags"])
    stale = notice(f"Its source cannot be read any more: {flow['reason']}", "warning") if flow["state"] != "ok" else ""
    more = flow["description"].strip()
    told = f'<p style="white-space: pre-wrap">{esc(more)}</p>' if more and more != flow["summary"] else ""
    return (
        f'<h2 style="font-size: 19px">{esc(flow["name"])}</h2><p>{esc(flow["summary"])}</p>{told}{stale}'
        f'<p>{tags}</p><dl class="key">{shown}</dl>'
    )
