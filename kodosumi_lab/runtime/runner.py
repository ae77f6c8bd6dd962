"""The Runner: the detached Ray actor that carries one run from start to end.

``start`` hands a run over and returns; the flow then runs in a thread of its own, whatever
happens to the caller, and ``wait`` tells how it ended to whoever asks. Order of a run:
bind the process to its place (directory, import path), capture the console, say
``running``, import the flow, check the inputs, call it, say how it ended, flush.

A Runner that carried a run cleanly may take another one of the same place; see
:meth:`RunnerActor._reusable` for what "cleanly" means.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import importlib
import inspect
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import ray

from kodosumi_lab.errors import KodosumiLabError, RunClosed
from kodosumi_lab.events import dumps, encode
from kodosumi_lab.flow import Flow, is_crew, is_graph, load
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime import console, crew, graph
from kodosumi_lab.runtime.home import own_modules
from kodosumi_lab.runtime.sender import SpoolerSender
from kodosumi_lab.runtime.sent import Sent
from kodosumi_lab.runtime.tracer import Tracer, open_stream

__all__ = ["RunnerActor"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class _Stop(BaseException):
    """Raised inside a synchronous flow to end it; no ``except Exception`` of the flow catches it."""


class RunnerActor:
    """See the module.

    Parameters
    ----------
    name
        The actor's name, by which a run is claimed.
    spooler
        Handle of the Spooler.
    home
        What :func:`kodosumi_lab.runtime.cluster.adopt_home` needs for child runs.
    """

    def __init__(self, name: str, spooler: Any, home: dict[str, Any]) -> None:
        self.name = name
        self._spooler = spooler
        self._home = home
        self._place: tuple[Any, ...] | None = None
        self._seen: dict[str, float] = {}
        self._threads = 0
        self._run: tuple[str, int] | None = None
        self._done: concurrent.futures.Future[dict[str, Any]] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._guard = threading.Lock()
        self._interruptible = False
        self._ending: tuple[str, str] | None = None
        self._began = 0.0
        # Ray warns, on the stderr that is the run's, of any ray.get in an actor with a loop; ours block threads only
        os.environ.setdefault("RAY_WARN_BLOCKING_GET_INSIDE_ASYNC", "0")
        _warm_up()

    async def ready(self) -> int:
        """The process's id, once it is there."""
        return os.getpid()

    async def start(self, job: dict[str, Any]) -> str:
        """Take a run.

        Parameters
        ----------
        job
            ``run_id, attempt, code`` (``{"import": path}`` or ``{"pickle": bytes}``),
            ``inputs`` (JSON values), ``secrets, cwd, sys_path, retry`` (whether another
            attempt is left), and ``user``, who launched it.

        Returns
        -------
        str
            ``ok``, or why not: ``busy`` or ``stale``.
        """
        if self._run is not None and self._done is not None and not self._done.done():
            return "ok" if self._run == (job["run_id"], job["attempt"]) else "busy"
        if self._stale():
            return "stale"
        self._run = (job["run_id"], job["attempt"])
        self._ending = None
        self._began = time.time()
        self._threads = threading.active_count()
        self._done = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._carry, args=(job, self._done), name="flow", daemon=True)
        self._thread.start()
        return "ok"

    async def wait(self, run_id: str, attempt: int) -> dict[str, Any]:
        """How the run ended: ``status``, ``reason``, ``reusable``, ``recorded`` (whether that is in the log)."""
        if self._run != (run_id, attempt) or self._done is None:
            return {"status": "lost", "reason": f"Runner {self.name} does not carry it", "reusable": False}
        return await asyncio.wrap_future(self._done)

    async def carries(self, run_id: str, attempt: int) -> bool:
        """Whether the run was handed over to this Runner."""
        return self._run == (run_id, attempt) and self._done is not None

    async def cancel(self, run_id: str, status: str, reason: str) -> None:
        """Ask the flow to end; how it then ended is `status` with `reason`."""
        if self._run is not None and self._run[0] == run_id and self._done is not None and not self._done.done():
            self._ending = self._ending or (status, reason)
            self._interrupt()

    def _interrupt(self) -> None:
        """Reach into the flow, wherever it is; outside of it ``_ending`` is looked at before it begins."""
        with self._guard:
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
            elif self._interruptible and self._thread is not None and self._thread.ident is not None:
                _raise_in(self._thread.ident, _Stop)

    @contextlib.contextmanager
    def _flow_code(self) -> Iterator[None]:
        """While in the block, synchronous code of the flow runs and may be interrupted."""
        with self._guard:
            self._interruptible = True
            if self._ending is not None:
                self._interruptible = False
                raise _Stop
        try:
            yield
        finally:
            with self._guard:
                self._interruptible = False
                _raise_in(threading.get_ident(), None)  # one on its way must not hit our own code

    # -- the flow's thread ------------------------------------------------------------

    def _carry(self, job: dict[str, Any], done: concurrent.futures.Future[dict[str, Any]]) -> None:
        outcome: dict[str, Any] = {"status": "lost", "reason": "the Runner failed", "reusable": False}
        try:
            outcome = self._run_flow(job)
        except RunClosed as error:
            outcome = {"status": "fenced", "reason": str(error), "reusable": False}
        except BaseException as error:  # noqa: BLE001 - edge of the process: the Dispatcher records it
            outcome = {"status": "lost", "reason": f"the Runner failed: {error!r}", "reusable": False}
        finally:
            done.set_result(outcome)

    def _run_flow(self, job: dict[str, Any]) -> dict[str, Any]:
        sender = SpoolerSender(self._spooler, {**self._home, "user": job.get("user") or ""})
        limits = {key: job[key] for key in ("max_events", "max_bytes") if key in job}
        stream = open_stream(job["run_id"], job["attempt"], sender, on_closed=self._fenced, **limits)
        tracer = Tracer(job["run_id"], job["attempt"], sender)
        place = {"runner": self.name, "pid": os.getpid(), "node": platform.node()}
        tracer.emit("status", dumps({"status": "running", **place}))
        self._bind(job)
        with console.capture(tracer):
            try:
                value = self._call(job, tracer)
                failure = None
            except BaseException as error:  # noqa: BLE001 - whatever the flow raised is its outcome
                failure = error
        fs = sys.modules.get("kodosumi_lab.runtime.fs")
        if fs is not None:  # the flow has used files
            fs.drop_downloads(job["run_id"])
        if stream.closed is not None:
            raise RunClosed(stream.closed)
        if failure is None:
            status, reason = "finished", ""
            tracer.emit("final", encode(value))
        else:
            status, reason = self._judge(failure, tracer)
        if not (status == "error" and job["retry"]):
            tracer.emit("status", dumps({"status": status, "reason": reason}))
        stream.flush()
        reusable = status == "finished" and self._reusable()
        return {"status": status, "reason": reason, "reusable": reusable, "recorded": True}

    def _judge(self, failure: BaseException, tracer: Tracer) -> tuple[str, str]:
        if self._ending is not None and isinstance(failure, _Stop | asyncio.CancelledError):
            return self._ending
        message = _message(failure)
        record = {"type": type(failure).__qualname__, "module": type(failure).__module__, "message": message}
        tracer.emit("error", dumps({**record, "traceback": _flow_traceback(failure)}))
        if self._ending is not None:  # it raised something else on the way out
            return self._ending
        return "error", f"{type(failure).__qualname__}: {message}"[:500]

    def _fenced(self, reason: str) -> None:
        self._ending = ("fenced", reason)
        self._interrupt()

    def _bind(self, job: dict[str, Any]) -> None:
        """This process belongs to one place from now on."""
        if self._place is None:
            self._place = (job["cwd"], tuple(job["sys_path"]))
            if os.path.isdir(job["cwd"]):
                os.chdir(job["cwd"])
            known = set(job["sys_path"])
            sys.path[:] = [*job["sys_path"], *(path for path in sys.path if path not in known)]
        importlib.invalidate_caches()
        from kodosumi_lab.runtime import cluster

        cluster.adopt_home(self._home, place={"cwd": job["cwd"], "sys_path": list(job["sys_path"])})

    def _call(self, job: dict[str, Any], tracer: Tracer) -> Any:
        with self._flow_code():  # importing a module is running its code
            flow = _entry(job["code"])
            target: Any = flow.target
        arguments = flow.inputs.arguments(Inputs(job["inputs"], job["secrets"]), lambda path: _opened(tracer, path))
        if is_crew(target):
            return self._in_loop(lambda: crew.kickoff(target, arguments["inputs"], tracer))
        if is_graph(target):
            return self._in_loop(lambda: graph.invoke(target, arguments["inputs"], tracer))
        if "tracer" in inspect.signature(target).parameters:
            arguments["tracer"] = tracer
        if inspect.isasyncgenfunction(target):
            return self._in_loop(lambda: _drain_async(target(**arguments), tracer))
        if inspect.iscoroutinefunction(target):
            return self._in_loop(lambda: target(**arguments))
        with self._flow_code():
            value = target(**arguments)
            if inspect.isgenerator(value):
                return _drain(value, tracer)
        return self._in_loop(lambda: value) if inspect.isawaitable(value) else value

    def _in_loop(self, make: Callable[[], Any]) -> Any:
        async def main() -> Any:
            with self._guard:
                self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
                if self._ending is not None:
                    raise asyncio.CancelledError
            try:
                return await make()
            finally:
                with self._guard:
                    self._loop = self._task = None

        with asyncio.Runner() as runner:
            return runner.run(main())

    # -- taking another run -----------------------------------------------------------

    def _reusable(self) -> bool:
        """Whether nothing of the run is left: no thread, no child process, no module that was edited."""
        own = {self._thread, threading.current_thread()}
        left = [t for t in threading.enumerate() if t not in own and not t.name.startswith("events-")]
        if len(left) > self._threads or psutil.Process().children():
            return False
        modules = own_modules()
        if any(mtime > self._began - 2 for mtime in modules.values()):
            return False  # edited while it ran: which version was imported cannot be told
        self._seen = modules
        return True

    def _stale(self) -> bool:
        """Whether the source of a module that is loaded here has changed since."""
        if not self._seen:
            return False
        now = own_modules()
        return any(now.get(path) != mtime for path, mtime in self._seen.items())


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise an exception in another thread at its next bytecode; None takes a pending one back."""
    target = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)


def _warm_up() -> None:
    """Import what every run needs, so that no run waits for it; never a flow's module."""
    import pydantic
    import pydantic.main

    del pydantic


def _entry(code: dict[str, Any]) -> Flow | Sent:
    if "sent" in code:
        return Sent(code["import"], bare=code["sent"] == "bare")
    if "import" in code:
        return load(code["import"])
    found = ray.cloudpickle.loads(code["pickle"])
    return found if isinstance(found, Flow | Sent) else Flow(found)


def _opened(tracer: Tracer, path: str) -> Any:
    """A file of the run's ``in/``: a copy on this machine, which goes when the run ends."""
    with tracer.fs_sync() as fs:
        return open(next(fs.download(path)), "rb")


def _drain(values: Any, tracer: Tracer) -> Any:
    while True:
        try:
            value = next(values)
        except StopIteration as end:
            return end.value
        tracer.result_sync(value)


async def _drain_async(values: Any, tracer: Tracer) -> None:
    async for value in values:
        await tracer.result(value)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:10_000]
    except Exception as broken:  # noqa: BLE001 - the flow's own class
        return f"<message unavailable: {type(broken).__name__}>"


def _flow_traceback(error: BaseException) -> str:
    """The traceback without the frames that led from the Runner to the flow."""
    if isinstance(error, KodosumiLabError) and error.__traceback__ is None:
        return ""
    frames = error.__traceback__
    ours = (_PACKAGE + os.sep, os.path.dirname(asyncio.__file__) + os.sep, os.path.dirname(ray.__file__) + os.sep)
    while frames is not None:
        path = frames.tb_frame.f_code.co_filename
        if not path.startswith((*ours, "uvloop" + os.sep)):  # Ray's workers may run uvloop, whose paths are relative
            break
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    except Exception as broken:  # noqa: BLE001 - an exception whose own repr or str fails
        return f"{type(error).__qualname__}: <traceback unavailable: {type(broken).__name__}>"
