"""The application: its exit codes, the options that every command has, and how errors are told."""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from kodosumi_lab.errors import (
    ClusterError,
    FlowError,
    InputsError,
    KodosumiLabError,
    RunCancelled,
    RunNotFound,
    RunTimeout,
    SettingsError,
    WaitTimeout,
)

__all__ = ["EXIT_CODES", "Exit", "Json", "LogDir", "UsageError", "app", "command", "exit_code", "prepare_ray"]

F = TypeVar("F", bound=Callable[..., Any])


class Exit(enum.IntEnum):
    """Exit codes that scripts can use."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_CLUSTER = 4
    TIMEOUT = 5
    CANCELLED = 6
    INTERRUPTED = 130


#: What each code means, for the help and the manual.
EXIT_CODES = {
    Exit.OK: "done; of `run`: the run finished",
    Exit.FAILED: "the run failed (error, lost), or the command did",
    Exit.USAGE: "wrong usage, flow or inputs; nothing was started",
    Exit.NOT_FOUND: "no such run in the log",
    Exit.NO_CLUSTER: "no Ray cluster, or not the run's",
    Exit.TIMEOUT: "timeout, of the run or of --timeout",
    Exit.CANCELLED: "the run was cancelled",
    Exit.INTERRUPTED: "interrupted; of `run`: detached, the run goes on",
}

_BY_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (InputsError, Exit.USAGE),
    (FlowError, Exit.USAGE),
    (SettingsError, Exit.USAGE),
    (RunNotFound, Exit.NOT_FOUND),
    (RunTimeout, Exit.TIMEOUT),
    (WaitTimeout, Exit.TIMEOUT),
    (RunCancelled, Exit.CANCELLED),
    (ClusterError, Exit.NO_CLUSTER),
)

_PANELS = dict.fromkeys(("run", "flows"), "Start")
_PANELS |= dict.fromkeys(("register", "unregister", "refresh"), "Start")
_PANELS |= dict.fromkeys(("runs", "show", "logs", "events", "export"), "Look (needs no cluster)")
_PANELS |= dict.fromkeys(("cancel", "answer"), "Steer")
_PANELS |= dict.fromkeys(("dashboard", "serve", "token", "deploy"), "Over HTTP")
_PANELS |= dict.fromkeys(("lab", "up", "down", "import", "doctor", "version"), "This machine")

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else there.")]
LogDir = Annotated[
    Path | None, typer.Option("--log-dir", help="Event log; the background cluster's or the setting's by default.")
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error of this program.")]

app = typer.Typer(
    name="kodosumi-lab",
    help="Run long agentic flows on Ray; watch, query and steer them.",
    epilog="Exit codes\n\n" + "\n\n".join(f"{code:>3d}  {text}" for code, text in EXIT_CODES.items()),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class UsageError(KodosumiLabError, ValueError):
    """Arguments of a command do not go together."""


def command(function: F) -> F:
    """Make a function a command: with ``--debug``, its errors told and turned into exit codes."""
    signature = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def told(*, debug: bool, **arguments: Any) -> Any:
        with _errors(debug):
            return function(**arguments)

    extra = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Debug)
    told.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])  # type: ignore[attr-defined]
    told.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()} | {"debug": _Debug}
    # a terminal breaks lines where it wants to
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n")]
    name = function.__name__.rstrip("_")  # import is a word of Python's own
    panel = _PANELS[name]
    app.command(name=name, help="\n\n".join(paragraphs), rich_help_panel=panel)(told)
    return function


def prepare_ray(address: str | None = None, *, joins: bool = False) -> None:
    """Before anything imports Ray, which somebody's flow module may do: what it reads at its import only.

    For a cluster of ours on 127.0.0.1: that it is looked for there. Ray 2.60 replaces a
    loopback address by one where ours do not listen.
    """
    from kodosumi_lab.runtime import quick

    quick.imports()
    if joins and address is not None and address.startswith("127."):
        from kodosumi_lab.runtime import cluster

        cluster._stay_on_loopback()


def exit_code(error: BaseException) -> Exit:
    """Exit code that stands for an error of this package."""
    if isinstance(error, UsageError):
        return Exit.USAGE
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.FAILED)


@contextmanager
def _errors(debug: bool) -> Iterator[None]:
    warnings.showwarning = _show_warning
    try:
        yield
    except KodosumiLabError as error:
        if debug:
            raise
        _tell(str(error))
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        _tell("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _tell(text: str) -> None:
    from kodosumi_lab.cli.output import say

    say(text, style="red")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    if sys.stderr is not None:
        from kodosumi_lab.cli.output import say

        say(f"warning: {message}", style="yellow")
