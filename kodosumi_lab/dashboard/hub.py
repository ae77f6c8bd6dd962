"""What all sessions of a process share: the gateway's application, answers, and the look at the log."""

from __future__ import annotations

import threading
from typing import Any

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.identity import TokenFile, User
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
        self.pulse = Pulse(self.gateway)
        self.answers = Answers(self.gateway, lambda: self.pulse.changed_at)

    def access(self, user: User, *, by_token: bool = False) -> Access:
        """What a session of this user asks; one who came `by_token` is out once no token gives that role any more."""
        if not by_token:
            return Access(self.app, user, self.answers)
        tokens = TokenFile(self.gateway.log.layout.state)
        return Access(self.app, user, self.answers, lambda: (tokens.role_of(user.name) or 0) >= user.role)


def here() -> Hub:
    """That of this process, over the log of the settings; for ``panel serve``, where no gateway is beside it."""
    global _here
    with _lock:
        if _here is None:
            from kodosumi_lab.api.app import create_app

            _here = Hub(create_app())
        return _here
