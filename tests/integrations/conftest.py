"""The scripted model runs before Ray starts: its workers inherit where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from integrations.model import ScriptedModel, serving

# CrewAI would report home, and ask whether to trace.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false"}


@pytest.fixture(scope="session", autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedModel]:
    """The language model of the crews."""
    scripted = ScriptedModel()
    with serving(scripted.app) as url:
        os.environ["SCRIPTED_MODEL"] = url
        os.environ |= {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        os.environ["CREWAI_STORAGE_DIR"] = str(tmp_path_factory.mktemp("crewai"))
        yield scripted
