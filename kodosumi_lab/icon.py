"""The mark of Kodosumi Lab, as SVG: an event stream that parts and comes together again."""

from __future__ import annotations

__all__ = ["ICON"]

#: Drawn in one colour that is seen on light and dark.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#2f7fd6" stroke-width="3" '
    'stroke-linecap="round" aria-hidden="true"><path d="M3 16h6c6 0 5-9 11-9h3M9 16c6 0 5 9 11 9h3M9 16h20"/>'
    '<circle cx="26" cy="7" r="2.6" fill="#2f7fd6" stroke="none"/><circle cx="26" cy="25" r="2.6" fill="#e8a33d" '
    'stroke="none"/></svg>'
)
