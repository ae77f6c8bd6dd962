"""The words that TypeScript shares with Python are generated, and as they are in Python."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import ROOT
from pydantic import BaseModel


@pytest.fixture(scope="module")
def make_wire() -> Any:
    path = ROOT / "labextension" / "make_wire.py"
    spec = importlib.util.spec_from_file_location("make_wire", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_file_is_up_to_date(make_wire: Any) -> None:
    path = Path(make_wire.PAGE)
    assert path.read_text() == make_wire.page(), "run: python labextension/make_wire.py"


def test_every_sort_of_field_has_its_type(make_wire: Any) -> None:
    class Inner(BaseModel):
        x: int

    class Outer(BaseModel):
        inner: list[Inner]
        maybe: list[str | None]
        choice: Literal["a", "b"]
        counts: dict[str, int] = {}
        free: dict[str, Any] = {}
        when: float | None = None

    lines = make_wire._interface(Outer).splitlines()
    assert lines[1:-1] == [
        "  inner: Inner[];", "  maybe: (string | null)[];", "  choice: 'a' | 'b';", "  counts: Record<string, number>;",
        "  free: Record<string, unknown>;", "  when: number | null;",
    ]  # fmt: skip


def test_views_know_every_model_that_lists_of_the_gateway_hold(make_wire: Any) -> None:
    from kodosumi_lab.api.reading import RunDetail, RunRow

    page = make_wire.page()
    for name in RunRow.model_fields:
        assert page.count(f"  {name}: ") >= 1, name
    assert "export interface RunDetail extends RunRow {\n  meta: " in page
    assert set(RunDetail.model_fields) - set(RunRow.model_fields) == {"meta", "inputs"}
