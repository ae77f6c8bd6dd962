"""What the Spooler does behind its calls: one thread that commits, and the work on files beside it.

:class:`Spooling` owns the log's writer. Batches come from calls and from the link's
connections; all that wait are committed as one group and then answered. States are folded
before their events are durable, so what others may know of them (``views``) is a copy made
after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import run_date
from kodosumi_lab.runtime import compaction, ownership
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout, parse_segment
from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.link import LinkServer
from kodosumi_lab.runtime.log import Ack, Batch, LogWriter
from kodosumi_lab.runtime.tombstones import Tombstones

__all__ = ["Spooling"]

logger = logging.getLogger(__name__)

#: Where the answer to a batch goes: a call that is waiting on the event loop, or a link's socket.
Reply = asyncio.Future[Ack] | Callable[[Ack], None]
#: Answers for the event loop.
Answers = list[tuple[asyncio.Future[Ack], Ack]]

# After a failed write: often enough that a freed disk is used at once, rare enough not to burn a core.
_RETRY_S = 0.25
_TICK_S = 15.0
# So many small files of a closed day are worth the work of merging them.
_MIN_FILES = 8
# A call that a restarted actor finds again carries the same batches, so a group may be this large.
_GROUP = 512


class Spooling:
    """See the module. All times are seconds.

    Parameters
    ----------
    log_dir, owner, address, settings
        As :class:`kodosumi_lab.runtime.spooler.SpoolerActor` has them.
    committed
        Called by the writing thread after each commit, with answers for the event loop and
        views of the runs that changed.

    Attributes
    ----------
    views : dict
        Committed facts of each run known here, by its id.
    trouble : str or None
        What keeps the log from being written now.
    """

    def __init__(
        self,
        log_dir: str,
        owner: str,
        address: str,
        settings: dict[str, Any],
        committed: Callable[[Answers, list[dict[str, Any]]], None],
    ) -> None:
        root = Path(log_dir)
        self.layout = Layout(root)
        self._claim = ownership.claim(self.layout, owner, timeout_s=30)
        self._claim.record(ownership.here(owner, os.getppid(), address))
        self.writer = LogWriter(root, owner, **settings)
        self.owner = owner
        self.views = {run_id: _view(state) for run_id, state in self.writer.runs.items()}
        self.trouble: str | None = None
        self._tell = committed
        self._queue: queue.SimpleQueue[tuple[Batch, Reply] | None] = queue.SimpleQueue()
        self._closing = False
        self._backlog = _Backlog()
        self._delay_s: float | None = None
        self._seal_lock = threading.Lock()
        # what closed days looked like when they were compacted: without a change there is nothing to do
        self._compacted: dict[str, tuple[set[str], Any]] = {}
        self._thread = threading.Thread(target=self._serve, name="log-writer", daemon=True)
        self._thread.start()
        self.link = LinkServer(lambda *batch: self.put(Batch(*batch[:-1]), batch[-1]))
        threading.Thread(target=self._adopt_the_dead, name="adopt", daemon=True).start()

    def put(self, batch: Batch, reply: Reply) -> None:
        """Queue a batch; the answer follows its commit."""
        self._backlog.add(len(batch.data))
        self._queue.put((batch, reply))

    def health(self) -> dict[str, Any]:
        """Counts, and what is in the way; see :meth:`kodosumi_lab.runtime.spooler.SpoolerActor.health`."""
        return {
            "owner": self.owner,
            "pid": os.getpid(),
            "log_dir": str(self.layout.root),
            **self._backlog.told(),
            "delay_s": self._delay_s,
            "trouble": self.trouble,
            "open_runs": sum(not state.closed for state in list(self.writer.runs.values())),
            "hot_segments": len(self.layout.hot_segments(self.owner)),
        }

    # -- the writing thread -----------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._work()
        except BaseException:
            # without this thread nothing is ever written again: Ray makes a new process, which recovers
            logger.exception("the writing thread of log %s failed", self.layout.root)
            os._exit(1)

    def _work(self) -> None:
        compacted = 0.0
        while not self._closing:
            try:
                item = self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                item = None
            group = [item] if item is not None else []
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP:
                    further = self._queue.get_nowait()
                    if further is not None:
                        group.append(further)
            if group:
                self._commit(group)
            if self.writer.full:
                self._rotate()
            elif item is None and time.monotonic() - compacted > 3600:
                compacted = time.monotonic()
                threading.Thread(target=self._compact, name="compact", daemon=True).start()

    def _commit(self, group: list[tuple[Batch, Reply]]) -> None:
        while True:
            try:
                acks = self.writer.commit([batch for batch, _ in group])
                break
            except LogError as error:
                if self._closing:
                    return
                if self.trouble is None:
                    logger.error("%s; emitters wait until there is room", error)
                self.trouble = str(error)
                time.sleep(_RETRY_S)
            except Exception as error:  # one batch that nobody foresaw must not stop all the others
                logger.exception("a group of %d batches", len(group))
                if len(group) == 1:
                    acks = [Ack(refused=f"the batch cannot be written: {error!r}")]
                    break
                for one in group:
                    self._commit([one])
                return
        self.trouble = None
        self._backlog.settle(len(group))
        if self.writer.oldest_us is not None:
            self._delay_s = max(0.0, time.time() - self.writer.oldest_us / 1e6)
        changes = self._publish()
        waiting = []
        for (_, reply), ack in zip(group, acks, strict=True):
            if isinstance(reply, asyncio.Future):
                waiting.append((reply, ack))
            else:
                with contextlib.suppress(Exception):  # an emitter that is gone has no say in who else gets an answer
                    reply(ack)
        if waiting or changes:
            self._tell(waiting, changes)

    def _publish(self) -> list[dict[str, Any]]:
        """What the event loop may know: states are folded before their events are durable, views after."""
        changes = []
        for run_id, before in self.writer.touched.items():
            after = self.writer.runs[run_id]
            if before is None or _visible(before) != _visible(after):
                view = self.views[run_id] = _view(after)
                changes.append(view)
        if len(self.views) > 2 * len(self.writer.runs) + 1000:
            self.views = {run_id: view for run_id, view in self.views.items() if run_id in self.writer.runs}
        return changes

    def _rotate(self) -> None:
        try:
            self.writer.rotate()
        except LogError as error:
            self.trouble = str(error)
            return
        except Exception as error:  # the segment goes on growing; what it holds is safe
            logger.exception("segments of log %s", self.layout.root)
            self.trouble = f"no new segment can be opened: {error!r}"
            return
        threading.Thread(target=self._seal, name="seal", daemon=True).start()

    def _seal(self) -> None:
        with self._seal_lock:
            for name in self.writer.to_seal():
                try:
                    self.writer.seal(name)
                except OSError as error:
                    logger.error("segment %s cannot be sealed yet: %s", name, error)
                    self.trouble = f"segment {name} cannot be sealed: {error}"
                    return

    def _compact(self) -> None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        with self._seal_lock, contextlib.suppress(LogError):
            held = ownership.claim(self.layout, "compaction")
            try:
                hot = set(self.layout.hot_segments())
                open_dates = {run_date(state.run_id) for state in list(self.writer.runs.values())}
                for date in self.layout.dates("events"):
                    files = {path.name for path in self.layout.table("events", date).glob("*.parquet")}
                    look = files, Tombstones(self.layout).ids()
                    if date >= today or date in open_dates or self._compacted.get(date) == look:
                        continue
                    if not {parse_segment(Path(name).stem) for name in files} & hot:
                        compaction.compact(self.layout, date, Disk(), min_files=_MIN_FILES)
                        self._compacted[date] = look
            finally:
                held.close()

    def _adopt_the_dead(self) -> None:
        """Seal what this owner left hot, then end the logs of clusters that are gone."""
        self._seal()
        for other in ownership.owners(self.layout):
            if other.owner != self.owner and ownership.is_gone(other):
                try:
                    ownership.adopt(self.layout, other.owner)
                except LogError as error:
                    logger.warning("log of owner %s is not adopted: %s", other.owner, error)

    # -- files ------------------------------------------------------------------------

    def keep(self, date: str, sha256: str, data: bytes) -> None:
        """Keep a large payload under its content hash; returns when it is durable."""
        path = self.layout.artifact(date, sha256)
        disk = Disk()
        while not path.exists():
            temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
            try:
                disk.mkdir(path.parent)
                disk.create(temporary, data)
                disk.rename(temporary, path)
                disk.sync_dir(path.parent)
            except OSError as error:
                with contextlib.suppress(OSError):
                    disk.unlink(temporary)
                if self._closing:
                    raise LogError(f"a payload cannot be kept: {error}") from error
                self.trouble = f"a payload cannot be kept: {error}"
                time.sleep(_RETRY_S)

    def close(self) -> None:
        """Commit what waits, seal, and leave the log."""
        end = time.monotonic() + 5
        while self._queue.qsize() and time.monotonic() < end:
            time.sleep(0.01)
        self._closing = True
        self.link.close()
        self._queue.put(None)
        self._thread.join(5)
        with self._seal_lock:
            self.writer.close()
        self._claim.close(remove=all(state.closed for state in self.writer.runs.values()))


class _Backlog:
    """Batches that were taken and are not durable yet, oldest first: how large each is, and since when it waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, int]] = deque()
        self._nbytes = self._batches = self._written = 0

    def add(self, nbytes: int) -> None:
        with self._lock:
            self._waiting.append((time.monotonic(), nbytes))
            self._nbytes += nbytes

    def settle(self, batches: int) -> None:
        """The oldest ones are answered: what was not refused is durable."""
        with self._lock:
            nbytes = sum(self._waiting.popleft()[1] for _ in range(batches))
            self._nbytes -= nbytes
            self._written += nbytes
            self._batches += batches

    def told(self) -> dict[str, Any]:
        with self._lock:
            return {
                "waiting": len(self._waiting),
                "waiting_bytes": self._nbytes,
                "lag_s": time.monotonic() - self._waiting[0][0] if self._waiting else 0.0,
                "batches": self._batches,
                "bytes": self._written,
            }


def _visible(state: RunState) -> tuple[Any, ...]:
    return state.status, state.attempt, state.runner, state.cancelling, tuple(state.locks)


def _view(state: RunState) -> dict[str, Any]:
    """Committed facts of a run that calls may be answered from."""
    return {
        "run_id": state.run_id,
        "status": state.status,
        "reason": state.reason,
        "attempt": state.attempt,
        "runner": state.runner,
        "cancelling": state.cancelling,
        "active_us": state.active,
        "active_since": state.active_since,
        "ended": state.closed,
        "locks": dict(state.locks),
        "answers": dict(state.answers),
    }
