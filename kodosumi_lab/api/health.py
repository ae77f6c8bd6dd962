"""Whether the gateway is there, and whether it can read its log; anybody may ask."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter

import kodosumi_lab
from kodosumi_lab.api import problems
from kodosumi_lab.api.gateway import GatewayOf
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.layout import log_id

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/health")
def health(gateway: GatewayOf) -> dict[str, Any]:
    """The process answers; `log` says which log it is, by the same id as that of widgets."""
    return {"status": "ok", "version": kodosumi_lab.__version__, "log": log_id(gateway.log.root)}


@router.get("/ready", responses=problems.RESPONSES)
def ready(gateway: GatewayOf) -> dict[str, Any]:
    """The log can be read; an empty one, too."""
    root = gateway.log.root
    if root.exists() and not os.access(root, os.R_OK | os.X_OK):
        raise Refused(503, "log", "the event log cannot be read; its owner and mode are not the gateway's")
    gateway.log.positions()
    return {"status": "ready"}
