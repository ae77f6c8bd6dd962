"""The way to the Ray cluster that writes the log: joining it, finding that it has ended, going over to another one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kodosumi_lab.errors import ClusterError, KodosumiLabError
from kodosumi_lab.runtime import cluster
from kodosumi_lab.runtime.run import event_log

__all__ = ["Cluster", "OwnCluster", "ask"]

_T = TypeVar("_T")

_REACHED_S = 5.0
# How long a cluster is not left while somebody waits for its answer; Ray ends the process on its own after 60 s.
_LEFT_S = 20.0


class Cluster:
    """The way to the Ray cluster that writes the log; joined when something needs it, never started unasked.

    Parameters
    ----------
    log_dir
        The log.
    address
        Ray address; ``local`` starts Ray in this process. None: the cluster that writes the log.
    """

    def __init__(self, log_dir: Path, address: str | None = None) -> None:
        self._log_dir, self._address = log_dir, address
        self._lock = threading.Lock()
        self._asking: set[int] = set()  # threads
        self._quiet = threading.Condition()
        self._gone_at: float | None = None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While this thread asks the cluster something, which is not left meanwhile.

        Ray that is shut down under a call ends that with ``SystemExit``, and was seen to end the process.
        """
        with self._counted(asks=True):
            yield

    @contextmanager
    def _counted(self, *, asks: bool) -> Iterator[None]:
        me = threading.get_ident()
        with self._quiet:
            before = me in self._asking
            (self._asking.add if asks else self._asking.discard)(me)
            self._quiet.notify_all()
        try:
            yield
        finally:
            with self._quiet:
                (self._asking.add if before else self._asking.discard)(me)
                self._quiet.notify_all()

    def connection(self) -> cluster.Connection:
        """This process's connection to it.

        Raises
        ------
        ClusterError
            There is none, or it does not answer.
        """
        with self._counted(asks=False), self._lock:
            return self.here() or cluster.connect(self._found(), log_dir=self._log_dir)

    def here(self) -> cluster.Connection | None:
        """The connection to the log's cluster that this process has; one to a cluster that is gone is left."""
        held = cluster.current()
        if held is None or held.home.log_dir != str(self._log_dir) or not cluster._on_ray():
            self._gone_at = None
            return None
        if not _refused(held.home.address):
            self._gone_at = None
            return held
        self._leave(held)
        return None

    def _leave(self, held: cluster.Connection) -> None:
        """Leave a cluster that is gone: Ray itself would go on asking. Not while somebody waits for its answer."""
        with self._quiet:
            if cluster.current() is not held:
                return  # another thread has
            now = time.monotonic()
            self._gone_at = self._gone_at or now
            if self._asking - {threading.get_ident()} and now - self._gone_at < _LEFT_S:
                return
            self._disconnect()

    def _disconnect(self) -> None:
        """Leave the cluster, with ``_quiet`` held: nobody begins to ask meanwhile."""
        self._gone_at = None
        self._asking.clear()  # whom Ray has not let go by now it never does
        cluster.disconnect()

    def use(self, address: str | None) -> cluster.Connection:
        """Go over to another cluster; where that fails, the one before is joined again when it is needed.

        Raises
        ------
        ClusterError
            It does not answer, or Ray runs in this process and would end.
        """
        if address is not None:
            _reached(address)  # before the cluster that was used until now is left
        with self._counted(asks=False), self._lock:
            if cluster._joined == "embedded":
                raise ClusterError("Ray runs in this process and would end with its runs; start the gateway without it")
            with self._quiet:
                self._quiet.wait_for(lambda: not self._asking, timeout=_LEFT_S)
                self._disconnect()
            before, self._address = self._address, address
            try:
                return cluster.connect(self._found(), log_dir=self._log_dir)
            except ClusterError:
                self._address = before
                raise

    def follow_log(self) -> None:
        """Take the cluster that writes the log from now on, whichever address was asked for before."""
        self._address = None

    def _found(self) -> str | None:
        if self._gone_at is not None:
            raise ClusterError(
                "the Ray cluster has ended, and is left once what was asked of it has come back; try again"
            )
        if self._address is not None:
            _reached(self._address)  # Ray itself tries for minutes
            return self._address
        from kodosumi_lab.runtime import background, ownership
        from kodosumi_lab.runtime.layout import Layout

        if cluster.current() is not None and cluster._on_ray():
            return None
        found = background.find()
        if found is not None and Path(found["log_dir"]).resolve() == self._log_dir.resolve():
            return str(found["address"])
        for owner in ownership.owners(Layout(self._log_dir)):
            if owner.address and not ownership.is_gone(owner):
                return owner.address
        raise ClusterError(
            f"no Ray cluster writes the log {self._log_dir}; start one with `kodosumi-lab up`, "
            "or name one with `kodosumi-lab serve --address`. What was run before can still be read"
        )


class OwnCluster(Cluster):
    """The cluster of this process, for a gateway within it: what :func:`kodosumi_lab.connect` would take, or has taken.

    A person who runs flows here must not find this process on another log because of a button.
    """

    def here(self) -> cluster.Connection | None:
        """The connection to the log's cluster that this process has; it is its person's to leave."""
        held = cluster.current()
        return held if held is not None and held.home.log_dir == str(self._log_dir) and cluster._on_ray() else None

    def connection(self) -> cluster.Connection:
        """This process's connection; made as a launch from Python makes it.

        Raises
        ------
        ClusterError
            It is one to another log.
        """
        with self._lock:
            held = cluster.current()
            if (held is None or not cluster._on_ray()) and event_log().root == self._log_dir:
                held = cluster.connection()
            if held is None or not cluster._on_ray():
                return cluster.connect(self._found(), log_dir=self._log_dir)
            if held.home.log_dir != str(self._log_dir):
                raise ClusterError(
                    f"this process is connected to the cluster that writes {held.home.log_dir}, and this is about the "
                    f"log {self._log_dir}; connect(log_dir={str(self._log_dir)!r}) first"
                )
            return held


def ask(way: Cluster, call: Callable[..., _T], *args: Any) -> _T:
    """Call something that asks the cluster.

    Raises
    ------
    ClusterError
        It has failed, or was left meanwhile.
    """
    try:
        with way.asked():
            return call(*args)
    except KodosumiLabError:
        raise
    except SystemExit as error:  # what Ray makes of a call that another thread has shut it down under
        raise ClusterError("the connection to the Ray cluster was closed meanwhile; try again") from error
    except Exception as error:
        import ray

        if isinstance(error, ray.exceptions.RayError):
            raise ClusterError(f"the cluster failed: {' '.join(str(error).split())[:300]}") from error
        raise


def _reached(address: str) -> None:
    """Refuse an address at which nobody listens; one without a port is Ray's to judge."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers at {address}: {error}; expected host:port, as `ray start` and `kodosumi-lab up` print it"
        ) from error


def _refused(address: str) -> bool:
    """Whether nobody listens any more where Ray did; a host that does not answer may be slow only."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_REACHED_S).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False
