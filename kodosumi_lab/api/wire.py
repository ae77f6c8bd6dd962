"""What the two clients share: errors of a gateway's problems, rows, server-sent events."""

from __future__ import annotations

import datetime
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from kodosumi_lab.errors import (
    AccessDenied,
    ApiError,
    ClusterError,
    FileNameError,
    FileTooLarge,
    FlowError,
    FlowNotFound,
    InputsError,
    KodosumiLabError,
    LockClosed,
    LogError,
    RunClosed,
    RunNotFound,
    RunOpen,
    UploadError,
    UploadNotFound,
)
from kodosumi_lab.events import dumps
from kodosumi_lab.runtime.follow import Event
from kodosumi_lab.runtime.query import EVENTS

__all__ = [
    "API",
    "ARROW",
    "FLOWS",
    "Messages",
    "backoff",
    "body_of",
    "check",
    "frame_of",
    "headers_for",
    "lock_of",
    "one_lock",
    "query_of",
    "row_of",
    "unreachable",
]

API = "/api/v1"
ARROW = "application/vnd.apache.arrow.stream"
#: Columns of the list of flows.
FLOWS = {
    **dict.fromkeys(("name", "summary", "description"), pl.String()),
    "tags": pl.List(pl.String()),
    **dict.fromkeys(
        ("author", "organization", "version", "entrypoint", "url", "source", "kind", "state", "reason"), pl.String()
    ),
}
_TYPE = "urn:kodosumi-lab:problem:"
_SIMPLE: dict[str, type[KodosumiLabError]] = {
    "flow-not-found": FlowNotFound,
    "flow": FlowError,
    "run-not-found": RunNotFound,
    "run-closed": RunClosed,
    "run-open": RunOpen,
    "cluster": ClusterError,
    "log": LogError,
    "file-name": FileNameError,
    "file-too-large": FileTooLarge,
    "upload-not-found": UploadNotFound,
}


def headers_for(token: str | None, token_file: str | Path | None) -> dict[str, str]:
    """Headers of every request."""
    if token is None and token_file is not None:
        token = Path(token_file).read_text().strip()
    return {"authorization": f"Bearer {token}"} if token else {}


def check(answer: httpx.Response) -> httpx.Response:
    """The answer, or the error that its problem stands for: the one that the same call would raise at the head."""
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        kind = str(problem["type"]).removeprefix(_TYPE)
    except (ValueError, KeyError, TypeError):
        text = " ".join(answer.text.split())[:200]
        raise ApiError(f"{answer.url} answered {answer.status_code}: {text}", answer.status_code) from None
    detail = str(problem.get("detail", ""))
    if kind == "inputs":
        raise InputsError.of(problem["errors"], flow=problem.get("flow"))
    if kind == "lock-closed":
        raise LockClosed(detail, problem.get("by"))
    if kind == "upload":
        raise UploadError(detail, problem.get("missing"))
    if kind == "file-not-found":
        raise FileNotFoundError(errno.ENOENT, detail)
    if kind in _SIMPLE:
        raise _SIMPLE[kind](detail)
    if answer.status_code in (401, 403):
        raise AccessDenied(detail, answer.status_code, problem)
    raise ApiError(detail, answer.status_code, problem)


def body_of(inputs: dict[str, Any], batches: list[str] | None = None) -> str:
    """Inputs as the body of a launch: what the log masks is sent, once, as it is."""
    return json.dumps({"inputs": inputs, **({"batches": batches} if batches else {})}, default=_revealed)


def _revealed(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        secret = value.get_secret_value()
        return secret.decode() if isinstance(secret, bytes) else secret
    if hasattr(type(value), "model_fields"):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return json.loads(dumps(value))


def unreachable(url: Any, error: httpx.HTTPError) -> ApiError:
    """What to raise where nothing answers."""
    return ApiError(f"the gateway at {url} does not answer: {type(error).__name__}: {error}", 0)


def backoff(tries: int) -> float:
    """Seconds before the next try."""
    return float(min(5.0, 0.1 * 2**tries))


def row_of(data: dict[str, Any]) -> dict[str, Any]:
    """A run as the gateway tells it, as a row of the log's index."""
    row = dict(data)
    for name in ("started", "running", "ended", "updated"):
        row[name] = _time(row[name])
    row["locks"] = [{**lock, "ts": _time(lock["ts"]), "expires": _time(lock["expires"])} for lock in row["locks"]]
    return {"runner": None, **row}


def _time(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def frame_of(answer: httpx.Response) -> pl.DataFrame:
    """Events of an Arrow stream."""
    return pl.read_ipc_stream(answer.content).select(EVENTS.names()).cast(EVENTS)


def query_of(filters: dict[str, Any]) -> dict[str, Any]:
    """Query parameters; None means "whatever"."""
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime | datetime.date) else value
        for name, value in filters.items()
        if value is not None
    }


def lock_of(answer: httpx.Response) -> dict[str, Any]:
    """A lock as :meth:`kodosumi_lab.Run.lock` tells it.

    Raises
    ------
    LockClosed
        It was answered meanwhile.
    """
    said = answer.json()
    if not said["open"]:
        by = (said["lease"] or {}).get("by")
        raise LockClosed(f"lock {said['lid']} is closed: {f'{by} answered it first' if by else 'it is over'}", by)
    return {key: said.get(key) for key in ("lid", "name", "data", "expires", "form")}


def one_lock(run_id: str, locks: list[dict[str, Any]], wanted: str | None) -> str:
    """Id of the open lock that is meant.

    Raises
    ------
    LookupError
        No such lock, or several.
    """
    found = [item for item in locks if wanted in (None, item["lid"], item["name"])]
    if len(found) != 1:
        names = ", ".join(f"{item['name']} ({item['lid']})" for item in locks) or "none"
        raise LookupError(f"run {run_id} has {len(found)} locks for {wanted!r}; open are: {names}")
    return str(found[0]["lid"])


class Messages:
    """Lines of a stream of server-sent events, as events of a run.

    Attributes
    ----------
    last
        ``seq`` of the last one: where the next connection goes on.
    ended
        Whether the run has; nothing comes any more.
    """

    def __init__(self, run_id: str, after: int, log: Any) -> None:
        self.last = after
        self.ended = False
        self._run_id, self._log = run_id, log
        self._kind = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Iterator[Event]:
        """Take one line; an event, when it was its last."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "data":
                self._data.append(value)
            return
        kind, data = self._kind, "\n".join(self._data)
        self._kind, self._data = "", []
        if kind == "end":
            self.ended = True
        elif data:
            item = json.loads(data)
            self.last = item["seq"]
            ts = datetime.datetime.fromisoformat(item["ts"])
            payload = dumps(item["payload"])
            yield Event(
                self._run_id, item["seq"], ts, item["kind"], item["agent"], payload, item["attempt"], self._log
            )  # fmt: skip

    def broken(self) -> None:
        """The connection ended: half a message is no message."""
        self._kind, self._data = "", []
