"""Routes that start a run again: as it was, with some inputs changed, or with its form filled in anew."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kodosumi_lab.api.acting import CREATED, Key, started
from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import CurrentUser, Launcher
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.reading import RunRow
from kodosumi_lab.errors import InputsError
from kodosumi_lab.forms import Inputs, secret_fields
from kodosumi_lab.forms.filling import filled, json_elements, kept_files
from kodosumi_lab.runtime.launch import Origin, again, rerun
from kodosumi_lab.runtime.run import Run

__all__ = ["router"]

router = APIRouter()

# Kinds of flows that this process, or one beside it, can check and start.
_OURS = ("process", "module", "installed")
_FORGOTTEN = "is a secret, which is not kept; give it again"


class RerunBody(BaseModel):
    """What to change."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = Field(default_factory=dict, description="inputs that differ; secrets have to be given")
    form: dict[str, Any] | None = Field(
        None, description="instead: what was entered in the run's form, by element name"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> RerunBody:
        if self.form is not None and self.inputs:
            raise ValueError("inputs and form are two ways to say the same; give one")
        return self


@router.get("/runs/{run_id}/form", tags=["runs"])
def rerun_form(run_id: str, gateway: GatewayOf, user: CurrentUser) -> list[dict[str, Any]]:
    """Elements of the form of the run's flow, filled with its inputs; a JSON element for each where it is not known.

    Secrets are empty. A file element that is left empty stands for the files that the run had.
    """
    run = gateway.run(run_id, user)
    name = _flow_of(gateway, run)
    return json_elements(run.inputs) if name is None else filled(gateway.catalogue.form(name), run.inputs)


@router.post("/runs/{run_id}/rerun", tags=["runs"], status_code=201, responses=CREATED, response_model=RunRow)
async def rerun_run(
    run_id: str, gateway: GatewayOf, user: Launcher, response: Response, body: RerunBody | None = None, key: Key = None
) -> Any:
    """Start a new run of the same flow with the same inputs, but for those given."""
    asked = body if body is not None else RerunBody(inputs={}, form=None)

    def begin(origin: Origin) -> Run:
        earlier = gateway.run(run_id, user)
        if asked.form is not None:
            return _entered(gateway, user, earlier, asked.form, origin)
        gateway.cluster.connection()
        gateway.rate.take(user)
        return rerun(earlier, asked.inputs, origin)

    about = ["rerun", run_id, asked.inputs] if asked.form is None else ["rerun", run_id, "form", asked.form]
    return await gateway.act(started, gateway, user, key, about, begin, response)


def _entered(gateway: Gateway, user: User, run: Run, values: dict[str, Any], origin: Origin) -> Run:
    """Start it again with what was entered in its form."""
    name = _flow_of(gateway, run)
    if name is None:
        changes = _changes(run, values)
        gateway.cluster.connection()
        gateway.rate.take(user)
        return rerun(run, changes, origin)
    given = kept_files(gateway.catalogue.form(name), run.inputs, values)
    checked, batches = gateway.catalogue.entered(name, given)
    forgotten = _forgotten(run, values, checked)
    if forgotten:
        raise InputsError.of({field: [_FORGOTTEN] for field in forgotten}, flow=name)
    batches = list(dict.fromkeys(batches))
    gateway.claim(batches, user)
    gateway.cluster.connection()
    gateway.rate.take(user)
    return again(run, checked, origin, batches=batches)


def _flow_of(gateway: Gateway, run: Run) -> str | None:
    """By which name the catalogue has the run's flow: the same entrypoint, not merely the same name."""
    meta = run.meta
    if "fid" in meta:  # a service started it, with inputs that are not those of a form
        return None
    for flow in gateway.catalogue.flows():
        entrypoint = flow.entrypoint or f"{flow.name} (by value)"
        if flow.kind in _OURS and flow.name == meta["flow"] and entrypoint == meta["entrypoint"]:
            return flow.name
    return None


def _changes(run: Run, values: dict[str, Any]) -> dict[str, Any]:
    """Inputs that were changed in a form of JSON elements."""
    changes, errors = {}, {}
    for name, text in values.items():
        if name not in run.inputs or name in secret_fields(run.inputs):
            if text not in (None, ""):
                changes[name] = text
            continue
        try:
            value = json.loads(text) if isinstance(text, str) else text
        except (ValueError, RecursionError) as error:
            errors[name] = [f"is no JSON: {error}"]
            continue
        if value != run.inputs[name]:
            changes[name] = value
    if errors:
        raise InputsError.of(errors, flow=run.meta["flow"])
    return changes


def _forgotten(run: Run, values: dict[str, Any], checked: Inputs) -> list[str]:
    """Secrets that the run had and that were left empty: a default in their place would be another run in silence."""
    return [
        path for path in secret_fields(run.inputs) if _has_place(checked.wire, path) and not _is_given(values, path)
    ]


def _has_place(wire: dict[str, Any], path: str) -> bool:
    """Whether what the field stands in is there; a group may have been switched off."""
    here: Any = wire
    for part in path.split(".")[:-1]:
        here = here.get(part) if isinstance(here, dict) else here
    return here is not None


def _is_given(values: dict[str, Any], path: str) -> bool:
    parts = path.split(".")
    names = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
    given = next((values[name] for name in names if name in values), None)
    return given not in (None, "", [], {"secret": True})
