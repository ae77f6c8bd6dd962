"""``kodosumi.runner.tracer``."""

from __future__ import annotations

from kodosumi_lab.runtime.mock import TracerMock
from kodosumi_lab.runtime.tracer import Tracer

__all__ = ["Tracer", "TracerMock"]
