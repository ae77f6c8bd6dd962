"""Looking into modules for flows: here, or in a process of its own.

The Register reads a module in a fresh process (:func:`look`), for three reasons: an edited
module is read as it is now, while ``sys.modules`` of a notebook or gateway holds what it was;
whatever the module does when it is imported (fail, hang, exit, start threads, change global
state) stays there; and it can be ended when its time is up.

The process finds its request in a directory and leaves its answer there, so nothing that the
module prints can be taken for the answer. Where importing takes too long, it leaves the
line at which it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import FlowError
from kodosumi_lab.events import dumps
from kodosumi_lab.flow import Flow, entrypoint_of

__all__ = ["about", "author_traceback", "described", "found_in", "look"]

_PACKAGE = Path(__file__).parents[1]
# The module's own time is up first, so that it can say where it was; this is for a process that cannot.
_GRACE_S = 3.0
_OUTPUT_LINES = 5
_FRAME = re.compile(r'File "(.+)", line \d+ in ')
_START = "import sys; sys.path.append({root!r}); from kodosumi_lab.runtime.probe import main; main({folder!r})"


# -- in this process --------------------------------------------------------------------


def found_in(names: list[str]) -> tuple[list[Flow], dict[str, str]]:
    """Import modules, of a package all of its own, and give their flows.

    Parameters
    ----------
    names
        ``package.module``, or ``package.module:name`` for one of its objects.

    Returns
    -------
    tuple
        Flows, each once; and of what failed the reason, with the author's own lines.
    """
    found: dict[int, Flow] = {}
    failed: dict[str, str] = {}
    queue = list(names)
    while queue:
        name = queue.pop(0)
        module_name, _, attribute = name.partition(":")
        try:
            module = importlib.import_module(module_name)
            values = [_attribute(module, attribute)] if attribute else list(vars(module).values())
        except FlowError as error:
            failed[name] = str(error)
            continue
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's module raises while it is imported
            failed[name] = author_traceback(error)
            continue
        found |= {id(value): value for value in values if isinstance(value, Flow)}
        if not attribute:
            queue += [f"{name}.{part.name}" for part in pkgutil.iter_modules(getattr(module, "__path__", []))]
    return list(found.values()), failed


def _attribute(module: Any, path: str) -> Flow:
    value = module
    for part in path.split("."):
        if not hasattr(value, part):
            flows = [key for key, item in vars(module).items() if isinstance(item, Flow)]
            raise FlowError(f"module {module.__name__!r} has no {path!r}; its flows: {', '.join(flows) or 'none'}")
        value = getattr(value, part)
    return value if isinstance(value, Flow) else Flow(value, name=path, module=module.__name__)


def author_traceback(error: BaseException) -> str:
    """Traceback of an error from its own module on, without the way there."""
    frames = traceback.extract_tb(error.__traceback__)
    kept = [frame for frame in frames if not _ours(frame.filename)]
    return "".join([*traceback.format_list(kept), *traceback.format_exception_only(error)]).rstrip()


def _ours(path: str) -> bool:
    return path.startswith(("<frozen importlib", "<string>", str(_PACKAGE))) or "importlib" in path


def about(flow: Flow) -> dict[str, Any]:
    """What a flow says of itself."""
    return {
        "name": flow.name,
        "entrypoint": entrypoint_of(flow),
        "summary": flow.options.summary,
        "description": flow.options.description,
        "tags": list(flow.options.tags),
        "author": flow.options.author,
        "version": flow.options.version,
    }


def described(flow: Flow) -> dict[str, Any]:
    """:func:`about`, with a JSON schema of its ``inputs``, or ``{"error": …}`` where these cannot be."""
    return {**about(flow), "inputs": _schema(flow)}


def _schema(flow: Flow) -> dict[str, Any]:
    try:
        return flow.inputs.json_schema()
    except FlowError as error:
        return {"error": str(error)}


# -- in a process of its own ------------------------------------------------------------


def look(name: str, place: dict[str, Any], *, timeout_s: float) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Import a module in a fresh process and give what the catalogue holds of its flows.

    Parameters
    ----------
    name
        As for :func:`found_in`.
    place
        ``cwd`` and ``sys_path`` to import from.
    timeout_s
        Seconds until the process is ended.

    Returns
    -------
    tuple
        :func:`described` of each flow, and of what failed the reason.
    """
    with tempfile.TemporaryDirectory(prefix="kodosumi-lab-") as given:
        folder = Path(given)
        (folder / "request.json").write_text(json.dumps({"name": name, "timeout_s": timeout_s, **place}))
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _START.format(root=str(_PACKAGE.parent), folder=given)],
                cwd=place["cwd"] if os.path.isdir(place["cwd"]) else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout_s + _GRACE_S)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):  # with all that the module has started
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with contextlib.suppress(OSError, ValueError):
            answer = json.loads((folder / "answer.json").read_text())
            return answer["flows"], answer["failed"]
        return [], {name: _why_silent(folder, timeout_s, code)}


def _why_silent(folder: Path, timeout_s: float, code: int | None) -> str:
    with contextlib.suppress(OSError):
        lines = (folder / "hang.txt").read_text().splitlines()
        frames = [line for line in lines if (match := _FRAME.search(line)) and not _ours(match[1])]
        if lines or code is None:
            where = "; it was at:\n" + "\n".join(frames[:3]) if frames else ""
            return f"importing it did not end within {timeout_s:g} s{where}"
    output = (folder / "output.txt").read_text(errors="replace").splitlines()[-_OUTPUT_LINES:]
    said = ":\n" + "\n".join(output) if output else ""
    return f"importing it ended its process with code {code}{said}"


def main(folder: str) -> None:
    """Answer the request in `folder`; the process ends with this, whatever the module has left running."""
    request = json.loads(Path(folder, "request.json").read_text())
    sys.path[:] = [*request["sys_path"], *(path for path in sys.path if path not in {*request["sys_path"], ""})]
    with Path(folder, "hang.txt").open("w") as hang:
        faulthandler.dump_traceback_later(request["timeout_s"], exit=True, file=hang)
        flows, failed = found_in([request["name"]])
        answer = dumps({"flows": [described(flow) for flow in flows], "failed": failed})
        faulthandler.cancel_dump_traceback_later()
    temporary = Path(folder, "answer.tmp")
    temporary.write_text(answer)
    temporary.replace(Path(folder, "answer.json"))
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(0)
