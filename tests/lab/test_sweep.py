"""Sweeps on real Ray: a few at a time, one frame, found again, the failed ones again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import kitchen
import polars as pl
import pytest
from conftest import eventually
from pydantic import Field

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, WaitTimeout

pytestmark = pytest.mark.ray

FACTOR = 10


@kl.flow(tags=["mine"])
def scaled(n: Annotated[int, Field(ge=0)], by: float = 1.0) -> dict[str, Any]:
    if n == 2:
        raise ValueError("two is no good")
    return {"product": n * by * FACTOR, "n": n}


def test_a_sweep_is_one_frame_of_inputs_and_results(lab: Any) -> None:
    global FACTOR
    sweep = scaled.sweep(n=range(3), by=[1, 0.5], max_concurrent=2)
    FACTOR = 1000  # what is still to be started is the flow as it was
    try:
        frame = sweep.wait(120).frame()
    finally:
        FACTOR = 10
    assert frame["n"].to_list() == [0, 0, 1, 1, 2, 2]
    assert frame["by"].to_list() == [1.0, 0.5] * 3
    assert frame["status"].to_list() == ["finished"] * 4 + ["error"] * 2
    assert frame["result.product"].to_list() == [0.0, 0.0, 10.0, 5.0, None, None]
    assert frame["error"].to_list()[3:] == [None, "ValueError: two is no good", "ValueError: two is no good"]
    assert frame["run_id"].to_list() == [run.id for run in sweep]
    assert frame["duration_s"].dtype == pl.Float64
    assert (len(sweep), sweep.progress, sweep.done, sweep.counts) == (6, 1.0, True, {"finished": 4, "error": 2})
    shown = sweep._repr_mimebundle_()["text/html"]
    assert shown.count("✓ finished") == 4
    assert shown.count("✗ error") == 2

    tagged = kl.runs().filter(pl.col("tags").list.contains(f"sweep:{sweep.id}")).collect()
    assert sorted(tagged["run_id"]) == sorted(frame["run_id"])
    assert tagged["tags"].to_list()[0] == ["mine", f"sweep:{sweep.id}"]
    again = sweep[1].rerun()
    assert again.wait(60).meta["tags"] == ["mine"]  # a run like one of it is none of it
    assert "sweep" not in again.meta


def test_no_more_than_asked_for_go_on_at_once_and_the_rest_can_be_cancelled(lab: Any) -> None:
    sweep = kitchen.asleepy.sweep(seconds=[60.0, 61.0, 62.0, 63.0], max_concurrent=2)
    assert (sweep.view().sweep_id, sweep.view().run) == (sweep.id, None)
    eventually(lambda: sweep.counts.get("running") == 2)
    assert sweep.counts == {"running": 2, "waiting": 2}
    with pytest.raises(WaitTimeout, match="2 running, 2 waiting"):
        sweep.wait(0.1)
    assert sweep.cancel() == 2
    sweep.wait(60)
    assert sweep.counts == {"cancelled": 2, "waiting": 2}
    assert sweep.frame()["error"].to_list()[2:] == [None, None]
    assert len(list(sweep)) == 2


def test_another_process_finds_a_sweep_and_starts_what_failed_or_never_began(lab: Any, tmp_path: Path) -> None:
    marker = tmp_path / "ready"
    sweep = kitchen.picky.sweep(n=[1, 2, 3], marker=str(marker), max_concurrent=1)
    eventually(lambda: sweep.counts.get("error") == 1)
    sweep.cancel()
    sweep.wait(60)
    before = sweep.counts
    marker.write_text("")
    code = f"""
import kodosumi_lab as kl
sweep = kl.sweep({sweep.id!r}, log_dir={str(lab.home.log_dir)!r})
assert (sweep.flow, sweep.over, len(sweep), sweep.counts) == ("picky", ["n"], 3, {before!r}), sweep
kl.connect({lab.home.address!r}, log_dir={str(lab.home.log_dir)!r})
started = sweep.rerun_failed(cancelled=True) + sweep.resume()
frame = sweep.wait(120).frame()
print(started, frame["result"].to_list(), frame["status"].to_list())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1)[1].strip() == "[10, 20, 30] ['finished', 'finished', 'finished']"
    found = kl.sweep(sweep.id)
    assert found.frame()["result"].to_list() == [10, 20, 30]
    assert found[0].meta["rerun_of"]
    assert json.loads(json.dumps(found[2].meta["sweep"]))["lists"] == {"n": [1, 2, 3]}


def test_another_process_has_the_one_that_starts_runs_stop(lab: Any) -> None:
    sweep = kitchen.asleepy.sweep(seconds=[60.0, 61.0, 62.0], max_concurrent=1)
    eventually(lambda: sweep.counts.get("running") == 1)
    code = f"""
import kodosumi_lab as kl
sweep = kl.sweep({sweep.id!r}, log_dir={str(lab.home.log_dir)!r})
assert sweep.starting and not sweep.done
kl.connect({lab.home.address!r}, log_dir={str(lab.home.log_dir)!r})
try:
    sweep.resume()
except kl.errors.FlowError as error:
    print(error)
print(sweep.cancel(), sweep.starting)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert f"another process starts the runs of sweep {sweep.id} at the moment" in done.stdout
    assert done.stdout.split()[-2:] == ["1", "False"]
    sweep.wait(60)
    assert sweep.counts == {"cancelled": 1, "waiting": 2}
    assert (sweep.starting, sweep.done, sweep.failure) == (False, True, "")


def test_two_who_go_on_with_a_sweep_at_once_start_nothing_twice(lab: Any) -> None:
    sweep = kitchen.asleepy.sweep(seconds=[60.0, 0.1, 0.2, 0.3], max_concurrent=1)
    eventually(lambda: sweep.counts.get("running") == 1)
    sweep.cancel()
    others = [kl.sweep(sweep.id) for _ in range(2)]
    assert [one.max_concurrent for one in others] == [1, 1]

    def resumed(one: Any) -> int:
        try:
            return int(one.resume())
        except FlowError:  # the other one does
            return 0

    with ThreadPoolExecutor() as pool:
        assert sum(pool.map(resumed, others)) == 3
    assert sweep.wait(60).counts == {"cancelled": 1, "finished": 3}
    tagged = kl.runs().filter(pl.col("tags").list.contains(f"sweep:{sweep.id}")).collect()
    assert len(tagged) == 4


async def _awaited(sweep: Any) -> Any:
    return await sweep


def test_a_sweep_can_be_awaited_and_a_failed_one_is_run_again(lab: Any, tmp_path: Path) -> None:
    import asyncio

    marker = tmp_path / "ready"
    sweep = kitchen.picky.sweep(n=[1, 2], marker=str(marker))
    assert asyncio.run(_awaited(sweep))["status"].to_list() == ["error", "error"]
    failed = sweep[0]
    marker.write_text("")
    assert sweep.rerun_failed() == 2
    began = time.monotonic()
    assert sweep.wait(60).frame()["result"].to_list() == [10, 20]
    assert time.monotonic() - began < 60
    assert sweep[0].meta["rerun_of"] == failed.id
    assert failed.status == "error"
    assert sweep.rerun_failed() == 0
