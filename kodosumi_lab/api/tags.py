"""``ETag``: who asks again and again is told in a few bytes that nothing has changed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response

__all__ = ["NOT_MODIFIED", "IfNoneMatch", "fresh", "headers"]

IfNoneMatch = Annotated[
    str | None, Header(alias="if-none-match", include_in_schema=False, description="`ETag` of what you have")
]

#: For the OpenAPI document.
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as `If-None-Match` says"}}


def headers(tag: str) -> dict[str, str]:
    """What goes with an answer that has this tag: keep it for yourself, and ask each time whether it still holds."""
    return {"etag": tag, "cache-control": "private, no-cache", "vary": "accept, authorization"}


def fresh(asked: str | None, tag: str) -> Response | None:
    """The answer to somebody who has it already; None where it has to be made."""
    known = [one.strip().removeprefix("W/") for one in (asked or "").split(",")]
    return Response(status_code=304, headers=headers(tag)) if tag in known or "*" in known else None
