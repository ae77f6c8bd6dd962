"""The page on which people sign in with a token, and how they leave again. No script is needed for it."""

from __future__ import annotations

import html
import re
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from kodosumi_lab.api.sessions import Sessions, same_origin
from kodosumi_lab.icon import ICON

__all__ = ["PATHS", "router"]

router = APIRouter(include_in_schema=False)

#: Anybody may ask these.
PATHS = ("/login", "/logout")

_BODY_BYTES = 20_000
# Below which path the browser sees this gateway; only it knows. What cannot be a path of a cookie is none.
_BASE = re.compile(r"/(?:[A-Za-z0-9._~%@-]+/)*")


@router.get("/login")
def ask(
    request: Request,
    target: Annotated[str, Query(alias="next", max_length=4000)] = "",
    ticket: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Ask for a token; a ticket does as well."""
    cookie = _sessions(request).redeem(ticket) if ticket else None
    if cookie is not None:
        return _go(request, target, cookie, "/")
    told = "That link was used before, or is older than ten minutes." if ticket else ""
    return _page(request, target, told)


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """Take a token, and let the browser in."""
    if not same_origin(request):
        return _page(request, "", "That came from a page of somebody else.", 403)
    given = dict(parse_qsl((await _body(request)).decode("utf-8", "replace")))
    target = given.get("next", "")
    cookie = _sessions(request).sign_in(given.get("token", "").strip())
    if cookie is None:
        return _page(request, target, "That token does not count here.", 401)
    base = given.get("base", "/")
    return _go(request, target, cookie, base if _BASE.fullmatch(base) else "/")


@router.post("/logout")
async def sign_out(request: Request) -> Response:
    """Forget who the browser is."""
    answer = Response(status_code=303, headers={"location": "login"})
    bases = {"/", dict(parse_qsl((await _body(request)).decode("utf-8", "replace"))).get("base", "/")}
    for base in sorted(bases):
        if _BASE.fullmatch(base):
            answer.delete_cookie(_sessions(request).cookie, path=base)
    return answer


def _sessions(request: Request) -> Sessions:
    held: Sessions = request.app.state.sessions
    return held


async def _body(request: Request) -> bytes:
    body = await request.body()
    return body[:_BODY_BYTES]


def _go(request: Request, target: str, cookie: str, base: str) -> Response:
    answer = Response(status_code=303, headers={"location": _local(target), "referrer-policy": "same-origin"})
    answer.set_cookie(
        _sessions(request).cookie, cookie, max_age=30 * 86_400, path=base, httponly=True, samesite="lax",
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )  # fmt: skip
    return answer


def _local(target: str) -> str:
    """A place of ours, relative to the login page; whatever could lead elsewhere leads to the dashboard."""
    path, mark, query = target.partition("?")
    if not path or path.startswith(("/", "\\")) or ":" in path or ".." in path or not path.isprintable():
        return "dashboard/"
    return quote(path, safe="/-._~") + mark + quote(query, safe="=&-._~%+:,!*()")


def _page(request: Request, target: str, told: str, status: int = 200) -> HTMLResponse:
    answer = HTMLResponse(_HTML.format(**_words(_sessions(request), target, told)), status)
    answer.headers["cache-control"] = "no-store"
    answer.headers["referrer-policy"] = "same-origin"  # with no-referrer forms have the origin "null"
    answer.headers["content-security-policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "frame-ancestors 'self'"
    )
    return answer


def _words(sessions: Sessions, target: str, told: str) -> dict[str, Any]:
    icon = "data:image/svg+xml," + quote(ICON)
    problem = f'<p class="told" role="alert">{html.escape(told)}</p>' if told else ""
    body = _FORM if sessions.by_token else _ELSEWHERE
    return {"icon": icon, "told": problem, "body": body.format(next=html.escape(target, quote=True)), "mark": ICON}


_FORM = """<form method="post" action="login">
<input type="hidden" name="next" value="{next}"><input type="hidden" name="base" value="/" id="base">
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" spellcheck="false">
<button>Sign in</button></form>
<p class="hint">It is in the file that <code>kodosumi-lab serve</code> names when it starts; somebody with access to
that machine makes more with <code>kodosumi-lab token NAME</code>.</p>"""

_ELSEWHERE = """<p>This gateway is told who you are by the proxy in front of it, and that has not said so.
Come in through the proxy's address.</p>"""

_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · Kodosumi Lab</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="{icon}">
<style>
:root {{ color-scheme: light dark; --fg: light-dark(#1c232b, #e8ebee); --bg: light-dark(#f3f5f7, #121518);
  --card: light-dark(#fff, #1b2026); --line: light-dark(#c9d0d7, #3a434c); --accent: light-dark(#1b63b5, #6cb2ff);
  --on: light-dark(#fff, #0b1a2b); --bad: light-dark(#c0273a, #ff8a94); }}
* {{ box-sizing: border-box }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, sans-serif }}
main {{ width: min(380px, 100vw - 32px); padding: 28px; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px }}
h1 {{ display: flex; gap: 10px; align-items: center; font-size: 20px; margin: 0 0 18px }}
svg {{ width: 28px; height: 28px }}
label {{ display: block; font-weight: 600; margin-bottom: 4px }}
input[type=password] {{ width: 100%; font: inherit; color: inherit; background: var(--bg);
  border: 1px solid var(--line); border-radius: 6px; padding: 9px 11px }}
button {{ width: 100%; margin-top: 14px; padding: 9px; font: inherit; font-weight: 600; border: 0; border-radius: 6px;
  background: var(--accent); color: var(--on); cursor: pointer }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px }}
.told {{ color: var(--bad); margin: 0 0 12px }} .hint {{ opacity: .8; font-size: 13px; margin: 16px 0 0 }}
code {{ overflow-wrap: anywhere }}
</style></head><body><main><h1>{mark} Kodosumi Lab</h1>{told}{body}</main>
<script>const b = document.getElementById('base'); if (b) b.value = location.pathname.replace(/[^/]*$/, '');
const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : '';
const dark = localStorage.getItem('kodosumi-lab-theme') ?? system;
document.cookie = `kodosumi-lab-theme=${{dark || 'light'}}; max-age=31536000; samesite=lax`;
const narrow = matchMedia('(max-width: 599px)').matches ? '1' : '0';
document.cookie = `kodosumi-lab-narrow=${{narrow}}; max-age=31536000; samesite=lax`;</script>
</body></html>"""
