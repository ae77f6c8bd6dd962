"""Widgets on a page of their own, with a real gateway behind them: what a notebook's page gives, without the notebook.

The page has JupyterLab's `jupyter-config-data`, so a widget finds the gateway below its base URL as it does there.
The bundles are the committed ones.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from apikit import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import kodosumi_lab
from kodosumi_lab.api.app import create_app
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.settings import load

STATIC = Path(kodosumi_lab.__file__).parent / "widgets" / "static"

# JupyterLab's own colours, of its light and its dark theme
_THEMES = {
    "light": {
        "--jp-layout-color1": "#ffffff", "--jp-layout-color2": "#eeeeee", "--jp-ui-font-color1": "rgba(0,0,0,.87)",
        "--jp-ui-font-color2": "rgba(0,0,0,.66)", "--jp-border-color2": "#e0e0e0",
    },
    "dark": {
        "--jp-layout-color1": "#111111", "--jp-layout-color2": "#424242", "--jp-ui-font-color1": "rgba(255,255,255,1)",
        "--jp-ui-font-color2": "rgba(255,255,255,.7)", "--jp-border-color2": "#616161",
    },
}  # fmt: skip

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{widget}</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<script id="jupyter-config-data" type="application/json">{config}</script>
<style>:root {{ {variables} }} body {{ margin: 8px; background: var(--jp-layout-color1); color: var(--jp-ui-font-color1);
font: 13px system-ui, sans-serif }}</style></head>
<body data-jp-theme-light="{light}"><main id="root"></main>
<script type="module">
import widget from '/static/{widget}.js';
const state = {traits};
const listeners = new Map();
// what a host gives a widget, see https://anywidget.dev/en/afm/
const model = {{
  get: (name) => state[name],
  set: (name, value) => {{ state[name] = value; for (const f of listeners.get('change:' + name) ?? []) f(); }},
  save_changes: () => {{}},
  on: (name, f) => listeners.set(name, [...(listeners.get(name) ?? []), f]),
  off: (name, f) => listeners.set(name, (listeners.get(name) ?? []).filter((g) => g !== f)),
  send: () => {{}},
}};
globalThis.traits = state;
globalThis.model = model;
globalThis.unmount = await widget.render({{ model, el: document.getElementById('root') }});
</script></body></html>"""


class Anybody:
    """Whoever asks is this user."""

    challenge = "Bearer"

    def __init__(self, name: str = "ada", role: Role = Role.ADMIN) -> None:
        self.user_ = User(name, role)

    async def user(self, request: Any) -> User:
        return self.user_


class Pages:
    """Addresses of widgets' pages."""

    def __init__(self, url: str, log_id: str) -> None:
        self.url, self._log_id = url, log_id

    def of(self, widget: str, *, theme: str = "light", **traits: Any) -> str:
        """Where a widget of this name is shown with these traits."""
        held = json.dumps({"_log": self._log_id, "_http": True, **traits})
        return f"{self.url}/page?" + urlencode({"widget": widget, "theme": theme, "traits": held})


@contextlib.contextmanager
def serve_pages(log_dir: Path, *, static: Path = STATIC, port: int = 0, **options: Any) -> Iterator[Pages]:
    """Serve a log's gateway below ``/kodosumi``, and pages of widgets over it."""
    gateway = create_app(settings=load(log_dir=log_dir), identity=Anybody(), **options)

    async def page(request: Request) -> HTMLResponse:
        asked = request.query_params
        theme = asked["theme"]
        text = _PAGE.format(
            widget=asked["widget"],
            config=json.dumps({"baseUrl": "/"}),
            variables=" ".join(f"{name}: {value};" for name, value in _THEMES[theme].items()),
            light="true" if theme == "light" else "false",
            traits=asked["traits"].replace("<", "\\u003c"),
        )
        return HTMLResponse(text)

    routes = [
        Route("/page", page),
        Mount("/kodosumi", gateway),
        Mount("/static", StaticFiles(directory=static, check_dir=False)),
    ]
    app = Starlette(routes=routes, lifespan=lambda _: gateway.router.lifespan_context(gateway))
    with serving(app, port) as url:
        import httpx

        told = httpx.get(f"{url}/kodosumi/api/v1/health").json()
        yield Pages(url, told.get("log", ""))
