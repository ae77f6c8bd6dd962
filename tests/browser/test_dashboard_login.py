"""Plain ``panel serve`` with Panel's own logins: who gets in, as whom, and what they see."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from apikit import Recorded, serving
from conftest import ROOT
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from playwright.sync_api import expect

from browser.board import Served, free_port, panel_serve


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "log")
    yield made
    made.writer.close()


#: What a browser says of Panel's login page, whose logo comes from elsewhere, and of a server that has ended.
SAID = ["401", "403", "404", "cdn.holoviz.org", "favicon.ico", "ERR_CONNECTION", "Could not open websocket"]


def nav(page: Any, name: str) -> Any:
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)


def sees(page: Any, held: Served, recorded: Recorded, *, mine: str, theirs: str, runs: int) -> None:
    """A page shows this person's runs, and nobody else's, wherever one looks."""
    page.goto(f"{held.url}?page=analytics")
    expect(page.locator(".tile", has_text="Runs").first.locator("dd")).to_have_text(str(runs))
    page.goto(f"{held.url}?page=runs")
    expect(page.locator(f'tr[data-id="{mine}"]')).to_be_visible()
    expect(page.locator(f'tr[data-id="{theirs}"]')).to_have_count(0)
    page.goto(f"{held.url}?page=run&run={theirs}")
    expect(page.get_by_text("there is no run").first).to_be_visible()
    expect(nav(page, "Control")).to_have_count(0)
    page.goto(f"{held.url}?page=control")
    expect(page.get_by_text("Control takes the role operator")).to_be_visible()


def test_with_basic_auth_each_is_who_they_are(
    open_page: Callable[..., Any], recorded: Recorded, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    words = {name: secrets.token_hex(8) for name in ("ada", "bob", "olga", "zoe")}
    users.write_text(json.dumps(words))
    page_of_ours = str(ROOT / "kodosumi_lab" / "dashboard" / "login.html")
    more = (
        "--basic-auth",
        str(users),
        "--basic-login-template",
        page_of_ours,
        "--cookie-secret",
        secrets.token_hex(32),
    )
    asked: list[str] = []
    with panel_serve(recorded.root, *more) as held:

        def enter(name: str, word: str) -> Any:
            page = open_page(f"{held.url}?page=runs")
            page.allowed = SAID
            page.on("request", lambda one: asked.append(one.url))
            expect(page.get_by_text("Runs that wait")).to_have_count(0)
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill(word)
            page.keyboard.press("Enter")
            return page

        stranger = enter("ada", "wrong")
        expect(stranger.get_by_role("alert")).not_to_be_empty()
        expect(stranger.locator("input[name=password]")).to_be_visible()
        stranger.goto(f"{held.url}?page=analytics")
        expect(stranger.locator("input[name=password]")).to_be_visible()
        expect(stranger.locator(".tile")).to_have_count(0)

        ada = enter("ada", words["ada"])
        expect(ada.get_by_text("ada · user")).to_be_visible()
        sees(ada, held, recorded, mine=recorded.finished, theirs=recorded.failed, runs=2)

        bob = enter("bob", words["bob"])
        expect(bob.get_by_text("bob · viewer")).to_be_visible()
        sees(bob, held, recorded, mine=recorded.failed, theirs=recorded.finished, runs=1)

        olga = enter("olga", words["olga"])
        expect(olga.get_by_text("olga · operator")).to_be_visible()
        expect(olga.locator("tr[data-id]")).to_have_count(3)
        expect(nav(olga, "Control")).to_be_visible()

        unknown = enter("zoe", words["zoe"])  # no token says what she may: the setting gateway_default_role does
        expect(unknown.get_by_text("zoe · user")).to_be_visible()
        expect(unknown.locator("tr[data-id]")).to_have_count(0)
        assert [url for url in asked if not url.startswith((held.url.partition("/app")[0], "data:", "blob:"))] == []


def issuer() -> FastAPI:
    """A small OAuth provider: a page that asks who one is, a code for it, a token for the code, and who that is."""
    app = FastAPI()
    codes: dict[str, str] = {}
    tokens: dict[str, str] = {}
    roles = {"ada": ["staff"], "olga": ["staff", "operator"]}

    @app.get("/authorize")
    def ask(request: Request) -> HTMLResponse:
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{request.query_params[name]}">'
            for name in ("redirect_uri", "state")
        )
        body = f'<form method="post" action="/authorize">{hidden}<label>Who <input name="who"></label></form>'
        return HTMLResponse(f"<title>Issuer</title>{body}")

    @app.post("/authorize")
    def answer(who: str = Form(), redirect_uri: str = Form(), state: str = Form()) -> RedirectResponse:
        code = secrets.token_hex(8)
        codes[code] = who
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}", status_code=303)

    @app.post("/token")
    def token(code: str = Form(), client_secret: str = Form()) -> JSONResponse:
        if client_secret != "hush" or code not in codes:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        made = secrets.token_hex(8)
        tokens[made] = codes.pop(code)
        return JSONResponse({"access_token": made, "token_type": "bearer"})

    @app.get("/userinfo")
    def info(request: Request) -> dict[str, Any]:
        who = tokens[request.headers["authorization"].removeprefix("Bearer ")]
        return {"sub": who, "preferred_username": who, "roles": roles.get(who, [])}

    return app


def test_with_an_oauth_provider_the_issuer_says_who_and_which_role(
    open_page: Callable[..., Any], recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(issuer()) as url:
        for name, path in (("AUTHORIZE", "authorize"), ("TOKEN", "token"), ("USER", "userinfo")):
            monkeypatch.setenv(f"PANEL_OAUTH_{name}_URL", f"{url}/{path}")
        monkeypatch.setenv("PANEL_USER_KEY", "preferred_username")
        port = free_port()
        more = ("--oauth-provider", "generic", "--oauth-key", "lab", "--oauth-secret", "hush")
        more += ("--oauth-redirect-uri", f"http://127.0.0.1:{port}/login", "--cookie-secret", secrets.token_hex(32))
        with panel_serve(recorded.root, *more, port=port) as held:

            def enter(name: str) -> Any:
                page = open_page(f"{held.url}?page=runs")
                page.allowed = SAID
                expect(page).to_have_title("Issuer")
                page.get_by_label("Who").fill(name)
                page.keyboard.press("Enter")
                return page

            olga = enter("olga")
            expect(olga.get_by_text("olga · operator")).to_be_visible()
            ada = enter("ada")
            expect(ada.get_by_text("ada · user")).to_be_visible()
            sees(ada, held, recorded, mine=recorded.finished, theirs=recorded.failed, runs=2)
