"""Where a run's events are divided into pages: so many of them, and so many bytes of payload, at most.

A payload is a few bytes or a mebibyte, and a run may have a million of one and then some of the other, so a mean
does not bound a page. Sizes are looked up for a block of events at a time, without holding payloads, and kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_right

import numpy as np

from kodosumi_lab.runtime.query import EventLog

__all__ = ["Spans"]

# Looking up one size decodes the row group that it lies in, so a block is some of those.
_BLOCK = 100_000


class Spans:
    """Consecutive stretches of one run's events; may be used from several threads.

    Parameters
    ----------
    log, run_id
        Of which run.
    nbytes, rows
        What a stretch holds at most; one event, however long it is, at least.
    """

    def __init__(self, log: EventLog, run_id: str, *, nbytes: int, rows: int = _BLOCK) -> None:
        self._log, self._run_id = log, run_id
        self._rows, self._nbytes = rows, nbytes
        self._blocks: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def around(self, seq: int, last: int) -> tuple[int, int]:
        """First and last ``seq`` of the stretch that `seq` is in, of events up to `last`; it stays the same stretch."""
        block = seq // _BLOCK
        start = block * _BLOCK
        with self._lock:
            ends = self._blocks.setdefault(block, [])
            if not ends or ends[-1] < seq:
                first = ends[-1] + 1 if ends else start
                ends += self._divided(first, min(last, start + _BLOCK - 1))
            i = bisect_right(ends, seq - 1)
            return (ends[i - 1] + 1 if i else start), ends[i]

    def _divided(self, first: int, last: int) -> list[int]:
        """Ends of the stretches from `first` to `last`."""
        sizes = self._log.sizes(self._run_id, first, last)
        seqs, total = sizes["seq"].to_numpy(), np.cumsum(sizes["nbytes"].to_numpy())
        ends: list[int] = []
        start = 0
        while start < len(seqs):
            before = int(total[start - 1]) if start else 0
            fits = int(np.searchsorted(total, before + self._nbytes, side="right"))
            start = max(start + 1, min(fits, start + self._rows))
            ends.append(int(seqs[start - 1]))
        # an event that is missing, since its file is damaged, belongs to the last stretch
        return [*ends[:-1], last]
