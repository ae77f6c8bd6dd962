"""The cluster: nodes and what they have, this log's actors, the log on disk; for operators."""

from __future__ import annotations

import asyncio
from typing import Any

import panel as pn
import panel_material_ui as pmui

from kodosumi_lab.api.identity import Role
from kodosumi_lab.dashboard.access import Problem
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.facts import ClusterFacts, LogFacts, Node, cluster_facts, log_facts
from kodosumi_lab.dashboard.views.base import Desk, View, heading, html, task
from kodosumi_lab.dashboard.words import count, duration, empty, esc, link, notice, size, status, table, tiles, when
from kodosumi_lab.errors import KodosumiLabError

__all__ = ["Page"]

_NOBODY = '<p class="muted">Nobody writes it now.</p>'
_OTHER = (
    '<h2>Another cluster</h2><p class="muted">Launches, answers and cancels go there from now on, for everybody '
    "on this gateway. The log stays this one.</p>"
)
# A batch that waits this long waits for the disk, not for its turn.
_BEHIND_S = 0.5
# Once it is joined its actors are given 10 s; a call that Ray never lets go is not waited for as long as a join is.
_FACTS_S = 30.0
_JOINING = '<p class="muted" role="status">joining the cluster …</p>'


class Page(View):
    """See the module."""

    every_s = 2.0

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._admin = Admin(desk.access)
        self._ray = html(_JOINING, min_height=220)
        self._log = html(margin=(28, 0, 0, 0))
        self._start = pmui.Button(
            label="Start Ray here",
            icon="play_arrow",
            variant="contained",
            visible=False,
            margin=(12, 0),
        )
        self._address = pmui.TextInput(
            label="Address", placeholder="host:6379; empty: the cluster that writes this log", margin=0,
            sizing_mode="stretch_width", styles={"flex": "1 1 260px", "max-width": "480px"},
        )  # fmt: skip
        self._connect = pmui.Button(label="Connect", variant="outlined", margin=0)
        self._start.on_click(task(self._begin))
        self._connect.on_click(task(self._go_over))
        other = pn.Column(
            html(_OTHER),
            pn.FlexBox(self._address, self._connect, gap="10px", align_items="center", sizing_mode="stretch_width"),
            sizing_mode="stretch_width", margin=(28, 0, 0, 0), visible=desk.access.may(Role.ADMIN),
        )  # fmt: skip
        # it comes once what is above has its height
        self._below = pn.Column(self._log, other, sizing_mode="stretch_width", margin=0, visible=False)
        self.pane = pn.Column(
            html(heading("Cluster"), margin=(0, 0, 12, 0)), self._ray, self._start, self._below,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    async def show(self) -> None:
        """As it is now."""
        try:
            await self._shown()
        finally:
            self._below.visible = True

    async def _shown(self) -> None:
        gateway = self.desk.access.gateway
        found = await asyncio.to_thread(log_facts, gateway)
        self._log.object = _log(found, self.desk)
        if self.desk.pulse.away is not None:
            self._nothing(self.desk.pulse.away)
            return
        try:
            await gateway.act(gateway.cluster.connection)
            facts = await gateway.act(cluster_facts, gateway, within_s=_FACTS_S)
        except KodosumiLabError as error:
            self._nothing(str(error))
            return
        self._start.visible = False
        self._ray.object = _ray(facts, self.desk)

    def _nothing(self, reason: str) -> None:
        code = "kodosumi-lab up"
        self._ray.object = empty("No Ray cluster", f"{reason}.".replace("..", "."), code)
        self._start.visible = self.desk.access.may(Role.ADMIN)

    async def _begin(self, _: Any) -> None:
        self._ray.object = notice("Ray is being started; that takes 10 to 30 seconds.")
        async with self.desk.asking(self._start):
            address = await self._admin.start_ray()
            self.desk.tell(f"Ray runs at {address}; it goes on when this dashboard ends")
        await asyncio.to_thread(self.desk.pulse.now)
        await self.show()

    async def _go_over(self, _: Any) -> None:
        async with self.desk.asking(self._connect):
            try:
                address = await self._admin.connect(self._address.value_input or "")
            except Problem as problem:
                raise Problem(f"not connected: {problem.detail}") from problem
            self.desk.tell(f"connected to {address}")
        await asyncio.to_thread(self.desk.pulse.now)
        await self.show()


def _ray(facts: ClusterFacts, desk: Desk) -> str:
    alive = [node for node in facts.nodes if node.alive]
    slots, spooler = facts.dispatcher or {}, facts.spooler or {}
    cpus = [sum(node.cpus[i] for node in alive) for i in (0, 1)]
    memory = [sum(node.memory[i] for node in alive) for i in (0, 1)]
    shown = tiles(
        [
            ("Nodes", count(len(alive)), f"Ray {facts.version}"),
            ("CPUs reserved", f"{cpus[0]:g} of {cpus[1]:g}", "by what runs on Ray"),
            ("Memory reserved", size(memory[0]), f"of {size(memory[1])}"),
            ("Slots in use", f"{slots.get('used', '–')} of {slots.get('slots', '–')}",
             f"{slots.get('queued', '–')} queued, {slots.get('awaiting', '–')} awaiting"),
            ("Warm Runners", count(len(slots.get("idle_runners", []))), "ready for the next run"),
            *_spooler(spooler),
        ]
    )  # fmt: skip
    wrong = [notice(f"The {name.capitalize()} does not answer: {why}", "error") for name, why in facts.silent.items()]
    if spooler.get("trouble"):
        wrong.append(notice(f"The log cannot be written, and emitters wait: {spooler['trouble']}", "error"))
    own = (
        f'<a href="{esc(facts.dashboard)}" target="_blank" rel="noopener">Ray’s own dashboard</a>'
        if facts.dashboard
        else '<span class="muted">Ray’s own dashboard is off; Ray shows it with --include-dashboard=true</span>'
    )
    there = f'Connected to <span class="mono">{esc(facts.address)}</span>'
    head = f'<div class="row"><p class="grow muted">{there}</p>{own}</div>'
    rows = [_node(node, desk) for node in facts.nodes]
    columns = ["Node", "State", "CPU", "GPU", "Memory", "Object store", "Runs", "Actors"]
    nodes = table(columns, rows, label="Nodes", numbers=[7])
    return head + "".join(wrong) + shown + f'<h2 style="margin-top: 22px">Nodes</h2>{nodes}'


def _spooler(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    """How far the log is behind what happens."""
    if not told:
        return [("Spooler", "–", "does not answer")]
    behind, hot = told["lag_s"] >= _BEHIND_S, told["hot_segments"]
    state = "in trouble" if told["trouble"] else f"{duration(told['lag_s'])} behind" if behind else "keeps up"
    return [
        ("Spooler", state, f"{_many(told['waiting'], 'batch')}, {size(told['waiting_bytes'])} waiting"),
        ("Emit to disk", duration(told["delay_s"]), "the last events" if told["delay_s"] is not None else "none yet"),
        ("Written", size(told["bytes"]), f"{_many(told['batches'], 'batch')}, {_many(hot, 'hot file')}"),
    ]


def _node(node: Node, desk: Desk) -> list[str]:
    kind = ' <span class="tag">head</span>' if node.head else ""
    runs = ", ".join(link(desk.state.link("run", run=run_id), run_id[-8:], title=run_id) for run_id in node.runs[:20])
    more = f" and {len(node.runs) - 20} more" if len(node.runs) > 20 else ""
    return [
        f'<b>{esc(node.host)}</b>{kind}<br><small class="mono">{esc(node.address)}</small>',
        status("alive" if node.alive else "dead"),
        _part(*node.cpus, lambda value: f"{value:g}"),
        _part(*node.gpus, lambda value: f"{value:g}") if node.gpus[1] else "–",
        _part(*node.memory, size),
        _part(*node.objects, size),
        f'<span class="mono">{runs or "–"}</span>{more}',
        count(node.actors),
    ]


def _part(used: float, whole: float, told: Any) -> str:
    width = min(100.0, 100 * used / whole) if whole else 0
    return f'{esc(told(used))} of {esc(told(whole))}<div class="bar"><i style="width:{width:.1f}%"></i></div>'


def _many(number: int, what: str) -> str:
    """``1 file``, ``12 batches``."""
    return f"{count(number)} {what}{'' if number == 1 else 'es' if what.endswith('ch') else 's'}"


def _log(found: LogFacts, desk: Desk) -> str:
    weight = found.weight
    most = ", ".join(f"{esc(part)} {size(n)}" for part, n in sorted(weight.parts.items(), key=lambda one: -one[1])[:4])
    keeping = link(desk.state.link("control", tab="log"), "Retention")
    days = f"{_many(found.days, 'day')}, since {found.since}; " if found.days else ""
    facts = [
        ("Directory", f'<span class="mono">{esc(found.path)}</span>'),
        ("On disk", f"{size(weight.nbytes)} in {_many(weight.files, 'file')} ({most}), counted {when(weight.at)}"),
        ("Not sealed yet", f"{size(found.hot_bytes)} in {_many(found.hot_segments, 'segment')}"),
        ("Kept", f"{days}nothing leaves by itself, an admin takes days out: {keeping}"),
        ("Set aside", f"{count(found.damaged)} damaged files" if found.damaged else "nothing is damaged"),
    ]
    shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    rows = [
        [f'<span class="mono">{esc(one["owner"])}</span>', status(one["state"]), esc(one["host"]),
         esc(one["address"] or "–"), str(one["pid"]), count(one["segments"])]
        for one in found.owners
    ]  # fmt: skip
    columns = ["Owner", "State", "Host", "Cluster", "Process", "Hot segments"]
    who = table(columns, rows, label="Who writes the log", numbers=[4, 5]) if rows else _NOBODY
    return f'<h2>Log</h2><dl class="key">{shown}</dl><h3 style="margin-top: 16px">Who writes it</h3>{who}'
