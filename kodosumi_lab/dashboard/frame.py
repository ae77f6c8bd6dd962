"""The dashboard in a notebook's cell: a frame with the page that the Jupyter server has of it."""

from __future__ import annotations

import html
import os
from typing import Any

__all__ = ["Frame", "frame"]


class Frame:
    """A page of the dashboard; shown in a cell, and told where it cannot be.

    Parameters
    ----------
    query
        Which page, as its address has it from its question mark on.
    height
        In pixels.
    """

    def __init__(self, query: str, height: int) -> None:
        self.url = f"{_base()}kodosumi/dashboard/{query}"
        self._height = int(height)

    def __repr__(self) -> str:
        return f"<dashboard at {self.url} of the Jupyter server>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        source = html.escape(self.url, quote=True)
        style = (
            f"width:100%;height:{self._height}px;border:1px solid var(--jp-border-color2,GrayText);border-radius:6px"
        )
        shown = f'<iframe src="{source}" title="Kodosumi Lab" style="{style}"></iframe>'
        return {"text/plain": repr(self), "text/html": shown}


def frame(query: str = "", *, height: int = 720) -> Frame:
    """The dashboard in this cell.

    Parameters
    ----------
    query
        Which page, such as ``?page=analytics&by=user``: what stands in the address of one.
    height
        In pixels.

    Examples
    --------
    >>> from kodosumi_lab.dashboard.frame import frame
    >>> frame("?page=analytics")  # doctest: +SKIP
    """
    return Frame(query, height)


def _base() -> str:
    """Below which path the browser sees the Jupyter server that started this kernel."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix:
        return prefix
    try:
        from jupyter_server.serverapp import list_running_servers
    except ImportError:
        return "/"
    parent = os.environ.get("JPY_PARENT_PID")
    servers = list(list_running_servers())
    mine = [one for one in servers if str(one.get("pid")) == parent] or servers
    return str(mine[0]["base_url"]) if mine else "/"
