"""How a line of a magic is read: words, inputs, JSON without quotes around it, variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from IPython.core.error import UsageError
from pydantic import BaseModel, Field, SecretStr

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.errors import InputsError
from kodosumi_lab.magic import entered
from kodosumi_lab.magic.parser import COMMANDS, Parser, manual
from kodosumi_lab.magic.words import raw, split
from kodosumi_lab.widgets.code import magic, written


class Address(BaseModel):
    street: str
    pin: SecretStr = SecretStr("")


@kl.flow
def order(
    what: str,
    code: str = "1",
    count: Annotated[int, Field(gt=0)] = 1,
    tags: list[str] | None = None,
    to: Address | None = None,
    mood: Literal["calm", "loud"] = "calm",
    data: dict[str, Any] | None = None,
) -> None: ...


def test_a_line_is_words_and_inputs() -> None:
    frame = object()
    line = split('order --block what="two words" tags=["a b"] on=$frame -o run mood=loud', {"frame": frame})
    assert line.words == ["order", "--block", "-o", "run"]
    assert {name: one.value for name, one in line.inputs.items()} == {
        "what": "two words",
        "tags": ["a b"],
        "on": frame,
        "mood": "loud",
    }


@pytest.mark.parametrize(
    ("text", "value", "plain"),
    [
        ("end=10", 10, "10"),
        ("end=1e3", 1000.0, "1e3"),
        ("end=007", "007", None),
        ("end=true", True, "true"),
        ("end=null", None, "null"),
        ('end="10"', "10", None),
        ("end='10'", 10, "10"),
        ("end='\"10\"'", "10", '"10"'),
        ('end=["a", "b c"]', ["a", "b c"], None),
        ("end='[\"a\"]'", ["a"], '["a"]'),
        ('end={"a": [1, {"b": 2}]}', {"a": [1, {"b": 2}]}, None),
        ('end="say \\"hi\\""', 'say "hi"', None),
        ("end=a=b", "a=b", None),
        ("end=", "", None),
        ("end=$3", "$3", None),
        ("end=price$x", "price$x", None),
        ("end=[1,", "[1,", None),
        ("end=a\\ b", "a b", None),
        ("end=it' is 'so", "it is so", None),
        ("to.street=Elm", "Elm", None),
    ],
)
def test_a_value_is_json_or_text_as_on_the_command_line(text: str, value: Any, plain: str | None) -> None:
    [one] = split(f"order {text}", {}).inputs.values()
    assert (one.value, type(one.value), one.text) == (value, type(value), plain)


def test_a_file_gives_its_text(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text('{"not": "json"}')
    assert split(f"what=@{tmp_path}/q.txt", {}).inputs["what"].value == '{"not": "json"}'
    with pytest.raises(InputsError, match="input what: the file cannot be read: No such file"):
        split("what=@/nowhere", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [("what=$gone", "the notebook has no variable 'gone'"), ("x 'open", "a quote is not closed: 'open")],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(InputsError, match=message):
        split(text, {})


def test_a_query_is_taken_as_it_is() -> None:
    line = raw("-o df --log-dir /x select 'it''s' , a=b from runs", COMMANDS["sql"])
    assert line.words == ["-o", "df", "--log-dir", "/x", "select 'it''s' , a=b from runs"]
    assert raw("", COMMANDS["sql"]).words == []


def given(text: str) -> dict[str, Any]:
    return entered.inputs_of(order, split(text, {}).inputs)


def test_inputs_fit_the_flow() -> None:
    assert given("what=42 code=12345 count=3") == {"what": "42", "code": "12345", "count": 3}
    assert given("what=x to.street=12 to.pin=1234") == {"what": "x", "to": {"street": "12", "pin": "1234"}}
    assert given('what=x to={"street": "E"} to.pin=secret') == {"what": "x", "to": {"street": "E", "pin": "secret"}}
    with pytest.raises(InputsError) as refused:
        given("what=x count=-1 mood=odd nothing=1")
    assert set(refused.value.errors) == {"count", "mood", "nothing"}


def test_a_form_of_explicit_elements_has_names_with_dots_of_its_own() -> None:
    form = forms.Model(forms.Group("to", [forms.InputText("to.street", required=True)], label="To"))

    @kl.flow(form=form)
    def trip(inputs: dict[str, Any]) -> None: ...

    assert entered.inputs_of(trip, split("to.street=Elm", {}).inputs) == {"to.street": "Elm"}
    assert entered.has_inputs(trip)


def test_a_flow_without_inputs_needs_no_form() -> None:
    @kl.flow
    def tick() -> None: ...

    assert not entered.has_inputs(tick)


def test_files_are_given_along_where_the_flow_has_no_such_input() -> None:
    assert given("what=x files=prices.csv") == {"what": "x", "files": "prices.csv"}


def test_a_cell_is_yaml_or_json() -> None:
    assert entered.inputs_of(order, entered.of_body("what: 12\ncode: 007\ntags:\n  - a\n  - b\nto:\n  street: Elm\n")) == {
        "what": "12", "code": "007", "tags": ["a", "b"], "to": {"street": "Elm"},
    }  # fmt: skip
    assert entered.inputs_of(order, entered.of_body('{"what": "x", "count": 2}')) == {"what": "x", "count": 2}
    assert entered.of_body("# nothing\n") == {}
    with pytest.raises(UsageError, match="the cell is a list; expected inputs"):
        entered.of_body("- a")
    with pytest.raises(UsageError, match=r"the cell is no YAML: .*line 1"):
        entered.of_body("a: [1")


@pytest.mark.parametrize(
    "value", ["plain", "12", "true", "two words", 'say "hi"', "", "$x", "@y", "ü\n", 3, None, [1, "a b"], {"k": "v"}]
)
def test_what_is_written_as_code_is_read_as_it_was(value: Any) -> None:
    taken = split(f"order x={written(value)} y=1", {}).inputs
    assert (taken["x"].value, taken["y"].value) == (value, 1)


def test_code_for_a_magic_gives_the_same_inputs() -> None:
    inputs = {"what": 'say "hi"', "to": {"street": "Elm Road", "pin": {"secret": True}}, "tags": ["a b"], "count": 2}
    *asked, line = magic(order, inputs).splitlines()
    assert asked == ["from getpass import getpass", 'to_pin = getpass("to.pin: ")']
    taken = split(line.removeprefix("%kodosumi launch order "), {"to_pin": "1234"}).inputs
    assert entered.inputs_of(order, taken) == {**inputs, "to": {"street": "Elm Road", "pin": "1234"}}


def test_the_manual_has_every_command_and_every_option() -> None:
    text = manual()
    for command in COMMANDS.values():
        assert f"kodosumi {command.name}" in text
        for names, _ in command.arguments:
            assert names[0].upper() in text.upper(), names


def test_a_wrong_argument_is_told_with_the_usage() -> None:
    parser = COMMANDS["runs"].parser()
    assert isinstance(parser, Parser)
    with pytest.raises(UsageError, match=r"argument --status: invalid choice: 'odd' .*; usage: %kodosumi runs"):
        parser.parse_args(["--status", "odd"])
