"""Toasts: what is told of which runs, as the settings say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Jupyter, Lab
from browser.showcase import Scene, Showcase
from browser.test_lab_extension import current, sidebar


@pytest.fixture
def lab(jupyter: Jupyter, open_lab: Callable[..., Lab]) -> Iterator[Lab]:
    held = open_lab(jupyter)
    yield held
    held.page.evaluate(_SAVE, "{}")


_SAVE = "(text) => globalThis.jupyterapp.serviceManager.settings.save('kodosumi-lab:plugin', text)"


def save(lab: Lab, **settings: Any) -> None:
    """Save the settings, and load the page again, which reads them."""
    lab.page.evaluate(_SAVE, json.dumps(settings))
    lab.page.reload()
    lab.ready()


def toast(lab: Lab, text: str) -> Any:
    return lab.page.locator(".Toastify__toast").filter(has_text=text)


class Story:
    """A run that somebody watches, or not, and that has come to the page."""

    def __init__(self, lab: Lab, showcase: Showcase, name: str, *, watch: bool = True) -> None:
        self.lab, self.scene = lab, Scene(showcase.writer, name, ago_s=1)
        self.row = sidebar(lab).locator(f"[data-run-id='{self.scene.run_id}']")
        self.row.wait_for()
        if watch:
            lab.execute("kodosumi:watch-run", runId=self.scene.run_id)

    def ask(self) -> None:
        self.scene.say("lock", {"lid": "q", "name": "colour", "data": {}, "expires": None, "form": None})
        self.scene.say("status", {"status": "awaiting", "reason": "waiting"})

    def answered(self) -> None:
        self.scene.say("lease", {"lid": "q", "result": True, "by": "ada"})

    def fail(self) -> None:
        self.scene.say("error", {"type": "ValueError", "message": "no such colour", "traceback": ""})
        self.scene.end("error", reason="ValueError: no such colour")


def test_a_watched_run_is_told_of_when_it_ends_and_asks(lab: Lab, showcase: Showcase) -> None:
    one = Scene(showcase.writer, "told", ago_s=1)
    sidebar(lab).locator(f"[data-run-id='{one.run_id}']").wait_for()
    lab.execute("kodosumi:watch-run", runId=one.run_id)
    one.say("lock", {"lid": "q", "name": "colour", "data": {}, "expires": None, "form": None})
    one.say("status", {"status": "awaiting", "reason": "waiting"})
    lab.page.get_by_text("told asks: colour").wait_for()
    one.say("lease", {"lid": "q", "result": True, "by": "ada"})
    one.say("error", {"type": "ValueError", "message": "no such colour", "traceback": ""})
    one.end("error", reason="ValueError: no such colour")
    toast = lab.page.locator(".Toastify__toast").filter(has_text="told has failed")
    toast.wait_for()
    toast.get_by_role("button", name="Open Run").click()
    eventually(lambda: current(lab).startswith("told"))


def test_only_what_is_wanted_is_told(lab: Lab, showcase: Showcase) -> None:
    save(lab, notifyOn=["failed"])
    asking = Story(lab, showcase, "asks_quietly")
    asking.ask()
    sidebar(lab).get_by_role("button", name="colour asks_quietly").wait_for()
    ending = Story(lab, showcase, "ends_quietly")
    ending.scene.end()
    failing = Story(lab, showcase, "fails_loudly")
    failing.fail()
    toast(lab, "fails_loudly has failed: ValueError: no such colour").wait_for()
    # it was the last to come: what the others would have told is told
    assert toast(lab, "quietly").count() == 0
    asking.answered()
    asking.scene.end()


def test_toasts_are_switched_off(lab: Lab, showcase: Showcase) -> None:
    save(lab, notifyOn=[])
    for name in ("off_one", "off_two"):
        story = Story(lab, showcase, name)
        asked = f"/api/v1/runs/{story.scene.run_id}"
        with lab.page.expect_response(lambda answer, asked=asked: str(answer.url).endswith(asked)):
            story.fail()  # how it has ended is asked for, to be told
    # the second was looked at after the first had been told of, if it had been
    assert toast(lab, "off_one").count() == 0


def test_runs_that_nobody_watches_are_told_of_only_if_that_is_wanted(lab: Lab, showcase: Showcase) -> None:
    unwatched, watched = Story(lab, showcase, "nobody_one", watch=False), Story(lab, showcase, "somebody_one")
    unwatched.scene.end()
    watched.scene.end()
    toast(lab, "somebody_one has finished").wait_for()
    assert toast(lab, "nobody_one").count() == 0
    save(lab, notifyAbout="all")
    unwatched = Story(lab, showcase, "nobody_two", watch=False)
    unwatched.ask()
    toast(lab, "nobody_two asks: colour").wait_for()
    unwatched.answered()
    unwatched.scene.end()
    toast(lab, "nobody_two has finished").wait_for()


def test_what_is_chosen_in_the_settings_editor_holds_at_once(lab: Lab, showcase: Showcase) -> None:
    lab.execute("settingeditor:open", query="Kodosumi Lab")
    editor = lab.page.locator(".jp-SettingsPanel")
    # JupyterLab ties no labels to these
    editor.locator("select", has_text="All runs").select_option(label="All runs")
    editor.locator("select[multiple]").select_option(label="failed")
    chosen = {"notifyAbout": "all", "notifyOn": ["failed"]}
    eventually(lambda: {**saved(lab), **chosen} == saved(lab) != {}, what="what was chosen is saved")
    ending = Story(lab, showcase, "chosen_quietly", watch=False)
    ending.scene.end()
    failing = Story(lab, showcase, "chosen_loudly", watch=False)
    failing.fail()
    toast(lab, "chosen_loudly has failed: ValueError: no such colour").wait_for()
    assert toast(lab, "chosen_quietly").count() == 0


def saved(lab: Lab) -> Any:
    """The settings as JupyterLab's server has them."""
    fetch = "async () => (await globalThis.jupyterapp.serviceManager.settings.fetch('kodosumi-lab:plugin')).raw"
    return json.loads(re.sub(r"^\s*//.*$", "", lab.page.evaluate(fetch), flags=re.MULTILINE) or "{}")
