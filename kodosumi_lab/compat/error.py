"""``kodosumi.error`` and ``kodosumi.service.inputs.errors``."""

from __future__ import annotations

from kodosumi_lab.errors import InputsError
from kodosumi_lab.errors import KodosumiLabError as KodosumiError

__all__ = ["InputsError", "KodosumiError"]
