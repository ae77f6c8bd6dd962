"""How long hypothesis looks: modest by default, twenty times that with ``KODOSUMI_SOAK=1``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("quick", max_examples=25, stateful_step_count=25, **_COMMON)
settings.register_profile("soak", max_examples=500, stateful_step_count=60, **_COMMON)
settings.load_profile("soak" if os.environ.get("KODOSUMI_SOAK") == "1" else "quick")
