"""Files that JupyterLab opens by a double-click: exported runs, and Parquet files of event logs."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import eventually

import kodosumi_lab as kl
from browser.lab import AT_BOTH, Jupyter, Lab, Servers, one_each, serve_jupyter
from browser.showcase import Showcase
from browser.test_lab_extension import sidebar

#: What the browser says of a refusal that a test provokes.
REFUSED = "status of 422"


@contextlib.contextmanager
def furnished(showcase: Showcase, folder: Path, base_url: str) -> Iterator[Jupyter]:
    """JupyterLab with the package's own gateway, and files of each kind in its folder."""
    log = str(showcase.root)
    with serve_jupyter(folder, base_url=base_url, gateway_port=None, KODOSUMI_LAB_LOG_DIR=log) as held:
        run = kl.run(showcase.rich, log_dir=showcase.root)
        if "out/passages.csv" not in run.files:
            (folder / "passages.csv").write_text("passage,score\nA heap is …,0.93\n")
            (folder / "vectors.bin").write_bytes(b"\0" * (4 * 2**20 + 1))
            run.files.upload([folder / "passages.csv", folder / "vectors.bin"], root="out")
        run.export(held.folder / "rich.kodosumi-run.json")
        (held.folder / "torn.kodosumi-run.json").write_text('{"format": "kodosumi-run", "ver')
        everything = kl.events(log_dir=showcase.root).sort("run_id", "seq").collect()
        everything.write_parquet(held.folder / "all.parquet")
        day = held.folder / "events" / "date=2026-11-22"
        day.mkdir(parents=True)
        everything.filter(pl.col("run_id") == showcase.large).write_parquet(day / "abc123-00000007.parquet")
        pl.DataFrame({"city": ["Bonn"], "people": [1]}).write_parquet(held.folder / "towns.parquet")
        (held.folder / "noise.parquet").write_bytes(b"no Parquet at all")
        yield held


@pytest.fixture(scope="module")
def servers(showcase: Showcase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with one_each(lambda base_url: furnished(showcase, tmp_path_factory.mktemp("jupyter"), base_url)) as made:
        yield made


@pytest.fixture
def lab(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> Lab:
    return open_lab(jupyter)


def double_click(lab: Lab, name: str) -> Any:
    """Open a file of the file browser's folder; the document that is shown."""
    item = lab.page.locator(".jp-DirListing-item").filter(has_text=re.compile(f"^{re.escape(name)}"))
    item.wait_for()
    item.dblclick()
    eventually(lambda: lab.page.evaluate("globalThis.jupyterapp.shell.currentWidget?.title.label ?? ''") == name)
    return lab.page.locator(f"[id='{lab.page.evaluate('globalThis.jupyterapp.shell.currentWidget.id')}']")


@AT_BOTH
def test_an_exported_run_is_shown_by_a_double_click_and_comes_back(lab: Lab, showcase: Showcase) -> None:
    shown = double_click(lab, "rich.kodosumi-run.json")
    shown.get_by_role("heading", name="What is a heap?").wait_for()
    shown.get_by_text(re.compile(r"^complete · \d+ events$")).wait_for()
    assert shown.get_by_role("button", name="Rerun").is_disabled()
    shown.get_by_role("tab", name=re.compile("^Console")).click()
    shown.get_by_role("log", name="Console").get_by_text(re.compile(r"passage\s+1:")).wait_for()
    shown.get_by_role("tab", name=re.compile("^Timeline")).click()
    shown.get_by_text("7 spans").first.wait_for()
    shown.get_by_role("tab", name=re.compile("^Files")).click()
    shown.get_by_text("not in this file: larger than 4 MiB").wait_for()
    with lab.page.expect_download() as saved:
        shown.get_by_role("button", name="passages.csv").click()
    assert Path(saved.value.path()).read_text() == "passage,score\nA heap is …,0.93\n"
    shown.get_by_role("button", name="More actions").click()
    assert shown.get_by_role("menuitem").all_inner_texts() == ["Copy id", "Copy Python"], "what the file cannot do"
    lab.page.keyboard.press("Escape")
    assert lab.page.evaluate("globalThis.hit") is None, "what a file says is not run"
    lab.reload(saved="rich.kodosumi-run.json")
    lab.page.locator(".kl-saved").get_by_role("heading", name="What is a heap?").wait_for()
    lab.close_all()


@AT_BOTH
def test_a_run_is_exported_from_its_menu_into_the_current_folder(
    lab: Lab, jupyter: Jupyter, showcase: Showcase
) -> None:
    name = f"research-{showcase.rich[-8:]}.kodosumi-run.json"
    (jupyter.folder / "reports").mkdir(exist_ok=True)
    lab.execute("filebrowser:go-to-path", path="reports")
    lab.execute("kodosumi:open-run", runId=showcase.rich)
    view = lab.page.locator(".kl-lab-run")
    view.get_by_role("button", name="More actions").click()  # the gateway has to start
    view.get_by_role("menuitem", name="Export run").click()
    lab.page.get_by_text(f"The run is in reports/{name}").first.wait_for()
    written = json.loads((jupyter.folder / "reports" / name).read_text())
    assert written["run"]["run_id"] == showcase.rich
    assert [file["path"] for file in written["files"]] == ["out/passages.csv", "out/report.md", "out/vectors.bin"]
    lab.page.locator(".Toastify__toast").get_by_role("button", name="Open").click()
    lab.page.locator(".kl-saved").get_by_role("heading", name="What is a heap?").wait_for()
    (jupyter.folder / "reports" / name).unlink()
    row = sidebar(lab).locator(f"[data-run-id='{showcase.rich}']")
    row.scroll_into_view_if_needed()
    row.click(button="right")
    lab.page.get_by_role("menuitem", name="Export Run…").click()
    eventually((jupyter.folder / "reports" / name).is_file)
    lab.execute("filebrowser:go-to-path", path="/")
    lab.close_all()


def test_an_exported_run_needs_neither_gateway_nor_kernel(
    jupyter: Jupyter, showcase: Showcase, open_lab: Callable[..., Lab], tmp_path: Any
) -> None:
    with serve_jupyter(tmp_path, gateway_port=0) as bare:
        kl.run(showcase.failing, log_dir=showcase.root).export(bare.folder / "failed.kodosumi-run.json")
        lab = open_lab(bare)
        lab.page.allowed.append("status of 404")  # there is no gateway
        shown = double_click(lab, "failed.kodosumi-run.json")
        shown.get_by_role("tab", name=re.compile("^Error")).wait_for()
        shown.get_by_text("error", exact=True).first.wait_for()
        assert lab.page.evaluate("[...globalThis.jupyterapp.serviceManager.kernels.running()].length") == 0


@AT_BOTH
def test_a_parquet_of_many_runs_lists_them_and_opens_one(lab: Lab, showcase: Showcase) -> None:
    shown = double_click(lab, "all.parquet")
    table = shown.get_by_role("table", name="Runs")
    table.get_by_role("row").nth(1).wait_for()  # the gateway has to start
    assert table.get_by_role("checkbox").locator("visible=true").count() == 0, "nothing can be done to runs of a file"
    shown.get_by_role("searchbox").or_(shown.get_by_placeholder(re.compile("^Search"))).first.fill("research")
    row = table.get_by_role("row").filter(has_text="research").first
    row.wait_for()
    table.locator(f"[data-run-id='{showcase.rich}']").get_by_role("button").first.click()
    shown.get_by_role("heading", name="What is a heap?").wait_for()
    shown.get_by_role("button", name="all runs of the file").click()
    table.wait_for()


def test_a_large_segment_is_read_page_by_page(lab: Lab, showcase: Showcase) -> None:
    lab.execute("filebrowser:go-to-path", path="events/date=2026-11-22")
    asked: list[str] = []
    lab.page.on("request", lambda one: asked.append(one.url))
    shown = double_click(lab, "abc123-00000007.parquet")
    shown.get_by_role("tab", name=re.compile("^Events")).click()
    grid = shown.get_by_role("grid", name="Events")
    grid.get_by_role("row").nth(3).wait_for()
    grid.focus()
    lab.page.keyboard.press("End")
    last = str(kl.run(showcase.large, log_dir=showcase.root)._row()["last_seq"])
    grid.get_by_text(last, exact=True).wait_for()
    assert not [url for url in asked if "/api/contents/" in url and "content=1" in url and ".parquet" in url]
    rows = [int(limit) for url in asked for limit in re.findall(r"/window\?.*\blimit=(\d+)", url)]
    assert 0 < sum(rows) <= 5_000, "of 100,000"
    lab.execute("filebrowser:go-to-path", path="/")


def test_a_file_that_is_none_says_what_is_wrong(lab: Lab) -> None:
    lab.page.allowed.append(REFUSED)
    shown = double_click(lab, "torn.kodosumi-run.json")
    shown.get_by_role("alert").get_by_text(
        "This is no exported run: it is no JSON, or a part of it is missing"
    ).wait_for()
    shown = double_click(lab, "towns.parquet")
    alert = shown.get_by_role("alert")
    alert.get_by_text("towns.parquet is no event log: it has no column run_id").wait_for()
    alert.get_by_text("Its columns are: city, people").wait_for()
    shown = double_click(lab, "noise.parquet")
    shown.get_by_role("alert").get_by_text("noise.parquet cannot be read as Parquet").wait_for()


def test_names_say_which_viewer_opens_a_file(lab: Lab) -> None:
    default = "(name) => globalThis.jupyterapp.docRegistry.defaultWidgetFactory(name).name"
    assert lab.page.evaluate(default, "a.parquet") == "Kodosumi Event Log"
    assert lab.page.evaluate(default, "abc123-00000007.parquet") == "Kodosumi Event Log"
    assert lab.page.evaluate(default, "compact-0123456789ab-0.parquet") == "Kodosumi Event Log"
    assert lab.page.evaluate(default, "a.json") != "Kodosumi Run"
    names = lab.page.evaluate(
        "globalThis.jupyterapp.docRegistry.preferredWidgetFactories('a.parquet').map((f) => f.name)"
    )
    assert "Editor" in names, "Open With has the others"


#: An extension that opens Parquet files of any kind, as far as the registry of documents is concerned.
_THEIRS = """let held;
Object.defineProperty(globalThis, 'jupyterapp', { get: () => held, set: (app) => {
    held = app;
    app.docRegistry.addFileType({ name: 'theirs', extensions: ['.parquet'], fileFormat: 'base64', contentType: 'file', mimeTypes: [] });
    app.docRegistry.addWidgetFactory({ name: 'Theirs', fileTypes: ['theirs'], defaultFor: ['theirs'], modelName: 'base64' });
} });"""


def test_another_viewer_of_parquet_keeps_its_files(lab: Lab) -> None:
    lab.page.add_init_script(_THEIRS)
    lab.page.reload()
    lab.ready()
    names = "(name) => globalThis.jupyterapp.docRegistry.preferredWidgetFactories(name).map((f) => f.name)"
    any_parquet = lab.page.evaluate(names, "a.parquet")
    assert any_parquet[0] == "Theirs"
    assert "Kodosumi Event Log" in any_parquet, "Open With has it"
    assert lab.page.evaluate(names, "abc123-00000007.parquet")[0] == "Kodosumi Event Log"


def test_the_files_are_shown_in_each_theme(lab: Lab, tmp_path: Any) -> None:
    folder = tmp_path
    for theme in ("light", "dark"):
        lab.theme(theme)
        for name, wait in (
            ("rich.kodosumi-run.json", "complete"),
            ("all.parquet", "research"),
            ("torn.kodosumi-run.json", "no JSON"),
        ):
            shown = double_click(lab, name)
            shown.get_by_text(re.compile(wait)).first.wait_for()
            lab.page.screenshot(path=folder / f"{theme}-{name}.png")
            ink = shown.locator(".kl").first.evaluate(
                "(e) => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
            )
            assert ink[0] != ink[1]
    lab.theme("light")
