"""Flows of every shape, from launch to result, on real Ray."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import kitchen
import polars as pl
import pytest
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.errors import FlowError, InputsError, RunFailed, RunNotFound, WaitTimeout

pytestmark = pytest.mark.ray


def test_an_async_flow_returns_its_result_and_its_events_are_contiguous(lab: Any) -> None:
    run = kitchen.hello.launch(name="Ada", times=3)
    assert run.result(60) == "hello Ada"
    events = run.events().sort("seq").collect()
    assert events["seq"].to_list() == list(range(len(events)))
    assert run.logs().splitlines() == [f"hello Ada {i}" for i in range(3)]
    assert run.status == "finished"
    assert run.progress == 1.0
    assert run.meta["tags"] == ["demo", "kitchen"]
    assert run.meta["entrypoint"] == "kitchen:hello"
    assert run.inputs == {"name": "Ada", "times": 3}


def test_a_sync_flow_a_model_and_free_inputs(lab: Any) -> None:
    assert kitchen.add.launch(a=2).result(60) == 3
    assert kitchen.forecast.launch(city="Bonn", days=2).result(60) == {"city": "Bonn", "days": 2, "key_length": 4}
    assert kitchen.anything.launch(x=1, y=[1, 2]).result(60) == {"x": 1, "y": [1, 2]}


def test_each_yielded_value_is_a_result(lab: Any) -> None:
    run = kitchen.count.launch(n=4)
    assert run.result(60) == 4
    assert run.results() == [0, 1, 2, 3]
    assert kitchen.acount.launch(n=2).wait(60).results() == [{"i": 0}, {"i": 1}]


def test_a_class_with_kickoff_async_is_a_flow(lab: Any) -> None:
    assert kitchen.crew.launch(topic="bees").result(60) == "crew did bees"


def test_a_flow_from_a_notebook_cell_travels_by_value(lab: Any) -> None:
    factor = 7

    @kl.flow
    def cell(n: int) -> int:
        return n * factor

    run = cell.launch(n=6)
    assert run.result(60) == 42
    assert run.meta["code"]["artifact"]["nbytes"] > 0


def test_a_flow_that_cannot_travel_names_the_culprit(lab: Any) -> None:
    # no lock: libraries of services teach pickle to send those
    held = (i for i in range(3))

    @kl.flow
    def cell() -> int:
        return next(held)

    with pytest.raises(FlowError, match="held"):
        cell.launch()


def test_bad_inputs_start_nothing(lab: Any) -> None:
    before = kl.runs().select(pl.len()).collect().item()
    with pytest.raises(InputsError, match="times") as caught:
        kitchen.hello.launch(name=3, times=99, bogus=1)
    assert set(caught.value.errors) == {"name", "times", "bogus"}
    assert kl.runs().select(pl.len()).collect().item() == before


def test_secrets_never_reach_the_log(lab: Any) -> None:
    run = kitchen.login.launch(user="ada", password="hunter2-zq")
    assert run.result(60) == 10
    assert run.inputs == {"user": "ada", "password": {"secret": True}}
    for path in Path(run.log_dir).rglob("*"):
        if path.is_file():
            assert b"hunter2-zq" not in path.read_bytes(), path


def test_a_flow_with_a_form_gets_typed_values(lab: Any) -> None:
    form = kl.forms.Model(
        kl.forms.InputNumber("nights", min_value=1, max_value=30),
        kl.forms.InputDate("day"),
        kl.forms.InputPassword("key"),
    )

    @kl.flow(form=form)
    def trip(inputs: dict[str, Any]) -> list[str]:
        return [f"{inputs['day']:%d %B}", str(inputs["nights"] + 1), inputs["key"]]

    with pytest.raises(InputsError, match="nights: is '31'; expected at most 30"):
        trip.launch(nights="31")
    run = trip.launch(nights="3", day="2026-01-31", key="hush-zq")
    assert run.result(60) == ["31 January", "4", "hush-zq"]
    assert run.inputs == {"nights": 3, "day": "2026-01-31", "key": {"secret": True}}
    with pytest.raises(InputsError, match="key: is a secret, which is not kept"):
        run.rerun(nights=4)
    assert run.rerun(nights=4, key="other").result(60) == ["31 January", "5", "other"]


def test_environment_variables_of_a_flow_reach_it_but_not_the_log(lab: Any) -> None:
    @kl.flow(runtime_env={"env_vars": {"KITCHEN_KEY": "sk-zq-secret"}})
    def reads() -> int:
        import os

        return len(os.environ["KITCHEN_KEY"])

    run = reads.launch()
    assert run.result(120) == 12
    assert run.meta["options"]["runtime_env"] == {"env_vars": {"KITCHEN_KEY": {"secret": True}}}
    for path in [*Path(run.log_dir, "hot").iterdir(), *Path(run.log_dir).rglob("*.parquet")]:
        assert b"sk-zq-secret" not in path.read_bytes(), path


def test_the_traceback_of_an_async_flow_begins_in_the_flow(lab: Any) -> None:
    @kl.flow
    async def breaks() -> None:
        await kitchen.asyncio.sleep(0)
        raise KeyError("gone")

    with pytest.raises(RunFailed, match="gone") as caught:
        breaks.launch().result(60)
    assert caught.value.traceback is not None
    assert "test_flows.py" in caught.value.traceback.splitlines()[1]


def test_a_rerun_keeps_inputs_and_asks_for_secrets_again(lab: Any) -> None:
    run = kitchen.hello.launch(name="Ada", times=2)
    again = run.rerun(name="Bob")
    assert again.inputs == {"name": "Bob", "times": 2}
    assert again.result(60) == "hello Bob"
    secret = kitchen.login.launch(user="ada", password="pw")
    with pytest.raises(InputsError, match="password"):
        secret.rerun()
    assert secret.rerun(password="longer").result(60) == 6


def test_an_error_shows_the_flows_own_traceback(lab: Any) -> None:
    run = kitchen.fail.launch()
    with pytest.raises(RunFailed, match="told to fail") as caught:
        run.result(60)
    assert caught.value.status == "error"
    assert caught.value.traceback is not None
    lines = caught.value.traceback.splitlines()
    assert "kitchen.py" in lines[1]
    assert not any("runner.py" in line for line in lines)


@pytest.mark.parametrize("kind", ["unpicklable", "system_exit"])
def test_an_exception_that_cannot_travel_still_ends_the_run(lab: Any, kind: str) -> None:
    run = kitchen.fail.launch(kind=kind)
    with pytest.raises(RunFailed, match="cannot travel" if kind == "unpicklable" else "SystemExit"):
        run.result(60)
    assert run.status == "error"


def test_a_run_is_a_small_handle(lab: Any) -> None:
    run = kitchen.add.launch(a=1)
    assert run.result(60) == 2
    copy = pickle.loads(pickle.dumps(run))
    assert copy == run
    assert copy.status == "finished"
    assert len(pickle.dumps(run)) < 400
    assert repr(run) == f"<Run {run.id} add finished>"
    bundle = run._repr_mimebundle_()
    assert "finished" in bundle["text/html"]
    assert bundle["application/vnd.kodosumi.run.v1+json"]["run_id"] == run.id
    assert kl.run(run.id[-12:]) == run
    with pytest.raises(RunNotFound):
        kl.run("ffffffff")


def test_awaiting_and_following_in_an_event_loop(lab: Any) -> None:
    async def main() -> tuple[Any, list[str]]:
        run = kitchen.hello.launch(name="Ada", times=2)
        kinds = [event.kind async for event in run.afollow()]
        return await run, kinds

    value, kinds = asyncio.run(main())
    assert value == "hello Ada"
    assert kinds.count("stdout") == 2
    assert kinds[-1] == "status"


def test_follow_starts_after_a_seq_and_ends_with_the_run(lab: Any) -> None:
    run = kitchen.hello.launch(times=9)
    seen = [event.seq for event in run.follow(after=3)]
    assert seen == list(range(4, len(seen) + 4))
    assert run.done


def test_a_wait_can_time_out_and_the_run_goes_on(lab: Any) -> None:
    run = kitchen.asleepy.launch(seconds=1.5)
    with pytest.raises(WaitTimeout, match="goes on"):
        run.wait(0.3)
    assert run.result(60) == "slept"


def test_a_table_comes_back_as_a_table(lab: Any) -> None:
    @kl.flow
    async def tables(*, tracer: kl.Tracer) -> Any:
        import pandas as pd
        import polars as pl

        await tracer.result(pl.DataFrame({"a": [1, 2], "b": ["x", None]}))
        await tracer.result(pd.DataFrame({"p": [1.5]}))
        return pl.DataFrame({"big": range(300_000)})

    run = tables.launch()
    big = run.result(60)
    assert isinstance(big, pl.DataFrame)
    assert len(big) == 300_000
    first, second = run.results()
    assert first.equals(pl.DataFrame({"a": [1, 2], "b": ["x", None]}))
    assert type(second).__module__.startswith("pandas")


def test_large_payloads_are_kept_once_beside_the_log(lab: Any) -> None:
    @kl.flow
    async def large(*, tracer: kl.Tracer) -> str:
        text = "ab" * 1_000_000
        await tracer.result(text)
        await tracer.result(text)
        return text

    run = large.launch()
    assert run.result(60) == "ab" * 1_000_000
    assert run.results() == ["ab" * 1_000_000] * 2
    payloads = run.events().filter(pl.col("kind").is_in(["result", "final"])).collect()["payload"]
    digests = {json.loads(payload)["artifact"]["sha256"] for payload in payloads}
    assert len(digests) == 1


def test_spans_agents_metrics_and_actions_carry_their_names(lab: Any) -> None:
    @kl.flow
    async def story(*, tracer: kl.Tracer) -> None:
        critic = tracer.agent("critic", role="doubt")
        async with tracer.span("outer", size=3):
            with tracer.span("inner"):
                await critic.action("read")
        tracer.metric("loss", 0.25, step=1)
        tracer.warning("careful")
        tracer.html("<b>x</b>")

    run = story.launch().wait(60)
    events = run.events().sort("seq").collect()
    assert events.filter(pl.col("agent") == "critic")["kind"].to_list() == ["agent", "action"]
    spans = [json.loads(p) for p in events.filter(pl.col("kind") == "span")["payload"]]
    assert [s["state"] for s in spans] == ["open", "open", "closed", "closed"]
    assert spans[1]["parent"] == spans[0]["id"]
    assert spans[2]["duration_s"] >= 0
    assert json.loads(events.filter(pl.col("kind") == "metric")["payload"][0])["value"] == 0.25


def test_named_bars_do_not_move_the_runs_own_progress(lab: Any) -> None:
    @kl.flow
    async def bars(*, tracer: kl.Tracer) -> None:
        await tracer.progress(1, 4, "own")
        for i in range(10):
            await tracer.progress(i + 1, 10, "part", name="left")

    run = bars.launch().wait(60)
    assert run.progress == 0.25


def test_the_same_tracer_works_in_ray_tasks(lab: Any) -> None:
    run = kitchen.fan_out.launch(tasks=3, n=4)
    assert sorted(run.result(120)) == ["t0", "t1", "t2"]
    results = run.results()
    assert sorted((r["task"], r["i"]) for r in results) == [(f"t{k}", i) for k in range(3) for i in range(4)]
    for k in range(3):
        assert [r["i"] for r in results if r["task"] == f"t{k}"] == [0, 1, 2, 3]
    lines = run.logs().splitlines()
    assert sum("line" in line for line in lines) == 12
    assert sum("warns" in line for line in lines) == 3


def test_two_tracers_from_one_pickle_never_share_a_producer(lab: Any) -> None:
    import ray

    @kl.flow
    def twins(*, tracer: kl.Tracer) -> int:
        @ray.remote(num_cpus=0)
        def speak(pickled: bytes, who: int) -> None:
            mine = pickle.loads(pickled)
            for i in range(20):
                mine.debug(f"{who} {i}")
            mine.flush()

        pickled = pickle.dumps(tracer)
        ray.get([speak.remote(pickled, who) for who in range(4)])
        return 4

    run = twins.launch()
    run.result(120)
    said = [json.loads(p) for p in run.events().filter(pl.col("kind") == "debug").sort("seq").collect()["payload"]]
    assert sorted(said) == sorted(f"{who} {i}" for who in range(4) for i in range(20))


def test_a_task_that_ray_retries_says_everything_once_per_execution(lab: Any, tmp_path: Path) -> None:
    import ray

    marker = str(tmp_path / "died")

    @kl.flow
    def retried(*, tracer: kl.Tracer) -> str:
        @ray.remote(num_cpus=0, max_retries=2)
        def speak(tracer: kl.Tracer) -> str:
            import os

            first = not Path(marker).exists()
            tracer.debug("first" if first else "second")
            tracer.flush()
            if first:
                Path(marker).touch()
                os._exit(1)
            return "done"

        return str(ray.get(speak.remote(tracer)))

    run = retried.launch()
    assert run.result(120) == "done"
    said = [json.loads(p) for p in run.events().filter(pl.col("kind") == "debug").sort("seq").collect()["payload"]]
    assert said == ["first", "second"]


def test_the_consoles_of_runs_and_threads_do_not_mix(lab: Any) -> None:
    runs = [kitchen.chatty.launch(tag=f"run{i}", n=40) for i in range(3)]
    for i, run in enumerate(runs):
        run.wait(120)
        lines = run.logs().splitlines()
        assert sum(line.startswith(f"run{i} ") for line in lines) == 160
        assert not any(line.startswith(f"run{k} ") for line in lines for k in range(3) if k != i)
        assert f"INFO kitchen: info of run{i}" in lines


def test_a_child_run_knows_its_parent_and_a_parent_waits_without_a_slot(lab: Any) -> None:
    run = kitchen.parent.launch(depth=2)
    assert run.result(120) == "over over leaf"
    family = kl.runs().filter(pl.col("flow") == "parent", pl.col("run_id") >= run.id).sort("run_id").collect()
    children = family.filter(pl.col("parent").is_not_null())
    assert len(children) == 2
    assert run.id in children["parent"].to_list()
    statuses = [
        json.loads(p)["status"]
        for p in run.events().filter(pl.col("kind") == "status").sort("seq").collect()["payload"]
    ]
    assert statuses[-3:] == ["awaiting", "running", "finished"]


def test_a_person_answers_and_the_first_answer_wins(lab: Any) -> None:
    from kodosumi_lab.errors import LockClosed

    run = kitchen.ask.launch(question="ok?")
    eventually(lambda: run.status == "awaiting" and run.locks)
    assert run.locks[0]["name"] == "ok?"
    lid = run.locks[0]["lid"]
    run.answer({"yes": True}, by="ada")
    assert run.result(60) == {"yes": True}
    import ray

    with pytest.raises(LockClosed):
        try:
            ray.get(lab.spooler.answer.remote(run.id, lid, "1", "bob"))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


def test_a_lock_that_nobody_answers_expires(lab: Any) -> None:
    run = kitchen.ask.launch(timeout_s=0.5)
    with pytest.raises(RunFailed, match="nobody answered"):
        run.result(60)


def test_history_is_read_without_ray(lab: Any) -> None:
    run = kitchen.hello.launch(name="history")
    run.result(60)
    code = (
        "import sys, kodosumi_lab as kl\n"
        f"run = kl.run({run.id!r}, log_dir={run.log_dir!r})\n"
        "print(run.status, run.result(), run.logs())\n"
        "assert 'ray' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "finished hello history hello history 0\n"


def test_an_edited_flow_module_runs_as_edited(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    module = tmp_path / "edited_flow.py"
    body = "import kodosumi_lab as kl\n@kl.flow\ndef version() -> int:\n    return {}\n"
    module.write_text(body.format(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    import edited_flow

    time.sleep(2.1)  # a file changed while its run was on is not trusted, which is another reason for a new process
    assert edited_flow.version.launch().result(60) == 1
    module.write_text(body.format(22))
    assert edited_flow.version.launch().result(60) == 22
