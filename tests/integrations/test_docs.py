"""What the guide shows of crews and graphs works."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from integrations.model import ScriptedModel

pytest.importorskip("crewai", reason="`make test-integrations` has an environment with it")
pytest.importorskip("langgraph", reason="`make test-integrations` has an environment with it")
pytestmark = pytest.mark.ray

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "flows.md"


def test_crews_and_graphs_of_the_guide_run(
    lab: Any, model: ScriptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, use = re.findall(r"^```python integrations\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert module.startswith("# news.py\n")
    (tmp_path / "news.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    assert os.environ["OPENAI_BASE_URL"].startswith("http://127.0.0.1")  # where Runners look, too
    before = len(model.asked)
    exec(compile(use, str(GUIDE), "exec"), {"__name__": "guide"})
    assert len(model.asked) > before
