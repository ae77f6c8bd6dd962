"""Input models: from a flow's signature to values that fit it, or messages per field.

Inputs travel as JSON (they are an event of the run), so a launch turns values into their
JSON form and the Runner turns that back into what the annotations say. Secrets
(``pydantic.SecretStr``, or a string field whose JSON schema has ``format: password``) are
taken out on the way: the log holds ``{"secret": true}`` in their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.forms.secrets import SECRET, mask, step, unmask
from kodosumi_lab.forms.signature import signature_of
from kodosumi_lab.forms.uploaded import opening, takes_uploads, taking

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kodosumi_lab.forms.build import Node
    from kodosumi_lab.forms.model import Model

__all__ = ["InputModel", "Inputs"]

_RESERVED = ("tracer",)


@dataclass(slots=True)
class Inputs:
    """Validated inputs of a launch.

    Attributes
    ----------
    wire : dict
        JSON form of every input, defaults included, secrets masked.
    secrets : dict[str, str]
        Secret values by their place in `wire`, as a dotted path (a dot in a key is ``~1``).
    files : dict[str, pathlib.Path]
        Local files that the launch has to bring along, by their name below ``in/``.
    """

    wire: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


class InputModel:
    """What a callable takes.

    Parameters
    ----------
    flow
        Name of the flow, for messages.
    call
        The callable; parameters named ``tracer`` are not inputs. One parameter named
        ``inputs`` annotated with a pydantic model makes that model the inputs; without
        such an annotation it takes any JSON values.
    form
        Form of explicit elements that says which inputs there are, in place of the signature: the
        callable takes them as ``inputs: dict``, or each by its name.

    Raises
    ------
    FlowError
        A parameter cannot be an input, or does not go with the form.
    """

    def __init__(self, flow: str, call: Callable[..., Any], form: Model | None = None) -> None:
        self.flow = flow
        self._form = form
        self._fields: list[Node] | None = None
        found = signature_of(flow, call)
        self.model, self.hints = found.model, found.hints
        self.whole, self.names = found.whole, found.names
        self._default = found.default
        if form is not None:
            self._fit(form)

    def _fit(self, form: Model) -> None:
        """The form has all that the callable needs, and nothing that it does not take."""
        fields = self.model.model_fields
        asked = form.asked
        if self.model.model_config.get("extra") != "allow":
            unknown = [name for name in asked if name not in fields]
            if unknown:
                raise FlowError(
                    f"flow {self.flow!r}: its form asks for {', '.join(unknown)}, which the flow does not take; "
                    "take each by its name, or all as inputs: dict"
                )
        missing = [name for name, info in fields.items() if info.is_required() and name not in asked]
        if missing:
            raise FlowError(
                f"flow {self.flow!r}: its form does not ask for {', '.join(missing)}, which the flow needs; "
                "add an element of that name, or give the parameter a default"
            )

    # -- as a form --------------------------------------------------------------------

    def form(self) -> Model:
        """Form in which the inputs are entered, its fields showing the defaults."""
        from kodosumi_lab.forms.model import Model

        if self._form is not None:
            return Model.model_validate(self._form.get_model())
        from kodosumi_lab.forms.build import element_of_node

        return Model(*(element_of_node(node) for node in self._nodes()))

    @property
    def is_explicit(self) -> bool:
        """Whether the form is one of explicit elements, and not what the signature suggests."""
        return self._form is not None

    def paths(self) -> frozenset[str]:
        """Names of the form's file fields that take the path of a file on the cluster's machine as well."""
        return frozenset() if self._form is not None else frozenset(_paths(self._nodes()))

    def nullable(self) -> frozenset[str]:
        """Names of the form's fields of which None is a value, whatever they show; none of an explicit form's."""
        return frozenset() if self._form is not None else frozenset(_nullable(self._nodes()))

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs, for tools; secrets are ``writeOnly``."""
        if self._form is not None:
            from kodosumi_lab.forms.describe import schema_of

            return schema_of(self._form, self.flow)
        from kodosumi_lab.forms.schema import for_agents

        return for_agents(self.model)

    def _nodes(self) -> list[Node]:
        if self._fields is None:
            from kodosumi_lab.forms.build import MISSING, Node, nodes
            from kodosumi_lab.forms.schema import for_forms

            if self.whole and not self.model.model_fields:
                self._fields = [Node(self.whole, self.whole, "json", {"type": "object"}, default={})]
            else:
                default = MISSING if self._default is None else self._json(mask(self._default, "", {}))
                self._fields = nodes(for_forms(self.model), default)
        return self._fields

    # -- launching --------------------------------------------------------------------

    def validate(self, data: dict[str, Any], *, local: bool = False) -> Inputs:
        """Check inputs before anything starts.

        Parameters
        ----------
        data
            Inputs by name.
        local
            Whether a text names a local file where a file is expected: only what the user of this process
            says may be read from its disk.

        Raises
        ------
        InputsError
            They do not fit; the messages name each field.
        """
        given = self._unwrapped(data)
        if self._form is not None:
            given = self._entered({**self._form.initial(), **(given if isinstance(given, dict) else dict(given))})
        with taking(texts=local) as files:
            checked = self._checked(given, lambda v: self.model.model_validate(v, by_alias=True, by_name=True))
        checked.files = files
        return checked

    def from_form(self, data: dict[str, Any]) -> Inputs:
        """Check what was entered in the form; the result is that of the same values given from Python.

        Parameters
        ----------
        data
            Form values by element name: texts, ``"on"`` for a checked box, lists of texts. An absent box is
            unchecked; an empty text is None where that is a value, else the default; ``{"secret": true}`` is
            a secret that was not entered again.

        Raises
        ------
        InputsError
            They do not fit; the messages are by element name.
        """
        if self._form is not None:
            entered = {name: value for name, value in data.items() if value != SECRET}
            return self._checked(
                self._entered(entered, own=False), lambda v: self.model.model_validate(v, by_name=True)
            )
        from kodosumi_lab.forms.values import from_form, place

        values, errors = from_form(self._nodes(), data, SECRET)
        given = self._unwrapped(self._json(values))
        if isinstance(given, dict) and self.model.model_config.get("validate_default"):
            given = {**self._defaults(given), **given}
        checked = None
        try:
            checked = self._checked(given, self._read_json if isinstance(given, dict) else lambda whole: whole)
        except InputsError as error:
            errors = {**place(self._nodes(), error.errors), **errors}
        if errors or checked is None:
            raise InputsError.of(errors, flow=self.flow)
        return checked

    def _defaults(self, given: dict[str, Any]) -> dict[str, Any]:
        """JSON form of the defaults of what was not given: as Python values they do not fit where JSON is read."""
        fields = self.model.model_fields
        left = {
            name: info
            for name, info in fields.items()
            if name not in given and not info.is_required() and not info.default_factory_takes_validated_data
        }
        found = {name: info.get_default(call_default_factory=True) for name, info in left.items()}
        secrets: dict[str, str] = {}
        return unmask(self._json(mask(found, "", secrets)), secrets)

    def _read_json(self, values: Any) -> BaseModel:
        # as JSON, for which pydantic has other rules than for Python values: strict models take a date's text
        return self.model.model_validate_json(json.dumps(values), by_alias=True, by_name=True)

    def _entered(self, data: dict[str, Any], *, own: bool = True) -> dict[str, Any]:
        """Typed values of the explicit form; what was left empty is left to the parameter's default.

        With `own`, parameters that the form does not ask for may be given too.
        """
        assert self._form is not None
        others = set(self.model.model_fields) - set(self._form.fields) if own else set()
        try:
            values = self._form.validate({name: value for name, value in data.items() if name not in others})
        except InputsError as error:
            raise InputsError.of(error.errors, flow=self.flow) from None
        values |= {name: value for name, value in data.items() if name in others}
        fields = self.model.model_fields
        return {
            name: value
            for name, value in values.items()
            if value is not None or name not in fields or fields[name].is_required()
        }

    def _checked(self, given: Any, validate: Callable[[Any], BaseModel]) -> Inputs:
        value = self._model_of(given, validate)
        secrets: dict[str, str] = {}
        plain = mask(value, "", secrets)
        for name in self._form.secrets if self._form is not None else []:
            value, where = plain.get(name), step("", name)
            if isinstance(value, str):
                secrets[where], plain[name] = value, dict(SECRET)
            elif isinstance(value, list):
                secrets |= {step(where, i): one for i, one in enumerate(value) if isinstance(one, str)}
                plain[name] = [dict(SECRET) if isinstance(one, str) else one for one in value]
        checked = Inputs(self._json(plain), secrets)
        if isinstance(given, dict):
            self._keep_as_given(checked, value, given)
        return checked

    def _keep_as_given(self, checked: Inputs, value: BaseModel, given: dict[str, Any]) -> None:
        """Send what was given where its validators would make something else of their own result.

        The Runner validates again; that is no matter for types, but a validator may split a
        text or double a number.
        """
        try:
            again: Any = self._from_wire(checked)
        except Exception:  # noqa: BLE001 - a validator of the flow meets what it never expected
            again = None
        for name in set(given) & set(checked.wire):
            fits = again is not None and _same(getattr(again, name, None), getattr(value, name, None))
            secret = any(path == name or path.startswith(f"{name}.") for path in checked.secrets)
            if not fits and not secret:
                checked.wire[name] = self._json({name: mask(given[name], name, {})})[name]

    def _unwrapped(self, data: dict[str, Any]) -> Any:
        """``f.launch(inputs=Model(...))`` is the same as ``f.launch(**fields)``; nothing at all is the default."""
        if self.whole and set(data) == {self.whole} and self.whole not in self.model.model_fields:
            given = data[self.whole]
            if isinstance(given, Mapping):
                return dict(given)
            if hasattr(type(given), "model_fields"):
                return given if isinstance(given, self.model) else dict(given)
        return self._default if not data and self._default is not None else data

    def _model_of(self, given: Any, validate: Callable[[Any], BaseModel]) -> BaseModel:
        from pydantic import ValidationError

        try:
            return validate(given)
        except ValidationError as error:
            messages: dict[str, list[str]] = {}
            for item in error.errors():
                name = ".".join(str(part) for part in item["loc"]) or "_global_"
                text = item["msg"]
                if item["type"] == "extra_forbidden":
                    text = f"is no input of this flow, which takes: {', '.join(self.names) or 'nothing'}"
                elif item["type"] == "missing":
                    text = "is required"
                elif isinstance(item["input"], int | float):  # a secret is never a number
                    text = f"{text}, not {item['input']!r}"
                messages.setdefault(name, []).append(text)
            raise InputsError.of(messages, flow=self.flow) from None

    def _json(self, plain: dict[str, Any]) -> dict[str, Any]:
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        result, messages = {}, {}
        for name, value in plain.items():
            try:
                result[name] = to_jsonable_python(value)
            except (PydanticSerializationError, UnicodeError, RecursionError, ValueError) as error:
                messages[name] = [
                    f"a {type(value).__qualname__} cannot be kept as JSON ({error}); pass a path or an id instead"
                ]
        if messages:
            raise InputsError.of(messages, flow=self.flow)
        return result

    def _from_wire(self, inputs: Inputs) -> BaseModel:
        values = unmask(inputs.wire, inputs.secrets)
        if self._form is not None:
            return self._model_of(self._entered(values), lambda v: self.model.model_validate(v, by_name=True))
        return self._model_of(values, self._read_json)

    # -- running ----------------------------------------------------------------------

    def arguments(self, inputs: Inputs, open_file: Callable[[str], BinaryIO] | None = None) -> dict[str, Any]:
        """Keyword arguments for the callable, of the types that its annotations say; `open_file` opens its uploads."""
        with opening(open_file):
            value = self._from_wire(inputs)
        if self.whole:
            extra = value.__pydantic_extra__
            return {self.whole: value if extra is None else dict(extra)}
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {**fields, **(value.__pydantic_extra__ or {})}


def _nullable(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if node.nullable:
            yield node.name
        yield from _nullable(node.children)


def _paths(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if node.kind == "file" and not takes_uploads(node.schema):
            yield node.name
        yield from _paths(node.children)


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (one != one and other != other)
    except Exception:  # noqa: BLE001 - a class of the flow that cannot be compared: its type is all that can be told
        return type(one) is type(other)
