"""A field for files in a notebook's form: dropped or chosen, sent in the background, each with its progress.

What is sent goes the way of all uploads (:mod:`kodosumi_lab.runtime.uploads`), over HTTP or over
the comm, in chunks: a file may be as large as the log takes, and a broken connection is resumed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from kodosumi_lab.widgets.base import STATIC, LabWidget

__all__ = ["FileField", "Files"]


class Files(LabWidget):
    """Where files are dropped; its Python side only keeps what the front end tells.

    Parameters
    ----------
    element
        The element's dict.
    log_dir
        Directory of the log that keeps the files.

    Attributes
    ----------
    value : str
        The form value of what was chosen: ``{"batchId": …, "items": …}`` as JSON text; empty without files.
    pending : int
        How many of the files are not there yet.
    failed : str
        Why files could not be sent.
    wanted, heard, settled : int
        Each request to send is a number; up to which one somebody has the files, and sending has ended.
    """

    _esm = STATIC / "files.js"

    element = traitlets.Dict().tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)
    pending = traitlets.Int(0).tag(sync=True)
    failed = traitlets.Unicode("").tag(sync=True)
    used = traitlets.Unicode("").tag(sync=True)
    wanted = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)
    settled = traitlets.Int(0).tag(sync=True)

    def __init__(self, element: dict[str, Any], *, log_dir: str | Path | None = None) -> None:
        super().__init__(log_dir=log_dir, element=element)


class FileField(widgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Files that are uploaded, or the path of one on the cluster's machine.

    Parameters
    ----------
    element
        The element's dict.
    paths
        Whether a path may be entered instead.
    log_dir
        Directory of the log that keeps the files.

    Attributes
    ----------
    value : str
        What a form sends: the files as JSON text, or the path where one is entered; empty is nothing.
    upload : Files
        Where files are dropped.
    local : dict[str, pathlib.Path]
        Files of this machine that were given from Python, by name; they go along with a launch.
    """

    value = traitlets.Unicode("")

    def __init__(self, element: dict[str, Any], *, paths: bool, log_dir: str | Path | None = None) -> None:
        self.local: dict[str, Path] = {}
        self.upload = Files(element, log_dir=log_dir)
        about = {"width": "auto", "max_width": "42em"}
        self.path = widgets.Text(placeholder="or a path on the cluster's machine", layout=about)
        super().__init__([self.upload, *([self.path] if paths else [])], layout=about)
        for control in (self.upload, self.path):
            control.observe(self._take, "value")

    def _take(self, _: Any = None) -> None:
        if self.upload.value != _named(self.local):
            self.local = {}
        self.value = self.path.value.strip() or self.upload.value

    @property
    def problem(self) -> str:
        """Why files could not be sent; empty when nothing is wrong."""
        return "" if self.path.value.strip() else self.upload.failed

    @property
    def ready(self) -> bool:
        """Whether all is there that the value names."""
        if self.path.value.strip() or self.local or not self.upload.value:
            return True
        return self.batch is not None and self.upload.value != self.upload.used and not self.upload.pending

    @property
    def batch(self) -> str | None:
        """The batch that holds what was sent; None while a file has none."""
        said = json.loads(self.upload.value) if self.upload.value else {}
        whole = all(not str(key).startswith("waiting-") for key in said.get("items") or {})
        return (said.get("batchId") or None) if whole and not self.local else None

    @property
    def names(self) -> list[str]:
        """Names of the files, as they will be in ``in/``."""
        if self.path.value.strip() or not self.upload.value:
            return []
        return [str(item["filename"]) for item in json.loads(self.upload.value)["items"].values()]

    @property
    def expected(self) -> str:
        """What may be given from Python."""
        return "a path on the cluster's machine" if self.path in self.children else "files of this machine"

    def send(self) -> None:
        """Have the front end send what is not there yet; ``upload.settled`` tells that it has, or cannot."""
        self.upload.wanted += 1

    @property
    def is_settled(self) -> bool:
        """Whether it is known how the last sending has ended."""
        return self.ready or self.upload.settled >= self.upload.wanted

    def taken(self) -> None:
        """What was sent went to a run; the next one needs it anew."""
        if self.batch is not None:
            self.upload.used = self.upload.value

    def put(self, value: str | list[str]) -> None:
        """Show a value: files as JSON text, a path, or paths of files here where no path may be entered."""
        takes_path, text = self.path in self.children, value if isinstance(value, str) else ""
        is_files = text.lstrip().startswith("{")
        paths = [Path(one).expanduser() for one in ([value] if isinstance(value, str) else value) if one]
        is_local = not is_files and not takes_path and all(path.is_file() for path in paths)
        self.upload.failed = ""
        self.local = {path.name: path for path in paths} if is_local else {}
        self.upload.value = text if is_files else _named(self.local)
        self.path.value = text if takes_path and not is_files else ""
        self._take()


def _named(local: dict[str, Path]) -> str:
    """Files that are in no batch, as a form value."""
    items = {str(n): {"filename": name} for n, name in enumerate(local)}
    return json.dumps({"batchId": "", "items": items}) if items else ""
