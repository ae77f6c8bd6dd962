"""``run``: starting a flow and watching it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, UsageError, command, exit_code, prepare_ray
from kodosumi_lab.cli.output import emit, err, out, renderable, say
from kodosumi_lab.errors import (
    ClusterError,
    FlowError,
    KodosumiLabError,
    RunCancelled,
    RunFailed,
    RunLost,
    RunTimeout,
    WaitTimeout,
)
from kodosumi_lab.flow import Flow, load
from kodosumi_lab.forms.written import fitting, read_text, value_of

if TYPE_CHECKING:
    from kodosumi_lab.cli.following import LiveView
    from kodosumi_lab.runtime.run import Run

__all__ = ["import_from_here", "run"]

_TWICE_S = 2.0


@command
def run(
    entrypoint: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="The flow, or any function.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Inputs: JSON where it parses, else text; KEY=@FILE reads text."),
    ] = None,
    inputs: Annotated[
        str | None, typer.Option("--inputs", metavar="FILE", help="JSON object of inputs; - reads standard input.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it, print its id, leave it to itself.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="S", min=0, help="Watch for so many seconds at most.")
    ] = None,
    log_dir: LogDir = None,
    address: Annotated[str | None, typer.Option("--address", help="Ray address; `local` for Ray in here.")] = None,
    as_json: Json = False,
) -> None:
    """Start a run and watch it until it ends.

    Runs on the Ray that --address or RAY_ADDRESS names, on the background cluster of
    `kodosumi-lab up`, or else on Ray in this process, which ends with it.

    Ctrl-C leaves a run on a cluster to itself, and cancels one on Ray in this process; a
    second Ctrl-C within 2 s always cancels.

    Example: kodosumi-lab run examples.flows.primes:prime_gaps end=1000000
    """
    from kodosumi_lab.runtime.cluster import connect

    alone = _prepare(address, detach)
    flow = _load(entrypoint)
    data = _inputs(flow, values or [], inputs)
    with err().status("starting Ray in this process …" if alone else "connecting …"):
        held = connect(address, log_dir=log_dir)
    started = flow.launch(**data)
    if detach:
        _tell_detached(started, flow.name, as_json)
        return
    embedded = held.how == "embedded"
    where = "on Ray in this process, which ends with it" if embedded else f"on Ray at {held.home.address}"
    say(f"{flow.name} {started.id} {where}", style="dim")
    _Watch(started, embedded=embedded, timeout_s=timeout, quiet=as_json).until_ended()
    raise typer.Exit(_tell_end(started, as_json))


# -- before the launch ------------------------------------------------------------------


def _load(entrypoint: str) -> Flow:
    import_from_here()
    try:
        return load(entrypoint)
    except KodosumiLabError:
        raise
    except Exception as error:  # whatever somebody's module raises while it is imported
        from kodosumi_lab.runtime.probe import author_traceback

        raise FlowError(f"{entrypoint.partition(':')[0]} cannot be imported:\n{author_traceback(error)}") from error


def import_from_here() -> None:
    """Let modules of the current directory be found."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _inputs(flow: Flow, values: list[str], source: str | None) -> dict[str, Any]:
    """Merge the inputs of the file with the arguments, which win, and check them before anything is started."""
    data = _object(source) if source is not None else {}
    texts = {}
    for item in values:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise UsageError(f"{item!r} is no input; expected KEY=VALUE")
        data[name], texts[name] = value_of(name, text)
    return fitting(lambda **given: flow.inputs.validate(given, local=True), data, texts)


def _object(source: str) -> dict[str, Any]:
    text = sys.stdin.read() if source == "-" else read_text(source)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--inputs is no JSON: {error}: {source}") from None
    if not isinstance(data, dict):
        raise UsageError(f"--inputs is a JSON {type(data).__name__}; expected an object: {source}")
    return data


def _prepare(address: str | None, detach: bool) -> bool:
    """Find out which Ray it will be, before anything is imported; whether that is Ray in this process."""
    from kodosumi_lab import settings
    from kodosumi_lab.runtime import background

    named = settings.load(address=address).address or os.environ.get("RAY_ADDRESS")
    found = None if named else background.find()
    alone = named == "local" or not (named or found)
    if alone and detach:
        raise ClusterError(
            "there is no cluster to leave the run on: Ray in this process would end with it; "
            "start one with `kodosumi-lab up`, or name one with --address"
        )
    prepare_ray(found["address"] if found else None, joins=not alone)
    return alone


# -- while it runs ----------------------------------------------------------------------


class _Watch:
    """Shows a run until it has ended, or somebody or the time says otherwise."""

    def __init__(self, run: Run, *, embedded: bool, timeout_s: float | None, quiet: bool) -> None:
        from kodosumi_lab.cli.following import LiveView

        self._run = run
        self._embedded = embedded
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._view: LiveView = LiveView(run, quiet=quiet)
        self._pressed = 0

    def until_ended(self) -> None:
        """Return when the run has ended; `typer.Exit` when it was left, `WaitTimeout` when time is up."""
        while True:
            try:
                self._view.follow(None if self._end is None else max(0.0, self._end - time.monotonic()))
            except KeyboardInterrupt:
                self._interrupted()
            except WaitTimeout:
                raise self._time_is_up() from None
            else:
                return

    def _interrupted(self) -> None:
        self._pressed += 1
        if self._embedded or self._pressed > 1:
            self._cancel(at_once=self._embedded and self._pressed > 1)
            return
        again = threading.Event()
        usual = signal.signal(signal.SIGINT, lambda *_: again.set())
        run_id = self._run.id
        say(
            f"detached, run {run_id} goes on\n"
            f"  follow: kodosumi-lab logs {run_id} --follow\n"
            f"  cancel: kodosumi-lab cancel {run_id}, or Ctrl-C again within {_TWICE_S:g} s",
            style="yellow",
        )
        if not again.wait(_TWICE_S):
            raise typer.Exit(Exit.INTERRUPTED)
        signal.signal(signal.SIGINT, usual)
        self._interrupted()

    def _cancel(self, *, at_once: bool) -> None:
        why = " (it would end with this process)" if self._embedded else ""
        say(f"cancelling{' at once' if at_once else f'{why}; Ctrl-C again does not wait for the flow'}", style="yellow")
        self._run.cancel(grace_s=0.0 if at_once else None)
        self._embedded = True  # from now on Ctrl-C hurries

    def _time_is_up(self) -> WaitTimeout:
        told = f"run {self._run.id} has not ended within {self._timeout_s:g} s"
        if not self._embedded:
            return WaitTimeout(f"{told}; it goes on, cancel it with `kodosumi-lab cancel {self._run.id}`")
        self._run.cancel()
        return WaitTimeout(f"{told}; it was cancelled, since its Ray ends with this process")


def _tell_detached(started: Run, name: str, as_json: bool) -> None:
    if as_json:
        emit({"run_id": started.id, "flow": name, "status": started.status, "log_dir": started.log_dir})
        return
    out().print(started.id)
    say(f"follow: kodosumi-lab logs {started.id} --follow", style="dim")


# -- when it has ended ------------------------------------------------------------------


def _tell_end(run: Run, as_json: bool) -> Exit:
    from kodosumi_lab.cli.following import last_line, outcome

    data = outcome(run)
    if as_json:
        emit(data)
    else:
        if data["result"] is not None:
            out().print(renderable(data["result"]))
        if data["traceback"]:
            say(data["traceback"], style="red")
        elif data["status"] != "finished":
            say(data["reason"] or data["status"], style="red")
        out().print(last_line(data), soft_wrap=True)
    return code_of(run.id, data["status"])


def code_of(run_id: str, status: str) -> Exit:
    """Exit code of a run that has ended."""
    if status == "finished":
        return Exit.OK
    kinds = {"cancelled": RunCancelled, "timeout": RunTimeout, "lost": RunLost}
    return exit_code(kinds.get(status, RunFailed)(run_id, status, ""))
