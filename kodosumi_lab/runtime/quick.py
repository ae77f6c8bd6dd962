"""Quicker starts of Ray: what its processes import is put off until it is used.

`import ray` spends three quarters of its time on a grammar for internationalised links (see
:mod:`kodosumi_lab._lazy.rfc3987_syntax`), and a cluster on one machine starts six Python
processes beside its workers. The stand-in is found first by this process, once it says so,
and by the processes of a cluster that is started here; clusters of others are left alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["imports", "starting_ray"]

_LAZY = str(Path(__file__).resolve().parents[1] / "_lazy")
_NAME = "rfc3987_syntax"


def imports() -> None:
    """Before this process imports Ray."""
    if _NAME in sys.modules or importlib.util.find_spec(_NAME) is None:
        return
    spec = importlib.util.spec_from_file_location(_NAME, os.path.join(_LAZY, f"{_NAME}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[_NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


@contextlib.contextmanager
def starting_ray(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """While in the block, a cluster that is started gives its processes the quicker way, and `environment`."""
    changes = dict(environment or {})
    if importlib.util.find_spec(_NAME) is not None:
        changes["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _LAZY]))
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
