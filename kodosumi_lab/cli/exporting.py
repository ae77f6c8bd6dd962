"""``export``: a run as one file that JupyterLab opens. No Ray needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kodosumi_lab.cli.base import Json, LogDir, UsageError, command
from kodosumi_lab.cli.output import emit, out
from kodosumi_lab.cli.reading import find_run

__all__ = ["export"]


@command
def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its last characters.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, named *.kodosumi-run.json, or a folder for it.")
    ] = None,
    files: Annotated[bool, typer.Option("--files/--no-files", help="With files of the run, if they are small.")] = True,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Write a run with all its events to one file; a double-click in JupyterLab shows it, without the log.

    Example: kodosumi-lab export 5f2c81d0 -o reports/
    """
    run = find_run(run_id, log_dir)
    try:
        path = run.export(output, files=files)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if as_json:
        emit({"run_id": run.id, "path": str(path), "nbytes": path.stat().st_size})
    else:
        out().print(str(path), soft_wrap=True, highlight=False)
