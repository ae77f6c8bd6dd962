"""``dashboard``: the dashboard in a browser, with everything that it needs."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from kodosumi_lab.cli.base import Json, LogDir, command, prepare_ray
from kodosumi_lab.cli.launching import import_from_here
from kodosumi_lab.cli.output import emit, facts, out, say
from kodosumi_lab.cli.serving import DASHBOARD, served
from kodosumi_lab.errors import ClusterError

__all__ = ["dashboard"]


@command
def dashboard(
    flows: Annotated[
        list[str] | None, typer.Option("--flows", metavar="MODULE", help="Module with flows; may be repeated.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    history: Annotated[bool, typer.Option("--history", help="Only look at what was: start no Ray.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")] = True,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Open the dashboard: the one that runs for this log, else one that runs until interrupted.

    Prints an address that signs you in, once, within ten minutes. Where no Ray cluster writes the
    log, the background cluster of `kodosumi-lab up` is started meanwhile; it goes on afterwards.

    Example: kodosumi-lab dashboard --flows examples.flows.primes
    """
    from kodosumi_lab.runtime import addresses
    from kodosumi_lab.runtime.run import event_log

    where = Path(event_log(log_dir).root)
    found = addresses.find(where, DASHBOARD)
    if found is not None:
        url, token = found
        _tell(_entrance(where, url.removesuffix(DASHBOARD), token), where, as_json, browser, runs=True)
        return
    prepare_ray(joins=True)
    import_from_here()
    given: dict[str, Any] = {"log_dir": log_dir, "flows": flows or [], "address": None}
    with served(host, port, services=[], dashboard=True, **given) as one:
        token = one.token_file.read_text().strip() if one.token_file else None
        _tell(_entrance(one.log_dir, one.url, token), one.log_dir, as_json, browser, runs=False)
        if not history:
            threading.Thread(target=_start_ray, args=[one.log_dir], name="start-ray", daemon=True).start()
        one.run()


def _entrance(log_dir: Path, url: str, token: str | None) -> str:
    """The dashboard's address, with a ticket where there is a token that can be signed in with."""
    from kodosumi_lab import settings
    from kodosumi_lab.api.identity import TokenFile
    from kodosumi_lab.api.sessions import Sessions

    if token is None or settings.load().gateway_identity != "tokens":
        return f"{url}{DASHBOARD}/"
    ticket = Sessions(TokenFile(log_dir / "state"), log_dir / "state").ticket(token)
    return f"{url}/login?" + urlencode({"ticket": ticket, "next": f"{DASHBOARD[1:]}/"})


def _tell(entrance: str, log_dir: Path, as_json: bool, browser: bool, *, runs: bool) -> None:
    if as_json:
        emit({"url": entrance, "log_dir": str(log_dir), "found": runs})
    else:
        out().print(facts([("  dashboard", entrance), ("  log", str(log_dir))]), soft_wrap=True)
        say("it was running already" if runs else "interrupt ends it; runs go on")
    if browser:
        webbrowser.open(entrance)


def _start_ray(log_dir: Path) -> None:
    from kodosumi_lab.api.joining import Cluster
    from kodosumi_lab.runtime import background

    try:
        Cluster(log_dir)._found()
    except ClusterError:
        try:
            found = background.up(log_dir=log_dir)
        except ClusterError as error:
            say(f"no Ray: {error}", style="yellow")
            return
        same = Path(found["log_dir"]).resolve() == log_dir.resolve()
        told = f"Ray runs at {found['address']}; `kodosumi-lab down` ends it"
        say(told if same else f"no Ray for this log: the background cluster writes {found['log_dir']}")
