"""The hot segment: an Arrow IPC stream that is appended to, and its committed length.

::

    schema message, with the checkpoint as metadata
    ( record batch … record batch  commit record )  one commit group
    ( record batch  commit record )                 the next one

A commit record is an empty record batch whose metadata holds the length and the CRC-32 of
its group, so the file stays a plain Arrow stream for everyone else. The writer appends a
group, fsyncs once, and publishes the new length in ``<name>.len``; readers stop there.
``.len`` itself is not fsynced: after a power cut it may be behind, so recovery of an
owner's *last* segment goes on from it through every group that is complete and whose
checksum fits. That keeps everything acknowledged (it was fsynced) and everything anybody
has read (it was published after the fsync), and cuts a torn group as a whole.
"""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from kodosumi_lab.events import SCHEMA_VERSION, arrow_schema
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout, SegmentName

__all__ = [
    "HotWriter",
    "Snapshot",
    "committed_length",
    "read_snapshot",
    "read_tail",
    "recover_length",
    "set_aside",
    "settle_length",
]

_META_KEY = b"kodosumi_lab"
_COMMIT = re.compile(rb"commit crc=([0-9a-f]{8}) len=([0-9a-f]{12})")
_LEN = struct.Struct("<QQ")
_ALL = 2**64 - 1


def _header(schema: pa.Schema, owner: str, n: int, runs: list[dict[str, Any]]) -> bytes:
    checkpoint = {"version": SCHEMA_VERSION, "owner": owner, "n": n, "runs": runs}
    meta = {_META_KEY: json.dumps(checkpoint, separators=(",", ":"))}
    data: bytes = schema.with_metadata(meta).serialize().to_pybytes()
    return data


def _commit_template() -> bytes:
    """The commit record with zeros, made once: only its digits differ afterwards."""
    schema = arrow_schema()
    sink = io.BytesIO()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        writer.write_batch(empty)  # the schema message goes out with the first batch
        start = sink.tell()
        writer.write_batch(empty, custom_metadata={"kodosumi_lab": f"commit crc={0:08x} len={0:012x}"})
        end = sink.tell()
    return sink.getvalue()[start:end]


_TEMPLATE = _commit_template()
_ZEROS = f"crc={0:08x} len={0:012x}".encode()


def commit_record(crc: int, length: int) -> bytes:
    """Bytes of the empty record batch that closes a commit group."""
    return _TEMPLATE.replace(_ZEROS, f"crc={crc:08x} len={length:012x}".encode())


class HotWriter:
    """One hot segment, open for appending. After any error it must not be appended to again."""

    def __init__(self, layout: Layout, name: SegmentName, disk: Disk, runs: list[dict[str, Any]]) -> None:
        self.name = name
        self.path = layout.arrows(name)
        self._len_path = layout.length(name)
        self._disk = disk
        self.schema = arrow_schema()
        header = _header(self.schema, name.owner, name.n, runs)
        temporary = self.path.with_suffix(".new")
        disk.create(temporary, header)
        disk.create(self._len_path, _LEN.pack(len(header), _ALL - len(header)))
        disk.rename(temporary, self.path)
        disk.sync_dir(self.path.parent)
        self.length = len(header)
        self.header_length = len(header)
        self.groups = 0
        self._fd = self._len_fd = -1
        self._fd = disk.open(self.path)
        # in place for the life of the segment: opening the file for each commit costs more than the write
        try:
            self._len_fd = disk.open(self._len_path, append=False)
        except OSError:
            self.close()
            raise

    def append(self, batches: list[pa.RecordBatch]) -> None:
        """Commit one group: returns when it is durable and published.

        Raises
        ------
        OSError
            Nothing of the group counts; close this segment and open another one.
        """
        parts: list[memoryview] = []
        crc = length = 0
        for batch in batches:
            message = memoryview(batch.serialize())
            crc = zlib.crc32(message, crc)
            length += len(message)
            parts.append(message)
        record = commit_record(crc, length)
        self._disk.append(self._fd, [*parts, record])
        self._disk.sync(self._fd)
        new = self.length + length + len(record)
        self._disk.overwrite(self._len_fd, _LEN.pack(new, _ALL - new))
        self.length = new  # only now: a group that could not be published does not count
        self.groups += 1

    def finish(self) -> None:
        """Nothing more will be appended: make the published length durable and close."""
        self._disk.sync(self._len_fd)
        self.close()

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._fd, self._len_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._len_fd = -1


def committed_length(path: Path) -> int | None:
    """Published length of the segment whose ``.len`` is at `path`; None when there is none yet."""
    for _ in range(100):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(data) == _LEN.size:
            length, check = _LEN.unpack(data)
            if length ^ check == _ALL:
                return int(length)
    return None  # never seen: both words are written by one 16-byte write


def settle_length(disk: Disk, path: Path, length: int) -> None:
    """Make the committed length of a segment that is no longer written final and durable."""
    data = _LEN.pack(length, _ALL - length)
    if not path.exists():
        disk.create(path, data)
        return
    fd = disk.open(path, append=False)
    try:
        disk.overwrite(fd, data)
        disk.sync(fd)
    finally:
        os.close(fd)


def set_aside(layout: Layout, path: Path, disk: Disk) -> Path:
    """Move a damaged file out of the way of readers, keeping it for people."""
    disk.mkdir(layout.damaged)
    target = layout.damaged / "-".join(path.relative_to(layout.root).parts)
    disk.rename(path, target)
    disk.sync_dir(path.parent)
    return target


class Snapshot:
    """What a segment held when it was opened: its checkpoint and its committed rows.

    The file stays mapped, so it can be read after it was sealed and unlinked.

    Attributes
    ----------
    runs : list of dict
        The checkpoint, see :meth:`kodosumi_lab.runtime.lifecycle.RunState.from_dict`.
    table : pyarrow.Table
        Committed events, schema of :func:`kodosumi_lab.events.arrow_schema`, in commit order.
    length : int
        Committed length that was asked for.
    whole : bool
        Whether the table has everything up to `length`; False when the file is damaged.
    """

    def __init__(self, runs: list[dict[str, Any]], table: pa.Table, length: int, whole: bool) -> None:
        self.runs = runs
        self.table = table
        self.length = length
        self.whole = whole


def _map(path: Path, length: int) -> pa.Buffer:
    with path.open("rb") as file:
        size = min(length, os.fstat(file.fileno()).st_size)
        if size == 0:
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ))


def read_snapshot(path: Path, length: int | None = None) -> Snapshot:
    """Read a hot segment up to its committed length.

    Parameters
    ----------
    path
        The ``.arrows`` file.
    length
        Stop here; by default at the published length.

    Raises
    ------
    FileNotFoundError
        The segment was sealed meanwhile; its Parquet files have the rows.
    """
    if length is None:
        length = committed_length(path.with_suffix(".len"))
        if length is None:
            raise FileNotFoundError(f"no committed length beside {path}")
    buffer = _map(path, length)
    source = pa.BufferReader(buffer)
    batches: list[pa.RecordBatch] = []
    try:
        reader = pa.ipc.open_stream(source)
        checkpoint = json.loads((reader.schema.metadata or {}).get(_META_KEY, b"{}"))
        # a torn batch below the published length can only be damage; what comes before it is served
        with contextlib.suppress(StopIteration):
            while True:
                batches.append(reader.read_next_batch())
        whole = source.tell() == length
    except (pa.ArrowInvalid, pa.ArrowSerializationError, OSError, ValueError):
        whole = False
        if not batches:
            return Snapshot([], arrow_schema().empty_table(), length, whole=False)
    table = pa.Table.from_batches(batches, schema=reader.schema).replace_schema_metadata(None)
    return Snapshot(checkpoint.get("runs", []), table, length, whole)


def read_tail(path: Path, start: int, end: int) -> pa.Table:
    """Rows of the commit groups between two committed lengths.

    Raises
    ------
    FileNotFoundError
        The segment was sealed meanwhile.
    ValueError
        The file is damaged.
    """
    with path.open("rb") as file:
        data = os.pread(file.fileno(), end - start, start)
    if len(data) < end - start:
        raise ValueError(f"the segment is shorter than its committed length {end:,}: {path}")
    schema = arrow_schema()
    reader = pa.ipc.open_stream(pa.py_buffer(schema.serialize().to_pybytes() + data))
    return reader.read_all()


def recover_length(path: Path, published: int | None) -> int:
    """Committed length of an owner's last segment after a crash.

    Parameters
    ----------
    path
        The ``.arrows`` file.
    published
        What its ``.len`` says, if it has one.

    Returns
    -------
    int
        At least the published length where the file has that much, plus every whole
        commit group after it; 0 when not even the header is whole.
    """
    size = path.stat().st_size
    buffer = _map(path, size)
    try:
        source = pa.BufferReader(buffer)
        pa.ipc.read_schema(source)
    except (pa.ArrowInvalid, OSError, EOFError):
        return 0
    header = source.tell()
    start = published if published is not None and header <= published <= size else header
    return _whole_groups(buffer, start)


def _whole_groups(buffer: pa.Buffer, start: int) -> int:
    source = pa.BufferReader(buffer.slice(start))
    view = memoryview(buffer)
    good = begin = 0
    while True:
        before = source.tell()
        try:
            message = pa.ipc.read_message(source)
        except (pa.ArrowInvalid, OSError, EOFError):
            return start + good
        if message is None:
            return start + good
        found = _COMMIT.search(memoryview(message.metadata))
        if found is None:
            continue
        group = view[start + begin : start + before]
        if len(group) != int(found[2], 16) or zlib.crc32(group) != int(found[1], 16):
            return start + good
        good = begin = source.tell()
