"""One Ray for the whole session; each test that writes has a log directory of its own.

`lab` is the session's connection. `fresh_lab` gives a log of its own on the same Ray,
with settings of its own, for tests that kill actors or need few slots. `eventually` is the only thing that waits.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the environment of `make test-integrations` has none
    pass
else:
    # modest by default, twenty times that with `make soak`; how long an example takes is the machine's matter
    _COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
    settings.register_profile("quick", max_examples=25, stateful_step_count=25, **_COMMON)
    settings.register_profile("soak", max_examples=500, stateful_step_count=60, **_COMMON)
    settings.load_profile("soak" if os.environ.get("KODOSUMI_SOAK") == "1" else "quick")

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
for path in (str(ROOT), str(ROOT / "tests")):
    if path not in sys.path:
        sys.path.insert(0, path)
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


def _uses_ray(path: Path) -> bool:
    """Whether a file has tests on Ray, the session's or Ray that they start."""
    return "mark.ray" in path.read_text() or _takes_ray(path)


def _takes_ray(path: Path) -> bool:
    """Whether tests of a file take the session's Ray; a parameter `lab: Lab` is JupyterLab in a page."""
    return re.search(r"\b(fresh_)?lab: (?!Lab\b)", path.read_text()) is not None


def _part(path: Path) -> str:
    """With which other files one process takes a file."""
    if _takes_ray(path):
        return "ray"
    if _uses_ray(path):
        return path.name
    if "browser" not in path.parts:
        return f"plain, {path.parent.name}"
    return "jupyterlab" if path.name.startswith("test_lab_") else "pages"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of the processes of ``make test`` one takes all files with tests on the session's Ray, so that there is one.

    The longest parts go first, and what starts Ray itself last, after what is about there being no cluster.
    """
    if config.getvalue("dist") != "load":  # asked for otherwise, as `make quick` does
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _part(ROOT / nodeid.partition("::")[0])

        def _assign_work_unit(self, node: Any) -> None:
            first = min(self.workqueue, key=lambda part: (part != "ray", part != "pages", not part.startswith("plain")))
            self.workqueue.move_to_end(first, last=False)
            super()._assign_work_unit(node)

    return Parts(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs no Ray runs first: it is quick, and some of it is about there being no cluster.

    What needs Ray is tried once more where it fails, as what needs a browser is; the summary counts that.
    """

    def takes_ray(item: pytest.Item) -> bool:
        held = item._fixtureinfo.name2fixturedefs.get("lab") if hasattr(item, "_fixtureinfo") else None
        return bool(held and held[-1].scope == "session")  # other modules' own `lab` is JupyterLab in a page

    def on_ray(item: pytest.Item) -> bool:
        return item.get_closest_marker("ray") is not None or takes_ray(item)

    items.sort(key=on_ray)
    if config.pluginmanager.hasplugin("rerunfailures"):  # the environment of `make test-integrations` has none
        for item in filter(on_ray, items):
            item.add_marker(pytest.mark.flaky(reruns=1))
    assert len({item.nodeid for item in items}) == len(items), "tests of one id would be one test in two processes"
    for path in {item.path for item in items if takes_ray(item)}:
        assert _takes_ray(path), f"{path} does not show that it takes the session's Ray: say `lab: Any` in its tests"


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the person who runs the tests leaks in, nothing of the tests leaks out."""
    folder = tmp_path_factory.mktemp("settings")
    patch = pytest.MonkeyPatch()
    for name in [*os.environ]:
        if name.startswith("KODOSUMI_LAB_") or name == "RAY_ADDRESS":
            patch.delenv(name)
    patch.setenv("KODOSUMI_LAB_CONFIG", str(folder / "config.toml"))
    patch.setenv("KODOSUMI_LAB_STATE_DIR", str(folder / "state"))
    patch.setenv("KODOSUMI_LAB_LOG_DIR", str(folder / "log"))
    yield
    patch.undo()


def eventually(check: Callable[[], T], *, timeout_s: float = 30.0, what: str = "") -> T:
    """First true answer of `check`; fails with the last answer or error once the time is up."""
    end = time.monotonic() + timeout_s
    pause, last = 0.01, None
    while True:
        try:
            last = check()
            if last:
                return last
        except AssertionError as error:
            last = error  # type: ignore[assignment]
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s:g} s: {what or check}; last: {last!r}")
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The session's Ray, started by `connect` in this process, and its log."""
    import kodosumi_lab as kl

    held = kl.connect("local", log_dir=tmp_path_factory.mktemp("lab") / "log", slots=8, warm_runners=1)
    yield held
    kl.disconnect()


@pytest.fixture
def fresh_lab(lab: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make a connection to a log of its own on the session's Ray: ``fresh_lab(slots=2)``."""
    import kodosumi_lab as kl
    from kodosumi_lab.runtime import cluster

    made = []

    def make(**settings: Any) -> Any:
        held = kl.connect(log_dir=tmp_path / f"log{len(made)}", **{"warm_runners": 0, **settings})
        made.append(held)
        return held

    yield make
    import ray

    for held in made:
        cluster.end_actors(held, "the test is over")
        for actor in (held.dispatcher, held.spooler):
            ray.kill(actor, no_restart=True)
        cluster._connections.remove(held)
    kl.connect(log_dir=lab.log_dir)
