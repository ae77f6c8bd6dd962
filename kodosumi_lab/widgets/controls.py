"""A control for each element of a form: ipywidgets' own, with typed values that other widgets can link to.

A :class:`Field` is a control with its help and its messages. It gives and takes form values as
they are sent (:mod:`kodosumi_lab.forms`), in the types that its control has.
"""

from __future__ import annotations

import contextlib
import datetime
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from kodosumi_lab.forms import Model
from kodosumi_lab.forms.render import render
from kodosumi_lab.widgets.files import FileField

__all__ = ["STYLE", "Field", "SecretText", "drawn", "muted"]

#: Whole numbers that a browser knows one by one.
_SAFE = 2**53 - 1
_LARGEST = 1.7976931348623157e308
_TEXTS = frozenset({"text", "textarea", "password", "json", "other"})
_SHOWN = frozenset({"markdown", "html", "break", "hr"})
_WIDE = {"width": "auto", "max_width": "42em"}
_STACKED = {**_WIDE, "flex_flow": "column", "align_items": "stretch", "height": "auto"}

#: Labels stand above their controls: ipywidgets is made for rows, in which long labels are cut.
STYLE = """<style>
.kl-field > .widget-label { text-align: left; white-space: normal; overflow: visible; height: auto; }
.kl-field.widget-inline-hbox > :is(input, select, textarea) { flex: 0 0 auto; max-width: 100%; }
.kl-field.widget-dropdown > select { height: var(--jp-widgets-inline-height, 28px); }
</style>"""


@dataclass
class Field:
    """One element on the screen.

    Attributes
    ----------
    name
        Under which its value is sent.
    element
        Its dict.
    control
        Has a trait `value`.
    box
        What is shown: the control, its help and its messages.
    read, write
        Get and set the form value; writing None empties the control.
    """

    name: str
    element: dict[str, Any]
    control: Any
    box: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]
    message: Any = None
    fields: list[Field] = field(default_factory=list)

    def tell(self, messages: list[str]) -> None:
        """Show what is wrong with the value, or that nothing is."""
        if self.message is not None:
            alert = '<div role="alert" style="color:var(--jp-error-color1,inherit);overflow-wrap:anywhere">'
            self.message.value = "".join(f"{alert}⚠ {html.escape(one)}</div>" for one in messages)
            self.message.layout.display = None if messages else "none"


def muted(text: str) -> str:
    """HTML of a text that steps back."""
    return f'<span style="opacity:.75;overflow-wrap:anywhere">{html.escape(text)}</span>' if text else ""


def drawn(
    elements: list[dict[str, Any]],
    clearable: frozenset[str],
    on_press: Callable[[dict[str, Any]], None],
    *,
    paths: frozenset[str] = frozenset(),
    log_dir: Path | None = None,
) -> Iterator[Any]:
    """Widgets and fields of a form, in its order.

    Parameters
    ----------
    elements
        As dicts.
    clearable
        Names of numbers and choices for which "nothing" is a value of its own.
    on_press
        Called with the element of an action when its button is pressed.
    paths
        Names of files that may be the path of one on the cluster's machine.
    log_dir
        Directory of the log that keeps uploads; by default this process's.

    Yields
    ------
    Field or ipywidgets.Widget
        A field for what has a value, a widget for what is only shown. Nothing for submit, cancel and errors.
    """
    for element in elements:
        kind = element.get("type")
        if kind in _SHOWN:
            yield _shown(element)
        elif kind == "action":
            yield _action(element, on_press)
        elif kind == "group":
            inner = drawn(element.get("elements") or [], clearable, on_press, paths=paths, log_dir=log_dir)
            yield _group(element, list(inner))
        elif kind == "file":
            yield _file(element, str(element.get("name")) in paths, log_dir)
        elif kind in _MAKERS:
            yield _field(element, *_MAKERS[kind](element, str(element.get("name")) in clearable))
        elif element.get("name"):
            yield _field(element, *_text(element, False))


# -- what is only shown -------------------------------------------------------------------


def _shown(element: dict[str, Any]) -> Any:
    [one] = Model.model_validate([element]).children
    return widgets.HTML(render(one), layout=_WIDE)


def _action(element: dict[str, Any], on_press: Callable[[dict[str, Any]], None]) -> Any:
    button = widgets.Button(description=str(element.get("text") or element.get("value") or element.get("name") or ""))
    button.on_click(lambda _: on_press(element))
    return button


# -- fields -------------------------------------------------------------------------------

_Made = tuple[Any, Callable[[], Any], Callable[[Any], None]]


def _field(element: dict[str, Any], control: Any, read: Callable[[], Any], write: Callable[[Any], None]) -> Field:
    message = widgets.HTML(layout={**_WIDE, "display": "none"})
    control.add_class("kl-field")
    parts = [control]
    if not getattr(control, "description", "") and control.layout.flex_flow is None:
        parts.insert(0, widgets.Label(_label(element)))
    if element.get("help"):
        parts.append(widgets.HTML(muted(str(element["help"])), layout=_WIDE))
    box = widgets.VBox([*parts, message], layout={"margin": "0 0 6px 0", "width": "auto", "overflow": "visible"})
    return Field(str(element["name"]), element, control, box, read, write, message)


def _label(element: dict[str, Any]) -> str:
    text = str(element.get("label") or element.get("name") or "")
    return f"{text} *" if element.get("required") else text


def _about(element: dict[str, Any]) -> dict[str, Any]:
    """What all controls with a description of their own have in common."""
    about = {"description": _label(element), "layout": dict(_STACKED), "style": {"description_width": "auto"}}
    if element.get("placeholder") and element.get("type") in _TEXTS | {"number"}:
        about["placeholder"] = str(element["placeholder"])
    return about


def _plain(control: Any, empty: Any = "") -> _Made:
    """Values that are sent as the control has them."""

    def write(value: Any) -> None:
        control.value = empty if value is None else value

    return control, lambda: control.value, write


def _text(element: dict[str, Any], clearable: bool) -> _Made:
    cls = widgets.Textarea if element.get("type") == "textarea" else widgets.Text
    return _plain(cls(**_about(element), continuous_update=True))


class SecretText(widgets.Password):  # type: ignore[misc] # ipywidgets has no types
    """A password that never leaves the kernel: not for a browser, nor for a notebook that keeps its widgets' state."""

    value = traitlets.Unicode("").tag(sync=True, echo_update=False, to_json=lambda value, widget: "")

    def _should_send_property(self, key: str, value: Any) -> bool:
        if key == "value" and value:
            return False
        return bool(super()._should_send_property(key, value))


def _password(element: dict[str, Any], clearable: bool) -> _Made:
    control = SecretText(**_about(element))
    shown = control.placeholder

    def write(value: Any) -> None:
        control.value = value or ""
        control.placeholder = "entered from Python" if value else shown

    return control, lambda: control.value or None, write  # nothing entered is no empty password


def _json(element: dict[str, Any], clearable: bool) -> _Made:
    return _plain(widgets.Textarea(**_about(element), rows=element.get("rows") or 3))


def _number(element: dict[str, Any], clearable: bool) -> _Made:
    """A number control, where it can hold every number that may be entered; it cannot be empty, and texts can."""
    value, step = element.get("value"), element.get("step")
    whole = isinstance(step, int) or (isinstance(step, float) and step.is_integer())
    number = _read_number(value, whole)
    if clearable or number is None:
        return _number_text(element)
    least, most = element.get("min_value"), element.get("max_value")
    large = _SAFE if whole else _LARGEST
    low, high = (-large if least is None else least), (large if most is None else most)
    if not low <= number <= high:
        return _number_text(element)
    sort: Any = int if whole else float
    if least is None and most is None:
        control = (widgets.IntText if whole else widgets.FloatText)(value=number, **_about(element))
    else:
        cls = widgets.BoundedIntText if whole else widgets.BoundedFloatText
        control = cls(value=number, min=sort(low), max=sort(high), **_about(element))
    control.step = sort(step) if step else None

    def write(value: Any) -> None:
        control.value = sort(number if value is None else _read_number(value, whole) or 0)

    return control, lambda: control.value, write


def _read_number(value: Any, whole: bool) -> int | float | None:
    """A form value as a number that is the same: a long decimal has more digits than a float holds."""
    try:
        text = str(value)
        found: int | float = int(text) if whole else float(text)
        same = Decimal(text.strip()) == Decimal(repr(found))
    except (ValueError, ArithmeticError):
        return None
    return found if same and abs(found) <= (_SAFE if whole else _LARGEST) else None


def _number_text(element: dict[str, Any]) -> _Made:
    control = widgets.Text(**_about(element))

    def write(value: Any) -> None:
        control.value = "" if value is None else str(value)

    return control, lambda: control.value.strip() or None, write


def _boolean(element: dict[str, Any], clearable: bool) -> _Made:
    text = str(element.get("label") or element.get("option") or element.get("name") or "")
    option = str(element.get("option") or "on")
    described = text if option in ("on", text) else f"{text}: {option}"
    control = widgets.Checkbox(description=described, indent=False, layout=dict(_WIDE))

    def write(value: Any) -> None:
        control.value = value in (True, "on")

    return control, lambda: control.value, write


def _options(element: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(str(one.get("label") or one.get("name")), str(one.get("name"))) for one in element.get("option") or []]
    return [
        (label if [text for text, _ in found].count(label) == 1 else f"{label} ({name})", name) for label, name in found
    ]


def _chosen(element: dict[str, Any]) -> list[str]:
    value = element.get("value")
    if value is not None:
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return [str(one["name"]) for one in element.get("option") or [] if one.get("value")]


def _select(element: dict[str, Any], clearable: bool) -> _Made:
    options: list[tuple[str, str | None]] = [*_options(element)]
    names = [name for _, name in options]
    first = next((name for name in _chosen(element) if name in names), None)
    if clearable or first is None:
        options.insert(0, ("", None))
    control = widgets.Dropdown(options=options, value=first, **_about(element))

    def write(value: Any) -> None:
        control.value = value if value in names else first if value is not None or not clearable else None

    return control, lambda: control.value, write


def _multiselect(element: dict[str, Any], clearable: bool) -> _Made:
    options = _options(element)
    names = {name for _, name in options}
    control = widgets.SelectMultiple(options=options, rows=min(8, max(2, len(options))), **_about(element))

    def write(value: Any) -> None:
        control.value = tuple(one for one in value or () if one in names)

    return control, lambda: list(control.value), write


def _list(element: dict[str, Any], clearable: bool) -> _Made:
    if (element.get("item") or {}).get("type") not in ("text", "number"):
        control = widgets.Textarea(**{**_about(element), "placeholder": "one a line"}, rows=3)

        def write_lines(value: Any) -> None:
            control.value = value if isinstance(value, str) else "\n".join(str(one) for one in value or ())

        return control, lambda: [line for line in control.value.splitlines() if line.strip()], write_lines
    tags = widgets.TagsInput(allow_duplicates=True, placeholder="type, then Enter", layout=dict(_WIDE))

    def write(value: Any) -> None:
        items = value.splitlines() if isinstance(value, str) else value or ()
        tags.value = [str(one) for one in items]

    return tags, lambda: list(tags.value), write


def _moment(cls: Any, sort: Any, word: str) -> Callable[[dict[str, Any], bool], _Made]:
    def make(element: dict[str, Any], clearable: bool) -> _Made:
        control = cls(**_about(element))
        for side in ("min", "max"):
            bound = element.get(f"{side}_{word}")
            with contextlib.suppress(ValueError, TypeError, traitlets.TraitError):  # as its author wrote it
                setattr(control, side, None if bound is None else sort.fromisoformat(str(bound)))
        if element.get("step") and hasattr(control, "step"):
            control.step = element["step"]

        def write(value: Any) -> None:
            try:
                control.value = sort.fromisoformat(value) if isinstance(value, str) and value else None
            except ValueError:
                control.value = None

        def read() -> str | None:
            return None if control.value is None else str(control.value.isoformat())

        return control, read, write

    return make


def _file(element: dict[str, Any], paths: bool, log_dir: Path | None) -> Field:
    """Its label and help stand in the control itself."""
    control = FileField(element, paths=paths, log_dir=log_dir)

    def write(value: Any) -> None:
        control.put(value if isinstance(value, str | list) else "")

    message = widgets.HTML(layout={**_WIDE, "display": "none"})
    box = widgets.VBox([control, message], layout={"margin": "0 0 6px 0", "width": "auto", "overflow": "visible"})
    return Field(str(element["name"]), element, control, box, lambda: control.value or None, write, message)


_MAKERS: dict[str, Callable[[dict[str, Any], bool], _Made]] = {
    "text": _text,
    "textarea": _text,
    "password": _password,
    "number": _number,
    "boolean": _boolean,
    "select": _select,
    "multiselect": _multiselect,
    "list": _list,
    "json": _json,
    "date": _moment(widgets.DatePicker, datetime.date, "date"),
    "time": _moment(widgets.TimePicker, datetime.time, "time"),
    "datetime-local": _moment(widgets.NaiveDatetimePicker, datetime.datetime, "datetime"),
}


# -- groups -------------------------------------------------------------------------------


def _group(element: dict[str, Any], inner: list[Any]) -> Field:
    """Fields that belong together, to be folded; an optional group has a switch in the place of that."""
    parts = [one.box if isinstance(one, Field) else one for one in inner]
    fields = [one for one in inner if isinstance(one, Field)]
    if element.get("help"):
        parts.insert(0, widgets.HTML(muted(str(element["help"])), layout=_WIDE))
    message = widgets.HTML(layout={**_WIDE, "display": "none"})
    body = widgets.VBox([message, *parts], layout={"width": "auto", "overflow": "visible"})
    name, label = str(element["name"]), _label(element)
    if not element.get("optional"):
        fold = widgets.Accordion([body], titles=(label,), selected_index=0, layout=dict(_WIDE))
        return Field(name, element, fold, fold, lambda: None, lambda value: None, message, fields)
    body.layout.padding = "0 0 0 1.5em"
    switch = widgets.Checkbox(description=label, indent=False, layout=dict(_WIDE))

    def fold_away(_: Any = None) -> None:
        body.layout.display = None if switch.value else "none"

    def write(value: Any) -> None:
        switch.value = value in (True, "on")

    switch.observe(fold_away, "value")
    fold_away()
    box = widgets.VBox([switch, body], layout={"width": "auto", "overflow": "visible"})
    return Field(name, element, switch, box, lambda: switch.value, write, message, fields)
