"""A form filled with inputs that a run had: the inverse of reading what was entered.

Works on elements as dicts, whoever made them, since a form may come from another process.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from kodosumi_lab.forms.secrets import SECRET

__all__ = ["filled", "json_elements", "kept_files"]

_MISSING: Any = object()
_NO_VALUE = frozenset({"errors", "submit", "cancel", "action", "markdown", "html", "break", "hr", "option"})
_UNKNOWN = "The flow of this run is not known here, so its inputs cannot be checked: only secrets can be given anew."
_WORDS = {True: "yes", False: "no"}


def filled(elements: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The elements, showing these inputs.

    Parameters
    ----------
    elements
        Of the flow's form; they are left as they are.
    inputs
        JSON values by name, as the log has them. Secrets become empty passwords, to be entered again.

    Returns
    -------
    list[dict]
        Sent back unchanged, they give the same inputs, secrets and files aside: a file element that is left empty
        stands for the files that the run had, see :func:`kept_files`.
    """
    made = copy.deepcopy(elements)
    fields = [element for element in made if element.get("type") not in _NO_VALUE]
    if len(fields) == 1 and fields[0].get("type") == "json" and fields[0].get("name") not in inputs:
        fields[0]["value"] = _json(inputs)  # a flow that takes whatever it is given
        return made
    for element in _walk(made):
        value = _at(inputs, str(element.get("name") or ""))
        if value is not _MISSING and element.get("type") not in _NO_VALUE:
            _fill(element, value)
    return made


def json_elements(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """A form for inputs of which nothing else is known: a JSON element for each, a password for a secret."""
    return [
        {"type": "markdown", "text": _UNKNOWN},
        *(
            {"type": "password", "name": name, "label": name, "value": None, "required": True}
            if value == SECRET
            else {"type": "json", "name": name, "label": name, "value": _json(value), "required": False}
            for name, value in inputs.items()
        ),
    ]


def kept_files(elements: list[dict[str, Any]], inputs: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Form values in which file elements that were left empty name the files that the run had."""
    kept = dict(values)
    for element in _walk(elements):
        name = str(element.get("name") or "")
        before = _at(inputs, name)
        if element.get("type") == "file" and not values.get(name) and before not in (_MISSING, None, []):
            kept[name] = before if isinstance(before, str) else [str(one).removeprefix("in/") for one in before]
    return kept


def _walk(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for one in elements for found in (one, *_walk(one.get("elements") or []))]


def _at(inputs: dict[str, Any], name: str) -> Any:
    """The value of a field; those of groups are in dicts of their own."""
    if name in inputs:
        return inputs[name]
    here: Any = inputs
    for part in name.split("."):
        if not isinstance(here, dict) or part not in here:
            return _MISSING
        here = here[part]
    return here


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else _json(value)


def _option(element: dict[str, Any], value: Any) -> str | None:
    """Name of the option that stands for a value."""
    names = [option.get("name") for option in element.get("option") or []]
    words = (value, _json(value), _WORDS.get(value) if isinstance(value, bool) else None)
    return next((word for word in words if isinstance(word, str) and word in names), None)


def _fill(element: dict[str, Any], value: Any) -> None:
    kind = element["type"]
    if kind == "password":
        element["value"] = None
        if value == SECRET:
            element |= {"required": True, "help": _told(element, "not kept: enter it again")}
    elif kind == "boolean":
        element["value"] = value is True
    elif kind == "group":
        element["value"] = value is not None if element.get("optional") else element.get("value", False)
    elif kind == "file":
        element["value"] = None
        names = value if isinstance(value, list) else [value] if value else []
        if names:
            told = f"left empty: {', '.join(map(str, names))}, as before"
            element |= {"required": False, "help": _told(element, told)}
    elif kind == "select":
        name = _option(element, value)
        element |= {"value": name, "option": _marked(element, [name])}
    elif kind == "multiselect":
        chosen = [_option(element, one) for one in value or []]
        element |= {"value": None if value is None else chosen, "option": _marked(element, chosen)}
    elif kind == "list":
        secret = (element.get("item") or {}).get("type") == "password"
        element["value"] = None if secret or value is None else [_text(one) for one in value]
    elif kind == "json":
        element["value"] = None if value is None else _json(value)
    else:
        element["value"] = _text(value)


def _marked(element: dict[str, Any], chosen: list[str | None]) -> list[dict[str, Any]]:
    return [{**option, "value": option.get("name") in chosen} for option in element.get("option") or []]


def _told(element: dict[str, Any], more: str) -> str:
    return f"{element['help']} ({more})" if element.get("help") else more
