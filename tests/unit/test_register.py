"""The Register: real modules in processes of their own, real services over HTTP, real files."""

from __future__ import annotations

import datetime
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from conftest import eventually
from fastapi import FastAPI, HTTPException, Request
from pydantic import SecretStr

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, LogError, ServiceError
from kodosumi_lab.runtime import home, sources
from kodosumi_lab.runtime import register as register_module
from kodosumi_lab.runtime.remote import RemoteFlow, form_values

COLUMNS = ["name", "source", "kind", "summary", "description", "tags", "author", "organization", "version", "url",
           "entrypoint", "state", "reason", "refreshed"]  # fmt: skip

MATH = """
import kodosumi_lab as kl

@kl.flow(summary="Add numbers", tags=["math"], author="Ada", version="3")
def add_up(a: int, b: int = 1) -> int:
    return a + b
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with modules, as a person has one; its modules are forgotten afterwards."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KODOSUMI_LAB_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setattr(home, "_home", None)  # the session may be connected to a log of its own
    path, modules = list(sys.path), set(sys.modules)
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    # two versions of a module within one second and of one size would share their byte code
    os.utime(path, (time.time(), os.stat(path).st_mtime + len(text) % 97))


def catalogue(search: str | None = None) -> pl.DataFrame:
    """The catalogue without the flows of this process: other tests' are among them."""
    return kl.flows(search).filter(pl.col("kind") != "process")


def rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.select("name", "state").rows()


# -- modules ----------------------------------------------------------------------------


def test_a_module_is_read_with_what_its_flows_say(here: Path) -> None:
    write(here, "math_flows", MATH)
    frame = kl.register("math_flows")
    assert frame.columns == COLUMNS
    [row] = frame.to_dicts()
    assert (row["name"], row["source"], row["kind"], row["state"]) == ("add_up", "math_flows", "module", "ok")
    assert (row["summary"], row["tags"], row["author"], row["version"]) == ("Add numbers", ["math"], "Ada", "3")
    assert row["entrypoint"] == "math_flows:add_up"
    assert row["refreshed"].tzinfo is not None
    assert catalogue().equals(frame)
    assert "math_flows" not in sys.modules


def test_an_edited_module_is_read_as_edited(here: Path) -> None:
    write(here, "math_flows", MATH)
    kl.register("math_flows")
    write(here, "math_flows", MATH.replace("add_up", "sum_up"))
    assert catalogue()["name"].to_list() == ["add_up"]
    kl.refresh("math_flows")
    assert catalogue()["name"].to_list() == ["sum_up"]


def test_a_package_is_read_with_all_its_modules(here: Path) -> None:
    write(here, "pack.__init__", "")
    write(here, "pack.one", MATH)
    write(here, "pack.bad", "import kodosumi_lab\n\n1 / 0\n")
    frame = kl.register("pack")
    assert rows(frame) == [("add_up", "ok"), (None, "failed")]
    reason = frame["reason"][1]
    assert reason.startswith("pack.bad: ")
    assert 'bad.py", line 3, in <module>' in reason
    assert reason.endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise RuntimeError('at import')\n", ['broken.py", line 1, in <module>', "RuntimeError: at import"]),
        ("x = 1\ndef f(:\n    pass\n", ['broken.py", line 2', "SyntaxError"]),
        ("import sys\nsys.exit(3)\n", ['broken.py", line 2', "SystemExit: 3"]),
        ("import os\nprint('bye', flush=True)\nos._exit(9)\n", ["ended its process with code 9", "bye"]),
        ("import missing_one\n", ["No module named 'missing_one'", 'broken.py", line 1']),
    ],
    ids=["raises", "syntax", "exit", "dies", "import"],
)
def test_a_broken_module_says_why_with_its_authors_line(here: Path, text: str, expected: list[str]) -> None:
    write(here, "broken", text)
    [row] = kl.register("broken").to_dicts()
    assert (row["name"], row["state"]) == (None, "failed")
    for part in expected:
        assert part in row["reason"]
    assert "probe.py" not in row["reason"]
    assert "importlib" not in row["reason"]


def test_a_module_that_hangs_is_ended_and_says_where(here: Path) -> None:
    write(
        here, "hangs", "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n\ntime.sleep(600)\n"
    )
    began = time.monotonic()
    [row] = kl.register("hangs", timeout_s=1.5).to_dicts()
    assert time.monotonic() - began < 20
    assert row["reason"].startswith("importing it did not end within 1.5 s; it was at:")
    assert 'hangs.py", line 4 in <module>' in row["reason"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((here / "pid").read_text()), 0)


def test_what_a_module_prints_or_leaves_running_does_no_harm(here: Path) -> None:
    noise = "import threading, time\nprint('{}')\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    write(here, "noisy", noise + MATH)
    assert rows(kl.register("noisy", timeout_s=20)) == [("add_up", "ok")]


def test_a_module_that_broke_keeps_its_flows_as_stale(here: Path) -> None:
    write(here, "pack.__init__", "")
    write(here, "pack.one", MATH)
    write(here, "pack.two", MATH.replace("add_up", "other"))
    kl.register("pack")
    write(here, "pack.one", MATH + "\n1 / 0\n")
    kl.refresh()
    frame = catalogue().sort("name")
    assert rows(frame) == [("add_up", "stale"), ("other", "ok")]
    assert "ZeroDivisionError" in frame["reason"][0]
    write(here, "pack.one", MATH)
    kl.refresh("pack")
    assert sorted(rows(catalogue())) == [("add_up", "ok"), ("other", "ok")]


def test_one_object_of_a_module_can_be_a_source(here: Path) -> None:
    write(here, "math_flows", MATH + MATH.replace("add_up", "other"))
    assert kl.register("math_flows:other")["name"].to_list() == ["other"]
    assert "its flows: add_up, other" in kl.register("math_flows:nothing")["reason"][0]


def test_the_register_outlives_its_process_and_is_found_elsewhere(here: Path, tmp_path: Path) -> None:
    write(here, "math_flows", MATH)
    code = "import kodosumi_lab as kl; kl.register('math_flows')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=here)
    code = (
        "import kodosumi_lab as kl; print(kl.flows()['name'].to_list(), kl.refresh()['state'].to_list());"
        "flow = kl.find('add_up'); print(flow(2))"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, timeout=60, cwd=elsewhere, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["['add_up'] ['ok']", "3"], done.stderr


@pytest.mark.slow
def test_many_processes_register_at_once_and_none_is_lost(here: Path) -> None:
    code = (
        "import sys; from kodosumi_lab.runtime.register import Register; r = Register();"
        "[r._change(lambda d, n=n: d['sources'].__setitem__(f'{sys.argv[1]}.m{n}', {'kind': 'module', 'place': {},"
        " 'flows': [], 'failed': {}, 'refreshed': None})) for n in range(50)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, f"p{n}"]) for n in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(register_module.Register().load()["sources"]) == 200
    assert {path.name for path in (here.parent / "log" / "state").iterdir()} == {"register.json", "register.lock"}


def test_a_source_that_was_removed_while_it_was_read_stays_removed(here: Path) -> None:
    write(here, "slow", "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(1.5)\n" + MATH)
    thread = threading.Thread(target=lambda: kl.register("slow"))
    thread.start()
    eventually((here / "here").exists)
    kl.unregister("slow")
    thread.join()
    assert catalogue().is_empty()


def test_unregister_and_refresh_know_what_is_registered(here: Path) -> None:
    write(here, "math_flows", MATH)
    kl.register("math_flows")
    for call in (kl.unregister, kl.refresh):
        with pytest.raises(FlowError, match="no source 'nowhere' is registered; there are: math_flows"):
            call("nowhere")
    kl.unregister("math_flows")
    assert catalogue().is_empty()


def test_a_register_that_cannot_be_read_says_so(here: Path) -> None:
    state = here.parent / "log" / "state"
    state.mkdir(parents=True)
    (state / "register.json").write_text("{")
    with pytest.raises(LogError, match=r"the register cannot be read: .*mend it or remove it"):
        kl.flows()


def test_installed_flows_are_shown_of_a_log_that_cannot_be_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, "site.offering", MATH)
    (here / "site" / "offering-1.0.dist-info").mkdir()
    (here / "site" / "offering-1.0.dist-info" / "entry_points.txt").write_text("[kodosumi_lab.flows]\nall = offering\n")
    (here / "site" / "offering-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: o\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here / "site"), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(here / "site")
    (here.parent / "log").write_text("no directory")
    assert "add_up" in catalogue()["name"]
    with pytest.raises(LogError, match="the register cannot be written"):
        kl.register("offering")


@pytest.mark.parametrize("source", ["", "a b", "ftp://x/openapi.json", "http://", "/some/file.py", "a..b"])
def test_what_can_be_no_source_is_refused(here: Path, source: str) -> None:
    with pytest.raises(FlowError, match=r"is no source of flows; expected package.module"):
        kl.register(source)


# -- this process, installed packages, search, find -------------------------------------


def test_flows_of_this_process_are_in_the_catalogue(here: Path) -> None:
    @kl.flow(summary="Only here", tags=["zebra"])
    def local_only(x: int = 1) -> int:
        return x

    [row] = kl.flows("zebra").to_dicts()
    assert (row["name"], row["kind"], row["state"], row["entrypoint"]) == ("local_only", "process", "ok", None)
    assert kl.find("local_only") is local_only


def test_search_wants_every_word_in_any_case(here: Path) -> None:
    write(here, "math_flows", MATH + MATH.replace("add_up", "other").replace("Add numbers", "Else"))
    kl.register("math_flows")
    assert catalogue("ADD math")["name"].to_list() == ["add_up"]
    assert catalogue("ada")["name"].to_list() == ["add_up", "other"]
    assert catalogue("ada nobody").is_empty()


def test_find_gives_the_flow_or_says_what_there_is(here: Path) -> None:
    write(here, "math_flows", MATH)
    write(here, "more_flows", MATH)
    kl.register("math_flows")
    for name in ("add_up", "math_flows:add_up", "Add numbers"):
        flow = kl.find(name)
        assert isinstance(flow, kl.Flow)
        assert flow(1, 2) == 3
    with pytest.raises(FlowError, match=r"no flow 'add_op' in the catalogue; did you mean 'add_up'"):
        kl.find("add_op")
    kl.register("more_flows")
    with pytest.raises(FlowError, match=r"2 flows are called 'add_up': .*more_flows:add_up"):
        kl.find("add_up")
    found = kl.find("add_up", source="more_flows")
    assert found.__module__ == "more_flows"


def test_installed_packages_offer_flows_by_entry_points(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, "site.offering", MATH)
    info = here / "site" / "offering-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kodosumi_lab.flows]\nall = offering\nlost = not_there\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here / "site"), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(here / "site")
    frame = kl.flows().filter(pl.col("kind") == "installed").sort("source")
    assert rows(frame) == [(None, "failed"), ("add_up", "ok")]
    assert frame["source"].to_list() == ["not_there", "offering"]
    assert "No module named 'not_there'" in frame["reason"][0]
    # read once, until the package changes or somebody asks
    write(here, "site.offering", MATH.replace("add_up", "sum_up"))
    assert "add_up" in catalogue()["name"]
    info.rename(here / "site" / "offering-1.1.dist-info")
    (here / "site" / "offering-1.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: offering\nVersion: 1.1\n"
    )
    assert "sum_up" in catalogue()["name"]
    write(here, "site.offering", MATH.replace("add_up", "third_up"))
    kl.refresh()
    assert "third_up" in catalogue()["name"]


# -- services ---------------------------------------------------------------------------


class Service:
    """A service on a free port, written from KODOSUMI.md's facts; `seen` holds what was posted and sent."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.seen: list[dict[str, Any]] = []
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> Service:
        self._thread.start()
        eventually(lambda: self._server.started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


ELEMENTS = [
    {"type": "markdown", "text": "# Hello"},
    {"type": "text", "name": "town", "label": "Town", "value": "Bonn", "required": True},
    {"type": "number", "name": "n", "label": "N", "value": None, "min_value": 1},
    {"type": "date", "name": "day", "label": "Day", "value": None},
    {"type": "boolean", "name": "deep", "label": "Deep", "value": True, "option": "on"},
    {"type": "boolean", "name": "fast", "label": "Fast", "value": False, "option": "on"},
    {"type": "select", "name": "mode", "label": "Mode", "value": None, "option": [
        {"type": "option", "name": "a", "label": "A", "value": False},
        {"type": "option", "name": "b", "label": "B", "value": True}]},
    {"type": "password", "name": "key", "label": "Key", "value": None},
    {"type": "errors"},
    {"type": "submit", "text": "Go"},
]  # fmt: skip

FID = "6748f0c2a1b2c3d4e5f60718"


def operation(**more: Any) -> dict[str, Any]:
    return {"openapi_extra": {"x-kodosumi": True, "x-author": "Bea", "x-organization": "Org", "x-version": "9", **more}}


def town_app(service: list[Service], prefix: str = "") -> FastAPI:
    app = FastAPI(title="Towns")

    @app.get(f"{prefix}/", summary="Look at a town", description="Slowly", tags=["towns"], **operation())
    def form(request: Request) -> dict[str, Any]:
        return {"summary": "Look at a town", "elements": ELEMENTS}

    @app.post(f"{prefix}/", openapi_extra={"x-kodosumi": False})
    async def launch(request: Request) -> dict[str, Any]:
        values = await request.json()
        service[0].seen.append({"values": values, "headers": dict(request.headers)})
        if values.get("town") == "Atlantis":
            return {"errors": {"town": ["is under water"], "_global_": ["no"]}, "elements": ELEMENTS}
        if values.get("town") == "Crash":
            raise HTTPException(500, "it broke")
        return {"result": service[0].app.state.fid, "elements": ELEMENTS}

    @app.get(f"{prefix}/plain")
    def plain() -> dict[str, Any]:
        return {}

    app.state.fid = FID
    return app


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(make: Callable[[list[Service]], FastAPI]) -> Service:
        cell: list[Service] = []
        cell.append(Service(make(cell)).start())
        started.append(cell[0])
        return cell[0]

    yield start
    for service in started:
        service.stop()


def test_a_services_endpoints_are_found_in_its_openapi_document(here: Path, serve: Any) -> None:
    service = serve(town_app)
    [row] = kl.register(f"{service.url}/openapi.json").to_dicts()
    assert (row["name"], row["kind"], row["state"]) == ("Look at a town", "openapi", "ok")
    assert (row["url"], row["entrypoint"]) == (f"{service.url}/", None)
    assert (row["summary"], row["description"], row["tags"]) == ("Look at a town", "Slowly", ["towns"])
    assert (row["author"], row["organization"], row["version"]) == ("Bea", "Org", "9")


def test_a_service_that_goes_away_leaves_its_flows_stale(here: Path, serve: Any) -> None:
    service = serve(town_app)
    kl.register(f"{service.url}/openapi.json")
    service.stop()
    [row] = kl.refresh().filter(pl.col("kind") == "openapi").to_dicts()
    assert (row["name"], row["state"]) == ("Look at a town", "stale")
    assert "cannot be reached" in row["reason"]


def bad_app(_: list[Service]) -> FastAPI:
    app = FastAPI()

    @app.get("/text/openapi.json")
    def text() -> Any:
        from fastapi.responses import PlainTextResponse

        return PlainTextResponse("hello")

    @app.get("/other/openapi.json")
    def other() -> dict[str, Any]:
        return {"x": 1}

    @app.get("/none/openapi.json")
    def none() -> dict[str, Any]:
        return {"openapi": "3.1.0", "paths": {"/": {"get": {"summary": "x"}}}}

    @app.get("/slow/openapi.json")
    def slow() -> dict[str, Any]:
        time.sleep(3)
        return {}

    @app.get("/away/openapi.json")
    def away() -> Any:
        from fastapi.responses import RedirectResponse

        return RedirectResponse("http://localhost:9/openapi.json")

    @app.get("/closed/openapi.json")
    def closed() -> None:
        raise HTTPException(401, "who are you")

    return app


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere/openapi.json", "HTTP 404 Not Found"),
        ("/text/openapi.json", "its answer is no JSON (text/plain"),
        ("/other/openapi.json", "it is no OpenAPI document"),
        ("/none/openapi.json", "has no operation with x-kodosumi: true"),
        ("/slow/openapi.json", "no answer within 1 s"),
        ("/closed/openapi.json", 'HTTP 401 Unauthorized: {"detail":"who are you"}; it wants a token'),
    ],
)
def test_a_service_that_cannot_be_read_says_why(here: Path, serve: Any, path: str, reason: str) -> None:
    [row] = kl.register(serve(bad_app).url + path, timeout_s=1).to_dicts()
    assert (row["name"], row["state"]) == (None, "failed")
    assert reason in row["reason"]


def routes_app(cell: list[Service]) -> FastAPI:
    """Ray Serve's proxy: a route table, and the applications behind it."""
    app = FastAPI()

    @app.get("/-/routes")
    def routes() -> dict[str, str]:
        return {"/towns": "towns", "/team/more": "more", "/gone": "gone"}

    app.mount("/towns", town_app(cell))
    app.mount("/team/more", town_app(cell))
    app.state.fid = FID
    return app


def test_ray_serves_route_table_leads_to_every_service(here: Path, serve: Any) -> None:
    service = serve(routes_app)
    frame = kl.register(f"{service.url}/-/routes").sort("name", nulls_last=True)
    assert rows(frame) == [("team/more", "ok"), ("towns", "ok"), (None, "failed")]
    assert frame["url"].to_list() == [f"{service.url}/team/more/", f"{service.url}/towns/", None]
    assert f"{service.url}/gone/openapi.json: HTTP 404" in frame["reason"][2]


# -- launching behind an endpoint -------------------------------------------------------


def town(service: Service) -> RemoteFlow:
    kl.register(f"{service.url}/openapi.json")
    flow = kl.find("Look at a town")
    assert isinstance(flow, RemoteFlow)
    return flow


def test_a_remote_flow_has_the_services_form(here: Path, serve: Any) -> None:
    flow = town(serve(town_app))
    assert flow.elements == ELEMENTS
    assert list(kl.forms.Model.model_validate(flow.elements).fields)[:3] == ["town", "n", "day"]
    assert (flow.author, flow.tags, repr(flow)) == ("Bea", ("towns",), f"<RemoteFlow Look at a town at {flow.url}>")


def test_a_launch_sends_what_the_form_would_send(here: Path, serve: Any) -> None:
    service = serve(town_app)
    flow = town(service)
    flow.launch(n=3, day=datetime.date(2026, 11, 22))
    flow.launch(town="Ulm", deep=False, fast=True, mode="a", key=SecretStr("k3y"))
    assert [item["values"] for item in service.seen] == [
        {"town": "Bonn", "n": "3", "day": "2026-11-22", "deep": "on", "mode": "b"},
        {"town": "Ulm", "fast": "on", "mode": "a", "key": "k3y"},
    ]
    headers = service.seen[0]["headers"]
    assert headers["x-kodosumi_user"]
    assert headers["x-kodosumi_base"] == ""
    assert headers["x-kodosumi-url"] == service.url


def test_inputs_of_a_group_may_be_a_dict_of_their_own() -> None:
    elements = [{"type": "group", "name": "home", "optional": True, "elements": [
        {"type": "text", "name": "home.street", "value": None}, {"type": "number", "name": "home.n", "value": 1}]}]  # fmt: skip
    assert form_values("f", elements, {"home": {"street": "x"}}) == {"home": "on", "home.street": "x", "home.n": 1}
    assert form_values("f", elements, {"home.street": "x"}) == {"home.street": "x", "home.n": 1}
    with pytest.raises(kl.errors.InputsError, match=r"home\.zip: is no input"):
        form_values("f", elements, {"home": {"zip": "x"}})


def test_inputs_that_do_not_fit_are_told_by_field(here: Path, serve: Any) -> None:
    service = serve(town_app)
    flow = town(service)
    with pytest.raises(kl.errors.InputsError, match="under water") as refused:
        flow.launch(town="Atlantis")
    assert refused.value.errors == {"town": ["is under water"], "_global_": ["no"]}
    with pytest.raises(kl.errors.InputsError, match="mood: is no input of this flow, which takes: town, n, day, deep"):
        flow.launch(mood="x")
    assert len(service.seen) == 1


def test_a_run_of_this_log_is_a_run(here: Path, serve: Any) -> None:
    from logkit import Emitter, meta, new_run, status

    from kodosumi_lab.runtime.log import LogWriter

    service = serve(town_app)
    writer = LogWriter(here.parent / "log", "there")
    service.app.state.fid = new_run()
    Emitter(service.app.state.fid).send(writer, meta(), status("running"))
    run = town(service).launch()
    assert isinstance(run, kl.Run)
    assert (run.id, run.status) == (service.app.state.fid, "running")


def test_a_run_of_another_log_says_where_it_is(here: Path, serve: Any) -> None:
    service = serve(town_app)
    run = town(service).launch()
    assert run.id == FID
    assert repr(run).startswith(f"<ForeignRun {FID} Look at a town: started by {service.url}/, its events are not in")
    for name in ("wait", "status", "result", "events"):
        with pytest.raises(kl.errors.RunNotFound, match="which writes to another log than"):
            getattr(run, name)
    assert not hasattr(run, "nonsense")


def test_a_service_that_breaks_or_is_gone_is_told(here: Path, serve: Any) -> None:
    service = serve(town_app)
    flow = town(service)
    with pytest.raises(ServiceError, match=r"HTTP 500 Internal Server Error: .*it broke") as error:
        flow.launch(town="Crash")
    assert error.value.status == 500
    service.stop()
    with pytest.raises(ServiceError, match="cannot be reached"):
        flow.launch()


# -- tokens -----------------------------------------------------------------------------

SECRET = "s3cr3t-t0ken"


def closed_app(cell: list[Service]) -> FastAPI:
    app = town_app(cell)

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Any:
        from fastapi.responses import JSONResponse

        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return JSONResponse({"detail": "no"}, 401)
        return await call_next(request)

    return app


def test_a_token_is_kept_for_its_user_only_and_shown_nowhere(here: Path, serve: Any) -> None:
    import pickle

    service = serve(closed_app)
    url = f"{service.url}/openapi.json"
    assert "it wants a token" in kl.register(url)["reason"][0]
    assert rows(kl.register(url, token=SECRET)) == [("Look at a town", "ok")]
    assert kl.refresh(url)["state"].to_list() == ["ok"]
    flow = kl.find("Look at a town")
    assert flow.launch().id == FID
    state = here.parent / "log" / "state"
    assert stat.S_IMODE((state / "register-tokens.json").stat().st_mode) == 0o600
    assert SECRET not in (state / "register.json").read_text()
    assert SECRET not in repr(vars(flow))
    assert SECRET.encode() not in pickle.dumps(flow)
    assert SECRET not in json.dumps(kl.flows().drop("refreshed").to_dicts())
    assert pickle.loads(pickle.dumps(flow)).elements == ELEMENTS
    kl.unregister(url)
    assert SECRET not in (state / "register-tokens.json").read_text()


def test_credentials_in_an_address_are_refused_without_being_shown(here: Path) -> None:
    with pytest.raises(FlowError, match="has credentials in it; give them by token=") as refused:
        kl.register("http://me:hidden@127.0.0.1/openapi.json")
    assert "hidden" not in str(refused.value)


def test_a_module_takes_no_token(here: Path) -> None:
    with pytest.raises(FlowError, match="which takes no token"):
        kl.register("math_flows", token="x")


def test_a_proxy_of_the_environment_is_not_for_this_machine(
    here: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    service = serve(town_app)
    assert rows(kl.register(f"{service.url}/openapi.json")) == [("Look at a town", "ok")]
    assert sources.client("http://example.org", None, 1).trust_env


# -- the command line -------------------------------------------------------------------


def cli(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kodosumi_lab.cli import app; app()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=stdin)


@pytest.mark.slow
def test_the_commands_keep_the_register(here: Path, serve: Any) -> None:
    write(here, "math_flows", MATH)
    write(here, "broken", "1 / 0\n")
    service = serve(closed_app)
    url = f"{service.url}/openapi.json"
    shown = cli("register", "math_flows")
    assert shown.returncode == 0, shown.stderr
    assert "add_up  math_flows:add_up  #math" in shown.stdout
    assert "a: integer, b: integer = 1" in shown.stdout
    broken = cli("register", "broken")
    assert broken.returncode == 2
    assert "ZeroDivisionError" in broken.stderr
    known = cli("register", url, "--token-file", "-", "--json", stdin=SECRET + "\n")
    assert [flow["url"] for flow in json.loads(known.stdout)["flows"]] == [f"{service.url}/"]
    listed = json.loads(cli("flows", "--json").stdout)
    assert sorted(flow["name"] for flow in listed["flows"]) == ["Look at a town", "add_up"]
    assert "ZeroDivisionError" in listed["failed"]["broken"]
    assert [flow["name"] for flow in json.loads(cli("flows", "--search", "town", "--json").stdout)["flows"]] == [
        "Look at a town"
    ]
    assert cli("unregister", "broken").returncode == 0
    assert cli("unregister", "broken").returncode == 2
    assert cli("refresh").returncode == 0
    assert SECRET not in "".join(cli("flows").stdout + cli("flows", "--json").stdout)
    assert "add_up" in cli("flows", "math_flows").stdout
