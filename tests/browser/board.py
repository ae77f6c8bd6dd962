"""The dashboard as people start it, over a recorded log, and a person in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from kodosumi_lab.api.identity import Role, TokenFile

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [sys.executable, "-c", "import sys; from kodosumi_lab.cli import app; sys.argv[0] = 'kodosumi-lab'; app()"]


class Served:
    """A dashboard that runs.

    Attributes
    ----------
    url
        Of the page, with a slash at its end.
    root
        The log.
    tokens
        By user: ada (user), bob (viewer), olga (operator), root (admin).
    """

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        held = TokenFile(root / "state")
        people = {"ada": Role.USER, "bob": Role.VIEWER, "olga": Role.OPERATOR, "root": Role.ADMIN}
        self.tokens = {name: held.add(name, role) for name, role in people.items()}


@contextlib.contextmanager
def running(command: list[str], ready: Callable[[subprocess.Popen[str]], str]) -> Iterator[str]:
    """A process until the block ends; `ready` gives its address once it answers. What it wrote is shown on failure."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env={**os.environ},
        )
        try:
            yield ready(process)
        except BaseException:
            errors.seek(0)
            print(errors.read()[-5000:])
            raise
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                if process.stdout is not None:
                    process.stdout.close()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve(root: Path, *more: str) -> Iterator[Served]:
    """``kodosumi-lab serve``: the dashboard beside the gateway."""

    def told(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["dashboard"])

    with running([*SCRIPT, "serve", "--json", "--log-dir", str(root), *more], told) as url:
        yield Served(url, root)


@contextlib.contextmanager
def panel_serve(root: Path, *more: str, port: int = 0) -> Iterator[Served]:
    """``panel serve kodosumi_lab/dashboard/app.py``: no gateway beside it."""
    port = port or free_port()

    def answers(process: subprocess.Popen[str]) -> str:
        url = f"http://127.0.0.1:{port}/app"
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, follow_redirects=True).status_code < 500:
                    return url
            time.sleep(0.1)
        raise AssertionError("panel serve did not answer")

    app = str(ROOT / "kodosumi_lab" / "dashboard" / "app.py")
    command = [sys.executable, "-m", "panel", "serve", app, "--port", str(port), "--address", "127.0.0.1", *more]
    before = os.environ.get("KODOSUMI_LAB_LOG_DIR")
    os.environ["KODOSUMI_LAB_LOG_DIR"] = str(root)
    try:
        with running(command, answers) as url:
            yield Served(url, root)
    finally:
        if before is None:
            del os.environ["KODOSUMI_LAB_LOG_DIR"]
        else:
            os.environ["KODOSUMI_LAB_LOG_DIR"] = before


class Person:
    """Somebody who is signed in: ``person("ada")("?page=runs")`` looks at a page."""

    def __init__(self, open_page: Callable[..., Any], served: Served) -> None:
        self._open, self._served = open_page, served

    def __call__(self, query: str = "", *, who: str = "root", **options: Any) -> Any:
        """A page of the dashboard in a browser of its own, signed in."""
        page = self._open(self._served.url + query, **options)
        page.foreign = []
        page.on("request", lambda asked: page.foreign.append(asked.url) if _foreign(asked.url) else None)
        page.get_by_label("Token").fill(self._served.tokens[who])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("dashboard/"))
        settled(page)
        return page


def _foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


def settled(page: Any) -> None:
    """Wait until what is looked at is there."""
    page.locator(".main-content").get_by_role("heading").first.or_(page.get_by_text("All runs")).first.wait_for()
