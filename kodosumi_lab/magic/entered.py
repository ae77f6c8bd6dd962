"""From what was written to the inputs of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from IPython.core.error import UsageError

from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import Model
from kodosumi_lab.forms.written import fitting
from kodosumi_lab.magic.words import Given

__all__ = ["has_inputs", "inputs_of", "nested", "of_body"]


def of_body(cell: str | None) -> dict[str, Given]:
    """Inputs of the YAML or JSON in a cell, with the text that each scalar was written as.

    Raises
    ------
    UsageError
        It is neither, or no mapping.
    """
    if cell is None or not cell.strip():
        return {}
    try:
        values, texts = yaml.safe_load(cell), yaml.load(cell, yaml.BaseLoader)  # noqa: S506 - makes nothing but texts
    except yaml.YAMLError as error:
        raise UsageError(f"the cell is no YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"the cell is a {type(values).__name__}; expected inputs, one a line: name: value")
    written = {str(name): text for name, text in texts.items()}
    return {
        str(name): Given(value, text if isinstance(text := written.get(str(name)), str) else None)
        for name, value in values.items()
    }


def has_inputs(flow: Any) -> bool:
    """Whether there is something to enter."""
    return bool(Model.model_validate(flow.elements).fields)


def inputs_of(flow: Any, given: Mapping[str, Given]) -> dict[str, Any]:
    """Inputs for ``launch``: a value that does not fit is taken as its text.

    Raises
    ------
    InputsError
        They do not fit.
    """
    values = {name: one.value for name, one in given.items()}
    texts = {name: one.text for name, one in given.items() if one.text is not None}
    if not isinstance(flow, Flow):
        fields = Model.model_validate(flow.elements).fields
        plain = {name: text for name, text in texts.items() if name in fields and fields[name].type == "text"}
        return {**values, **plain}
    from kodosumi_lab.runtime.launch import has_input

    files = {} if has_input(flow, "files") or "files" not in values else {"files": values.pop("files")}
    return {
        **nested(flow, fitting(lambda **flat: flow.inputs.validate(nested(flow, flat), local=True), values, texts)),
        **files,
    }


def nested(flow: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs with those named by a path (``to.street``) in dicts, where only its first name is one of the flow's."""
    known: set[str] = set()
    if isinstance(flow, Flow):
        known.update(flow.inputs.form().fields if flow.inputs.is_explicit else flow.inputs.names)
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        first, *path = name.split(".")
        if not path or name in known or first not in known:
            found[name] = value
            continue
        here = found[first] = dict(found[first]) if isinstance(found.get(first), dict) else {}
        for part in path[:-1]:
            here = here.setdefault(part, {})
        here[path[-1]] = value
    return found
