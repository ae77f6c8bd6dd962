"""Named inputs of a flow, kept beside the log: ``<log>/state/presets/<flow>.json``.

The file is replaced at once, under a lock, so several notebooks of one log may keep presets of
one flow. Secrets and uploaded files are never in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import dumps
from kodosumi_lab.forms import SECRET, Model
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout

__all__ = ["Presets"]

# Longer names than file systems take end in their hash.
_LONGEST = 120


class Presets:
    """Presets of one flow.

    Parameters
    ----------
    log_dir
        Directory of the event log.
    flow
        The flow's name.
    """

    def __init__(self, log_dir: str | Path, flow: str) -> None:
        self.flow = flow
        name = quote(flow, safe="")
        if len(name) > _LONGEST:
            name = f"{name[:_LONGEST]}-{hashlib.sha256(flow.encode()).hexdigest()[:16]}"
        self.path = Layout(Path(log_dir)).state / "presets" / f"{name}.json"
        self._disk = Disk()

    def load(self) -> dict[str, dict[str, Any]]:
        """Form values by the name of their preset, in the order of the names.

        Raises
        ------
        LogError
            The file cannot be read.
        """
        try:
            data = json.loads(self.path.read_text())
            return {str(name): dict(values) for name, values in sorted(data["presets"].items())}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise LogError(f"the presets cannot be read: {error!r}; mend or remove the file: {self.path}") from error

    def save(self, name: str, values: dict[str, Any], elements: list[dict[str, Any]]) -> None:
        """Keep form values under a name, in place of those that it had.

        Parameters
        ----------
        name
            What a person calls them.
        values
            Form values by element name.
        elements
            The form; what is entered in its password and file elements is left out.

        Raises
        ------
        LogError
            The file cannot be written.
        """
        model = Model.model_validate(elements)
        dropped = {key for key, element in model.fields.items() if element.type == "file"} | set(model.secrets)
        kept = {key: value for key, value in values.items() if key not in dropped and value != SECRET}
        self._change(lambda presets: presets.__setitem__(name, kept))

    def remove(self, name: str) -> None:
        """Forget a preset; one that is not there is fine."""
        self._change(lambda presets: presets.pop(name, None))

    def _change(self, change: Callable[[dict[str, dict[str, Any]]], Any]) -> None:
        with self._alone():
            presets = self.load()
            change(presets)
            temporary = self.path.with_suffix(f".{secrets.token_hex(4)}.tmp")
            try:
                text = dumps({"version": 1, "flow": self.flow, "presets": presets})
                self._disk.create(temporary, text.encode())
                self._disk.rename(temporary, self.path)
            except BaseException:
                self._disk.unlink(temporary)
                raise
            self._disk.sync_dir(self.path.parent)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._disk.mkdir(self.path.parent)
            fd = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)
        except LogError:
            raise
        except OSError as error:
            raise LogError(f"the presets cannot be written: {error.strerror or error}: {self.path}") from error
