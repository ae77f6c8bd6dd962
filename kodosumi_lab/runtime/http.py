"""An HTTP client that keeps what it is told to itself: no other address than the one named gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kodosumi_lab.errors import ServiceError

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "is_loopback"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    import httpx

    return httpx.URL(url).host in _LOOPBACK


def client(url: str, headers: Mapping[str, str | bytes], timeout_s: float) -> httpx.Client:
    """HTTP client for a service: neither its headers nor what is entered in a form go anywhere else.

    A proxy that the environment names is not for this machine's own addresses.
    """
    import httpx

    own = httpx.URL(url)

    def stay(request: httpx.Request) -> None:
        there = request.url
        if (there.scheme, there.host, there.port) != (own.scheme, own.host, own.port):
            raise ServiceError(url, f"it redirects to {there.scheme}://{there.netloc.decode()}; register that address")

    return httpx.Client(
        headers={
            name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in headers.items()
        },
        timeout=timeout_s,
        follow_redirects=True,
        trust_env=not is_loopback(url),
        event_hooks={"request": [stay]},
    )
