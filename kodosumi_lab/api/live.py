"""Live events: one reader for each run in this process, however many look on.

A :class:`Feed` follows the log from where it stood when the first subscriber came, and keeps
the newest events in a bounded ring. A subscriber is no more than a position and an encoding
(:mod:`kodosumi_lab.api.encodings`): what is in the ring it takes from there; what is before it,
be it the run's history or what it was too slow for, it reads from the log, in pages that
subscribers share. Each stretch of events is encoded when somebody wants it so, and once. Nobody
waits for anybody: the feed reads on, and what a slow subscriber has not taken costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator

import polars as pl

from kodosumi_lab.api.encodings import SSE, Chunk, Encoding
from kodosumi_lab.api.spans import Spans
from kodosumi_lab.runtime.follow import afollow_frames
from kodosumi_lab.runtime.query import EventLog

__all__ = ["Live"]

# A page of history and a chunk of the ring hold about so many bytes, and not more events than that.
_PAGE_BYTES = 256 * 2**10
_PAGE = 1000
# A run's ring, and all runs' history that is kept for the next who asks.
_RING_BYTES = 4 * 2**20
_HISTORY_BYTES = 32 * 2**20
# Of more than that at once, subscribers are told while the rest is made ready.
_TOLD_BYTES = 2**20


class Feed:
    """The newest events of one run.

    Attributes
    ----------
    first
        The first ``seq`` that it holds or will hold.
    spans
        Pages of the history before that.
    done
        Whether the run has ended; nothing comes any more.
    subscribers
        The encoding of each that looks on.
    """

    def __init__(self, log: EventLog, run_id: str) -> None:
        self._log, self._run_id = log, run_id
        self.first = 0
        self.spans = Spans(log, run_id, rows=_PAGE, nbytes=_PAGE_BYTES)
        self.done = False
        self.subscribers: list[Encoding] = []
        self._failed: Exception | None = None
        self._chunks: list[Chunk] = []
        self._nbytes = 0
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def ready(self) -> None:
        """Wait until :attr:`first` is known."""
        await self._ready.wait()

    async def _read(self) -> None:
        try:
            row = await asyncio.to_thread(self._log.run, self._run_id)
            last = row["last_seq"]
            self.first = last + 1
            self._ready.set()
            async for frame in afollow_frames(self._log, self._run_id, after=last):
                last = await self._append(frame, last)
            self.done = True
        except Exception as error:  # noqa: BLE001 - told to every subscriber, in whose request it belongs
            self._failed = error
        finally:
            self._ready.set()
            self._changed.set()

    async def _append(self, frame: pl.DataFrame, last: int) -> int:
        """Hand on what was read, as much at once as is sent at once."""
        ready: list[Chunk] = []
        for part in _parts(frame):
            chunk = Chunk(last + 1, part["seq"][-1], part)
            last = chunk.last
            for encoding in {*self.subscribers}:  # once, before everybody asks for it at the same time
                await asyncio.to_thread(chunk.encoded, encoding)
            ready.append(chunk)
            if sum(one.nbytes for one in ready) >= _TOLD_BYTES:
                self._add(ready)
                ready = []
        self._add(ready)
        return last

    def _add(self, chunks: list[Chunk]) -> None:
        self._chunks += chunks
        self._nbytes += sum(chunk.nbytes for chunk in chunks)
        while self._nbytes > _RING_BYTES and len(self._chunks) > 1:
            gone = self._chunks.pop(0)
            self._nbytes -= gone.nbytes
            self.first = gone.last + 1
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, after: int, nbytes: int) -> list[Chunk]:
        """Chunks with what comes after `after`, not before :attr:`first`; about `nbytes` of them."""
        i = bisect_right(self._chunks, after, key=lambda chunk: chunk.last)
        found: list[Chunk] = []
        size = 0
        while i < len(self._chunks) and size < nbytes:
            found.append(self._chunks[i])
            size += self._chunks[i].nbytes
            i += 1
        return found

    async def wait(self, until: float | None = None) -> None:
        """Return when something has changed; at once when nothing will. At `until`, of the loop's clock, in any case.

        Raises
        ------
        LogError
            The log could not be read.
        """
        if self._failed is not None:
            raise self._failed
        if not self.done:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._changed.wait()

    def close(self) -> None:
        """Nobody looks on any more."""
        self._task.cancel()


class Live:
    """All feeds of the gateway, and the history that their subscribers share.

    Attributes
    ----------
    subscribers, sent
        How many look on now, and how many bytes they were sent.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._feeds: dict[str, Feed] = {}
        self._history: OrderedDict[tuple[str, int, int], asyncio.Task[Chunk]] = OrderedDict()
        self.subscribers = 0
        self.sent = 0

    async def subscribe(
        self, run_id: str, after: int, encoding: Encoding = SSE, *, for_s: float | None = None
    ) -> AsyncIterator[bytes]:
        """The events of a run after `after`, encoded, as they are committed; and how it ended.

        After `for_s` seconds it stops short: whoever wants more comes back.
        """
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = Feed(self._log, run_id)
        feed.subscribers.append(encoding)
        self.subscribers += 1
        try:
            yield encoding.begin
            until = None if for_s is None else asyncio.get_running_loop().time() + for_s
            async for chunks in self._chunks(feed, run_id, after, encoding, until):
                for chunk in chunks:
                    if not chunk.has(encoding):
                        await asyncio.to_thread(chunk.encoded, encoding)
                for data in encoding.joined(chunks, after):
                    self.sent += len(data)
                    yield data
                after = chunks[-1].last
            if not feed.done:
                return
            row = await asyncio.to_thread(self._log.run, run_id)
            yield encoding.end(run_id, row["status"], row["last_seq"])
        finally:
            self.subscribers -= 1
            feed.subscribers.remove(encoding)
            if not feed.subscribers:
                feed.close()
                if self._feeds.get(run_id) is feed:
                    del self._feeds[run_id]

    async def _chunks(
        self, feed: Feed, run_id: str, after: int, encoding: Encoding, until: float | None
    ) -> AsyncIterator[list[Chunk]]:
        """What comes after `after`, as much at once as the encoding sends at once."""
        await feed.ready()
        clock = asyncio.get_running_loop().time
        sent_at = float("-inf")
        while feed.done or until is None or clock() < until:
            if after + 1 < feed.first:
                span = await asyncio.to_thread(feed.spans.around, after + 1, feed.first - 1)
                chunks = [await self._page(run_id, *span)]
            else:
                chunks = feed.after(after, encoding.nbytes)
                is_full = sum(chunk.nbytes for chunk in chunks) >= encoding.nbytes
                rest = sent_at + encoding.pace_s - clock()
                if chunks and rest > 0 and not is_full and not feed.done:
                    await asyncio.sleep(rest)  # more may come, and goes along
                    continue
                if chunks and not is_full:
                    sent_at = clock()
            if chunks:
                after = chunks[-1].last
                yield chunks
            elif feed.done:
                return
            else:
                await feed.wait(until)

    async def _page(self, run_id: str, first: int, last: int) -> Chunk:
        """A page of history; read once, however many ask for it at the same time."""
        key = (run_id, first, last)
        task = self._history.get(key)
        if task is None:
            task = self._history[key] = asyncio.create_task(asyncio.to_thread(self._read, *key))
        self._history.move_to_end(key)
        try:
            chunk = await asyncio.shield(task)
        except BaseException:
            if task.done():
                self._history.pop(key, None)
            raise
        self._trim()
        return chunk

    def _read(self, run_id: str, first: int, last: int) -> Chunk:
        wanted = pl.col("seq").is_between(first, last)
        frame = self._log.events(run_id).filter(wanted).sort("seq").collect().unique("seq", maintain_order=True)
        return Chunk(first, last, frame)

    def _trim(self) -> None:
        done = [(key, task) for key, task in self._history.items() if task.done() and not task.cancelled()]
        size = sum(task.result().nbytes for _, task in done if task.exception() is None)
        for key, task in done:
            if size <= _HISTORY_BYTES:
                return
            size -= task.result().nbytes if task.exception() is None else 0
            del self._history[key]


def _parts(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame in pieces that each hold no more than a page, but one event at least."""
    start = size = 0
    for i, nbytes in enumerate(frame["payload"].str.len_bytes()):
        if i > start and (size + nbytes > _PAGE_BYTES or i - start == _PAGE):
            yield frame[start:i]
            start, size = i, 0
        size += nbytes
    yield frame[start:]
