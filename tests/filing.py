"""Flows that take files and deliver files. Importable by Runners."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import ray
from fastapi import UploadFile

import kodosumi_lab as kl


@kl.flow
async def upper(*, tracer: kl.Tracer) -> dict[str, Any]:
    """Deliver each given file in capital letters, under its name."""
    async with tracer.fs() as fs:
        given = await fs.ls("in")
        with tempfile.TemporaryDirectory() as folder:
            for info in given:
                target = Path(folder, info["path"].removeprefix("in/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                async with fs.open(info["path"]) as stream:
                    data = b"".join([piece.upper() async for piece in stream.read()])
                await asyncio.to_thread(target.write_bytes, data)
            await fs.upload(folder)
        made = type(fs._inner._desk).__name__
    return {"given": [info["path"] for info in given], "desk": made}


@ray.remote(num_cpus=0)
def count_bytes(path: str, tracer: kl.Tracer) -> int:
    with tracer.fs_sync() as fs, tempfile.TemporaryDirectory() as folder:
        local = next(iter(fs.download(path)))
        size = Path(local).stat().st_size
        report = Path(folder, Path(path).name + ".txt")
        report.write_text(f"{size} bytes")
        fs.upload(report)
    tracer.flush()
    return size


@kl.flow
async def count_in_tasks(*, tracer: kl.Tracer) -> list[int]:
    fs = await tracer.fs()
    paths = [info["path"] for info in await fs.ls("in")]
    await fs.close()
    return [await count_bytes.remote(path, tracer) for path in paths]


@kl.flow
def deliver(nbytes: int, wait: str = "", *, tracer: kl.Tracer) -> str:
    """Deliver a file of that size, once the file `wait` is there."""
    import time

    with tempfile.TemporaryDirectory() as folder, tracer.fs_sync() as fs:
        big = Path(folder, "big.bin")
        big.write_bytes(bytes(range(256)) * (nbytes // 256))
        print("ready")
        while wait and not Path(wait).exists():
            time.sleep(0.01)
        fs.upload(big)
        [back] = fs.download("out/big.bin")
        assert Path(back).read_bytes() == big.read_bytes()
    return back


@kl.flow
async def measure(one: kl.UploadFile, more: list[UploadFile] = []) -> dict[str, int]:  # noqa: B006
    """Bytes of each file, read in the two ways there are."""
    found = {one.filename: len(await one.read())}
    return found | {f"{type(each).__module__}: {each.filename}": len(each.file.read()) for each in more}


@kl.flow
def own_files(files: list[str]) -> list[str]:
    """Has an input of the name that otherwise gives files along."""
    return files


@kl.flow
async def asks(*, tracer: kl.Tracer) -> list[str]:
    """Tell what is in ``in/`` once somebody has answered."""
    await tracer.lock("go on?")
    async with tracer.fs() as fs:
        return [info["path"] for info in await fs.ls("in")]
