"""From a callable's signature to the model of its inputs."""

from __future__ import annotations

import inspect
import types
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import FlowError
from kodosumi_lab.forms.uploaded import adapted

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Signature", "signature_of"]

_RESERVED = ("tracer",)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a callable takes.

    Attributes
    ----------
    model
        Of its inputs.
    names
        Of the inputs.
    whole
        Name of the one parameter that takes all of them, else None.
    default
        That parameter's default, where it is an instance of the model.
    hints
        Evaluated annotations by name.
    """

    model: type[BaseModel]
    names: list[str]
    whole: str | None
    default: BaseModel | None
    hints: dict[str, Any]


def signature_of(flow: str, call: Callable[..., Any]) -> Signature:
    """Read a callable's signature; see :class:`kodosumi_lab.forms.InputModel`.

    Raises
    ------
    FlowError
        A parameter cannot be an input.
    """
    from pydantic import BaseModel, ConfigDict, create_model

    signature = inspect.signature(call)
    hints = _hints(flow, call, signature)
    parameters = [p for p in signature.parameters.values() if p.name not in (*_RESERVED, "self")]
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            raise FlowError(
                f"flow {flow!r}: parameter {parameter.name!r} is positional-only; inputs are given by name, "
                "so make it an ordinary or keyword-only parameter"
            )
    only = parameters[0] if len(parameters) == 1 else None
    if only is not None and only.kind is not inspect.Parameter.VAR_KEYWORD:
        hint = hints.get(only.name, Any)
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            default = only.default if isinstance(only.default, hint) else None
            return Signature(hint, list(hint.model_fields), only.name, default, hints)
        if only.name == "inputs" and (hint is Any or (typing.get_origin(hint) or hint) in (dict, Mapping)):
            return Signature(create_model(flow, __config__=ConfigDict(extra="allow")), [], only.name, None, hints)
    fields, extra = _fields(flow, parameters, hints)
    return Signature(_model(flow, fields, extra), list(fields), None, None, hints)


def _fields(
    flow: str, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> tuple[dict[str, Any], typing.Literal["allow", "forbid"]]:
    """Type and default of each parameter, and whether further ones are taken."""
    fields: dict[str, Any] = {}
    extra: typing.Literal["allow", "forbid"] = "forbid"
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            extra = "allow"
            continue
        if parameter.name.startswith("_") or parameter.name == "model_config":
            raise FlowError(f"flow {flow!r}: {parameter.name!r} cannot be the name of an input; rename the parameter")
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        hint = hints.get(parameter.name, Any)
        fields[parameter.name] = (adapted(_or_none(hint) if default is None else hint), default)
    return fields, extra


def _model(flow: str, fields: dict[str, Any], extra: typing.Literal["allow", "forbid"]) -> type[BaseModel]:
    from pydantic import ConfigDict, PydanticUserError, create_model

    # defaults are checked like anything given: at the launch, not when the Runner reads them back from JSON
    config = ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=(), validate_default=True)
    with warnings.catch_warnings():
        # inputs may well be called copy, json or schema: nobody calls those methods of this model
        warnings.filterwarnings("ignore", "Field name .* shadows an attribute in parent", UserWarning)
        try:
            return create_model(flow, __config__=config, **fields)
        except (PydanticUserError, TypeError, ValueError, NameError) as error:
            raise FlowError(f"flow {flow!r}: no input model can be made of its parameters: {error}") from error


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
