"""What people do from the dashboard's pages, and that it happens: on a Ray of its own, which the first page starts."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from conftest import eventually
from playwright.sync_api import expect

import kodosumi_lab as kl
from browser.board import SCRIPT, Person, Served, free_port, panel_serve, serve
from kodosumi_lab.runtime import background
from kodosumi_lab.runtime.query import EventLog

pytestmark = pytest.mark.ray

FLOWS = ("--flows", "browser.errands")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a log, and a background cluster of its own."""
    folder = tmp_path_factory.mktemp("acting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KODOSUMI_LAB_STATE_DIR", str(folder / "state"))
        patch.setenv("KODOSUMI_LAB_WARM_RUNNERS", "1")
        patch.setenv("KODOSUMI_LAB_SLOTS", "4")
        yield folder
        background.down()


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with serve(place / "log", *FLOWS) as held:
        yield held


@pytest.fixture
def look(open_page: Callable[..., Any], served: Served) -> Person:
    return Person(open_page, served)


@pytest.fixture(scope="module")
def port() -> int:
    """Where Ray Serve listens, as long as it runs."""
    return free_port()


def runs(served: Served, **wanted: Any) -> list[str]:
    """Ids of runs, the oldest first."""
    frame = EventLog(served.root).runs().filter(**wanted).collect().sort("run_id")
    return list(frame["run_id"])


def status(served: Served, run_id: str) -> str:
    return str(EventLog(served.root).run(run_id)["status"])


@contextlib.contextmanager
def other_ray() -> Iterator[tuple[str, str]]:
    """A Ray that somebody else started, with Ray's own dashboard; the addresses of both."""
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    command += ["--node-ip-address=127.0.0.1", f"--port={ports[0]}", "--include-dashboard=true"]
    command += [f"--dashboard-port={ports[1]}", "--disable-usage-stats"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{ports[1]}"
            eventually(lambda: answers(url), timeout_s=90)
            yield f"127.0.0.1:{ports[0]}", url
        finally:
            head = psutil.Process(process.pid)
            tree = [head, *head.children(recursive=True)]
            process.terminate()
            for one in psutil.wait_procs(tree, timeout=60)[1]:
                one.kill()


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=10).status_code < 500
    return False


def nav(page: Any, name: str) -> Any:
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)


def launch(page: Any, flow: str, **values: str) -> str:
    """Launch a flow from its form; the run's id."""
    nav(page, "Flows").click()
    page.locator(".flows a", has_text=flow).click()
    for label, value in values.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Launch").click()
    page.get_by_role("button", name="Show it").click()
    page.wait_for_url(re.compile("page=run&"))
    return str(page.evaluate("new URLSearchParams(location.search).get('run')"))


def test_ray_is_started_from_the_cluster_page(look: Person, served: Served, place: Path) -> None:
    background.down()
    page = look("?page=cluster")
    expect(page.get_by_role("heading", name="No Ray cluster")).to_be_visible()
    page.get_by_role("button", name="Start Ray here").click()
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("alive")
    expect(page.locator(".tile", has_text="Spooler")).to_contain_text("keeps up")
    expect(page.get_by_role("button", name="Start Ray here")).not_to_be_visible()
    expect(page.get_by_text("History only")).to_have_count(0)
    found = background.find()
    assert found is not None
    assert Path(found["log_dir"]) == place / "log"
    expect(page.get_by_text(found["address"]).first).to_be_visible()
    page.get_by_label("Address").fill("127.0.0.1:9")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_text("not connected: nothing answers at 127.0.0.1:9").first).to_be_visible()
    page.get_by_label("Address").fill("")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_text(f"connected to {found['address']}").first).to_be_visible()
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("alive")


def test_a_run_is_cancelled_and_run_again_from_its_page(look: Person, served: Served) -> None:
    page = look("?page=flows", who="ada")
    first = launch(page, "errand_nap", Seconds="300")
    expect(page.get_by_text("running").first).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel run", exact=True).click()
    expect(page.get_by_text("cancelled").first).to_be_visible()
    eventually(lambda: status(served, first) == "cancelled", timeout_s=60)
    page.get_by_role("button", name="Rerun …").click()
    page.get_by_label("Seconds").fill("0")
    page.get_by_role("button", name="Rerun", exact=True).click()
    page.wait_for_function("first => new URLSearchParams(location.search).get('run') !== first", arg=first)
    expect(page.get_by_text("rested").first).to_be_visible()
    again = page.evaluate("new URLSearchParams(location.search).get('run')")
    assert runs(served, flow="errand_nap", user="ada")[-2:] == [first, again]


def test_several_runs_are_cancelled_and_run_again_from_the_list(look: Person, served: Served) -> None:
    page = look("?page=flows", who="olga")
    before = runs(served, flow="errand_nap", user="olga")
    made = [launch(page, "errand_nap", Seconds="300") for _ in range(2)]
    page.goto(served.url + "?page=runs&flow=errand_nap&user=olga")
    lines = page.locator(", ".join(f'tr[data-id="{run_id}"]' for run_id in made))
    expect(lines.filter(has_text="running")).to_have_count(2)
    for at in range(2):
        lines.nth(at).get_by_role("checkbox").check()
    page.get_by_role("button", name="Cancel runs").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(lines.filter(has_text="cancelled")).to_have_count(2)
    assert [status(served, run_id) for run_id in made] == ["cancelled", "cancelled"]
    page.get_by_role("button", name="Rerun 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_text("2 runs started")).to_be_visible()
    page.mouse.move(2, 2)  # rows stay where they are under the mouse
    expect(page.locator("tr[data-id]")).to_have_count(len(before) + 4)
    again = runs(served, flow="errand_nap", user="olga")[len(before) + 2 :]
    assert len(again) == 2
    for run_id in again:  # with the same inputs
        assert kl.run(run_id, log_dir=served.root).inputs == {"seconds": 300.0}
        page.locator(f'tr[data-id="{run_id}"]').get_by_role("checkbox").check()
    for run_id in made:
        page.locator(f'tr[data-id="{run_id}"]').get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Cancel runs").click()
    page.get_by_role("button", name="Yes, cancel").click()
    eventually(lambda: [status(served, run_id) for run_id in again] == ["cancelled"] * 2, timeout_s=60)


def test_a_service_is_deployed_and_stopped_from_control(look: Person, port: int) -> None:
    page = look("?page=control&tab=services")
    expect(page.get_by_text("Nothing is deployed")).to_be_visible()
    app = {"name": "errand", "route_prefix": "/errand", "import_path": "services.kodo:fast_app"}
    small = {"deployments": [{"name": "Kodo", "ray_actor_options": {"num_cpus": 0.1}}]}
    text = page.get_by_label("Configuration")
    text.fill(yaml.safe_dump({"http_options": {"port": port}, "applications": [{**app, **small}]}))
    page.get_by_role("button", name="Deploy").click()
    services = page.get_by_role("region", name="Services")
    expect(services).to_contain_text("errand")
    expect(services).to_contain_text("RUNNING")  # it is looked at again by itself
    told = eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/errand/openapi.json", timeout=60), timeout_s=60)
    assert told.json()["paths"]["/"]["get"]["x-kodosumi"] is True
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("errand stopped")).to_be_visible()
    expect(page.get_by_text("Nothing is deployed")).to_be_visible()
    assert httpx.get(f"http://127.0.0.1:{port}/errand/openapi.json", timeout=60).status_code == 404
    page.get_by_role("link", name="Audit").click()
    audit = page.get_by_role("region", name="Audit")
    for call in ("deploy", "stop_service", "start_ray", "connect"):
        expect(audit).to_contain_text(call)


def test_under_panel_serve_a_flow_is_launched_answered_and_cancelled(
    open_page: Callable[..., Any], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kodosumi_lab.runtime.register import Register

    Register(served.root).add("browser.errands")
    with panel_serve(served.root) as held:
        page = open_page(f"{held.url}?page=flows")
        page.get_by_label("Token").first.fill(held.tokens["ada"])
        page.get_by_role("button", name="Sign in").click()
        waiting = launch(page, "errand_ask", Topic="wasps")
        nav(page, "Inbox").click()
        page.get_by_role("button", name=re.compile("word errand_ask")).first.click()
        page.get_by_role("textbox", name="Word").fill("sting")
        page.get_by_role("button", name="Say it").click()
        expect(page.get_by_text("Answered").first).to_be_visible()
        assert kl.run(waiting, log_dir=served.root).wait(60).status == "finished"
        napping = launch(page, "errand_nap", Seconds="300")
        expect(page.get_by_text("running").first).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel run", exact=True).click()
        expect(page.get_by_text("cancelled").first).to_be_visible()
        eventually(lambda: status(served, napping) == "cancelled", timeout_s=60)
        assert EventLog(served.root).run(waiting)["user"] == "ada"


def test_ray_goes_away_and_another_one_is_connected_to(look: Person, served: Served) -> None:
    background.up(log_dir=served.root)  # where it is up, that one
    page = look("?page=cluster")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("region", name="Nodes")).to_contain_text("alive")
    subprocess.run([*SCRIPT, "down"], check=True, capture_output=True, timeout=120)
    expect(page.get_by_text("History only").first).to_be_visible()
    expect(page.get_by_role("heading", name="No Ray cluster")).to_be_visible()
    nav(page, "Analytics").click()
    expect(page.locator(".tile", has_text="Runs").first).to_be_visible()
    nav(page, "Cluster").click()
    with other_ray() as (address, dashboard):
        page.get_by_label("Address").fill(address)
        page.get_by_role("button", name="Connect").click()
        expect(page.get_by_text(f"connected to {address}").first).to_be_visible()
        expect(page.get_by_role("region", name="Nodes")).to_contain_text("alive")
        expect(page.get_by_text("History only")).to_have_count(0)
        own = page.get_by_role("link", name="Ray’s own dashboard")
        expect(own).to_have_attribute("href", dashboard)
        expect(own).to_have_attribute("target", "_blank")
    expect(page.get_by_text(f"nothing answers at {address}").first).to_be_visible()
    expect(page.get_by_role("heading", name="No Ray cluster")).to_be_visible()
