"""``Client``: a gateway from Python. A run elsewhere is held as one on the head is.

:class:`RemoteRun` is a :class:`kodosumi_lab.Run` whose log is read over HTTP, so what works
with a run works with it; :class:`AsyncClient` and :class:`AsyncRun` are the same with
``await``. Neither needs Ray, nor the log's files.
"""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
from polars.io.plugins import register_io_source

from kodosumi_lab.api import wire
from kodosumi_lab.api.aclient import AsyncClient, AsyncRun
from kodosumi_lab.api.carrying import GatewayDesk, RemoteFiles, with_files
from kodosumi_lab.errors import ApiError, WaitTimeout
from kodosumi_lab.events import dumps
from kodosumi_lab.runtime.follow import Event
from kodosumi_lab.runtime.query import EVENTS
from kodosumi_lab.runtime.run import Run

__all__ = ["AsyncClient", "AsyncRun", "Client", "RemoteRun"]

_TRIES = 4


class Client:
    """A gateway, for as long as this object lives.

    Parameters
    ----------
    url
        Where it is, such as ``http://127.0.0.1:8370``.
    token
        Its token.
    token_file
        File with the token, in place of it.
    timeout_s
        Of one request.
    transport
        Another way for requests than the network.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> client = kl.Client("http://127.0.0.1:8370", token="kl_…")  # doctest: +SKIP
    >>> client.launch("prime_gaps", end=10**6).result()  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url + wire.API, timeout=timeout_s, transport=transport,
            headers=wire.headers_for(token, token_file),
        )  # fmt: skip

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __repr__(self) -> str:
        return f"<Client {self.url}>"

    # -- flows ------------------------------------------------------------------------

    def flows(self, search: str | None = None) -> pl.DataFrame:
        """All flows, or those in whose texts these words occur, with the columns of :func:`kodosumi_lab.flows`."""
        rows = self._get("/flows", wire.query_of({"search": search})).json()
        return pl.DataFrame(rows, schema=wire.FLOWS)

    def flow(self, name: str) -> dict[str, Any]:
        """One flow, with the JSON schema of its inputs as ``schema``.

        Raises
        ------
        FlowNotFound
            There is none of that name.
        """
        return dict(self._get(f"/flows/{quote(name)}").json())

    def launch(self, flow: str, /, *, idempotency_key: str | None = None, **inputs: Any) -> RemoteRun:
        """Start a run.

        Parameters
        ----------
        flow
            Name of the flow.
        idempotency_key
            The same key is the same run; one is drawn when None, so that a lost answer starts nothing twice.
        **inputs
            By name, as the flow's schema says. Where the flow itself has no input called ``files``, that
            name gives local files along, as :meth:`kodosumi_lab.Flow.launch` takes them; they are uploaded
            first. So are local paths that are given for a file element of a service's form.

        Raises
        ------
        InputsError
            They do not fit; nothing was started.
        FlowNotFound
            There is no such flow.
        ClusterError
            The gateway reaches no cluster.
        """
        given, batches = with_files(GatewayDesk(self.url, self._http), flow, inputs)
        return self._started(f"/flows/{quote(flow)}/launch", given, idempotency_key, batches)

    def _started(
        self, path: str, inputs: dict[str, Any], key: str | None, batches: list[str] | None = None
    ) -> RemoteRun:
        headers = {"idempotency-key": key or str(uuid.uuid4()), "content-type": "application/json"}
        for tries in range(_TRIES):
            try:
                answer = self._http.post(path, content=wire.body_of(inputs, batches), headers=headers)
                return RemoteRun(wire.check(answer).json()["run_id"], self)
            except httpx.TransportError as error:
                if tries == _TRIES - 1:
                    raise wire.unreachable(self.url, error) from error
                time.sleep(wire.backoff(tries))
        raise AssertionError("unreachable")

    # -- runs -------------------------------------------------------------------------

    def run(self, run_id: str) -> RemoteRun:
        """Handle of a run.

        Raises
        ------
        RunNotFound
            There is none of that id that you may see.
        """
        self._get(f"/runs/{run_id}")
        return RemoteRun(run_id, self)

    def runs(
        self,
        *,
        status: str | list[str] | None = None,
        flow: str | list[str] | None = None,
        user: str | list[str] | None = None,
        tag: str | list[str] | None = None,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        search: str | None = None,
        sort: str = "-started",
        limit: int | None = 100,
    ) -> pl.DataFrame:
        """The run list, newest first: as :func:`kodosumi_lab.runs`, without columns that only Runners need.

        Parameters
        ----------
        status, flow, user, tag
            Only of these; of several tags all.
        since, until
            Only runs that started then or later, and before.
        search
            Only with this text in id, flow, tags, result, error …
        sort
            ``started, updated, ended, flow, status, user, events, nbytes, active_s``, with a minus for descending.
        limit
            At most so many; None for all.
        """
        filters = {"status": status, "flow": flow, "user": user, "tag": tag, "since": since, "until": until}
        asked = wire.query_of({**filters, "search": search, "sort": sort})
        frames: list[pl.DataFrame] = []
        left, cursor = limit, None
        while True:
            query = {**asked, "limit": min(1000, left) if left is not None else 1000}
            answer = self._get("/runs", query | ({"cursor": cursor} if cursor else {}), accept=wire.ARROW)
            frames.append(pl.read_ipc_stream(answer.content))
            cursor = answer.headers.get("x-next")
            left = left - len(frames[-1]) if left is not None else None
            if cursor is None or (left is not None and left <= 0):
                return pl.concat(frames)

    def locks(self) -> list[dict[str, Any]]:
        """Everything that waits for a person, over all runs that you may see."""
        return list(self._get("/locks").json())

    # -- requests ---------------------------------------------------------------------

    def _get(self, path: str, query: dict[str, Any] | None = None, *, accept: str | None = None) -> httpx.Response:
        return self._ask("GET", path, params=query, headers={"accept": accept} if accept else None)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return wire.check(self._http.request(method, path, **options))
        except httpx.TransportError as error:
            raise wire.unreachable(self.url, error) from error


class _RemoteLog:
    """What a run asks of its log, over HTTP."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self._path = client, f"/runs/{run_id}"

    def run(self, _: str) -> dict[str, Any]:
        """The run's row."""
        return wire.row_of(self._client._get(self._path).json())

    def place(self, run_id: str) -> int | None:
        """Its place in the queue."""
        place: int | None = self.run(run_id)["place"]
        return place

    def artifact(self, reference: dict[str, Any]) -> str:
        """Text of a payload beside the log."""
        return self._client._get(f"{self._path}/artifacts/{reference['sha256']}").text

    def frame(self, **query: Any) -> pl.DataFrame:
        """Events as of now."""
        return wire.frame_of(self._client._get(f"{self._path}/events", query, accept=wire.ARROW))

    def events(self, _: str) -> pl.LazyFrame:
        """Events, fetched at each ``collect``."""

        def generate(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            found = self.frame(**({"limit": n_rows} if n_rows and predicate is None else {}))
            found = found.filter(predicate) if predicate is not None else found
            found = found.select(with_columns) if with_columns is not None else found
            yield found.head(n_rows) if n_rows is not None else found

        return register_io_source(generate, schema=EVENTS, is_pure=False)


class RemoteRun(Run):
    """A run behind a gateway; see :class:`kodosumi_lab.Run` for what it can.

    Its ``events()`` is fetched at each ``collect``, as an Arrow stream; ``follow`` goes on
    where it was when the connection breaks.
    """

    def __init__(self, run_id: str, client: Client) -> None:
        super().__init__(run_id, log_dir=client.url)
        self._client = client

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"run {self.id} belongs to a client with a token, which does not travel; send the id instead")

    @property
    def files(self) -> RemoteFiles:
        """Its files, over HTTP: ``in/`` was given to it, ``out/`` is what its flow delivered."""
        return RemoteFiles(self.id, GatewayDesk(self._client.url, self._client._http))

    @property
    def _log(self) -> Any:
        return _RemoteLog(self._client, self.id)

    def _of_kind(self, *kinds: str) -> pl.DataFrame:
        found: pl.DataFrame = self._log.frame(kind=list(kinds))
        return found

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What the launch recorded, but for the code."""
        return dict(self._row()["meta"])

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Inputs as they were launched, as JSON values; secrets read ``{"secret": true}``."""
        return dict(self._row()["inputs"])

    def wait(self, timeout_s: float | None = None) -> RemoteRun:
        """Block until the run has ended, in whatever way.

        Raises
        ------
        WaitTimeout
            It had not ended after `timeout_s` seconds; it goes on.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        pause = 0.02
        while not self.done:
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"run {self.id} has not ended within {timeout_s:g} s; it goes on")
            time.sleep(pause)
            pause = min(0.5, pause * 1.3)
        return self

    async def _await(self) -> Any:
        pause = 0.02
        while not await asyncio.to_thread(lambda: self.done):
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 1.3)
        return await asyncio.to_thread(self._result)

    def follow(self, after: int = -1, *, timeout_s: float | None = None) -> Iterator[Event]:
        """Its events as they come, from the start or after a ``seq``, until it ends."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        messages = wire.Messages(self.id, after, self._log)
        tries = 0
        while not messages.ended:
            before = messages.last
            headers = {"last-event-id": str(messages.last)}
            try:
                with self._client._http.stream("GET", f"/runs/{self.id}/follow", headers=headers) as answer:
                    if not answer.is_success:
                        answer.read()
                    for line in wire.check(answer).iter_lines():
                        yield from messages.feed(line)
                        if end is not None and time.monotonic() > end and not messages.ended:
                            raise WaitTimeout(f"run {self.id} has not ended within {timeout_s:g} s; it goes on")
            except httpx.TransportError as error:
                tries = 0 if messages.last > before else tries + 1
                if tries >= _TRIES:
                    raise wire.unreachable(self._client.url, error) from error
            if not messages.ended:
                messages.broken()
                time.sleep(wire.backoff(tries))

    async def afollow(self, after: int = -1, *, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """Asynchronous :meth:`follow`."""
        headers = dict(self._client._http.headers)
        async with AsyncClient(self._client.url, headers=headers) as client:
            async for event in client.handle(self.id).follow(after, timeout_s=timeout_s):
                yield event

    def lock(self, lock: str | None = None) -> dict[str, Any]:
        """An open lock as it is shown to a person; see :meth:`kodosumi_lab.Run.lock`."""
        return wire.lock_of(self._client._get(f"/runs/{self.id}/locks/{wire.one_lock(self.id, self.locks, lock)}"))

    def cancel(self, *, grace_s: float | None = None, by: str | None = None) -> bool:
        """End the run; False when it had ended already. Who cancels is the token's user."""
        _own_name(by)
        return bool(self._client._ask("POST", f"/runs/{self.id}/cancel", json={"grace_s": grace_s}).json()["cancelled"])

    def answer(self, result: Any = None, *, lock: str | None = None, by: str | None = None) -> None:
        """Answer a lock that the run waits at; see :meth:`kodosumi_lab.Run.answer`. Who answers is the token's user."""
        _own_name(by)
        lid = wire.one_lock(self.id, self.locks, lock)
        body = dumps({"result": result})
        headers = {"content-type": "application/json"}
        self._client._ask("POST", f"/runs/{self.id}/locks/{lid}", content=body, headers=headers)

    def delete(self, *, by: str | None = None) -> None:
        """Take an ended run out of the log; see :meth:`kodosumi_lab.Run.delete`."""
        _own_name(by)
        self._client._ask("DELETE", f"/runs/{self.id}")

    def rerun(self, **changes: Any) -> RemoteRun:
        """Start a new run of the same flow with the same inputs, but for `changes`."""
        return self._client._started(f"/runs/{self.id}/rerun", changes, None)


def _own_name(by: str | None) -> None:
    if by is not None:
        raise ApiError(f"by={by!r}: who acts over HTTP is the user of the token; leave it out", 0)
