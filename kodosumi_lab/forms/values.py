"""What a browser sends for a typed model's form, read as the JSON values that the model takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kodosumi_lab.forms.build import MISSING, Node, element_of_node
from kodosumi_lab.forms.check import Refused, is_blank, lines, read
from kodosumi_lab.forms.model import is_given
from kodosumi_lab.forms.own import Group
from kodosumi_lab.forms.wire import file_names

__all__ = ["from_form", "place"]

_WHOLE = re.compile(r"\s*[+-]?\d{1,4000}\s*", re.ASCII)


def from_form(
    fields: list[Node], data: dict[str, Any], masked: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Inputs of a model.

    Parameters
    ----------
    fields
        Nodes of the model.
    data
        Form values by element name; what is not there was left empty, or unchecked.
    masked
        What stands for a secret that was not entered again.

    Returns
    -------
    tuple
        JSON values by field, and messages by element name for what could not be read.
    """
    errors: dict[str, list[str]] = {}
    found = _group(fields, data, masked, errors)
    known = {name for node in fields for name in _names(node)}
    return {**{name: value for name, value in data.items() if name not in known}, **found}, errors


def _names(node: Node) -> list[str]:
    return [node.name, *(name for child in node.children for name in _names(child))]


def _group(
    fields: list[Node], data: dict[str, Any], masked: dict[str, Any], errors: dict[str, list[str]]
) -> dict[str, Any]:
    found = {}
    for node in fields:
        try:
            value = _value(node, data, masked, errors)
        except Refused as error:
            errors[node.name] = error.messages
            continue
        if value is not MISSING:
            found[node.key] = value
    return found


def _value(node: Node, data: dict[str, Any], masked: dict[str, Any], errors: dict[str, list[str]]) -> Any:
    raw = data.get(node.name, MISSING)
    if raw == masked:
        return MISSING
    if node.kind == "group":
        if isinstance(raw, dict):
            return raw
        return _whole_group(node, data, masked, errors)
    if node.kind == "boolean":
        return _READERS["boolean"](node, None if raw is MISSING else raw)
    if raw is MISSING:
        # the default, which a group that is given in part does not know of
        return node.default if "." in node.name and node.kind != "password" else MISSING
    if is_blank(raw):
        return _blank(node, raw)
    return _READERS[node.kind](node, raw)


def _whole_group(node: Node, data: dict[str, Any], masked: dict[str, Any], errors: dict[str, list[str]]) -> Any:
    element = element_of_node(node)
    assert isinstance(element, Group)
    if node.nullable and not is_given(element, data):
        return None
    if not node.nullable and not any(name in data for name in _names(node)) and node.default is not MISSING:
        return MISSING
    return _group(node.children, data, masked, errors)


def _blank(node: Node, raw: Any) -> Any:
    if node.nullable:
        return None
    if node.kind in ("choices", "list"):
        return []
    if node.kind == "file" and node.item is not None:
        return []
    if node.kind in ("text", "textarea") and not node.required:
        return raw or ""
    return MISSING


def _number(node: Node, raw: Any) -> Any:
    if not isinstance(raw, str) or node.schema.get("format") == "decimal":
        return raw
    if _WHOLE.fullmatch(raw):
        return int(raw)
    try:
        value = float(raw)
    except ValueError:
        return raw  # the model says what it expected
    return int(value) if node.kind == "integer" and value.is_integer() else value


def _boolean(node: Node, raw: Any) -> Any:
    if is_blank(raw) or raw == "off":
        return False
    return True if raw == "on" else raw


def _choice(node: Node, raw: Any) -> Any:
    if isinstance(raw, str) and raw in node.choices:
        return node.choices[raw]
    return raw


def _choices(node: Node, raw: Any) -> Any:
    if isinstance(raw, str):
        raw = [raw]
    return [_choice(node, one) for one in raw] if isinstance(raw, list | tuple | set | frozenset) else raw


def _list(node: Node, raw: Any) -> Any:
    items = lines(raw) if isinstance(raw, str) else raw
    if node.item is None or not isinstance(items, list | tuple | set | frozenset):
        return items
    return [_READERS[node.item.kind](node.item, item) for item in items]


def _json(node: Node, raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if any(one.get("type") == "string" for one in node.schema.get("anyOf", [])):
            return raw
        raise Refused(f"is no JSON: {error}") from None
    if node.schema.get("type") == "object" and not isinstance(value, dict):
        raise Refused(f"is a JSON {type(value).__name__}; expected an object")
    return value


def _file(node: Node, raw: Any) -> Any:
    """Uploaded files by where the flow finds them; other text is a path of the cluster's machines."""
    if isinstance(raw, str) and not raw.lstrip().startswith("{"):
        return [raw] if node.item is not None else raw
    element = element_of_node(node)
    read(element, raw)
    names = [f"in/{name}" for name in file_names(raw)]
    if node.item is not None:
        return names
    return names[0] if names else MISSING


def _same(node: Node, raw: Any) -> Any:
    return raw


_READERS: dict[str, Callable[[Node, Any], Any]] = {
    "text": _same,
    "textarea": _same,
    "password": _same,
    "date": _same,
    "time": _same,
    "datetime": _same,
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "choices": _choices,
    "list": _list,
    "json": _json,
    "file": _file,
}


def place(fields: list[Node], errors: dict[str, list[str]]) -> dict[str, list[str]]:
    """Messages under the names of elements, where they stood under paths into a field's value."""
    known = {name for node in fields for name in _names(node)}
    found: dict[str, list[str]] = {}
    for path, messages in errors.items():
        name, rest = path, ""
        while name not in known and "." in name:
            name, _, last = name.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
        if name not in known:
            name, rest = path, ""
        found.setdefault(name, []).extend(f"at {rest}: {message}" if rest else message for message in messages)
    return found
