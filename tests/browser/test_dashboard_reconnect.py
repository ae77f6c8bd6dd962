"""An open page whose server goes away, for a moment or for good, and comes back without the person doing anything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from apikit import Recorded
from playwright.sync_api import expect

from browser.board import Person, Served, free_port, panel_serve, serve

#: What a browser says of a server that is not there.
GONE = [
    "ERR_",
    "Could not open websocket",
    "Failed to load resource",
    "WebSocket connection",
    "Failed to fetch",
    "cannot send",
    "A network error occurred",  # fonts that were just being loaded
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    made = Recorded(tmp_path / "log")
    yield made.root
    made.writer.close()


class Wire:
    """A way to a server that can be cut; bytes go through as they come.

    Attributes
    ----------
    port
        Where it listens.
    whole
        False: whoever comes is turned away.
    """

    def __init__(self, target: int) -> None:
        self._target, self.whole = target, True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._take, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.whole:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    there, onward = await asyncio.open_connection("127.0.0.1", self._target)
                    self._writers |= {writer, onward}
                    await asyncio.gather(self._pass(reader, onward), self._pass(there, writer))
        finally:  # also where the way is closed while the other side is being connected to
            writer.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.transport.abort()

    def cut(self) -> None:
        """Everything that is connected is connected no more."""
        self.whole = False

        def abort() -> None:
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()

        self._loop.call_soon_threadsafe(abort)

    def close(self) -> None:
        self.cut()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.1)  # what is aborted closes its socket in the loop's next turns


@pytest.mark.parametrize("name", ["Cluster", "Analytics"])
def test_a_network_that_was_away_leaves_the_page_as_it_was(
    open_page: Callable[..., Any], root: Path, name: str
) -> None:
    with serve(root) as held:
        wire = Wire(urlsplit(held.url).port or 0)
        try:
            page = Person(open_page, Served(f"http://127.0.0.1:{wire.port}/dashboard/", root))("?page=flows")
            page.allowed = GONE
            nav = page.get_by_role("navigation", name="Pages")
            nav.get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
            page.evaluate("window.loadedOnce = true")
            wire.cut()
            gone = page.get_by_role("status").filter(has_text="Disconnected from the server")
            expect(gone).to_contain_text("this is as of")
            wire.whole = True
            expect(gone).to_have_count(0)
            assert page.evaluate("window.loadedOnce") is True, "the session was still there, and so is what was typed"
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
            assert f"page={name.lower()}" in page.url
            nav.get_by_role("link", name="Runs").click()
            expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        finally:
            wire.close()


def test_a_server_that_is_restarted_is_found_again_at_the_same_place(open_page: Callable[..., Any], root: Path) -> None:
    port = str(free_port())
    with serve(root, "--port", port) as held:
        page = Person(open_page, held)("?page=flows")
        page.allowed = [*GONE, "403", "401"]
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Analytics").click()
        page.get_by_role("region", name="By flow").get_by_role("link", name="primes").click()
        page.wait_for_url("**/*flow=primes*")
        before = page.url
    gone = page.get_by_role("status").filter(has_text="Disconnected from the server")
    expect(gone).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    with serve(root, "--port", port):
        page.wait_for_function("() => !window.loadedOnce")
        expect(page.get_by_role("region", name="By flow").get_by_role("link", name="primes")).to_be_visible()
        assert page.url == before
        expect(gone).to_have_count(0)
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Cluster").click()
        expect(page.get_by_role("heading", name="Cluster", exact=True)).to_be_visible()


def test_and_so_is_a_panel_serve_that_is_restarted(open_page: Callable[..., Any], root: Path) -> None:
    port = free_port()
    with panel_serve(root, port=port) as held:
        page = open_page(f"{held.url}?page=flows")
        page.allowed = [*GONE, "403"]
        page.get_by_label("Token").first.fill(held.tokens["olga"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Cluster").click()
        expect(page.get_by_role("heading", name="Cluster", exact=True)).to_be_visible()
    gone = page.get_by_role("status").filter(has_text="Disconnected from the server")
    expect(gone).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    with panel_serve(root, port=port):
        page.wait_for_function("() => !window.loadedOnce")
        expect(page.get_by_role("heading", name="Cluster", exact=True)).to_be_visible()
        assert "page=cluster" in page.url
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Flows").click()
        expect(page.get_by_text("No flows yet")).to_be_visible()
        expect(page.get_by_text("No source is registered")).to_be_visible()
