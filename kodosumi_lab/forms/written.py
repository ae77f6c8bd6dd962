"""Inputs as a person writes them in one line: ``end=1000000 name=Ada prompt=@question.txt``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kodosumi_lab.errors import InputsError

__all__ = ["fitting", "read_text", "value_of"]


def value_of(name: str, text: str) -> tuple[Any, str]:
    """A written value, and the text that it may be meant as.

    Parameters
    ----------
    name
        Of the input, for messages.
    text
        JSON where it parses, else text; ``@FILE`` is the file's text.

    Raises
    ------
    InputsError
        The file cannot be read.
    """
    if text.startswith("@"):
        text = read_text(text[1:], f"input {name}: ")
        return text, text
    try:
        return json.loads(text), text
    except ValueError:
        return text, text


def read_text(path: str, whose: str = "") -> str:
    """Text of a file that an input names.

    Raises
    ------
    InputsError
        It cannot be read.
    """
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputsError(f"{whose}the file cannot be read: {reason}: {path}") from None


def fitting(validate: Callable[..., Any], data: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    """Inputs that fit: where a value does not, its text is tried.

    ``name=007`` is text already; ``name=42`` is a number until the flow says that it takes text.

    Parameters
    ----------
    validate
        Called with the inputs by name; raises InputsError.
    data, texts
        Inputs, and the texts of those that were written.

    Raises
    ------
    InputsError
        They do not fit.
    """
    try:
        validate(**data)
    except InputsError as error:
        plain = {name: text for name, text in texts.items() if name in error.errors}
        if not plain or not _fits(validate, {**data, **plain}):
            raise
        return {**data, **plain}
    return data


def _fits(validate: Callable[..., Any], data: dict[str, Any]) -> bool:
    try:
        validate(**data)
    except InputsError:
        return False
    return True
