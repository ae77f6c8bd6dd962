"""Quicker starts of Ray: what its processes import is put off until it is used.

`import ray` spends three quarters of its time on a grammar for internationalised links (see
:mod:`kodosumi_lab._lazy.rfc3987_syntax`), and a cluster on one machine starts six Python
processes beside its workers. The stand-in is found first by this process, once it says so,
and by the processes of a cluster that is started here; clusters of others are left alone.

Three of those processes serve nobody in a cluster that this process starts for itself: the
server of a dashboard that is off, whose start everything else waits for; the autoscaler of a cluster that
cannot grow; and the monitor that brings workers' output to drivers, of whom the only one does not want it
(a run's output is in its log). They are not started, or late, where other drivers may come.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["complete", "imports", "lean", "starting_ray"]

_LAZY = str(Path(__file__).resolve().parents[1] / "_lazy")
_NAME = "rfc3987_syntax"
# Methods of Ray's node that each start one process; who does not know them starts everything.
_SERVER, _OTHERS = "start_api_server", ("start_monitor", "start_log_monitor")


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


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """While in the block, Ray starts its node in this process with what a run needs, and no more."""
    from ray._private.node import Node

    def without_server(node: Any, **_: Any) -> None:
        node._webui_url = None

    def nothing(_: Any) -> None:
        pass

    before = {name: getattr(Node, name) for name in (_SERVER, *_OTHERS) if hasattr(Node, name)}
    for name in before:
        setattr(Node, name, without_server if name == _SERVER else nothing)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def complete() -> None:
    """Start what :func:`lean` has left out and other drivers of this process's cluster may miss."""
    import ray

    node: Any = ray._private.worker._global_node
    for name in _OTHERS:
        with contextlib.suppress(AttributeError, AssertionError):  # it runs already
            getattr(node, name)()
