"""Elements that kodosumi's forms have not: what typed Python suggests beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from kodosumi_lab.forms.elements import Element, FormElement, InputElement, InputOption, InputText, marked, options_of

__all__ = ["Group", "InputJSON", "InputList", "MultiSelect", "Other"]


@dataclass
class MultiSelect(FormElement):
    """Any number of choices; `value` and its form value are lists of option names."""

    type: ClassVar[str] = "multiselect"
    name: str
    option: list[InputOption]
    label: str | None = None
    value: list[str] | None = None
    required: bool = False
    min_items: int | None = None
    max_items: int | None = None

    def __post_init__(self) -> None:
        self.option = options_of(self.option)

    def to_dict(self) -> dict[str, Any]:
        """Dict form, with the chosen options marked."""
        return {**super().to_dict(), "option": marked(self.option, self.value)}


@dataclass
class InputList(FormElement):
    """Several values of one sort; its form value is a list of text, or a text with one value a line.

    Attributes
    ----------
    item : FormElement
        What each value is checked as; its name says nothing.
    """

    type: ClassVar[str] = "list"
    name: str
    item: FormElement = field(default_factory=lambda: InputText("item"))
    label: str | None = None
    value: list[str] | None = None
    required: bool = False
    min_items: int | None = None
    max_items: int | None = None


@dataclass
class InputJSON(InputElement):
    """Any value, as JSON text."""

    type: ClassVar[str] = "json"
    rows: int | None = None


@dataclass
class Group(FormElement):
    """Fields that belong together; their names begin with the group's name and a dot.

    Attributes
    ----------
    optional : bool
        The group may be left out: then it counts where its own value is ``"on"`` (`value` is what it opens
        with), or where anything in it was changed.
    """

    type: ClassVar[str] = "group"
    name: str
    elements: list[Element]
    label: str | None = None
    optional: bool = False
    value: bool = False


@dataclass
class Other(FormElement):
    """An element of a type that is not known here, from another service: kept as it came."""

    type: ClassVar[str] = "other"
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Name in the dict, if it has one."""
        return self.data.get("name")

    @property
    def label(self) -> str | None:
        """Label in the dict, if it has one."""
        return self.data.get("label")

    @property
    def value(self) -> Any:
        """Value in the dict."""
        return self.data.get("value")

    @value.setter
    def value(self, value: Any) -> None:
        self.data = {**self.data, "value": value}

    def to_dict(self) -> dict[str, Any]:
        """Dict as it came."""
        return dict(self.data)
