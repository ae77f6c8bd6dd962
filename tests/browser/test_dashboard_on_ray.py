"""The dashboard with a cluster behind it: flows are launched and followed, and the cluster is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apikit import serving
from playwright.sync_api import expect

import kodosumi_lab as kl
from browser.board import Person, Served
from kodosumi_lab.api.app import create_app
from kodosumi_lab.dashboard.facts import cluster_facts
from kodosumi_lab.settings import load

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def app(lab: Any) -> Any:
    from kodosumi_lab.dashboard.mounted import Dashboard

    flows = ["browser.orders", "kitchen"]
    settings = load(log_dir=lab.log_dir)
    return create_app(settings=settings, mounts={"/dashboard": Dashboard()}, pages=["/dashboard"], flows=flows)


@pytest.fixture(scope="module")
def served(app: Any, lab: Any) -> Iterator[Served]:
    with serving(app) as url:
        yield Served(f"{url}/dashboard/", Path(lab.log_dir))


@pytest.fixture
def look(open_page: Callable[..., Any], served: Served) -> Person:
    return Person(open_page, served)


def test_a_flow_is_launched_and_its_run_is_followed(look: Person) -> None:
    page = look("?page=flows&chosen=hello", who="ada")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Launch").click()
    page.get_by_role("button", name="Show it").click()
    page.wait_for_url(re.compile("page=run"))
    expect(page.get_by_text("finished").first).to_be_visible()
    expect(page.get_by_text("hello Ada").first).to_be_visible()
    run_id = page.evaluate("new URLSearchParams(location.search).get('run')")
    assert run_id in kl.runs().filter(user="ada", flow="hello").collect()["run_id"].to_list()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Flows").click()
    page.locator(".flows a", has_text="hello").click()
    expect(page.get_by_role("region", name="Recent runs")).to_contain_text(run_id[-8:])


def test_what_waits_is_counted_until_it_waits_no_more(look: Person) -> None:
    page = look("?page=flows&chosen=page_review", who="ada")
    page.get_by_label("Title").fill("Bees")
    page.get_by_role("button", name="Launch").click()
    inbox = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Inbox")
    expect(inbox.locator("b")).to_have_text("1")
    inbox.click()
    page.get_by_role("button", name="approval").click()
    page.get_by_role("button", name="Show run").click()
    page.wait_for_url(re.compile("page=run"))
    expect(page.get_by_text("awaiting").first).to_be_visible()
    run_id = page.evaluate("new URLSearchParams(location.search).get('run')")
    kl.run(run_id).cancel()
    expect(inbox.locator("b")).to_have_count(0)


def test_what_waits_is_answered_in_the_inbox(look: Person) -> None:
    page = look("?page=flows&chosen=page_review", who="ada")
    page.get_by_label("Title").fill("Wasps")
    page.get_by_role("button", name="Launch").click()
    nav = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Inbox")
    expect(nav.locator("b")).to_have_text("1")
    nav.click()
    page.get_by_role("button", name="approval").click()
    page.get_by_label("Verdict").select_option("accept")
    page.get_by_label("PIN", exact=True).fill("1234")
    page.get_by_label("Proof").set_input_files([{"name": "p.pdf", "mimeType": "application/pdf", "buffer": b"proof"}])
    page.get_by_role("button", name="Decide").click()
    page.get_by_role("button", name="sure?").click()
    page.get_by_role("button", name="Yes", exact=True).click()
    expect(nav.locator("b")).to_have_count(0)
    run_id = kl.runs().filter(flow="page_review", user="ada").collect()["run_id"].to_list()[-1]
    result = kl.run(run_id).result(60)
    assert (result["verdict"], result["proof"]) == ("accept", ["p.pdf"])


def test_the_cluster_is_shown_as_it_is(look: Person, app: Any) -> None:
    import kitchen

    run = kitchen.asleepy.launch(seconds=300)
    page = look("?page=cluster", who="olga")
    nodes = page.get_by_role("region", name="Nodes")
    expect(nodes).to_contain_text("alive")
    expect(nodes).to_contain_text("head")
    expect(nodes.get_by_role("link", name=run.id[-8:])).to_be_visible()
    expect(page.locator(".tile", has_text="Slots in use")).to_contain_text("1 of 8")
    expect(page.locator(".tile", has_text="Spooler")).to_contain_text("keeps up")
    expect(page.locator(".tile", has_text="Emit to disk")).to_contain_text(re.compile(r"\d m?s"))
    facts = cluster_facts(app.state.gateway)
    assert facts.spooler is not None
    assert facts.spooler["trouble"] is None
    assert facts.silent == {}
    assert [node.runs for node in facts.nodes] == [[run.id]]
    run.cancel()
    run.wait(60)
    expect(page.locator(".tile", has_text="Slots in use")).to_contain_text("0 of 8")
    expect(page.get_by_text("no Ray cluster")).to_have_count(0)


def test_numbers_by_node_name_the_host(look: Person) -> None:
    import platform

    page = look("?page=analytics&by=node", who="olga")
    expect(page.get_by_role("region", name="By node")).to_contain_text(platform.node())
