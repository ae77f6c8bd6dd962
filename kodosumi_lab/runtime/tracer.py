"""What flow code speaks to.

Every verb takes its event at the call: the value is encoded before the call returns, so a
later change of an object cannot change history. What comes back can be awaited, which
waits only while the buffer is full; the ``_sync`` twins block the thread for that long.
So ``tracer.result(x)`` without ``await`` loses nothing either.

A tracer may be pickled into Ray tasks and actors. There it draws a producer number of its
own at the first event, and `print` and `logging` of a task that received one belong to the run.
"""

from __future__ import annotations

import contextvars
import json
import secrets
import threading
import time
import traceback
import weakref
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import LockClosed
from kodosumi_lab.events import KIND_ID, dumps, encode
from kodosumi_lab.runtime import console, home
from kodosumi_lab.runtime.stream import EventStream, Sender

if TYPE_CHECKING:
    from kodosumi_lab.runtime.fs import AsyncFileSystem, FileSystem

__all__ = ["Sent", "Span", "Tracer", "open_stream"]


class Sent(Coroutine[Any, Any, None]):
    """Answer of a verb: the event is taken; awaiting it waits for room in the buffer, if need be."""

    __slots__ = ("_inner", "_stream")

    def __init__(self, stream: EventStream | None = None) -> None:
        self._stream = stream
        self._inner: Coroutine[Any, Any, None] | None = None

    def send(self, value: Any) -> Any:
        """Run until the next wait; ends at once where there is nothing to wait for."""
        if self._stream is None:
            raise StopIteration
        if self._inner is None:
            self._inner = self._stream.await_room()
        return self._inner.send(value)

    def throw(self, *args: Any) -> Any:
        """Raise inside the wait."""
        if self._inner is not None:
            return self._inner.throw(*args)
        raise args[1] if len(args) > 1 and args[1] is not None else args[0]

    def close(self) -> None:
        """Give the wait up; the event is taken all the same."""
        if self._inner is not None:
            self._inner.close()

    def __await__(self) -> Generator[Any, None, None]:
        if self._stream is not None:
            return self._stream.await_room().__await__()
        return iter(())  # type: ignore[return-value]


_DONE = Sent()

#: How long a lock waits for a person unless the flow says something else.
LOCK_TIMEOUT_S = 10_800.0

_streams: weakref.WeakValueDictionary[tuple[str, int], EventStream] = weakref.WeakValueDictionary()
_streams_lock = threading.Lock()
_span: contextvars.ContextVar[str | None] = contextvars.ContextVar("kodosumi_span", default=None)


def open_stream(run_id: str, attempt: int, sender: Sender, **options: Any) -> EventStream:
    """This process's stream for an attempt of a run: all its tracers here share one order."""
    with _streams_lock:
        stream = _streams.get((run_id, attempt))
        if stream is None:
            stream = EventStream(run_id, attempt, sender, **options)
            _streams[run_id, attempt] = stream
        return stream


class Tracer:
    """Speaks for one attempt of one run.

    Flow code asks for it by naming a parameter ``tracer``; nobody constructs it.

    Attributes
    ----------
    run_id : str
        The run; ``fid`` is the same under kodosumi's name.
    attempt : int
        From 1.
    agent_name : str or None
        Whose events these are; None is the flow itself.
    """

    def __init__(self, run_id: str, attempt: int, sender: Sender, *, agent: str | None = None) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.agent_name = agent
        self._sender = sender
        self._stream: EventStream | None = None

    @property
    def fid(self) -> str:
        """The run's id, under kodosumi's name for it."""
        return self.run_id

    @property
    def user(self) -> str | None:
        """Who launched the run, where that is known."""
        told = getattr(self._sender, "home", {}).get("user")
        return str(told) if told else None

    def __repr__(self) -> str:
        who = f" agent={self.agent_name!r}" if self.agent_name else ""
        return f"<Tracer run={self.run_id} attempt={self.attempt}{who}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        console.adopt(self)

    @property
    def stream(self) -> EventStream:
        """This process's stream of the run."""
        if self._stream is None:
            self._stream = open_stream(self.run_id, self.attempt, self._sender)
        return self._stream

    def emit(self, kind: str, payload: str) -> Sent:
        """Take one event whose payload is encoded already; the base of every verb."""
        stream = self._stream or self.stream
        if not console.settled:
            console.adopt(self)
        if stream.put(KIND_ID[kind], payload, self.agent_name):
            return _DONE
        return Sent(stream)

    def _each(self, kind: str, payloads: list[str]) -> Sent:
        sent = _DONE
        for payload in payloads:
            sent = self.emit(kind, payload)
        return sent

    def _block(self, sent: Sent) -> None:
        if sent is not _DONE:
            self.stream.wait_room()

    # -- what people see --------------------------------------------------------------

    def result(self, *values: Any) -> Sent:
        """Deliver values, one ``result`` event each: tables, models, JSON values, anything shown."""
        if len(values) == 1:
            return self.emit("result", encode(values[0]))
        return self._each("result", [encode(value) for value in values])

    def action(self, *values: Any) -> Sent:
        """Tell of steps taken, one ``action`` event each."""
        return self._each("action", [encode(value) for value in values])

    def display(self, *objects: Any) -> Sent:
        """Show objects as Jupyter would: figures, tables, anything with ``_repr_*_``."""
        return self._each("result", [encode(value) for value in objects])

    def markdown(self, *parts: str) -> Sent:
        """Show Markdown; parts are joined by a blank line."""
        return self.emit("result", dumps({"text/markdown": "\n\n".join(parts)}))

    def html(self, *parts: str) -> Sent:
        """Show HTML; parts are joined by a newline. It is sanitised where it is shown."""
        return self.emit("result", dumps({"text/html": "\n".join(parts)}))

    def text(self, *parts: str) -> Sent:
        """Show plain text; parts are joined by a newline."""
        return self.emit("result", encode("\n".join(parts)))

    def debug(self, *messages: str) -> Sent:
        """Note for developers; messages are joined by a newline."""
        return self.emit("debug", dumps("\n".join(str(message) for message in messages)))

    def warning(self, *messages: str, exc_info: bool = False) -> Sent:
        """Warn on the run's ``stderr``; with `exc_info` the current exception's traceback follows."""
        lines = [str(message) for message in messages]
        if exc_info:
            lines.append(traceback.format_exc().rstrip())
        return self.emit("stderr", dumps("\n".join(lines)))

    def progress(
        self, value: float, total: float | None = None, label: str | None = None, *, name: str | None = None
    ) -> Sent:
        """Report progress.

        Parameters
        ----------
        value, total
            `value` of `total`; without a total, a `value` up to 1.0 is a fraction.
        label
            What is being done at the moment.
        name
            Which bar, where there are several; the run's own progress is the bar without a name.

        Examples
        --------
        >>> tracer.progress(3, 10, "reading")  # doctest: +SKIP
        """
        if total is None and isinstance(value, float) and 0.0 <= value <= 1.0:
            total = 1.0
        return self.emit("progress", dumps({"value": value, "total": total, "label": label, "name": name}))

    def metric(self, name: str, value: float, *, step: float | None = None, unit: str | None = None) -> Sent:
        """Record a number over time.

        Parameters
        ----------
        name, value
            Which quantity, and how much.
        step
            Position on the x axis; None means the event's time.
        unit
            Of `value`, for people.
        """
        return self.emit("metric", dumps({"name": name, "value": value, "step": step, "unit": unit}))

    def span(self, name: str, **attributes: Any) -> Span:
        """A named stretch of work, ``with`` or ``async with``; spans nest.

        Parameters
        ----------
        name
            What is done.
        **attributes
            Further facts, kept as JSON.
        """
        return Span(self, name, attributes)

    def agent(self, name: str, **about: Any) -> Tracer:
        """Tracer of a named agent of this flow.

        Parameters
        ----------
        name
            Its events carry this name.
        **about
            What it is (role, goal, tools …); recorded as an ``agent`` event.
        """
        child = Tracer(self.run_id, self.attempt, self._sender, agent=name)
        child._stream = self._stream
        child.emit("agent", dumps({"agent": {"name": name, **about}}))
        return child

    # -- blocking twins ---------------------------------------------------------------

    def result_sync(self, *values: Any) -> None:
        """:meth:`result`, blocking while the buffer is full."""
        self._block(self.result(*values))

    def action_sync(self, *values: Any) -> None:
        """:meth:`action`, blocking while the buffer is full."""
        self._block(self.action(*values))

    def display_sync(self, *objects: Any) -> None:
        """:meth:`display`, blocking while the buffer is full."""
        self._block(self.display(*objects))

    def markdown_sync(self, *parts: str) -> None:
        """:meth:`markdown`, blocking while the buffer is full."""
        self._block(self.markdown(*parts))

    def html_sync(self, *parts: str) -> None:
        """:meth:`html`, blocking while the buffer is full."""
        self._block(self.html(*parts))

    def text_sync(self, *parts: str) -> None:
        """:meth:`text`, blocking while the buffer is full."""
        self._block(self.text(*parts))

    def debug_sync(self, *messages: str) -> None:
        """:meth:`debug`, blocking while the buffer is full."""
        self._block(self.debug(*messages))

    def warning_sync(self, *messages: str, exc_info: bool = False) -> None:
        """:meth:`warning`, blocking while the buffer is full."""
        self._block(self.warning(*messages, exc_info=exc_info))

    def progress_sync(
        self, value: float, total: float | None = None, label: str | None = None, *, name: str | None = None
    ) -> None:
        """:meth:`progress`, blocking while the buffer is full."""
        self._block(self.progress(value, total, label, name=name))

    def metric_sync(self, name: str, value: float, *, step: float | None = None, unit: str | None = None) -> None:
        """:meth:`metric`, blocking while the buffer is full."""
        self._block(self.metric(name, value, step=step, unit=unit))

    # -- durability -------------------------------------------------------------------

    def flush(self, timeout_s: float | None = None) -> None:
        """Return when everything this process has emitted for the run is durable.

        Raises
        ------
        WaitTimeout
            It was not within `timeout_s`; delivery goes on.
        RunClosed
            The run has ended or a newer attempt has it.
        """
        console.flush()
        self.stream.flush(timeout_s)

    async def aflush(self, timeout_s: float | None = None) -> None:
        """:meth:`flush` that leaves the event loop free."""
        console.flush()
        await self.stream.aflush(timeout_s)

    # -- files ------------------------------------------------------------------------

    def fs(self) -> AsyncFileSystem:
        """The run's files: ``await tracer.fs()`` or ``async with tracer.fs() as fs``.

        ``in/`` holds what the person gave, ``out/`` what the flow delivers.
        """
        from kodosumi_lab.runtime.fs import AsyncFileSystem

        return AsyncFileSystem(self.fs_sync())

    def fs_sync(self) -> FileSystem:
        """:meth:`fs` for synchronous flows and Ray tasks."""
        from kodosumi_lab.runtime.desk import desk_at
        from kodosumi_lab.runtime.fs import FileSystem

        here = home.get()
        return FileSystem(
            self.run_id,
            lambda: desk_at(here.log_dir if here is not None else None, self._sender.files),
            lambda payload: self._block(self.emit("upload", payload)),
        )

    # -- people -----------------------------------------------------------------------

    async def lock(
        self,
        name: str,
        data: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109 - kodosumi's name for it; it is when the lock expires
        *,
        form: Any = None,
        timeout_s: float | None = LOCK_TIMEOUT_S,
    ) -> Any:
        """Wait for a person.

        Parameters
        ----------
        name
            What is asked, for the person; where the run's service declares a lock of that
            name, its handlers make the form and judge the answer.
        data
            JSON value that the question is about.
        timeout
            The same as `timeout_s`, and wins over it.
        form
            What is asked for: a :class:`kodosumi_lab.forms.Model`, or its elements as dicts.
            It is kept with the lock as it is, any front end can draw it, and an answer that
            does not fit leaves the lock open.
        timeout_s
            Give up after this time; None waits without end.

        Returns
        -------
        Any
            The answer: typed form values by name as JSON where there is a `form`, what the
            service's handler gave back, else any JSON value. None is an answer too.

        Raises
        ------
        TimeoutError
            Nobody answered in time.
        LockClosed
            The lock was closed without an answer.
        """
        import asyncio

        limit = timeout_s if timeout is None else timeout
        lid = self._open_lock(name, data, limit, form)
        await self.aflush()
        return self._answer(name, await asyncio.to_thread(self._sender.wait_lease, self.run_id, lid), limit)

    def lock_sync(
        self,
        name: str,
        data: Any = None,
        timeout: float | None = None,
        *,
        form: Any = None,
        timeout_s: float | None = LOCK_TIMEOUT_S,
    ) -> Any:
        """:meth:`lock` for synchronous flows: blocks the thread until somebody answers."""
        limit = timeout_s if timeout is None else timeout
        lid = self._open_lock(name, data, limit, form)
        self.flush()
        return self._answer(name, self._sender.wait_lease(self.run_id, lid), limit)

    def _open_lock(self, name: str, data: Any, timeout_s: float | None, form: Any) -> str:
        lid = secrets.token_hex(8)
        expires = None if timeout_s is None else time.time() + timeout_s
        asked = {} if form is None else {"form": _elements(form)}
        self.emit("lock", dumps({"lid": lid, "name": name, "data": data, "expires": expires, **asked}))
        self.emit("status", dumps({"status": "awaiting", "reason": f"waiting for an answer to {name!r}"}))
        return lid

    def _answer(self, name: str, lease: str | None, timeout_s: float | None) -> Any:
        data = json.loads(lease) if lease is not None else None
        if data is None:
            raise LockClosed(f"lock {name!r} of run {self.run_id} was closed without an answer")
        if not data.get("open_locks"):
            self.emit("status", dumps({"status": "running"}))
        if data.get("expired"):
            raise TimeoutError(f"nobody answered lock {name!r} of run {self.run_id} within {timeout_s:g} s")
        return data.get("result")


def _elements(form: Any) -> list[dict[str, Any]]:
    """A form as dicts, checked, without the values of its passwords."""
    from kodosumi_lab.forms import Model

    return Model.model_validate(form.get_model() if isinstance(form, Model) else form).without_secrets().get_model()


class Span:
    """A stretch of work in progress; see :meth:`Tracer.span`."""

    def __init__(self, tracer: Tracer, name: str, attributes: dict[str, Any]) -> None:
        self.id = secrets.token_hex(6)
        self._tracer = tracer
        self._name = name
        self._attributes = attributes
        self._token: contextvars.Token[str | None] | None = None
        self._started = 0.0

    def __enter__(self) -> Span:
        self._started = time.perf_counter()
        opened = {"id": self.id, "parent": _span.get(), "name": self._name, "state": "open", **self._attributes}
        self._tracer.emit("span", dumps(opened))
        self._token = _span.set(self.id)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._token is not None:
            _span.reset(self._token)
        closed: dict[str, Any] = {"id": self.id, "name": self._name, "state": "closed"}
        closed |= {
            "duration_s": time.perf_counter() - self._started,
            "error": repr(error) if error is not None else None,
        }
        self._tracer.emit("span", dumps(closed))

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)
