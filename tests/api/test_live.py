"""Live events over SSE, from a real server: everybody gets every event once, nobody waits for anybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from apikit import Api, Recorded, serving
from logkit import lines, status

EVENTS = 10_000
READERS = 100


@pytest.fixture
def served(recorded: Recorded) -> Iterator[tuple[str, Api]]:
    api = Api(recorded.root, settings={"gateway_heartbeat_s": 0.2})
    with serving(api.app) as url:
        yield url, api


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What a test opens is closed before the server ends."""
    with contextlib.ExitStack() as held:
        yield held


def write_slowly(recorded: Recorded, emitter: Any, count: int, batch: int, pause_s: float) -> threading.Thread:
    """Another thread commits `count` events and the run's end; three events are there already."""

    def write() -> None:
        for start in range(0, count, batch):
            emitter.send(recorded.writer, *lines(*range(start, min(start + batch, count))))
            time.sleep(pause_s)
            if start // batch % 7 == 3:
                recorded.writer.rotate()
                for name in recorded.writer.to_seal():
                    recorded.writer.seal(name)
        emitter.send(recorded.writer, status("finished"))

    thread = threading.Thread(target=write)
    thread.start()
    return thread


async def read_stream(
    client: httpx.AsyncClient, url: str, after: int | None, stop_after: int | None
) -> tuple[list[int], bool]:
    """Ids of the messages of one connection, and whether it had the end."""
    headers = {} if after is None else {"last-event-id": str(after)}
    seen: list[int] = []
    kind = None
    async with client.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("id: "):
                seen.append(int(line[4:]))
            elif line.startswith("data: ") and kind == "end":
                assert json.loads(line[6:])["status"] == "finished"
                return seen, True
            elif not line and stop_after is not None and len(seen) >= stop_after:
                return seen, False
    return seen, False


async def subscriber(url: str, token: str, seed: int) -> list[int]:
    """All ids over as many connections as chance wants."""
    dice = random.Random(seed)
    seen: list[int] = []
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        while True:
            # most connections live long, some break off at a random event
            stop = dice.choice([None, None, dice.randrange(1, 4000)])
            more, ended = await read_stream(client, url, seen[-1] if seen else None, stop)
            seen += more
            if ended:
                return seen


def test_a_hundred_subscribers_receive_every_event_once(served: Any, recorded: Recorded) -> None:
    url, api = served
    emitter = recorded.begin("busy", "ada")
    emitter.send(recorded.writer, *lines(*range(1000)))
    thread = write_slowly(recorded, emitter, EVENTS - 1004, 250, 0.02)
    where = f"{url}/api/v1/runs/{emitter.run_id}/follow"

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*(subscriber(where, api.tokens["ada"], i) for i in range(READERS)))

    found = asyncio.run(all_of_them())
    thread.join()
    for seen in found:
        assert seen == list(range(EVENTS))
    live = api.app.state.gateway.live
    end = time.monotonic() + 5
    while live.subscribers and time.monotonic() < end:
        time.sleep(0.05)
    assert (live.subscribers, live._feeds) == (0, {})


def test_a_subscriber_that_does_not_read_holds_up_nobody(
    served: Any, recorded: Recorded, stack: contextlib.ExitStack
) -> None:
    url, api = served
    emitter = recorded.begin("wide", "ada")
    host, port = url.removeprefix("http://").split(":")
    slow = stack.enter_context(socket.socket())
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    slow.connect((host, int(port)))
    slow.sendall(
        f"GET /api/v1/runs/{emitter.run_id}/follow HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {api.tokens['ada']}\r\n\r\n".encode()
    )
    slow.recv(100)
    thread = threading.Thread(
        target=lambda: (
            [emitter.send(recorded.writer, *lines(*("x" * 20_000 for _ in range(50)))) for _ in range(16)]
            + [emitter.send(recorded.writer, status("finished"))]
        )
    )
    thread.start()
    began = time.monotonic()
    seen = asyncio.run(subscriber(f"{url}/api/v1/runs/{emitter.run_id}/follow", api.tokens["ada"], 1))
    took = time.monotonic() - began
    thread.join()
    assert seen == list(range(804))
    assert took < 20
    (feed,) = api.app.state.gateway.live._feeds.values()
    assert feed._nbytes < 6 * 2**20, "16 MB went by, the ring stays small"
    slow.settimeout(20)
    got = b""
    while b"event: end" not in got[-4000:]:
        data = slow.recv(2**20)
        assert data, "the slow one gets everything too, in its own time"
        got += data
    assert got.count(b"\nid: ") + got.startswith(b"id: ") >= 800


def test_a_quiet_stream_has_a_heartbeat(served: Any, recorded: Recorded) -> None:
    url, api = served
    beats = 0
    headers = {"authorization": f"Bearer {api.tokens['ada']}"}
    with httpx.stream("GET", f"{url}/api/v1/runs/{recorded.asking}/follow", headers=headers, timeout=5) as answer:
        for line in answer.iter_lines():
            beats += line.startswith(": ping")
            if beats == 3:
                break
    assert beats == 3


def test_a_run_that_has_ended_comes_whole_and_ends(api: Api, recorded: Recorded) -> None:
    answer = api.get(f"/runs/{recorded.finished}/follow", params={"after": 42})
    messages = answer.text.replace("\r\n", "\n").split("\n\n")
    assert [m.splitlines()[0] for m in messages if m.startswith("id")] == ["id: 43", "id: 44", "id: 45"]
    assert messages[-2] == "event: end\ndata: " + json.dumps(
        {"run_id": recorded.finished, "status": "finished", "last_seq": 45}, separators=(",", ":")
    )
    data = json.loads(messages[2].splitlines()[1].removeprefix("data: "))
    assert (data["seq"], data["payload"]) == (44, {"application/json": {"gaps": 3}})
    resumed = api.get(f"/runs/{recorded.finished}/follow", headers={"last-event-id": "44"}, params={"after": 3})
    assert resumed.text.count("id: ") == 1
    assert api.get(f"/runs/{recorded.finished}/follow", headers={"last-event-id": "x"}).status_code == 422
