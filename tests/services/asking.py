"""Flows that ask a person."""

from __future__ import annotations

import asyncio
import datetime
from typing import Annotated, Any

from pydantic import Field, SecretStr

import kodosumi_lab as kl
from kodosumi_lab import forms


@kl.flow
async def review(limit_s: float = 60, *, tracer: kl.Tracer) -> Any:
    form = forms.Model(
        forms.Markdown("Shall we?"),
        forms.InputNumber("amount", min_value=1, required=True),
        forms.Checkbox("sure"),
        forms.InputPassword("pin", value="default"),
    )
    return await tracer.lock("approval", data={"page": 3}, form=form, timeout_s=limit_s)


@kl.flow
def review_sync(*, tracer: kl.Tracer) -> Any:
    try:
        return tracer.lock_sync("short", None, 0.5)
    except TimeoutError as error:
        return f"gave up: {error}"


@kl.flow
async def two_at_once(*, tracer: kl.Tracer) -> list[Any]:
    asked = tracer.agent("clerk")
    return list(await asyncio.gather(tracer.lock("one", form=[{"type": "text", "name": "t"}]), asked.lock("two")))


NO_KEY = SecretStr("")


@kl.flow(summary="Pay")
def pay(amount: Annotated[int, Field(gt=0)], day: datetime.date, key: SecretStr = NO_KEY) -> str:
    return f"{amount} on {day:%A} with {len(key.get_secret_value())}"
