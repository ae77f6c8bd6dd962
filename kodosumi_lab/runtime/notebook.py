"""Which notebook cell is being executed: what a run's ``meta`` tells about where it was launched.

The kernel's environment has the notebook's path, and the request that it is working on has the id
of the cell, where the front end says it (JupyterLab from 4.0 on, Notebook 7, VS Code).
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from typing import Any

__all__ = ["executing"]


def executing() -> dict[str, Any] | None:
    """The cell that this process executes.

    Returns
    -------
    dict or None
        ``path`` of the notebook on this machine, id of the ``cell``, ``source_sha256`` of its text as
        it was executed; each None where it is not known. None outside of a notebook, and in threads: they
        go on while other cells are executed.
    """
    ipython = sys.modules.get("IPython")
    if ipython is None or threading.current_thread() is not threading.main_thread():
        return None
    try:
        shell = ipython.get_ipython()
        request = shell.get_parent()  # a terminal's shell has no such method
        if request["header"]["msg_type"] != "execute_request":
            return None
        cell = request["metadata"].get("cellId")
        source = request["content"]["code"]
        path = os.environ.get("JPY_SESSION_NAME") or shell.user_ns.get("__vsc_ipynb_file__")
        if not cell and not str(path).endswith(".ipynb"):
            return None  # a console: its session has a name, but no cells
        digest = hashlib.sha256(source.encode()).hexdigest()
    except (AttributeError, KeyError, TypeError, UnicodeError):  # another kernel's shell, another front end's request
        return None
    return {"path": path or None, "cell": cell or None, "source_sha256": digest}
