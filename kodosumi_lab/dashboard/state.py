"""What one person looks at: the page, the run, the filters. No Panel here, and no files.

A state is its address: :attr:`State.query` says everything, and :meth:`State.read` takes it back. Only what
differs from the beginning stands in it, and only what the page makes use of, so that links stay short.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

import param

from kodosumi_lab.api.listing import SORTS, Listing
from kodosumi_lab.events import STATUSES

__all__ = ["LAST", "PAGES", "RELEVANT", "SPLITS", "State"]

#: Pages by their name in the address, and as people read them.
PAGES = {
    "flows": "Flows",
    "runs": "Runs",
    "run": "Run",
    "inbox": "Inbox",
    "analytics": "Analytics",
    "cluster": "Cluster",
    "control": "Control",
}

#: Spans of time that end now.
LAST = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400, "90d": 90 * 86_400, "all": None}

#: What numbers can be split by.
SPLITS = ("flow", "user", "status", "agent", "node")

_FILTERS = ("status", "flow", "user", "tag", "search", "last", "since", "until")
#: What each page makes use of.
RELEVANT: Mapping[str, tuple[str, ...]] = {
    "flows": ("search", "chosen"),
    "runs": (*_FILTERS, "sort", "parent", "compare"),
    "run": ("run", "tab"),
    "inbox": (),
    "analytics": (*_FILTERS, "by", "tab", "sql"),
    "cluster": (),
    "control": ("tab",),
}
_NAMES = {"search": "q"}
_MOST = 2000
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class State(param.Parameterized):
    """What one person looks at.

    Attributes
    ----------
    page
        One of :data:`PAGES`.
    run, tab
        The run that is shown, and which part of a page.
    chosen
        The flow whose form is shown.
    status, flow, user, tag, search, parent
        Which runs; empty means whatever.
    last, since, until
        When they started: one of :data:`LAST`, or from and until, which win over it.
    sort
        A column of :data:`kodosumi_lab.api.listing.SORTS`; a leading minus turns the order round.
    compare
        Ids of runs that are held against each other.
    by
        What the numbers are split by.
    sql
        The query of the console.
    """

    page: Any = param.Selector(default="flows", objects=list(PAGES))
    run = param.String("")
    tab = param.String("")
    chosen = param.String("")
    status = param.List([], item_type=str)
    flow = param.List([], item_type=str)
    user = param.List([], item_type=str)
    tag = param.List([], item_type=str)
    search = param.String("")
    parent = param.String("")
    compare = param.List([], item_type=str)
    last: Any = param.Selector(default="all", objects=list(LAST))
    since = param.ClassSelector(class_=datetime.datetime, default=None, allow_None=True)
    until = param.ClassSelector(class_=datetime.datetime, default=None, allow_None=True)
    sort: Any = param.Selector(default="-started", objects=[sign + name for name in SORTS for sign in ("-", "")])
    by: Any = param.Selector(default="flow", objects=list(SPLITS))
    sql = param.String("")

    @property
    def query(self) -> str:
        """The address of this, from its question mark on."""
        told: list[tuple[str, str]] = [("page", self.page)]
        for name in RELEVANT[self.page]:
            value = getattr(self, name)
            if value == self.param[name].default:
                continue
            if name == "last" and self._has_range:
                continue
            told.append((_NAMES.get(name, name), _text(value)))
        return "?" + urlencode(told, safe=",:")

    @property
    def _has_range(self) -> bool:
        return self.since is not None or self.until is not None

    def read(self, query: str) -> list[str]:
        """Look at what an address says.

        Parameters
        ----------
        query
            From its question mark on. What it does not say is as in the beginning.

        Returns
        -------
        list[str]
            What it says that cannot be, in words; the rest of it holds.
        """
        given = {name: values[0] for name, values in parse_qs(query.removeprefix("?")[:20_000]).items()}
        wrong: list[str] = []
        page = given.get("page", self.param["page"].default)
        if page not in PAGES:
            wrong.append(f"there is no page {page[:40]!r}; there are: {', '.join(PAGES)}")
            page = self.param["page"].default
        values: dict[str, Any] = {name: self.param[name].default for names in RELEVANT.values() for name in names}
        for name in RELEVANT[page]:
            said = given.get(_NAMES.get(name, name))
            if said:
                try:
                    values[name] = _parsed(self.param[name], name, said[:_MOST])
                except ValueError as error:
                    wrong.append(str(error))
        self.param.update(page=page, **values)
        return wrong

    def go(self, page: str, **values: Any) -> None:
        """Look at another page, from its beginning but for what is given."""
        kept = {name: self.param[name].default for names in RELEVANT.values() for name in names}
        self.param.update(**{**kept, **values, "page": page})

    def narrow(self, name: str, value: str) -> None:
        """Only runs of this value, or again those of others where it is chosen already."""
        chosen = list(getattr(self, name))
        setattr(self, name, [one for one in chosen if one != value] if value in chosen else [*chosen, value])

    def listing(self, now: datetime.datetime) -> Listing:
        """The runs that are asked for."""
        since, until = self.range(now)
        return Listing(
            status=self.status,
            flow=self.flow,
            user=self.user,
            tag=self.tag,
            parent=self.parent or None,
            since=since,
            until=until,
            search=self.search or None,
            sort=self.sort,
        )

    def range(self, now: datetime.datetime) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        """From when and until when; None means from the first, and until now."""
        if self._has_range:
            return self.since, self.until
        seconds = LAST[self.last]
        return (now - datetime.timedelta(seconds=seconds) if seconds is not None else None), None

    def link(self, page: str, **values: Any) -> str:
        """Address of another page."""
        other = State()  # type: ignore[no-untyped-call]
        other.go(page, **values)
        return other.query


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(one.replace("\\", "\\\\").replace(",", "\\,") for one in value)
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(value)


def _parsed(about: param.Parameter[Any], name: str, said: str) -> Any:
    if isinstance(about, param.List):
        values = [re.sub(r"\\(.)", r"\1", one) for one in re.findall(r"((?:[^,\\]|\\.)+)", said)]
        unknown = [one for one in values if name == "status" and one not in STATUSES]
        if unknown:
            raise ValueError(f"there is no status {unknown[0]!r}; there are: {', '.join(STATUSES)}")
        return values
    if name in ("since", "until"):
        try:
            when = datetime.datetime.fromisoformat(said)
            return when.astimezone(datetime.UTC) if when.tzinfo else when.replace(tzinfo=datetime.UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{name}={said[:40]} is no time; expected one such as 2026-11-22T09:00:00Z") from None
    if isinstance(about, param.Selector):
        if said not in about.objects:
            raise ValueError(f"{name}={said[:40]} cannot be; there are: {', '.join(about.objects)}")
        return said
    if name == "tab" and not _SAFE_NAME.fullmatch(said):
        raise ValueError(f"{name}={said[:40]} cannot be")
    return said
