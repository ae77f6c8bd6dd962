"""Live events as frames of Arrow: each once, in order, few frames under load and no wait when it is quiet."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import polars as pl
import pytest
from apikit import Api, Recorded, serving
from conftest import eventually
from logkit import lines, status

from kodosumi_lab.events import arrow_schema


@pytest.fixture
def served(recorded: Recorded) -> Iterator[tuple[str, Api]]:
    api = Api(recorded.root, settings={"gateway_heartbeat_s": 0.2})
    with serving(api.app) as url:
        yield url, api


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames, and what is left."""
    frames = []
    while len(data) >= 4 and len(data) - 4 >= (size := struct.unpack_from("<I", data)[0]):
        frames.append(data[4 : 4 + size])
        data = data[4 + size :]
    return frames, data


def seqs(frame: bytes) -> list[int]:
    import pyarrow as pa

    assert pa.ipc.open_stream(frame).schema.equals(arrow_schema())
    return pl.read_ipc_stream(frame)["seq"].to_list()


async def frames(client: httpx.AsyncClient, url: str, after: int = -1) -> AsyncIterator[tuple[float, bytes]]:
    """Frames with the time at which each came."""
    async with client.stream("GET", url, params={"after": after}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/vnd.kodosumi.frames"
        rest = b""
        async for data in answer.aiter_raw():
            found, rest = split(rest + data)
            for frame in found:
                yield time.monotonic(), frame
    assert rest == b""


def client_of(api: Api) -> httpx.AsyncClient:
    return httpx.AsyncClient(headers={"authorization": f"Bearer {api.tokens['ada']}"}, timeout=30)


def test_a_run_that_has_ended_comes_whole_and_ends(api: Api, recorded: Recorded) -> None:
    found, rest = split(api.get(f"/runs/{recorded.finished}/frames").content)
    assert rest == b""
    assert found[0] == b"", "a heartbeat says at once that somebody is there"
    assert [seq for frame in found[1:-1] for seq in seqs(frame)] == list(range(46))
    assert json.loads(found[-1]) == {"end": {"status": "finished", "last_seq": 45}}
    later, _ = split(api.get(f"/runs/{recorded.finished}/frames", params={"after": 43}).content)
    assert [seqs(frame) for frame in later[1:-1]] == [[44, 45]]
    over, _ = split(api.get(f"/runs/{recorded.finished}/frames", params={"after": 45}).content)
    assert [bool(frame) for frame in over] == [False, True]


def test_under_load_there_are_few_frames_and_no_event_is_missing(served: Any, recorded: Recorded) -> None:
    url, api = served
    run = recorded.begin("busy", "ada")

    def write() -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            run.send(recorded.writer, *lines(*range(20)))
            time.sleep(0.004)
        run.send(recorded.writer, status("finished"))

    async def look() -> tuple[list[int], list[float]]:
        seen: list[int] = []
        times: list[float] = []
        async with client_of(api) as client:
            async for at, frame in frames(client, f"{url}/api/v1/runs/{run.run_id}/frames"):
                if frame.startswith(b"{"):
                    return seen, times
                if frame:
                    seen += seqs(frame)
                    times.append(at)
        raise AssertionError("no end")

    async def both() -> Any:
        return await asyncio.gather(look(), look(), look())

    thread = threading.Thread(target=write)
    thread.start()
    for seen, times in asyncio.run(both()):
        assert seen == list(range(len(seen)))
        assert len(seen) > 1000
        took = times[-1] - times[0]
        assert len(times) <= 30 * took + 3, f"{len(times)} frames in {took:.2f} s"
    thread.join()
    live = api.app.state.gateway.live
    eventually(lambda: (live.subscribers, live._feeds) == (0, {}))


def test_a_single_event_goes_out_at_once(served: Any, recorded: Recorded) -> None:
    url, api = served
    run = recorded.begin("quiet", "ada")
    sent: dict[int, float] = {}

    async def look() -> list[float]:
        late: list[float] = []
        async with client_of(api) as client:
            async for at, frame in frames(client, f"{url}/api/v1/runs/{run.run_id}/frames", after=2):
                if frame:
                    (seq,) = seqs(frame)
                    late.append(at - sent[seq])
                if len(late) == 8:
                    return late
                if not frame and len(late) == len(sent):
                    sent[3 + len(sent)] = time.monotonic()
                    await asyncio.to_thread(run.send, recorded.writer, *lines("x"))
        raise AssertionError("it ended")

    late = sorted(asyncio.run(look()))
    assert late[len(late) // 2] < 0.15, late


def test_a_burst_is_as_few_frames_as_hold_it(served: Any, recorded: Recorded) -> None:
    url, api = served
    run = recorded.begin("burst", "ada")

    async def look() -> list[int]:
        counts: list[int] = []
        burst = [*lines(*("x" * 200 for _ in range(5000)))]
        async with client_of(api) as client:
            async for _, frame in frames(client, f"{url}/api/v1/runs/{run.run_id}/frames", after=2):
                counts += [len(seqs(frame))] if frame else []
                if sum(counts) >= 5000:
                    return counts
                if burst:
                    await asyncio.to_thread(run.send, recorded.writer, *burst)
                    burst = []
        raise AssertionError("it ended")

    assert asyncio.run(look()) == [3000, 2000]  # 1 MiB, as a frame may have, and the rest


def test_history_and_live_events_follow_one_another_without_a_seam(served: Any, recorded: Recorded) -> None:
    url, api = served
    run = recorded.begin("long", "ada")
    run.send(recorded.writer, *lines(*range(4997)))

    async def look() -> list[list[int]]:
        parts: list[list[int]] = []
        async with client_of(api) as client:
            async for _, frame in frames(client, f"{url}/api/v1/runs/{run.run_id}/frames", after=17):
                if frame.startswith(b"{"):
                    return parts
                parts += [seqs(frame)] if frame else []
                if parts and parts[-1] and parts[-1][-1] == 4999:
                    await asyncio.to_thread(run.send, recorded.writer, *lines("new"), status("finished"))
        raise AssertionError("no end")

    parts = asyncio.run(look())
    assert [seq for part in parts for seq in part] == list(range(18, 5002))
    assert len(parts) <= 8, "history comes in pages"


def test_both_ways_of_following_share_one_reader(served: Any, recorded: Recorded) -> None:
    url, api = served
    run = recorded.begin("shared", "ada")
    headers = {"authorization": f"Bearer {api.tokens['ada']}"}
    base = f"{url}/api/v1/runs/{run.run_id}"
    with (
        httpx.stream("GET", f"{base}/follow", headers=headers, timeout=10) as text,
        httpx.stream("GET", f"{base}/frames", headers=headers, timeout=10) as binary,
    ):
        live = api.app.state.gateway.live
        eventually(lambda: live.subscribers == 2)
        assert len(live._feeds) == 1
        run.send(recorded.writer, *lines(*range(100)), status("finished"))
        said = b"".join(text.iter_raw())
        found, _ = split(b"".join(binary.iter_raw()))
    assert said.count(b"id: ") == 104
    assert [seq for frame in found if frame and not frame.startswith(b"{") for seq in seqs(frame)] == list(range(104))


def test_a_quiet_stream_has_a_heartbeat(served: Any, recorded: Recorded) -> None:
    url, api = served

    async def look() -> list[bytes]:
        found: list[bytes] = []
        async with client_of(api) as client:
            async for _, frame in frames(client, f"{url}/api/v1/runs/{recorded.asking}/frames", after=4):
                found.append(frame)
                if len(found) == 4:
                    break
        return found

    assert asyncio.run(look()) == [b""] * 4


@pytest.mark.parametrize("way", ["frames", "follow"])
def test_a_stream_that_is_not_for_ever_ends_and_can_be_taken_up_again(recorded: Recorded, way: str) -> None:
    settings = {"gateway_stream_s": 0.5, "gateway_heartbeat_s": 0.2}
    api = Api(recorded.root, settings=settings)
    headers = {"authorization": f"Bearer {api.tokens['ada']}"}
    with serving(api.app) as url:
        where = f"{url}/api/v1/runs/{recorded.asking}/{way}"
        for _ in range(2):
            began = time.monotonic()
            with httpx.stream("GET", where, headers=headers, params={"after": 2}, timeout=10) as answer:
                said = b"".join(answer.iter_raw())
            assert 0.4 < time.monotonic() - began < 3
            assert b"awaiting" in said
            assert b'{"end"' not in said
            assert b"event: end" not in said
        live = api.app.state.gateway.live
        eventually(lambda: (live.subscribers, live._feeds) == (0, {}))
