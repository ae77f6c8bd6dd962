"""Input models and forms: what a flow takes, as types, as dicts that any front end draws, and as the judge of values.

``forms.Model(forms.InputText("name"), …)`` is a form of explicit elements. An :class:`InputModel` is made of a flow's
signature; its :meth:`~InputModel.form` is the form that the types suggest. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

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
from kodosumi_lab.forms.inputs import InputModel, Inputs
from kodosumi_lab.forms.model import Model
from kodosumi_lab.forms.own import Group, InputJSON, InputList, MultiSelect
from kodosumi_lab.forms.secrets import SECRET, secret_fields

__all__ = [
    "HR",
    "HTML",
    "SECRET",
    "Action",
    "Break",
    "Cancel",
    "Checkbox",
    "Element",
    "Errors",
    "FormElement",
    "Group",
    "InputArea",
    "InputDate",
    "InputDateTime",
    "InputFiles",
    "InputJSON",
    "InputList",
    "InputModel",
    "InputNumber",
    "InputOption",
    "InputPassword",
    "InputText",
    "InputTime",
    "Inputs",
    "Markdown",
    "Model",
    "MultiSelect",
    "Select",
    "Submit",
    "secret_fields",
]
