"""The form of a flow and the output of a cell on the cluster, in JupyterLab, with Ray behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.lab import Jupyter, Lab, serve_jupyter

pytestmark = pytest.mark.ray

FLOW = """
from typing import Annotated, Literal
from pydantic import BaseModel, Field, SecretStr
import ipywidgets
import kodosumi_lab as kl
kl.connect()

class Address(BaseModel):
    street: str

@kl.flow(summary="Order something")
def order(
    what: Annotated[str, Field(description="As on the label", min_length=3)],
    count: Annotated[int, Field(gt=0, le=10)] = 1,
    colour: Literal["red", "green"] = "red",
    tags: list[str] = [],
    to: Address | None = None,
    key: SecretStr = SecretStr(""),
) -> str:
    print("ordered", what)
    return f"{count} {colour} {what} to {to and to.street} {tags} {len(key.get_secret_value())}"
"""


@pytest.fixture(scope="module")
def jupyter_on_ray(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter")
    places = {"RAY_ADDRESS": lab.home.address, "KODOSUMI_LAB_LOG_DIR": lab.home.log_dir}
    with serve_jupyter(folder, **places) as held:
        yield held


def test_a_form_is_filled_in_checked_and_launched_from(jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(jupyter_on_ray)
    linked = (
        "slider = ipywidgets.IntSlider()\nipywidgets.link((form.controls['count'], 'value'), (slider, 'value'))\nslider"
    )
    after = ["print(form.run.wait(60).result())", "print(form.code('python'))"]
    cells = [FLOW, "form = order.form()\nform", linked, *after]
    book = lab.open(jupyter_on_ray.notebook("form.ipynb", cells))
    book.run(0, timeout_s=120)
    book.run(1)
    form = book.output(1)
    form.get_by_label("What *").fill("ab")
    form.get_by_text("should have at least 3 characters").wait_for()
    form.get_by_label("What *").fill("apples")
    form.get_by_text("should have at least 3 characters").wait_for(state="hidden")
    form.get_by_label("Colour").select_option("green")
    form.get_by_label("To", exact=True).check()
    form.get_by_label("Street *").fill("Elm Road")
    form.get_by_label("Key").fill("hush")
    form.get_by_placeholder("type, then Enter").fill("gift")
    form.get_by_placeholder("type, then Enter").press("Enter")
    book.run(2)
    form.get_by_label("Count").fill("4")
    form.get_by_label("Count").press("Tab")
    book.output(2).get_by_text("4", exact=True).wait_for()
    assert form.get_by_label("Key").get_attribute("type") == "password"

    launch = form.get_by_role("button", name="Launch", exact=True)
    launch.focus()
    launch.press("Enter")
    form.get_by_text("finished", exact=True).first.wait_for()  # the live view, beneath
    book.run(3)
    assert book.text(3).strip() == "4 green apples to Elm Road ['gift'] 4"
    book.run(4)
    assert "getpass" in book.text(4)
    assert "hush" not in book.text(4)
    form.get_by_role("button", name="Copy as code").click()
    form.get_by_role("tab", name="curl").click()
    form.get_by_text("/api/v1/flows/order/launch").wait_for()
    form.get_by_role("tab", name="magic").click()
    form.get_by_role("button", name="Copy magic").click()
    form.get_by_role("button", name="Copy magic").get_by_text("Copied").wait_for()
    lab.page.context.grant_permissions(["clipboard-read"])
    copied = lab.page.evaluate("navigator.clipboard.readText()")
    assert "%kodosumi launch order what=apples count=4 colour=green" in copied
    assert "hush" not in copied


COUNTING = """
import kodosumi_lab as kl
kl.connect()

@kl.flow
async def count_letters(document: kl.UploadFile, again: int = 0) -> str:
    data = await document.read()
    return f"{document.filename} has {len(data)} bytes, {again}"
"""


def test_files_are_dropped_into_a_form_sent_with_progress_and_again_for_the_next_launch(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = open_lab(jupyter_on_ray)
    cells = [COUNTING, "form = count_letters.form()\nform", "print(form.run.wait(60).result())", "form.values"]
    book = lab.open(jupyter_on_ray.notebook("files.ipynb", cells))
    book.run(0, timeout_s=120)
    book.run(1)
    form = book.output(1)
    form.get_by_text("or drop it here").wait_for()
    launch = form.get_by_role("button", name="Launch", exact=True)
    launch.click()
    form.get_by_text("is required").first.wait_for()

    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (12 * 2**20))  # more than Jupyter takes in one message
    drop(form.locator(".kl-form-drop"), "large.bin", large)
    form.get_by_text("large.bin", exact=True).wait_for()  # what is dropped is read in the browser's own time
    launch.click()  # at once: it waits for the file
    form.get_by_text("finished", exact=True).first.wait_for()
    book.run(2)
    assert book.text(2).strip() == "large.bin has 12582912 bytes, 0"

    form.get_by_label("Again", exact=True).fill("7")
    launch.click()  # the same file, which the first run has
    eventually(lambda: "7" in (book.run(2) or book.text(2)), timeout_s=60)
    assert book.text(2).strip() == "large.bin has 12582912 bytes, 7"
    form.get_by_role("button", name="Remove large.bin").click()
    book.run(3)
    assert "'document': None" in book.text(3)


def test_a_launch_that_is_pressed_while_its_file_is_on_the_way_waits_for_it(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = open_lab(jupyter_on_ray)
    cells = [COUNTING, "form = count_letters.form()\nform", "print(form.run.wait(60).result())"]
    book = lab.open(jupyter_on_ray.notebook("way.ipynb", cells))
    book.run(0, timeout_s=120)
    book.run(1)
    form = book.output(1)
    form.get_by_text("or drop it here").wait_for()
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (48 * 2**20))
    drop(form.locator(".kl-form-drop"), "large.bin", large)
    form.get_by_text(re.compile("[0-9.]+ .iB of 48 MiB")).wait_for()
    form.get_by_role("button", name="Launch", exact=True).click()
    form.get_by_text("finished", exact=True).first.wait_for()
    book.run(2)
    assert book.text(2).strip() == "large.bin has 50331648 bytes, 0"


def test_a_form_that_is_shown_twice_launches_with_its_file_and_one_of_another_page_asks_for_it_again(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = open_lab(jupyter_on_ray)
    cells = [COUNTING, "form = count_letters.form()\nform", "form", "print(form.run.wait(60).result())"]
    book = lab.open(jupyter_on_ray.notebook("twice.ipynb", cells))
    for index in range(3):
        book.run(index, timeout_s=120)
    one, other = book.output(1), book.output(2)
    small = tmp_path / "small.txt"
    small.write_text("three")
    drop(one.locator(".kl-form-drop"), "small.txt", small)
    other.get_by_text("small.txt", exact=False).first.wait_for()
    other.get_by_role("button", name="Launch", exact=True).click()  # where the file is not
    one.get_by_text("finished", exact=True).first.wait_for()
    book.run(3)
    assert book.text(3).strip() == "small.txt has 5 bytes, 0"

    book.save()
    lab.reload(saved="twice.ipynb")
    again = book.output(1)
    launch = again.get_by_role("button", name="Launch", exact=True)
    launch.click()
    again.get_by_text("The files were on the page that was left: choose them again.").wait_for()
    again.get_by_text("is required").first.wait_for()
    drop(again.locator(".kl-form-drop"), "small.txt", small)
    launch.click()
    book.ready()
    eventually(lambda: "finished" in again.inner_text(), timeout_s=60)


def drop(place: Any, name: str, path: Path) -> None:
    """Drop a local file on an element: the browser's own events, with its own file object."""
    page = place.page
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), {type: 'file', id: 'dropped'}))")
    page.locator("#dropped").set_input_files(path)
    place.evaluate(
        """(element, name) => {
            const input = document.getElementById('dropped');
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([input.files[0]], name));
            for (const type of ['dragenter', 'dragover', 'drop'])
                element.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            input.remove();
        }""",
        name,
    )


def test_a_cell_on_the_cluster_says_what_it_says_below_itself_after_it_has_ended(
    jupyter_on_ray: Jupyter, open_lab: Callable[..., Lab]
) -> None:
    lab = open_lab(jupyter_on_ray)
    cell = "%%kodosumi run slow\nimport time\nprint('begun')\ntime.sleep(1)\nfor i in range(3):\n    print('step', i)\n41 + 1"
    book = lab.open(
        jupyter_on_ray.notebook(
            "cell.ipynb", ["import kodosumi_lab as kl\n%load_ext kodosumi_lab\nkl.connect()", cell, "print('free')"]
        )
    )
    book.run(0, timeout_s=120)
    book.run(1, timeout_s=60)
    book.run(2)
    assert book.text(2) == "free\n"
    book.output(1).get_by_text("step 2").wait_for()
    book.output(1).get_by_text("finished").wait_for()
    book.output(1).get_by_text("42", exact=True).wait_for()
    assert book.text(2) == "free\n"
