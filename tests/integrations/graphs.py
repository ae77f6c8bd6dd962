"""Graphs: one that asks two people at once, one that fails."""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

import kodosumi_lab as kl
from kodosumi_lab import forms


class Refund(TypedDict, total=False):
    amount: int
    notes: Annotated[list[str], operator.add]
    granted: int


GRANT = forms.Model(forms.InputNumber("granted", label="Granted", required=True, min_value=0, max_value=100, step=1))


def look(state: Refund, config: RunnableConfig) -> Refund:
    config["configurable"]["tracer"].progress(1, 3, "looking")
    get_stream_writer()({"seen": state["amount"]})
    print("looking at", state["amount"])
    return {"notes": [f"asked for {state['amount']}"]}


def manager(state: Refund) -> Refund:
    answer = interrupt({"question": f"Grant {state['amount']}?", "form": GRANT.get_model()})
    return {"granted": answer["granted"], "notes": [f"manager: {answer['granted']}"]}


async def clerk(state: Refund) -> Refund:
    return {"notes": [f"clerk: {interrupt('Anything to add?')}"]}


def pay(state: Refund) -> Refund:
    return {"notes": ["paid"] if state["granted"] else ["refused"]}


builder = StateGraph(Refund)
for node in (look, manager, clerk, pay):
    builder.add_node(node)
builder.add_edge(START, "look")
builder.add_edge("look", "manager")
builder.add_edge("look", "clerk")
builder.add_edge(["manager", "clerk"], "pay")
builder.add_edge("pay", END)
graph = builder.compile(name="refund")
refund = kl.flow(graph, tags=["graph"])


def breaks(state: Refund) -> Refund:
    raise ZeroDivisionError("no such amount")


broken = StateGraph(Refund).add_node(breaks).add_edge(START, "breaks").compile()
