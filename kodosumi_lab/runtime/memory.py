"""When a node runs out of memory: who is ended first, and how that is told.

The kernel ends the process with the highest score; Ray gives all of its workers the same one, so the
Spooler and the Dispatcher give theirs back (:func:`spare`) and a Runner goes first.

Ray's monitor acts before the kernel, at 95 % by default, and ends workers until enough is free: first those that
Ray may start again, the newest first, then the others, the newest first. A flow's Ray tasks are of the first sort,
and so are the Spooler and the Dispatcher, which come back and take over; a Runner, whose flow
must not silently begin anew, is of the second. So they may be ended along with it, and then learn from Ray what it
died of (:func:`ended_by_monitor`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["LACKED", "ended_by_monitor", "spare"]

#: Why a run is lost whose Runner was ended for its memory.
LACKED = "its Runner was killed because the node ran out of memory"

_SCORE = Path("/proc/self/oom_score_adj")


def spare() -> None:
    """Let the kernel end other workers before this process."""
    with contextlib.suppress(OSError, ValueError):  # another system, or a container that does not allow it
        if int(_SCORE.read_text()) > 0:
            _SCORE.write_text("0")


def ended_by_monitor(runner: str) -> bool:
    """Whether Ray's monitor has ended the Runner of that name."""
    import ray

    try:
        dead = ray._private.state.actors(actor_state_name="DEAD")  # no public way to ask, but with a dashboard
        return any(actor["Name"] == runner and actor["DeathCause"].HasField("oom_context") for actor in dead.values())
    except Exception:  # noqa: BLE001 - Ray's own affairs: without an answer the reason is a question
        return False
