"""The command line as people and scripts use it: real processes, one background cluster for the module."""

from __future__ import annotations

import functools
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import eventually

from kodosumi_lab.cli import EXIT_CODES, Exit, app

pytestmark = pytest.mark.ray

SCRIPT = Path(sys.executable).parent / "kodosumi-lab"
MANUAL = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
COMMANDS = [info.name for info in app.registered_commands]

FLOWS = """
import asyncio, sys
from typing import Annotated
import polars as pl
from pydantic import Field
import kodosumi_lab as kl

@kl.flow(summary="One of everything", tags=["demo"])
async def demo(n: Annotated[int, Field(ge=1)] = 3, name: str = "x", *, tracer: kl.Tracer):
    await tracer.markdown("# Hello\\n\\nsome *text*")
    for i in range(n):
        print("line", i)
        await tracer.progress(i + 1, n, f"step {i}")
        await tracer.metric("speed", i)
    print("to stderr", file=sys.stderr)
    await tracer.result(pl.DataFrame({"town": ["Bonn", "Ulm"], "people": [335975, 128928]}))
    await tracer.result("\\x1b[31mred\\x1b[0m")
    return {"name": name, "n": n}

@kl.flow
def bad(x: int = 1):
    raise ValueError(f"no {x}")

@kl.flow
async def ask(*, tracer: kl.Tracer):
    return await tracer.lock("approval", {"question": "go?"})

@kl.flow
async def sleep(s: float = 600.0):
    print("asleep")
    await asyncio.sleep(s)
    return "awake"

@kl.flow(timeout_s=0.2)
async def limited():
    await asyncio.sleep(60)
"""


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def ndjson(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Runs ``kodosumi-lab`` with settings and a working directory of the module's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_dir = folder / "log"
        (folder / "theirs.py").write_text(FLOWS)
        (folder / "broken.py").write_text("import kodosumi_lab\nraise RuntimeError('at import')\n")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("KODOSUMI_LAB_")}
        self.env |= {"KODOSUMI_LAB_STATE_DIR": str(folder / "state"), "KODOSUMI_LAB_LOG_DIR": str(self.log_dir)}
        self.env |= {"KODOSUMI_LAB_CONFIG": str(folder / "config.toml")}
        for name in ("FORCE_COLOR", "PYTHONDONTWRITEBYTECODE"):  # a hundred starts: each would compile the package
            self.env.pop(name, None)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([str(SCRIPT), *words], **{**pipes, **options}, cwd=self.folder, env=self.env, text=True)

    def __call__(self, *words: str, stdin: str | None = None, code: int | None = 0) -> Done:
        with self.start(*words, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL) as process:
            out, err = process.communicate(stdin, timeout=180)
        assert code is None or process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return Done(process.returncode, out, err)

    @functools.cache  # noqa: B019 - it lives as long as the module's tests
    def help(self, name: str) -> str:
        return self(name, "--help").out

    def run_id(self, *words: str) -> str:
        """Start a run and leave it."""
        return str(self("run", *words, "--detach", "--json").json["run_id"])

    def status(self, run_id: str) -> str:
        return str(self("show", run_id, "--json").json["status"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command line where there is no cluster."""
    return Cli(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line beside a background cluster, which is taken down at the end."""
    made = Cli(tmp_path_factory.mktemp("cli"))
    made("up", "--num-cpus", "4")
    try:
        yield made
    finally:
        made("down", code=None)


@pytest.fixture(scope="module")
def demo(cli: Cli) -> Done:
    """A finished run of `demo`, as ``run --json`` told of it."""
    return cli("run", "theirs:demo", "n=3", "name=42", "--json")


@pytest.fixture(scope="module")
def failed(cli: Cli) -> Done:
    """A failed run, as ``run`` told of it."""
    return cli("run", "theirs:bad", "x=7", code=Exit.FAILED)


# -- help and start ---------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_place_in_the_manual(name: str, plain: Cli) -> None:
    shown = plain.help(name)
    assert "--debug" in shown
    assert "--json" in shown
    assert f"Example: kodosumi-lab {name}" in " ".join(shown.split())
    assert f"\n## {name}\n" in MANUAL.read_text()
    assert f"\nkodosumi-lab {name}" in MANUAL.read_text()


def test_exit_codes_are_in_the_help_and_in_the_manual(plain: Cli) -> None:
    shown = " ".join(plain("--help").out.split())
    for code, text in EXIT_CODES.items():
        assert f"{code:d} {text}" in shown
        assert re.search(rf"^\| {code:d} \| {re.escape(text)} \|$", MANUAL.read_text(), re.MULTILINE)


def test_every_option_is_in_the_manual(plain: Cli) -> None:
    manual = MANUAL.read_text()
    for name in COMMANDS:
        section = manual.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        options = set(re.findall(r"(--[a-z-]+)", plain.help(name))) - {
            "--help",
            "--debug",
            "--json",
            "--log-dir",
        }
        missing = sorted(option for option in options if option not in section)
        assert not missing, f"{name}: {missing}"


def test_the_command_line_starts_without_ray_polars_or_pydantic() -> None:
    code = (
        "import sys, kodosumi_lab.cli; print([m for m in ('ray', 'polars', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
    assert done.stdout.strip() == "[]"
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import asyncio, typer"], check=True)
    assert min(times) < max(0.4, 4 * (time.perf_counter() - bare))  # the machine may be busy


# -- no cluster -------------------------------------------------------------------------


def test_version_names_what_it_stands_on(plain: Cli) -> None:
    assert {"kodosumi-lab", "python", "ray", "polars"} <= set(plain("version", "--json").json)


def test_flows_of_a_module_with_their_inputs(plain: Cli) -> None:
    shown = plain("flows", "theirs").out
    assert "theirs:demo" in shown
    assert "One of everything" in shown
    data = plain("flows", "theirs", "--json").json
    found = {flow["name"]: flow for flow in data["flows"]}
    assert set(found) == {"demo", "bad", "ask", "sleep", "limited"}
    assert found["demo"]["inputs"]["properties"]["n"]["default"] == 3
    assert found["demo"]["tags"] == ["demo"]


def test_flows_tells_why_a_module_cannot_be_imported(plain: Cli) -> None:
    done = plain("flows", "theirs", "broken", "--json")
    assert "at import" in done.json["failed"]["broken"]
    assert plain("flows", "nowhere", code=Exit.USAGE).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "theirs:demo", "n=0", "z=1"], "n: "),
        (["run", "theirs:demo", "n"], "expected KEY=VALUE"),
        (["run", "theirs:nothing"], "it has the flows: demo"),
        (["run", "nowhere:demo"], "no module 'nowhere'"),
        (["run", "broken:demo"], "RuntimeError: at import"),
        (["run", "theirs:demo", "name=@missing.txt"], "input name"),
        (["run", "theirs:demo", "--inputs", "-"], "no JSON"),
        (["run"], "Missing argument"),
        (["runs", "--status", "odd"], "finished"),
        (["events", "--follow"], "go with a RUN"),
        (["events", "--format", "parquet", "--follow"], "RUN"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_starts_nothing_and_ends_with_2(words: list[str], told: str, plain: Cli) -> None:
    done = plain(*words, stdin="", code=Exit.USAGE)
    assert told in done.err
    assert "Traceback" not in done.err.partition("broken.py")[0] or "broken" in words[1]
    assert done.out == ""


def test_debug_shows_the_traceback(plain: Cli) -> None:
    assert "Traceback" in plain("show", "01234567", "--debug", code=1).err


def test_reading_an_empty_log_needs_nothing(plain: Cli) -> None:
    assert plain("runs", "--json").json == []
    assert plain("events", "--json").out == ""
    for words in (["show", "01234567"], ["logs", "x" * 36], ["cancel", "01234567"]):
        assert plain(*words, code=Exit.NOT_FOUND).err
    assert not plain.log_dir.exists()


def test_export_writes_one_file_and_says_where(plain: Cli, tmp_path: Path) -> None:
    from logkit import Emitter, FastDisk, meta, new_run, row, status

    from kodosumi_lab.runtime.log import LogWriter

    writer = LogWriter(tmp_path / "log", "test", disk=FastDisk())
    one = Emitter(new_run(0, 1))
    one.send(writer, meta(flow="m:primes"), row("inputs", {}), status("running"), status("finished"))
    writer.close()
    words = ["export", one.run_id[-8:], "--log-dir", str(tmp_path / "log"), "--output"]
    path = Path(plain(*words, str(tmp_path)).out.strip())
    assert path.name == f"primes-{one.run_id[-8:]}.kodosumi-run.json"
    assert plain(*words, str(path), "--json").json == {
        "run_id": one.run_id,
        "path": str(path),
        "nbytes": path.stat().st_size,
    }
    assert '"files": [' in path.read_text()
    assert '"files": [' not in Path(plain(*words, str(path), "--no-files").out.strip()).read_text()
    assert "name it *.kodosumi-run.json" in plain(*words, "mine.json", code=Exit.USAGE).err
    assert "cannot be written" in plain(*words, "no/a.kodosumi-run.json", code=Exit.FAILED).err


def test_detaching_without_a_cluster_is_refused(plain: Cli) -> None:
    done = plain("run", "theirs:demo", "--detach", code=Exit.NO_CLUSTER)
    assert "kodosumi-lab up" in done.err


def test_down_without_a_cluster_is_no_error(plain: Cli) -> None:
    assert "no background cluster" in plain("down").out


def test_a_setting_that_cannot_be_used_is_named(plain: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plain.env, "KODOSUMI_LAB_SLOTS", "many")
    assert "KODOSUMI_LAB_SLOTS" in plain("doctor", code=Exit.USAGE).err


def test_ctrl_c_on_ray_in_this_process_cancels(plain: Cli) -> None:
    with plain.start("run", "theirs:sleep", "--address", "local") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n", process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == Exit.CANCELLED
    assert "which ends with it" in err
    assert "would end with this process" in err
    assert "cancelled" in out
    assert plain("runs", "--json").json[0]["status"] == "cancelled"


# -- run --------------------------------------------------------------------------------


def test_run_streams_and_ends_with_result_and_id(cli: Cli) -> None:
    done = cli("run", "theirs:demo", "n=2", 'name="Ada"')
    lines = done.out.splitlines()
    assert lines[0] == "# Hello"
    assert lines.index("line 0") < lines.index("line 1")
    assert any(line.split() == ["Bonn", "335975"] for line in lines)
    assert "red" in lines
    assert '"name": "Ada"' in done.out
    assert re.search(r"finished  demo · .* [0-9a-f-]{36}$", lines[-1])
    assert "to stderr" in done.err
    assert "\x1b" not in done.out + done.err


def test_run_json_is_one_document(demo: Done) -> None:
    data = demo.json
    assert data["status"] == "finished"
    assert data["result"] == {"name": "42", "n": 3}  # name takes text, so 42 is text
    assert data["results"][1] == [{"town": "Bonn", "people": 335975}, {"town": "Ulm", "people": 128928}]
    assert demo.out.count("\n") == 1
    assert "line 0" in demo.err


def test_run_takes_inputs_from_files_and_stdin(cli: Cli) -> None:
    (cli.folder / "name.txt").write_text("from a file")
    done = cli("run", "theirs:demo", "--inputs", "-", "name=@name.txt", "--json", stdin='{"n": 1, "name": "lost"}')
    assert done.json["result"] == {"name": "from a file", "n": 1}


def test_a_failed_run_ends_with_1_and_the_flows_traceback(failed: Done) -> None:
    assert "ValueError: no 7" in failed.err
    assert "error  bad" in failed.out.splitlines()[-1]


def test_a_run_over_its_time_ends_with_5(cli: Cli) -> None:
    assert cli("run", "theirs:limited", "--json", code=Exit.TIMEOUT).json["status"] == "timeout"


def test_time_to_watch_is_up_and_the_run_goes_on(cli: Cli) -> None:
    done = cli("run", "theirs:sleep", "--timeout", "0.5", code=Exit.TIMEOUT)
    assert "it goes on" in done.err
    assert cli("runs", "--flow", "sleep", "--json").json[0]["ended"] is None


def test_ctrl_c_detaches_from_a_run_on_the_cluster(cli: Cli) -> None:
    with cli.start("run", "theirs:sleep") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n", process.communicate()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    run_id = re.search(r"kodosumi-lab cancel ([0-9a-f-]{36})", err)
    assert run_id is not None
    assert f"logs {run_id[1]} --follow" in err
    assert cli.status(run_id[1]) == "running"


def test_a_second_ctrl_c_cancels(cli: Cli) -> None:
    with cli.start("run", "theirs:sleep", stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        _until(process.stdout.readline, "asleep")
        process.send_signal(signal.SIGINT)
        _until(process.stdout.readline, "again within")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == Exit.CANCELLED
    assert "cancelled  sleep" in out


def _until(read: Callable[[], str], text: str) -> None:
    while True:
        line = read()
        assert line, f"ended before {text!r}"
        if text in line:
            return


def test_a_terminal_gets_colours_and_a_bar(cli: Cli) -> None:
    outer, inner = pty.openpty()
    with cli.start("run", "theirs:demo", "n=1", stdin=inner, stdout=inner, stderr=inner) as process:
        os.close(inner)
        shown = b""
        while process.poll() is None or select.select([outer], [], [], 0.2)[0]:
            try:
                shown += os.read(outer, 65536) if select.select([outer], [], [], 0.2)[0] else b""
            except OSError:  # the other end is closed
                break
    os.close(outer)
    assert process.returncode == 0
    text = shown.decode()
    assert "\x1b[32m✓ finished" in text
    assert "\x1b[?25h" in text.rpartition("\x1b[?25l")[2], "the cursor stays hidden"
    assert "# Hello" not in text, "Markdown is set"


# -- reading ----------------------------------------------------------------------------


def test_runs_newest_first_with_filters(cli: Cli, demo: Done, failed: Done) -> None:
    rows = cli("runs", "--json").json
    ids = [row["run_id"] for row in rows]
    assert ids == sorted(ids, reverse=True)
    assert {row["status"] for row in cli("runs", "--status", "error", "--status", "finished", "--json").json} == {
        "error",
        "finished",
    }
    assert [row["flow"] for row in cli("runs", "--search", "NO 7", "--json").json] == ["bad"]
    assert len(cli("runs", "--limit", "1", "--json").json) == 1
    shown = cli("runs", "--flow", "bad")
    assert "ValueError: no 7" in shown.out
    assert failed.out.split()[-1] in shown.out


def test_show_tells_everything_of_a_run(cli: Cli, demo: Done, failed: Done) -> None:
    run_id = demo.json["run_id"]
    shown = cli("show", run_id[-8:], "--lines", "2").out
    for part in ("finished", "demo", run_id, 'name = "42"', "line 2", "to stderr", '"n": 3'):
        assert part in shown
    assert "line 0" not in shown
    data = cli("show", run_id, "--json").json
    assert data["inputs"] == {"n": 3, "name": "42"}
    assert data["last_lines"][-1] == "to stderr"
    assert "ValueError: no 7" in cli("show", failed.out.split()[-1]).out


def test_logs_print_the_console(cli: Cli, demo: Done) -> None:
    run_id = demo.json["run_id"]
    assert cli("logs", run_id).out.splitlines() == ["line 0", "line 1", "line 2", "to stderr"]
    rows = cli("logs", run_id, "--json").ndjson
    assert [row["kind"] for row in rows] == ["stdout", "stdout", "stdout", "stderr"]


def test_logs_and_events_follow_until_the_run_ends(cli: Cli) -> None:
    run_id = cli.run_id("theirs:sleep", "s=4")
    words = ("events", run_id, "--follow", "--format", "ndjson", "--kind", "status")
    with cli.start("logs", run_id, "--follow") as logs, cli.start(*words) as events:
        assert logs.communicate(timeout=60)[0] == "asleep\n"
        rows = [json.loads(line) for line in events.communicate(timeout=60)[0].splitlines()]
    assert (logs.returncode, events.returncode) == (0, 0)
    assert rows[-1]["payload"]["status"] == "finished"


def test_events_in_each_format(cli: Cli, demo: Done) -> None:
    run_id = demo.json["run_id"]
    rows = cli("events", run_id, "--json").ndjson
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert rows[1]["payload"] == {"n": 3, "name": "42"}
    table = cli("events", run_id, "--after", str(len(rows) - 2)).out.splitlines()
    assert len(table) == 2
    assert '"status":"finished"' in table[1]
    csv = pl.read_csv(io.StringIO(cli("events", run_id, "--format", "csv", "--kind", "metric").out))
    assert csv["kind"].to_list() == ["metric"] * 3
    cli("events", run_id, "--format", "parquet", "--output", "run.parquet")
    frame = pl.read_parquet(cli.folder / "run.parquet")
    assert frame["seq"].to_list() == list(range(len(rows)))
    piped = subprocess.run(
        [str(SCRIPT), "events", "--format", "parquet"], capture_output=True, check=True, cwd=cli.folder, env=cli.env
    )
    everything = pl.read_parquet(io.BytesIO(piped.stdout))
    assert everything.schema == frame.schema
    assert run_id in everything["run_id"].unique()


def test_a_closed_pipe_is_no_error(cli: Cli, demo: Done) -> None:
    line = f"{SCRIPT} events --json | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=cli.folder, env=cli.env, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# -- steering ---------------------------------------------------------------------------


def test_answer_lets_a_waiting_run_go_on(cli: Cli) -> None:
    run_id = cli.run_id("theirs:ask")
    eventually(lambda: cli.status(run_id) == "awaiting", what="the run waits")
    assert "asks: approval" in cli("runs", "--flow", "ask").out
    assert "approval (" in cli("answer", run_id, "1", "--lock", "other", code=Exit.USAGE).err
    cli("answer", run_id, '{"go": true}', "--lock", "approval")
    cli("logs", run_id, "--follow")
    assert cli("show", run_id, "--json").json["result"] == {"go": True}
    assert cli("answer", run_id, "1", code=Exit.FAILED).err


def test_cancel_several_runs_and_say_which_had_ended(cli: Cli, demo: Done) -> None:
    left = [row["run_id"] for row in cli("runs", "--status", "running", "--json").json]  # by the tests above
    going = left or [cli.run_id("theirs:sleep")]
    rows = cli("cancel", *(run_id[-12:] for run_id in going), demo.json["run_id"], "--grace", "1", "--json").json
    assert [row["run_id"] for row in rows] == [*going, demo.json["run_id"]]
    assert [(row["cancelled"], row["status"]) for row in rows] == [
        *[(True, "cancelled")] * len(going),
        (False, "finished"),
    ]


def test_up_twice_finds_the_cluster_that_runs(cli: Cli) -> None:
    again = cli("up", "--json").json
    assert again["started"] is False
    assert again["log_dir"] == str(cli.log_dir)


def test_doctor_tells_values_and_sources(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.env, "KODOSUMI_LAB_WARM_RUNNERS", "2")
    report = cli("doctor", "--json").json
    assert report["settings"]["warm_runners"] == {"value": 2, "source": "KODOSUMI_LAB_WARM_RUNNERS"}
    assert report["settings"]["slots"]["source"] == "default"
    assert report["cluster"]["answers"] is True
    assert [owner["state"] for owner in report["log"]["owners"]] == ["alive"]
    owner = report["log"]["owners"][0]["owner"]
    shown = cli("doctor").out
    for part in ("KODOSUMI_LAB_WARM_RUNNERS", "answers", owner, "byte code", "token"):
        assert part in shown
    assert "alive" in cli("doctor", "--adopt", owner, code=Exit.FAILED).err
    assert owner in cli("doctor", "--adopt", "nobody", code=Exit.USAGE).err


# -- afterwards: these take the cluster down, so they come last ---------------------------


def test_everything_can_be_read_after_down(cli: Cli, demo: Done, failed: Done) -> None:
    cli("up")  # where it is up, that one
    left = cli.run_id("theirs:sleep")
    assert cli("down").out == "the background cluster is down\n"
    run_id = demo.json["run_id"]
    assert cli.status(left) == "lost"
    assert cli("logs", run_id).out.startswith("line 0")
    assert cli("show", run_id, "--json").json["result"] == {"name": "42", "n": 3}
    assert "ValueError" in cli("show", failed.out.split()[-1]).out
    assert cli("events", run_id, "--json").ndjson[0]["kind"] == "meta"
    assert "had ended already" in cli("cancel", run_id).out


def test_doctor_sets_a_damaged_file_aside(cli: Cli, demo: Done) -> None:
    assert cli("down", "--json").json == {"ended": False}
    files = sorted(cli.log_dir.glob("events/*/*.parquet"))
    assert files, "down seals the log"
    extra = files[0].with_name("zz-00000000.parquet")
    extra.write_bytes(b"PAR1 not at all")
    assert "damaged file" in cli("events", "--json").err
    report = cli("doctor", "--json").json
    assert report["log"]["damaged"] == [str(extra)]
    assert any("--set-aside" in problem for problem in report["problems"])
    report = cli("doctor", "--set-aside", "--json").json
    assert report["log"]["damaged"] == []
    assert Path(report["log"]["set_aside"][0]).read_bytes() == b"PAR1 not at all"
    assert cli("events", "--json").err == ""


GONE = """
import sys, secrets
from pathlib import Path
from uuid_utils import uuid7
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.log import LogWriter, make_batch
from kodosumi_lab.runtime.ownership import claim, here
import os
root, run_id = Path(sys.argv[1]), str(uuid7())
claim(Layout(root), "theirs").record(here("theirs", os.getpid(), "127.0.0.1:1"))
kinds = ("meta", {"flow": "left"}), ("inputs", {}), ("status", {"status": "running"})
rows = [(1, KIND_ID[kind], None, dumps(payload)) for kind, payload in kinds]
LogWriter(root, "theirs").commit([make_batch(run_id, 1, secrets.randbits(64), 0, rows)])
print(run_id, flush=True)
os._exit(9)
"""


def test_an_owner_that_is_gone_is_adopted(tmp_path: Path) -> None:
    made = Cli(tmp_path)
    words = [sys.executable, "-c", GONE, str(made.log_dir)]
    run_id = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    assert made("runs", "--json").json[0]["status"] == "running"
    assert "--adopt theirs" in made("cancel", run_id, code=Exit.NO_CLUSTER).err
    report = made("doctor", "--adopt", "theirs", "--json").json
    assert report["log"]["adopted"] == {"owner": "theirs", "lost": [run_id]}
    assert report["log"]["owners"] == []
    assert made.status(run_id) == "lost"
