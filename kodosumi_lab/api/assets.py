"""Files of the application itself that a page may need: BokehJS, of the version that is installed here.

A figure in the log is BokehJS's own JSON; what draws it comes from here and never from another host.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from kodosumi_lab.api import tags
from kodosumi_lab.api.problems import Refused

__all__ = ["ASSETS", "router"]

router = APIRouter()

#: What there is.
ASSETS = ("bokeh.min.js", "bokeh-gl.min.js", "bokeh-mathjax.min.js", "bokeh-tables.min.js", "bokeh-widgets.min.js")

_JS = "text/javascript"
_A_YEAR = "public, max-age=31536000, immutable"


@functools.cache
def _folder() -> tuple[Path, str]:
    """Where the files are, and their version; without importing the library."""
    found = importlib.util.find_spec("bokeh")
    if found is None or not found.submodule_search_locations:
        raise Refused(404, "asset-not-found", "there is no Bokeh in the gateway's environment")
    return Path(found.submodule_search_locations[0], "server", "static", "js"), importlib.metadata.version("bokeh")


@router.get(
    "/assets/{name}", tags=["views"], response_class=Response,
    responses={200: {"content": {_JS: {"schema": {"type": "string"}}}}, **tags.NOT_MODIFIED},
)  # fmt: skip
def get_asset(
    name: str,
    request: Request,
    v: Annotated[
        str | None, Query(max_length=100, description="version; with the one that is here, kept a year")
    ] = None,
) -> Response:
    """A file of BokehJS: `bokeh.min.js`, `bokeh-widgets.min.js`, `bokeh-tables.min.js` …; `x-version` says which."""
    if name not in ASSETS:
        raise Refused(404, "asset-not-found", f"there is no file {name[:80]!r} here; there are: {', '.join(ASSETS)}")
    folder, version = _folder()
    tag = f'"{version}"'
    said = {"etag": tag, "x-version": version, "x-content-type-options": "nosniff"}
    said["cache-control"] = _A_YEAR if v == version else "private, no-cache"
    if tags.fresh(request.headers.get("if-none-match"), tag) is not None:
        return Response(status_code=304, headers=said)
    return FileResponse(folder / name, media_type=_JS, headers=said)
