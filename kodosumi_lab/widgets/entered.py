"""What is entered in a form, beside its controls: which elements there are, what was given, what is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kodosumi_lab.errors import InputsError
from kodosumi_lab.forms import Model
from kodosumi_lab.widgets.controls import Field

__all__ = ["check_names", "no_element", "same", "secret_of", "sent", "walk"]


def walk(field: Field) -> Iterator[Field]:
    """A field and all that stand in it, in order."""
    yield field
    for one in field.fields:
        yield from walk(one)


def no_element(fields: Iterable[str]) -> str:
    """What to say of a name that is no input; `fields` are the names that are."""
    return f"is no input of this form, which takes: {', '.join(fields) or 'nothing'}"


def check_names(flow: str, elements: list[dict[str, Any]], initial: dict[str, Any]) -> None:
    """Refuse initial inputs that a form has no element for.

    Raises
    ------
    InputsError
        It names each of them.
    """
    known = Model.model_validate(elements).fields
    whole = len(known) == 1 and next(iter(elements))["type"] == "json"  # a flow that takes whatever it is given
    takes = [name for name in known if "." not in name]
    unknown = {} if whole else {name: [no_element(takes)] for name in initial if name not in takes}
    if unknown:
        raise InputsError.of(unknown, flow=flow)


def secret_of(given: dict[str, Any], name: str) -> str | None:
    """A secret among given inputs, by the path of its name; None where none was given."""
    here: Any = given
    for part in name.split("."):
        here = here.get(part) if isinstance(here, dict) else getattr(here, part, None)
    found = here.get_secret_value() if hasattr(here, "get_secret_value") else here
    return found if isinstance(found, str) else None


def same(entered: Any, initial: Any) -> bool:
    """Whether a control shows what the form had at first: empty is empty, a number is its text."""
    if _empty(entered) or _empty(initial):
        return _empty(entered) and _empty(initial)
    return bool(entered == initial or str(entered) == str(initial) or (entered is True and initial == "on"))


def sent(values: dict[str, Any]) -> dict[str, Any]:
    """Form values as a browser sends them, for a service."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is True:
            found[name] = "on"
        elif value is not False and value is not None:
            found[name] = value if isinstance(value, str | list) else str(value)
    return found


def _empty(value: Any) -> bool:
    """Zero is something."""
    return value is None or value is False or value in ("", [])
