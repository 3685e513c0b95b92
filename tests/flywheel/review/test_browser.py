"""A person's path through the page, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from visionkit.flywheel.answers import Correction, Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[3]
ARGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
WAIT = 60_000  # a busy machine

player = pytest.importorskip("playwright.sync_api", reason="needs playwright")
if not CHROMIUM.exists():
    pytest.skip(f"needs {CHROMIUM}", allow_module_level=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The page's server as its users start it, which can be killed and started again."""

    def __init__(self, catalog: Catalog, log: Path, *words: str, port: int = 0) -> None:
        self.catalog, self._log, self._words = catalog, log, words
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [f"catalog={self.catalog.uri}", f"port={self.port}", "reviewer=ada"]
        words += ["twice_share=0", *self._words]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "review.py"), *words],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        for _ in range(1200):
            try:
                urllib.request.urlopen(self.address, timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        self.kill()
        raise RuntimeError(self._log.read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a page for a catalog, told these words more."""
    started: list[Server] = []

    def start(catalog: Catalog, *words: str, port: int = 0) -> Server:
        made = Server(catalog, tmp_path / f"server{len(started)}.log", *words, port=port)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.kill()


@pytest.fixture
def server(shelves: ModuleType, tmp_path: Path, serve: Callable[..., Server]) -> Server:
    """A page of forty pictures."""
    return serve(shelves.shelf_catalog(tmp_path, 40))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with player.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield opened
        opened.close()


def intercept(context: Any) -> None:
    """Has requests of pages pass through the test from the first one on.

    Where the first route is set later, a request that is made right after it may not be seen.
    """
    context.route("**/nothing-of-this-name", lambda route: route.abort())


@pytest.fixture
def page_of(browser: Any, serve: Callable[..., Server]) -> Iterator[Callable[..., Any]]:
    """Opens a page; errors that it writes fail the test, but those of servers that were killed.

    It takes `serve` so that it is closed first: the end of its server would cut off a picture that
    is still coming.
    """
    errors: list[str] = []
    contexts: list[Any] = []

    def open_page(
        address: str, *, width: int = 1280, intercepted: bool = False, **options: Any
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        if intercepted:
            intercept(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("html[data-shown]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    unexpected = [error for error in errors if "ERR_CONNECTION_" not in error]
    assert unexpected == []


def shown(page: Any) -> str:
    """Id of the picture before the person."""
    return str(page.evaluate("() => document.documentElement.dataset.shown"))


def press(page: Any, key: str) -> str:
    """Presses a key that goes to the next picture, and gives that one's id."""
    before = shown(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.documentElement.dataset.shown !== before", arg=before
    )
    return shown(page)


def skip_to(page: Any, name: str, *, of: int) -> None:
    """Leaves pictures for later until one of so many is shown."""
    for _ in range(of - 1):
        if shown(page) != name:
            press(page, "s")
    assert shown(page) == name


def wait_for_answers(catalog: Catalog, count: int) -> None:
    for _ in range(600):
        if len(catalog.corrections()) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"{count} answers must come, got {len(catalog.corrections())}")


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws over the picture, between two places in shares of it."""
    page.wait_for_selector("#stage:not(.waiting)")
    box = page.locator("#stage img").bounding_box()
    (x0, y0), (x1, y1) = [
        (box["x"] + across * box["width"], box["y"] + down * box["height"])
        for across, down in (start, end)
    ]
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=3)
    page.mouse.move(x1, y1, steps=3)
    page.mouse.up()


def test_a_person_s_path(server: Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    catalog = server.catalog

    # The first picture with its boxes; accept it.
    first = shown(page)
    assert page.locator("#reasons li").first.inner_text()
    page.wait_for_selector("#stage:not(.waiting)")
    assert page.locator(".a9s-annotation[data-id]").count() == page.locator(".claim").count() > 0
    second = press(page, "Enter")
    wait_for_answers(catalog, 1)
    assert (catalog.corrections()[0].sample_id, catalog.corrections()[0].action) == (
        first,
        "accept",
    )

    # Rename what is there to a new item.
    page.keyboard.press("j")
    page.keyboard.press("l")
    page.keyboard.type("Ginger Ale")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Ginger Ale").wait_for()
    assert page.locator("#accept-word").inner_text() == "Save"
    third = press(page, "Enter")
    wait_for_answers(catalog, 2)
    assert "Ginger Ale" in [entry.label for entry in catalog.truth(second).objects]

    # Draw a box with the mouse, over a quarter of the picture; name it.
    claims = page.locator(".claim").count()
    drag(page, (0.7, 0.1), (0.95, 0.35))
    page.locator("#naming[open]").wait_for()
    page.keyboard.type("Pepsi")
    page.keyboard.press("Enter")
    assert page.locator(".claim").count() == claims + 1
    press(page, "Enter")
    wait_for_answers(catalog, 3)
    drawn = [entry for entry in catalog.truth(third).objects if entry.source == "human:ada"]
    assert [entry.label for entry in drawn] == ["Pepsi"]
    expected = (0.7 * 480, 0.1 * 360, 0.95 * 480, 0.35 * 360)
    assert drawn[0].box == pytest.approx(expected, abs=2)

    # Undo: the last picture is before the person again, as it was answered.
    page.keyboard.press("z")
    page.wait_for_function("id => document.documentElement.dataset.shown === id", arg=third)
    assert page.locator(".claim").count() == claims + 1
    wait_for_answers(catalog, 4)
    assert not catalog.truth(third).reviewed

    # None of it; can't tell.
    press(page, "x")
    unsure = shown(page)
    press(page, "u")
    wait_for_answers(catalog, 6)
    actions = [correction.action for correction in catalog.corrections()]
    assert actions == ["accept", "edit", "edit", "undo", "reject", "unsure"]
    assert catalog.truth(third).objects == ()
    assert not catalog.truth(unsure).reviewed

    # After loading anew it goes on where it was.
    page.wait_for_function(
        "() => !Object.keys(localStorage).some((key) => key.startsWith('visionkit.answer.'))"
    )
    before = shown(page)
    page.reload()
    page.wait_for_selector("html[data-shown]")
    assert shown(page) == before
    assert page.locator("#left-words").inner_text().startswith("36 left")

    # The sheet of keys.
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert page.locator("#help kbd", has_text=re.compile("^Enter$")).count() == 2
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_box_by_keys_alone_and_moved_by_the_mouse(
    server: Server, page_of: Callable[..., Any]
) -> None:
    page = page_of(server.address)
    first = shown(page)
    page.wait_for_selector("#stage:not(.waiting)")
    page.keyboard.press("d")
    page.keyboard.type("Cola")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Cola").wait_for()
    # A quarter of 480 x 360 in the middle, 20 px to the right, 1 px taller.
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Alt+ArrowDown"):
        page.keyboard.press(key)
    second = press(page, "a")
    wait_for_answers(server.catalog, 1)
    drawn = [e.box for e in server.catalog.truth(first).objects if e.label == "Cola"]
    assert drawn == [(200.0, 135.0, 320.0, 226.0)]

    # The box that is chosen follows the mouse: 48 px to the right, 36 down.
    page.wait_for_selector("#stage:not(.waiting)")
    page.keyboard.press("j")
    handle = page.locator(".a9s-shape-handle").first.bounding_box()
    image = page.locator("#stage img").bounding_box()
    across = (handle["x"] + handle["width"] / 2 - image["x"]) / image["width"]
    down = (handle["y"] + handle["height"] / 2 - image["y"]) / image["height"]
    left = (handle["x"] - image["x"]) / image["width"] * 480
    drag(page, (across, down), (across + 0.1, down + 0.1))
    page.wait_for_function("() => document.querySelector('#accept-word').textContent === 'Save'")
    press(page, "Enter")
    wait_for_answers(server.catalog, 2)
    moved = [e.box for e in server.catalog.truth(second).objects if e.source == "human:ada"]
    assert len(moved) == 1
    assert moved[0][0] == pytest.approx(left + 48, abs=3)


def test_boxes_wait_for_the_picture_that_they_are_on(
    server: Server, page_of: Callable[..., Any]
) -> None:
    page = page_of(server.address, intercepted=True)
    held: list[Any] = []
    page.route("**/picture?*", lambda route: held.append(route))
    page.reload(wait_until="commit")
    page.wait_for_selector("html[data-shown]")
    boxes = page.locator(".a9s-annotation[data-id]:visible")
    claims = page.locator(".claim").count()
    assert (boxes.count(), page.locator(".tag:visible").count()) == (0, 0)
    place = page.locator("#stage img").bounding_box()
    page.mouse.move(place["x"] + 20, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + 120, place["y"] + 120, steps=3)
    page.mouse.up()
    assert not page.locator("#naming[open]").is_visible()
    assert page.locator(".claim").count() == claims

    for route in held:
        route.continue_()
    boxes.first.wait_for()
    picture = page.locator("#stage img").bounding_box()
    lefts = [
        (box.bounding_box()["x"] - picture["x"]) / picture["width"] * 480 for box in boxes.all()
    ]
    known = [proposal.box[0] for proposal in server.catalog.proposals([shown(page)])]
    assert sorted(lefts) == pytest.approx(sorted(known), abs=3)
    assert page.locator(".tag:visible").count() == boxes.count() == claims


def test_a_grid_is_answered_by_one_key(server: Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    page.keyboard.press("g")
    page.wait_for_selector(".tile")
    tiles = page.locator(".tile").count()
    item = page.locator("#grid-item").inner_text()
    page.locator(".tile").nth(0).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator(".tile.not").count() == 2
    assert page.locator("#grid-words").inner_text() == f"{tiles - 2} are {item}, 2 not"
    page.keyboard.press("Enter")
    page.wait_for_function("() => !document.querySelector('.tile.not')")
    for _ in range(600):
        log = server.catalog.corrections()
        kept = sum(len(correction.objects) for correction in log)
        if kept >= tiles - 2:
            break
        time.sleep(0.1)
    assert kept == tiles - 2
    assert {entry.label for correction in log for entry in correction.objects} == {item}
    wait_for_answers(server.catalog, len(log))
    page.keyboard.press("z")
    page.wait_for_selector(".tile")
    wait_for_answers(server.catalog, 2 * len(log))
    assert not any(truth.reviewed for truth in server.catalog.truths().values())


def test_answers_outlive_a_killed_server(server: Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    press(page, "Enter")
    wait_for_answers(server.catalog, 1)
    page.wait_for_timeout(500)  # the pictures that come next are there by now
    server.kill()
    ids = [shown(page)]
    for _ in range(3):
        ids.append(press(page, "x"))
    page.wait_for_selector("#link.off")
    assert "nothing is lost" in page.locator("#link").inner_text()
    stored = page.evaluate("() => Object.keys(localStorage).filter(k => k.includes('.answer.'))")
    assert len(stored) == 3
    server.start()
    wait_for_answers(server.catalog, 4)
    page.wait_for_function("() => !document.querySelector('#link.off')")
    assert [c.sample_id for c in server.catalog.corrections()][1:] == ids[:3]
    assert (
        page.evaluate("() => Object.keys(localStorage).filter(k => k.includes('.answer.'))") == []
    )


def test_who_comes_second_is_told(server: Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address)
    before = shown(page)
    server.catalog.correct(Correction("else-0001", before, 0, "bob", "reject"))
    press(page, "Enter")
    page.wait_for_selector(".toast.bad")
    assert "bob has answered" in page.locator(".toast.bad").inner_text()
    assert len(server.catalog.corrections()) == 1


def test_a_finger_is_enough(server: Server, page_of: Callable[..., Any]) -> None:
    page = page_of(server.address, width=820, has_touch=True)
    before = shown(page)
    page.locator(".claim input").first.tap()
    page.locator("#accept").tap()
    page.wait_for_function(
        "before => document.documentElement.dataset.shown !== before", arg=before
    )
    wait_for_answers(server.catalog, 1)
    page.locator("#undo").tap()
    page.wait_for_function(
        "before => document.documentElement.dataset.shown === before", arg=before
    )
    wait_for_answers(server.catalog, 2)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= 820  # nothing reaches out of the screen


def test_classes_that_shut_each_other_out(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    for number in range(3):
        path = tmp_path / f"{number}.jpg"
        shelves.draw(path, number, ("Pepsi",))
        sample = shelves.sample_of(f"s{number}", path)
        catalog.add_samples([sample])
        scores = {"Pepsi": 0.6, "Fanta": 0.3, "Sprite": 0.1}
        catalog.add_proposals(
            [
                Proposal(
                    f"{label}{number}", sample.id, "classification", label, score, 0.5, None, "m"
                )
                for label, score in scores.items()
            ]
        )
    server = serve(catalog)
    page = page_of(server.address)

    def ticked() -> list[str]:
        rows = page.locator(".claim:has(input:checked) .name")
        return list(rows.all_inner_texts())

    # By mouse: another tick takes the first one away, and undo gives it back.
    assert ticked() == ["Pepsi"]
    page.locator(".claim", has_text="Fanta").locator("input").click()
    assert ticked() == ["Fanta"]
    page.keyboard.press("z")
    assert ticked() == ["Pepsi"]
    page.locator(".claim", has_text="Fanta").locator("input").click()
    first = shown(page)
    press(page, "Enter")
    wait_for_answers(catalog, 1)
    assert catalog.truth(first).labels == ("Fanta",)

    # By name: one that is offered is ticked, a new one takes its place.
    for name, rows in (("Sprite", 3), ("Ginger Ale", 4)):
        page.keyboard.press("w")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "name => document.querySelector('#accept-words').textContent === name", arg=name
        )
        assert ticked() == [name]
        assert page.locator(".claim").count() == rows
    second = shown(page)
    press(page, "Enter")
    wait_for_answers(catalog, 2)
    assert catalog.truth(second).labels == ("Ginger Ale",)

    # By the number of a class, whatever is chosen; none at all is an answer, too.
    page.keyboard.press("j")
    number = page.locator(".chip", has_text="Sprite").locator("kbd").inner_text()
    page.keyboard.press(number)
    assert ticked() == ["Sprite"]
    assert page.locator(".claim").count() == 3
    number = page.locator(".chip", has_text="Fanta").locator("kbd").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press(number)
    assert ticked() == ["Fanta"]
    page.locator(".claim", has_text="Fanta").locator("input").click()
    assert ticked() == []
    third = shown(page)
    page.keyboard.press("Enter")
    wait_for_answers(catalog, 3)
    assert (catalog.truth(third).labels, catalog.corrections()[2].action) == ((), "reject")


def test_names_are_shown_as_text(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 3)
    evil = "<img src=x onerror=document.title='owned'>"
    catalog.add_proposals(
        [Proposal("evil", "s1", "localization", evil, 0.5, 0.5, (5, 5, 90, 90), evil, evil, 0.4)]
    )
    server = serve(catalog)
    page = page_of(server.address)
    skip_to(page, "s1", of=3)
    assert evil in page.locator(".claim .name").all_inner_texts()
    assert page.locator("#claims img").count() == 0
    page.keyboard.press("p")
    page.keyboard.press("Escape")
    assert page.title() == "Review"


def test_many_offered_boxes_bear_their_names_only_when_pointed_at(
    tmp_path: Path, shelves: ModuleType, serve: Callable[..., Server], page_of: Callable[..., Any]
) -> None:
    catalog = shelves.shelf_catalog(tmp_path, 3)
    boxes = [(5 + 20 * n, 60, 20 + 20 * n, 90) for n in range(7)]
    offered = [
        Proposal(f"o{n}", "s1", "localization", f"can {n}", 0.2, 0.5, box, "m")
        for n, box in enumerate(boxes)
    ]
    there = Proposal("there", "s1", "localization", "box", 0.9, 0.5, (5, 5, 90, 40), "m")
    catalog.add_proposals([there, *offered])
    server = serve(catalog)
    page = page_of(server.address)
    skip_to(page, "s1", of=3)
    page.wait_for_selector("#stage:not(.waiting)")
    names = page.locator(".tag:visible")
    assert names.all_inner_texts() == ["box"]
    picture = page.locator("#stage img").bounding_box()
    scale = picture["width"] / catalog.samples(["s1"])[0].width
    page.mouse.move(picture["x"] + 52 * scale, picture["y"] + 75 * scale)
    assert sorted(names.all_inner_texts()) == ["box", "can 2?"]
    page.mouse.move(picture["x"] + 120 * scale, picture["y"] + 20 * scale)
    assert names.all_inner_texts() == ["box"]
