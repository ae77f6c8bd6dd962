"""MCP as an agent speaks it: the official client against a real server, over a recorded log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx2
import pytest
from apikit import Api, Recorded, serving
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

import kodosumi_lab as kl
from kodosumi_lab.api.audit import Audit
from kodosumi_lab.runtime.query import EventLog


@kl.flow(summary="Negate a number")
def api_negate(n: int) -> int:
    """Negate a number, whichever."""
    return -n


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with serving(api.app) as url:
        yield url


def with_agent(url: str, token: str, act: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    """What `act` makes of a connected client."""

    async def run() -> Any:
        headers = {"authorization": f"Bearer {token}"}
        http = httpx2.AsyncClient(headers=headers, timeout=60)
        async with http, Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
            return await act(client)

    return asyncio.run(run())


def test_flows_are_tools_with_their_schema(api: Api, url: str) -> None:
    async def names(client: Client) -> dict[str, Any]:
        return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = with_agent(url, api.tokens["ada"], names)
    assert tools["api_negate"].input_schema["properties"]["n"]["type"] == "integer"
    assert "Negate" in tools["api_negate"].description
    built_in = {"list_runs", "get_run", "follow_run", "list_locks", "answer_lock", "cancel_run"}
    assert built_in <= set(tools)
    assert tools["follow_run"].annotations.read_only_hint is True
    seen = set(with_agent(url, api.tokens["bob"], names))
    assert seen == {"list_runs", "get_run", "follow_run", "list_locks"}, "a viewer has nothing to act with"


def test_an_agent_reads_what_its_user_may_see_and_every_call_is_in_the_log(
    api: Api, url: str, recorded: Recorded
) -> None:
    async def act(client: Client) -> list[Any]:
        listed = await client.call_tool("list_runs", {"status": "finished"})
        one = await client.call_tool("get_run", {"run_id": recorded.finished})
        first = await client.call_tool("follow_run", {"run_id": recorded.finished, "limit": 30})
        rest = await client.call_tool("follow_run", {"run_id": recorded.finished, "after": 29})
        locks = await client.call_tool("list_locks", {})
        return [answer.structured_content for answer in (listed, one, first, rest, locks)]

    listed, one, first, rest, locks = with_agent(url, api.tokens["ada"], act)
    assert [run["run_id"] for run in listed["runs"]] == [recorded.finished]
    assert one["result"] == {"application/json": {"gaps": 3}}
    assert [event["seq"] for event in first["events"] + rest["events"]] == list(range(46))
    assert (first["done"], rest["done"]) == (False, True)
    assert locks["locks"][0]["lid"] == "l1"
    entries = api.get("/audit", as_="root").json()
    calls = [(entry["user"], entry["via"], entry["call"], entry["outcome"]) for entry in entries]
    assert calls == [
        ("ada", "mcp", call, "ok") for call in ("list_locks", "follow_run", "follow_run", "get_run", "list_runs")
    ]
    assert entries[1]["run_id"] == recorded.finished
    assert api.get("/audit", as_="olga").status_code == 403
    assert api.get("/runs").json()["total"] == 3, "the audit's own run is hidden"


def test_what_is_refused_is_said_and_recorded(api: Api, url: str, recorded: Recorded) -> None:
    async def act(client: Client) -> list[Any]:
        return [
            await client.call_tool("get_run", {"run_id": recorded.failed}),
            await client.call_tool("api_negate", {"n": "much"}),
            await client.call_tool("api_negate", {"n": 1}),
            await client.call_tool("nothing", {}),
            await client.call_tool("follow_run", {"run_id": recorded.finished, "after": "x"}),
        ]

    answers = with_agent(url, api.tokens["ada"], act)
    assert all(answer.is_error for answer in answers)
    told = [answer.content[0].text for answer in answers]
    assert "no run" in told[0]
    assert set(json.loads(told[1])["errors"]) == {"n"}
    assert "kodosumi-lab up" in told[2]
    outcomes = [entry["outcome"] for entry in api.get("/audit", as_="root").json()]
    assert outcomes == ["arguments", "tool-not-found", "cluster", "inputs", "run-not-found"]


def test_nobody_unknown_speaks_mcp(api: Api, url: str) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"accept": "application/json, text/event-stream"}
    for more in ({}, {"authorization": "Bearer wrong"}):
        answer = httpx2.post(f"{url}/mcp", json=hello, headers=headers | more)
        assert (answer.status_code, answer.json()["type"][-15:]) == (401, "unauthenticated")
    assert api.get("/audit", as_="root").json() == []


def test_an_audit_ends_with_its_gateway_and_leaves_parquet(recorded: Recorded) -> None:
    log = EventLog(recorded.root)
    audit = Audit(log)
    assert audit.entries(10) == []
    audit.note("ada", "http", "delete_run", "ok", run_id="r")
    other = Audit(log)
    other.note("bob", "mcp", "list_runs", "ok")
    assert [entry["user"] for entry in audit.entries(10)] == ["bob", "ada"]
    audit.close()
    other.close()
    assert [str(name.owner) for name in log.layout.hot_segments()] == ["test"]
    assert [entry["user"] for entry in Audit(log).entries(1)] == ["bob"]
    runs = log.runs(hidden=True).collect()
    assert runs["status"].to_list().count("finished") == 3
