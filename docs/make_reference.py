"""Writes ``reference.md`` from docstrings and settings: ``python docs/make_reference.py``.

A test fails when the page is stale.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kodosumi_lab as kl
from kodosumi_lab import errors
from kodosumi_lab.flow import Options
from kodosumi_lab.settings import PREFIX, Settings

PAGE = Path(__file__).with_name("reference.md")

HEAD = """# Reference

Every public name and every setting. This page is made from the docstrings by `python docs/make_reference.py`.
"""
_ROLE = re.compile(r":\w+:`(?:~[\w.]+\.|\.|kodosumi_lab\.)?([\w.]+)`")
_SECTION = re.compile(r"^([A-Z][a-z ]+)\n-{3,}\n", re.MULTILINE)


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Functions and classes"]
    for name in kl.__all__:
        thing = getattr(kl, name)
        if isinstance(thing, types.ModuleType):
            parts += [f"### {name}", module(thing)]
        elif isinstance(thing, str):
            parts += [f"### {name}", "Version of the package, a string."]
        elif inspect.isclass(thing):
            parts += [f"### {name}", *of_class(thing)]
        else:
            parts += [f"### {name}", *of_function(name, thing)]
    parts += ["## Options of a flow", "For `@kl.flow(…)` and `flow.with_options(…)`.", text(Options)]
    parts += ["## Errors", "In `kodosumi_lab.errors`; all are `KodosumiLabError`.", tree()]
    parts += ["## Settings", settings()]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def of_class(cls: type) -> Iterator[str]:
    """Its docstring, then its own public methods and properties."""
    yield text(cls)
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        found = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(found):
            yield f"#### {cls.__name__}.{name}"
            yield from of_function(name, found)
        elif isinstance(found, property) or hasattr(found, "func"):
            yield f"#### {cls.__name__}.{name}"
            yield text(found)


def of_function(name: str, function: Any) -> Iterator[str]:
    """Its signature and docstring."""
    parameters = [p for key, p in inspect.signature(function).parameters.items() if key != "self"]
    signature = str(inspect.Signature(parameters, return_annotation=inspect.signature(function).return_annotation))
    awaited = "await " if inspect.iscoroutinefunction(function) else ""
    yield f"```text\n{awaited}{name}{signature}\n```".replace("'", "")
    yield text(function)


def module(found: types.ModuleType) -> str:
    """What a module exports, a line each."""
    lines = [(name, getattr(found, name)) for name in found.__all__]
    return text(found) + "\n\n" + "\n".join(f"- `{name}`: {first_line(thing)}" for name, thing in lines)


def first_line(thing: Any) -> str:
    """First sentence of a docstring; of a constant its value."""
    if not (inspect.isclass(thing) or callable(thing)):
        return f"`{thing!r}`"
    return marked((inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " "))


def tree() -> str:
    """The errors as a nested list."""

    def lines(cls: type, depth: int) -> Iterator[str]:
        yield f"{'  ' * depth}- `{cls.__name__}`: {first_line(cls)}"
        for below in sorted(cls.__subclasses__(), key=lambda one: one.__name__):
            if below.__module__ == errors.__name__:
                yield from lines(below, depth + 1)

    return "\n".join(lines(errors.KodosumiLabError, 0))


def settings() -> str:
    """All settings as a table."""
    rows = [
        f"Keyword arguments of `kl.connect` win over the environment (`{PREFIX}` and the name in capitals), that over",
        "`config.toml` in the user's configuration directory (or the file that `KODOSUMI_LAB_CONFIG` names), that over",
        "defaults. `kodosumi-lab doctor` prints each value and where it came from.",
        "",
        "| setting | environment | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "below the user's data directory" if field.default_factory else f"`{field.default!r}`"
        rows.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def text(thing: Any) -> str:
    """A docstring in Markdown: sections in bold, parameters as lists, examples as code."""
    doc = inspect.getdoc(thing) or ""
    pieces = _SECTION.split(doc)
    parts = [marked(pieces[0].strip())]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        shown = f"```pycon\n{body.strip()}\n```" if title == "Examples" else listed(body.strip("\n"))
        parts.append(f"**{title}**\n\n{shown}")
    return "\n\n".join(part for part in parts if part)


def listed(body: str) -> str:
    """The entries of a section as a list."""
    entries: list[str] = []
    for line in body.splitlines():
        if line and not line.startswith(" "):
            entries.append(f"- `{line}`")
        elif entries:
            entries[-1] += "\n" + line
    shown = []
    for entry in entries:
        head, _, rest = entry.partition("\n")
        words = " ".join(textwrap.dedent(rest).split())
        shown.append(f"{head}: {marked(words)}" if words else head)
    return "\n".join(shown)


def marked(words: str) -> str:
    """Text of a docstring as Markdown."""
    return _ROLE.sub(r"`\1`", words).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
