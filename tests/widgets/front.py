"""A front end without a browser: a real kernel, and messages as JupyterLab sends them."""

from __future__ import annotations

import itertools
import json
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

_ids = itertools.count(1000)


@dataclass
class Answer:
    """What came for a request so far."""

    pieces: list[bytes] = field(default_factory=list)
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    times: list[float] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> Any:
        return json.loads(self.body)


class FrontEnd:
    """What a page does over the kernel's channels.

    Attributes
    ----------
    answers
        By request id.
    said
        What cells printed.
    """

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.answers: dict[Any, Answer] = {}
        self.waits: list[Any] = []
        self.opened: dict[str, dict[str, Any]] = {}
        self.closed: list[str] = []
        self.said = ""
        self.errors: list[str] = []
        self.idle: set[str] = set()
        self.subshell: str | None = None

    # -- the kernel's side ----------------------------------------------------------------

    def pump(self, timeout_s: float = 0.2) -> bool:
        """Take one message; whether there was one."""
        try:
            message = self.client.get_iopub_msg(timeout=timeout_s)
        except queue.Empty:
            return False
        content, kind = message["content"], message["msg_type"]
        if kind == "comm_open":
            self.opened[content["comm_id"]] = content["data"]["state"]
        elif kind == "comm_close":
            self.closed.append(content["comm_id"])
        elif kind == "comm_msg" and content["data"].get("method") == "custom":
            self._custom(content["data"]["content"], message["buffers"])
        elif kind == "stream":
            self.said += content["text"]
        elif kind == "error":
            self.errors.append("\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle.add(message["parent_header"].get("msg_id"))
        return True

    def _custom(self, content: dict[str, Any], buffers: list[Any]) -> None:
        if content["t"] == "wait":
            self.waits.append(content["id"])
        if content["t"] != "reply":
            return
        answer = self.answers.setdefault(content["id"], Answer())
        assert not answer.ended, "a message after the last one"
        assert len(buffers) == 1
        answer.pieces.append(bytes(buffers[0]))
        answer.times.append(time.monotonic())
        if answer.status is None:
            answer.status, answer.headers = content["status"], content["headers"]
        answer.ended = not content["more"]

    def until(self, check: Any, timeout_s: float = 30.0) -> Any:
        """Take messages until something is true."""
        end = time.monotonic() + timeout_s
        while not (found := check()):
            assert not self.errors, self.errors[0]
            assert time.monotonic() < end, f"not within {timeout_s} s; {self.said}"
            self.pump()
        return found

    # -- cells ----------------------------------------------------------------------------

    def start(self, code: str) -> str:
        """Run a cell; returns at once."""
        return str(self.client.execute(code))

    def run(self, code: str, timeout_s: float = 60.0) -> str:
        """Run a cell to its end; what it printed."""
        self.said = ""
        cell = self.start(code)
        self.until(lambda: cell in self.idle, timeout_s)
        return self.said.strip()

    # -- a widget -------------------------------------------------------------------------

    def widget(self, code: str) -> str:
        """Run a cell that makes a widget ``w``; its comm."""
        return self.run(f"{code}\nprint(w.model_id)")

    def send(self, comm: str, data: dict[str, Any], buffers: Any = ()) -> None:
        """A message over a comm, to the subshell that the page has asked for, if it has."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        message["buffers"] = list(buffers)
        self.client.shell_channel.send(message)

    def ask(self, comm: str, method: str, path: str, body: Any = None, *, key: Any = None, **headers: str) -> Any:
        """Send a request; its id."""
        key = next(_ids) if key is None else key
        self.answers[key] = Answer()
        binary = isinstance(body, bytes)
        content = {"t": "request", "id": key, "method": method, "path": path, "headers": headers}
        if body is not None and not binary:
            content["body"] = body
        self.send(comm, {"method": "custom", "content": content}, [body] if binary else [])
        return key

    def abort(self, comm: str, key: Any) -> None:
        """Nobody wants the answer any more."""
        self.send(comm, {"method": "custom", "content": {"t": "abort", "id": key}})

    def get(self, comm: str, path: str, timeout_s: float = 30.0) -> Answer:
        """The whole answer to a GET."""
        key = self.ask(comm, "GET", path)
        self.until(lambda: self.answers[key].ended, timeout_s)
        return self.answers[key]

    def post(self, comm: str, path: str, body: Any) -> Answer:
        """The whole answer to a POST of JSON."""
        key = self.ask(comm, "POST", path, body, **{"content-type": "application/json"})
        self.until(lambda: self.answers[key].ended)
        return self.answers[key]

    def use_subshell(self) -> None:
        """Send what follows to a subshell, as JupyterLab does with all widgets'."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        self.subshell = self.client.get_control_msg(timeout=10)["content"]["subshell_id"]


def frames(data: bytes) -> Iterator[bytes]:
    """Whole frames of a stream."""
    while len(data) >= 4 and len(data) - 4 >= (size := int.from_bytes(data[:4], "little")):
        yield data[4 : 4 + size]
        data = data[4 + size :]
