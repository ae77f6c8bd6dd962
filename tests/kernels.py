"""A real kernel, driven over its own protocol, as a front end does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Done:
    """What a cell gave.

    Attributes
    ----------
    id
        Of its request; outputs that arrive later carry it, too.
    status
        ``ok`` or ``error``.
    outputs
        Messages in their order.
    """

    def __init__(self, request: str) -> None:
        self.id = request
        self.status = ""
        self.outputs: list[dict[str, Any]] = []

    def text(self, *streams: str) -> str:
        """What was printed, to these streams or to all, and returned or displayed as text; tracebacks without colours."""
        parts = []
        for message in self.outputs:
            content = message["content"]
            if message["msg_type"] == "stream" and (not streams or content["name"] in streams):
                parts.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data") and not streams:
                parts.append(content["data"].get("text/plain", "") + "\n")
            elif message["msg_type"] == "error" and not streams:
                parts.append("\n".join(content["traceback"]) + "\n")
        return _ANSI.sub("", "".join(parts))

    @property
    def result(self) -> str | None:
        """Text of what the cell returned."""
        found = [m["content"]["data"]["text/plain"] for m in self.outputs if m["msg_type"] == "execute_result"]
        return found[-1] if found else None


class Kernel:
    """See the module."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self._cells: dict[str, Done] = {}

    def begin(self, code: str) -> Done:
        """Ask for a cell; :meth:`end` waits for it."""
        done = Done(self.client.execute(code, allow_stdin=False))
        self._cells[done.id] = done
        return done

    def end(self, done: Done, timeout_s: float = 120.0) -> Done:
        """Wait until the kernel is idle after a cell."""
        end = time.monotonic() + timeout_s
        while not done.status.startswith("idle"):
            self._take(max(0.1, end - time.monotonic()), done)
        reply = self.client.get_shell_msg(timeout=30)
        while reply["parent_header"].get("msg_id") != done.id:
            reply = self.client.get_shell_msg(timeout=30)
        done.status = reply["content"]["status"]
        return done

    def run(self, code: str, timeout_s: float = 120.0) -> Done:
        """Run a cell to its end."""
        return self.end(self.begin(code), timeout_s)

    def ok(self, code: str, timeout_s: float = 120.0) -> Done:
        """Run a cell that has to succeed."""
        done = self.run(code, timeout_s)
        assert done.status == "ok", done.text()
        return done

    def value(self, expression: str) -> str:
        """Text of an expression's value."""
        return str(self.ok(expression).result)

    def until(self, done: Done, words: str, timeout_s: float = 60.0) -> str:
        """Take messages until a cell's outputs have these words, also after it ended; all of its text."""
        end = time.monotonic() + timeout_s
        while words not in done.text():
            assert time.monotonic() < end, f"{words!r} has not arrived; there is:\n{done.text()}"
            self._take(1.0, None)
        return done.text()

    def complete(self, code: str) -> list[str]:
        """What may stand where ``|`` is in the code, or at its end: all of the line with each completion."""
        at = code.index("|") if "|" in code else len(code)
        text = code.replace("|", "")
        self.client.complete(text, at)
        reply = self.client.get_shell_msg(timeout=60)
        while reply["msg_type"] != "complete_reply":
            reply = self.client.get_shell_msg(timeout=60)
        content = reply["content"]
        return [
            f"{text[: content['cursor_start']]}{match}{text[content['cursor_end'] :]}" for match in content["matches"]
        ]

    def _take(self, timeout_s: float, waited: Done | None) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=timeout_s)
        except Exception as error:
            if waited is None:
                return
            raise AssertionError(f"the cell has not ended; it said:\n{waited.text()}") from error
        done = self._cells.get(message["parent_header"].get("msg_id", ""))
        if done is None:
            return
        if message["msg_type"] == "status":
            if message["content"]["execution_state"] == "idle":
                done.status = "idle"
        elif message["msg_type"] != "execute_input":
            done.outputs.append(message)


@contextmanager
def started(cwd: Path, env: dict[str, str]) -> Iterator[Kernel]:
    """A kernel with this directory and environment, until the block ends."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(cwd), env=env)
    kernel = Kernel(manager)
    try:
        yield kernel
    finally:
        kernel.client.stop_channels()
        manager.shutdown_kernel(now=True)
