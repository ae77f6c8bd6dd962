"""A run as one file: what is in it, where it goes, and what it refuses."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.api.reading import RunDetail
from kodosumi_lab.cli.base import UsageError
from kodosumi_lab.cli.formats import sink_of
from kodosumi_lab.errors import LogError
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime import exporting
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that asks something, with a payload beside the log."""
    writer = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    one = Emitter(new_run(0, 1))
    about = meta(flow="demo.flows:prime gaps", user="ada", code={"import": "demo:f"}, tags=["math"])
    one.send(writer, about, row("inputs", {"end": 5, "key": {"secret": True}}), status("running"))
    reference = {"artifact": {"sha256": "b" * 64, "nbytes": 12, "date": run_date(one.run_id)}}
    one.send(writer, *lines("a", 'quo"te\n'), row("result", reference))
    beside = writer.layout.artifact(run_date(one.run_id), "b" * 64)
    beside.parent.mkdir(parents=True)
    beside.write_text('{"text/plain":"large"}')
    lock = {"lid": "l1", "name": "approval", "data": {}, "expires": 1_900_000_000.5, "form": None}
    one.send(writer, row("lock", lock), status("awaiting", reason="lock approval"))
    writer.close()
    return Run(one.run_id, log_dir=tmp_path / "log")


def test_everything_a_view_draws_from_is_in_the_file(run: Run, tmp_path: Path) -> None:
    path = run.export(tmp_path)
    assert path.name == f"prime-gaps-{run.id[-8:]}.kodosumi-run.json"
    told = json.loads(path.read_text())
    assert (told["format"], told["version"]) == ("kodosumi-run", 1)
    about = RunDetail.model_validate(told["run"])  # what the gateway answers, and the front end's types are made of
    assert (about.flow, about.status, about.inputs["end"]) == ("demo.flows:prime gaps", "awaiting", 5)
    assert [(lock.lid, lock.name) for lock in about.locks] == [("l1", "approval")]
    assert "code" not in told["run"]["meta"]
    events = told["events"]
    assert [event["seq"] for event in events] == list(range(8))
    assert [event["kind"] for event in events] == ["meta", "inputs", "status", "stdout", "stdout", "result", "lock", "status"]  # fmt: skip
    assert events[4]["payload"] == 'quo"te\n'
    assert events[5]["payload"] == {"text/plain": "large"}
    assert abs(events[0]["ts"] - 1_790_000_000_000) < 1
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_file_is_named_so_that_jupyterlab_knows_it(run: Run, tmp_path: Path) -> None:
    assert run.export(tmp_path / "mine.kodosumi-run.json") == tmp_path / "mine.kodosumi-run.json"
    with pytest.raises(ValueError, match=r"'mine.json' is no name of an export; .* name it \*.kodosumi-run.json"):
        run.export(tmp_path / "mine.json")
    with pytest.raises(LogError, match="cannot be written: No such file"):
        run.export(tmp_path / "no" / "mine.kodosumi-run.json")


def test_small_files_are_in_it_and_of_others_it_says_why_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(run.export(tmp_path).read_text())["files"] == []
    for name, text in (("a.txt", "heap"), ("b.bin", "x" * 30), ("c.txt", "one more"), ("d.txt", "")):
        (tmp_path / name).write_text(text)
    run.files.upload([tmp_path / "a.txt", tmp_path / "d.txt"])
    run.files.upload([tmp_path / "b.bin", tmp_path / "c.txt"], root="out")
    monkeypatch.setattr(exporting, "_FILE_BYTES", 20)
    monkeypatch.setattr(exporting, "_FILES_BYTES", 10)
    files = {file["path"]: file for file in json.loads(run.export(tmp_path).read_text())["files"]}
    assert list(files) == ["in/a.txt", "in/d.txt", "out/b.bin", "out/c.txt"]
    assert base64.b64decode(files["in/a.txt"]["base64"]) == b"heap"
    assert files["in/d.txt"]["base64"] == ""
    assert (files["out/b.bin"]["size"], files["out/b.bin"]["left_out"]) == (30, "larger than 0 MiB")
    assert files["out/c.txt"]["left_out"] == "an export has 0 MiB of files"
    assert all(file["last_modified"] > 1.6e9 for file in files.values())
    assert "files" not in json.loads(run.export(tmp_path, files=False).read_text())


def test_a_run_too_large_for_a_browser_is_refused_with_the_way_that_works(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_MOST_EVENTS", 7)
    with pytest.raises(LogError, match=r"has 8 events .* holds up to 7 .* --format parquet"):
        run.export(tmp_path)
    assert list(tmp_path.glob("*.json")) == []


def test_what_cannot_be_finished_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (beside,) = (tmp_path / "log" / "artifacts").rglob("b" * 64)
    beside.unlink()
    with pytest.raises(LogError, match="a payload of 12 bytes is not in the log"):
        run.export(tmp_path)
    assert list(tmp_path.glob("*.kodosumi-run*")) == []
    with pytest.raises(KeyboardInterrupt), sink_of(tmp_path / "events.csv", atomic=True) as sink:
        sink.write(b"seq")
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match="the log is damaged"), sink_of(tmp_path / "events.csv", atomic=True):
        raise LogError("the log is damaged")
    assert list(tmp_path.glob("events*")) == []
