"""``deploy``: services on Ray Serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, UsageError, command, prepare_ray
from kodosumi_lab.cli.output import emit, err, out, say
from kodosumi_lab.errors import ClusterError

__all__ = ["deploy"]


@command
def deploy(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Base configuration, or one app's.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show what would be deployed.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show what is deployed.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Remove what FILE names, or everything.")] = False,
    wait: Annotated[float, typer.Option("--wait", metavar="S", min=0, help="Seconds to wait until all run.")] = 120.0,
    address: Annotated[str | None, typer.Option("--address", help="Ray address.")] = None,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Deploy services on Ray Serve.

    FILE holds what all share (proxy_location, http_options …); each other YAML file beside it
    that has an import_path is one service (name, route_prefix, runtime_env, deployments …).

    Example: kodosumi-lab deploy -f config.yaml
    """
    if sum((dry_run, status, stop)) > 1:
        raise UsageError("--dry-run, --status and --stop do not go together; choose one")
    if file is None and not (status or stop):
        raise UsageError("nothing to deploy; name a file with -f, or use --status or --stop")
    from kodosumi_lab.api import deployment

    config = None if file is None else deployment.read_config(file)
    if dry_run:
        _show_config(config or {}, as_json)
        return
    _connect(address, log_dir)
    if stop:
        names = None if config is None else [app["name"] for app in config["applications"]]
        with err().status("removing …"):
            gone = deployment.stop(names)
        if as_json:
            emit({"stopped": gone})
        else:
            out().print(f"removed: {', '.join(gone)}" if gone else "nothing was deployed")
        return
    if status or config is None:
        _show(deployment.status(), as_json)
        return
    with err().status("deploying …"):
        found = deployment.apply(config, wait_s=wait)
    _show(found, as_json)
    failed = [app["name"] for app in config["applications"] if found.get(app["name"], {}).get("status") != "RUNNING"]
    if failed:
        say(f"not running: {', '.join(failed)}", style="red")
        raise typer.Exit(Exit.FAILED)


def _connect(address: str | None, log_dir: Path | None) -> None:
    """Be on a cluster that outlives this command.

    Raises
    ------
    ClusterError
        There is none.
    """
    import os

    from kodosumi_lab import settings
    from kodosumi_lab.runtime import background, cluster

    found = background.find()
    if not (address or settings.load().address or os.environ.get("RAY_ADDRESS") or found):
        raise ClusterError(
            "no cluster to deploy on; start one with `kodosumi-lab up`, or name one with --address or RAY_ADDRESS"
        )
    prepare_ray(address or (found["address"] if found else None), joins=True)
    with err().status("connecting …"):
        cluster.connect(address, log_dir=log_dir)


def _show_config(config: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(config)
        return
    import yaml

    out().print(yaml.safe_dump(config, sort_keys=False).rstrip(), highlight=False, soft_wrap=True)


def _show(found: dict[str, dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    if not found:
        out().print("nothing is deployed")
    for name, app in sorted(found.items()):
        parts = ", ".join(f"{key} {value}" for key, value in app["deployments"].items())
        out().print(f"{name}  {app['status']}  {parts}", highlight=False, soft_wrap=True)
        if app["message"]:
            out().print(f"  {app['message'].strip()}", style="red", highlight=False, soft_wrap=True)
