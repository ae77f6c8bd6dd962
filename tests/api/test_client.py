"""The Python client against a real server over a recorded log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from apikit import Api, Recorded, serving
from logkit import lines, status

import kodosumi_lab as kl
from kodosumi_lab.errors import (
    AccessDenied,
    ApiError,
    ClusterError,
    FlowNotFound,
    InputsError,
    RunFailed,
    RunNotFound,
    WaitTimeout,
)


@kl.flow(summary="Halve a number")
def api_half(n: int) -> float:
    return n / 2


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with serving(api.app) as url:
        yield url


@pytest.fixture
def client(api: Api, url: str) -> Iterator[kl.Client]:
    with kl.Client(url, token=api.tokens["olga"]) as client:
        yield client


def test_a_run_elsewhere_is_a_run(client: kl.Client, recorded: Recorded) -> None:
    run = client.run(recorded.finished)
    assert isinstance(run, kl.Run)
    assert (run.status, run.done, run.inputs, run.meta["flow"]) == ("finished", True, {"end": 1}, "primes")
    assert run.wait().result(timeout_s=5) == {"gaps": 3}
    assert run.results() == ["forty"]
    assert run.logs().splitlines() == [str(i) for i in range(40)]
    frame = run.events().filter(pl.col("kind") == "stdout").select("seq").collect()
    assert frame["seq"].to_list() == list(range(3, 43))
    assert run.events().collect().schema == kl.events(recorded.finished, log_dir=recorded.root).collect().schema
    assert run.events().head(2).collect()["kind"].to_list() == ["meta", "inputs"]
    assert repr(run) == f"<Run {recorded.finished} primes finished>"
    assert "gaps" in run._repr_mimebundle_()["text/html"]
    assert asyncio.run(as_coroutine(run)) == {"gaps": 3}
    with pytest.raises(RunFailed, match="no such topic"):
        client.run(recorded.failed).result()


async def as_coroutine(run: Any) -> Any:
    return await run


def test_lists_are_frames(client: kl.Client, recorded: Recorded) -> None:
    assert client.runs()["run_id"].to_list() == [recorded.asking, recorded.failed, recorded.finished]
    assert client.runs(user="ada", status="finished")["flow"].to_list() == ["primes"]
    for i in range(30):
        recorded.begin(f"f{i}", "ada")
    assert len(client.runs(limit=7)) == 7
    assert len(client.runs(limit=None)) == 33
    flows = client.flows()
    assert flows.filter(pl.col("name") == "api_half")["summary"].to_list() == ["Halve a number"]
    assert client.flow("api_half")["schema"]["required"] == ["n"]
    assert client.locks()[0]["name"] == "approval"


def test_errors_are_those_of_the_head(client: kl.Client, url: str, recorded: Recorded) -> None:
    with pytest.raises(RunNotFound, match="no run"):
        client.run("x")
    with pytest.raises(FlowNotFound, match="api_half"):
        client.launch("nobody")
    with pytest.raises(InputsError) as wrong:
        client.launch("api_half", n="much")
    assert list(wrong.value.errors) == ["n"]
    with pytest.raises(ClusterError, match="kodosumi-lab up"):
        client.launch("api_half", n=1)
    with pytest.raises(ClusterError):
        client.run(recorded.asking).answer(True, lock="approval")
    with pytest.raises(LookupError, match="approval"):
        client.run(recorded.asking).answer(True, lock="none")
    with kl.Client(url, token="wrong") as stranger, pytest.raises(AccessDenied, match="nobody is known"):
        stranger.runs()
    with kl.Client("http://127.0.0.1:9") as nowhere, pytest.raises(ApiError, match="does not answer"):
        nowhere.runs()
    with pytest.raises(WaitTimeout, match="it goes on"):
        client.run(recorded.asking).wait(0.1)


def test_following_goes_on_over_a_restart_of_the_gateway(api: Api, recorded: Recorded) -> None:
    from kodosumi_lab.api.app import create_app

    emitter = recorded.begin("long", "ada")
    emitter.send(recorded.writer, *lines(*range(500)))
    with serving(api.app) as url:
        port = int(url.rpartition(":")[2])
        client = kl.Client(url, token=api.tokens["ada"])
        following = client.run(emitter.run_id).follow()
        seen = [next(following).seq for _ in range(300)]
    emitter.send(recorded.writer, *lines(*range(500)), status("finished"))
    with serving(create_app(settings=api.app.state.gateway.settings), port=port):
        seen += [event.seq for event in following]
    client.close()
    assert seen == list(range(1004))


def test_the_async_client_does_the_same(api: Api, url: str, recorded: Recorded) -> None:
    async def all_of_it() -> None:
        async with kl.AsyncClient(url, token=api.tokens["olga"]) as client:
            assert client.url in repr(client)
            run = await client.run(recorded.finished)
            assert await run.status() == "finished"
            assert await run == {"gaps": 3}
            assert [event.seq async for event in run.follow(after=40)] == [41, 42, 43, 44, 45]
            assert await run.results() == ["forty"]
            assert (await run.logs()).startswith("0\n1\n")
            assert len(await run.events(after=40)) == 5
            assert (await client.runs(flow="primes"))["run_id"].to_list() == [run.id]
            assert len(await client.flows()) >= 1
            waiting = await client.run(recorded.asking)
            assert (await waiting.locks())[0]["name"] == "approval"
            with pytest.raises(WaitTimeout):
                await waiting.wait(0.05)
            with pytest.raises(ClusterError):
                await waiting.cancel()
            with pytest.raises(RunFailed, match="no such topic"):
                await (await client.run(recorded.failed)).result()
            with pytest.raises(RunNotFound):
                await client.run("x")

    asyncio.run(all_of_it())
    with kl.Client(url, token=api.tokens["ada"]) as client:
        run = client.run(recorded.finished)

        async def followed() -> list[int]:
            return [event.seq async for event in run.afollow(43)]

        assert asyncio.run(followed()) == [44, 45]
