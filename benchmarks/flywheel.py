"""The flywheel against its bars: labels that the loop saves, whom it promotes, how quick it is.

    python benchmarks/flywheel.py --check
    python benchmarks/flywheel.py --only loop_grocery --seeds 9
    python benchmarks/flywheel.py --only challengers catalog

`loop_grocery`, `loop_bccd`: a scripted reviewer answers through the page's own HTTP interface,
starting from 10 % of the labels, in the order of the queue and in random order. Counted are labels
until 95 % of the score that all labels give. The queue was chosen on training pictures, of which a
third was held back, look-alikes together (`--held-back 0`, `1`, ...); test pictures only say when
it is enough. One thing is not blind: that the head learns what it is sure of in pictures without
a label, in either order, was seen to help on the test pictures, too, before it was built. Starts
differ by 0.3, so take nine.
That BCCD's queue counts likely boxes was chosen by the boxes that it brings on training pictures,
but not blindly either: an order that knows the true boxes had been seen to do well on the test
pictures. The queue as it is was run on those once.
On BCCD the backbone learns too, six minutes a training on one core; with `--cache` a run that was
stopped goes on (remove `trainings` there when the code has changed). What is scored is COCO's AP:
by AP50, and with a backbone that stays frozen (`--box-frozen --box-steps 120 --box-side 256`), a
tenth of the labels is all but enough before anything is asked, so that there it is begun with 1 %
as well.

`challengers`: heads on Grocery's frozen features against one another on its test pictures, as
retrain compares them.

`exemplar_views`: items that are known by two views, and that get more from boxes which people
confirmed, on FlickrLogos-27; reported, without training. Rows are appended to
benchmarks/results/flywheel.csv.

What this does not show: people, who err and tire; sets that are not as these.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from box_sets import bccd
from ledger import Ledger
from located_learner import LocatedLearner
from loop import Course, Learner, Order, Pool, random_order, run_loop
from more_views import grown_galleries
from named_learner import (
    MEANS,
    VIEWS,
    NamedLearner,
    Seen,
    fitted_head,
    grocery_seen,
    held_back,
    marks_of,
)
from side_by_side import side_by_side

from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog import open_catalog
from visionkit.flywheel.marks import Marks
from visionkit.flywheel.promotion import Verdict, compare
from visionkit.flywheel.queue.build import QueueSettings, build_queue
from visionkit.flywheel.review.desk import Desk, DeskSettings
from visionkit.flywheel.review.filters import Wanted
from visionkit.heads.classification import ClassificationHead
from visionkit.types import Sample

RESULTS = Path(__file__).parent / "results" / "flywheel.csv"
START, FEW, ENOUGH = 0.1, 0.01, 0.95
LABELS_BAR, LABELS_GOAL = 0.7, 0.4
TRIES = 20
FLIPPED = 0.2
PICTURES, CHANNELS, CLASSES = 100_000, 320, 50


@dataclass(frozen=True)
class _Try:
    """Two loops from one start: as of `run_loop`."""

    pool: Pool
    learner: Learner
    seed: int
    start: list[int]
    step: int
    enough: float


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    ledger = Ledger(RESULTS)
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            print(f"\n{name}", flush=True)
            BENCHMARKS[name](Path(arguments.cache or scratch), ledger, arguments)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(BENCHMARKS)
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="what to measure")
    parser.add_argument("--seeds", type=int, default=3, help="starts of each loop")
    parser.add_argument("--step", type=int, default=32, help="answers between two trainings")
    parser.add_argument(
        "--held-back",
        type=int,
        metavar="DRAW",
        help="measure on a third of Grocery's training pictures, drawn so, not its test pictures",
    )
    parser.add_argument("--box-steps", type=int, default=1200, help="of each training on BCCD")
    parser.add_argument("--box-side", type=int, default=416, help="of BCCD's frames, in pixels")
    parser.add_argument(
        "--box-figure", default="ap", choices=("ap", "ap50"), help="of BCCD: COCO's AP, or AP50"
    )
    parser.add_argument("--box-frozen", action="store_true", help="only the head learns on BCCD")
    parser.add_argument("--every", type=int, default=2, help="every so many-th picture of logos")
    parser.add_argument(
        "--cache", type=Path, help="folder that features and BCCD's trainings are kept in"
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch, in each process")
    parser.add_argument("--jobs", type=int, default=1, help="loops that run side by side")
    return parser.parse_args()


def _loop_grocery(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    seen = grocery_seen(folder)
    name, draw = "grocery", arguments.held_back
    if draw is not None:
        seen, name = held_back(seen, seed=draw), f"grocery's training pictures, draw {draw}"
    _loops(
        name,
        seen.pool,
        NamedLearner(seen),
        ledger,
        arguments,
        step=arguments.step,
        words="accuracy on a frozen MobileNetV2, means or regression",
        held_to_bar=draw is None,
    )


def _loop_bccd(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    steps, side, tuned = arguments.box_steps, arguments.box_side, not arguments.box_frozen
    figure = arguments.box_figure
    kept = folder / "trainings"
    learner = LocatedLearner(bccd(), kept, steps=steps, side=side, tuned=tuned, figure=figure)
    kind = "tuned" if tuned else "frozen"
    words = f"{figure.upper()} of a {kind} backbone, {steps} steps, {side} px"
    pool = learner.pool()
    _loops("bccd", pool, learner, ledger, arguments, step=12, words=words)
    if tuned:
        return
    few = f"bccd from {FEW:.0%}"
    _loops(few, pool, learner, ledger, arguments, step=3, words=words, share=FEW, held_to_bar=False)


def _loops(
    name: str,
    pool: Pool,
    learner: Learner,
    ledger: Ledger,
    arguments: argparse.Namespace,
    *,
    step: int,
    words: str,
    share: float = START,
    held_to_bar: bool = True,
) -> None:
    """Both orders from several starts, of which the median of the ratios counts."""
    learner.learn(pool.samples)
    full = learner.score()
    count = len(pool.samples)
    ledger.add(f"{name}: score of all {count} labels", full, note=words)
    first = round(share * count)
    starts = [np.random.default_rng(seed).permutation(count) for seed in range(arguments.seeds)]
    tries = [
        _Try(pool, learner, seed, start[:first].tolist(), step, ENOUGH * full)
        for seed, start in enumerate(starts)
    ]
    with side_by_side(arguments.jobs, arguments.threads) as processes:
        queues = processes.map(_needed_from_queue, tries)
        randoms = processes.map(_needed_by_chance, tries)
        pairs = list(zip(queues, randoms, strict=True))
    ratios = [queue[0] / random[0] for queue, random in pairs]
    told = [f"{queue[0]:.0f} against {random[0]:.0f}" for queue, random in pairs]
    boxes = [(queue[1], random[1]) for queue, random in pairs if random[1]]
    if boxes:
        ratio = median(queue / random for queue, random in boxes)
        told[-1] += f"; in boxes {ratio:.3f} of random's"
    ledger.add(
        f"{name}: labels to 95 % of it, queue to random",
        median(ratios),
        at_most=LABELS_BAR if held_to_bar else None,
        goal=LABELS_GOAL if held_to_bar else None,
        interval=(round(min(ratios), 3), round(max(ratios), 3)),
        note=(
            f"of {count} with {first} told at first, {step} a round: {', '.join(told)}; range "
            "of the starts"
        ),
    )


def _needed_from_queue(tried: _Try) -> tuple[float, float]:
    """Labels and boxes until the score is enough, in the order of the queue."""
    return _course(tried, "queue", build_queue).needed(tried.enough)


def _needed_by_chance(tried: _Try) -> tuple[float, float]:
    """The same in random order."""
    return _course(tried, "random", random_order(tried.seed)).needed(tried.enough)


def _course(tried: _Try, name: str, order: Order) -> Course:
    with tempfile.TemporaryDirectory() as scratch:
        return run_loop(
            tried.pool,
            tried.learner,
            order,
            Path(scratch),
            start=tried.start,
            step=tried.step,
            enough=tried.enough,
            name=f"{name}, start {tried.seed}",
        )


def _challengers(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    seen = grocery_seen(folder)
    champion = marks_of(seen, _head(seen, seed=1000))
    flipped = [compare(champion, _flipped_marks(seen, seed)) for seed in range(TRIES)]
    _add_promoted(ledger, "20 % of the labels flipped", flipped, at_most=0)
    equal = [
        compare(
            marks_of(seen, _head(seen, seed=2 * k)), marks_of(seen, _head(seen, seed=2 * k + 1))
        )
        for k in range(TRIES)
    ]
    _add_promoted(ledger, "equal, another seed", equal, at_most=1)
    for part, bar in ((4, 1.0), (2, None)):
        some = list(range(0, len(seen.labels), part))
        better = compare(marks_of(seen, fitted_head(seen, some, seen.labels[some])), champion)
        ledger.add(
            f"challenger with all labels against a champion with 1 in {part}: promoted",
            float(better.promoted),
            at_least=bar,
            note=" ".join(better.words),
        )


def _head(seen: Seen, *, seed: int, labels: torch.Tensor | None = None) -> ClassificationHead:
    """A head whose seed draws half of the views, and the folds that it is chosen by."""
    views = np.random.default_rng(seed).permutation(VIEWS)[: VIEWS // 2] + 1
    places = range(len(seen.labels))
    given = seen.labels if labels is None else labels
    settings = replace(MEANS, seed=seed)
    return fitted_head(seen, places, given, settings, views=[0, *views.tolist()])


def _flipped_marks(seen: Seen, seed: int) -> Marks:
    """A challenger of which a part of the labels is of another class."""
    rng = np.random.default_rng(seed)
    labels = seen.labels.clone()
    wrong = rng.permutation(len(labels))[: round(FLIPPED * len(labels))]
    shift = rng.integers(1, len(seen.task.class_names), len(wrong))
    labels[wrong] = (labels[wrong] + torch.from_numpy(shift)) % len(seen.task.class_names)
    return marks_of(seen, _head(seen, seed=seed, labels=labels))


def _add_promoted(
    ledger: Ledger, name: str, verdicts: Sequence[Verdict], *, at_most: float
) -> None:
    gains = [verdict.gain for verdict in verdicts]
    chances = [verdict.chance for verdict in verdicts]
    ledger.add(
        f"challenger, {name}: promoted of {len(verdicts)}",
        float(sum(verdict.promoted for verdict in verdicts)),
        at_most=at_most,
        note=(
            f"gains of F1 {min(gains):+.3f} to {max(gains):+.3f}, smallest chance "
            f"{min(chances):.4f}"
        ),
    )


def _catalog(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        catalog = open_catalog(Path(scratch) / "catalog", create=True)
        samples, proposals, vectors = _many(PICTURES)
        catalog.add_samples(samples, embeddings=vectors)
        catalog.add_proposals(proposals)
        times = []
        for _ in range(3):
            start = time.monotonic()
            queue = build_queue(catalog)
            times.append(time.monotonic() - start)
        note = f"{len(queue):,} asked; {len(proposals):,} proposals, {CHANNELS} channels"
        ledger.add("catalog of 100,000: queue built, s", median(times), at_most=5.0, note=note)
        whole = QueueSettings(most=PICTURES)
        start = time.monotonic()
        desk = Desk(catalog, lambda each: build_queue(each, whole), DeskSettings(twice_share=0.0))
        ledger.add("catalog of 100,000: queue of all and its desk, s", time.monotonic() - start)
        times = []
        for number in range(20):
            wanted = Wanted(item=f"class{number}", reason="margin", least=0.2, most=0.9)
            start = time.monotonic()
            desk.take("ann", f"session-{number}", count=10, wanted=wanted)
            times.append(time.monotonic() - start)
        slowest = f"slowest {max(times):.3f}"
        ledger.add(
            "catalog of 100,000: filter applied, s", median(times), at_most=0.2, note=slowest
        )


def _many(count: int) -> tuple[list[Sample], list[Proposal], np.ndarray]:
    """Drawn pictures, a tenth of them labelled, each with a class and a box."""
    rng = np.random.default_rng(0)
    names = [f"class{k}" for k in range(CLASSES)]
    scores = rng.random((count, 3))
    drawn = rng.integers(0, CLASSES, (count, 3))
    samples, proposals = [], []
    for number in range(count):
        name = f"p{number:06d}"
        labels = (names[drawn[number, 0]],) if number % 10 == 0 else ()
        samples.append(Sample(name, f"/{name}.jpg", 640, 480, name, labels=labels))
        best, second = sorted(scores[number, :2], reverse=True)
        classes = [names[k] for k in drawn[number]]
        proposals += [
            Proposal(
                f"{name}:c", name, "classification", classes[0], best, 0.0, None, "drawn",
                classes[1], second * (1 - best),
            ),
            Proposal(
                f"{name}:b", name, "localization", classes[2], scores[number, 2], 0.5,
                (10.0, 10.0, 90.0, 90.0), "drawn",
            ),
        ]  # fmt: skip
    return samples, proposals, rng.standard_normal((count, CHANNELS)).astype(np.float32)


def _exemplar_views(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    for grown in grown_galleries(every=arguments.every, seed=0):
        name, note = f"exemplar views, {grown.name}", f"{grown.views} views"
        span = grown.boxes.intervals["ap50"]
        ledger.add(f"{name}: AP50", grown.boxes.ap50, interval=(span.low, span.high), note=note)
        span = grown.presence.intervals["f1"]
        ledger.add(f"{name}: F1", grown.presence.f1, interval=(span.low, span.high), note=note)


BENCHMARKS: dict[str, Callable[[Path, Ledger, argparse.Namespace], None]] = {
    "loop_grocery": _loop_grocery,
    "loop_bccd": _loop_bccd,
    "challengers": _challengers,
    "catalog": _catalog,
    "exemplar_views": _exemplar_views,
}


if __name__ == "__main__":
    sys.exit(main())
