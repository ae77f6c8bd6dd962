"""The event: its schema, its kinds and what its payload holds.

An event is one row. ``SCHEMA_VERSION`` 1 has these columns, in Arrow, Parquet and Polars:

============ ========================= =====================================================
column       type                      meaning
============ ========================= =====================================================
run_id       string                    the run, a UUIDv7: ids sort by start
seq          int64                     position in the run from 0, no gap, no repeat
ts           timestamp[us, UTC]        when the flow emitted it; for people, not for order
kind         string                    one of :data:`KINDS`
agent        string, null              which agent spoke; null is the flow itself
payload      string                    JSON; a MIME bundle for things that are shown
attempt      int16                     1, 2, … when the flow's policy retries
producer     uint64                    who emitted it
producer_seq int64                     the emitter's own count, from 0
============ ========================= =====================================================

A payload over :data:`ARTIFACT_BYTES` is kept once, by content hash, and the event holds
``{"artifact": {"sha256": …, "nbytes": …, "date": …}}`` in its place.

``encode`` runs where the flow speaks and ``decode`` where a person reads. Decoding never
unpickles anything: an object of a class unknown to this module comes back as its text.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ARTIFACT_BYTES",
    "KINDS",
    "KIND_ID",
    "SCHEMA_VERSION",
    "STATUSES",
    "TERMINAL",
    "Rich",
    "arrow_schema",
    "decode",
    "dumps",
    "encode",
    "is_reference",
    "loads",
    "run_date",
    "wire_schema",
]

SCHEMA_VERSION = 1

#: Closed list; the position of a kind is its code between emitter and Spooler.
KINDS = (
    "meta", "inputs", "agent", "upload", "debug", "stdout", "stderr", "status", "error",
    "action", "result", "final", "lock", "lease", "progress", "metric", "span", "log",
)  # fmt: skip
KIND_ID = {kind: code for code, kind in enumerate(KINDS)}

STATUSES = ("starting", "running", "awaiting", "finished", "error", "cancelled", "timeout", "lost")
#: Statuses that close a run.
TERMINAL = frozenset({"finished", "error", "cancelled", "timeout", "lost"})

#: Larger payloads leave the stream: readers of lists must not carry them along.
ARTIFACT_BYTES = 1 << 20

ARROW_MIME = "application/vnd.apache.arrow.stream"
CLASS_MIME = "application/vnd.kodosumi.class"
BOKEH_MIME = "application/vnd.kodosumi.bokeh.v1+json"
JSON_MIME = "application/json"


def arrow_schema() -> pa.Schema:
    """Arrow schema of an event, version 1 (columns as in the module's table)."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("run_id", pa.string(), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("agent", pa.string()),
            pa.field("payload", pa.string(), nullable=False),
            pa.field("attempt", pa.int16(), nullable=False),
            pa.field("producer", pa.uint64(), nullable=False),
            pa.field("producer_seq", pa.int64(), nullable=False),
        ]
    )


def wire_schema() -> pa.Schema:
    """Arrow schema of a batch between emitter and Spooler.

    What is the same for the whole batch (run, attempt, producer, first count) travels
    once, in the header; ``kind`` is the position in :data:`KINDS`; ``ts`` is microseconds.
    """
    import pyarrow as pa

    return pa.schema([("ts", pa.int64()), ("kind", pa.uint8()), ("agent", pa.string()), ("payload", pa.string())])


def run_date(run_id: str) -> str:
    """Start date (UTC, ISO) that a run id carries: its partition in the log.

    Raises
    ------
    ValueError
        The id is no UUIDv7.
    """
    try:
        parsed = uuid.UUID(run_id)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != 7:
        raise ValueError(f"run id {run_id!r} is not a UUIDv7; take it from run.id or `kodosumi-lab runs`")
    seconds = (parsed.int >> 80) / 1000  # RFC 9562, section 5.7: the first 48 bits are Unix milliseconds
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"run id {run_id!r} carries a time beyond the year 9999") from None


# -- payloads ---------------------------------------------------------------------------

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=lambda o: _plain(o))  # noqa: PLW0108 - defined below


def dumps(value: Any) -> str:
    """JSON text of a payload: compact, valid UTF-8, without NaN.

    Dates, enums, paths, sets, models, dataclasses and array scalars become their JSON
    form, anything else its ``repr``; NaN and infinity become null; a lone surrogate is escaped.
    """
    try:
        text = _encoder.encode(value)
    except (ValueError, TypeError, RecursionError):
        text = _encoder.encode(_finite(value, frozenset()))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(json.loads(text), separators=(",", ":"))
    return text


def _plain(value: Any) -> Any:
    """What ``json`` cannot write, in terms of what it can; never raises."""
    try:
        return _converted(value)
    except Exception:  # noqa: BLE001 - the flow's own class: its failure must not end the flow
        return safe_repr(value)


def safe_repr(value: Any) -> str:
    """``repr``, or what can be said where that fails."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the flow's own class
        cls = type(value)
        return f"<{cls.__module__}.{cls.__qualname__} without a repr: {type(error).__name__}>"


def _converted(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, uuid.UUID | PurePath | decimal.Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    cls = type(value)
    if hasattr(cls, "get_secret_value"):
        return {"secret": True}
    if hasattr(cls, "model_dump") and hasattr(cls, "model_fields"):
        try:
            return value.model_dump(mode="json")
        except Exception:  # noqa: BLE001 - a field of a class that pydantic cannot write: the others are worth keeping
            return {name: getattr(value, name) for name in cls.model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if cls.__module__.partition(".")[0] == "pandas" and hasattr(cls, "to_dict") and hasattr(cls, "columns"):
        return value.to_dict(orient="records")
    # numpy arrays and scalars, pandas series; then Polars frames and series, Arrow, inside other values
    for method in ("tolist", "to_dicts", "to_list", "to_pylist"):
        if callable(getattr(cls, method, None)):
            plain = getattr(value, method)()
            if type(plain) is not cls:  # a numpy scalar that Python has no type for is its own item
                return plain
    return repr(value)


# Deeper values are kept as their text: Python itself gives up somewhere between 300 and 1000.
_DEPTH = 150


def _finite(value: Any, above: frozenset[int]) -> Any:
    """The slow path: keys that are no strings, NaN, numbers beyond what is printed, cycles."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 14_000 else hex(value)  # the limit of int() is 4,300 digits
    if len(above) > _DEPTH or id(value) in above:
        return _shallow(value)
    inside = above | {id(value)}
    if isinstance(value, Mapping):
        return {_key(k): _finite(v, inside) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, inside) for item in value]
    return _finite(_plain(value), inside)


def _shallow(value: Any) -> str:
    try:
        return repr(value)[:200]
    except (Exception, RecursionError):  # noqa: BLE001 - the flow's own class, or deeper than repr can go
        return f"<{type(value).__qualname__}>"


def _key(key: Any) -> str:
    """A mapping's key, as ``json`` itself would write it where it can."""
    if isinstance(key, str):
        return str(key.value) if isinstance(key, enum.Enum) else key
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    plain = _plain(key) if not isinstance(key, int | float) else key
    return plain if isinstance(plain, str) else str(plain)


def encode(value: Any) -> str:
    """Payload for a value that a flow shows or returns.

    Strings, JSON values, models, dataclasses and tables (Polars, pandas, Arrow) come
    back from :func:`decode` as values; objects with a Jupyter display keep their MIME
    bundle, anything else its ``repr``.
    """
    if type(value) is str:
        return '{"text/plain":' + dumps(value) + "}"
    if value is None or type(value) in (bool, int, float, list, dict, tuple):
        return '{"application/json":' + dumps(value) + "}"
    from kodosumi_lab._mime import bundle_of

    return dumps(bundle_of(value))


class Rich:
    """Something a flow showed that is no plain value: a figure, HTML, Markdown.

    Notebooks render it from its MIME bundle; ``str()`` gives its text.
    """

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {mime: data for mime, data in self.bundle.items() if mime not in (ARROW_MIME, CLASS_MIME)}

    def __str__(self) -> str:
        for mime in ("text/markdown", "text/plain", "text/html"):
            if mime in self.bundle:
                return str(self.bundle[mime])
        return f"<{', '.join(self.bundle)}>"

    def __repr__(self) -> str:
        return f"Rich({', '.join(self.bundle)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rich) and other.bundle == self.bundle

    __hash__ = None  # type: ignore[assignment]


_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def is_reference(data: Any) -> bool:
    """Whether a payload's JSON value stands for a payload that is kept beside the log."""
    if not isinstance(data, dict) or set(data) != {"artifact"} or not isinstance(data["artifact"], dict):
        return False
    sha256, date = data["artifact"].get("sha256"), data["artifact"].get("date")
    named = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
    return named and isinstance(date, str) and _DATE.fullmatch(date) is not None


def loads(payload: str, load_artifact: Callable[[dict[str, Any]], str]) -> Any:
    """JSON value of a payload as it was written; one that is kept beside the log is fetched, once.

    For kinds whose payload is no MIME bundle: what somebody entered may look like one.
    """
    data = json.loads(payload)
    return json.loads(load_artifact(data["artifact"])) if is_reference(data) else data


def decode(payload: str, load_artifact: Callable[[dict[str, Any]], str] | None = None) -> Any:
    """Python value of a payload.

    Parameters
    ----------
    payload
        JSON text as stored.
    load_artifact
        Called with ``{"sha256", "nbytes", "date"}`` for a payload that is kept beside
        the log; without it the reference itself comes back.

    Returns
    -------
    Any
        A ``str``, a JSON value, a ``polars.DataFrame`` (pandas or Arrow where the flow
        emitted those), or :class:`Rich` for anything that can only be shown.
    """
    data = json.loads(payload)
    if not isinstance(data, dict):
        return data
    if load_artifact is not None and is_reference(data):
        data = json.loads(load_artifact(data["artifact"]))
    if ARROW_MIME in data:
        from kodosumi_lab._mime import table_of

        return table_of(data)
    if JSON_MIME in data:
        return data[JSON_MIME]
    if set(data) == {"text/plain"}:
        return data["text/plain"]
    if any("/" in key for key in data):
        return Rich(data)
    return data
