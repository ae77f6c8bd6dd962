"""What a service launches: any entrypoint, with inputs that pass on as they were sent.

A typed flow's inputs travel as JSON and are made into the annotations' types again. A
service's entrypoint gets the very value that was given to ``Launch``: plain JSON values
travel as such, anything else (a set of file names, a model, a date) beside them, pickled.
Secrets are in neither: in the log they read ``{"secret": true}``, and in the pickle a number
stands for each; both are filled in again in the Runner.
"""

from __future__ import annotations

import inspect
import io
import json
import pickle
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

from kodosumi_lab.errors import InputsError
from kodosumi_lab.events import dumps
from kodosumi_lab.flow import Flow, entrypoint_of, find, is_crew, is_graph
from kodosumi_lab.forms import SECRET, Inputs
from kodosumi_lab.forms.secrets import mask, step, unmask
from kodosumi_lab.runtime import graph

__all__ = ["Sent", "hide", "pack"]

# A shorter text is part of others by chance; such a secret is taken out only where it is the whole value.
_SHORT = 4
# Before the number of a secret in a pickle, among secrets by their path: no path begins like this.
_NUMBERED = "~~"


@dataclass
class Sent:
    """An entrypoint and its inputs, as a Runner gets them.

    Attributes
    ----------
    entry
        Import path, or the object itself.
    bare
        The inputs are one value, which the log holds as ``{"inputs": value}``, not a dict of them.
    pickled
        Inputs that JSON cannot say, by name; pickled, with secrets left out.
    """

    entry: Any
    bare: bool = False
    pickled: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def _found(self) -> Any:
        return find(self.entry) if isinstance(self.entry, str) else self.entry

    @property
    def target(self) -> Any:
        """What is called."""
        return self._found.target if isinstance(self._found, Flow) else self._found

    @property
    def inputs(self) -> Sent:
        """Itself: it knows how its inputs travelled."""
        return self

    def arguments(self, inputs: Inputs, open_file: Callable[[str], BinaryIO] | None = None) -> dict[str, Any]:
        """Keyword arguments for the entrypoint.

        Raises
        ------
        InputsError
            The entrypoint is a typed flow, which they do not fit.
        """
        count = sum(path.startswith(_NUMBERED) for path in inputs.secrets)
        hidden = [inputs.secrets[f"{_NUMBERED}{number}"] for number in range(count)]
        shown = {path: value for path, value in inputs.secrets.items() if not path.startswith(_NUMBERED)}
        given: Any = unmask(inputs.wire, shown)
        for name, data in self.pickled.items():
            given[name] = _Filling(io.BytesIO(data), hidden).load()
        if self.bare:
            given = given["inputs"]
        whole = is_crew(self.target) or is_graph(self.target)
        if isinstance(self._found, Flow) and not whole:
            return self._typed(self._found, given, open_file)
        return {"inputs": given} if whole or "inputs" in _parameters(self.target) else {}

    def _typed(self, flow: Flow, given: Any, open_file: Callable[[str], BinaryIO] | None) -> dict[str, Any]:
        if hasattr(type(given), "model_fields"):
            given = {name: getattr(given, name) for name in type(given).model_fields}
        if not isinstance(given, dict | None):
            raise InputsError(f"a {type(given).__name__} was sent to flow {flow.name!r}; expected a dict of its inputs")
        checked = flow.inputs.validate(given or {})
        return flow.inputs.arguments(checked, open_file)


def _parameters(target: Any) -> Iterable[str]:
    return inspect.signature(target).parameters


def pack(entry: Any, inputs: Any, secrets: Iterable[str] = ()) -> tuple[dict[str, Any], Inputs, list[str]]:
    """Make what a launch needs of an entrypoint and its inputs.

    Parameters
    ----------
    entry
        Import path, function, class or crew.
    inputs
        Any value.
    secrets
        Texts that must not reach the log or a file, wherever they are in `inputs`.

    Returns
    -------
    tuple
        How a Runner gets at it (``code`` of a launch), the inputs for the log with their
        secrets, and the names of those that a rerun cannot change.
    """
    revealed: dict[str, str] = {}
    shown = mask(inputs, "", revealed)
    hidden = sorted({*secrets, *revealed.values()} - {""})
    bare = not isinstance(inputs, dict)
    values = {"inputs": inputs} if bare else inputs
    opaque = [name for name, value in values.items() if not (isinstance(name, str) and _is_plain(value))]
    if any(not isinstance(name, str) for name in opaque):
        bare, values, opaque, shown = True, {"inputs": inputs}, ["inputs"], {"inputs": shown}
    elif bare:
        shown = {"inputs": shown}
    checked = Inputs({})
    for name, value in shown.items():
        plain = json.loads(dumps(value))
        checked.wire[name] = hide(plain, step("", name), hidden, checked.secrets)
    sent = Sent(entrypoint_of(entry) or entry if not isinstance(entry, str) else entry, bare)
    sent.pickled = {name: _Leaving.dumps(values[name], hidden) for name in opaque}
    if opaque:
        beside = {step("", name) for name in opaque}
        checked.secrets = {f"{_NUMBERED}{number}": secret for number, secret in enumerate(hidden)} | {
            path: secret for path, secret in checked.secrets.items() if path.partition(".")[0] not in beside
        }
    if isinstance(sent.entry, str) and not opaque:
        return {"import": sent.entry, "sent": "bare" if bare else "fields"}, checked, []
    import ray

    graph.send_by_builder(entry.target if isinstance(entry, Flow) else entry)
    return {"pickle": ray.cloudpickle.dumps(sent)}, checked, opaque  # type: ignore[no-untyped-call]


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back the very same value."""
    if value is None or type(value) in (str, bool):
        return True
    if type(value) in (int, float):
        return bool(value - value == 0) and (type(value) is float or value.bit_length() < 64)
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    return type(value) is dict and all(type(key) is str and _is_plain(item) for key, item in value.items())


def hide(value: Any, path: str, hidden: Collection[str], found: dict[str, str]) -> Any:
    """A JSON value without the secrets in it.

    Parameters
    ----------
    value, path
        The value and where it stands.
    hidden
        The secrets. A text that has one somewhere in it is hidden as a whole.
    found
        Gets the texts that were taken out, by their paths.
    """
    if isinstance(value, str):
        if value in hidden or any(len(secret) >= _SHORT and secret in value for secret in hidden):
            found[path] = value
            return dict(SECRET)
        return value
    if isinstance(value, list):
        return [hide(item, step(path, i), hidden, found) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: hide(item, step(path, key), hidden, found) for key, item in value.items()}
    return value


class _Leaving:
    """Pickles a value, with a number in place of each secret."""

    @staticmethod
    def dumps(value: Any, secrets: list[str]) -> bytes:
        import ray

        class Pickler(ray.cloudpickle.CloudPickler):
            def persistent_id(self, item: Any) -> int | None:
                return secrets.index(item) if type(item) is str and item in secrets else None

        sink = io.BytesIO()
        Pickler(sink).dump(value)  # type: ignore[no-untyped-call]
        return sink.getvalue()


class _Filling(pickle.Unpickler):
    """Reads it back."""

    def __init__(self, source: io.BytesIO, secrets: list[str]) -> None:
        super().__init__(source)
        self._secrets = secrets

    def persistent_load(self, number: int) -> str:
        """The secret of a number.

        Raises
        ------
        InputsError
            It was kept nowhere and its launcher is gone.
        """
        if number >= len(self._secrets):
            raise InputsError("a secret among the inputs is not kept; launch it again and enter it")
        return self._secrets[number]
