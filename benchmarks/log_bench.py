"""Benchmarks of the log alone: run list, search, one run out of ten million events, bytes, import."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from uuid_utils import uuid7

from benchmarks.tools import Row, median, timed
from kodosumi_lab.events import KIND_ID, dumps, encode
from kodosumi_lab.runtime.log import LogWriter, make_batch
from kodosumi_lab.runtime.query import EventLog

__all__ = ["run"]

_WORDS = (Path(random.__file__).read_text().split() + Path(statistics.__file__).read_text().split())[:6000]


def _build(root: Path, runs: int, events: int, seed: int = 7) -> list[str]:
    """A log as a Spooler writes it: `runs` runs of `events` events each, sealed."""
    rng = random.Random(seed)
    texts = [encode(" ".join(rng.choices(_WORDS, k=30))[:200]) for _ in range(20_000)]
    # runs are forgotten soon, and yet no new one is taken for an old one that has to be looked for
    writer = LogWriter(root, "bench", trailing_s=5.0)
    ids: list[str] = []
    now = time.time_ns() // 1000
    result, status = KIND_ID["result"], KIND_ID["status"]
    for start in range(0, runs, 200):
        group = []
        for i in range(start, min(start + 200, runs)):
            run_id = str(uuid7())
            ids.append(run_id)
            meta = {"flow": f"flow_{i % 37}", "summary": "a benchmark", "tags": ["bench"], "user": f"user{i % 9}"}
            end = "error" if i % 50 == 0 else "finished"
            rows = [(now, KIND_ID["meta"], None, dumps(meta)), (now, KIND_ID["inputs"], None, dumps({"n": i}))]
            rows += [(now, status, None, '{"status":"running"}')]
            rows += [(now + k, result, None, texts[(i * 31 + k) % 20_000]) for k in range(events - 4)]
            rows += [
                (
                    now + events * 1000,
                    status,
                    None,
                    dumps({"status": end, "reason": "" if end == "finished" else "it broke"}),
                )
            ]
            group.append(make_batch(run_id, 1, i + 1, 0, rows))
        writer.commit(group)
        if writer.full:
            writer.rotate()
            for name in writer.to_seal():
                writer.seal(name)
    writer.close()
    return ids


def run(*, quick: bool = False) -> list[Row]:
    """All of them."""
    rows = [_import_time()]
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        rows += _lists(Path(folder) / "lists", 10_000 if quick else 100_000)
    with tempfile.TemporaryDirectory(prefix="kodosumi-bench-") as folder:
        rows += _one_run(Path(folder) / "growing", (1, 10) if quick else (1, 10, 100))
    return rows


def _import_time() -> Row:
    code = "import time; t = time.perf_counter(); import kodosumi_lab; print(time.perf_counter() - t)"
    values = []
    for _ in range(9):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        values.append(float(done.stdout) * 1000)
    return Row("import kodosumi_lab", median(values), "ms", must="≤ 150 ms", reached=median(values) <= 150)


def _lists(root: Path, runs: int) -> list[Row]:
    _build(root, runs, 10)
    log = EventLog(root)
    [first] = timed(lambda: log.runs().sort("started", descending=True).head(50).collect())
    page = median(timed(lambda: log.runs().sort("started", descending=True).head(50).collect(), 15)) * 1000
    wanted = pl.any_horizontal(
        pl.col("flow", "summary", "result", "error", "reason").str.contains("no such text", literal=True)
    )
    search = median(timed(lambda: log.runs().filter(wanted).collect(), 15)) * 1000
    stats = median(timed(lambda: _statistics(log), 15)) * 1000
    files = list(root.glob("runs/**/*.parquet"))
    bare = median(timed(lambda: pl.scan_parquet(files).sort("started", descending=True).head(50).collect(), 15)) * 1000
    title = f"{runs:,} runs"
    return [
        Row(f"run list, first page, over {title}", page, "ms", bare, "Polars on the same Parquet", "≤ 50 ms", page <= 50, "lists.page", f"first look of a process {first * 1000:.0f} ms"),
        Row(f"run list, text search without a match, {title}", search, "ms", must="≤ 200 ms", reached=search <= 200),
        Row(f"run list, statistics, {title}", stats, "ms", must="≤ 200 ms", reached=stats <= 200),
    ]  # fmt: skip


def _statistics(log: EventLog) -> pl.DataFrame:
    seconds = (pl.col("ended") - pl.col("running")).dt.total_microseconds() / 1e6
    return (
        log.runs()
        .group_by("flow", "status")
        .agg(pl.len(), seconds.quantile(0.5).alias("p50"), seconds.quantile(0.95).alias("p95"), pl.col("events").sum())
        .collect()
    )


def _one(log: EventLog, run_id: str) -> float:
    return timed(lambda: log.events(run_id).collect())[0]


def _bare(files: list[Path], run_id: str) -> float:
    return timed(lambda: pl.scan_parquet(files).filter(pl.col("run_id") == run_id).collect())[0]


def _one_run(root: Path, sizes: tuple[int, ...]) -> list[Row]:
    """The same question to logs that differ by a factor of a hundred."""
    rows = []
    for hundred_thousands in sizes:
        folder = root / str(hundred_thousands)
        ids = _build(folder, hundred_thousands * 1000, 100)
        total = hundred_thousands * 100_000
        log = EventLog(folder)
        sample = random.Random(1).sample(ids, 15)
        ours = median([_one(log, run_id) for run_id in sample]) * 1000
        files = sorted(folder.glob("events/**/*.parquet"))
        bare = median([_bare(files, run_id) for run_id in sample]) * 1000
        assert len(log.events(sample[0]).collect()) == 100
        rows.append(
            Row(f"one run's events out of {total:,}", ours, "ms", bare, "Polars on the same Parquet", "≤ 50 ms, not growing", ours <= 50)
        )  # fmt: skip
        if hundred_thousands == sizes[-1]:
            count = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
            each = sum(path.stat().st_size for path in files) / count
            rows.append(Row("bytes per event on disk, sealed, varied 200-byte text", each, "B", must="≤ 1/10 of the peer's", peer="bytes"))  # fmt: skip
    return rows
