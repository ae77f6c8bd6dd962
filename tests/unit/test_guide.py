"""The guide is one: every page is found, every link leads somewhere, every name and setting has its entry."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import kodosumi_lab as kl
from kodosumi_lab.settings import Settings

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])


def reference() -> Any:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_reference_is_what_the_docstrings_say() -> None:
    assert (DOCS / "reference.md").read_text() == reference().page(), "run: python docs/make_reference.py"


def test_every_public_name_and_every_setting_has_an_entry() -> None:
    text = (DOCS / "reference.md").read_text()
    titles = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert titles == set(kl.__all__)
    for name, field in Settings.model_fields.items():
        assert f"| `{name}` | `KODOSUMI_LAB_{name.upper()}` |" in text, name
        assert field.description, name


def test_every_entry_says_something() -> None:
    made = reference()
    for name in kl.__all__:
        thing = getattr(kl, name)
        entries = list(made.of_class(thing)) if isinstance(thing, type) else [made.text(thing)]
        assert all(entries), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        assert f"(../examples/{notebook.name})" in index, notebook.name
