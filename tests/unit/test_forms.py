"""Inputs: from a signature to values that fit it, over JSON and back."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import json
import math
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from kodosumi_lab.errors import FlowError, InputsError
from kodosumi_lab.events import dumps
from kodosumi_lab.forms import SECRET, InputModel, Inputs, secret_fields


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Inner(BaseModel):
    n: int = 1
    when: datetime.date | None = None
    key: SecretStr | None = None


class Login(BaseModel):
    user: str
    password: Annotated[str, Field(json_schema_extra={"format": "password"})] = "none"
    max_tokens: int = Field(5, alias="maxTokens")


class Strict(BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime.date
    path: Path
    pair: tuple[int, str]


@dataclasses.dataclass
class Account:
    name: str
    token: SecretStr


def carry(call: Any, **data: Any) -> dict[str, Any]:
    """Arguments as the Runner makes them from what the log and the Dispatcher carried."""
    model = InputModel("f", call)
    checked = model.validate(data)
    wire = json.loads(dumps(checked.wire))
    return model.arguments(Inputs(wire, dict(checked.secrets)))


def flow_of(hint: Any, **default: Any) -> Any:
    def flow(x: Any) -> None: ...

    flow.__annotations__ = {"x": hint}
    if default:
        flow.__defaults__ = (default["default"],)
    return flow


@pytest.mark.parametrize(
    ("hint", "given_", "value"),
    [
        (int, "3", 3),
        (float, 1, 1.0),
        (bool, "yes", True),
        (str, "ü\n", "ü\n"),
        (bytes, b"ab", b"ab"),
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (dict, {"a": 1}, {"a": 1}),
        (list[int], ("1", 2), [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1, 2], {1, 2}),
        (frozenset[str], ["a"], frozenset("a")),
        (dict[int, datetime.date], {1: "2026-01-02"}, {1: datetime.date(2026, 1, 2)}),
        (dict[Level, int], {Level.LOW: 2}, {Level.LOW: 2}),
        (Optional[int], None, None),  # noqa: UP045
        (int | str, "a", "a"),
        (Literal["a", 2], 2, 2),
        (Colour, "red", Colour.RED),
        (Colour, Colour.BLUE, Colour.BLUE),
        (Level, 2, Level.HIGH),
        (list[Colour], ["red"], [Colour.RED]),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.datetime, "2026-01-02T03:04:05Z", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
        (datetime.timedelta, 90, datetime.timedelta(seconds=90)),
        (datetime.time, "03:04", datetime.time(3, 4)),
        (Path, "/a/b", Path("/a/b")),
        (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (Annotated[int, Field(gt=0)], 4, 4),
        (float, math.inf, math.inf),
        (list[float], [-math.inf], [-math.inf]),
        (Inner | None, {"n": 2, "when": "2026-01-02"}, Inner(n=2, when=datetime.date(2026, 1, 2))),
        (list[Inner], [{"n": 3}, Inner(n=4)], [Inner(n=3), Inner(n=4)]),
        (dict[str, Inner], {"a.b": {"n": 3}}, {"a.b": Inner(n=3)}),
        ("Colour | None", "red", Colour.RED),
        (list["Inner"], [{"n": 1}], [Inner()]),
    ],
    ids=str,
)
def test_each_sort_of_parameter_arrives_as_its_annotation_says(hint, given_, value):
    found = carry(flow_of(hint), x=given_)["x"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_arrives_as_not_a_number():
    assert math.isnan(carry(flow_of(float), x=math.nan)["x"])


@pytest.mark.parametrize(
    ("hint", "default", "value"),
    [
        (int, None, None),
        (Annotated[int, Field(gt=0, description="d")], None, None),
        (Path, "a.csv", Path("a.csv")),
        (Colour, Colour.RED, Colour.RED),
        (float, math.inf, math.inf),
        (list[int], [1], [1]),
        (datetime.date, datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (Any, (1, 2), [1, 2]),
        (SecretStr, SecretStr("a"), SecretStr("a")),
        (int, Field(5, gt=0), 5),
    ],
    ids=str,
)
def test_defaults_travel_like_anything_given(hint, default, value):
    assert carry(flow_of(hint, default=default)) == {"x": value}


def test_a_constraint_holds_beside_a_default_of_none():
    model = InputModel("f", flow_of(Annotated[int, Field(gt=0)], default=None))
    with pytest.raises(InputsError, match="greater than 0"):
        model.validate({"x": -1})
    assert model.model.model_json_schema()["properties"]["x"]["default"] is None


def test_a_default_that_does_not_fit_is_said_at_the_launch():
    with pytest.raises(InputsError, match="x: Input should be a valid integer"):
        InputModel("f", flow_of(int, default="many")).validate({})


def test_messages_name_each_field():
    def flow(a: int, b: Annotated[int, Field(gt=0)], c: Inner, d: list[int], *, tracer: Any) -> None: ...

    with pytest.raises(InputsError) as caught:
        InputModel("mine", flow).validate({"b": 0, "c": {"n": "x"}, "d": [1, "y"], "e": 5})
    errors = caught.value.errors
    assert errors["a"] == ["is required"]
    assert "greater than 0" in errors["b"][0]
    assert "c.n" in errors
    assert "d.1" in errors
    assert errors["e"] == ["is no input of this flow, which takes: a, b, c, d"]
    assert "inputs of flow 'mine' do not fit, nothing was started" in str(caught.value)


def test_a_value_that_json_cannot_hold_is_said_by_its_field():
    with pytest.raises(InputsError, match="x: a object cannot be kept as JSON"):
        InputModel("f", flow_of(Any)).validate({"x": object()})


def test_keyword_arguments_are_taken_and_passed_on():
    def flow(a: int = 1, **more: Any) -> None: ...

    assert carry(flow, b=[1], c="x") == {"a": 1, "b": [1], "c": "x"}


def test_one_model_is_the_inputs():
    def flow(login: Login, *, tracer: Any) -> None: ...

    expected = {"login": Login(user="a", password="p", maxTokens=7)}
    assert carry(flow, user="a", password="p", maxTokens=7) == expected
    assert carry(flow, user="a", password="p", max_tokens=7) == expected
    assert carry(flow, login=expected["login"]) == expected
    assert carry(flow, login={"user": "a", "password": "p", "maxTokens": 7}) == expected
    with pytest.raises(InputsError, match="user: is required"):
        carry(flow)


def test_a_default_model_is_the_inputs_when_none_are_given():
    def flow(inner: Inner = Inner(n=9)) -> None: ...  # noqa: B008

    assert carry(flow) == {"inner": Inner(n=9)}
    assert carry(flow, n=2) == {"inner": Inner(n=2)}


def test_a_parameter_called_inputs_takes_any_json_values():
    def flow(inputs: dict[str, Any]) -> None: ...

    def bare(inputs) -> None: ...

    def typed(inputs: list[int]) -> None: ...

    for call in (flow, bare):
        assert carry(call, a=1, b={"c": [2]}) == {"inputs": {"a": 1, "b": {"c": [2]}}}
        assert carry(call, inputs={"a": 1}) == {"inputs": {"a": 1}}
        assert carry(call) == {"inputs": {}}
    assert carry(typed, inputs=[1]) == {"inputs": [1]}


def test_a_model_beside_other_parameters_is_one_of_them():
    def flow(login: Login, n: int = 1) -> None: ...

    assert carry(flow, login={"user": "u", "maxTokens": 3}) == {"login": Login(user="u", maxTokens=3), "n": 1}


def test_strict_models_survive_the_way_over_json():
    def flow(s: Strict) -> None: ...

    given_ = Strict(when=datetime.date(2026, 1, 2), path=Path("/a"), pair=(1, "b"))
    assert carry(flow, s=given_) == {"s": given_}


def split(value: Any) -> Any:
    return value.split(",")


def test_a_validator_is_not_applied_to_its_own_result():
    def flow(
        tags: Annotated[list[str], pydantic.BeforeValidator(split)],
        twice: Annotated[int, pydantic.AfterValidator(lambda v: v * 2)],
        key: SecretStr = SecretStr("s"),  # noqa: B008
    ) -> None: ...

    # annotations of this module are text; these hold a function
    flow.__annotations__ = {
        "tags": Annotated[list[str], pydantic.BeforeValidator(split)],
        "twice": Annotated[int, pydantic.AfterValidator(lambda v: v * 2)],
        "key": SecretStr,
    }
    found = carry(flow, tags="a,b", twice=4, key="k")
    assert (found["tags"], found["twice"], found["key"].get_secret_value()) == (["a", "b"], 8, "k")


def test_secrets_never_travel_in_the_wire_and_are_there_for_the_flow():
    def flow(
        a: SecretStr,
        b: Inner,
        c: list[SecretStr],
        d: dict[str, SecretStr],
        e: Account,
        f: Annotated[str, Field(json_schema_extra={"format": "password"})],
        g: Optional[SecretStr] = None,  # noqa: UP045
        h: Login = None,  # type: ignore[assignment]
    ) -> None: ...

    model = InputModel("f", flow)
    checked = model.validate(
        {
            "a": "hush1", "b": {"key": "hush2"}, "c": ["hush3", "hush4"], "d": {"x.y~1": "hush5", "~": "hush6"},
            "e": {"name": "n", "token": "hush7"}, "f": "hush8", "h": {"user": "u", "password": "hush9"},
        }
    )  # fmt: skip
    wire = dumps(checked.wire)
    assert "hush" not in wire
    assert checked.wire["a"] == SECRET
    assert checked.wire["b"]["key"] == SECRET
    assert sorted(checked.secrets.values()) == [f"hush{i}" for i in range(1, 10)]
    assert sorted(secret_fields(json.loads(wire))) == sorted(checked.secrets)
    found = model.arguments(Inputs(json.loads(wire), checked.secrets))
    assert found["a"].get_secret_value() == "hush1"
    assert found["b"].key.get_secret_value() == "hush2"
    assert [s.get_secret_value() for s in found["c"]] == ["hush3", "hush4"]
    assert {k: s.get_secret_value() for k, s in found["d"].items()} == {"x.y~1": "hush5", "~": "hush6"}
    assert found["e"].token.get_secret_value() == "hush7"
    assert (found["f"], found["h"].password, found["g"]) == ("hush8", "hush9", None)


def test_the_way_back_leaves_what_was_carried_as_it_was():
    model = InputModel("f", flow_of(SecretStr))
    checked = model.validate({"x": "hush"})
    model.arguments(checked)
    assert checked.wire == {"x": SECRET}


@given(
    data=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
        max_size=4,
    )
)
def test_secrets_under_any_key_come_back(data: dict[str, str]) -> None:
    found = carry(flow_of(dict[str, SecretStr]), x=data)["x"]
    assert {key: value.get_secret_value() for key, value in found.items()} == data


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=_json)
def test_json_values_arrive_as_they_were(value: Any) -> None:
    assert carry(flow_of(Any), x=value) == {"x": value}


@pytest.mark.parametrize(
    "name", ["copy", "json", "schema", "dict", "model_fields_", "validate", "construct", "self_", "data"]
)
def test_inputs_may_have_the_names_of_pydantics_methods(name):
    space: dict[str, Any] = {}
    exec(f"def flow({name}: int, other: int = 1): ...", space)
    assert carry(space["flow"], **{name: 3}) == {name: 3, "other": 1}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def flow(a, /): ...", "'a' is positional-only"),
        ("def flow(*a): ...", "'a' is positional-only"),
        ("def flow(_a=1): ...", "'_a' cannot be the name of an input"),
        ("def flow(model_config): ...", "cannot be the name of an input"),
        ("def flow(a: 'Missing'): ...", "Missing.* of input 'a' cannot be evaluated.*define or import"),
        ("def flow(a: list['Missing']): ...", "of input 'a' cannot be evaluated"),
        ("def flow(a: '1/0'): ...", "of input 'a' cannot be evaluated"),
    ],
)
def test_a_parameter_that_cannot_be_an_input_is_said_at_the_declaration(source, message):
    space: dict[str, Any] = {}
    exec(source, space)
    with pytest.raises(FlowError, match=message):
        InputModel("f", space["flow"])


def test_the_tracer_may_be_annotated_with_what_only_type_checkers_see():
    space: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef flow(a: int, tracer: Nowhere): ...", space)
    assert carry(space["flow"], a=1) == {"a": 1}


def test_methods_callables_and_wrapped_functions_are_read_like_functions():
    class Crew:
        def kick(self, n: int) -> None: ...

        def __call__(self, c: Colour) -> None: ...

    @functools.wraps(flow_of)
    def plain(*args: Any) -> None: ...

    assert carry(Crew().kick, n="1") == {"n": 1}
    assert carry(Crew(), c="red") == {"c": Colour.RED}

    def decorated(call: Any) -> Any:
        @functools.wraps(call)
        def inner(*args: Any, **more: Any) -> Any:
            return call(*args, **more)

        return inner

    @decorated
    def flow(n: int) -> None: ...

    assert carry(flow, n="2") == {"n": 2}


def test_a_flow_without_parameters_takes_nothing():
    assert carry(lambda: None) == {}
    with pytest.raises(InputsError, match="which takes: nothing"):
        carry(lambda: None, a=1)
