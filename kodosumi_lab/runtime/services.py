"""A lock whose form and answer a service handles: asking that service, from wherever a person is.

A run that a service launched names its service in ``meta``: ``app_url``, and under ``handlers``
the locks that the service declares. Where the service lives in this process (mounted on the
gateway) it is called right here, else over HTTP. The service appends the lease.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kodosumi_lab.errors import ClusterError, InputsError, LockClosed

if TYPE_CHECKING:
    import httpx

__all__ = [
    "ANONYMOUS",
    "BASE_HEADER",
    "LAUNCH_HEADER",
    "URL_HEADER",
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
#: Who calls when nobody says so.
ANONYMOUS = "_annon_"

#: Services of this process by the path at which they are mounted, each with the event loop it lives on.
here: dict[str, tuple[Callable[..., Any], asyncio.AbstractEventLoop]] = {}

_TIMEOUT_S = 30.0


def handled(meta: dict[str, Any], name: str) -> bool:
    """Whether the run's service declares a handler for locks of that name."""
    return name in (meta.get("handlers") or ())


def elements_of(meta: dict[str, Any], run_id: str, lid: str, by: str) -> list[dict[str, Any]]:
    """The form of a lock, as the run's service shows it.

    Parameters
    ----------
    meta
        Of the run.
    run_id, lid
        The run and its lock.
    by
        Who looks.

    Raises
    ------
    LockClosed
        It has been answered, or has expired.
    ClusterError
        The service cannot be reached, or failed.
    """
    answer = _call(meta, "GET", run_id, lid, by, None)
    return list(answer.json())


def answer_lock(meta: dict[str, Any], run_id: str, lid: str, values: Any, by: str) -> Any:
    """Hand form values to the run's service, whose handler turns them into the answer and closes the lock.

    Parameters
    ----------
    meta, run_id, lid, by
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
    found = _call(meta, "POST", run_id, lid, by, values).json()
    if found.get("errors"):
        raise InputsError.of(found["errors"])
    return found.get("result")


def _call(meta: dict[str, Any], method: str, run_id: str, lid: str, by: str, values: Any) -> httpx.Response:
    import httpx

    url = str(meta.get("app_url") or "").rstrip("/")
    path = urlsplit(url).path
    target = f"{url}/_lock_/{run_id}/{lid}"
    headers = {USER_HEADER: by}
    body = {"json": values} if method == "POST" else {}
    try:
        if path in here:
            app, loop = here[path]
            answer = blocking(_inside(app, path, method, target, headers, body), loop)
        else:
            answer = httpx.request(method, target, headers=headers | _token(meta), timeout=_TIMEOUT_S, **body)
    except httpx.HTTPError as error:
        raise ClusterError(
            f"the service of run {run_id} at {url} cannot be reached ({error}); the lock stays open until it is back"
        ) from error
    if answer.status_code in (404, 409):
        told = _detail(answer)
        raise LockClosed(f"lock {lid} of run {run_id} is closed: {told.get('detail')}", told.get("by"))
    if answer.is_error:
        raise ClusterError(
            f"the service of run {run_id} at {url} answered {answer.status_code} ({_detail(answer).get('detail')}); "
            "the lock stays open"
        )
    return answer


def _detail(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return told if isinstance(told, dict) else {"detail": told}


async def _inside(
    app: Any, path: str, method: str, url: str, headers: dict[str, str], body: dict[str, Any]
) -> httpx.Response:
    import httpx

    transport = httpx.ASGITransport(app=app, root_path=path, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
        return await client.request(method, url, headers=headers, **body)


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


def _token(meta: dict[str, Any]) -> dict[str, str]:
    """What lets this machine's person in at a service that the gateway of the same log carries."""
    place = meta.get("gateway_token")
    try:
        return {"authorization": f"Bearer {Path(place).read_text().strip()}"} if place else {}
    except OSError:
        return {}
