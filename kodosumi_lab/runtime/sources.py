"""Where flows come from: modules, OpenAPI documents, Ray Serve's route table.

:func:`read` gives what a source holds now. It does not raise for what can be wrong with a
source (a module that fails, a service that does not answer): that is part of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kodosumi_lab.errors import FlowError, ServiceError
from kodosumi_lab.runtime import probe
from kodosumi_lab.runtime.http import client as _client
from kodosumi_lab.runtime.services import KEY_HEADER

if TYPE_CHECKING:
    import httpx

__all__ = ["Found", "client", "endpoints", "get_json", "kind_of", "read"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")
_METHODS = ("get", "post", "put", "delete", "patch", "options", "head")


@dataclass(slots=True)
class Found:
    """What a source holds.

    Attributes
    ----------
    flows
        Rows of the catalogue.
    failed
        What could not be read (the source itself, a module of a package, one of several
        services), and why.
    """

    flows: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def kind_of(source: str) -> str:
    """Kind of a source: ``module``, ``openapi`` or ``routes``.

    Raises
    ------
    FlowError
        It can be none of these.
    """
    if "://" in source:
        parts = urlsplit(source)
        if parts.username or parts.password:
            raise FlowError(f"the address of {parts.hostname} has credentials in it; give them by token=, or in a file")
        if parts.scheme in ("http", "https") and parts.hostname:
            return "routes" if parts.path.rstrip("/").endswith("/-/routes") else "openapi"
    elif _MODULE.fullmatch(source):
        return "module"
    raise FlowError(
        f"{source!r} is no source of flows; expected package.module, package.module:name, http://…/openapi.json "
        "of a service, or http://…/-/routes of Ray Serve"
    )


def read(source: str, kind: str, *, place: dict[str, Any], token: str | None, timeout_s: float) -> Found:
    """What the source holds now.

    Parameters
    ----------
    source, kind
        See :func:`kind_of`.
    place
        Where modules are imported from, see :func:`kodosumi_lab.runtime.home.place`.
    token
        Bearer token for the service.
    timeout_s
        Seconds for importing, or for each answer of a service.
    """
    if kind in ("module", "installed"):
        return Found(*probe.look(source, place, timeout_s=timeout_s))
    with client(source, token, timeout_s) as http:
        try:
            if kind == "routes":
                return _services(http, source)
            found = _service(http, source)
        except ServiceError as error:
            return Found(failed={source: error.reason})
    if not found.flows:
        found.failed[source] = "its OpenAPI document has no operation with x-kodosumi: true"
    return found


# -- services ---------------------------------------------------------------------------


def client(url: str, token: str | None, timeout_s: float) -> httpx.Client:
    """HTTP client for a service: neither the token nor what is entered in a form goes anywhere else."""
    # the second is how a service of ours that has a key wants it
    headers = {"authorization": f"Bearer {token}", KEY_HEADER: token} if token else {}
    return _client(url, headers, timeout_s)


def get_json(http: httpx.Client, url: str, **headers: str) -> Any:
    """JSON document at an address.

    Raises
    ------
    ServiceError
        No answer, an answer that is an error, or no JSON; `reason` says which.
    """
    import httpx

    try:
        answer = http.get(url, headers=headers)
        return json_of(answer)
    except httpx.TimeoutException as error:
        raise ServiceError(url, f"no answer within {http.timeout.read:g} s") from error
    except httpx.HTTPError as error:
        raise ServiceError(url, f"it cannot be reached: {error}") from error


def json_of(answer: httpx.Response) -> Any:
    """JSON value of an answer.

    Raises
    ------
    ServiceError
        It is an error, or no JSON.
    """
    url = str(answer.request.url)
    if answer.is_error:
        hint = "; it wants a token" if answer.status_code in (401, 403) else ""
        said = " ".join(answer.text.split())[:300]
        reason = f"HTTP {answer.status_code} {answer.reason_phrase}{f': {said}' if said else ''}{hint}"
        raise ServiceError(url, reason, status=answer.status_code)
    try:
        return answer.json()
    except ValueError as error:
        kind = answer.headers.get("content-type", "without a type")
        raise ServiceError(url, f"its answer is no JSON ({kind})") from error


def _service(http: httpx.Client, url: str) -> Found:
    return endpoints(get_json(http, url), url)


def endpoints(document: Any, url: str) -> Found:
    """What an OpenAPI document at `url` lists.

    Raises
    ------
    ServiceError
        It is none.
    """
    paths = document.get("paths") if isinstance(document, Mapping) else None
    if not isinstance(paths, Mapping) or "openapi" not in document:
        raise ServiceError(url, "it is no OpenAPI document")
    base = url.partition("?")[0].rpartition("/")[0]
    found = Found()
    for path, item in paths.items():
        for method in _METHODS if isinstance(item, Mapping) else ():
            operation = item.get(method)
            if isinstance(operation, Mapping) and operation.get("x-kodosumi") is True:
                found.flows.append(_endpoint(base, str(path), operation, document))
    return found


def _endpoint(base: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    url = base + path
    tags = operation.get("tags")
    info = document.get("info")
    summary = str(operation.get("summary") or "")
    title = str(info.get("title") or "") if isinstance(info, Mapping) else ""
    return {
        # the address is what is stable and unique; a summary is prose
        "name": urlsplit(url).path.strip("/") or summary or title,
        "summary": summary or title,
        "description": str(operation.get("description") or ""),
        "tags": [str(tag) for tag in tags] if isinstance(tags, list) else [],
        "author": str(operation.get("x-author") or ""),
        "organization": str(operation.get("x-organization") or ""),
        "version": str(operation.get("x-version") or ""),
        "url": url,
        "base": base,
    }


def _services(http: httpx.Client, url: str) -> Found:
    table = get_json(http, url)
    if not isinstance(table, Mapping):
        raise ServiceError(url, "it is no route table of Ray Serve: expected an object of route prefixes")
    root = url.partition("?")[0].rpartition("/-/routes")[0]
    documents = [f"{root}{str(prefix).rstrip('/')}/openapi.json" for prefix in table]
    found = Found()

    def one(document: str) -> Found:
        try:
            return _service(http, document)
        except ServiceError as error:
            return Found(failed={document: error.reason})

    with ThreadPoolExecutor(8) as pool:
        for part in pool.map(one, documents):
            found.flows += part.flows
            found.failed |= part.failed
    return found
