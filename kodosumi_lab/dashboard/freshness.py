"""Whether what a page shows is as things are now; and what is said, on that page, while it is not."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from kodosumi_lab.dashboard.pulse import SILENT, Pulse
from kodosumi_lab.dashboard.words import ago

__all__ = ["Freshness"]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Freshness:
    """Of the pages of one session.

    Parameters
    ----------
    pulse
        The look at the log.
    now
        The time.
    """

    def __init__(self, pulse: Pulse, now: Callable[[], datetime.datetime] = _now) -> None:
        self._pulse, self._now = pulse, now
        self._shown: dict[str, datetime.datetime] = {}
        self._failed: dict[str, str] = {}

    def shown(self, page: str) -> None:
        """A page has just been drawn from what there is."""
        self._shown[page] = self._now()
        self._failed.pop(page, None)

    def failed(self, page: str, reason: str) -> bool:
        """A page could not be drawn; whether for another reason than the last time."""
        known = self._failed.get(page)
        self._failed[page] = reason
        return known != reason

    def again(self, page: str) -> bool:
        """Whether a page is to be tried again."""
        return page in self._failed

    def told(self, page: str) -> str:
        """What is to be said on a page; nothing while it is up to date."""
        pulse, now = self._pulse, self._now()
        reason, since = self._failed.get(page) or pulse.trouble, self._shown.get(page)
        if reason is None and now - pulse.looked_at < SILENT:
            return ""
        if page not in self._failed and since is not None:
            since = max(since, pulse.looked_at)  # nothing had changed until then
        reason = reason or "the log does not answer"
        if since is None:
            return f"Not shown yet: {reason}. Trying again."
        at = since.strftime("%H:%M:%S")
        return f"Not up to date: this is as of {at} UTC, {ago(since, now)}; {reason}. Trying again."
