"""A cell's code with what it uses from the notebook, made ready to travel."""

from __future__ import annotations

import ast
import importlib.util
import linecache
import sys
import types
from collections.abc import Mapping
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError

from kodosumi_lab.flow import Flow, Options
from kodosumi_lab.magic.names import Names, names_of
from kodosumi_lab.runtime import tables
from kodosumi_lab.runtime.cell import Cell, compiled

__all__ = ["LARGE_BYTES", "flow_of"]

#: From here on a person is told how much the cell sends: it is kept in the log, and read by the Runner at each start.
LARGE_BYTES = 10 * 2**20
#: What the cluster has of its own.
_OWN = frozenset({"tracer", "display"})


def flow_of(shell: Any, body: str, name: str, options: dict[str, Any]) -> tuple[Flow, dict[str, Any]]:
    """A flow that runs a cell's code, and what its ``meta`` says of that.

    Parameters
    ----------
    shell
        IPython's, of which the names are.
    body, name, options
        The cell without its first line, and what the flow is called and asks for.

    Raises
    ------
    UsageError
        It is no Python, uses what only a notebook has, or a name that cannot be sent.
    """
    filename = f"<cell In[{shell.execution_count}]>"
    source = f"\n{body}"  # numbers of lines as in the cell, whose first line is the magic
    flags = shell.compile.flags
    tree = _parsed(shell, source, filename, flags)
    found = names_of(tree)
    if "get_ipython" in found.needed:
        raise UsageError("the cell uses get_ipython(), which the cluster has not; leave that to the notebook")
    values, modules = _picked(found, shell.user_ns, getattr(shell, "user_ns_hidden", {}))
    pickled = _pickled(values, found.needed, shell.user_ns)
    sources = _sources(values, shell.user_ns)
    quiet = bool(DisplayHook.semicolon_at_end_of_expression(body))  # type: ignore[no-untyped-call]
    cell = Cell(source, filename, flags=flags, quiet=quiet, values=pickled, modules=modules, sources=sources)
    summary = next((line.strip() for line in body.splitlines() if line.strip()), "")
    made = Flow(cell, name=name, options=Options(summary=tables.cut(summary), **options), listed=False)
    return made, {"source": body, "names": sorted(values), "modules": sorted(name for name in modules if name)}


def _parsed(shell: Any, source: str, filename: str, flags: int) -> ast.Module:
    try:
        tree = ast.parse(source, filename)
        compiled(source, filename, flags, quiet=True)
    except SyntaxError as error:
        line = source.splitlines()[(error.lineno or 1) - 1 : error.lineno or 1]
        text = line[0].strip() if line else ""
        if shell.transform_cell(source).strip() != source.strip():
            told = "magics and !commands are the notebook's, the cluster has none"
            raise UsageError(f"line {error.lineno}: {text}: {told}") from None
        raise UsageError(f"line {error.lineno}: {error.msg}: {text}") from None
    return tree


def _picked(
    found: Names, space: Mapping[str, Any], hidden: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Values to send, and modules to import there."""
    values: dict[str, Any] = {}
    modules: dict[str, list[str]] = {}
    for name in sorted((found.needed | found.perhaps) - _OWN):
        if name not in space or (name in hidden and hidden[name] is space[name]):
            continue
        value = space[name]
        if not isinstance(value, types.ModuleType):
            values[name] = value
        elif _importable(value.__name__):
            modules[name] = [value.__name__, *_submodules(name, value.__name__, found.chains)]
        elif name in found.needed:
            raise UsageError(f"the cell uses {name}, a module that cannot be imported elsewhere ({value.__name__})")
    return values, modules


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # made by hand, or the notebook itself
        return False


def _submodules(name: str, module: str, chains: set[str]) -> list[str]:
    """Modules below a package that are used by their dotted names, and were imported by somebody here."""
    paths = {f"{module}{chain.removeprefix(name)}" for chain in chains if chain.startswith(f"{name}.")}
    return sorted(path for path in paths if path in sys.modules)


def _pickled(values: dict[str, Any], needed: set[str], space: dict[str, Any]) -> bytes:
    """The values and, with the same globals as the notebook's functions, something whose namespace the cell runs in."""
    import ray

    anchor = types.FunctionType((lambda: None).__code__, space, "anchor")
    dumps = ray.cloudpickle.dumps
    try:
        data = dumps((values, anchor))  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - whatever an object's own pickling raises; which one is found out here
        for name in [*values]:
            try:
                dumps(values[name])  # type: ignore[no-untyped-call]
            except Exception as error:  # noqa: BLE001 - the same
                if name in needed:
                    raise UsageError(_refused(name, values[name], error)) from None
                del values[name]  # the cell has one of its own by then, or it says that it has not
        data = dumps((values, anchor))  # type: ignore[no-untyped-call]
    if len(data) > LARGE_BYTES:
        sizes = {name: len(dumps(value)) for name, value in values.items()}  # type: ignore[no-untyped-call]
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        told = ", ".join(f"{name} {sizes[name] / 2**20:.1f} MiB" for name in largest)
        sys.stderr.write(
            f"the cell takes {len(data) / 2**20:.1f} MiB along ({told}), which the log keeps; "
            "better read or make it in the cell, or hand over a reference of ray.put()\n"
        )
    return bytes(data)


def _refused(name: str, value: Any, error: Exception) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    why = tables.cut(str(error) or type(error).__name__, 200)
    return f"the cell uses {name} ({kind}), which cannot be sent to the cluster: {why}; make it inside the cell"


def _sources(values: dict[str, Any], space: Mapping[str, Any]) -> dict[str, str]:
    """Texts of the cells that functions come from, so that tracebacks show their lines."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [value for value in values.values() if _function(value)]
    while waiting:
        code = _function(waiting.pop()).__code__
        if code.co_filename not in found and code.co_filename in linecache.cache:
            found[code.co_filename] = "".join(linecache.getlines(code.co_filename))
        for name in set(code.co_names) - seen:
            seen.add(name)
            if _function(space.get(name)):
                waiting.append(space[name])
    return found


def _function(value: Any) -> Any:
    """The notebook's own function behind a value, if it is one."""
    target = value.target if isinstance(value, Flow) else value
    return target if isinstance(target, types.FunctionType) and target.__module__ == "__main__" else None
