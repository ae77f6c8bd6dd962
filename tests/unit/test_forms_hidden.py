"""What a form keeps to itself: groups that are off, passwords of every sort."""

from __future__ import annotations

import json
from typing import Any

import pytest

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.forms import Model
from kodosumi_lab.runtime.sent import hide, pack
from kodosumi_lab.runtime.tracer import _elements

SECRET = {"secret": True}


def keys() -> forms.InputList:
    return forms.InputList("keys", item=forms.InputPassword("item"), value=["preset-1"])


@pytest.fixture
def grouped() -> Model:
    inner = forms.Group("g.more", [forms.InputNumber("g.more.n", max_value=3)], optional=True)
    files = forms.InputFiles("g.files")
    return Model(forms.Group("g", [forms.InputNumber("g.n", max_value=3), files, inner], optional=True))


def test_what_stands_in_a_group_that_is_off_is_not_handed_on(grouped: Model) -> None:
    batch = json.dumps({"batchId": "b1", "items": {"x": {"filename": "a.txt"}}})
    entered = {"g": "off", "g.n": "99", "g.files": batch, "g.more": "on", "g.more.n": "77"}
    assert grouped.check(entered) == {}
    parsed = grouped.parse(entered)
    assert {name: parsed[name] for name in ("g.n", "g.files", "g.more.n")} == dict.fromkeys(
        ("g.n", "g.files", "g.more.n")
    )
    assert grouped.uploads(entered) == {}
    on = {**entered, "g": "on", "g.n": "1", "g.more.n": "2"}
    assert (grouped.parse(on)["g.n"], grouped.parse(on)["g.more.n"]) == ("1", "2")
    assert grouped.uploads(on) == {"g.files": "b1"}


def test_a_list_of_passwords_is_secret() -> None:
    form = Model(keys(), forms.InputPassword("pin"), forms.InputText("t"))
    assert form.secrets == ["keys", "pin"]
    assert set(form.secret_texts({"keys": "one\ntwo", "pin": "1234", "t": "x"})) == {"one\ntwo", "one", "two", "1234"}
    assert set(form.secret_texts({"keys": ["one", "two"], "pin": None})) == {"one", "two"}


def test_a_flow_with_a_list_of_passwords_keeps_none() -> None:
    @kl.flow(form=Model(keys()))
    def takes(inputs: dict[str, Any]) -> None: ...

    checked = takes.inputs.validate({"keys": ["one", "two"]})
    assert checked.wire == {"keys": [SECRET, SECRET]}
    assert checked.secrets == {"keys.0": "one", "keys.1": "two"}
    assert takes.inputs.arguments(checked)["inputs"] == {"keys": ["one", "two"]}


def test_a_lock_shows_no_preset_of_a_password() -> None:
    group = forms.Group("g", [forms.InputPassword("g.pin", value="4321")])
    shown = json.dumps(_elements(Model(keys(), forms.InputPassword("pin", value="1234"), group)))
    assert not any(secret in shown for secret in ("preset-1", "1234", "4321"))


def test_an_element_with_a_key_that_is_new_is_still_of_its_class() -> None:
    dicts = [
        {**forms.InputPassword("pin", min_length=4).to_dict(), "strength": "high"},
        {**keys().to_dict(), "shuffle": True},
        {"type": "markdown", "text": "x", "name": "m"},
        {"type": "slider", "name": "s", "ends": [0, 9]},
        {"type": ["odd"], "name": "o"},
    ]
    form = Model.model_validate(dicts)
    assert form.secrets == ["pin", "keys"]
    assert set(form.check({"pin": "1"})) == {"pin"}
    assert form.get_model() == dicts


def test_secrets_are_hidden_by_value_wherever_they_are() -> None:
    found: dict[str, str] = {}
    value = {"pin": "hunter2", "url": "https://x/?key=hunter2", "deep": [{"a": "hunter2"}], "short": "a cat", "n": 3}
    shown = hide(value, "", ["hunter2", "cat"], found)
    assert shown == {"pin": SECRET, "url": SECRET, "deep": [{"a": SECRET}], "short": "a cat", "n": 3}
    assert found == {"pin": "hunter2", "url": "https://x/?key=hunter2", "deep.0.a": "hunter2"}


def test_a_text_that_a_service_made_of_a_password_is_in_no_file_and_arrives_whole() -> None:
    inputs = {"password": "hunter2", "url": "https://ada:hunter2@x", "other": "plain"}
    _, checked, opaque = pack("os.path:join", inputs, ["hunter2"])
    assert (checked.wire, opaque) == ({"password": SECRET, "url": SECRET, "other": "plain"}, [])
    assert checked.secrets == {"password": "hunter2", "url": "https://ada:hunter2@x"}
