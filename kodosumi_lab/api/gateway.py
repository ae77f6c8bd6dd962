"""What the routes share: the log, the flows, the cluster, and what one user may see."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import polars as pl
from fastapi import Depends, Request

from kodosumi_lab.api.audit import Audit
from kodosumi_lab.api.catalogue import Catalogue
from kodosumi_lab.api.guard import LaunchRate
from kodosumi_lab.api.idempotency import Keys
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.listing import RunIndex
from kodosumi_lab.api.live import Live
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.spans import Spans
from kodosumi_lab.api.windows import Windows
from kodosumi_lab.errors import ClusterError, KodosumiLabError, RunNotFound, UploadNotFound
from kodosumi_lab.events import loads
from kodosumi_lab.runtime import cluster
from kodosumi_lab.runtime.desk import Desk
from kodosumi_lab.runtime.files import FileInfo, Limits
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.run import Run, event_log
from kodosumi_lab.runtime.run_files import tell
from kodosumi_lab.settings import Settings

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Starting Ray's actors for a log may take this long on a busy machine.
_ANSWER_S = 150.0
_REACHED_S = 5.0

__all__ = ["Cluster", "Gateway", "GatewayOf", "OwnCluster"]


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

    def connection(self) -> cluster.Connection:
        """This process's connection to it.

        Raises
        ------
        ClusterError
            There is none, or it does not answer.
        """
        with self._lock:
            return self.here() or cluster.connect(self._found(), log_dir=self._log_dir)

    def here(self) -> cluster.Connection | None:
        """The connection to the log's cluster that this process has; one to a cluster that is gone is left."""
        held = cluster.current()
        if held is None or held.home.log_dir != str(self._log_dir) or not cluster._on_ray():
            return None
        if not _refused(held.home.address):
            return held
        cluster.disconnect()  # Ray itself would go on asking there
        return None

    def use(self, address: str | None) -> cluster.Connection:
        """Go over to another cluster; where that fails, the one before is joined again when it is needed.

        Raises
        ------
        ClusterError
            It does not answer, or Ray runs in this process and would end.
        """
        if address is not None:
            _reached(address)  # before the cluster that was used until now is left
        with self._lock:
            if cluster._joined == "embedded":
                raise ClusterError("Ray runs in this process and would end with its runs; start the gateway without it")
            cluster.disconnect()
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


@dataclass(slots=True)
class Gateway:
    """See the module."""

    log: EventLog
    settings: Settings
    catalogue: Catalogue
    cluster: Cluster
    index: RunIndex = field(init=False)
    live: Live = field(init=False)
    windows: Windows = field(init=False)
    spans: Callable[[str, int], Spans] = field(init=False)
    keys: Keys = field(init=False)
    audit: Audit = field(init=False)
    rate: LaunchRate = field(init=False)
    desk: Desk = field(init=False)
    _actors: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.index = RunIndex(self.log)
        self.live = Live(self.log)
        self.windows = Windows(self.log)
        # of a run, by how many bytes a page holds at most
        self.spans = functools.lru_cache(256)(lambda run_id, nbytes: Spans(self.log, run_id, nbytes=nbytes))
        self.audit = Audit(self.log)
        self.keys = Keys(self.log.layout.state / "idempotency")
        self.desk = Desk(self.log.root, Limits.of(self.settings))
        self._actors = anyio.CapacityLimiter(16)
        self.rate = LaunchRate(self.settings.gateway_launches_per_minute)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While the application serves."""
        try:
            yield
        finally:
            await asyncio.to_thread(self.audit.close)
            await asyncio.to_thread(getattr(self.catalogue, "close", _nothing))

    async def act(self, call: Callable[..., _T], *args: Any) -> _T:
        """Call something that asks the cluster, in a thread of its own few, so that reading goes on meanwhile.

        Raises
        ------
        ClusterError
            The cluster has not answered in time, or has failed.
        """
        try:
            with anyio.fail_after(_ANSWER_S):
                return await anyio.to_thread.run_sync(
                    lambda: _asked(call, *args), limiter=self._actors, abandon_on_cancel=True
                )
        except TimeoutError:
            detail = f"the cluster has not answered within {_ANSWER_S:g} s; what was asked may still happen"
            raise ClusterError(detail) from None

    def claim(self, batches: Iterable[str], user: User) -> None:
        """Refuse uploads that somebody else began: whoever sees an id may not take the files.

        Raises
        ------
        UploadNotFound
            There is none of that id, or it is not the user's: the answer is the same.
        """
        for batch_id in batches:
            if self.desk.uploads.owner_of(batch_id) != user.name:
                raise UploadNotFound(f"there is no batch {batch_id[:80]!r} that {user.name} began; upload again")

    def tell(self, run_id: str, infos: list[FileInfo]) -> None:
        """Have an ``upload`` event say that a run was given files, where this process is on the cluster."""
        try:
            _asked(tell, str(self.log.root), run_id, infos)
        except ClusterError:
            logger.warning("no event says that run %s was given files", run_id, exc_info=True)

    def row(self, run_id: str, user: User) -> dict[str, Any]:
        """Index row of a run that the user may see.

        Raises
        ------
        RunNotFound
            There is none, or it is somebody else's: the answer is the same.
        """
        try:
            row = self.log.run(run_id)
        except (RunNotFound, ValueError):
            row = None
        if row is None or row["hidden"] or not user.may_see(row["user"]):
            raise RunNotFound(f"there is no run {run_id[:80]!r} that {user.name} may see")
        return row

    def run(self, run_id: str, user: User) -> Run:
        """Handle of a run that the user may see."""
        return self.run_of(self.row(run_id, user))

    def run_of(self, row: dict[str, Any]) -> Run:
        """Handle of the run of an index row."""
        return Run(row["run_id"], log_dir=self.log.root)

    def events_after(
        self, run_id: str, after: int, last: int, limit: int | None, kinds: Collection[str] = ()
    ) -> pl.DataFrame:
        """Events after a ``seq`` up to `last`, in order, each once; the first `limit` of them."""
        wanted = pl.col("seq").is_between(after + 1, last)
        query = self.log.events(run_id).filter(wanted & pl.col("kind").is_in(kinds) if kinds else wanted)
        frame = query.sort("seq").collect().unique("seq", keep="first", maintain_order=True)
        return frame if limit is None else frame.head(limit)

    def lock(self, run_id: str, lid: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What a lock asked, and the lease that closed it if there is one.

        Raises
        ------
        Refused
            404: the run has had no such lock.
        """
        frame = self.log.events(run_id).filter(pl.col("kind").is_in(["lock", "lease"])).sort("seq").collect()
        found: dict[str, dict[str, Any]] = {}
        for kind, payload in frame.select("kind", "payload").iter_rows():
            data = loads(payload, self.log.artifact)
            if str(data.get("lid")) == lid:
                found[kind] = data
        if "lock" not in found:
            raise Refused(404, "lock-not-found", f"run {run_id} has had no lock {lid[:80]!r}")
        return found["lock"], found.get("lease")


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


def _nothing() -> None:
    pass


def _asked(call: Callable[..., _T], *args: Any) -> _T:
    """A failure of Ray as one of the cluster."""
    try:
        return call(*args)
    except KodosumiLabError:
        raise
    except Exception as error:
        import ray

        if isinstance(error, ray.exceptions.RayError):
            raise ClusterError(f"the cluster failed: {' '.join(str(error).split())[:300]}") from error
        raise


def _gateway(request: Request) -> Gateway:
    # a route may have put another log in the place of the application's
    gateway: Gateway = getattr(request.state, "gateway", None) or request.app.state.gateway
    return gateway


GatewayOf = Annotated[Gateway, Depends(_gateway)]
