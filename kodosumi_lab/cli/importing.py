"""``import``: runs of kodosumi 1.1 into the event log. No Ray needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, command
from kodosumi_lab.cli.output import emit, err, out, say

__all__ = ["import_"]


@command
def import_(
    exec_dir: Annotated[Path, typer.Argument(metavar="EXEC_DIR", help="kodosumi's execution directory.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be imported, write nothing.")] = False,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Bring the runs of kodosumi 1.1 into the event log.

    Reads <EXEC_DIR>/<user>/<fid>/sqlite3.db and changes nothing there. Importing again adds
    only what is new. Databases that cannot be read are named and left out.

    Example: kodosumi-lab import ~/kodosumi/data/execution
    """
    from rich.progress import Progress

    from kodosumi_lab.runtime.importing import import_history
    from kodosumi_lab.runtime.run import event_log

    root = event_log(log_dir).root
    with Progress(console=err(), transient=True, disable=not err().is_terminal) as shown:
        task = shown.add_task("reading", total=None)
        done = import_history(
            exec_dir.expanduser(),
            root,
            dry_run=dry_run,
            progress=lambda n, total: shown.update(task, completed=n, total=total),
        )
    if as_json:
        emit({**dataclasses.asdict(done), "dry_run": dry_run, "log_dir": str(root)})
    else:
        would = "would be " if dry_run else ""
        out().print(f"{done.runs:,} runs with {done.events:,} events {would}imported into {root}", soft_wrap=True)
        if done.present:
            since = f"; {len(done.resumed):,} of them have ended since" if done.resumed else ""
            out().print(f"{done.present:,} runs are there already{since}")
    for path in done.going_on:
        say(f"left for later, its run is still going on: {path}", style="yellow")
    for path, reason in done.failed.items():
        say(f"left out: {reason}: {path}", style="red")
    if done.failed and not done.runs and not done.present:
        raise typer.Exit(Exit.FAILED)
