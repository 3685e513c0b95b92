"""How often drift is found where there is some, and where there is none, on real pictures.

    python benchmarks/drift.py [--draws 100] [--only grocery ...] [--check]
    python benchmarks/drift.py --only peer --peer-python /path/to/peer/bin/python

Embeddings, properties and answers are computed once and kept in runs/drift_benchmark; draws are
made of them. Ridge and neighbours were chosen on Grocery with the shift of brightness, the test of
crowding on its classes other than the largest; the rest was only measured. Draws of a shift share
pictures with one another, never with the reference. Series that are foreseen: `series.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from box_sets import bccd
from drift_peer import against_evidently
from labelled import grocery, hymenoptera, square
from ledger import Ledger
from numpy.typing import NDArray
from series import forecasts
from sets import SHARED
from shifts import SHIFTS, stained

from visionkit.data.framing import Framing, frame
from visionkit.data.images import read_image
from visionkit.inference.video.reader import read_frames
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.monitoring.accuracy import thresholded
from visionkit.monitoring.comparison import ComparisonSettings, compare
from visionkit.monitoring.culprits import shift_scores
from visionkit.monitoring.observed import Observed, joined
from visionkit.monitoring.properties import PROPERTIES, picture_properties
from visionkit.types import Image

RESULTS = Path(__file__).parent / "results" / "drift.csv"
CACHE = Path("runs") / "drift_benchmark"
LIVE, CULPRITS = 200, 20
FEW = 50  # pictures in which not everything is found
MOST = 1000  # pictures of a reference where classes come and go, as many as a bundle keeps
_FOLDS = 3
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What heads that did not see a picture say of it: class, score, and whether it is right."""

    label: Numbers
    score: NDArray[np.float64]
    right: NDArray[np.float64]


def seen(name: str, images: Callable[[], Iterator[Image]], backbone: Backbone) -> Observed:
    """Embeddings and properties of pictures, from the cache where they are there."""
    file = CACHE / f"{name.replace(' ', '_').replace('%', 'pct')}.npz"
    if not file.is_file():
        start = time.monotonic()
        vectors, rows = [], []
        for image in images():
            rows.append(picture_properties(image))
            pixels = frame(image, Framing((224, 224), "stretch"))[0]
            with torch.no_grad():
                pooled = backbone(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
            vectors.append(torch.nn.functional.normalize(pooled.pooled, dim=1)[0].numpy())
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(file, embeddings=np.stack(vectors), properties=np.stack(rows))
        print(f"{name}: {len(rows)} pictures seen in {time.monotonic() - start:.0f} s", flush=True)
    with np.load(file) as kept:
        embeddings, properties = kept["embeddings"], kept["properties"]
    numbers = {f"picture.{key}": properties[:, k] for k, key in enumerate(PROPERTIES)}
    names = tuple(f"{name} {number}" for number in range(len(embeddings)))
    return Observed(names, embeddings, numbers)


def classifiers(
    vectors: NDArray[np.float32], labels: Numbers, folds: Numbers
) -> list[torch.Tensor]:
    """A logistic regression a fold, learned on the others, as (D + 1, K) weights."""
    found = []
    for fold in range(_FOLDS):
        own = folds != fold
        x = torch.nn.functional.pad(torch.from_numpy(vectors[own]) * 30, (0, 1), value=1.0)
        y = torch.from_numpy(labels[own])
        weights = torch.zeros((x.shape[1], int(labels.max()) + 1), requires_grad=True)
        steps = torch.optim.LBFGS([weights], max_iter=60)

        def loss(x: torch.Tensor = x, y: torch.Tensor = y, weights: torch.Tensor = weights,
                 steps: torch.optim.LBFGS = steps) -> torch.Tensor:  # fmt: skip
            steps.zero_grad()
            value = (
                torch.nn.functional.cross_entropy(x @ weights, y) + 1e-3 * weights.square().sum()
            )
            value.backward()
            return value

        steps.step(loss)
        found.append(weights.detach())
    return found


def answers_of(
    vectors: NDArray[np.float32], labels: Numbers, folds: Numbers, heads: Sequence[torch.Tensor]
) -> Answers:
    """What the head says of each picture that did not learn from that picture."""
    x = torch.nn.functional.pad(torch.from_numpy(vectors) * 30, (0, 1), value=1.0)
    shares = torch.stack([(x @ head).softmax(dim=1) for head in heads])
    own = shares[torch.from_numpy(folds), torch.arange(len(x))]
    score, label = own.max(dim=1)
    named = label.numpy()
    return Answers(named, score.numpy().astype(np.float64), (named == labels).astype(np.float64))


def with_answers(observed: Observed, answers: Answers) -> Observed:
    """The pictures with what the head says of them, as `visionkit monitor` names it."""
    return Observed(
        observed.names,
        observed.embeddings,
        {**observed.numbers, "classification.score": answers.score},
        {"classification.class": tuple(f"class {label}" for label in answers.label)},
    )


@dataclass
class Bench:
    """Draws and their figures.

    Attributes:
        ledger: takes the figures.
        draws: of each shift.
        settings: of the comparison.
    """

    ledger: Ledger
    draws: int
    settings: ComparisonSettings

    def found(self, name: str, draw: Callable[[np.random.Generator], tuple[Observed, Observed]],
              *, note: str = "") -> None:  # fmt: skip
        """Share of the draws of (reference, live) in which a change is found."""
        rng = np.random.default_rng(0)
        hits, striking = 0, dict[str, int]()
        for _ in range(self.draws):
            comparison = compare(*draw(rng), self.settings)
            hits += comparison.verdict != "fine"
            first = comparison.tests[0].name
            striking[first] = striking.get(first, 0) + 1
        most = max(striking, key=striking.__getitem__)
        self.ledger.add(
            f"found: {name}", hits / self.draws, at_least=0.9, goal=0.99,
            note=f"{self.draws} draws, most often first {most}; {note}",
        )  # fmt: skip

    def false_alarms(self, pool: Observed, count: int, reference: int) -> None:
        """Share of the draws without a change in which one is found."""
        rng = np.random.default_rng(1)
        alarms = 0
        for _ in range(count):
            order = rng.permutation(len(pool))
            usual = pool.take(order[:reference])
            live = pool.take(order[reference : reference + LIVE])
            alarms += compare(usual, live, self.settings).verdict != "fine"
        share, note = alarms / count, f"{count} draws, {reference} pictures of reference"
        self.ledger.add("no shift: false alarms, at most", share, at_most=0.08, note=note)
        self.ledger.add("no shift: false alarms, at least", share, at_least=0.02, note=note)

    def culprits(self, name: str, pool: Observed, others: Observed, reference: int) -> None:
        """Of so many pictures named as carrying the shift, the share that is of the others."""
        rng = np.random.default_rng(2)
        right = []
        for _ in range(self.draws // 2):
            order = rng.permutation(len(pool))
            few = others.take(rng.choice(len(others), CULPRITS, replace=False))
            own = pool.take(order[reference : reference + LIVE - CULPRITS])
            scores = shift_scores(pool.take(order[:reference]), joined([own, few]))
            named = np.argsort(-scores)[:CULPRITS]
            right.append(float((named >= LIVE - CULPRITS).mean()))
        self.ledger.add(
            f"culprits right: 10 % {name}", float(np.mean(right)), at_least=0.8, goal=0.95,
            note=f"{len(right)} draws",
        )  # fmt: skip


def frames_of(name: str, every: int) -> Callable[[], Iterator[Image]]:
    """Each nth frame of a clip."""

    def frames() -> Iterator[Image]:
        for number, each in enumerate(read_frames(SHARED / "data" / "video" / f"{name}.mp4")):
            if number % every == 0:
                yield each.image

    return frames


def grocery_shifts(bench: Bench, backbone: Backbone, reference: int) -> None:
    """Everything that is measured on Grocery."""
    train = grocery().train
    labels = train.labels.numpy().astype(np.int64)
    folds = np.random.default_rng(3).integers(_FOLDS, size=len(labels))
    plain = seen("grocery", lambda: iter(train.images), backbone)
    heads = classifiers(plain.embeddings, labels, folds)
    clean_answers = answers_of(plain.embeddings, labels, folds, heads)
    clean = with_answers(plain, clean_answers)
    bench.false_alarms(clean, 200, reference)
    errors = [accuracy_error(clean_answers, clean_answers, reference)]
    for name, change in SHIFTS.items():
        moved = seen(
            f"grocery {name}", lambda change=change: map(change, train.images[::2]), backbone
        )
        answers = answers_of(moved.embeddings, labels[::2], folds[::2], heads)
        shifted = with_answers(moved, answers)
        bench.found(name, shifted_draw(clean, shifted, reference), note="Grocery")
        errors.append(accuracy_error(clean_answers, answers, reference))
    for change, error in zip(("none", *SHIFTS), errors, strict=True):
        bench.ledger.add(f"accuracy estimated, Grocery, {change}", error, note="mean error")
    bench.ledger.add(
        "accuracy estimated, Grocery, mean error", float(np.mean(errors)), at_most=0.08, goal=0.04
    )


def class_shifts(bench: Bench, backbone: Backbone) -> None:
    """A class that goes and one that comes, with a head of Grocery's 43 coarse classes."""
    train, labels = grocery().train, coarse()
    folds = np.random.default_rng(3).integers(_FOLDS, size=len(labels))
    plain = seen("grocery", lambda: iter(train.images), backbone)
    heads = classifiers(plain.embeddings, labels, folds)
    clean = with_answers(plain, answers_of(plain.embeddings, labels, folds, heads))
    number = int(np.bincount(labels).argmax())
    of_class = labels == number
    share = f"{100 * of_class.mean():.1f} %"
    draw = gone_draw(clean, of_class, MOST)
    bench.false_alarms(clean, 200, MOST)
    bench.found("one class gone", draw, note=f"it was {share} of Grocery, coarse classes")
    others = np.flatnonzero(~of_class)
    kept = np.unique(labels[others], return_inverse=True)[1]
    unaware = classifiers(plain.embeddings[others], kept, folds[others])
    names = np.full(len(labels), -1)
    names[others] = kept
    fresh = with_answers(plain, answers_of(plain.embeddings, names, folds, unaware))
    draw = new_draw(fresh, of_class, MOST)
    bench.found("one new class", draw, note=f"it is {share} of what is live, coarse classes")


def peer(bench: Bench, backbone: Backbone, reference: int, python: str | None) -> None:
    """Evidently on fewer pictures, where not everything is found."""
    if python is None:
        print("needs --peer-python")
        return
    train = grocery().train
    plain = seen("grocery", lambda: iter(train.images), backbone)
    shifts = {
        name: shifted_draw(
            plain,
            seen(f"grocery {name}", lambda change=change: map(change, train.images[::2]), backbone),
            reference,
        )
        for name, change in SHIFTS.items()
    }
    labels = coarse()
    of_class = labels == int(np.bincount(labels).argmax())
    shifts["one class gone"] = gone_draw(plain, of_class, reference)
    shifts["one new class"] = new_draw(plain, of_class, reference)

    def unchanged(rng: np.random.Generator) -> tuple[Observed, Observed]:
        order = rng.permutation(len(plain))
        return plain.take(order[:reference]), plain.take(order[reference:])

    against_evidently(
        bench.ledger, unchanged, shifts, bench.settings, python, draws=bench.draws, live=FEW
    )


def strangers(bench: Bench, backbone: Backbone, reference: int) -> None:
    """Pictures of another source among those of Grocery, at its size."""
    train, insects = grocery().train, hymenoptera()
    images = [*insects.train.images, *insects.test.images]
    plain = seen("grocery", lambda: iter(train.images), backbone)
    squares = seen("hymenoptera squares", lambda: (square(i, 160) for i in images), backbone)
    bench.culprits("of Hymenoptera, at Grocery's size", plain, squares, reference)


def coarse() -> Numbers:
    """The coarse class of each training picture of Grocery."""
    lines = (SHARED / "data/classification/grocery_store/train.txt").read_text("utf-8").splitlines()
    return np.array([int(line.split(",")[2]) for line in lines if line.strip()], np.int64)


Draw = Callable[[np.random.Generator], tuple[Observed, Observed]]


def shifted_draw(clean: Observed, shifted: Observed, reference: int) -> Draw:
    """A clean reference, and other pictures shifted, of which every nth was seen."""
    step = round(len(clean) / len(shifted))

    def draw(rng: np.random.Generator) -> tuple[Observed, Observed]:
        order = rng.permutation(len(clean))
        usual, rest = order[:reference], order[reference:]
        rows = rest[rest % step == 0] // step
        return clean.take(usual), shifted.take(rows[:LIVE])

    return draw


def gone_draw(clean: Observed, of_class: NDArray[np.bool_], reference: int) -> Draw:
    """A reference with a class, and live pictures without."""

    def draw(rng: np.random.Generator) -> tuple[Observed, Observed]:
        order = rng.permutation(len(clean))
        rest = order[reference:]
        return clean.take(order[:reference]), clean.take(rest[~of_class[rest]][:LIVE])

    return draw


def new_draw(fresh: Observed, of_class: NDArray[np.bool_], reference: int) -> Draw:
    """A reference without a class, and live pictures in which it has its natural share."""

    def draw(rng: np.random.Generator) -> tuple[Observed, Observed]:
        order = rng.permutation(len(fresh))
        live, rest = order[:LIVE], order[LIVE:]
        return fresh.take(rest[~of_class[rest]][:reference]), fresh.take(live)

    return draw


def accuracy_error(clean: Answers, moved: Answers, reference: int) -> float:
    """Mean error of the estimated accuracy over 100 draws."""
    rng, step = np.random.default_rng(4), round(len(clean.score) / len(moved.score))
    errors = []
    for _ in range(100):
        order = rng.permutation(len(clean.score))
        usual, rest = order[:reference], order[reference:]
        live = (rest[rest % step == 0] // step)[:LIVE]
        estimate = thresholded(clean.score[usual], clean.right[usual], moved.score[live])
        errors.append(abs(estimate - float(moved.right[live].mean())))
    return float(np.mean(errors))


def other_shifts(bench: Bench, backbone: Backbone) -> None:
    """Another camera, and another stain."""
    cars = seen("cars", frames_of("car-detection", 2), backbone)
    people = seen("people", frames_of("pedestrian_survaillance", 2), backbone)
    usual = len(cars) * 3 // 4

    def camera(rng: np.random.Generator) -> tuple[Observed, Observed]:
        order = rng.permutation(len(cars))[:usual]
        few = rng.choice(len(people), min(LIVE, len(people)), replace=False)
        return cars.take(order), people.take(few)

    bench.found("another camera", camera, note=f"{usual} frames of reference, all sizes")
    looks = [f"picture.{key}" for key in PROPERTIES if key not in ("size", "aspect")]

    def alike(rng: np.random.Generator) -> tuple[Observed, Observed]:
        usual_frames, live = camera(rng)
        return usual_frames.only(looks, ()), live.only(looks, ())

    bench.found("another camera, sizes left out", alike, note=f"{usual} frames of reference")
    cells = bccd()
    images = [sample.uri for sample in (*cells.train, *cells.test)]
    plain = seen("bccd", lambda: map(read_image, images), backbone)
    other = seen("bccd stained", lambda: (stained(read_image(i)) for i in images), backbone)
    half = len(plain) - LIVE
    bench.found("stain colour of BCCD", shifted_draw(plain, other, half),
                note=f"{half} pictures of reference")  # fmt: skip


def size(bench: Bench) -> None:
    """10,000 pictures of which the embeddings are there."""
    rng = np.random.default_rng(5)
    names = tuple(str(number) for number in range(10_000))
    numbers = {f"picture.{key}": rng.normal(size=10_000) for key in PROPERTIES}
    live = Observed(names, rng.normal(size=(10_000, 960)).astype(np.float32), numbers)
    usual = live.take(range(1000))
    start = time.monotonic()
    compare(usual, live)
    shift_scores(usual, live)
    bench.ledger.add("seconds for 10,000 pictures", time.monotonic() - start, at_most=30.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--reference", type=int, default=300)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument(
        "--only", nargs="*", help="grocery, classes, strangers, others, size, forecasts, peer"
    )
    parser.add_argument("--peer-python", help="python in whose environment evidently is")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    settings = ComparisonSettings(permutations=given.permutations)
    bench = Bench(Ledger(RESULTS), given.draws, settings)
    backbone = build_backbone().freeze().full().eval()
    parts: dict[str, Callable[[], None]] = {
        "grocery": lambda: grocery_shifts(bench, backbone, given.reference),
        "classes": lambda: class_shifts(bench, backbone),
        "strangers": lambda: strangers(bench, backbone, given.reference),
        "others": lambda: other_shifts(bench, backbone),
        "size": lambda: size(bench),
        "forecasts": lambda: forecasts(bench.ledger, 40),
        "peer": lambda: peer(bench, backbone, given.reference, given.peer_python),
    }
    for name in given.only or parts:
        parts[name]()
    return bench.ledger.exit_status(check=given.check)


if __name__ == "__main__":
    sys.exit(main())
