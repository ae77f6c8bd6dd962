"""The magics in a real kernel, on the session's Ray: what they give back, what arrives, what is told, what completes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import eventually
from kernels import Kernel, started

import kodosumi_lab as kl

pytestmark = pytest.mark.ray

SETUP = """
import kodosumi_lab as kl
from typing import Annotated, Literal
from pydantic import BaseModel, Field, SecretStr
%load_ext kodosumi_lab

class Address(BaseModel):
    street: str

@kl.flow(tags=["magic"])
def shout(word: str, times: Annotated[int, Field(ge=1)] = 1, mood: Literal["calm", "very loud"] = "calm",
          to: Address | None = None, key: SecretStr = SecretStr("")) -> str:
    print("word", word)
    if word == "bad":
        raise ValueError("no good word")
    return word.upper() * times

@kl.flow
async def asks(*, tracer: kl.Tracer) -> bool:
    return await tracer.lock("approval", {"question": "go?"})
"""


@pytest.fixture(scope="module")
def kernel(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    places = {
        "RAY_ADDRESS": lab.home.address,
        "KODOSUMI_LAB_LOG_DIR": lab.home.log_dir,
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with started(folder, {**os.environ, **places}) as made:
        made.ok("from IPython.core.error import UsageError")
        made.ok(SETUP)
        made.ok("kl.connect()")
        yield made


# -- lines ------------------------------------------------------------------------------


def test_loading_twice_is_harmless_and_unloading_takes_it_back(kernel: Kernel) -> None:
    assert "already loaded" in kernel.ok("%load_ext kodosumi_lab").text()
    kernel.ok("%reload_ext kodosumi_lab")
    assert kernel.complete("%kodosumi sta") == ["%kodosumi status"]
    kernel.ok("%unload_ext kodosumi_lab")
    assert "not found" in kernel.run("%kodosumi status").text()
    assert "%kodosumi status" not in kernel.complete("%kodosumi sta")
    kernel.ok("%load_ext kodosumi_lab")
    assert kernel.complete("%kodosumi sta") == ["%kodosumi status"]


def test_a_line_gives_an_object_that_is_shown_as_the_last_line_only(kernel: Kernel) -> None:
    assert kernel.ok("%kodosumi launch shout word=one --block;").result is None
    assert kernel.ok("run = %kodosumi launch shout word=12 times=2 --block\n0").result == "0"
    assert kernel.value("run.result(), run.inputs['times'], type(run) is kl.Run") == "('1212', 2, True)"
    assert "shout finished" in str(kernel.ok("%kodosumi show run").result)
    assert kernel.ok("%kodosumi launch shout word=x -o other --no-display").result is None
    assert kernel.value("other.wait(60).result()") == "'X'"
    assert kernel.ok("%kodosumi logs run").result == "word 12"
    assert kernel.value("x = %kodosumi logs run\nx") == "word 12"
    assert '"status": "finished"' in str(kernel.ok("%kodosumi show run --json").result)


def test_frames_and_queries(kernel: Kernel) -> None:
    kernel.ok("one = %kodosumi launch shout word=framed --block")
    kernel.ok("frame = %kodosumi runs --flow shout --status finished --limit 1")
    assert kernel.value("frame.select('flow', 'status', 'remark').rows(), frame['run'][0] == one.id[-8:]") == (
        "([('shout', 'finished', 'FRAMED')], True)"
    )
    assert kernel.value("f = %kodosumi runs --search FRAMED\nf['run_id'][0] == one.id") == "True"
    assert kernel.value("e = %kodosumi events one --kind stdout\ne['payload'].to_list()") == "['\"word framed\"']"
    assert kernel.value("e = %kodosumi events\ntype(e).__name__") == "'LazyFrame'"
    assert (
        kernel.value(
            "q = %kodosumi sql select flow from runs where run_id like '%x%' or status = 'finished' limit 1\nq.shape"
        )
        == "(1, 1)"
    )
    done = kernel.ok(
        "%%kodosumi sql -o counts\nselect e.kind, count(*) as n\nfrom events e\nwhere e.kind = 'final'\ngroup by e.kind"
    )
    assert "final" in str(done.result)
    assert kernel.value("counts['n'][0] >= 1") == "True"
    assert kernel.value("f = %kodosumi flows shout\nf['tags'].to_list()") == "[['magic']]"
    assert "runs finished" in kernel.ok("%kodosumi status").text()
    assert (
        kernel.value("v = %kodosumi runs --view --flow shout\ntype(v).__name__, v.query['flow']")
        == "('RunsView', ['shout'])"
    )
    assert kernel.value("v = %kodosumi inbox --view\ntype(v).__name__") == "'Inbox'"
    assert kernel.value("d = %kodosumi diff one run\nd.frame('inputs')['same'].to_list()[0]") == "False"


def test_a_body_of_yaml_launches(kernel: Kernel) -> None:
    kernel.ok("%%kodosumi launch shout -o body --block\nword: 007\nto:\n  street: Elm\n")
    assert kernel.value("body.result(), body.inputs['to']") == "('007', {'street': 'Elm'})"


def test_a_secret_comes_from_a_variable_and_is_not_in_the_log(kernel: Kernel) -> None:
    kernel.ok("hidden = 'hush-hush'\n%kodosumi launch shout word=x key=$hidden -o secret --block")
    assert kernel.value("secret.inputs['key']") == "{'secret': True}"
    assert "hush-hush" not in str(kl.events(kernel.value("secret.id").strip("'")).collect().to_dicts())


def test_a_sweep_and_forms(kernel: Kernel) -> None:
    kernel.ok('sweep = %kodosumi sweep shout word=["a", "b"] times=[1, 2] --max-concurrent 2')
    assert kernel.value("sweep.wait(120).frame()['result'].to_list()") == "['A', 'AA', 'B', 'BB']"
    done = kernel.ok("%kodosumi launch shout")
    assert str(done.result).startswith("<FlowForm shout")
    assert any("application/vnd.jupyter.widget-view+json" in m["content"].get("data", {}) for m in done.outputs)
    assert kernel.value("form = %kodosumi form shout word=w times=3\nform.values['times'], form.errors") == "(3, {})"
    assert kernel.value("form.launch().wait(60).result()") == "'WWW'"
    assert kernel.value("form.run.status, len(form._below.children)") == "('finished', 1)"
    assert kernel.value("form.fill_from(run)\nform.values['word']") == "'12'"


def test_a_lock_is_answered_and_a_run_cancelled(kernel: Kernel) -> None:
    kernel.ok("waits = %kodosumi launch asks")
    run = kl.run(kernel.value("waits.id").strip("'"))
    eventually(lambda: run.locks)
    assert "approval" in kernel.ok("%kodosumi inbox").text()
    short = run.id[-8:]
    assert f"%kodosumi approve {short}" in kernel.complete("%kodosumi approve ")
    assert kernel.complete(f"%kodosumi approve {short} --lock ") == [f"%kodosumi approve {short} --lock approval"]
    assert kernel.complete(f"%kodosumi approve {short} ") == [
        f"%kodosumi approve {short} {word}" for word in ("true", "false")
    ]
    assert "has 0 locks for 'odd'; open are: approval" in kernel.run(f"%kodosumi approve {short} --lock odd").text(
        "stderr"
    )
    kernel.ok(f"%kodosumi approve {short} false")
    assert run.result(60) is False
    kernel.ok("waits = %kodosumi launch asks")
    kernel.ok("%kodosumi cancel waits --grace-s 0")
    assert kernel.value("waits.wait(60).status") == "'cancelled'"


# -- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%kodosumi lanch shout", "%kodosumi has no command 'lanch'; did you mean launch?"),
        ("%kodosumi run", "run is for the code of a cell"),
        ("%%kodosumi runs\nx", "runs is for a line"),
        ("%kodosumi launch nowhere", "no flow 'nowhere' in the catalogue"),
        (
            "%kodosumi launch shout word=x times=0 odd=1",
            "times: Input should be greater than or equal to 1, not 0\n  odd: is no input",
        ),
        ("%kodosumi show ffffffff", "0 runs in the log"),
        ("%kodosumi runs --status odd", "invalid choice: 'odd'"),
        ("%kodosumi launch shout word=$gone", "the notebook has no variable 'gone'"),
        ("%kodosumi sql select nothing from runs", "the query cannot be answered"),
        ("%kodosumi runs end=3", "runs takes no inputs"),
        ("%kodosumi runs -o 1x", "is no name of a variable"),
        ("%%kodosumi run\nx = = 1", "line 2: invalid syntax: x = = 1"),
        ("%%kodosumi run\ny = 1\n!ls", "line 3: !ls: magics and !commands are the notebook's"),
        ("%%kodosumi run\n%time 1", "magics and !commands are the notebook's"),
        ("%%kodosumi run\nget_ipython()", "the cluster has not"),
    ],
)
def test_a_mistake_is_told_in_a_line_without_frames(kernel: Kernel, line: str, told: str) -> None:
    done = kernel.run(line)
    text = done.text()
    assert done.status == "error"
    assert told in text
    assert text.startswith("UsageError: ")
    assert "Traceback" not in text


def test_a_failed_flow_shows_its_own_traceback(kernel: Kernel) -> None:
    done = kernel.run("%kodosumi launch shout word=bad --block -o failed")
    text = done.text()
    assert done.status == "error"
    assert "ValueError: no good word" in text
    assert "kodosumi_lab" not in text.partition("Traceback")[2]
    assert kernel.value("failed.status") == "'error'"


# -- help and completion ------------------------------------------------------------------


def test_help_shows_all_of_it(kernel: Kernel) -> None:
    kernel.client.inspect("%kodosumi", 5)
    reply = kernel.client.get_shell_msg(timeout=30)
    while reply["msg_type"] != "inspect_reply":
        reply = kernel.client.get_shell_msg(timeout=30)
    shown = reply["content"]["data"]["text/plain"]
    assert all(f"kodosumi {name}" in shown for name in ("flows", "launch", "run", "sql"))
    assert "--max-concurrent N" in kernel.ok("%kodosumi sweep -h").text()
    assert "%kodosumi launch" in kernel.ok("%kodosumi").text()


def test_tab_completes_commands_options_flows_inputs_choices_and_runs(kernel: Kernel) -> None:
    launch = "%kodosumi launch shout "
    assert kernel.complete("%kodosumi la") == ["%kodosumi launch"]
    assert kernel.complete("x = %kodosumi launch sho") == ["x = %kodosumi launch shout"]
    assert kernel.complete("%%kodosumi ") == ["%%kodosumi launch", "%%kodosumi sql", "%%kodosumi run"]
    assert kernel.complete(launch) == [launch + name for name in ("word=", "times=", "mood=", "to.street=", "key=")]
    assert kernel.complete(f"{launch}word=x t") == [f"{launch}word=x times=", f"{launch}word=x to.street="]
    assert kernel.complete(f"{launch}mood=") == [f"{launch}mood=calm", f'{launch}mood="very loud"']
    assert kernel.complete(f"{launch}--no") == [f"{launch}--noblock", f"{launch}--no-display"]
    assert kernel.complete("%kodosumi runs --status fin") == ["%kodosumi runs --status finished"]
    assert kernel.complete("%kodosumi runs --flow sho") == ["%kodosumi runs --flow shout"]
    assert kernel.complete("%kodosumi sql select progress_t") == ["%kodosumi sql select progress_text"]
    short = kernel.value("run.id").strip("'")[-8:]
    assert kernel.complete(f"%kodosumi show {short[:6]}") == [f"%kodosumi show {short}"]
    assert "%kodosumi show run" in kernel.complete("%kodosumi show ")
    # elsewhere it says nothing
    assert "kodosumi" not in str(kernel.complete("x = 1\nru"))
    assert not any("word=" in found for found in kernel.complete("%%kodosumi launch shout\nwo"))


def test_tab_knows_registered_flows_and_imports_none_of_them(kernel: Kernel) -> None:
    kernel.ok("kl.register('kitchen')")
    try:
        assert kernel.complete("%kodosumi launch hel") == ["%kodosumi launch hello"]
        assert kernel.complete("%kodosumi launch hello ") == [
            f"%kodosumi launch hello {name}=" for name in ("name", "times")
        ]
        assert kernel.value("import sys\n'kitchen' in sys.modules") == "False"
    finally:
        kernel.ok("kl.unregister('kitchen')")


# -- cells on the cluster -----------------------------------------------------------------


def test_a_cell_runs_on_the_cluster_with_its_names_while_the_notebook_is_free(kernel: Kernel) -> None:
    kernel.ok("import math\nimport xml.etree.ElementTree\nfactor = 3\ndef scaled(x):\n    return x * factor")
    cell = """%%kodosumi run first -o first
import os, time
import polars as pl
print("begin", math.floor(math.pi), xml.etree.ElementTree.__name__)
factor = 5
display(pl.DataFrame({"n": [1, 2]}))
while not os.path.exists(marker):
    time.sleep(0.02)
print("pid is another:", os.getpid() != pid)
scaled(2)
"""
    kernel.ok("import os, tempfile\npid = os.getpid()\nmarker = os.path.join(tempfile.mkdtemp(), 'go')")
    done = kernel.ok(cell)
    text = kernel.until(done, "begin 3 xml.etree.ElementTree")
    assert "pid is" not in text  # it waits, and the kernel does not
    other = kernel.ok("open(marker, 'w').close()\nprint('free')")
    text = kernel.until(done, "\n10\n")
    assert "shape: (2, 1)" in text
    assert "pid is another: True" in text
    assert other.text() == "free\n"
    kernel.until(done, "first")
    eventually(lambda: kernel.value("first.status") == "'finished'")
    assert kernel.value("factor, first.result()") == "(3, 10)"
    assert kernel.value("first.meta['cell']['names'], first.meta['cell']['modules']") == (
        "(['marker', 'pid', 'scaled'], ['math', 'xml'])"
    )


def test_two_cells_arrive_each_under_its_own(kernel: Kernel) -> None:
    first = kernel.ok("%%kodosumi run a\nimport time\nfor i in range(5):\n    print('a', i)\n    time.sleep(0.05)")
    second = kernel.ok("%%kodosumi run b\nimport time\nfor i in range(5):\n    print('b', i)\n    time.sleep(0.05)")
    assert "b " not in kernel.until(first, "a 4")
    assert "a " not in kernel.until(second, "b 4")


def test_the_last_expression_is_the_result_and_await_works(kernel: Kernel) -> None:
    done = kernel.ok("%%kodosumi run --block -o one\nimport asyncio\nawait asyncio.sleep(0.01)\n{'x': 1}")
    assert "{'x': 1}" in done.text()
    assert kernel.value("one.result()") == "{'x': 1}"
    done = kernel.ok("%%kodosumi run --block -o two\n2**61 - 1;")
    assert "2305843009213693951" not in done.text()
    assert kernel.value("two.result()") == "None"
    done = kernel.ok(
        "%%kodosumi run --block\nfrom IPython.display import display, Markdown\ndisplay(Markdown('**bold**'))\ntracer.progress_sync(1, 2)"
    )
    assert any(
        m["content"].get("data", {}).get("text/markdown") == "**bold**"
        for m in done.outputs
        if m["msg_type"] == "display_data"
    )


def test_figures_that_are_left_open_are_shown(kernel: Kernel) -> None:
    done = kernel.ok("%%kodosumi run --block\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\n")
    assert any("image/png" in m["content"].get("data", {}) for m in done.outputs)


def test_an_exception_shows_the_lines_of_the_cell_and_of_what_it_called(kernel: Kernel) -> None:
    kernel.ok("def divide(a, b):\n    return a / b  # in a cell of the notebook")
    done = kernel.run(
        "%%kodosumi run bad --block\nx = 1\ndef inner():\n    return divide(x, 0)  # in the cell\ninner()"
    )
    text = done.text()
    assert done.status == "error"
    assert "line 4, in inner\n    return divide(x, 0)  # in the cell" in text
    assert "return a / b  # in a cell of the notebook" in text
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "kodosumi_lab" not in text.partition("Traceback")[2]
    done = kernel.ok("%%kodosumi run bad\n1 / 0")
    assert "ZeroDivisionError" in kernel.until(done, "division by zero")


def test_what_cannot_be_sent_is_named_and_much_is_warned_of(kernel: Kernel) -> None:
    kernel.ok("import sqlite3\ndb = sqlite3.connect(':memory:')\nblob = bytes(11 * 2**20)\ni = db")
    text = kernel.run("%%kodosumi run\ndb.execute('select 1')").text()
    assert "the cell uses db (sqlite3.Connection), which cannot be sent to the cluster: cannot pickle" in text
    assert text.startswith("UsageError: ")
    done = kernel.ok("%%kodosumi run --block\nprint(len(blob))")
    assert "the cell takes 11.0 MiB along (blob 11.0 MiB), which the log keeps" in done.text("stderr")
    # the loop has an i of its own
    assert "3" in kernel.ok("%%kodosumi run --block\ntotal = 0\nif True:\n    i = 3\ntotal + i").text()


def test_a_cell_takes_the_name_of_no_flow(kernel: Kernel) -> None:
    kernel.ok("%%kodosumi run shout --block\n1")
    assert kernel.value("kl.find('shout') is shout") == "True"


def test_an_interrupt_detaches_and_so_does_a_second_one(kernel: Kernel) -> None:
    done = kernel.begin("%%kodosumi run slow --block -o slow\nimport time\nprint('it sleeps')\ntime.sleep(120)")
    kernel.until(done, "it sleeps")
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    kernel.manager.interrupt_kernel()
    kernel.end(done)
    assert time.monotonic() - began < 10
    text = done.text()
    assert done.status == "error"  # so what is queued behind it does not run as if it had ended
    run = kl.run(kernel.value("slow.id").strip("'"))
    assert f"detached: run {run.id} goes on; %kodosumi cancel {run.id[-8:]} ends it" in text
    assert "Traceback" not in text
    assert run.status == "running"
    assert kernel.run("import time\ntime.sleep(0)").status == "ok"
    kernel.ok("%kodosumi cancel slow")
    assert run.wait(60).status == "cancelled"


def test_an_interrupt_is_heard_again_afterwards(kernel: Kernel) -> None:
    done = kernel.begin("import time\nprint('now', flush=True)\ntime.sleep(60)")
    kernel.until(done, "now")
    kernel.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in kernel.end(done).text()


def test_resources_are_asked_for(kernel: Kernel) -> None:
    kernel.ok(
        "%%kodosumi run big --num-cpus 1 --timeout-s 50 --block -o big\nimport ray\nray.get_runtime_context().get_assigned_resources()",
        200,
    )
    assert (
        kernel.value("big.meta['options']['num_cpus'], big.meta['timeout_s'], big.result()['CPU']")
        == "(1.0, 50.0, 1.0)"
    )


def test_the_gateway_is_started_once(kernel: Kernel) -> None:
    kernel.ok("ui = %kodosumi ui")
    assert (
        kernel.value("again = %kodosumi ui\nagain is ui, ui.alive, ui.url.startswith('http://127.0.0.1:')")
        == "(True, True, True)"
    )
    kernel.ok("import pathlib\nclient = kl.Client(ui.local, token_file=ui.token_file)")
    assert kernel.value("len(client.runs(limit=1))") == "1"
    kernel.ok("client.close()\nui.close()")
    assert kernel.value("ui.alive") == "False"
