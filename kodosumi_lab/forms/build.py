"""From a typed model to its form, by way of its JSON schema.

:func:`nodes` makes of each field a node, which is what is left of its schema once references, optional parts and
defaults are settled. A node becomes an element (:func:`element_of_node`) and reads the form value of that element
(:mod:`kodosumi_lab.forms.values`): one description serves both directions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kodosumi_lab.forms.elements import (
    Checkbox,
    FormElement,
    InputArea,
    InputDate,
    InputDateTime,
    InputFiles,
    InputNumber,
    InputOption,
    InputPassword,
    InputText,
    InputTime,
    Select,
)
from kodosumi_lab.forms.own import Group, InputJSON, InputList, MultiSelect

__all__ = ["MISSING", "Node", "element_of_node", "nodes"]

#: No value was given, so the model's default holds.
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING", "__bool__": lambda _: False})()

_STRINGS = {
    "password": "password",
    "date": "date",
    "time": "time",
    "path": "file",
    "upload": "file",
    "textarea": "textarea",
}
_ABOUT = ("title", "description", "examples", "default")
_ITEMS = {"text", "integer", "number", "date", "time", "datetime", "password"}


@dataclass
class Node:
    """One field, or one group of fields.

    Attributes
    ----------
    name
        In the form: dotted for a field of a group.
    key
        In its group.
    kind
        ``text textarea password integer number boolean choice choices list file date time datetime json group``.
    schema
        JSON schema of its values, None aside.
    nullable
        Whether None is a value.
    required
        Whether a value must be given.
    default
        JSON value, or MISSING where there is none or none that could be shown.
    about
        ``title``, ``description`` and ``examples`` of the field.
    choices
        JSON values by option name.
    item
        What a list is made of.
    children
        Fields of a group.
    """

    name: str
    key: str
    kind: str
    schema: dict[str, Any]
    nullable: bool = False
    required: bool = False
    default: Any = MISSING
    about: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    item: Node | None = None
    children: list[Node] = field(default_factory=list)


def nodes(schema: dict[str, Any], default: Any = MISSING) -> list[Node]:
    """Nodes of a model's JSON schema; `default` is a JSON form of the model, shown instead of its own defaults."""
    reader = _Reader(schema.get("$defs", {}))
    top, _ = reader.settle(schema)
    return reader.fields(top, "", default, _refs(schema))


def _refs(schema: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({schema["$ref"]} if "$ref" in schema else ())


class _Reader:
    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions

    def settle(self, schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Follow references and take None out of the choices; whether it was among them."""
        nullable = False
        while True:
            about = {key: value for key, value in schema.items() if key in _ABOUT}
            if "$ref" in schema:
                found = self._definitions[schema["$ref"].rpartition("/")[2]]
                # the title of a class is no label
                schema = {**{key: value for key, value in found.items() if key != "title"}, **about}
                continue
            options = schema.get("anyOf") or schema.get("oneOf") or []
            left = [one for one in options if one.get("type") != "null"]
            nullable = nullable or len(left) < len(options)
            if len(left) != 1:
                if len(left) < len(options):
                    schema = {**schema, "anyOf": left}
                return schema, nullable
            schema = {**left[0], **about}

    def fields(self, schema: dict[str, Any], prefix: str, default: Any, above: frozenset[str]) -> list[Node]:
        required = schema.get("required", [])
        found = []
        for key, one in schema.get("properties", {}).items():
            own = default[key] if isinstance(default, dict) and key in default else _default(one)
            node = self.node(f"{prefix}{key}", key, one, own, above)
            node.required = key in required and not node.nullable
            found.append(node)
        return found

    def node(self, name: str, key: str, schema: dict[str, Any], default: Any, above: frozenset[str]) -> Node:
        refs = _refs(schema) | frozenset(ref for one in schema.get("anyOf", []) for ref in _refs(one))
        settled, nullable = self.settle(schema)
        about: dict[str, Any] = {
            word: settled[word] for word in ("title", "description", "examples") if word in settled
        }
        node = Node(name, key, "json", settled, nullable, default=default, about=about)
        values = self._values(settled)
        if values is not None:
            node.nullable = nullable = nullable or None in values
            node.kind, node.choices = "choice", _named([value for value in values if value is not None])
        elif settled.get("type") == "boolean":
            node.kind = "choice" if nullable else "boolean"
            node.choices = {"yes": True, "no": False} if nullable else {}
        elif settled.get("type") == "object" and not settled.get("additionalProperties"):
            if "properties" in settled and not refs & above:
                node.kind = "group"
                node.children = self.fields(settled, f"{name}.", default, above | refs)
        elif settled.get("type") == "array" and "prefixItems" not in settled:
            self._array(node, above)
        else:
            node.kind = self._scalar(settled, default)
        return node

    def _values(self, schema: dict[str, Any]) -> list[Any] | None:
        """What may be chosen, where that is a closed list."""
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(schema["enum"])
        found: list[Any] = []
        for one in schema.get("anyOf", [{}]):
            values = self._values(self.settle(one)[0]) if one else None
            if values is None:
                return None
            found += values
        return found

    def _array(self, node: Node, above: frozenset[str]) -> None:
        item = self.node(node.name, "", node.schema.get("items") or {}, MISSING, above)
        item.required = not item.nullable
        if item.nullable:
            return
        if item.kind == "choice":
            node.kind, node.choices = "choices", item.choices
        elif item.kind == "file":
            node.kind, node.item = "file", item
        elif item.kind in _ITEMS:
            node.kind, node.item = "list", item

    def _scalar(self, schema: dict[str, Any], default: Any) -> str:
        if schema.get("type") in ("integer", "number"):
            return str(schema["type"])
        if "anyOf" in schema:
            sorts = {self.settle(one)[0].get("type") for one in schema["anyOf"]}
            return "number" if sorts <= {"integer", "number"} else "json"
        if schema.get("type") != "string":
            return "json"
        if schema.get("format") == "date-time":
            zoned = schema.get("zone") or (isinstance(default, str) and re.search(r"(Z|[+-]\d\d:\d\d)$", default))
            return "text" if zoned else "datetime"
        kind = _STRINGS.get(schema.get("format", ""), "text")
        return "textarea" if kind == "text" and isinstance(default, str) and "\n" in default else kind


def _default(schema: dict[str, Any]) -> Any:
    """Default in a schema, where it stands as JSON text."""
    try:
        return json.loads(schema["default"])
    except (KeyError, TypeError, ValueError):
        return MISSING


def _named(values: list[Any]) -> dict[str, Any]:
    """Values by option name: their text, or their JSON where texts could be mistaken for one another."""
    plain = {value if isinstance(value, str) else json.dumps(value): value for value in values}
    if len(plain) == len(values) and "" not in plain:
        return plain
    return {json.dumps(value): value for value in values}


# -- elements --------------------------------------------------------------------------


def element_of_node(node: Node) -> FormElement:
    """Element in which a node's value is entered, showing its default."""
    title = node.about.get("title") or node.key.replace("_", " ").strip().capitalize() or node.key
    about: dict[str, Any] = {"name": node.name, "label": title}
    if node.about.get("description"):
        about["help"] = node.about["description"]
    if node.kind == "group":
        inner: list[Any] = [element_of_node(child) for child in node.children]
        return Group(**about, elements=inner, optional=node.nullable, value=node.nullable and bool(node.default))
    shown = form_value(node)
    if node.kind == "boolean":
        return Checkbox(**about, value=bool(shown), option=title)
    about |= {"value": shown, "required": node.required}
    examples = node.about.get("examples")
    if isinstance(examples, list) and examples and node.kind not in ("choice", "choices", "list", "file", "password"):
        about["placeholder"] = _text_of(node, examples[0])
    make: Callable[[Node, dict[str, Any]], FormElement] = _MAKERS[node.kind]
    return make(node, about)


def form_value(node: Node, value: Any = MISSING) -> Any:
    """What the element of a node shows for a JSON value, by default for the node's default.

    Sent back as it is, it is read as that value.
    """
    value = node.default if value is MISSING else value
    if node.kind == "password":
        return None
    if node.kind == "boolean":
        return value is True
    if value is None or value is MISSING:
        return None
    if node.kind == "list":
        assert node.item is not None
        return None if node.item.kind == "password" else [_text_of(node.item, one) for one in value]
    if node.kind == "choices":
        return [_name_of(node, one) for one in value]
    return _text_of(node, value)


def _text_of(node: Node, value: Any) -> str | None:
    if node.kind == "choice":
        return _name_of(node, value)
    if node.kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if node.kind == "file":
        return None  # a browser shows no file that it did not choose
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _name_of(node: Node, value: Any) -> str | None:
    return next((name for name, one in node.choices.items() if one == value and type(one) is type(value)), None)


def _text(node: Node, about: dict[str, Any]) -> FormElement:
    return InputText(**about, **_lengths(node), pattern=_whole(node.schema.get("pattern")))


def _lengths(node: Node) -> dict[str, Any]:
    return {"min_length": node.schema.get("minLength"), "max_length": node.schema.get("maxLength")}


def _whole(pattern: str | None) -> str | None:
    """A pattern that is searched for, as one that the whole text has to match."""
    if pattern is None:
        return None
    if re.fullmatch(r"\^[^|]*(?<!\\)\$", pattern):
        return pattern[1:-1]
    return rf"[\s\S]*(?:{pattern})[\s\S]*"


def _number(node: Node, about: dict[str, Any]) -> FormElement:
    whole = node.kind == "integer"
    least, most = node.schema.get("minimum"), node.schema.get("maximum")
    step = node.schema.get("multipleOf")
    if "exclusiveMinimum" in node.schema:
        least = node.schema["exclusiveMinimum"] + (1 if whole else 0)
    if "exclusiveMaximum" in node.schema:
        most = node.schema["exclusiveMaximum"] - (1 if whole else 0)
    if step and least is not None:  # steps are counted from the least value, multiples from 0
        size = Decimal(str(step))
        first = math.ceil(Decimal(str(least)) / size) * size
        least = int(first) if first == int(first) else float(first)
    return InputNumber(**about, min_value=least, max_value=most, step=step or (1 if whole else None))


def _select(node: Node, about: dict[str, Any]) -> FormElement:
    return Select(**about, option=_options(node))


def _options(node: Node) -> list[InputOption]:
    return [InputOption(name, value if isinstance(value, str) else name) for name, value in node.choices.items()]


def _counts(node: Node) -> dict[str, Any]:
    counts = {"min_items": node.schema.get("minItems"), "max_items": node.schema.get("maxItems")}
    return {**counts, "required": bool(node.required and counts["min_items"])}


def _multiselect(node: Node, about: dict[str, Any]) -> FormElement:
    return MultiSelect(**{**about, **_counts(node)}, option=_options(node))


def _list(node: Node, about: dict[str, Any]) -> FormElement:
    assert node.item is not None
    item = element_of_node(node.item)
    item.name, item.label = "item", None  # type: ignore[attr-defined]
    return InputList(**{**about, **_counts(node)}, item=item)


def _bounds(node: Node, word: str) -> dict[str, Any]:
    return {f"min_{word}": node.schema.get("formatMinimum"), f"max_{word}": node.schema.get("formatMaximum")}


_MAKERS: dict[str, Any] = {
    "text": _text,
    "textarea": lambda node, about: InputArea(**about, **_lengths(node)),
    "password": lambda node, about: InputPassword(**about, **_lengths(node)),
    "integer": _number,
    "number": _number,
    "choice": _select,
    "choices": _multiselect,
    "list": _list,
    "file": lambda node, about: InputFiles(**about, multiple=node.item is not None),
    "date": lambda node, about: InputDate(**about, **_bounds(node, "date")),
    "time": lambda node, about: InputTime(**about, **_bounds(node, "time"), step=1),
    "datetime": lambda node, about: InputDateTime(**about, **_bounds(node, "datetime"), step=1),
    "json": lambda node, about: InputJSON(**about),
}
