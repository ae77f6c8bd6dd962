"""A run as a document: everything that was shown, and nothing that acts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser.showcase import Scene, Showcase

from kodosumi_lab.dashboard.report import report
from kodosumi_lab.runtime.query import EventLog
from kodosumi_lab.runtime.run import Run


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    return Showcase(tmp_path_factory.mktemp("report") / "log")


def made(show: Showcase, run_id: str) -> str:
    log = EventLog(show.root)
    return report(Run(run_id, log_dir=show.root), log.run(run_id))


def test_it_has_what_the_run_showed(show: Showcase) -> None:
    text = made(show, show.rich)
    for part in (
        "What is a heap?",
        "row 5",
        "data:image/png;base64,",
        "approval",
        "Metrics",
        "Steps",
        "Console",
    ):
        assert part in text, part
    assert "A Bokeh figure" in text


def test_it_asks_nobody_for_anything_and_runs_nothing(show: Showcase) -> None:
    one = Scene(show.writer, "evil", ago_s=5, inputs={"name": "<script>alert(1)</script>"})
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>"
    for mime in ("text/html", "text/markdown", "text/plain", "application/json"):
        one.say("result", {mime: bad})
    one.say("result", {"image/png": '" onerror="alert(1)'})
    one.say("stdout", bad)
    one.say("lock", {"lid": "l", "name": bad, "data": {}})
    one.say("span", {"id": "s", "name": bad, "state": "start"})
    one.say("metric", {"name": bad, "value": 1})
    text = made(show, one.end("error", reason=bad))
    assert "default-src 'none'" in text
    tags = set(re.findall(r"<([a-z0-9]+)[ >]", text))
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "input"}
    markup = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", text, flags=re.DOTALL)
    for tag in re.findall(r"<[a-z][^>]*>", markup):
        assert " on" not in tag.lower(), tag
        assert "javascript:" not in tag.lower(), tag


def test_a_failure_has_its_traceback_and_secrets_stay_secret(show: Showcase) -> None:
    text = made(show, show.failing)
    assert "FileNotFoundError" in text
    assert "Traceback (most recent call last)" in text
    one = Scene(show.writer, "login", ago_s=5, inputs={"password": {"secret": True}})
    assert "•••" in made(show, one.end())


def test_an_open_run_says_that_it_goes_on(show: Showcase, tmp_path: Path) -> None:
    assert "which goes on" in made(show, show.running)
    assert "not yet" in made(show, show.asking)
