"""JupyterLab in a browser: a server of its own, notebooks, cells that are run for certain, themes.

    def test_something(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> None:
        lab = open_lab(jupyter)
        book = lab.open(jupyter.notebook("one.ipynb", ["import kodosumi_lab as kl", "kl.run(…)"]))
        book.run(0)
        book.output(0).get_by_role("button", name="Cancel").click()

Everything that is asked of JupyterLab itself goes through its application object: whether its interface says "idle"
tells nothing about whether a key will be heard.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from conftest import ROOT, eventually

from browser.pages import Anybody
from browser.showcase import Showcase
from kodosumi_lab.api.app import create_app
from kodosumi_lab.settings import load

EXTENSION = ROOT / "kodosumi_lab" / "labextension"

#: Python of another environment, whose JupyterLab and whatever is installed beside it the tests are to be about: the
#: wheel's, in `make release-check`. Gateways that tests start by themselves are of this one.
INSTALLED = os.environ.get("KODOSUMI_TEST_JUPYTER_PYTHON")

# What JupyterLab itself says on its console: requests that it cancels or repeats by design, and its source maps.
_OF_JUPYTER = ("favicon", "net::ERR_ABORTED", "DevTools", "source map", "Canceled future for")

_OVERRIDES = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": False,
    },
    "@jupyterlab/completer-extension/inline-completer.jupyterlab-settings": {"providers": {}},
}  # fmt: skip

_CONFIG = """
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.open_browser = False
c.IdentityProvider.token = ""
c.ServerApp.port_retries = 0
c.ServerApp.allow_root = True
c.ServerApp.jpserver_extensions = {{"panel.io.jupyter_server_extension": False}}
c.LabApp.expose_app_in_browser = True
c.LabApp.news_url = None
{servers}
"""


class Gateway:
    """A gateway over a log that can go away and come back at the same address, as servers do."""

    def __init__(self, log_dir: Path, **options: Any) -> None:
        self.log_dir, self._options = log_dir, options
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer from now on."""
        options = {"identity": Anybody(), **self._options}
        app = create_app(settings=load(log_dir=self.log_dir), **options)
        if self._socket.fileno() == -1:
            self._socket = socket.create_server(("127.0.0.1", self.port))
        config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        eventually(lambda: self._server is not None and self._server.started, what="the gateway has started")

    def stop(self) -> None:
        """Answer nothing, until started again."""
        if self._server is None:
            return
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._server = None
        self._socket.close()


class Jupyter:
    """A JupyterLab server.

    Attributes
    ----------
    url
        Its base URL, with a slash at the end.
    folder
        Where its notebooks are.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def notebook(self, name: str, cells: Sequence[str], *, outputs: Sequence[Any] = ()) -> str:
        """Write a notebook of code cells; `outputs` has a MIME bundle, or None, for each. Answers its path."""
        made = []
        for i, source in enumerate(cells):
            bundle = outputs[i] if i < len(outputs) else None
            shown = [{"output_type": "display_data", "data": bundle, "metadata": {}}] if bundle else []
            made.append(
                {"cell_type": "code", "id": f"cell-{i}", "metadata": {"trusted": True}, "source": source,
                 "execution_count": None, "outputs": shown}
            )  # fmt: skip
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        text = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(text))
        return name


@contextlib.contextmanager
def serve_jupyter(
    folder: Path,
    *,
    base_url: str = "/",
    gateway_port: int | None = None,
    extension: Path | None = EXTENSION,
    python: str | Path | None = INSTALLED,
    **env: str,
) -> Iterator[Jupyter]:
    """Run JupyterLab with nothing of the person who runs the tests.

    Parameters
    ----------
    folder
        For its notebooks, its configuration and its output.
    base_url
        As a hub gives it, such as ``/user/ada/``.
    gateway_port
        Where a gateway listens; it is at ``<base_url>kodosumi`` then. None takes the package's own, which starts with
        the first request; 0 leaves the server without one.
    extension
        Built extension to install for this server alone; None installs none.
    python
        Python of the environment whose JupyterLab it is, with nothing from here: its own extension and entry point.
        None takes this environment, and the extension as it is built here.
    **env
        More environment, for its kernels too.
    """
    own = {name: folder / name for name in ("config", "data", "runtime", "settings", "workspaces", "ipython", "work")}
    for path in own.values():
        path.mkdir(parents=True, exist_ok=True)
    for name, value in _OVERRIDES.items():
        target = own["settings"] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value))
    # Panel's preview asks its own server extension at every notebook, which is off here: it costs seconds at the start
    page_config = own["config"] / "labconfig" / "page_config.json"
    page_config.parent.mkdir(exist_ok=True)
    page_config.write_text(json.dumps({"disabledExtensions": {"@pyviz/jupyterlab_pyviz": True}}))
    if extension is not None and python is None:
        place = own["data"] / "labextensions" / "kodosumi-lab"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(extension, target_is_directory=True)
    if gateway_port is None and python is not None:
        servers = ""
    elif gateway_port is None:  # what its entry point says, wherever the package comes from
        servers = "from kodosumi_lab.jupyter import setup\nc.ServerProxy.servers = {'kodosumi': setup()}"
    else:
        entry = {"port": gateway_port, "launcher_entry": {"enabled": False}, "update_last_activity": False}
        servers = f"c.ServerProxy.servers = { ({'kodosumi': entry})!r}"
        if gateway_port == 0:
            servers = 'c.ServerApp.jpserver_extensions = {"jupyter_server_proxy": False}'
    (own["config"] / "jupyter_server_config.py").write_text(_CONFIG.format(servers=servers))
    foreign = ("JUPYTER", "JPY_", "IPYTHON", *(("PYTHONPATH", "VIRTUAL_ENV") if python is not None else ()))
    python = Path(python or sys.executable)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "JUPYTER_CONFIG_DIR": str(own["config"]), "JUPYTER_DATA_DIR": str(own["data"]),
        "JUPYTER_RUNTIME_DIR": str(own["runtime"]), "JUPYTERLAB_SETTINGS_DIR": str(own["settings"]),
        "JUPYTERLAB_WORKSPACES_DIR": str(own["workspaces"]), "IPYTHONDIR": str(own["ipython"]),
        "JUPYTER_PLATFORM_DIRS": "1", "JUPYTER_PATH": str(own["data"]), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", **env,
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = folder / "jupyter.log"
    with said.open("wb") as output:
        command = [str(python), "-m", "jupyterlab", f"--port={port}", f"--ServerApp.base_url={base_url}"]
        process = subprocess.Popen(
            command, cwd=own["work"], env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}{base_url}"

    def up() -> bool:
        assert process.poll() is None, f"JupyterLab has ended:\n{said.read_text()}"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url}api/status", timeout=5).status_code == 200
        return False

    try:
        eventually(up, timeout_s=90, what="JupyterLab answers")
        yield Jupyter(url, own["work"])
    finally:
        _end(process, url)


def _end(process: subprocess.Popen[bytes], url: str) -> None:
    """Its kernels are in sessions of their own, so it has to end them itself."""
    with contextlib.suppress(httpx.HTTPError):
        for kernel in httpx.get(f"{url}api/kernels", timeout=5).json():
            httpx.delete(f"{url}api/kernels/{kernel['id']}", timeout=10, headers={"origin": url})
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
            break


_READY = """async (path) => {
    const app = globalThis.jupyterapp;
    const widget = path
        ? [...app.shell.widgets('main')].find((w) => w.context && w.context.path === path)
        : app.shell.currentWidget;
    if (!widget) return 'no notebook';
    await widget.context.ready;
    await widget.sessionContext.ready;
    const kernel = widget.sessionContext.session?.kernel;
    if (!kernel) return 'no kernel';
    await kernel.info;
    return kernel.status;
}"""

_FIND = (
    """(path) => [...globalThis.jupyterapp.shell.widgets('main')].find((w) => w.context && w.context.path === path)"""
)


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, lab: Lab, path: str) -> None:
        self.lab, self.page, self.path = lab, lab.page, path

    @property
    def view(self) -> Any:
        """Its panel, as a locator."""
        return self.page.locator(f"#{self.page.evaluate(f'(path) => ({_FIND})(path).id', self.path)}")

    def output(self, index: int) -> Any:
        """What is shown below a cell, as a locator."""
        return self.view.locator(".jp-Cell").nth(index).locator(".jp-Cell-outputArea")

    def text(self, index: int) -> str:
        """The text output of a cell, of its streams and its results."""
        return self.page.evaluate(
            f"""([path, i]) => {{
                const outputs = ({_FIND})(path).content.model.cells.get(i).outputs.toJSON();
                return outputs.map((o) => o.text ?? o.data?.['text/plain'] ?? o.evalue ?? '').flat().join('');
            }}""",
            [self.path, index],
        )

    def run(self, index: int, *, wait: bool = True, timeout_s: float = 60) -> None:
        """Run a cell; `wait` until it has ended, and fail if it ended with an error."""
        self.page.evaluate(
            f"""([path, i]) => {{
                const panel = ({_FIND})(path);
                globalThis.jupyterapp.shell.activateById(panel.id);
                panel.content.activeCellIndex = i;
                panel.content.deselectAll();
                const runs = (globalThis.cellRuns ??= {{}});
                runs[`${{path}} ${{i}}`] = 'runs';
                const done = () => (runs[`${{path}} ${{i}}`] = 'ended');
                globalThis.jupyterapp.commands.execute('notebook:run-cell').then(done, done);
            }}""",
            [self.path, index],
        )
        if wait:
            self.ended(index, timeout_s=timeout_s)

    def ended(self, index: int, *, timeout_s: float = 60) -> None:
        """Wait until a cell that was run has ended, and fail if it ended with an error."""
        done = f"""([path, i]) => globalThis.cellRuns?.[`${{path}} ${{i}}`] !== 'runs' &&
            ({_FIND})(path).content.model.cells.get(i).executionState === 'idle'"""
        self.page.wait_for_function(done, arg=[self.path, index], timeout=timeout_s * 1000)
        error = self.page.evaluate(
            f"""([path, i]) => ({_FIND})(path).content.model.cells.get(i).outputs.toJSON()
                .filter((o) => o.output_type === 'error').map((o) => o.traceback.join('\\n')).join('\\n')""",
            [self.path, index],
        )
        assert not error, re.sub(r"\x1b\[[0-9;]*m", "", error)

    def save(self) -> None:
        """Save it."""
        self.page.evaluate(f"async (path) => ({_FIND})(path).context.save()", self.path)

    def restart(self) -> None:
        """Restart its kernel without asking, and wait for it."""
        kernel = f"({_FIND})(path).sessionContext.session.kernel"
        self.page.evaluate(f"async (path) => {{ await {kernel}.restart(); }}", self.path)
        self.ready()

    def shutdown(self) -> None:
        """End its kernel."""
        self.page.evaluate(f"async (path) => ({_FIND})(path).sessionContext.shutdown()", self.path)

    def ready(self) -> None:
        """Wait until its kernel answers."""
        eventually(
            lambda: self.page.evaluate(_READY, self.path) == "idle", timeout_s=60, what=f"the kernel of {self.path}"
        )


class Lab:
    """JupyterLab in a page.

    Attributes
    ----------
    page
        Playwright's page.
    """

    def __init__(self, page: Any, jupyter: Jupyter) -> None:
        self.page, self.jupyter = page, jupyter
        self.ready()

    def ready(self) -> None:
        """Wait until JupyterLab has started and restored its layout."""
        self.page.wait_for_function("() => !!globalThis.jupyterapp")
        self.page.evaluate("async () => { await globalThis.jupyterapp.restored; }")

    def open(self, path: str, *, kernel: bool = True) -> Notebook:
        """Open a notebook and wait for its kernel; or leave it without one."""
        self.page.evaluate(
            """async ([path, kernel]) => {
                const app = globalThis.jupyterapp;
                const widget = await app.commands.execute('docmanager:open', {
                    path, factory: 'Notebook', kernelPreference: kernel ? { name: 'python3', autoStartDefault: true } :
                    { shouldStart: false, canStart: true, autoStartDefault: false } });
                await widget.context.ready;
                await widget.revealed;
            }""",
            [path, kernel],
        )
        book = Notebook(self, path)
        if kernel:
            book.ready()
        else:
            self.page.allowed.append("reading 'kernel'")  # the manager of widgets takes a kernel for granted
        return book

    def execute(self, command: str, **args: Any) -> Any:
        """Execute a command of JupyterLab; answers what it returns where that is plain data."""
        return self.page.evaluate(
            """async ([id, args]) => {
                const value = await globalThis.jupyterapp.commands.execute(id, args);
                return value === undefined || typeof value === 'object' ? null : value;
            }""",
            [command, args],
        )

    def theme(self, name: str) -> None:
        """``light``, ``dark`` or ``high contrast``."""
        named = {
            "light": "JupyterLab Light",
            "dark": "JupyterLab Dark",
            "high contrast": "JupyterLab Dark High Contrast",
        }
        # JupyterLab stumbles where its start is still covered
        started = "() => !!document.body.dataset.jpThemeName && !document.getElementById('jupyterlab-splash')"
        self.page.wait_for_function(started)
        self.execute("apputils:change-theme", theme=named[name])
        light = "true" if name == "light" else "false"
        self.page.wait_for_function(
            "([name, light]) => document.body.dataset.jpThemeName === name && document.body.dataset.jpThemeLight === light",
            arg=[named[name], light],
        )

    def reload(self, *, saved: str = "") -> None:
        """Load the page again, once the saved layout mentions `saved`; it is saved a while after it has changed."""
        workspace = self.page.url.split("/workspaces/")[1].split("/")[0].split("?")[0]

        def layout() -> str:
            return httpx.get(f"{self.jupyter.url}lab/api/workspaces/{workspace}", timeout=5).text

        eventually(lambda: saved in layout(), what=f"the saved layout mentions {saved}")
        self.page.reload()
        self.ready()

    def close_all(self) -> None:
        """Close every tab."""
        self.execute("application:close-all")


@pytest.fixture(scope="module")
def gateway(showcase: Showcase) -> Iterator[Gateway]:
    """A gateway over the module's log that can be stopped and started."""
    held = Gateway(showcase.root)
    yield held
    held.stop()


#: Mark of a test that is run at a server's own address and below a hub's. Tests without it are at the former.
AT_BOTH = pytest.mark.parametrize("jupyter", ["/", "/user/ada/"], ids=["root", "hub"], indirect=True)

#: Starts the server of a base URL, once.
Servers = Callable[[str], Jupyter]


@contextlib.contextmanager
def one_each(start: Callable[[str], contextlib.AbstractContextManager[Jupyter]]) -> Iterator[Servers]:
    """Servers by their base URL, each started when it is first asked for; all end with the block."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda base_url: stack.enter_context(start(base_url)))


@pytest.fixture(scope="module")
def servers(showcase: Showcase, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """JupyterLab with the module's log behind it; its kernels read the same log."""

    def start(base_url: str) -> contextlib.AbstractContextManager[Jupyter]:
        folder, log = tmp_path_factory.mktemp("jupyter"), str(showcase.root)
        return serve_jupyter(folder, base_url=base_url, gateway_port=gateway.port, KODOSUMI_LAB_LOG_DIR=log)

    with one_each(start) as made:
        yield made


@pytest.fixture
def jupyter(servers: Servers, request: pytest.FixtureRequest) -> Jupyter:
    """The module's server; with :data:`AT_BOTH` that of each base URL."""
    return servers(getattr(request, "param", "/"))


@pytest.fixture
def open_lab(open_page: Callable[..., Any]) -> Callable[..., Lab]:
    """Open JupyterLab in a page, in a workspace of its own: ``open_lab(jupyter, width=1200, workspace="one")``."""
    counted = 0

    def opened(jupyter: Jupyter, *, workspace: str | None = None, **options: Any) -> Lab:
        nonlocal counted
        counted += 1
        name = workspace or f"w{os.getpid()}-{id(open_page)}-{counted}"
        page = open_page(f"{jupyter.url}lab/workspaces/{quote(name)}", **{"width": 1280, "height": 860, **options})
        page.allowed.extend(_OF_JUPYTER)
        return Lab(page, jupyter)

    return opened
