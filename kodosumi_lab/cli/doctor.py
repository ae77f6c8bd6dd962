"""``doctor`` and ``version``: what there is on this machine, and what is wrong with it. No Ray needed."""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kodosumi_lab import __version__
from kodosumi_lab.cli.base import Json, LogDir, UsageError, command
from kodosumi_lab.cli.output import emit, err, facts, grid, out, say, size
from kodosumi_lab.errors import LogError

if TYPE_CHECKING:
    from kodosumi_lab.runtime.layout import Layout

__all__ = ["doctor", "version"]

_PACKAGES = ("ray", "polars", "pyarrow", "pydantic", "panel", "anywidget", "jupyterlab")


@command
def version(as_json: Json = False) -> None:
    """Print the versions of this program and of what it stands on.

    Example: kodosumi-lab version
    """
    versions = _versions()
    if as_json:
        emit(versions)
    else:
        others = " · ".join(f"{name} {versions[name]}" for name in ("python", "ray", "polars"))
        out().print(f"kodosumi-lab {__version__} · {others}")


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"kodosumi-lab": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@command
def doctor(
    adopt: Annotated[
        str | None,
        typer.Option("--adopt", metavar="OWNER", help="End the runs of a cluster that is gone as lost, seal its log."),
    ] = None,
    set_aside: Annotated[bool, typer.Option("--set-aside", help="Move damaged files out of readers' way.")] = False,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Show versions, settings, cluster and log, and what is wrong with them.

    Example: kodosumi-lab doctor --adopt 3f9a0c2b11de
    """
    from kodosumi_lab import settings
    from kodosumi_lab.runtime.layout import Layout
    from kodosumi_lab.runtime.run import event_log

    loaded = settings.load(log_dir=log_dir)
    layout = Layout(event_log(log_dir).root)
    adopted = _adopt(layout, adopt) if adopt is not None else None
    with err().status("reading the log …"):
        damaged = _damaged(layout)
    moved = _set_aside(layout, damaged) if set_aside else []
    values = settings.sources(loaded)
    if log_dir is not None:
        values["log_dir"] = (loaded.log_dir, "--log-dir")
    report: dict[str, Any] = {
        "versions": _versions(),
        "config": str(settings.config_file()),
        "settings": {name: {"value": value, "source": source} for name, (value, source) in values.items()},
        "cluster": _cluster(),
        "log": _log(layout, [path for path in damaged if not moved], adopted, moved),
        "ray": _ray(),
        "byte_code": _byte_code(),
    }
    report["problems"] = _problems(report)
    if as_json:
        emit(report)
    else:
        _print(report)


# -- repairs ----------------------------------------------------------------------------


def _adopt(layout: Layout, owner: str) -> dict[str, Any]:
    from kodosumi_lab.runtime.ownership import adopt, is_gone, owners

    known = {each.owner: each for each in owners(layout)}
    if owner not in known:
        raise UsageError(f"no owner {owner!r} in the log {layout.root}; there are: {', '.join(known) or 'none'}")
    if is_gone(known[owner]) is False:
        raise LogError(f"owner {owner} is alive (process {known[owner].pid}, {known[owner].address}); end it instead")
    return {"owner": owner, "lost": adopt(layout, owner)}


def _damaged(layout: Layout) -> dict[Path, str]:
    """Sealed files that cannot be read to their end, and why."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kodosumi_lab.runtime.sealing import sealed_files

    found = {}
    for kind in ("events", "runs"):
        for date in layout.dates(kind):
            for path in sealed_files(layout.table(kind, date)):
                try:
                    with pq.ParquetFile(path) as file:
                        for _ in file.iter_batches():
                            pass
                except FileNotFoundError:
                    continue  # compacted meanwhile
                except (pa.ArrowException, OSError) as error:
                    found[path] = " ".join(str(error).split())[:200]
    return found


def _set_aside(layout: Layout, damaged: dict[Path, str]) -> list[str]:
    from kodosumi_lab.runtime.disk import Disk
    from kodosumi_lab.runtime.segment import set_aside

    return [str(set_aside(layout, path, Disk())) for path in damaged]


# -- looking ----------------------------------------------------------------------------


def _cluster() -> dict[str, Any] | None:
    from kodosumi_lab.runtime import background

    found = background.find()
    if found is None:
        return None
    host, _, port = str(found["address"]).rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        answers = True
    except (OSError, ValueError):
        answers = False
    return {**found, "answers": answers, "output": str(background.state_file().with_name("cluster.log"))}


def _log(layout: Layout, damaged: list[Path], adopted: dict[str, Any] | None, moved: list[str]) -> dict[str, Any]:
    from kodosumi_lab.runtime.ownership import is_gone, owners

    states = {False: "alive", True: "gone", None: "on another host"}
    sealed = {kind: len(list((layout.root / kind).glob("date=*/*.parquet"))) for kind in ("events", "runs")}
    owned = []
    for owner in owners(layout):
        segments = len(layout.hot_segments(owner.owner))
        about = {"host": owner.host, "pid": owner.pid, "address": owner.address, "segments": segments}
        owned.append({"owner": owner.owner, "state": states[is_gone(owner)], **about})
    return {
        "path": str(layout.root),
        "exists": layout.root.is_dir(),
        "writable": _writable(layout.root),
        "nbytes": sum(path.stat().st_size for path in layout.root.rglob("*") if path.is_file()),
        "days": len(layout.dates("events")),
        "hot_segments": len(layout.hot_segments()),
        "sealed": sealed,
        "owners": owned,
        "damaged": [str(path) for path in damaged],
        "set_aside": moved or [str(path) for path in sorted(layout.damaged.glob("*"))],
        "adopted": adopted,
    }


def _writable(path: Path) -> bool:
    while not path.exists():
        path = path.parent
    return os.access(path, os.W_OK)


def _ray() -> dict[str, Any]:
    token = Path("~/.ray/auth_token").expanduser()
    mode = oct(token.stat().st_mode & 0o777) if token.exists() else None
    exposed = token.exists() and all(path.stat().st_mode & bits for path, bits in _way(token))
    folder = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "session_latest" / "logs"  # noqa: S108
    return {
        "address": os.environ.get("RAY_ADDRESS"),
        "auth_mode": os.environ.get("RAY_AUTH_MODE"),
        "token": str(token) if mode else None,
        "token_mode": mode,
        "token_exposed": exposed,
        "logs": str(folder) if folder.exists() else None,
    }


def _way(path: Path) -> list[tuple[Path, int]]:
    """A file and its directories, with the bits that let anybody else read through."""
    return [(path, 0o044), *((parent, 0o011) for parent in path.parents)]


def _byte_code() -> dict[str, Any]:
    spec = importlib.util.find_spec("ray")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    return {
        "ray_compiled": folder is not None and any((folder / "__pycache__").glob("*.pyc")),
        "ray": str(folder) if folder else None,
        "dont_write": os.environ.get("PYTHONDONTWRITEBYTECODE") or None,
    }


def _problems(report: dict[str, Any]) -> list[str]:
    log, ray, code, cluster = report["log"], report["ray"], report["byte_code"], report["cluster"]
    found = [f"{name} is not installed" for name in ("ray", "polars", "pyarrow") if report["versions"][name] is None]
    if cluster is not None and not cluster["answers"]:
        found.append(f"the background cluster does not answer at {cluster['address']}; see {cluster['output']}")
    if not log["writable"]:
        found.append(f"the log cannot be written: {log['path']}")
    found += [
        f"the cluster of owner {each['owner']} is gone, its open runs look unfinished; "
        f"`kodosumi-lab doctor --adopt {each['owner']}` ends them as lost"
        for each in log["owners"]
        if each["state"] == "gone"
    ]
    found += [f"damaged, left out by readers; --set-aside moves it: {path}" for path in log["damaged"]]
    if ray["token_exposed"]:
        found.append(f"Ray's token can be read by others ({ray['token_mode']}); chmod 600 {ray['token']}")
    if not code["ray_compiled"]:
        why = " and PYTHONDONTWRITEBYTECODE keeps it so" if code["dont_write"] else ""
        found.append(
            f"Ray has no byte code{why}: each Ray worker takes 2 s longer to start; "
            f"run `python -m compileall -q {Path(code['ray']).parent if code['ray'] else 'site-packages'}`"
        )
    return found


# -- showing ----------------------------------------------------------------------------


def _print(report: dict[str, Any]) -> None:
    from rich.text import Text

    out().print("versions", style="bold")
    out().print("  " + " · ".join(f"{name} {number or 'missing'}" for name, number in report["versions"].items()))
    out().print(f"\nsettings  [{report['config']}]", style="bold", soft_wrap=True)
    table = grid("  name", "value", "source")
    for name, item in report["settings"].items():
        source = Text(item["source"], style="dim" if item["source"] == "default" else "cyan")
        table.add_row(f"  {name}", _setting(name, item["value"]), source)
    out().print(table)
    out().print("\nbackground cluster", style="bold")
    cluster = report["cluster"]
    if cluster is None:
        out().print("  none; `kodosumi-lab up` starts one", style="dim")
    else:
        state = Text("answers", style="green") if cluster["answers"] else Text("does not answer", style="red")
        pairs = [("state", state), ("address", cluster["address"]), ("process", str(cluster["pid"]))]
        _facts([*pairs, ("log", cluster["log_dir"]), ("output", cluster["output"])])
    _print_log(report["log"])
    ray, code = report["ray"], report["byte_code"]
    out().print("\nray", style="bold")
    token = f"{ray['token']} ({ray['token_mode']})" if ray["token"] else "none"
    mode = ray["auth_mode"] or ("token, since there is one" if ray["token"] else "off")
    compiled = Text("compiled", style="green") if code["ray_compiled"] else Text("not compiled", style="red")
    if code["dont_write"]:
        compiled += Text(f" (PYTHONDONTWRITEBYTECODE={code['dont_write']})", style="dim")
    pairs = [("RAY_ADDRESS", ray["address"]), ("authentication", mode), ("token", token)]
    _facts([*pairs, ("byte code", compiled), ("its logs", ray["logs"])])
    if not report["problems"]:
        out().print("\n✓ nothing wrong", style="green")
    for problem in report["problems"]:
        out().print(Text(f"\n✗ {problem}", style="red"), soft_wrap=True)


def _setting(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value} ({size(value)})" if name.endswith(("_bytes", "_memory")) else str(value)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _facts(pairs: list[tuple[str, Any]]) -> None:
    out().print(facts([(f"  {name}", value) for name, value in pairs]))


def _print_log(log: dict[str, Any]) -> None:
    from rich.text import Text

    out().print("\nlog", style="bold")
    styles = {"alive": "green", "gone": "red", "on another host": "yellow"}
    owners = Text("\n").join(
        Text(each["state"], style=styles[each["state"]])
        + Text("  " + "  ".join(str(each[key]) for key in ("owner", "host", "address")), style="default")
        + Text(f"  process {each['pid']}, {_count(each['segments'], 'segment')}", style="default")
        for each in log["owners"]
    )
    sealed = f"{_count(log['sealed']['events'], 'sealed file')} in {_count(log['days'], 'day')}"
    pairs: list[tuple[str, Any]] = [
        ("path", log["path"] + ("" if log["exists"] else "  (not there yet)")),
        ("size", f"{size(log['nbytes'])}, {_count(log['hot_segments'], 'hot segment')}, {sealed}"),
        ("owners", owners if log["owners"] else "none"),
        ("damaged", Text("\n".join(log["damaged"]), style="red") if log["damaged"] else "none"),
        ("set aside", "\n".join(log["set_aside"])),
    ]
    _facts(pairs)
    if log["adopted"] is not None:
        lost = log["adopted"]["lost"]
        say("\n    ".join([f"  adopted {log['adopted']['owner']}: {_count(len(lost), 'run')} ended as lost", *lost]))
