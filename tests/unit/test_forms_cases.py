"""The browser's check of a value and ours agree: both are held to the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kodosumi_lab.forms import Model

CASES = Path(__file__).resolve().parents[2] / "labextension" / "src" / "views" / "form" / "cases.json"


@pytest.mark.parametrize(("element", "value", "fits"), json.loads(CASES.read_text()))
def test_values_fit_or_not_as_the_browser_says(element: dict[str, Any], value: Any, fits: bool) -> None:
    form = Model.model_validate([{"name": "x", "label": None, "value": None, **element}])
    assert (form.check({"x": value}) == {}) is fits, form.check({"x": value})
