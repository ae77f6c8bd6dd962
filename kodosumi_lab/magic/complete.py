"""Completion of ``%kodosumi`` lines: commands, options, flows, their inputs and choices, runs, locks.

A matcher of IPython's completer. It answers for lines of ours only, and then alone: Jedi takes
what follows a magic for Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from kodosumi_lab.flow import Flow
from kodosumi_lab.magic.parser import COMMANDS, NAMES, Command
from kodosumi_lab.runtime.run import Run

__all__ = ["completions", "install", "remove"]

_LINE = re.compile(r"\s*(?:[\w\s,.]+=\s*)?(%{1,2})kodosumi\s(.*)", re.DOTALL)
_IDENTIFIER = "kodosumi_lab"
_RUNS = 50

#: What is offered: the text, and what is said of it.
_Offer = tuple[str, str]


def install(shell: Any) -> None:
    """Add the matcher, once."""
    remove(shell)
    shell.Completer.custom_matchers.append(_matcher(shell))


def remove(shell: Any) -> None:
    """Take it out."""
    held = shell.Completer.custom_matchers
    held[:] = [one for one in held if getattr(one, "matcher_identifier", None) != _IDENTIFIER]


def _matcher(shell: Any) -> Any:
    @context_matcher(priority=100, identifier=_IDENTIFIER)  # type: ignore[untyped-decorator]
    def kodosumi(context: CompletionContext) -> SimpleMatcherResult:
        found = _LINE.fullmatch(context.text_until_cursor)
        if found is None or (found[1] == "%%" and context.cursor_line > 0):
            return {"completions": [], "suppress": False}
        fragment, offers = completions(shell, found[2], cell=found[1] == "%%")
        made = [SimpleCompletion(text, type=about) for text, about in offers if text.startswith(fragment)]
        return {"completions": made, "matched_fragment": fragment, "suppress": bool(made), "ordered": True}

    return kodosumi


def completions(shell: Any, text: str, *, cell: bool) -> tuple[str, list[_Offer]]:
    """What may stand at the end of a line.

    Parameters
    ----------
    shell
        IPython's.
    text
        What follows ``%kodosumi``, up to the cursor.
    cell
        Whether it is the first line of a cell.

    Returns
    -------
    tuple
        The part of the text that is being written, and what it may become.
    """
    before, fragment = re.fullmatch(r"(.*?)(\S*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    words = before.split()
    if not words:
        fit = [command for command in COMMANDS.values() if command.cell in (cell, None)]
        return fragment, [(command.name, "command") for command in fit]
    command = NAMES.get(words[0])
    if command is None:
        return fragment, []
    try:
        return _Completion(shell, command, words[1:]).of(fragment)
    except Exception:  # noqa: BLE001 - edge of the completer: nobody looks at errors while typing
        return fragment, []


class _Completion:
    """Completion within one command."""

    def __init__(self, shell: Any, command: Command, words: list[str]) -> None:
        self._shell = shell
        self._command = command
        self._words = words
        self._options = {name: about for names, about in command.options for name in names}
        self._values = {
            name for name, about in self._options.items() if "action" not in about or about["action"] == "append"
        }

    def of(self, fragment: str) -> tuple[str, list[_Offer]]:
        """What the fragment may become."""
        last = self._words[-1] if self._words else ""
        if last in self._values:
            return fragment, list(self._of_option(last))
        if fragment.startswith("-"):
            used = set(self._words)
            return fragment, [(name, "option") for name in self._options if name not in used]
        given = self._given()
        takes = self._command.takes
        name, equals, value = fragment.partition("=")
        if self._command.inputs and given and equals:
            return value, list(self._choices(given[0], name))
        if takes == "flow":
            return fragment, list(self._inputs(given[0]) if given else self._flows())
        if takes == "run" and (not given or self._command.name in ("cancel", "diff")):
            return fragment, [offer for offer in self._runs() if offer[0] not in given]
        if self._command.name == "approve":
            return fragment, list(self._answers(given[0]))
        return fragment, list(self._columns()) if self._command.raw else []

    def _given(self) -> list[str]:
        """Words that are neither options nor their values nor inputs."""
        words = iter(self._words)
        found = []
        for word in words:
            if word in self._values:
                next(words, None)
            elif not word.startswith("-") and "=" not in word:
                found.append(word)
        return found

    def _of_option(self, option: str) -> Iterator[_Offer]:
        choices = self._options[option].get("choices")
        if choices:
            yield from ((choice, option.lstrip("-")) for choice in choices)
        elif option == "--flow":
            yield from self._flows()
        elif option == "--lock":
            given = self._given()
            for lock in self._run(given[0]).locks if given else []:
                yield json.dumps(lock["name"]) if " " in lock["name"] else lock["name"], "lock"

    # -- flows ------------------------------------------------------------------------

    def _flows(self) -> Iterator[_Offer]:
        from kodosumi_lab.runtime.register import Register

        seen = set()
        for row in Register().rows(read=False):
            name = row["name"]
            if name is not None and name not in seen:
                seen.add(name)
                yield name if " " not in name else json.dumps(name), "flow"
        for name, value in self._shell.user_ns.items():
            if isinstance(value, Flow) and name not in seen and not name.startswith("_"):
                yield name, "flow"

    def _elements(self, name: str) -> list[dict[str, Any]]:
        """Fields of a flow, without importing a module or asking a service while somebody types."""
        from kodosumi_lab.flow import registered
        from kodosumi_lab.runtime.register import Register, chosen

        name = name.strip("\"'")
        here = self._shell.user_ns.get(name)
        here = here if isinstance(here, Flow) else registered().get(name)
        if here is not None:
            return list(_fields(here.elements))
        return list(_of_schema(chosen(Register().rows(read=False), name).get("inputs") or {}))

    def _inputs(self, flow: str) -> Iterator[_Offer]:
        given = {word.partition("=")[0] for word in self._words if "=" in word}
        for element in self._elements(flow):
            if element["name"] not in given and not (element["type"] == "group" and element.get("elements")):
                yield f"{element['name']}=", f"{element['type']}{' *' if element.get('required') else ''}"

    def _choices(self, flow: str, name: str) -> Iterator[_Offer]:
        for element in self._elements(flow):
            if element["name"] == name and element["type"] == "boolean":
                yield from (("true", "choice"), ("false", "choice"))
            elif element["name"] == name:
                for option in element.get("option") or []:
                    text = str(option.get("name"))
                    yield text if not re.search(r"[\s\"']", text) else json.dumps(text, ensure_ascii=False), "choice"

    # -- runs -------------------------------------------------------------------------

    def _runs(self) -> Iterator[_Offer]:
        import polars as pl

        import kodosumi_lab as kl

        frame = kl.runs()
        if self._command.name == "cancel":
            frame = frame.filter(pl.col("ended").is_null())
        elif self._command.name == "approve":
            frame = frame.filter(pl.col("locks").is_not_null())
        newest = frame.select("run_id", "flow", "status").sort("run_id", descending=True).head(_RUNS).collect()
        for name, value in self._shell.user_ns.items():
            if isinstance(value, Run) and not name.startswith("_"):
                yield name, "variable"
        for run_id, flow, status in newest.iter_rows():
            yield run_id[-8:], f"{flow} {status}"

    def _run(self, word: str) -> Any:
        import kodosumi_lab as kl

        held = self._shell.user_ns.get(word)
        return held if isinstance(held, Run) else kl.run(word)

    def _answers(self, word: str) -> Iterator[_Offer]:
        run = self._run(word)
        locks = [lock for lock in run.locks if len(run.locks) == 1 or lock["name"] in self._words]
        form = run.lock(locks[0]["lid"])["form"] if len(locks) == 1 else None
        if form is None:
            yield from (("true", "answer"), ("false", "answer"))
        for element in _fields(form or []):
            yield f"{element['name']}=", element["type"]

    def _columns(self) -> Iterator[_Offer]:
        import kodosumi_lab as kl

        for table in ("runs", "events", "locks"):
            yield table, "table"
            for column in getattr(kl, table)().collect_schema().names():
                yield column, f"column of {table}"


def _fields(elements: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Elements that have a value, those in groups too."""
    for element in elements:
        if element.get("name") and element.get("type") not in ("errors", "submit", "cancel", "action"):
            yield element
        yield from _fields(element.get("elements") or [])


def _of_schema(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same from the JSON schema that the register keeps of a flow's inputs."""
    for name, about in schema.get("properties", {}).items():
        kind = str(about.get("type", "value"))
        options = [{"name": str(value)} for value in about.get("enum", [])]
        yield {"name": name, "type": kind, "option": options, "required": name in schema.get("required", [])}
