"""Presets: durable, replaced at once, without secrets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kodosumi_lab import forms
from kodosumi_lab.errors import LogError
from kodosumi_lab.runtime.presets import Presets

FORM = forms.Model(
    forms.InputText("who"),
    forms.InputPassword("key"),
    forms.InputList("keys", forms.InputPassword("item")),
    forms.Group("to", [forms.InputPassword("to.pin"), forms.InputText("to.street")]),
    forms.InputFiles("file"),
).get_model()
ENTERED = {
    "who": "Ada",
    "key": "hush",
    "keys": ["hush"],
    "to.pin": "hush",
    "to.street": "Elm",
    "file": "{}",
    "x": {"secret": True},
}


def test_what_is_kept_is_there_for_others_and_holds_no_secret(tmp_path: Path) -> None:
    presets = Presets(tmp_path, "svc/pay me")
    presets.save("usual", ENTERED, FORM)
    presets.save("again", {"who": "Bob"}, FORM)
    assert Presets(tmp_path, "svc/pay me").load() == {
        "again": {"who": "Bob"},
        "usual": {"who": "Ada", "to.street": "Elm"},
    }
    assert presets.path == tmp_path / "state/presets/svc%2Fpay%20me.json"
    assert "hush" not in presets.path.read_text()
    assert presets.path.stat().st_mode & 0o077 == 0
    presets.remove("again")
    presets.remove("nowhere")
    assert list(presets.load()) == ["usual"]
    assert Presets(tmp_path, "other").load() == {}


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: Presets(tmp_path, "f").save(f"p{n}", {"who": str(n)}, FORM), range(20)))
    assert {name: values["who"] for name, values in Presets(tmp_path, "f").load().items()} == {
        f"p{n}": str(n) for n in range(20)
    }
    assert sorted(path.suffix for path in (tmp_path / "state/presets").iterdir()) == [".json", ".lock"]


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"presets": {"a": 3}}), json.dumps({"presets": None})])
def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path, text: str) -> None:
    presets = Presets(tmp_path, "f" * 300)
    assert len(presets.path.name) < 200
    presets.path.parent.mkdir(parents=True)
    presets.path.write_text(text)
    with pytest.raises(LogError, match="presets cannot be read"):
        presets.save("usual", {"who": "Ada"}, FORM)
    assert presets.path.read_text() == text


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(LogError, match="presets cannot be written"):
        Presets(tmp_path, "f").save("usual", {}, FORM)
