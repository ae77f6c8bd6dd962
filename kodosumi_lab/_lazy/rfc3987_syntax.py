"""Stands before the package of this name until somebody checks an internationalised link.

Ray imports jsonschema, which imports that package wherever JupyterLab is installed, and the
package compiles a grammar when it is imported: three quarters of the time of `import ray`, in
every process of Ray. See :mod:`kodosumi_lab.runtime.quick`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

__all__ = ["is_valid_syntax"]

_HERE = os.path.dirname(os.path.abspath(__file__))


def is_valid_syntax(term: str, value: str) -> bool:
    """Whether a text fits a rule of RFC 3987, by the package itself."""
    return bool(_package().is_valid_syntax(term, value))


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # what import looks for
        raise AttributeError(name)
    return getattr(_package(), name)


def _package() -> Any:
    if _is_this(sys.modules.get(__name__)):
        before = list(sys.path)
        del sys.modules[__name__]
        sys.path[:] = [entry for entry in before if os.path.abspath(entry) != _HERE]
        try:
            importlib.import_module(__name__)
        finally:
            sys.path[:] = before
    return sys.modules[__name__]


def _is_this(module: Any) -> bool:
    return os.path.abspath(getattr(module, "__file__", "") or "") == os.path.abspath(__file__)
