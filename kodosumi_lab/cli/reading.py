"""``runs``, ``show``, ``logs`` and ``events``: the log on the terminal. None of them needs Ray."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import kodosumi_lab as kl
from kodosumi_lab.cli.base import Json, LogDir, UsageError, command
from kodosumi_lab.cli.formats import Format, Writer, sink_of
from kodosumi_lab.cli.output import age, emit, facts, grid, out, renderable, say, status_text, when
from kodosumi_lab.errors import RunNotFound
from kodosumi_lab.events import KINDS, STATUSES, TERMINAL, dumps

if TYPE_CHECKING:
    import polars as pl

    from kodosumi_lab.runtime.run import Run

__all__ = ["events", "find_run", "logs", "runs", "show"]

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its last characters.")]
Status = enum.StrEnum("Status", {name: name for name in STATUSES})  # type: ignore[misc]
Kind = enum.StrEnum("Kind", {name: name for name in KINDS})  # type: ignore[misc]

_CONSOLE = ("stdout", "stderr", "log", "debug")


def find_run(run_id: str, log_dir: Path | None = None) -> Run:
    """The run of an id or of its last characters."""
    try:
        return kl.run(run_id, log_dir=log_dir)
    except RunNotFound:
        raise
    except ValueError as error:  # 36 characters that are no run id
        raise RunNotFound(str(error)) from None


# -- runs -------------------------------------------------------------------------------


@command
def runs(
    status: Annotated[
        list[Status] | None, typer.Option("--status", help="Only of this status; may be repeated.")
    ] = None,
    flow: Annotated[str | None, typer.Option("--flow", help="Only of this flow.")] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Only with this text in id, flow, tags, result, error …"),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """List runs, newest first.

    Example: kodosumi-lab runs --status error --limit 5
    """
    import polars as pl

    from kodosumi_lab.runtime.searching import mentions

    frame = kl.runs(log_dir=log_dir)
    if status:
        frame = frame.filter(pl.col("status").is_in([str(item) for item in status]))
    if flow is not None:
        frame = frame.filter(pl.col("flow") == flow)
    if search is not None:
        frame = frame.filter(mentions(search))
    whole = frame.collect()
    rows = [_run_row(row) for row in whole.sort("run_id", descending=True).head(limit).iter_rows(named=True)]
    if as_json:
        emit(rows)
    elif not rows:
        say("no runs" if status or flow or search else f"no runs in the log {_log_dir(log_dir)}", style="dim")
    else:
        _print_runs(rows, len(whole))


def _log_dir(log_dir: Path | None) -> Path:
    from kodosumi_lab.runtime.run import event_log

    return event_log(log_dir).root


def _run_row(row: dict[str, Any]) -> dict[str, Any]:
    row["locks"] = json.loads(row["locks"] or "[]")
    return row


def _print_runs(rows: list[dict[str, Any]], total: int) -> None:
    from rich.text import Text

    screen = out().is_terminal
    table = grid("run", "flow", "status", ">progress", "started", ">took", ">events")
    table.add_column("", overflow="ellipsis" if screen else "fold", no_wrap=screen, ratio=1 if screen else None)
    for row in rows:
        open_ = row["status"] not in TERMINAL
        table.add_row(
            Text(row["run_id"][-8:] if screen else row["run_id"], style="cyan"),
            Text(row["flow"], style="bold"),
            status_text(row["status"]),
            f"{row['progress']:.0%}" if row["progress"] is not None and open_ else "",
            when(row["started"], full=not screen),
            age(row["running"], row["ended"]),
            f"{row['events']:,}",
            Text(" ".join(_remark(row).split()), style="dim" if open_ or row["status"] == "finished" else "red"),
        )
    out().print(table)
    if total > len(rows):
        say(f"{len(rows)} of {total:,} runs; --limit shows more", style="dim")


def _remark(row: dict[str, Any]) -> str:
    """The one thing to know of a run in a list."""
    if row["place"] is not None:
        return f"place {row['place']} in the queue: {row['reason']}" if row["reason"] else f"place {row['place']}"
    if row["locks"]:
        return "asks: " + ", ".join(str(lock["name"]) for lock in row["locks"])
    if row["status"] == "finished":
        return row["result"] if row["result"] != "null" else ""
    if row["status"] == "error":
        return str(row["error"] or row["reason"] or "")
    return str(row["reason"] or (row["progress_text"] if row["status"] == "running" else "") or "")


# -- show -------------------------------------------------------------------------------


@command
def show(
    run_id: RunId,
    lines: Annotated[int, typer.Option("--lines", min=0, help="Last console lines to show.")] = 10,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Show how a run stands: times, inputs, progress, result or error, last lines.

    Example: kodosumi-lab show 5f2c81d0
    """
    from kodosumi_lab.cli.following import outcome

    run = find_run(run_id, log_dir)
    row = run._row()
    data = outcome(run) | {
        "reason": run.reason,
        "progress": row["progress"],
        "progress_text": row["progress_text"],
        "place": run._log.place(run.id) if row["status"] == "starting" else None,
        "inputs": run.inputs,
        "locks": row["locks"],
        "meta": {key: value for key, value in run.meta.items() if key != "code"},
        "last_lines": [text for _, text in run._console(lines)] if lines else [],
    }
    if as_json:
        emit(data)
        return
    _print_run(data, row)
    _print_end(data)


def _print_run(data: dict[str, Any], row: dict[str, Any]) -> None:
    from rich.text import Text

    head = status_text(data["status"])
    head.append(f"  {data['flow']}", style="bold default")
    head.append(f"  {data['run_id']}", style="cyan")
    out().print(head, soft_wrap=True)
    meta = data["meta"]
    inputs = "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in data["inputs"].items())
    took = age(data["running"], data["ended"])
    waited = age(data["started"], data["running"]) if data["running"] is not None else ""
    locks = "\n".join(f"{lock['name']}  (kodosumi-lab answer {data['run_id']} VALUE)" for lock in data["locks"])
    share = data["progress"]
    pairs = [
        ("summary", meta.get("summary")),
        ("entrypoint", meta.get("entrypoint")),
        ("reason", data["reason"] if data["status"] != "error" else ""),
        ("asks", Text(locks, style="bold yellow") if locks else None),
        ("progress", f"{share:.0%}  {data['progress_text'] or ''}" if share is not None else None),
        ("started", f"{when(data['started'], full=True)}" + (f", waited {waited}" if waited else "")),
        (
            "ended",
            f"{when(data['ended'], full=True)}, took {took}"
            if data["ended"]
            else f"running for {took}"
            if took
            else "",
        ),
        ("attempt", str(data["attempt"]) if data["attempt"] > 1 else ""),
        ("events", f"{data['events']:,}, {row['nbytes']:,} bytes"),
        ("by", f"{meta.get('user')} on {meta.get('host')}"),
        ("parent", meta.get("parent")),
        ("rerun of", meta.get("rerun_of")),
        ("inputs", inputs),
        ("log", data["log_dir"]),
    ]
    out().print(facts([(f"  {name}", value) for name, value in pairs]))


def _print_end(data: dict[str, Any]) -> None:
    from rich.text import Text

    if data["last_lines"]:
        _headline("last lines")
        out().print(Text.from_ansi("\n".join(data["last_lines"])), soft_wrap=True)
    if data["result"] is not None:
        _headline("result")
        out().print(renderable(data["result"]))
    if data["status"] != "finished" and data["error"]:
        _headline("error")
        out().print(Text.from_ansi(str(data["traceback"] or data["error"]), style="red"), soft_wrap=True)


def _headline(text: str) -> None:
    out().print(f"\n{text}", style="bold")


# -- logs -------------------------------------------------------------------------------


@command
def logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Print what a run printed and logged; with --json one object a line.

    Example: kodosumi-lab logs 5f2c81d0 --follow
    """
    import polars as pl

    from kodosumi_lab.runtime.run import console_text

    run = find_run(run_id, log_dir)
    for frame in _frames(run, -1, follow):
        lines = frame.filter(pl.col("kind").is_in(_CONSOLE)).select("seq", "ts", "kind", "agent", "payload")
        for seq, ts, kind, agent, payload in lines.iter_rows():
            text = console_text(kind, payload)
            if as_json:
                sys.stdout.write(dumps({"seq": seq, "ts": ts, "kind": kind, "agent": agent, "text": text}) + "\n")
            else:
                _print_line(kind, text)
        sys.stdout.flush()


def _print_line(kind: str, text: str) -> None:
    from rich.text import Text

    if not out().is_terminal and "\x1b" not in text:
        sys.stdout.write(text + "\n")
        return
    style = {"stderr": "red", "stdout": ""}.get(kind, "dim")
    out().print(Text.from_ansi(text, style=style), soft_wrap=True)


def _frames(run: Run, after: int, follow: bool) -> Iterator[pl.DataFrame]:
    """A run's events after a seq: those there are, or as they come until it ends."""
    import polars as pl

    from kodosumi_lab.runtime.follow import follow_frames
    from kodosumi_lab.runtime.run import event_log

    if follow:
        yield from follow_frames(event_log(run.log_dir), run.id, after=after)
    else:
        yield run.events().filter(pl.col("seq") > after).sort("seq").collect()


# -- events -----------------------------------------------------------------------------


@command
def events(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of the run, or its last characters; all runs without.")
    ] = None,
    kind: Annotated[list[Kind] | None, typer.Option("--kind", help="Only of this kind; may be repeated.")] = None,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", help="Only after this seq.")] = -1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    form: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Print or export events, of one run or of all; --json is --format ndjson.

    Example: kodosumi-lab events 5f2c81d0 --kind metric --format csv --output metrics.csv
    """
    import polars as pl

    form = Format.NDJSON if as_json else form
    run = find_run(run_id, log_dir) if run_id is not None else None
    if run is None and (follow or after >= 0):
        raise UsageError("--follow and --after go with a RUN: seq counts within one run")
    if form is Format.PARQUET and follow:
        raise UsageError("--format parquet cannot follow: such a file is readable once it is complete")
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is not for terminals; give --output FILE, or pipe it")
    frames = _frames(run, after, follow) if run is not None else _all(log_dir)
    wanted = pl.col("kind").is_in([str(item) for item in kind]) if kind else pl.lit(True)
    with sink_of(output, atomic=not follow) as sink:
        write = Writer(sink, form, many=run is None, screen=output is None and out().is_terminal)
        for frame in frames:
            write(frame.filter(wanted))


def _all(log_dir: Path | None) -> Iterator[pl.DataFrame]:
    yield kl.events(log_dir=log_dir).sort("run_id", "seq").collect()
