"""Forms in which events are written to a terminal, a pipe or a file."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kodosumi_lab.cli.base import UsageError
from kodosumi_lab.cli.output import out
from kodosumi_lab.events import dumps

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Format", "Writer", "sink_of"]


class Format(enum.StrEnum):
    """Forms in which events are written."""

    TABLE = "table"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


@contextmanager
def sink_of(output: Path | None, *, atomic: bool) -> Iterator[IO[bytes]]:
    """Bytes to stdout or to a file, which appears whole unless it is followed."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = output.with_name(output.name + ".tmp") if atomic else output
    try:
        with target.open("wb") as file:
            yield file
        if atomic:
            target.replace(output)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror or error}: {output}") from None
    finally:  # a full disk, or somebody who interrupts, leaves no half of a file
        if atomic:
            target.unlink(missing_ok=True)


class Writer:
    """Writes frames of events in one of the formats, with one header."""

    def __init__(self, sink: IO[bytes], form: Format, *, many: bool, screen: bool) -> None:
        self._sink = sink
        self._form = form
        self._many = many
        self._screen = screen
        self._begun = False

    def __call__(self, frame: pl.DataFrame) -> None:
        """Write some more events."""
        match self._form:
            case Format.PARQUET:
                frame.write_parquet(self._sink)
            case Format.CSV:
                frame.write_csv(self._sink, include_header=not self._begun, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
            case Format.NDJSON:
                self._lines(map(_ndjson, frame.iter_rows(named=True)))
            case Format.TABLE:
                self._lines(self._table(frame))
        self._begun = True
        self._sink.flush()

    def _lines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._sink.write(line.encode("utf-8", "replace") + b"\n")

    def _table(self, frame: pl.DataFrame) -> Iterator[str]:
        """Aligned columns, written as they come; a terminal's width cuts the payload, nothing else does."""
        width = out().width if self._screen else None
        who = f"{'run':<8} " if self._many and self._screen else f"{'run':<36} " if self._many else ""
        if not self._begun:
            yield _styled(f"{who}{'seq':>7} {'time':<15} {'kind':<8} {'agent':<10} payload", self._screen)
        for row in frame.iter_rows(named=True):
            run_id = row["run_id"][-8:] if self._screen else row["run_id"]
            line = (
                f"{run_id + ' ' if self._many else ''}{row['seq']:>7} {row['ts'].astimezone():%H:%M:%S.%f} "
                f"{row['kind']:<8} {row['agent'] or '-':<10} {row['payload']}"
            )
            yield line if width is None or len(line) <= width else line[: width - 1] + "…"


def _styled(text: str, screen: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if screen and not os.environ.get("NO_COLOR") else text


def _ndjson(row: dict[str, Any]) -> str:
    payload = row.pop("payload")
    return f'{dumps(row)[:-1]},"payload":{payload}}}'
