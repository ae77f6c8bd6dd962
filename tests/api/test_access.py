"""Nobody unknown comes in, over any route; every error is a problem."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from apikit import Api, serving
from fastapi import FastAPI, Request
from starlette.routing import BaseRoute, Mount, Route

from kodosumi_lab.api.app import PUBLIC
from kodosumi_lab.api.identity import OidcBearer, ProxyHeader, Role, TokenFile, User
from kodosumi_lab.errors import SettingsError


def every_route(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of every route there is, those of included routers and mounts too, documented or not."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from every_route(included.routes, prefix + route.include_context.prefix)
        elif isinstance(route, Mount):
            yield from ((method, prefix + route.path + "/anything") for method in ("GET", "POST"))
        else:
            assert isinstance(route, Route), f"a kind of route that this test does not know: {route}"
            for method in route.methods or ("GET", "POST", "DELETE"):
                yield method, prefix + route.path


def routes_of(app: Any) -> list[tuple[str, str]]:
    found = {*every_route(app.routes)}
    documented = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    assert documented <= {(method, path.replace(":path}", "}")) for method, path in found}
    return sorted(found)


def filled(path: str) -> str:
    path = path.replace("{root}", "in")
    names = ("name:path", "run_id", "lid", "sha256", "path:path", "upload_id", "fid", "batch_id", "sweep_id", "name")
    for name in names:
        path = path.replace(f"{{{name}}}", "x")
    assert "{" not in path, path
    return path


def is_problem(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    return {"type", "title", "status", "detail"} <= set(body) and body["status"] == answer.status_code


def test_every_route_refuses_a_request_of_nobody(api: Any) -> None:
    found = routes_of(api.app)
    assert len(found) >= 12
    for method, path in found:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {api.admin}"}):
            answer = api.ask(method, filled(path), as_=None, headers=headers)
            if path in PUBLIC:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 401, (method, path)
                assert method == "HEAD" or is_problem(answer)
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_error_of_every_route_is_a_problem(api: Api) -> None:
    wrong = {"content": b"{", "headers": {"content-type": "application/json"}, "params": {"limit": "x", "after": "x"}}
    refused = 0
    for method, path in routes_of(api.app):
        answer = api.ask(method, filled(path), as_="root", **wrong)
        if answer.status_code >= 400:
            refused += 1
            assert method == "HEAD" or is_problem(answer), path
            assert answer.status_code in (404, 422) or path == "/mcp", (path, answer.text)
    assert refused >= 18


def test_what_is_mounted_starts_with_the_gateway_and_knows_the_user(recorded: Any) -> None:
    began: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        began.append("began")
        yield
        began.append("ended")

    inner = FastAPI(lifespan=lifespan)

    @inner.get("/who")
    def who(request: Request) -> str:
        return str(request.state.user.name)

    api = Api(recorded.root, mounts={"/svc": inner})
    with serving(api.app) as url:
        assert httpx.get(f"{url}/svc/who").status_code == 401
        assert httpx.get(f"{url}/svc/who", headers={"authorization": f"Bearer {api.tokens['bob']}"}).json() == "bob"
    assert began == ["began", "ended"]


def test_unknown_paths_and_methods_are_problems_too(api: Any) -> None:
    assert api.get("/nothing", as_=None).status_code == 401
    lost = api.get("/nothing")
    assert (lost.status_code, is_problem(lost)) == (404, True)
    wrong = api.ask("PATCH", "/runs")
    assert (wrong.status_code, is_problem(wrong), wrong.headers["allow"]) == (405, True, "GET")


def test_parameters_that_do_not_fit_are_named(api: Any) -> None:
    answer = api.get("/runs", params={"limit": 0, "status": "gone"})
    assert (answer.status_code, is_problem(answer)) == (422, True)
    assert set(answer.json()["errors"]) == {"limit", "status.0"}


def test_a_fault_of_the_gateway_is_a_problem_without_its_traceback(api: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(api.app.state.gateway.catalogue, "flows", lambda: 1 / 0)
    answer = api.get("/flows")
    assert (answer.status_code, is_problem(answer)) == (500, True)
    assert "division" not in answer.text


def test_a_page_of_another_origin_gets_nothing_unless_configured(api: Any, recorded: Any) -> None:
    ask = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    answer = api.ask("OPTIONS", "/runs", as_=None, headers=ask)
    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers
    opened = Api(recorded.root, settings={"gateway_cors_origins": ["https://lab.example"]})
    ask["origin"] = "https://lab.example"
    assert opened.ask("OPTIONS", "/runs", as_=None, headers=ask).headers["access-control-allow-origin"] == ask["origin"]
    ask["origin"] = "https://evil.example"
    assert "access-control-allow-origin" not in opened.ask("OPTIONS", "/runs", as_=None, headers=ask).headers


def test_the_token_file_is_for_its_owner_and_holds_no_token(tmp_path: Path) -> None:
    held = TokenFile(tmp_path / "state")
    token = held.ensure().read_text().strip()
    for path in (held.own, held.path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert token not in held.path.read_text()
    assert TokenFile(tmp_path / "state").ensure().read_text().strip() == token, "it stays over a restart"
    assert held.find(token) == User(json.loads(held.path.read_text())["tokens"][0]["user"], Role.ADMIN)
    assert held.find("") is None
    assert held.find(token[:-1]) is None
    other = TokenFile(tmp_path / "state")
    theirs = other.add("ada", Role.VIEWER)
    assert held.find(theirs) == User("ada", Role.VIEWER), "a token of another process counts at once"
    assert other.revoke("ada") == 1
    assert held.find(theirs) is None
    held.path.write_text("{")
    with pytest.raises(SettingsError, match="token file cannot be used"):
        held.find(token)


def request_with(**headers: str) -> Any:
    from starlette.requests import HTTPConnection

    pairs = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": pairs})


def ask(identity: Any, **headers: str) -> User | None:
    import asyncio

    return asyncio.run(identity.user(request_with(**headers)))


def test_a_proxy_is_believed_only_with_its_secret() -> None:
    proxy = ProxyHeader("x-forwarded-user", "s" * 20, role_header="x-role")
    assert ask(proxy, x_forwarded_user="ada") is None
    assert ask(proxy, x_forwarded_user="ada", x_gateway_secret="s" * 19) is None
    assert ask(proxy, x_forwarded_user="ada", x_gateway_secret="s" * 20) == User("ada", Role.USER)
    assert ask(proxy, x_forwarded_user="ada", x_gateway_secret="s" * 20, x_role="operator").role is Role.OPERATOR
    assert ask(proxy, x_gateway_secret="s" * 20) is None
    assert ask(proxy, x_forwarded_user="Łucja", x_gateway_secret="s" * 20) == User("Łucja", Role.USER)
    with pytest.raises(SettingsError, match="shorter than 16"):
        ProxyHeader("x-forwarded-user", "short")


@pytest.fixture
def issuer() -> Iterator[Any]:
    """An OpenID Connect issuer: discovery, one key, and a way to sign."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k1", "use": "sig"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = f"http://127.0.0.1:{server.server_port}"
            known = {"/.well-known/openid-configuration": {"jwks_uri": f"{where}/keys"}, "/keys": {"keys": [public]}}
            body = json.dumps(known[self.path]).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"

    class Issuer:
        def sign(self, *, with_key: Any = key, algorithm: str = "RS256", **claims: Any) -> str:
            base = {"iss": url, "aud": "lab", "sub": "ada", "exp": time.time() + 60}
            kept = {name: value for name, value in {**base, **claims}.items() if value is not None}
            return jwt.encode(kept, with_key, algorithm=algorithm, headers={"kid": "k1"})

    issuer = Issuer()
    issuer.url = url
    issuer.public = public
    yield issuer
    server.shutdown()
    server.server_close()
    thread.join()


def test_oidc_tokens_count_only_when_everything_fits(issuer: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    oidc = OidcBearer(issuer.url, "lab")

    def who(token: str) -> User | None:
        return ask(oidc, authorization=f"Bearer {token}")

    assert who(issuer.sign()) == User("ada", Role.USER)
    assert who(issuer.sign(roles=["other", "viewer", "operator"])) == User("ada", Role.OPERATOR)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for wrong in (
        issuer.sign(aud="elsewhere"), issuer.sign(iss="http://evil"), issuer.sign(exp=time.time() - 60),
        issuer.sign(exp=None), issuer.sign(sub=None), issuer.sign(with_key=stranger), "a.b.c", "",
        issuer.sign(with_key="k" * 32, algorithm="HS256"), issuer.sign(with_key=None, algorithm="none"),
    ):  # fmt: skip
        assert who(wrong) is None
