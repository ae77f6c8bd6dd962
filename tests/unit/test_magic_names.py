"""Which names a cell takes from the notebook."""

from __future__ import annotations

import ast

import pytest

from kodosumi_lab.magic.names import names_of


@pytest.mark.parametrize(
    ("cell", "needed", "perhaps"),
    [
        ("x + y.z", "x y", ""),
        ("x = 1\nx + y", "y", ""),
        ("x = x + 1", "", "x"),
        ("x += 1", "", "x"),
        ("import numpy as np\nnp.zeros(n)", "n", ""),
        ("from a.b import c\nc()", "", ""),
        ("if flag:\n    x = 1\nprint(x)", "flag print", "x"),
        ("if flag:\n    x = 1\nelse:\n    x = 2\nx", "flag", ""),
        ("for i in items:\n    total += i\ntotal", "items", "total"),
        ("for i in items:\n    pass\ni", "items", "i"),
        ("while n:\n    n -= 1", "", "n"),
        ("with open(p) as f:\n    text = f.read()\ntext", "open p", ""),
        ("try:\n    a = b\nexcept E as e:\n    print(e)\na", "b E print", "a"),
        ("try:\n    a = b\nfinally:\n    c\na", "b c", ""),
        ("match thing:\n    case {'k': v, **rest} if v > low:\n        v + rest + out\n    case [first, *more]:\n        first, more", "thing low out", ""),
        ("def f(a, b=default) -> T:\n    return a + b + helper(k) + late\nlate = 2\nf(1)", "default T helper k", ""),
        ("def f():\n    def g():\n        return deep\n    return g", "deep", ""),
        ("def f():\n    x = 1\n    return x", "", ""),
        ("class A(Base):\n    y = factor\n    def m(self):\n        return used + self.y", "Base factor used", ""),
        ("[a * k for a in rows if a > low]", "rows k low", ""),
        ("rows = load()\n{a: k for a in rows}", "load k", ""),
        ("f = lambda a: a + k", "k", ""),
        ("await fetch(url)", "fetch url", ""),
        ("async with session as s:\n    async for x in s:\n        x", "session", ""),
        ("print((y := 3) + y)", "print", "y"),
        ("f'{a} {b!r}'", "a b", ""),
        ("x: int = 3\nx", "int", ""),
        ("del gone", "", ""),
        ("global g\ng = 1\ng", "", ""),
    ],
)  # fmt: skip
def test_names_that_are_read_before_the_cell_assigns_them(cell: str, needed: str, perhaps: str) -> None:
    found = names_of(ast.parse(cell))
    assert (found.needed, found.perhaps) == (set(needed.split()), set(perhaps.split()))


def test_dotted_names_tell_which_modules_are_used() -> None:
    assert names_of(ast.parse("xml.etree.ElementTree.parse(f(x).y)")).chains == {
        "xml.etree",
        "xml.etree.ElementTree",
        "xml.etree.ElementTree.parse",
    }
