"""A form as plain HTML that works without scripts, by label and keyboard; every value is escaped."""

from __future__ import annotations

import copy
from html import escape
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
    FormElement,
    InputArea,
    InputFiles,
    InputOption,
    InputPassword,
    Markdown,
    Select,
    Submit,
)
from kodosumi_lab.forms.own import Group, InputJSON, InputList, MultiSelect

__all__ = ["render"]

#: Attributes of HTML by the key that they have here.
_ATTRIBUTES = {
    "min_value": "min", "max_value": "max", "min_date": "min", "max_date": "max", "min_time": "min", "max_time": "max",
    "min_datetime": "min", "max_datetime": "max", "min_length": "minlength", "max_length": "maxlength",
    "directory": "webkitdirectory",
}  # fmt: skip
_PLAIN = ("required", "placeholder", "size", "pattern", "step", "rows", "cols", "multiple")
_TYPES = {"list": "textarea", "json": "textarea", "multiselect": "select", "other": "text"}


def render(element: Element) -> str:
    """HTML of one element."""
    if isinstance(element, Break | HR):
        return element.text or ""
    if isinstance(element, HTML):
        import nh3

        return nh3.clean(element.text or "")
    if isinstance(element, Markdown):
        from markdown_it import MarkdownIt

        return str(MarkdownIt("js-default").render(element.text or ""))
    if isinstance(element, Errors):
        return "".join(_tag("p", {"role": "alert"}, escape(message)) for message in element.error or [])
    if isinstance(element, Submit):
        return _tag("button", {"type": "submit"}, escape(element.text))
    if isinstance(element, Cancel):
        return _tag("button", {"type": "submit", "formmethod": "get", "formnovalidate": True}, escape(element.text))
    if isinstance(element, Action):
        about = {"type": "submit", "name": element.name, "value": element.value}
        return _tag("button", about, escape(element.text or element.value or ""))
    if isinstance(element, Group):
        return _group(element)
    assert isinstance(element, FormElement)
    return _field(element)


def _tag(name: str, attributes: dict[str, Any], inner: str | None = None) -> str:
    found = "".join(
        f" {key}" if value is True else f' {key}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return f"<{name}{found}>" if inner is None else f"<{name}{found}>{inner}</{name}>"


def _group(element: Group) -> str:
    inner = [_tag("legend", {}, escape(element.label or element.name))]
    if element.help:
        inner.append(_tag("p", {}, escape(element.help)))
    if element.optional:
        box = _tag("input", {"type": "checkbox", "name": element.name, "value": "on", "checked": element.value})
        inner.append(_tag("label", {}, f"{box} given"))
    inner += [_tag("p", {"role": "alert"}, escape(message)) for message in element.error or []]
    # a browser would not send the form while a field is empty that nobody needs
    children = [_unneeded(child) for child in element.elements] if element.optional else element.elements
    return _tag("fieldset", {}, "\n".join([*inner, *(render(child) for child in children)]))


def _unneeded(element: Element) -> Element:
    if not getattr(element, "required", False):
        return element
    changed = copy.copy(element)
    changed.required = False  # type: ignore[attr-defined]
    return changed


def _field(element: Any) -> str:
    name = element.name
    if name is None:  # something to show, of a type that is not known here
        return ""
    ident = f"field-{name}"
    notes = []
    if element.help:
        notes.append(_tag("small", {"id": f"{ident}-help"}, escape(element.help)))
    if element.error:
        notes.append(
            _tag("span", {"id": f"{ident}-error", "role": "alert"}, escape("; ".join(map(str, element.error))))
        )
    told = [f"{ident}-{what}" for what, there in (("help", element.help), ("error", element.error)) if there]
    about = {
        "id": ident,
        "name": name,
        "aria-describedby": " ".join(told) or None,
        "aria-invalid": "true" if element.error else None,
    }
    label = _tag("label", {"for": ident}, escape(element.label or name))
    return _tag("p", {}, "\n".join([label, _control(element, about), *notes]))


def _control(element: Any, about: dict[str, Any]) -> str:
    if isinstance(element, Checkbox):
        box = _tag("input", {"type": "checkbox", **about, "value": "on", "checked": bool(element.value)})
        return f"{box} {escape(element.option or '')}"
    for key in (*_PLAIN, *_ATTRIBUTES):
        about[_ATTRIBUTES.get(key, key)] = about.get(_ATTRIBUTES.get(key, key)) or _shown(getattr(element, key, None))
    if isinstance(element, Select | MultiSelect):
        return _options(element, about)
    value = element.value
    if isinstance(element, InputArea | InputJSON | InputList):
        text = "\n".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)
        # a line's end directly after the tag is not part of the text
        return _tag("textarea", about, f"\n{escape(text)}")
    if isinstance(element, InputFiles):
        return _tag("input", {"type": "file", **about, "accept": ",".join(element.accept or []) or None})
    if element.type == "number":
        about["step"] = about["step"] or "any"
    hidden = isinstance(element, InputPassword)
    kind = element.type if element.type != "other" else "text"
    return _tag("input", {"type": kind, **about, "value": None if hidden else value})


def _shown(value: Any) -> Any:
    """The value of an attribute; zero is one, an empty text is none."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value or None


def _options(element: Select | MultiSelect, about: dict[str, Any]) -> str:
    chosen = element.value if isinstance(element.value, list) else [element.value]
    options: list[InputOption] = element.option
    inner = []
    if isinstance(element, Select) and (not element.required or element.value is None):
        inner.append(_tag("option", {"value": ""}, ""))
    for option in options:
        marked = option.name in chosen or (element.value is None and option.value)
        about_it = {"value": option.name, "selected": bool(marked)}
        inner.append(_tag("option", about_it, escape(option.label or option.name or "")))
    return _tag("select", {**about, "multiple": isinstance(element, MultiSelect)}, "".join(inner))
