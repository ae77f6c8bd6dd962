"""Every error of the gateway as problem details (RFC 9457), whatever raised it.

``type`` is ``urn:kodosumi-lab:problem:<kind>``; clients decide by it. Errors of inputs and
of request parameters carry ``errors``: messages for each field.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from kodosumi_lab.errors import (
    ClusterError,
    FileNameError,
    FileTooLarge,
    FlowError,
    FlowNotFound,
    InputsError,
    KodosumiLabError,
    LockClosed,
    LogError,
    RunClosed,
    RunNotFound,
    RunOpen,
    ServiceError,
    UploadError,
    UploadNotFound,
)

__all__ = ["MEDIA_TYPE", "RESPONSES", "TYPE", "Problem", "Refused", "install", "kind_of", "response"]

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:kodosumi-lab:problem:"


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:kodosumi-lab:problem:<kind>`")
    title: str
    status: int
    detail: str = Field(description="What failed, which value, what was expected, what to do next")
    errors: dict[str, list[str]] | None = Field(None, description="Messages for each field")


#: For the OpenAPI document: what any operation may answer instead.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


class Refused(Exception):
    """A request is answered with a problem.

    Parameters
    ----------
    status, kind, detail
        HTTP status, the last part of the problem's type, and its text.
    headers
        Of the answer.
    **more
        Further members of the problem.
    """

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        self.status, self.kind, self.detail, self.headers, self.more = status, kind, detail, headers, more
        super().__init__(detail)


def response(
    status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Answer with a problem."""
    body = {"type": TYPE + kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers, MEDIA_TYPE)


#: Status and kind for each error of the package, the most special first.
_STANDS_FOR: tuple[tuple[type[KodosumiLabError], int, str], ...] = (
    (InputsError, 422, "inputs"),
    (FlowNotFound, 404, "flow-not-found"),
    (FlowError, 422, "flow"),
    (RunNotFound, 404, "run-not-found"),
    (LockClosed, 409, "lock-closed"),
    (RunClosed, 409, "run-closed"),
    (RunOpen, 409, "run-open"),
    (FileNameError, 422, "file-name"),
    (FileTooLarge, 413, "file-too-large"),
    (UploadError, 409, "upload"),
    (UploadNotFound, 404, "upload-not-found"),
    (ServiceError, 502, "service"),
    (ClusterError, 503, "cluster"),
    (LogError, 503, "log"),
)


def kind_of(error: KodosumiLabError | Refused) -> tuple[int, str]:
    """Status and kind of the problem that stands for an error."""
    if isinstance(error, Refused):
        return error.status, error.kind
    return next(((status, kind) for cls, status, kind in _STANDS_FOR if isinstance(error, cls)), (500, "internal"))


def of_error(error: KodosumiLabError) -> JSONResponse:
    """The problem that stands for an error of this package."""
    status, kind = kind_of(error)
    more: dict[str, Any] = {}
    if isinstance(error, InputsError):
        more = {"flow": error.flow, "errors": {name: told for name, told in error.messages.items() if told}}
    elif isinstance(error, LockClosed):
        more = {"by": error.by}
    elif isinstance(error, UploadError):
        more = {"missing": error.missing}
    return response(status, kind, str(error), **more)


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem."""
    app.add_exception_handler(KodosumiLabError, _known)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, KodosumiLabError)
    return of_error(error)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return response(error.status, error.kind, error.detail, error.headers, **error.more)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors: dict[str, list[str]] = {}
    for item in error.errors():
        where = [str(part) for part in item["loc"]]
        field = ".".join(where[1:]) or where[0]
        errors.setdefault(field, []).append(str(item["msg"]))
    told = "; ".join(f"{field}: {', '.join(messages)}" for field, messages in errors.items())
    return response(422, "request", f"the request does not fit: {told}", errors=errors)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is nothing at {request.url.path}; see /api/v1/openapi.json"
    kind = getattr(error, "kind", None) or HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return response(error.status_code, kind, detail, error.headers)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = f"the gateway failed: {type(error).__name__}; its log has the traceback"
    return response(500, "internal", detail)
