"""Widgets that act, with a cluster behind the kernel: launched from a button while a cell runs, answered, run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from widgets.front import FrontEnd

pytestmark = pytest.mark.ray

CELL = """
import kodosumi_lab as kl
from kodosumi_lab.widgets.base import LabWidget

@kl.flow
async def cell_asks(word: str, times: int = 2, *, tracer: kl.Tracer) -> str:
    answer = await tracer.lock("which", {"word": word})
    return word * times + answer

w = LabWidget()
"""


@pytest.fixture
def front(lab: Any) -> Iterator[FrontEnd]:
    manager = KernelManager()
    environment = {**os.environ, "RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": str(lab.log_dir)}
    manager.start_kernel(env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield FrontEnd(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_flow_of_a_cell_is_launched_answered_and_run_again_while_a_cell_runs(front: FrontEnd) -> None:
    comm = front.widget(CELL)
    front.use_subshell()
    running = front.start("import time; time.sleep(60)")
    body = json.dumps({"form": {"word": "ab", "times": "3"}})
    launched = front.post(comm, "/api/v1/flows/cell_asks/launch", body)
    assert launched.status == 201, launched.body
    run_id = launched.json()["run_id"]

    def lock_of(run: str) -> Any:
        return front.until(lambda: front.get(comm, f"/api/v1/runs/{run}/locks").json(), 60)[0]["lid"]

    def ended(run: str) -> Any:
        front.until(lambda: front.get(comm, f"/api/v1/runs/{run}").json()["ended"], 60)
        return front.get(comm, f"/api/v1/runs/{run}/result").json()["payload"]

    answered = front.post(comm, f"/api/v1/runs/{run_id}/locks/{lock_of(run_id)}", '{"result": "!"}')
    assert answered.status == 200, answered.body
    assert ended(run_id) == {"text/plain": "ababab!"}
    form = {one["name"]: one["value"] for one in front.get(comm, f"/api/v1/runs/{run_id}/form").json()}
    assert form == {"word": "ab", "times": "3"}
    again = front.post(comm, f"/api/v1/runs/{run_id}/rerun", json.dumps({"form": {**form, "times": "1"}})).json()
    front.post(comm, f"/api/v1/runs/{again['run_id']}/locks/{lock_of(again['run_id'])}", '{"result": "?"}')
    assert ended(again["run_id"]) == {"text/plain": "ab?"}
    assert running not in front.idle
