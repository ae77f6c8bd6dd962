"""Elements and forms: as dicts and back, as HTML, and as a service's handler sees their values."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodosumi_lab import forms
from kodosumi_lab.errors import FlowError

TEXT = {
    "name": "a", "label": None, "value": None, "required": False, "placeholder": None, "size": None, "pattern": None
}  # fmt: skip
BASE = {key: TEXT[key] for key in ("name", "label", "value", "required", "placeholder")}


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (forms.InputText("a"), {"type": "text", **TEXT}),
        (
            forms.InputNumber("a", "A", "1", True, "p", 3, "x", 0, 9, 0.5),
            {"type": "number", "name": "a", "label": "A", "value": "1", "required": True, "placeholder": "p",
             "size": 3, "pattern": "x", "min_value": 0, "max_value": 9, "step": 0.5},
        ),
        (forms.InputPassword("a", min_length=3), {"type": "password", **TEXT, "min_length": 3, "max_length": None}),
        (forms.InputArea("a", rows=2), {"type": "textarea", **BASE, "rows": 2, "cols": None, "max_length": None}),
        (forms.InputDate("a"), {"type": "date", **BASE, "min_date": None, "max_date": None}),
        (forms.InputTime("a"), {"type": "time", **BASE, "min_time": None, "max_time": None, "step": None}),
        (
            forms.InputDateTime("a"),
            {"type": "datetime-local", **BASE, "min_datetime": None, "max_datetime": None, "step": None},
        ),
        (forms.Checkbox("a"), {"type": "boolean", "name": "a", "label": None, "value": False, "option": "on"}),
        (
            forms.Checkbox("a", "yes", "A", True),
            {"type": "boolean", "name": "a", "label": "A", "value": True, "option": "yes"},
        ),
        (
            forms.Select("a", [forms.InputOption("x", "X"), forms.InputOption("y")], value="y"),
            {"type": "select", "name": "a", "label": None, "value": "y", "error": None, "option": [
                {"type": "option", "name": "x", "label": "X", "value": False},
                {"type": "option", "name": "y", "label": None, "value": True}]},
        ),
        (
            forms.InputFiles("a", multiple=True),
            {"type": "file", "name": "a", "label": None, "value": None, "required": False, "multiple": True,
             "directory": False},
        ),
        (forms.Submit("Go"), {"type": "submit", "text": "Go"}),
        (forms.Cancel("No"), {"type": "cancel", "text": "No"}),
        (forms.Action("a", "v", False, "T"), {"type": "action", "name": "a", "value": "v", "text": "T"}),
        (forms.Markdown("# x"), {"type": "markdown", "text": "# x"}),
        (forms.HTML("<b>x</b>"), {"type": "html", "text": "<b>x</b>"}),
        (forms.Break(), {"type": "break", "text": '<div class="space"></div>'}),
        (forms.HR(), {"type": "hr", "text": '<hr class="medium"/>'}),
        (forms.Errors(), {"type": "errors"}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_each_element_becomes_the_dict_of_kodosumis_table(element, expected):
    assert element.to_dict() == expected
    assert list(element.to_dict())[:2] == list(expected)[:2]
    assert forms.Model.model_validate([expected]).get_model() == [expected]


def test_what_is_ours_is_in_the_dict_only_where_it_is_set():
    assert forms.InputText("a", help="h").to_dict() == {"type": "text", **TEXT, "help": "h"}
    found = forms.InputList("tags", forms.InputText("item"), min_items=1).to_dict()
    assert found["item"] == {"type": "text", **TEXT, "name": "item"}
    assert forms.MultiSelect("a", ["x", ("y", "Y")], value=["y"]).to_dict()["option"] == [
        {"type": "option", "name": "x", "label": "x", "value": False},
        {"type": "option", "name": "y", "label": "Y", "value": True},
    ]


_word = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_name = st.text("abcdefgh_", min_size=1, max_size=8)
_maybe = st.none() | _word
_count = st.none() | st.integers(0, 99)
_options = st.lists(st.builds(forms.InputOption, _name, _maybe, st.booleans()), max_size=3)
_common = {"name": _name, "label": _maybe, "value": _maybe, "error": st.none(), "help": _maybe}
_leaf = st.one_of(
    st.builds(forms.InputText, **_common, required=st.booleans(), placeholder=_maybe, size=_count, pattern=_maybe),
    st.builds(forms.InputNumber, **_common, min_value=_count, max_value=_count, step=_count),
    st.builds(forms.InputPassword, **_common, min_length=_count, max_length=_count),
    st.builds(forms.InputArea, **_common, rows=_count, max_length=_count),
    st.builds(forms.InputDate, **_common, min_date=_maybe, max_date=_maybe),
    st.builds(forms.InputTime, **_common, min_time=_maybe, step=_count),
    st.builds(forms.InputDateTime, **_common, max_datetime=_maybe, step=_count),
    st.builds(forms.Checkbox, name=_name, option=_maybe, label=_maybe, value=st.booleans()),
    st.builds(forms.Select, name=_name, option=_options, label=_maybe, value=_maybe),
    st.builds(forms.MultiSelect, name=_name, option=_options, value=st.none() | st.lists(_word, max_size=2)),
    st.builds(forms.InputFiles, name=_name, accept=st.none() | st.lists(_word, max_size=2)),
    st.builds(forms.InputList, name=_name, item=st.builds(forms.InputNumber, _name), label=_maybe),
    st.builds(forms.InputJSON, **_common, rows=_count),
    st.builds(forms.Action, name=_name, value=_maybe, text=_maybe),
    st.builds(forms.Submit, _word),
    st.builds(forms.Cancel, _word),
    st.builds(forms.Markdown, _word),
    st.builds(forms.HTML, _word),
    st.builds(forms.Errors),
    st.just(forms.Break()),
    st.just(forms.HR()),
)
elements = st.recursive(
    _leaf, lambda inner: st.builds(forms.Group, _name, st.lists(inner, max_size=3), _maybe), max_leaves=4
)


@given(st.lists(elements, max_size=6))
def test_a_form_is_the_same_after_its_dicts(children: list[Any]) -> None:
    model = forms.Model(*children)
    wire = json.loads(model.get_model_json())["elements"]
    assert wire == model.get_model()
    assert forms.Model.model_validate(wire).get_model() == wire


def test_an_element_of_another_service_that_is_not_known_here_is_kept():
    unknown = [{"type": "slider", "name": "s", "value": 3, "ends": [0, 9]}, {"type": "text", **TEXT, "new": 1}]
    model = forms.Model.model_validate(unknown)
    assert model.get_model() == unknown
    assert model.parse({"s": "4"}) == {"s": "4", "a": None}
    model.set_data({"s": 5})
    assert model.get_model()[0]["value"] == 5
    assert 'name="s"' in model.render()


@pytest.mark.parametrize("wrong", ["text", {"type": "text"}, [1], [{"type": "text"}]])
def test_what_is_no_form_is_refused(wrong):
    with pytest.raises(FlowError, match=r"a form is a list|incomplete"):
        forms.Model.model_validate(wrong)


def test_what_is_no_element_is_refused():
    with pytest.raises(FlowError, match="'name' is no element of a form"):
        forms.Model("name")  # type: ignore[arg-type]


def test_a_handler_finds_every_named_element_in_its_inputs():
    model = forms.Model(
        forms.Errors(), forms.InputText("t"), forms.InputNumber("n"), forms.Checkbox("c"), forms.Checkbox("d"),
        forms.Select("s", ["x"]), forms.InputFiles("f"), forms.Action("act", "v"), forms.Submit("Go"), forms.HR(),
    )  # fmt: skip
    nothing = {"_global_": None, "t": None, "n": None, "c": False, "d": False, "s": None, "f": None, "act": None}
    assert model.parse({}) == nothing
    files = json.dumps({"batchId": "b", "items": {"1": {"filename": "a.txt", "totalChunks": 1}}})
    sent = {"t": " x ", "n": "3", "c": "on", "d": "true", "s": "x", "act": "v", "f": files, "more": "1"}
    assert model.parse(sent) == {
        "_global_": None, "t": " x ", "n": "3", "c": True, "d": False, "s": "x", "f": {"a.txt"}, "act": "v"
    }  # fmt: skip
    assert model.uploads(sent) == {"f": "b"}
    assert model.check(sent) == {}


def test_values_are_filled_in():
    model = forms.Model(
        forms.InputText("t", value="old"), forms.InputText("k", value="kept"), forms.Checkbox("c", value=True),
        forms.Select("s", ["x", "y"]),
    )  # fmt: skip
    model.set_data({"t": "new", "s": "y"})
    text, kept, box, select = model.get_model()
    assert (text["value"], kept["value"], box["value"], select["value"]) == ("new", "kept", False, "y")
    assert [option["value"] for option in select["option"]] == [False, True]
    model.set_data({"c": "on"})
    assert model.get_model()[2]["value"] is True


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown += data


_nasty = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onfocus='x",
        "</textarea><script>x</script>",
        "&lt;",
    ]
)


@given(nasty=_nasty | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_no_value_escapes_from_its_place_in_the_html(nasty: str) -> None:
    options = [forms.InputOption(nasty, nasty)]
    children: list[Any] = [
        forms.InputText("t", nasty, nasty, placeholder=nasty, pattern=nasty, help=nasty, error=[nasty]),
        forms.InputArea(nasty + "2", nasty, nasty),
        forms.Select(nasty + "3", options, nasty, nasty),
        forms.Checkbox(nasty + "4", nasty, nasty),
        forms.Group(nasty + "5", [forms.InputList(nasty + "5.1", value=[nasty])], nasty),
        forms.Errors(error=[nasty]),
        forms.Submit(nasty),
        forms.Cancel(nasty),
        forms.Action("act", nasty, text=nasty),
        forms.Markdown(nasty),
    ]
    page = Page(forms.Model(*children).render())
    drawn = [tag for tag in page.tags if tag[0] != "img" or "onerror" in tag[1]]
    assert {tag for tag, _ in drawn} <= {
        "p", "label", "input", "small", "span", "textarea", "select", "option", "fieldset", "legend", "button",
        "h1", "ul", "ol", "li", "blockquote", "hr", "code", "pre", "em", "strong", "a", "br", "h2", "h3",
    }  # fmt: skip
    assert not any(key.startswith("on") for _, attributes in drawn for key in attributes)
    [text] = [attributes for tag, attributes in drawn if attributes.get("name") == "t"]
    assert (text["value"], text["placeholder"]) == (nasty, nasty)


def test_html_of_a_service_is_sanitised_and_secrets_are_not_shown():
    page = forms.Model(
        forms.HTML('<b onclick="x()">bold</b><script>x</script><a href="javascript:x()">l</a>'),
        forms.Markdown('<script>x</script> [l](javascript:x) **strong**'),
        forms.InputPassword("p", value="hush"),
    ).render()  # fmt: skip
    assert "<b>bold</b>" in page
    assert "<strong>strong</strong>" in page
    for bad in ("<script", "onclick", 'href="javascript', "hush"):
        assert bad not in page


def test_every_field_has_a_label_and_its_messages():
    model = forms.Model.model_validate(
        forms.Model(
            forms.Errors(), forms.InputNumber("n", "Number", min_value=0, max_value=9, help="how many"),
            forms.Select("s", ["x"], required=True), forms.InputFiles("f", accept=[".csv"], multiple=True),
        ).get_model(),
        errors={"n": ["is 10"], "_global_": ["closed"]},
    )  # fmt: skip
    page = Page(model.render())
    number = next(attributes for _, attributes in page.tags if attributes.get("name") == "n")
    assert (number["min"], number["max"], number["step"], number["aria-invalid"]) == ("0", "9", "any", "true")
    assert number["aria-describedby"] == "field-n-help field-n-error"
    labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    controls = {attributes["id"] for tag, attributes in page.tags if tag in ("input", "select")}
    assert labels == controls
    alerts = [attributes.get("id") for _, attributes in page.tags if attributes.get("role") == "alert"]
    assert alerts == [None, "field-n-error"]
    assert "closed" in page.shown
    assert "is 10" in page.shown


def test_importing_forms_loads_no_pydantic():
    code = "import sys, kodosumi_lab.forms as f; f.Model(f.InputText('a')).get_model(); assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_forms_are_reached_from_the_package():
    import kodosumi_lab as kl

    assert kl.forms is forms
    assert sorted(forms.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)) == forms.__all__
