"""Flows of modules that this process does not import: described and checked by a process beside it.

The gateway launches flows of registered modules, but must not import them: an edited module
would stay as it was in ``sys.modules``, and what it does when it is imported (fail, hang,
exit, change global state) would be done to everybody. So a process of its own imports the
module once and answers within milliseconds from then on. It ends when a source file that it
has loaded changes, so the next question finds the module as it is now; when nobody has
asked for a while; and with whoever started it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.flow import Flow, Options, load
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime import home, probe

__all__ = ["Beside", "Checked"]

_PACKAGE_ROOT = str(Path(__file__).parents[2])
_START = "import sys; sys.path.append({root!r}); from kodosumi_lab.runtime.beside import main; main({fd})"
# A module may import a large library for the first time.
_TIMEOUT_S = 60.0
_IDLE_S = 300.0
# File systems keep times of change as coarsely as this.
_UNSURE_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """Inputs that fit a flow, and what launching it takes.

    Attributes
    ----------
    name, options
        Of the flow.
    inputs
        For the Runner.
    batches
        Uploads that its form's file elements name.
    """

    name: str
    options: Options
    inputs: Inputs
    batches: list[str]


class Beside:
    """The process beside this one for the modules of one place; may be used from several threads.

    Parameters
    ----------
    place
        ``cwd`` and ``sys_path`` to import from.
    timeout_s
        Seconds that an answer may take, importing included.
    """

    def __init__(self, place: dict[str, Any], *, timeout_s: float = _TIMEOUT_S) -> None:
        self._place = place
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def describe(self, entrypoint: str) -> dict[str, Any]:
        """What the flow says of itself now, see :func:`kodosumi_lab.runtime.probe.described`, and its ``elements``.

        Raises
        ------
        FlowError
            Its module cannot be imported, or has no such flow any more.
        """
        return dict(self._ask({"verb": "describe", "entrypoint": entrypoint}))

    def check(self, entrypoint: str, values: dict[str, Any], *, entered: bool = False) -> Checked:
        """Check inputs, or with `entered` the values of the flow's form.

        Raises
        ------
        InputsError
            They do not fit.
        FlowError
            As :meth:`describe`.
        """
        found = self._ask({"verb": "check", "entrypoint": entrypoint, "values": values, "entered": entered})
        options = Options(**{**found["options"], "tags": tuple(found["options"]["tags"])})
        return Checked(found["name"], options, Inputs(found["wire"], found["secrets"]), found["batches"])

    def close(self) -> None:
        """End the process; a later question starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: dict[str, Any]) -> Any:
        with self._lock:
            for fresh in (False, True):
                answer = self._answer(json.dumps(question).encode(), fresh)
                if answer is not None:
                    break
            else:
                self._end()
                raise FlowError(f"importing the module of {question['entrypoint']} ended its process")
        if "errors" in answer:
            raise InputsError.of(answer["errors"], flow=answer["flow"])
        if "failed" in answer:
            raise FlowError(answer["failed"])
        return answer["found"]

    def _answer(self, question: bytes, fresh: bool) -> Any:
        """Its answer; None where the process is gone, or has gone because a module has changed."""
        if self._line is None or fresh:
            self._start()
        assert self._line is not None
        try:
            self._line.send_bytes(question)
            if not self._line.poll(self._timeout_s):
                self._end()
                return {"failed": f"importing or checking did not end within {self._timeout_s:g} s"}
            return json.loads(self._line.recv_bytes())
        except (EOFError, OSError):
            return None

    def _start(self) -> None:
        self._end()
        self._line, theirs = Pipe()
        with theirs:
            cwd = self._place["cwd"]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START.format(root=_PACKAGE_ROOT, fd=theirs.fileno())],
                cwd=cwd if os.path.isdir(cwd) else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._line.send_bytes(json.dumps(self._place["sys_path"]).encode())

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# -- in that process --------------------------------------------------------------------


def main(fd: int) -> None:
    """Answer questions from `fd` until nobody is there, nobody asks, or a module has changed."""
    line = Connection(fd)
    paths = json.loads(line.recv_bytes())
    sys.path[:] = [*paths, *(path for path in sys.path if path not in {*paths, ""})]
    seen: dict[str, float] = {}
    try:
        while line.poll(_IDLE_S):
            question = json.loads(line.recv_bytes())
            now = home.own_modules()
            if any(now.get(path) != mtime for path, mtime in seen.items()):
                break  # without an answer: a new process gives it
            began = time.time()
            reply = json.dumps(_reply(question)).encode()
            new = {path: mtime for path, mtime in home.own_modules().items() if path not in seen}
            line.send_bytes(reply)
            if any(mtime > began - _UNSURE_S for mtime in new.values()):
                break  # edited while it was imported: which version that was cannot be told
            seen |= new
    except (EOFError, OSError):
        pass
    os._exit(0)


def _reply(question: dict[str, Any]) -> dict[str, Any]:
    try:
        flow = load(question["entrypoint"])
    except FlowError as error:
        return {"failed": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's module raises while it is imported
        return {"failed": probe.author_traceback(error)}
    try:
        answer: Callable[[Flow, dict[str, Any]], Any] = _VERBS[question["verb"]]
        return {"found": json.loads(json.dumps(answer(flow, question)))}
    except InputsError as error:
        return {"errors": error.messages, "flow": error.flow}
    except FlowError as error:
        return {"failed": str(error)}
    except Exception as error:  # noqa: BLE001 - a validator of the flow may raise anything
        return {"failed": probe.author_traceback(error)}


def _describe(flow: Flow, _: dict[str, Any]) -> dict[str, Any]:
    return {**probe.described(flow), "elements": flow.elements}


def _check(flow: Flow, question: dict[str, Any]) -> dict[str, Any]:
    values, entered = question["values"], question["entered"]
    checked = flow.inputs.from_form(values) if entered else flow.inputs.validate(values)
    batches = list(flow.inputs.form().uploads(values).values()) if entered else []
    return {
        "name": flow.name,
        "options": dataclasses.asdict(flow.options),
        "wire": checked.wire,
        "secrets": checked.secrets,
        "batches": batches,
    }


_VERBS: dict[str, Callable[[Flow, dict[str, Any]], dict[str, Any]]] = {"describe": _describe, "check": _check}
