"""What a request may make the gateway do is bounded: rows read, texts tried, cursors taken."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from apikit import Api, Recorded
from fastapi.testclient import TestClient
from logkit import lines

from kodosumi_lab import forms
from kodosumi_lab.api import agents, reading
from kodosumi_lab.api.service import ServeAPI


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("-events", 2**63), ("-nbytes", -(2**70)), ("active_s", 10**400), ("updated", "0001-01-01T00:00:00+14:00"),
        ("ended", "9999-12-31T23:59:59-14:00"), ("-updated", "2026-01-01T00:00:00"), ("flow", "\ud800"),
    ],
)  # fmt: skip
def test_a_cursor_beyond_its_column_is_refused(api: Api, sort: str, value: Any) -> None:
    answer = api.get("/runs", params={"sort": sort, "cursor": cursor(sort, value, "x")})
    assert answer.status_code == 422, answer.text
    assert "cursor" in answer.json()["errors"]


def test_a_page_reads_no_more_than_it_gives(recorded: Recorded, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.begin("long", "ada")
    made = recorded.emitter
    for _ in range(6):
        made.send(recorded.writer, *lines(*range(2000)))
    gateway = api.app.state.gateway
    real, asked = gateway.events_after, []

    def noted(run_id: str, after: int, last: int, *more: Any) -> Any:
        asked.append(last - after)
        return real(run_id, after, last, *more)

    monkeypatch.setattr(type(gateway), "events_after", lambda _, *args: noted(*args))
    page = api.get(f"/runs/{made.run_id}/events", params={"limit": 5}).json()
    assert ([item["seq"] for item in page["items"]], page["next"], asked) == ([0, 1, 2, 3, 4], 4, [5])
    page = api.get(f"/runs/{made.run_id}/events", params={"limit": 1_000_000}).json()
    assert (len(page["items"]), page["next"]) == (10_000, 9_999)
    rest = api.get(f"/runs/{made.run_id}/events", params={"limit": 1_000_000, "after": 9_999}).json()
    assert (len(rest["items"]), rest["next"]) == (12_003 - 10_000, None)
    assert reading._JSON_PAGE == 10_000
    asked.clear()
    import asyncio

    from kodosumi_lab.api.identity import Role, User

    follow = agents.Agents(gateway)._follow
    told = asyncio.run(follow(User("ada", Role.USER), {"run_id": made.run_id, "limit": 7, "after": 3}, None))  # type: ignore[arg-type]
    assert (len(told["events"]), told["after"], told["done"], asked) == (7, 10, False, [7])


def test_a_body_nested_too_deep_is_none() -> None:
    app = ServeAPI()

    @app.enter("/", forms.Model(forms.InputText("t")))
    def enter(inputs: dict[str, Any]) -> None: ...

    body = '{"t":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert TestClient(app).post("/", content=body).status_code == 422


def test_a_pattern_that_never_ends_does() -> None:
    form = forms.Model(forms.InputText("t", pattern=r"(?=(a+)+$)(a+)+\2b?"), forms.InputText("w", pattern=r"(\w)\1+"))
    begun = time.monotonic()
    assert "t" in form.check({"t": "a" * 60 + "!", "w": "xx"})
    assert time.monotonic() - begun < 3
    assert form.check({"t": "", "w": "xx"}) == {}
    assert set(form.check({"t": "", "w": "xy"})) == {"w"}
