"""Measure the public package kodosumi 1.1.0 on this machine, so that our numbers can stand beside its own.

Needs nothing but the standard library and `uv` on the path. It makes a virtual environment for the peer, starts Ray,
kodosumi's spooler, the service of `svc.py` and kodosumi's server on loopback, launches flows through that server as a
person's client would, reads what arrives in the SQLite files, and writes one JSON file with the unit in every key::

    python benchmarks/peer/kodosumi_peer.py --venv DIR --out FILE.json

Notes
-----
"Durable" means visible to another process in a run's `sqlite3.db`; kodosumi commits each event by itself, in WAL mode
with SQLite's default `synchronous=FULL`, so a visible event has been fsynced.

Everything runs with kodosumi's own settings; only addresses and directories are ours. Where a choice was open, the one
that is kinder to the peer was taken: its environment has byte code, its modules are in the page cache, its files are
checkpointed before they are weighed.

Ray takes the machine's own address for its ports even when it is told `127.0.0.1`; all else binds to loopback.

A measurement that fails or passes its deadline is recorded as `{"error": ...}`, and the others go on. What other
programs took from the machine meanwhile stands beside each result; where it was much, the measurement is repeated, and
a second call of the script with the same file replaces what it could measure in more quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PEER: Final = "kodosumi==1.1.0"
REQUIREMENTS: Final = (PEER, "httpx", "psutil")
OLDEST_PYTHON: Final = (3, 12)
HOST: Final = "127.0.0.1"
HERE: Final = Path(__file__).resolve().parent

BURST_EVENTS: Final = 3000
PACED_EVENTS: Final = 100
PACE_S: Final = 0.05
MANY_RUNS: Final = 20
MANY_EVENTS: Final = 500
MANY_CAP_S: Final = 300.0
LAUNCHES: Final = 5
SLEEPERS: Final = 3
WATCH_S: Final = 20.0
SETTLE_S: Final = 10.0

QUIET_PERCENT: Final = 15.0

PR_SET_CHILD_SUBREAPER: Final = 36
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
EXPECTED: Final = (OSError, ValueError, LookupError, RuntimeError, sqlite3.Error, http.client.HTTPException)

Result = dict[str, Any]


class PeerError(RuntimeError):
    """The peer did not do what a measurement needs."""


class LateError(TimeoutError):
    """Something did not come in time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"no {what} within {seconds:g} s")


class Deadline:
    """A point in time after which waiting is an error."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def passed(self) -> bool:
        """Tell whether the time is over."""
        return time.monotonic() > self._end

    def wait(self, ready: Callable[[], bool], what: str, every: float = 0.02) -> None:
        """Return as soon as `ready` says so; raise `LateError` after the deadline."""
        while not ready():
            if self.passed():
                raise LateError(what, self.seconds)
            time.sleep(every)


# --- processes, as the kernel tells of them ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    cpu_s: float
    name: str


def process(pid: int) -> Process | None:
    """Read one process; None where it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":
        return None
    return Process(pid, int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S, title(command))


def title(command: bytes) -> str:
    """Return a short name for a command line: what a reader needs to tell Ray's processes from kodosumi's."""
    words = [word for word in command.decode(errors="replace").split("\0") if word]
    if not words or words[0].startswith("ray::"):
        return words[0].strip() if words else "?"
    # What multiprocessing starts has no name of its own: the modules of Ray's dashboard, a resource tracker.
    helper = re.search(r"multiprocessing\.(?:forkserver|resource_tracker|spawn)", " ".join(words))
    if helper:
        return helper[0]
    names = [Path(word).name for word in words if not word.startswith("-")]
    if names[0].startswith("python") and len(names) > 1:
        module = words[words.index("-m") + 1] if "-m" in words else names[1]
        return " ".join([module, *(word for word in ("spool", "serve") if word in words)])
    return names[0]


def descendants() -> dict[int, Process]:
    """Return every process below this one: exactly those that the benchmark started."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    table = {one.pid: one for one in map(process, pids) if one}
    found: dict[int, Process] = {}
    fresh = {os.getpid()}
    while fresh:
        children = {pid: one for pid, one in table.items() if one.parent in fresh and pid not in found}
        found |= children
        fresh = set(children)
    return found


def adopt_orphans() -> None:
    """Let orphaned processes below this one become its children, so that none escapes the counting and the end."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def cpu_percent(seconds: float) -> float:
    """Watch all descendants and return what they used, in percent of one core."""
    before, started = descendants(), time.monotonic()
    time.sleep(seconds)
    after, took = descendants(), time.monotonic() - started
    # A process that ends meanwhile takes its last share with it; idle systems start and end next to nothing.
    used = sum(one.cpu_s - (before[pid].cpu_s if pid in before else 0.0) for pid, one in after.items())
    return round(100 * used / took, 1)


def machine_busy_s() -> float:
    """Return the CPU seconds that the whole machine has spent, those stolen by its host among them."""
    user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split(maxsplit=11)[1:10])
    return (user + nice + system + sum(rest[:3])) / TICKS_PER_S


class Neighbours:
    """Watches what others take from the machine meanwhile: a measurement is worth as much as its quiet.

    A sample each second, as the share of a process that ends between two samples is missed and held against others.
    """

    def __init__(self) -> None:
        self._others_s = 0.0
        self._since = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Neighbours:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        busy, ours, own = machine_busy_s(), descendants(), time.process_time()
        while not self._stop.wait(1):
            busy_now, ours_now, own_now = machine_busy_s(), descendants(), time.process_time()
            used = sum(one.cpu_s - (ours[pid].cpu_s if pid in ours else 0.0) for pid, one in ours_now.items())
            self._others_s += max(0.0, busy_now - busy - used - (own_now - own))
            busy, ours, own = busy_now, ours_now, own_now

    @property
    def percent(self) -> float:
        """What others used since the start, in percent of one core."""
        return round(100 * self._others_s / (time.monotonic() - self._since), 1)


def await_quiet(seconds: float) -> None:
    """Wait until others leave the machine alone, but not for ever."""
    patience = Deadline(seconds)
    while not patience.passed():
        with Neighbours() as neighbours:
            time.sleep(3.2)
        if neighbours.percent <= QUIET_PERCENT:
            return


def memory_mb(pids: Iterable[int]) -> Result:
    """Add up the proportional, unique and resident memory of processes."""
    total = dict.fromkeys(("Pss", "Private_Clean", "Private_Dirty", "Rss"), 0)
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            if key in total:
                total[key] += int(rest.split()[0])
    unique = total["Private_Clean"] + total["Private_Dirty"]
    sizes = {"pss_mb": total["Pss"], "uss_mb": unique, "rss_mb": total["Rss"]}
    return {key: round(kib / 1024, 1) for key, kib in sizes.items()}


def end_all(started: list[subprocess.Popen[bytes]]) -> None:
    """End what was started, and only that: politely, newest first, then by force."""
    for popen in reversed(started):
        popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(15)
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            Deadline(patience).wait(lambda: not descendants(), "end of the processes", every=0.1)
    for popen in started:
        popen.wait()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


# --- the peer's environment -------------------------------------------------------------------------------------------


def base_python() -> str:
    """Return an interpreter that is new enough for the peer, or a request that uv may be able to fulfil.

    The directories of pyenv are looked through because its shims hide from uv what the directory does not select.
    """
    if sys.version_info >= OLDEST_PYTHON:
        return sys.executable
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = []
    for path in versions.glob("3.*/bin/python3"):
        number = tuple(int(part) for part in re.findall(r"\d+", path.parts[-3]))
        if number >= OLDEST_PYTHON:
            found.append((number, str(path)))
    return min(found)[1] if found else ".".join(map(str, OLDEST_PYTHON))


def make_environment(venv: Path) -> None:
    """Install the peer into its own virtual environment, unless that is there."""
    if venv.exists():
        return
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not on the path")
    # Without byte code every Ray worker would compile what it imports, and the peer would look slower than it is.
    env = os.environ | {"UV_COMPILE_BYTECODE": "1"}
    install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *REQUIREMENTS]
    for command in ([uv, "venv", "--quiet", "--python", base_python(), str(venv)], install):
        subprocess.run(command, env=env, check=True)


def versions(venv: Path) -> dict[str, str]:
    """Return the versions that count, as the peer's interpreter reports them."""
    code = (
        "import json, platform, sqlite3; from importlib.metadata import version; "
        "names = ('kodosumi', 'ray', 'litestar', 'fastapi', 'starlette', 'uvicorn', 'pydantic', 'httpx', 'psutil'); "
        "print(json.dumps({'python': platform.python_version(), 'sqlite': sqlite3.sqlite_version} "
        "| {name: version(name) for name in names}))"
    )
    command = [str(venv / "bin" / "python"), "-c", code]
    done = subprocess.run(command, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


# --- one run's file ---------------------------------------------------------------------------------------------------


def stamp(message: str) -> float:
    """Return the wall-clock that the flow wrote into an event."""
    return int(json.loads(message)["str"].split()[0]) / 1e9


@dataclass
class Run:
    """One run of the peer, and what its SQLite file holds."""

    fid: str
    executions: Path
    posted: float
    _reader: sqlite3.Connection | None = field(default=None, repr=False)

    @property
    def path(self) -> Path | None:
        """The run's database, or None before it exists."""
        return next(self.executions.glob(f"*/{self.fid}/sqlite3.db"), None)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read; empty as long as the file or its table is not there."""
        if self._reader is None:
            path = self.path
            if path is None:
                return []
            self._reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            # Caught between the file's creation and its table's: look again with a fresh connection.
            self.close()
            return []

    def rows(self) -> int:
        """Return how many events are durable. Ids are handed out one by one, so the greatest one counts them."""
        found = self.query("SELECT max(id) FROM monitor")
        return int(found[0][0] or 0) if found else 0

    def begun(self) -> bool:
        """Tell whether the first event is durable."""
        return self.rows() > 0

    def results(self) -> int:
        """Return how many events of the flow itself are durable."""
        found = self.query("SELECT count(*) FROM monitor WHERE kind = 'result'")
        return int(found[0][0]) if found else 0

    def stamps(self) -> list[float]:
        """Return the wall-clock that the flow wrote into each of its events."""
        found = self.query("SELECT message FROM monitor WHERE kind = 'result' ORDER BY id")
        return [stamp(message) for (message,) in found]

    def finished(self) -> bool:
        """Tell whether the run has ended well; raise where it ended with an error."""
        found = self.query("SELECT message FROM monitor WHERE kind = 'error'")
        if found:
            message = f"the flow failed: {str(found[0][0]).strip().splitlines()[-1]}"
            raise PeerError(message)
        return bool(self.query("SELECT 1 FROM monitor WHERE kind = 'status' AND message = 'finished'"))

    def final(self) -> Result:
        """Return the flow's result."""
        ((message,),) = self.query("SELECT message FROM monitor WHERE kind = 'final'")
        return dict(json.loads(message)["dict"])

    def settled_bytes(self) -> int:
        """Return the size of the database once the log beside it has been moved into it."""
        self.close()
        path = self.path
        if path is None:
            raise FileNotFoundError(self.fid)
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as writer:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(each.stat().st_size for each in path.parent.glob("sqlite3.db*"))

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


# --- the peer, running ------------------------------------------------------------------------------------------------


class Peer:
    """Ray, kodosumi's spooler, a service and kodosumi's server: started, used and ended.

    Parameters
    ----------
    venv
        The environment that kodosumi is installed in.
    home
        A directory of its own: working directory, home, Ray's files. Short, as Ray puts sockets below it.
    """

    def __init__(self, venv: Path, home: Path) -> None:
        self.venv = venv
        self.home = home
        self.executions = home / "data" / "execution"
        self.executions.mkdir(parents=True)
        self.ray_port, self.dashboard_port, self.service_port, self.server_port = (free_port() for _ in range(4))
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    def __enter__(self) -> Peer:
        """Return the peer, with nothing started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        end_all(list(self._started.values()))

    def _environment(self) -> dict[str, str]:
        path = f"{self.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            "PATH": path,
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "VIRTUAL_ENV": str(self.venv),
            "PYTHONPATH": str(HERE),  # Ray's workers import the flows from here
            "PYTHONUNBUFFERED": "1",
            "RAY_TMPDIR": str(self.home),  # else the address file of another Ray on this machine is overwritten
            "RAY_ADDRESS": f"{HOST}:{self.ray_port}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "KODO_RAY_SERVER": f"{HOST}:{self.ray_port}",
            "KODO_RAY_DASHBOARD": f"http://{HOST}:{self.dashboard_port}",
            "KODO_APP_SERVER": f"http://{HOST}:{self.server_port}",
        }

    def _start(self, name: str, *command: str) -> Path:
        """Start a command in a session of its own and return the file that takes its output."""
        output = self.home / f"{name}.out"
        env = self._environment()
        if name == "ray":
            del env["RAY_ADDRESS"]  # `ray start --head` refuses to start where an address is set
        with output.open("wb") as sink:
            self._started[name] = subprocess.Popen(
                [str(self.venv / "bin" / command[0]), *command[1:]],
                cwd=self.home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return output

    def start_ray(self) -> None:
        """Start Ray and wait for the line at which `ray start` would return."""
        output = self._start(
            "ray",
            *("ray", "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=true"),
            *("--node-ip-address", HOST, "--dashboard-host", HOST, "--temp-dir", str(self.home / "ray")),
            *("--port", str(self.ray_port), "--dashboard-port", str(self.dashboard_port)),
            *("--ray-client-server-port", str(free_port()), "--dashboard-agent-listen-port", str(free_port())),
            *("--metrics-export-port", str(free_port()), "--min-worker-port", "0", "--max-worker-port", "0"),
        )
        self._await("Ray", lambda: "Ray runtime started" in output.read_text(errors="replace"))

    def start_kodosumi(self) -> None:
        """Start kodosumi's three processes at once, log in and wait until the service's flow is known."""
        source = f"http://{HOST}:{self.service_port}/openapi.json"
        self._start("spooler", "koco", "spool", "--block")
        self._start("service", "uvicorn", "svc:app", "--host", HOST, "--port", str(self.service_port))
        self._await("service", lambda: self.request("GET", "/openapi.json", port=self.service_port)[0] == 200)
        self._start("server", "koco", "serve", "--address", f"http://{HOST}:{self.server_port}", "--register", source)
        self._await("login", self._login)
        self._await("flow", lambda: bool(json.loads(self.request("GET", "/flow")[1])["items"]))

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for a part to come up; a port that is not open yet is no error, a process that ended is one."""

        def up() -> bool:
            ended = [name for name, popen in self._started.items() if popen.poll() is not None]
            if ended:
                message = f"ended before the {what} was up: {ended}"
                raise PeerError(message)
            with contextlib.suppress(ConnectionError, http.client.HTTPException, KeyError):
                return ready()
            return False

        Deadline(120).wait(up, what, every=0.05)

    def _login(self) -> bool:
        status, body = self.request("POST", "/api/login", {"name": "admin", "password": "admin"})
        if status == 200:
            self._token = json.loads(body)["KODOSUMI_API_KEY"]
        return bool(self._token)

    def request(self, method: str, path: str, body: Result | None = None, port: int | None = None) -> tuple[int, str]:
        """Make one HTTP request, to kodosumi's server unless another port is named."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token:
            headers["KODOSUMI_API_KEY"] = self._token
        connection = http.client.HTTPConnection(HOST, port or self.server_port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def launch(self, flow: str, count: int = 0, seconds: float = 0.0) -> Run:
        """Launch a flow through kodosumi's server, as its admin panel does."""
        posted = time.time()
        form = {"flow": flow, "count": str(count), "seconds": str(seconds)}
        status, body = self.request("POST", f"/-/{HOST}/{self.service_port}/-/run", form)
        answer = json.loads(body) if status in {200, 201} else {}
        if not answer.get("result"):
            message = f"launch answered {status}: {body[:200]}"
            raise PeerError(message)
        return Run(answer["result"], self.executions, posted)

    def finish(self, run: Run, seconds: float = 60) -> None:
        """Wait until a run has ended, and until the spooler has removed its processes."""
        deadline = Deadline(seconds)
        deadline.wait(run.finished, "end of the run")
        run.close()
        deadline.wait(lambda: not runner_pids(), "end of the runner", every=0.1)

    def log_bytes(self) -> int:
        """Return the size of the log that the spooler writes beside the databases."""
        return sum(path.stat().st_size for path in (self.home / "data").glob("spooler.log*"))


def runner_pids() -> list[int]:
    """Return the processes that Ray started for runs: the Runner and its queue."""
    return [pid for pid, one in descendants().items() if one.name.startswith(("ray::Runner", "ray::_QueueActor"))]


# --- the measurements -------------------------------------------------------------------------------------------------


def cold_start(venv: Path, times: int) -> Result:
    """From nothing running to the first run's last event in its file; Ray and Python files are in the page cache."""
    samples = []
    for _ in range(times):
        with home() as directory, Peer(venv, directory) as peer:
            started = time.monotonic()
            peer.start_ray()
            peer.start_kodosumi()
            run = peer.launch("paced_async", count=1)
            Deadline(120).wait(run.finished, "end of the first run")
            samples.append(time.monotonic() - started)
            run.close()
    return {"cold_start_s": round(statistics.median(samples), 1), "samples_s": [round(one, 1) for one in samples]}


def idle() -> Result:
    """Nothing runs: processes, memory and CPU of all that this script has started so far."""
    time.sleep(SETTLE_S)
    everything = descendants()
    return {
        "processes_idle": len(everything),
        "memory_idle": memory_mb(everything),
        "cpu_idle_percent": cpu_percent(WATCH_S),
        "process_names": dict(sorted(Counter(one.name for one in everything.values()).items())),
    }


def beside(quiet: Result, ray_only: Result) -> Result:
    """Return what kodosumi adds to an idle Ray."""
    return {
        "processes_idle": quiet["processes_idle"] - ray_only["processes_idle"],
        "memory_idle": {
            key: round(size - ray_only["memory_idle"][key], 1) for key, size in quiet["memory_idle"].items()
        },
        "cpu_idle_percent": round(quiet["cpu_idle_percent"] - ray_only["cpu_idle_percent"], 1),
    }


def launches(peer: Peer) -> Result:
    """One launch at a time: until the first event is in the file, and until the flow's own code ran."""
    first, running = [], []
    for _ in range(LAUNCHES):
        run = peer.launch("paced_async", count=1)
        Deadline(60).wait(run.begun, "first event", every=0.002)
        first.append((time.time() - run.posted) * 1e3)
        Deadline(60).wait(run.finished, "end of the run")
        running.append((run.stamps()[0] - run.posted) * 1e3)
        peer.finish(run)
    return {
        "launch_to_first_event_durable_ms": round(statistics.median(first)),
        "launch_to_flow_running_ms": round(statistics.median(running)),
        "samples_first_event_durable_ms": [round(one) for one in first],
        "samples_flow_running_ms": [round(one) for one in running],
    }


def burst(peer: Peer, flow: str) -> Result:
    """One run emits as fast as it can: the rate up to the last event in the file, and what one emit costs the flow."""
    log_before = peer.log_bytes()
    run = peer.launch(flow, count=BURST_EVENTS)
    deadline = Deadline(240)
    with contextlib.suppress(TimeoutError):
        deadline.wait(lambda: run.results() >= BURST_EVENTS, "last event")
    durable, until = run.results(), time.time()
    if durable == 0:
        raise LateError("event", deadline.seconds)
    took = until - run.stamps()[0]
    if durable < BURST_EVENTS:
        return {"error": f"{durable} of {BURST_EVENTS} events within {deadline.seconds:g} s", "took_s": round(took, 1)}
    Deadline(60).wait(run.finished, "end of the run")
    final, rows = run.final(), run.rows()
    peer.finish(run)
    log = peer.log_bytes() - log_before
    database = run.settled_bytes()
    return {
        "events": BURST_EVENTS,
        "durable_events_per_s": round(BURST_EVENTS / took, 1),
        "took_s": round(took, 2),
        "emit_us": round(final["emit_us"], 1),
        "emitting_s": round(final["emitting_s"], 2),
        "database_bytes_per_event": round(database / rows),
        "spooler_log_bytes_per_event": round(log / rows),
    }


def idle_emit(peer: Peer, flow: str) -> Result:
    """One event every 50 ms: from the flow's clock in its payload until a reader of the file sees it."""
    run = peer.launch(flow, count=PACED_EVENTS, seconds=PACE_S)
    deadline = Deadline(60)
    seen = 0
    delays: list[float] = []
    while len(delays) < PACED_EVENTS:
        if deadline.passed():
            what = f"more than {len(delays)} events"
            raise LateError(what, deadline.seconds)
        fresh = run.query("SELECT id, kind, message FROM monitor WHERE id > ? ORDER BY id", seen)
        now = time.time()
        seen = fresh[-1][0] if fresh else seen
        delays += [(now - stamp(message)) * 1e3 for _, kind, message in fresh if kind == "result"]
        time.sleep(0.001)
    peer.finish(run)
    # The first events were emitted before the spooler found the run: they tell of its start, not of an idle run.
    steady = delays[PACED_EVENTS // 5 :]
    return {
        "median_ms": round(statistics.median(steady), 1),
        "p99_ms": round(statistics.quantiles(steady, n=100, method="inclusive")[98], 1),
        "max_ms": round(max(steady), 1),
        "samples": len(steady),
    }


def sleeping(peer: Peer, idle_percent: float | None) -> Result:
    """Flows run and do nothing: the CPU that one takes, the memory of several."""
    first = peer.launch("asleep", seconds=SETTLE_S + WATCH_S + 10)
    Deadline(60).wait(lambda: first.results() > 0, "start of the flow")
    time.sleep(SETTLE_S)
    total = cpu_percent(WATCH_S)
    peer.finish(first)
    runs = [peer.launch("asleep", seconds=SETTLE_S + 20) for _ in range(SLEEPERS)]
    Deadline(60).wait(lambda: all(run.results() > 0 for run in runs), "start of the flows")
    time.sleep(SETTLE_S)
    pids = runner_pids()
    memory = {key: round(size / SLEEPERS, 1) for key, size in memory_mb(pids).items()}
    for run in runs:
        peer.finish(run, seconds=120)
    return {
        "cpu_one_sleeping_flow_percent": None if idle_percent is None else round(total - idle_percent, 1),
        "cpu_with_one_sleeping_flow_percent": total,
        "memory_per_running_flow": memory,
        "processes_per_running_flow": round(len(pids) / SLEEPERS, 1),
        "flows": SLEEPERS,
    }


def many_runs(peer: Peer) -> Result:
    """Twenty launches at once, 500 events each: until the last event of the last run is in its file."""
    started = time.monotonic()
    with ThreadPoolExecutor(MANY_RUNS) as pool:
        runs = list(pool.map(lambda _: peer.launch("burst_sync", count=MANY_EVENTS), range(MANY_RUNS)))
    launched = time.monotonic() - started
    counts = [0] * MANY_RUNS
    last = started
    while time.monotonic() - started < MANY_CAP_S:
        fresh = [run.results() if count < MANY_EVENTS else count for run, count in zip(runs, counts, strict=True)]
        if fresh != counts:
            counts, last = fresh, time.monotonic()
        if min(counts) >= MANY_EVENTS:
            break
        time.sleep(0.1)
    for run in runs:
        run.close()
    took = last - started
    return {
        "twenty_runs_s": round(took, 1),
        "cap_s": MANY_CAP_S,
        "cap_hit": min(counts) < MANY_EVENTS,
        "launches_answered_s": round(launched, 1),
        "events_durable": sum(counts),
        "events_emitted": MANY_RUNS * MANY_EVENTS,
        "events_per_s": round(sum(counts) / took, 1),
    }


# --- all of it --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """Make a short directory for everything a peer writes, and remove it afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="kp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Report:
    """The measurements so far, written after each one, so that an interrupted session leaves what it has.

    Parameters
    ----------
    out
        The file. Results that it holds already, of the same versions on the same machine, compete with new ones.
    facts
        What was measured, and where.
    tries
        How often a disturbed measurement is made at most.
    patience
        Seconds to wait for a quiet machine before each of them.
    """

    def __init__(self, out: Path, facts: Result, tries: int, patience: float) -> None:
        self.out = out
        self.tries = tries
        self.patience = patience
        self.data = facts
        earlier: Result = json.loads(out.read_text()) if out.exists() else {}
        if all(earlier.get(key) == fact for key, fact in facts.items() if key != "date"):
            self.data = earlier | facts

    def measure(self, name: str, function: Callable[..., Result], *arguments: object) -> Result:
        """Call one measurement, again where others disturbed it; the quietest counts, a failure is kept as its reason.

        `others_cpu_percent` beside each result says what the rest of the machine took meanwhile, of one core.
        """
        results: list[Result] = [self.data[name]] if name in self.data else []
        for _ in range(self.tries):
            await_quiet(self.patience)
            started = time.monotonic()
            with Neighbours() as neighbours:
                result = attempt(function, *arguments)
            result["others_cpu_percent"] = neighbours.percent
            print(f"{name} ({time.monotonic() - started:.0f} s): {json.dumps(result)}", flush=True)
            results.append(result)
            if "error" not in result and neighbours.percent <= QUIET_PERCENT:
                break
        best = min(results, key=lambda one: ("error" in one, one["others_cpu_percent"]))
        self.keep(name, best)
        return best

    def keep(self, name: str, result: Result) -> None:
        """Write a result down."""
        self.data[name] = result
        self.out.write_text(json.dumps(self.data, indent=2) + "\n")


def attempt(function: Callable[..., Result], *arguments: object) -> Result:
    """Return a measurement's result, or why there is none."""
    try:
        return function(*arguments)
    except EXPECTED as error:
        return {"error": f"{type(error).__name__}: {error}"}


def about(venv: Path) -> Result:
    """Say what was measured, where and when."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "peer": PEER,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu_count": os.cpu_count(),
        "memory_total_gb": round(pages / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions(venv),
        "payload_chars": 200,
    }


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description="Measure kodosumi 1.1.0 on this machine.")
    parser.add_argument("--venv", type=Path, required=True, help="the peer's environment; made if it does not exist")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--cold-starts", type=int, default=3, help="how many cold starts to take the median of")
    parser.add_argument("--tries", type=int, default=2, help="how often to repeat what others disturbed")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a quiet machine each time")
    options = parser.parse_args()
    venv = options.venv.absolute()
    make_environment(venv)
    adopt_orphans()
    # SIGTERM would skip the end of what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    report = Report(options.out, about(venv), options.tries, options.patience)
    if options.cold_starts:
        report.measure("cold_start", cold_start, venv, options.cold_starts)
    with home() as directory, Peer(venv, directory) as peer:
        peer.start_ray()
        ray_only = report.measure("idle_ray_only", idle)
        peer.start_kodosumi()
        quiet = report.measure("idle", idle)
        if "error" not in ray_only | quiet:
            report.keep("idle_beside_ray", beside(quiet, ray_only))
        report.measure("launch", launches, peer)
        report.measure("idle_emit_to_durable_async", idle_emit, peer, "paced_async")
        report.measure("idle_emit_to_durable_sync", idle_emit, peer, "paced_sync")
        report.measure("burst_sync", burst, peer, "burst_sync")
        report.measure("burst_async", burst, peer, "burst_async")
        report.measure("sleeping_flow", sleeping, peer, quiet.get("cpu_idle_percent"))
        # Last, as what it leaves behind would disturb the others.
        report.measure("twenty_runs", many_runs, peer)


if __name__ == "__main__":
    main()
