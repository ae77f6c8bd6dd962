"""``Templates``: pages of a service, made with Jinja2."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from starlette.templating import Jinja2Templates

__all__ = ["Templates"]

_Path = str | PathLike[str]


class Templates(Jinja2Templates):
    """Starlette's ``Jinja2Templates`` over several directories.

    Parameters
    ----------
    directory
        Where templates are looked for first; one directory, or several in their order.
    *further
        Directories that are looked into afterwards.
    **options
        See ``starlette.templating.Jinja2Templates``.
    """

    def __init__(self, directory: _Path | Sequence[_Path], *further: _Path, **options: Any) -> None:
        first = [directory] if isinstance(directory, str | PathLike) else list(directory)
        super().__init__(directory=[*first, *further], **options)
