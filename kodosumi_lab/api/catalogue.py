"""Where the gateway gets its flows from: one protocol, and the flows of this process behind it.

:mod:`.registered` has those of the Flow Register, too, and is what the gateway takes by default.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kodosumi_lab.errors import FlowError, FlowNotFound
from kodosumi_lab.flow import Flow, entrypoint_of, registered
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime.launch import Origin, launch
from kodosumi_lab.runtime.remote import ForeignRun
from kodosumi_lab.runtime.run import Run

__all__ = ["Catalogue", "FlowInfo", "ProcessCatalogue"]


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """What is known of a flow without launching it.

    Attributes
    ----------
    name
        By which it is launched; one word in a path.
    source, kind
        Where it was found, and what that is: ``process``, ``module``, ``installed``, ``openapi``,
        ``routes``, or ``mounted`` on this gateway.
    schema
        JSON schema of its inputs.
    organization, url
        Of a flow behind an endpoint.
    state, reason
        ``ok``, or ``stale`` where its source cannot be read any more, and why.
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
    kind: str = "process"
    organization: str = ""
    url: str | None = None
    state: str = "ok"
    reason: str = ""


class Catalogue(Protocol):
    """Flows by name. Methods may block: the gateway calls them in threads."""

    def flows(self, search: str | None = None) -> list[FlowInfo]:
        """All flows, by name; with `search` those in whose texts all of these words occur."""

    def get(self, name: str) -> FlowInfo:
        """One flow.

        Raises
        ------
        FlowNotFound
            There is none of that name.
        """

    def form(self, name: str) -> list[dict[str, Any]]:
        """The elements of the flow's input form, as plain data."""

    def check(self, name: str, inputs: dict[str, Any], *, entered: bool = False) -> list[str]:
        """Whether the inputs fit, where that can be told beforehand; `entered` ones are the values of its form.

        Returns
        -------
        list[str]
            Batches of uploaded files that the form's file elements name.

        Raises
        ------
        FlowNotFound, InputsError
            As :meth:`launch`.
        """

    def entered(self, name: str, values: dict[str, Any]) -> tuple[Inputs, list[str]]:
        """What was entered in the form of a flow, checked, and the batches that its file elements name.

        Raises
        ------
        FlowNotFound, InputsError
            As :meth:`launch`.
        FlowError
            Its service alone can read it.
        """

    def needs_cluster(self, name: str) -> bool:
        """Whether launching it takes this process's own connection to the cluster."""

    def launch(
        self, name: str, inputs: dict[str, Any], origin: Origin, *, entered: bool = False, batches: Sequence[str] = ()
    ) -> Run | ForeignRun:
        """Start a run, with this process on the cluster where that is needed.

        Parameters
        ----------
        name, inputs, entered
            As for :meth:`check`. Nothing among the inputs makes the gateway read its own disk.
        origin
            Who starts it.
        batches
            All uploads for the run's ``in/``, those that :meth:`check` gave included.

        Raises
        ------
        FlowNotFound, InputsError, ClusterError, ServiceError
            As :meth:`kodosumi_lab.flow.Flow.launch` and :meth:`kodosumi_lab.RemoteFlow.launch`.
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

    def flows(self, search: str | None = None) -> list[FlowInfo]:
        """All flows, by name."""
        words = (search or "").casefold().split()
        found = [_info(flow) for flow in self._flows().values()]
        return [flow for flow in found if all(word in repr(flow).casefold() for word in words)]

    def get(self, name: str) -> FlowInfo:
        """One flow."""
        return _info(self._find(name))

    def form(self, name: str) -> list[dict[str, Any]]:
        """The flow's elements."""
        return self._find(name).elements

    def check(self, name: str, inputs: dict[str, Any], *, entered: bool = False) -> list[str]:
        """Check the inputs."""
        flow = self._find(name)
        _checked(flow, inputs, entered)
        return list(flow.inputs.form().uploads(inputs).values()) if entered else []

    def entered(self, name: str, values: dict[str, Any]) -> tuple[Inputs, list[str]]:
        """Check what was entered."""
        flow = self._find(name)
        return flow.inputs.from_form(values), list(flow.inputs.form().uploads(values).values())

    def needs_cluster(self, name: str) -> bool:
        """Always."""
        return True

    def launch(
        self, name: str, inputs: dict[str, Any], origin: Origin, *, entered: bool = False, batches: Sequence[str] = ()
    ) -> Run:
        """Start a run."""
        flow = self._find(name)
        return launch(flow, _checked(flow, inputs, entered), origin, batches=batches)

    def _flows(self) -> dict[str, Flow]:
        """Those of the modules asked for win over others of their names."""
        asked = {flow.name: flow for module in self._kept for flow in vars(module).values() if isinstance(flow, Flow)}
        return dict(sorted({**registered(), **asked}.items()))

    def _find(self, name: str) -> Flow:
        known = self._flows()
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
