"""Who did what through the gateway, in the event log itself.

A launch says who in its run's ``meta``, a cancel in the reason of the status, an answer in
the lease. What leaves no such trace (every MCP call, every delete) becomes an ``action``
event of a hidden run of the gateway's own. The gateway is an owner of the log like any
cluster's Spooler, so this needs no Ray; if it is killed, the next Spooler adopts what it
wrote.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from typing import Any

import polars as pl
from uuid_utils import uuid7

from kodosumi_lab.events import KIND_ID, dumps
from kodosumi_lab.runtime import ownership
from kodosumi_lab.runtime.log import LogWriter, make_batch
from kodosumi_lab.runtime.query import EventLog

__all__ = ["AUDIT_FLOW", "Audit"]

#: Name of the hidden runs' flow.
AUDIT_FLOW = "gateway-audit"


class Audit:
    """Writes entries, durably; nothing of it is in the log until the first one.

    Parameters
    ----------
    log
        The log.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._writer: LogWriter | None = None
        self._claim: Any = None
        self._run_id = ""
        self._producer = self._count = 0

    def note(self, user: str, via: str, call: str, outcome: str, **about: Any) -> None:
        """Record one call; returns when it is durable.

        Parameters
        ----------
        user, via, call
            Who, over what, and what.
        outcome
            ``ok``, or the kind of problem it ended with.
        **about
            Ids that say of what; never values of inputs, which may be secret.

        Raises
        ------
        LogError
            The log cannot be written.
        """
        with self._lock:
            if self._writer is None:
                self._open()
            entry = {"user": user, "via": via, "call": call, "outcome": outcome, **about}
            self._append("action", entry)

    def entries(self, limit: int) -> list[dict[str, Any]]:
        """The newest entries of all gateways of this log, newest first."""
        runs = self._log.runs(hidden=True).filter(pl.col("flow") == AUDIT_FLOW).sort("run_id", descending=True)
        found: list[dict[str, Any]] = []
        for run_id in runs.select("run_id").collect()["run_id"]:
            actions = self._log.events(run_id).filter(pl.col("kind") == "action").select("seq", "ts", "payload")
            rows = actions.sort("seq", descending=True).head(limit - len(found)).collect()
            found += [{"ts": ts, **json.loads(payload)} for _, ts, payload in rows.iter_rows()]
            if len(found) >= limit:
                break
        return found

    def close(self) -> None:
        """End the run and leave the log."""
        with self._lock:
            if self._writer is not None:
                self._append("status", {"status": "finished", "reason": "the gateway ended"})
                self._writer.close()
                self._claim.close(remove=True)
                self._writer = None

    def _open(self) -> None:
        owner = f"gateway{secrets.token_hex(6)}"
        self._claim = ownership.claim(self._log.layout, owner)
        self._claim.record(ownership.here(owner, os.getpid(), ""))
        self._writer = LogWriter(self._log.root, owner)
        self._run_id, self._producer, self._count = str(uuid7()), secrets.randbits(64), 0
        self._append("meta", {"flow": AUDIT_FLOW, "summary": "What was done through a gateway", "hidden": True})
        self._append("status", {"status": "running"})

    def _append(self, kind: str, payload: dict[str, Any]) -> None:
        assert self._writer is not None
        row = (time.time_ns() // 1000, KIND_ID[kind], None, dumps(payload))
        self._writer.commit([make_batch(self._run_id, 1, self._producer, self._count, [row])])
        self._count += 1
        if self._writer.full:
            self._writer.rotate()
            for name in self._writer.to_seal():
                self._writer.seal(name)
