"""``kodosumi.serve`` and ``kodosumi.runner.main``."""

from __future__ import annotations

from kodosumi_lab.api.launching import Launch
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.api.templates import Templates

__all__ = ["Launch", "ServeAPI", "Templates"]
