"""The ``pattern`` of a text field: HTML's regular expressions, for the whole value."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

__all__ = ["matcher"]

_CLASSES = {"d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]"}


@functools.lru_cache(maxsize=512)
def matcher(pattern: str) -> Callable[[str], bool]:
    r"""Whether the whole text matches.

    By pydantic's engine, whose time grows with the text only; so nobody can stop a server with a text. It knows
    no look-around, for which Python's own stands in, within a bounded length. `\d` and `\w` mean ASCII, as in HTML.
    """
    from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

    ascii_only = re.sub(r"\\(.)", lambda found: _CLASSES.get(found[1], found[0]), pattern, flags=re.DOTALL)
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=f"^(?:{ascii_only})$", regex_engine="rust-regex"))
    except SchemaError:
        return _python_matcher(pattern)

    def matches(text: str) -> bool:
        try:
            validator.validate_python(text)
        except ValidationError:
            return False
        return True

    return matches


def _python_matcher(pattern: str) -> Callable[[str], bool]:
    try:
        compiled = re.compile(pattern, re.ASCII)
    except re.error:
        return lambda _: True  # as in a browser: a pattern that is none asks for nothing
    return lambda text: len(text) <= _LONGEST and compiled.fullmatch(text) is not None


#: Longest text that a pattern with look-around is tried on: passwords and the like are far shorter.
_LONGEST = 1000
