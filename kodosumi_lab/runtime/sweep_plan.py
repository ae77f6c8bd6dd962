"""What a sweep is asked for: lists of inputs, the combinations of them, and whether all of them fit."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import Inputs

__all__ = ["Plan", "checked_of", "planned", "recorded"]

_TOLD = 5


@dataclass
class Plan:
    """What is asked for: lists by input, what is the same for all, and how the lists go together."""

    lists: dict[str, list[Any]]
    same: dict[str, Any]
    zipped: bool

    def combinations(self) -> list[dict[str, Any]]:
        """What varies, one dict a run."""
        rows: Any = zip(*self.lists.values(), strict=True) if self.zipped else itertools.product(*self.lists.values())
        return [dict(zip(self.lists, row, strict=True)) for row in rows]


def planned(inputs: dict[str, Any], zipped: bool) -> Plan:
    """The plan that inputs make: lists and the like vary, everything else is the same for all.

    Raises
    ------
    FlowError
        Nothing varies, or the lists do not go together.
    """
    lists = {name: items for name, value in inputs.items() if (items := _items(value)) is not None}
    if not lists:
        raise FlowError("there is nothing to sweep over: give at least one input a list of values, as in end=[10, 100]")
    empty = [name for name, items in lists.items() if not items]
    if empty:
        raise FlowError(f"the list for {', '.join(empty)} is empty: there is no combination to run")
    if zipped and len({len(items) for items in lists.values()}) > 1:
        told = ", ".join(f"{name} has {len(items)}" for name, items in lists.items())
        raise FlowError(f"with zipped=True all lists are of one length; {told}")
    return Plan(lists, {name: value for name, value in inputs.items() if name not in lists}, zipped)


def _items(value: Any) -> list[Any] | None:
    """The values to go through; None of what is one value."""
    if isinstance(value, list | tuple | range):
        return list(value)
    for method in ("to_list", "tolist"):  # series and arrays
        if callable(getattr(type(value), method, None)):
            found = getattr(value, method)()
            return found if isinstance(found, list) else None
    return None


def checked_of(flow: Flow, plan: Plan) -> list[Inputs]:
    """Inputs of all combinations.

    Raises
    ------
    InputsError
        Some do not fit; each message names the value, once.
    """
    checked: list[Inputs] = []
    wrong: dict[str, dict[str, None]] = {}
    for given in plan.combinations():
        try:
            checked.append(flow.inputs.validate({**plan.same, **given}, local=True))
        except InputsError as error:
            for name, messages in error.errors.items():
                field = name.partition(".")[0]
                about = {field: given[field]} if field in given else {} if field in plan.same else given
                told = ", ".join(f"{key}={value!r}" for key, value in about.items())
                wrong.setdefault(name, {}).update(
                    dict.fromkeys(f"with {told}: {message}" if told else message for message in messages)
                )
    if wrong:
        shown = {name: [*found][:_TOLD] for name, found in wrong.items()}
        for name, found in wrong.items():
            shown[name] += [f"and {len(found) - _TOLD} more"] if len(found) > _TOLD else []
        raise InputsError.of(shown, flow=flow.name)
    return checked


def recorded(plan: Plan, checked: list[Inputs]) -> dict[str, Any]:
    """The lists as JSON, where the combinations follow from them: by these another process can start the rest."""
    if any(one.secrets for one in checked):
        return {}
    wires = [one.wire for one in checked]
    lists, step = {}, 1 if plan.zipped else math.prod(map(len, plan.lists.values()))
    for name, items in plan.lists.items():
        step = step if plan.zipped else step // len(items)
        lists[name] = [wires[i * step].get(name) for i in range(len(items))]
    follows = [{**wires[0], **one} for one in Plan(lists, {}, plan.zipped).combinations()]
    return {"lists": lists} if follows == wires else {}
