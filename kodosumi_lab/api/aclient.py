"""``AsyncClient`` and ``AsyncRun``: a gateway from asynchronous Python."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import polars as pl

from kodosumi_lab.api import wire
from kodosumi_lab.api.carrying import GatewayDesk, RemoteFiles, with_files
from kodosumi_lab.errors import WaitTimeout
from kodosumi_lab.events import TERMINAL, decode, dumps
from kodosumi_lab.runtime.files import FileInfo
from kodosumi_lab.runtime.follow import Event
from kodosumi_lab.runtime.run import console_text, failure_of

__all__ = ["AsyncClient", "AsyncRun"]

_TRIES = 4
_T = TypeVar("_T")


class AsyncClient:
    """A gateway, for as long as this object lives; arguments as of :class:`kodosumi_lab.Client`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url + wire.API, timeout=timeout_s, transport=transport,
            headers={**(headers or {}), **wire.headers_for(token, token_file)},
        )  # fmt: skip

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"<AsyncClient {self.url}>"

    async def flows(self, search: str | None = None) -> pl.DataFrame:
        """All flows; see :meth:`Client.flows`."""
        found = await self._get("/flows", wire.query_of({"search": search}))
        return pl.DataFrame(found.json(), schema=wire.FLOWS)

    async def flow(self, name: str) -> dict[str, Any]:
        """One flow, with the JSON schema of its inputs as ``schema``."""
        return dict((await self._get(f"/flows/{quote(name)}")).json())

    async def launch(self, flow: str, /, *, idempotency_key: str | None = None, **inputs: Any) -> AsyncRun:
        """Start a run; see :meth:`Client.launch`."""
        given, batches = await self._filing(lambda desk: with_files(desk, flow, inputs))
        return await self._started(f"/flows/{quote(flow)}/launch", given, idempotency_key, batches)

    async def _filing(self, work: Callable[[GatewayDesk], _T]) -> _T:
        """Work with files, in a thread: disks block."""

        def begin() -> _T:
            http = self._http
            with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=http.timeout) as client:
                return work(GatewayDesk(self.url, client))

        return await asyncio.to_thread(begin)

    async def _started(
        self, path: str, inputs: dict[str, Any], key: str | None, batches: list[str] | None = None
    ) -> AsyncRun:
        headers = {"idempotency-key": key or str(uuid.uuid4()), "content-type": "application/json"}
        for tries in range(_TRIES):
            try:
                answer = await self._http.post(path, content=wire.body_of(inputs, batches), headers=headers)
                return self.handle(wire.check(answer).json()["run_id"])
            except httpx.TransportError as error:
                if tries == _TRIES - 1:
                    raise wire.unreachable(self.url, error) from error
                await asyncio.sleep(wire.backoff(tries))
        raise AssertionError("unreachable")

    def handle(self, run_id: str) -> AsyncRun:
        """Handle of a run, without asking whether there is one."""
        return AsyncRun(run_id, self)

    async def run(self, run_id: str) -> AsyncRun:
        """Handle of a run.

        Raises
        ------
        RunNotFound
            There is none of that id that you may see.
        """
        await self._get(f"/runs/{run_id}")
        return self.handle(run_id)

    async def runs(self, *, limit: int | None = 100, **filters: Any) -> pl.DataFrame:
        """The run list, newest first; filters as of :meth:`Client.runs`."""
        asked = wire.query_of(filters)
        frames: list[pl.DataFrame] = []
        left, cursor = limit, None
        while True:
            query = {**asked, "limit": min(1000, left) if left is not None else 1000}
            answer = await self._get("/runs", query | ({"cursor": cursor} if cursor else {}), accept=wire.ARROW)
            frames.append(pl.read_ipc_stream(answer.content))
            cursor = answer.headers.get("x-next")
            left = left - len(frames[-1]) if left is not None else None
            if cursor is None or (left is not None and left <= 0):
                return pl.concat(frames)

    async def locks(self) -> list[dict[str, Any]]:
        """Everything that waits for a person, over all runs that you may see."""
        return list((await self._get("/locks")).json())

    async def _get(
        self, path: str, query: dict[str, Any] | None = None, *, accept: str | None = None
    ) -> httpx.Response:
        return await self._ask("GET", path, params=query, headers={"accept": accept} if accept else None)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return wire.check(await self._http.request(method, path, **options))
        except httpx.TransportError as error:
            raise wire.unreachable(self.url, error) from error


class _Fetched:
    """Artifacts that were fetched before they are decoded."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def artifact(self, reference: dict[str, Any]) -> str:
        """Text of one of them."""
        return self.texts[reference["sha256"]]


class AsyncRun:
    """A run behind a gateway; every verb of :class:`kodosumi_lab.Run`, awaited.

    Attributes
    ----------
    id : str
        UUIDv7; ids sort by start.
    """

    def __init__(self, run_id: str, client: AsyncClient) -> None:
        self.id = run_id
        self._client = client

    def __repr__(self) -> str:
        return f"<AsyncRun {self.id} at {self._client.url}>"

    async def row(self) -> dict[str, Any]:
        """How it stands: a row of the run list with ``meta`` and ``inputs``."""
        return wire.row_of((await self._client._get(f"/runs/{self.id}")).json())

    async def files(self, path: str = "") -> list[FileInfo]:
        """Its files at or below a path."""
        return await self._client._filing(lambda desk: desk.ls(self.id, path))

    async def download(self, to: str | Path, path: str = "") -> list[Path]:
        """Copy a file, or all of a folder, below the local folder `to`; where they are then."""
        return await self._client._filing(lambda desk: RemoteFiles(self.id, desk).download(to, path))

    async def upload(self, files: Any, *, root: str = "in") -> list[FileInfo]:
        """Give files to the run; what it then has of them."""
        return await self._client._filing(lambda desk: RemoteFiles(self.id, desk).upload(files, root=root))

    async def status(self) -> str:
        """``starting, running, awaiting``, or how it ended."""
        return str((await self.row())["status"])

    async def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return await self.status() in TERMINAL

    async def wait(self, timeout_s: float | None = None) -> AsyncRun:
        """Return when the run has ended, in whatever way.

        Raises
        ------
        WaitTimeout
            It had not ended after `timeout_s` seconds; it goes on.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        pause = 0.02
        while not await self.done():
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"run {self.id} has not ended within {timeout_s:g} s; it goes on")
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 1.3)
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def result(self, timeout_s: float | None = None) -> Any:
        """What the flow returned, once it has; errors as of :meth:`kodosumi_lab.Run.result`."""
        await self.wait(timeout_s)
        told = (await self._client._get(f"/runs/{self.id}/result")).json()
        if told["status"] == "finished":
            return decode(dumps(told["payload"])) if told["payload"] is not None else None
        raise failure_of(self.id, told["status"], told["reason"], told["traceback"])

    async def events(self, *, after: int = -1, kinds: list[str] | None = None) -> pl.DataFrame:
        """Its events so far, in order."""
        query = {"after": after} | ({"kind": kinds} if kinds else {})
        return wire.frame_of(await self._client._get(f"/runs/{self.id}/events", query, accept=wire.ARROW))

    async def follow(self, after: int = -1, *, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Its events as they come, from the start or after a ``seq``, until it ends; over broken connections."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        messages = wire.Messages(self.id, after, _Fetched())
        tries = 0
        while not messages.ended:
            before = messages.last
            headers = {"last-event-id": str(messages.last)}
            try:
                async with self._client._http.stream("GET", f"/runs/{self.id}/follow", headers=headers) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    async for line in wire.check(answer).aiter_lines():
                        for event in messages.feed(line):
                            await self._fetch([event.payload], event.log)
                            yield event
                        if end is not None and time.monotonic() > end and not messages.ended:
                            raise WaitTimeout(f"run {self.id} has not ended within {timeout_s:g} s; it goes on")
            except httpx.TransportError as error:
                tries = 0 if messages.last > before else tries + 1
                if tries >= _TRIES:
                    raise wire.unreachable(self._client.url, error) from error
            if not messages.ended:
                messages.broken()
                await asyncio.sleep(wire.backoff(tries))

    async def results(self) -> list[Any]:
        """What its last attempt delivered so far, in order, as Python values."""
        frame = await self.events(kinds=["result"])
        frame = frame.filter(frame["attempt"] == frame["attempt"].max()) if len(frame) else frame
        fetched = _Fetched()
        await self._fetch(frame["payload"].to_list(), fetched)
        return [decode(payload, fetched.artifact) for payload in frame["payload"]]

    async def _fetch(self, payloads: list[str], into: Any) -> None:
        into.texts.clear()
        for payload in payloads:
            if payload.startswith('{"artifact"'):
                digest = json.loads(payload)["artifact"]["sha256"]
                into.texts[digest] = (await self._client._get(f"/runs/{self.id}/artifacts/{digest}")).text

    async def logs(self) -> str:
        """Its console so far: what it printed and logged, in order."""
        frame = await self.events(kinds=["stdout", "stderr", "log", "debug"])
        return "\n".join(console_text(kind, text) for kind, text in frame.select("kind", "payload").iter_rows())

    async def locks(self) -> list[dict[str, Any]]:
        """Its open locks: ``lid, name, ts, expires``."""
        return list((await self.row())["locks"])

    async def lock(self, lock: str | None = None) -> dict[str, Any]:
        """An open lock as it is shown to a person; see :meth:`kodosumi_lab.Run.lock`."""
        lid = wire.one_lock(self.id, await self.locks(), lock)
        return wire.lock_of(await self._client._get(f"/runs/{self.id}/locks/{lid}"))

    async def cancel(self, *, grace_s: float | None = None) -> bool:
        """End the run; False when it had ended already."""
        answer = await self._client._ask("POST", f"/runs/{self.id}/cancel", json={"grace_s": grace_s})
        return bool(answer.json()["cancelled"])

    async def answer(self, result: Any = None, *, lock: str | None = None) -> None:
        """Answer a lock that the run waits at; errors as of :meth:`kodosumi_lab.Run.answer`."""
        lid = wire.one_lock(self.id, await self.locks(), lock)
        headers = {"content-type": "application/json"}
        body = dumps({"result": result})
        await self._client._ask("POST", f"/runs/{self.id}/locks/{lid}", content=body, headers=headers)

    async def delete(self) -> None:
        """Take an ended run out of the log; see :meth:`kodosumi_lab.Run.delete`."""
        await self._client._ask("DELETE", f"/runs/{self.id}")

    async def rerun(self, **changes: Any) -> AsyncRun:
        """Start a new run of the same flow with the same inputs, but for `changes`."""
        return await self._client._started(f"/runs/{self.id}/rerun", changes, None)
