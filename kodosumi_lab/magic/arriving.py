"""What a run says, under the cell that started it: its console, what it shows, its result, how it stands.

The cell has ended by then. A thread follows the run, in the context of the cell, by which
Jupyter knows where its output belongs; so several runs do not get in each other's way.
"""

from __future__ import annotations

import contextvars
import html
import signal
import sys
import threading
import time
from typing import Any

from IPython.display import display

from kodosumi_lab.errors import KodosumiLabError, RunFailed
from kodosumi_lab.events import TERMINAL, loads
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.run import Run, console_text

__all__ = ["Arriving", "Detached"]

# A person sees no more of it, and every update is a message that a notebook keeps.
_HEAD_S = 0.25
_CONSOLE = {"stdout": "stdout", "stderr": "stderr", "log": "stderr", "debug": "stderr"}


class Detached(KeyboardInterrupt):
    """Somebody interrupted the wait for a run; the run goes on."""

    def __init__(self, run: Run) -> None:
        self.run = run
        super().__init__(f"detached: run {run.id} goes on; %kodosumi cancel {run.id[-8:]} ends it")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # in place of the frames of this package


class Arriving:
    """Output of a run in a notebook.

    Parameters
    ----------
    run
        The run.
    shell
        IPython's.
    say
        Whether to show what it prints, displays and returns, too.
    """

    def __init__(self, run: Run, shell: Any, *, say: bool = True) -> None:
        self._run = run
        self._shell = shell
        self._say = say
        self._head: Any = None
        self._shown = 0.0
        self._progress: tuple[float, str] | None = None
        if hasattr(shell, "kernel"):  # what stands in a terminal cannot be changed
            self._head = display(self._now(), display_id=True)  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """Follow it in a thread; what is wrong with it stands under the cell."""
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=[self._follow_told], name="arriving", daemon=True).start()

    def wait(self) -> None:
        """Follow it here, until its end.

        Raises
        ------
        Detached
            Somebody interrupted this.
        RunFailed
            It ended without a result; the error shows the flow's own traceback.
        """
        try:
            self._follow()
            self._update(last=True)
        except KeyboardInterrupt:
            try:
                _deafen(self._shell)
            except KeyboardInterrupt:
                _deafen(self._shell)
            raise Detached(self._run) from None
        if self._run.status != "finished":
            self._run.result()

    def _follow_told(self) -> None:
        try:
            self._follow()
            self._update(last=True)
            if self._say and self._run.status != "finished":
                self._run.result()
        except RunFailed as failure:
            sys.stderr.write(f"{failure}\n")
            sys.stderr.flush()
        except KodosumiLabError as error:  # the log is gone, or the run was deleted
            sys.stderr.write(f"what run {self._run.id} says is not shown any more: {error}\n")
            sys.stderr.flush()

    def _follow(self) -> None:
        for event in self._run.follow():
            if event.kind in ("status", "progress"):
                self._stands(event)
            elif self._say and event.kind in _CONSOLE:
                stream = getattr(sys, _CONSOLE[event.kind])
                stream.write(console_text(event.kind, event.payload) + "\n")
                stream.flush()
            elif self._say and event.kind in ("result", "action", "final"):
                _show(event.value, result=event.kind == "final")

    # -- how it stands ----------------------------------------------------------------

    def _stands(self, event: Any) -> None:
        if event.kind == "progress":
            said = loads(event.payload, event.log.artifact)
            if said.get("name") is None:
                value, total = said.get("value"), said.get("total")
                if isinstance(value, int | float) and isinstance(total, int | float) and total:
                    self._progress = (min(1.0, max(0.0, value / total)), str(said.get("label") or ""))
        if time.monotonic() - self._shown > _HEAD_S:
            self._update()

    def _update(self, *, last: bool = False) -> None:
        self._shown = time.monotonic()
        if self._head is not None:
            self._head.update(self._now())
        elif last:
            display(self._now())  # type: ignore[no-untyped-call]

    def _now(self) -> _Head:
        row = self._run._row()
        parts = [f"{tables.mark(row['status'])} <b>{html.escape(row['flow'])}</b> {row['status']}"]
        told = f"{tables.mark(row['status'])} {row['flow']} {row['status']}"
        if self._progress is not None and row["status"] not in TERMINAL:
            share, label = self._progress
            bar = f'<progress value="{share:.4f}" max="1" aria-label="progress"></progress>'
            parts.append(f"{bar} {share:.0%} {html.escape(label)}")
            told += f" {share:.0%} {label}"
        elif row["reason"] and row["status"] != "error":
            parts.append(html.escape(row["reason"]))
        if self._run.duration_s is not None:
            parts.append(tables.seconds(self._run.duration_s))
        parts.append(f"<code>{self._run.id}</code>")
        return _Head(f"{told} ({self._run.id})", f'<div style="opacity:.85">{" · ".join(parts)}</div>')


class _Head:
    """How a run stood, in a line."""

    def __init__(self, text: str, page: str) -> None:
        self._text = text
        self._page = page

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": self._page}


def _show(value: Any, *, result: bool) -> None:
    if value is None and result:
        return
    if isinstance(value, str) and not result:
        sys.stdout.write(value + "\n")
        sys.stdout.flush()
    else:
        display(value)  # type: ignore[no-untyped-call]


def _deafen(shell: Any) -> None:
    """Until the next cell another interrupt, of somebody who did not see the first one count, changes nothing."""
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def restore(*_: Any) -> None:
        shell.events.unregister("pre_run_cell", restore)
        signal.signal(signal.SIGINT, usual)

    shell.events.register("pre_run_cell", restore)
