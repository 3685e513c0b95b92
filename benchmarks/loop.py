"""The loop as its user has it: a queue, answers through the page's HTTP interface, training anew.

A scripted reviewer takes pictures from the page and answers with the known truth. After so many
answers a model learns from what the catalog holds now, says what it thinks of all the others, and
the queue is built anew. Nothing but the order of the queue differs between two loops.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import numpy as np
import uvicorn
from numpy.typing import NDArray

from visionkit.flywheel.answers import Asked, Proposal, Reason
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.review.app import AppSettings, create_app
from visionkit.flywheel.review.desk import Desk, DeskSettings
from visionkit.types import Sample

Order = Callable[[Catalog], Sequence[Asked]]
_ANSWERS = 50  # in one request


class Learner(Protocol):
    """What learns from labelled pictures and says what it thinks of others."""

    def learn(self, samples: Sequence[Sample]) -> None:
        """Learns anew, from these alone."""

    def score(self) -> float:
        """On the test pictures, 0..1."""

    def proposals(self, samples: Sequence[Sample], model: str) -> list[Proposal]:
        """What it says of pictures, under the name of a model."""


@dataclass(frozen=True)
class Pool:
    """A set whose labels are known, but not told at once.

    Attributes:
        samples: the pictures with their true labels and boxes.
        embeddings: (N, D) float32.
    """

    samples: tuple[Sample, ...]
    embeddings: NDArray[np.float32]


@dataclass
class Course:
    """How the score rose with the labels.

    Attributes:
        labels: pictures that were labelled.
        boxes: drawn in those.
        scores: with them.
    """

    labels: list[int] = field(default_factory=list)
    boxes: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def needed(self, score: float) -> tuple[float, float]:
        """Labels and boxes with which a score was reached first; inf where it was not."""
        courses = zip(self.labels, self.boxes, self.scores, strict=True)
        reached = ((float(n), float(boxes)) for n, boxes, value in courses if value >= score)
        return next(reached, (np.inf, np.inf))


def run_loop(
    pool: Pool,
    learner: Learner,
    order: Order,
    folder: Path,
    *,
    start: Sequence[int],
    step: int,
    enough: float,
    name: str,
) -> Course:
    """How the score rises until it is enough, or all is labelled.

    Args:
        pool: what is asked about.
        learner: that learns after each step.
        order: of the queue.
        folder: for the catalog.
        start: numbers of the pictures whose labels are told at first.
        step: answers between two trainings.
        enough: score at which it ends.
        name: that its printed lines begin with.
    """
    told = set(start)
    catalog = open_catalog(folder / "catalog", create=True)
    catalog.add_samples(
        [_shown(sample, number in told) for number, sample in enumerate(pool.samples)],
        embeddings=pool.embeddings,
        reviewed=[number in told for number in range(len(pool.samples))],
    )
    truth = {sample.id: sample for sample in pool.samples}
    desk = Desk(catalog, order, DeskSettings(twice_share=0.0))
    course = Course()
    with _served(desk) as address, httpx.Client(base_url=address, timeout=120) as client:
        while True:
            known = [name for name, each in catalog.truths().items() if each.reviewed]
            learner.learn(catalog.samples(known))
            course.labels.append(len(known))
            course.boxes.append(sum(len(truth[name].objects) for name in known))
            course.scores.append(learner.score())
            print(f"  {name}: {len(known)} labels, {course.scores[-1]:.3f}", flush=True)
            left = sorted(truth.keys() - set(known))
            if course.scores[-1] >= enough or not left:
                return course
            model = f"round{len(course.labels)}"
            catalog.add_proposals(
                learner.proposals(catalog.samples(left), model),
                asked=[(name, model) for name in left],
            )
            desk.refresh()
            _review(client, truth, min(step, len(left)))


def random_order(seed: int) -> Order:
    """Pictures that nobody has labelled, by chance."""

    def build(catalog: Catalog) -> list[Asked]:
        left = [name for name, truth in catalog.truths().items() if not truth.reviewed]
        drawn = np.random.default_rng(seed).permutation(len(left))
        reason = Reason("audit", "drawn by chance", 1.0)
        return [
            Asked(left[number], float(len(left) - place), (reason,))
            for place, number in enumerate(drawn)
        ]

    return build


def _shown(sample: Sample, told: bool) -> Sample:
    """The picture as it comes: with its labels, or without."""
    if told:
        return sample
    return Sample(sample.id, sample.uri, sample.width, sample.height, sample.content_hash)


def _review(client: httpx.Client, truth: Mapping[str, Sample], count: int) -> None:
    """Takes and answers so many pictures, as a page does."""
    session, done = uuid.uuid4().hex, 0
    while done < count:
        wanted = min(_ANSWERS, count - done)
        who = {"reviewer": "scripted", "session": session}
        cards = _post(client, "/api/take", {**who, "count": wanted})["cards"]
        if not cards:
            raise RuntimeError(f"the page must have {count} pictures to ask about, got {done}")
        answers = [_answer(card, truth[card["id"]]) for card in cards]
        results = _post(client, "/api/answers", {**who, "answers": answers})["results"]
        wrong = [each for each in results if each["status"] != "saved"]
        if wrong:
            raise RuntimeError(f"every answer must be saved, got {wrong[0]}")
        done += len(cards)


def _answer(card: Mapping[str, object], sample: Sample) -> dict[str, object]:
    """What a person who knows the truth answers."""
    return {
        "id": uuid.uuid4().hex,
        "sample_id": card["id"],
        "revision": card["revision"],
        "action": "edit",
        "labels": list(sample.labels),
        "objects": [{"label": each.label, "box": list(each.box)} for each in sample.objects],
        "model": card["model"],
    }


def _post(client: httpx.Client, path: str, message: Mapping[str, object]) -> dict[str, list]:
    while True:
        response = client.post(path, json=message)
        if response.status_code != 429:
            response.raise_for_status()
            answer: dict[str, list] = response.json()
            return answer
        time.sleep(0.2)


@contextlib.contextmanager
def _served(desk: Desk) -> Iterator[str]:
    """The address of the page's server, which runs beside."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(32)
    app = create_app(desk, AppSettings(refresh_seconds=3600.0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()
