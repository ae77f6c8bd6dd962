"""What the routes share: the log, the flows, the cluster, and what one user may see."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import anyio
import polars as pl
from fastapi import Depends, Request

from kodosumi_lab.api.audit import Audit
from kodosumi_lab.api.catalogue import Catalogue
from kodosumi_lab.api.guard import LaunchRate
from kodosumi_lab.api.idempotency import Keys
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.joining import Cluster, ask
from kodosumi_lab.api.listing import RunIndex
from kodosumi_lab.api.live import Live
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.api.spans import Spans
from kodosumi_lab.api.windows import Windows
from kodosumi_lab.errors import ClusterError, RunNotFound, UploadNotFound
from kodosumi_lab.events import loads
from kodosumi_lab.runtime.desk import Desk
from kodosumi_lab.runtime.files import FileInfo, Limits
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.run_files import tell
from kodosumi_lab.settings import Settings

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Starting Ray's actors for a log may take this long on a busy machine.
_ANSWER_S = 150.0

__all__ = ["Gateway", "GatewayOf"]


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

    async def act(self, call: Callable[..., _T], *args: Any, within_s: float = _ANSWER_S) -> _T:
        """Call something that asks the cluster, in a thread of its own few, so that reading goes on meanwhile.

        Raises
        ------
        ClusterError
            The cluster has not answered in time, or has failed.
        """
        try:
            with anyio.fail_after(within_s):
                return await anyio.to_thread.run_sync(
                    lambda: ask(self.cluster, call, *args), limiter=self._actors, abandon_on_cancel=True
                )
        except TimeoutError:
            detail = f"the cluster has not answered within {within_s:g} s; what was asked may still happen"
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
            ask(self.cluster, tell, str(self.log.root), run_id, infos)
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


def _nothing() -> None:
    pass


def _gateway(request: Request) -> Gateway:
    # a route may have put another log in the place of the application's
    gateway: Gateway = getattr(request.state, "gateway", None) or request.app.state.gateway
    return gateway


GatewayOf = Annotated[Gateway, Depends(_gateway)]
