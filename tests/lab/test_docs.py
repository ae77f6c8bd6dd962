"""README and docs are run as they stand: what is shown works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from apikit import serving
from kernels import started

import kodosumi_lab as kl
from kodosumi_lab.api.app import create_app
from kodosumi_lab.settings import load

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]


def blocks(path: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / path).read_text(), re.MULTILINE | re.DOTALL)


def run_python(path: str, space: dict[str, Any]) -> None:
    source = "\n".join(blocks(path, "python"))
    assert source
    exec(compile(source, path, "exec"), space)


def run_console(lab: Any, console: str) -> int:
    """Run the commands of a block; how many there were."""
    environment = {**os.environ, "RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": str(lab.log_dir)}
    commands = [line[2:] for line in console.splitlines() if line.startswith("$ ")]
    for command in commands:
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [Path(sys.executable).parent / program, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), command
    return len(commands)


def test_the_python_of_the_readme_runs(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, Any] = {"__name__": "readme"}
    run_python("README.md", space)
    assert space["run"].result() == {"words": 3}
    shown = capsys.readouterr().out
    assert "mood: is no input of this flow" in shown
    assert "text: Input should be a valid string" in shown


def test_the_commands_of_the_readme_run(lab: Any) -> None:
    [console] = blocks("README.md", "console")
    assert run_console(lab, console) >= 4


def test_the_guide_to_flows_runs(lab: Any) -> None:
    run_python("docs/flows.md", {"__name__": "guide"})


def test_the_guide_to_files_runs(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/files.md", {"__name__": "guide"})


def test_the_guide_to_locks_runs(lab: Any) -> None:
    text = (ROOT / "docs/locks.md").read_text()
    app = create_app(settings=load(log_dir=Path(lab.log_dir)))
    with serving(app) as url:
        space: dict[str, Any] = {"__name__": "guide", "URL": url, "TOKEN_FILE": app.state.token_file}
        steps = re.findall(r"^```(python|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert [language for language, _ in steps].count("console") == 1
        for language, source in steps:
            if language == "python":
                exec(compile(source, "docs/locks.md", "exec", dont_inherit=True), space)
            else:
                run_console(lab, source.replace("5f2c81d0", space["run"].id))
        space["client"].close()


def test_the_guide_to_the_notebook_runs_in_a_kernel(lab: Any, tmp_path: Path) -> None:
    text = (ROOT / "docs/notebook.md").read_text()
    cells = re.findall(r"^```(?:python|ipython)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    places = {
        "RAY_ADDRESS": lab.home.address,
        "KODOSUMI_LAB_LOG_DIR": lab.home.log_dir,
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    with started(tmp_path, {**os.environ, **places}) as kernel:
        shown = "\n".join(kernel.ok(cell).text() for cell in cells)
    assert "%load_ext" in text
    assert len(cells) > 12
    for words in (
        "run = count_words.launch(text='To be or not to be', least=3)",
        "with 1000",
        "10000",
        "<Diff",
        "<Sweep",
    ):
        assert words in shown, words


def test_the_log_is_read_with_nothing_of_ours(lab: Any, tmp_path: Path) -> None:
    # a log with sealed and hot segments, of the session's events: written again through the log's writer
    import kitchen
    import polars as pl

    from kodosumi_lab.runtime.log import LogWriter

    run = kitchen.hello.launch(name="plain", times=3)
    run.wait(60)
    log = tmp_path / "log"
    writer = LogWriter(log, "plain")
    from kodosumi_lab.events import KIND_ID
    from kodosumi_lab.runtime.log import make_batch

    rows = [
        (row["ts"].timestamp() * 1_000_000 // 1, KIND_ID[row["kind"]], row["agent"], row["payload"])
        for row in run.events().sort("seq").collect().to_dicts()
    ]
    rows = [(int(ts), kind, agent, payload) for ts, kind, agent, payload in rows]
    writer.commit([make_batch(run.id, 1, 7, 0, rows[:4])])
    writer.rotate()
    for name in writer.to_seal():
        writer.seal(name)
    writer.commit([make_batch(run.id, 1, 7, 4, rows[4:])])
    code = "\n".join([f"LOG = {str(log)!r}", *blocks("docs/log.md", "python"), "print(everything.height)"])
    code += "\nimport sys\nassert not any(name.startswith('kodosumi_lab') for name in sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(str(run.events().select(pl.len()).collect().item()))
    assert kl.events(log_dir=log).collect().height == len(rows)
