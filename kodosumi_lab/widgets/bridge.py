"""The gateway inside this process, for widgets: requests over a comm instead of over HTTP.

::

    browser                         any thread of the kernel       the bridge's thread
    {t: "request", id, …} ─► Channel.take: hand off at once ─► the gateway's application
    {t: "reply", id, …, more} ◄──────────────────────────────── in pieces, as they come

The application is the one that serves HTTP, so a view cannot tell the difference. Whoever runs
code in this kernel is the person whose kernel it is: requests are theirs, with every right that
the log's files and the cluster give them anyway.

Messages from the browser: ``{t: "request", id, method, path, headers, body}`` with a binary
buffer as its body where there is one (``base64`` where the host has no buffers), and
``{t: "abort", id}``. To it: ``{t: "reply", id, status, headers, more}`` with one buffer, and
``{t: "wait", id}`` while an answer takes its time.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

__all__ = ["Channel", "Post"]

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
App = Callable[
    [dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
#: How a message goes to the browser: content and buffers.
Post = Callable[[dict[str, Any], list[bytes]], None]

# A message is held whole by everything it passes through.
_PIECE_BYTES = 2**20
# What comes within this time goes along; a front end drops what exceeds about a thousand messages a second.
_GATHER_S = 0.002
# A large answer leaves no faster than a websocket takes it: what waits there is memory of this process.
_BYTES_PER_S = 25 * 2**20
# The browser gives a kernel up that says nothing for 30 s.
_WAIT_S = 10.0
# Pages that were reloaded cannot say goodbye to what they followed: of one path the oldest ends.
_STREAMS = 8
# A process that ends waits so long for what goes on.
_END_S = 5.0
# Ids that an outbox, which repeats itself, was seen to hold.
_SEEN = 1000


# -- one thread for all -----------------------------------------------------------------


class _Bridge:
    """The thread with an event loop, and an application for each log; started by the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._apps: dict[str, asyncio.Task[App]] = {}
        self._open = contextlib.AsyncExitStack()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have the loop call something; returns at once, from any thread."""
        with self._lock:
            if self._loop is None:
                self._start()
            assert self._loop is not None
            with contextlib.suppress(RuntimeError):  # this process ends, and the loop has ended
                self._loop.call_soon_threadsafe(function, *args)

    def _start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name="kodosumi-lab-bridge", daemon=True
        )
        self._thread.start()
        ready.wait()
        # worker threads of an event loop keep a process alive that is about to end: the loop has to end before
        first = getattr(threading, "_register_atexit", None)
        if first is not None:
            first(self._end)
        else:
            threading.Thread(target=self._end_with_the_process, name="kodosumi-lab-bridge-end", daemon=True).start()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        async with self._open:
            await self._stop.wait()

    def _end_with_the_process(self) -> None:
        threading.main_thread().join()
        self._end()

    def _end(self) -> None:
        with self._lock, contextlib.suppress(RuntimeError):  # it has ended
            if self._loop is None or self._stop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_END_S)

    async def app(self, root: Path) -> App:
        """The gateway over a log; made once."""
        key = str(root)
        if key not in self._apps or (self._apps[key].done() and self._apps[key].exception() is not None):
            self._apps[key] = asyncio.create_task(self._make(root))
        return await asyncio.shield(self._apps[key])

    async def _make(self, root: Path) -> App:
        app = await asyncio.to_thread(_application, root)
        await self._open.enter_async_context(app.router.lifespan_context(app))
        return cast(App, app)


_bridge = _Bridge()


def _anew() -> None:
    global _bridge
    _bridge = _Bridge()


os.register_at_fork(after_in_child=_anew)  # threads do not go along


def _application(root: Path) -> Any:
    """The gateway of this process: its person, its flows, its cluster; no MCP, which nobody could reach."""
    from kodosumi_lab.api.app import create_app
    from kodosumi_lab.api.identity import LocalUser
    from kodosumi_lab.api.joining import OwnCluster

    return create_app(log_dir=root, identity=LocalUser(), cluster=OwnCluster(root), mcp=False)


def _as(app: App, user: Any) -> App:
    from kodosumi_lab.api.guard import As

    return cast(App, As(cast(Any, app), user))


# -- one widget -------------------------------------------------------------------------


class Channel:
    """Requests of one widget, and their answers.

    Parameters
    ----------
    root
        Directory of the log that it is about.
    post
        Sends a message to the browser; called in the bridge's thread.
    user
        In whose name requests are made, a :class:`kodosumi_lab.api.identity.User`; the person's whose process this is
        by default.
    """

    def __init__(self, root: Path, post: Post, user: Any = None) -> None:
        self._root, self._post, self._user = root, post, user
        self._tasks: OrderedDict[Any, tuple[str, asyncio.Task[None]]] = OrderedDict()
        self._seen: OrderedDict[Any, None] = OrderedDict()
        self._closed = False

    def take(self, content: Any, buffers: Sequence[Any] = ()) -> None:
        """Take a message from the browser, whatever it is; returns at once, from any thread."""
        known = isinstance(content, dict) and content.get("t") in ("request", "abort")
        if not known or not isinstance(content.get("id"), int | str) or self._closed:
            return
        if content["t"] == "abort":
            _bridge.call(self._abort, content.get("id"))
            return
        try:
            body = _body(content, buffers)
        except (TypeError, ValueError) as error:
            logger.warning("a widget sent a body that cannot be read: %s", error)
            return
        _bridge.call(self._begin, dict(content), body)

    def take_outbox(self, value: Any) -> None:
        """Take what a host without messages keeps in a trait, ``{n, items}``: each item once, as often as it comes."""
        items = value.get("items") if isinstance(value, dict) else None
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, dict):
                continue
            key = (item.get("t"), item.get("id"))
            if key not in self._seen:
                self._seen[key] = None
                self.take(item)
        while len(self._seen) > _SEEN:
            self._seen.popitem(last=False)

    def close(self) -> None:
        """Nobody is there any more: everything that goes on ends, and nothing is sent."""
        if not self._closed:
            self._closed = True
            if self._tasks:
                _bridge.call(self._abort_all)

    # -- in the bridge's thread ---------------------------------------------------------

    def _begin(self, content: dict[str, Any], body: bytes) -> None:
        key, path = content.get("id"), str(content.get("path"))
        if self._closed or key in self._tasks:
            return
        same = [one for one, (other, _) in self._tasks.items() if other == path]
        for old in same[: max(0, len(same) - _STREAMS + 1)]:
            self._tasks[old][1].cancel()
        reply = _Reply(key, self._send)
        task = asyncio.ensure_future(self._answer(reply, content, body))
        self._tasks[key] = (path, task)

        def ended(_: object) -> None:
            self._tasks.pop(key, None)
            reply.end()  # also of what was cancelled before it began

        task.add_done_callback(ended)

    def _abort(self, key: Any) -> None:
        if key in self._tasks:
            self._tasks[key][1].cancel()

    def _abort_all(self) -> None:
        for key in [*self._tasks]:
            self._abort(key)

    async def _answer(self, reply: _Reply, content: dict[str, Any], body: bytes) -> None:
        try:
            async with _told_to_wait(reply.wait):
                app = await _bridge.app(self._root)
                if self._user is not None:
                    app = _as(app, self._user)
                await app(_scope(content), _receiver(body), reply.send)
        except Exception as error:
            logger.exception("a widget's request failed: %s %s", content.get("method"), content.get("path"))
            reply.failed(error)

    def _send(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if not self._closed:
            self._post(message, buffers)


class _Reply:
    """An answer of the application, as messages."""

    def __init__(self, key: Any, post: Post) -> None:
        self._key, self._post = key, post
        self._head: dict[str, Any] = {"status": 500, "headers": {}}
        self._data = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._begun = False

    async def send(self, message: Message) -> None:
        """ASGI."""
        if message["type"] == "http.response.start":
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
            self._head = {"status": message["status"], "headers": headers}
        elif message["type"] == "http.response.body":
            self._data += message.get("body", b"")
            while len(self._data) > _PIECE_BYTES:
                self._flush(more=True)
                await asyncio.sleep(_PIECE_BYTES / _BYTES_PER_S)
            if not message.get("more_body", False):
                self.end()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._flush, True)

    def wait(self) -> None:
        """Say that it takes a while: whoever hears nothing for long takes it for gone."""
        if not self._ended:
            self._post({"t": "wait", "id": self._key}, [])

    def failed(self, error: Exception) -> None:
        """The application has raised; say so where nothing was said yet."""
        if not self._begun and not self._ended and not self._data:
            from kodosumi_lab.events import dumps

            self._head = {"status": 500, "headers": {"content-type": "application/problem+json"}}
            told = {
                "type": "about:blank",
                "title": "Error",
                "status": 500,
                "detail": f"{type(error).__name__}: {error}",
            }
            self._data += dumps(told).encode()

    def end(self) -> None:
        """Send what is left, as the last piece."""
        if not self._ended:
            self._flush(False)
            self._ended = True

    def _flush(self, more: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended or (more and not self._data and self._begun):
            return
        piece = bytes(self._data[:_PIECE_BYTES])
        del self._data[:_PIECE_BYTES]
        self._post({"t": "reply", "id": self._key, "more": more, **self._head}, [piece])
        self._begun = True
        self._head = {"status": self._head["status"], "headers": {}}


@contextlib.asynccontextmanager
async def _told_to_wait(tell: Callable[[], None]) -> AsyncIterator[None]:
    """Every now and then something is said meanwhile."""

    async def told() -> None:
        while True:
            await asyncio.sleep(_WAIT_S)
            tell()

    task = asyncio.ensure_future(told())
    try:
        yield
    finally:
        task.cancel()


def _body(content: dict[str, Any], buffers: Sequence[Any]) -> bytes:
    if buffers:
        return bytes(buffers[0])
    if content.get("base64") is not None:
        return base64.b64decode(content["base64"], validate=True)
    body = content.get("body")
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b""


def _scope(content: dict[str, Any]) -> dict[str, Any]:
    path, _, query = str(content.get("path") or "/").partition("?")
    given = content.get("headers")
    headers = given.items() if isinstance(given, dict) else ()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": str(content.get("method") or "GET").upper(),
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode("utf-8", "replace"),
        "root_path": "",
        "headers": [
            (b"host", b"kernel"),
            *((str(name).lower().encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
              for name, value in headers),
        ],
        "client": None,
        "server": ("kernel", 80),
    }  # fmt: skip


def _receiver(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    messages = itertools.chain([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        # who asks again wants to know when nobody listens any more: then this is cancelled
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive
