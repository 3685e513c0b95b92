"""Where boxes lie on pictures of unusual size, in a real browser."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image as PillowImage

from tests.flywheel.review import test_browser as paths
from tests.flywheel.review.pictures import sample_of
from tests.flywheel.review.test_page_keys import settled
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk, DeskSettings

browser, page_of, serve = paths.browser, paths.page_of, paths.serve
wait_for_answers = paths.wait_for_answers

HEAD = 4000  # bytes of a picture's file that tell its size


class Slow:
    """The app, of whose pictures only the first bytes come until `go` is set."""

    def __init__(self, app: Any) -> None:
        self._app, self.go = app, threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def slowly(message: Any) -> None:
            body = message.get("body", b"")
            if message["type"] == "http.response.body" and len(body) > HEAD:
                await send({**message, "body": body[:HEAD], "more_body": True})
                while not self.go.is_set():
                    await asyncio.sleep(0.02)
                message = {**message, "body": body[HEAD:]}
            await send(message)

        is_picture = scope["type"] == "http" and scope["path"] == "/picture"
        await self._app(scope, receive, slowly if is_picture else send)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address at which an app is served meanwhile, by a thread of this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", port=port))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def one_picture(
    folder: Path, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Catalog:
    """A catalog of one picture s0 of (width, height) pixels, which holds a Pepsi in the box."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    PillowImage.fromarray(noise).resize(size).save(folder / "0.jpg", quality=70)
    catalog = open_catalog(folder / "catalog", create=True)
    catalog.add_samples([sample_of("s0", folder / "0.jpg")])
    catalog.add_proposals([Proposal("p0", "s0", "localization", "Pepsi", 0.9, 0.5, box, "m")])
    return catalog


@pytest.mark.parametrize("keys", ["a", "ja", "jja"])
def test_boxes_stay_where_they_are_while_a_large_picture_comes(
    tmp_path: Path, shelves: ModuleType, browser: Any, keys: str
) -> None:
    box = (400.0, 300.0, 1200.0, 900.0)
    catalog = one_picture(tmp_path, (4000, 3000), box)
    desk = Desk(catalog, shelves.build_order, DeskSettings(twice_share=0))
    slow = Slow(create_app(desk, AppSettings(reviewer="ada")))
    with serving(slow) as address, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(paths.WAIT)
        page.goto(address, wait_until="commit")
        page.wait_for_selector("html[data-shown] #stage.waiting")
        page.wait_for_function("() => document.querySelector('#stage img').naturalWidth > 0")
        assert page.locator("#stage.waiting").count() == 1  # the rest has not come
        for key in keys:
            page.keyboard.press(key)
        settled(page)
        slow.go.set()
    assert catalog.corrections()[0].action == "accept"
    assert [(entry.label, entry.box) for entry in catalog.truth("s0").objects] == [("Pepsi", box)]


def test_boxes_of_a_narrow_picture(
    tmp_path: Path, serve: Callable[..., paths.Server], page_of: Callable[..., Any]
) -> None:
    # Shown at 9 x 1600 pixels: 8.4 times as narrow, 12.5 times as low.
    width, height = 107, 20_000
    catalog = one_picture(tmp_path, (width, height), (20, 4000, 60, 8000))
    page = page_of(serve(catalog).address)
    page.wait_for_selector("#stage:not(.waiting)")
    picture = page.locator("#stage img").bounding_box()
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_function(
        "width => document.querySelector('#stage img').clientWidth > width",
        arg=2 * picture["width"],
    )
    page.evaluate("() => document.querySelector('#stage').scrollTo(0, 1e6)")
    picture = page.locator("#stage img").bounding_box()
    known = page.locator(".a9s-annotation[data-id] .a9s-inner").first.bounding_box()
    top, bottom = [
        (y - picture["y"]) / picture["height"] for y in (known["y"], known["y"] + known["height"])
    ]
    assert (top, bottom) == pytest.approx((0.2, 0.4), abs=0.005)
    paths.drag(page, (0.2, 0.8), (0.8, 0.95))
    page.locator("#naming[open]").wait_for()
    page.keyboard.type("Crate")
    page.keyboard.press("Enter")
    page.locator(".claim.chosen .name", has_text="Crate").wait_for()
    page.keyboard.press("Enter")
    wait_for_answers(catalog, 1)
    boxes = {entry.label: entry.box for entry in catalog.truth("s0").objects}
    assert boxes["Pepsi"] == (20, 4000, 60, 8000)
    _, top, _, bottom = boxes["Crate"]
    assert (top / height, bottom / height) == pytest.approx((0.8, 0.95), abs=0.005)


def rows_of_boxes(folder: Path, count: int) -> Catalog:
    """A catalog of a picture of 480 x 360 with so many boxes, each of a class of its own."""
    catalog = one_picture(folder, (480, 360), (5, 5, 35, 35))
    said = [
        Proposal(f"b{n}", "s0", "localization", f"class {n:02}", 0.9, 0.5, box, "m")
        for n in range(1, count)
        for box in [
            (5 + 45 * (n % 10), 5 + 45 * (n // 10), 35 + 45 * (n % 10), 35 + 45 * (n // 10))
        ]
    ]
    catalog.add_proposals([*catalog.proposals(), *said])
    return catalog


def test_the_picture_stays_in_sight_when_a_box_is_chosen_on_a_tablet(
    tmp_path: Path, serve: Callable[..., paths.Server], page_of: Callable[..., Any]
) -> None:
    page = page_of(serve(rows_of_boxes(tmp_path, 30)).address, width=820, has_touch=True)
    page.wait_for_selector("#stage:not(.waiting)")
    before = page.locator("#stage img").bounding_box()
    x, y = (
        before["x"] + 425 / 480 * before["width"],
        before["y"] + 110 / 360 * before["height"],
    )
    page.touchscreen.tap(x, y)
    page.locator(".claim.chosen .name", has_text="class 29").wait_for()
    assert page.locator("#stage img").bounding_box() == before


def test_all_buttons_are_within_reach_whatever_is_said(
    tmp_path: Path, serve: Callable[..., paths.Server], page_of: Callable[..., Any]
) -> None:
    address = serve(rows_of_boxes(tmp_path, 30)).address
    for width in (1280, 1000, 820, 600):
        page = page_of(address, width=width)
        scene = page.locator(".scene").bounding_box()
        undo = page.locator("#undo").bounding_box()
        assert undo["x"] + undo["width"] <= scene["x"] + scene["width"]
        page.close()
