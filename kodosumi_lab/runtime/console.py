"""``print`` and ``logging`` of a run, and of that run only.

``sys.stdout``, ``sys.stderr`` and a handler on the root logger ask, at each write, whose
code is writing: the run of the current context (a Runner's flow and what it awaits), else,
in a Runner, the one run of the process (threads that the flow started), else nobody: then
the text goes where it always went. In a Ray worker the answer holds only for the Ray task
in which the tracer was used, so the worker's next task is not mistaken for it.
"""

from __future__ import annotations

import contextvars
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from kodosumi_lab.errors import KodosumiLabError
from kodosumi_lab.events import dumps

if TYPE_CHECKING:
    from kodosumi_lab.runtime.tracer import Tracer

__all__ = ["adopt", "capture", "current", "flush", "no_task", "task_of"]

# A line that never ends is cut into events of this many characters.
_LINE_LIMIT = 65_536

_here: contextvars.ContextVar[tuple[Tracer, str | None] | None] = contextvars.ContextVar("kodosumi_run", default=None)
_process: Tracer | None = None
_lock = threading.Lock()


def no_task() -> str | None:
    """The current Ray task, in a process that runs none."""
    return None


#: Names the Ray task that is running in this context; set by the modules that know Ray.
task_of: Callable[[], str | None] = no_task


#: Whether it is known whose process this is, so that emitting need not ask: a Runner during a run.
settled = False


def current() -> Tracer | None:
    """Tracer of the run whose code is running, or None."""
    entry = _here.get()
    if entry is not None:
        tracer, task = entry
        if task is None or task == task_of():
            return tracer
    return _process


class _Router(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, kind: str, original: IO[str]) -> None:
        self._kind = kind
        self.original = original
        self._partial: dict[tuple[str, int], tuple[Tracer, str]] = {}

    def write(self, text: str) -> int:
        tracer = current()
        if tracer is None:
            return self.original.write(text)
        key = (tracer.run_id, threading.get_ident())
        _, before = self._partial.pop(key, (None, ""))
        whole, newline, rest = (before + text).rpartition("\n")
        if newline:
            self._emit(tracer, whole)
        while len(rest) > _LINE_LIMIT:
            self._emit(tracer, rest[:_LINE_LIMIT])
            rest = rest[_LINE_LIMIT:]
        if rest:
            self._partial[key] = (tracer, rest)
        return len(text)

    def _emit(self, tracer: Tracer, text: str) -> None:
        try:
            sent = tracer.emit(self._kind, dumps(text))
            tracer._block(sent)
        except KodosumiLabError:  # the run is closed: text printed after its end goes where it always went
            self.original.write(text + "\n")

    def flush(self) -> None:
        tracer = current()
        if tracer is None:
            self.original.flush()
            return
        _, rest = self._partial.pop((tracer.run_id, threading.get_ident()), (None, ""))
        if rest:
            self._emit(tracer, rest)

    def drain(self) -> None:
        """Emit every unfinished line."""
        for key in list(self._partial):
            tracer, rest = self._partial.pop(key)
            self._emit(tracer, rest)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.original, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> Any:
        return getattr(self.original, "buffer")  # noqa: B009 - only real consoles have one


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tracer = current()
        if tracer is None or record.name.partition(".")[0] in ("ray", "kodosumi_lab"):
            return
        data: dict[str, Any] = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            data["traceback"] = logging.Formatter().formatException(record.exc_info)
        data["where"] = f"{record.pathname}:{record.lineno}"
        try:
            tracer._block(tracer.emit("log", dumps(data)))
        except KodosumiLabError:
            return


_handler = _LogHandler(logging.INFO)


def _install() -> None:
    with _lock:
        if not isinstance(sys.stdout, _Router):
            sys.stdout = _Router("stdout", sys.stdout)
        if not isinstance(sys.stderr, _Router):
            sys.stderr = _Router("stderr", sys.stderr)
        if _handler not in logging.root.handlers:
            logging.root.addHandler(_handler)


def _uninstall() -> None:
    with _lock:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Router):
                stream.drain()
                setattr(sys, name, stream.original)
        logging.root.removeHandler(_handler)


def flush() -> None:
    """Emit unfinished lines of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Router):
            stream.drain()


@contextmanager
def capture(tracer: Tracer) -> Iterator[None]:
    """Inside a Runner: everything this process writes belongs to one run, until the block ends.

    ``sys.stdout``, ``sys.stderr`` and the root logger are as before afterwards. The root
    logger lets INFO pass meanwhile, unless somebody set its level.
    """
    global _process, settled
    token = _here.set((tracer, None))
    level = logging.root.level
    if level == logging.WARNING:
        logging.root.setLevel(logging.INFO)
    _process = tracer
    settled = True
    _install()
    try:
        yield
    finally:
        _uninstall()
        _process = None
        settled = False
        if logging.root.level == logging.INFO:
            logging.root.setLevel(level)
        _here.reset(token)


def adopt(tracer: Tracer) -> None:
    """In a Ray task that uses a tracer: what the task writes from now on belongs to the run."""
    if _process is not None:
        return
    task = task_of()
    if task is not None and _here.get() != (tracer, task):
        _here.set((tracer, task))
        _install()
