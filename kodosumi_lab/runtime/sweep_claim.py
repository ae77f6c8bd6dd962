"""Which process starts the runs of a sweep, and how others have it stop.

It holds a lock on ``<log>/state/sweeps/<id>``, which the system takes back when the process ends,
however it ends. Whoever wants no more runs puts ``<id>.stop`` beside it. The file itself says why
the rest was not started, where that failed. Elsewhere than beside the log there is no such place,
and a sweep is then stopped only by the process that starts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from kodosumi_lab.errors import FlowError
from kodosumi_lab.runtime.layout import Layout

__all__ = ["Claim"]

_PAUSE_S = 0.02
# Whoever looks whether it is held holds it for a moment.
_PATIENCE_S = 0.5


class Claim:
    """The right to start runs of a sweep.

    Parameters
    ----------
    log_dir
        Directory of the log.
    sweep_id
        The sweep.
    """

    def __init__(self, log_dir: str | Path, sweep_id: str) -> None:
        layout = Layout(Path(log_dir))
        self._is_here = layout.root.is_dir()
        self._id = sweep_id
        self._path = layout.state / "sweeps" / sweep_id
        self._stop = self._path.with_name(f"{sweep_id}.stop")
        self._held: int | None = None

    def take(self) -> None:
        """Be the one who starts runs.

        Raises
        ------
        FlowError
            Another process does already, or the lock cannot be made.
        """
        if not self._is_here:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FlowError(f"no runs of sweep {self._id} are started: its lock cannot be made: {error}") from error
        until = time.monotonic() + _PATIENCE_S
        while not (held := _locked(file, fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        if not held:
            os.close(file)
            raise FlowError(f"another process starts the runs of sweep {self._id} at the moment; cancel it, or wait")
        self._stop.unlink(missing_ok=True)
        os.ftruncate(file, 0)
        self._held = file

    def release(self, failure: str = "") -> None:
        """Start no more; with the reason, where that is a failure."""
        file, self._held = self._held, None
        if file is None:
            return
        try:
            with contextlib.suppress(OSError):  # a full disk may well be that reason
                os.pwrite(file, failure.encode("utf-8", "replace"), 0)
                self._stop.unlink(missing_ok=True)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open, too
            os.close(file)

    @property
    def is_held(self) -> bool:
        """Whether some process starts runs, be it this one."""
        if self._held is not None:
            return True
        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            return not _locked(file, fcntl.LOCK_SH)
        finally:
            os.close(file)

    @property
    def failure(self) -> str:
        """Why the rest was not started; empty where nothing failed."""
        with contextlib.suppress(OSError):
            return self._path.read_text()
        return ""

    @property
    def is_unwanted(self) -> bool:
        """Whether somebody asks the one who holds it to stop."""
        return self._held is not None and self._stop.exists()

    def end(self, timeout_s: float = 10.0) -> None:
        """Have whoever holds it stop, and wait for that.

        Raises
        ------
        FlowError
            It has not stopped in time.
        """
        until = time.monotonic() + timeout_s
        while self.is_held:
            if time.monotonic() > until:
                raise FlowError(f"whoever starts the runs of sweep {self._id} has not stopped within {timeout_s:g} s")
            with contextlib.suppress(OSError):
                self._stop.touch()
            time.sleep(_PAUSE_S)


def _locked(file: int, sort: int) -> bool:
    try:
        fcntl.flock(file, sort | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
