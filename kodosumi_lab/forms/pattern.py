"""The ``pattern`` of a text field: HTML's regular expressions, for the whole value."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable

__all__ = ["matcher"]

_CLASSES = {"d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]"}


@functools.lru_cache(maxsize=512)
def matcher(pattern: str) -> Callable[[str], bool]:
    r"""Whether the whole text matches.

    By pydantic's engine, whose time grows with the text only; so nobody can stop a server with a text. It knows
    no look-around and no references back, for which another one stands in, within a bounded length and time.
    `\d` and `\w` mean ASCII, as in HTML.
    """
    from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

    ascii_only = re.sub(r"\\(.)", lambda found: _CLASSES.get(found[1], found[0]), pattern, flags=re.DOTALL)
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=f"^(?:{ascii_only})$", regex_engine="rust-regex"))
    except SchemaError:
        return _bounded_matcher(pattern)

    def matches(text: str) -> bool:
        try:
            validator.validate_python(text)
        except ValidationError:
            return False
        return True

    return matches


def _bounded_matcher(pattern: str) -> Callable[[str], bool]:
    # by its name: the library carries no types, and whoever has no such pattern does not load it
    regex = importlib.import_module("regex")
    try:
        compiled = regex.compile(pattern, regex.ASCII)
    except regex.error:
        return lambda _: True  # as in a browser: a pattern that is none asks for nothing

    def matches(text: str) -> bool:
        try:
            # concurrent: other threads go on meanwhile
            found = compiled.fullmatch(text, timeout=_LIMIT_S, concurrent=True)
        except TimeoutError:
            return False
        return found is not None

    return lambda text: len(text) <= _LONGEST and matches(text)


#: Longest text that a pattern with look-around is tried on: passwords and the like are far shorter.
_LONGEST = 1000
#: Seconds for one such try: what takes longer does not match.
_LIMIT_S = 0.25
