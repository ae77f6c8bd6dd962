"""Flows that do what a test tells them to: say, sleep, fail, ask, die. Importable by Runners."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import ray
from pydantic import BaseModel, Field, SecretStr

import kodosumi_lab as kl


class Unpicklable(Exception):
    """Holds a lock, so it cannot cross a process boundary."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@kl.flow(summary="Say hello", tags=["demo", "kitchen"], author="the tests", version="1.2")
async def hello(name: str = "world", times: Annotated[int, Field(ge=1, le=9)] = 1, *, tracer: kl.Tracer) -> str:
    for i in range(times):
        print(f"hello {name} {i}")
        await tracer.progress(i + 1, times, "greeting")
    return f"hello {name}"


@kl.flow
def add(a: int, b: int = 1) -> int:
    return a + b


@kl.flow
def count(n: int) -> Iterator[int]:
    yield from range(n)
    return n


@kl.flow
async def acount(n: int) -> AsyncIterator[dict[str, int]]:
    for i in range(n):
        await asyncio.sleep(0)
        yield {"i": i}


class Settings(BaseModel):
    city: str
    days: int = Field(3, gt=0)
    key: SecretStr = SecretStr("none")


@kl.flow
def forecast(inputs: Settings) -> dict[str, Any]:
    return {"city": inputs.city, "days": inputs.days, "key_length": len(inputs.key.get_secret_value())}


@kl.flow
def anything(inputs: dict[str, Any]) -> dict[str, Any]:
    return inputs


@kl.flow
def login(user: str, password: SecretStr) -> int:
    print("logging in", user)
    return len(password.get_secret_value())


class Crew:
    """Looks like a crew: asked by ``kickoff_async(inputs=…)``."""

    async def kickoff_async(self, inputs: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return f"crew did {inputs['topic']}"


crew = kl.flow(Crew, name="crew")


@kl.flow
async def burst(n: int, size: int = 20, *, tracer: kl.Tracer) -> int:
    text = "x" * size
    for i in range(n):
        await tracer.debug(f"{i} {text}")
    return n


@kl.flow
def sleepy(seconds: float = 60.0, marker: str = "") -> str:
    if marker:
        Path(marker).write_text(str(os.getpid()))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    return "slept"


@kl.flow
async def asleepy(seconds: float = 60.0) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@kl.flow
async def stubborn(seconds: float = 60.0) -> str:
    """Ignores cancellation."""
    print("ready")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            print("no")
    return "slept"


@kl.flow
def fail(kind: str = "value") -> None:
    if kind == "unpicklable":
        raise Unpicklable("cannot travel")
    if kind == "exit":
        os._exit(3)
    if kind == "system_exit":
        raise SystemExit(4)
    raise ValueError("told to fail")


@kl.flow(retries=2)
def flaky(marker: str, succeed_at: int = 3, die: bool = False) -> int:
    path = Path(marker)
    attempt = len(path.read_text()) + 1 if path.exists() else 1
    path.write_text("x" * attempt)
    print("attempt", attempt)
    if attempt < succeed_at:
        if die:
            os._exit(7)
        raise RuntimeError(f"attempt {attempt} fails")
    return attempt


@kl.flow
async def ask(question: str = "go on?", timeout_s: float | None = 60.0, *, tracer: kl.Tracer) -> Any:
    return await tracer.lock(question, data={"q": question}, timeout_s=timeout_s)


@kl.flow
async def parent(depth: int = 1, *, tracer: kl.Tracer) -> str:
    if depth == 0:
        # a child that ends before its parent has looked once is not waited for
        above = kl.run(str(kl.run(tracer.run_id).meta["parent"]))
        while above.status != "awaiting":
            await asyncio.sleep(0.02)
        return "leaf"
    return "over " + await parent.launch(depth=depth - 1)


@ray.remote(num_cpus=0)
def task(tracer: kl.Tracer, name: str, n: int = 3) -> str:
    for i in range(n):
        print(f"{name} line {i}")
        tracer.result_sync({"task": name, "i": i})
    logging.getLogger("kitchen").warning("%s warns", name)
    tracer.flush()
    return name


@kl.flow
async def fan_out(tasks: int = 3, n: int = 3, *, tracer: kl.Tracer) -> list[str]:
    return await asyncio.gather(*[task.remote(tracer, f"t{i}", n) for i in range(tasks)])


@kl.flow
def chatty(tag: str, n: int = 50) -> None:
    def shout(who: str) -> None:
        for i in range(n):
            print(f"{tag} {who} {i}")

    threads = [threading.Thread(target=shout, args=(f"thread{k}",)) for k in range(3)]
    for thread in threads:
        thread.start()
    logging.getLogger("kitchen").info("info of %s", tag)
    shout("main")
    for thread in threads:
        thread.join()


@kl.flow
def picky(n: int, marker: str) -> int:
    """Fails until there is a file of that name."""
    if not Path(marker).exists():
        raise RuntimeError("not yet")
    return n * 10
