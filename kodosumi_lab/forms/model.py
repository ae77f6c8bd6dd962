"""The form: elements in their order, as dicts, as HTML, and as the judge of what was entered."""

from __future__ import annotations

import json
from typing import Any

from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.forms.check import Refused, read
from kodosumi_lab.forms.elements import (
    Action,
    Checkbox,
    Element,
    Errors,
    FormElement,
    InputFiles,
    InputOption,
    InputPassword,
    Select,
)
from kodosumi_lab.forms.own import Group, InputList, MultiSelect
from kodosumi_lab.forms.wire import element_of, file_names, walk

__all__ = ["Model"]


class Model:
    """A form.

    Parameters
    ----------
    *children
        Elements, in the order in which they are shown.

    Raises
    ------
    FlowError
        What was given is no element.

    Examples
    --------
    >>> from kodosumi_lab import forms
    >>> form = forms.Model(forms.InputNumber("n", label="How many", min_value=1), forms.Submit("Go"))
    >>> form.validate({"n": "3"})
    {'n': 3}
    >>> form.check({"n": "0"})
    {'n': ["is '0'; expected at least 1"]}
    """

    def __init__(self, *children: Element) -> None:
        self.children = children
        for element in walk(children):
            if not isinstance(element, Element):
                raise FlowError(f"{element!r} is no element of a form; expected forms.InputText(…) and the like")

    def __repr__(self) -> str:
        return f"<Model {', '.join(self.fields)}>"

    @property
    def fields(self) -> dict[str, FormElement]:
        """Elements that have a name, those in groups too, by name."""
        found: dict[str, FormElement] = {}
        for element in walk(self.children):
            name = getattr(element, "name", None)
            if isinstance(element, FormElement) and name is not None:
                found[name] = element
        return found

    @property
    def asked(self) -> list[str]:
        """Names of the values that the form asks for: no buttons, no headings of groups that are always given."""
        return [
            name
            for name, element in self.fields.items()
            if not isinstance(element, Errors | Action) and not (isinstance(element, Group) and not element.optional)
        ]

    # -- as data ------------------------------------------------------------------------

    def get_model(self) -> list[dict[str, Any]]:
        """The elements as dicts, JSON values only."""
        return [element.to_dict() for element in self.children]

    def get_model_json(self) -> str:
        """The elements as a JSON text ``{"elements": [...]}``."""
        return json.dumps({"elements": self.get_model()})

    @classmethod
    def model_validate(cls, elms: list[dict[str, Any]], errors: dict[str, list[str]] | None = None) -> Model:
        """Make a form of its dicts, with the messages to show at its fields.

        Raises
        ------
        FlowError
            These are no elements.
        """
        if not isinstance(elms, list) or not all(isinstance(one, dict) for one in elms):
            raise FlowError(f"a form is a list of dicts, one an element; this is a {type(elms).__name__}")
        try:
            model = cls(*(element_of(one) for one in elms))
        except TypeError as error:
            raise FlowError(f"an element of the form is incomplete: {error}") from error
        for name, element in model.fields.items():
            element.error = (errors or {}).get(name)
        return model

    def render(self) -> str:
        """The form as HTML, without the ``<form>`` around it."""
        from kodosumi_lab.forms.render import render

        return "\n".join(render(element) for element in self.children)

    def set_data(self, data: dict[str, Any]) -> None:
        """Fill in form values; a checkbox that is not among them becomes unchecked, other fields keep their value."""
        for name, element in self.fields.items():
            if isinstance(element, Checkbox | Group):
                element.value = data.get(name) in ("on", True)
            elif name in data and not isinstance(element, Errors):
                setattr(element, "value", data[name])  # noqa: B010 - each of these has its own sort of value
                if isinstance(element, Select | MultiSelect):
                    _choose(element.option, data[name])

    def initial(self) -> dict[str, Any]:
        """Form values that a browser sends when nothing was changed."""
        found: dict[str, Any] = {}
        for name, element in self.fields.items():
            value = getattr(element, "value", None)
            if isinstance(element, Checkbox | Group):
                value = "on" if value else None
            elif isinstance(element, Select | MultiSelect) and value is None:
                chosen = [option.name for option in element.option if option.value]
                value = (chosen or None) if isinstance(element, MultiSelect) else next(iter(chosen), None)
            if value is not None and not isinstance(element, Action | Errors):
                found[name] = value
        return found

    # -- what was entered -----------------------------------------------------------------

    def parse(self, data: dict[str, Any]) -> dict[str, Any]:
        """Form values as a kodosumi service's handler gets them: unchanged.

        Returns
        -------
        dict
            Every element that has a name is there: what is absent, or in a group that is switched off, as None, an
            unchecked box as False, a file element as the set of its files' names.
        """
        found = {}
        off = self.switched_off(data)
        for name, element in self.fields.items():
            value = data.get(name) if name not in off else None
            if isinstance(element, InputFiles):
                value = set(file_names(value)) if value else None
            found[name] = element.parse_value(value)
        return found

    def check(self, data: dict[str, Any]) -> dict[str, list[str]]:
        """Constraints that form values break.

        Returns
        -------
        dict[str, list[str]]
            Messages by field; empty where all is well. Values of no element are left alone.
        """
        return self._read(data)[1]

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """Typed values of a form.

        Parameters
        ----------
        data
            Form values, or Python values of the elements' types.

        Returns
        -------
        dict
            Numbers, dates and so on by name, None for what was left empty; buttons only where they were pressed.

        Raises
        ------
        InputsError
            A value breaks a constraint, or belongs to no element.
        """
        values, errors = self._read(data)
        for name in data:
            if name not in self.fields:
                errors[name] = [f"is no input of this form, which takes: {', '.join(self.asked) or 'nothing'}"]
        if errors:
            raise InputsError.of(errors)
        return values

    def _read(self, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        values: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        off = self.switched_off(data)
        for name, element in self.fields.items():
            if isinstance(element, Errors) or (isinstance(element, Action) and data.get(name) is None):
                continue
            if name in off:
                values[name] = None
                continue
            if isinstance(element, Group):
                if element.optional:
                    values[name] = is_given(element, data)
                continue
            try:
                values[name] = read(element, data.get(name))
            except Refused as error:
                errors[name] = error.messages
        return values, errors

    def switched_off(self, data: dict[str, Any]) -> set[str]:
        """Names of what stands in groups that are switched off: neither checked nor handed on."""
        off: set[str] = set()
        for name, element in self.fields.items():
            if isinstance(element, Group) and element.optional and name not in off and not is_given(element, data):
                off |= names(element)
        return off

    def typed(self, name: str, value: Any) -> Any:
        """One field's value as JSON takes it, or None where it does not fit."""
        try:
            found = read(self.fields[name], value)
        except Refused:
            return None
        return found.isoformat() if hasattr(found, "isoformat") else found

    def uploads(self, data: dict[str, Any]) -> dict[str, str]:
        """Batches of uploaded files by the name of their element."""
        found = {}
        off = self.switched_off(data)
        for name, element in self.fields.items():
            value = data.get(name) if name not in off else None
            if isinstance(element, InputFiles) and isinstance(value, str) and value.startswith("{"):
                said = json.loads(value)
                if said.get("items") and said.get("batchId"):  # nothing was chosen, else
                    found[name] = str(said["batchId"])
        return found

    @property
    def secrets(self) -> list[str]:
        """Names of the fields whose values are kept nowhere."""
        return [name for name, element in self.fields.items() if _is_secret(element)]

    def secret_texts(self, data: dict[str, Any]) -> list[str]:
        """Texts among form values, or among Python values, that are kept nowhere."""
        found: list[Any] = []
        for name in self.secrets:
            value = data.get(name)
            found += value if isinstance(value, list | tuple) else [value]
            if isinstance(value, str):  # a list's may be one a line
                found += value.splitlines() if isinstance(self.fields[name], InputList) else []
        texts = [one.get_secret_value() if hasattr(one, "get_secret_value") else one for one in found]
        return [text for text in texts if isinstance(text, str) and text]

    def without_secrets(self) -> Model:
        """Itself, without what its passwords were preset to."""
        for name in self.secrets:
            setattr(self.fields[name], "value", None)  # noqa: B010 - each of these has its own sort of value
        return self


def _is_secret(element: FormElement) -> bool:
    return isinstance(element, InputPassword) or (isinstance(element, InputList) and _is_secret(element.item))


def _choose(options: list[InputOption], value: Any) -> None:
    chosen = value if isinstance(value, list) else [value]
    for option in options:
        option.value = option.name in chosen


def names(group: Group) -> set[str]:
    """Names of what stands in a group."""
    return {getattr(element, "name", None) or "" for element in walk(group.elements)}


def is_given(group: Group, data: dict[str, Any]) -> bool:
    """Whether an optional group counts: switched on, or not said to be off and anything in it was changed."""
    if group.name in data:
        return data[group.name] in ("on", True)
    for element in walk(group.elements):
        name = getattr(element, "name", None)
        if not isinstance(element, FormElement) or name is None or name not in data:
            continue
        initial = "on" if isinstance(element, Checkbox) and element.value else getattr(element, "value", None)
        if (data[name] or None) != (initial or None):
            return True
    return False
