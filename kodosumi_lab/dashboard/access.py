"""The log and the gateway as one person meets them: frames of what may be seen, requests in that person's name.

What may be seen is decided where the gateway decides it; nothing here widens it. Everything that takes time runs
in a thread, so that no session waits for another one's query, and answers are kept while the log stays as it is.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx
import polars as pl

from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.guard import As
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.api.listing import Listing
from kodosumi_lab.api.sessions import REQUEST_HEADER
from kodosumi_lab.dashboard import numbers
from kodosumi_lab.dashboard.numbers import Question

__all__ = ["Access", "Answers", "Problem"]

_KEPT = 200
# Joining a cluster is what takes longest.
_TIMEOUT_S = 200.0


class Problem(Exception):
    """A request was refused.

    Attributes
    ----------
    detail : str
        Why, and what to do.
    status : int
        HTTP status.
    errors : dict
        Messages by field, where there are some.
    """

    def __init__(self, detail: str, status: int = 0, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail, self.status, self.errors = detail, status, errors or {}


class Answers:
    """Frames that were computed, for as long as the log stays as it is; shared by all sessions of a process.

    Parameters
    ----------
    gateway
        Whose log.
    changed_at
        When the log was last seen to have changed, as ``time.monotonic`` has it; infinity: nobody looks. On a log that
        changes all the time an answer counts until the next look, so that sessions which are told together share it.
    """

    def __init__(self, gateway: Gateway, changed_at: Callable[[], float] = lambda: math.inf) -> None:
        self._gateway, self._changed_at = gateway, changed_at
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[float, str, pl.DataFrame]] = OrderedDict()

    def position(self) -> str:
        """Something that differs once the log does."""
        return repr(self._gateway.index.state())

    def get(self, question: Question, user: User) -> pl.DataFrame:
        """The frame of a question as this user may ask it."""
        everything = user.may_see(None)
        # one at a time: the next one that asks the same finds the answer, and the machine stays usable
        with self._lock:
            key = (None if everything else user.name, question.code)
            at, position, frame = self._kept.get(key, (-math.inf, "", None))
            began, now = time.monotonic(), self.position()  # which refuses while the log is away
            if frame is None or (position != now and at <= self._changed_at()):
                runs = runs_of(self._gateway, user)
                frame = numbers.answer(question, runs, lambda **days: events_of(self._gateway, user, **days))
                self._kept[key] = (began, now, frame)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return frame


def runs_of(gateway: Gateway, user: User) -> pl.LazyFrame:
    """The run list that a user may see."""
    return gateway.index.frame().lazy().filter(*Listing().wanted(user))


def events_of(
    gateway: Gateway, user: User, since: datetime.date | None = None, until: datetime.date | None = None
) -> pl.LazyFrame:
    """Events of runs that a user may see; hidden runs are nobody's."""
    ids = runs_of(gateway, user).select("run_id")
    return gateway.log.events(since=since, until=until).join(ids, on="run_id", how="semi")


class Access:
    """What a session asks; see the module.

    Parameters
    ----------
    app
        The gateway's application.
    user
        In whose name.
    answers
        Of the process.
    still
        Whether that user may still be here; asked each time.
    """

    def __init__(self, app: Any, user: User, answers: Answers, still: Callable[[], bool] = lambda: True) -> None:
        self.gateway: Gateway = app.state.gateway
        self.user, self.answers, self._still = user, answers, still
        self._transport = httpx.ASGITransport(As(app, user), raise_app_exceptions=False)

    def may(self, role: Role) -> bool:
        """Whether the user has this role, or a greater one."""
        return self.user.role >= role

    def check(self) -> None:
        """Refuse a session whose user's tokens were revoked, or give less than they did.

        Raises
        ------
        Problem
            Such a user has to sign in again.
        """
        if not self._still():
            raise Problem(f"{self.user.name} is signed out: the token was revoked. Load the page to sign in again", 401)

    async def frame(self, question: Question) -> pl.DataFrame:
        """The frame of a question.

        Raises
        ------
        Problem
            The log cannot be read.
        """
        self.check()
        try:
            return await asyncio.to_thread(self.answers.get, question, self.user)
        except OSError as error:
            raise Problem(str(error), 503) from error

    async def values(self, column: str) -> list[str]:
        """What occurs in a column of the run list, the most frequent first."""
        code = (
            f"(kl.runs().group_by(name=pl.col({column!r})).len()"
            '.sort("len", "name", descending=[True, False]).head(500))'
        )
        found = await self.frame(Question(column, column, code))
        return [value for value in found["name"] if value]

    async def run(self, run_id: str) -> dict[str, Any]:
        """A run's index row.

        Raises
        ------
        Problem
            There is none that the user may see.
        """
        found: dict[str, Any] = await self.call("GET", f"/runs/{run_id}")
        return found

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask one of the gateway's routes.

        Parameters
        ----------
        method, path
            Below ``/api/v1``.
        body
            JSON.
        **query
            Of the address; None is left out.

        Returns
        -------
        Any
            The answer's JSON; None where it has none.

        Raises
        ------
        Problem
            The gateway refuses.
        """
        self.check()
        given = {key: value for key, value in query.items() if value is not None}
        async with httpx.AsyncClient(transport=self._transport, base_url="http://gateway", timeout=_TIMEOUT_S) as ask:
            answer = await ask.request(method, f"/api/v1{path}", json=body, params=given, headers={REQUEST_HEADER: "1"})
        try:
            told = json.loads(answer.content) if answer.content else None
        except ValueError:
            told = None
        if answer.status_code >= 400:
            about = told if isinstance(told, dict) else {}
            raise Problem(about.get("detail") or answer.text[:300], answer.status_code, about.get("errors"))
        return told
