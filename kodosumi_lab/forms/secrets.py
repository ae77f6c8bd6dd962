"""Secrets are taken out of inputs on their way into the log, and put back for the flow.

Secrets are ``pydantic.SecretStr``, and text fields whose JSON schema has ``format: password``; the log holds
``{"secret": true}`` in their place, and their values go by their paths.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import deque
from typing import Any

__all__ = ["SECRET", "mask", "secret_fields", "step", "unmask"]

#: What the log holds in place of a secret.
SECRET = {"secret": True}


def _is_password(model: Any, name: str) -> bool:
    info = getattr(model, "model_fields", {}).get(name)
    extra = getattr(info, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("format") == "password"


def step(path: str, part: Any) -> str:
    """The path one step further; dots in a key are escaped as ``~1``, as JSON Pointer does with its slashes."""
    text = str(getattr(part, "value", part)).replace("~", "~0").replace(".", "~1")
    return f"{path}.{text}" if path else text


def mask(value: Any, path: str, secrets: dict[str, str]) -> Any:
    """Plain containers with secrets replaced; their values go to `secrets` by path."""
    from pydantic import BaseModel

    if hasattr(value, "get_secret_value"):
        secret = value.get_secret_value()
        secrets[path] = secret.decode() if isinstance(secret, bytes) else str(secret)
        return dict(SECRET)
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        items = {**fields, **(value.__pydantic_extra__ or {})}
        result = {}
        for name, item in items.items():
            where = step(path, name)
            if isinstance(item, str) and _is_password(type(value), name):
                secrets[where] = item
                result[name] = dict(SECRET)
            else:
                result[name] = mask(item, where, secrets)
        return result
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: mask(getattr(value, f.name), step(path, f.name), secrets) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: mask(v, step(path, k), secrets) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [mask(item, step(path, i), secrets) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        # as text, which pydantic reads back as a number: JSON, and so the log, has no such numbers
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def unmask(wire: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """Put secrets back in their places, in a copy."""
    result = copy.deepcopy(wire)
    for path, secret in secrets.items():
        *parents, last = [part.replace("~1", ".").replace("~0", "~") for part in path.split(".")]
        here: Any = result
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if isinstance(here, list):
            here[int(last)] = secret
        else:
            here[last] = secret
    return result


def secret_fields(wire: Any, path: str = "") -> list[str]:
    """Paths at which a secret was taken out."""
    if wire == SECRET:
        return [path]
    if isinstance(wire, dict):
        return [p for k, v in wire.items() for p in secret_fields(v, step(path, k))]
    if isinstance(wire, list):
        return [p for i, v in enumerate(wire) for p in secret_fields(v, step(path, i))]
    return []
