"""People with a browser: they sign in with a token, and no page of somebody else acts for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from apikit import Api
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kodosumi_lab.api.guard import As
from kodosumi_lab.api.identity import ProxyHeader, Role, TokenFile, User
from kodosumi_lab.api.sessions import REQUEST_HEADER, Sessions


class Page:
    """What stands at /dashboard: it says who reads it, over HTTP and a websocket."""

    carrier: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["state"]["user"].name
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": name})
            await send({"type": "websocket.close", "code": 1000})
            return
        await PlainTextResponse(f"hello {name}")(scope, receive, send)


class Browser:
    """A client that keeps cookies and follows redirects, as browsers do."""

    def __init__(self, app: Any, base: str = "https://lab.example") -> None:
        self.app, self.base = app, base
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self.base, cookies=self.cookies) as client:
                headers = {"accept": "text/html,*/*"} | options.pop("headers", {})
                answer = await client.request(method, path, headers=headers, **{"follow_redirects": True, **options})
                self.cookies = client.cookies
                return answer

        return asyncio.run(one())


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path / "log", mounts={"/dashboard": Page()}, pages=["/dashboard"])


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api.app)


def signed_in(api: Api, name: str = "ada") -> Browser:
    found = Browser(api.app)
    found.ask("POST", "/login", data={"token": api.tokens[name], "base": "/"})
    return found


def test_a_page_leads_to_the_login_and_back(api: Api, browser: Browser) -> None:
    asked = browser.ask("GET", "/dashboard/?page=runs&status=error")
    assert asked.status_code == 200
    assert asked.url.path == "/login"
    target = parse_qs(urlsplit(str(asked.url)).query)["next"][0]
    assert f'value="{target.replace("&", "&amp;")}"' in asked.text
    there = browser.ask("POST", "/login", data={"token": api.tokens["ada"], "next": target, "base": "/"})
    assert there.text == "hello ada"
    assert str(there.url) == "https://lab.example/dashboard/?page=runs&status=error"


def test_who_is_unknown_gets_no_page_but_a_problem_over_the_api(browser: Browser) -> None:
    assert browser.ask("GET", "/api/v1/runs").status_code == 401
    assert browser.ask("GET", "/dashboard/", headers={"accept": "application/json"}).status_code == 401
    assert browser.ask("POST", "/dashboard/").status_code == 401


def test_a_wrong_token_is_told_and_lets_nobody_in(browser: Browser) -> None:
    told = browser.ask("POST", "/login", data={"token": "kl_wrong"})
    assert told.status_code == 401
    assert "does not count" in told.text
    assert not browser.cookies
    assert "kl_wrong" not in told.text


def test_the_cookie_is_the_browser_s_alone(api: Api, browser: Browser) -> None:
    answer = browser.ask("POST", "/login", data={"token": api.tokens["ada"], "base": "/x/"}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" in cookie
    assert "path=/x/" in cookie
    assert api.tokens["ada"] not in answer.headers["set-cookie"]
    plain = Browser(api.app, "http://127.0.0.1:8370").ask(
        "POST", "/login", data={"token": api.tokens["ada"], "base": "//evil"}, follow_redirects=False
    )
    assert "secure" not in plain.headers["set-cookie"].lower()
    assert "path=/;" in plain.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "../../x",
        "a\nb",
    ],
)
def test_the_login_leads_nowhere_else(api: Api, browser: Browser, target: str) -> None:
    answer = browser.ask("POST", "/login", data={"token": api.tokens["ada"], "next": target}, follow_redirects=False)
    assert answer.headers["location"] == "dashboard/"


def test_the_cookie_counts_over_the_api_for_reading(api: Api) -> None:
    assert signed_in(api).ask("GET", "/api/v1/runs").status_code == 200
    assert signed_in(api).ask("GET", "/api/v1/sources").status_code == 403, "ada is no operator"
    assert signed_in(api, "olga").ask("GET", "/api/v1/sources").status_code == 200


def test_a_forged_request_does_nothing(api: Api) -> None:
    root = signed_in(api, "root")
    forged = root.ask("POST", "/api/v1/sources/refresh")
    assert forged.status_code == 403
    assert "forge" in forged.json()["detail"]
    assert root.ask("POST", "/api/v1/sources/refresh", headers={REQUEST_HEADER: "1"}).status_code == 200
    other = {"origin": "https://evil.example", REQUEST_HEADER: "1"}
    assert root.ask("POST", "/api/v1/sources/refresh", headers=other).status_code == 403
    bearer = {"authorization": f"Bearer {api.tokens['root']}"}
    assert Browser(api.app).ask("POST", "/api/v1/sources/refresh", headers=bearer).status_code == 200
    login = {"token": api.tokens["ada"]}
    assert Browser(api.app).ask("POST", "/login", data=login, headers=other).status_code == 403


def test_a_revoked_token_ends_its_sessions_at_once(api: Api) -> None:
    browser = signed_in(api)
    assert browser.ask("GET", "/dashboard/").text == "hello ada"
    TokenFile(api.app.state.token_file.parent).revoke("ada")
    assert browser.ask("GET", "/dashboard/").url.path == "/login"


def test_a_cookie_that_was_changed_is_none(api: Api) -> None:
    browser = signed_in(api)
    (name, value), *_ = browser.cookies.items()
    data, signature = value.split(".")
    for forged in (f"{data}x.{signature}", f"{data}.{signature[:-2]}AA", data, "", "é.x", f"{data}.{signature}.x"):
        raw = {"cookie": f"{name}={forged}".encode()}
        assert Browser(api.app).ask("GET", "/api/v1/runs", headers=raw).status_code == 401, forged


def test_signing_out_forgets_the_browser(api: Api) -> None:
    browser = signed_in(api)
    assert browser.ask("POST", "/logout", data={"base": "/"}).url.path == "/login"
    assert not browser.cookies


def test_a_ticket_counts_once(api: Api) -> None:
    held = api.app.state.sessions
    word = held.ticket(api.admin)
    there = Browser(api.app).ask("GET", f"/login?ticket={word}&next=dashboard/")
    assert there.text.startswith("hello ")
    assert there.url.path == "/dashboard/"
    again = Browser(api.app).ask("GET", f"/login?ticket={word}&next=dashboard/")
    assert again.url.path == "/login"
    assert "used before" in again.text
    assert Browser(api.app).ask("GET", "/login?ticket=" + "x" * 43).url.path == "/login"
    assert [*(api.app.state.token_file.parent / "tickets").iterdir()] == []


def ws(api: Api, path: str, headers: dict[str, str]) -> list[Any]:
    """What a websocket is told."""
    told: list[Any] = []
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "scheme": "ws",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "subprotocols": [], "http_version": "1.1",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    asyncio.run(api.app(scope, receive, send))
    return told


def test_a_websocket_is_for_pages_of_ours_only(api: Api) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in signed_in(api).cookies.items())
    ours = {"host": "lab.example", "origin": "https://lab.example", "cookie": cookie}
    assert ws(api, "/dashboard/ws", ours)[1]["text"] == "ada"
    proxied = {**ours, "host": "127.0.0.1:8370", "x-forwarded-host": "lab.example"}
    assert ws(api, "/dashboard/ws", proxied)[1]["text"] == "ada"
    for wrong in ({"origin": "https://evil.example"}, {"origin": "null"}, {"cookie": ""}):
        assert [message["type"] for message in ws(api, "/dashboard/ws", {**ours, **wrong})] == ["websocket.close"]


def test_origins_of_the_settings_are_ours(tmp_path: Path) -> None:
    allowed = {"gateway_cors_origins": ["https://wiki.example"]}
    api = Api(tmp_path / "log", mounts={"/dashboard": Page()}, pages=["/dashboard"], settings=allowed)
    cookie = "; ".join(f"{name}={value}" for name, value in signed_in(api).cookies.items())
    headers = {"host": "lab.example", "origin": "https://wiki.example", "cookie": cookie}
    assert ws(api, "/dashboard/ws", headers)[1]["text"] == "ada"


def test_behind_a_proxy_nobody_signs_in_here(tmp_path: Path) -> None:
    secret = "s" * 16
    held = ProxyHeader("x-user", secret)
    api = Api(tmp_path / "log", mounts={"/dashboard": Page()}, pages=["/dashboard"], identity=held)
    told = Browser(api.app).ask("GET", "/dashboard/")
    assert told.url.path == "/login"
    assert "proxy" in told.text
    assert "<form" not in told.text
    known = {"x-user": "ada", "x-gateway-secret": secret}
    assert Browser(api.app).ask("GET", "/dashboard/", headers=known).text == "hello ada"
    assert Browser(api.app).ask("POST", "/login", data={"token": secret}).status_code == 401


def test_the_way_with_a_slash_is_relative(api: Api) -> None:
    answer = signed_in(api).ask("GET", "/dashboard?page=runs", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == "dashboard/?page=runs"


def test_without_pages_there_is_no_login(tmp_path: Path) -> None:
    api = Api(tmp_path / "log")
    assert Browser(api.app).ask("GET", "/login").status_code == 401


def test_this_process_asks_in_a_user_s_name(api: Api) -> None:
    ada = Browser(As(api.app, User("ada", Role.USER)))
    assert ada.ask("GET", "/dashboard/").text == "hello ada"
    assert ada.ask("GET", "/api/v1/sources").status_code == 403


def test_keys_are_drawn_once_and_are_secret(tmp_path: Path) -> None:
    first, second = (Sessions(TokenFile(tmp_path), tmp_path) for _ in range(2))
    token = TokenFile(tmp_path).add("ada", Role.USER)
    cookie = first.sign_in(token)
    assert cookie is not None
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", f"{first.cookie}={cookie}".encode())]}
    assert asyncio.run(second.user(HTTPConnection(scope))) == User("ada", Role.USER)
    assert (tmp_path / "sessions.key").stat().st_mode & 0o077 == 0
