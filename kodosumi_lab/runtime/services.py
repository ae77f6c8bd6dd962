"""A lock whose form and answer a service handles: asking that service, from wherever a person is.

A run that a service launched names its service in ``meta``: ``app_url``, and under ``handlers``
the locks that the service declares. Of a service that a gateway carries, ``app_url`` is the path
at which it is mounted: it is called right here where it lives in this process, else where that
gateway itself has said that it listens (:mod:`kodosumi_lab.runtime.addresses`). A token goes
nowhere else, whatever a run says. The service appends the lease.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kodosumi_lab.errors import ClusterError, InputsError, LockClosed, ServiceError
from kodosumi_lab.runtime import addresses, http

if TYPE_CHECKING:
    import httpx

__all__ = [
    "ANONYMOUS",
    "BASE_HEADER",
    "KEY_HEADER",
    "KEY_VARIABLE",
    "LAUNCH_HEADER",
    "RUN_HEADER",
    "URL_HEADER",
    "URL_VARIABLE",
    "USER_HEADER",
    "answer_lock",
    "blocking",
    "elements_of",
    "handled",
    "here",
]

#: Headers between a gateway and a service, as kodosumi names them.
USER_HEADER = "x-kodosumi_user"
BASE_HEADER = "x-kodosumi_base"
URL_HEADER = "x-kodosumi-url"
LAUNCH_HEADER = "kodosumi_launch"
#: Id that the run should have, so that a launch whose answer is lost can be found, or be made again.
RUN_HEADER = "x-kodosumi-lab-run"
#: With this environment variable set, a service answers only requests that carry its value in the header.
KEY_VARIABLE = "KODOSUMI_LAB_SERVICE_KEY"
KEY_HEADER = "x-kodosumi-lab-key"
#: Where a service that no gateway carries is reached, when that is not where it listens.
URL_VARIABLE = "KODOSUMI_LAB_SERVICE_URL"
#: Who calls when nobody says so.
ANONYMOUS = "_annon_"

#: Services of this process by the path at which they are mounted, each with the event loop it lives on.
here: dict[str, tuple[Callable[..., Any], asyncio.AbstractEventLoop]] = {}

_TIMEOUT_S = 30.0


def handled(meta: dict[str, Any], name: str) -> bool:
    """Whether the run's service declares a handler for locks of that name."""
    return name in (meta.get("handlers") or ())


def elements_of(meta: dict[str, Any], run_id: str, lid: str, by: str, log_dir: str) -> list[dict[str, Any]]:
    """The form of a lock, as the run's service shows it.

    Parameters
    ----------
    meta
        Of the run.
    run_id, lid
        The run and its lock.
    by
        Who looks.
    log_dir
        The log that holds the run.

    Raises
    ------
    LockClosed
        It has been answered, or has expired.
    ClusterError
        The service cannot be reached, or failed.
    """
    return list(_call(meta, "GET", run_id, lid, by, log_dir).json())


def answer_lock(meta: dict[str, Any], run_id: str, lid: str, values: Any, by: str, log_dir: str) -> Any:
    """Hand form values to the run's service, whose handler turns them into the answer and closes the lock.

    Parameters
    ----------
    meta, run_id, lid, by, log_dir
        As for :func:`elements_of`.
    values
        Form values by name.

    Returns
    -------
    Any
        What the flow gets.

    Raises
    ------
    InputsError
        The service refused them; the lock stays open.
    LockClosed
        Somebody answered first, or it expired.
    ClusterError
        The service cannot be reached, or failed; the lock stays open.
    """
    found = _call(meta, "POST", run_id, lid, by, log_dir, values).json()
    if found.get("errors"):
        raise InputsError.of(found["errors"])
    return found.get("result")


def _call(
    meta: dict[str, Any], method: str, run_id: str, lid: str, by: str, log_dir: str, values: Any = None
) -> httpx.Response:
    import httpx

    told = str(meta.get("app_url") or "").rstrip("/")
    below = f"/_lock_/{run_id}/{lid}"
    body = {"json": values} if method == "POST" else {}
    try:
        if told in here:
            app, loop = here[told]
            scope = {"kodosumi_lab.user": by, "kodosumi_lab.path": told, "kodosumi_lab.log_dir": log_dir}
            answer = blocking(_inside(app, scope, method, told + below, body), loop)
        else:
            url, headers = _address(told, run_id, log_dir)
            with http.client(url, {USER_HEADER: by, **headers}, _TIMEOUT_S) as session:
                answer = session.request(method, url + below, **body)
    except (httpx.HTTPError, httpx.InvalidURL, ServiceError) as error:
        raise ClusterError(
            f"the service of run {run_id} at {told} cannot be reached ({error}); the lock stays open until it is back"
        ) from error
    if answer.status_code in (404, 409):
        said = _detail(answer)
        raise LockClosed(f"lock {lid} of run {run_id} is closed: {said.get('detail')}", said.get("by"))
    if answer.is_error:
        raise ClusterError(
            f"the service of run {run_id} at {told} answered {answer.status_code} ({_detail(answer).get('detail')}); "
            "the lock stays open"
        )
    return answer


def _address(told: str, run_id: str, log_dir: str) -> tuple[str, dict[str, str]]:
    """Where a service is called that is not in this process, and with what."""
    if "://" in log_dir:
        raise ClusterError(
            f"run {run_id} is behind the gateway {log_dir}, and a service of it handles this lock, whose form only "
            "that gateway can ask for; open the run there, or answer it with values by name"
        )
    if told.startswith("/"):
        found = addresses.find(log_dir, told)
        if found is None:
            raise ClusterError(
                f"no gateway that runs now carries the service {told} of run {run_id}; start it again with "
                "`kodosumi-lab serve`; the lock stays open until then"
            )
        url, token = found
        return url, {"authorization": f"Bearer {token}"} if token else {}
    key, own = os.environ.get(KEY_VARIABLE), os.environ.get(URL_VARIABLE)
    # the key is for the service that this environment names, or one of this machine
    known = http.is_loopback(told) or (own is not None and _origin(told) == _origin(own))
    return told, {KEY_HEADER: key} if key and known else {}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _detail(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return told if isinstance(told, dict) else {"detail": told}


async def _inside(app: Any, scope: dict[str, Any], method: str, path: str, body: dict[str, Any]) -> httpx.Response:
    import httpx

    async def known(asked: Any, receive: Any, send: Any) -> None:
        await app({**asked, **scope}, receive, send)

    transport = httpx.ASGITransport(app=known, root_path=scope["kodosumi_lab.path"], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S, base_url="http://gateway") as client:
        return await client.request(method, path, **body)


def blocking(work: Coroutine[Any, Any, httpx.Response], loop: asyncio.AbstractEventLoop) -> httpx.Response:
    """Result of a coroutine that belongs to a service's loop."""
    try:
        own = asyncio.get_running_loop() is loop
    except RuntimeError:
        own = False
    if not own:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_TIMEOUT_S)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # that loop waits for this call, so another one does it
        return pool.submit(asyncio.run, work).result()
