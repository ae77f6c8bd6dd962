"""Where the gateway gets its flows from: one protocol, and the flows of this process behind it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kodosumi_lab.errors import FlowError, FlowNotFound
from kodosumi_lab.flow import Flow, entrypoint_of, registered
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

    def check(self, name: str, inputs: dict[str, Any]) -> None:
        """Whether the inputs fit, where that can be told beforehand.

        Raises
        ------
        FlowNotFound, InputsError
            As :meth:`launch`.
        """

    def launch(self, name: str, inputs: dict[str, Any], origin: Origin) -> Run:
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
        """One element for each property of the schema."""
        return _elements(_schema(self._find(name)))

    def check(self, name: str, inputs: dict[str, Any]) -> None:
        """Check the inputs."""
        self._find(name).inputs.validate(inputs)

    def launch(self, name: str, inputs: dict[str, Any], origin: Origin) -> Run:
        """Start a run."""
        return launch(self._find(name), inputs, origin)

    def _find(self, name: str) -> Flow:
        known = registered()
        if name not in known:
            raise FlowNotFound(f"there is no flow {name!r}; there are: {', '.join(known) or 'none'}")
        return known[name]


def _info(flow: Flow) -> FlowInfo:
    o = flow.options
    return FlowInfo(
        flow.name, o.summary, o.description or (flow.__doc__ or ""), list(o.tags), o.author, o.version,
        entrypoint_of(flow), flow.__module__, _schema(flow),
    )  # fmt: skip


def _schema(flow: Flow) -> dict[str, Any]:
    from pydantic.errors import PydanticUserError

    try:
        return flow.inputs.model.model_json_schema()
    except (PydanticUserError, FlowError):  # an annotation that JSON schema has no word for
        return {"type": "object", "properties": {}, "additionalProperties": True}


_TYPES = {"boolean": "boolean", "integer": "number", "number": "number"}


def _elements(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Elements for the plain types; anything else is entered as JSON text."""
    required = set(schema.get("required", ()))
    result: list[dict[str, Any]] = []
    for name, item in schema.get("properties", {}).items():
        found = next((option for option in item.get("anyOf", ()) if option.get("type") != "null"), item)
        kind = "password" if found.get("format") == "password" else _TYPES.get(found.get("type", ""), "text")
        element = {"type": kind, "name": name, "label": item.get("title", name), "value": item.get("default")}
        result.append({**element, "required": name in required})
    return result
