"""Graphs: what LangGraph compiles. Each node that runs is a span, each interrupt a lock.

LangGraph itself is imported only to give a memory to a graph that has none, which it needs
to stop at an interrupt and go on.
"""

from __future__ import annotations

import asyncio
import copyreg
import secrets
import time
from typing import Any

from kodosumi_lab.events import dumps
from kodosumi_lab.flow import is_graph
from kodosumi_lab.runtime.tracer import Tracer

__all__ = ["invoke", "send_by_builder"]

_INTERRUPT = "__interrupt__"


async def invoke(graph: Any, inputs: Any, tracer: Tracer) -> Any:
    """Run a graph to its end, through all its interrupts.

    What nodes write with ``get_stream_writer()`` is recorded as ``action``. Nodes that take a
    ``config`` find the run's tracer at ``config["configurable"]["tracer"]``.

    Parameters
    ----------
    graph
        A compiled graph.
    inputs
        Its input.
    tracer
        Of the run, whose id is the graph's ``thread_id``.

    Returns
    -------
    Any
        The graph's state at its end.

    Raises
    ------
    TimeoutError
        Nobody answered an interrupt in time.
    """
    if not graph.checkpointer:
        from langgraph.checkpoint.memory import InMemorySaver

        graph = graph.copy(update={"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": tracer.run_id, "tracer": tracer}}
    given = inputs
    while True:
        values, asked = await _until_interrupted(graph, given, config, tracer)
        if not asked:
            return values
        given = await _answers(asked, tracer)


async def _until_interrupted(
    graph: Any, given: Any, config: dict[str, Any], tracer: Tracer
) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    """The state, and the interrupts that the graph stands at, each with its node's name."""
    nodes = _Nodes(tracer)
    values, asked = None, []
    try:
        async for mode, chunk in graph.astream(given, config, stream_mode=["tasks", "values", "custom"]):
            if mode == "custom":
                await tracer.action(chunk)
            elif mode == "values":
                values = _without_interrupts(chunk)
            elif "triggers" in chunk:
                nodes.begin(chunk)
            else:
                nodes.end(chunk)
                asked += [(chunk["name"], interrupt) for interrupt in chunk["interrupts"]]
    except BaseException as error:
        nodes.end_all(repr(error))
        raise
    return values, asked


def _without_interrupts(values: Any) -> Any:
    return {key: value for key, value in values.items() if key != _INTERRUPT} if isinstance(values, dict) else values


async def _answers(asked: list[tuple[str, dict[str, Any]]], tracer: Tracer) -> Any:
    """Ask all of them at once; the graph goes on when each has its answer."""
    from langgraph.types import Command

    async def answer(node: str, value: Any) -> Any:
        form = value.get("form") if isinstance(value, dict) else None
        data = value if form is None else {key: one for key, one in value.items() if key != "form"}
        return await tracer.lock(node, data=data, form=form)

    answers = await asyncio.gather(*(answer(node, interrupt["value"]) for node, interrupt in asked))
    return Command(resume={interrupt["id"]: found for (_, interrupt), found in zip(asked, answers, strict=True)})


def send_by_builder(target: Any) -> None:
    """Before an entrypoint is pickled: graphs travel as what they are compiled of, graphs within them included.

    A compiled graph knows a constant of LangGraph by its identity, which a pickle loses.
    """
    if is_graph(target) and hasattr(target, "builder"):
        copyreg.pickle(type(target), _parts)


def _parts(graph: Any) -> tuple[Any, ...]:
    stops = {f"interrupt_{when}": getattr(graph, f"interrupt_{when}_nodes") for when in ("before", "after")}
    kept = {name: getattr(graph, name) for name in ("checkpointer", "cache", "store", "debug", "name")}
    return _compiled, (graph.builder, {**stops, **kept})


def _compiled(builder: Any, options: dict[str, Any]) -> Any:
    return builder.compile(**options)


class _Nodes:
    """Nodes that run, as spans; several at once, which the spans of one task cannot be."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._began: dict[str, tuple[dict[str, Any], float]] = {}

    def begin(self, task: dict[str, Any]) -> None:
        """A node starts."""
        # A resumed node is the same task to the graph, but a stretch of work of its own.
        span = {"id": secrets.token_hex(6), "name": task["name"]}
        self._began[task["id"]] = (span, time.perf_counter())
        self._tracer.emit("span", dumps({**span, "parent": None, "state": "open", "triggers": list(task["triggers"])}))

    def end(self, task: dict[str, Any]) -> None:
        """A node has ended, or stands at an interrupt."""
        self._close(task["id"], task["error"], interrupted=bool(task["interrupts"]))

    def end_all(self, error: str) -> None:
        """The graph broke off."""
        for task in [*self._began]:
            self._close(task, error)

    def _close(self, task: str, error: Any, **facts: Any) -> None:
        if task not in self._began:  # its result was cached: it never ran
            return
        span, began = self._began.pop(task)
        closed = {**span, "state": "closed", "duration_s": time.perf_counter() - began}
        self._tracer.emit("span", dumps({**closed, "error": None if error is None else str(error), **facts}))
