"""Input models: from a flow's signature to values that fit it, or messages per field.

Inputs travel as JSON (they are an event of the run), so a launch turns values into their
JSON form and the Runner turns that back into what the annotations say. Secrets
(``pydantic.SecretStr``, or a string field whose JSON schema has ``format: password``) are
taken out on the way: the log holds ``{"secret": true}`` in their place.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
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
        Secret values by their place in `wire`, as a dotted path.
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
        signature = inspect.signature(call)
        hints = _hints(flow, call, signature)
        parameters = [p for p in signature.parameters.values() if p.name not in (*_RESERVED, "self")]
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                raise FlowError(
                    f"flow {flow!r}: parameter {parameter.name!r} is positional-only; inputs are given by name, "
                    "so make it an ordinary or keyword-only parameter"
                )
        self.model = self._build(parameters, hints)

    def _build(self, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> type[BaseModel]:
        from pydantic import BaseModel, ConfigDict, create_model

        only = parameters[0] if len(parameters) == 1 else None
        if only is not None:
            hint = hints.get(only.name)
            if isinstance(hint, type) and issubclass(hint, BaseModel):
                self.whole = only.name
                return hint
            if only.name == "inputs":
                self.whole = only.name
                return create_model(self.flow, __config__=ConfigDict(extra="allow"))
        fields: dict[str, Any] = {}
        extra: typing.Literal["allow", "forbid"] = "forbid"
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                extra = "allow"
                continue
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
        self.names = list(fields)
        config = ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=())
        return create_model(self.flow, __config__=config, **fields)

    # -- launching --------------------------------------------------------------------

    def validate(self, data: dict[str, Any]) -> Inputs:
        """Check inputs before anything starts.

        Raises
        ------
        InputsError
            They do not fit; the messages name each field.
        """
        if self.whole and set(data) == {self.whole} and not isinstance(data[self.whole], str | int | float):
            given = data[self.whole]  # f.launch(inputs=Model(...)) is the same as f.launch(**fields)
            data = given if isinstance(given, dict) else dict(given)
        value = self._model_of(data)
        secrets: dict[str, str] = {}
        plain = _mask(value, self.model, "", secrets)
        return Inputs(self._json(plain), secrets)

    def _model_of(self, data: dict[str, Any]) -> BaseModel:
        from pydantic import ValidationError

        try:
            return self.model.model_validate(data)
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
            raise InputsError(self.flow, messages) from None

    def _json(self, plain: dict[str, Any]) -> dict[str, Any]:
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        result, messages = {}, {}
        for name, value in plain.items():
            try:
                result[name] = to_jsonable_python(value, inf_nan_mode="constants")
            except (PydanticSerializationError, UnicodeError, RecursionError) as error:
                messages[name] = [
                    f"a {type(value).__qualname__} cannot be kept as JSON ({error}); pass a path or an id instead"
                ]
        if messages:
            raise InputsError(self.flow, messages)
        return result

    # -- running ----------------------------------------------------------------------

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """Keyword arguments for the callable, of the types that its annotations say."""
        value = self._model_of(_unmask(inputs.wire, inputs.secrets))
        if self.whole:
            extra = value.__pydantic_extra__
            return {self.whole: value if extra is None else dict(extra)}
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {**fields, **(value.__pydantic_extra__ or {})}


def _hints(flow: str, call: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Evaluated annotations of the inputs; ``tracer`` may name something that only type checkers import."""
    target = inspect.unwrap(call)
    target = getattr(target, "__func__", target)
    if not inspect.isfunction(target):
        target = getattr(type(call), "__call__", call)
    space = getattr(target, "__globals__", {})
    result = {}
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if hint is inspect.Parameter.empty or name in _RESERVED:
            continue
        if isinstance(hint, str):
            try:
                hint = eval(hint, dict(space))  # what typing.get_type_hints does, one by one
            except Exception as error:
                raise FlowError(f"flow {flow!r}: annotation {hint!r} of input {name!r} cannot be evaluated: {error}") from error
        result[name] = hint
    return result


def _is_password(model: Any, name: str) -> bool:
    info = getattr(model, "model_fields", {}).get(name)
    extra = getattr(info, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("format") == "password"


def _mask(value: Any, model: Any, path: str, secrets: dict[str, str]) -> Any:
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
            where = f"{path}.{name}" if path else name
            if isinstance(item, str) and _is_password(type(value), name):
                secrets[where] = item
                result[name] = dict(SECRET)
            else:
                result[name] = _mask(item, None, where, secrets)
        return result
    if isinstance(value, dict):
        return {k: _mask(v, None, f"{path}.{k}" if path else str(k), secrets) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(item, None, f"{path}.{i}", secrets) for i, item in enumerate(value)]
    return value


def _unmask(wire: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    import copy

    result = copy.deepcopy(wire)
    for path, secret in secrets.items():
        *parents, last = path.split(".")
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
        return [p for k, v in wire.items() for p in secret_fields(v, f"{path}.{k}" if path else str(k))]
    if isinstance(wire, list):
        return [p for i, v in enumerate(wire) for p in secret_fields(v, f"{path}.{i}")]
    return []
