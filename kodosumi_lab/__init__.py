"""Kodosumi Lab: run long agentic flows on Ray, and watch, query and steer them from a notebook.

Importing this package does no I/O, reads no environment and loads none of Ray, Polars or
pydantic; they are loaded when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kodosumi_lab import _alias

# Bound here and now, since modules of the same names would otherwise take these places when
# something imports them; both are light.
from kodosumi_lab.flow import Flow, flow
from kodosumi_lab.runtime.reading import events, locks, run, runs

__version__ = "0.1.0"

_alias.install()  # where the wheel's .pth file has not done it: a checkout on PYTHONPATH

if TYPE_CHECKING:
    from kodosumi_lab import forms
    from kodosumi_lab.api.client import AsyncClient, Client
    from kodosumi_lab.errors import KodosumiLabError
    from kodosumi_lab.forms.uploaded import UploadFile
    from kodosumi_lab.runtime.cluster import connect, disconnect
    from kodosumi_lab.runtime.diff import Diff, diff
    from kodosumi_lab.runtime.register import find, flows, refresh, register, unregister
    from kodosumi_lab.runtime.remote import RemoteFlow
    from kodosumi_lab.runtime.run import Run
    from kodosumi_lab.runtime.sweep import Sweep, sweep
    from kodosumi_lab.runtime.tracer import Tracer
    from kodosumi_lab.widgets.views import inbox, runs_view

__all__ = [
    "AsyncClient",
    "Client",
    "Diff",
    "Flow",
    "KodosumiLabError",
    "RemoteFlow",
    "Run",
    "Sweep",
    "Tracer",
    "UploadFile",
    "__version__",
    "connect",
    "diff",
    "disconnect",
    "events",
    "find",
    "flow",
    "flows",
    "forms",
    "inbox",
    "locks",
    "refresh",
    "register",
    "run",
    "runs",
    "runs_view",
    "sweep",
    "unregister",
]

_HOMES = {
    "AsyncClient": "api.client",
    "Client": "api.client",
    "Diff": "runtime.diff",
    "KodosumiLabError": "errors",
    "RemoteFlow": "runtime.remote",
    "Run": "runtime.run",
    "Sweep": "runtime.sweep",
    "Tracer": "runtime.tracer",
    "UploadFile": "forms.uploaded",
    "connect": "runtime.cluster",
    "diff": "runtime.diff",
    "disconnect": "runtime.cluster",
    "find": "runtime.register",
    "flows": "runtime.register",
    "inbox": "widgets.views",
    "refresh": "runtime.register",
    "runs_view": "widgets.views",
    "register": "runtime.register",
    "sweep": "runtime.sweep",
    "unregister": "runtime.register",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "forms":
        return importlib.import_module(f"{__name__}.forms")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext kodosumi_lab``: the magics ``%kodosumi`` and ``%%kodosumi``."""
    from kodosumi_lab import magic

    magic.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext kodosumi_lab`` takes them back."""
    from kodosumi_lab import magic

    magic.unload(shell)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
