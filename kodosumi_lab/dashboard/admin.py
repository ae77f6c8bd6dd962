"""What an administrator does from the Control page, with who may, and a line in the audit for each change.

Everything here may take its time; :class:`Admin` calls it in threads.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kodosumi_lab.api.identity import Role, TokenFile
from kodosumi_lab.api.problems import kind_of
from kodosumi_lab.dashboard.access import Access, Problem
from kodosumi_lab.errors import KodosumiLabError
from kodosumi_lab.runtime import retention
from kodosumi_lab.runtime.retention import Day

__all__ = ["Admin", "Setting"]

_T = TypeVar("_T")


class Setting(tuple[str, str, str, str]):
    """Name, value, where it came from, and what it is."""

    __slots__ = ()


class Admin:
    """See the module.

    Parameters
    ----------
    access
        Of the session: in whose name.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._gateway = access.gateway

    async def _do(self, role: Role, call: Callable[[], _T], note: str = "", **about: Any) -> _T:
        if not self._access.may(role):
            user = self._access.user
            raise Problem(f"this takes the role {role.name.lower()}; {user.name} has {user.role.name.lower()}", 403)
        outcome = "ok"
        try:
            return await self._gateway.act(call)
        except KodosumiLabError as error:
            status, outcome = kind_of(error)
            raise Problem(str(error), status) from error
        finally:
            if note:
                audit = self._gateway.audit
                await self._gateway.act(lambda: audit.note(self._access.user.name, "dashboard", note, outcome, **about))

    # -- who may come in ----------------------------------------------------------------

    @property
    def _tokens(self) -> TokenFile:
        return TokenFile(self._gateway.log.layout.state)

    @property
    def has_tokens(self) -> bool:
        """Whether people come in with tokens of this gateway, and not by a proxy or an issuer."""
        return self._gateway.settings.gateway_identity == "tokens"

    async def tokens(self) -> list[dict[str, str]]:
        """Every token: ``user, role, created``."""
        return await self._do(Role.ADMIN, self._tokens.entries)

    async def add_token(self, name: str, role: str) -> str:
        """A new token; it is told once."""
        name = name.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise Problem("a user has a name of 1 to 200 printable characters", 422)
        made = Role.named(role)
        return await self._do(Role.ADMIN, lambda: self._tokens.add(name, made), "add_token", of=name, gave=role)

    async def revoke(self, name: str) -> int:
        """Forget every token of a user; how many there were."""
        if name == self._access.user.name:
            raise Problem(
                "these are your own tokens: nobody would be left to take that back; have another admin do it", 409
            )
        return await self._do(Role.ADMIN, lambda: self._tokens.revoke(name), "revoke_tokens", of=name)

    # -- the log ------------------------------------------------------------------------

    async def days(self) -> list[Day]:
        """The days of the log, newest first."""
        return await self._do(Role.OPERATOR, lambda: retention.days(self._gateway.log))

    async def expire(self, before: datetime.date) -> list[datetime.date]:
        """Take out the closed days before a date."""
        log = self._gateway.log
        return await self._do(Role.ADMIN, lambda: retention.expire(log, before), "expire", before=before.isoformat())

    async def compact(self) -> int:
        """Merge the files of closed days; how many were replaced."""
        return await self._do(Role.ADMIN, lambda: retention.compact(self._gateway.log), "compact")

    # -- the cluster --------------------------------------------------------------------

    async def start_ray(self) -> str:
        """Start the background cluster on this log, or find it; its address."""
        from kodosumi_lab.runtime import background

        def start() -> str:
            found = background.up(log_dir=self._gateway.log.root)
            if Path(found["log_dir"]).resolve() != self._gateway.log.root.resolve():
                raise KodosumiLabError(
                    f"the background cluster of this machine writes another log, {found['log_dir']}; "
                    "`kodosumi-lab down` ends it, with its runs"
                )
            self._gateway.cluster.follow_log()
            return str(found["address"])

        return await self._do(Role.ADMIN, start, "start_ray")

    async def connect(self, address: str) -> str:
        """Go over to another cluster; an empty address is the one that writes the log."""
        cluster = self._gateway.cluster
        held = await self._do(Role.ADMIN, lambda: cluster.use(address.strip() or None), "connect", address=address)
        return str(held.home.address)

    # -- services -----------------------------------------------------------------------

    async def services(self) -> dict[str, dict[str, Any]]:
        """Applications on Ray Serve by name: ``status, message, deployments``."""

        def look() -> dict[str, dict[str, Any]]:
            from kodosumi_lab.api import deployment

            self._gateway.cluster.connection()
            return deployment.status()

        return await self._do(Role.OPERATOR, look)

    async def deploy(self, text: str) -> list[str]:
        """Deploy what a configuration says, as :mod:`kodosumi_lab.api.deployment` reads it; does not wait for it."""

        def begin() -> list[str]:
            from kodosumi_lab.api import deployment

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "service.yaml"
                path.write_text(text)
                config = deployment.read_config(path)
            self._gateway.cluster.connection()
            deployment.apply(config, wait_s=None)
            return [str(app["name"]) for app in config["applications"]]

        return await self._do(Role.ADMIN, begin, "deploy")

    async def stop(self, name: str) -> list[str]:
        """Remove an application."""

        def end() -> list[str]:
            from kodosumi_lab.api import deployment

            self._gateway.cluster.connection()
            return deployment.stop([name])

        return await self._do(Role.ADMIN, end, "stop_service", name=name)

    # -- settings and audit -------------------------------------------------------------

    def settings(self) -> list[Setting]:
        """Every setting in force: name, value, where it came from, what it is."""
        from kodosumi_lab import settings
        from kodosumi_lab.dashboard.words import size

        fields = type(self._gateway.settings).model_fields
        found = []
        named = _in_file(settings.config_file())
        for name, (value, origin) in settings.sources(self._gateway.settings).items():
            # nothing remembers what was given as an argument but that it is nowhere else
            source = origin if origin != str(settings.config_file()) or name in named else "given at the start"
            told = "" if value is None else str(value)
            if isinstance(value, int) and name.endswith(("_bytes", "_memory")):
                told = f"{value:,} ({size(value)})"
            found.append(Setting((name, told, source, fields[name].description or "")))
        return found

    async def audit(self, limit: int = 100) -> list[dict[str, Any]]:
        """What was done through gateways of this log, newest first."""
        found: list[dict[str, Any]] = await self._access.call("GET", "/audit", limit=limit)
        return found


def _in_file(path: Path) -> set[str]:
    """Names of the settings that a file has."""
    import tomllib

    try:
        return set(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError):
        return set()
