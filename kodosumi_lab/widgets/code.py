"""Inputs as code that launches with them: a magic, Python, a request. Secrets are asked for, never written down."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anywidget
import traitlets

from kodosumi_lab.flow import Flow, entrypoint_of
from kodosumi_lab.forms import SECRET, secret_fields
from kodosumi_lab.runtime.launch import has_input
from kodosumi_lab.widgets.base import STATIC

__all__ = ["Snippets", "curl", "magic", "python", "snippets", "written"]

_PLAIN = re.compile(r"[A-Za-z_./][\w./:+-]*")


class Snippets(anywidget.AnyWidget):
    """Code in several languages, a tab each, to be copied.

    Attributes
    ----------
    texts : dict
        Trait: code by the title of its tab.
    """

    _esm = STATIC / "code.js"

    texts = traitlets.Dict().tag(sync=True)


def snippets(flow: Any, inputs: dict[str, Any], files: Sequence[str] = ()) -> dict[str, str]:
    """Code that launches with inputs, by language; `files` are the paths of those that it needs in ``in/``."""
    written = {"magic": magic, "Python": python, "curl": curl}
    return {language: write(flow, inputs, files) for language, write in written.items()}


def magic(flow: Any, inputs: dict[str, Any], files: Sequence[str] = ()) -> str:
    """``%kodosumi launch``, which asks for nothing."""
    asked, words = [], []
    for name, value in _flat(inputs).items():
        if value == SECRET:
            asked.append(name)
            words.append(f"{name}=${_variable(name)}")
        else:
            words.append(f"{name}={written(value)}")
    words += [f"files={written([*files])}"] if _brings(flow, files) else []
    lines = [f'{_variable(name)} = getpass("{name}: ")' for name in asked]
    head = [*_told(flow, files), *(["from getpass import getpass", *lines] if lines else [])]
    untouched = [] if words else ["--defaults"]  # else it would show the form
    return "\n".join([*head, " ".join([f"%kodosumi launch {_word(_name(flow))}", *words, *untouched])])


def written(value: Any) -> str:
    """A value as it is written after ``name=``, so that it is read as what it is."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _is_json(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _word(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _flat(inputs: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Inputs with secrets inside named by their path, so that each can be asked for."""
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        nested = isinstance(value, dict) and value != SECRET and bool(secret_fields(value))
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _variable(name: str) -> str:
    found = re.sub(r"\W", "_", name)
    return found if found.isidentifier() else f"_{found}"


def _name(flow: Any) -> str:
    return str(flow.name)


def _brings(flow: Any, files: Sequence[str]) -> bool:
    """Whether a launch from Python takes the files along: not where they are an input, or the flow is elsewhere."""
    return bool(files) and isinstance(flow, Flow) and not has_input(flow, "files")


def _told(flow: Any, files: Sequence[str]) -> list[str]:
    """What to know of the files."""
    if not files:
        return []
    if _brings(flow, files):
        return [f"# taken along from where this runs: {', '.join(files)}"]
    return [f"# to be uploaded before: {', '.join(Path(file).name for file in files)}"]


def python(flow: Any, inputs: dict[str, Any], files: Sequence[str] = ()) -> str:
    """A call of ``launch``."""
    lines = _told(flow, files)
    lines += ["from getpass import getpass", ""] if secret_fields(inputs) else []
    entrypoint = entrypoint_of(flow) if isinstance(flow, Flow) else None
    if entrypoint is not None:
        module, _, name = entrypoint.partition(":")
        lines += [f"from {module} import {name.partition('.')[0]}", ""]
        target = name
    elif isinstance(flow, Flow) and flow.name.isidentifier():
        target = flow.name
    else:
        lines += ["import kodosumi_lab as kl", ""]
        target = f"kl.find({_name(flow)!r})"
    named = {name: value for name, value in inputs.items() if name.isidentifier()}
    others = {name: value for name, value in inputs.items() if name not in named}
    words = [f"{name}={_literal(value, name)}" for name, value in named.items()]
    words += [f"**{_literal(others, '')}"] if others else []
    words += [f"files={[*files]!r}"] if _brings(flow, files) else []
    call = f"run = {target}.launch({', '.join(words)})"
    if len(call) > 88:
        call = f"run = {target}.launch(\n" + "".join(f"    {word},\n" for word in words) + ")"
    return "\n".join([*lines, call])


def _literal(value: Any, path: str) -> str:
    if value == SECRET:
        return f'getpass("{path}: ")'
    if isinstance(value, dict):
        inner = ", ".join(f"{key!r}: {_literal(one, f'{path}.{key}' if path else key)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(one, path) for one in value)}]"
    return repr(value)


def curl(flow: Any, inputs: dict[str, Any], files: Sequence[str] = ()) -> str:
    """A request to a gateway; files are uploaded before it."""
    uploads = {"batches": ["<batch>"]} if files else {}
    body = json.dumps({"inputs": _hidden(inputs), **uploads}, ensure_ascii=False, indent=2)
    if secret_fields(inputs):
        head = "# URL and TOKEN as `kodosumi-lab serve` tells them; put your secrets where <…> stands"
    else:
        head = "# URL and TOKEN as `kodosumi-lab serve` tells them"
    names = ", ".join(Path(file).name for file in files)
    head += f"; <batch> is what POST /files/init_batch told for {names}" if files else ""
    return (
        textwrap.dedent(
            f"""
            {head}
            curl "$URL/api/v1/flows/{quote(_name(flow))}/launch" \\
              -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d @- <<'END'
            """
        ).strip()
        + f"\n{body}\nEND"
    )


def _hidden(value: Any, path: str = "") -> Any:
    if value == SECRET:
        return f"<{path}>"
    if isinstance(value, dict):
        return {key: _hidden(one, f"{path}.{key}" if path else key) for key, one in value.items()}
    return [_hidden(one, path) for one in value] if isinstance(value, list) else value
