"""A log with everything that a flow can say, written by the real writer; no Ray."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import polars as pl
from logkit import Emitter, FastDisk, wall_us

from kodosumi_lab import forms
from kodosumi_lab.events import KIND_ID, dumps, encode
from kodosumi_lab.runtime.log import LogWriter


def new_id(seconds_ago: float = 0, n: int = 0) -> str:
    """Run id of a run that started so long ago."""
    import os
    import uuid

    raw = bytearray(int((time.time() - seconds_ago) * 1000 + n).to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


class Scene:
    """One run that a test writes; its clock goes as the test says."""

    def __init__(self, writer: LogWriter, flow: str, *, ago_s: float = 60, user: str = "ada", **about: Any) -> None:
        self.writer = writer
        self.run_id = new_id(ago_s)
        self.emitter = Emitter(self.run_id)
        self.at = wall_us() - int(ago_s * 1e6)
        inputs = about.pop("inputs", {"end": 1_000_000})
        meta = {
            "flow": flow, "user": user, "entrypoint": f"examples.flows:{flow}", "code": {"import": f"examples:{flow}"},
            "summary": f"About {flow}", "tags": ["demo"], **about,
        }  # fmt: skip
        self.say("meta", meta)
        self.say("inputs", inputs)
        self.say("status", {"status": "running"})

    def say(self, kind: str, payload: Any, *, agent: str | None = None, after_s: float = 0.01) -> None:
        """One event; a payload that is text is JSON already for results."""
        self.many([(kind, payload, agent)], after_s)

    def many(self, events: list[tuple[str, Any, str | None]], after_s: float = 0.01) -> None:
        """Several events in one batch."""
        rows = []
        for kind, payload, agent in events:
            self.at += int(after_s * 1e6)
            text = payload if isinstance(payload, Json) else dumps(payload)
            rows.append((self.at, KIND_ID[kind], agent, str(text)))
        self.emitter.send(self.writer, *rows)

    def show(self, value: Any, *, kind: str = "result", agent: str | None = None) -> None:
        """A value as the tracer records it."""
        self.say(kind, Json(encode(value)), agent=agent)

    def end(self, status: str = "finished", **more: Any) -> str:
        """End it; its id."""
        self.say("status", {"status": status, **more})
        return self.run_id


class Json(str):
    """Text that is JSON already."""


FORM = forms.Model(
    forms.Markdown("Please read the **draft** before you decide."),
    forms.Select("verdict", ["accept", "revise", "reject"], label="Verdict", required=True),
    forms.InputArea("comment", label="Comment", placeholder="What should change?"),
    forms.InputNumber("copies", label="Copies", value=1, min_value=1, max_value=100, step=1),
    forms.Submit("Decide"),
).get_model()


def rich(writer: LogWriter) -> str:
    """A finished run that shows everything."""
    from bokeh.plotting import figure
    from matplotlib.figure import Figure

    one = Scene(writer, "research", ago_s=95, inputs={"question": "What is a heap?", "top": 5, "key": {"secret": True}})
    for name, role in (("retriever", "finds passages"), ("critic", "doubts"), ("writer", "writes")):
        one.say("agent", {"agent": {"name": name, "role": role}}, agent=name)
    one.show("Reading 1,204 docstrings …")
    one.say("result", {"text/markdown": "# What is a heap?\n\nA *heap* is a tree where each parent is **at most** its "
            "children.\n\n| operation | cost |\n|---|---|\n| push | `O(log n)` |\n| pop | `O(log n)` |\n\n"
            "```python\nheapq.heappush(heap, 3)\n```\n"})  # fmt: skip
    one.say("result", {"text/html": '<h3>Untrusted</h3><p onclick="globalThis.hit=1">text <b>bold</b>'
            '<script>globalThis.hit=1</script><img src=x onerror="globalThis.hit=1"></p>'})  # fmt: skip
    n = 2_000
    one.show(pl.DataFrame({"n": range(n), "root": [i**0.5 for i in range(n)], "name": [f"row {i}" for i in range(n)]}))
    drawing = Figure(figsize=(4, 2))
    drawing.subplots().plot([1, 3, 2, 5])
    one.show(drawing)
    plot = figure(width=420, height=220, title="Hits by module")
    plot.vbar(x=[1, 2, 3], top=[3, 5, 2], width=0.8)
    one.show(plot)
    one.show({"hits": [{"module": "heapq", "score": 0.93}, {"module": "queue", "score": 0.41}], "asked": True})
    for i in range(1, 41):
        one.say("progress", {"value": i, "total": 40, "label": f"passage {i}", "name": None}, after_s=0.2)
        one.say("progress", {"value": i % 10, "total": 10, "label": "chunk", "name": "embedding"}, agent="retriever")
        one.say("metric", {"name": "score", "value": 0.5 + 0.4 * (i % 7) / 7, "step": i, "unit": None}, after_s=0.0)
        one.say("metric", {"name": "memory", "value": 80.0 + i * 1.5, "step": None, "unit": "MiB"}, after_s=0.0)
    spans(one)
    one.say("stdout", "\x1b[1mplain\x1b[0m \x1b[32mgreen\x1b[0m \x1b[38;5;208morange\x1b[0m and \x1b[4mdone\x1b[0m")
    for i in range(60):
        one.say("stdout", f"passage {i:3}: {'·' * (i % 30)} ok", agent="retriever" if i % 3 else None, after_s=0.02)
    one.say("stderr", "warning: two passages are the same")
    one.say("stdout", "three\nlines\nin one")
    one.say("log", {"level": "WARNING", "logger": "httpx", "message": "slow answer", "where": "client.py:12"})
    one.say("lock", {"lid": "a1", "name": "approval", "data": {"draft": "A heap is …"}, "expires": None, "form": FORM})
    one.say("status", {"status": "awaiting", "reason": "waiting for an answer to 'approval'"})
    one.say("lease", {"lid": "a1", "result": {"verdict": "accept", "copies": 1}, "by": "bob"}, after_s=12)
    one.say("status", {"status": "running"})
    one.say("upload", {"files": [{"path": "out/report.md", "size": 2048, "last_modified": time.time()}]})
    folder = writer.layout.root / "files" / f"date={time.strftime('%Y-%m-%d', time.gmtime())}" / one.run_id / "out"
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# Report\n" + "word " * 400)
    one.show({"answer": "A heap keeps its smallest item first.", "sources": ["heapq", "queue"]}, kind="final")
    return one.end()


def spans(one: Scene) -> None:
    """Nested work of three agents, one part of which failed."""
    open_, close = "open", "closed"
    plan = [
        ("s1", None, "answer", None, open_), ("s2", "s1", "retrieve", "retriever", open_),
        ("s3", "s2", "embed", "retriever", open_), ("s3", "", "embed", "retriever", close),
        ("s4", "s2", "search", "retriever", open_), ("s4", "", "search", "retriever", close),
        ("s2", "", "retrieve", "retriever", close), ("s5", "s1", "criticise", "critic", open_),
        ("s6", "s5", "check sources", "critic", open_), ("s6", "", "check sources", "critic", close),
        ("s5", "", "criticise", "critic", close), ("s7", "s1", "write", "writer", open_),
        ("s7", "", "write", "writer", close), ("s1", "", "answer", None, close),
    ]  # fmt: skip
    for i, (id_, parent, name, agent, state) in enumerate(plan):
        payload: dict[str, Any] = {"id": id_, "name": name, "state": state}
        if state == open_:
            payload["parent"] = parent
        else:
            payload |= {"duration_s": 1.5, "error": "TimeoutError('source 3')" if id_ == "s6" else None}
        one.say("span", payload, agent=agent, after_s=0.4 + 0.3 * (i % 4))


def failing(writer: LogWriter) -> str:
    """A run that failed after some output."""
    one = Scene(writer, "profile_table", ago_s=400, inputs={"path": "prices.csv"})
    one.say("stdout", "reading prices.csv")
    trace = (
        "Traceback (most recent call last):\n"
        '  File "examples/flows/profile_table.py", line 41, in profile_table\n'
        "    frame = pl.read_csv(path)\n"
        "FileNotFoundError: No such file or directory: prices.csv\n"
    )
    error = {"type": "FileNotFoundError", "message": "No such file: prices.csv", "module": "builtins"}
    one.say("error", {**error, "traceback": trace})
    return one.end("error", reason="FileNotFoundError: No such file or directory: prices.csv")


def asking(writer: LogWriter) -> str:
    """A run that waits for two answers."""
    one = Scene(writer, "review", ago_s=130, user="ada", inputs={"title": "Bees"})
    one.say("result", {"text/markdown": "## Draft\nBees are **fine**."})
    for lid, agent in (("l1", None), ("l2", "editor")):
        lock = {"lid": lid, "name": "approval" if lid == "l1" else "title", "data": {"title": "Bees"}}
        one.say("lock", {**lock, "expires": time.time() + 7200, "form": FORM if lid == "l1" else None}, agent=agent)
        one.say("status", {"status": "awaiting", "reason": f"waiting for an answer to {lock['name']!r}"})
    return one.run_id


def large(writer: LogWriter, events: int = 100_000) -> str:
    """A finished run of many console lines."""
    one = Scene(writer, "primes", ago_s=3600)
    step = 5_000
    for start in range(0, events - 5, step):
        last = min(events - 5, start + step)
        one.many([("stdout", f"line {i}: {'prime' if i % 7 == 3 else 'composite'}", None) for i in range(start, last)],
                 after_s=0.0005)  # fmt: skip
    one.show({"lines": events}, kind="final")
    return one.end()


def listed(writer: LogWriter, runs: int = 300) -> list[str]:
    """Many small runs of several flows, users and outcomes."""
    found = []
    outcomes = ("finished", "finished", "finished", "error", "cancelled", "timeout", "lost")
    for i in range(runs):
        one = Scene(writer, ("primes", "research", "review")[i % 3], ago_s=40 * i + 600, user=("ada", "bob")[i % 2])
        status = outcomes[i % len(outcomes)]
        if status == "finished":
            one.show({"n": i}, kind="final")
        found.append(one.end(status, reason="" if status == "finished" else f"because of {i}"))
    return found


class Showcase:
    """A log with all of them.

    Attributes
    ----------
    rich, failing, asking, large, running
        Run ids.
    """

    def __init__(self, root: Path, *, large_events: int = 0, runs: int = 0) -> None:
        self.root = root
        self.writer = LogWriter(root, "show", disk=FastDisk())
        self.listed = listed(self.writer, runs)
        self.large = large(self.writer, large_events) if large_events else ""
        self.failing = failing(self.writer)
        self.rich = rich(self.writer)
        self.asking = asking(self.writer)
        self.live = Scene(self.writer, "primes", ago_s=5)
        self.live.say("progress", {"value": 3, "total": 10, "label": "range 3", "name": None})
        self.running = self.live.run_id

    def close(self) -> None:
        self.writer.close()


def picture() -> bytes:
    """A small PNG."""
    from matplotlib.figure import Figure

    sink = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(sink, format="png")
    return sink.getvalue()


def payload_of(value: Any) -> Any:
    """What is recorded for a value."""
    return json.loads(encode(value))
