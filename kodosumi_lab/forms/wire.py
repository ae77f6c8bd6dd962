"""Elements from their dicts, walking through them, and the form value of uploaded files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from kodosumi_lab.forms.elements import (
    HR,
    HTML,
    Action,
    Break,
    Cancel,
    Checkbox,
    Element,
    Errors,
    InputArea,
    InputDate,
    InputDateTime,
    InputFiles,
    InputNumber,
    InputOption,
    InputPassword,
    InputText,
    InputTime,
    Markdown,
    Select,
    Submit,
)
from kodosumi_lab.forms.own import Group, InputJSON, InputList, MultiSelect, Other

__all__ = ["TYPES", "element_of", "file_names", "walk"]

#: Element classes by the type in their dict.
TYPES: dict[str, type[Element]] = {
    cls.type: cls
    for cls in (
        HR, HTML, Action, Break, Cancel, Checkbox, Errors, Group, InputArea, InputDate, InputDateTime, InputFiles,
        InputJSON, InputList, InputNumber, InputOption, InputPassword, InputText, InputTime, Markdown, MultiSelect,
        Select, Submit,
    )
}  # fmt: skip


def element_of(data: dict[str, Any]) -> Element:
    """Element of its dict form.

    Parameters
    ----------
    data
        As :meth:`Element.to_dict` makes it. What is not known here is kept and given back unchanged.

    Returns
    -------
    Element
    """
    cls = TYPES.get(kind) if isinstance(kind := data.get("type"), str) else None
    if cls is None:
        return Other(data=dict(data))
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = {key: value for key, value in data.items() if key in known}
    for key in ("option", "elements"):
        if isinstance(given.get(key), list):
            given[key] = [element_of(one) for one in given[key]]
    if "item" in given:
        given["item"] = element_of(given["item"])
    made = cls() if issubclass(cls, Break | HR) else cls(**given)
    more = {key: value for key, value in data.items() if key not in known and key != "type"}
    if more:  # of a password field it would be no secret to lose its class for a key that is new
        setattr(made, "more", more)  # noqa: B010 - a class variable, but for this one
    return made


def walk(elements: Any) -> Iterator[Element]:
    """Every element, those in groups after their group."""
    for element in elements:
        yield element
        if isinstance(element, Group):
            yield from walk(element.elements)


def file_names(value: Any) -> list[str]:
    """Names of the files in the form value of an :class:`InputFiles`, sorted.

    Raises
    ------
    ValueError
        It is no such value.
    """
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, dict):
        return sorted({item["filename"] for item in value["items"].values()})
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) for name in value):
        return sorted(value)
    raise ValueError("no files")
