"""What administrators do: only they, with a line in the audit for each change."""

from __future__ import annotations

import asyncio
import datetime
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from apikit import Recorded

from kodosumi_lab.api.identity import Role
from kodosumi_lab.api.joining import Cluster
from kodosumi_lab.dashboard.access import Access, Problem
from kodosumi_lab.dashboard.admin import Admin
from kodosumi_lab.dashboard.pulse import away
from kodosumi_lab.errors import ClusterError

FAR = datetime.date(2030, 1, 1)


@pytest.fixture
def admin(access: Callable[..., Access]) -> Admin:
    return Admin(access("root", Role.ADMIN))


def ran(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def seal(recorded: Recorded) -> None:
    recorded.writer.rotate()
    for name in recorded.writer.to_seal():
        recorded.writer.seal(name)


def test_a_token_is_made_listed_and_revoked_and_the_audit_says_so(admin: Admin, app: Any) -> None:
    made = ran(admin.add_token(" vera ", "operator"))
    assert app.state.gateway.settings.gateway_identity == "tokens"
    listed = {(one["user"], one["role"]) for one in ran(admin.tokens())}
    assert ("vera", "operator") in listed
    assert all(made not in str(one) for one in ran(admin.tokens()))
    assert ran(admin.revoke("vera")) == 1
    assert "vera" not in {one["user"] for one in ran(admin.tokens())}
    calls = [(one["user"], one["via"], one["call"], one.get("of")) for one in ran(admin.audit())]
    assert calls == [("root", "dashboard", "revoke_tokens", "vera"), ("root", "dashboard", "add_token", "vera")]


def test_nobody_locks_themselves_out_and_names_are_names(admin: Admin) -> None:
    with pytest.raises(Problem, match="your own"):
        ran(admin.revoke("root"))
    for name in ("", "  ", "a\nb", "x" * 300):
        with pytest.raises(Problem, match="printable"):
            ran(admin.add_token(name, "user"))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.USER, Role.OPERATOR])
def test_only_admins_change_anything(access: Callable[..., Access], role: Role, recorded: Recorded) -> None:
    someone = Admin(access("ada", role))
    seal(recorded)
    for change in (
        someone.tokens(), someone.add_token("vera", "admin"), someone.revoke("bob"), someone.expire(FAR), someone.compact(),
        someone.start_ray(), someone.connect("x:1"), someone.deploy("name: x"), someone.stop("x"),
    ):  # fmt: skip
        with pytest.raises(Problem, match="takes the role admin") as refused:
            ran(change)
        assert refused.value.status == 403
    if role < Role.OPERATOR:
        for look in (someone.days(), someone.services()):
            with pytest.raises(Problem, match="takes the role operator"):
                ran(look)
    assert ran(Admin(access("root", Role.ADMIN)).audit()) == []


def test_days_are_told_to_operators_and_taken_out_by_admins(
    access: Callable[..., Access], admin: Admin, recorded: Recorded
) -> None:
    from logkit import status

    recorded.emitter.send(recorded.writer, status("cancelled"))
    recorded.writer.trailing_s = -1
    seal(recorded)
    (day,) = ran(Admin(access("olga", Role.OPERATOR)).days())
    assert (day.runs, day.open, day.closed) == (3, 0, True)
    assert ran(admin.expire(FAR)) == [day.date]
    assert day.date not in {left.date for left in ran(admin.days())}
    assert access("root", Role.ADMIN).gateway.index.frame().is_empty()
    assert (ran(admin.audit())[0]["call"], ran(admin.audit())[0]["before"]) == ("expire", "2030-01-01")


def test_what_fails_says_why_and_is_recorded(admin: Admin) -> None:
    with pytest.raises(Problem, match="no Ray cluster writes the log"):
        ran(admin.services())
    with pytest.raises(Problem, match=r"is no YAML|holds a"):
        ran(admin.deploy("- [unclosed"))
    assert [(one["call"], one["outcome"] == "ok") for one in ran(admin.audit())] == [("deploy", False)]


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_an_address_at_which_nobody_listens_is_refused_at_once(admin: Admin, nobody: str) -> None:
    with pytest.raises(Problem, match=f"nothing answers at {nobody}"):
        ran(admin.connect(nobody))


def test_a_cluster_that_was_asked_for_and_is_gone_is_said_to_be_away(app: Any, nobody: str) -> None:
    cluster = Cluster(app.state.gateway.log.root, nobody)  # as where it ended after it was connected to
    began = time.monotonic()
    with pytest.raises(ClusterError, match=f"nothing answers at {nobody}"):
        cluster.connection()
    assert time.monotonic() - began < 10, "Ray itself would try for minutes"
    app.state.gateway.cluster = cluster
    assert str(away(app.state.gateway)).startswith(f"nothing answers at {nobody}")
    cluster.follow_log()
    assert "no Ray cluster writes the log" in str(away(app.state.gateway))


def test_settings_say_what_they_are_and_keep_secrets(admin: Admin) -> None:
    found = {name: (value, source, about) for name, value, source, about in admin.settings()}
    value, source, about = found["gateway_body_bytes"]
    assert (value, source) == ("16,777,216 (16.0 MiB)", "default")
    assert "longest body" in about
    assert found["log_dir"][1] == "KODOSUMI_LAB_LOG_DIR"
    assert "secret" not in found["gateway_proxy_secret"][0]
