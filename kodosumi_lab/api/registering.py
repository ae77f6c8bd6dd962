"""Routes of the Flow Register: what is registered and how it stands, add, read again, remove.

Adding a source takes the role admin: a module runs its code as this machine's user when it is
read, and an address makes the gateway send requests into its own network. Looking, and reading
again what an admin has added, takes the role operator: reasons hold tracebacks and addresses.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import Admin, Operator
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.register import Register

__all__ = ["router"]

router = APIRouter()


class Source(BaseModel):
    """A source of flows, as it was read last."""

    source: str
    kind: str = Field(description="module, openapi, routes")
    state: str = Field(description="ok; stale: its flows are kept, but it cannot be read any more; failed; unread")
    failed: dict[str, str] = Field(description="what could not be read (the source, or a part of it), and why")
    flows: list[str]
    registered: str | None
    refreshed: str | None


class SourceBody(BaseModel):
    """What to register."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=1, max_length=2000, description="package.module, …/openapi.json, or …/-/routes of Ray Serve"
    )
    token: str | None = Field(None, max_length=10_000, description="bearer token that a service wants")


@router.get("/sources", tags=["sources"])
def list_sources(gateway: GatewayOf, _: Operator) -> list[Source]:
    """What is registered, and why what failed did."""
    return [Source.model_validate(one) for one in Register(gateway.log.root).sources()]


@router.post("/sources", tags=["sources"], status_code=201)
def add_source(body: SourceBody, gateway: GatewayOf, user: Admin) -> Source:
    """Register a source and read it. One that cannot be read is not kept: the problem says why."""
    register = Register(gateway.log.root)
    known = body.source in register.load()["sources"]
    register.add(body.source, token=body.token)
    found = _one(gateway, body.source)
    gateway.audit.note(user.name, "http", "add_source", found.state, source=body.source)
    if not found.flows and not known:
        register.remove(body.source)
    if not found.flows:
        raise _unreadable(found)
    return found


@router.post("/sources/refresh", tags=["sources"])
def refresh_source(
    gateway: GatewayOf, _: Operator, source: Annotated[str | None, Query(description="all by default")] = None
) -> list[Source]:
    """Read a source again, or all and the installed packages. What fails keeps the flows that it had, as stale."""
    register = Register(gateway.log.root)
    if source is not None:
        _known(gateway, source)
    register.read([source] if source is not None else None)
    return [Source.model_validate(one) for one in register.sources() if source in (None, one["source"])]


@router.delete("/sources", tags=["sources"], status_code=204)
def remove_source(gateway: GatewayOf, user: Admin, source: Annotated[str, Query()]) -> None:
    """Forget a source, its flows and its token."""
    _known(gateway, source)
    Register(gateway.log.root).remove(source)
    gateway.audit.note(user.name, "http", "remove_source", "ok", source=source)


def _one(gateway: Gateway, source: str) -> Source:
    found = next(one for one in Register(gateway.log.root).sources() if one["source"] == source)
    return Source.model_validate(found)


def _known(gateway: Gateway, source: str) -> dict[str, Any]:
    known = Register(gateway.log.root).load()["sources"]
    if source not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise Refused(404, "source-not-found", f"no source {source[:200]!r} is registered; there are: {listed}")
    return dict(known[source])


def _unreadable(found: Source) -> Refused:
    reasons = "; ".join(f"{part}: {why}" for part, why in found.failed.items()) or "it holds no flows"
    detail = f"source {found.source} cannot be used: {reasons}"
    return Refused(422, "source", detail, errors={part: [why] for part, why in found.failed.items()})
