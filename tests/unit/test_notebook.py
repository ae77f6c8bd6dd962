"""What a launch tells about the notebook cell that it is in, in a real kernel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from kodosumi_lab.runtime import notebook

Execute = Callable[..., Any]


@pytest.fixture(scope="module")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """A kernel of a notebook: ``execute(code, cell_id=…)`` answers the value of its last line, as JSON says it."""
    env = {
        **os.environ,
        "JPY_SESSION_NAME": "/work/here/one.ipynb",
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=env)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(code: str, cell_id: str | None = None) -> Any:
        content = {
            "code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True,
            "user_expressions": {"told": "__import__('json').dumps(told)"},
        }  # fmt: skip
        message = client.session.msg("execute_request", content)
        message["metadata"] = {} if cell_id is None else {"cellId": cell_id}
        client.shell_channel.send(message)
        while (answer := client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            pass  # of the start
        reply = answer["content"]
        assert reply["status"] == "ok", reply
        text = reply["user_expressions"]["told"]["data"]["text/plain"]
        return json.loads(eval(text))

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


IMPORTS = "from kodosumi_lab.runtime import launch, notebook\n"


def test_the_notebook_the_cell_and_its_text(execute: Execute) -> None:
    code = IMPORTS + "told = notebook.executing()  # é"
    digest = hashlib.sha256(code.encode()).hexdigest()
    assert execute(code, "c-1") == {"path": "/work/here/one.ipynb", "cell": "c-1", "source_sha256": digest}


def test_a_front_end_that_names_no_cell(execute: Execute) -> None:
    told = execute(IMPORTS + "told = notebook.executing()")
    assert (told["path"], told["cell"]) == ("/work/here/one.ipynb", None)


def test_a_launch_has_it_in_its_meta_but_not_one_that_came_over_http(execute: Execute) -> None:
    made = "told = launch._provenance(launch.Origin()).get('notebook')"
    assert execute(IMPORTS + made, "c-2")["cell"] == "c-2"
    assert execute(IMPORTS + made.replace("Origin()", "Origin(via='http')"), "c-2") is None


def test_a_thread_belongs_to_no_cell(execute: Execute) -> None:
    code = "import threading\nheld = []\nt = threading.Thread(target=lambda: held.append(notebook.executing()))\n"
    assert execute(IMPORTS + code + "t.start(); t.join(); told = held", "c-3") == [None]


def test_what_a_task_does_later_belongs_to_the_cell_that_began_it(execute: Execute) -> None:
    begin = "import asyncio\nasync def later():\n    await go.wait()\n    return notebook.executing()\n"
    execute(IMPORTS + begin + "go = asyncio.Event(); task = asyncio.ensure_future(later()); told = None", "first")
    assert execute("go.set(); told = await task", "second")["cell"] == "first"


def test_there_is_none_outside_of_a_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "one.ipynb"))
    assert notebook.executing() is None
    import IPython

    assert IPython.get_ipython() is None
    assert notebook.executing() is None
