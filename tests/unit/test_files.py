"""Files of runs: names stay below their root, nothing half is ever seen, limits hold."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logkit import BadDisk, FastDisk, Stop, new_run

from kodosumi_lab.errors import FileNameError, FileTooLarge
from kodosumi_lab.runtime.filenames import clean_name, split_path
from kodosumi_lab.runtime.files import Limits, RunFiles
from kodosumi_lab.runtime.layout import Layout


def files_of(root: Path, run_id: str | None = None, **options: Any) -> RunFiles:
    return RunFiles(root, run_id or new_run(), disk=options.pop("disk", FastDisk()), **options)


def names(files: RunFiles, path: str = "") -> list[str]:
    return [info["path"] for info in files.ls(path)]


def staged(root: Path) -> list[Path]:
    folder = Layout(root).uploads
    return list(folder.iterdir()) if folder.exists() else []


# -- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../a",
        "a/../b",
        "a/..",
        "/etc/passwd",
        "//a",
        "C:/a",
        "c:a",
        "a/C:/b",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "",
        ".",
        "./",
        "\ud800",
        "x" * 256,
        "ü" * 128,
        "/".join(["x" * 200] * 11),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_and_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNameError, match="a file's name") as caught:
        clean_name(name)
    assert repr(name) in str(caught.value)
    files = files_of(tmp_path)
    with pytest.raises(FileNameError):
        files.put("in", {name: b"x"})
    assert names(files) == []
    assert staged(tmp_path) == []


def test_a_name_is_kept_in_one_form() -> None:
    assert clean_name("a//b/./c.txt") == "a/b/c.txt"
    assert clean_name("übung 1/ä: notes…txt") == "übung 1/ä: notes…txt"
    assert split_path("/in/a") == split_path("in/a") == ("in", "a")
    assert split_path("out/") == split_path("/out") == ("out", "")


@pytest.mark.parametrize("path", ["temp/a", "a.txt", "in.txt", "..", "/etc/passwd", "IN/a", "inn/a"])
def test_a_path_starts_with_a_root(tmp_path: Path, path: str) -> None:
    for verb in ("ls", "stat", "open", "remove"):
        with pytest.raises(ValueError, match="in/"):
            getattr(files_of(tmp_path), verb)(path)
    with pytest.raises(ValueError, match="in/"):
        files_of(tmp_path).write(path, b"x")


@pytest.mark.parametrize("run_id", ["", "..", "../x", "no-id", "00000000-0000-4000-8000-000000000000"])
def test_a_run_id_is_no_way_out_either(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="run id"):
        RunFiles(tmp_path, run_id)
    with pytest.raises(ValueError, match="not written as ids are"):
        RunFiles(tmp_path, new_run().upper())


_parts = st.text(st.characters(exclude_categories=()), max_size=6) | st.sampled_from(
    ["..", ".", "", "/", "C:", "a", "b", "in", "\\", "~", "..."]
)


@given(parts=st.lists(_parts, max_size=5), sep=st.sampled_from(["/", "//", "\\"]))
def test_whatever_the_name_is_nothing_is_written_outside_the_root(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], sep: str
) -> None:
    root = tmp_path_factory.mktemp("log")
    files = files_of(root)
    name = sep.join(parts)
    base = Layout(root).files(files.run_id) / "in"
    try:
        [info] = files.put("in", {name: b"data"})
    except FileNameError:
        assert names(files) == []
        inside: list[Path] = []
    else:
        inside = [path for path in base.rglob("*") if path.is_file()]
        assert len(inside) == 1
        assert info["path"].startswith("in/")
        assert b"".join(files.chunks(info["path"])) == b"data"
        files.remove(info["path"])
        inside = []
    assert [path for path in root.rglob("*") if path.is_file()] == inside


# -- links ------------------------------------------------------------------------------


def test_links_are_neither_listed_nor_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hush")
    files = files_of(tmp_path / "log")
    files.write("in/plain.txt", b"x")
    base = Layout(tmp_path / "log").files(files.run_id)
    (base / "in" / "folder").symlink_to(secret)
    (base / "in" / "file").symlink_to(secret / "key")
    assert names(files) == ["in/plain.txt"]
    for path in ("in/file", "in/folder", "in/folder/key"):
        for verb in ("ls", "stat", "open", "remove"):
            with pytest.raises(FileNameError, match=path):
                getattr(files, verb)(path)
        with pytest.raises(FileNameError, match="link"):
            files.write(path, b"overwritten")
    files.remove("in")
    assert (secret / "key").read_text() == "hush"
    base.mkdir(exist_ok=True)
    (base / "out").symlink_to(secret)
    with pytest.raises(FileNameError, match="link"):
        files.ls("out")
    files.clear()
    assert (secret / "key").read_text() == "hush"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.write("in/a", b"x")
    os.mkfifo(Layout(tmp_path).files(files.run_id) / "in" / "pipe")
    assert names(files) == ["in/a"]
    with pytest.raises(FileNotFoundError):
        files.open("in/pipe")


# -- verbs ------------------------------------------------------------------------------


def test_files_are_listed_with_size_and_time_below_any_folder(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    assert files.ls() == files.ls("in") == files.ls("out") == files.ls("/in/") == []
    files.put("in", {"b.txt": b"bb", "docs/a.txt": b"a", "docs/deep/c.txt": b""})
    files.write("out/r.txt", b"result")
    assert names(files) == ["in/b.txt", "in/docs/a.txt", "in/docs/deep/c.txt", "out/r.txt"]
    assert names(files, "in/docs/") == ["in/docs/a.txt", "in/docs/deep/c.txt"]
    assert names(files, "in/docs/deep/c.txt") == ["in/docs/deep/c.txt"]
    info = files.stat("in/b.txt")
    assert info["size"] == 2
    assert abs(info["last_modified"] - (tmp_path / "x").parent.stat().st_mtime) < 60
    assert files.nbytes == 9
    for path in ("in/none", "in/docs/none/x", "in/b.txt/x"):
        for verb in ("ls", "stat", "open", "remove"):
            with pytest.raises(FileNotFoundError, match=path):
                getattr(files, verb)(path)
    with pytest.raises(IsADirectoryError):
        files.open("in/docs")


def test_removing_takes_folders_along_and_leaves_no_empty_ones(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.put("out", {"a/b/one": b"1", "a/b/two": b"2", "a/c/three": b"3"})
    files.remove("out/a/c")
    files.remove("out/a/b/one")
    assert names(files) == ["out/a/b/two"]
    files.remove("out/a/b/two")
    with pytest.raises(FileNotFoundError):
        files.ls("out/a")
    files.write("out/x", b"")
    files.write("in/y", b"")
    files.clear()
    files.clear()
    assert names(files) == []
    assert staged(tmp_path) == []


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.write("out/a", b"old" * 100)
    with files.open("out/a") as file:
        assert file.read(3) == b"old"
        files.write("out/a", b"new")
        assert file.read() == b"old" * 99
    assert b"".join(files.chunks("out/a")) == b"new"


def test_a_file_and_a_folder_of_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.put("in", {"file": b"f", "folder/x": b"x"})
    before = files.ls()
    for given_names in ({"file/below": b""}, {"folder": b""}, {"ok": b"", "ok/below": b""}, {"z": b"", "z/a/b": b""}):
        with pytest.raises(FileNameError):
            files.put("in", given_names)
        assert files.ls() == before


def test_a_file_over_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    files = files_of(tmp_path, limits=Limits(file_bytes=10, run_bytes=25))
    read = []

    def endless() -> Any:
        while True:
            read.append(1)
            yield b"1234"

    with pytest.raises(FileTooLarge, match="in/big"):
        files.write("in/big", endless())
    assert len(read) == 3
    files.put("in", {"a": b"x" * 10, "b": b"x" * 10})
    with pytest.raises(FileTooLarge, match="26"):
        files.write("out/c", b"x" * 6)
    files.write("in/a", b"x" * 5)  # what it replaces does not count
    files.write("out/c", b"x" * 6)
    assert files.nbytes == 21
    assert staged(tmp_path) == []


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield b"first half"
        raise OSError("source gone")

    files = files_of(tmp_path)
    with pytest.raises(OSError, match="source gone"):
        files.put("in", {"good": b"g", "bad": broken()})
    assert names(files) == []
    assert staged(tmp_path) == []


@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_any_step_every_file_is_the_old_or_the_new_one(tmp_path: Path, after: bool) -> None:
    new = {"a.txt": [b"new", b" a"], "sub/b.txt": [b"new b"]}
    steps = set()
    for stop in range(200):
        root = tmp_path / str(stop)
        run = new_run()
        files_of(root, run).put("in", {"a.txt": b"old a", "keep": b"kept"})
        disk = BadDisk(stop, after=after)
        with contextlib.suppress(Stop):
            files_of(root, run, disk=disk).put("in", new)
        seen = {info["path"]: b"".join(files_of(root, run).chunks(info["path"])) for info in files_of(root, run).ls()}
        assert seen["in/keep"] == b"kept"
        assert seen["in/a.txt"] in (b"old a", b"new a")
        assert seen.get("in/sub/b.txt") in (None, b"new b")
        assert set(seen) <= {"in/keep", "in/a.txt", "in/sub/b.txt"}
        steps.add(disk.trace[-1])
        if not disk.dead:
            assert seen["in/a.txt"] == b"new a"
            break
    else:
        pytest.fail("never ended by itself")
    assert {"create", "append", "sync", "rename", "sync_dir", "mkdir"} <= steps


@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_any_step_a_folder_is_removed_whole_or_not_at_all(tmp_path: Path, after: bool) -> None:
    for stop in range(100):
        root, run = tmp_path / str(stop), new_run()
        files_of(root, run).put("out", {"x/1": b"1", "x/2": b"2", "y": b"3"})
        disk = BadDisk(stop, after=after)
        with contextlib.suppress(Stop):
            files_of(root, run, disk=disk).remove("out/x")
        assert names(files_of(root, run)) in (["out/x/1", "out/x/2", "out/y"], ["out/y"])
        if not disk.dead:
            return
    pytest.fail("never ended by itself")
