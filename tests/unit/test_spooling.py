"""The Spooler without Ray: its thread, its locks' expiry, and what must not stop it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import time
from collections.abc import Sequence

import pytest
from conftest import eventually
from logkit import Emitter, FastDisk, lines, meta, new_run, row, status

from kodosumi_lab.runtime.lifecycle import RunState
from kodosumi_lab.runtime.link import Link
from kodosumi_lab.runtime.log import Batch
from kodosumi_lab.runtime.spooler import SpoolerActor


def actor(root) -> SpoolerActor:
    return SpoolerActor(str(root), "own", "nowhere", {})


def stop(spooler: SpoolerActor) -> None:
    """As a process that is killed leaves it: the claim is free, nothing is sealed."""
    spooler._spooling._closing = True
    spooler._spooling.link.close()
    spooler._spooling._queue.put(None)
    spooler._spooling._thread.join(5)
    spooler._spooling._claim.close(remove=False)


async def send(spooler: SpoolerActor, batch: Batch) -> tuple[str | None, int | None]:
    return await spooler.append(batch.run_id, batch.attempt, batch.producer, batch.first, batch.data)


def test_a_lock_expires_after_a_restart_though_nothing_else_happens(tmp_path):
    run = new_run()

    async def before() -> None:
        spooler = actor(tmp_path)
        lock = row("lock", {"lid": "l", "name": "n", "expires": time.time() + 0.5})
        assert await send(spooler, Emitter(run, 1).batch(meta(), status("running"), lock)) == (None, None)
        stop(spooler)

    async def after() -> dict:
        spooler = actor(tmp_path)
        await spooler.open_runs()
        try:
            return json.loads(await asyncio.wait_for(spooler.wait_lease(run, "l"), 10))
        finally:
            await spooler.close()

    asyncio.run(before())
    assert asyncio.run(after())["expired"] is True


def test_a_batch_that_nobody_foresaw_is_refused_and_the_others_are_written(tmp_path, monkeypatch):
    bad = new_run()
    copy = RunState.copy

    def broken(state: RunState) -> RunState:
        if state.run_id == bad:
            raise ZeroDivisionError("a fault of ours")
        return copy(state)

    async def main() -> list:
        spooler = actor(tmp_path)
        first, other = Emitter(bad, 1), Emitter(new_run(), 2)
        await send(spooler, first.batch(meta()))
        await send(spooler, other.batch(meta()))
        first.first = other.first = 1
        monkeypatch.setattr(RunState, "copy", broken)
        answers = await asyncio.gather(*(send(spooler, emitter.batch(*lines("x"))) for emitter in (first, other)))
        monkeypatch.undo()
        await spooler.close()
        return [refused for refused, _ in answers]

    refused = asyncio.run(main())
    assert "ZeroDivisionError" in refused[0]
    assert refused[1] is None


def test_emitters_that_go_while_they_are_answered_stop_nothing(tmp_path):
    async def main() -> None:
        spooler = actor(tmp_path)
        run = new_run()
        await send(spooler, Emitter(run, 1).batch(meta()))
        place = await spooler.link()
        for n in range(60):
            link = Link(*place)
            batch = Emitter(run, 100 + n).batch(*lines("x"))
            header = batch.run_id, batch.attempt, batch.producer, batch.first, batch.data
            await asyncio.to_thread(_ask_and_leave, link, header)
        assert await send(spooler, Emitter(run, 9).batch(*lines("still here"))) == (None, None)
        await spooler.close()

    asyncio.run(main())


def _ask_and_leave(link: Link, batch: tuple) -> None:
    receive = link._connection.recv_bytes
    link._connection.recv_bytes = lambda: link._connection.close() or receive()
    with pytest.raises(OSError, match="closed"):
        link.append(*batch)


def test_a_run_that_only_the_log_knows_is_told_from_one_that_goes_on(tmp_path):
    async def main() -> tuple:
        spooler = actor(tmp_path)
        run = new_run()
        await send(spooler, Emitter(run, 1).batch(meta()))
        answers = await spooler.wait_end(run, 0.05), await spooler.wait_end(new_run(), 0.05)
        await spooler.close()
        return answers

    assert asyncio.run(main()) == (None, {"unknown": True})


def test_a_repeated_answer_is_the_same_answer(tmp_path):
    async def main() -> None:
        spooler = actor(tmp_path)
        run = new_run()
        await send(spooler, Emitter(run, 1).batch(meta(), row("lock", {"lid": "l", "name": "n"})))
        for _ in range(2):  # Ray repeats a call whose answer was lost
            await spooler.answer(run, "l", '{"ok": true}', "ann", token="t1")
        lease = json.loads(await spooler.wait_lease(run, "l"))
        assert (lease["result"], lease["by"]) == ({"ok": True}, "ann")
        await spooler.close()

    asyncio.run(main())


class FullDisk(FastDisk):
    """A disk with no room until somebody frees some."""

    full = True

    def append(self, fd: int, parts: Sequence[bytes | memoryview]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(fd, parts)


def test_health_tells_how_far_the_log_is_behind(tmp_path):
    emitter = Emitter(new_run(), 1)

    async def main() -> list[dict]:
        spooler = actor(tmp_path)
        told = [await spooler.health()]
        batch = emitter.batch(row("meta", {"flow": "f"}, ts=(time.time_ns() - 2_000_000_000) // 1000))
        await send(spooler, batch)
        told.append(await spooler.health())
        disk = spooler._spooling.writer.disk = spooler._spooling.writer._segment._disk = FullDisk()
        emitter.first = 1
        waiting = asyncio.ensure_future(send(spooler, emitter.batch(*lines("x" * 1000))))
        await asyncio.sleep(0)
        await asyncio.to_thread(eventually, lambda: spooler._spooling.health()["lag_s"] > 0.3)
        told.append(await spooler.health())
        disk.full = False
        assert await waiting == (None, None)
        told.append(await spooler.health())
        await spooler.close()
        return told

    fresh, written, stuck, well = asyncio.run(main())
    assert (fresh["waiting"], fresh["waiting_bytes"], fresh["lag_s"], fresh["delay_s"]) == (0, 0, 0.0, None)
    assert (written["batches"], written["waiting"], written["trouble"]) == (1, 0, None)
    assert written["bytes"] > 0
    assert 2 <= written["delay_s"] < 60, "since it was emitted, not since it came"
    assert (stuck["waiting"], stuck["batches"], stuck["bytes"]) == (1, 1, written["bytes"])
    assert stuck["waiting_bytes"] > 1000
    assert "No space left" in stuck["trouble"]
    assert (well["waiting"], well["waiting_bytes"], well["lag_s"], well["trouble"]) == (0, 0, 0.0, None)
    assert well["bytes"] == written["bytes"] + stuck["waiting_bytes"]
