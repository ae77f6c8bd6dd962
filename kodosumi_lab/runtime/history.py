"""A run of kodosumi 1.1 in terms of this log: pure, no files, no clock.

There a run is a table of messages ``(timestamp, kind, message)``. Its kinds are ours; what a
message holds differs, and :func:`translate` says how for one of them. :class:`History` does
so for a run, in its order, with what this log asks of a run besides:

* it begins with ``meta`` and ``inputs``: they are moved to the front, or made where there are none;
* its terminal status closes it: that is moved to the end, and a run that never got one is ``lost``;
* a lease belongs to an open lock.

A message that cannot stand as what it was (a second ``meta``, a status nobody knows, a lease
without its lock) becomes a ``debug`` event with its text: nothing is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from kodosumi_lab.events import CLASS_MIME, JSON_MIME, KIND_ID, STATUSES, TERMINAL, dumps
from kodosumi_lab.runtime.wire import Row

__all__ = ["History", "Message", "bundle_of", "producer_of", "run_id_of", "translate"]

#: Seconds since 1970, where there are any, kind and text.
Message = tuple[Any, str, str]

_TEXT = frozenset({"debug", "stdout", "stderr"})
_SHOWN = {"Markdown": "text/markdown", "HTML": "text/html", "Text": "text/plain"}
_BUILTIN = frozenset({"dict", "int", "float", "bool", "list", "tuple", "set", "frozenset", "bytes", "NoneType"})
_CLASS = re.compile(r"_*[A-Z]\w*")
_SECRET = re.compile(r"(^|[_\-\s])(password|passwd|pwd|passphrase|secret|token|api[_\-]?key)$", re.IGNORECASE)
_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?", re.DOTALL)
_ERROR = re.compile(r"((?:\w+\.)*\w*(?:Error|Exception))(?:: (.*))?", re.DOTALL)
# As the writer demands: 1970 to 9999.
_LAST_US = 253_402_300_799_999_999


def run_id_of(fid: str, started_us: int) -> str:
    """Run id of an imported run: a UUIDv7 that sorts by its start and is the same at every import.

    Parameters
    ----------
    fid
        Its id there.
    started_us
        Time of its first message, in microseconds since 1970.
    """
    milliseconds, rest = divmod(started_us, 1000)
    random = int.from_bytes(hashlib.sha256(fid.encode("utf-8", "replace")).digest()[:8], "big") & (1 << 62) - 1
    # RFC 9562, section 6.2, method 3: the 12 bits after the version hold the fraction of the millisecond
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | (rest * 4096 // 1000) << 64 | 2 << 62 | random))


def producer_of(fid: str) -> int:
    """Producer of an imported run's events: always the same, so that a repeated import is recognised."""
    return int.from_bytes(hashlib.sha256(b"imported:" + fid.encode("utf-8", "replace")).digest()[:8], "big")


def microseconds(timestamp: Any) -> int | None:
    """A timestamp of the table, or None where there is none that this log can hold."""
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        return None
    if not 0 <= timestamp <= _LAST_US / 1e6:  # nor NaN
        return None
    return min(round(timestamp * 1_000_000), _LAST_US)


# -- values -----------------------------------------------------------------------------


def _json(text: str) -> Any:
    """The text's JSON value, or the text itself: half a message is still worth reading."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def bundle_of(data: Any) -> dict[str, Any]:
    """MIME bundle of a value in kodosumi's wrapping."""
    if isinstance(data, str):
        return {"text/plain": data}
    if not isinstance(data, dict) or len(data) != 1:
        return {JSON_MIME: data}
    [(name, value)] = data.items()
    if name in _SHOWN and isinstance(value, dict) and isinstance(value.get("body"), str):
        return {_SHOWN[name]: value["body"]}
    if name == "str" and isinstance(value, str):
        return {"text/plain": value}
    if name == "TypeError" and isinstance(value, str):  # there: a value without a JSON form, as its text
        return {JSON_MIME: None} if value == "None" else {"text/plain": value}
    if name == "__list__" and isinstance(value, list):
        return {JSON_MIME: [_plain(item) for item in value]}
    if name in _BUILTIN:
        return {JSON_MIME: value}
    if _CLASS.fullmatch(name):
        return {JSON_MIME: value, "text/plain": f"{name}({_shortened(value)})", CLASS_MIME: name}
    return {JSON_MIME: data}


def _shortened(value: Any) -> str:
    text = ", ".join(f"{key}={item!r}" for key, item in value.items()) if isinstance(value, dict) else repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _plain(data: Any) -> Any:
    """JSON value of an item of a list: out of its wrapping, where it has one."""
    bundle = bundle_of(data)
    return bundle[JSON_MIME] if JSON_MIME in bundle else next(iter(bundle.values()))


def _object(data: Any) -> dict[str, Any]:
    """The fields in a message that holds a dict or an object."""
    if isinstance(data, dict) and len(data) == 1:
        [(name, value)] = data.items()
        if isinstance(value, dict) and (name == "dict" or _CLASS.fullmatch(name)):
            return value
    return data if isinstance(data, dict) else {}


# -- messages ---------------------------------------------------------------------------


def translate(kind: str, text: str) -> tuple[str, str | None, str]:
    """Kind, agent and payload of one message.

    Parameters
    ----------
    kind, text
        As the table has them. ``meta`` and ``inputs`` are not for here, see :class:`History`.
    """
    if kind in _TEXT:
        return kind, None, dumps(text)
    if kind == "status":
        return (kind, None, dumps({"status": text})) if text in STATUSES else _noted(kind, text)
    if kind == "error":
        return kind, None, dumps(_error(text))
    if kind in ("result", "action", "final"):
        return kind, None, dumps(bundle_of(_json(text)))
    if kind == "agent":
        return _agent(text)
    if kind in ("lock", "lease", "upload"):
        data = _object(_json(text))
        if kind == "upload" or "lid" in data:
            return kind, None, dumps(_KEPT[kind](data))
    return _noted(kind, text)


_KEPT = {
    "lock": lambda data: {"name": data.get("name"), "data": None, "expires": None, **data, "lid": str(data["lid"])},
    "lease": lambda data: {"name": data.get("name"), "result": None, "by": None, **data, "lid": str(data["lid"])},
    "upload": lambda data: {"files": [], **data},
}


def _noted(kind: str, text: str) -> tuple[str, None, str]:
    return "debug", None, dumps(f"{kind}: {text}")


def _error(text: str) -> dict[str, Any]:
    """An error's text as type, message and traceback."""
    lines = text.rstrip().splitlines()
    traced = text.lstrip().startswith("Traceback (most recent call last)")
    last = next((line for line in reversed(lines) if line and not line.startswith(" ")), "") if traced else text.strip()
    match = (_RAISED if traced else _ERROR).fullmatch(last)
    traceback = text if traced else ""
    if match is None:
        return {"type": "Error", "module": "", "message": text.strip(), "traceback": traceback}
    module, _, name = match[1].rpartition(".")
    return {"type": name, "module": module, "message": match[2] or "", "traceback": traceback}


def _agent(text: str) -> tuple[str, str | None, str]:
    """An agent or a task of a crew; the agent's name is its role."""
    data = _json(text)
    if isinstance(data, dict) and set(data) == {"dict"}:
        data = data["dict"]
    if not isinstance(data, dict):
        return _noted("agent", text)
    about = data.get("agent")
    if isinstance(about, dict):
        name = about.get("name") or about.get("role")
        return "agent", _name(name), dumps({**data, "agent": {"name": name, **about}})
    task = data.get("task")
    return "agent", _name(task.get("agent")) if isinstance(task, dict) else None, dumps(data)


def _name(value: Any) -> str | None:
    # JSON may carry lone surrogates, Arrow's text cannot
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and value else None


def _masked(value: Any) -> Any:
    """Inputs without what its name calls a secret: there passwords were written down, here they are not."""
    if isinstance(value, dict):
        return {
            key: {"secret": True} if isinstance(item, str) and item and _SECRET.search(key) else _masked(item)
            for key, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


# -- runs -------------------------------------------------------------------------------


class History:
    """One run of kodosumi as rows of this log.

    Parameters
    ----------
    fid, user
        Its id there, and whose directory it is in.
    started_us
        Time of its first message.
    meta, inputs
        Texts of its first ``meta`` and ``inputs`` messages, or None.
    """

    def __init__(
        self,
        fid: str,
        user: str,
        started_us: int,
        meta: str | None = None,
        inputs: str | None = None,
    ) -> None:
        self.fid = fid
        self.run_id = run_id_of(fid, started_us)
        self.producer = producer_of(fid)
        self._user = user
        self._started = started_us
        self._meta = meta
        self._inputs = inputs

    def rows(self, messages: Iterable[Message]) -> Iterator[Row]:
        """The run's events, from its messages in their order."""
        yield self._started, KIND_ID["meta"], None, dumps(self._about())
        yield self._started, KIND_ID["inputs"], None, dumps(self._values())
        # of each the first is at the front already
        front = {"meta": self._meta is not None, "inputs": self._inputs is not None}
        now, status, error = self._started, "", ""
        ended: tuple[int, str] | None = None
        locks: set[str] = set()
        for timestamp, kind, text in messages:
            at = microseconds(timestamp)
            now = now if at is None else at
            if front.get(kind):
                front[kind] = False
                continue
            if kind == "status" and text in TERMINAL:
                if ended is not None:
                    yield ended[0], KIND_ID["debug"], None, dumps(f"status: {ended[1]}")
                ended = (now, text)
                continue
            row_kind, agent, payload = translate(kind, text)
            if row_kind == "status":
                status = text
            elif row_kind == "error":
                error = _reason(payload)
            elif row_kind in ("lock", "lease") and not _fits(row_kind, json.loads(payload)["lid"], locks):
                row_kind, agent, payload = _noted(kind, text)
            yield now, KIND_ID[row_kind], agent, payload
        yield self._last(now, ended, status, error)

    def _last(self, now: int, ended: tuple[int, str] | None, status: str, error: str) -> Row:
        if ended is None:
            reason = f"imported; it had not ended there (last status: {status or 'none'})"
            return now, KIND_ID["status"], None, dumps({"status": "lost", "reason": reason})
        reason = error if ended[1] == "error" else ""
        return ended[0], KIND_ID["status"], None, dumps({"status": ended[1], "reason": reason})

    def _about(self) -> dict[str, Any]:
        there = _object(_json(self._meta)) if self._meta is not None else {}
        named = there.get("entry_point")
        entrypoint = named if isinstance(named, str) else ""
        tags = there.get("tags")
        known = {"fid", "username", "entry_point", "tags", "summary", "description", "author", "version"}
        return {
            "flow": re.split(r"[.:]", entrypoint)[-1] or str(there.get("summary") or "imported"),
            "entrypoint": entrypoint,
            **{name: there.get(name) or "" for name in ("summary", "description", "author", "version")},
            "tags": tags if isinstance(tags, list) else [],
            "timeout_s": None,
            "retries": 0,
            "fresh": False,
            "options": {},
            "code": {"import": entrypoint},
            "cwd": "",
            "sys_path": [],
            "user": there.get("username") or self._user,
            "parent": None,
            "fid": self.fid,
            "imported": {"from": "kodosumi", **{key: value for key, value in there.items() if key not in known}},
        }

    def _values(self) -> dict[str, Any]:
        if self._inputs is None:
            return {}
        bundle = bundle_of(_json(self._inputs))
        value = bundle.get(JSON_MIME, bundle.get("text/plain"))
        masked = _masked({} if value is None else value)
        return masked if isinstance(masked, dict) else {"inputs": masked}


def _fits(kind: str, lid: str, locks: set[str]) -> bool:
    """Whether a lock is new, or a lease has its lock; keeps the books."""
    if (kind == "lock") == (lid in locks):
        return False
    (locks.add if kind == "lock" else locks.discard)(lid)
    return True


def _reason(payload: str) -> str:
    error = json.loads(payload)
    return f"{error['type']}: {error['message']}"[:500]
