"""The sub-commands of ``%kodosumi``: their arguments, and the help made of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicHelpFormatter

from kodosumi_lab.events import KINDS, STATUSES

__all__ = ["COMMANDS", "NAMES", "Command", "HelpShown", "Parser", "manual"]

_RUN = ("RUN", "id of a run, its last characters, or a variable that holds one")
_INPUTS = "name=value …"


class HelpShown(Exception):
    """``-h`` was given."""


class Parser(argparse.ArgumentParser):
    """Raises where a program would exit."""

    def error(self, message: str) -> NoReturn:
        """Tell what is wrong, and how it is used."""
        raise UsageError(f"{message}; {' '.join(self.format_usage().split())}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After the help."""
        raise HelpShown


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes
    ----------
    name, summary
        As the help has them.
    arguments
        Arguments of :meth:`argparse.ArgumentParser.add_argument`, names first.
    inputs
        Whether it takes ``name=value``.
    takes
        What its first argument is, for completion: ``flow``, ``run`` or nothing.
    cell
        Whether it is the first line of a cell, may be (None), or is not.
    raw
        Whether all that follows its options is one text.
    """

    name: str
    summary: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    inputs: bool = False
    takes: str = ""
    cell: bool | None = False
    raw: bool = False
    aliases: tuple[str, ...] = field(default=())

    @property
    def options(self) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
        """Those of its arguments that begin with a dash, the common ones included."""
        return [(names, about) for names, about in (*self.arguments, *_COMMON) if names[0].startswith("-")]

    def parser(self, *, common: bool = True) -> Parser:
        """Its parser, with the options that every command has."""
        sign = "%%" if self.cell else "%"
        made = Parser(
            prog=f"{sign}kodosumi {self.name}",
            description=self.summary,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=common,
        )
        for names, about in self.arguments:
            made.add_argument(*names, **about)
        if self.inputs:
            made.usage = f"{made.format_usage().removeprefix('usage: ').strip().replace('%', '%%')} {_INPUTS}"
        for names, about in _COMMON if common else ():
            made.add_argument(*names, **about)
        return made


class _Formatter(MagicHelpFormatter):
    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        argparse.RawDescriptionHelpFormatter.add_usage(self, usage, actions, groups, prefix)


def _arg(*names: str, **about: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, about


_COMMON = (
    _arg("-o", "--out", metavar="NAME", help="also assign the object to this variable"),
    _arg("--json", action="store_true", help="give it as JSON"),
    _arg("--no-display", action="store_true", help="show nothing"),
)


def _run(**more: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return _arg("run", metavar=_RUN[0], help=_RUN[1], **more)


_BLOCK = (
    _arg("--block", action="store_true", help="wait for its end; interrupting detaches"),
    _arg("--noblock", dest="block", action="store_false", help="leave it to itself, the default"),
)
_FLOW = _arg("flow", metavar="FLOW", help="name of the catalogue, a variable, or package.module:name")
_VIEW = _arg("--view", action="store_true", help="a live view in place of the frame")
_LOG = _arg("--log-dir", metavar="DIR", help="another event log")

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("flows", "The catalogue of flows, as a frame.", (_arg("words", nargs="*", help="in its texts"),)),
        Command(
            "launch",
            "Start a run. Values are JSON, or text; @FILE is a file's text, $NAME the notebook's variable. Without\n"
            "inputs it shows the form of those there are. As %%kodosumi launch, the cell is YAML or JSON.",
            (_FLOW, _arg("--defaults", action="store_true", help="start with what inputs default to"), *_BLOCK),
            inputs=True, takes="flow", cell=None,
        ),
        Command("form", "The form of a flow, to be filled in and launched from.", (_FLOW,), inputs=True, takes="flow"),
        Command(
            "sweep", "Start a run for each combination of lists of values: end=[10, 100] tasks=[1, 4].",
            (
                _FLOW,
                _arg("--max-concurrent", type=int, default=4, metavar="N", help="so many at a time, 4 unless you say"),
                _arg("--zipped", action="store_true", help="take the lists side by side"),
            ),
            inputs=True, takes="flow",
        ),
        Command(
            "runs", "Runs, newest first, as a frame.",
            (
                _arg("--status", action="append", choices=STATUSES, metavar="S", help="only of it; may be repeated"),
                _arg("--flow", metavar="F", help="only of this flow"),
                _arg("--search", metavar="TEXT", help="only with this text in id, flow, tags, result, error …"),
                _arg("--limit", type=int, default=20, metavar="N", help="at most so many, 20 unless you say"),
                _VIEW,
                _LOG,
            ),
        ),
        Command("show", "A run.", (_run(), _LOG), takes="run"),
        Command(
            "logs", "What a run printed and logged.",
            (_run(), _arg("--follow", "-f", action="store_true", help="until it ends; interrupting leaves"), _LOG),
            takes="run",
        ),
        Command(
            "events", "Events of a run as a frame, of all runs as a lazy frame.",
            (
                _run(nargs="?"),
                _arg("--kind", action="append", choices=KINDS, metavar="K", help="only of it; may be repeated"),
                _arg("--after", type=int, default=-1, metavar="SEQ", help="only after this seq"),
                _LOG,
            ),
            takes="run",
        ),
        Command(
            "approve", "Answer what a run waits for: yes, or another JSON value or text, or the values of its form.",
            (
                _run(),
                _arg("value", nargs="?", help="the answer; true unless you say"),
                _arg("--lock", metavar="L", help="name or id of the lock, where several are open"),
            ),
            inputs=True, takes="run", aliases=("answer",),
        ),
        Command(
            "cancel", "Cancel runs.",
            (
                _arg("runs", metavar="RUN", nargs="+", help=_RUN[1]),
                _arg("--grace-s", type=float, metavar="S", help="seconds that a flow has to end by itself"),
            ),
            takes="run",
        ),
        Command("diff", "Compare runs.", (_arg("runs", metavar="RUN", nargs="+", help=_RUN[1]), _LOG), takes="run"),
        Command("inbox", "Everything that waits for an answer, as a frame.", (_VIEW, _LOG)),
        Command(
            "sql", "Polars SQL over the tables runs, events and locks, as a frame.",
            (_arg("query", nargs="*", help="such as: select flow, count(*) from runs group by flow"), _LOG),
            cell=None, raw=True, aliases=("query",),
        ),
        Command(
            "connect", "Connect to a cluster and a log, as kl.connect() does.",
            (_arg("address", nargs="?", help="Ray address; local for Ray in this kernel"), _LOG),
        ),
        Command("status", "The cluster, the log, and how many runs there are of each status."),
        Command("ui", "Start the gateway of this log, once, and show where it is.", (_LOG,)),
        Command(
            "run",
            "Run the cell's code on the cluster, with the names that it uses from the notebook. What it prints and\n"
            "displays arrives under the cell, its last expression is the result; the notebook is free meanwhile.",
            (
                _arg("name", nargs="?", default="cell", help="how the run is called"),
                *_BLOCK,
                _arg("--num-cpus", type=float, metavar="N", help="CPUs to reserve; the run starts in seconds then"),
                _arg("--num-gpus", type=float, metavar="N", help="the same of GPUs"),
                _arg("--timeout-s", type=float, metavar="S", help="longest time that it may be running"),
            ),
            cell=True,
        ),
    )
}  # fmt: skip

#: Commands by every name that they have.
NAMES = {name: command for command in COMMANDS.values() for name in (command.name, *command.aliases)}


def manual() -> str:
    """All of the help, for ``%kodosumi?``."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "Flows and runs from a line of a notebook."
    yield ""
    yield "A line gives an object, which is shown as the last line of a cell: ``run = %kodosumi launch primes``."
    yield "Names of flows, inputs, ids of runs and options complete with Tab. Every command takes"
    yield "-h (help), -o NAME (also assign the object), --json and --no-display."
    for command in COMMANDS.values():
        usage, _, rest = command.parser(common=False).format_help().partition("\n\n")
        yield ""
        yield " ".join(usage.removeprefix("usage: ").split())
        skipped = ("positional arguments:", "options:", "")
        yield from (f"    {line}".rstrip() for line in rest.splitlines() if line.strip() not in skipped)
