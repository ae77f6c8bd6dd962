"""``cancel``, ``answer``, ``up`` and ``down``: what needs the cluster. Only ``up`` ever starts one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, UsageError, command, prepare_ray
from kodosumi_lab.cli.output import emit, err, facts, out, say, status_text
from kodosumi_lab.cli.reading import RunId, find_run
from kodosumi_lab.errors import ClusterError, LockClosed

if TYPE_CHECKING:
    from kodosumi_lab.runtime.ownership import Owner
    from kodosumi_lab.runtime.run import Run

__all__ = ["answer", "cancel", "down", "up"]

# Beyond the grace the Runner is killed, and its end has to come through the log.
_SETTLE_S = 30.0


@command
def cancel(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids of runs, or their last characters.")],
    grace: Annotated[
        float | None, typer.Option("--grace", metavar="S", min=0, help="Seconds the flow has to end by itself.")
    ] = None,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Cancel runs, and wait until they have ended.

    Example: kodosumi-lab cancel 5f2c81d0 --grace 2
    """
    from rich.text import Text

    found = [find_run(run_id, log_dir) for run_id in run_ids]
    rows: list[dict[str, Any]] = []
    for run in found:
        asked = not run.done and _reach(run).cancel(grace_s=grace)
        rows.append({"run_id": run.id, "cancelled": asked})
    for run, row in zip(found, rows, strict=True):
        run.wait((5.0 if grace is None else grace) + _SETTLE_S)
        row["status"] = run.status
        if not as_json:
            told = status_text(row["status"]) + Text(f"  {run.id}")
            out().print(told if row["cancelled"] else told + Text("  had ended already", style="dim"), soft_wrap=True)
    if as_json:
        emit(rows)


@command
def answer(
    run_id: RunId,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The answer: JSON where it parses, else text.")],
    lock: Annotated[
        str | None, typer.Option("--lock", metavar="L", help="Name or id of the lock, where several are open.")
    ] = None,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Answer a lock that a run waits at.

    Example: kodosumi-lab answer 5f2c81d0 '{"approved": true}'
    """
    run = find_run(run_id, log_dir)
    if run.done:
        raise LockClosed(f"run {run.id} has ended as {run.status}; nothing waits for an answer")
    try:
        given = json.loads(value)
    except ValueError:
        given = value
    names = [item["name"] for item in run.locks if lock in (None, item["lid"], item["name"])]
    if len(names) != 1:
        listed = ", ".join(f"{item['name']} ({item['lid']})" for item in run.locks) or "none"
        asked = f"is open as {lock!r}" if lock else "is open" if not names else "can be told without --lock"
        raise UsageError(f"no single lock of run {run.id} {asked}; open are: {listed}")
    _reach(run).answer(given, lock=lock)
    if as_json:
        emit({"run_id": run.id, "lock": names[0], "answer": given})
    else:
        out().print(f"answered {names[0]!r} of run {run.id}", soft_wrap=True)


def _reach(run: Run) -> Run:
    """Put this process on the cluster that writes the run; none is ever started for this.

    Raises
    ------
    ClusterError
        It is gone, or cannot be reached from here.
    """
    import kodosumi_lab as kl
    from kodosumi_lab.runtime import background
    from kodosumi_lab.runtime.run import Run as Handle

    found = background.find()
    if found is not None and os.path.realpath(found["log_dir"]) == os.path.realpath(run.log_dir):
        run = Handle(run.id, log_dir=found["log_dir"])  # its actors are named after the path as it was written there
        address = str(found["address"])
    else:
        address = _owner(run).address
    prepare_ray(address, joins=True)
    with err().status(f"connecting to {address} …"):
        kl.connect(address, log_dir=run.log_dir)
    return run


def _owner(run: Run) -> Owner:
    from kodosumi_lab.runtime.layout import Layout
    from kodosumi_lab.runtime.ownership import is_gone, owners

    layout = Layout(Path(run.log_dir))
    known = owners(layout)
    alive = [owner for owner in known if owner.address and not is_gone(owner)]  # a gateway has no address
    if len(alive) > 1:
        alive = [owner for owner in alive if _holds(layout, owner.owner, run.id)]
    if alive:
        return alive[0]
    gone = ", ".join(owner.owner for owner in known)
    hint = f"; `kodosumi-lab doctor --adopt {known[0].owner}` ends its runs as lost" if known else ""
    raise ClusterError(
        f"run {run.id} is {run.status}, but the cluster that ran it is not there any more"
        + (f" (owner {gone})" if gone else "")
        + hint
    )


def _holds(layout: Any, owner: str, run_id: str) -> bool:
    """Whether the run is in the segments that an owner is writing."""
    import pyarrow.compute as pc

    from kodosumi_lab.runtime.segment import read_snapshot

    for name in layout.hot_segments(owner):
        try:
            snapshot = read_snapshot(layout.arrows(name))
        except FileNotFoundError:
            continue
        if any(state["run_id"] == run_id for state in snapshot.runs):
            return True
        if pc.any(pc.equal(snapshot.table["run_id"], run_id)).as_py():
            return True
    return False


# -- the background cluster -------------------------------------------------------------


@command
def up(
    log_dir: LogDir = None,
    num_cpus: Annotated[int | None, typer.Option("--num-cpus", min=1, help="CPUs that Ray may use.")] = None,
    as_json: Json = False,
) -> None:
    """Start the background cluster: Ray that outlives terminals and notebooks.

    Example: kodosumi-lab up
    """
    from kodosumi_lab import settings
    from kodosumi_lab.runtime import background

    asked = settings.load(log_dir=log_dir).log_dir
    with err().status("starting Ray …"):
        found = background.up(log_dir=asked, num_cpus=num_cpus)
    if as_json:
        emit({key: found[key] for key in ("started", "pid", "address", "log_dir")})
    else:
        out().print("the background cluster is up" if found["started"] else "the background cluster was up already")
        pairs = [("address", found["address"]), ("log", found["log_dir"]), ("process", str(found["pid"]))]
        out().print(facts([(f"  {name}", value) for name, value in pairs]))
        say("end it with: kodosumi-lab down", style="dim")
    if log_dir is not None and os.path.realpath(found["log_dir"]) != os.path.realpath(asked):
        say(f"it keeps its own log, not {asked}; `kodosumi-lab down` first to change that", style="yellow")
        raise typer.Exit(Exit.USAGE)


@command
def down(as_json: Json = False) -> None:
    """End the background cluster and the runs on it.

    Example: kodosumi-lab down
    """
    from kodosumi_lab.runtime import background

    with err().status("ending the background cluster …"):
        ended = background.down()
    if as_json:
        emit({"ended": ended})
    else:
        out().print("the background cluster is down" if ended else "there was no background cluster")
