"""``kodosumi.dtypes``: what a flow returns to be shown."""

from __future__ import annotations

from kodosumi_lab.response import HTML, Markdown, Text

__all__ = ["HTML", "Markdown", "Text"]
