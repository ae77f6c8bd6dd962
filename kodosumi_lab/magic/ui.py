"""The gateway of a log beside the kernel: started once, found again, ended with the kernel."""

from __future__ import annotations

import atexit
import contextlib
import html
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

__all__ = ["Ui", "served"]

# It imports the gateway and opens a port; on a busy machine that has been seen to take 20 s.
_START_S = 60.0
_running: dict[str, Ui] = {}


class Ui:
    """A gateway that runs.

    Attributes
    ----------
    url : str
        Where a browser reaches it.
    token_file : str
        File with its token, readable by this user only.
    log_dir : str
        The log that it serves.
    """

    def __init__(self, process: subprocess.Popen[bytes], said: dict[str, Any]) -> None:
        self._process = process
        self.local = str(said["url"])
        self.url = _reached(self.local)
        self.token_file = str(said["token_file"])
        self.log_dir = str(said["log_dir"])

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def __repr__(self) -> str:
        return f"<gateway of {self.log_dir} at {self.url}, token in {self.token_file}>"

    def _repr_html_(self) -> str:
        link = f'<a href="{html.escape(self.url)}" target="_blank" rel="noopener">{html.escape(self.url)}</a>'
        return f"<div>The log is served at {link}; the token is in <code>{html.escape(self.token_file)}</code></div>"


def served(log_dir: str | Path) -> Ui:
    """The gateway of a log, started where this kernel has none yet.

    Raises
    ------
    UsageError
        It does not start; the message has its reason.
    """
    key = os.path.realpath(log_dir)
    found = _running.get(key)
    if found is None or not found.alive:
        found = _running[key] = _started(str(log_dir))
    return found


def _started(log_dir: str) -> Ui:
    code = "from kodosumi_lab.cli import app; app()"
    command = [sys.executable, "-c", code, "serve", "--json", "--log-dir", log_dir]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        atexit.register(process.terminate)
        line = _first_line(process)
        if not line:
            process.kill()
            errors.seek(0)
            why = errors.read().decode("utf-8", "replace").strip() or f"no answer within {_START_S:g} s"
            raise UsageError(f"the gateway does not start: {why}")
    return Ui(process, json.loads(line))


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """What it says first; nothing where it ends or takes too long."""
    assert process.stdout is not None
    end, said = time.monotonic() + _START_S, b""
    while b"\n" not in said and time.monotonic() < end:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        if ready:
            more = os.read(process.stdout.fileno(), 65_536)
            if not more:
                return b""
            said += more
    return said.partition(b"\n")[0]


def _reached(url: str) -> str:
    """The address for the person's browser: behind a hub only its proxy leads to a port of this machine."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix.rstrip('/')}/proxy/{url.rpartition(':')[2]}/" if prefix else url
