"""Who is calling: users, roles, and the ways to tell.

An :class:`Identity` makes a :class:`User` of a request, or None. The default one reads a
token file; behind a proxy that authenticates, its header is trusted together with a secret
that only the proxy knows; with OpenID Connect the issuer's signature is checked.

Tokens are 256 random bits, so their SHA-256 cannot be turned back by guessing: a slow hash
would protect nothing more and cost its time at every request.
"""

from __future__ import annotations

import asyncio
import enum
import fcntl
import getpass
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from kodosumi_lab.api.caller import text_of
from kodosumi_lab.errors import SettingsError
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.settings import Settings

__all__ = ["Identity", "LocalUser", "OidcBearer", "ProxyHeader", "Role", "TokenFile", "User", "from_settings"]


class Role(enum.IntEnum):
    """What somebody may do; each includes those before it."""

    #: Read own runs.
    VIEWER = 1
    #: Launch, and act on own runs.
    USER = 2
    #: Read and act on everybody's runs; metrics.
    OPERATOR = 3
    #: Delete everybody's runs.
    ADMIN = 4

    @classmethod
    def named(cls, name: str) -> Role:
        """The role of a name in lower case.

        Raises
        ------
        ValueError
            There is no such role.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(role.name.lower() for role in cls)
            raise ValueError(f"there is no role {name!r}; there are: {known}") from None


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who calls; own runs are those whose ``meta.user`` is `name`."""

    name: str
    role: Role

    def may_see(self, owner: str | None) -> bool:
        """Whether runs of `owner` are this user's to see."""
        return self.role >= Role.OPERATOR or owner == self.name


class Identity(Protocol):
    """A way to tell who is calling.

    Attributes
    ----------
    challenge
        ``WWW-Authenticate`` of the answer to a request that nobody is known for.
    """

    challenge: str

    async def user(self, request: HTTPConnection) -> User | None:
        """Who makes the request; None when that is not known."""


def _bearer(request: HTTPConnection) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _mark(digest: str) -> str:
    return hashlib.sha256(digest.encode()).hexdigest()[:32]


class TokenFile:
    """Bearer tokens from a file that holds their hashes.

    Parameters
    ----------
    folder
        ``tokens.json`` is in it, and ``gateway.token``: the token for the person whose machine
        this is, readable by that person only.
    """

    challenge = 'Bearer realm="kodosumi-lab"'

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.json"
        self.own = folder / "gateway.token"
        self._known: list[dict[str, str]] = []
        self._read_at = (-1, -1)
        self._lock = threading.Lock()

    def ensure(self) -> Path:
        """The file with the generated token, which is made when there is none that counts."""
        try:
            token = self.own.read_text().strip()
        except FileNotFoundError:
            token = ""
        if self.find(token) is None:
            token = self.add(getpass.getuser(), Role.ADMIN)
            _write(self.own, token + "\n")
        return self.own

    def add(self, name: str, role: Role) -> str:
        """A new token; it is not kept, only its hash is."""
        token = "kl_" + secrets.token_urlsafe(32)
        entry = {"user": name, "role": role.name.lower(), "sha256": _digest(token), "created": _now()}
        with self._lock, _alone(self.path):
            _write(self.path, json.dumps({"tokens": [*self._load(), entry]}, indent=1))
        return token

    def revoke(self, name: str) -> int:
        """Forget every token of a user; how many there were."""
        with self._lock, _alone(self.path):
            known = self._load()
            kept = [entry for entry in known if entry["user"] != name]
            _write(self.path, json.dumps({"tokens": kept}, indent=1))
        return len(known) - len(kept)

    def find(self, token: str) -> User | None:
        """Whose token it is. Every entry is compared, in constant time, whichever fits."""
        given, found = _digest(token), None
        with self._lock:
            known = self._load()
        for entry in known:
            if hmac.compare_digest(entry["sha256"], given):
                found = entry
        return User(found["user"], Role.named(found["role"])) if found is not None else None

    @staticmethod
    def mark_of(token: str) -> str:
        """What names a token without giving it away: a hash of its hash."""
        return _mark(_digest(token))

    def marked(self, mark: str) -> User | None:
        """Whose token :meth:`mark_of` names, as long as it counts."""
        with self._lock:
            known = self._load()
        for entry in known:
            if hmac.compare_digest(_mark(entry["sha256"]), mark):
                return User(entry["user"], Role.named(entry["role"]))
        return None

    def entries(self) -> list[dict[str, str]]:
        """Every token: ``user``, ``role`` and ``created``."""
        with self._lock:
            return [{key: entry.get(key, "") for key in ("user", "role", "created")} for entry in self._load()]

    def role_of(self, name: str) -> Role | None:
        """The greatest role that a token gives this user."""
        return max((Role.named(entry["role"]) for entry in self.entries() if entry["user"] == name), default=None)

    async def user(self, request: HTTPConnection) -> User | None:
        """The user of the bearer token."""
        token = _bearer(request)
        return self.find(token) if token is not None else None

    def _load(self) -> list[dict[str, str]]:
        try:
            about = self.path.stat()
        except FileNotFoundError:
            if self.path.parent.exists():  # else the whole log is away, and that signs nobody out
                self._known, self._read_at = [], (-1, -1)
            return self._known
        if (about.st_mtime_ns, about.st_ino) != self._read_at:
            try:
                self._known = json.loads(self.path.read_text())["tokens"]
                for entry in self._known:
                    Role.named(entry["role"])
            except (ValueError, KeyError, TypeError) as error:
                raise SettingsError(f"the token file cannot be used: {error}: {self.path}") from error
            self._read_at = (about.st_mtime_ns, about.st_ino)
        return self._known


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process changes the file meanwhile."""
    Disk().mkdir(path.parent)
    fd = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _write(path: Path, text: str) -> None:
    """Replace a file at once, durably, readable by its owner only."""
    disk = Disk()
    disk.mkdir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    disk.create(temporary, text.encode())
    disk.rename(temporary, path)
    disk.sync_dir(path.parent)


class LocalUser:
    """Every request is of the person whose process this is: for a gateway that nobody else can reach."""

    challenge = 'Bearer realm="kodosumi-lab"'

    def __init__(self) -> None:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            name = str(os.getuid())
        self._user = User(name, Role.ADMIN)

    async def user(self, request: HTTPConnection) -> User | None:
        """That person."""
        return self._user


class ProxyHeader:
    """The name that a proxy in front of the gateway gives, believed only beside its secret.

    Parameters
    ----------
    header, role_header
        Where the proxy puts the user's name, and the role if it does.
    secret
        What it sends as ``x-gateway-secret``; it must remove both headers from what comes in.
    default
        Role of a user that the proxy names none for.
    """

    challenge = 'Proxy realm="kodosumi-lab"'

    def __init__(self, header: str, secret: str, *, role_header: str | None = None, default: Role = Role.USER) -> None:
        if len(secret) < 16:
            raise SettingsError("gateway_proxy_secret is shorter than 16 characters; anybody could guess it")
        self._header, self._role_header, self._default = header, role_header, default
        self._secret = secret.encode()

    async def user(self, request: HTTPConnection) -> User | None:
        """The user of the header."""
        given = request.headers.get("x-gateway-secret", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._secret):
            return None
        name = text_of(request.headers.get(self._header))
        role = request.headers.get(self._role_header) if self._role_header else None
        return User(name, _role([role] if role else [], self._default)) if name else None


def _role(names: list[Any], default: Role) -> Role:
    known = [Role[name.upper()] for name in names if isinstance(name, str) and name.upper() in Role.__members__]
    return max(known, default=default)


class OidcBearer:
    """Bearer tokens signed by an OpenID Connect issuer.

    Parameters
    ----------
    issuer, audience
        What a token must name.
    jwks_url
        The issuer's keys; by discovery (``/.well-known/openid-configuration``) when None.
    user_claim, role_claim
        Claims with the user's name and role (a name or a list of them).
    default
        Role of a token that names none of ours.
    """

    challenge = 'Bearer realm="kodosumi-lab"'

    # never HS256: with the issuer's public key as its secret anybody could sign
    _ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks_url: str | None = None,
        user_claim: str = "sub",
        role_claim: str = "roles",
        default: Role = Role.USER,
    ) -> None:
        self._issuer, self._audience, self._jwks_url = issuer, audience, jwks_url
        self._user_claim, self._role_claim, self._default = user_claim, role_claim, default
        self._keys: Any = None

    async def user(self, request: HTTPConnection) -> User | None:
        """The user of a token that is whole, current, and meant for this gateway."""
        token = _bearer(request)
        return await asyncio.to_thread(self._verify, token) if token is not None else None

    def _verify(self, token: str) -> User | None:
        import jwt

        try:
            key = self._jwks().get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list(self._ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iss", "aud", self._user_claim]},
            )
        except jwt.PyJWTError:
            return None
        roles = claims.get(self._role_claim)
        names = roles if isinstance(roles, list) else [roles]
        return User(str(claims[self._user_claim]), _role(names, self._default))

    def _jwks(self) -> Any:
        import httpx
        import jwt

        if self._keys is None:
            url = self._jwks_url
            if url is None:
                try:
                    found = httpx.get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", timeout=10)
                    url = found.raise_for_status().json()["jwks_uri"]
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    raise jwt.PyJWKClientConnectionError(f"discovery failed: {error}") from error
            self._keys = jwt.PyJWKClient(url, cache_keys=True, timeout=10)
        return self._keys


def from_settings(settings: Settings) -> Identity:
    """The identity that the settings ask for.

    Raises
    ------
    SettingsError
        A setting that it needs is missing.
    """
    default = Role.named(settings.gateway_default_role)
    if settings.gateway_identity == "proxy":
        if settings.gateway_proxy_secret is None:
            raise SettingsError("gateway_identity is proxy, but there is no gateway_proxy_secret: anybody could be it")
        return ProxyHeader(
            settings.gateway_proxy_header,
            settings.gateway_proxy_secret.get_secret_value(),
            role_header=settings.gateway_proxy_role_header,
            default=default,
        )
    if settings.gateway_identity == "oidc":
        if settings.gateway_oidc_issuer is None or settings.gateway_oidc_audience is None:
            raise SettingsError("gateway_identity is oidc, which needs gateway_oidc_issuer and gateway_oidc_audience")
        return OidcBearer(
            settings.gateway_oidc_issuer,
            settings.gateway_oidc_audience,
            jwks_url=settings.gateway_oidc_jwks_url,
            user_claim=settings.gateway_oidc_user_claim,
            role_claim=settings.gateway_oidc_role_claim,
            default=default,
        )
    return TokenFile(settings.log_dir / "state")
