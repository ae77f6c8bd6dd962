"""A batch of events between emitter and Spooler: a header, then its columns, back to back.

::

    "KLB1" | events: u32 | bytes of names: u32 | 0: u32
    ts: i64 × n | length of payload: i32 × n | agent: i16 × n | kind: u8 × n | names | payloads

Little-endian. ``agent`` is a place in the names (a JSON list), -1 for the flow itself; ``kind``
is a place in :data:`kodosumi_lab.events.KINDS`; payloads are UTF-8, one after another.

Only the Spooler needs Arrow for it. Making an Arrow message of Python rows took ten times as
long, under the flow's interpreter lock, and loaded pandas into every process that emits.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Row", "decode", "encode"]

#: ``(ts in microseconds, code of the kind, agent, payload)``
Row = tuple[int, int, str | None, str]

_HEAD = struct.Struct("<4sIII")
_MAGIC = b"KLB1"
# Offsets of an Arrow string column are 32 bits wide.
_MOST_BYTES = 2**31 - 1


def encode(rows: Sequence[Row]) -> bytes:
    """Bytes of a batch.

    Parameters
    ----------
    rows
        At least one. Lone surrogates become ``?`` and an agent that is no text its ``str``:
        one such event must not hold up the others.
    """
    ts, kinds, agents, payloads = zip(*rows, strict=True)
    text = "".join(payloads)
    if text.isascii():
        body, lengths = text.encode(), array("i", map(len, payloads))
    else:
        encoded = [_utf8(payload) for payload in payloads]
        body, lengths = b"".join(encoded), array("i", map(len, encoded))
    names: dict[str, int] = {}
    if agents.count(None) == len(agents):
        places = array("h", [-1]) * len(agents)
    else:
        places = array("h", [-1 if a is None else names.setdefault(str(a), len(names)) for a in agents])
    listed = json.dumps([_utf8(name).decode() for name in names]).encode() if names else b""
    columns = [array("q", ts), lengths, places]
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    head = _HEAD.pack(_MAGIC, len(rows), len(listed), 0)
    return b"".join([head, *(column.tobytes() for column in columns), bytes(kinds), listed, body])


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def decode(data: bytes | memoryview) -> pa.RecordBatch:
    """The batch as Arrow, in :func:`kodosumi_lab.events.wire_schema`; payloads are not copied.

    Raises
    ------
    ValueError
        The bytes are no batch.
    """
    import numpy as np
    import pyarrow as pa

    from kodosumi_lab.events import wire_schema

    view = memoryview(data)
    if len(view) < _HEAD.size:
        raise ValueError(f"{len(view)} bytes are no batch of events")
    magic, n, listed, _ = _HEAD.unpack_from(view)
    columns = _HEAD.size + n * (8 + 4 + 2 + 1)
    if magic != _MAGIC or len(view) < columns + listed:
        raise ValueError("this is no batch of events, or one cut short")
    ts, lengths, places, kinds = _columns(view, n)
    body = view[columns + listed :]
    if (n and lengths.min() < 0) or int(lengths.sum(dtype=np.int64)) != len(body) or len(body) > _MOST_BYTES:
        raise ValueError(f"the lengths of {n} payloads do not add up to the {len(body)} bytes that follow")
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    payload = pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(body))
    names = [str(name) for name in json.loads(bytes(view[columns : columns + listed]))] if listed else []
    if n and not -1 <= places.min() <= places.max() < len(names):
        raise ValueError(f"an event names agent {places.max()} of {len(names)}")
    agents = pa.array(names, pa.string()).take(pa.array(places, mask=places < 0)) if names else pa.nulls(n, pa.string())
    return pa.RecordBatch.from_arrays([pa.array(ts), pa.array(kinds), agents, payload], schema=wire_schema())


def _columns(view: memoryview, n: int) -> list[np.ndarray]:
    import numpy as np

    dtypes = [np.dtype(code) for code in ("<i8", "<i4", "<i2", "u1")]
    starts = accumulate((n * dtype.itemsize for dtype in dtypes), initial=_HEAD.size)
    return [np.frombuffer(view, dtype, n, start) for dtype, start in zip(dtypes, starts, strict=False)]
