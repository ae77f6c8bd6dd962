"""``serve`` and ``token``: the gateway, and who may come in."""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from kodosumi_lab.cli.base import Json, LogDir, UsageError, command, prepare_ray
from kodosumi_lab.cli.launching import import_from_here
from kodosumi_lab.cli.output import emit, facts, out, say
from kodosumi_lab.errors import FlowError

if TYPE_CHECKING:
    from kodosumi_lab.runtime.register import Register

__all__ = ["DASHBOARD", "Served", "serve", "served", "token"]

LOG_DIR = "KODOSUMI_LAB_LOG_DIR"
#: Where the dashboard is on a gateway.
DASHBOARD = "/dashboard"

# After this open live streams are cut; their clients come back with Last-Event-ID.
_GRACE_S = 3


class RoleName(enum.StrEnum):
    """Roles, from reading own runs to everything."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


@command
def serve(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="APP", help="Services to carry: package.module:app, or …:app=/path.")
    ] = None,
    flows: Annotated[
        list[str] | None, typer.Option("--flows", metavar="MODULE", help="Module with flows; may be repeated.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray address; `local` for Ray in here. The log's own by default.")
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="With the dashboard, at /dashboard.")
    ] = True,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Serve the log, and what can be launched, over HTTP, until interrupted.

    What can be launched: the flows of the register, those of modules named by --flows, and those
    of services, which run in this process behind the same token and are in the register meanwhile.
    The dashboard is at /dashboard, and asks for the token.
    Prints the URL, and the file that holds the token for it. Reading needs no Ray; the
    cluster that writes the log is joined when something is launched or steered.

    Example: kodosumi-lab serve my_package.reviews:app --flows examples.flows.primes --port 8370
    """
    prepare_ray(address, joins=True)
    import_from_here()
    given: dict[str, Any] = {"log_dir": log_dir, "flows": flows or [], "address": address}
    with served(host, port, services=services or [], dashboard=dashboard, **given) as one:
        token = str(one.token_file) if one.token_file else None
        page = {"dashboard": f"{one.url}{DASHBOARD}/"} if dashboard else {}
        if as_json:
            told = {"url": one.url, **page, "token_file": token, "log_dir": str(one.log_dir)}
            emit({**told, "services": {name: one.url + path for name, path in one.services.items()}})
        else:
            pairs = [("url", one.url), *page.items(), ("token", token or "from elsewhere"), ("log", str(one.log_dir))]
            pairs += [(name, one.url + path) for name, path in one.services.items()]
            out().print(facts([(f"  {name}", value) for name, value in pairs]))
        if not _is_loopback(host):
            say("others on the network reach this, and tokens travel as they are: put TLS in front", style="yellow")
        one.run()


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway whose socket takes connections already; they are answered once it runs.

    Attributes
    ----------
    app, url, log_dir
        The application, where it is, and its log.
    token_file
        With the token of this machine's person, where tokens are what counts.
    services
        Paths of the services that it carries, by their source.
    """

    app: Any
    url: str
    log_dir: Path
    token_file: Path | None
    services: dict[str, str]
    socket: socket.socket

    def run(self) -> None:
        """Answer, until interrupted."""
        import uvicorn

        config = uvicorn.Config(
            self.app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="on",
            timeout_graceful_shutdown=_GRACE_S,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[self.socket])


@contextlib.contextmanager
def served(
    host: str, port: int, *, services: list[str], dashboard: bool, log_dir: Path | None, **given: Any
) -> Iterator[Served]:
    """A gateway with services and the dashboard, known to other processes of its log meanwhile."""
    from kodosumi_lab.api.app import create_app
    from kodosumi_lab.api.mounting import services_of
    from kodosumi_lab.runtime import addresses

    with contextlib.ExitStack() as stack:
        held = stack.enter_context(_listening(host, port))
        url = _url(held)
        carried = services_of(services)
        mounts: dict[str, Any] = dict(carried)
        if dashboard:
            from kodosumi_lab.dashboard.mounted import Dashboard

            mounts[DASHBOARD] = Dashboard(warm=True)
        pages = [DASHBOARD] if dashboard else []
        app = create_app(log_dir=log_dir, mounts=mounts, pages=pages, url=url, **given)
        where, token_file = Path(app.state.gateway.log.root), app.state.token_file
        # a service asks for the log by itself, as it does on Ray Serve
        os.environ[LOG_DIR] = str(where)
        for one in carried.values():
            stack.enter_context(_registered(where, url + one.openapi, token_file))
        if dashboard:
            addresses.announce(where, DASHBOARD, url)
            stack.callback(addresses.withdraw, where, DASHBOARD)
        yield Served(app, url, where, token_file, {one.source: one.path for one in carried.values()}, held)


@contextlib.contextmanager
def _registered(log_dir: Path, document: str, token_file: Path | None) -> Iterator[None]:
    """A service is in the register while this process carries it, so that others of this log find it."""
    from kodosumi_lab.runtime.register import Register

    register = Register(log_dir)
    for gone in _left_behind(register, document):
        register.remove(gone)
    token = token_file.read_text().strip() if token_file else None
    # it waits for the answer, which comes once the server is up
    thread = threading.Thread(target=register.add, args=[document], kwargs={"token": token}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(_GRACE_S)
        with contextlib.suppress(FlowError):  # somebody has removed it
            register.remove(document)


def _left_behind(register: Register, document: str) -> list[str]:
    """Addresses of the same service on this machine where nobody listens: a gateway that was killed carried it."""
    own, found = urlsplit(document), []
    for one in register.sources():
        parts = urlsplit(one["source"])
        if (parts.hostname, parts.path) == (own.hostname, own.path) and one["source"] != document:
            try:
                socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1).close()
            except OSError:
                found.append(one["source"])
    return found


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections already: whoever reads the URL may use it at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def _url(held: socket.socket) -> str:
    host, port = held.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@command
def token(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose token it is; runs carry this name.")],
    role: Annotated[RoleName, typer.Option("--role", help="What it allows.")] = RoleName.USER,
    revoke: Annotated[bool, typer.Option("--revoke", help="Forget every token of this user instead.")] = False,
    log_dir: LogDir = None,
    as_json: Json = False,
) -> None:
    """Make a token for the gateway, and print it; it is not kept, only its hash is.

    Roles: viewer reads own runs, user launches and acts on own runs, operator acts on everybody's,
    admin deletes them, too.

    Example: kodosumi-lab token ada --role operator
    """
    from kodosumi_lab.api.identity import Role, TokenFile
    from kodosumi_lab.runtime.run import event_log

    held = TokenFile(Path(event_log(log_dir).root) / "state")
    if revoke:
        count = held.revoke(user)
        emit({"user": user, "revoked": count}) if as_json else out().print(f"revoked {count} of {user}")
        return
    made = held.add(user, Role.named(role))
    emit({"user": user, "role": str(role), "token": made}) if as_json else out().print(made)
