"""How JupyterLab reaches the gateway: through the Jupyter server, behind its own authentication.

jupyter-server-proxy finds :func:`setup` as the entry point ``kodosumi`` and serves what it
starts at ``<base url>/kodosumi/``: at ``/``, on JupyterHub and on Binder alike. The gateway
(:mod:`kodosumi_lab.api.jupyter`) listens on a socket file in a folder of its own, and answers
whoever has the secret that only these two processes know. It starts with the first request and
ends with the Jupyter server.

This module is imported when every Jupyter server starts, and costs it nothing.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

__all__ = ["ROOT_VARIABLE", "SECRET_HEADER", "SECRET_VARIABLE", "setup"]

#: Where the gateway finds the secret, and where requests carry it.
SECRET_VARIABLE = "_KODOSUMI_LAB_JUPYTER_SECRET"  # noqa: S105 - its name
SECRET_HEADER = "x-kodosumi-proxy-secret"  # noqa: S105
#: Where the gateway finds the folder that JupyterLab's file browser shows.
ROOT_VARIABLE = "_KODOSUMI_LAB_JUPYTER_ROOT"

# Importing everything takes a machine that is busy starting kernels this long.
_TIMEOUT_S = 60


def setup() -> dict[str, Any]:
    """What jupyter-server-proxy is to do; called once by each Jupyter server."""
    secret = secrets.token_urlsafe(32)
    return {
        "command": [sys.executable, "-m", "kodosumi_lab.api.jupyter", "--uds", "{unix_socket}"],
        "unix_socket": True,
        "timeout": _TIMEOUT_S,
        # called when the gateway starts: by then the server knows its folder
        "environment": lambda: {SECRET_VARIABLE: secret, ROOT_VARIABLE: _literal(_root())},
        "request_headers_override": {SECRET_HEADER: secret},
        "launcher_entry": {"enabled": False},
        "new_browser_tab": False,
        "update_last_activity": _is_activity,
    }


def _is_activity(handler: Any) -> bool:
    """What keeps a server from being culled: an action, or somebody who looks at a run that goes on. Not polling."""
    request = handler.request
    return request.method not in ("GET", "HEAD") or request.headers.get("Accept") == "text/event-stream"


def _root() -> str:
    """The folder of this Jupyter server's files; empty where they are kept in another way."""
    module = sys.modules.get("jupyter_server.serverapp")
    if module is None or not module.ServerApp.initialized():
        return ""
    return str(getattr(module.ServerApp.instance().contents_manager, "root_dir", ""))


def _literal(text: str) -> str:
    """As jupyter-server-proxy leaves it: it formats what it is given."""
    return text.replace("{", "{{").replace("}", "}}")
