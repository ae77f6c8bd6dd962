"""``Idempotency-Key``: the same request sent again starts nothing again, not even over a restart.

The run's id is drawn and written down under the key before anything starts. A repeat finds
it: a run of that id in the log is the answer; without one the first try got no further, and
the launch is made again under the same id, which the Dispatcher recognises.

Another service draws ids of its own, unless it is one of ours. That it was asked is written down before
it is; where its answer never came, a repeat is refused, since asking again might start a second run.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from uuid_utils import uuid7

from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.disk import Disk

__all__ = ["Keys"]

_KEPT_S = 24 * 3600.0
_SWEEP_S = 3600.0


class Keys:
    """The keys of the last 24 hours, one small file each.

    Parameters
    ----------
    folder
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disk = Disk()
        self._locks = [threading.Lock() for _ in range(64)]
        self._swept = 0.0
        self._secret: bytes | None = None

    @contextmanager
    def held(self, user: str, key: str, body: Any) -> Iterator[str]:
        """The id for the run of this request; only one request of the key is in the block at a time.

        An error in the block that says that nothing was started should be followed by :meth:`forget`.

        Raises
        ------
        Refused
            422: the key was used for another request.
        """
        path = self._path(user, key)
        with self._locks[int(path.name[:8], 16) % len(self._locks)]:
            self._disk.mkdir(self._folder)
            self._sweep()
            fingerprint = self._fingerprint(body)
            known = self._read(path) or self._reserve(path, fingerprint)
            if known["fingerprint"] != fingerprint:
                detail = f"Idempotency-Key {key[:80]!r} was used for another request; draw a new one for this"
                raise Refused(422, "idempotency-key", detail, run_id=known["run_id"])
            yield known["run_id"]

    def ask(self, user: str, key: str, url: str) -> None:
        """A service is about to be asked to start the run. Called in the block."""
        self._note(user, key, {"asked": url})

    def settle(self, user: str, key: str, run_id: str) -> None:
        """The run has another id than was drawn; a repeat finds that one. Called in the block."""
        self._note(user, key, {"run_id": run_id, "settled": True})

    def noted(self, user: str, key: str) -> dict[str, Any]:
        """What :meth:`ask` (``asked``, the address) and :meth:`settle` (``settled``) have noted under the key."""
        return self._read(self._path(user, key)) or {}

    def forget(self, user: str, key: str) -> None:
        """Nothing was started under the key."""
        self._disk.unlink(self._path(user, key))

    def _path(self, user: str, key: str) -> Path:
        return self._folder / hashlib.sha256(f"{user}\0{key}".encode()).hexdigest()

    def _note(self, user: str, key: str, facts: dict[str, Any]) -> None:
        path = self._path(user, key)
        temporary = path.with_name(f".{path.name[:16]}-{secrets.token_hex(8)}")
        self._disk.create(temporary, json.dumps({**self.noted(user, key), **facts}).encode())
        self._disk.rename(temporary, path)
        self._disk.sync_dir(self._folder)

    def _reserve(self, path: Path, fingerprint: str) -> dict[str, str]:
        known = {"fingerprint": fingerprint, "run_id": str(uuid7())}
        temporary = path.with_name(f".{path.name[:16]}-{secrets.token_hex(8)}")
        self._disk.create(temporary, json.dumps(known).encode())
        try:
            os.link(temporary, path)  # unlike a rename it fails where another process was first
        except FileExistsError:
            return self._read(path) or known
        finally:
            self._disk.unlink(temporary)
        self._disk.sync_dir(self._folder)
        return known

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            return dict(json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def _fingerprint(self, body: Any) -> str:
        """Keyed, since the body may hold a password that could be guessed from a plain hash."""
        if self._secret is None:
            path = self._folder / ".secret"
            with suppress(FileExistsError):
                temporary = path.with_name(f".secret-{secrets.token_hex(8)}")
                self._disk.create(temporary, secrets.token_bytes(32))
                try:
                    os.link(temporary, path)
                finally:
                    self._disk.unlink(temporary)
            self._secret = path.read_bytes()
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).hexdigest()

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.name != ".secret" and now - path.stat().st_mtime > _KEPT_S:
                    self._disk.unlink(path)
