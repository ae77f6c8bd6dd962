"""What is started with a cluster, and together with what."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kitchen
import psutil
import pytest
import ray
from conftest import eventually

import kodosumi_lab as kl

pytestmark = pytest.mark.ray


def programs(process: psutil.Process) -> set[str]:
    """File names of the programs and scripts below a process."""
    found: set[str] = set()
    for child in process.children(recursive=True):
        try:
            found |= {Path(word).name for word in child.cmdline()[:3]}
        except psutil.Error:
            continue
    return found


def runner_of(run: kl.Run) -> str:
    return str(run._row()["runner"])


def runners(held: Any) -> set[str]:
    named = ray.util.list_named_actors(all_namespaces=True)
    return {one["name"] for one in named if one["namespace"] == held.home.namespace and "runner" in one["name"]}


def test_ray_in_this_process_starts_what_a_run_needs(lab: Any) -> None:
    running = programs(psutil.Process(os.getpid()))
    assert {"gcs_server", "raylet"} <= running
    assert not {"dashboard.py", "monitor.py", "log_monitor.py"} & running


def test_the_first_runner_is_started_together_with_the_dispatcher(fresh_lab: Callable[..., Any]) -> None:
    held = fresh_lab(warm_runners=1)
    first = f"runner-{held.home.owner}"
    assert first in runners(held)
    run = kitchen.add.launch(a=1)
    assert run.result(60) == 2
    assert runner_of(run) == first
    eventually(lambda: len(runners(held)) == 2, what="a spare one, and one that may take another run")
    # a Dispatcher that is restarted knows nothing of what that Runner was bound to
    before = ray.get(held.dispatcher.ready.remote())
    ray.kill(held.dispatcher, no_restart=False)
    eventually(lambda: ray.get(held.dispatcher.ready.remote()) != before, timeout_s=60)
    again = kitchen.add.launch(a=2)
    assert again.result(60) == 3
    assert runner_of(again) != first
    assert first not in runners(held)


def test_without_warm_runners_none_is_started(fresh_lab: Callable[..., Any]) -> None:
    held = fresh_lab(warm_runners=0)
    assert runners(held) == set()
    assert kitchen.add.launch(a=1).result(60) == 2
