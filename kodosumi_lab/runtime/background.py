"""The background cluster: Ray that outlives notebooks, started by ``up`` or ``lab`` and ended by ``down``.

``up`` starts this module as a process of its own, in its own session; it starts Ray, makes
the log's actors, writes where it is to ``cluster.json`` and waits for SIGTERM. All of
Ray's processes are its children and end with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from kodosumi_lab.errors import ClusterError

__all__ = ["down", "find", "open_runs", "state_file", "up"]


def state_file() -> Path:
    """Where the background cluster says that it is there."""
    named = os.environ.get("KODOSUMI_LAB_STATE_DIR")
    return Path(named or platformdirs.user_state_dir("kodosumi-lab")) / "cluster.json"


def find() -> dict[str, Any] | None:
    """The running background cluster (``pid, created, address, log_dir``), or None."""
    try:
        found = json.loads(state_file().read_text())
        process = psutil.Process(found["pid"])
        if abs(process.create_time() - found["created"]) < 2 and process.status() != psutil.STATUS_ZOMBIE:
            return dict(found)
    except (OSError, ValueError, KeyError, psutil.Error):
        pass
    return None


def up(*, log_dir: Path, num_cpus: int | None = None, timeout_s: float = 180.0) -> dict[str, Any]:
    """Start the background cluster, or find the one that runs.

    Returns
    -------
    dict
        As :func:`find`, with ``started``: whether this call started it.

    Raises
    ------
    ClusterError
        It did not come up; the message ends with the last lines it wrote.
    """
    found = find()
    if found is not None:
        return {**found, "started": False}
    state = state_file()
    state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.unlink(missing_ok=True)
    output = state.with_name("cluster.log")
    command = [sys.executable, "-m", "kodosumi_lab.runtime.background", "--log-dir", str(log_dir)]
    if num_cpus is not None:
        command += ["--num-cpus", str(num_cpus)]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    end = time.monotonic() + timeout_s
    try:
        while time.monotonic() < end:
            found = find()
            if found is not None:
                # a gateway that started it goes on for long: the process is not to stay behind when it ends
                threading.Thread(target=process.wait, daemon=True).start()
                return {**found, "started": True}
            if process.poll() is not None:
                break
            time.sleep(0.1)
    except KeyboardInterrupt:  # what nobody waits for any more is not to come up
        process.terminate()
        raise
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    tail = "\n".join(output.read_text(errors="replace").splitlines()[-15:])
    raise ClusterError(f"the background cluster did not come up within {timeout_s:g} s; it wrote:\n{tail}\n({output})")


def open_runs(found: dict[str, Any]) -> int:
    """How many runs of the cluster's log are not over: going on, waiting for a person, or for their turn."""
    import polars as pl

    from kodosumi_lab.events import TERMINAL
    from kodosumi_lab.runtime.query import EventLog

    runs = EventLog(found["log_dir"]).runs().filter(~pl.col("status").is_in(sorted(TERMINAL)))
    return int(runs.select(pl.len()).collect().item())


def down(*, timeout_s: float = 60.0) -> bool:
    """End the background cluster and its runs; False when there is none.

    Raises
    ------
    ClusterError
        It did not end in time.
    """
    found = find()
    if found is None:
        state_file().unlink(missing_ok=True)
        return False
    process = psutil.Process(found["pid"])
    children = process.children(recursive=True)
    process.terminate()
    end = time.monotonic() + timeout_s
    while not _ended(process):
        if time.monotonic() > end:
            raise ClusterError(
                f"the background cluster (process {found['pid']}) did not end within {timeout_s:g} s; end it by hand"
            )
        time.sleep(0.05)
    psutil.wait_procs(children, timeout=10)
    state_file().unlink(missing_ok=True)
    return True


def _ended(process: psutil.Process) -> bool:
    """Whether a process runs no more; whoever started it, a gateway for one, need not have taken note."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _serve(log_dir: Path, num_cpus: int | None) -> None:
    from kodosumi_lab.runtime import cluster, quick

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = {} if num_cpus is None else {"num_cpus": num_cpus}
    joined = cluster._start_embedded(**options)
    held = cluster.connect(log_dir=log_dir)
    quick.complete()
    data = {
        "pid": os.getpid(),
        "created": psutil.Process().create_time(),
        "address": joined["address"],
        "log_dir": str(log_dir),
    }
    state = state_file()
    temporary = state.with_suffix(".tmp")
    temporary.write_text(json.dumps(data))
    os.replace(temporary, state)
    try:
        stop.wait()
    finally:
        with contextlib.suppress(FileNotFoundError):
            state.unlink()
        cluster.end_actors(held, "the background cluster was taken down")
        import ray

        ray.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", type=Path, required=True)
    parser.add_argument("--num-cpus", type=int)
    arguments = parser.parse_args()
    _serve(arguments.log_dir, arguments.num_cpus)
