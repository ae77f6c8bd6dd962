"""A form of explicit elements as JSON schema, for tools that fill it in without drawing it."""

from __future__ import annotations

from typing import Any

from kodosumi_lab.forms.elements import (
    Checkbox,
    FormElement,
    InputArea,
    InputDate,
    InputDateTime,
    InputFiles,
    InputNumber,
    InputPassword,
    InputText,
    InputTime,
    Select,
)
from kodosumi_lab.forms.model import Model, names
from kodosumi_lab.forms.own import Group, InputJSON, InputList, MultiSelect

__all__ = ["schema_of"]

_FORMATS: list[tuple[type, dict[str, Any]]] = [
    (Checkbox, {"type": "boolean"}),
    (InputPassword, {"type": "string", "format": "password", "writeOnly": True}),
    (InputNumber, {"type": "number"}),
    (InputDate, {"type": "string", "format": "date"}),
    (InputTime, {"type": "string", "format": "time"}),
    (InputDateTime, {"type": "string", "format": "date-time"}),
    (InputText, {"type": "string"}),
    (InputArea, {"type": "string"}),
    (InputFiles, {"type": "array", "items": {"type": "string"}}),
    (InputJSON, {}),
]
_WORDS = {
    "min_value": "minimum", "max_value": "maximum", "min_length": "minLength", "max_length": "maxLength",
    "min_items": "minItems", "max_items": "maxItems",
}  # fmt: skip


def schema_of(form: Model, title: str) -> dict[str, Any]:
    """JSON schema of the values that a form takes.

    Returns
    -------
    dict
        Of an object whose properties are the elements' names; defaults are what the form shows.
    """
    initial = form.initial()
    properties: dict[str, Any] = {}
    for name, element in form.fields.items():
        found = _schema(element)
        if found is None:
            continue
        if name in initial and not isinstance(element, InputPassword | InputFiles):
            found["default"] = form.typed(name, initial[name])
        properties[name] = found
    left_out = {
        name for group in form.fields.values() if isinstance(group, Group) and group.optional for name in names(group)
    }
    needed = [name for name, element in form.fields.items() if getattr(element, "required", False)]
    required = [
        name for name in needed if "default" not in properties.get(name, {"default": 0}) and name not in left_out
    ]
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _schema(element: FormElement) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    if getattr(element, "label", None):
        found["title"] = element.label  # type: ignore[attr-defined]
    if element.help:
        found["description"] = element.help
    if isinstance(element, Group):
        return {**found, "type": "boolean"} if element.optional else None
    names = [option.name for option in element.option] if isinstance(element, Select | MultiSelect) else []
    if isinstance(element, Select):
        found |= {"enum": names} if element.required else {"enum": [*names, None]}
    elif isinstance(element, MultiSelect):
        found |= {"type": "array", "items": {"enum": names}}
    elif isinstance(element, InputList):
        found |= {"type": "array", "items": _schema(element.item) or {}}
    else:
        shape = next((shape for cls, shape in _FORMATS if isinstance(element, cls)), None)
        if shape is None:
            return None
        found |= shape
    for key, word in _WORDS.items():
        if getattr(element, key, None) is not None:
            found[word] = getattr(element, key)
    if isinstance(element, InputText) and element.pattern:
        found["pattern"] = f"^(?:{element.pattern})$"
    return found
