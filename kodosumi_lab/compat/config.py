"""``kodosumi.config``."""

from __future__ import annotations

from kodosumi_lab.settings import Settings

__all__ = ["Settings"]
