"""Constraints are enforced here, whatever a browser did; messages say the value and what was expected."""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodosumi_lab import forms
from kodosumi_lab.errors import InputsError


def errors(element: Any, value: Any) -> list[str]:
    return forms.Model(element).check({element.name: value}).get(element.name, [])


def valid(element: Any, value: Any) -> Any:
    return forms.Model(element).validate({element.name: value})[element.name]


def files(*names: str) -> str:
    items = {str(i): {"filename": name, "totalChunks": 1} for i, name in enumerate(names)}
    return json.dumps({"batchId": "b", "items": items})


@pytest.mark.parametrize(
    ("element", "value", "message"),
    [
        (forms.InputText("x", required=True), "", "is required"),
        (forms.InputText("x", required=True), None, "is required"),
        (forms.InputText("x", pattern="[a-z]+"), "abc1", "is 'abc1'; expected text that matches [a-z]+"),
        (forms.InputText("x", pattern=r"\d+"), "٣", r"is '٣'; expected text that matches \d+"),
        (forms.InputText("x", pattern=r"[\w-]+"), "ä", r"is 'ä'; expected text that matches [\w-]+"),
        (forms.InputText("x", pattern=r"(?=.*\d).{3,}"), "abc", r"is 'abc'; expected text that matches (?=.*\d).{3,}"),
        (forms.InputText("x"), 5, "is 5; expected text"),
        (forms.InputText("x", max_length=2), "abc", "has 3 characters; expected at most 2"),
        (forms.InputPassword("x", min_length=8), "hush", "has 4 characters; expected at least 8"),
        (forms.InputPassword("x", max_length=2), "hush", "has 4 characters; expected at most 2"),
        (forms.InputPassword("x", pattern=r"\d+"), "hush", r"does not match \d+"),
        (forms.InputPassword("x"), 12345, "is a int; expected text"),
        (forms.InputArea("x", max_length=3), "a\nbc", "has 4 characters; expected at most 3"),
        (forms.InputNumber("x", required=True), "", "is required"),
        (forms.InputNumber("x", min_value=1), "0", "is '0'; expected at least 1"),
        (forms.InputNumber("x", min_value=0), "-1", "is '-1'; expected at least 0"),
        (forms.InputNumber("x", max_value=9.5), "9.6", "is '9.6'; expected at most 9.5"),
        (forms.InputNumber("x", step=0.1), "0.25", "is '0.25'; expected steps of 0.1 from 0"),
        (forms.InputNumber("x", min_value=1, step=2), "2", "is '2'; expected steps of 2 from 1"),
        (forms.InputNumber("x"), "1_000", "is '1_000'; expected a number"),
        (forms.InputNumber("x"), "nan", "is 'nan'; expected a number"),
        (forms.InputNumber("x"), "1e999", "is '1e999'; expected a finite number"),
        (forms.InputNumber("x"), True, "is True; expected a number"),
        (forms.InputDate("x", min_date="2026-01-02"), "2026-01-01", "is 2026-01-01; expected 2026-01-02 or later"),
        (forms.InputDate("x", max_date="2026-01-02"), "2026-01-03", "is 2026-01-03; expected 2026-01-02 or earlier"),
        (forms.InputDate("x"), "2026-02-30", "is '2026-02-30'; expected a date like 2026-01-31"),
        (forms.InputDate("x"), "20260201", "is '20260201'; expected a date like 2026-01-31"),
        (forms.InputTime("x", min_time="08:00"), "07:59", "is 07:59:00; expected 08:00:00 or later"),
        (forms.InputTime("x", min_time="22:00", max_time="06:00"), "12:00",
         "is 12:00:00; expected from 22:00:00 to 06:00:00"),
        (forms.InputTime("x", step=900), "10:10", "is 10:10:00; expected steps of 900 s"),
        (forms.InputTime("x"), "25:00", "is '25:00'; expected a time like 13:45"),
        (forms.InputDateTime("x", max_datetime="2026-01-01T00:00"), "2026-01-01T00:01",
         "is 2026-01-01T00:01:00; expected 2026-01-01T00:00:00 or earlier"),
        (forms.InputDateTime("x", step=60), "2026-01-01T00:01:30", "is 2026-01-01T00:01:30; expected steps of 60 s"),
        (forms.InputDateTime("x"), "2026-01-01T00:00Z",
         "is '2026-01-01T00:00Z'; expected a local date and time like 2026-01-31T13:45"),
        (forms.Select("x", ["a", "b"]), "c", "is 'c'; expected one of a, b"),
        (forms.Select("x", ["a"], required=True), "", "is required"),
        (forms.Select("x", []), "c", "is 'c'; expected one of nothing, for there are no options"),
        (forms.Select("x", ["a"]), ["a"], "is ['a']; expected one of a"),
        (forms.MultiSelect("x", ["a", "b"]), ["a", "c"], "is 'c'; expected some of a, b"),
        (forms.MultiSelect("x", ["a", "b"], max_items=1), ["a", "b"], "has 2 choices; expected at most 1"),
        (forms.InputList("x", forms.InputNumber("i", max_value=2)), ["1", "3"], "item 2 is '3'; expected at most 2"),
        (forms.InputList("x", min_items=2), "one\n", "has 1 items; expected at least 2"),
        (forms.InputList("x"), 5, "is 5; expected a list"),
        (forms.Checkbox("x"), "maybe", "is 'maybe'; expected on, or nothing"),
        (forms.InputJSON("x"), "[", "is no JSON: Expecting value: line 1 column 2 (char 1)"),
        (forms.InputFiles("x", required=True), files(), "is required"),
        (forms.InputFiles("x"), files("a", "b"), "has 2 files; expected one"),
        (forms.InputFiles("x"), files("../a"), "is '../a'; expected a file name within the folder"),
        (forms.InputFiles("x"), files("/etc/passwd"), "is '/etc/passwd'; expected a file name within the folder"),
        (forms.InputFiles("x"), files("a\\b"), "is 'a\\\\b'; expected a file name within the folder"),
        (forms.InputFiles("x", accept=[".csv", ".tsv"]), files("a.exe"), "is 'a.exe'; expected a file of .csv, .tsv"),
        (forms.InputFiles("x"), "a.txt", "is 'a.txt'; expected uploaded files"),
        (forms.InputFiles("x"), '{"items": [1]}', "is '{\"items\": [1]}'; expected uploaded files"),
    ],
)  # fmt: skip
def test_what_breaks_a_constraint_is_said(element, value, message):
    assert errors(element, value) == [message]
    with pytest.raises(InputsError) as caught:
        valid(element, value)
    assert caught.value.errors == {"x": [message]}


@pytest.mark.parametrize(
    ("element", "value", "typed"),
    [
        (forms.InputText("x"), " a ", " a "),
        (forms.InputText("x"), "", ""),
        (forms.InputText("x"), None, None),
        (forms.InputText("x", pattern=r"\p{L}+\/"), "äß/", "äß/"),
        (forms.InputText("x", pattern=r"(?=.*\d).{3,}"), "ab1", "ab1"),
        (forms.InputText("x", pattern="("), "anything", "anything"),
        (forms.InputText("x", pattern="a|bc"), "bc", "bc"),
        (forms.InputArea("x", max_length=3), "a\r\nb", "a\r\nb"),
        (forms.InputNumber("x"), "", None),
        (forms.InputNumber("x"), " 3 ", 3),
        (forms.InputNumber("x"), "3.0", 3.0),
        (forms.InputNumber("x", min_value="1", max_value=""), "1e2", 100.0),  # type: ignore[arg-type]
        (forms.InputNumber("x", step=0.1), "0.3", 0.3),
        (forms.InputNumber("x", step=1), "1e308", 1e308),
        (forms.InputNumber("x", min_value=0.5, step=0.25), "1.25", 1.25),
        (forms.InputDate("x"), "2024-02-29", datetime.date(2024, 2, 29)),
        (forms.InputDate("x", min_date="soon"), "2024-02-29", datetime.date(2024, 2, 29)),
        (forms.InputTime("x", min_time="22:00", max_time="06:00"), "23:30", datetime.time(23, 30)),
        (forms.InputTime("x", min_time="00:10", step=900), "00:25", datetime.time(0, 25)),
        (forms.InputTime("x"), "01:02:03.5", datetime.time(1, 2, 3, 500_000)),
        (forms.InputDateTime("x"), "2026-01-02 03:04", datetime.datetime(2026, 1, 2, 3, 4)),
        (forms.Select("x", ["a"]), "", None),
        (forms.Select("x", ["a"]), "a", "a"),
        (forms.MultiSelect("x", ["a", "b"]), "a", ["a"]),
        (forms.InputList("x", forms.InputDate("i")), "2026-01-02\n\n", [datetime.date(2026, 1, 2)]),
        (forms.Checkbox("x"), "on", True),
        (forms.Checkbox("x"), None, False),
        (forms.InputJSON("x"), '{"a": [1, null]}', {"a": [1, None]}),
        (forms.InputFiles("x", directory=True), files("d/b", "d/a"), ["d/a", "d/b"]),
        (forms.InputFiles("x", accept=[".csv"]), files("A.CSV"), ["A.CSV"]),
    ],
)
def test_what_fits_is_read_and_what_was_read_fits(element, value, typed):
    assert errors(element, value) == []
    found = valid(element, value)
    assert found == typed
    assert type(found) is type(typed)
    assert valid(element, found) == typed


@given(low=st.integers(-50, 50), size=st.integers(0, 50), step=st.integers(1, 7), value=st.integers(-120, 120))
def test_a_number_is_taken_exactly_within_its_bounds_and_on_its_steps(low, size, step, value):
    element = forms.InputNumber("x", min_value=low, max_value=low + size, step=step)
    found = errors(element, str(value))
    if low <= value <= low + size and (value - low) % step == 0:
        assert found == []
        assert valid(element, str(value)) == value
    else:
        [message] = found
        assert repr(str(value)) in message
        bound = low if value < low else low + size if value > low + size else step
        assert f" {bound}" in message


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_every_number_comes_back_as_it_was(number: float) -> None:
    assert valid(forms.InputNumber("x"), str(number)) == number
    assert valid(forms.InputNumber("x"), number) == number


@given(low=st.dates(), high=st.dates(), value=st.dates())
def test_a_date_is_taken_exactly_within_its_bounds(low, high, value):
    element = forms.InputDate("x", min_date=low.isoformat(), max_date=high.isoformat())
    found = errors(element, value.isoformat())
    assert (found == []) == (low <= value <= high)
    if found:
        assert value.isoformat() in found[0]
        assert low.isoformat() in found[0] or high.isoformat() in found[0]


@given(value=st.datetimes())
def test_dates_and_times_come_back_as_they_were(value: datetime.datetime) -> None:
    assert valid(forms.InputDateTime("x"), value.isoformat()) == value
    assert valid(forms.InputDate("x"), value.date().isoformat()) == value.date()
    assert valid(forms.InputTime("x"), value.time().isoformat()) == value.time()


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_every = [
    forms.InputText("text", required=True, pattern=r"\w*"), forms.InputNumber("number", min_value=1, step=0.5),
    forms.InputPassword("password", min_length=1), forms.InputArea("area", max_length=3),
    forms.InputDate("date", min_date="2026-01-01"), forms.InputTime("time", step=60),
    forms.InputDateTime("datetime", step=60), forms.Checkbox("box"), forms.Select("select", ["a"]),
    forms.MultiSelect("multi", ["a"]), forms.InputFiles("file", accept=[".x"]), forms.InputJSON("json"),
    forms.InputList("list", forms.InputNumber("i")), forms.Action("act", "v"), forms.Errors(),
    forms.Group("g", [forms.InputNumber("g.n")], optional=True),
]  # fmt: skip


@given(data=st.dictionaries(st.sampled_from([*forms.Model(*_every).fields, "other"]), _anything))
def test_nothing_that_is_sent_breaks_a_form_and_what_passes_is_stable(data: dict[str, Any]) -> None:
    form = forms.Model(*_every)
    form.check(data)
    form.render()
    try:
        typed = form.validate(data)
    except InputsError as caught:
        found = caught.errors
    else:
        assert form.validate(typed) == typed or any(value != value for value in typed.values())
        return
    assert found
    assert all(messages and all(isinstance(m, str) for m in messages) for messages in found.values())


@pytest.mark.parametrize(
    "text", ["__import__('os').system('exit 3')", "{{ 7*7 }}", "${jndi:x}", "'; drop table runs; --", "%s%s%n"]
)
def test_values_are_text_and_are_never_executed(text):
    assert valid(forms.InputText("x"), text) == text
    for element in (forms.InputNumber("x"), forms.InputDate("x"), forms.InputJSON("x")):
        assert errors(element, text)


def test_no_text_makes_a_pattern_take_its_time():
    started = time.perf_counter()
    assert errors(forms.InputText("x", pattern="(a+)+b"), "a" * 50_000)
    assert time.perf_counter() - started < 5


def test_messages_hold_no_secret_and_no_endless_value():
    found = errors(forms.InputPassword("x", min_length=99, pattern="y"), "hush")
    assert "hush" not in str(found)
    assert len(str(errors(forms.InputNumber("x"), "z" * 10_000))) < 200


def test_a_value_of_no_element_is_refused_where_values_are_typed_and_left_alone_where_they_pass_on():
    form = forms.Model(forms.InputText("x"), forms.Submit("Go"))
    assert form.check({"y": "1"}) == {}
    with pytest.raises(InputsError, match="y: is no input of this form, which takes: x"):
        form.validate({"y": "1"})


def test_a_button_counts_only_where_it_was_pressed():
    form = forms.Model(forms.Action("act", "v"), forms.Errors())
    assert form.validate({}) == {}
    assert form.validate({"act": "v"}) == {"act": "v"}


def test_an_optional_group_that_was_left_out_is_not_checked():
    form = forms.Model(
        forms.Group("to", [forms.InputText("to.street", required=True), forms.InputText("to.land", value="AT")],
                    optional=True)
    )  # fmt: skip
    assert form.validate({"to.street": "", "to.land": "AT"}) == {"to": False, "to.street": None, "to.land": None}
    with pytest.raises(InputsError, match=r"to\.street: is required"):
        form.validate({"to": "on", "to.land": "AT"})
    with pytest.raises(InputsError, match=r"to\.street: is required"):
        form.validate({"to.street": "", "to.land": "DE"})
    assert form.validate({"to.street": "s"}) == {"to": True, "to.street": "s", "to.land": None}


def test_what_a_browser_sends_of_an_untouched_form():
    form = forms.Model(
        forms.InputNumber("n", value="5"), forms.Checkbox("c", value=True), forms.Checkbox("d"),
        forms.Select("s", [forms.InputOption("a"), forms.InputOption("b", value=True)]), forms.InputText("t"),
    )  # fmt: skip
    assert form.initial() == {"n": "5", "c": "on", "s": "b"}
    assert form.validate(form.initial()) == {"n": 5, "c": True, "d": False, "s": "b", "t": None}
