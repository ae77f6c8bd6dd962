"""Files as inputs: what an ``UploadFile`` in a flow's signature makes of the form, the launch and the flow's argument."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import fastapi
import pytest
import starlette.datastructures
from pydantic import BaseModel, Field

import kodosumi_lab as kl
from kodosumi_lab.errors import InputsError
from kodosumi_lab.forms import InputModel
from kodosumi_lab.forms.uploaded import takes_uploads


class Case(BaseModel):
    """Files inside of a model."""

    title: str
    pages: list[kl.UploadFile] = []


def model_of(**hints: Any) -> InputModel:
    """Of a function with these parameters; those with "none" in their name have None as default."""
    lines = ", ".join(f"{name}=None" if "none" in name else name for name in hints)
    space: dict[str, Any] = {}
    exec(f"def flow({lines}): ...", space)
    space["flow"].__annotations__ = hints
    return InputModel("f", space["flow"])


@pytest.mark.parametrize("cls", [kl.UploadFile, fastapi.UploadFile, starlette.datastructures.UploadFile])
def test_it_is_a_file_element(cls: Any) -> None:
    model = model_of(
        one=cls, many=list[cls], told=Annotated[cls, Field(description="a PDF")], none=cls | None, none2=cls
    )
    elements = {element["name"]: element for element in model.form().get_model()}
    assert {name: element["type"] for name, element in elements.items()} == dict.fromkeys(elements, "file")
    assert [elements[name]["multiple"] for name in ("one", "many", "none")] == [False, True, False]
    assert [elements[name]["required"] for name in ("one", "none", "none2")] == [True, False, False]
    assert elements["told"]["help"] == "a PDF"
    schema = model.json_schema()
    assert all(takes_uploads(schema["properties"][name]) for name in elements)
    assert not takes_uploads({"type": "string"})


def test_it_is_a_file_element_inside_of_models() -> None:
    model = model_of(case=Case)
    [title, pages] = model.form().get_model()
    assert (title["type"], pages["type"], pages["multiple"]) == ("text", "file", True)
    batch = json.dumps({"batchId": "b", "items": {"1": {"filename": "a.csv"}, "2": {"filename": "b.csv"}}})
    assert model.from_form({"title": "t", "pages": batch}).wire["pages"] == ["in/a.csv", "in/b.csv"]


def test_what_was_uploaded_is_named_below_in(tmp_path: Path) -> None:
    model = model_of(one=fastapi.UploadFile, none=kl.UploadFile)
    batch = json.dumps({"batchId": "b", "items": {"1": {"filename": "docs/a.csv"}}})
    assert model.from_form({"one": batch}).wire == {"one": "in/docs/a.csv", "none": None}
    local = tmp_path / "secret.txt"
    local.write_text("s")
    # a text that comes from elsewhere is never a file of this process
    for wrong in (str(local), "in/../../secret", "in", "out/a.csv", "", None):
        with pytest.raises(InputsError, match=r"one: is .*; expected an uploaded file, as in/report\.pdf$"):
            model.validate({"one": wrong})
    with pytest.raises(InputsError, match=r"one: .* expected an uploaded file"):
        model.from_form({"one": str(local)})


def test_a_launch_brings_local_files_along(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    first, second = tmp_path / "a.csv", tmp_path / "sub" / "a.csv"
    for path in (first, second):
        path.write_text("x")
    model = model_of(one=kl.UploadFile, many=list[fastapi.UploadFile])
    checked = model.validate({"one": first, "many": [second, "in/there.csv"]})
    assert checked.wire == {"one": "in/a.csv", "many": ["in/2/a.csv", "in/there.csv"]}
    assert checked.files == {"a.csv": first, "2/a.csv": second}
    assert model.validate({"one": str(first), "many": [str(first)]}, local=True).files == {"a.csv": first}
    with pytest.raises(InputsError, match="or the path of a local one"):
        model.validate({"one": str(tmp_path / "gone.csv"), "many": []}, local=True)


@pytest.mark.parametrize("cls", [kl.UploadFile, fastapi.UploadFile])
def test_the_flow_gets_an_open_file(cls: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n3,4\n")
    model = model_of(one=cls, many=list[cls], none=cls)
    checked = model.validate({"one": "in/a.csv", "many": ["in/x/a.csv"]})
    asked: list[str] = []

    def opened(path: str) -> Any:
        asked.append(path)
        return (tmp_path / "a.csv").open("rb")

    got = model.arguments(checked, opened)
    assert asked == ["in/a.csv", "in/x/a.csv"]
    one, [many], none = got["one"], got["many"], got["none"]
    assert type(one) is type(many) is cls
    assert none is None
    assert (one.filename, one.size, one.content_type) == ("a.csv", 8, "text/csv")

    async def read() -> list[bytes]:
        first = await one.read(3)
        await one.seek(0)
        found = [first, await one.read()]
        for file in (one, many):
            await file.close()
        return found

    assert asyncio.run(read()) == [b"1,2", b"1,2\n3,4\n"]
    assert one.file.closed
    # the context ends with the call: what is validated next is a name again
    assert model.validate({"one": "in/a.csv", "many": []}).wire["one"] == "in/a.csv"
