"""``kodosumi.const``: names of headers, kinds of events and statuses."""

from __future__ import annotations

from kodosumi_lab.events import KINDS, STATUSES
from kodosumi_lab.runtime.services import ANONYMOUS, BASE_HEADER, LAUNCH_HEADER, URL_HEADER, USER_HEADER

KODOSUMI_USER = USER_HEADER
KODOSUMI_BASE = BASE_HEADER
KODOSUMI_URL = URL_HEADER
KODOSUMI_LAUNCH = LAUNCH_HEADER
ANNONYMOUS_USER = ANONYMOUS

globals().update({f"EVENT_{kind.upper()}": kind for kind in KINDS})
globals().update({f"STATUS_{status.upper()}": status for status in STATUSES})
STATUS_FINAL = ("finished", "error")

__all__ = [name for name in globals() if name.isupper()]
