"""Where a running gateway carries a service of this log, and what lets this machine's person in there.

The gateway says so itself, in ``state/services/``, below which only the log's owner reads. What a run
says of its service names a path there, never a host: whoever launches a run could say anything.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.disk import Disk
from kodosumi_lab.runtime.layout import Layout

__all__ = ["announce", "find", "withdraw"]


def _place(log_dir: str | Path, path: str) -> Path:
    return Layout(Path(log_dir)).state / "services" / f"{quote(path, safe='')}.json"


def announce(log_dir: str | Path, path: str, url: str) -> None:
    """Record that this process carries a service.

    Parameters
    ----------
    log_dir
        The gateway's log.
    path
        At which the service is mounted.
    url
        Of the gateway.
    """
    disk, place = Disk(), _place(log_dir, path)
    disk.mkdir(place.parent)
    told = {"url": url.rstrip("/") + path, "process": asdict(ownership.here(path, os.getpid(), ""))}
    temporary = place.with_name(f".{secrets.token_hex(8)}")
    disk.create(temporary, json.dumps(told).encode())
    disk.rename(temporary, place)


def withdraw(log_dir: str | Path, path: str) -> None:
    """Take back what this process has announced; another one's record stays."""
    place = _place(log_dir, path)
    try:
        told = json.loads(place.read_text())
        if told["process"]["pid"] == os.getpid():
            Disk().unlink(place)
    except (OSError, ValueError, KeyError, TypeError):
        return


def find(log_dir: str | Path, path: str) -> tuple[str, str | None] | None:
    """The address of a service that is carried now, and the token for it.

    Parameters
    ----------
    log_dir
        A log on this machine.
    path
        At which the service is mounted.

    Returns
    -------
    tuple or None
        The URL, and the token of this machine's person, where the gateway made one; None where no process
        that still runs carries the service.
    """
    try:
        told = json.loads(_place(log_dir, path).read_text())
        # a port outlives its process: somebody else may listen there by now
        if ownership.is_gone(ownership.Owner(**told["process"])) is not False:
            return None
        url = str(told["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        return url, (Layout(Path(log_dir)).state / "gateway.token").read_text().strip() or None
    except OSError:
        return url, None
