"""Flows with a form of explicit elements: the form's check is applied at the launch, and values arrive typed."""

from __future__ import annotations

import datetime
import json
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.events import dumps
from kodosumi_lab.forms import SECRET, InputModel, Inputs


def make_form() -> forms.Model:
    return forms.Model(
        forms.Markdown("# Book"),
        forms.Errors(),
        forms.InputText("who", required=True),
        forms.InputNumber("n", value="2", min_value=1, max_value=9, step=1),
        forms.InputDate("day", min_date="2026-01-01"),
        forms.Checkbox("loud", value=True),
        forms.InputPassword("key", min_length=3),
        forms.Submit("Go"),
    )


def carried(model: InputModel, checked: Inputs) -> dict[str, Any]:
    return model.arguments(Inputs(json.loads(dumps(checked.wire)), dict(checked.secrets)))


DAY = datetime.date(2026, 2, 3)


def test_a_flow_takes_the_values_of_its_form_as_one_dict():
    @kl.flow(form=make_form())
    def book(inputs: dict[str, Any]) -> None: ...

    checked = book.validate(who="Ada", day=DAY, key="hush")
    assert checked.wire == {"who": "Ada", "n": 2, "day": "2026-02-03", "loud": True, "key": SECRET}
    assert checked.secrets == {"key": "hush"}
    expected = {"who": "Ada", "n": 2, "day": DAY, "loud": True, "key": "hush"}
    assert carried(book.inputs, checked) == {"inputs": expected}
    assert book.validate(inputs={"who": "Ada", "day": "2026-02-03", "key": "hush"}) == checked
    entered = book.inputs.from_form({"who": "Ada", "n": "2", "day": "2026-02-03", "loud": "on", "key": "hush"})
    assert entered == checked


def test_a_flow_takes_the_values_of_its_form_by_name():
    def book(
        who: str, n: float, day: datetime.date | None = None, loud: Any = 5, key: SecretStr = SecretStr("none"), own: int = 7  # noqa: B008
    ) -> None: ...  # fmt: skip

    book.__annotations__ = {"who": str, "n": float, "day": datetime.date | None, "key": SecretStr, "own": int}
    model = InputModel("book", book, make_form())
    found = carried(model, model.from_form({"who": "Ada", "n": "3", "key": ""}))
    assert found == {"who": "Ada", "n": 3.0, "day": None, "loud": False, "key": SecretStr("none"), "own": 7}
    with pytest.raises(InputsError, match="own: is no input of this form"):
        model.from_form({"who": "Ada", "own": "8"})
    checked = model.validate({"who": "Ada", "n": 4, "key": "hush", "own": 8})
    assert checked.wire["own"] == 8
    assert checked.wire["key"] == SECRET
    assert carried(model, checked)["key"].get_secret_value() == "hush"


def test_the_check_of_the_form_is_applied_at_the_launch():
    @kl.flow(form=make_form())
    def book(inputs: dict[str, Any]) -> None: ...

    for check in (book.validate, lambda **data: book.inputs.from_form(data)):
        with pytest.raises(InputsError, match="inputs of flow 'book' do not fit, nothing was started") as caught:
            check(n=10, day="2025-12-31", key="no", more=1)
        assert caught.value.errors == {
            "who": ["is required"],
            "n": ["is 10; expected at most 9"],
            "day": ["is 2025-12-31; expected 2026-01-01 or later"],
            "key": ["has 2 characters; expected at least 3"],
            "more": ["is no input of this form, which takes: who, n, day, loud, key"],
        }


def test_a_form_that_does_not_go_with_its_flow_is_said_at_the_first_use():
    def less(who: str) -> None: ...

    def more(who: str, n: int, day: Any, loud: bool, key: str, other: int) -> None: ...

    with pytest.raises(FlowError, match="flow 'f': its form asks for n, day, loud, key, which the flow does not take"):
        InputModel("f", less, make_form())
    with pytest.raises(FlowError, match="its form does not ask for other, which the flow needs"):
        InputModel("f", more, make_form())


def test_what_a_flow_shows_of_its_form():
    form = make_form()

    @kl.flow(form=form)
    def book(inputs: dict[str, Any]) -> None: ...

    assert book.elements == form.get_model()
    book.inputs.form().set_data({"who": "Bob"})
    assert book.elements == form.get_model()
    schema = book.inputs.json_schema()
    assert schema["required"] == ["who"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["n"] == {"type": "number", "minimum": 1, "maximum": 9, "default": 2}
    assert schema["properties"]["key"] == {"type": "string", "format": "password", "writeOnly": True, "minLength": 3}
    assert schema["properties"]["loud"] == {"type": "boolean", "default": True}

    @kl.flow
    def plain(n: int = 3) -> None: ...

    assert [element["name"] for element in plain.elements] == ["n"]
    assert plain.with_options(retries=1).elements == plain.elements


def test_every_element_has_a_schema_that_takes_its_values():
    import jsonschema

    form = forms.Model(
        forms.Select("s", ["a", "b"], value="a"), forms.MultiSelect("m", ["a", "b"], max_items=1),
        forms.InputList("l", forms.InputNumber("i", min_value=2)), forms.InputTime("t"), forms.InputDateTime("dt"),
        forms.InputFiles("f"), forms.InputJSON("j"), forms.InputArea("a", max_length=3), forms.InputText("p", pattern="a|bc"),
        forms.Group("g", [forms.InputNumber("g.n", required=True)], optional=True), forms.Action("act"), forms.HR(),
    )  # fmt: skip

    def flow(inputs: dict[str, Any]) -> None: ...

    schema = InputModel("f", flow, form).json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {"s": "b", "m": ["a"], "l": [2], "j": {"x": 1}, "a": "abc", "p": "bc", "f": ["x"]}
    jsonschema.validate(good, schema)
    assert form.check(good) == {}
    for name, bad in {"s": "c", "m": ["a", "b"], "l": [1], "a": "abcd", "p": "b"}.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({name: bad}, schema)
        assert form.check({name: bad})


def test_a_flow_travels_with_its_form():
    from ray import cloudpickle

    @kl.flow(form=make_form())
    def book(inputs: dict[str, Any]) -> None: ...

    again = pickle.loads(cloudpickle.dumps(book))
    assert again.elements == book.elements
    checked = book.validate(who="Ada")
    assert carried(again.inputs, checked)["inputs"]["who"] == "Ada"


def test_a_pydantic_model_and_a_form_of_some_of_its_fields():
    class Booking(BaseModel):
        who: str
        n: int = 1
        day: datetime.date | None = None
        loud: bool = False
        key: str | None = None

    def book(booking: Booking) -> None: ...

    book.__annotations__ = {"booking": Booking}
    model = InputModel("book", book, make_form())
    checked = model.from_form({"who": "Ada", "n": "", "key": "hush"})
    assert checked.wire["key"] == SECRET
    assert carried(model, checked)["booking"] == Booking(who="Ada", key="hush")
