"""``TracerMock``: run a flow by hand, without a cluster; what it says is printed.

``asyncio.run(execute(inputs={…}, tracer=TracerMock()))`` does what a run would do, in this
process. Locks are asked at the terminal.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kodosumi_lab.events import decode
from kodosumi_lab.runtime.launch import new_id
from kodosumi_lab.runtime.stream import Sender
from kodosumi_lab.runtime.tracer import Sent, Tracer

__all__ = ["TracerMock"]


class TracerMock(Tracer):
    """A tracer that prints.

    Parameters
    ----------
    answers
        What locks are answered with, by name; others are asked at the terminal, as JSON or text.
    """

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        super().__init__(new_id(), 1, Sender())
        self._answers = answers or {}

    def agent(self, name: str, **about: Any) -> Tracer:
        """Tracer of a named agent; it prints too."""
        child = TracerMock(self._answers)
        child.run_id, child.agent_name = self.run_id, name
        return child

    def emit(self, kind: str, payload: str) -> Sent:
        """Print one event."""
        value = decode(payload)
        who = f" {self.agent_name}" if self.agent_name else ""
        text = value if isinstance(value, str) else str(value)
        print(f"[{kind}{who}] {text}", file=sys.stderr if kind == "stderr" else sys.stdout)
        return Sent()

    def flush(self, timeout_s: float | None = None) -> None:
        """Do nothing: what was printed is printed."""

    async def aflush(self, timeout_s: float | None = None) -> None:
        """Do nothing."""

    async def lock(self, name: str, data: Any = None, timeout: float | None = None, **options: Any) -> Any:  # noqa: ASYNC109
        """Ask at the terminal."""
        import asyncio

        return await asyncio.to_thread(self.lock_sync, name, data, timeout, **options)

    def lock_sync(self, name: str, data: Any = None, timeout: float | None = None, **options: Any) -> Any:
        """Ask at the terminal."""
        self._open_lock(name, data, None, options.get("form"))
        if name in self._answers:
            return self._answers[name]
        text = input(f"answer to {name!r} (JSON, or text): ")
        try:
            return json.loads(text)
        except ValueError:
            return text
