"""How live events travel: as server-sent events, or as Arrow frames.

A :class:`Chunk` is a stretch of events as the log gave them. An :class:`Encoding` makes bytes of it when somebody
first wants it so; everybody after takes the same bytes.

``application/vnd.kodosumi.frames``: each frame is four bytes with its length (little endian) and that many bytes. It
holds an Arrow stream of events, or JSON text ``{"end": {"status": …, "last_seq": …}}``; length 0 is a heartbeat.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import polars as pl
import pyarrow as pa

from kodosumi_lab.api.rendering import event_lines, to_arrow
from kodosumi_lab.events import arrow_schema, dumps

__all__ = ["FRAMES", "FRAMES_MEDIA", "HEARTBEAT", "SSE", "Chunk", "Encoding"]

FRAMES_MEDIA = "application/vnd.kodosumi.frames"
#: A frame that says nothing.
HEARTBEAT = bytes(4)

# About what a socket's buffer takes.
_SEND_BYTES = 64 * 2**10
# A frame: large enough that a burst is few of them, small enough that a browser decodes one within a few milliseconds.
_FRAME_BYTES = 2**20
# 30 frames a second and run are as many as a view has to draw.
_PACE_S = 1 / 30

_EVENTS = arrow_schema()
# An Arrow stream is its schema, any number of batches, and its end.
_SCHEMA = _EVENTS.serialize().to_pybytes()
_END = struct.pack("<iI", -1, 0)


class Chunk:
    """Events `first` to `last`.

    Attributes
    ----------
    nbytes
        About what it takes in memory, encoded.
    """

    def __init__(self, first: int, last: int, frame: pl.DataFrame) -> None:
        self.first, self.last = first, last
        self.seqs = frame["seq"].to_list()
        self.frame = frame
        self.nbytes = int(frame["payload"].str.len_bytes().sum()) + 200 * len(frame)
        self._encoded: dict[Encoding, list[bytes]] = {}
        self._lock = threading.Lock()

    def has(self, encoding: Encoding) -> bool:
        """Whether :meth:`encoded` answers at once."""
        return encoding in self._encoded

    def encoded(self, encoding: Encoding) -> list[bytes]:
        """Its events in an encoding; made once."""
        with self._lock:
            if encoding not in self._encoded:
                self._encoded[encoding] = encoding.parts(self.frame)
            return self._encoded[encoding]

    def place(self, after: int) -> int:
        """Place of the first event after `after`."""
        return 0 if after < self.first else bisect_right(self.seqs, after)


class Encoding(Protocol):
    """A way to send chunks.

    Attributes
    ----------
    begin
        What comes first.
    nbytes
        About how much is sent at once.
    pace_s
        Time between two that are not full, where more may come.
    """

    begin: bytes
    nbytes: int
    pace_s: float

    def parts(self, frame: pl.DataFrame) -> list[bytes]:
        """Events as bytes that can be joined with those of others."""

    def joined(self, chunks: Sequence[Chunk], after: int) -> list[bytes]:
        """What comes after `after` in these chunks, in pieces that are each sent at once."""

    def end(self, run_id: str, status: str, last_seq: int) -> bytes:
        """What comes last."""


class _ServerSentEvents:
    begin = b"retry: 1000\r\n\r\n"
    nbytes = _SEND_BYTES
    pace_s = 0.0

    def parts(self, frame: pl.DataFrame) -> list[bytes]:
        """A message for each event, whose id is its ``seq``."""
        lines = zip(frame["seq"].to_list(), event_lines(frame), strict=True)
        return [f"id: {seq}\r\ndata: {line}\r\n\r\n".encode() for seq, line in lines]

    def joined(self, chunks: Sequence[Chunk], after: int) -> list[bytes]:
        parts = [part for chunk in chunks for part in chunk.encoded(self)[chunk.place(after) :]]
        result: list[bytes] = []
        start = size = 0
        for i, part in enumerate(parts):
            size += len(part)
            if size >= _SEND_BYTES:
                result.append(b"".join(parts[start : i + 1]))
                start, size = i + 1, 0
        if start < len(parts):
            result.append(b"".join(parts[start:]))
        return result

    def end(self, run_id: str, status: str, last_seq: int) -> bytes:
        told = {"run_id": run_id, "status": status, "last_seq": last_seq}
        return f"event: end\r\ndata: {dumps(told)}\r\n\r\n".encode()


class _Frames:
    begin = HEARTBEAT  # so that whoever asks knows at once that it is connected
    nbytes = _FRAME_BYTES
    pace_s = _PACE_S

    def parts(self, frame: pl.DataFrame) -> list[bytes]:
        """The record batches of an Arrow stream, without its schema and its end."""
        batches: list[pa.RecordBatch] = to_arrow(frame, _EVENTS).combine_chunks().to_batches()
        return [batch.serialize().to_pybytes() for batch in batches if batch.num_rows]

    def joined(self, chunks: Sequence[Chunk], after: int) -> list[bytes]:
        batches: list[bytes] = []
        for chunk in chunks:
            place = chunk.place(after)
            batches += chunk.encoded(self) if place == 0 else self.parts(chunk.frame.slice(place))
        return [_framed(b"".join([_SCHEMA, *batches, _END]))] if batches else []

    def end(self, run_id: str, status: str, last_seq: int) -> bytes:
        return _framed(dumps({"end": {"status": status, "last_seq": last_seq}}).encode())


def _framed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


SSE: Encoding = _ServerSentEvents()
FRAMES: Encoding = _Frames()
