"""Crews: objects with ``kickoff_async(inputs=…)``, as CrewAI makes them. CrewAI itself is never imported.

Before a crew begins, its agents and tasks are recorded; while it works, what its agents do
is recorded as ``action`` events, and each task's end as a ``result``.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from kodosumi_lab.events import dumps
from kodosumi_lab.runtime import console
from kodosumi_lab.runtime.tracer import Tracer

__all__ = ["kickoff"]

_CALLBACKS = {"step_callback": "action", "task_callback": "result"}


async def kickoff(target: Any, inputs: Any, tracer: Tracer) -> Any:
    """Run a crew.

    Parameters
    ----------
    target
        The crew, a class of one, or a class whose instances' ``crew()`` gives one.
    inputs
        For its ``kickoff_async``.
    tracer
        Of the run.

    Returns
    -------
    Any
        What the crew gives back.
    """
    crew: Any = target() if inspect.isclass(target) else target
    if not hasattr(crew, "kickoff_async"):
        crew = crew.crew()
    for agent in getattr(crew, "agents", None) or []:
        tracer.emit("agent", dumps({"agent": _agent(agent)}))
    for task in getattr(crew, "tasks", None) or []:
        tracer.emit("agent", dumps({"task": _task(task)}))
    with _listening(crew):
        return await crew.kickoff_async(inputs=inputs)


def _agent(agent: Any) -> dict[str, Any]:
    about = {name: _text(getattr(agent, name, None)) for name in ("role", "goal", "backstory")}
    return {**about, "tools": _tools(agent)}


def _task(task: Any) -> dict[str, Any]:
    about = {name: _text(getattr(task, name, None)) for name in ("name", "description", "expected_output")}
    who = getattr(task, "agent", None)
    return {**about, "agent": _text(getattr(who, "role", None)), "tools": _tools(task)}


def _tools(owner: Any) -> list[dict[str, str | None]]:
    tools = getattr(owner, "tools", None) or []
    return [{name: _text(getattr(tool, name, None)) for name in ("name", "description")} for tool in tools]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


class _Listener:
    """Records what it is called with, then calls the crew's own callback.

    It asks whose code is running rather than knowing it: a crew hands its callbacks on to its
    agents, which keep them beyond the run when the process takes another one.
    """

    def __init__(self, verb: str, own: Callable[[Any], Any] | None) -> None:
        self.verb = verb
        self.own = own

    def __call__(self, output: Any) -> Any:
        tracer = console.current()
        if tracer is not None:
            getattr(tracer, f"{self.verb}_sync")(output)
        return self.own(output) if self.own is not None else None


@contextlib.contextmanager
def _listening(crew: Any) -> Iterator[None]:
    """While in the block, the crew's callbacks are heard."""
    before = {}
    for name, verb in _CALLBACKS.items():
        if not hasattr(crew, name):
            continue
        own = getattr(crew, name)
        before[name] = own
        setattr(crew, name, _Listener(verb, own))
    try:
        yield
    finally:
        for name, own in before.items():
            setattr(crew, name, own)
