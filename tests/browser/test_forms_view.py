"""Forms in a real browser: every element by its label, checked while it is filled in, files that arrive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from browser.orders import order
from browser.pages import Pages, serve_pages
from browser.showcase import Showcase
from kodosumi_lab.errors import InputsError
from kodosumi_lab.runtime.uploads import Uploads

#: What Chromium says by itself of a refused request.
REFUSED = "status of 422"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    show = Showcase(tmp_path_factory.mktemp("forms") / "log")
    yield show.root
    show.close()


@pytest.fixture(scope="module")
def pages(root: Path) -> Iterator[Pages]:
    with serve_pages(root, flows=["browser.orders"]) as held:
        yield held


def values(page: Any) -> dict[str, Any]:
    """The trait, as Python gets it."""
    found: dict[str, Any] = page.evaluate("globalThis.traits.values")
    return found


def opened(open_page: Callable[..., Any], pages: Pages, flow: str, **options: Any) -> Any:
    theme = options.pop("theme", "light")
    page = open_page(pages.of("form", theme=theme, flow=flow), **options)
    page.get_by_role("button", name="Reset").wait_for()
    return page


def test_an_untouched_form_launches_what_python_would(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_order")
    page.get_by_label("What").fill("pears")
    eventually(lambda: values(page).get("what") == "pears")
    assert order.inputs.from_form(values(page)).wire == order.validate(what="pears").wire


def test_every_element_is_filled_in_by_its_label(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_order")
    page.get_by_label("What").fill("pears")
    page.get_by_role("switch", name="To").check()
    page.get_by_label("Street").fill("Elm")
    page.get_by_label("Count").fill("3")
    page.get_by_label("Limit").fill("2.5")
    page.get_by_label("Colour").select_option("green")
    sizes = page.get_by_role("group", name="Sizes")
    sizes.get_by_label("L").check()
    page.get_by_label("Remove Tags 1").click()
    page.get_by_label("Add to Tags").click()
    page.get_by_label("Tags 2", exact=True).fill("c")
    page.get_by_label("Tags 2", exact=True).press("Enter")
    page.get_by_label("Tags 3", exact=True).fill("d")
    page.get_by_label("Add to Days").click()
    page.get_by_label("Days 1", exact=True).fill("2026-02-01")
    page.get_by_label("Day", exact=True).fill("2026-01-31")
    page.get_by_label("At", exact=True).fill("10:15:30")
    page.get_by_label("Gift").check()
    page.get_by_label("Insured").uncheck()
    page.get_by_label("Note").fill("three\nfour")
    page.get_by_label("Key", exact=True).fill("hush")
    page.get_by_label("About").fill('{"b": 2}')
    eventually(lambda: values(page).get("about") == '{"b": 2}')
    checked = order.inputs.from_form(values(page))
    given = {
        "what": "pears", "to": {"street": "Elm"}, "count": 3, "limit": 2.5, "colour": "green", "sizes": ["M", "L"],
        "tags": ["b", "c", "d"], "days": ["2026-02-01"], "day": "2026-01-31", "at": "10:15:30", "gift": True,
        "insured": False, "note": "three\nfour", "key": "hush", "about": {"b": 2},
    }  # fmt: skip
    assert checked.wire == order.validate(**given).wire
    assert checked.secrets == {"key": "hush"}


def test_messages_stand_under_their_fields_as_one_types(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_order")
    page.allowed.append(REFUSED)
    count = page.get_by_label("Count")
    count.fill("11")
    told = page.locator("[data-name=count]").get_by_text("At most 10")
    told.wait_for()
    assert count.get_attribute("aria-invalid") == "true"
    assert told.get_attribute("id") in count.get_attribute("aria-describedby").split()
    count.fill("10")
    told.wait_for(state="hidden")
    assert count.get_attribute("aria-invalid") is None
    assert page.get_by_text("Required").count() == 0  # nobody has touched it

    page.get_by_label("About").fill("{a: 1}")
    page.get_by_text("No JSON: expected property name", exact=False).wait_for()
    # the gateway says so, too, once it was asked
    page.locator("[data-name=about] .kl-form-message").get_by_text("Is no JSON", exact=False).wait_for()

    page.get_by_role("button", name="Launch").click()
    page.locator("[data-name=what]").get_by_text("Required").wait_for()
    eventually(lambda: page.evaluate("document.activeElement.id") == page.get_by_label("What").get_attribute("id"))


def test_what_only_the_server_knows_is_told_before_the_launch(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_counted")
    page.allowed.append(REFUSED)
    page.get_by_label("Start").fill("20")
    alert = page.get_by_role("alert")
    alert.get_by_text("the end has to be after the start").wait_for()
    page.get_by_label("End").fill("21")
    alert.wait_for(state="hidden")


def test_a_message_never_takes_a_click_from_under_the_mouse(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_counted")
    page.allowed.append(REFUSED)
    before = page.get_by_role("button", name="Launch").bounding_box()
    page.get_by_label("End").fill("1.5")
    page.get_by_label("Start").focus()
    page.locator("[data-name=end]").get_by_text("Has to be a whole number").wait_for()
    assert page.get_by_role("button", name="Launch").bounding_box() == before


def test_a_launch_without_a_cluster_says_why_and_keeps_what_was_entered(
    open_page: Callable[..., Any], pages: Pages
) -> None:
    page = opened(open_page, pages, "page_counted")
    page.allowed.append("status of 503")
    page.get_by_label("End").fill("7")
    page.get_by_label("End").press("Enter")
    page.get_by_role("alert").get_by_text("cluster", exact=False).wait_for()
    assert page.get_by_label("End").input_value() == "7"
    page.get_by_role("button", name="Reset").click()
    assert page.get_by_label("End").input_value() == "10"
    page.get_by_role("alert").wait_for(state="hidden")


def test_texts_of_a_form_are_untrusted(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_trip")
    page.get_by_role("heading", name="A trip").wait_for()
    page.get_by_text("Prices are net").wait_for()
    assert page.evaluate("globalThis.hit") is None
    assert page.get_by_role("link", name="the map").get_attribute("rel") == "noopener noreferrer"


def test_values_follow_the_trait_and_the_other_way_round(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_counted")
    page.evaluate("globalThis.model.set('values', {start: '3', end: '9'})")
    assert page.get_by_label("Start").input_value() == "3"
    page.get_by_label("End").fill("8")
    eventually(lambda: values(page) == {"start": "3", "end": "8"})
    assert page.evaluate("document.activeElement.value") == "8"  # its own echo leaves the field alone


# -- files ------------------------------------------------------------------------------


def batch_of(value: str) -> tuple[str, dict[str, str]]:
    said = json.loads(value)
    return said["batchId"], {upload: item["filename"] for upload, item in said["items"].items()}


def test_files_arrive_whole_in_the_background(open_page: Callable[..., Any], pages: Pages, root: Path) -> None:
    page = opened(open_page, pages, "page_trip")
    page.allowed.append(REFUSED)
    content = bytes(range(256)) * 20_000
    page.get_by_label("Photos").set_input_files(
        [
            {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": content},
            {"name": "empty.jpg", "mimeType": "image/jpeg", "buffer": b""},
        ]
    )
    eventually(lambda: batch_of(values(page).get("photos", '{"batchId": "", "items": {}}'))[0] != "")
    page.get_by_text("4.9 MiB", exact=True).wait_for()
    batch, items = batch_of(values(page)["photos"])
    assert sorted(items.values()) == ["a.jpg", "empty.jpg"]
    uploads = Uploads(root)
    for upload, name in items.items():
        status = uploads.status(upload)
        assert status.missing == []
        assert status.nbytes == (len(content) if name == "a.jpg" else 0)
    assert uploads.owner_of(batch) == "ada"
    page.get_by_role("button", name="Remove a.jpg").click()
    eventually(lambda: list(batch_of(values(page)["photos"])[1].values()) == ["empty.jpg"])


def test_an_upload_goes_on_where_the_connection_broke(open_page: Callable[..., Any], pages: Pages, root: Path) -> None:
    page = opened(open_page, pages, "page_trip")
    page.allowed += ["net::ERR", REFUSED]
    sent = []

    def broken(route: Any) -> None:
        sent.append(route.request.url)
        if 3 <= len(sent) < 6:
            route.abort()
        else:
            route.continue_()

    page.route("**/files/chunk", broken)
    content = b"x" * 2_000_000
    page.get_by_label("Photos").set_input_files([{"name": "a.bin", "mimeType": "image/png", "buffer": content}])
    page.get_by_text("no connection, goes on by itself").wait_for()
    page.get_by_text("1.9 MiB", exact=True).wait_for()
    (upload,) = batch_of(eventually(lambda: values(page).get("photos")))[1]
    assert Uploads(root).status(upload).nbytes == len(content)
    assert len(sent) == 8 + 3  # none twice but those that broke


def test_sending_waits_for_files_and_can_be_stopped(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_trip")
    page.allowed += [REFUSED, "status of 503"]
    held: list[Any] = []
    page.route("**/files/chunk", lambda route: held.extend([route]))  # none is answered
    page.get_by_label("Photos").set_input_files([{"name": "a.png", "mimeType": "image/png", "buffer": b"abc"}])
    page.get_by_label("Who").fill("Ada")
    page.get_by_role("button", name="Book").click()
    page.get_by_text("Sending files…").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Sending files…").wait_for(state="hidden")
    assert page.get_by_label("Who").input_value() == "Ada"
    page.get_by_role("button", name="Book").click()
    page.get_by_text("Sending files…").wait_for()
    page.get_by_role("button", name="Remove a.png").click()  # without it, then
    page.get_by_role("alert").get_by_text("cluster", exact=False).wait_for()
    assert "photos" not in values(page)


def test_files_are_dropped_and_those_of_another_kind_left_out(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_trip")
    page.allowed.append(REFUSED)
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(['abc'], 'notes.txt'));
            transfer.items.add(new File(['abcd'], 'scan.pdf'));
            const zone = document.querySelector('[data-name=passport] .kl-form-drop');
            for (const type of ['dragenter', 'dragover', 'drop'])
                zone.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }"""
    )
    page.get_by_text("Left out: notes.txt; expected .pdf, .png").wait_for()
    page.get_by_text("scan.pdf").wait_for()
    page.get_by_text("4 B", exact=True).wait_for()


# -- everybody --------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_into_a_phone(open_page: Callable[..., Any], pages: Pages, theme: str) -> None:
    page = opened(open_page, pages, "page_order", width=320, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_it_is_filled_in_and_sent_by_keyboard_alone(open_page: Callable[..., Any], pages: Pages) -> None:
    page = opened(open_page, pages, "page_trip")
    page.allowed += [REFUSED, "status of 503"]
    page.keyboard.press("Tab")  # the link
    page.keyboard.press("Tab")
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    page.keyboard.type("5")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Book":
            break
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("cluster", exact=False).wait_for()
    assert values(page)["nights"] == "5"


def test_the_same_values_are_refused_by_python(pages: Pages) -> None:
    with pytest.raises(InputsError):
        order.inputs.from_form({"what": "pears", "about": "{a: 1}"})
