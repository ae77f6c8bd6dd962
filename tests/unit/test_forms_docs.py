"""The guide to forms is run as it stands, and names every element."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kodosumi_lab import forms
from kodosumi_lab.forms.wire import TYPES

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "forms.md").read_text()


def test_the_guide_to_forms_runs():
    source = "\n".join(re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))
    space: dict[str, Any] = {"__name__": "guide"}
    exec(compile(source, "docs/forms.md", "exec", dont_inherit=True), space)
    assert space["trip"]({"who": "Ada", "nights": 2, "day": space["datetime"].date(2026, 1, 31)}) == (
        "Ada: 3 days from 31 January"
    )


def test_the_guide_names_every_element_and_its_arguments():
    table = GUIDE[GUIDE.index("| element | type") :]
    for type_, cls in TYPES.items():
        assert f"`{type_}`" in table, type_
        assert re.search(rf"`{cls.__name__}\(", table), cls
    assert all(getattr(forms, cls.__name__) is cls for cls in TYPES.values())
