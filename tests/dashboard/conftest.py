"""A recorded log and the gateway's application over it, as sessions of the dashboard have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apikit import Recorded

from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.dashboard.access import Access, Answers
from kodosumi_lab.settings import load


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """Runs of ada and bob."""
    made = Recorded(tmp_path / "log")
    yield made
    made.writer.close()


@pytest.fixture
def app(recorded: Recorded) -> Any:
    """The gateway's application over them."""
    return create_app(settings=load(log_dir=recorded.root))


@pytest.fixture
def access(app: Any) -> Callable[..., Access]:
    """What somebody asks: ``access("ada", Role.USER)``."""
    answers = Answers(app.state.gateway)
    return lambda name="olga", role=Role.OPERATOR: Access(app, User(name, role), answers)
