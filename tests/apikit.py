"""A recorded log and the gateway over it: the real application, real files, no Ray."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.identity import Role
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.settings import load


class Recorded:
    """A log with runs of ada and bob, and the writer that goes on with it.

    Attributes
    ----------
    finished, failed, asking
        Ids: a run of ada with 40 lines and a result, one of bob that failed, one of ada at a lock.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.writer = LogWriter(root, "test", disk=FastDisk())
        self.n = 0
        self.finished = self.begin("primes", "ada", tags=["math"]).run_id
        last = self.emitter
        last.send(self.writer, *lines(*range(40)), row("result", {"text/plain": "forty"}))
        last.send(self.writer, row("final", {"application/json": {"gaps": 3}}), status("finished"))
        self.failed = self.begin("research", "bob").run_id
        wrong = {"type": "ValueError", "message": "no such topic", "traceback": "Traceback: ValueError: no such topic"}
        self.emitter.send(self.writer, row("error", wrong), status("error", reason="ValueError: no such topic"))
        self.asking = self.begin("review", "ada").run_id
        lock = {"lid": "l1", "name": "approval", "data": {"text": "draft"}, "expires": 1_900_000_000.5}
        self.emitter.send(self.writer, row("lock", lock), status("awaiting", reason="lock approval"))

    def begin(self, flow: str, user: str, **more: Any) -> Emitter:
        """A new run that is running."""
        self.n += 1
        self.emitter = Emitter(new_run(0, self.n))
        about = meta(flow=flow, user=user, entrypoint=f"m:{flow}", code={"import": f"m:{flow}"}, **more)
        self.emitter.send(self.writer, about, row("inputs", {"end": self.n}), status("running"))
        return self.emitter


class Api:
    """The gateway as users call it: ``api.get("/runs", as_="ada")`` asks ``/api/v1/runs``."""

    def __init__(self, root: Path, **options: Any) -> None:
        settings = load(log_dir=root, **options.pop("settings", {}))
        self.app = create_app(settings=settings, **options)
        tokens = self.app.state.token_file
        self.tokens: dict[str, str] = {}
        if tokens is not None:
            self.admin = tokens.read_text().strip()
            from kodosumi_lab.api.identity import TokenFile

            held = TokenFile(tokens.parent)
            people = {"ada": Role.USER, "bob": Role.VIEWER, "olga": Role.OPERATOR, "root": Role.ADMIN}
            self.tokens = {name: held.add(name, role) for name, role in people.items()}

    def ask(self, method: str, path: str, *, as_: str | None = "olga", **options: Any) -> httpx.Response:
        """One request over ASGI."""
        headers = dict(options.pop("headers", {}))
        if as_ is not None:
            headers["authorization"] = f"Bearer {self.tokens[as_]}"
        url = path if path.startswith(("/metrics", "/mcp", "/api/", "/openapi", "/files/")) else f"/api/v1{path}"

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.request(method, url, headers=headers, **options)

        return asyncio.run(one())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.ask("POST", path, **options)


@contextlib.contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """The application under uvicorn, in a thread."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=port, log_level="warning", lifespan="on", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
