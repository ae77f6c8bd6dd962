"""The gateway's flows by default: the Flow Register's, this process's, and those of mounted services.

Each kind is reached in its own way, and none imports a registered module into the gateway:

- flows of this process (``--flows``) as a notebook launches them;
- flows of registered modules and installed packages by their import path, described and checked
  in a process beside this one (:mod:`kodosumi_lab.runtime.beside`), so that an edited module is
  read as it is now, and secrets are known as such before anything is in the log;
- flows behind endpoints by a request to their service; a service that is mounted here is asked
  in this process, as the user who launches.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kodosumi_lab.api.catalogue import FlowInfo, ProcessCatalogue
from kodosumi_lab.api.mounting import Mounted, MountedFlow
from kodosumi_lab.errors import FlowError, InputsError, ServiceError
from kodosumi_lab.flow import registered
from kodosumi_lab.forms import Inputs, Model
from kodosumi_lab.forms.describe import schema_of
from kodosumi_lab.runtime import sources
from kodosumi_lab.runtime.beside import Beside
from kodosumi_lab.runtime.launch import Origin, launch_at
from kodosumi_lab.runtime.register import Register, chosen, row_of, searched
from kodosumi_lab.runtime.remote import ForeignRun, RemoteFlow, form_values
from kodosumi_lab.runtime.run import Run

__all__ = ["RegisterCatalogue"]

# Packages that are installed meanwhile are found after this; looking for them takes tens of milliseconds.
_LOOK_AGAIN_S = 10.0
_ANY = {"type": "object", "properties": {}, "additionalProperties": True}


class RegisterCatalogue:
    """All flows that can be launched through a gateway; a :class:`~kodosumi_lab.api.catalogue.Catalogue`.

    Parameters
    ----------
    log_dir
        The event log whose register it is.
    modules
        Imported here at start, see :class:`ProcessCatalogue`.
    mounts
        Services by path; other applications among them are left alone.
    url
        Where others reach the gateway; runs that a mounted service launches name it.
    """

    def __init__(
        self,
        log_dir: Path | str,
        modules: Iterable[str] = (),
        *,
        mounts: Mapping[str, Any] | None = None,
        url: str = "http://localhost",
    ) -> None:
        self.register = Register(log_dir)
        self._url = url.rstrip("/")
        self._here = ProcessCatalogue(modules)
        self._mounts = {path: one for path, one in (mounts or {}).items() if isinstance(one, Mounted)}
        self._lock = threading.Lock()
        self._beside: dict[str, Beside] = {}
        self._held: tuple[Any, float, list[dict[str, Any]]] = (None, 0.0, [])

    # -- what there is ----------------------------------------------------------------

    def rows(self, search: str | None = None) -> list[dict[str, Any]]:
        """Rows as :func:`kodosumi_lab.flows` has them, with those of mounted services."""
        return searched(self._rows(), search)

    def _rows(self) -> list[dict[str, Any]]:
        state = (_version(self.register.path), tuple(map(id, registered().values())))
        with self._lock:
            if self._held[0] == state and time.monotonic() < self._held[1]:
                return self._held[2]
        mounted = [row for path in self._mounts for row in self._mounted(path)]
        # `serve` registers them for other processes
        documents = {self._url + one.openapi for one in self._mounts.values()}
        rows = mounted + [row for row in self.register.rows() if row["source"] not in documents]
        with self._lock:
            self._held = ((_version(self.register.path), state[1]), time.monotonic() + _LOOK_AGAIN_S, rows)
        return rows

    def _mounted(self, path: str) -> list[dict[str, Any]]:
        one = self._mounts[path]
        describe = getattr(one.app, "openapi", None)
        try:
            found = sources.endpoints(describe() if callable(describe) else None, self._url + one.openapi)
        except ServiceError:
            return []
        return [row_of({**flow, "kind": "mounted", "source": one.source, "state": "ok"}) for flow in found.flows]

    def flows(self, search: str | None = None) -> list[FlowInfo]:
        """All flows as they were read last, by name."""
        rows = [row for row in self.rows(search) if row["name"] is not None]
        here = {flow.name: flow for flow in self._here.flows()}
        found = [here[row["name"]] if row["kind"] == "process" else _info(row) for row in rows]
        return sorted(found, key=lambda flow: (flow.name, flow.source))

    def get(self, name: str) -> FlowInfo:
        """One flow as it is now; where its source does not tell, as it was, with the reason."""
        row = self._row(name)
        if row["kind"] == "process":
            return self._here.get(row["name"])
        try:
            if row["url"]:
                row = {**row, "inputs": schema_of(self._form(self._remote(row)), row["name"])}
            else:
                found = self._module(row).describe(row["entrypoint"])
                row = row_of({**row, **found})
        except (FlowError, ServiceError) as error:
            row = {**row, "state": "stale", "reason": str(error)}
        return _info(row)

    def form(self, name: str) -> list[dict[str, Any]]:
        """The flow's elements, as they are now."""
        row = self._row(name)
        if row["kind"] == "process":
            return self._here.form(row["name"])
        if row["url"]:
            return self._remote(row).elements
        return list(self._module(row).describe(row["entrypoint"])["elements"])

    # -- launching --------------------------------------------------------------------

    def check(self, name: str, inputs: dict[str, Any], *, entered: bool = False) -> list[str]:
        """Check the inputs as the flow is now."""
        row = self._row(name)
        if row["kind"] == "process":
            return self._here.check(row["name"], inputs, entered=entered)
        if not row["url"]:
            return self._module(row).check(row["entrypoint"], inputs, entered=entered).batches
        flow = self._remote(row)
        form = self._form(flow)
        values = inputs if entered else form_values(flow.name, form.get_model(), inputs)
        errors = form.check(values)
        if errors:
            raise InputsError.of(errors, flow=flow.name)
        return list(form.uploads(values).values())

    def entered(self, name: str, values: dict[str, Any]) -> tuple[Inputs, list[str]]:
        """Check what was entered, as the flow is now."""
        row = self._row(name)
        if row["kind"] == "process":
            return self._here.entered(row["name"], values)
        if row["url"]:
            raise FlowError(f"flow {name!r} is behind an endpoint, which alone can read what was entered")
        found = self._module(row).check(row["entrypoint"], values, entered=True)
        return found.inputs, found.batches

    def needs_cluster(self, name: str) -> bool:
        """Not where another process launches."""
        return self._row(name)["kind"] not in ("openapi", "routes")

    def launch(
        self, name: str, inputs: dict[str, Any], origin: Origin, *, entered: bool = False, batches: Sequence[str] = ()
    ) -> Run | ForeignRun:
        """Start a run, or have a service start it."""
        row = self._row(name)
        if row["kind"] == "process":
            return self._here.launch(row["name"], inputs, origin, entered=entered, batches=batches)
        if row["url"]:
            if set(batches) - set(self.check(name, inputs, entered=entered) if batches else ()):
                raise FlowError(f"flow {name!r} is behind an endpoint: name its uploads in the form's file element")
            if origin.asking is not None and row["kind"] != "mounted":  # those that are know the run's id again
                origin.asking(row["url"])
            flow = self._remote(row, origin.user, origin.run_id)
            return flow.submit(inputs) if entered else flow.launch(**inputs)
        found = self._module(row).check(row["entrypoint"], inputs, entered=entered)
        there = dataclasses.replace(origin, about={**self.register.place_of(row), **origin.about})
        return launch_at(row["entrypoint"], found.name, found.options, found.inputs, there, batches=batches)

    def close(self) -> None:
        """End the processes beside this one."""
        with self._lock:
            for one in self._beside.values():
                one.close()
            self._beside.clear()

    # -- one flow ---------------------------------------------------------------------

    def _row(self, name: str) -> dict[str, Any]:
        return chosen(self._rows(), name)

    def _module(self, row: dict[str, Any]) -> Beside:
        if not row["entrypoint"]:
            raise FlowError(f"flow {row['name']!r} of {row['source']} has no entrypoint: nothing leads back to it")
        with self._lock:
            if row["source"] not in self._beside:
                self._beside[row["source"]] = Beside(self.register.place_of(row))
            return self._beside[row["source"]]

    def _remote(self, row: dict[str, Any], user: str | None = None, run_id: str | None = None) -> RemoteFlow:
        root = self.register.root
        if row["kind"] != "mounted":
            return RemoteFlow.from_row(row, log_dir=root, user=user, run_id=run_id)
        mounted = next(one for one in self._mounts.values() if one.source == row["source"])
        flow = MountedFlow.from_row(row, log_dir=root, user=user, run_id=run_id)
        flow.mounted = mounted
        return flow

    def _form(self, flow: RemoteFlow) -> Model:
        return Model.model_validate(flow.elements)


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _info(row: dict[str, Any]) -> FlowInfo:
    names = {field.name for field in dataclasses.fields(FlowInfo)}
    inputs = row["inputs"]
    schema = inputs if isinstance(inputs, dict) and "error" not in inputs else dict(_ANY)
    return FlowInfo(**{key: value for key, value in row.items() if key in names}, schema=schema)
