"""The JupyterLab extension as a person uses it: a real JupyterLab, a real gateway, no kernel unless one is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import eventually

import kodosumi_lab
from browser.lab import AT_BOTH, Gateway, Jupyter, Lab, serve_jupyter
from browser.showcase import Showcase
from kodosumi_lab.runtime.layout import log_id

#: What the browser says of a gateway that is not there.
AWAY = "status of 500"


@pytest.fixture(scope="module")
def gateway(showcase: Showcase) -> Any:
    """As everywhere, with flows to launch."""
    held = Gateway(showcase.root, flows=["examples.flows.primes"])
    yield held
    held.stop()


@pytest.fixture
def lab(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> Lab:
    return open_lab(jupyter)


def sidebar(lab: Lab) -> Any:
    lab.execute("kodosumi:show-sidebar")
    found = lab.page.get_by_role("region", name="Kodosumi", exact=True)
    found.wait_for()
    return found


def current(lab: Lab) -> str:
    return str(lab.page.evaluate("globalThis.jupyterapp.shell.currentWidget?.title.label ?? ''"))


def sources(lab: Lab, path: str) -> list[str]:
    """The cells' texts of a notebook that is open."""
    found = """(path) => [...globalThis.jupyterapp.shell.widgets('main')].find((w) => w.context && w.context.path === path)
        .content.widgets.map((cell) => cell.model.sharedModel.getSource())"""
    return list(lab.page.evaluate(found, path))


def test_the_versions_of_page_and_server_are_compared_when_jupyterlab_starts(
    jupyter: Jupyter, open_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = kodosumi_lab.__version__
    monkeypatch.setattr(kodosumi_lab, "__version__", "99.0.0")  # of the gateway, which is in this process
    told = f"JupyterLab shows version {ours} of Kodosumi Lab, its server has 99.0.0: reload the page."
    open_lab(jupyter).page.get_by_text(told).wait_for()


@AT_BOTH
def test_the_sidebar_shows_flows_runs_and_questions_without_a_kernel(lab: Lab, showcase: Showcase) -> None:
    bar = sidebar(lab)
    bar.get_by_role("listitem").filter(has_text="prime_gaps").wait_for()
    rows = bar.get_by_role("grid", name="Runs").get_by_role("row")
    rows.filter(has_text="research").first.wait_for()
    assert bar.get_by_text("Waiting for me (2)", exact=False).count() == 1
    assert lab.page.evaluate("[...globalThis.jupyterapp.serviceManager.kernels.running()].length") == 0
    tab = lab.page.locator(".jp-SideBar [data-kl-waiting='2']")
    assert tab.get_attribute("title") == "Kodosumi: 2 questions wait for you"


@AT_BOTH
def test_the_list_of_runs_is_live_and_filters(lab: Lab, showcase: Showcase) -> None:
    bar = sidebar(lab)
    row = bar.locator(f"[data-run-id='{showcase.running}']")
    row.wait_for()
    label = f"range seven at {lab.jupyter.url}"
    showcase.live.say("progress", {"value": 7, "total": 10, "label": label, "name": None})
    row.get_by_text(label).wait_for()
    bar.get_by_label("Which runs").select_option(label="Failed")
    bar.locator(f"[data-run-id='{showcase.failing}']").wait_for()
    row.wait_for(state="detached")
    bar.get_by_label("Filter runs").fill("nobody has said this")
    bar.get_by_text("No run fits.").wait_for()


@AT_BOTH
def test_a_run_opens_by_key_and_says_where_it_stands(lab: Lab, showcase: Showcase) -> None:
    bar = sidebar(lab)
    bar.locator(f"[data-run-id='{showcase.rich}']").wait_for()
    bar.get_by_label("Filter runs").fill(showcase.rich)
    grid = bar.get_by_role("grid", name="Runs")
    eventually(lambda: grid.get_by_role("row").count() == 1)
    grid.focus()
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    lab.page.get_by_role("heading", name="What is a heap?").wait_for()
    eventually(lambda: current(lab) == f"research {showcase.rich[-8:]}")


@AT_BOTH
def test_a_form_checks_what_is_entered_and_stays(lab: Lab) -> None:
    bar = sidebar(lab)
    bar.get_by_role("button", name="Gaps between neighbouring primes").click()
    page = lab.page
    page.allowed.append("status of 422")  # the gateway checks what is entered, too
    page.get_by_role("heading", name="Gaps between neighbouring primes").wait_for()
    page.get_by_label("End", exact=True).fill("-5")
    page.get_by_label("End", exact=True).blur()
    page.get_by_text("At least 1").wait_for()
    assert current(lab) == "Launch prime_gaps"


@AT_BOTH
def test_tabs_come_back_with_the_layout(lab: Lab, showcase: Showcase) -> None:
    sidebar(lab)
    lab.execute("kodosumi:open-run", runId=showcase.rich)
    lab.execute("kodosumi:open-inbox")
    lab.execute("kodosumi:launch-flow", flow="prime_gaps")
    lab.execute("kodosumi:open-runs")
    lab.page.get_by_role("table").wait_for()
    lab.reload(saved="kodosumi-lab:runs")
    lab.page.get_by_role("table").wait_for()
    labels = lab.page.evaluate("[...globalThis.jupyterapp.shell.widgets('main')].map((w) => w.title.label)")
    assert {"Runs", "Waiting for me", "Launch prime_gaps"} <= set(labels)
    lab.execute("kodosumi:open-run", runId=showcase.rich)
    lab.page.get_by_role("heading", name="What is a heap?").wait_for()
    assert len(lab.page.evaluate("[...globalThis.jupyterapp.shell.widgets('main')].map((w) => w.id)")) == len(labels)


@AT_BOTH
def test_without_the_gateway_everything_stays_and_says_so_and_goes_on(
    lab: Lab, gateway: Gateway, showcase: Showcase
) -> None:
    lab.page.allowed += [AWAY, "status of 599"]  # the proxy's, of what was on its way
    bar = sidebar(lab)
    lab.execute("kodosumi:open-run", runId=showcase.running)
    lab.page.get_by_text("running", exact=True).first.wait_for()
    gateway.stop()
    try:
        bar.get_by_text("Not connected", exact=True).wait_for()
        bar.get_by_text("kodosumi-lab up", exact=True).wait_for()
        lab.page.get_by_role("button", name="Kodosumi: The gateway of this Jupyter server does not answer").wait_for()
        lab.reload(saved=f"kodosumi-lab:run:{showcase.running}")
        view = lab.page.locator(f"#kodosumi-lab-run\\:{showcase.running}")
        view.get_by_text("Not connected", exact=True).wait_for()
    finally:
        gateway.start()
    bar.get_by_text("Not connected", exact=True).wait_for(state="hidden")
    label = f"after the break at {lab.jupyter.url}"
    showcase.live.say("progress", {"value": 9, "total": 10, "label": label, "name": None})
    view.get_by_text(label).wait_for()


@AT_BOTH
def test_a_question_opens_in_the_sidebar(lab: Lab, showcase: Showcase) -> None:
    bar = sidebar(lab)
    bar.get_by_role("button", name="title review").click()
    bar.get_by_role("button", name="Yes").wait_for()
    assert bar.get_by_role("button", name="Yes").is_enabled()


def test_commands_are_described_and_know_when_they_can_be_used(lab: Lab, showcase: Showcase) -> None:
    told = lab.page.evaluate(
        """async () => {
            const { commands } = globalThis.jupyterapp;
            const ids = commands.listCommands().filter((id) => id.startsWith('kodosumi:'));
            return Promise.all(ids.map(async (id) => [id, commands.label(id), commands.caption(id), !!commands.icon(id),
                JSON.stringify(await commands.describedBy(id))]));
        }"""
    )
    assert len(told) >= 16
    for name, label, caption, icon, described in told:
        assert all([label, caption, icon]), name
        assert json.loads(described)["args"] is not None, name
    enabled = "(id) => globalThis.jupyterapp.commands.isEnabled(id)"
    assert not lab.page.evaluate(enabled, "kodosumi:cancel-run")
    lab.execute("kodosumi:open-run", runId=showcase.running)
    lab.page.wait_for_function(f"() => ({enabled})('kodosumi:cancel-run')")
    palette = lab.page.locator("#modal-command-palette")
    item = palette.locator(".lm-CommandPalette-item").filter(has_text="Questions Waiting for Me").first

    def listed() -> bool:
        if not palette.is_visible():  # it goes with the focus, which the tab may have taken after it
            lab.execute("apputils:activate-command-palette")
            lab.page.keyboard.type("questions waiting for me")
        return bool(item.is_visible())

    eventually(listed, what="the palette has our commands")


def test_shortcuts_and_cards_open_tabs_and_runs_are_compared_in_code(lab: Lab, showcase: Showcase) -> None:
    lab.page.keyboard.press("Alt+K")
    lab.page.get_by_role("region", name="Kodosumi", exact=True).wait_for()
    lab.execute("launcher:create")
    lab.page.locator(".jp-LauncherCard").filter(has_text="Launch").last.wait_for()
    lab.page.locator(".jp-LauncherCard[data-category=Kodosumi]").first.click()
    eventually(lambda: current(lab) == "Runs")
    lab.close_all()
    lab.page.keyboard.press("Alt+Shift+K")
    eventually(lambda: current(lab) == "Runs")
    table = lab.page.get_by_role("table", name="Runs")
    for run_id in (showcase.rich, showcase.failing):
        table.locator(f"tr[data-id='{run_id}']").get_by_role("checkbox").check()
    lab.page.get_by_role("button", name="Compare", exact=True).click()
    lab.page.get_by_text(f'kl.diff("{showcase.rich[-12:]}", "{showcase.failing[-12:]}")').wait_for()


@AT_BOTH
def test_a_saved_run_is_alive_again_without_a_kernel(lab: Lab, jupyter: Jupyter, showcase: Showcase) -> None:
    def bundle(run_id: str, log: str) -> dict[str, Any]:
        return {
            "text/plain": "a run", "text/html": "<p>as it <b>was</b></p>",
            "application/vnd.kodosumi.run.v1+json": {"run_id": run_id, "log_dir": "/somewhere", "log": log},
        }  # fmt: skip

    here = log_id(showcase.root)
    gone = "01990000-0000-7000-8000-000000000000"
    lab.page.allowed.append("status of 404")  # the one that is gone
    outputs = [bundle(showcase.rich, here), bundle(showcase.rich, "0123456789abcdef"), bundle(gone, here)]
    book = lab.open(jupyter.notebook("saved.ipynb", ["one", "two", "three"], outputs=outputs), kernel=False)
    book.output(0).get_by_role("heading", name="What is a heap?").wait_for()
    book.output(1).get_by_text("As it was when the cell ran: this run is in another log, /somewhere").wait_for()
    book.output(1).get_by_text("as it was", exact=True).wait_for()
    book.output(2).get_by_text("this run is not in the log").wait_for()


def test_a_saved_run_is_a_snapshot_while_nothing_answers(
    lab: Lab, jupyter: Jupyter, gateway: Gateway, showcase: Showcase
) -> None:
    lab.page.allowed.append(AWAY)
    gateway.stop()
    try:
        run = {"run_id": showcase.rich, "log_dir": "/somewhere", "log": log_id(showcase.root)}
        data = {"text/html": "<p>as it <b>was</b></p>", "application/vnd.kodosumi.run.v1+json": run}
        book = lab.open(jupyter.notebook("away.ipynb", ["one"], outputs=[data]), kernel=False)
        book.output(0).get_by_text("As it was when the cell ran: not connected.").wait_for()
        book.output(0).get_by_role("button", name="Try again").wait_for()
    finally:
        gateway.start()
    book.output(0).get_by_role("button", name="Try again").click()
    book.output(0).get_by_role("heading", name="What is a heap?").wait_for()


def test_the_settings_say_where_tabs_open_and_where_the_gateway_is(
    lab: Lab, jupyter: Jupyter, showcase: Showcase, tmp_path: Any
) -> None:
    from browser.showcase import Scene
    from kodosumi_lab.runtime.log import LogWriter

    saved = """async (settings) => globalThis.jupyterapp.serviceManager.settings.save('kodosumi-lab:plugin', JSON.stringify(settings))"""
    writer = LogWriter(tmp_path / "log", "other")
    other = Scene(writer, "somewhere_else", ago_s=1)
    elsewhere = Gateway(writer.layout.root)
    left = "(label) => [...globalThis.jupyterapp.shell.widgets('main')].find((w) => w.title.label.startsWith(label)).node.getBoundingClientRect().left"
    try:
        lab.page.evaluate(saved, {"defaultLayout": "beside", "serverUrl": f"proxy/{elsewhere.port}"})
        lab.page.reload()
        lab.ready()
        lab.open(jupyter.notebook("beside.ipynb", [""]), kernel=False)
        bar = sidebar(lab)
        bar.locator(f"[data-run-id='{other.run_id}']").wait_for()
        assert bar.locator(f"[data-run-id='{showcase.running}']").count() == 0
        lab.execute("kodosumi:open-run", runId=other.run_id)
        eventually(lambda: current(lab).startswith("somewhere_else"))
        eventually(lambda: lab.page.evaluate(left, "somewhere_else") > lab.page.evaluate(left, "beside.ipynb") + 200)
        lab.execute("kodosumi:open-runs")
        eventually(lambda: current(lab) == "Runs")
        eventually(lambda: lab.page.evaluate(left, "Runs") > lab.page.evaluate(left, "beside.ipynb") + 200)
    finally:
        lab.page.evaluate(saved, {})
        lab.close_all()
        lab.page.reload()
        lab.ready()
        elsewhere.stop()
        writer.close()


def test_dashboard_that_is_not_served_is_said_kindly(lab: Lab) -> None:
    lab.page.allowed.append("status of 404")
    lab.execute("kodosumi:open-dashboard")
    frame = lab.page.locator(".kl-lab-frame")
    told = lab.page.get_by_text("This gateway serves no dashboard")
    frame.or_(told).first.wait_for()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A log with 1,000 runs that are going on."""
    from logkit import FastDisk

    from browser.showcase import Scene
    from kodosumi_lab.runtime.log import LogWriter

    writer = LogWriter(tmp_path_factory.mktemp("crowd") / "log", "crowd", disk=FastDisk())
    yield writer, [Scene(writer, f"flow_{i % 7}", ago_s=1000 - i) for i in range(1000)]
    writer.close()


def test_a_thousand_live_runs_are_listed_without_lag(
    crowded: Any, open_lab: Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory
) -> None:
    writer, scenes = crowded
    gateway = Gateway(writer.layout.root)
    try:
        with serve_jupyter(tmp_path_factory.mktemp("jupyter"), gateway_port=gateway.port) as jupyter:
            lab = open_lab(jupyter)
            bar = sidebar(lab)
            bar.get_by_text("1,000 runs", exact=True).wait_for()
            grid = bar.get_by_role("grid", name="Runs")
            lab.page.evaluate(
                """() => { globalThis.tasks = [];
                new PerformanceObserver((list) => list.getEntries().forEach((e) => tasks.push(e.duration))).observe({ type: 'longtask' });
                globalThis.frames = []; let last = performance.now();
                const step = (now) => { frames.push(now - last); last = now; requestAnimationFrame(step); }; requestAnimationFrame(step); }"""
            )
            grid.hover()
            for i in range(40):
                for scene in scenes[i::40]:
                    scene.say("progress", {"value": i, "total": 40, "label": f"step {i}", "name": None})
                lab.page.mouse.wheel(0, 700)
                lab.page.wait_for_timeout(100)
            eventually(lambda: grid.get_by_role("row").filter(has_text="step").count() > 3)
            assert grid.get_by_role("row").count() < 60
            told = lab.page.evaluate(
                """() => { const f = frames.slice().sort((a, b) => a - b); return { longest: Math.max(0, ...tasks), tasks: tasks.length,
                p95: f[Math.floor(f.length * 0.95)], worst: f.at(-1), n: f.length, heap: performance.memory?.usedJSHeapSize }; }"""
            )
            print(told)
            assert told["longest"] < 200, told
    finally:
        gateway.stop()
