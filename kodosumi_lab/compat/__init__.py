"""Modules under the names of the public package ``kodosumi``; see :mod:`kodosumi_lab._alias`.

Each of them only gathers what lives elsewhere in this package.
"""

from __future__ import annotations

__all__ = ["KODOSUMI_VERSION"]

#: The version of the public package whose surface this is.
KODOSUMI_VERSION = "1.1.0"
