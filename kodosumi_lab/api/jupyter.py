"""The gateway behind a Jupyter server; started by jupyter-server-proxy, see :mod:`kodosumi_lab.jupyter`.

Who comes with the secret has been let in by Jupyter, and could run any code as this user
anyway: it is this user, as an admin. What Jupyter does not check for what it proxies is whether
a request was made by its own pages; so requests that change something have to carry a header that
other pages cannot send without being asked, and nobody asks.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import importlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kodosumi_lab.api import opened, problems
from kodosumi_lab.api.app import PREFIX, create_app
from kodosumi_lab.api.identity import LocalUser, User
from kodosumi_lab.jupyter import ROOT_VARIABLE, SECRET_HEADER, SECRET_VARIABLE
from kodosumi_lab.settings import Settings, load

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["Behind", "OnPurpose", "Proxied", "jupyter_app", "main"]

# jupyter-server-proxy does not tell when a browser has closed a stream; browsers come back by themselves.
_STREAM_S = 120.0
# How soon it is noticed that the Jupyter server is gone.
_ORPHAN_S = 2.0
# What is read of a request that is refused.
_DRAINED_BYTES = 16 * 2**20
_DASHBOARD = "/dashboard"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Proxied(LocalUser):
    """The person whose Jupyter server it is, where a request has come through that.

    Parameters
    ----------
    secret
        What the proxy puts into :data:`~kodosumi_lab.jupyter.SECRET_HEADER`, in place of whatever came in.
    """

    challenge = 'Proxy realm="kodosumi-lab"'

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret.encode()

    async def user(self, request: HTTPConnection) -> User | None:
        """That person; None for whoever reached the socket in another way."""
        given = request.headers.get(SECRET_HEADER, "").encode("latin-1", "replace")
        return await super().user(request) if hmac.compare_digest(given, self._secret) else None


class OnPurpose:
    """Refuses a request that changes something and may have been made by another page.

    Browsers send the user's cookies with forms and images of any page, but a header of our own
    only for pages of the same origin.
    """

    header = "x-kodosumi-request"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] not in _SAFE and self.header not in Headers(scope=scope):
            detail = (
                f"requests that change something carry the header {self.header}, so that no other page can make them"
            )
            # a proxy that is still sending when the answer comes takes that for a broken connection
            left = _DRAINED_BYTES
            while left > 0 and (message := await receive()).get("more_body"):
                left -= len(message["body"])
            await problems.response(403, "forged", detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Behind:
    """Where the gateway is for a browser: below the path that the proxy names.

    Only for the paths given: what Panel and other mounted applications send is relative already.
    """

    def __init__(self, app: ASGIApp, below: Collection[str] = (PREFIX,)) -> None:
        self._app, self._below = app, tuple(below)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(self._below):
            await self._app(scope, receive, send)
            return
        root = Headers(scope=scope).get("x-forwarded-context", "").rstrip("/")

        async def placed(message: Message) -> None:
            if message["type"] == "http.response.start" and root and not 300 <= message["status"] < 400:
                headers = MutableHeaders(scope=message)  # of redirections the proxy sees to it
                if headers.get("location", "").startswith("/"):
                    headers["location"] = root + headers["location"]
            await send(message)

        await self._app({**scope, "root_path": root}, receive, placed)


def jupyter_app(secret: str, settings: Settings | None = None, root: Path | None = None) -> FastAPI:
    """The gateway as it stands behind a Jupyter server.

    Parameters
    ----------
    secret, settings
        As of :class:`Proxied`, and of :func:`kodosumi_lab.api.app.create_app`.
    root
        The folder of that server's files, of which event logs are opened.
    """
    held = settings or load()
    if "gateway_stream_s" not in held.model_fields_set:
        held.gateway_stream_s = _STREAM_S
    # the module stands above this one, but a process of its own has to be made of something
    dashboard = importlib.import_module("kodosumi_lab.dashboard.mounted").Dashboard()
    mounts = {_DASHBOARD: dashboard}
    app = create_app(
        settings=held, identity=Proxied(secret), mounts=mounts, pages=[_DASHBOARD], mcp=False,
        routers=[opened.router(root, held)],
    )  # fmt: skip
    app.add_middleware(OnPurpose)
    app.add_middleware(Behind)
    return app


async def _until_orphaned(server: uvicorn.Server) -> None:
    """Whoever started this process may have been killed: then nobody is there to end it."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(_ORPHAN_S)
    server.should_exit = True


def main() -> None:
    """Serve on a socket file until the Jupyter server ends."""
    parser = argparse.ArgumentParser(prog="kodosumi_lab.api.jupyter")
    parser.add_argument("--uds", required=True, help="socket file to listen on")
    asked = parser.parse_args()
    secret = os.environ.pop(SECRET_VARIABLE, "")  # whatever this process starts need not know it
    if not secret:
        parser.error(f"{SECRET_VARIABLE} is not set: this is started by jupyter-server-proxy")
    root = os.environ.pop(ROOT_VARIABLE, "")
    import uvicorn

    app = jupyter_app(secret, root=Path(root) if root else None)
    config = uvicorn.Config(
        app, uds=asked.uds, log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, lifespan="on", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)

    async def serve() -> None:
        watch = asyncio.create_task(_until_orphaned(server))
        await server.serve()
        watch.cancel()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
