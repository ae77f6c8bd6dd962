"""What all sessions of a process share: the gateway's application, answers, and the look at the log."""

from __future__ import annotations

import threading
from typing import Any

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.identity import User
from kodosumi_lab.dashboard.access import Access, Answers
from kodosumi_lab.dashboard.pulse import Pulse

__all__ = ["Hub", "here"]

_lock = threading.Lock()
_here: Hub | None = None


class Hub:
    """See the module.

    Parameters
    ----------
    app
        The gateway's application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.gateway: Gateway = app.state.gateway
        self.answers = Answers(self.gateway)
        self.pulse = Pulse(self.gateway)

    def access(self, user: User) -> Access:
        """What a session of this user asks."""
        return Access(self.app, user, self.answers)


def here() -> Hub:
    """That of this process, over the log of the settings; for ``panel serve``, where no gateway is beside it."""
    global _here
    with _lock:
        if _here is None:
            from kodosumi_lab.api.app import create_app

            _here = Hub(create_app())
        return _here
