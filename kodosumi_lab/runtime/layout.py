"""Names and places in the log directory, for writers and readers alike.

``<owner>-<n>`` names a segment through its whole life: ``hot/<owner>-<n>.arrows`` while it
is written, then ``events/date=…/<owner>-<n>.parquet`` and ``runs/date=…/<owner>-<n>.parquet``.
A hot segment wins over Parquet of its name until it is unlinked.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from kodosumi_lab.events import run_date

__all__ = ["Layout", "SegmentName", "log_id", "parse_segment"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAME = re.compile(r"([0-9a-z]+)-(\d{8})")


def log_id(root: str | Path) -> str:
    """By which two processes know that they mean the same log, without telling where it is."""
    return hashlib.sha256(str(Path(root).resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """Owner and number of a segment."""

    owner: str
    n: int

    def __str__(self) -> str:
        return f"{self.owner}-{self.n:08d}"


def parse_segment(stem: str) -> SegmentName | None:
    """Segment of a file's stem; None for files that are no segment (compacted ones, strangers)."""
    match = _NAME.fullmatch(stem)
    return SegmentName(match[1], int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the log directory `root`."""

    root: Path

    @property
    def hot(self) -> Path:
        """Segments being written, and their owners."""
        return self.root / "hot"

    @property
    def state(self) -> Path:
        """Register, tokens, presets."""
        return self.root / "state"

    @property
    def damaged(self) -> Path:
        """Files that could not be read, set aside."""
        return self.root / "damaged"

    @property
    def tombstones(self) -> Path:
        """Runs that were deleted."""
        return self.root / "tombstones.ndjson"

    def arrows(self, name: SegmentName) -> Path:
        """Hot segment."""
        return self.hot / f"{name}.arrows"

    def length(self, name: SegmentName) -> Path:
        """Committed length of a hot segment."""
        return self.hot / f"{name}.len"

    def owner(self, owner: str) -> Path:
        """Whose segments these are."""
        return self.hot / f"{owner}.json"

    def table(self, kind: str, date: str) -> Path:
        """Partition of ``events`` or ``runs``."""
        return self.root / kind / f"date={date}"

    def artifact(self, date: str, sha256: str) -> Path:
        """Payload kept beside the log.

        Raises
        ------
        ValueError
            It is named by no hash and date: a payload's text must not lead out of here.
        """
        if not _SHA256.fullmatch(sha256) or not _DATE.fullmatch(date):
            raise ValueError(f"{sha256[:80]!r} of {date[:80]!r} names no artifact; expected a SHA-256 and an ISO date")
        return self.root / "artifacts" / f"date={date}" / sha256

    def files(self, run_id: str) -> Path:
        """Files of a run: ``in`` and ``out``."""
        return self.root / "files" / f"date={run_date(run_id)}" / run_id

    @property
    def uploads(self) -> Path:
        """Everything that is half a file: uploads on their way in, removed files on their way out."""
        return self.state / "uploads"

    def hot_segments(self, owner: str | None = None) -> list[SegmentName]:
        """Hot segments there are now, in order; of one owner or of all."""
        if not self.hot.is_dir():
            return []
        names = (parse_segment(path.stem) for path in self.hot.glob("*.arrows"))
        return sorted(name for name in names if name is not None and owner in (None, name.owner))

    def dates(self, kind: str) -> list[str]:
        """Partitions of ``events`` or ``runs``, oldest first."""
        folder = self.root / kind
        if not folder.is_dir():
            return []
        return sorted(path.name[5:] for path in folder.iterdir() if path.name.startswith("date="))
