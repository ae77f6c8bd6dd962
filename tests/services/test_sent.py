"""Inputs that pass on as they were sent, and secrets that stay behind."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from ray import cloudpickle

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.forms import Inputs
from kodosumi_lab.runtime.sent import Sent, pack

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4)
    | st.sets(st.integers(), max_size=2)
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
)


def echo(inputs: Any) -> Any:
    return inputs


def travel(inputs: Any, secrets: Any = (), entry: Any = echo) -> tuple[Any, dict[str, Any], Inputs]:
    """What the entrypoint gets, after everything that is written down has been written and read."""
    code, checked, _ = pack(entry, inputs, secrets)
    checked = Inputs(json.loads(json.dumps(checked.wire)), json.loads(json.dumps(checked.secrets)))
    sent = Sent(code["import"], bare=code["sent"] == "bare") if "import" in code else cloudpickle.loads(code["pickle"])
    return sent.arguments(checked)["inputs"], code, checked


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(inputs=VALUES, secrets=st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_any_value_arrives_as_it_is(inputs: Any, secrets: list[str]) -> None:
    assert same(inputs, travel(inputs, secrets)[0])


@given(inputs=VALUES)
def test_no_secret_is_in_what_is_written(inputs: Any) -> None:
    secret = "s3cret-4711"
    got, code, checked = travel({"a": [inputs, secret], "b": {secret}, "c": secret}, [secret])
    assert same(got, {"a": [inputs, secret], "b": {secret}, "c": secret})
    assert secret not in json.dumps(checked.wire)
    assert secret.encode() not in code.get("pickle", b"")


class Login(BaseModel):
    name: str
    key: SecretStr


def test_a_model_arrives_as_one_without_its_secret_in_the_log() -> None:
    got, code, checked = travel(Login(name="ada", key=SecretStr("hunter22")))
    assert type(got).__name__ == "Login"
    assert got.key.get_secret_value() == "hunter22"
    assert b"hunter22" not in code["pickle"]
    assert checked.wire == {"inputs": {"name": "ada", "key": {"secret": True}}}


def test_plain_values_need_no_pickle() -> None:
    code, checked, opaque = pack("pkg.module:run", {"a": "1", "b": [True, None, 1.5]})
    assert code == {"import": "pkg.module:run", "sent": "fields"}
    assert checked.wire == {"a": "1", "b": [True, None, 1.5]}
    assert opaque == []
    assert pack("pkg.module:run", None)[0]["sent"] == "bare"


def test_only_what_json_cannot_say_is_pickled() -> None:
    code, checked, opaque = pack(echo, {"when": datetime.date(2026, 1, 2), "name": "x"})
    assert opaque == ["when"]
    assert checked.wire == {"when": "2026-01-02", "name": "x"}
    assert set(cloudpickle.loads(code["pickle"]).pickled) == {"when"}


def test_a_secret_that_is_gone_is_asked_for() -> None:
    code, checked, _ = pack(echo, {"a": {"x-y-z"}}, ["x-y-z"])
    with pytest.raises(InputsError, match="launch it again"):
        cloudpickle.loads(code["pickle"]).arguments(Inputs(checked.wire, {}))


def test_an_entrypoint_gets_what_it_names() -> None:
    assert Sent(lambda: 1).arguments(Inputs({"a": 1})) == {}
    assert Sent(lambda inputs: 1).arguments(Inputs({"a": 1})) == {"inputs": {"a": 1}}


def test_a_typed_flow_gets_typed_inputs() -> None:
    @kl.flow
    def later(day: datetime.date) -> str:
        return day.isoformat()

    assert Sent(later).arguments(Inputs({"day": "2026-01-02"})) == {"day": datetime.date(2026, 1, 2)}
    with pytest.raises(InputsError, match="day"):
        Sent(later).arguments(Inputs({"day": "someday"}))
    with pytest.raises(InputsError, match="expected a dict"):
        Sent(later, bare=True).arguments(Inputs({"inputs": [1]}))


def test_an_entrypoint_that_is_nowhere_says_so() -> None:
    with pytest.raises(FlowError, match="no module 'nowhere'"):
        assert Sent("nowhere.module:run").target
