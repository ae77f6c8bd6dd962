"""The Flow Register: the catalogue of sources and of the flows found in them.

It is the file ``<log>/state/register.json``, so it outlives every process and is the same for
all that share the log: each change reads the file, changes it and replaces it under a lock.
Sources are read outside that lock, since a module may take long and a service may not answer;
what was found is merged into the file as it is by then.

Flows of this process (a notebook's) are in no file; those of installed packages are read once
per environment and again when a package changes. Tokens of services are in a file of their
own that only its user can read.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import fcntl
import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kodosumi_lab.errors import FlowError, FlowNotFound, LogError
from kodosumi_lab.events import dumps
from kodosumi_lab.flow import Flow, entrypoint_of, load, registered
from kodosumi_lab.runtime import home, sources
from kodosumi_lab.runtime.layout import Layout
from kodosumi_lab.runtime.remote import RemoteFlow
from kodosumi_lab.runtime.run import event_log
from kodosumi_lab.runtime.sources import Found

if TYPE_CHECKING:
    import polars as pl

__all__ = ["GROUP", "Register", "find", "flows", "refresh", "register", "unregister"]

#: Entry points by which installed packages offer flows: a module, or one flow.
GROUP = "kodosumi_lab.flows"

# A module may import a large library for the first time; a person waits for the answer.
_TIMEOUT_S = 30.0
# Processes that import modules at the same time: each is a Python of its own.
_AT_ONCE = 4

_T = TypeVar("_T")
_Row = dict[str, Any]


class Register:
    """The register of one event log.

    Parameters
    ----------
    log_dir
        Directory of the event log; this process's by default.
    """

    def __init__(self, log_dir: str | Path | None = None) -> None:
        self.root = Path(log_dir) if log_dir is not None else event_log().root
        folder = Layout(self.root).state
        self.path = folder / "register.json"
        self._lock = folder / "register.lock"
        self._tokens = folder / "register-tokens.json"

    # -- the file -----------------------------------------------------------------------

    def load(self) -> dict[str, Any]:
        """What is registered now.

        Raises
        ------
        LogError
            The file cannot be read.
        """
        try:
            data = json.loads(self.path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            data = {}
        except (OSError, ValueError) as error:
            raise LogError(f"the register cannot be read: {error}; mend it or remove it: {self.path}") from error
        return {"version": 1, "sources": {}, "installed": {}, **data}

    def _change(self, change: Callable[[dict[str, Any]], _T]) -> _T:
        """Apply a change to the file as it is now; nobody else changes it meanwhile."""
        with self._alone():
            data = self.load()
            result = change(data)
            _replace(self.path, dumps(data))
            return result

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)
        except LogError:
            raise
        except OSError as error:
            raise LogError(f"the register cannot be written: {error.strerror or error}: {self.path}") from error

    def token(self, source: str) -> str | None:
        """Token of a service, or None."""
        found = self._all_tokens().get(source)
        return str(found) if found is not None else None

    def _all_tokens(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._tokens.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise LogError(f"the tokens of services cannot be read; mend or remove the file: {self._tokens}") from error

    def _keep_token(self, source: str, token: str | None) -> None:
        with self._alone():
            known = self._all_tokens()
            if known.get(source) != token:
                changed = {**known, source: token}
                _replace(self._tokens, json.dumps({key: value for key, value in changed.items() if value is not None}))

    # -- sources ------------------------------------------------------------------------

    def sources(self) -> list[_Row]:
        """What is registered: ``source, kind, state, failed`` (reasons by part), ``flows`` (names) and times.

        The state is ``ok``; ``stale`` where flows are kept of what cannot be read any more; ``failed``
        where something cannot be read and never was; ``unread`` until it was read first.
        """
        return [_source(name, entry) for name, entry in sorted(self.load()["sources"].items())]

    def add(self, source: str, *, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> list[_Row]:
        """Register a source, or register it anew from here, and read it; its rows."""
        kind = sources.kind_of(source)
        if token is not None and kind == "module":
            raise FlowError(f"{source!r} is a module, which takes no token; tokens are for services")
        place = home.place() if kind == "module" else {"cwd": "", "sys_path": []}

        def change(data: dict[str, Any]) -> None:
            known = data["sources"].get(source, {"registered": _now(), "flows": [], "failed": {}, "refreshed": None})
            data["sources"][source] = {**known, "kind": kind, "place": place}

        if token is not None:
            self._keep_token(source, token)
        self._change(change)
        return self.read([source], timeout_s=timeout_s)

    def remove(self, source: str) -> None:
        """Forget a source and its token."""

        def change(data: dict[str, Any]) -> None:
            if data["sources"].pop(source, None) is None:
                raise _unknown(source, data)

        self._change(change)
        self._keep_token(source, None)

    def read(self, names: list[str] | None = None, *, timeout_s: float = _TIMEOUT_S) -> list[_Row]:
        """Read sources again, all and the installed packages by default; their rows."""
        known = self.load()
        for name in names or []:
            if name not in known["sources"]:
                raise _unknown(name, known)
        wanted = names if names is not None else list(known["sources"])

        def one(name: str) -> Found:
            entry = known["sources"][name]
            token = self.token(name)
            return sources.read(name, entry["kind"], place=entry["place"], token=token, timeout_s=timeout_s)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(zip(wanted, pool.map(one, wanted), strict=True))

        def change(data: dict[str, Any]) -> dict[str, Any]:
            for name, now in found.items():
                if name in data["sources"]:  # nobody has unregistered it meanwhile
                    data["sources"][name] = _merged(data["sources"][name], name, now)
            return data

        data = self._change(change)
        rows = [row for name in wanted if name in data["sources"] for row in _rows(name, data["sources"][name])]
        return rows + (self.installed(fresh=True, timeout_s=timeout_s) if names is None else [])

    def installed(self, *, fresh: bool = False, timeout_s: float = _TIMEOUT_S) -> list[_Row]:
        """Rows of the flows that packages of this environment offer by entry points."""
        points = _entry_points()
        held = self.load()["installed"].get(sys.prefix)
        if not points and held is None:
            return []
        if fresh or held is None or held["points"] != points:
            place = {"cwd": os.getcwd(), "sys_path": []}

            def one(value: str) -> Found:
                return sources.read(value, "installed", place=place, token=None, timeout_s=timeout_s)

            values = sorted(set(points.values()))
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = dict(zip(values, pool.map(one, values), strict=True))
            before = held["sources"] if held is not None else {}
            empty: dict[str, Any] = {"kind": "installed", "flows": [], "failed": {}, "refreshed": None}
            entries = {name: _merged(before.get(name, empty), name, now) for name, now in found.items()}
            held = {"points": points, "sources": entries}
            with contextlib.suppress(LogError):  # a log of somebody else's: they are read again next time
                self._change(lambda data: data["installed"].__setitem__(sys.prefix, held))
        return [row for name, entry in held["sources"].items() for row in _rows(name, entry)]

    def place_of(self, row: _Row) -> dict[str, Any]:
        """Where a row's module is imported from: ``cwd`` and ``sys_path``."""
        entry = self.load()["sources"].get(row["source"])
        return dict(entry["place"]) if entry is not None else {"cwd": os.getcwd(), "sys_path": []}

    def rows(self, *, read: bool = True) -> list[_Row]:
        """All rows of the catalogue: this process's flows, then those of the sources and of installed packages.

        With `read`, packages that were never read are; that takes its time.
        """
        data = self.load()
        found = [row for name, entry in sorted(data["sources"].items()) for row in _rows(name, entry)]
        if read or sys.prefix in data["installed"]:
            found += self.installed()
        known = {row["entrypoint"] for row in found if row["entrypoint"]}
        here = [_row_here(flow) for flow in registered().values()]
        return [row for row in here if row["entrypoint"] not in known] + found


def _entry_points() -> dict[str, str]:
    """Entry points of our group by package, version and name: what changes when a package does."""
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
        found[f"{package}: {point.name}"] = point.value.partition("[")[0].strip()
    return found


def _replace(path: Path, text: str) -> None:
    """Replace a file of one's own at once, durably; nobody else can read it."""
    temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
    fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def _unknown(source: str, data: dict[str, Any]) -> FlowError:
    return FlowError(f"no source {source!r} is registered; there are: {', '.join(sorted(data['sources'])) or 'none'}")


# -- rows -------------------------------------------------------------------------------


def _merged(entry: dict[str, Any], name: str, found: Found) -> dict[str, Any]:
    """A source after it was read: what failed keeps the flows that it had, as stale."""
    fresh = {_key(flow) for flow in found.flows}
    stale = [
        {**flow, "stale": failed}
        for flow in entry["flows"]
        if _key(flow) not in fresh and (failed := _failure_of(flow, name, found.failed)) is not None
    ]
    return {**entry, "refreshed": _now(), "flows": [*found.flows, *stale], "failed": found.failed}


def _key(flow: dict[str, Any]) -> str:
    return str(flow.get("url") or flow.get("entrypoint") or flow["name"])


def _failure_of(flow: dict[str, Any], source: str, failed: dict[str, str]) -> str | None:
    """Which failed part of the source the flow had come from."""
    if source in failed:
        return source
    module = str(flow.get("entrypoint") or "").partition(":")[0]
    return next((part for part in (module, f"{flow.get('base')}/openapi.json") if part in failed), None)


def _rows(source: str, entry: dict[str, Any]) -> list[_Row]:
    failed: dict[str, str] = entry["failed"]
    refreshed = entry["refreshed"] and datetime.datetime.fromisoformat(entry["refreshed"])
    rows = []
    told = set()
    for flow in entry["flows"]:
        part = flow.get("stale")
        told.add(part)
        state = {"state": "ok", "reason": ""} if part is None else {"state": "stale", "reason": failed.get(part, "")}
        rows.append(row_of({**flow, **state, "source": source, "kind": entry["kind"], "refreshed": refreshed}))
    for part, reason in failed.items():
        if part not in told:
            state = {"state": "failed", "reason": reason if part == source else f"{part}: {reason}"}
            rows.append(row_of({**state, "source": source, "kind": entry["kind"], "refreshed": refreshed}))
    return rows


def _row_here(flow: Flow) -> _Row:
    from kodosumi_lab.runtime.probe import about

    return row_of({**about(flow), "source": flow.__module__, "kind": "process", "state": "ok"})


def _source(name: str, entry: dict[str, Any]) -> _Row:
    stale = any(flow.get("stale") for flow in entry["flows"])
    state = "stale" if stale else "failed" if entry["failed"] else "ok"
    return {
        "source": name,
        "kind": entry["kind"],
        "state": state if entry["refreshed"] else "unread",
        "failed": entry["failed"],
        "flows": [flow["name"] for flow in entry["flows"]],
        "registered": entry.get("registered"),
        "refreshed": entry["refreshed"],
    }


_TEXTS = ("summary", "description", "author", "organization", "version", "reason")


def row_of(data: _Row) -> _Row:
    """A row of the catalogue with all of its columns."""
    names = ("name", "source", "kind", "url", "base", "entrypoint", "state", "refreshed", "inputs")
    return {
        **{name: data.get(name) for name in names},
        **{name: str(data.get(name) or "") for name in _TEXTS},
        "tags": list(data.get("tags") or []),
    }


def _frame(rows: list[_Row]) -> pl.DataFrame:
    import polars as pl

    text = pl.String()
    schema: dict[str, Any] = {
        "name": text, "source": text, "kind": text, "summary": text, "description": text, "tags": pl.List(pl.String()),
        "author": text, "organization": text, "version": text, "url": text, "entrypoint": text, "state": text,
        "reason": text, "refreshed": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    return pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema)


def searched(rows: list[_Row], search: str | None) -> list[_Row]:
    """Rows in whose texts every word of `search` occurs, in any case."""
    names = ("name", "source", "summary", "description", "author", "organization", "url", "entrypoint")
    words = (search or "").casefold().split()
    return [
        row
        for row in rows
        if all(
            word in "\n".join([*(str(row[name] or "") for name in names), *row["tags"]]).casefold() for word in words
        )
    ]


# -- what a person calls ----------------------------------------------------------------


def register(
    source: str, *, token: str | None = None, timeout_s: float = _TIMEOUT_S, log_dir: str | Path | None = None
) -> pl.DataFrame:
    """Add a source of flows to the catalogue, and read it.

    Parameters
    ----------
    source
        ``package.module`` (a package with all of its modules) or ``package.module:name``;
        ``http://…/openapi.json`` of a service; ``http://…/-/routes`` of Ray Serve.
    token
        Bearer token that the service wants. It is kept in the log's ``state`` directory,
        where only its user can read it, and shown nowhere.
    timeout_s
        Seconds that importing a module, or each answer of a service, may take.
    log_dir
        The event log whose register it is; this process's by default.

    Returns
    -------
    polars.DataFrame
        What was found, with the columns of :func:`flows`. A source that cannot be read is
        registered all the same; its row says why.

    Raises
    ------
    FlowError
        It can be no source.
    """
    return _frame(Register(log_dir).add(source, token=token, timeout_s=timeout_s))


def unregister(source: str, *, log_dir: str | Path | None = None) -> None:
    """Remove a source, its flows and its token from the catalogue.

    Raises
    ------
    FlowError
        It is not registered.
    """
    Register(log_dir).remove(source)


def refresh(
    source: str | None = None, *, timeout_s: float = _TIMEOUT_S, log_dir: str | Path | None = None
) -> pl.DataFrame:
    """Read a source again, or all of them and the installed packages.

    A source that cannot be read keeps the flows that it had, as ``stale`` with the reason.

    Returns
    -------
    polars.DataFrame
        What was found, with the columns of :func:`flows`.

    Raises
    ------
    FlowError
        It is not registered.
    """
    return _frame(Register(log_dir).read([source] if source is not None else None, timeout_s=timeout_s))


def flows(search: str | None = None, *, log_dir: str | Path | None = None) -> pl.DataFrame:
    """The catalogue: flows of this process, of the registered sources and of installed packages.

    Sources are not read for this, see :func:`refresh`.

    Parameters
    ----------
    search
        Words that all occur in a row's name, source, summary, description, tags, author,
        organization, address or entrypoint, in any case.
    log_dir
        The event log whose register it is; this process's by default.

    Returns
    -------
    polars.DataFrame
        One row a flow: ``name, source, kind`` (of the source: ``process``, ``module``,
        ``openapi``, ``routes``, ``installed``), ``summary, description, tags, author,
        organization, version, url`` (of an endpoint), ``entrypoint`` (of a flow that can be
        imported), ``state`` (``ok``; ``stale``: its source cannot be read any more;
        ``failed``: a source or a part of one without flows), ``reason``, ``refreshed`` (UTC).
        The row of a failed source has no name.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> kl.flows("prime").select("name", "source", "state")  # doctest: +SKIP
    """
    return _frame(searched(Register(log_dir).rows(), search))


def find(name: str, *, source: str | None = None, log_dir: str | Path | None = None) -> Flow | RemoteFlow:
    """A flow of the catalogue, to be launched.

    Parameters
    ----------
    name
        Its name, entrypoint or address, or its summary.
    source
        Only of this source, where several have a flow of that name.
    log_dir
        The event log whose register it is; this process's by default.

    Returns
    -------
    Flow or RemoteFlow
        Of the same use: ``launch(**inputs)`` gives a :class:`Run`. A flow of a module is
        imported here.

    Raises
    ------
    FlowError
        There is none, or several.
    """
    held = Register(log_dir)
    row = chosen(held.rows(), name, source=source)
    if row["url"]:
        return RemoteFlow.from_row(row, log_dir=held.root)
    if row["kind"] == "process":
        return registered()[row["name"]]
    return _imported(row, held)


def chosen(rows: list[_Row], name: str, *, source: str | None = None) -> _Row:
    """The row of a flow, see :func:`find`.

    Raises
    ------
    FlowNotFound
        There is none.
    FlowError
        There are several.
    """
    rows = [row for row in rows if row["name"] is not None and source in (None, row["source"])]
    for keys in (("name", "entrypoint", "url"), ("summary",)):
        found = {_key(row): row for row in rows if any(row[key] == name for key in keys)}
        if found:
            break
    if len(found) > 1:
        listed = ", ".join(f"{key} (source {row['source']})" for key, row in found.items())
        raise FlowError(f"{len(found)} flows are called {name!r}: {listed}; name one by that, or give source=")
    if not found:
        near = difflib.get_close_matches(name, [row["name"] for row in rows], 3)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"there are: {_some(rows)}"
        raise FlowNotFound(f"no flow {name!r} in the catalogue; {hint}")
    [row] = found.values()
    return row


def _some(rows: list[_Row], count: int = 10) -> str:
    names = sorted({row["name"] for row in rows})
    return ", ".join([*names[:count], *(["…"] if len(names) > count else [])]) or "none"


def _imported(row: _Row, held: Register) -> Flow:
    here = registered().get(row["name"])
    if here is not None and entrypoint_of(here) == row["entrypoint"]:
        return here
    if not row["entrypoint"]:
        raise FlowError(f"flow {row['name']!r} of source {row['source']} has no entrypoint: nothing leads back to it")
    entry = held.load()["sources"].get(row["source"], {"place": {"sys_path": []}})
    if importlib.util.find_spec(row["entrypoint"].partition(":")[0].partition(".")[0]) is None:
        # registered from another directory; runs launched from here look in the same places
        sys.path += [path for path in entry["place"]["sys_path"] if path not in sys.path]
        importlib.invalidate_caches()
    return load(row["entrypoint"])
