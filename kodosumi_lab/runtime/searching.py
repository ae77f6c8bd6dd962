"""Looking for a text in the run list."""

from __future__ import annotations

import polars as pl

__all__ = ["mentions"]

_SEARCHED = ("run_id", "flow", "summary", "reason", "progress_text", "result", "error", "user")


def mentions(text: str) -> pl.Expr:
    """Whether a row of :meth:`kodosumi_lab.runtime.query.EventLog.runs` has this text somewhere, in any case."""
    columns = [pl.col(name).fill_null("") for name in _SEARCHED]
    tags = pl.col("tags").list.join(" ").fill_null("")
    return pl.concat_str([*columns, tags], separator="\n").str.to_lowercase().str.contains(text.lower(), literal=True)
