"""Names of a run's files: ``..``, absolute paths, drive letters and what else leads elsewhere are refused."""

from __future__ import annotations

import re

from kodosumi_lab.errors import FileNameError

__all__ = ["ROOTS", "clean_name", "split_path"]

#: Folders of a run: what a person gives, what the flow delivers.
ROOTS = ("in", "out")

# Linux: 255 bytes a part, 4096 a path, of which the log directory needs its share.
_PART_BYTES = 255
_NAME_BYTES = 2048
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def clean_name(name: str) -> str:
    """A file's name below its root, as it is kept: parts joined by ``/``.

    Raises
    ------
    FileNameError
        It would lead elsewhere, or could not be kept on every machine as it is.
    """
    fault = _fault(name)
    parts = [part for part in str(name).split("/") if part not in ("", ".")]
    if fault is None and not parts:
        fault = "is empty"
    if fault is not None:
        raise FileNameError(f"a file's name {fault}; expected a relative one such as folder/file.txt: {name!r}")
    return "/".join(parts)


def _fault(name: str) -> str | None:
    if not isinstance(name, str):
        return f"is a {type(name).__name__}"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid text"
    parts = name.split("/")
    checks = (
        (bool(_CONTROL.search(name)), "has a control character"),
        ("\\" in name, "has a backslash"),
        (name.startswith("/"), "is absolute"),
        (".." in parts, "leads upwards"),
        (any(_DRIVE.match(part) for part in parts), "has a drive letter"),
        (size > _NAME_BYTES, f"is longer than {_NAME_BYTES} bytes"),
        (any(len(part.encode()) > _PART_BYTES for part in parts), f"has a part longer than {_PART_BYTES} bytes"),
    )
    return next((words for hit, words in checks if hit), None)


def split_path(path: str) -> tuple[str, str]:
    """Root and name of ``in/a.txt``; the name is empty for a root itself. ``/in/a.txt`` is the same.

    Raises
    ------
    FileNameError
        It starts with neither root, or the name cannot be one.
    """
    root, _, name = str(path).removeprefix("/").partition("/")
    if root not in ROOTS:
        raise FileNameError(f"a path starts with in/ (given to the run) or out/ (delivered by it): {path!r}")
    name = name.rstrip("/")
    return root, clean_name(name) if name else ""
