"""JSON schemas of input models; imported only where one is made, since it imports pydantic."""

from __future__ import annotations

import datetime
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

__all__ = ["for_agents", "for_forms"]


class _Lenient(GenerateJsonSchema):
    """What has no JSON schema takes any value, and the validation says what it thinks of it."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        pass

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


class _Forms(_Lenient):
    """With what a form needs and JSON schema has no word for: bounds of dates, and whether a time has a zone.

    Defaults are JSON texts: pydantic takes keys such as ``$ref`` within a default for its own.
    """

    def encode_default(self, dft: Any) -> Any:
        return json.dumps(super().encode_default(dft))

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        bounds = {key: schema[key] for key in ("ge", "gt", "le", "lt", "multiple_of") if key in schema}
        plain: Any = {"type": "float", **{key: float(bound) for key, bound in bounds.items()}}
        return {**self.float_schema(plain), "format": "decimal"}

    def date_schema(self, schema: Any) -> JsonSchemaValue:
        return _bounded(super().date_schema(schema), schema, datetime.timedelta(days=1))

    def time_schema(self, schema: Any) -> JsonSchemaValue:
        return _bounded(super().time_schema(schema), schema)

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        zone = {"zone": True} if schema.get("tz_constraint") == "aware" else {}
        return {**_bounded(super().datetime_schema(schema), schema), **zone}


def _bounded(found: JsonSchemaValue, schema: Any, least: datetime.timedelta | None = None) -> JsonSchemaValue:
    for key, strict, name, sign in (("ge", "gt", "formatMinimum", 1), ("le", "lt", "formatMaximum", -1)):
        if schema.get(key) is not None:
            found[name] = schema[key].isoformat()
        elif schema.get(strict) is not None:
            found[name] = (schema[strict] + sign * least if least else schema[strict]).isoformat()
    return found


def for_forms(model: type[BaseModel]) -> dict[str, Any]:
    """Schema that a form is made of; its names are those of the fields, not their aliases."""
    return model.model_json_schema(by_alias=False, schema_generator=_Forms)


def for_agents(model: type[BaseModel]) -> dict[str, Any]:
    """Schema for tools: pydantic's, in which a secret is write-only and has no default to read."""
    found = model.model_json_schema(schema_generator=_Lenient)
    _hide(found)
    return found


def _hide(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _hide(one)
    elif isinstance(schema, dict):
        if schema.get("format") == "password" and schema.get("type") == "string":
            schema["writeOnly"] = True
        if is_secret(schema):
            for key in ("default", "examples"):
                schema.pop(key, None)
        for key, one in schema.items():
            if key not in ("default", "examples", "const", "enum"):  # values, not schemas
                _hide(one)


def is_secret(schema: dict[str, Any]) -> bool:
    """Whether a value of this schema, or one of its choices, is a secret."""
    return schema.get("format") == "password" or any(
        one.get("format") == "password" for one in schema.get("anyOf", []) if isinstance(one, dict)
    )
