"""What keys and names do on the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.flywheel.review import test_browser as paths
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import ObjectBox

browser, page_of = paths.browser, paths.page_of
serve, server = paths.serve, paths.server
press, shown, wait_for_answers = paths.press, paths.shown, paths.wait_for_answers


def known_classes(
    folder: Path, shelves: ModuleType, labels: list[str], *, count: int = 3
) -> Catalog:
    """A catalog of pictures s0, s1, ... with a box each, of the first class; all are known."""
    catalog = open_catalog(folder / "catalog", create=True)
    for number in range(count):
        path = folder / f"{number}.jpg"
        shelves.draw(path, number, ("Pepsi",))
        catalog.add_samples([shelves.sample_of(f"s{number}", path)])
        box = shelves.box_of(number)
        said = labels[0]
        catalog.add_proposals(
            [Proposal(f"p{number}", f"s{number}", "localization", said, 0.6, 0.5, box, "m")]
        )
    path = folder / "known.jpg"
    shelves.draw(path, count, ("Pepsi",))
    known = tuple(ObjectBox(label, (5, 5, 90, 90)) for label in labels)
    catalog.add_samples([shelves.sample_of("known", path, objects=known)])
    return catalog


def test_a_box_drawn_right_after_a_name_was_given_stays(
    tmp_path: Path,
    shelves: ModuleType,
    serve: Callable[..., paths.Server],
    page_of: Callable[..., Any],
) -> None:
    catalog = known_classes(tmp_path, shelves, ["cola", "cola"])
    page = page_of(serve(catalog).address)
    shown(page)
    page.keyboard.press("l")
    # Before the browser tells that the sheet was closed, which it does with the next frame.
    page.evaluate(
        """async () => {
          const sheet = document.getElementById("naming");
          const told = new Promise((tell) => {
            sheet.addEventListener("close", tell, { once: true });
          });
          for (const key of ["Enter", "d"]) {
            const kind = { key, bubbles: true, cancelable: true };
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", kind));
            for (let step = 0; step < 5; step += 1) await null; // what the name brings about
          }
          await told;
        }"""
    )
    page.keyboard.press("Enter")
    page.wait_for_selector("#naming:not([open])", state="attached")
    assert page.locator(".claim .name").all_inner_texts() == ["cola"] * 2


def test_enter_alone_gives_the_name_that_stands_there(
    tmp_path: Path,
    shelves: ModuleType,
    serve: Callable[..., paths.Server],
    page_of: Callable[..., Any],
) -> None:
    labels = [f"class {number:03}" for number in range(120)]
    catalog = known_classes(tmp_path, shelves, [labels[70], *labels])
    page = page_of(serve(catalog).address)
    first = shown(page)
    for key in ("l", "d"):
        page.keyboard.press(key)
        assert page.locator("#naming-text").get_attribute("placeholder") == "class 070"
        assert page.locator("#naming-list [aria-selected=true]").inner_text() == "class 070"
        page.keyboard.press("Enter")
        page.wait_for_selector("#naming:not([open])", state="attached")
    assert page.locator(".claim .name").all_inner_texts() == ["class 070"] * 2
    press(page, "Enter")
    wait_for_answers(catalog, 1)
    # With the name of a class that has just been made up, which the server has not told yet.
    page.keyboard.press("j")
    page.keyboard.press("l")
    page.keyboard.type("zebra")
    page.keyboard.press("Enter")
    press(page, "Enter")
    third = shown(page)
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_for_answers(catalog, 3)
    assert {entry.label for entry in catalog.truth(first).objects} == {"class 070"}
    assert [entry.label for entry in catalog.truth(third).objects] == ["class 070", "zebra"]


def hold(page: Any, key: str, *, times: int = 8) -> None:
    """Presses a key, which repeats itself so many times before it is let go."""
    for _ in range(1 + times):
        page.keyboard.down(key)
    page.keyboard.up(key)


def settled(page: Any) -> None:
    """Waits until no answer waits to be saved."""
    page.wait_for_function(
        "() => !Object.keys(localStorage).some((key) => key.includes('.answer.'))"
    )


@pytest.mark.parametrize("key", ["Enter", "a", "x", "u"])
def test_a_held_key_answers_one_picture(
    server: paths.Server, page_of: Callable[..., Any], key: str
) -> None:
    page = page_of(server.address)
    first = shown(page)
    hold(page, key)
    wait_for_answers(server.catalog, 1)
    settled(page)
    assert [entry.sample_id for entry in server.catalog.corrections()] == [first]


def test_a_held_key_goes_no_further_than_its_sheet_or_grid(
    server: paths.Server, page_of: Callable[..., Any]
) -> None:
    page = page_of(server.address)
    first, claims = shown(page), page.locator(".claim").count()

    # The key that opens the naming sheet writes nothing; the one that closes it answers nothing.
    hold(page, "d")
    page.locator("#naming[open]").wait_for()
    assert page.locator("#naming-text").input_value() == ""
    page.keyboard.type("Crate")
    hold(page, "Enter")
    page.locator(".claim.chosen .name", has_text="Crate").wait_for()
    assert (shown(page), page.locator(".claim").count()) == (first, claims + 1)

    # Steps are repeated: eight times 10 px to the right, and one at first.
    left = page.evaluate("() => parseFloat(document.querySelector('.tag.chosen').style.left)")
    page.keyboard.down("Shift")
    hold(page, "ArrowRight")
    page.keyboard.up("Shift")
    moved = page.evaluate("() => parseFloat(document.querySelector('.tag.chosen').style.left)")
    assert (moved - left) / 100 * 480 == pytest.approx(90)

    # One press undoes one step: the last push, and not the box.
    hold(page, "z")
    assert page.locator(".claim").count() == claims + 1

    # A button that has the focus is pressed once, too.
    page.locator("#skip").focus()
    hold(page, "Enter")
    second = page.evaluate("() => document.documentElement.dataset.shown")
    page.locator("#unsure").focus()
    hold(page, "Enter")
    wait_for_answers(server.catalog, 1)
    settled(page)
    assert [entry.sample_id for entry in server.catalog.corrections()] == [second]

    # One grid.
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    tiles = page.locator(".tile")
    names = tiles.evaluate_all("all => all.map((tile) => tile.ariaLabel)")  # "Fanta in shelf_1.jpg"
    hold(page, "i", times=2)
    assert page.locator(".tile.not").count() == tiles.count()
    hold(page, "Enter")
    page.wait_for_function("() => !document.querySelector('.tile.not')")
    wait_for_answers(server.catalog, 1 + len(set(names)))
    settled(page)
    assert len(server.catalog.corrections()) == 1 + len(set(names))


def wait_for_focus(page: Any, where: str) -> None:
    """Waits until an element that fits the selector has the focus; a closed sheet may delay it."""
    page.wait_for_function("where => document.activeElement.matches(where)", arg=where)


def closed(page: Any) -> None:
    """Closes the sheet that is open."""
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")


def test_enter_accepts_after_a_click_on_a_button(
    server: paths.Server, page_of: Callable[..., Any]
) -> None:
    page = page_of(server.address)
    answered = []
    for button in ("#quick .chip", "#claims .name", "#draw", "#whole", "#open-filters"):
        if button == "#quick .chip":
            page.keyboard.press("j")
        page.locator(button).first.click()
        if button != "#quick .chip":
            closed(page)
        wait_for_focus(page, "body")
        answered.append(shown(page))
        press(page, "Enter")
    page.locator("#draw").click()
    page.keyboard.type("Crate")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Crate").wait_for()
    answered.append(shown(page))
    press(page, "Enter")
    wait_for_answers(server.catalog, len(answered))
    settled(page)
    assert [entry.sample_id for entry in server.catalog.corrections()] == answered


def test_who_tabs_keeps_the_focus(server: paths.Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    for button in ("open-help", "draw", "whole"):
        page.locator(f"#{button}").focus()
        page.keyboard.press("Enter")
        closed(page)
        wait_for_focus(page, f"#{button}")
    page.locator("#quick .chip").first.focus()
    page.keyboard.press("Enter")
    wait_for_focus(page, ".chip")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    wait_for_focus(page, ".chip")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_box_that_is_not_named_is_gone(server: paths.Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    names = page.locator(".claim .name").all_inner_texts()
    boxes = page.locator(".a9s-annotation[data-id]")
    page.keyboard.press("d")
    closed(page)
    page.wait_for_function("() => document.querySelector('#accept-word').textContent === 'Accept'")
    assert (page.locator(".claim .name").all_inner_texts(), boxes.count()) == (names, len(names))
    paths.drag(page, (0.7, 0.1), (0.95, 0.35))
    closed(page)
    page.wait_for_function("() => document.querySelector('#accept-word').textContent === 'Accept'")
    assert (page.locator(".claim .name").all_inner_texts(), boxes.count()) == (names, len(names))
    page.keyboard.press("d")
    page.keyboard.press("Escape")
    first = shown(page)
    second = press(page, "Enter")  # however soon it comes
    wait_for_answers(server.catalog, 1)
    # What is there already keeps its name.
    names_there = page.locator(".claim:has(input:checked) .name").all_inner_texts()
    page.keyboard.press("j")
    page.keyboard.press("l")
    closed(page)
    press(page, "Enter")
    wait_for_answers(server.catalog, 2)
    assert [entry.action for entry in server.catalog.corrections()] == ["accept", "accept"]
    told = [
        [entry.label for entry in server.catalog.truth(name).objects] for name in (first, second)
    ]
    assert told == [names, names_there]


@pytest.mark.parametrize(
    ("typed", "given", "others"),
    [
        pytest.param("apple", "apple", ["Apple", "Pineapple"], id="known, and in capitals, too"),
        pytest.param("Apple", "Apple", ["apple", "Pineapple"], id="the same the other way round"),
        pytest.param("cola zero", "Cola Zero", ["cola zero"], id="known but for capitals"),
        pytest.param("Cola", "Cola", ["Cola Zero"], id="new, and the start of a known one"),
        pytest.param("pinea", "Pineapple", ["pinea"], id="the beginning of a word"),
        pytest.param("Zero", "Zero", ["Cola Zero"], id="new, and a part of a known one"),
        pytest.param("Fanta ", "Fanta", [], id="new"),
    ],
)
def test_enter_gives_the_name_that_was_typed(
    tmp_path: Path,
    shelves: ModuleType,
    serve: Callable[..., paths.Server],
    page_of: Callable[..., Any],
    typed: str,
    given: str,
    others: list[str],
) -> None:
    labels = ["Pineapple", "Apple", "apple", "Cola Zero"]
    page = page_of(serve(known_classes(tmp_path, shelves, labels, count=1)).address)
    page.keyboard.press("l")
    page.keyboard.type(typed)
    assert page.locator("#naming-list li").all_inner_texts() == [given, *others]
    page.keyboard.press("Enter")
    page.locator(".claim .name", has_text=re.compile(f"^{given}$")).wait_for()


def test_a_long_name_is_answered_like_others(
    tmp_path: Path,
    shelves: ModuleType,
    serve: Callable[..., paths.Server],
    page_of: Callable[..., Any],
) -> None:
    label = "pepsi cola, can of 330 ml, " * 12 + "from the side"
    catalog = known_classes(tmp_path, shelves, [label])
    page = page_of(serve(catalog).address)
    first = shown(page)
    press(page, "Enter")
    wait_for_answers(catalog, 1)
    page.keyboard.press("f")
    page.select_option("#f-item", label)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280
    page.keyboard.press("Enter")
    wait_for_answers(catalog, 3)
    assert [entry.label for entry in catalog.truth(first).objects] == [label]
    assert {entry.action for entry in catalog.corrections()} == {"accept"}


def test_the_filter_sheet_tells_how_many_fit_and_keeps_what_is_typed(
    tmp_path: Path,
    shelves: ModuleType,
    serve: Callable[..., paths.Server],
    page_of: Callable[..., Any],
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 5)  # s0 and s4 show a Pepsi
    page = page_of(serve(catalog).address)
    page.keyboard.press("f")
    left = page.locator("#f-left")
    left.get_by_text("5 pictures", exact=True).wait_for()
    page.select_option("#f-item", "Pepsi")
    left.get_by_text("2 pictures", exact=True).wait_for()
    page.locator("#f-least").focus()
    page.keyboard.type("0.3")
    # The counts come anew, as they do every now and then.
    page.evaluate(
        "() => { document.querySelector('#f-model').replaceChildren();"
        " window.dispatchEvent(new Event('focus')); }"
    )
    page.locator("#f-model option").first.wait_for(state="attached")
    assert page.locator("#f-least").input_value() == "0.3"
    page.keyboard.press("Tab")
    page.locator("#filter-words", has_text="Pepsi, score 0.3–1").wait_for()


def test_the_filter_sheet_counts_what_was_answered_since(
    server: paths.Server, page_of: Callable[..., Any]
) -> None:
    page = page_of(server.address)
    press(page, "Enter")  # no picture is asked for: twelve lay here
    settled(page)
    page.locator("#left-words", has_text="39 left").wait_for()
    with page.expect_response("**/api/overview"):
        page.keyboard.press("f")
    page.locator("#f-left", has_text="39 pictures").wait_for(timeout=20_000)
