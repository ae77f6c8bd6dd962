"""People who come with a browser: they sign in once, and a cookie says who they are from then on.

The cookie names a token of the token file by a hash of its hash, until when, and is signed with a key
that only this log's gateways read. So a token that is revoked, or whose role is changed, counts at the next
request, and whoever sees the cookie does not have the token.

A browser sends cookies by itself, for pages of others as well. Whatever changes something therefore takes a
header that such pages cannot send, and a websocket has to come from a page of ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from kodosumi_lab.api.identity import Identity, TokenFile, User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.disk import Disk

__all__ = ["REQUEST_HEADER", "Sessions", "same_origin"]

#: Pages of other origins cannot send it without being allowed to.
REQUEST_HEADER = "x-kodosumi-request"

_SAFE = ("GET", "HEAD", "OPTIONS")
_DAYS_30 = 30 * 86_400
_TICKET_S = 600


class Sessions:
    """An identity around another: who signed in with a browser, else whom the other one tells.

    Parameters
    ----------
    inner
        Who tells when there is no cookie. Only tokens of a :class:`TokenFile` can be signed in with.
    folder
        The log's ``state``: the key of the signatures and tickets lie there.
    origins
        Other origins whose pages are ours, too.
    """

    def __init__(self, inner: Identity, folder: Path, origins: Collection[str] = ()) -> None:
        self._inner, self._folder, self._origins = inner, folder, tuple(origins)
        self.challenge = inner.challenge
        # cookies know no ports: gateways of several logs on one machine each have their own
        self.cookie = "kodosumi_lab_" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._key: bytes | None = None

    @property
    def by_token(self) -> bool:
        """Whether somebody can sign in with a token here."""
        return isinstance(self._inner, TokenFile)

    async def user(self, request: HTTPConnection) -> User | None:
        """Who makes the request.

        Raises
        ------
        Refused
            403: it changes something, or opens a websocket, and may come from a page of somebody else.
        """
        unsafe = request.scope.get("method") not in _SAFE  # a websocket has none
        if unsafe and not same_origin(request, self._origins):
            raise Refused(
                403, "origin", "this is for pages of this origin and those of the setting gateway_cors_origins"
            )
        found = await self._inner.user(request)
        if found is not None:
            return found
        found = self.known(request.cookies.get(self.cookie, ""))
        forgeable = unsafe and request.scope["type"] == "http" and REQUEST_HEADER not in request.headers
        if found is not None and forgeable:
            raise Refused(403, "forged", f"with a cookie this takes the header {REQUEST_HEADER}: a page could forge it")
        return found

    def sign_in(self, token: str) -> str | None:
        """The cookie for somebody who has this token; None where the token does not count."""
        if not isinstance(self._inner, TokenFile) or self._inner.find(token) is None:
            return None
        return self._sealed(self._inner.mark_of(token))

    def ticket(self, token: str) -> str:
        """A word that signs in once, within ten minutes, whoever comes with it; for addresses that are printed."""
        disk, word = Disk(), secrets.token_urlsafe(32)
        place = self._ticket(word)
        disk.mkdir(place.parent)
        for left in place.parent.iterdir():
            if time.time() - left.stat().st_mtime > _TICKET_S:
                left.unlink(missing_ok=True)
        disk.create(place, (self.sign_in(token) or "").encode())
        return word

    def redeem(self, word: str) -> str | None:
        """The cookie for a ticket, which is used up by this."""
        place = self._ticket(word)
        try:
            age = time.time() - place.stat().st_mtime
            cookie = place.read_text()
            place.unlink()
        except FileNotFoundError:
            return None
        return cookie if age < _TICKET_S and self.known(cookie) else None

    def _ticket(self, word: str) -> Path:
        return self._folder / "tickets" / hashlib.sha256(word.encode("utf-8", "surrogateescape")).hexdigest()

    def _sealed(self, mark: str) -> str:
        data = json.dumps({"token": mark, "until": int(time.time()) + _DAYS_30}).encode()
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (data, self._signature(data)))

    def known(self, cookie: str) -> User | None:
        """Whose cookie it is, as long as it counts."""
        if not cookie or not isinstance(self._inner, TokenFile):
            return None
        try:
            data, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in cookie.split("."))
            if not hmac.compare_digest(signature, self._signature(data)):
                return None
            told = json.loads(data)
            return self._inner.marked(told["token"]) if told["until"] > time.time() else None
        except (ValueError, KeyError, TypeError):
            return None

    def _signature(self, data: bytes) -> bytes:
        if self._key is None:
            self._key = _kept(self._folder / "sessions.key")
        return hmac.digest(self._key, data, "sha256")


def _kept(path: Path) -> bytes:
    """The key in a file, which is drawn by whoever needs it first."""
    Disk().mkdir(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    Disk().create(temporary, secrets.token_bytes(32))
    try:
        os.link(temporary, path)  # unlike a rename it leaves one that is there
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()


def same_origin(request: HTTPConnection, origins: Collection[str] = ()) -> bool:
    """Whether a request comes from a page of this server, or from no page at all.

    ``X-Forwarded-Host`` counts, since no page can send it: a proxy may well put its own name into ``Host``.
    """
    origin = request.headers.get("origin")
    if origin is None or origin in origins:
        return True
    told = urlsplit(origin).netloc.lower()
    hosts = [request.headers.get("host", ""), *request.headers.get("x-forwarded-host", "").split(",")]
    return bool(told) and told in {host.strip().lower() for host in hosts}
