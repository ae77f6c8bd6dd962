"""Forms from type hints, and what is entered in them as the same inputs that Python would have given."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, SecretStr

from kodosumi_lab.errors import InputsError
from kodosumi_lab.events import dumps
from kodosumi_lab.forms import SECRET, InputModel, Inputs, Model


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Shape(enum.Enum):
    POINT = (0, 0)


class Address(BaseModel):
    street: str
    zip: Annotated[str, Field(pattern=r"^\d{5}$")] = "12345"
    main: bool = True


class Person(BaseModel):
    name: str = Field("Ada", description="first and last", title="Full name", examples=["Ada Lovelace"])
    home: Address = Address(street="s")
    work: Address | None = None
    limit: int = Field(5, alias="maxTokens")


class Tree(BaseModel):
    n: int = 0
    left: Tree | None = None


class Strict(BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime.date = datetime.date(2026, 1, 2)
    amount: decimal.Decimal = decimal.Decimal("1.10")


def model_of(hint: Any, *default: Any) -> InputModel:
    def flow(x: Any) -> None: ...

    flow.__annotations__ = {"x": hint}
    flow.__defaults__ = default
    return InputModel("f", flow)


def element_of(hint: Any, *default: Any) -> dict[str, Any]:
    [element] = model_of(hint, *default).form().get_model()
    return {key: value for key, value in element.items() if value is not None}


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (str, (), {"type": "text", "required": True}),
        (str, ("a",), {"type": "text", "required": False, "value": "a"}),
        (str, ("a\nb",), {"type": "textarea", "value": "a\nb"}),
        (Annotated[str, Field(pattern=r"^\d+$", min_length=2, max_length=4)], (),
         {"type": "text", "pattern": r"\d+", "min_length": 2, "max_length": 4}),
        (Annotated[str, Field(pattern="^a")], (), {"type": "text", "pattern": r"[\s\S]*(?:^a)[\s\S]*"}),
        (Annotated[str, Field(json_schema_extra={"format": "textarea"})], (), {"type": "textarea"}),
        (int, (3,), {"type": "number", "step": 1, "value": "3"}),
        (Annotated[int, Field(gt=0, lt=10)], (), {"type": "number", "min_value": 1, "max_value": 9, "step": 1}),
        (Annotated[int, Field(ge=1, le=10, multiple_of=4)], (), {"min_value": 4, "max_value": 10, "step": 4}),
        (Annotated[float, Field(gt=0, multiple_of=0.5)], (), {"type": "number", "min_value": 0, "step": 0.5}),
        (float, (), {"type": "number"}),
        (decimal.Decimal, (decimal.Decimal("1.10"),), {"type": "number", "value": "1.10"}),
        (int | float, (), {"type": "number"}),
        (bool, (True,), {"type": "boolean", "value": True}),
        (bool | None, (None,), {"type": "select"}),
        (Literal["a", "b"], ("b",), {"type": "select", "value": "b", "required": None}),
        (Literal["a", 1], (), {"type": "select", "required": True}),
        (Optional[Literal["a"]], (), {"type": "select", "required": None}),  # noqa: UP045
        (Literal["a"] | Literal["b"], (), {"type": "select"}),
        (Colour, (Colour.BLUE,), {"type": "select", "value": "blue"}),
        (Level, (Level.LOW,), {"type": "select", "value": "1"}),
        (list[Colour], ([Colour.RED],), {"type": "multiselect", "value": ["red"]}),
        (set[Literal["p", "q"]], (), {"type": "multiselect", "required": False}),
        (list[int], ([1, 2],), {"type": "list", "value": ["1", "2"]}),
        (Annotated[list[str], Field(min_length=1, max_length=3)], (), {"required": True, "min_items": 1, "max_items": 3}),
        (list[datetime.date], (), {"type": "list"}),
        (datetime.date, (datetime.date(2026, 1, 2),), {"type": "date", "value": "2026-01-02"}),
        (Annotated[datetime.date, Field(gt=datetime.date(2026, 1, 1))], (), {"type": "date", "min_date": "2026-01-02"}),
        (datetime.time, (), {"type": "time", "step": 1}),
        (datetime.datetime, (datetime.datetime(2026, 1, 2, 3, 4),), {"type": "datetime-local", "value": "2026-01-02T03:04:00"}),
        (datetime.datetime, (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),), {"type": "text"}),
        (AwareDatetime, (), {"type": "text"}),
        (datetime.timedelta, (datetime.timedelta(hours=1),), {"type": "text", "value": "PT1H"}),
        (SecretStr, (SecretStr("hush"),), {"type": "password", "value": None}),
        (Annotated[str, Field(json_schema_extra={"format": "password"})], ("hush",), {"type": "password", "value": None}),
        (Path, (), {"type": "file", "multiple": False, "required": True}),
        (list[Path], (), {"type": "file", "multiple": True}),
        (pydantic.FilePath, (), {"type": "text"}),
        (Annotated[int, Field(description="d", title="T", examples=[7])], (),
         {"help": "d", "label": "T", "placeholder": "7"}),
        (Address, (Address(street="s"),), {"type": "group"}),
        (Any, (None,), {"type": "json"}),
        (dict[str, int], ({"a": 1},), {"type": "json", "value": '{"a": 1}'}),
        (Any, ({"$defs": 0, "$ref": "x"},), {"type": "json", "value": '{"$defs": 0, "$ref": "x"}'}),
        (int | str, ("5",), {"type": "json", "value": '"5"'}),
        (tuple[int, str], ((1, "a"),), {"type": "json", "value": '[1, "a"]'}),
        (list[Address], (), {"type": "json"}),
        (Shape, (Shape.POINT,), {"type": "select", "value": "[0, 0]"}),
        (InputModel, (), {"type": "json"}),
    ],
    ids=str,
)  # fmt: skip
def test_each_sort_of_parameter_is_drawn_as_its_type_suggests(hint, default, expected):
    if hint is Address:  # alone it would be all of the inputs
        hint = Optional[Address]  # noqa: UP045
    found = element_of(hint, *default)
    assert {key: found.get(key) for key in expected} == expected


def test_fields_of_nested_models_have_dotted_names_and_their_defaults():
    def flow(person: Person) -> None: ...

    form = InputModel("f", flow).form()
    assert list(form.fields) == [
        "name", "home", "home.street", "home.zip", "home.main", "work", "work.street", "work.zip", "work.main", "limit"
    ]  # fmt: skip
    name, home, work, _ = form.get_model()
    assert (name["label"], name["help"], name["placeholder"]) == ("Full name", "first and last", "Ada Lovelace")
    assert [inner["value"] for inner in home["elements"]] == ["s", "12345", True]
    assert (home["optional"], work["optional"], work["value"]) == (False, True, False)
    assert Model.model_validate(form.get_model()).get_model() == form.get_model()


def test_a_model_within_itself_ends_as_json():
    def flow(tree: Tree, n: int = 1) -> None: ...

    def whole(tree: Tree) -> None: ...

    tree, _ = InputModel("f", flow).form().get_model()
    assert [element["type"] for element in tree["elements"]] == ["number", "json"]
    assert [element["type"] for element in InputModel("f", whole).form().get_model()] == ["number", "json"]
    wire = InputModel("f", whole).from_form({"n": "1", "left": '{"n": 2}'}).wire
    assert wire == {"n": 1, "left": {"n": 2, "left": None}}


def test_a_default_model_shows_in_the_form():
    def flow(person: Person = Person(name="Bob", maxTokens=9)) -> None: ...  # noqa: B008

    model = InputModel("f", flow)
    assert model.form().initial()["name"] == "Bob"
    assert model.from_form(model.form().initial()).wire == model.validate({}).wire


def test_inputs_of_any_names_are_entered_as_json():
    def flow(inputs: dict[str, Any]) -> None: ...

    model = InputModel("f", flow)
    [element] = model.form().get_model()
    assert (element["type"], element["name"], element["value"]) == ("json", "inputs", "{}")
    assert model.from_form({"inputs": '{"a": [1]}'}).wire == {"a": [1]}
    with pytest.raises(InputsError, match="inputs: is a JSON list; expected an object"):
        model.from_form({"inputs": "[1]"})


_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
_datetimes = st.datetimes().map(lambda value: value.replace(microsecond=0))
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_text, inner, max_size=2),
    max_leaves=4,
)
_addresses = st.builds(Address, street=_text.filter(bool), zip=st.from_regex(r"\A[0-9]{5}\Z"), main=st.booleans())
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, _text),
    (Optional[str], st.none() | _text.filter(bool)),  # noqa: UP045
    (int, st.integers()),
    (Optional[int], st.none() | st.integers()),  # noqa: UP045
    (float, st.floats(allow_nan=False)),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (bool | None, st.none() | st.booleans()),
    (Literal["a", 1, "1", True], st.sampled_from(["a", 1, "1", True])),
    (Colour | None, st.sampled_from([None, *Colour])),
    (Level, st.sampled_from(list(Level))),
    (list[Colour], st.lists(st.sampled_from(list(Colour)))),
    (set[Literal[1, 2]], st.sets(st.sampled_from([1, 2]))),
    (list[int], st.lists(st.integers())),
    (list[float] | None, st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)),
    (list[str], st.lists(_text)),
    (list[datetime.date], st.lists(st.dates())),
    (datetime.date, st.dates()),
    (datetime.time, st.times().map(lambda value: value.replace(microsecond=0))),
    (datetime.datetime, _datetimes),
    (AwareDatetime, _datetimes.map(lambda value: value.replace(tzinfo=datetime.UTC))),
    (datetime.timedelta, st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=9))),
    (Any, _json),
    (dict[str, int], st.dictionaries(_text, st.integers(), max_size=2)),
    (int | str, st.integers() | _text),
    (tuple[int, str], st.tuples(st.integers(), _text)),
    (list[Address], st.lists(_addresses, max_size=2)),
    (Optional[Address], st.none() | _addresses),  # noqa: UP045
]


@pytest.mark.parametrize(("hint", "values"), VALUES, ids=[str(hint) for hint, _ in VALUES])
@given(data=st.data())
def test_an_untouched_form_gives_the_defaults_that_python_would_have_given(hint, values, data):
    default = data.draw(values)
    model = model_of(hint, default)
    sent = json.loads(json.dumps(model.form().initial()))
    assert model.from_form(sent).wire == model.validate({}).wire
    assert json.dumps(model.form().get_model())


@pytest.mark.parametrize(("hint", "values"), VALUES, ids=[str(hint) for hint, _ in VALUES])
@given(data=st.data())
def test_what_is_entered_is_what_python_would_have_given(hint, values, data):
    value = data.draw(values)
    entered = model_of(hint, value).form().initial()  # as the form shows the value, so a person enters it
    other = model_of(hint, data.draw(values))
    emptied = {name: "" for name in other.form().fields if "." not in name}
    shown = element_of(hint, value)["type"]
    if shown in ("boolean", "group") or (hint is float and value in (float("inf"), float("-inf"))):
        emptied = {}
    if hint is float and not entered:
        entered = {"x": str(value)}
    if shown == "group" and value is None:
        entered = {"x": "off"}
    if shown == "json" and value is None:
        entered = {"x": "null"}
    assert other.from_form({**emptied, **entered}).wire == other.validate({"x": value}).wire


def test_a_field_that_was_emptied():
    def flow(
        a: str, b: str = "b", c: str | None = "c", d: int = 4, e: int | None = 5, f: list[int] = [6], g: SecretStr = SecretStr("g")  # noqa: B006, B008
    ) -> None: ...  # fmt: skip

    flow.__annotations__ = typing.get_type_hints(flow)
    checked = InputModel("f", flow).from_form(dict.fromkeys("bcdefg", "") | {"a": "x"})
    assert checked.wire == {"a": "x", "b": "", "c": None, "d": 4, "e": None, "f": [], "g": SECRET}
    assert checked.secrets == {"g": "g"}
    with pytest.raises(InputsError, match="a: is required"):
        InputModel("f", flow).from_form({"a": ""})


def test_an_absent_box_is_unchecked_and_other_absent_fields_keep_their_default():
    def flow(a: bool = True, b: int = 2, person: Person | None = None) -> None: ...

    assert InputModel("f", flow).from_form({}).wire == {"a": False, "b": 2, "person": None}


def test_a_group_counts_when_it_is_switched_on_or_changed():
    def flow(work: Address | None = None, n: int = 1) -> None: ...

    model = InputModel("f", flow)
    untouched = model.form().initial()
    assert model.from_form(untouched).wire["work"] is None
    assert model.from_form({**untouched, "work.street": "s"}).wire["work"] == {
        "street": "s", "zip": "12345", "main": True
    }  # fmt: skip
    with pytest.raises(InputsError) as caught:
        model.from_form({**untouched, "work": "on", "work.zip": "x"})
    assert list(caught.value.errors) == ["work.street", "work.zip"]


def test_messages_are_under_the_names_of_elements_and_say_the_value_and_the_bound():
    def flow(
        person: Person, numbers: list[int], n: Annotated[int, Field(le=9)] = 1, q: Any = None, f: Path = Path("a")
    ) -> None: ...

    with pytest.raises(InputsError) as caught:
        InputModel("mine", flow).from_form(
            {"person.limit": "x", "person.home.street": "", "numbers": ["1", "y"], "n": "10", "q": "{", "zz": "1",
             "f": json.dumps({"batchId": "b", "items": {"1": {"filename": "../x"}}})}
        )  # fmt: skip
    errors = caught.value.errors
    assert set(errors) == {"person.limit", "person.home.street", "numbers", "n", "q", "f", "zz"}
    assert errors["n"] == ["Input should be less than or equal to 9, not 10"]
    assert errors["numbers"][0].startswith("at 1: Input should be a valid integer")
    assert errors["person.home.street"] == ["is required"]
    assert "expected a file name within the folder" in errors["f"][0]
    assert errors["zz"][0].startswith("is no input of this flow, which takes: person, numbers")
    assert caught.value.flow == "mine"


def test_strict_models_take_what_is_entered():
    def flow(s: Strict) -> None: ...

    model = InputModel("f", flow)
    assert model.from_form({"when": "2026-03-04", "amount": "2.50"}).wire == {"when": "2026-03-04", "amount": "2.50"}


class Plain(BaseModel):
    a: Annotated[int, Field(multiple_of=3)] = 0
    b: list[Literal["x", 1]] = []
    c: Address | None = None
    d: list[datetime.date] | None = None
    e: dict[str, int] | str = ""
    f: Path | None = None
    g: list[Path] = []
    h: SecretStr | None = None
    i: bool = True
    j: bool | None = None
    k: datetime.datetime | None = None
    m: Address = Address(street="s")


_sent = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["on", "[1]", "{}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_nothing_that_is_sent_raises_anything_but_messages_by_field(data):
    def flow(inputs: Plain) -> None: ...

    flow.__annotations__ = {"inputs": Plain}
    model = InputModel("f", flow)
    form = model.form()
    sent = data.draw(st.dictionaries(st.sampled_from([*form.fields, "other"]), _sent, max_size=6))
    form.set_data(sent)
    assert form.render()
    try:
        checked = model.from_form(sent)
    except InputsError as error:
        found = error.messages
    else:
        model.arguments(Inputs(json.loads(dumps(checked.wire)), checked.secrets))
        return
    assert any(found.values())
    assert set(found) <= {*form.fields, "other", "_global_"}


def test_files_arrive_where_the_flow_finds_them():
    def flow(one: Path = Path("none"), many: list[Path] = []) -> None: ...  # noqa: B006

    batch = json.dumps({"batchId": "b", "items": {"1": {"filename": "a.csv"}, "2": {"filename": "b.csv"}}})
    model = InputModel("f", flow)
    single = json.dumps({"batchId": "c", "items": {"1": {"filename": "a.csv"}}})
    assert model.from_form({"one": single, "many": batch}).wire == {"one": "in/a.csv", "many": ["in/a.csv", "in/b.csv"]}
    assert model.from_form({"one": "/data/x.csv", "many": ""}).wire == {"one": "/data/x.csv", "many": []}
    assert model.form().uploads({"one": single, "many": batch}) == {"one": "c", "many": "b"}
    with pytest.raises(InputsError, match="one: has 2 files; expected one"):
        model.from_form({"one": batch})


def test_secrets_are_entered_and_not_shown():
    def flow(key: SecretStr = SecretStr("default"), keys: list[SecretStr] = []) -> None: ...  # noqa: B006, B008

    model = InputModel("f", flow)
    model.form().render()
    assert "default" not in json.dumps(model.form().get_model()).replace('"default', "")
    checked = model.from_form({"key": "hush1", "keys": "hush2\nhush3"})
    assert "hush" not in json.dumps(checked.wire)
    assert checked.secrets == {"key": "hush1", "keys.0": "hush2", "keys.1": "hush3"}
    assert model.from_form({"key": SECRET}).secrets == {"key": "default"}


def test_the_json_schema_for_tools_hides_secrets():
    class Login(BaseModel):
        user: str
        password: Annotated[str, Field(json_schema_extra={"format": "password"})] = "none"

    def flow(login: Login, key: SecretStr | None = SecretStr("hush"), n: Annotated[int, Field(gt=0)] = 1) -> None: ...  # noqa: B008

    flow.__annotations__ = {"login": Login, "key": SecretStr | None, "n": Annotated[int, Field(gt=0)]}
    schema = InputModel("f", flow).json_schema()
    assert schema["properties"]["n"] == {"default": 1, "exclusiveMinimum": 0, "title": "N", "type": "integer"}
    assert schema["required"] == ["login"]
    key = schema["properties"]["key"]
    assert key["anyOf"][0]["writeOnly"] is True
    assert "default" not in key
    password = schema["$defs"]["Login"]["properties"]["password"]
    assert (password["writeOnly"], "default" in password) == (True, False)
    assert "hush" not in json.dumps(schema)
