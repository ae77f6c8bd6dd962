"""kodosumi's messages as events of this log: each form that KODOSUMI's history has, and any other text."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodosumi_lab.events import KINDS, Rich, decode, run_date
from kodosumi_lab.runtime.history import History, producer_of, run_id_of, translate

FID = "6748f0c2a1b2c3d4e5f60718"
T0 = 1_732_800_000.25


def shown(message: Any, kind: str = "result") -> Any:
    """What a person reads of a message."""
    text = message if isinstance(message, str) else json.dumps(message)
    row_kind, _, payload = translate(kind, text)
    assert row_kind == kind
    return decode(payload)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ({"dict": {"a": 1, "b": [None]}}, {"a": 1, "b": [None]}),
        ({"str": "so"}, "so"),
        ({"int": 7}, 7),
        ({"float": 0.5}, 0.5),
        ({"bool": False}, False),
        ({"TypeError": "None"}, None),
        ({"TypeError": "2026-11-22"}, "2026-11-22"),
        ({"Town": {"name": "Bonn", "people": 335975}}, {"name": "Bonn", "people": 335975}),
        ({"__list__": [{"int": 1}, {"str": "x"}, {"Town": {"name": "Ulm"}}]}, [1, "x", {"name": "Ulm"}]),
        ({"__list__": []}, []),
        ({"Markdown": {"body": "# Hi"}}, Rich({"text/markdown": "# Hi"})),
        ({"HTML": {"body": "<b>x</b>"}}, Rich({"text/html": "<b>x</b>"})),
        ({"Text": {"body": "plain"}}, "plain"),
        ("no JSON at all", "no JSON at all"),
        ('{"dict": {"cut of', '{"dict": {"cut of'),
    ],
)
def test_a_value_comes_back_as_it_was(message: Any, value: Any) -> None:
    for kind in ("result", "action", "final"):
        assert shown(message, kind) == value


def test_an_object_keeps_the_name_of_its_class() -> None:
    _, _, payload = translate("result", json.dumps({"Town": {"name": "Bonn"}}))
    assert json.loads(payload)["application/vnd.kodosumi.class"] == "Town"


@pytest.mark.parametrize("kind", ["stdout", "stderr", "debug"])
def test_console_text_is_text(kind: str) -> None:
    assert shown('{"dict": 1}', kind) == '{"dict": 1}'


TRACEBACK = (
    'Traceback (most recent call last):\n  File "flow.py", line 3, in run\n    raise my.Oops("no")\nmy.Oops: no\n'
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ValueError: no 1", {"type": "ValueError", "module": "", "message": "no 1", "traceback": ""}),
        ("it broke", {"type": "Error", "module": "", "message": "it broke", "traceback": ""}),
        (TRACEBACK, {"type": "Oops", "module": "my", "message": "no", "traceback": TRACEBACK}),
        ("Note: it broke", {"type": "Error", "module": "", "message": "Note: it broke", "traceback": ""}),
    ],
)
def test_an_error_is_taken_apart(text: str, error: dict[str, str]) -> None:
    assert shown(text, "error") == error


def test_agents_and_tasks_carry_their_agents_name() -> None:
    agent = {"role": "Editor", "goal": "g", "backstory": "b", "tools": [{"name": "t", "description": "d"}]}
    for message in ({"agent": agent}, {"dict": {"agent": agent}}):
        kind, name, payload = translate("agent", json.dumps(message))
        assert (kind, name) == ("agent", "Editor")
        assert decode(payload)["agent"] == {"name": "Editor", **agent}
    task = {"name": "cut", "description": "d", "expected_output": "e", "agent": "Editor", "tools": []}
    assert translate("agent", json.dumps({"dict": {"task": task}}))[1] == "Editor"


def test_locks_leases_and_uploads_keep_their_fields() -> None:
    assert shown({"dict": {"name": "ok?", "lid": "l1", "data": {"a": 1}, "expires": 5.5}}, "lock") == {
        "name": "ok?", "lid": "l1", "data": {"a": 1}, "expires": 5.5,
    }  # fmt: skip
    lease = shown({"dict": {"name": "ok?", "lid": "l1", "result": {"yes": True}}}, "lease")
    assert (lease["lid"], lease["result"], lease["by"]) == ("l1", {"yes": True}, None)
    assert shown({"Upload": {"files": [{"filename": "a.txt"}]}}, "upload") == {"files": [{"filename": "a.txt"}]}


# -- a run ------------------------------------------------------------------------------


def rows_of(*messages: tuple[str, Any], meta: Any = None, inputs: Any = None) -> list[tuple[str, Any]]:
    texts = [
        (T0 + n, kind, text if isinstance(text, str) else json.dumps(text)) for n, (kind, text) in enumerate(messages)
    ]
    front = {kind: next((text for _, k, text in texts if k == kind), None) for kind in ("meta", "inputs")}
    history = History(FID, "ada", round(T0 * 1e6), **front)
    return [(KINDS[code], json.loads(payload)) for _, code, _, payload in history.rows(texts)]


META = {"dict": {"fid": FID, "username": "ada", "app_url": "/-/x", "entry_point": "svc.flow:run", "kodosumi": "1.1.0",
                 "tags": ["a"], "summary": "S", "description": "D", "author": "A", "organization": "O", "version": "2"}}  # fmt: skip


def test_a_run_begins_with_what_it_is_and_ends_with_its_status() -> None:
    rows = rows_of(
        ("status", "starting"), ("inputs", {"dict": {"x": "1"}}), ("meta", META), ("status", "running"),
        ("status", "finished"), ("final", {"str": "late"}),
    )  # fmt: skip
    assert [kind for kind, _ in rows] == ["meta", "inputs", "status", "status", "final", "status"]
    about = rows[0][1]
    assert about["fid"] == FID
    assert about["flow"] == "run"
    assert about["entrypoint"] == "svc.flow:run"
    assert (about["summary"], about["tags"], about["author"], about["user"]) == ("S", ["a"], "A", "ada")
    assert about["imported"]["organization"] == "O"
    assert rows[1][1] == {"x": "1"}
    assert rows[-1][1] == {"status": "finished", "reason": ""}


def test_a_run_that_never_ended_is_lost_and_says_how_it_stood() -> None:
    rows = rows_of(("status", "running"), ("stdout", "x"))
    assert rows[0][1]["user"] == "ada"
    assert rows[1] == ("inputs", {})
    status = rows[-1][1]
    assert status["status"] == "lost"
    assert status["reason"] == "imported; it had not ended there (last status: running)"


def test_what_cannot_stand_is_kept_as_a_note() -> None:
    rows = rows_of(
        ("meta", META), ("meta", META), ("lease", {"dict": {"lid": "nobody", "result": 1}}), ("status", "odd"),
        ("lock", {"dict": {"name": "no id"}}), ("mystery", "?"), ("status", "error"), ("error", "ValueError: no"),
        ("status", "finished"),
    )  # fmt: skip
    notes = [payload.partition(": ")[0] for kind, payload in rows if kind == "debug"]
    assert notes == ["meta", "lease", "status", "lock", "mystery", "status"]
    assert rows[-1][1]["status"] == "finished"


def test_the_reason_of_a_failed_run_is_its_error() -> None:
    assert rows_of(("error", "ValueError: no 1"), ("status", "error"))[-1][1]["reason"] == "ValueError: no 1"


def test_inputs_that_are_called_secret_stay_behind() -> None:
    inputs = {"dict": {"password": "p", "openai_api_key": "k", "max_tokens": "5", "login": {"Token": "t"}, "pwd": None}}
    secret = {"secret": True}
    assert rows_of(("inputs", inputs))[1][1] == {
        "password": secret, "openai_api_key": secret, "max_tokens": "5", "login": {"Token": secret}, "pwd": None,
    }  # fmt: skip


@given(st.text(max_size=30), st.integers(0, 253_402_300_799_999_999))
def test_ids_are_repeatable_time_ordered_uuid7(fid: str, us: int) -> None:
    run_id = run_id_of(fid, us)
    assert run_id == run_id_of(fid, us)
    parsed = uuid.UUID(run_id)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == us // 1000
    assert run_date(run_id)
    assert run_id_of(fid, us + 1000) > run_id
    assert 0 <= producer_of(fid) < 2**64


KIND = st.sampled_from([*KINDS, "", "other"])
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["dict", "str", "Markdown", "body", "lid", "__list__", "agent", "task", "Model"]), inner, max_size=2),
    max_leaves=8,
)  # fmt: skip
TEXT = st.text(max_size=40) | JSONISH.map(json.dumps) | st.sampled_from(["finished", "running", "error", "starting"])


@given(st.lists(st.tuples(st.none() | st.floats() | st.text(max_size=3), KIND, TEXT), max_size=12))
def test_any_messages_become_a_run_that_accounts_for_each(messages: list[tuple[Any, str, str]]) -> None:
    front = {kind: next((text for _, k, text in messages if k == kind), None) for kind in ("meta", "inputs")}
    rows = list(History(FID, "ada", 5, **front).rows(messages))
    kinds = [KINDS[code] for _, code, _, _ in rows]
    assert kinds[:2] == ["meta", "inputs"]
    ended = any(kind == "status" and text in ("finished", "error") for _, kind, text in messages)
    made = (front["meta"] is None) + (front["inputs"] is None) + (not ended)
    assert len(rows) == len(messages) + made
    for ts, _, agent, payload in rows:
        assert 0 <= ts <= 253_402_300_799_999_999
        assert agent is None or agent.encode()
        decode(payload)
