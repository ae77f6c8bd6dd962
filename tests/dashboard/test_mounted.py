"""What of a request gets as far as Bokeh, which keeps it in the page."""

from __future__ import annotations

from typing import Any

import pytest
from tornado.web import decode_signed_value

from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.dashboard.mounted import Dashboard


@pytest.fixture(scope="module")
def dashboard() -> Dashboard:
    made = Dashboard()
    made._made()
    return made


def headers_of(dashboard: Dashboard, *given: tuple[str, str]) -> dict[str, str]:
    scope: dict[str, Any] = {"headers": [(name.encode(), value.encode()) for name, value in given]}
    found = dashboard._headers(scope, User("ada", Role.USER))
    return {name.decode().lower(): value.decode() for name, value in found}


def test_nothing_secret_gets_into_the_page(dashboard: Dashboard) -> None:
    found = headers_of(
        dashboard, ("Host", "lab"), ("Authorization", "Bearer kl_secret"), ("X-Gateway-Secret", "hush"),
        ("X-Forwarded-User", "root"), ("Cookie", "kodosumi_lab_1=secret; other=thing"), ("Sec-WebSocket-Key", "k"),
    )  # fmt: skip
    assert set(found) == {"host", "cookie", "sec-websocket-key"}
    assert "secret" not in found["cookie"]
    assert "thing" not in found["cookie"]


def test_who_it_is_is_the_guard_s_word_and_signed(dashboard: Dashboard) -> None:
    found = headers_of(dashboard, ("Cookie", "user=root; kodosumi_lab_who=root; is_guest=1"))
    cookies = dict(one.split("=", 1) for one in found["cookie"].split("; "))
    assert set(cookies) == {"user", "kodosumi_lab_who"}
    assert decode_signed_value(dashboard._cookie_key, "user", cookies["user"]) == b"ada"
    assert decode_signed_value("another key", "user", cookies["user"]) is None


def test_how_it_looks_is_kept_as_far_as_it_is_known(dashboard: Dashboard) -> None:
    near = "kodosumi-lab-theme=dark; kodosumi-lab-narrow=1; kodosumi-lab-theme=light"
    assert headers_of(dashboard, ("cookie", near))["cookie"].endswith("kodosumi-lab-theme=dark; kodosumi-lab-narrow=1")
    assert "theme" not in headers_of(dashboard, ("cookie", "kodosumi-lab-theme=<b>"))["cookie"]
