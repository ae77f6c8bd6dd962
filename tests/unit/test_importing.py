"""Bringing runs of kodosumi along: real databases, made by sqlite3 as kodosumi makes them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logkit import Emitter, check_whole, lines, meta, new_run

import kodosumi_lab as kl
from kodosumi_lab.errors import LogError, RunFailed, RunLost
from kodosumi_lab.runtime import importing, ownership
from kodosumi_lab.runtime.importing import import_history
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.runtime.query import EventLog

T0 = 1_732_800_000.25
CREATE = (
    "create table if not exists monitor (id integer primary key autoincrement, timestamp real, kind text, message text)"
)


def make(folder: Path, fid: str, messages: Iterable[tuple[str, Any]], *, user: str = "ada", at: float = T0) -> Path:
    """A run's database: one message a second from `at` on."""
    path = folder / user / fid / "sqlite3.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode=wal")
    database.execute(CREATE)
    start = database.execute("select count(*) from monitor").fetchone()[0]
    rows = [
        (at + start + n, kind, text if isinstance(text, str | bytes) else json.dumps(text))
        for n, (kind, text) in enumerate(messages)
    ]
    database.executemany("insert into monitor (timestamp, kind, message) values (?, ?, ?)", rows)
    database.commit()
    database.close()
    return path


def about(fid: str, **more: Any) -> tuple[str, Any]:
    fields = {"fid": fid, "username": "ada", "entry_point": "svc.flow:primes", "summary": "Primes", "tags": ["math"]}
    return "meta", {"dict": {**fields, "kodosumi": "1.1.0", "author": "A", "version": "2", **more}}


def whole(fid: str) -> list[tuple[str, Any]]:
    return [
        ("status", "starting"), about(fid), ("inputs", {"dict": {"end": "100"}}), ("status", "running"),
        ("stdout", "hello\n"), ("result", {"Markdown": {"body": "# Hi"}}),
        ("lock", {"dict": {"name": "ok?", "lid": "l1", "data": None, "expires": T0 + 99}}), ("status", "awaiting"),
        ("lease", {"dict": {"name": "ok?", "lid": "l1", "result": True}}), ("status", "running"),
        ("final", {"dict": {"primes": 25}}), ("status", "finished"),
    ]  # fmt: skip


FIDS = [f"6748f0c2a1b2c3d4e5f6071{n}" for n in range(10)]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "exec"
    folder.mkdir()
    return folder


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_run_is_read_like_one_of_ours(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], whole(FIDS[0]))
    done = import_history(there, log_dir)
    assert (done.runs, done.events, done.failed) == (1, 12, {})
    [row] = kl.runs(log_dir=log_dir).collect().to_dicts()
    assert (row["flow"], row["status"], row["summary"], row["tags"]) == ("primes", "finished", "Primes", ["math"])
    assert (row["user"], row["author"], row["version"], row["entrypoint"]) == ("ada", "A", "2", "svc.flow:primes")
    assert row["started"].timestamp() == T0
    assert row["ended"].timestamp() == T0 + 11
    run = kl.run(row["run_id"], log_dir=log_dir)
    assert run.result() == {"primes": 25}
    assert run.inputs == {"end": "100"}
    assert run.meta["fid"] == FIDS[0]
    assert [str(value) for value in run.results()] == ["# Hi"]
    assert run.logs() == "hello\n"
    assert [event.kind for event in run.follow()][-1] == "status"
    assert run.locks == []
    assert "finished" in run._repr_mimebundle_()["text/html"]
    check_whole(kl.events(log_dir=log_dir).collect())


def test_importing_again_adds_only_what_is_new(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], whole(FIDS[0]))
    import_history(there, log_dir)
    before = kl.events(log_dir=log_dir).sort("run_id", "seq").collect()
    make(there, FIDS[1], whole(FIDS[1]), user="bob")
    done = import_history(there, log_dir)
    assert (done.runs, done.present) == (1, 1)
    assert import_history(there, log_dir).present == 2
    after = kl.events(log_dir=log_dir).sort("run_id", "seq").collect()
    assert after.height == 24
    assert after.filter(pl.col("run_id").is_in(before["run_id"].unique().to_list())).equals(before)


def test_only_parquet_is_left_and_nothing_beside_the_databases(there: Path, log_dir: Path) -> None:
    path = make(there, FIDS[0], whole(FIDS[0]))
    content = path.read_bytes()
    import_history(there, log_dir)
    assert list((log_dir / "hot").iterdir()) == []
    assert sorted(file.name for file in path.parent.iterdir()) == ["sqlite3.db"]
    assert path.read_bytes() == content


def test_a_dry_run_counts_and_writes_nothing(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], whole(FIDS[0]))
    done = import_history(there, log_dir, dry_run=True)
    assert (done.runs, done.events) == (1, 12)
    assert not log_dir.exists()


def test_failed_and_unfinished_runs_end_as_such(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], [about(FIDS[0]), ("error", "ValueError: no 1"), ("status", "error")])
    make(there, FIDS[1], [about(FIDS[1]), ("status", "running")], at=T0 + 50)
    import_history(there, log_dir)
    failed, lost = (kl.run(run_id, log_dir=log_dir) for run_id in kl.runs(log_dir=log_dir).collect()["run_id"])
    with pytest.raises(RunFailed, match="ValueError: no 1"):
        failed.result()
    with pytest.raises(RunLost, match="imported; it had not ended there"):
        lost.result()
    assert lost.duration_s == 0


def test_a_run_that_ends_after_it_was_imported_as_lost_goes_on(there: Path, log_dir: Path) -> None:
    path = make(there, FIDS[0], whole(FIDS[0])[:8])  # it waits at a lock
    make(there, FIDS[1], [about(FIDS[1]), ("status", "running")], at=T0 + 50)
    import_history(there, log_dir)
    run_id, other = kl.runs(log_dir=log_dir).collect()["run_id"]
    before = kl.run(run_id, log_dir=log_dir).events().collect()
    assert kl.run(run_id, log_dir=log_dir).status == "lost"
    assert import_history(there, log_dir).present == 2
    make(there, FIDS[0], whole(FIDS[0])[8:])
    assert import_history(there, log_dir, dry_run=True).resumed == [str(path)]
    done = import_history(there, log_dir)
    assert (done.runs, done.present, done.events, done.resumed, done.failed) == (0, 2, 4, [str(path)], {})
    run = kl.run(run_id, log_dir=log_dir)
    assert (run.status, run.result()) == ("finished", {"primes": 25})
    events = run.events().sort("seq").collect()
    check_whole(events)
    assert events.head(len(before)).equals(before.sort("seq"))
    assert events["kind"].to_list()[-5:] == ["status", "lease", "status", "final", "status"]
    assert events.select("producer", "producer_seq").is_unique().all()
    [row] = kl.runs(log_dir=log_dir).filter(pl.col("run_id") == run_id).collect().to_dicts()
    assert (row["events"], row["last_seq"], row["nbytes"]) == (13, 12, events["payload"].str.len_bytes().sum())
    assert (row["flow"], row["user"], row["result"], row["locks"]) == ("primes", "ada", '{"primes": 25}', None)
    assert (row["ended"] - row["started"]).total_seconds() == 11
    assert kl.run(other, log_dir=log_dir).status == "lost"
    again = import_history(there, log_dir)
    assert (again.present, again.events, again.resumed) == (2, 0, [])
    assert list((log_dir / "hot").iterdir()) == []


@pytest.mark.parametrize("after", [0, 2])
def test_going_on_with_a_lost_run_may_be_stopped(there: Path, log_dir: Path, after: int) -> None:
    make(there, FIDS[0], [about(FIDS[0]), *(("stdout", f"{n} " * 50) for n in range(300))])
    import_history(there, log_dir)
    make(there, FIDS[0], [*(("stdout", f"{n} " * 50) for n in range(300, 1000)), ("status", "finished")])
    died = subprocess.run([sys.executable, "-c", CRASH, there, log_dir, str(after)], check=False, timeout=60)
    assert died.returncode == 7
    [row] = kl.runs(log_dir=log_dir).collect().to_dicts()
    assert row["ended"] is None
    done = import_history(there, log_dir)
    assert (done.runs, done.failed) == (1, {})
    [row] = kl.runs(log_dir=log_dir).collect().to_dicts()
    assert (row["status"], row["events"]) == ("finished", 2 + 1000 + 1 + 1)
    events = kl.events(log_dir=log_dir).sort("seq").collect()
    check_whole(events)
    said = events.filter(pl.col("kind") == "stdout")["payload"]
    assert [int(json.loads(text).split()[0]) for text in said] == list(range(1000))


def test_a_run_that_somebody_is_still_writing_is_left_for_later(there: Path, log_dir: Path) -> None:
    path = make(there, FIDS[0], [about(FIDS[0]), ("status", "running")])
    make(there, FIDS[1], whole(FIDS[1]))
    code = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('select * from monitor').fetchall(); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()
        done = import_history(there, log_dir)
        assert done.going_on == [str(path)]
        assert done.runs == 1
        make(there, FIDS[0], [("status", "finished")])
        writer.communicate("\n")
    assert import_history(there, log_dir).runs == 1
    assert kl.runs(log_dir=log_dir).collect()["status"].to_list() == ["finished"] * 2


def test_damaged_databases_are_named_and_the_rest_is_imported(there: Path, log_dir: Path) -> None:
    for n in range(4):
        make(there, FIDS[n], whole(FIDS[n]))
    torn = there / "ada" / FIDS[0] / "sqlite3.db"
    torn.write_bytes(torn.read_bytes()[:3000])
    noise = there / "ada" / FIDS[1] / "sqlite3.db"
    noise.write_bytes(os.urandom(8192))
    other = there / "ada" / FIDS[2] / "sqlite3.db"
    other.unlink()
    with sqlite3.connect(other) as database:
        database.execute("create table something (x)")
    database.close()
    empty = make(there, FIDS[5], [])
    none = there / "ada" / FIDS[6] / "sqlite3.db"
    none.parent.mkdir()
    none.write_bytes(b"")
    done = import_history(there, log_dir)
    assert done.runs == 1
    assert set(done.failed) == {str(path) for path in (torn, noise, other, empty, none)}
    assert "not a database" in done.failed[str(noise)]
    assert "no such table" in done.failed[str(other)]
    assert done.failed[str(empty)] == "it holds no message with a time"
    assert kl.runs(log_dir=log_dir).collect().height == 1


def test_damage_in_the_middle_leaves_nothing_of_the_run(there: Path, log_dir: Path) -> None:
    path = make(there, FIDS[0], [about(FIDS[0]), *[("stdout", "x" * 500)] * 2000, ("status", "finished")])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 40_000] = os.urandom(40_000)
    path.write_bytes(raw)
    make(there, FIDS[1], whole(FIDS[1]))
    done = import_history(there, log_dir)
    assert list(done.failed) == [str(path)]
    assert (done.runs, kl.runs(log_dir=log_dir).collect().height) == (1, 1)


def test_a_payload_of_many_bytes_is_kept_beside_the_log(there: Path, log_dir: Path) -> None:
    text = "ä" * 1_500_000
    messages = [about(FIDS[0]), ("final", {"str": text}), ("status", "finished")]
    make(there, FIDS[0], messages)
    import_history(there, log_dir)
    [run_id] = kl.runs(log_dir=log_dir).collect()["run_id"]
    run = kl.run(run_id, log_dir=log_dir)
    assert run.events().select(pl.col("payload").str.len_bytes().max()).collect().item() < 2000
    assert run.result() == text


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no such directory; expected kodosumi's"):
        import_history(tmp_path / "nowhere", tmp_path / "log")


def test_it_goes_beside_a_writer_and_no_second_import(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], whole(FIDS[0]))
    live = LogWriter(log_dir, "live")
    emitter = Emitter(new_run())
    emitter.send(live, meta())
    import_history(there, log_dir)
    emitter.send(live, *lines("still here"))
    assert kl.runs(log_dir=log_dir).collect().height == 2
    other = ownership.claim(Layout(log_dir), "importing")
    with pytest.raises(LogError, match="another process is writing the segments of owner importing"):
        import_history(there, log_dir)
    other.close()


CRASH = """
import os, sys
from kodosumi_lab.runtime import importing
real = importing.LogWriter.commit
def commit(self, batches):
    acks = real(self, batches)
    if self.__dict__.setdefault("n", 0) == int(sys.argv[3]):
        os._exit(7)
    self.n += 1
    return acks
importing.LogWriter.commit = commit
importing._GROUP_BYTES = importing._ENOUGH_BYTES = 20_000
importing._BATCH_ROWS = 50
importing.import_history(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("adopted", [False, True])
def test_an_import_that_was_killed_is_taken_up(there: Path, log_dir: Path, after: int, adopted: bool) -> None:
    big = [about(FIDS[0]), *(("stdout", f"{n} " * 50) for n in range(1000)), ("status", "finished")]
    make(there, FIDS[0], big)
    make(there, FIDS[1], whole(FIDS[1]))
    died = subprocess.run([sys.executable, "-c", CRASH, there, log_dir, str(after)], check=False, timeout=60)
    assert died.returncode == 7
    assert kl.runs(log_dir=log_dir).collect()["status"].to_list() == ["starting"]  # part of the first
    if adopted:  # a Spooler has started since
        for owner in ownership.owners(Layout(log_dir)):
            assert ownership.is_gone(owner)
            ownership.adopt(Layout(log_dir), owner.owner)
    done = import_history(there, log_dir)
    rows = kl.runs(log_dir=log_dir).collect().sort("started")
    events = kl.events(log_dir=log_dir).collect()
    check_whole(events)
    assert list((log_dir / "hot").iterdir()) == []
    assert rows["status"].to_list() == ["finished"] * 2
    # a Spooler had ended the run as lost, and it has gone on behind that
    assert done.resumed == ([str(there / "ada" / FIDS[0] / "sqlite3.db")] if adopted else [])
    assert events.height == len(big) + 1 + 12 + adopted


def test_it_takes_no_more_than_some_forty_times_as_long_as_reading_the_files(there: Path, log_dir: Path) -> None:
    for n in range(200):
        fid = f"{n:024x}"
        make(
            there,
            fid,
            [
                about(fid),
                *(("result", {"dict": {"n": k, "text": "x" * 150}}) for k in range(98)),
                ("status", "finished"),
            ],
            at=T0 + n,
        )
    began = time.perf_counter()
    read = 0
    for path in there.rglob("sqlite3.db"):
        with contextlib.closing(sqlite3.connect(path)) as db:
            for kind, message in db.execute("select kind, message from monitor"):
                read += len(json.loads(message)) if kind == "result" else len(message)
    once = time.perf_counter() - began
    began = time.perf_counter()
    done = import_history(there, log_dir)
    took = time.perf_counter() - began
    assert read
    assert done.events == 200 * 101
    assert took < 0.2 + 40 * once, f"{took:.2f} s, reading alone {once:.3f} s"


KIND = st.sampled_from(["meta", "inputs", "agent", "upload", "debug", "stdout", "stderr", "status", "error", "action",
                        "result", "final", "lock", "lease", "other"])  # fmt: skip
TEXT = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=10),
    st.sampled_from(["finished", "error", "running", "awaiting", '{"dict": {"lid": "1", "name": "n"}}',
                     '{"dict": {"lid": "1", "result": null}}', '{"agent": {"role": "r"}}', '{"str": "s"}']),
)  # fmt: skip


@given(st.lists(st.lists(st.tuples(KIND, TEXT), min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_history_is_imported_once(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    for n, messages in enumerate(runs):
        make(folder / "exec", FIDS[n], messages)
    done = import_history(folder / "exec", folder / "log")
    assert (done.runs, done.failed) == (len(runs), {})
    log = EventLog(folder / "log")
    frame = log.events().collect()
    check_whole(frame)
    assert frame.height == done.events
    assert set(log.runs().collect()["status"]) <= {"finished", "error", "lost"}
    for run_id in log.runs().collect()["run_id"]:
        run = kl.run(run_id, log_dir=folder / "log")
        assert isinstance(run.meta, dict)
        assert isinstance(run.inputs, dict)
    assert import_history(folder / "exec", folder / "log").present == len(runs)
    assert log.events().collect().height == done.events
    assert importing.databases(folder / "exec")


def cli(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kodosumi_lab.cli import app; app()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_tells_what_it_did(there: Path, log_dir: Path) -> None:
    make(there, FIDS[0], whole(FIDS[0]))
    noise = there / "ada" / FIDS[1] / "sqlite3.db"
    noise.parent.mkdir()
    noise.write_bytes(b"x" * 500)
    dry = cli("import", there, "--log-dir", log_dir, "--dry-run")
    assert (dry.returncode, log_dir.exists()) == (0, False), dry.stderr
    assert dry.stdout == f"1 runs with 12 events would be imported into {log_dir}\n"
    done = cli("import", there, "--log-dir", log_dir)
    assert done.stdout == f"1 runs with 12 events imported into {log_dir}\n"
    assert done.stderr == f"left out: file is not a database: {noise}\n"
    again = json.loads(cli("import", there, "--log-dir", log_dir, "--json").stdout)
    assert (again["runs"], again["present"], list(again["failed"])) == (0, 1, [str(noise)])
    assert cli("import", there / "nowhere", "--log-dir", log_dir).returncode == 1
    listed = json.loads(cli("runs", "--log-dir", log_dir, "--json").stdout)
    assert len(listed) == 1 or len(listed["runs"]) == 1
