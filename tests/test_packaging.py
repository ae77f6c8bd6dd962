"""What is installed: the JupyterLab extension's built files, where JupyterLab looks for them."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import kodosumi_lab

BUILT = ROOT / "kodosumi_lab" / "labextension"
INSTALLED = "data/share/jupyter/labextensions/kodosumi-lab"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_built_extension_is_whole():
    told = read(BUILT / "package.json")
    assert (told["name"], told["version"]) == ("kodosumi-lab", kodosumi_lab.__version__)
    assert (BUILT / told["jupyterlab"]["_build"]["load"]).is_file()
    schema = read(BUILT / "schemas" / "kodosumi-lab" / "plugin.json")
    assert schema == read(ROOT / "labextension" / "schema" / "plugin.json")
    for property_ in schema["properties"].values():
        assert {"title", "description", "default"} <= set(property_)


def test_libraries_of_the_front_end_are_its_own_and_not_shared_with_other_extensions():
    told = read(ROOT / "labextension" / "package.json")
    assert told["jupyterlab"]["sharedPackages"] == dict.fromkeys(told["dependencies"], False)


def test_the_schema_and_its_defaults_are_those_of_the_code():
    code = (ROOT / "labextension" / "src" / "plugins" / "settings.ts").read_text()
    schema = read(ROOT / "labextension" / "schema" / "plugin.json")
    block = code.partition("DEFAULTS: Settings = {")[2].partition("};")[0]
    stated = {line.split(":")[0].strip() for line in block.splitlines() if ":" in line}
    assert stated == set(schema["properties"])
    for name, property_ in schema["properties"].items():
        value = json.dumps(property_["default"]).replace('"', "'")
        assert f"{name}: {value}," in block


@pytest.mark.slow
def test_the_wheel_has_the_extension_and_needs_no_node(tmp_path):
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv-tools" / "bin"))
    if uv is None:
        pytest.skip("uv is not here, which builds the wheel")
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns("node_modules", ".*", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out, symlinks=True)
    shutil.copy(ROOT / ".gitignore", source)
    command = [uv, "build", "--wheel", "--quiet", "-o", tmp_path, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    data = {name.split(f"{INSTALLED}/")[1] for name in names if f"{INSTALLED}/" in name}
    built = {str(path.relative_to(BUILT)) for path in BUILT.rglob("*") if path.is_file()}
    assert data == built | {"install.json"}
    assert not [name for name in names if name.startswith(("kodosumi_lab/labextension/", "labextension/"))]
    package = [path.relative_to(ROOT) for path in (ROOT / "kodosumi_lab").rglob("*") if path.is_file()]
    ours = {path.as_posix() for path in package if path.parts[1] != "labextension" and path.suffix != ".pyc"}
    assert {name for name in names if name.startswith("kodosumi_lab/")} == ours
    assert {"kodosumi_lab_alias.pth", "_kodosumi_lab_alias.py"} < set(names)
