"""What endpoints and locks of a service share: form values in, a handler called with what it names, the form out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from kodosumi_lab.forms import Model

__all__ = ["ANSWER", "BODY", "ELEMENTS", "call_with", "form_values", "refill"]

_OBJECT = {"type": "object", "description": "form values by name"}
#: OpenAPI of a request with form values.
BODY: dict[str, Any] = {"required": True, "content": {"application/json": {"schema": _OBJECT}}}
#: JSON schema of a form.
ELEMENTS = {"type": "array", "items": {"type": "object"}, "description": "the form, one object an element"}
#: JSON schema of what comes back; `result` where all was well, else `errors`.
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["elements"],
    "properties": {
        "result": {"description": "id of the run; of a lock, what the flow gets"},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "messages by field; nothing was started or answered",
        },
        "elements": ELEMENTS,
    },
}


async def call_with(function: Callable[..., Any], **available: Any) -> Any:
    """Call a handler with those arguments that it names; one that is no coroutine gets a thread."""
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    given = {name: value for name, value in available.items() if name in parameters or open_ended}
    if inspect.iscoroutinefunction(function):
        return await function(**given)
    value = await run_in_threadpool(function, **given)
    return await value if inspect.isawaitable(value) else value


async def form_values(request: Request) -> dict[str, Any]:
    """Form values of a request: a JSON object."""
    try:
        values = await request.json()
    except (ValueError, RecursionError):  # no JSON, or nested deeper than Python reads
        values = None
    if not isinstance(values, dict):
        raise HTTPException(422, "expected a JSON object of form values: {name: value}")
    return values


def refill(model: Model, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The form with what was entered, but for passwords."""
    hidden = set(model.secrets)
    model.set_data({name: value for name, value in values.items() if name not in hidden})
    return model.get_model()
