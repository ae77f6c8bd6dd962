"""Input models: from a flow's signature to values that fit it, or messages per field.

Inputs travel as JSON (they are an event of the run), so a launch turns values into their
JSON form and the Runner turns that back into what the annotations say. Secrets
(``pydantic.SecretStr``, or a string field whose JSON schema has ``format: password``) are
taken out on the way: the log holds ``{"secret": true}`` in their place.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import types
import typing
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import FlowError, InputsError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["SECRET", "InputModel", "Inputs"]

#: What the log holds in place of a secret.
SECRET = {"secret": True}

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
    """

    wire: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)


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

    Raises
    ------
    FlowError
        A parameter cannot be an input.
    """

    def __init__(self, flow: str, call: Callable[..., Any]) -> None:
        self.flow = flow
        self.whole: str | None = None
        self.names: list[str] = []
        self._default: BaseModel | None = None
        signature = inspect.signature(call)
        hints = self.hints = _hints(flow, call, signature)
        parameters = [p for p in signature.parameters.values() if p.name not in (*_RESERVED, "self")]
        for parameter in parameters:
            if (
                parameter.kind is inspect.Parameter.POSITIONAL_ONLY
                or parameter.kind is inspect.Parameter.VAR_POSITIONAL
            ):
                raise FlowError(
                    f"flow {flow!r}: parameter {parameter.name!r} is positional-only; inputs are given by name, "
                    "so make it an ordinary or keyword-only parameter"
                )
        self.model = self._build(parameters, hints)

    def _build(self, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> type[BaseModel]:
        from pydantic import BaseModel, ConfigDict, PydanticUserError, create_model

        only = parameters[0] if len(parameters) == 1 else None
        if only is not None and only.kind is not inspect.Parameter.VAR_KEYWORD:
            hint = hints.get(only.name, Any)
            if isinstance(hint, type) and issubclass(hint, BaseModel):
                self.whole = only.name
                self.names = list(hint.model_fields)
                if isinstance(only.default, hint):
                    self._default = only.default
                return hint
            if only.name == "inputs" and (hint is Any or (typing.get_origin(hint) or hint) in (dict, Mapping)):
                self.whole = only.name
                return create_model(self.flow, __config__=ConfigDict(extra="allow"))
        fields: dict[str, Any] = {}
        extra: typing.Literal["allow", "forbid"] = "forbid"
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                extra = "allow"
                continue
            if parameter.name.startswith("_") or parameter.name == "model_config":
                raise FlowError(
                    f"flow {self.flow!r}: {parameter.name!r} cannot be the name of an input; rename the parameter"
                )
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            hint = hints.get(parameter.name, Any)
            fields[parameter.name] = (_or_none(hint) if default is None else hint, default)
        self.names = list(fields)
        # defaults are checked like anything given: at the launch, not when the Runner reads them back from JSON
        config = ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=(), validate_default=True)
        with warnings.catch_warnings():
            # inputs may well be called copy, json or schema: nobody calls those methods of this model
            warnings.filterwarnings("ignore", "Field name .* shadows an attribute in parent", UserWarning)
            try:
                return create_model(self.flow, __config__=config, **fields)
            except (PydanticUserError, TypeError, ValueError, NameError) as error:
                raise FlowError(f"flow {self.flow!r}: no input model can be made of its parameters: {error}") from error

    # -- launching --------------------------------------------------------------------

    def validate(self, data: dict[str, Any]) -> Inputs:
        """Check inputs before anything starts.

        Raises
        ------
        InputsError
            They do not fit; the messages name each field.
        """
        given = self._unwrapped(data)
        value = self._model_of(given, lambda v: self.model.model_validate(v, by_alias=True, by_name=True))
        secrets: dict[str, str] = {}
        plain = _mask(value, "", secrets)
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
                checked.wire[name] = self._json({name: _mask(given[name], name, {})})[name]

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
        # as JSON, for which pydantic has other rules than for Python values: strict models take a date's text
        text = json.dumps(_unmask(inputs.wire, inputs.secrets))
        return self._model_of(text, lambda v: self.model.model_validate_json(v, by_alias=True, by_name=True))

    # -- running ----------------------------------------------------------------------

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """Keyword arguments for the callable, of the types that its annotations say."""
        value = self._from_wire(inputs)
        if self.whole:
            extra = value.__pydantic_extra__
            return {self.whole: value if extra is None else dict(extra)}
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {**fields, **(value.__pydantic_extra__ or {})}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (one != one and other != other)
    except Exception:  # noqa: BLE001 - a class of the flow that cannot be compared: its type is all that can be told
        return type(one) is type(other)


def _hints(flow: str, call: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Evaluated annotations of the inputs; ``tracer`` may name something that only type checkers import."""
    target = inspect.unwrap(call)
    target = getattr(target, "__func__", target)
    if not inspect.isfunction(target):
        target = type(call).__call__  # an object that is called
    space = getattr(target, "__globals__", {})
    result = {}
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if hint is inspect.Parameter.empty or name in _RESERVED:
            continue
        try:
            # one by one, so that an error names its input; names inside, as in list["Model"], are looked up too
            holder = types.SimpleNamespace(__annotations__={name: hint})
            result[name] = typing.get_type_hints(holder, globalns=dict(space), include_extras=True)[name]
        except NameError as error:
            raise FlowError(
                f"flow {flow!r}: annotation {hint!r} of input {name!r} cannot be evaluated: {error}; "
                "define or import that name at the top of the module or notebook"
            ) from error
        except Exception as error:  # whatever evaluating somebody's expression raises
            if isinstance(hint, str):
                raise FlowError(
                    f"flow {flow!r}: annotation {hint!r} of input {name!r} cannot be evaluated: {error}"
                ) from error
            result[name] = hint
    return result


def _or_none(hint: Any) -> Any:
    """The annotation, None included: ``x: int = None`` is what people write."""
    if typing.get_origin(hint) is typing.Annotated:
        inner, *about = typing.get_args(hint)
        return typing.Annotated[(typing.Optional[inner], *about)]  # noqa: UP045
    return hint if hint is Any else typing.Optional[hint]  # noqa: UP045


def _is_password(model: Any, name: str) -> bool:
    info = getattr(model, "model_fields", {}).get(name)
    extra = getattr(info, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("format") == "password"


def _step(path: str, part: Any) -> str:
    """The path one step further; dots in a key are escaped as ``~1``, as JSON Pointer does with its slashes."""
    text = str(getattr(part, "value", part)).replace("~", "~0").replace(".", "~1")
    return f"{path}.{text}" if path else text


def _mask(value: Any, path: str, secrets: dict[str, str]) -> Any:
    """Plain containers with secrets replaced; their values go to `secrets` by path."""
    from pydantic import BaseModel

    if hasattr(value, "get_secret_value"):
        secret = value.get_secret_value()
        secrets[path] = secret.decode() if isinstance(secret, bytes) else str(secret)
        return dict(SECRET)
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        items = {**fields, **(value.__pydantic_extra__ or {})}
        result = {}
        for name, item in items.items():
            where = _step(path, name)
            if isinstance(item, str) and _is_password(type(value), name):
                secrets[where] = item
                result[name] = dict(SECRET)
            else:
                result[name] = _mask(item, where, secrets)
        return result
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _mask(getattr(value, f.name), _step(path, f.name), secrets) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: _mask(v, _step(path, k), secrets) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_mask(item, _step(path, i), secrets) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        # as text, which pydantic reads back as a number: JSON, and so the log, has no such numbers
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def _unmask(wire: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    import copy

    result = copy.deepcopy(wire)
    for path, secret in secrets.items():
        *parents, last = [part.replace("~1", ".").replace("~0", "~") for part in path.split(".")]
        here: Any = result
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if isinstance(here, list):
            here[int(last)] = secret
        else:
            here[last] = secret
    return result


def secret_fields(wire: Any, path: str = "") -> list[str]:
    """Paths at which a secret was taken out."""
    if wire == SECRET:
        return [path]
    if isinstance(wire, dict):
        return [p for k, v in wire.items() for p in secret_fields(v, _step(path, k))]
    if isinstance(wire, list):
        return [p for i, v in enumerate(wire) for p in secret_fields(v, _step(path, i))]
    return []
