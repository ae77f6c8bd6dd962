"""One look a second at the log and its cluster, for all sessions of a process; none while nobody listens."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.errors import ClusterError, KodosumiLabError

__all__ = ["SILENT", "Pulse", "away"]

logger = logging.getLogger(__name__)

_EVERY_S = 1.0
# A look takes milliseconds; a file system that hangs answers neither yes nor no.
SILENT = datetime.timedelta(seconds=8)
_MIND_S = 4.0
# Whether a cluster is there is asked less often: it may take a connection to find out.
_CLUSTER_EVERY = 5


class Pulse:
    """Tells listeners that something has changed. They are called in a thread of its own, and must hand on at once.

    Parameters
    ----------
    gateway
        Whose log and cluster.

    Attributes
    ----------
    away : str or None
        Why nothing can be launched or steered now; None while a cluster writes the log.
    trouble : str or None
        Why the log could not be read at the last look.
    looked_at : datetime.datetime
        When it was read last, as long as somebody listens.
    changed_at : float
        When it was last seen to have changed, as ``time.monotonic`` has it; infinity while nobody listens.
    """

    def __init__(self, gateway: Gateway, every_s: float = _EVERY_S) -> None:
        self._gateway, self._every_s = gateway, every_s
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self.away = away(gateway)
        self.trouble: str | None = None
        self.looked_at = _now()
        self.changed_at = math.inf

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call this whenever something has changed, until what is returned is called."""
        with self._lock:
            self._listeners.append(listener)
            if self._thread is None:
                self.looked_at = _now()
                self._thread = threading.Thread(target=self._beat, name="dashboard-pulse", daemon=True)
                self._thread.start()
                threading.Thread(target=self._mind, name="dashboard-mind", daemon=True).start()

        def stop() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)
            self._wake.set()

        return stop

    def now(self) -> None:
        """Look at once, for who has just changed something."""
        self.away = away(self._gateway)
        self._wake.set()

    def _beat(self) -> None:
        seen: Any = None
        count = 0
        while True:
            with self._lock:
                if not self._listeners:
                    self._thread, self.changed_at = None, math.inf
                    return
            found = self._look(whole=count % _CLUSTER_EVERY == 0)
            count += 1
            if found != seen:
                # read after the log was looked at, so whoever computed since has seen at least this
                first, seen, self.changed_at = seen is None, found, time.monotonic()
                if not first:
                    self._tell()
            self._wake.wait(self._every_s)
            self._wake.clear()

    def _look(self, whole: bool) -> Any:
        """What differs once something has changed."""
        before = self.trouble
        try:
            if whole:
                self.away = away(self._gateway)
            found = self._gateway.index.state()
            self.trouble, self.looked_at = None, _now()
        except (KodosumiLabError, OSError) as error:
            found, self.trouble = None, str(error)
        if self.trouble != before:
            logger.warning("the log %s", f"cannot be read: {self.trouble}" if self.trouble else "can be read again")
        return found, self.away, self.trouble

    def _mind(self) -> None:
        """Tell again and again of a log that cannot be read, also where a look does not even come back."""
        while self._thread is not None:
            time.sleep(_MIND_S)
            if self.trouble is not None or _now() - self.looked_at > SILENT:
                self._tell()

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener()
            except Exception:  # a session that is just ending must not keep the others from knowing
                logger.debug("a listener failed", exc_info=True)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def away(gateway: Gateway) -> str | None:
    """Why no cluster can be reached; None where one writes the log. Asks no Ray."""
    if gateway.cluster.here() is not None:
        return None
    try:
        gateway.cluster._found()
    except ClusterError as error:
        return str(error)
    return None
