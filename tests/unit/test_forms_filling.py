"""A form filled with the inputs of a run: sent back as it is, it gives them again."""

from __future__ import annotations

import datetime
import enum
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.forms.filling import filled, json_elements, kept_files


class Colour(enum.Enum):
    RED = "red"
    BLUE = 3


class Place(BaseModel):
    city: str = "Rome"
    zone: int | None = None


class Trip(BaseModel):
    name: str
    nights: int = Field(2, ge=1, le=30)
    price: float = 1.5
    vegetarian: bool = False
    maybe: bool | None = None
    colour: Colour = Colour.RED
    size: Literal["s", "m", "l"] = "m"
    tags: list[str] = []
    numbers: list[int] = []
    colours: set[Colour] = set()
    day: datetime.date = datetime.date(2026, 1, 31)
    at: datetime.time = datetime.time(9, 30)
    when: datetime.datetime = datetime.datetime(2026, 1, 31, 9, 30)
    more: dict[str, int] = {}
    place: Place = Place()
    other: Place | None = None
    notes: str = "two\nlines"


@kl.flow
def fill_typed(inputs: Trip) -> None: ...


@kl.flow
def fill_free(inputs: dict) -> None: ...


@kl.flow
def fill_secret(user: str, password: SecretStr, place: Place | None = None) -> None: ...


@kl.flow
def fill_files(table: Path, many: list[Path] = [], note: str = "") -> None: ...  # noqa: B006


FORM = forms.Model(
    forms.Markdown("# Title"), forms.InputText("who", required=True), forms.InputNumber("n", min_value=1),
    forms.Select("kind", ["a", "b"]), forms.Checkbox("sure"), forms.InputDate("day"), forms.MultiSelect("some", ["x", "y"]),
    forms.Submit("Go"),
)  # fmt: skip


@kl.flow(form=FORM)
def fill_form(inputs: dict) -> None: ...


def again(flow: Any, wire: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the filled form, sent as a browser sends it when nothing was changed."""
    elements = filled(flow.elements, wire)
    assert json.loads(json.dumps(elements)) == elements
    values = forms.Model.model_validate(elements).initial()
    return dict(flow.inputs.from_form(values).wire)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x"},
        {"name": "Ünï \"x\"", "nights": 7, "price": 2.25, "vegetarian": True, "maybe": False, "colour": 3, "size": "l"},
        {"name": "y", "maybe": True, "tags": ["a", "b c"], "numbers": [1, -2], "colours": [3], "notes": "one"},
        {"name": "z", "day": "2020-02-29", "at": "23:59:30", "when": "2024-12-31T00:00:01", "more": {"a": 1}},
        {"name": "w", "place": {"city": "Oslo", "zone": 4}, "other": {"city": "Bari"}},
        {"name": "v", "other": {"city": "Rome", "zone": None}},
    ],
)  # fmt: skip
def test_a_typed_form_comes_back_as_the_same_inputs(given: dict[str, Any]) -> None:
    wire = fill_typed.validate(**given).wire
    assert again(fill_typed, wire) == wire


def test_a_form_of_elements_comes_back_as_the_same_inputs() -> None:
    wire = fill_form.validate(who="ada", n=3, kind="b", sure=True, day="2026-01-31", some=["y"]).wire
    assert again(fill_form, wire) == wire
    wire = fill_form.validate(who="ada").wire
    assert again(fill_form, wire) == wire


def test_whatever_a_flow_was_given_comes_back() -> None:
    wire = fill_free.validate(a=1, b={"c": [None, "x"]}).wire
    assert again(fill_free, wire) == wire


def test_the_flows_own_elements_stay_as_they_are() -> None:
    elements = fill_typed.elements
    before = json.dumps(elements)
    filled(elements, fill_typed.validate(name="x", nights=9, colours=["red"]).wire)
    assert json.dumps(elements) == before


def test_a_secret_is_an_empty_password_that_has_to_be_entered() -> None:
    checked = fill_secret.validate(user="ada", password="s3cret", place={"city": "Oslo"})
    elements = {one["name"]: one for one in filled(fill_secret.elements, checked.wire)}
    password = elements["password"]
    assert (password["type"], password["value"], password["required"]) == ("password", None, True)
    assert "enter it again" in password["help"]
    assert "s3cret" not in json.dumps(elements)
    assert elements["user"]["value"] == "ada"


def test_a_file_element_that_is_left_empty_keeps_the_files() -> None:
    wire = fill_files.validate(table="in/a.csv", many=["in/b.csv", "in/c d.csv"], note="x").wire
    elements = filled(fill_files.elements, wire)
    table = next(one for one in elements if one["name"] == "table")
    assert (table["value"], table["required"]) == (None, False)
    assert "in/a.csv" in table["help"]
    values = forms.Model.model_validate(elements).initial()
    assert dict(fill_files.inputs.from_form(kept_files(elements, wire, values)).wire) == wire
    new = json.dumps({"batchId": "b1", "items": {"1": {"filename": "new.csv", "totalChunks": 1}}})
    assert kept_files(elements, wire, {**values, "table": new})["table"] == new


def test_of_an_unknown_flow_each_input_is_json() -> None:
    found = json_elements({"n": 1, "text": "é", "key": {"secret": True}, "deep": {"a": [1]}})
    shown = [(one["type"], one.get("name"), one.get("value")) for one in found]
    assert shown[1:] == [
        ("json", "n", "1"), ("json", "text", '"é"'), ("password", "key", None), ("json", "deep", '{"a": [1]}'),
    ]  # fmt: skip
    assert shown[0][0] == "markdown"
    forms.Model.model_validate(found)
