"""The form of a flow without a front end: its controls, what they send, what is told, and what is kept nowhere."""

from __future__ import annotations

import datetime
import functools
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import ipywidgets as widgets
import pytest
import traitlets
from apikit import serving
from fastapi import FastAPI, Request
from logkit import Emitter, FastDisk, meta, new_run, row
from pydantic import BaseModel, Field, SecretStr, model_validator

import kodosumi_lab as kl
from kodosumi_lab import forms
from kodosumi_lab.errors import InputsError
from kodosumi_lab.runtime.log import LogWriter
from kodosumi_lab.widgets.code import Snippets
from kodosumi_lab.widgets.files import FileField
from kodosumi_lab.widgets.form import FlowForm


class Address(BaseModel):
    street: str
    zip: Annotated[str, Field(pattern=r"^\d{5}$")] = "12345"
    pin: SecretStr = SecretStr("")


HOME = Address(street="Main")
NOON = datetime.datetime(2026, 1, 1, 12)
NOBODY = SecretStr("nobody")


@kl.flow(summary="Order <something>")
def order(
    what: Annotated[str, Field(description="As on the label", examples=["apples"])],
    to: Address | None = None,
    home: Address = HOME,
    count: Annotated[int, Field(gt=0, le=10)] = 1,
    least: Annotated[int, Field(ge=0)] = 5,
    huge: int = 2**60,
    ratio: float = 0.5,
    price: float | None = 2.5,
    colour: Literal["red", "green"] = "red",
    mood: Literal["calm", "loud"] | None = "calm",
    tags: list[str] = ["a"],  # noqa: B006 - pydantic copies it
    days: list[datetime.date] = [],  # noqa: B006
    sides: list[Literal["x", "y"]] = ["x"],  # noqa: B006
    day: datetime.date | None = None,
    at: datetime.datetime = NOON,
    gift: bool = False,
    key: SecretStr = NOBODY,
    path: Path | None = None,
    data: dict[str, int] = {"a": 1},  # noqa: B006
) -> None: ...


class Both(BaseModel):
    low: int = 1
    high: int = 2

    @model_validator(mode="after")
    def ordered(self) -> Both:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def in_a_notebook(flow: kl.Flow) -> kl.Flow:
    """The same flow as one that nothing leads back to."""

    @functools.wraps(flow.target)
    def same(**inputs: Any) -> None: ...

    return kl.Flow(same, name=flow.name)


@pytest.fixture(autouse=True)
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def form() -> FlowForm:
    return order.form()


def shown(widget: Any) -> Iterator[Any]:
    """All widgets on the screen."""
    if widget.layout.display == "none":
        return
    yield widget
    for child in getattr(widget, "children", ()):
        yield from shown(child)


def text_of(widget: Any) -> str:
    return "\n".join(one.value for one in shown(widget) if isinstance(one, widgets.HTML))


def button(form: FlowForm, label: str) -> Any:
    [found] = [one for one in shown(form) if isinstance(one, widgets.Button) and one.description == label]
    return found


# -- what is entered --------------------------------------------------------------------


def test_each_element_has_a_control_of_its_type(form: FlowForm) -> None:
    assert {name: type(control).__name__ for name, control in form.controls.items()} == {
        "what": "Text", "to": "Checkbox", "to.street": "Text", "to.zip": "Text", "to.pin": "SecretText",
        "home": "Accordion", "home.street": "Text", "home.zip": "Text", "home.pin": "SecretText",
        "count": "BoundedIntText", "least": "BoundedIntText", "huge": "Text", "ratio": "FloatText", "price": "Text",
        "colour": "Dropdown", "mood": "Dropdown", "tags": "TagsInput", "days": "Textarea", "sides": "SelectMultiple",
        "day": "DatePicker", "at": "NaiveDatetimePicker", "gift": "Checkbox", "key": "SecretText",
        "path": "FileField", "data": "Textarea",
    }  # fmt: skip
    assert (form.controls["count"].min, form.controls["count"].max) == (1, 10)
    assert [label for label, _ in form.controls["colour"].options] == ["red", "green"]
    assert [name for _, name in form.controls["mood"].options] == [None, "calm", "loud"]
    labels = {getattr(one, "description", "") for one in shown(form)} | {
        one.value for one in shown(form) if isinstance(one, widgets.Label)
    }
    assert {"What *", "Count", "Tags", "To"} <= labels
    assert form.controls["path"].upload.element["label"] == "Path"  # drawn by the front end


def test_an_untouched_form_gives_the_defaults_and_what_is_entered_gives_what_python_would(form: FlowForm) -> None:
    assert form.errors == {"what": ["is required"]}
    form.controls["what"].value = "apples"
    assert form.errors == {}
    assert order.inputs.from_form(form._entered()) == order.validate(what="apples")

    for name, value in {
        "to": True, "to.street": "Elm", "to.pin": "1234", "count": 3, "huge": str(2**61), "ratio": 0.25, "price": "",
        "colour": "green", "mood": None, "tags": ["b", "c d"], "days": "2026-01-01\n2026-01-02", "sides": ("x", "y"),
        "day": datetime.date(2026, 1, 3), "at": datetime.datetime(2026, 1, 4, 5, 6, 7), "gift": True, "key": "hush",
        "data": '{"b": 2}',
    }.items():  # fmt: skip
        form.controls[name].value = value
    form.controls["path"].path.value = "x.csv"
    expected = order.validate(
        what="apples", to={"street": "Elm", "pin": "1234"}, count=3, huge=2**61, ratio=0.25, price=None, colour="green",
        mood=None, tags=["b", "c d"], days=["2026-01-01", "2026-01-02"], sides=["x", "y"], day="2026-01-03",
        at="2026-01-04T05:06:07", gift=True, key="hush", path="x.csv", data={"b": 2},
    )  # fmt: skip
    assert order.inputs.from_form(form._entered()) == expected


def test_a_form_opens_with_what_is_given_and_goes_back_to_that() -> None:
    given = {
        "what": "x", "to": Address(street="E"), "key": "s", "day": datetime.date(2026, 2, 2), "colour": "green",
        "path": Path("/y"), "price": None,
    }  # fmt: skip
    form = order.form(**given)
    assert form.errors == {}
    assert order.inputs.from_form(form._entered()) == order.validate(**given)
    form.values = {"what": "z", "to": False, "colour": "red"}
    assert form.controls["what"].value == "z"
    form.reset()
    assert (form.values["what"], form.values["to"], form.values["colour"]) == ("x", True, "green")
    with pytest.raises(InputsError, match="nope: is no input of this form, which takes: what, to, home, count"):
        order.form(nope=1)


def test_a_flow_that_takes_anything_has_one_field() -> None:
    @kl.flow
    def anything(inputs: dict[str, Any]) -> None: ...

    form = anything.form(x=1, y=["a"])
    assert order.inputs is not anything.inputs
    assert anything.inputs.from_form(form._entered()) == anything.validate(x=1, y=["a"])
    assert form.code("python").endswith("run = anything.launch(x=1, y=['a'])")


def test_values_are_traits_that_others_can_link_to(form: FlowForm) -> None:
    slider = widgets.IntSlider(min=1, max=10)
    traitlets.link((form.controls["count"], "value"), (slider, "value"))
    slider.value = 7
    assert form.values["count"] == 7
    seen: list[Any] = []
    form.observe(lambda change: seen.append(change["new"]["tags"]), "values")
    form.controls["tags"].value = ["n"]
    form.values = {"tags": ["m"]}
    assert seen == [["n"], ["m"]]
    assert (form.values["count"], form.controls["tags"].value) == (7, ["m"])
    with pytest.raises(InputsError, match="odd: is no input of this form"):
        form.values = {"odd": 1}


# -- what is told -----------------------------------------------------------------------


def test_messages_stand_under_fields_that_were_changed_and_under_all_when_a_launch_is_tried(form: FlowForm) -> None:
    assert "⚠" not in text_of(form)
    form.controls["home.zip"].value = "x"
    assert set(form.errors) == {"what", "home.zip"}
    assert text_of(form).count("⚠") == 1
    assert "should match pattern" in text_of(form)
    form.controls["home"].selected_index = None
    with pytest.raises(InputsError, match="what: is required"):
        form.launch()
    assert text_of(form).count("⚠") == 2
    form.controls["home.zip"].value = "54321"
    form.controls["what"].value = "<b>"
    assert "⚠" not in text_of(form)
    assert "Order &lt;something&gt;" in text_of(form)


def test_a_message_of_no_field_stands_above_the_buttons() -> None:
    @kl.flow
    def both(inputs: Both) -> None: ...

    form = both.form(low=3)
    button(form, "Launch").click()  # a callback has nobody to raise to
    assert "low is above high" in text_of(form)
    assert form.run is None
    form.controls["high"].value = 4
    assert "⚠" not in text_of(form)


# -- secrets ----------------------------------------------------------------------------


def test_a_secret_is_only_in_the_kernel(form: FlowForm, log_dir: Path) -> None:
    form = order.form(what="x", key="hush-hush")
    form.controls["home.pin"].value = "hush-hush"
    checked = order.inputs.from_form(form._entered())
    assert checked.secrets["key"] == "hush-hush" == checked.secrets["home.pin"]
    form.save_preset("usual")
    states = [one.get_state() for one in shown(form)]
    said = [
        json.dumps(states, default=str),
        repr(form),
        str(form.values),
        *(form.code(one) for one in ("magic", "python", "curl")),
    ]
    said += [path.read_text() for path in log_dir.rglob("*.json")]
    assert not any("hush-hush" in text for text in said)
    assert form.controls["key"].placeholder == "entered from Python"
    form.reset()
    assert form.controls["key"].value == ""


# -- as code ----------------------------------------------------------------------------


def test_code_launches_with_what_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "what": 'say "hi"\n$x', "count": 3, "price": None, "tags": ["a b", "true"], "day": "2026-01-03",
        "data": {"ü": 1}, "to": {"street": "E"},
    }  # fmt: skip
    form = in_a_notebook(order).form(**given)
    expected = order.validate(**given).wire
    taken: dict[str, Any] = {}

    class Stand:
        def launch(self, **inputs: Any) -> None:
            taken.update(inputs)

    monkeypatch.setattr("getpass.getpass", lambda prompt: "")
    exec(form.code("python"), {"order": Stand()})
    assert order.validate(**taken).wire == expected
    body = form.code("curl").partition("<<'END'\n")[2].removesuffix("\nEND")
    inputs = json.loads(body)["inputs"]
    assert inputs["to"]["pin"] == "<to.pin>"
    assert order.validate(**inputs).wire == expected
    assert set(inputs) == set(given)  # defaults are left out
    assert form.code("magic").splitlines()[0:2] == ["from getpass import getpass", 'to_pin = getpass("to.pin: ")']
    assert "to.pin=$to_pin" in form.code("magic")
    with pytest.raises(ValueError, match="no code in 'perl'"):
        form.code("perl")


def test_a_default_of_zero_is_not_written_into_the_code() -> None:
    @kl.flow
    def count_from(start: int = 0) -> None: ...

    assert count_from.form().code("magic") == "%kodosumi launch count_from --defaults"
    assert count_from.form(start=1).code("magic") == "%kodosumi launch count_from start=1"


def test_the_code_is_shown_on_demand(form: FlowForm) -> None:
    button(form, "Copy as code").click()
    assert "is required" in text_of(form)  # and no code
    [snippets] = [one for one in form.children if isinstance(one, Snippets)]
    assert snippets.layout.display == "none"
    form.controls["what"].value = "apples"
    button(form, "Copy as code").click()
    assert snippets.layout.display is None
    assert snippets.texts["magic"] == "%kodosumi launch order what=apples"
    assert snippets.texts["Python"].endswith("run = order.launch(what='apples')")
    button(form, "Copy as code").click()
    assert snippets.layout.display == "none"


# -- files ------------------------------------------------------------------------------


def sent(name: str, batch: str = "b" * 32) -> str:
    """What a front end says of a file that it has sent."""
    return json.dumps({"batchId": batch, "items": {f"{batch}-1": {"filename": name, "totalChunks": 1}}})


def on_its_way(upload: Any, name: str) -> None:
    with upload.hold_trait_notifications():
        upload.value, upload.pending = sent(name, ""), 1


def test_a_launch_waits_for_files_that_are_on_their_way_and_tells_what_failed() -> None:
    @kl.flow
    def weigh_parcel(document: kl.UploadFile) -> None: ...

    form = weigh_parcel.form()
    upload = form.controls["document"].upload
    on_its_way(upload, "d.txt")
    with pytest.raises(InputsError, match="document: is not sent yet"):
        form.launch()
    for attempt in (1, 2):  # however often it is pressed
        button(form, "Launch").click()
        assert "sending files" in text_of(form)
        assert button(form, "Launch").disabled
        assert upload.wanted == attempt  # the front end is asked to go on
        upload.failed = "d.txt was not sent: try again, or remove it"
        upload.settled = attempt
        assert "d.txt was not sent" in text_of(form)
        assert not button(form, "Launch").disabled
    upload.failed = ""
    assert form.errors == {}


def test_a_file_that_is_nowhere_any_more_is_not_launched_without() -> None:
    @kl.flow
    def weigh_crate(document: kl.UploadFile) -> None: ...

    form = weigh_crate.form()
    upload = form.controls["document"].upload
    on_its_way(upload, "d.txt")
    upload.pending = 0  # whatever a view says that does not have the file
    assert not form.controls["document"].ready
    with pytest.raises(InputsError, match="document: is not sent yet"):
        form.launch()


@pytest.mark.parametrize("how", ["reset", "remove"])
def test_a_launch_that_waits_for_files_is_given_up(how: str) -> None:
    @kl.flow
    def weigh_sack(n: int = 3, document: kl.UploadFile | None = None) -> None: ...

    form = weigh_sack.form()
    upload = form.controls["document"].upload
    on_its_way(upload, "d.txt")
    button(form, "Launch").click()
    assert button(form, "Launch").disabled
    if how == "reset":
        form.reset()
    else:
        upload.value = ""
    assert not button(form, "Launch").disabled
    upload.settled = upload.wanted  # what arrives afterwards launches nothing
    assert form.run is None
    assert "launching" not in text_of(form)


def test_two_files_of_one_name_are_refused_before_anything_is_sent() -> None:
    @kl.flow
    def compare_files(one: kl.UploadFile, other: kl.UploadFile) -> None: ...

    form = compare_files.form()
    form.controls["one"].upload.value = sent("a.txt")
    form.controls["other"].upload.value = sent("a.txt", "c" * 32)
    assert form.errors == {"other": ["two files would be in/a.txt; rename one of them"]}


def test_what_was_sent_with_one_launch_is_not_taken_for_the_next() -> None:
    @kl.flow
    def weigh_letter(document: kl.UploadFile) -> None: ...

    field = weigh_letter.form().controls["document"]
    field.upload.value = sent("d.txt")
    assert field.ready
    field.taken()
    assert field.upload.used == sent("d.txt")
    assert not field.ready
    field.upload.value = sent("d.txt", "c" * 32)  # anew
    assert field.ready


def test_a_flow_of_a_module_is_imported() -> None:
    import kitchen

    assert kitchen.add.form(a=2).code("python") == "from kitchen import add\n\nrun = add.launch(a=2)"


# -- presets and recent inputs ----------------------------------------------------------


def sources(form: FlowForm) -> list[str]:
    [found] = [one for one in shown(form) if isinstance(one, widgets.Dropdown) and one.description == "Fill with"]
    return [label for label, _ in found.options]


def test_presets_are_for_all_forms_of_the_flow(form: FlowForm) -> None:
    form.values = {"what": "pears", "to": True, "to.street": "Elm", "count": 4}
    [name] = [one for one in shown(form) if isinstance(one, widgets.Text) and one.placeholder == "name of a preset"]
    button(form, "Save preset").click()
    assert "a preset needs a name" in text_of(form)
    name.value = "usual"
    button(form, "Save preset").click()
    other = order.form()
    assert sources(other) == ["", "preset: usual"]
    [source] = [one for one in shown(other) if isinstance(one, widgets.Dropdown) and one.description == "Fill with"]
    source.value = "usual"
    assert other.values == form.values
    with pytest.raises(ValueError, match="no preset 'odd'; it has: usual"):
        other.load_preset("odd")
    button(other, "Remove preset").click()
    assert order.form().presets == {}


def test_the_last_inputs_of_the_flow_can_be_entered_again(log_dir: Path) -> None:
    writer = LogWriter(log_dir, "test", disk=FastDisk())
    wires = [order.validate(what=what, count=n + 1, to={"street": "E"}).wire for n, what in enumerate(("a", "b", "b"))]
    wires[2] = wires[1]
    ids = []
    for n, wire in enumerate(wires):
        made = Emitter(new_run(n=n))
        made.send(writer, meta(flow="order"), row("inputs", wire))
        ids.append(made.run_id)
    Emitter(new_run(n=9)).send(writer, meta(flow="other"), row("inputs", {}))
    writer.close()
    form = order.form()
    assert [label[:13] for label in sources(form)] == ["", f"run {ids[2][-8:]}:", f"run {ids[0][-8:]}:"]
    form.controls["key"].value = "left over"
    form.fill_from(kl.run(ids[0]))
    assert order.inputs.from_form(form._entered()).wire == wires[0]
    assert form.controls["key"].value == ""


# -- explicit elements, and services ------------------------------------------------------

TRIP = forms.Model(
    forms.Markdown("## A *trip*"),
    forms.InputText("who", label="Who", required=True, pattern="[A-Z][a-z]+"),
    forms.InputNumber("nights", label="Nights", value="2", min_value=1, max_value=30, step=1),
    forms.Select("room", [forms.InputOption("s", "Single"), forms.InputOption("d", "Double", True)], label="Room"),
    forms.Checkbox("meals", option="with meals", value=True),
    forms.HTML("<script>alert(1)</script><i>fine</i>"),
    forms.InputFiles("passport", label="Passport", accept=[".pdf"], multiple=True),
    forms.Errors(),
    forms.Action("express", "yes", text="Book now"),
    forms.Submit("Book"),
)


def test_explicit_elements_are_drawn_in_their_order_and_untrusted_html_is_cleaned() -> None:
    @kl.flow(form=TRIP)
    def trip(inputs: dict[str, Any]) -> None: ...

    form = trip.form()
    assert list(form.controls) == ["who", "nights", "room", "meals", "passport"]
    assert re.search("<h2>A <em>trip</em></h2>", text_of(form))
    assert "<i>fine</i>" in text_of(form)
    assert "script" not in text_of(form)
    assert form.controls["room"].value == "d"
    form.controls["who"].value = "ada"
    assert "expected text that matches" in text_of(form)
    form.controls["who"].value = "Ada"
    passport = form.controls["passport"]
    assert isinstance(passport, FileField)
    assert len(passport.children) == 1  # a file, not a path
    passport.upload.value = json.dumps({"batchId": "b" * 32, "items": {"u": {"filename": "p.pdf", "totalChunks": 1}}})
    wire = trip.inputs.from_form(form._entered()).wire
    assert wire == {"who": "Ada", "nights": 2, "room": "d", "meals": True, "passport": ["p.pdf"]}
    assert button(form, "Book")
    assert button(form, "Book now")


def test_an_uploaded_file_is_no_path_but_a_local_one_is_taken_from_python(tmp_path: Path) -> None:
    @kl.flow
    def count(document: kl.UploadFile) -> None: ...

    (tmp_path / "d.txt").write_text("words")
    form = count.form(document=tmp_path / "d.txt")
    assert len(form.controls["document"].children) == 1
    assert form.controls["document"].local == {"d.txt": tmp_path / "d.txt"}
    assert count.inputs.from_form(form._entered()).wire == {"document": "in/d.txt"}


def test_several_local_files_are_taken_and_anything_else_is_refused(tmp_path: Path) -> None:
    @kl.flow
    def count(documents: list[kl.UploadFile]) -> None: ...

    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text("words")
    form = count.form(documents=paths)
    assert form.inputs == {"documents": ["in/a.txt", "in/b.txt"]}
    assert [*form.elements] == [*count.elements]  # nothing is said of files of before
    for wrong in ([paths[0], tmp_path / "c.txt"], "c.txt", 3):
        with pytest.raises(InputsError, match="documents: expected files of this machine, not "):
            count.form(documents=wrong)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("others")
    with pytest.raises(InputsError, match="have one name; rename one"):
        count.form(documents=[paths[0], tmp_path / "other" / "a.txt"])


def test_code_takes_the_files_along_that_were_entered(tmp_path: Path) -> None:
    @kl.flow
    def count(document: kl.UploadFile, per: str = "word") -> None: ...

    (tmp_path / "d.txt").write_text("words")
    form = count.form(document=tmp_path / "d.txt")
    named = {"count": types.SimpleNamespace(launch=dict)}
    exec(form.code("python"), named)
    assert named["run"] == {"document": "in/d.txt", "files": [str(tmp_path / "d.txt")]}
    assert form.code("magic").endswith(f'launch count document=in/d.txt files=["{tmp_path}/d.txt"]')
    form.controls["document"].put(json.dumps({"batchId": "b", "items": {"u": {"filename": "e.txt", "totalChunks": 1}}}))
    assert form.code("magic").endswith('launch count document=in/e.txt files=["e.txt"]')  # where it was is not known
    body = form.code("curl").partition("<<'END'\n")[2].removesuffix("\nEND")
    assert json.loads(body) == {"inputs": {"document": "in/e.txt"}, "batches": ["<batch>"]}


def test_the_form_of_a_service_is_drawn_checked_and_sent_as_a_browser_would(log_dir: Path) -> None:
    got: list[dict[str, Any]] = []
    app = FastAPI()

    @app.get("/trip", operation_id="trip", tags=["x"], openapi_extra={"x-kodosumi": True})
    def show() -> dict[str, Any]:
        return {"elements": TRIP.get_model()}

    @app.post("/trip")
    async def launch(request: Request) -> dict[str, Any]:
        got.append(await request.json())
        if got[-1]["who"] == "Bob":
            return {"errors": {"who": ["is on another trip"]}}
        return {"result": new_run()}

    with serving(app) as url:
        flow = kl.RemoteFlow("trip", f"{url}/trip", source="test", log_dir=log_dir)
        form = flow.form(who="Bob")
        with pytest.raises(InputsError):
            form.launch()
        assert "is on another trip" in text_of(form)
        form.controls["who"].value = "bob"
        button(form, "Book").click()
        assert len(got) == 1  # what the form knows itself is not asked
        form.controls["who"].value = "Ada"
        button(form, "Book now").click()
    assert got[-1] == {"who": "Ada", "nights": "2", "room": "d", "meals": "on", "express": "yes"}
    assert type(form.run).__name__ == "ForeignRun"
    assert "its events are not in" in text_of(form)
    assert form.code("python").endswith("run = kl.find('trip').launch(who='Ada')")
