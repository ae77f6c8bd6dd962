"""How a stream reaches the Spooler from a Runner or a Ray task: by the short way, else by Ray's.

Imports Ray and nothing else that is heavy: every process that emits imports this module.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import ray

from kodosumi_lab.errors import ClusterError
from kodosumi_lab.runtime import console
from kodosumi_lab.runtime import home as home_module
from kodosumi_lab.runtime.home import Home
from kodosumi_lab.runtime.link import BROKEN, Link
from kodosumi_lab.runtime.stream import Sender

__all__ = ["SpoolerSender"]


def _ray_task() -> str | None:
    """Id of the Ray task that is running in this context; None outside Ray's workers."""
    worker = ray._private.worker.global_worker
    if worker.mode != ray.WORKER_MODE:
        return None
    return str(ray.get_runtime_context().get_task_id())


console.task_of = _ray_task


class SpoolerSender(Sender):
    """A stream's way to the Spooler, from any process of the cluster; can be pickled.

    Parameters
    ----------
    actor
        Handle of the Spooler.
    home
        What :class:`kodosumi_lab.runtime.home.Home` is made of.
    """

    def __init__(self, actor: Any, home: dict[str, Any]) -> None:
        self.__setstate__({"actor": actor, "home": home})

    def __getstate__(self) -> dict[str, Any]:
        return {"actor": self.actor, "home": self.home}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.actor, self.home = state["actor"], state["home"]
        self._link: Link | None = None
        # whether to look for a short way before the next batch
        self._look = True
        self._place: Any = None
        self._pid = os.getpid()
        self._forked = False
        self._one = threading.Lock()
        if home_module.get() is None:  # a Ray task of a flow: its child runs land beside their parent
            home_module.set_home(Home(**self.home))

    def append(
        self, run_id: str, attempt: int, producer: int, first: int, data: bytes
    ) -> tuple[str | None, int | None]:
        """Commit a batch."""
        if self._pid != os.getpid():
            self._in_child()
        with self._one:
            link = self._linked()
            if link is not None:
                try:
                    return link.append(run_id, attempt, producer, first, data)
                except BROKEN:  # the Spooler may have the batch or not; it recognises it when it comes again
                    self._link, self._look = None, True
                    if self._forked:
                        raise
        refused, expected = ray.get(self.actor.append.remote(run_id, attempt, producer, first, data))
        return refused, expected

    def _linked(self) -> Link | None:
        if self._look:
            self._look = False
            self._place = ray.get(self.actor.link.remote())
            if self._place is not None:
                with contextlib.suppress(Exception):  # another host, no such sockets there: Ray's way it is
                    self._link = Link(*self._place)
        return self._link

    def _in_child(self) -> None:
        """A forked child goes by the socket only: Ray's threads are not there, and their calls would never return."""
        self._pid, self._one, self._look, self._forked = os.getpid(), threading.Lock(), False, True
        try:
            self._link = Link(*self._place)
        except (*BROKEN, TypeError) as error:
            raise ClusterError(
                "a forked process cannot reach the Spooler; emit from the flow's own process, or use Ray tasks"
            ) from error

    def artifact(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload."""
        ray.get(self.actor.artifact.remote(date, sha256, data))

    def wait_lease(self, run_id: str, lid: str) -> str | None:
        """Wait for the answer to a lock."""
        answer: str | None = ray.get(self.actor.wait_lease.remote(run_id, lid))
        return answer

    def files(self, verb: str, *args: Any) -> Any:
        """Ask the desk beside the log; its errors are raised as they are."""
        try:
            return ray.get(self.actor.files.remote(verb, *args))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
