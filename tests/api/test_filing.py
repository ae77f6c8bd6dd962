"""Files over HTTP: kodosumi's uploads, a run's files, and whose they are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from apikit import Api, Recorded, serving

import kodosumi_lab as kl
from kodosumi_lab.errors import FileNameError, FileTooLarge, UploadError, UploadNotFound
from kodosumi_lab.forms import InputFiles, InputText, Model


@kl.flow(form=Model(InputText("word"), InputFiles("docs", multiple=True)))
def api_docs(inputs: dict) -> int:
    return len(inputs)


@kl.flow
def api_plain(n: int = 1) -> int:
    return n


def kind_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:kodosumi-lab:problem:")


def upload(api: Api, who: str, name: str, *chunks: bytes, total: int | None = None) -> tuple[str, str]:
    """A batch with one file, as kodosumi's front ends send it; its id and the upload's."""
    batch = api.post("/files/init_batch", as_=who).json()["batch_id"]
    body = {"filename": name, "total_chunks": len(chunks) if total is None else total, "batch_id": batch}
    upload_id = api.post("/files/init", json=body, as_=who).json()["upload_id"]
    for number, data in enumerate(chunks):
        assert send(api, who, upload_id, number, data).status_code == 200
    return batch, upload_id


def send(api: Api, who: str, upload_id: str, number: int, data: bytes) -> httpx.Response:
    form = {"upload_id": upload_id, "chunk_number": str(number)}
    return api.post("/files/chunk", data=form, files={"chunk": ("blob", data)}, as_=who)


def test_an_upload_in_kodosumis_way_is_in_the_run(api: Api, recorded: Recorded) -> None:
    run = recorded.asking
    batch, upload_id = upload(api, "ada", "docs/a.txt", b"one,", total=2)
    done = f"/files/complete/{run}/{batch}/in"
    early = api.post(done, as_="ada")
    assert (kind_of(early), early.json()["missing"]) == ((409, "upload"), {"docs/a.txt": [1]})
    status = api.get(f"/uploads/{upload_id}", as_="ada").json()
    assert (status["received"], status["missing"], status["nbytes"]) == ([0], [1], 4)
    assert api.get(f"/runs/{run}/files", as_="ada").json() == [], "half an upload is not visible"
    assert send(api, "ada", upload_id, 1, b"two").json()["received"] == 2
    first, again = api.post(done, as_="ada").json(), api.post(done, as_="ada").json()
    assert (first, [file["path"] for file in first["files"]]) == (again, ["in/docs/a.txt"])
    assert api.get(f"/files/{run}/in/docs/a.txt", as_="ada").content == b"one,two"
    assert api.get(f"/files/{run}/in/docs", as_="ada").json() == first["files"]
    assert api.get(f"/files/{run}/out/", as_="ada").json() == []
    assert api.ask("DELETE", f"/files/{run}/in/docs/a.txt", as_="ada").status_code == 204
    assert kind_of(api.get(f"/files/{run}/in/docs/a.txt", as_="ada")) == (404, "file-not-found")


def test_a_batch_is_of_whoever_began_it(api: Api, recorded: Recorded) -> None:
    """Knowing the id is not enough, not even for an operator."""
    batch, upload_id = upload(api, "ada", "a.txt", b"mine", total=2)
    refused = [
        send(api, "olga", upload_id, 1, b"x"),
        api.post("/files/init", json={"filename": "b", "total_chunks": 1, "batch_id": batch}),
        api.post(f"/files/complete/{recorded.failed}/{batch}/in"),
        api.ask("DELETE", f"/files/cancel/{upload_id}"),
        api.get(f"/uploads/{upload_id}"),
        api.ask("DELETE", "/uploads", params={"batch_id": batch}),
        api.post("/flows/api_plain/launch", json={"inputs": {"n": 1}, "batches": [batch]}),
        api.post("/flows/api_docs/launch", json={"form": {"docs": value_of(batch)}}),
    ]
    assert [kind_of(answer) for answer in refused] == [(404, "upload-not-found")] * len(refused)
    for body, flow in (({"batches": [batch]}, "api_plain"), ({"form": {"docs": value_of(batch)}}, "api_docs")):
        own = api.post(f"/flows/{flow}/launch", json=body, as_="ada")
        assert kind_of(own) == (503, "cluster"), "the owner gets as far as the cluster"
    assert kind_of(api.post("/files/init_batch", as_="bob")) == (403, "forbidden")
    assert api.ask("DELETE", f"/files/cancel/{upload_id}", as_="ada").json()["cancelled"] is True
    assert kind_of(api.get(f"/uploads/{upload_id}", as_="ada")) == (404, "upload-not-found")


def value_of(batch: str) -> str:
    return json.dumps({"batchId": batch, "items": {"x": {"filename": "a.txt", "totalChunks": 2}}})


def test_names_and_sizes_are_limited(recorded: Recorded) -> None:
    api = Api(recorded.root, settings={"file_bytes": 10, "gateway_body_bytes": 64 * 1024})
    batch = api.post("/files/init_batch", as_="ada").json()
    assert batch["chunk_bytes"] < 64 * 1024
    for name in ("../x", "/etc/passwd", "a\\b", "C:x"):
        body = {"filename": name, "total_chunks": 1, "batch_id": batch["batch_id"]}
        assert kind_of(api.post("/files/init", json=body, as_="ada")) == (422, "file-name")
    _, upload_id = upload(api, "ada", "a", total=1)
    assert kind_of(send(api, "ada", upload_id, 0, b"x" * 11)) == (413, "file-too-large")
    assert kind_of(send(api, "ada", upload_id, 0, b"x" * 70_000)) == (413, "too-long")
    assert kind_of(send(api, "ada", upload_id, 5, b"x")) == (409, "upload")
    run = recorded.asking
    assert kind_of(api.ask("PUT", f"/runs/{run}/files/in/b", content=b"x" * 11, as_="ada")) == (413, "file-too-large")
    for path in ("in/..%2f..%2fx", "elsewhere/x", "in/%2e%2e/x"):
        assert kind_of(api.ask("PUT", f"/runs/{run}/files/{path}", content=b"x", as_="ada")) == (422, "file-name"), path
        assert kind_of(api.get(f"/runs/{run}/files/{path}", as_="ada")) == (422, "file-name"), path


def test_what_a_run_delivers_is_no_page_of_ours(api: Api, recorded: Recorded) -> None:
    run, where = recorded.asking, f"/runs/{recorded.asking}/files"
    for name in ("page.html", "draw.svg", "a.xhtml", "note.txt", "pic.png", "data"):
        assert api.ask("PUT", f"{where}/out/{name}", content=b"<script>alert(1)</script>", as_="ada").status_code == 201
        answer = api.get(f"{where}/out/{name}", as_="ada")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        shown = name in ("note.txt", "pic.png")
        assert answer.headers["content-disposition"].startswith("inline" if shown else "attachment"), name
    assert len(api.get(where, params={"path": "out"}, as_="ada").json()) == 6
    assert kind_of(api.get(f"/runs/{recorded.failed}/files", as_="ada")) == (404, "run-not-found")
    assert kind_of(api.get(f"/files/{recorded.failed}/out/x", as_="ada")) == (404, "run-not-found")
    assert api.ask("DELETE", where, as_="ada").status_code == 204
    assert api.get(where, as_="ada").json() == []
    assert run == recorded.asking


def test_ranges_of_a_file(api: Api, recorded: Recorded) -> None:
    where = f"/runs/{recorded.asking}/files/in/a.bin"
    api.ask("PUT", where, content=bytes(range(100)), as_="ada")
    part = api.get(where, headers={"range": "bytes=10-19"}, as_="ada")
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert api.get(where, headers={"range": "bytes=500-"}, as_="ada").status_code == 416
    api.ask("PUT", where, content=b"another", as_="ada")
    changed = api.get(where, headers={"range": "bytes=10-", "if-range": part.headers["etag"]}, as_="ada")
    assert (changed.status_code, changed.content) == (200, b"another")


def test_a_link_that_a_flow_leaves_leads_nowhere(api: Api, recorded: Recorded, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    run = recorded.asking
    api.ask("PUT", f"/runs/{run}/files/out/a.txt", content=b"x", as_="ada")
    (folder,) = [path.parent for path in (recorded.root / "files").rglob("a.txt")]
    (folder / "link.txt").symlink_to(secret)
    (folder / "up").symlink_to(tmp_path)
    for name in ("link.txt", "up/secret.txt"):
        answer = api.get(f"/runs/{run}/files/out/{name}", as_="ada")
        assert answer.status_code in (404, 422), name
        assert b"s3cret" not in answer.content
    assert [file["path"] for file in api.get(f"/runs/{run}/files", as_="ada").json()] == ["out/a.txt"]


class Breaking(httpx.BaseTransport):
    """A network that breaks at every so many requests with chunks, after the gateway has got them."""

    def __init__(self, every: int) -> None:
        self._inner, self._every, self.chunks, self.broken = httpx.HTTPTransport(), every, 0, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/files/chunk":
            self.chunks += 1
            if self.chunks % self._every == 0:
                self.broken += 1
                if self.broken % 2:
                    self._inner.handle_request(request).read()
                raise httpx.ReadError("the connection broke", request=request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_the_client_carries_files_over_a_network_that_breaks(api: Api, recorded: Recorded, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8000
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a.bin").write_bytes(content)
    (tmp_path / "big" / "empty").touch()
    small = Api(recorded.root, settings={"gateway_body_bytes": 200_000})
    network = Breaking(3)
    with serving(small.app) as url, kl.Client(url, token=small.tokens["ada"], transport=network) as client:
        run = client.run(recorded.asking)
        infos = run.files.upload([tmp_path / "big"])
        assert [(info["path"], info["size"]) for info in infos] == [
            ("in/big/a.bin", len(content)), ("in/big/empty", 0),
        ]  # fmt: skip
        assert network.broken >= 3
        assert "in/big/a.bin" in run.files
        assert run.files.read_bytes("in/big/a.bin") == content
        with run.files.open("in/big/a.bin") as file:
            file.seek(256)
            assert file.read(3) == b"\0\1\2"
        (got, _) = run.files.download(tmp_path / "back", "in/big")
        assert got.read_bytes() == content
        run.files.remove("in/big/empty")
        with pytest.raises(FileNotFoundError):
            run.files.read_bytes("in/big/empty")
        with pytest.raises(FileNameError):
            run.files.ls("elsewhere")
        with pytest.raises(kl.errors.ClusterError):
            client.launch("api_plain", n=1, files=[tmp_path / "big"])
        run.files.clear()
        assert len(run.files) == 0


def test_errors_of_files_are_those_of_the_head(recorded: Recorded, tmp_path: Path) -> None:
    api = Api(recorded.root, settings={"file_bytes": 10})
    (tmp_path / "big").write_bytes(b"x" * 11)
    with serving(api.app) as url, kl.Client(url, token=api.tokens["ada"]) as client:
        with pytest.raises(FileTooLarge):
            client.run(recorded.asking).files.upload(tmp_path / "big")
        assert not [path for path in (recorded.root / "state" / "uploads").iterdir() if len(path.name) == 32]
        desk = client.run(recorded.asking).files._desk
        with pytest.raises(UploadNotFound):
            desk.complete(recorded.asking, "0" * 32, "in")
        batch, _ = upload(api, "ada", "a", total=1)
        with pytest.raises(UploadError) as early:
            desk.complete(recorded.asking, batch, "in")
        assert early.value.missing == {"a": [0]}

    async def the_same() -> None:
        async with kl.AsyncClient(url, token=api.tokens["ada"]) as there:
            run = await there.run(recorded.asking)
            (tmp_path / "small").write_bytes(b"123")
            assert [info["path"] for info in await run.upload(tmp_path / "small")] == ["in/small"]
            assert (await run.download(tmp_path / "there"))[0].read_bytes() == b"123"
            assert len(await run.files()) == 1

    with serving(api.app) as url:
        asyncio.run(the_same())
