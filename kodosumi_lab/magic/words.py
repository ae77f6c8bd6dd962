"""A line of a magic as words: options, names, and ``name=value`` with values as JSON, text or variables.

The same as on the command line, but there is no shell in between: JSON needs no quotes around
it (``tags=["a", "b"]``), and ``key=$variable`` is the notebook's object itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kodosumi_lab.errors import InputsError
from kodosumi_lab.forms.written import read_text
from kodosumi_lab.magic.parser import Command

__all__ = ["Given", "Line", "raw", "split"]

_NAME = re.compile(r"[^\s=\"'\[{$-][^\s=\"'\[{]*=")
_VARIABLE = re.compile(r"\$([^\W\d]\w*)(?=\s|$)")
_OPTION = re.compile(r"(--?[a-z][\w-]*)(?:\s+|=|$)")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Given:
    """The value of an input.

    Attributes
    ----------
    value
        JSON value, text or the notebook's object.
    text
        What it may be meant as, where an input takes text only; None where it can be nothing else.
    """

    value: Any
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line taken apart.

    Attributes
    ----------
    words
        All that is no input, in order.
    starts
        Where each of them begins in the line.
    inputs
        Inputs by name.
    """

    words: list[str]
    starts: list[int]
    inputs: dict[str, Given]


def split(line: str, variables: Mapping[str, Any]) -> Line:
    """Take a line apart.

    Parameters
    ----------
    line
        What follows the magic's name.
    variables
        Of the notebook.

    Raises
    ------
    InputsError
        A quote is open, or a variable or a file is not there.
    """
    words: list[str] = []
    starts: list[int] = []
    inputs: dict[str, Given] = {}
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at >= len(line):
            return Line(words, starts, inputs)
        name = _NAME.match(line, at)
        if name is None:
            word, end = _word(line, at)
            words.append(word)
            starts.append(at)
        else:
            key = name[0][:-1]
            inputs[key], end = _value(line, name.end(), key, variables)
        at = end


def _value(line: str, at: int, name: str, variables: Mapping[str, Any]) -> tuple[Given, int]:
    variable = _VARIABLE.match(line, at)
    if variable is not None:
        if variable[1] not in variables:
            raise InputsError(f"input {name}: the notebook has no variable {variable[1]!r}")
        return Given(variables[variable[1]]), variable.end()
    try:
        found, end = _decoder.raw_decode(line, at)
    except ValueError:
        found, end = None, -1
    if end > 0 and (end == len(line) or line[end].isspace()):
        plain = line[at:end] if not isinstance(found, str | list | dict) else None
        return Given(found, plain), end
    text, end = _word(line, at)
    if text.startswith("@"):
        return Given(read_text(text[1:], f"input {name}: ")), end
    try:
        return Given(json.loads(text), text), end
    except ValueError:
        return Given(text), end


def _word(line: str, at: int) -> tuple[str, int]:
    """A word as a shell takes it: quotes hold spaces and are dropped, a backslash takes what follows as it is."""
    found: list[str] = []
    quote, start = "", at
    while at < len(line):
        char = line[at]
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and line[at + 1 : at + 2] in ('"', "\\"):
                at += 1
                found.append(line[at])
            else:
                found.append(char)
        elif char in "\"'":
            quote = char
        elif char == "\\" and at + 1 < len(line):
            at += 1
            found.append(line[at])
        elif char.isspace():
            break
        else:
            found.append(char)
        at += 1
    if quote:
        raise InputsError(f"a quote is not closed: {line[start:]}")
    return "".join(found), at


def raw(line: str, command: Command) -> Line:
    """A line whose options come first, and all that follows is one text."""
    takes_value = {name for names, about in command.options for name in names if "action" not in about}
    words: list[str] = []
    while found := _OPTION.match(line):
        words.append(found[1])
        line = line[found.end() :]
        if found[1] in takes_value:
            value, end = _word(line, 0)
            words.append(value)
            line = line[end:].lstrip()
    return Line([*words, *([line] if line else [])], [], {})
