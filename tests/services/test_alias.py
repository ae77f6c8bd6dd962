"""Names of kodosumi: found where nothing else provides them, in every interpreter, at no cost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tomllib
import venv
from pathlib import Path

import pytest
from conftest import ROOT

from kodosumi_lab._alias import NAMES

INCLUDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose site-packages hold what the wheel puts there; our libraries are on its path."""
    home = tmp_path_factory.mktemp("site")
    venv.create(home, with_pip=False, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    for source, target in INCLUDED["force-include"].items():
        (site / target).write_bytes((ROOT / source).read_bytes())
    libraries = [path for path in sys.path if "site-packages" in path]
    (site / "a_path.pth").write_text("\n".join([str(ROOT), *libraries]) + "\n")
    return home / "bin" / "python"


def run(python: Path, code: str, **env: str) -> str:
    done = subprocess.run(  # noqa: PLW1510 - what it said on stderr is shown
        [python, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, env={"PATH": "/usr/bin:/bin", **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_interpreter_starts_with_the_finder_last_and_nothing_of_ours_loaded(python: Path) -> None:
    run(
        python,
        """
        import sys
        assert type(sys.meta_path[-1]).__name__ == "AliasFinder", sys.meta_path
        loaded = [name for name in sys.modules if name.startswith("kodosumi")]
        assert loaded == [], loaded
        """,
    )


def test_every_name_leads_to_our_module(python: Path) -> None:
    listed = run(
        python,
        f"""
        import importlib, sys
        names = {sorted(set(NAMES))!r}
        for name in names:
            module = importlib.import_module(name)
            assert sys.modules[name] is module
        from kodosumi.core import InputsError, KodosumiError, Launch, ServeAPI, Templates, Tracer, TracerMock
        from kodosumi.core import forms, response
        from kodosumi.runner.main import Launch as same
        from kodosumi.service.inputs.errors import InputsError as error
        from kodosumi import core, dtypes, helper
        import kodosumi_lab.forms, kodosumi_lab.errors
        assert same is Launch and error is InputsError is kodosumi_lab.errors.InputsError
        assert forms is kodosumi_lab.forms and core.forms is forms
        assert dtypes.Markdown(body="x") == response.Markdown("x")
        print("ok")
        """,
    )
    assert listed.strip() == "ok"


def test_an_installed_kodosumi_is_left_alone(python: Path, tmp_path: Path) -> None:
    package = tmp_path / "kodosumi"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "core.py").write_text("real = True\n")
    run(
        python,
        """
        import kodosumi.core
        assert kodosumi.core.real
        try:
            import kodosumi.serve
        except ModuleNotFoundError:
            pass
        else:
            raise AssertionError("half of it is ours")
        """,
        PYTHONPATH=str(tmp_path),
    )


def test_importing_this_package_is_enough_where_the_pth_file_is_missing() -> None:
    code = "import sys, kodosumi_lab; assert 'kodosumi' not in sys.modules; import kodosumi.response"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={"PYTHONPATH": str(ROOT)})


def test_objects_of_alias_modules_pickle_under_our_own_names() -> None:
    import pickle

    from kodosumi.response import Markdown

    data = pickle.dumps(Markdown("x"))
    assert b"kodosumi_lab.response" in data
    assert pickle.loads(data) == Markdown("x")
