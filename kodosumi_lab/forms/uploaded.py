"""``UploadFile``: an input that is a file. Its form has a file element; the flow gets the file, open for reading.

On its way to the flow such an input is the file's name below ``in/``, a text. Where a launch
is checked for a person's own process (:func:`taking`), a path of this machine does, too: the launch
brings that file along. Where a flow is about to start (:func:`opening`), the names become files.
"""

from __future__ import annotations

import asyncio
import functools
import mimetypes
import operator
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

__all__ = ["UploadFile", "adapted", "named", "opening", "takes_uploads", "taking"]

#: Format of such an input in the JSON schema, by which forms and clients know it.
FORMAT = "upload"


@dataclass
class _Handling:
    """What is done with such inputs while a model is validated."""

    texts: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    open: Callable[[str], BinaryIO] | None = None


_handling: ContextVar[_Handling] = ContextVar("_handling")


class UploadFile:
    """A file that a person gave to a run; as the type of an input it makes a file element of the form.

    From Python such an input is the path of a local file, which the launch brings along, or the name of a
    file that comes otherwise (``in/report.pdf``). The verbs are those of FastAPI's class of this name; where
    a parameter of a flow is annotated with that one, the flow gets it.

    Attributes
    ----------
    filename : str
        Its name, without folders.
    size : int
        In bytes.
    content_type : str or None
        As its name suggests.
    file : typing.BinaryIO
        The open file.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> @kl.flow
    ... async def count(document: kl.UploadFile) -> int:
    ...     return len(await document.read())
    >>> count.elements[0]["type"]
    'file'
    """

    def __init__(self, file: BinaryIO, *, filename: str, size: int, content_type: str | None = None) -> None:
        self.file = file
        self.filename = filename
        self.size = size
        self.content_type = content_type

    def __repr__(self) -> str:
        return f"UploadFile(filename={self.filename!r}, size={self.size})"

    async def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        return await asyncio.to_thread(self.file.read, size)

    async def seek(self, offset: int) -> None:
        """Go on from this byte."""
        await asyncio.to_thread(self.file.seek, offset)

    async def close(self) -> None:
        """Close the file; the run's own stays."""
        await asyncio.to_thread(self.file.close)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _core_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": FORMAT}


@dataclass(frozen=True)
class _Adapted:
    """Annotation that lets a class of the web's frameworks be an input."""

    cls: type

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return _core_schema(self.cls)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": FORMAT}


def adapted(hint: Any) -> Any:
    """A parameter's annotation in which FastAPI's and Starlette's ``UploadFile`` can be validated, too."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return typing.Annotated[hint, _Adapted(hint)] if _is_starlettes(hint) else hint
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        inner, *about = arguments
        return typing.Annotated[(adapted(inner), *about)]
    found = tuple(map(adapted, arguments)) if typing.get_origin(hint) is not typing.Literal else arguments
    if found == arguments:
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, found)
    return typing.get_origin(hint)[found]


def _is_starlettes(cls: type) -> bool:
    return any((base.__module__, base.__name__) == ("starlette.datastructures", "UploadFile") for base in cls.__mro__)


def _core_schema(cls: Any) -> Any:
    from pydantic_core import core_schema

    return core_schema.no_info_plain_validator_function(functools.partial(_validated, cls))


@contextmanager
def taking(*, texts: bool) -> Iterator[dict[str, Path]]:
    """In the block, paths of this machine are inputs of this kind, and plain `texts` where they name one.

    Yields
    ------
    dict[str, Path]
        Filled with the local files by the name that they are to have below ``in/``.
    """
    handling = _Handling(texts=texts)
    token = _handling.set(handling)
    try:
        yield handling.files
    finally:
        _handling.reset(token)


@contextmanager
def opening(way: Callable[[str], BinaryIO] | None) -> Iterator[None]:
    """In the block, names below ``in/`` become open files; `way` opens one of them."""
    token = _handling.set(_Handling(open=way))
    try:
        yield
    finally:
        _handling.reset(token)


def _validated(cls: Any, value: Any) -> Any:
    from pydantic_core import PydanticCustomError

    handling = _handling.get(_Handling())
    if isinstance(value, str):
        path = PurePosixPath(value)
        if path.parts[:1] == ("in",) and len(path.parts) > 1 and ".." not in path.parts:
            return value if handling.open is None else _made(cls, handling.open(value), path.name)
        local = Path(value).expanduser() if handling.texts else None
    else:
        local = Path(value).expanduser() if isinstance(value, os.PathLike) else None
    if local is not None and local.is_file():
        return named(local, handling.files)
    what = repr(str(value))[:200] if isinstance(value, str | os.PathLike) else f"a {type(value).__name__}"
    expected = "an uploaded file, as in/report.pdf" + (", or the path of a local one" if handling.texts else "")
    raise PydanticCustomError("uploaded_file", "is {what}; expected {expected}", {"what": what, "expected": expected})


def takes_uploads(schema: Any) -> bool:
    """Whether an input of this JSON schema is such a file, or several."""
    if not isinstance(schema, dict):
        return False
    parts = [schema.get("items"), *schema.get("anyOf", ())]
    return schema.get("format") == FORMAT or any(map(takes_uploads, parts))


def named(value: Any, taken: dict[str, Path]) -> Any:
    """Where a local file, or each of several, will be below ``in/``; notes it in `taken`.

    It keeps its own name, in a numbered folder where another file has that.
    """
    if isinstance(value, list | tuple):
        return [named(one, taken) for one in value]
    path = Path(value).absolute()
    name, number = path.name, 1
    while taken.setdefault(name, path) != path:
        number += 1
        name = f"{number}/{path.name}"
    return f"in/{name}"


def _made(cls: Any, file: BinaryIO, name: str) -> Any:
    size, kind = os.fstat(file.fileno()).st_size, mimetypes.guess_type(name)[0]
    if issubclass(cls, UploadFile):
        return cls(file, filename=name, size=size, content_type=kind)
    # its module is loaded, since the flow names the class
    headers = sys.modules["starlette.datastructures"].Headers({"content-type": kind} if kind else {})
    return cls(file, filename=name, size=size, headers=headers)
