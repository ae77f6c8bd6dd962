"""``flows``, ``register``, ``unregister``, ``refresh``: what can be started, and where it is looked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, UsageError, command, prepare_ray
from kodosumi_lab.cli.launching import import_from_here
from kodosumi_lab.cli.output import emit, err, facts, out, say

__all__ = ["flows", "refresh", "register", "unregister"]

_Timeout = Annotated[
    float, typer.Option("--timeout", metavar="S", min=0.1, help="Time for importing a module, or for an answer.")
]
_STYLES = {"stale": "yellow", "failed": "red"}


@command
def flows(
    modules: Annotated[
        list[str] | None, typer.Argument(metavar="MODULE", help="Modules to import; a package with all of its own.")
    ] = None,
    search: Annotated[str | None, typer.Option("--search", help="Only flows in whose texts these words occur.")] = None,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """List the flows of the register, or of modules.

    Without modules: the flows of the sources that were registered, and those that installed
    packages offer as entry points of group `kodosumi_lab.flows`.

    Example: kodosumi-lab flows examples.flows
    """
    from kodosumi_lab.runtime import probe
    from kodosumi_lab.runtime.register import Register, searched

    import_from_here()
    if not modules:
        with err().status("looking for flows …"):
            rows = Register(log_dir).rows()
        _tell(searched([row for row in rows if row["name"] is not None or search is None], search), as_json)
        return
    prepare_ray()
    found, failed = probe.found_in(modules)
    rows = [{**probe.described(flow), "source": flow.__module__, "state": "ok", "reason": ""} for flow in found]
    failures = [{"name": None, "source": source, "state": "failed", "reason": why} for source, why in failed.items()]
    _tell([row for row in rows if _matches(row, search)] + failures, as_json)


def _matches(row: dict[str, Any], search: str | None) -> bool:
    text = json.dumps(row, ensure_ascii=False).casefold()
    return all(word in text for word in (search or "").casefold().split())


@command
def register(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A module, http://…/openapi.json, or http://…/-/routes.")
    ],
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="Token for the service; - reads standard input.")
    ] = None,
    timeout: _Timeout = 30.0,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Add a source of flows to the register, or read it anew.

    A source that cannot be read is registered all the same; the reason is told.

    Example: kodosumi-lab register examples.flows
    """
    from kodosumi_lab.runtime.register import Register

    import_from_here()
    token = _token(token_file) if token_file is not None else None
    with err().status(f"reading {source} …"):
        rows = Register(log_dir).add(source, token=token, timeout_s=timeout)
    _tell(rows, as_json)


@command
def unregister(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As it was registered.")],
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Remove a source and its flows from the register.

    Example: kodosumi-lab unregister examples.flows
    """
    from kodosumi_lab.runtime.register import Register

    Register(log_dir).remove(source)
    if as_json:
        emit({"source": source})
    else:
        say(f"{source} is not in the register any more", style="dim")


@command
def refresh(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="As it was registered; all without.")] = None,
    timeout: _Timeout = 30.0,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Read the sources of the register again.

    Example: kodosumi-lab refresh
    """
    from kodosumi_lab.runtime.register import Register

    with err().status("reading …"):
        rows = Register(log_dir).read([source] if source is not None else None, timeout_s=timeout)
    _tell(rows, as_json)


def _token(source: str) -> str:
    try:
        token = (sys.stdin.read() if source == "-" else Path(source).read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--token-file cannot be read: {reason}: {source}") from None
    if not token or not token.isprintable() or " " in token:
        raise UsageError(f"--token-file holds no token; expected one word: {source}")
    return token


# -- showing ----------------------------------------------------------------------------


def _tell(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show rows of the catalogue; exit code 2 when there is nothing but failures."""
    found = [row for row in rows if row["name"] is not None]
    failed = [row for row in rows if row["name"] is None]
    if as_json:
        reasons: dict[str, list[str]] = {}
        for row in failed:
            reasons.setdefault(row["source"], []).append(row["reason"])
        told = {source: "\n".join(lines) for source, lines in reasons.items()}
        emit({"flows": [{key: row[key] for key in row if key != "base"} for row in found], "failed": told})
    else:
        for row in found:
            _print(row)
        if not rows:
            say("no flows; `kodosumi-lab register MODULE` adds those of a module, or name a module here", style="dim")
    for row in failed:
        say(f"{row['source']}: {row['reason']}", style="red")
    if failed and not found:
        raise typer.Exit(Exit.USAGE)


def _print(row: dict[str, Any]) -> None:
    from rich.text import Text

    head = Text(row["name"], style="bold")
    head.append(f"  {row.get('url') or row['entrypoint'] or ''}", style="not bold cyan")
    head.append("".join(f"  #{tag}" for tag in row["tags"]), style="not bold dim")
    if row["state"] != "ok":
        head.append(f"  {row['state']}", style=f"not bold {_STYLES[row['state']]}")
    out().print(head, soft_wrap=True)
    inputs = row.get("inputs")
    shown = _signature(inputs) if inputs is not None else ""
    out().print(facts([("  ", row["summary"]), ("  ", shown), ("  ", row["reason"])]))


def _signature(schema: dict[str, Any]) -> str:
    if "error" in schema:
        return str(schema["error"])
    parts = []
    for name, item in schema.get("properties", {}).items():
        kinds = [str(option.get("type", "any")) for option in item.get("anyOf", [item])]
        default = f" = {json.dumps(item['default'], ensure_ascii=False)}" if "default" in item else ""
        parts.append(f"{name}: {' | '.join(kinds)}{default}")
    return ", ".join(parts) or "no inputs"
