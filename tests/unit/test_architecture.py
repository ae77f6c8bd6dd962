"""Direction of imports, exports, and what an import may load: DESIGN's rules, held by tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kodosumi_lab as kl

PACKAGE = Path(kl.__file__).parent

#: From the words and contracts upwards; a module may import what stands in an earlier row, or in its own.
ROWS = [
    ["_alias", "_lazy.rfc3987_syntax", "errors", "icon"],
    ["settings", "events", "_mime"],
    [
        "forms.elements",
        "forms.pattern",
        "forms.schema",
        "forms.secrets",
        "forms.uploaded",
        "forms.written",
    ],
    ["forms.own"],
    ["forms.wire"],
    ["forms.check", "forms.render", "forms.build"],
    ["forms.model"],
    ["forms.values", "forms.describe", "forms.filling", "forms.signature"],
    ["forms.inputs"],
    ["forms", "flow"],
    [
        "runtime.quick",
        "runtime.wire",
        "runtime.disk",
        "runtime.http",
        "runtime.layout",
        "runtime.lifecycle",
        "runtime.fold",
        "runtime.segment",
        "runtime.sealing",
        "runtime.compaction",
        "runtime.tombstones",
    ],
    ["runtime.history"],
    [
        "runtime.log",
        "runtime.ownership",
        "runtime.query",
        "runtime.follow",
        "runtime.importing",
        "runtime.filenames",
        "runtime.files",
        "runtime.upload_value",
        "runtime.uploads",
        "runtime.desk",
    ],
    ["runtime.retention"],
    ["runtime.stream", "runtime.console", "runtime.tracer", "runtime.home", "runtime.link", "runtime.fs", "response"],
    ["runtime.sent", "runtime.crew", "runtime.graph", "runtime.addresses", "runtime.services"],
    ["runtime.spooling"],
    [
        "runtime.sender",
        "runtime.spooler",
        "runtime.runner",
        "runtime.pool",
        "runtime.memory",
        "runtime.jobs",
        "runtime.driving",
        "runtime.recovery",
        "runtime.dispatcher",
        "runtime.cluster",
        "runtime.background",
        "runtime.sharing",
    ],
    [
        "runtime.cell",
        "runtime.elsewhere",
        "runtime.exporting",
        "runtime.run",
        "runtime.run_files",
        "runtime.waiting",
        "runtime.snapshot",
        "runtime.launch",
        "runtime.reading",
        "runtime.locks",
        "runtime.notebook",
        "runtime.presets",
        "runtime.searching",
        "runtime.tables",
        "runtime.sweep_plan",
        "runtime.sweep_frame",
        "runtime.sweep_claim",
        "runtime.sweep_starter",
        "runtime.sweep_log",
        "runtime.sweep",
        "runtime.diff",
    ],
    ["runtime.probe", "runtime.beside", "runtime.sources", "runtime.remote", "runtime.register"],
    ["runtime.mock"],
    ["compat"],
    ["jupyter"],
    ["api"],
    ["widgets.bridge"],
    ["widgets.base"],
    ["widgets.views"],
    [
        "compat.config",
        "compat.const",
        "compat.core",
        "compat.dtypes",
        "compat.error",
        "compat.helper",
        "compat.serve",
        "compat.tracer",
    ],
    ["widgets.code", "widgets.files"],
    ["widgets.controls"],
    ["widgets.entered"],
    ["widgets.memory"],
    ["widgets.form"],
    ["dashboard.expressions"],
    ["dashboard.state", "dashboard.numbers", "dashboard.console", "dashboard.pulse"],
    ["dashboard.access"],
    ["dashboard.words", "dashboard.style", "dashboard.facts", "dashboard.admin", "dashboard.hub", "dashboard.frame"],
    ["dashboard.report", "dashboard.freshness", "dashboard.reconnect"],
    ["dashboard.views.base"],
    ["dashboard.widgets"],
    ["dashboard.views.confirm", "dashboard.views.charts", "dashboard.views.compare", "dashboard.views.sheet"],
    [
        "dashboard.views.sql",
        "dashboard.views.sources",
        "dashboard.views.people",
        "dashboard.views.keeping",
        "dashboard.views.services",
    ],
    [
        "dashboard.views.analytics",
        "dashboard.views.cluster",
        "dashboard.views.control",
        "dashboard.views.flows",
        "dashboard.views.inbox",
        "dashboard.views.run",
        "dashboard.views.runs",
    ],
    ["dashboard.app", "dashboard.alone"],
    ["dashboard.mounted"],
    ["cli"],
    ["magic.names", "magic.parser"],
    ["magic.words", "magic.shown", "magic.cells", "magic.arriving", "magic.ui"],
    ["magic.entered"],
    ["magic.commands"],
    ["magic.complete"],
]

#: Inside a function an import may point the other way where a person's verb needs it: told one by one.
LATE = {
    ("flow", "runtime.launch"),  # flow.launch()
    ("flow", "runtime.run"),  # its annotation
    ("flow", "runtime.sweep"),  # flow.sweep()
    ("runtime.run", "widgets.views"),  # run.view(), run.replay(), and a run that ends a cell
    ("runtime.sweep", "widgets.views"),  # sweep.view()
    ("flow", "widgets.form"),  # flow.form()
    ("runtime.remote", "widgets.form"),  # the same
    ("widgets.memory", "widgets.form"),  # its annotation
    ("api", "dashboard.mounted"),  # made by the gateway of a Jupyter server, when somebody opens it
}

#: The only modules that may import Ray when they are imported.
RAY = {"runtime.sender", "runtime.runner", "runtime.pool", "runtime.driving", "runtime.recovery", "runtime.dispatcher"}

#: Libraries of the HTTP side: of the whole package only ``api`` may import them, and its client may not either.
WEB = {"fastapi", "starlette", "uvicorn", "sse_starlette", "prometheus_client", "mcp"}


def name_of(path: Path) -> str:
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return parts[0] if parts[:1] in (["cli"], ["api"]) else ".".join(parts)


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, and whether it does so when it is itself imported."""
    found = []
    tree = ast.parse(path.read_text())
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [(name, id(node) not in late) for name in names]
    return found


MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent.name in ("cli", "api")
)
ROW = {name: i for i, row in enumerate(ROWS) for name in row}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_upwards_only(path: Path) -> None:
    name = name_of(path)
    assert name in ROW, f"{name} has no row; give it one in ROWS"
    for imported, _ in imports_of(path):
        target = imported.removeprefix("kodosumi_lab.")
        if target not in ROW or not imported.startswith("kodosumi_lab.") or (name, target) in LATE:
            continue
        assert ROW[target] <= ROW[name], f"{name} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_cluster_modules_import_ray_at_once(path: Path) -> None:
    if name_of(path) not in RAY:
        at_once = [name for name, now in imports_of(path) if now and name.partition(".")[0] == "ray"]
        assert at_once == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_gateway_imports_web_libraries(path: Path) -> None:
    if name_of(path) != "api" or path.stem == "client":
        used = {name.partition(".")[0] for name, _ in imports_of(path)} & WEB
        allowed = {
            "cli": {"uvicorn"},
            "widgets.bridge": {"fastapi", "starlette"},
        }  # the bridge: as types, for a checker
        assert used <= allowed.get(name_of(path), set())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_widgets_import_widget_libraries(path: Path) -> None:
    used = {name.partition(".")[0] for name, _ in imports_of(path)} & {"anywidget", "ipywidgets"}
    assert not used or name_of(path).startswith("widgets.")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, kodosumi_lab\n"
        "heavy = {'ray','polars','pyarrow','pydantic','numpy','pandas','fastapi','panel','IPython'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_all_is_sorted_and_importable() -> None:
    assert sorted(kl.__all__) == list(kl.__all__)
    for name in kl.__all__:
        assert getattr(kl, name) is not None


def test_every_public_name_has_a_docstring() -> None:
    missing = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            missing.append(name_of(path))
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        inner = {
            id(m)
            for n in nodes
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            for m in ast.walk(n)
            if m is not n
        }
        missing += [
            f"{name_of(path)}.{n.name}"
            for n in nodes
            if not n.name.startswith("_") and id(n) not in inner and not ast.get_docstring(n) and not _inherits(n, tree)
        ]
    assert missing == []


def _inherits(node: ast.AST, tree: ast.Module) -> bool:
    """Methods that fill in a contract documented on a base class, and overloads."""
    decorators = {getattr(d, "id", "") for d in getattr(node, "decorator_list", [])}
    if "overload" in decorators:
        return True
    for parent in ast.walk(tree):
        if isinstance(parent, ast.ClassDef) and node in parent.body and parent.bases:
            return True
    return any(isinstance(p, ast.ClassDef) and p.name.startswith("_") and node in p.body for p in ast.walk(tree))


def test_the_version_is_one() -> None:
    import importlib.metadata

    assert importlib.metadata.version("kodosumi-lab") == kl.__version__
