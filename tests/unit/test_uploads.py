"""Uploads in chunks: any order, any interruption, and a file is there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from logkit import ENOSPC, BadDisk, Clock, FastDisk, Stop, new_run

from kodosumi_lab.errors import FileNameError, FileTooLarge, UploadError, UploadNotFound
from kodosumi_lab.runtime.files import Limits, RunFiles
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.uploads import MAX_CHUNKS, Uploads, parse_upload_value


def uploads_of(root: Path, **options: Any) -> Uploads:
    return Uploads(root, disk=options.pop("disk", FastDisk()), **options)


def contents(root: Path, run_id: str) -> dict[str, bytes]:
    files = RunFiles(root, run_id)
    return {info["path"]: b"".join(files.chunks(info["path"])) for info in files.ls()}


def send(uploads: Uploads, batch: str, name: str, chunks: list[bytes]) -> str:
    upload = uploads.init(name, len(chunks), batch)
    for number, data in enumerate(chunks):
        uploads.chunk(upload, number, data)
    return upload


def test_a_folder_arrives_under_its_names(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    send(uploads, batch, "docs/a.txt", [b"one ", b"two"])
    send(uploads, batch, "b.bin", [b"single"])
    send(uploads, batch, "empty", [])
    assert contents(tmp_path, run) == {}
    infos = uploads.complete(run, batch, "in")
    assert {info["path"]: info["size"] for info in infos} == {"in/docs/a.txt": 7, "in/b.bin": 6, "in/empty": 0}
    assert contents(tmp_path, run) == {"in/docs/a.txt": b"one two", "in/b.bin": b"single", "in/empty": b""}


def test_missing_chunks_are_named_and_nothing_appears(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    send(uploads, batch, "whole", [b"w"])
    upload = uploads.init("a.bin", 5, batch)
    for number in (4, 0, 2):
        uploads.chunk(upload, number, b"x")
    with pytest.raises(UploadError, match=r"'a.bin' lacks 2 of 5 chunks: 1, 3") as caught:
        uploads.complete(run, batch, "in")
    assert caught.value.missing == {"a.bin": [1, 3]}
    assert contents(tmp_path, run) == {}
    status = uploads.status(upload)
    assert (status.received, status.missing, status.nbytes) == ([0, 2, 4], [1, 3], 3)
    for number in status.missing:
        uploads.chunk(upload, number, b"y")
    uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {"in/whole": b"w", "in/a.bin": b"xyxyx"}


@given(
    data=st.data(),
    chunks=st.lists(st.binary(max_size=20), max_size=6),
    restarts=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_chunks_in_any_order_repeated_and_over_restarts_make_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, chunks: list[bytes], restarts: list[bool]
) -> None:
    root, run = tmp_path_factory.mktemp("log"), new_run()
    uploads = uploads_of(root)
    batch = uploads.init_batch()
    upload = uploads.init("f", len(chunks), batch)
    order = data.draw(st.permutations([*range(len(chunks)), *range(len(chunks))]))
    seen = set()
    for number, restart in zip(order, restarts, strict=False):
        if restart:
            uploads = uploads_of(root)
        seen.add(number)
        assert uploads.chunk(upload, number, chunks[number]) == len(seen)
        assert uploads.status(upload).received == sorted(seen)
    uploads_of(root).complete(run, batch, "out")
    assert contents(root, run) == {"out/f": b"".join(chunks)}


def test_an_upload_goes_on_in_another_process(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    upload = uploads.init("f", 2, batch)
    code = (
        "import sys; from kodosumi_lab.runtime.uploads import Uploads\n"
        "root, upload = sys.argv[1:]\nUploads(root).chunk(upload, 1, b'from there')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), upload], check=True, timeout=60)
    assert uploads.chunk(upload, 0, b"from here, ") in (1, 2)  # what others sent may be counted late
    uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {"in/f": b"from here, from there"}


def test_a_completed_batch_answers_the_same_again_and_takes_nothing_more(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    upload = send(uploads, batch, "f", [b"x"])
    first = uploads.complete(run, batch, "in")
    assert uploads_of(tmp_path).complete(run, batch, "in") == first
    with pytest.raises(UploadError, match="went to in/ of run"):
        uploads.complete(new_run(), batch, "in")
    with pytest.raises(UploadError, match="went to in/ of run"):
        uploads.complete(run, batch, "out")
    for late in (
        lambda: uploads.chunk(upload, 0, b"y"),
        lambda: uploads.init("g", 1, batch),
        lambda: uploads.cancel(upload),
    ):
        with pytest.raises(UploadError, match="is complete"):
            late()
    assert contents(tmp_path, run) == {"in/f": b"x"}


def test_an_empty_batch_is_complete_at_once(tmp_path: Path) -> None:
    uploads = uploads_of(tmp_path)
    assert uploads.complete(new_run(), uploads.init_batch(), "in") == []


def test_of_two_uploads_of_one_name_the_later_counts(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    uploads.chunk(uploads.init("f", 3, batch), 1, b"given up")
    send(uploads, batch, "./f", [b"later"])
    uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {"in/f": b"later"}


def test_a_cancelled_upload_is_gone_and_does_not_hold_up_its_batch(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    gone = uploads.init("gone", 2, batch)
    uploads.chunk(gone, 0, b"x")
    send(uploads, batch, "kept", [b"k"])
    uploads.cancel(gone)
    for verb in (uploads.cancel, uploads.status, lambda u: uploads.chunk(u, 1, b"")):
        with pytest.raises(UploadNotFound):
            verb(gone)
    uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {"in/kept": b"k"}
    other = uploads.init_batch()
    send(uploads, other, "x", [b"x"])
    uploads.discard(other)
    with pytest.raises(UploadNotFound):
        uploads.complete(run, other, "in")


@pytest.mark.parametrize("bad", ["", "x", "../../hot", "0" * 32, "0" * 32 + "-" + "0" * 16, "a/" * 20, None, 7])
def test_unknown_ids_are_not_found_and_lead_nowhere(tmp_path: Path, bad: Any) -> None:
    uploads = uploads_of(tmp_path)
    uploads.init_batch()
    for call in (
        lambda: uploads.chunk(bad, 0, b""),
        lambda: uploads.status(bad),
        lambda: uploads.cancel(bad),
        lambda: uploads.complete(new_run(), bad, "in"),
        lambda: uploads.discard(bad),
        lambda: uploads.init("f", 1, bad) if bad is not None else uploads.discard(bad),
    ):
        with pytest.raises(UploadNotFound):
            call()


def test_impossible_announcements_and_chunks_are_refused(tmp_path: Path) -> None:
    uploads = uploads_of(tmp_path)
    for total in (-1, MAX_CHUNKS + 1, True, "3", 1.5, None):
        with pytest.raises(UploadError, match="total_chunks"):
            uploads.init("f", total)
    with pytest.raises(FileNameError):
        uploads.init("../f", 1)
    upload = uploads.init("f", 2)
    for number in (-1, 2, "0", None, False):
        with pytest.raises(UploadError, match="announced with 2 chunks"):
            uploads.chunk(upload, number, b"")
    with pytest.raises(ValueError, match="'in' or 'out'"):
        uploads.complete(new_run(), uploads.batch_of(upload), "temp")
    with pytest.raises(ValueError, match="run id"):
        uploads.complete("../x", uploads.batch_of(upload), "in")


def test_limits_hold_for_the_file_the_batch_and_the_run(tmp_path: Path) -> None:
    limits, run = Limits(file_bytes=10, run_bytes=15), new_run()
    uploads = uploads_of(tmp_path, limits=limits)
    batch = uploads.init_batch()
    upload = uploads.init("a", 3, batch)
    uploads.chunk(upload, 0, b"12345")
    uploads.chunk(upload, 0, b"12345")  # the same again counts once
    uploads.chunk(upload, 1, b"12345")
    with pytest.raises(FileTooLarge, match="10 bytes"):
        uploads.chunk(upload, 2, b"6")
    with pytest.raises(FileTooLarge, match="10 bytes"):
        uploads_of(tmp_path, limits=limits).chunk(upload, 2, b"6")  # also after a restart
    uploads.chunk(upload, 2, b"")
    other = uploads.init("b", 1, batch)
    with pytest.raises(FileTooLarge, match="15 bytes together"):
        uploads.chunk(other, 0, b"123456")
    uploads.chunk(other, 0, b"12345")
    RunFiles(tmp_path, run).write("out/here", b"1")
    with pytest.raises(FileTooLarge, match="15 bytes together"):
        uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {"out/here": b"1"}


def test_names_that_exclude_each_other_are_refused_before_anything_is_moved(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    send(uploads, batch, "a", [b"file"])
    send(uploads, batch, "a/b", [b"below it"])
    with pytest.raises(FileNameError, match="in/a is a file"):
        uploads.complete(run, batch, "in")
    assert contents(tmp_path, run) == {}


def test_what_is_left_alone_expires_and_what_moves_does_not(tmp_path: Path) -> None:
    import time

    clock = Clock()
    clock.now = time.time()
    uploads = uploads_of(tmp_path, limits=Limits(expiry_s=3600), clock=clock)
    old, done, busy = (uploads.init_batch() for _ in range(3))
    for batch in (old, done, busy):
        send(uploads, batch, "f", [b"x"])
    run = new_run()
    uploads.complete(run, done, "in")
    half = Layout(tmp_path).uploads / "w-0123"
    half.mkdir()
    (half / "0").write_bytes(b"half")
    clock.now += 3000
    for path in (Layout(tmp_path).uploads / busy).iterdir():
        os.utime(path, (clock.now, clock.now))
    clock.now += 700
    assert uploads.expire() == 3
    assert [path.name for path in Layout(tmp_path).uploads.iterdir()] == [busy]
    with pytest.raises(UploadNotFound):
        uploads.complete(run, old, "in")
    uploads.complete(run, busy, "out")
    assert contents(tmp_path, run) == {"in/f": b"x", "out/f": b"x"}
    clock.now += 7200
    uploads.init_batch()  # sweeps by itself
    assert busy not in [path.name for path in Layout(tmp_path).uploads.iterdir()]


def test_of_many_who_complete_at_the_same_time_all_get_the_same_answer(tmp_path: Path) -> None:
    uploads, run = uploads_of(tmp_path), new_run()
    batch = uploads.init_batch()
    for i in range(10):
        send(uploads, batch, f"d{i}/f", [b"a" * i, b"b"])
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(uploads_of(tmp_path).complete(run, batch, "in")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 6
    assert all(answer == answers[0] for answer in answers)
    assert len(contents(tmp_path, run)) == 10


WANTED = {"a.txt": [b"one", b"two", b"three"], "sub/b": [b"single"], "empty": []}
WHOLE = {f"in/{name}": b"".join(chunks) for name, chunks in WANTED.items()}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [None, ENOSPC])
def test_stopped_at_any_step_a_repeated_complete_brings_everything(
    tmp_path: Path, after: bool, error: int | None
) -> None:
    for stop in range(300):
        root, run = tmp_path / str(stop), new_run()
        uploads = uploads_of(root)
        batch = uploads.init_batch()
        for name, chunks in WANTED.items():
            send(uploads, batch, name, chunks)
        disk = BadDisk(stop, after=after, error=error)
        with contextlib.suppress(Stop, OSError):
            uploads_of(root, disk=disk).complete(run, batch, "in")
        seen = contents(root, run)
        assert seen.items() <= WHOLE.items()  # whole files only
        infos = uploads_of(root).complete(run, batch, "in")
        assert contents(root, run) == WHOLE
        assert {info["path"] for info in infos} == set(WHOLE)
        left = [path for path in (Layout(root).uploads / batch).iterdir() if path.is_dir()]
        assert left == []
        if disk.count <= stop:
            return
    pytest.fail("never ended by itself")


@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_any_step_of_sending_the_rest_is_sent_and_nothing_is_lost(tmp_path: Path, after: bool) -> None:
    chunks = [b"aa", b"b", b"cc"]
    for stop in range(100):
        root, run = tmp_path / str(stop), new_run()
        batch = uploads_of(root).init_batch()
        disk = BadDisk(stop, after=after)
        acknowledged: dict[int, bytes] = {}
        upload = None
        try:
            bad = uploads_of(root, disk=disk)
            upload = bad.init("f", 3, batch)
            for number, data in enumerate(chunks):
                bad.chunk(upload, number, data)
                acknowledged[number] = data
        except Stop:
            pass
        uploads = uploads_of(root)
        if upload is None:  # the announcement was not answered: the client announces again
            upload = uploads.init("f", 3, batch)
        status = uploads.status(upload)
        assert set(acknowledged) <= set(status.received)
        assert contents(root, run) == {}
        for number in status.missing:
            uploads.chunk(upload, number, chunks[number])
        uploads.complete(run, batch, "in")
        assert contents(root, run) == {"in/f": b"aabcc"}
        if not disk.dead:
            return
    pytest.fail("never ended by itself")


class UploadMachine(RuleBasedStateMachine):
    """A client that announces, sends, cancels, crashes and completes in any order, beside a model of it."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.run = new_run()
        self.uploads = uploads_of(self.root)
        self.batch = self.uploads.init_batch()
        self.open: dict[str, tuple[str, int, dict[int, bytes]]] = {}
        self.visible: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(name=st.sampled_from(["a", "b/c", "b/d"]), total=st.integers(0, 3))
    def announce(self, name: str, total: int) -> None:
        self.open[self.uploads.init(name, total, self.batch)] = (name, total, {})

    @precondition(lambda self: any(total for _, total, _ in self.open.values()))
    @rule(data=st.data(), content=st.binary(max_size=8))
    def send(self, data: st.DataObject, content: bytes) -> None:
        upload = data.draw(st.sampled_from([u for u, (_, total, _) in self.open.items() if total]))
        number = data.draw(st.integers(0, self.open[upload][1] - 1))
        self.uploads.chunk(upload, number, content)
        self.open[upload][2][number] = content

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        upload = data.draw(st.sampled_from(list(self.open)))
        self.uploads.cancel(upload)
        del self.open[upload]

    @rule()
    def restart(self) -> None:
        self.uploads = uploads_of(self.root)

    @rule(root=st.sampled_from(["in", "out"]), stop=st.none() | st.integers(0, 40), after=st.booleans())
    def complete(self, root: str, stop: int | None, after: bool) -> None:
        latest = {name: (total, chunks) for name, total, chunks in self.open.values()}
        whole = all(len(chunks) == total for total, chunks in latest.values())
        if not whole:
            with pytest.raises(UploadError, match="lacks"):
                self.uploads.complete(self.run, self.batch, root)
            return
        try:
            uploads_of(self.root, disk=BadDisk(stop, after=after)).complete(self.run, self.batch, root)
        except Stop:
            self.uploads = uploads_of(self.root)
            self.uploads.complete(self.run, self.batch, root)
        for name, (_, chunks) in latest.items():
            self.visible[f"{root}/{name}"] = b"".join(data for _, data in sorted(chunks.items()))
        self.batch, self.open = self.uploads.init_batch(), {}

    @invariant()
    def only_whole_files_are_seen(self) -> None:
        assert contents(self.root, self.run) == self.visible

    @invariant()
    def what_arrived_is_known(self) -> None:
        for upload, (_, _, chunks) in self.open.items():
            assert self.uploads.status(upload).received == sorted(chunks)


TestUploadMachine = UploadMachine.TestCase


# -- the value of a file element ----------------------------------------------------------


def test_the_form_value_of_a_file_element() -> None:
    text = json.dumps(
        {"batchId": "b1", "name": "files", "items": {"u1": {"filename": "docs//a.txt", "totalChunks": 2}}}
    )
    value = parse_upload_value(text)
    assert (value.batch_id, value.items, value.filenames) == ("b1", {"u1": ("docs/a.txt", 2)}, {"docs/a.txt"})
    for nothing in ("", None, '{"batchId": null, "items": {}}', '{"items": {}}'):
        assert parse_upload_value(nothing).batch_id is None
        assert parse_upload_value(nothing).filenames == set()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        "3",
        '"x"',
        '{"batchId": "b"}',
        '{"batchId": "b", "items": []}',
        '{"batchId": "b", "items": {"u": {}}}',
        '{"batchId": "b", "items": {"u": {"filename": "a", "totalChunks": "many"}}}',
        '{"batchId": 7, "items": {"u": {"filename": "a", "totalChunks": 1}}}',
        '{"items": {"u": {"filename": "a", "totalChunks": 1}}}',
        "[" * 100_000,
    ],
)
def test_any_other_value_is_refused(text: str) -> None:
    with pytest.raises(UploadError, match="file element"):
        parse_upload_value(text)
    with pytest.raises(FileNameError):
        parse_upload_value('{"batchId": "b", "items": {"u": {"filename": "../a", "totalChunks": 1}}}')
