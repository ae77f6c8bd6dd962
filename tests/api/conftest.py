"""A recorded log, and the gateway over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apikit import Api, Recorded


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "log")
    yield made
    made.writer.close()


@pytest.fixture
def api(recorded: Recorded) -> Api:
    return Api(recorded.root)
