"""The hot segment: groups, committed length, recovery of a torn tail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logkit import ENOSPC, T0, BadDisk, FastDisk

from kodosumi_lab.events import arrow_schema
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout, SegmentName, parse_segment
from kodosumi_lab.runtime.segment import (
    HotWriter,
    commit_record,
    committed_length,
    read_snapshot,
    read_tail,
    recover_length,
    settle_length,
)


def batch(start: int, n: int, payload: str = '"x"') -> pa.RecordBatch:
    rows = [
        {"run_id": "r", "seq": start + i, "ts": T0, "kind": "stdout", "agent": None, "payload": payload,
         "attempt": 1, "producer": 2**64 - 1, "producer_seq": start + i}
        for i in range(n)
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.hot.mkdir()
    return layout


@pytest.fixture
def open_writer(layout: Layout) -> Any:
    made: list[HotWriter] = []

    def make(n: int = 0, disk: Disk | None = None, runs: list[dict[str, Any]] | None = None) -> HotWriter:
        made.append(HotWriter(layout, SegmentName("o", n), disk or FastDisk(), runs or []))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def seqs(path: Path, length: int | None = None) -> list[int]:
    return read_snapshot(path, length).table["seq"].to_pylist()


def test_a_new_segment_holds_its_checkpoint_and_no_rows(open_writer):
    writer = open_writer(runs=[{"run_id": "r", "seq": 5}])
    snapshot = read_snapshot(writer.path)
    assert snapshot.runs == [{"run_id": "r", "seq": 5}]
    assert snapshot.table.num_rows == 0
    assert snapshot.whole
    assert snapshot.table.schema == arrow_schema()


def test_what_was_appended_is_read_back_and_is_a_plain_arrow_stream(open_writer):
    writer = open_writer()
    writer.append([batch(0, 3), batch(3, 1)])
    writer.append([batch(4, 2)])
    assert seqs(writer.path) == [0, 1, 2, 3, 4, 5]
    assert pl.read_ipc_stream(writer.path)["seq"].to_list() == [0, 1, 2, 3, 4, 5]
    assert pl.read_ipc_stream(writer.path)["producer"][0] == 2**64 - 1


def test_readers_stop_at_the_published_length(open_writer):
    writer = open_writer()
    writer.append([batch(0, 3)])
    with writer.path.open("ab") as file:
        file.write(b"\xff\xff\xff\xff torn")
    assert seqs(writer.path) == [0, 1, 2]
    assert read_snapshot(writer.path).whole


def test_the_tail_between_two_lengths_is_what_came_in_between(open_writer):
    writer = open_writer()
    writer.append([batch(0, 3)])
    start = writer.length
    writer.append([batch(3, 2)])
    writer.append([batch(5, 2)])
    assert read_tail(writer.path, start, writer.length)["seq"].to_pylist() == [3, 4, 5, 6]
    with pytest.raises(ValueError, match="shorter than its committed length"):
        read_tail(writer.path, start, writer.length + 8)


def test_a_snapshot_outlives_its_file(open_writer):
    writer = open_writer()
    writer.append([batch(0, 1000)])
    snapshot = read_snapshot(writer.path)
    os.unlink(writer.path)
    assert snapshot.table["seq"].to_pylist() == list(range(1000))


def test_a_segment_without_a_length_is_not_there_yet(layout, open_writer):
    writer = open_writer()
    layout.length(writer.name).unlink()
    with pytest.raises(FileNotFoundError):
        read_snapshot(writer.path)


@pytest.mark.parametrize("data", [b"", b"1234", b"\0" * 16, b"\1" * 16, b"\0" * 17])
def test_a_length_that_is_no_length_counts_as_none(tmp_path, data):
    (tmp_path / "x.len").write_bytes(data)
    assert committed_length(tmp_path / "x.len") is None


def test_a_settled_length_replaces_whatever_stood_there(tmp_path):
    for before in (None, b"", b"torn", b"\0" * 16):
        path = tmp_path / "x.len"
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        settle_length(Disk(), path, 4711)
        assert committed_length(path) == 4711


@given(cut=st.integers(0, 10_000), published=st.sampled_from(["none", "first", "all"]), junk=st.binary(max_size=40))
def test_recovery_keeps_whole_groups_and_cuts_the_torn_one(tmp_path_factory, cut, published, junk):
    layout = Layout(tmp_path_factory.mktemp("log"))
    layout.hot.mkdir()
    writer = HotWriter(layout, SegmentName("o", 0), FastDisk(), [])
    ends = [writer.length]
    for i in range(3):
        writer.append([batch(i * 2, 1), batch(i * 2 + 1, 1)])
        ends.append(writer.length)
    writer.close()
    data = writer.path.read_bytes()
    size = max(ends[1], len(data) - cut)
    writer.path.write_bytes(data[:size] + b"\x01" + junk)
    known = {"none": None, "first": ends[1], "all": ends[3]}[published]
    length = recover_length(writer.path, known)
    whole = max(end for end in ends if end <= size)
    if length != whole:  # the junk made a commit record again, of a group that is all there
        assert length in ends
        assert size >= length - len(commit_record(0, 0))
    assert seqs(writer.path, length) == list(range(2 * ends.index(length)))


def test_a_group_with_a_flipped_byte_is_cut(open_writer):
    writer = open_writer()
    writer.append([batch(0, 1)])
    first = writer.length
    writer.append([batch(1, 1, '"payload"')])
    data = bytearray(writer.path.read_bytes())
    at = data.rindex(b"payload")
    data[at] ^= 1
    writer.path.write_bytes(data)
    assert recover_length(writer.path, None) == first


def test_a_payload_that_looks_like_a_commit_record_commits_nothing(open_writer):
    writer = open_writer()
    start = writer.length
    writer.append([batch(0, 1, '"commit crc=00000000 len=000000000000"')])
    assert recover_length(writer.path, start) == writer.length
    os.truncate(writer.path, writer.length - 8)
    assert recover_length(writer.path, start) == start


def test_a_file_without_a_whole_header_recovers_to_nothing(tmp_path):
    for data in (b"", b"\xff\xff\xff\xff", b"nonsense" * 20):
        path = tmp_path / "x.arrows"
        path.write_bytes(data)
        assert recover_length(path, None) == 0


def test_damage_below_the_committed_length_is_said(open_writer):
    writer = open_writer()
    writer.append([batch(0, 2)])
    middle = writer.length
    writer.append([batch(2, 2)])
    os.truncate(writer.path, middle + 20)
    snapshot = read_snapshot(writer.path)
    assert not snapshot.whole
    assert snapshot.table["seq"].to_pylist() == [0, 1]
    writer.path.write_bytes(b"")
    assert not read_snapshot(writer.path).whole


def test_a_group_that_cannot_be_published_does_not_count(open_writer):
    disk = BadDisk(error=ENOSPC)
    writer = open_writer(disk=disk)
    writer.append([batch(0, 1)])
    before = writer.length
    disk.stop_at = disk.count + 2  # append, sync, overwrite
    with pytest.raises(OSError, match="space"):
        writer.append([batch(1, 1)])
    assert disk.trace[-1] == "overwrite"
    assert writer.length == before
    assert seqs(writer.path) == [0]


def test_only_segments_have_segment_names():
    assert parse_segment("abc1-00000012") == SegmentName("abc1", 12)
    assert str(SegmentName("abc1", 12)) == "abc1-00000012"
    for stem in ("compact-0123456789ab-0", "compaction", "x", "A-00000001", "a-1", "a-00000001.tmp"):
        assert parse_segment(stem) is None
