"""What a flow holds: kodosumi's verbs, beside the files and at the far end of a call."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logkit import new_run

from kodosumi_lab.errors import FileNameError, FileTooLarge, UploadError, UploadNotFound
from kodosumi_lab.runtime import fs as fs_module
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.desk import Desk, RemoteDesk, desk_at, gather
from kodosumi_lab.runtime.files import CHUNK_BYTES, Limits
from kodosumi_lab.runtime.fs import AsyncFileSystem, FileSystem
from kodosumi_lab.runtime.layout import Layout


def far(desk: Desk) -> Callable[..., Any]:
    """A call to a desk in another process: everything is pickled on the way, errors too."""

    def call(verb: str, *args: Any) -> Any:
        try:
            answer = desk.call(verb, pickle.loads(pickle.dumps(args)))
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from None
        return pickle.loads(pickle.dumps(answer))

    return call


class Held:
    """A run's files as a flow and as a person have them."""

    def __init__(self, root: Path, way: str, limits: Limits | None = None) -> None:
        self.run_id = new_run()
        self.desk = Desk(root, limits)
        self.near = self.desk if way == "direct" else RemoteDesk(far(self.desk))
        self.said: list[Any] = []
        self.files = self.desk.run(self.run_id)

    def sync(self) -> FileSystem:
        return FileSystem(self.run_id, lambda: self.near, lambda payload: self.said.append(json.loads(payload)))

    def both(self) -> AsyncFileSystem:
        return AsyncFileSystem(self.sync())


@pytest.fixture(params=["direct", "remote"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Held(tmp_path / "log", request.param)
    yield made
    fs_module.drop_downloads(made.run_id)


BIG = bytes(range(256)) * (CHUNK_BYTES // 128 + 3)  # over two chunks


def paths(infos: list[Any]) -> list[str]:
    return [info["path"] for info in infos]


def test_a_flow_lists_reads_and_removes(held: Held) -> None:
    held.files.put("in", {"docs/a.txt": b"text", "big.bin": BIG, "empty": b""})
    with held.sync() as fs:
        assert fs.ls() == fs.ls("in") == fs.ls("/in/") == held.files.ls()
        assert fs.ls("out") == []
        assert paths(fs.ls("in/docs")) == ["in/docs/a.txt"]
        with fs.open("in/big.bin") as stream:
            pieces = list(stream.read())
            assert b"".join(pieces) == BIG
            assert max(map(len, pieces)) <= CHUNK_BYTES
            assert len(pieces) == 3
        assert fs.open("in/empty").read_all() == b""
        stream = fs.open("in/docs/a.txt")
        assert stream.read_all() == stream.read_all() == b"text"
        assert stream.remove() is True
        assert fs.remove("in/big.bin") is True
        assert paths(fs.ls()) == ["in/empty"]


def test_what_is_not_there_and_what_is_no_root(held: Held) -> None:
    held.files.write("in/a/b", b"x")
    with held.sync() as fs:
        for path in ("in/none", "out/none/x", "in/a/b/c"):
            for call in (fs.ls, fs.remove, lambda p: list(fs.download(p)), lambda p: fs.open(p).read_all()):
                with pytest.raises(FileNotFoundError, match=path):
                    call(path)
        for path in ("temp/x", "a.txt", "in/../../x", "in/C:/x", "../in"):
            for call in (fs.ls, fs.remove, fs.open, lambda p: list(fs.download(p))):
                with pytest.raises(ValueError, match=r"in/|name"):
                    call(path)
        with pytest.raises(IsADirectoryError):
            fs.open("in/a").read_all()


def test_downloads_lie_under_their_names_and_end_with_the_run(held: Held) -> None:
    held.files.put("in", {"x.txt": b"x", "d/y.txt": b"y", "d/e/z.bin": BIG})
    fs = held.sync()
    got = [Path(place) for place in fs.download("in/")]
    base = got[-1].parent
    assert base.name.startswith("kodosumi-")
    assert [place.relative_to(base).as_posix() for place in got] == ["d/e/z.bin", "d/y.txt", "x.txt"]
    assert got[0].read_bytes() == BIG
    [one] = fs.download("in/d/y.txt")
    assert Path(one).name == "y.txt"
    below = [Path(place) for place in fs.download("in/d")]
    assert [place.relative_to(below[1].parent).as_posix() for place in below] == ["e/z.bin", "y.txt"]
    Path(one).write_text("mine now")  # a copy, whatever the way
    assert held.files.stat("in/d/y.txt")["size"] == 1
    fs.close()
    assert got[0].exists()
    fs_module.drop_downloads(held.run_id)
    assert not any(place.exists() for place in (*got, Path(one), *below))


def test_a_delivery_appears_in_out_and_is_told(held: Held, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "fig").mkdir(parents=True)
    (folder / "fig" / "a.png").write_bytes(BIG)
    (folder / "none").write_bytes(b"")
    single = tmp_path / "report.md"
    single.write_text("# done")
    fs = held.sync()
    assert fs.upload(str(single))
    first, second = fs.upload(single), fs.upload(folder)
    assert isinstance(first, str)
    assert first != second
    assert paths(fs.ls("out")) == ["out/fig/a.png", "out/none", "out/report.md"]
    assert fs.open("out/fig/a.png").read_all() == BIG
    assert [paths(said["files"]) for said in held.said] == [
        ["out/report.md"],
        ["out/report.md"],
        ["out/fig/a.png", "out/none"],
    ]
    assert held.said[2]["files"][0]["size"] == len(BIG)
    (tmp_path / "nothing").mkdir()
    assert fs.upload(tmp_path / "nothing") is None
    assert len(held.said) == 3
    with pytest.raises(FileNotFoundError, match="no-such"):
        fs.upload(tmp_path / "no-such")


def test_a_delivery_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "a").write_bytes(b"x" * 10)
    (folder / "b").write_bytes(b"x" * 11)
    for way in ("direct", "remote"):
        held = Held(tmp_path / way, way, Limits(file_bytes=10, run_bytes=100))
        with pytest.raises(FileTooLarge, match="10 bytes"):
            held.sync().upload(folder)
        assert held.said == []
        assert held.files.ls() == []
        left = [path for path in (tmp_path / way).rglob("*") if path.is_file()]
        assert left == []


def test_links_out_of_a_delivered_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    folder = tmp_path / "made"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "inner").symlink_to(folder / "a")
    assert list(gather(folder)) == ["a", "inner"]
    for target in (tmp_path / "secret", folder / "sub", tmp_path, tmp_path / "nowhere"):
        (folder / "link").symlink_to(target)
        with pytest.raises(FileNameError, match="link"):
            gather(folder)
        (folder / "link").unlink()


def test_streams_and_file_systems_that_were_closed_say_so(held: Held) -> None:
    held.files.write("in/a", b"x")
    fs = held.sync()
    stream = fs.open("in/a")
    with stream, pytest.raises(RuntimeError, match="in use"):
        stream.enter()
    for call in (stream.read, stream.read_all, stream.remove):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    fs.close()
    fs.close()
    with pytest.raises(RuntimeError, match="closed"):
        fs.ls()


def test_the_asynchronous_twin_does_the_same(held: Held, tmp_path: Path) -> None:
    held.files.put("in", {"a.txt": b"a", "d/b.bin": BIG})
    (tmp_path / "r.txt").write_text("r")

    async def flow() -> None:
        async with held.both() as fs:
            assert paths(await fs.ls("in")) == ["in/a.txt", "in/d/b.bin"]
        async with await held.both() as fs:
            async with fs.open("in/d/b.bin") as stream:
                assert b"".join([piece async for piece in stream.read()]) == BIG
            stream = fs.open("in/a.txt")
            assert await stream.read_all() == b"a"
            assert await stream.remove() is True
            await stream.close()
            with pytest.raises(FileNotFoundError):
                await fs.open("in/a.txt").read_all()
            fs.open("in/d").close()  # not awaited: no warning
            got = [Path(place).name async for place in fs.download("in")]
            assert got == ["b.bin"]
            assert await fs.upload(tmp_path / "r.txt")
            assert await fs.remove("in/d") is True
        fs = await held.both()
        assert paths(await fs.ls()) == ["out/r.txt"]
        await fs.close()
        with pytest.raises(RuntimeError, match="closed"):
            await fs.ls()

    asyncio.run(flow())
    assert paths(held.said[0]["files"]) == ["out/r.txt"]


def test_a_file_replaced_while_it_is_read_from_afar_is_not_mixed(tmp_path: Path) -> None:
    held = Held(tmp_path, "remote")
    held.files.write("in/a", b"old" * CHUNK_BYTES)
    pieces = held.near.chunks(held.run_id, "in/a")
    assert next(pieces) == (b"old" * CHUNK_BYTES)[:CHUNK_BYTES]
    held.files.write("in/a", b"new" * CHUNK_BYTES)
    with pytest.raises(OSError, match="replaced while it was being read"):
        next(pieces)


def test_a_run_inherits_what_another_one_was_given(held: Held) -> None:
    other = new_run()
    held.files.put("in", {"a": b"a", "d/b": b"b"})
    held.files.write("out/c", b"c")
    assert paths(held.near.inherit(other, held.run_id)) == ["in/a", "in/d/b"]
    assert paths(held.near.ls(other)) == ["in/a", "in/d/b"]
    assert held.near.inherit(new_run(), new_run()) == []
    held.near.clear(held.run_id)
    assert paths(held.near.ls(other)) == ["in/a", "in/d/b"]
    assert held.near.ls(held.run_id) == []


def test_only_file_verbs_can_be_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for verb in ("put", "run", "call", "expire", "__init__", "uploads", "rm"):
        with pytest.raises(ValueError, match="no file verb"):
            desk.call(verb, ())
    with pytest.raises(UploadNotFound):
        desk.call("chunk", ("x", 0, b""))


def test_errors_keep_what_they_know_on_their_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    batch = desk.call("init_batch", ())
    desk.call("init", ("a", 2, batch))
    with pytest.raises(UploadError, match="lacks 2 of 2") as caught:
        far(desk)("complete", new_run(), batch, "in")
    assert caught.value.missing == {"a": [0, 1]}


def test_files_are_used_directly_only_where_the_owner_of_the_log_is(tmp_path: Path) -> None:
    import os

    limits = Limits(file_bytes=7)
    claim = ownership.claim(Layout(tmp_path), "mine")
    claim.record(ownership.here("mine", os.getpid(), "127.0.0.1:1"))
    try:
        found = desk_at(tmp_path, far(Desk(tmp_path, limits, owner="mine")))
        assert isinstance(found, Desk)
        assert found.limits == limits
        for root, owner, direct in (
            (tmp_path, "mine", False),  # by setting
            (tmp_path, "other", True),  # a log of that name, but not that one
            (tmp_path / "none", "mine", True),
            (None, "mine", True),
        ):
            assert isinstance(desk_at(root, far(Desk(tmp_path, limits, owner=owner, direct=direct))), RemoteDesk)
        text = claim.path.read_text()
        claim.path.write_text(text.replace(json.loads(text)["host"], "elsewhere"))
        assert isinstance(desk_at(tmp_path, far(Desk(tmp_path, limits, owner="mine"))), RemoteDesk)
    finally:
        claim.close(remove=True)
