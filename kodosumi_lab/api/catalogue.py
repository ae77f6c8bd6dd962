"""Where the gateway gets its flows from: one protocol, and the flows of this process behind it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kodosumi_lab.errors import FlowError, FlowNotFound
from kodosumi_lab.flow import Flow, entrypoint_of, registered
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime.launch import Origin, launch
from kodosumi_lab.runtime.run import Run

__all__ = ["Catalogue", "FlowInfo", "ProcessCatalogue"]


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """What is known of a flow without launching it.

    Attributes
    ----------
    name
        By which it is launched; one word in a path.
    source
        Where it was found: a module, a URL.
    schema
        JSON schema of its inputs.
    """

    name: str
    summary: str = ""
    description: str = ""
    tags: list[str] = field(default_factory=list)
    author: str = ""
    version: str = ""
    entrypoint: str | None = None
    source: str = ""
    schema: dict[str, Any] = field(default_factory=dict)


class Catalogue(Protocol):
    """Flows by name. Methods may block: the gateway calls them in threads."""

    def flows(self) -> list[FlowInfo]:
        """All flows, by name."""

    def get(self, name: str) -> FlowInfo:
        """One flow.

        Raises
        ------
        FlowNotFound
            There is none of that name.
        """

    def form(self, name: str) -> list[dict[str, Any]]:
        """The elements of the flow's input form, as plain data."""

    def check(self, name: str, inputs: dict[str, Any], *, entered: bool = False) -> None:
        """Whether the inputs fit, where that can be told beforehand; `entered` ones are the values of its form.

        Raises
        ------
        FlowNotFound, InputsError
            As :meth:`launch`.
        """

    def launch(self, name: str, inputs: dict[str, Any], origin: Origin, *, entered: bool = False) -> Run:
        """Start a run, with this process on the cluster already.

        Raises
        ------
        FlowNotFound, InputsError, ClusterError
            As :meth:`kodosumi_lab.flow.Flow.launch`.
        """


class ProcessCatalogue:
    """Flows that exist in this process, and those of modules that are imported at start.

    Parameters
    ----------
    modules
        ``package.module``, or ``package.module:name`` of one flow.

    Raises
    ------
    FlowError
        A module cannot be imported; the error says why.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._kept: list[Any] = []  # flows live as long as somebody holds them
        for name in modules:
            module = name.partition(":")[0]
            try:
                self._kept.append(importlib.import_module(module))
            except Exception as error:
                raise FlowError(f"module {module} cannot be imported: {type(error).__name__}: {error}") from error

    def flows(self) -> list[FlowInfo]:
        """All flows, by name."""
        return [_info(flow) for flow in registered().values()]

    def get(self, name: str) -> FlowInfo:
        """One flow."""
        return _info(self._find(name))

    def form(self, name: str) -> list[dict[str, Any]]:
        """The flow's elements."""
        return self._find(name).elements

    def check(self, name: str, inputs: dict[str, Any], *, entered: bool = False) -> None:
        """Check the inputs."""
        _checked(self._find(name), inputs, entered)

    def launch(self, name: str, inputs: dict[str, Any], origin: Origin, *, entered: bool = False) -> Run:
        """Start a run."""
        flow = self._find(name)
        return launch(flow, _checked(flow, inputs, entered), origin)

    def _find(self, name: str) -> Flow:
        known = registered()
        if name not in known:
            raise FlowNotFound(f"there is no flow {name!r}; there are: {', '.join(known) or 'none'}")
        return known[name]


def _checked(flow: Flow, inputs: dict[str, Any], entered: bool) -> Inputs:
    return flow.inputs.from_form(inputs) if entered else flow.inputs.validate(inputs)


def _info(flow: Flow) -> FlowInfo:
    o = flow.options
    return FlowInfo(
        flow.name, o.summary, o.description or (flow.__doc__ or ""), list(o.tags), o.author, o.version,
        entrypoint_of(flow), flow.__module__, _schema(flow),
    )  # fmt: skip


def _schema(flow: Flow) -> dict[str, Any]:
    from pydantic.errors import PydanticUserError

    try:
        return flow.inputs.json_schema()
    except (PydanticUserError, FlowError):  # an annotation that JSON schema has no word for
        return {"type": "object", "properties": {}, "additionalProperties": True}
