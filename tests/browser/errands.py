"""Flows that the dashboard's pages start, answer and end."""

from __future__ import annotations

import asyncio

import kodosumi_lab as kl
from kodosumi_lab import forms


@kl.flow(name="errand_nap", summary="Sleep")
async def nap(seconds: float = 0.0) -> str:
    await asyncio.sleep(seconds)
    return "rested"


@kl.flow(name="errand_ask", summary="Ask somebody")
async def ask(topic: str = "bees", *, tracer: kl.Tracer) -> str:
    form = forms.Model(forms.InputText("word", label="Word", required=True), forms.Submit("Say it"))
    said = await tracer.lock("word", data={"topic": topic}, form=form)
    return f"{topic}: {said['word']}"
