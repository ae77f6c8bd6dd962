"""Gaps between neighbouring primes, sieved in parallel Ray tasks.

The range is cut into chunks, one Ray task each. A chunk is sieved block by block, and what
is known of one stretch (its first and last prime, its gaps) can be joined to the next: that
is how the gaps across borders are counted, of blocks and of chunks alike.
"""

import asyncio
import functools
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import polars as pl
import ray
from pydantic import Field

import kodosumi_lab as kl

# One byte for each number: a block stays in the processor's cache.
_BLOCK = 1 << 20
# All primes up to the square root of the end are held in memory by every task.
_LARGEST = 10**14


@dataclass
class Stretch:
    """Primes of one stretch of numbers.

    Attributes
    ----------
    count
        How many there are.
    first, last
        The outermost ones; None when there are none.
    gaps : dict[int, tuple[int, int]]
        For each size of gap: how often, and the prime before its first occurrence.
    """

    count: int = 0
    first: int | None = None
    last: int | None = None
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, primes: np.ndarray) -> "Stretch":
        """Sum up these primes, given in order."""
        if not len(primes):
            return cls()
        sizes, where, counts = np.unique(np.diff(primes), return_index=True, return_counts=True)
        gaps = zip(sizes.tolist(), zip(counts.tolist(), primes[where].tolist(), strict=True), strict=True)
        return cls(len(primes), int(primes[0]), int(primes[-1]), dict(gaps))


def joined(left: Stretch, right: Stretch) -> Stretch:
    """Two stretches that follow each other, as one."""
    if left.last is None or right.first is None:
        return right if left.last is None else left
    gaps = dict(left.gaps)
    border = {right.first - left.last: (1, left.last)}
    for found in (border, right.gaps):
        for size, (count, after) in found.items():
            known, earlier = gaps.get(size, (0, after))
            gaps[size] = (known + count, earlier)
    return Stretch(left.count + right.count, left.first, right.last, gaps)


def small_primes(end: int) -> np.ndarray:
    """All primes below `end`."""
    flags = np.ones(max(end, 2), dtype=bool)
    flags[:2] = False
    for p in range(2, math.isqrt(len(flags)) + 1):
        if flags[p]:
            flags[p * p :: p] = False
    return np.flatnonzero(flags)


def sieve(start: int, end: int, divisors: np.ndarray) -> np.ndarray:
    """Primes of [start, end), given the primes up to the root of `end`; `start` is 2 or more."""
    flags = np.ones(end - start, dtype=bool)
    for p in divisors.tolist():
        if p * p >= end:
            break
        flags[max(p * p, -(-start // p) * p) - start :: p] = False
    return np.flatnonzero(flags) + start


@ray.remote(num_cpus=0.5)
def chunk(number: int, start: int, end: int, tracer: kl.Tracer) -> Stretch:
    """Sieve [start, end) in a Ray task; what it prints and emits belongs to the run."""
    name = f"chunk {number}"
    divisors = small_primes(math.isqrt(end) + 1)
    found, began, blocks = Stretch(), time.perf_counter(), range(start, end, _BLOCK)
    for done, low in enumerate(blocks, 1):
        found = joined(found, Stretch.of(sieve(low, min(low + _BLOCK, end), divisors)))
        speed = found.count / (time.perf_counter() - began)
        tracer.metric_sync(f"primes per second, {name}", speed, step=done, unit="1/s")
        tracer.progress_sync(done, len(blocks), f"{low:,} …", name=name)
    print(f"{name}: {found.count:,} primes in [{start:,}, {end:,}), {time.perf_counter() - began:.2f} s")
    tracer.flush()
    return found


def chunks(start: int, end: int, tasks: int) -> Iterator[tuple[int, int]]:
    """Cut [start, end) into at most `tasks` parts of about the same length."""
    start = max(start, 2)
    borders = [start + (end - start) * i // tasks for i in range(tasks + 1)] if end > start else []
    return ((low, high) for low, high in itertools.pairwise(borders) if high > low)


def table(found: Stretch) -> pl.DataFrame:
    """Gaps as a table: ``gap``, ``count``, ``share``, and the primes around the first of its size."""
    rows = [(size, count, after, after + size) for size, (count, after) in sorted(found.gaps.items())]
    columns = dict.fromkeys(("gap", "count", "first_after", "first_before"), pl.Int64)
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.insert_column(2, (pl.col("count") / pl.col("count").sum()).alias("share"))


def summary(found: Stretch) -> str:
    """Say the outcome in a sentence of Markdown."""
    if not found.gaps:
        return f"**{found.count} primes**, so there is no gap."
    widest = max(found.gaps)
    usual = max(found.gaps, key=lambda size: found.gaps[size][0])
    where = found.gaps[widest][1]
    return (
        f"**{found.count:,} primes** from {found.first:,} to {found.last:,}. The most frequent gap is **{usual}**; "
        f"the widest is **{widest}**, first between {where:,} and {where + widest:,}."
    )


@kl.flow(summary="Gaps between neighbouring primes", tags=["example", "math"])
async def prime_gaps(
    start: int = 0,
    end: Annotated[int, Field(gt=0)] = 100_000,
    tasks: Annotated[int, Field(ge=1, le=64)] = 4,
    *,
    tracer: kl.Tracer,
) -> pl.DataFrame:
    """Count the gaps between neighbouring primes of a range.

    Parameters
    ----------
    start, end
        The range; `end` itself is left out.
    tasks
        Ray tasks to share the work.

    Returns
    -------
    polars.DataFrame
        One row for each size of gap: ``gap``, ``count``, ``share`` of all gaps, and the primes
        around the first gap of that size, ``first_after`` and ``first_before``.
    """
    _check(start, end)
    parts = list(chunks(start, end, tasks))
    done = 0

    async def watched(ref: Any) -> Stretch:
        nonlocal done
        found: Stretch = await ref
        done += 1
        await tracer.progress(done, len(parts), f"{done} of {len(parts)} chunks")
        return found

    print(f"primes in [{start:,}, {end:,}) with {len(parts)} Ray tasks")
    refs = [chunk.remote(number, *part, tracer) for number, part in enumerate(parts, 1)]
    found = functools.reduce(joined, await asyncio.gather(*map(watched, refs)), Stretch())
    await tracer.markdown(summary(found))
    return table(found)


def _check(start: int, end: int) -> None:
    if end <= start:
        raise ValueError(f"end is {end}, but start is {start}; give an end that is greater than the start")
    if end > _LARGEST:
        raise ValueError(f"end is {end}, which takes too much memory; give {_LARGEST} at most")
