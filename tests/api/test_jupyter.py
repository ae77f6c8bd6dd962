"""The gateway behind a real Jupyter server: who comes in, what other pages cannot do, and where it is for a browser."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest
from apikit import Recorded
from conftest import ROOT, eventually
from logkit import lines, status

from kodosumi_lab.runtime.layout import log_id

TOKEN = "let-me-in"  # of a server that ends with the tests
ON_PURPOSE = {"x-kodosumi-request": "1"}
CONFIG = """
from kodosumi_lab.jupyter import setup
c.ServerProxy.servers = {"kodosumi": setup()}
c.ServerApp.jpserver_extensions = {"panel.io.jupyter_server_extension": False, "jupyterlab": False}
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.port_retries = 0
"""


@dataclass
class Served:
    """A Jupyter server, and the log that its gateway serves."""

    origin: str
    base: str
    process: subprocess.Popen[bytes]
    recorded: Recorded

    def ask(self, method: str, path: str, *, token: str | None = TOKEN, **options: Any) -> httpx.Response:
        headers = {**({"authorization": f"token {token}"} if token else {}), **options.pop("headers", {})}
        url = f"{self.origin}{self.base}kodosumi{path}"
        return httpx.request(method, url, headers=headers, timeout=90, **options)

    @property
    def gateway(self) -> psutil.Process:
        """The process that Jupyter has started."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "kodosumi_lab.api.jupyter" in child.cmdline():
                return child
        raise AssertionError("there is no gateway")


@contextlib.contextmanager
def serve(folder: Path, base: str) -> Iterator[Served]:
    recorded = Recorded(folder / "log")
    (folder / "config").mkdir()
    (folder / "config" / "jupyter_server_config.py").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ, "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "KODOSUMI_LAB_LOG_DIR": str(recorded.root),
        "KODOSUMI_LAB_GATEWAY_STREAM_S": "3", "KODOSUMI_LAB_GATEWAY_HEARTBEAT_S": "0.3", "JUPYTER_PLATFORM_DIRS": "1",
    }  # fmt: skip
    said = folder / "jupyter.log"
    command = [sys.executable, "-m", "jupyter_server", f"--ServerApp.port={port}", f"--ServerApp.base_url={base}",
               f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with said.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    origin = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None, said.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{origin}{base}api", timeout=5).status_code == 200
        return False

    try:
        eventually(up, timeout_s=60, what="the Jupyter server answers")
        yield Served(origin, base, process, recorded)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
        recorded.writer.close()


@pytest.fixture(scope="module", params=["/", "/user/ada/"], ids=["at the root", "below a hub's path"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("jupyter"), request.param) as held:
        yield held


def test_the_package_tells_jupyter_of_it() -> None:
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    module, _, name = entry["jupyter_serverproxy_servers"]["kodosumi"].partition(":")
    code = (
        f"import sys, time\nfrom {module} import {name}\nfound = {name}()\n"
        "heavy = {'fastapi', 'polars', 'pyarrow', 'ray', 'uvicorn', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"assert found['environment'] != {name}()['environment'], 'a secret of its own for each server'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_who_is_let_in_by_jupyter_is_an_admin_here(served: Served) -> None:
    health = served.ask("GET", "/api/v1/health")
    assert health.json()["log"] == log_id(served.recorded.root)
    assert served.ask("GET", "/api/v1/runs").json()["total"] == 3
    assert served.ask("GET", "/api/v1/audit").status_code == 200


def test_nobody_else_is_let_in(served: Served) -> None:
    for token in (None, "wrong"):
        answer = served.ask("GET", "/api/v1/health", token=token)
        assert answer.status_code in (302, 403), answer.text
        assert "log" not in answer.text


def test_the_socket_alone_lets_nobody_in(served: Served) -> None:
    served.ask("GET", "/api/v1/health")
    path = served.gateway.cmdline()[-1]
    assert os.stat(Path(path).parent).st_mode & 0o077 == 0
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://gateway") as client:
        for headers in ({}, {"x-kodosumi-proxy-secret": "guess"}, {"authorization": f"Bearer {TOKEN}"}):
            assert client.get("/api/v1/runs", headers=headers).status_code == 401


def test_a_secret_from_outside_counts_for_nothing(served: Served) -> None:
    answer = served.ask("GET", "/api/v1/runs", headers={"X-Kodosumi-Proxy-Secret": "guess"})
    assert answer.status_code == 200, "the proxy puts its own in its place"
    assert "_KODOSUMI_LAB_JUPYTER_SECRET" not in " ".join(served.gateway.cmdline())


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/runs/{run}/cancel"), ("POST", "/runs/{run}/locks/l1"), ("DELETE", "/runs/{run}"),
     ("POST", "/flows/x/launch"), ("PUT", "/runs/{run}/files/in/x"), ("POST", "/sources")],
)  # fmt: skip
def test_another_page_cannot_change_anything(served: Served, method: str, path: str) -> None:
    """A form of any page comes with the user's cookies, but without a header that only ours send."""
    where = "/api/v1" + path.format(run=served.recorded.finished)
    body = {} if method == "DELETE" else {"content": b"{}"}  # the proxy passes no other on
    forged = served.ask(method, where, headers={"content-type": "text/plain", "origin": "http://evil"}, **body)
    assert (forged.status_code, forged.json()["type"]) == (403, "urn:kodosumi-lab:problem:forged")
    assert served.ask("GET", f"/api/v1/runs/{served.recorded.finished}").status_code == 200, "it is still there"


def test_another_page_is_not_allowed_to_send_that_header(served: Served) -> None:
    asked = {"origin": "http://evil", "access-control-request-method": "POST",
             "access-control-request-headers": "x-kodosumi-request"}  # fmt: skip
    answer = served.ask("OPTIONS", "/api/v1/runs", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-headers" not in answer.headers


def test_our_own_pages_can(served: Served) -> None:
    body = json.dumps({"form": {}})
    answer = served.ask("POST", "/api/v1/flows/nobody/validate", content=body,
                        headers={**ON_PURPOSE, "content-type": "application/json"})  # fmt: skip
    assert (answer.status_code, answer.json()["type"][-14:]) == (404, "flow-not-found")


def test_the_gateway_knows_where_it_is(served: Served) -> None:
    document = served.ask("GET", "/api/v1/openapi.json").json()
    root = f"{served.base}kodosumi"
    assert document["servers"] == [{"url": root}]
    tag = served.ask("GET", "/api/v1/runs").headers["etag"]
    assert served.ask("GET", "/api/v1/runs", headers={"if-none-match": tag}).status_code == 304


def test_events_come_through_as_they_are_and_a_stream_is_not_for_ever(served: Served) -> None:
    run = served.recorded.begin("live", "ada")
    url = f"{served.origin}{served.base}kodosumi/api/v1/runs/{run.run_id}/frames"
    headers = {"authorization": f"token {TOKEN}", "accept": "text/event-stream"}
    began = time.monotonic()
    got, late = b"", []
    with httpx.stream("GET", url, params={"after": 2}, headers=headers, timeout=30) as answer:
        assert answer.headers["content-type"] == "application/vnd.kodosumi.frames"
        assert answer.headers["cache-control"] == "no-store"
        for data in answer.iter_raw():
            got += data
            if len(late) < 3:
                run.send(served.recorded.writer, *lines("x"))
                late.append(time.monotonic())
    took = time.monotonic() - began
    assert 2 < took < 10, "it ends by itself, since nobody would tell when the browser has gone"
    frames = []
    while got:
        size = int.from_bytes(got[:4], "little")
        frames.append(got[4 : 4 + size])
        got = got[4 + size :]
    seen = [seq for frame in frames if frame for seq in pl.read_ipc_stream(frame)["seq"].to_list()]
    assert seen == [3, 4, 5]
    run.send(served.recorded.writer, status("finished"))
    with httpx.stream("GET", url, params={"after": 5}, headers=headers, timeout=30) as answer:
        assert b"".join(answer.iter_raw()).endswith(b'{"end":{"status":"finished","last_seq":6}}')

    def nobody_looks_on() -> bool:
        text = served.ask("GET", "/metrics").text
        return "kodosumi_lab_live_subscribers 0.0" in text

    eventually(nobody_looks_on, timeout_s=15)


def test_where_a_new_run_is_says_so_below_the_proxys_path() -> None:
    import asyncio

    from starlette.responses import Response

    from kodosumi_lab.api.jupyter import Behind

    async def created(scope: Any, receive: Any, send: Any) -> None:
        await Response(status_code=201, headers={"location": "/api/v1/runs/x"})(scope, receive, send)

    async def ask(**headers: str) -> str:
        transport = httpx.ASGITransport(Behind(created))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return (await client.post("/api/v1/flows/x/launch", headers=headers)).headers["location"]

    assert asyncio.run(ask()) == "/api/v1/runs/x"
    assert asyncio.run(ask(**{"x-forwarded-context": "/user/ada/kodosumi"})) == "/user/ada/kodosumi/api/v1/runs/x"


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_nothing_stays_behind(tmp_path: Path, how: str) -> None:
    with serve(tmp_path, "/") as held:
        held.ask("GET", "/api/v1/health")
        gateway = held.gateway
        getattr(held.process, how)()
        held.process.wait(20)
        eventually(lambda: not gateway.is_running() or gateway.status() == psutil.STATUS_ZOMBIE, timeout_s=20)
