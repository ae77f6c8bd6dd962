"""Who writes a log: an owner is one cluster's Spooler, named in ``hot/<owner>.json``.

Several owners may share a log directory. A file of another owner is touched only when its
cluster is provably gone: on this host another boot, or its node's process dead and its
address closed; on another host a person has to say so (``kodosumi-lab doctor --adopt``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from kodosumi_lab.errors import LogError
from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout

__all__ = ["Claim", "Owner", "adopt", "claim", "here", "is_gone", "is_here", "owners"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Facts by which others judge whether a cluster is still there.

    Attributes
    ----------
    owner
        Prefix of its segments.
    host, boot
        Where it runs, and since which boot of that host.
    pid, created
        The node's process (raylet) and when it started, seconds since 1970.
    address
        ``host:port`` of the cluster.
    """

    owner: str
    host: str
    boot: str
    pid: int
    created: float
    address: str
    session: str = ""


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(int(psutil.boot_time()))


def here(owner: str, pid: int, address: str, session: str = "") -> Owner:
    """This host's facts for an owner whose node process is `pid`."""
    return Owner(owner, platform.node(), _boot_id(), pid, psutil.Process(pid).create_time(), address, session)


def is_gone(owner: Owner) -> bool | None:
    """Whether the owner's cluster has provably ended; None when that cannot be told from here."""
    if owner.host != platform.node():
        return None
    if owner.boot != _boot_id():
        return True
    try:
        # a clock correction moves create_time by a little; a reused pid differs by far more
        process = psutil.Process(owner.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE  # in containers nobody may ever reap it
        if alive and abs(process.create_time() - owner.created) < 2:
            return False
    except psutil.NoSuchProcess:
        pass
    host, _, port = owner.address.rpartition(":")
    if not port.isdigit():
        return True
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False


def owners(layout: Layout) -> list[Owner]:
    """Owners that have files in the log."""
    result = []
    for path in sorted(layout.hot.glob("*.json")) if layout.hot.is_dir() else []:
        with contextlib.suppress(OSError, ValueError, TypeError):
            result.append(Owner(**json.loads(path.read_text())))
    return result


def is_here(layout: Layout, owner: str) -> bool:
    """Whether this directory is the one that the owner writes, and its machine is this one."""
    return any(
        found.owner == owner and found.host == platform.node() and found.boot == _boot_id() for found in owners(layout)
    )


class Claim:
    """The right to write an owner's segments, held until closed or until the process dies."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def record(self, owner: Owner) -> None:
        """Say whose it is."""
        temporary = self.path.with_suffix(".json.tmp")
        temporary.write_text(json.dumps(asdict(owner)))
        os.replace(temporary, self.path)

    def close(self, *, remove: bool = False) -> None:
        """Give the right back; with `remove` the owner leaves the log for good."""
        if remove:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._fd)


def claim(layout: Layout, owner: str, *, timeout_s: float = 0.0) -> Claim:
    """Take the right to write an owner's segments.

    Raises
    ------
    LogError
        Another living process holds it.
    """
    layout.hot.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = layout.owner(owner)
    lock = path.with_suffix(".lock")
    end = time.monotonic() + timeout_s
    while True:
        fd = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # who left for good has unlinked the file: a lock on that one would keep nobody out
            if _same_file(lock, fd):
                return Claim(path, fd)
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(fd)
                raise LogError(f"another process is writing the segments of owner {owner}: {path}") from None
            time.sleep(0.05)
        os.close(fd)


def _same_file(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def adopt(layout: Layout, owner: str, *, disk: Disk | None = None) -> list[str]:
    """Bring the log of a cluster that is gone to an end.

    Its open runs end as ``lost``, its segments become Parquet, its name leaves the log.
    May be interrupted at any point and repeated.

    Returns
    -------
    list of str
        Runs that were ended.

    Raises
    ------
    LogError
        Its writer is alive, or the log cannot be written.
    """
    from kodosumi_lab.runtime.log import LogWriter, make_batch  # pyarrow: not for whoever only asks where a log is

    held = claim(layout, owner)
    try:
        writer = LogWriter(layout.root, owner, disk=disk)
        lost = [state for state in writer.runs.values() if not state.closed]
        now = time.time_ns() // 1000
        payload = dumps({"status": "lost", "reason": "its cluster ended before the run did"})
        for state in lost:
            row = (now, KIND_ID["status"], None, payload)
            ack = writer.commit([make_batch(state.run_id, state.attempt, secrets.randbits(64), 0, [row])])[0]
            if ack.refused is not None:
                raise LogError(f"run {state.run_id} of owner {owner} cannot be ended: {ack.refused}")
        writer.close()
    except BaseException:
        held.close()
        raise
    held.close(remove=True)
    return [state.run_id for state in lost]
