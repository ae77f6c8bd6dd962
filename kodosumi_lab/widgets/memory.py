"""What a form can be filled with: the last inputs of its flow, from the log, and named presets."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from kodosumi_lab.errors import KodosumiLabError
from kodosumi_lab.events import loads, run_date
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.presets import Presets
from kodosumi_lab.runtime.run import Run, event_log

if TYPE_CHECKING:
    from kodosumi_lab.widgets.form import FlowForm

__all__ = ["Memory", "recent"]

_RECENT = 10


def recent(flow: Any, count: int = _RECENT) -> list[tuple[Run, dict[str, Any]]]:
    """The last runs of a flow in the log, newest first, each with its inputs; of several with the same inputs one."""
    import polars as pl

    log = event_log(getattr(flow, "log_dir", None))
    mine = log.runs().filter(pl.col("flow") == flow.name).select("run_id").sort("run_id")
    newest = mine.tail(5 * count).collect()["run_id"].to_list()[::-1]
    found: dict[str, tuple[Run, dict[str, Any]]] = {}
    for date, ids in itertools.groupby(newest, run_date):  # a partition of the log at a time, and no more than it takes
        day = datetime.date.fromisoformat(date)
        wanted = (pl.col("kind") == "inputs") & (pl.col("seq") < 3) & pl.col("run_id").is_in(list(ids))
        events = log.events(since=day, until=day).filter(wanted).sort("run_id", descending=True).collect()
        for run_id, payload in events.select("run_id", "payload").iter_rows():
            found.setdefault(payload, (Run(run_id, log_dir=log.root), loads(payload, log.artifact)))
        if len(found) >= count:
            break
    return list(found.values())[:count]


class Memory(widgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """The row of a form that fills it, and keeps and removes presets."""

    def __init__(self, form: FlowForm) -> None:
        self._form = form
        self._source = widgets.Dropdown(description="Fill with", options=[("", None)])
        self._name = widgets.Text(placeholder="name of a preset", tooltip="name of a preset", layout={"width": "190px"})
        save, remove = widgets.Button(description="Save preset"), widgets.Button(description="Remove preset")
        self._source.observe(self._chosen, "value")
        save.on_click(lambda _: self._told(form.save_preset))
        remove.on_click(lambda _: self._told(form.remove_preset))
        super().__init__([self._source, self._name, save, remove], layout={"flex_flow": "row wrap", "width": "auto"})
        self.look()

    @property
    def presets(self) -> Presets:
        """The flow's presets."""
        flow = self._form.flow
        return Presets(event_log(getattr(flow, "log_dir", None)).root, flow.name)

    def look(self) -> None:
        """Offer what there is by now; nothing where the log cannot be read."""
        options: list[tuple[str, Any]] = [("", None)]
        with contextlib.suppress(KodosumiLabError):
            options += [(f"preset: {name}", name) for name in self.presets.load()]
            for run, inputs in recent(self._form.flow):
                told = ", ".join(f"{name}={tables.cut(tables.short(value), 24)}" for name, value in inputs.items())
                options.append((f"run {run.id[-8:]}: {tables.cut(told, 60)}", run))
        if [label for label, _ in options] != [label for label, _ in self._source.options]:
            self._source.options = options
        self._source.value = None

    def _chosen(self, change: Any) -> None:
        what = change["new"]
        if isinstance(what, Run):
            self._told(lambda _: self._form.fill_from(what))
        elif what is not None:
            self._name.value = what
            self._told(self._form.load_preset)

    def _told(self, verb: Any) -> None:
        try:
            verb(self._name.value)
        except (KodosumiLabError, ValueError) as error:
            self._form.say(str(error))
