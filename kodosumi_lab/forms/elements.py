"""What a form is made of: each element is a small record and becomes one dict.

Names, order of arguments and keys are those of kodosumi's forms, so a service's form is
the same here. What we add appears in the dict only where it is set (``help``, ``accept``,
…); element types of our own stand in :mod:`kodosumi_lab.forms.own`.

Form values are what a browser sends: text, ``"on"`` for a checked box, lists of text for
several choices; whatever is not filled in is empty or absent.
"""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field
from typing import Any, ClassVar

__all__ = [
    "HR",
    "HTML",
    "Action",
    "Break",
    "Cancel",
    "Checkbox",
    "Element",
    "Errors",
    "FormElement",
    "InputArea",
    "InputDate",
    "InputDateTime",
    "InputElement",
    "InputFiles",
    "InputNumber",
    "InputOption",
    "InputPassword",
    "InputText",
    "InputTime",
    "Markdown",
    "Select",
    "Submit",
]


class Element:
    """Anything that stands in a form.

    Attributes
    ----------
    type : str
        What it is, in the dict form.
    name : str or None
        Under which its value is sent; None for what has no value.
    """

    type: ClassVar[str]
    #: What its dict said beyond what is known here: given back unchanged.
    more: ClassVar[dict[str, Any]] = {}
    #: Keys of the dict that are not in the order of the arguments.
    order: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Dict that any front end draws and :func:`element_of` reads; JSON values only."""
        own = {f.name: f.kw_only for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        always = self.order or [key for key, optional in own.items() if not optional]
        found: dict[str, Any] = {"type": self.type, **{key: getattr(self, key) for key in always}}
        for key, optional in own.items():
            if optional and key != "error" and getattr(self, key) not in (None, False):
                found[key] = getattr(self, key)
        return {key: _plain(value) for key, value in found.items()} | self.more

    def parse_value(self, value: Any) -> Any:
        """Form value as a service's handler gets it: as it was sent."""
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, Element):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


@dataclass
class Markdown(Element):
    """A text in Markdown."""

    type: ClassVar[str] = "markdown"
    name: ClassVar[None] = None
    text: str | None = None


@dataclass
class HTML(Element):
    """A text in HTML; it is sanitised where it is shown."""

    type: ClassVar[str] = "html"
    name: ClassVar[None] = None
    text: str | None = None


@dataclass(init=False)
class Break(HTML):
    """Some space."""

    type: ClassVar[str] = "break"

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__('<div class="space"></div>')


@dataclass(init=False)
class HR(HTML):
    """A line across."""

    type: ClassVar[str] = "hr"

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__('<hr class="medium"/>')


@dataclass
class FormElement(Element):
    """An element that takes part in what is sent.

    Attributes
    ----------
    error : list[str] or None
        What was wrong with its value, for :meth:`~kodosumi_lab.forms.Model.render`; not part of the dict.
    help : str or None
        What to enter, shown beside it.
    """

    error: list[str] | None = field(default=None, kw_only=True)
    help: str | None = field(default=None, kw_only=True)


@dataclass
class Errors(FormElement):
    """The place where messages are shown that belong to no field (``"_global_"``)."""

    type: ClassVar[str] = "errors"
    name: ClassVar[str] = "_global_"
    value: ClassVar[None] = None


@dataclass
class InputElement(FormElement):
    """An element into which something is typed."""

    name: str
    label: str | None = None
    value: Any = None
    required: bool = False
    placeholder: str | None = None


@dataclass
class InputText(InputElement):
    """A line of text. `pattern` is a regular expression for the whole value, as in HTML."""

    type: ClassVar[str] = "text"
    size: int | None = None
    pattern: str | None = None
    min_length: int | None = field(default=None, kw_only=True)
    max_length: int | None = field(default=None, kw_only=True)


@dataclass
class InputNumber(InputText):
    """A number. Steps are counted from `min_value`, else from 0; without `step` any number will do."""

    type: ClassVar[str] = "number"
    min_value: float | None = None
    max_value: float | None = None
    step: float | None = None


@dataclass
class InputPassword(InputText):
    """A secret: its value is kept nowhere and shown nowhere."""

    type: ClassVar[str] = "password"
    min_length: int | None = None
    max_length: int | None = None


@dataclass
class InputArea(InputElement):
    """Text of several lines."""

    type: ClassVar[str] = "textarea"
    rows: int | None = None
    cols: int | None = None
    max_length: int | None = None
    min_length: int | None = field(default=None, kw_only=True)


@dataclass
class InputDate(InputElement):
    """A date, ``2026-01-31``."""

    type: ClassVar[str] = "date"
    min_date: str | None = None
    max_date: str | None = None


@dataclass
class InputTime(InputElement):
    """A time of day, ``13:45`` or ``13:45:10``; `step` in seconds. Bounds may span midnight."""

    type: ClassVar[str] = "time"
    min_time: str | None = None
    max_time: str | None = None
    step: int | None = None


@dataclass
class InputDateTime(InputElement):
    """A date and time without a zone, ``2026-01-31T13:45``; `step` in seconds."""

    type: ClassVar[str] = "datetime-local"
    min_datetime: str | None = None
    max_datetime: str | None = None
    step: int | None = None


@dataclass
class Checkbox(FormElement):
    """Yes or no; `option` is the text at the box."""

    type: ClassVar[str] = "boolean"
    order: ClassVar[tuple[str, ...]] = ("name", "label", "value", "option")
    name: str
    option: str | None = "on"
    label: str | None = None
    value: bool = False

    def __post_init__(self) -> None:
        self.option = self.option or "on"

    def parse_value(self, value: Any) -> bool:
        """Whether the box was checked, which a browser sends as ``"on"``."""
        return bool(value == "on")


@dataclass
class InputOption(FormElement):
    """One choice of a :class:`Select`: `name` is sent, `label` is shown."""

    type: ClassVar[str] = "option"
    name: str | None = None
    label: str | None = None
    value: bool | None = False


@dataclass
class Select(FormElement):
    """One of several choices; `value` is the name of the chosen one.

    Attributes
    ----------
    required : bool
        Whether one must be chosen.
    """

    type: ClassVar[str] = "select"
    order: ClassVar[tuple[str, ...]] = ("name", "label", "value", "option", "error")
    name: str
    option: list[InputOption]
    label: str | None = None
    value: str | None = None
    required: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        self.option = options_of(self.option)

    def to_dict(self) -> dict[str, Any]:
        """Dict form, with the chosen option marked."""
        return {**super().to_dict(), "option": marked(self.option, None if self.value is None else [self.value])}


def options_of(options: Any) -> list[InputOption]:
    """Make elements of options: texts are names, pairs are name and label."""
    made = []
    for one in options:
        if isinstance(one, InputOption):
            made.append(one)
        else:
            made.append(InputOption(*([one, one] if isinstance(one, str) else one)))
    return made


def marked(options: list[InputOption], chosen: list[Any] | None) -> list[dict[str, Any]]:
    """Make dicts of options, those chosen marked; without a choice each keeps its own mark."""
    found = [option.to_dict() for option in options]
    return found if chosen is None else [{**option, "value": option["name"] in chosen} for option in found]


@dataclass
class InputFiles(FormElement):
    """One file, several, or a folder.

    Its form value is what an upload answers: a JSON text ``{"batchId": …, "items": {id: {"filename": …}}}``.

    Attributes
    ----------
    accept : list[str] or None
        File name endings that are taken (``.csv``).
    """

    type: ClassVar[str] = "file"
    name: str
    label: str | None = None
    value: str | None = None
    required: bool = False
    multiple: bool = False
    directory: bool = False
    accept: list[str] | None = field(default=None, kw_only=True)


@dataclass
class _Button(FormElement):
    name: ClassVar[None] = None
    text: str


@dataclass
class Submit(_Button):
    """The button that sends the form."""

    type: ClassVar[str] = "submit"


@dataclass
class Cancel(_Button):
    """The button that leaves it."""

    type: ClassVar[str] = "cancel"


@dataclass
class Action(FormElement):
    """One more button that sends the form, and `value` with it."""

    type: ClassVar[str] = "action"
    order: ClassVar[tuple[str, ...]] = ("name", "value", "text")
    name: str | None = None
    value: str | None = None
    required: bool = False
    text: str | None = None
