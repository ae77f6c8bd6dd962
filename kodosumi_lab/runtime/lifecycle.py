"""A run's state as a function of its events: pure, no files, no clock, no Ray.

The Spooler folds events as it commits them, recovery folds the tail of the last segment,
readers fold the hot tail, sealing folds a segment into its index rows: all with
:func:`fold`, so none of them can disagree. :func:`refusal` is the other half of the
contract: which event a run in a given state may still receive.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kodosumi_lab.events import STATUSES, TERMINAL

__all__ = ["CONTROL", "TAKEN", "TRAILING", "RunState", "control_payload", "fold_event", "refusal"]

#: Kinds that change a run's state one by one; of ``progress`` only the last of a batch counts.
CONTROL = frozenset({"meta", "status", "error", "final", "lock", "lease"})

#: How the reason of a ``starting`` run begins that has left the queue, though no Runner carries it yet.
TAKEN = ("waiting for Ray", "waiting for its process", r"attempt \d+ ended")

#: Kinds that Ray tasks of a run may still add for a while after it has ended.
TRAILING = frozenset(
    {"debug", "stdout", "stderr", "action", "result", "metric", "span", "log", "agent", "progress", "upload"}
)

_PREVIEW = 200


@dataclass(slots=True)
class RunState:
    """What is known of a run after its events so far. Times are microseconds since 1970, UTC."""

    run_id: str
    flow: str = ""
    entrypoint: str = ""
    summary: str = ""
    tags: list[str] = field(default_factory=list)
    author: str = ""
    version: str = ""
    user: str = ""
    parent: str | None = None
    cell: str | None = None
    hidden: bool = False
    timeout_s: float | None = None
    retries: int = 0

    status: str = "starting"
    reason: str = ""
    attempt: int = 1
    runner: str | None = None
    cancelling: str | None = None

    started: int = 0
    running: int | None = None
    ended: int | None = None
    changed: int = 0
    active: int = 0
    active_since: int | None = None
    last_ts: int = 0

    seq: int = 0
    nbytes: int = 0
    progress: float | None = None
    progress_text: str = ""
    result: str = ""
    error: str = ""
    locks: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Locks of this attempt that are closed: who, when, whether they expired.
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: ``"attempt:producer"`` to that producer's last count.
    producers: dict[str, int] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether a terminal status has been recorded."""
        return self.status in TERMINAL

    def active_us(self, now: int) -> int:
        """Time in status ``running`` until `now`, without the time awaiting a person or a child run."""
        return self.active + (max(0, now - self.active_since) if self.active_since is not None else 0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, for checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunState:
        """Inverse of :meth:`to_dict`; keys of a later version are left out."""
        known = cls.__dataclass_fields__
        return cls(**{key: value for key, value in data.items() if key in known})

    def copy(self) -> RunState:
        """Independent copy."""
        return replace(
            self,
            tags=list(self.tags),
            locks=dict(self.locks),
            answers=dict(self.answers),
            producers=dict(self.producers),
        )


def refusal(state: RunState, kind: str, attempt: int, payload: dict[str, Any] | None) -> str | None:
    """Why an event may not be appended to a run in this state.

    Parameters
    ----------
    state
        The run before the event.
    kind, attempt
        Of the event.
    payload
        Decoded payload for the kinds of :data:`CONTROL`, else None.

    Returns
    -------
    str or None
        The reason in words, or None when the event is welcome.
    """
    data = payload or {}
    if kind == "meta" and state.seq > 0:
        return "the run exists already"
    if kind == "status" and data.get("status") == "starting" and attempt == state.attempt + 1 and not state.closed:
        return None  # the Dispatcher opens the next attempt
    if attempt != state.attempt:
        return f"attempt {attempt} is over, attempt {state.attempt} has the run"
    if state.closed:
        return None if kind in TRAILING else f"the run has ended as {state.status}"
    if kind == "status":
        runner = data.get("runner")
        if data.get("status", state.status) not in STATUSES:
            return f"there is no status {str(data['status'])[:80]!r}; there are: {', '.join(STATUSES)}"
        if data.get("status") == "running" and state.runner is not None and runner not in (None, state.runner):
            return f"the run belongs to Runner {state.runner}, not {runner}"
    if kind == "lease":
        lid = str(data.get("lid"))
        if lid not in state.locks:
            return f"lock {lid} is not open"
    return None


def control_payload(text: str) -> dict[str, Any]:
    """Decoded payload of an event that :func:`fold_event` takes.

    Raises
    ------
    ValueError
        It is no JSON object.
    """
    try:
        payload = json.loads(text)
    except RecursionError:  # a result nested too deep for this stack: there is no preview of it
        return {}
    if not isinstance(payload, dict):
        raise ValueError(  # noqa: TRY004 - what the writer refuses a batch for
            f"payload is no JSON object: {text[:80]!r}"
        )
    return payload


def fold_event(state: RunState, kind: str, attempt: int, ts: int, payload: dict[str, Any]) -> None:
    """Apply one event of :data:`CONTROL` or ``progress`` to the state, in place.

    Total: any JSON object folds without an error into a state that can be kept as
    Arrow, since one run's odd payload must not stop the log for all.
    """
    match kind:
        case "meta":
            _meta(state, ts, payload)
        case "status":
            _status(state, attempt, ts, payload)
        case "progress":
            _progress(state, payload)
        case "final":
            state.result = _preview(payload)
        case "error":
            state.error = _text(f"{payload.get('type', 'Error')}: {payload.get('message', '')}")
        case "lock":
            name = payload.get("name")
            state.locks[str(payload.get("lid"))] = {
                "name": None if name is None else _text(name, None),
                "ts": ts,
                "expires": _number(payload.get("expires")),
            }
        case "lease":
            lid = str(payload.get("lid"))
            state.locks.pop(lid, None)
            kept: dict[str, Any] = {
                key: _text(payload[key], None) for key in ("by", "token") if payload.get(key) is not None
            }
            kept |= {key: True for key in ("expired", "masked") if payload.get(key)}
            # as text: the state is kept at every segment's beginning, whatever the depth of an answer
            state.answers[lid] = {**kept, "result": json.dumps(payload.get("result")), "ts": ts}


def _meta(state: RunState, ts: int, data: dict[str, Any]) -> None:
    state.started = ts
    for name in ("flow", "entrypoint", "summary", "author", "version", "user"):
        setattr(state, name, _text(data.get(name) or "", None))
    tags = data.get("tags")
    state.tags = [_text(tag, None) for tag in tags] if isinstance(tags, list) else []
    state.parent = _text(data["parent"], None) if data.get("parent") else None
    there = data.get("notebook")
    state.cell = _text(there["cell"], None) if isinstance(there, dict) and there.get("cell") else None
    state.hidden = bool(data.get("hidden"))
    state.timeout_s = _number(data.get("timeout_s"))
    state.retries = int(_number(data.get("retries")) or 0)


def _status(state: RunState, attempt: int, ts: int, data: dict[str, Any]) -> None:
    new = _text(data.get("status", state.status), None)
    if state.active_since is not None and new != "running":
        state.active += max(0, ts - state.active_since)
        state.active_since = None
    if attempt > state.attempt:
        state.attempt = attempt
        state.runner = None
        state.progress, state.progress_text, state.result, state.error = None, "", "", ""
        state.locks.clear()
        state.answers.clear()
        state.active = 0  # timeout_s is per attempt
    if "runner" in data:
        state.runner = _text(data["runner"], None) if data["runner"] is not None else None
    if data.get("cancelling"):
        state.cancelling = _text(data["cancelling"], None)
    state.reason = _text(data.get("reason") or "", None)
    if new != state.status:
        state.changed = ts
    state.status = new
    if new == "running":
        if state.active_since is None:
            state.active_since = ts
        if state.running is None:
            state.running = ts
    elif new in TERMINAL:
        state.ended = ts
        state.locks.clear()
        state.answers.clear()


#: In the JSON text of a ``progress`` event that moves a bar of its own, not the run's.
NAMED_BAR = '"name":"'


def _progress(state: RunState, data: dict[str, Any]) -> None:
    value, total = _number(data.get("value")), _number(data.get("total"))
    if value is not None:
        state.progress = min(1.0, max(0.0, value / total)) if total else None
    state.progress_text = _text(data.get("label") or "")


def _preview(bundle: dict[str, Any]) -> str:
    artifact = bundle.get("artifact")
    if isinstance(artifact, dict):
        return f"({int(_number(artifact.get('nbytes')) or 0):,} bytes)"
    for mime in ("text/plain", "text/markdown"):
        if mime in bundle:
            return _text(bundle[mime])
    if "application/json" in bundle:
        return _text(json.dumps(bundle["application/json"], ensure_ascii=False))
    return _text(f"({', '.join(bundle)})")


def _text(value: Any, limit: int | None = _PREVIEW) -> str:
    """Text that Arrow can hold: JSON may carry lone surrogates, UTF-8 cannot."""
    text = str(value)[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _number(value: Any) -> float | None:
    """A finite number, or None for anything else that JSON may hold in its place."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond what a float can hold
        return None
