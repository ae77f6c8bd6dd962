"""Routes of files: uploads in chunks as kodosumi sends them, and the files of a run.

A batch of uploads belongs to whoever began it; to anybody else it does not exist. The files of
a run are for whoever may see the run, changing them is for those who may act on it. What a run
delivers is untrusted: nothing of it is shown as a page of this gateway's origin.
"""

from __future__ import annotations

import mimetypes
import os
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from kodosumi_lab.api.gateway import Gateway, GatewayOf
from kodosumi_lab.api.guard import CurrentUser, Launcher
from kodosumi_lab.api.identity import User
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.runtime.filenames import split_path
from kodosumi_lab.runtime.uploads import MAX_CHUNKS

__all__ = ["kodosumi", "router"]

#: Below the API's prefix.
router = APIRouter(tags=["files"])
#: The paths that kodosumi's front ends and flows use.
kodosumi = APIRouter(prefix="/files", tags=["files"])

Root = Literal["in", "out"]
# What a browser shows without running anything; all else is saved.
_SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "text/csv", "application/json"})
_UNTRUSTED = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
}
# Of a multipart body, beside the chunk.
_AROUND = 16 * 1024
_CHUNK_BYTES = 4 * 2**20
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The range asked for"},
    416: {"description": "There is no such range"},
}


class Batch(BaseModel):
    """Uploads that belong together."""

    batch_id: str
    chunk_bytes: int = Field(description="chunks may be this long")


class InitBody(BaseModel):
    """A file to come."""

    model_config = ConfigDict(extra="ignore")

    filename: str = Field(description="relative; slashes make folders")
    total_chunks: int = Field(ge=0, le=MAX_CHUNKS)
    batch_id: str | None = Field(None, description="a batch of one's own; one is begun without")


class Upload(BaseModel):
    """A file that was announced."""

    upload_id: str
    batch_id: str


class Received(BaseModel):
    """A chunk was kept."""

    upload_id: str
    chunk_number: int
    received: int = Field(description="chunks of this upload that are here")


class Status(BaseModel):
    """How far an upload is."""

    upload_id: str
    batch_id: str
    filename: str
    total_chunks: int
    received: list[int]
    missing: list[int] = Field(description="chunks to send")
    nbytes: int


class File(BaseModel):
    """A file of a run."""

    path: str
    size: int = Field(description="bytes")
    last_modified: float = Field(description="seconds since 1970")


class Completed(BaseModel):
    """A batch is in a run."""

    batch_id: str
    files: list[File]


class Cancelled(BaseModel):
    """An upload was dropped."""

    upload_id: str
    cancelled: Literal[True] = True


# -- uploads ----------------------------------------------------------------------------


@kodosumi.post("/init_batch")
def init_batch(gateway: GatewayOf, user: Launcher) -> Batch:
    """Begin a batch of uploads."""
    batch_id = gateway.desk.uploads.init_batch(user.name)
    return Batch(batch_id=batch_id, chunk_bytes=_longest(gateway))


def _longest(gateway: Gateway) -> int:
    limit = gateway.settings.gateway_body_bytes
    return min(_CHUNK_BYTES, limit - _AROUND if limit > 2 * _AROUND else limit // 2)


@kodosumi.post("/init")
def init(body: InitBody, gateway: GatewayOf, user: Launcher) -> Upload:
    """Announce a file."""
    uploads = gateway.desk.uploads
    batch_id = body.batch_id
    if batch_id is None:
        batch_id = uploads.init_batch(user.name)
    gateway.claim([batch_id], user)
    return Upload(upload_id=uploads.init(body.filename, body.total_chunks, batch_id), batch_id=batch_id)


@kodosumi.post("/chunk")
async def chunk(
    upload_id: Annotated[str, Form()],
    chunk_number: Annotated[int, Form(ge=0, lt=MAX_CHUNKS)],
    chunk: UploadFile,
    gateway: GatewayOf,
    user: Launcher,
) -> Received:
    """Send a chunk, in any order; sending one again replaces it."""
    data = await chunk.read()

    def keep() -> int:
        _claim_upload(gateway, upload_id, user)
        return gateway.desk.uploads.chunk(upload_id, chunk_number, data)

    return Received(upload_id=upload_id, chunk_number=chunk_number, received=await run_in_threadpool(keep))


def _claim_upload(gateway: Gateway, upload_id: str, user: User) -> None:
    gateway.claim([gateway.desk.uploads.batch_of(upload_id)], user)


@router.get("/uploads/{upload_id}")
def get_upload(upload_id: str, gateway: GatewayOf, user: CurrentUser) -> Status:
    """How far an upload is, for whoever resumes it."""
    _claim_upload(gateway, upload_id, user)
    found = gateway.desk.uploads.status(upload_id)
    return Status(
        upload_id=upload_id, batch_id=found.batch_id, filename=found.filename, total_chunks=found.total_chunks,
        received=found.received, missing=found.missing, nbytes=found.nbytes,
    )  # fmt: skip


@kodosumi.post("/complete/{fid}/{batch_id}/{root}")
def complete(fid: str, batch_id: str, root: Root, gateway: GatewayOf, user: Launcher) -> Completed:
    """Give the files of a batch to a run. A launch that names the batch has done so already; again is no error."""
    gateway.row(fid, user)
    gateway.claim([batch_id], user)
    again = gateway.desk.uploads.is_complete(batch_id)
    found = gateway.desk.complete(fid, batch_id, root)
    if not again:
        gateway.tell(fid, found)
    return Completed(batch_id=batch_id, files=[File(**info) for info in found])


@kodosumi.delete("/cancel/{upload_id}")
def cancel(upload_id: str, gateway: GatewayOf, user: Launcher) -> Cancelled:
    """Drop an upload."""
    _claim_upload(gateway, upload_id, user)
    gateway.desk.uploads.cancel(upload_id)
    return Cancelled(upload_id=upload_id)


@router.delete("/uploads", status_code=204)
def discard(gateway: GatewayOf, user: Launcher, batch_id: Annotated[str, Query()]) -> None:
    """Drop a batch with all of its uploads; files that a run has already stay."""
    gateway.claim([batch_id], user)
    gateway.desk.uploads.discard(batch_id)


# -- files of a run ---------------------------------------------------------------------


@router.get("/runs/{run_id}/files")
def list_files(
    run_id: str, gateway: GatewayOf, user: CurrentUser, path: Annotated[str, Query(description="a root, a folder")] = ""
) -> list[File]:
    """Files of the run: below `in/` what it was given, below `out/` what it delivered."""
    gateway.row(run_id, user)
    try:
        return [File(**info) for info in gateway.desk.ls(run_id, path)]
    except FileNotFoundError:
        raise _missing(run_id, path) from None


@router.delete("/runs/{run_id}/files", status_code=204)
def clear_files(run_id: str, gateway: GatewayOf, user: Launcher) -> None:
    """Remove all files of the run; its events stay."""
    gateway.row(run_id, user)
    gateway.desk.clear(run_id)


@router.get("/runs/{run_id}/files/{path:path}", response_class=FileResponse, responses=_CONTENT)
def get_file(run_id: str, path: str, gateway: GatewayOf, user: CurrentUser) -> Any:
    """A file, or with `Range` a part of it; a folder as a list."""
    gateway.row(run_id, user)
    try:
        return _OpenFile(gateway.desk.run(run_id).open(path), path)
    except FileNotFoundError:
        # a root is always there, though no folder may be
        if split_path(path)[1]:
            raise _missing(run_id, path) from None
    except IsADirectoryError:
        pass
    return JSONResponse([file.model_dump() for file in list_files(run_id, gateway, user, path)])


@router.put(
    "/runs/{run_id}/files/{path:path}", status_code=201,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def put_file(run_id: str, path: str, request: Request, gateway: GatewayOf, user: Launcher) -> File:
    """Keep a small file whole; what is longer than a request may be is uploaded in chunks."""
    data = await request.body()

    def keep() -> File:
        gateway.row(run_id, user)
        info = gateway.desk.run(run_id).write(path, data)
        gateway.tell(run_id, [info])
        return File(**info)

    return await run_in_threadpool(keep)


@router.delete("/runs/{run_id}/files/{path:path}", status_code=204)
def remove_file(run_id: str, path: str, gateway: GatewayOf, user: Launcher) -> None:
    """Remove a file, or a folder with everything in it."""
    gateway.row(run_id, user)
    try:
        gateway.desk.remove(run_id, path)
    except FileNotFoundError:
        raise _missing(run_id, path) from None


@kodosumi.get("/{fid}/{root}/{path:path}", response_class=FileResponse, responses=_CONTENT)
def get_kodosumi_file(fid: str, root: Root, path: str, gateway: GatewayOf, user: CurrentUser) -> Any:
    """A file by the address that flows print; a folder as a list."""
    return get_file(fid, f"{root}/{path}", gateway, user)


@kodosumi.delete("/{fid}/{root}/{path:path}", status_code=204)
def remove_kodosumi_file(fid: str, root: Root, path: str, gateway: GatewayOf, user: Launcher) -> None:
    """Remove a file by that address."""
    remove_file(fid, f"{root}/{path}", gateway, user)


def _missing(run_id: str, path: str) -> Refused:
    return Refused(404, "file-not-found", f"run {run_id} has no file or folder {path[:200]!r}")


class _OpenFile(FileResponse):
    """A file that is open already: one that takes its place meanwhile is another one, and not mixed with it."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        name = path.rpartition("/")[2]
        media = mimetypes.guess_type(name)[0] or "application/octet-stream"
        super().__init__(
            f"/dev/fd/{file.fileno()}",
            headers=dict(_UNTRUSTED),
            media_type=media,
            filename=name,
            stat_result=os.fstat(file.fileno()),
            content_disposition_type="inline" if media in _SHOWN else "attachment",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or the ranges asked for."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
