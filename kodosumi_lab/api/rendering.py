"""Frames as JSON, NDJSON, CSV or an Arrow stream, as the request's ``Accept`` asks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.query import EVENTS

__all__ = [
    "ARROW",
    "CSV",
    "JSON",
    "NDJSON",
    "as_text",
    "chosen",
    "content",
    "event_lines",
    "loaded",
    "to_arrow",
    "write",
]

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
_FORMATS = (JSON, NDJSON, CSV, ARROW)

_HEAD = ("run_id", "seq", "ts", "kind", "agent", "attempt")


def content(schema: dict[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document says of an answer in all these formats."""
    text, binary = {"schema": {"type": "string"}}, {"schema": {"type": "string", "format": "binary"}}
    return {JSON: {"schema": schema}, NDJSON: text, CSV: text, ARROW: binary}


def chosen(accept: str | None) -> str:
    """The format that fits an ``Accept`` header best; JSON where it does not matter.

    Raises
    ------
    Refused
        406: none fits.
    """
    best, weight = None, 0.0
    for part in (accept or "*/*").split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        q = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    q = float(value)
                except ValueError:
                    q = 0.0
        fits = next((f for f in _FORMATS if media in (f, "*/*", f.partition("/")[0] + "/*")), None)
        if fits is not None and q > weight:
            best, weight = fits, q
    if best is None:
        raise Refused(406, "not-acceptable", f"Accept is {str(accept)[:200]!r}; there are: {', '.join(_FORMATS)}")
    return best


def event_lines(frame: pl.DataFrame) -> list[str]:
    """Events as JSON objects, one line each; the payload is a value in it, not text."""
    head = pl.struct(
        *[pl.col(name) for name in _HEAD if name != "ts"],
        ts=pl.col("ts").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
    ).struct.json_encode()
    # between tokens a line break is only space, and within a JSON text there is none
    payload = pl.col("payload").str.replace_all(r"[\r\n]", " ")
    line = pl.concat_str(head.str.head(-1), pl.lit(',"payload":'), payload, pl.lit("}"))
    return frame.select(line=line)["line"].to_list()


def loaded(line: str) -> dict[str, Any]:
    """One line of :func:`event_lines` as a dict."""
    return dict(json.loads(line))


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame that CSV can hold: lists become JSON text."""
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    return frame.with_columns(pl.col(name).list.join(",") for name in lists)


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """A frame with exactly the log's Arrow types."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).select(schema.names).cast(schema)


class _Sink(io.RawIOBase):
    """Collects what an Arrow writer writes until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def write(media: str, frames: Iterable[pl.DataFrame], schema: pa.Schema) -> Iterator[bytes]:
    """Frames one after another as NDJSON, CSV or an Arrow stream, never all at once in memory."""
    if media == ARROW:
        sink = _Sink()
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
            for frame in frames:
                writer.write_table(to_arrow(frame, schema))
                yield sink.take()
        yield sink.take()
        return
    header = True
    for frame in frames:
        if media == CSV:
            yield as_text(frame).write_csv(include_header=header).encode()
        elif frame.schema == EVENTS:
            yield "".join(f"{line}\n" for line in event_lines(frame)).encode()
        else:
            yield frame.write_ndjson().encode()
        header = False
