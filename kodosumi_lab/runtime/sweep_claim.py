"""Which process starts the runs of a sweep, and how others have it stop.

It holds a lock on ``<log>/state/sweeps/<id>``, which the system takes back when the process ends,
however it ends. Whoever wants no more runs puts ``<id>.stop`` beside it. The file is taken away with
the lock, unless the rest was not started because that failed: then it says why. Elsewhere than
beside the log there is no such place, and a sweep is then stopped only by the process that starts it.
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
        until = time.monotonic() + _PATIENCE_S
        while (file := self._locked_file()) is None:
            if time.monotonic() > until:
                raise FlowError(
                    f"another process starts the runs of sweep {self._id} at the moment; cancel it, or wait"
                )
            time.sleep(_PAUSE_S)
        self._stop.unlink(missing_ok=True)
        os.ftruncate(file, 0)
        self._held = file

    def _locked_file(self) -> int | None:
        """The file, open and locked; None where somebody else has it, or has just taken it away."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FlowError(f"no runs of sweep {self._id} are started: its lock cannot be made: {error}") from error
        if _locked(file, fcntl.LOCK_EX) and self._is_at_its_place(file):
            return file
        os.close(file)
        return None

    def _is_at_its_place(self, file: int) -> bool:
        """Whether whoever comes next finds the same file, and so the same lock."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file), self._path.stat())
        return False

    def release(self, failure: str = "") -> None:
        """Start no more; with the reason, where that is a failure."""
        file, self._held = self._held, None
        if file is None:
            return
        try:
            with contextlib.suppress(OSError):  # a full disk may well be that reason
                if failure:
                    os.pwrite(file, failure.encode("utf-8", "replace"), 0)
                else:
                    self._path.unlink(missing_ok=True)
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
        with contextlib.suppress(OSError):
            self._stop.unlink(missing_ok=True)  # it may have been asked just when it stopped of itself


def _locked(file: int, sort: int) -> bool:
    try:
        fcntl.flock(file, sort | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
