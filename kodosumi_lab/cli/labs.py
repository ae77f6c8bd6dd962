"""``lab``: JupyterLab over a background cluster, with one line for each thing that a person needs to know.

What it starts it ends, in the opposite order: JupyterLab with its kernels, then Ray, unless runs are still open on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from kodosumi_lab.cli.base import Exit, Json, LogDir, UsageError, command
from kodosumi_lab.cli.output import emit, err, facts, out, say

if TYPE_CHECKING:
    from kodosumi_lab.runtime.sharing import Share

__all__ = ["lab"]

# On two busy cores JupyterLab was seen to take 12 s.
_START_S = 120.0
_END_S = 15.0


@command
def lab(
    notebook: Annotated[Path | None, typer.Argument(help="Notebook or folder below this one to open.")] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; the next free one where it is taken.")
    ] = 8888,
    browser: Annotated[
        bool | None, typer.Option("--browser/--no-browser", help="Open a browser; by default where there is a screen.")
    ] = None,
    keep_ray: Annotated[bool, typer.Option("--keep-ray", help="Leave Ray running afterwards.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what JupyterLab writes, not only keep it.")] = False,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Start the background cluster and JupyterLab, with the dashboard beside it, until interrupted.

    JupyterLab serves this directory. The gateway and the dashboard start with the first look at them.

    Ray ends with it, unless it was running before, or runs are still open, or with --keep-ray:
    `kodosumi-lab down` ends it then. Where several of these commands use one Ray, it ends with the last.

    Example: kodosumi-lab lab examples/01_hello.ipynb
    """
    where = _below_here(notebook) if notebook is not None else ""
    _listen()
    with (
        _ray(log_dir, keep=keep_ray) as found,
        err().status("starting JupyterLab …"),
        _jupyter(port, verbose=verbose) as (process, url, token),
    ):
        address = f"{url}lab{f'/tree/{quote(where)}' if where else ''}?token={token}"
        with contextlib.suppress(KeyboardInterrupt):  # from the moment on that it is told of
            _tell(address, f"{url}kodosumi/dashboard/?token={token}", found, keep=keep_ray, as_json=as_json)
            if browser if browser is not None else _has_screen():
                import webbrowser

                webbrowser.open(address)
            if process.wait():
                raise _ended(f"JupyterLab ended with code {process.returncode}")


def _tell(address: str, board: str, found: dict[str, Any], *, keep: bool, as_json: bool) -> None:
    if as_json:
        emit({"url": address, "dashboard": board, **{key: found[key] for key in ("started", "address", "log_dir")}})
        return
    was = "" if found["started"] else " (was running already)"
    pairs = [("JupyterLab", address), ("dashboard", board), ("Ray", found["address"] + was), ("log", found["log_dir"])]
    out().print(facts([(f"  {name}", value) for name, value in pairs]), soft_wrap=True)
    say(f"interrupt ends JupyterLab{_and_ray(found, keep=keep)}", style="dim")


def _below_here(notebook: Path) -> str:
    """The path as JupyterLab has it, which serves this directory."""
    here, there = Path.cwd().resolve(), notebook.resolve()
    if not there.exists():
        raise UsageError(f"there is no {notebook}")
    if not there.is_relative_to(here):
        raise UsageError(f"{notebook} is not below {here}, which JupyterLab serves; start it from there")
    return there.relative_to(here).as_posix()


def _listen() -> None:
    """SIGTERM, and a terminal that is closed, are interrupts, so that everything ends in order."""

    def hung_up(*_: Any) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)  # what is said from now on would be an error
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, hung_up)


@contextlib.contextmanager
def _ray(log_dir: Path | None, *, keep: bool) -> Iterator[dict[str, Any]]:
    """The background cluster; one that a ``lab`` started ends with the last of them, if nothing needs it."""
    from kodosumi_lab import settings
    from kodosumi_lab.runtime import background
    from kodosumi_lab.runtime.sharing import share

    with contextlib.ExitStack() as until_the_end:
        with err().status("starting Ray …"):
            part = until_the_end.enter_context(share())
            found = background.up(log_dir=settings.load(log_dir=log_dir).log_dir)
            part.join(found, keep=keep)
        try:
            yield {**found, "ends": part.ends}
        finally:
            if part.ends:
                _leave(found, part)


def _leave(found: dict[str, Any], part: Share) -> None:
    """End Ray, or say why not."""
    from kodosumi_lab.runtime import background

    if not part.is_last():
        say("Ray stays, since another `kodosumi-lab lab` uses it; it ends with the last of them")
        return
    runs = background.open_runs(found)
    if runs:
        part.leave_to_a_person()
        what = "run is" if runs == 1 else "runs are"
        say(
            f"Ray stays, since {runs} {what} not over; `kodosumi-lab down` ends {'it' if runs == 1 else 'them'} and Ray"
        )
        return
    with err().status("ending Ray …"), _undisturbed():
        background.down()
    say("JupyterLab and Ray have ended", style="dim")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second interrupt, from somebody who thinks that the first was not heard, would leave half of it running."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _and_ray(found: dict[str, Any], *, keep: bool) -> str:
    if keep:
        return "; Ray and its runs go on, `kodosumi-lab down` ends them"
    if not found["ends"]:
        return "; Ray was there before and stays, `kodosumi-lab down` ends it"
    others = "" if found["started"] else ", unless another `kodosumi-lab lab` uses it"
    return f" and Ray{others}; while runs are not over, Ray stays"


@contextlib.contextmanager
def _jupyter(port: int, *, verbose: bool) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """JupyterLab, its base address and its token, once it serves."""
    token = secrets.token_hex(24)
    options = ["--ServerApp.ip=127.0.0.1", f"--port={port}", "--no-browser"]
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with _sink(verbose) as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT if sink is not None else None,
            env={**os.environ, "JUPYTER_TOKEN": token},
            start_new_session=True,  # an interrupt is for us: it would ask whether it is meant
        )
    try:
        yield process, _address(process), token
    finally:
        with _undisturbed():
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _kept() -> Path:
    """Where what JupyterLab writes is kept."""
    from kodosumi_lab.runtime import background

    return background.state_file().with_name("jupyterlab.log")


def _sink(verbose: bool) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    return contextlib.nullcontext(None) if verbose else _kept().open("wb")


def _address(process: subprocess.Popen[bytes]) -> str:
    """Where it serves, as it tells the programs of its user."""
    from jupyter_core.paths import jupyter_runtime_dir

    told = Path(jupyter_runtime_dir()) / f"jpserver-{process.pid}.json"
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            found: dict[str, Any] = json.loads(told.read_text())
            return str(found["url"])
        time.sleep(0.1)
    raise _ended("JupyterLab did not start")


def _has_screen() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _ended(what: str) -> typer.Exit:
    tail = "\n".join(_kept().read_text(errors="replace").splitlines()[-10:]) if _kept().exists() else ""
    say(f"{what}\n{tail}\n({_kept()})", style="red")
    return typer.Exit(Exit.FAILED)
