"""Payloads: what a flow says is what a person reads."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import sys
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from logkit import new_run

from kodosumi_lab.events import KIND_ID, KINDS, Rich, arrow_schema, decode, dumps, encode, run_date, wire_schema
from kodosumi_lab.runtime.query import EVENTS


def there_and_back(value: Any) -> Any:
    payload = encode(value)
    payload.encode()
    json.loads(payload, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return decode(payload)


_surrogates = st.text(st.characters(), max_size=20)


@given(text=_surrogates)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assume(not any(0xD800 <= ord(a) < 0xDC00 <= ord(b) < 0xE000 for a, b in zip(text, text[1:], strict=False)))
    assert there_and_back(text) == text


@given(text=st.text(st.characters(categories=["Cs", "Lu", "So"]), max_size=8))
def test_text_with_lone_surrogates_comes_back_as_the_text_that_utf16_makes_of_it(text: str) -> None:
    assert there_and_back(text) == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(value=_values)
def test_json_values_come_back_as_they_were(value: Any) -> None:
    assert there_and_back(value) == value


@given(
    value=st.recursive(
        st.floats() | st.text(st.characters(), max_size=3),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(st.integers() | st.none() | st.booleans() | st.tuples(st.integers()), s, max_size=3)
        ),
    )
)
def test_anything_of_json_types_is_encoded_as_valid_json(value: Any) -> None:
    there_and_back(value)


def test_numbers_that_json_does_not_know_become_null():
    assert there_and_back([math.nan, {"a": -math.inf}, 1.5]) == [None, {"a": None}, 1.5]
    assert there_and_back(math.nan) is None


def test_keys_are_written_the_same_with_and_without_nan_beside_them():
    value = {1: 1, None: 2, True: 3, 2.5: 4}
    assert json.loads(dumps({**value, "x": math.nan})) == {**json.loads(dumps(value)), "x": None}
    assert json.loads(dumps({(1, 2): 0, datetime.date(2026, 1, 2): 1})) == {"(1, 2)": 0, "2026-01-02": 1}


KINDS_MODULE = encode.__module__


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


class Person(pydantic.BaseModel):
    name: str
    born: datetime.date
    token: pydantic.SecretStr = pydantic.SecretStr("hush")


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(minutes=2), 120.0),
        (Colour.RED, "red"),
        (Level.LOW, 1),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("a"), ["a"]),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (b"\0\1", "AAE="),
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, 2), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (np.int64(3), 3),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (Point(1, datetime.date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}),
        (
            {"deep": [Colour.RED, {"s": {1}}, Point(1, datetime.date(2026, 1, 2))]},
            {"deep": ["red", {"s": [1]}, {"x": 1, "when": "2026-01-02"}]},
        ),
        ({"frame": pl.DataFrame({"a": [1]})}, {"frame": [{"a": 1}]}),
        ({"frame": pd.DataFrame({"a": [1]})}, {"frame": [{"a": 1}]}),
        ({"series": pl.Series([1, 2])}, {"series": [1, 2]}),
        ({"series": pd.Series([1, 2])}, {"series": [1, 2]}),
        ({"table": pa.table({"a": [1]})}, {"table": [{"a": 1}]}),
    ],
    ids=repr,
)
def test_values_of_other_classes_come_back_in_their_json_form(value, expected):
    assert there_and_back(value) == expected


def test_secrets_of_models_do_not_reach_the_payload():
    payload = encode(Person(name="ann", born=datetime.date(2000, 1, 1)))
    assert "hush" not in payload
    assert decode(payload)["name"] == "ann"
    assert json.loads(payload)["application/vnd.kodosumi.class"].endswith("Person")
    assert dumps({"key": pydantic.SecretStr("hush")}) == '{"key":{"secret":true}}'


def test_cycles_and_depth_end():
    a: list[Any] = []
    a += [a, a]
    assert "..." in encode(a)
    b: dict[str, Any] = {}
    b["b"] = b
    encode(b)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    there_and_back(deep)
    assert there_and_back(10**5000).startswith("0x")


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class BadDisplay:
    def _repr_html_(self) -> str:
        raise RuntimeError("broken display")

    @property
    def _repr_png_(self) -> Any:
        raise RuntimeError("broken property")

    def _repr_mimebundle_(self, include: Any, exclude: Any) -> Any:
        return "no bundle"


class BadModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    bad: Bad
    n: int = 1


@dataclasses.dataclass
class BadData:
    bad: Bad


@pytest.mark.parametrize(
    "value",
    [Bad(), [Bad()], {"a": Bad()}, BadModel(bad=Bad()), BadData(Bad()), BadDisplay(), {Bad()}],
    ids=lambda v: type(v).__name__,
)
def test_an_object_that_cannot_be_shown_does_not_end_the_flow(value):
    payload = encode(value)
    assert "without a repr" in payload or "display failed" in payload


class Shown:
    def _repr_html_(self) -> str:
        return "<b>x</b>"

    def _repr_png_(self) -> bytes:
        return b"png"

    def _repr_mimebundle_(self, include: Any, exclude: Any) -> Any:
        return {"text/plain": "plain", "application/x": {"a": 1}}, {"meta": 1}


def test_an_object_with_a_display_comes_back_as_what_it_shows():
    found = there_and_back(Shown())
    assert found == Rich(
        {"text/plain": "plain", "application/x": {"a": 1}, "text/html": "<b>x</b>", "image/png": "cG5n"}
    )
    assert str(found) == "plain"
    assert found._repr_mimebundle_()["text/html"] == "<b>x</b>"
    assert there_and_back(Shown) == repr(Shown)


def test_a_figure_comes_back_as_an_image():
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 2])
    found = there_and_back(figure)
    assert isinstance(found, Rich)
    assert found.bundle["image/png"].startswith("iVBOR")


_frame = pl.DataFrame(
    {
        "i": [1, None, 3],
        "s": ["a", "ü", None],
        "f": [1.5, float("nan"), None],
        "d": [datetime.date(2026, 1, 1)] * 3,
        "t": pl.Series([datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)] * 3),
        "l": [[1], [], None],
        "st": [{"a": 1}, {"a": 2}, None],
        "c": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "u": pl.Series([2**64 - 1, 0, 1], dtype=pl.UInt64),
    }
)


@pytest.mark.parametrize("frame", [_frame, _frame.clear(), pl.DataFrame()], ids=["rows", "no rows", "nothing"])
def test_polars_frames_come_back_as_polars_frames(frame):
    polars.testing.assert_frame_equal(there_and_back(frame), frame, categorical_as_str=True)
    assert there_and_back(frame.lazy()).shape == frame.shape


def test_series_and_arrow_and_pandas_come_back_as_what_they_were():
    polars.testing.assert_series_equal(there_and_back(pl.Series("n", [1, 2])), pl.Series("n", [1, 2]))
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    assert there_and_back(table).equals(table)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=pd.Index([5, 6], name="k"))
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, "x", object()]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pl.DataFrame({"a": [object()]}),
        pl.LazyFrame({"a": [1]}).select("missing"),
    ],
    ids=["mixed", "same names", "objects", "failing plan"],
)
def test_a_table_that_arrow_cannot_hold_is_still_shown(frame):
    assert isinstance(there_and_back(frame), Rich | str)


def test_a_large_payload_is_loaded_from_beside_the_log():
    reference = {"sha256": "a" * 64, "nbytes": 3, "date": "2026-01-01"}
    payload = dumps({"artifact": reference})
    assert decode(payload) == {"artifact": reference}
    assert decode(payload, lambda ref: encode([ref["nbytes"]])) == [3]


def test_payloads_that_are_no_bundle_come_back_as_json():
    assert decode('"line"') == "line"
    assert decode('{"name":"x","value":1}') == {"name": "x", "value": 1}


def test_a_run_id_carries_its_date():
    assert run_date(new_run(0)) == "2026-01-10"
    assert run_date(new_run(3)) == "2026-01-13"
    for bad in ("", "x", str(uuid.uuid4()), "ffffffff-ffff-7fff-bfff-ffffffffffff"):
        with pytest.raises(ValueError, match="run id"):
            run_date(bad)


def test_the_schema_is_what_the_modules_table_says():
    lines = sys.modules[KINDS_MODULE].__doc__.split("=====\n")[2].splitlines()
    documented = [(line[:13].strip(), line[13:39].strip()) for line in lines if line and not line.startswith("=")]
    assert [name for name, _ in documented] == arrow_schema().names == list(EVENTS)
    for (name, text), field in zip(documented, arrow_schema(), strict=True):
        assert text.split(",")[0] == str(field.type).replace("tz=", "").split(",")[0] or name == "ts", name
        assert ("null" in text) == field.nullable, name
    assert wire_schema().names == ["ts", "kind", "agent", "payload"]
    assert len(KINDS) == len(KIND_ID) == 18
