"""Clusters that come and go: killed kernels, removed nodes, memory that runs out, two notebooks on one log.

Each of these needs a Ray of its own, in a process of its own; the scripts print what they saw.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from conftest import eventually

import kodosumi_lab as kl

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CLI = Path(sys.executable).parent / "kodosumi-lab"


def script(code: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process that runs `code`, with the tests' modules importable."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 180) -> dict[str, Any]:
    """The JSON object that a script printed last; its whole output when it failed. Ray prints around it."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, f"{out}\n{err}"
    objects = [line for line in out.splitlines() if line.startswith("{")]
    assert objects, f"{out}\n{err}"
    return dict(json.loads(objects[-1]))


@pytest.fixture
def background(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A background cluster of its own, and the environment that leads to it."""
    environment = {
        "KODOSUMI_LAB_STATE_DIR": str(tmp_path / "state"),
        "KODOSUMI_LAB_LOG_DIR": str(tmp_path / "log"),
        "KODOSUMI_LAB_WARM_RUNNERS": "0",
    }
    subprocess.run([CLI, "up"], env={**os.environ, **environment}, check=True, capture_output=True, timeout=240)
    yield environment
    subprocess.run([CLI, "down"], env={**os.environ, **environment}, check=True, capture_output=True, timeout=120)


def test_a_background_cluster_has_what_other_drivers_may_miss(background: dict[str, str]) -> None:
    told = json.loads((Path(background["KODOSUMI_LAB_STATE_DIR"]) / "cluster.json").read_text())

    def scripts() -> set[str]:
        words = [one.cmdline()[:3] for one in psutil.Process(told["pid"]).children(recursive=True)]
        return {Path(word).name for line in words for word in line}

    eventually(lambda: {"monitor.py", "log_monitor.py"} <= scripts(), timeout_s=60)
    assert "dashboard.py" not in scripts()
    # so a driver that is not ours sees what its tasks print
    driver = script(
        """
        import ray
        ray.init(address="auto")
        ray.get(ray.remote(lambda: print("from", "a task")).remote())
        input()
        """,
        RAY_ADDRESS=told["address"], RAY_AUTH_MODE="token", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    )  # fmt: skip
    assert driver.stdout is not None
    seen = any("from a task" in line for line in iter(driver.stdout.readline, ""))
    _, trouble = driver.communicate("\n")
    assert seen, trouble


def test_a_run_goes_on_when_the_launching_kernel_is_killed(background: dict[str, str]) -> None:
    launcher = script(
        """
        import json, time, kitchen
        run = kitchen.hello.launch(name="orphan", times=9)
        print(json.dumps({"id": run.id}), flush=True)
        time.sleep(600)
        """,
        **background,
    )
    assert launcher.stdout is not None
    run_id = json.loads(launcher.stdout.readline())["id"]
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()
    run = kl.run(run_id, log_dir=background["KODOSUMI_LAB_LOG_DIR"])
    assert run.result(120) == "hello orphan"
    events = run.events().sort("seq").collect()
    assert events["seq"].to_list() == list(range(len(events)))


def test_a_cluster_that_is_killed_leaves_no_run_open(background: dict[str, str], tmp_path: Path) -> None:
    state = json.loads((tmp_path / "state" / "cluster.json").read_text())
    launched = finish(
        script('import json, kitchen; print(json.dumps({"id": kitchen.asleepy.launch(seconds=600).id}))', **background)
    )
    run = kl.run(launched["id"], log_dir=background["KODOSUMI_LAB_LOG_DIR"])
    eventually(lambda: run.status == "running", timeout_s=60)
    process = psutil.Process(state["pid"])
    tree = process.children(recursive=True)
    process.send_signal(signal.SIGKILL)
    psutil.wait_procs(tree, timeout=30)
    assert run.status == "running"  # nobody is there to say otherwise yet
    subprocess.run([CLI, "up"], env={**os.environ, **background}, check=True, capture_output=True, timeout=240)
    eventually(lambda: run.status == "lost", timeout_s=60)
    assert "its cluster ended" in run.reason


def test_two_notebooks_with_embedded_ray_share_one_log(tmp_path: Path) -> None:
    code = """
        import json, sys, kitchen, kodosumi_lab as kl
        kl.connect("local", slots=2, warm_runners=0)
        print("connected", flush=True)
        sys.stdin.readline()
        runs = [kitchen.hello.launch(name=f"{NAME}{i}", times=3) for i in range(8)]
        print(json.dumps({"results": [run.result(120) for run in runs], "ids": [run.id for run in runs]}))
        kl.disconnect()
    """
    log = str(tmp_path / "log")
    both = []
    for name in ("a", "b"):  # two Rays that start at the same moment take each other's time on two cores
        process = script(f"NAME = {name!r}\n" + textwrap.dedent(code), KODOSUMI_LAB_LOG_DIR=log)
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n", finish(process)
        both.append(process)
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [finish(process) for process in both]
    for name, answer in zip("ab", answers, strict=True):
        assert answer["results"] == [f"hello {name}{i}" for i in range(8)]
    events = kl.events(log_dir=log).collect()
    assert events.select("run_id", "seq").is_unique().all()
    per_run = events.group_by("run_id").agg(pl.len(), pl.col("seq").max())
    assert len(per_run) == 16
    assert (per_run["len"] == per_run["seq"] + 1).all()
    assert not list(Path(log, "hot").glob("*.arrows"))  # both left only Parquet behind


def test_a_removed_node_ends_its_runs_or_they_go_on_elsewhere(tmp_path: Path) -> None:
    code = """
        import json, os, time
        from ray.cluster_utils import Cluster
        os.environ["RAY_health_check_period_ms"] = "1000"
        os.environ["RAY_health_check_failure_threshold"] = "5"
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        worker = cluster.add_node(num_cpus=1, resources={"elsewhere": 4})
        import kitchen, kodosumi_lab as kl
        kl.connect(cluster.address, warm_runners=0)
        once = kitchen.asleepy.with_options(resources={"elsewhere": 1})
        runs = [once.launch(seconds=600), once.with_options(retries=1).launch(seconds=20)]
        while [run.status for run in runs] != ["running", "running"]:
            time.sleep(0.1)
        cluster.add_node(num_cpus=1, resources={"elsewhere": 4})
        cluster.remove_node(worker, allow_graceful=False)
        removed = time.time()
        runs[0].wait(120)
        waited = time.time() - removed
        result = runs[1].result(120)
        answer = {"status": runs[0].status, "reason": runs[0].reason, "waited": waited, "result": result}
        answer["attempts"] = runs[1].events().collect()["attempt"].max()
        print(json.dumps(answer), flush=True)
        kl.disconnect()
        cluster.shutdown()
    """
    answer = finish(script(code, KODOSUMI_LAB_LOG_DIR=str(tmp_path / "log")), 280)
    assert answer["status"] == "lost"
    assert "node" in answer["reason"]
    assert answer["waited"] < 30
    assert (answer["result"], answer["attempts"]) == ("slept", 2)


def test_a_node_without_the_log_reads_it_where_it_lies(tmp_path: Path) -> None:
    """The second node sees an empty file system in the log's place: a mount of its own."""
    hidden = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, check=False
    )
    if hidden.returncode:
        pytest.skip(f"a process may not mount here: {hidden.stderr.decode().strip()}")
    code = """
        import json, os, subprocess, sys
        from ray.cluster_utils import Cluster
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        log = os.environ["KODOSUMI_LAB_LOG_DIR"]
        os.makedirs(log)
        ray = os.path.join(os.path.dirname(sys.executable), "ray")
        start = f"mount -t tmpfs none {log} && exec {ray} start --address={cluster.address} --num-cpus=1 --block"
        node = subprocess.Popen(["unshare", "-m", "sh", "-c", start + " --resources='{\\"elsewhere\\": 4}'"], stdout=2)
        import kitchen, kodosumi_lab as kl
        kl.connect(cluster.address, warm_runners=0)
        @kl.flow(resources={"elsewhere": 1})
        async def parent(*, tracer):
            import os
            import polars as pl
            from kodosumi_lab.runtime.run import event_log
            child = kitchen.hello.launch(name="there")
            tracer.result(await child)
            kinds = child.events().filter(pl.col("seq") > 1).select("kind").collect()["kind"].to_list()
            followed = [event.seq for event in child.follow()]
            return {
                "log": type(event_log()).__name__, "files": os.listdir(event_log().root), "status": child.status,
                "kinds": kinds, "followed": followed, "runs": len(kl.runs().collect()),
            }
        run = parent.launch()
        answer = {"result": run.result(200), "results": run.results()}
        print(json.dumps(answer), flush=True)
        node.terminate()
        node.wait(30)
        kl.disconnect()
        cluster.shutdown()
    """
    answer = finish(script(code, KODOSUMI_LAB_LOG_DIR=str(tmp_path / "log")), 280)
    there = answer["result"]
    assert (there["log"], there["files"]) == ("RemoteLog", [])
    assert (there["status"], there["runs"]) == ("finished", 2)
    assert there["followed"] == list(range(len(there["kinds"]) + 2))
    assert answer["results"] == ["hello there"]


def test_running_out_of_memory_is_lost_with_the_reason(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 2 * 2**30) / memory.total
    if threshold > 0.95:
        pytest.skip(f"only {memory.available / 2**30:.1f} GiB are free; the test takes up to 3")
    code = """
        import json, kitchen, kodosumi_lab as kl
        kl.connect("local", warm_runners=0)
        @kl.flow
        def greedy() -> int:
            import time
            kept = []
            for _ in range(40):
                kept.append(bytearray(128 * 2**20))
                time.sleep(0.1)
            time.sleep(30)
            return len(kept)
        run = greedy.launch().wait(150)
        print(json.dumps({"status": run.status, "reason": run.reason}), flush=True)
        kl.disconnect()
    """
    environment = {
        "KODOSUMI_LAB_LOG_DIR": str(tmp_path / "log"),
        "RAY_memory_usage_threshold": f"{threshold:.3f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    answer = finish(script(code, **environment), 280)
    assert answer["status"] == "lost"
    # though Ray's memory monitor may have ended the Dispatcher first: it comes back and asks
    assert answer["reason"] == "its Runner was killed because the node ran out of memory"


def test_disconnecting_leaves_no_process_behind(tmp_path: Path) -> None:
    code = """
        import json, os, psutil, kitchen, kodosumi_lab as kl
        kl.connect("local")
        kitchen.hello.launch().result(120)
        before = [p.pid for p in psutil.Process().children(recursive=True)]
        kl.disconnect()
        gone, alive = psutil.wait_procs([psutil.Process(p) for p in before if psutil.pid_exists(p)], timeout=15)
        print(json.dumps({"before": len(before), "left": [p.name() for p in alive]}))
    """
    answer = finish(script(code, KODOSUMI_LAB_LOG_DIR=str(tmp_path / "log")))
    assert answer["before"] > 4
    assert answer["left"] == []


def test_a_gateway_outlives_its_cluster_while_many_ask_and_takes_the_next_one(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests" / "lab" / "asking.py"), str(tmp_path / "log"), "2"]
    environment = {**os.environ, "KODOSUMI_LAB_STATE_DIR": str(tmp_path / "state"), "KODOSUMI_LAB_WARM_RUNNERS": "0"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    finally:
        subprocess.run([str(CLI), "down"], env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-5000:]}"
    assert done.stdout.count("joined after") == 2
