"""Files into a run and out of it, on real Ray, beside the log and through the Spooler.

All nodes of a test cluster are this machine, so the way through the Spooler, which a flow on
another machine takes by itself, is forced by the setting ``files_direct=False``; how a process
tells one from the other is tested in ``tests/unit/test_fs.py``.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filing
import kitchen
import polars as pl
import pytest
import ray
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.errors import FileNameError, FileTooLarge, InputsError
from kodosumi_lab.runtime.launch import launch
from kodosumi_lab.runtime.uploads import Uploads

pytestmark = pytest.mark.ray

BIG = b"abcdefgh" * (9 * 2**17)  # 9 MiB: three chunks


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    (folder / "docs").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha")
    (folder / "docs" / "big.txt").write_bytes(BIG)
    (folder / "docs" / "empty").write_bytes(b"")
    return folder


def uploads_of(run: kl.Run) -> list[list[str]]:
    frame = run.events().filter(pl.col("kind") == "upload").sort("seq").collect()
    return [[info["path"] for info in json.loads(payload)["files"]] for payload in frame["payload"]]


@pytest.mark.parametrize("direct", [True, False])
def test_a_flow_reads_what_was_given_and_delivers(
    fresh_lab: Callable[..., Any], given: Path, tmp_path: Path, direct: bool
) -> None:
    fresh_lab(files_direct=direct)
    run = filing.upper.launch(files={"a.txt": given / "a.txt", "more": given / "docs"})
    result = run.result(120)
    assert result["given"] == ["in/a.txt", "in/more/big.txt", "in/more/empty"]
    assert result["desk"] == ("Desk" if direct else "RemoteDesk")
    assert uploads_of(run) == [result["given"], ["out/a.txt", "out/more/big.txt", "out/more/empty"]]
    events = run.events().sort("seq").select("seq", "kind").collect()
    assert events["seq"].to_list() == list(range(len(events)))
    assert events["kind"].to_list()[:4] == ["meta", "inputs", "upload", "status"]

    files = run.files
    assert len(files) == 6
    assert files.read_bytes("out/a.txt") == b"ALPHA"
    assert files.read_bytes("out/more/big.txt") == BIG.upper()
    with files.open("out/more/big.txt") as file:
        file.seek(8)
        assert file.read(8) == b"ABCDEFGH"
    with files.open("out/a.txt") as file:
        assert pl.read_csv(file, has_header=False).item() == "ALPHA"
    got = files.download(tmp_path / "got", "out")
    assert [path.relative_to(tmp_path / "got").as_posix() for path in got] == ["a.txt", "more/big.txt", "more/empty"]
    assert "out/a.txt" in files
    assert files[0]["path"] == "in/a.txt"
    frame = files.frame()
    assert frame.schema == {"path": pl.String, "size": pl.Int64, "last_modified": pl.Datetime("us", "UTC")}
    assert "out/more/big.txt" in repr(files)
    assert "out/more/big.txt" in files._repr_html_()
    files.remove("out/more")
    assert [info["path"] for info in files.ls("out")] == ["out/a.txt"]
    with pytest.raises(FileNotFoundError, match="out/more"):
        files.open("out/more/big.txt")
    files.clear()
    assert list(pickle.loads(pickle.dumps(run)).files) == []


@pytest.mark.parametrize("direct", [True, False])
def test_ray_tasks_of_a_flow_have_its_files(fresh_lab: Callable[..., Any], given: Path, direct: bool) -> None:
    fresh_lab(files_direct=direct)
    run = filing.count_in_tasks.launch(files=[given])
    assert run.result(120) == [5, len(BIG), 0]
    assert run.files.read_bytes("out/big.txt.txt") == f"{len(BIG)} bytes".encode()
    assert uploads_of(run) == [
        ["in/given/a.txt", "in/given/docs/big.txt", "in/given/docs/empty"],
        ["out/a.txt.txt"],
        ["out/big.txt.txt"],
        ["out/empty.txt"],
    ]


def test_the_spooler_may_die_while_a_file_goes_through_it(fresh_lab: Callable[..., Any], tmp_path: Path) -> None:
    held = fresh_lab(files_direct=False)
    pid = ray.get(held.spooler.health.remote())["pid"]
    run = filing.deliver.launch(nbytes=64 * 2**20, wait=str(tmp_path / "go"))
    eventually(lambda: "ready" in run.logs(), timeout_s=60)
    staged = held.log_dir / "state" / "uploads"
    (tmp_path / "go").touch()
    eventually(lambda: len(list(staged.rglob("0000000*"))) > 3, timeout_s=60)
    assert run.files.ls("out") == []  # half of it is there, and nobody sees it
    os.kill(pid, signal.SIGKILL)
    back = run.result(240)
    assert ray.get(held.spooler.health.remote())["pid"] != pid
    assert [(info["path"], info["size"]) for info in run.files] == [("out/big.bin", 64 * 2**20)]
    assert uploads_of(run) == [["out/big.bin"]]
    eventually(lambda: not Path(back).exists(), what="downloads end with their run")


def test_what_cannot_be_given_starts_nothing_and_leaves_nothing(
    fresh_lab: Callable[..., Any], given: Path, tmp_path: Path
) -> None:
    for direct in (True, False):
        held = fresh_lab(file_bytes=2**20, files_direct=direct)
        (tmp_path / "link").unlink(missing_ok=True)
        for files, error in (
            (given, FileTooLarge),
            (tmp_path / "none", FileNotFoundError),
            ({"../x": given / "a.txt"}, FileNameError),
            ([given / "a.txt", str(given / "a.txt")], FileNameError),
            (7, FileNameError),
        ):
            with pytest.raises(error):
                filing.upper.launch(files=files)
        with pytest.raises(InputsError, match="bogus"):
            filing.upper.launch(files=given / "a.txt", bogus=1)
        assert kl.runs().select(pl.len()).collect().item() == 0
        assert [path for path in (held.log_dir / "files").rglob("*") if path.is_file()] == []
        assert [path for path in (held.log_dir / "state").rglob("*") if path.is_file()] == []


def test_an_input_called_files_is_an_input(lab: Any, given: Path) -> None:
    run = filing.own_files.launch(files=["a", "b"])
    assert run.result(60) == ["a", "b"]
    free = kitchen.anything.launch(files=[str(given)])
    assert free.result(60) == {"files": [str(given)]}
    assert list(run.files) == list(free.files) == []
    with_both = launch(filing.own_files, {"files": ["a"]}, files=given / "a.txt")
    assert with_both.result(60) == ["a"]
    assert [info["path"] for info in with_both.files] == ["in/a.txt"]


def test_a_batch_of_uploads_becomes_the_files_of_a_launch(lab: Any) -> None:
    uploads = Uploads(lab.log_dir)
    batch = uploads.init_batch()
    uploads.chunk(uploads.init("form/a.txt", 1, batch), 0, b"from a form")
    run = launch(filing.upper, {}, batches=[batch])
    assert run.result(60)["given"] == ["in/form/a.txt"]
    assert run.files.read_bytes("out/form/a.txt") == b"FROM A FORM"


def test_a_rerun_has_the_same_files(fresh_lab: Callable[..., Any], given: Path) -> None:
    first_lab = fresh_lab()
    run = filing.upper.launch(files=given / "a.txt")
    run.result(120)
    again = run.rerun()
    assert again.result(60)["given"] == ["in/a.txt"]
    fresh_lab()
    elsewhere = run.rerun()  # in the log that is in use now
    assert elsewhere.log_dir != str(first_lab.log_dir)
    assert elsewhere.result(60)["given"] == ["in/a.txt"]
    assert elsewhere.files.read_bytes("out/a.txt") == b"ALPHA"


def test_a_person_gives_files_to_a_run_that_waits(lab: Any, given: Path) -> None:
    run = filing.asks.launch()
    eventually(lambda: run.locks, timeout_s=60)
    infos = run.files.upload({"later.txt": given / "a.txt"})
    assert [info["path"] for info in infos] == ["in/later.txt"]
    run.answer(True)
    assert run.result(60) == ["in/later.txt"]
    assert uploads_of(run) == [["in/later.txt"]]
    run.files.upload(given / "a.txt", root="out")  # the run has ended: within the grace its log takes it
    assert len(run.files) == 2


def test_files_are_reached_without_ray(lab: Any, given: Path, tmp_path: Path) -> None:
    run = filing.upper.launch(files=given / "a.txt")
    run.result(60)
    code = (
        "import sys, kodosumi_lab as kl\n"
        "run = kl.run(sys.argv[1], log_dir=sys.argv[2])\n"
        "print(run.files.read_bytes('out/a.txt').decode(), 'ray' in sys.modules)\n"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, run.id, run.log_dir], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["ALPHA", "False"]


def test_several_runs_deliver_at_the_same_time(fresh_lab: Callable[..., Any]) -> None:
    fresh_lab(files_direct=False, slots=3)
    runs = [filing.deliver.launch(nbytes=6 * 2**20) for _ in range(3)]
    burst = kitchen.burst.launch(n=2000)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda run=run: results.append(run.result(200))) for run in [*runs, burst]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(220)
    assert len(results) == 4
    assert all(run.files[0]["size"] == 6 * 2**20 for run in runs)


@pytest.mark.parametrize("direct", [True, False])
def test_a_file_is_an_input_like_any_other(fresh_lab: Callable[..., Any], given: Path, direct: bool) -> None:
    fresh_lab(files_direct=direct)
    run = filing.measure.launch(
        one=str(given / "a.txt"), more=[given / "docs" / "big.txt", "in/docs/empty"], files=given / "docs"
    )
    assert run.result(120) == {
        "a.txt": 5, "fastapi.datastructures: big.txt": len(BIG), "fastapi.datastructures: empty": 0,
    }  # fmt: skip
    assert run.inputs == {"one": "in/a.txt", "more": ["in/big.txt", "in/docs/empty"]}
    assert run.rerun(more=[]).result(120) == {"a.txt": 5}
    with pytest.raises(InputsError, match="one: is 'nowhere'; expected an uploaded file"):
        filing.measure.launch(one="nowhere")
    with pytest.raises(FileNameError, match=r"two files would be in/a\.txt"):
        filing.measure.launch(one=given / "a.txt", files={"a.txt": given / "docs" / "empty"})
