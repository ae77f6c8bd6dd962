"""Widgets in a real kernel: requests over their comm, answered by the gateway inside it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from apikit import Recorded
from logkit import lines, status

from kodosumi_lab.runtime.layout import log_id
from widgets.front import Answer, FrontEnd, frames

MAKE = "from kodosumi_lab.widgets.base import LabWidget\nw = LabWidget(log_dir={root!r})"
SUBSCRIBERS = """
import asyncio
from kodosumi_lab.widgets import bridge
print(sum(task.result().state.gateway.live.subscribers for task in bridge._bridge._apps.values()))
"""


@pytest.fixture
def comm(front: FrontEnd, recorded: Recorded) -> str:
    return front.widget(MAKE.format(root=str(recorded.root)))


def seqs(body: bytes) -> list[int]:
    found = [frame for frame in frames(body) if frame and not frame.startswith(b"{")]
    return [seq for frame in found for seq in pl.read_ipc_stream(frame)["seq"].to_list()]


def test_a_widget_says_which_log_it_is_about(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    state = front.opened[comm]
    assert (state["_log"], state["_http"], state["_outbox"]) == (log_id(recorded.root), True, {})
    assert front.get(comm, "/api/v1/health").json()["log"] == state["_log"]


def test_requests_are_answered_as_over_http(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    runs = front.get(comm, "/api/v1/runs?limit=2&sort=flow")
    assert (runs.status, len(runs.pieces), runs.headers["content-type"]) == (200, 1, "application/json")
    assert [item["flow"] for item in runs.json()["items"]] == ["primes", "research"]
    assert front.get(comm, f"/api/v1/runs/{recorded.failed}").json()["user"] == "bob", "who has the kernel sees all"
    missing = front.get(comm, "/api/v1/runs/nothing")
    assert (missing.status, missing.json()["type"][-13:]) == (404, "run-not-found")
    window = front.get(comm, f"/api/v1/runs/{recorded.finished}/window?kind=stdout&offset=-2&limit=2")
    assert pl.read_ipc_stream(window.body)["seq"].to_list() == [41, 42]
    assert window.headers["x-total"] == "40"


def test_flows_of_the_notebook_are_there_and_take_what_is_entered(front: FrontEnd, comm: str) -> None:
    front.run("import kodosumi_lab as kl\n@kl.flow(summary='In a cell')\ndef of_a_cell(n: int = 3): ...")
    found = {flow["name"]: flow for flow in front.get(comm, "/api/v1/flows?search=of_a_cell").json()}
    assert found["of_a_cell"]["summary"] == "In a cell"
    form = front.get(comm, "/api/v1/flows/of_a_cell/form").json()
    assert (form[0]["name"], form[0]["value"]) == ("n", "3")
    path = "/api/v1/flows/of_a_cell/validate"
    good, bad = json.dumps({"form": {"n": "7"}}), json.dumps({"form": {"n": "x"}})
    assert front.post(comm, path, good).json() == {"valid": True}
    assert front.post(comm, path, good.encode()).json() == {"valid": True}, "a body may be a buffer"
    refused = front.post(comm, path, bad)
    assert (refused.status, set(refused.json()["errors"])) == (422, {"n"})


def test_a_large_answer_comes_in_pieces(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("wide", "ada")
    run.send(recorded.writer, *lines(*("x" * 900_000 for _ in range(4))))
    answer = front.get(comm, f"/api/v1/runs/{run.run_id}/window?kind=stdout")
    assert [len(piece) for piece in answer.pieces[:-1]] == [2**20] * 3
    assert pl.read_ipc_stream(answer.body)["seq"].to_list() == [3, 4, 5, 6]


def test_a_run_is_followed_live_and_to_its_end(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("live", "ada")
    key = front.ask(comm, "GET", f"/api/v1/runs/{run.run_id}/frames?after=-1")
    answer = front.answers[key]
    front.until(lambda: seqs(answer.body) == [0, 1, 2])
    late = []
    for i in range(5):
        run.send(recorded.writer, *lines(i))
        sent = time.monotonic()
        front.until(lambda: seqs(answer.body)[-1] == 3 + i)
        late.append(answer.times[-1] - sent)
    assert sorted(late)[2] < 0.3, late
    run.send(recorded.writer, *lines(*range(2000)), status("finished"))
    front.until(lambda: answer.ended)
    assert seqs(answer.body) == list(range(3 + 5 + 2001))
    assert json.loads([*frames(answer.body)][-1]) == {"end": {"status": "finished", "last_seq": 2008}}


def test_what_is_aborted_ends(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("aborted", "ada")
    key = front.ask(comm, "GET", f"/api/v1/runs/{run.run_id}/frames")
    front.until(lambda: seqs(front.answers[key].body))
    before = int(front.run(SUBSCRIBERS))
    front.abort(comm, key)
    front.until(lambda: int(front.run(SUBSCRIBERS)) == before - 1)
    assert front.get(comm, "/api/v1/health").status == 200, "the others go on"


def test_a_widget_that_is_closed_ends_everything_of_it(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("closed", "ada")
    keys = [front.ask(comm, "GET", f"/api/v1/runs/{run.run_id}/frames") for _ in range(3)]
    front.until(lambda: all(seqs(front.answers[key].body) for key in keys))
    before = int(front.run(SUBSCRIBERS))
    front.run("w.close()")
    front.until(lambda: comm in front.closed)
    front.until(lambda: int(front.run(SUBSCRIBERS)) == before - 3)


def test_a_front_end_that_closes_the_comm_ends_everything_of_it(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("left", "ada")
    key = front.ask(comm, "GET", f"/api/v1/runs/{run.run_id}/frames")
    front.until(lambda: seqs(front.answers[key].body))
    before = int(front.run(SUBSCRIBERS))
    front.client.shell_channel.send(front.client.session.msg("comm_close", {"comm_id": comm, "data": {}}))
    front.until(lambda: int(front.run(SUBSCRIBERS)) == before - 1)


def test_streams_that_reloaded_pages_left_behind_do_not_pile_up(front: FrontEnd, comm: str, recorded: Recorded) -> None:
    run = recorded.begin("reloaded", "ada")
    before = int(front.run(SUBSCRIBERS))
    path = f"/api/v1/runs/{run.run_id}/frames"
    keys = [front.ask(comm, "GET", path) for _ in range(11)]
    front.until(lambda: seqs(front.answers[keys[-1]].body))
    front.until(lambda: int(front.run(SUBSCRIBERS)) == before + 8)
    # they are told, and may come again
    front.until(lambda: [front.answers[key].ended for key in keys] == [True] * 3 + [False] * 8)


def test_an_outbox_in_a_trait_is_as_good_as_messages(front: FrontEnd, comm: str) -> None:
    def item(key: int, path: str = "/api/v1/health", **more: Any) -> dict[str, Any]:
        front.answers.setdefault(key, Answer())
        return {"t": "request", "id": key, "method": "GET", "path": path, "headers": {}, **more}

    def put(n: int, *items: dict[str, Any]) -> None:
        state = {"_outbox": {"n": n, "items": list(items)}}
        front.send(comm, {"method": "update", "state": state, "buffer_paths": []})

    secret = base64.b64encode(b'{"inputs": {"password": "s3cret"}}').decode()
    first, second = item(1), item(2, "/api/v1/runs")
    put(1, first)
    front.until(lambda: front.answers[1].ended)
    third = item(
        3, "/api/v1/flows/nothing/validate", method="POST", base64=secret, headers={"content-type": "application/json"}
    )
    put(2, first, second, third)
    front.until(lambda: front.answers[2].ended and front.answers[3].ended)
    assert (front.answers[2].json()["total"], front.answers[3].status) == (3, 404)
    assert len(front.answers[1].pieces) == 1, "answered once"
    assert front.run("print(w.get_state()['_outbox'])") == "{}", "what somebody entered is saved with no notebook"


def test_nonsense_is_left_alone(front: FrontEnd, comm: str) -> None:
    for content in (
        None,
        7,
        [],
        {},
        {"t": "reply"},
        {"t": "request"},
        {"t": "abort"},
        {"t": "request", "id": {"a": 1}},
    ):
        front.send(comm, {"method": "custom", "content": content})
    front.send(comm, {"method": "custom", "content": {"t": "request", "id": 1, "path": 3, "headers": 4, "base64": "§"}})
    assert front.get(comm, "/api/v1/health").status == 200


# -- while a cell runs --------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["import time; time.sleep(5)", "import asyncio; await asyncio.sleep(5)"], ids=["blocking", "awaiting"]
)
def test_requests_are_answered_while_a_cell_runs(front: FrontEnd, comm: str, recorded: Recorded, cell: str) -> None:
    front.get(comm, "/api/v1/health")
    front.use_subshell()
    run = recorded.begin("meanwhile", "ada")
    running = front.start(cell)
    time.sleep(0.3)
    key = front.ask(comm, "GET", f"/api/v1/runs/{run.run_id}/frames")
    for i in range(5):
        assert front.get(comm, f"/api/v1/runs/{recorded.finished}", timeout_s=3).json()["flow"] == "primes"
        run.send(recorded.writer, *lines(i))
        front.until(lambda: seqs(front.answers[key].body)[-1:] == [3 + i], timeout_s=3)
    assert running not in front.idle, "the cell still runs"
    front.abort(comm, key)
    front.until(lambda: running in front.idle)


def test_a_handler_takes_no_time(front: FrontEnd, recorded: Recorded) -> None:
    """Whatever the application is doing, and while it is made, too: that happens elsewhere."""
    took = front.run(f"""
import time
from pathlib import Path
from kodosumi_lab.widgets.bridge import Channel
channel = Channel(Path({str(recorded.root)!r}), lambda *_: None)
took = []
for i in range(101):
    began = time.perf_counter()
    channel.take({{"t": "request", "id": i, "method": "GET", "path": "/api/v1/runs", "headers": {{}}}})
    took.append(time.perf_counter() - began)
channel.close()
print(sorted(took)[50])
""")
    assert float(took) < 0.05


# -- without a front end ------------------------------------------------------------------


def test_a_notebook_runs_without_a_front_end(recorded: Recorded) -> None:
    import nbformat
    from nbclient import NotebookClient

    cell = MAKE.format(root=str(recorded.root))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell), nbformat.v4.new_code_cell("w")])
    NotebookClient(notebook, timeout=60).execute()
    assert "application/vnd.jupyter.widget-view+json" in notebook.cells[1].outputs[0]["data"]


def test_a_process_ends_though_its_bridge_was_busy(recorded: Recorded, tmp_path: Path) -> None:
    code = f"""
import sys, threading
from pathlib import Path
from kodosumi_lab.widgets.base import LabWidget
assert "fastapi" not in sys.modules, "a widget appears without the gateway"
w = LabWidget(log_dir={str(recorded.root)!r})
answered = threading.Event()
w._channel._post = lambda message, buffers: answered.set()
for i, path in enumerate(["/api/v1/runs/{recorded.asking}/frames", "/api/v1/runs"]):
    w._channel.take({{"t": "request", "id": i, "method": "GET", "path": path, "headers": {{}}}})
assert answered.wait(30)
print("answered", flush=True)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "answered\n", "")
    assert time.monotonic() - began < 30
