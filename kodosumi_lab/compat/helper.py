"""``kodosumi.helper``."""

from __future__ import annotations

import datetime
from typing import Any

from kodosumi_lab.events import dumps

__all__ = ["now", "serialize"]


def now() -> datetime.datetime:
    """The time now, in UTC, with its zone."""
    return datetime.datetime.now(datetime.UTC)


def serialize(value: Any) -> str:
    """JSON text of any value."""
    return dumps(value)
