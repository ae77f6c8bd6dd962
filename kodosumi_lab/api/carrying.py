"""Files over HTTP, from a client: what ``run.files`` does at the head, and uploads for a launch.

Uploads go in chunks; after a broken connection those that have not arrived are sent. A download
goes on behind its last byte, if the file is the same one still.
"""

from __future__ import annotations

import contextlib
import errno
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from kodosumi_lab.api import wire
from kodosumi_lab.errors import FileNameError
from kodosumi_lab.forms.uploaded import named, takes_uploads
from kodosumi_lab.runtime.desk import Desk, RemoteDesk
from kodosumi_lab.runtime.files import FileInfo
from kodosumi_lab.runtime.run_files import FileList, sources_of

__all__ = ["GatewayDesk", "RemoteFiles", "with_files"]

_TRIES = 4


class GatewayDesk(RemoteDesk):
    """Files of the runs behind a gateway; the verbs of a :class:`~kodosumi_lab.runtime.desk.Desk`.

    Parameters
    ----------
    url
        The gateway.
    http
        Client whose base is the gateway's API, with the token.
    """

    def __init__(self, url: str, http: httpx.Client) -> None:
        self._url, self._http = url, http

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, made again where the connection breaks: each of these may be repeated.

        Raises
        ------
        ApiError
            The gateway does not answer.
        """
        for tries in range(_TRIES):
            try:
                return wire.check(self._http.request(method, path, **options))
            except httpx.TransportError as error:
                if tries == _TRIES - 1:
                    raise wire.unreachable(self._url, error) from error
                time.sleep(wire.backoff(tries))
        raise AssertionError("unreachable")

    # -- a run's files ----------------------------------------------------------------

    def ls(self, run_id: str, path: str = "") -> list[FileInfo]:
        """Files at or below a path."""
        found: list[FileInfo] = self.ask("GET", f"/runs/{run_id}/files", params={"path": path}).json()
        return found

    def chunks(self, run_id: str, path: str) -> Iterator[bytes]:
        """A file's content, in pieces."""
        got, version, tries = 0, "", 0
        ended = False
        while not ended:
            headers = {"range": f"bytes={got}-", "if-range": version} if got else {}
            before = got
            try:
                with self._http.stream("GET", f"/runs/{run_id}/files/{quote(path)}", headers=headers) as answer:
                    if not answer.is_success:
                        answer.read()
                    wire.check(answer)
                    if got and answer.status_code != httpx.codes.PARTIAL_CONTENT:
                        raise OSError(errno.ESTALE, "was replaced while it was being read; read it again", path)
                    version = answer.headers.get("etag", "")
                    for data in answer.iter_bytes():
                        yield data
                        got += len(data)
                ended = True
            except httpx.TransportError as error:
                tries = 0 if got > before else tries + 1
                if tries >= _TRIES:
                    raise wire.unreachable(self._url, error) from error
                time.sleep(wire.backoff(tries))

    def put(self, run_id: str, root: str, sources: Mapping[str, Path]) -> tuple[str, list[FileInfo]]:
        """Upload local files to a run; the batch's id, and what the run then has of them."""
        batch_id, _ = self.upload(sources)
        return batch_id, self.complete(run_id, batch_id, root)

    def complete(self, run_id: str, batch_id: str, root: str) -> list[FileInfo]:
        """Give a batch of uploads to a run."""
        found: list[FileInfo] = self._files("POST", f"/complete/{run_id}/{batch_id}/{root}").json()["files"]
        return found

    def remove(self, run_id: str, path: str) -> None:
        """Remove a file or a folder."""
        self.ask("DELETE", f"/runs/{run_id}/files/{quote(path)}")

    def clear(self, run_id: str) -> None:
        """Remove all files of a run."""
        self.ask("DELETE", f"/runs/{run_id}/files")

    # -- uploads ----------------------------------------------------------------------

    def upload(self, sources: Mapping[str, Path]) -> tuple[str, str]:
        """Upload local files; the batch's id, and the form value that names them.

        Raises
        ------
        FileNameError, FileTooLarge
            A file is refused.
        """
        begun = self._files("POST", "/init_batch").json()
        batch_id, size = begun["batch_id"], begun["chunk_bytes"]
        items = {}
        try:
            for name, path in sources.items():
                total = -(-path.stat().st_size // size)
                about = {"filename": name, "total_chunks": total, "batch_id": batch_id}
                upload_id = self._files("POST", "/init", json=about).json()["upload_id"]
                self.send(upload_id, path, size, list(range(total)))
                items[upload_id] = {"filename": name, "totalChunks": total}
        except BaseException:
            with contextlib.suppress(httpx.HTTPError):  # it expires by itself
                self._http.delete("/uploads", params={"batch_id": batch_id})
            raise
        return batch_id, json.dumps({"batchId": batch_id, "items": items})

    def send(self, upload_id: str, path: Path, size: int, missing: list[int]) -> None:
        """Send chunks of an upload; where the connection breaks, those that the gateway has not got."""
        tries = 0
        with path.open("rb") as file:
            while missing:
                number = missing[0]
                file.seek(number * size)
                data = {"upload_id": upload_id, "chunk_number": str(number)}
                try:
                    wire.check(self._http.post(f"{self._url}/files/chunk", data=data, files={"chunk": file.read(size)}))
                    missing, tries = missing[1:], 0
                except httpx.TransportError as error:
                    tries += 1
                    if tries >= _TRIES:
                        raise wire.unreachable(self._url, error) from error
                    time.sleep(wire.backoff(tries))
                    missing = self.ask("GET", f"/uploads/{upload_id}").json()["missing"]

    def _files(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.ask(method, f"{self._url}/files{path}", **options)


class RemoteFiles(FileList):
    """``run.files`` of a run behind a gateway; see :class:`~kodosumi_lab.runtime.run_files.FileList`."""

    def __init__(self, run_id: str, desk: GatewayDesk) -> None:
        super().__init__(run_id, "")
        self._over = desk

    @property
    def _desk(self) -> Desk | RemoteDesk:
        return self._over

    def _tell(self, infos: list[FileInfo]) -> None:
        """The gateway does."""


def with_files(desk: GatewayDesk, flow: str, inputs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Upload what a launch takes along.

    Returns
    -------
    tuple
        Inputs without local files, and the batches to launch with.
    """
    local = {name: value for name, value in inputs.items() if name == "files" or _is_paths(value)}
    if not local:
        return inputs, []
    about = desk.ask("GET", f"/flows/{quote(flow)}").json()
    if about["url"]:  # its form has elements for files, which name uploads
        form = desk.ask("GET", f"/flows/{quote(flow)}/form").json()
        wanted = {item["name"] for item in form if item.get("type") == "file"}
        uploads = {
            name: desk.upload(sources_of(value))[1]
            for name, value in local.items()
            if name in wanted and value and not (isinstance(value, str) and value.startswith("{"))
        }
        return {**inputs, **uploads}, []
    known = about["schema"].get("properties", {})
    sources: dict[str, Path] = {}
    given = dict(inputs)
    for name in local:
        if takes_uploads(known.get(name)):
            given[name] = named(given[name], sources)
    if "files" in inputs and "files" not in known and not about["schema"].get("additionalProperties"):
        more = sources_of(given.pop("files"))
        twice = [name for name in more if name in sources and sources[name] != more[name].absolute()]
        if twice:
            raise FileNameError(f"two files would be in/{twice[0]}; rename one of them")
        sources |= more
    return given, [desk.upload(sources)[0]] if sources else []


def _is_paths(value: Any) -> bool:
    several = value if isinstance(value, list | tuple) else [value]
    return bool(several) and all(isinstance(one, Path) for one in several)
