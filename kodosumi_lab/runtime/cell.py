"""Code of a notebook cell, as a flow: what travels of it, and how it runs.

The notebook sends the text, the values that the code uses and the names of modules
(:mod:`kodosumi_lab.magic.cells`). Here the text is compiled and run in one namespace with the
functions that came along, so that they see what the cell assigns, as they did in the notebook.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import linecache
import os
import pickle
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kodosumi_lab.runtime.tracer import Tracer

__all__ = ["Cell", "compiled"]


def compiled(source: str, filename: str, flags: int, *, quiet: bool) -> list[Any]:
    """Code objects of a cell, of which the last one's value is the result.

    Parameters
    ----------
    source, filename
        The text, and how tracebacks call it.
    flags
        Of ``from __future__`` imports that are in force.
    quiet
        Whether the last expression is no result.

    Raises
    ------
    SyntaxError
        It is no Python.
    """
    tree = ast.parse(source, filename)
    last = tree.body.pop() if not quiet and tree.body and isinstance(tree.body[-1], ast.Expr) else None
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    made = [compile(tree, filename, "exec", flags, dont_inherit=True)]
    if isinstance(last, ast.Expr):
        made.append(compile(ast.Expression(last.value), filename, "eval", flags, dont_inherit=True))
    return made


class Cell:
    """A cell's code, to be called in a Runner.

    Parameters
    ----------
    source, filename, flags, quiet
        See :func:`compiled`.
    values
        Pickled: values by name, and a function whose globals become the namespace.
    modules
        Modules by the name that the cell uses, and those to be imported beside them under "".
    sources
        Texts of other cells by their file name, for tracebacks.
    """

    def __init__(
        self,
        source: str,
        filename: str,
        *,
        flags: int,
        quiet: bool,
        values: bytes,
        modules: dict[str, list[str]],
        sources: dict[str, str],
    ) -> None:
        self.source = source
        self.filename = filename
        self.flags = flags
        self.quiet = quiet
        self.values = values
        self.modules = modules
        self.sources = {**sources, filename: source}

    def __call__(self, tracer: Tracer) -> Any:
        """Run it; the value of its last expression, or an awaitable of that where the code awaits."""
        for filename, text in self.sources.items():  # without a time of change the cache takes it for a module's source
            linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        if "matplotlib_inline" in os.environ.get("MPLBACKEND", ""):  # a kernel's, from which this cluster was started
            os.environ["MPLBACKEND"] = "agg"
        codes = compiled(self.source, self.filename, self.flags, quiet=self.quiet)
        space = self._space(tracer)
        if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
            return self._awaited(codes, space, tracer)
        with _displaying(self.source, space["display"], tracer):
            value = None
            for code in codes:
                value = eval(code, space)  # noqa: S307 - it is the person's own cell
            return value

    async def _awaited(self, codes: list[Any], space: dict[str, Any], tracer: Tracer) -> Any:
        with _displaying(self.source, space["display"], tracer):
            value = None
            for code in codes:
                value = eval(code, space)  # noqa: S307 - the same
                value = await value if code.co_flags & inspect.CO_COROUTINE else value
            return value

    def _space(self, tracer: Tracer) -> dict[str, Any]:
        values, anchor = pickle.loads(self.values)  # noqa: S301 - the launch's own, as an entrypoint is
        space: dict[str, Any] = anchor.__globals__
        for name, modules in self.modules.items():
            found = [importlib.import_module(module) for module in modules]
            if name:
                space[name] = found[0]

        def display(*objects: Any, **_: Any) -> None:
            tracer.display_sync(*objects)

        space.update({"tracer": tracer, "display": display, **values})
        space["__name__"] = "__main__"
        return space


@contextlib.contextmanager
def _displaying(source: str, display: Any, tracer: Tracer) -> Iterator[None]:
    """While a cell runs: IPython's ``display`` is the run's, and figures left open are shown at the end."""
    ours = None
    if "IPython" in source:
        import IPython.display

        ours, IPython.display.display = IPython.display.display, display
    try:
        yield
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            for number in pyplot.get_fignums():
                tracer.display_sync(pyplot.figure(number))
            pyplot.close("all")
    finally:
        if ours is not None:
            IPython.display.display = ours
