"""What the page does about pictures that come, are left for later or lie before others."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.flywheel.review.test_browser import (
    WAIT,
    Server,
    browser,
    intercept,
    page_of,
    press,
    serve,
    shown,
    skip_to,
    wait_for_answers,
)
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog

__all__ = ["browser", "page_of", "serve"]  # fixtures
EMPTY = "#empty:not([hidden]) h1"


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A browser's window, of which the server may refuse requests: that is written as an error."""
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(WAIT)
    intercept(made)
    yield made
    made.close()


def wait_for_text(page: Any, place: str, words: str) -> None:
    page.locator(place, has_text=words).wait_for()


def be(page: Any, name: str) -> None:
    """Says who reviews."""
    page.locator("#open-person").click()
    page.locator("#person-text").fill(name)
    page.keyboard.press("Enter")
    wait_for_text(page, "#person", name)


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.2)
    raise AssertionError("it must hold within a minute")


def accept_all(page: Any, left: int) -> None:
    """Accepts the pictures that are left, of which there are so many, and sees the end."""
    for _ in range(left - 1):
        press(page, "Enter")
    page.keyboard.press("Enter")
    wait_for_text(page, EMPTY, "All pictures are judged")


def take(server: Server, reviewer: str, count: int = 40) -> list[str]:
    """Takes pictures as another person does who then goes away; gives their ids."""
    message = {"reviewer": reviewer, "session": f"session-of-{reviewer}", "count": count}
    request = urllib.request.Request(
        f"{server.address}api/take",
        json.dumps(message).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return [card["id"] for card in json.load(reply)["cards"]]


def test_an_empty_page_says_why_and_goes_on_when_pictures_come(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 4), "lease_seconds=5")
    page = page_of(server.address)
    page.goto("about:blank")  # what it held is given back, a little later
    wait_until(lambda: len(take(server, "bob")) == 4)
    page.goto(server.address)
    wait_for_text(page, EMPTY, "Nothing is free just now")
    wait_for_text(page, "#empty p", "4 pictures lie before other people")
    page.wait_for_selector("html[data-shown]")  # bob's leases have ended

    page.keyboard.press("f")
    page.select_option("#f-item", "Fanta")
    page.fill("#f-least", "0.99")
    page.keyboard.press("Tab")
    wait_for_text(page, EMPTY, "No picture fits this filter")
    page.keyboard.press("Escape")
    page.locator("#empty button", has_text="Show all").click()
    page.wait_for_selector("html[data-shown]")
    accept_all(page, 4)
    wait_for_answers(server.catalog, 4)


def test_pictures_stay_one_s_own_while_one_works(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40), "lease_seconds=5")
    page = page_of(server.address)
    mine = shown(page)
    page.wait_for_timeout(11_000)  # two leases, with nothing asked for meanwhile
    assert mine not in take(server, "bob", 100)


def test_what_was_drawn_is_offered_after_a_conflict(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))
    page = page_of(server.address)
    page.wait_for_selector("#stage:not(.waiting)")
    first = shown(page)
    claims = page.locator(".claim").count()
    page.keyboard.press("d")
    page.locator("#naming[open]").wait_for()
    page.keyboard.type("Crate")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Crate").wait_for()
    server.catalog.correct(Correction("else-0001", first, 0, "bob", "reject"))
    with page.expect_response(lambda response: "/api/card" in response.url):
        press(page, "Enter")
    wait_for_text(page, ".toast.bad", "bob has answered")
    skip_to(page, first, of=40)  # it comes next
    # As bob left it, with all that ada had said: none of it is there until it is ticked.
    page.locator(".claim", has_text="Crate").wait_for()
    assert page.locator(".claim").count() == claims + 1
    assert page.locator(".claim input:checked").count() == 0
    page.locator(".claim", has_text="Crate").locator("input").click()
    page.wait_for_function("() => document.querySelector('#accept-words').textContent === 'Crate'")
    press(page, "Enter")
    wait_for_answers(server.catalog, 2)
    drawn = server.catalog.truth(first).objects
    assert [(entry.label, entry.source) for entry in drawn] == [("Crate", "human:ada")]
    assert drawn[0].box == (180.0, 135.0, 300.0, 225.0)  # a quarter of 480 x 360, in the middle


def test_pictures_left_for_later_come_after_all_others_with_what_was_drawn(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 30))
    page = page_of(server.address)
    first = shown(page)
    page.wait_for_selector("#stage:not(.waiting)")
    page.keyboard.press("d")
    page.locator("#naming[open]").wait_for()
    page.keyboard.type("Crate")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Crate").wait_for()
    seen = [first]
    for _ in range(29):
        page.keyboard.press("s")
        page.wait_for_function(
            "seen => ![undefined, ...seen].includes(document.documentElement.dataset.shown)",
            arg=[*seen],
        )
        seen.append(shown(page))
    assert sorted(seen) == sorted(f"s{number}" for number in range(30))
    page.keyboard.press("s")
    page.wait_for_function("id => document.documentElement.dataset.shown === id", arg=first)
    assert page.locator(".claim .name", has_text="Crate").count() == 1
    page.keyboard.press("z")
    assert page.locator(".claim .name", has_text="Crate").count() == 0


def grid_of(page: Any, item: str) -> None:
    page.locator("#grid-item").click()
    page.locator("#naming[open]").wait_for()
    page.keyboard.type(item)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".tile[aria-label^='{item} in ']")


def test_undo_in_the_grid_asks_the_same_again_with_its_marks(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 60))
    page = page_of(server.address)
    page.keyboard.press("g")
    item = "Pepsi"
    grid_of(page, item)  # a tile a picture: with two cans the other is Fanta
    tiles = page.locator(".tile").count()
    for place in (0, 1):
        page.locator(".tile").nth(place).click()
    marked = page.locator(".tile.not").evaluate_all("all => all.map(tile => tile.ariaLabel)")
    page.keyboard.press("Enter")
    wait_for_answers(server.catalog, tiles)
    grid_of(page, "Sprite")
    page.keyboard.press("z")
    page.wait_for_selector(f".tile[aria-label^='{item} in ']")
    assert page.locator("#grid-words").inner_text() == f"{tiles - 2} are {item}, 2 not"
    again = page.locator(".tile.not").evaluate_all("all => all.map(tile => tile.ariaLabel)")
    assert again == marked
    wait_for_answers(server.catalog, 2 * tiles)  # taken back
    page.keyboard.press("Enter")
    wait_for_answers(server.catalog, 3 * tiles)
    log = server.catalog.corrections()[2 * tiles :]
    assert [entry.label for answer in log for entry in answer.objects] == [item] * (tiles - 2)
    assert [answer.action for answer in log].count("reject") == 2


def test_undo_takes_back_the_rest_of_a_grid_that_had_a_conflict(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 60))
    catalog = server.catalog
    page = page_of(server.address)
    press(page, "Enter")
    wait_for_answers(catalog, 1)
    page.keyboard.press("g")
    grid_of(page, "Pepsi")
    names = page.locator(".tile").evaluate_all("all => all.map(tile => tile.ariaLabel)")
    ids = ["s" + name.partition("shelf_")[2].partition(".")[0] for name in names]
    catalog.correct(Correction("else-0001", ids[1], 0, "bob", "reject"))
    page.keyboard.press("Enter")
    wait_for_text(page, ".toast.bad", "bob has answered")
    wait_for_answers(catalog, 2 + len(ids) - 1)
    page.keyboard.press("z")
    wait_for_answers(catalog, 2 + 2 * (len(ids) - 1))
    undone = [entry.sample_id for entry in catalog.corrections() if entry.action == "undo"]
    assert sorted(undone) == sorted([ids[0], *ids[2:]])
    assert page.locator(".tile").count() == len(ids) - 1


def test_the_grid_asks_about_all_that_are_open(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 8))  # all come to one page at once
    page = page_of(server.address)
    for _ in range(7):
        press(page, "s")
    while shown(page) in ("s3", "s7"):  # both are left for later
        press(page, "s")
    page.keyboard.press("g")
    grid_of(page, "Sprite")
    tiles = page.locator(".tile")
    names = ["Sprite in shelf_3.jpg", "Sprite in shelf_7.jpg"]
    assert sorted(tiles.evaluate_all("all => all.map(tile => tile.ariaLabel)")) == names

    # Passed over, they come again, since there are no others.
    with page.expect_response("**/api/take"):
        page.keyboard.press("s")
    page.wait_for_selector(".tile")
    assert sorted(tiles.evaluate_all("all => all.map(tile => tile.ariaLabel)")) == names

    server.kill()
    page.keyboard.press("Enter")
    wait_for_text(page, "#grid-empty", "The server can’t be reached")
    server.start()
    wait_for_answers(server.catalog, 2)
    wait_for_text(page, "#grid-empty", "No more pictures that show only Sprite")

    # One by one it goes on with the other six.
    page.keyboard.press("g")
    page.wait_for_selector("html[data-shown]")
    accept_all(page, 6)
    wait_for_answers(server.catalog, 8)


def test_answers_wait_where_another_catalog_is_served(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path / "mine", 6))
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("html[data-shown]")
    given = [shown(page)]
    server.kill()
    for _ in range(2):
        given.append(press(page, "x"))
    page.wait_for_selector("#link.off")

    # The other one has pictures of the same ids, about which nobody has answered.
    other = serve(shelves.shelf_catalog(tmp_path / "other", 6), port=server.port)
    wait_for_text(page, "#link:not(.off)", "2 answers of another catalog wait here")
    wait_for_text(page, ".toast.bad", "Another catalog is served here now")
    page.wait_for_selector("html[data-shown]")
    press(page, "a")
    wait_for_answers(other.catalog, 1)
    page.reload()
    wait_for_text(page, "#link", "2 answers of another catalog wait here")
    other.kill()
    assert [entry.action for entry in other.catalog.corrections()] == ["accept"]

    server.start()
    wait_for_answers(server.catalog, 2)
    page.wait_for_function("() => document.querySelector('#link').textContent === ''")
    log = server.catalog.corrections()
    assert [(entry.sample_id, entry.action) for entry in log] == [
        (given[0], "reject"),
        (given[1], "reject"),
    ]


def test_an_answer_that_was_refused_counts_as_open_again(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))  # twelve come at once
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("html[data-shown]")
    wait_for_text(page, "#left-words", "40 left")
    refusal = {"error": {"what": "an answer must be short", "way_out": "say less"}}
    page.route("**/api/answers", lambda route: route.fulfill(status=422, json=refusal))
    page.keyboard.press("Enter")
    wait_for_text(page, ".toast.bad", "an answer must be short")
    page.locator("#left-words", has_text=re.compile("^40 left$")).wait_for(timeout=20_000)
    page.unroute("**/api/answers")
    press(page, "Enter")
    wait_for_text(page, "#left-words", "39 left · 1 done")


def boxes_drawn(catalog: Catalog) -> int:
    return sum(len(entry.objects) for entry in catalog.corrections())


def test_a_grid_answers_nothing_about_pictures_that_cannot_be_read(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 40)
    lost = {f"s{number}" for number in range(4, 12)}  # two of each item
    for name in lost:
        Path(catalog.uri_of(name)).unlink()
    page = context.new_page()
    page.goto(serve(catalog).address)
    page.wait_for_selector("html[data-shown]")
    page.keyboard.press("g")
    page.wait_for_selector(".tile:disabled")
    loaded = "() => [...document.querySelectorAll('.tile img')].every((image) => image.complete)"
    page.wait_for_function(loaded)
    tiles, gone = page.locator(".tile").count(), page.locator(".tile:disabled").count()
    item = page.locator("#grid-item").inner_text()
    wait_for_text(page, "#grid-words", f"{tiles - gone} are {item}, {gone} can’t be read")
    assert tiles > gone
    for _ in range(2):
        page.keyboard.press("Enter")
        wait_for_text(page, "#grid-words", f"0 are {item}, {gone} can’t be read")  # they come again
    wait_until(lambda: boxes_drawn(catalog) >= tiles - gone)
    assert boxes_drawn(catalog) == tiles - gone
    assert not lost & {entry.sample_id for entry in catalog.corrections()}


def test_another_catalog_is_told_of_once(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path / "mine", 6))
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("html[data-shown]")
    held: list[Any] = []
    page.route("**/api/overview", lambda route: held.append(route))
    server.kill()
    serve(shelves.shelf_catalog(tmp_path / "other", 6), port=server.port)
    page.evaluate("() => [1, 2].map(() => window.dispatchEvent(new Event('focus')))")
    wait_until(lambda: answers_stored(page) == 0 and len(held) >= 2)
    for route in held:
        route.continue_()
    page.locator(".toast.bad").first.wait_for()
    page.wait_for_timeout(1000)  # the other reply has come, too
    assert page.locator(".toast.bad").count() == 1


def test_a_second_tab_is_given_other_pictures(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))
    first = page_of(server.address)
    with first.expect_popup() as opened:
        first.evaluate("() => { window.open(location.href) }")  # copies what the tab has stored
    second = opened.value
    second.wait_for_selector("html[data-shown]")
    assert shown(second) != shown(first)
    press(second, "Enter")
    press(first, "Enter")
    wait_for_answers(server.catalog, 2)
    assert first.locator(".toast.bad").count() == 0


def answers_stored(page: Any) -> int:
    keys = page.evaluate("() => Object.keys(localStorage).filter(k => k.includes('.answer.'))")
    return len(keys)


def test_undo_of_an_answer_that_then_is_a_conflict_opens_the_picture_once(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))
    page = page_of(server.address, intercepted=True)
    first = shown(page)
    opened: list[str] = []

    def note(request: Any) -> None:
        if "/api/card" in request.url:
            opened.append(request.url)

    page.on("request", note)
    held: list[Any] = []
    page.route("**/api/answers", lambda route: held.append(route), times=1)
    server.catalog.correct(Correction("else-0001", first, 0, "bob", "reject"))
    with page.expect_request("**/api/answers"):
        press(page, "Enter")
    press(page, "z")
    with page.expect_response(lambda response: "/api/card" in response.url):
        for route in held:
            route.continue_()
    wait_until(lambda: answers_stored(page) == 0)
    page.wait_for_function("() => !document.querySelector('.claim input:checked')")  # bob's
    assert shown(page) == first
    assert len(opened) == 1
    assert page.locator(".toast.bad").count() == 1
    assert len(server.catalog.corrections()) == 1


def test_answers_are_sent_again_after_a_reply_that_can_t_be_understood(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("html[data-shown]")
    page.route("**/api/answers", lambda route: route.fulfill(json={}), times=1)
    with page.expect_response("**/api/answers"):  # the reply is made in this thread
        press(page, "Enter")
    wait_for_answers(server.catalog, 1)
    wait_until(lambda: answers_stored(page) == 0)


def test_the_number_left_stays_that_of_the_filter(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40))
    page = page_of(server.address)
    page.keyboard.press("f")
    page.select_option("#f-item", "Sprite")
    wait_for_text(page, "#left-words", "10 left")  # every fourth of forty
    with page.expect_response("**/api/overview"):
        page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    page.wait_for_timeout(500)  # what is not to happen would have happened
    assert page.locator("#left-words").inner_text() == "10 left"


def test_an_answer_that_was_heard_already_is_counted_once_after_loading_anew(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    server = serve(shelves.shelf_catalog(tmp_path, 40), "lease_seconds=600")
    page = page_of(server.address, intercepted=True)
    held: list[Any] = []

    def hold(route: Any) -> None:  # the server hears it, the page is not told so
        route.fetch()
        held.append(route)

    page.route("**/api/answers", hold)
    press(page, "Enter")
    wait_until(lambda: answers_stored(page) == len(held) == 1)
    page.reload()
    page.wait_for_selector("html[data-shown]")  # and with it how many are left
    wait_until(lambda: answers_stored(page) == 1 and len(held) == 2)
    held[-1].continue_()
    wait_for_text(page, "#left-words", "39 left")
    assert answers_stored(page) == 0
    assert len(server.catalog.corrections()) == 1


def test_a_picture_that_can_t_be_read_is_told_and_not_accepted(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], context: Any
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 2)
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()
    page = context.new_page()
    page.goto(serve(catalog).address)
    page.wait_for_selector("#stage.gone")
    assert not page.locator("#stage img").is_visible()
    first = shown(page)
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="unreadable picture").wait_for()
    assert shown(page) == first
    assert press(page, "u") != first
    wait_for_answers(catalog, 1)
    assert catalog.corrections()[0].action == "unsure"
