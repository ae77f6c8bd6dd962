"""Where this process belongs: which log, which actors. Set once; knows no Ray.

A Runner has its home from birth, a Ray task gets it with the first tracer it unpickles, a
notebook by ``connect``. So a child run launched anywhere inside a flow lands beside its
parent.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Home", "get", "own_modules", "place", "set_home"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(slots=True)
class Home:
    """A log and the actors that serve it.

    Attributes
    ----------
    log_dir, namespace, address
        The log directory, the Ray namespace of its actors, the cluster's address.
    owner
        Prefix of the Spooler's segments; by its file others see whether `log_dir` is the same here.
    user
        In a run: who launched it.
    place
        ``cwd`` and ``sys_path`` that runs launched here get; empty means this process's own.
    """

    log_dir: str
    namespace: str
    address: str = ""
    owner: str = ""
    user: str = ""
    place: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, str]:
        """What other processes of the cluster need."""
        return {
            "log_dir": self.log_dir,
            "namespace": self.namespace,
            "address": self.address,
            "owner": self.owner,
        }


_home: Home | None = None


def get() -> Home | None:
    """This process's home, if it has one."""
    return _home


def set_home(home: Home | None) -> None:
    """Settle this process's home."""
    global _home
    _home = home


def place() -> dict[str, Any]:
    """Working directory and import path for runs launched here."""
    if _home is not None and _home.place:
        return _home.place
    cwd = os.getcwd()
    installed = (sys.prefix + os.sep, sys.base_prefix + os.sep)
    paths = [os.path.abspath(path or cwd) for path in sys.path if not path.startswith(installed)]
    # a notebook or a script finds modules beside it, whether or not Python put that on the path
    return {"cwd": cwd, "sys_path": list(dict.fromkeys([*paths, cwd]))}


def own_modules() -> dict[str, float]:
    """Source files of loaded modules that a person may be editing, with their times of change."""
    installed = (sys.prefix + os.sep, sys.base_prefix + os.sep, _PACKAGE + os.sep)
    result = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith(".py") and not path.startswith(installed):
            try:
                result[path] = os.stat(path).st_mtime
            except OSError:
                result[path] = -1.0
    return result
