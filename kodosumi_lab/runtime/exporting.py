"""A run as one JSON file, for somebody who has neither its log nor this package: JupyterLab's extension draws it.

::

    {"format": "kodosumi-run", "version": 1, "exported": "…", "run": {…}, "events": [{…}, …], "files": [{…}, …]}

``run`` is what ``GET /api/v1/runs/{id}`` answers. Each event has ``seq``, ``ts`` (milliseconds since 1970), ``kind``,
``agent``, ``attempt`` and ``payload``, a JSON value; payloads that the log keeps beside it are in their places. Each of
the run's files has ``path``, ``size``, ``last_modified``, and ``base64`` or, as text, why it was ``left_out``: it is
larger than 4 MiB, or those before it in the order of paths have filled 16 MiB. Without ``files`` nothing is said of
them: they were not wanted, or are on another machine.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import ClusterError, LogError
from kodosumi_lab.events import dumps, is_reference

if TYPE_CHECKING:
    import polars as pl

    from kodosumi_lab.runtime.run import Run

__all__ = ["FORMAT", "SUFFIX", "VERSION", "export", "name_of", "pieces", "why_too_large"]

FORMAT, VERSION = "kodosumi-run", 1
#: By which JupyterLab knows such a file.
SUFFIX = ".kodosumi-run.json"

# A browser holds all of it: beyond that, the log's own Parquet is the better file.
_MOST_EVENTS = 200_000
_MOST_BYTES = 128 * 2**20
_PAGE = 20_000
# Reports and tables, not data sets.
_FILE_BYTES = 4 * 2**20
_FILES_BYTES = 16 * 2**20


def export(run: Run, path: str | Path | None = None, *, files: bool = True) -> Path:
    """Write a run to a file, whole or not at all.

    Parameters
    ----------
    run
        The run; one that is open is written as far as it has come.
    path
        A file named ``*.kodosumi-run.json``, or a folder for one named after flow and run; the current one by default.
    files
        With the run's small files, see above.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        It has another name.
    LogError
        The run is too large for a browser, or the file cannot be written.
    """
    row = run._row()
    target = _target(Path(path or "."), row)
    if why := why_too_large(row):
        raise LogError(why)
    unfinished = target.with_name(target.name + ".tmp")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines(pieces(run, row, files=files))
        os.replace(unfinished, target)
    except OSError as error:
        raise LogError(f"the export cannot be written: {error.strerror or error}: {target}") from error
    finally:  # also where a payload cannot be read, or somebody interrupts
        unfinished.unlink(missing_ok=True)
    return target


def why_too_large(row: dict[str, Any]) -> str:
    """Why the run of an index row cannot be exported, and what to do; empty if it can."""
    if row["events"] <= _MOST_EVENTS and row["nbytes"] <= _MOST_BYTES:
        return ""
    return (
        f"run {row['run_id']} has {row['events']:,} events of {row['nbytes']:,} bytes; an export holds up to "
        f"{_MOST_EVENTS:,} of {_MOST_BYTES:,}. JupyterLab opens a Parquet file of any run: "
        f"kodosumi-lab events {row['run_id']} --format parquet --output FILE.parquet"
    )


def name_of(row: dict[str, Any]) -> str:
    """The name of an export, of a run's index row."""
    flow = "".join(c if c.isalnum() else "-" for c in row["flow"].rpartition(":")[2])
    return f"{flow or 'run'}-{row['run_id'][-8:]}{SUFFIX}"


def _target(path: Path, row: dict[str, Any]) -> Path:
    if path.is_dir():
        return path / name_of(row)
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path.name!r} is no name of an export; JupyterLab knows one by its end: name it *{SUFFIX}")
    return path


def pieces(run: Run, row: dict[str, Any], *, files: bool = True) -> Iterator[str]:
    """The text of an export, a line at a time, as of an index row of the run."""
    head = {
        "format": FORMAT, "version": VERSION, "exported": datetime.datetime.now(datetime.UTC).isoformat(),
        "run": _about(run, row),
    }  # fmt: skip
    yield json.dumps(head, ensure_ascii=False, default=_plain)[:-1] + ',\n"events": [\n'
    between = ""
    # as of the row: what a run says meanwhile is in the next export
    for first in range(0, row["last_seq"] + 1, _PAGE):
        for event in _page(run, first, min(row["last_seq"], first + _PAGE - 1)).iter_rows(named=True):
            yield between + _line(run, event)
            between = ",\n"
    yield "\n]"
    if files:
        yield from _files(run)
    yield "}\n"


def _files(run: Run) -> Iterator[str]:
    """The run's files; nothing where they are out of reach."""
    try:
        found = run.files.ls()
    except (ClusterError, FileNotFoundError):
        return
    room, between = _FILES_BYTES, ',\n"files": [\n'
    for info in found:
        told: dict[str, Any] = dict(info)
        if info["size"] > _FILE_BYTES:
            told["left_out"] = f"larger than {_FILE_BYTES // 2**20} MiB"
        elif info["size"] > room:
            told["left_out"] = f"an export has {_FILES_BYTES // 2**20} MiB of files"
        else:
            try:
                data = run.files.read_bytes(info["path"])
            except FileNotFoundError:  # removed meanwhile
                continue
            told["base64"] = base64.b64encode(data).decode()
            room -= len(data)
        yield between + dumps(told)
        between = ",\n"
    yield "\n]" if between == ",\n" else f"{between}]"


def _page(run: Run, first: int, last: int) -> pl.DataFrame:
    import polars as pl

    wanted = run.events().filter(pl.col("seq").is_between(first, last)).sort("seq").collect()
    return wanted.unique("seq", keep="first", maintain_order=True)


def _line(run: Run, event: dict[str, Any]) -> str:
    payload = event["payload"]
    if payload.startswith('{"artifact"') and is_reference(data := json.loads(payload)):
        payload = run._log.artifact(data["artifact"])
    told = {
        "seq": event["seq"], "ts": event["ts"].timestamp() * 1000, "kind": event["kind"], "agent": event["agent"],
        "attempt": event["attempt"],
    }  # fmt: skip
    return f'{dumps(told)[:-1]},"payload":{payload}}}'


def _about(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """As the gateway tells of a run."""
    left_out = ("hidden", "runner", "cell", "locks")
    told = {name: value for name, value in row.items() if name not in left_out}
    meta = {name: value for name, value in run.meta.items() if name != "code"}
    return {**told, "locks": [_lock(lock) for lock in row["locks"]], "place": None, "meta": meta, "inputs": run.inputs}


def _lock(lock: dict[str, Any]) -> dict[str, Any]:
    at, expires = lock["ts"] / 1e6, lock.get("expires")
    return {
        "lid": str(lock["lid"]), "name": lock.get("name"), "ts": datetime.datetime.fromtimestamp(at, datetime.UTC),
        "expires": datetime.datetime.fromtimestamp(expires, datetime.UTC) if expires else None,
    }  # fmt: skip


def _plain(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is no JSON")
