r"""What a flow shows or returns as Markdown, HTML or plain text.

``tracer.markdown(…)`` shows such a thing at once; these classes make one that can be
returned from a flow, passed around, or delivered by ``tracer.result``.

Examples
--------
>>> from kodosumi_lab.response import Markdown
>>> Markdown("# Report", "All is well.").body
'# Report\n\nAll is well.'
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["HTML", "Markdown", "Shown", "Text"]


class Shown:
    """Text of one MIME type.

    Parameters
    ----------
    *parts
        Joined by :attr:`separator`; a list among them is joined by newlines first.
    body
        The whole text, in place of `parts`.
    """

    mime: ClassVar[str]
    separator: ClassVar[str] = "\n"

    def __init__(self, *parts: Any, body: str | None = None) -> None:
        texts = ["\n".join(map(str, part)) if isinstance(part, list | tuple) else str(part) for part in parts]
        self.body = self.separator.join(texts) if body is None else body

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {self.mime: self.body}

    def __str__(self) -> str:
        return self.body

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.body!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.body == self.body

    def __hash__(self) -> int:
        return hash((type(self), self.body))


class Markdown(Shown):
    """Markdown; parts are joined by a blank line."""

    mime = "text/markdown"
    separator = "\n\n"


class HTML(Shown):
    """HTML; parts are joined by a newline. It is sanitised where it is shown."""

    mime = "text/html"


class Text(Shown):
    """Plain text; parts are joined by a newline."""

    mime = "text/plain"
