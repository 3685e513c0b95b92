"""The review page under load: how soon the next picture is shown, and whether an answer is lost.

    python benchmarks/reviewing.py
    python benchmarks/reviewing.py --only next --pictures 10000 --presses 60

`next`: real headless Chromium on a queue of 10,000 drawn pictures of 1280 x 960. From the key
press (the event's own time stamp) to the end of the frame in which the next picture stands, with
its boxes. The page has as much time between presses as a quick person takes.

`kills`: eight reviewers at once over HTTP, 2,000 answers, and the server killed with SIGKILL three
times in between. A reviewer sends an answer again, with its id, until the server has said that it
is written. Counted are answers that the catalog doesn't have, and answers that it has twice.

What this does not show: other machines and browsers, a slow network.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from PIL import Image as PillowImage

from visionkit.data.images import content_hash, read_image
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import Sample

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ITEMS = ("Pepsi", "Fanta", "7UP", "Sprite")
_FILES = 200
_WATCH = """() => {
  window.times = [];
  let pressed = 0;
  addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const began = pressed;
    if (!began) return;
    pressed = 0;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        const image = document.querySelector("#stage img");
        window.times.push([performance.now() - began, image.complete && image.naturalWidth > 0]);
      };
      channel.port2.postMessage(0);
    });
  }).observe(document.documentElement, { attributeFilter: ["data-shown"] });
}"""


@dataclass
class Tally:
    """What came of the run with kills.

    Attributes:
        confirmed: ids of answers that the server said were written.
        conflicts: answers that were told to be about what somebody had answered since.
        resent: how often an answer had to be sent again.
        lost: confirmed answers that the catalog doesn't have.
        doubled: ids that the catalog has more than once, and pictures judged twice.
        seconds: of the whole run.
    """

    confirmed: list[str] = field(default_factory=list)
    conflicts: int = 0
    resent: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0


def drawn_catalog(folder: Path, count: int, *, size: tuple[int, int] = (1280, 960)) -> Catalog:
    """A catalog of `count` pictures with one to three proposals each.

    They show 200 files, each by many ids: what is measured depends on how many there are in the
    queue, not in the folder.
    """
    generator = np.random.default_rng(0)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    width, height = size
    hashes = []
    for number in range(min(count, _FILES)):
        coarse = generator.integers(40, 220, (height // 40, width // 40, 3), np.uint8)
        picture = PillowImage.fromarray(coarse).resize(size, PillowImage.Resampling.BICUBIC)
        picture.save(pictures / f"{number}.jpg", quality=90)
        hashes.append(content_hash(read_image(pictures / f"{number}.jpg")))
    samples, proposals = [], []
    for number in range(count):
        path, digest = pictures / f"{number % _FILES}.jpg", hashes[number % _FILES]
        samples.append(Sample(f"s{number}", path.as_posix(), width, height, digest))
        for place in range(1 + number % 3):
            left, top = (float(value) for value in generator.integers(0, 600, 2))
            label = ITEMS[(number + place) % len(ITEMS)]
            score = float(generator.uniform(0.3, 0.95))
            box = (left, top, left + 260.0, top + 200.0)
            name = f"p{number}-{place}"
            proposals.append(
                Proposal(name, f"s{number}", "exemplar", label, score, 0.5, box, "bench")
            )
    catalog = open_catalog(folder / "catalog", create=True)
    catalog.add_samples(samples)
    catalog.add_proposals(proposals)
    return catalog


class Server:
    """A server process of the page, which can be killed and started again at its port."""

    def __init__(self, catalog: str, *, options: tuple[str, ...] = ()) -> None:
        self._catalog, self._options = catalog, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        words = [f"catalog={self._catalog}", f"port={self.port}", *self._options]
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "review.py"), *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                httpx.get(f"{self.address}/api/overview", timeout=5)
                return
            except httpx.TransportError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError("the server must answer within a minute, but did not; run it by hand")

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def next_picture(folder: Path, *, pictures: int = 10_000, presses: int = 60) -> list[float]:
    """Milliseconds from each key press until the next picture is shown."""
    from playwright.sync_api import sync_playwright

    server = Server(drawn_catalog(folder, pictures).uri)
    server.start()
    try:
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(server.address)
            page.wait_for_selector("html[data-shown]")
            page.wait_for_timeout(1500)
            page.evaluate(_WATCH)
            for _ in range(presses):
                page.keyboard.press("Enter")
                page.wait_for_timeout(random.uniform(300, 700))
            times = page.evaluate("() => window.times")
            browser.close()
    finally:
        server.kill()
    if len(times) != presses or not all(shown for _, shown in times):
        raise RuntimeError(
            f"{presses} pictures must be shown whole, got {sum(shown for _, shown in times)}"
        )
    return [float(milliseconds) for milliseconds, _ in times]


def reviewers_with_kills(
    folder: Path, *, reviewers: int = 8, answers: int = 2000, kills: int = 3
) -> Tally:
    """What came of several reviewers at once while the server was killed again and again."""
    catalog = drawn_catalog(folder, answers + 200, size=(320, 240))
    server = Server(catalog.uri, options=("twice_share=0",))
    server.start()
    tally, lock, done = Tally(), threading.Lock(), threading.Event()
    start = time.monotonic()
    threads = [
        threading.Thread(target=_review, args=(server.address, f"r{k}", answers, tally, lock, done))
        for k in range(reviewers)
    ]
    for thread in threads:
        thread.start()
    for number in range(1, kills + 1):
        while len(tally.confirmed) < answers * number // (kills + 1):
            if not all(thread.is_alive() for thread in threads):
                raise RuntimeError("every reviewer must go on, but one stopped; see above")
            time.sleep(0.02)
        server.kill()
        server.start()
    for thread in threads:
        thread.join()
    tally.seconds = time.monotonic() - start
    server.kill()
    log = open_catalog(catalog.uri).corrections()
    written = Counter(correction.id for correction in log)
    judged = Counter(correction.sample_id for correction in log)
    tally.lost = sum(written[name] == 0 for name in tally.confirmed)
    tally.doubled = sum(n > 1 for n in written.values()) + sum(n > 1 for n in judged.values())
    return tally


def _review(
    address: str,
    reviewer: str,
    answers: int,
    tally: Tally,
    lock: threading.Lock,
    done: threading.Event,
) -> None:
    """Takes pictures and answers about them until there are enough answers of all together."""
    session = uuid.uuid4().hex
    with httpx.Client(base_url=address, timeout=30) as client:
        while not done.is_set():
            taken = _post(
                client, "/api/take", {"reviewer": reviewer, "session": session, "count": 5}, tally
            )
            if not taken["cards"]:
                return
            for card in taken["cards"]:
                with lock:
                    if len(tally.confirmed) >= answers:
                        done.set()
                        return
                message = {"reviewer": reviewer, "session": session, "answers": [_answer(card)]}
                result = _post(client, "/api/answers", message, tally)["results"][0]
                with lock:
                    if result["status"] == "saved":
                        tally.confirmed.append(result["id"])
                    else:
                        tally.conflicts += 1


def _answer(card: dict[str, Any]) -> dict[str, Any]:
    there = [claim for claim in card["claims"] if claim["there"]]
    return {
        "id": uuid.uuid4().hex,
        "sample_id": card["id"],
        "revision": card["revision"],
        "action": "accept",
        "objects": [{"label": claim["label"], "box": claim["box"]} for claim in there],
        "seen": [claim["proposal"] for claim in card["claims"] if claim["proposal"]],
        "model": card["model"],
    }


def _post(client: httpx.Client, path: str, message: dict[str, Any], tally: Tally) -> Any:
    """The server's reply, asked for again until it comes."""
    while True:
        try:
            response = client.post(path, json=message)
            if response.status_code == 200:
                return response.json()
            if response.status_code not in (429, 503):
                raise RuntimeError(f"{path} answered {response.status_code}: {response.text}")
        except httpx.TransportError:
            tally.resent += 1
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description="The review page under load.")
    parser.add_argument("--only", choices=("next", "kills"))
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--answers", type=int, default=2000)
    options = parser.parse_args()
    if options.only != "kills":
        with tempfile.TemporaryDirectory() as folder:
            times = next_picture(Path(folder), pictures=options.pictures, presses=options.presses)
        print(
            f"next picture: median {median(times):.1f} ms, 95 of 100 within "
            f"{float(np.percentile(times, 95)):.1f} ms, slowest {max(times):.1f} ms"
        )
    if options.only != "next":
        with tempfile.TemporaryDirectory() as folder:
            tally = reviewers_with_kills(Path(folder), answers=options.answers)
        print(
            f"{len(tally.confirmed)} answers in {tally.seconds:.0f} s, {tally.resent} sent again, "
            f"{tally.conflicts} conflicts, {tally.lost} lost, {tally.doubled} doubled"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
