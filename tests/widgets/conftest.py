"""A kernel with a front end that speaks its protocol, and a recorded log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apikit import Recorded
from jupyter_client.manager import KernelManager

from widgets.front import FrontEnd


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """A plain kernel, as `jupyter` starts it."""
    manager = KernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def front(kernel: Any) -> FrontEnd:
    return FrontEnd(kernel)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "log")
    yield made
    made.writer.close()
