"""Classification heads against their bars, beside logistic regression on the same features.

    python benchmarks/classification.py --check
    python benchmarks/classification.py --only hymenoptera digits
    python benchmarks/classification.py --only grocery_tuned --minutes 30

Baselines run in the same process on the same pictures: the linear probe of probe.py, which shares
no code with visionkit's training. Settings are chosen on pictures to learn from; test pictures are
only measured on. Rows are appended to benchmarks/results/classification.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from finding import mobilenetv2
from labelled import LABELLED, LabelledSet, Pictures
from ledger import Ledger
from probe import features_of, probe
from torch import Tensor

from visionkit.allocator import keep_freed_memory
from visionkit.data.demo_digits import make_demo_digits
from visionkit.data.framing import Framing, frame
from visionkit.data.images import content_hash, read_image
from visionkit.data.picture_files import find_images
from visionkit.data.views import ViewSettings
from visionkit.evaluation.classification import ClassificationMetrics, evaluate_classes
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.classed import Classed, classed
from visionkit.training.classification import (
    ClassificationFit,
    ClassificationSettings,
    fit_classification,
)
from visionkit.training.classification_module import Classifier
from visionkit.training.feature_cache import FeatureCache
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.finetuned import outputs_of, plain_frames
from visionkit.training.mixing import MixSettings
from visionkit.types import Sample

RESULTS = Path(__file__).parent / "results" / "classification.csv"
GROCERY_GAIN = 0.08
"""What fine-tuning must add to the frozen head."""
FROZEN_SECONDS = 10.0
HELD_BACK = 5
"""Every so many pictures to learn from one is for choosing the epoch of fine-tuning."""


@dataclass(frozen=True)
class Task:
    """Pictures to learn from and to be tested on, as files.

    Attributes:
        name: of the set.
        train, val, test: val may be empty.
        class_names: of the labels.
        framing: the size that networks see.
        backbone: makes a frozen one.
    """

    name: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    class_names: tuple[str, ...]
    framing: Framing
    backbone: Callable[[], Backbone]


@dataclass(frozen=True)
class Tested:
    """What a fit came to on the test pictures."""

    fit: ClassificationFit
    metrics: ClassificationMetrics


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as the command does
    ledger = Ledger(RESULTS)
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            print(f"\n{name}", flush=True)
            folder = Path(arguments.cache or scratch)
            BENCHMARKS[name](folder, ledger, arguments)
    return ledger.exit_status(check=arguments.check)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(BENCHMARKS)
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar falls short")
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="what to measure")
    parser.add_argument("--minutes", type=float, default=30.0, help="of fine-tuning on Grocery")
    parser.add_argument("--digits-minutes", type=float, default=4.0, help="of it on digits")
    parser.add_argument("--cache", type=Path, help="folder that features are kept in between runs")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    return parser.parse_args()


def _grocery(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    task = _photos("grocery", folder)
    baseline = _probe(task, ledger)
    tested = _frozen(task, folder)
    accuracy = tested.metrics.accuracy
    _add(ledger, "grocery frozen: top-1", tested, at_least=baseline, goal=round(baseline + 0.03, 4))
    print(f"above the probe: {accuracy - baseline:+.4f}")
    for kind in ("cosine",):
        _add(ledger, f"grocery frozen {kind}: top-1", _frozen(task, folder, kind=kind))
    plain = ClassificationSettings(views=0)
    _add(ledger, "grocery frozen, no views: top-1", _frozen(task, folder, plain))


def _grocery_tuned(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    task = _photos("grocery", folder)
    frozen = _frozen(task, folder)
    tuned = FinetuneSettings(
        max_epochs=40, minutes=arguments.minutes, patience=40, accelerator="cpu"
    )
    settings = ClassificationSettings(finetune=tuned)
    tested = _frozen(task, folder, settings, label_smoothing=0.1)
    bar = round(frozen.metrics.accuracy + GROCERY_GAIN, 4)
    note = _tuned_note(tested)
    _add(ledger, "grocery fine-tuned: top-1", tested, at_least=bar, goal=0.85, note=note)


def _hymenoptera(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    task = _photos("hymenoptera", folder)
    _probe(task, ledger)
    tested = _frozen(task, folder)
    _add(ledger, "hymenoptera frozen: top-1", tested, at_least=0.95, goal=0.97)
    again = _frozen(task, folder)
    seconds = again.fit.seeing + again.fit.fitting
    note = f"{again.fit.seeing:.2f} s to read the cache, {again.fit.fitting:.2f} s to learn"
    ledger.add("hymenoptera: training after caching, s", seconds, at_most=FROZEN_SECONDS, note=note)
    first = tested.fit.seeing
    ledger.add(
        "hymenoptera: cached pass over pictures and views, times as fast as uncached",
        first / again.fit.seeing,
        at_least=10.0,
        goal=30.0,
    )


def _digits(folder: Path, ledger: Ledger, arguments: argparse.Namespace) -> None:
    task = _digit_scans(folder)
    _probe(task, ledger)
    _add(ledger, "digits starter, frozen: top-1", _frozen(task, folder, DIGIT_SETTINGS))
    tuned = FinetuneSettings(
        max_epochs=30,
        minutes=arguments.digits_minutes,
        patience=30,
        learning_rate=2e-3,
        layer_decay=0.95,
        views=DIGIT_VIEWS,
        mix=MixSettings(),  # as it was measured
        accelerator="cpu",
    )
    tested = _frozen(task, folder, replace(DIGIT_SETTINGS, finetune=tuned))
    note = _tuned_note(tested)
    _add(ledger, "digits starter: top-1", tested, at_least=0.97, goal=0.99, note=note)


BENCHMARKS: dict[str, Callable[[Path, Ledger, argparse.Namespace], None]] = {
    "grocery": _grocery,
    "hymenoptera": _hymenoptera,
    "digits": _digits,
    "grocery_tuned": _grocery_tuned,
}
DIGIT_SIDE = 64
DIGIT_VIEWS = ViewSettings(area=(0.7, 1.0), aspect=0.15, flip=0.0, light=0.2, colour=0.0)
DIGIT_SETTINGS = ClassificationSettings(views=4, view=DIGIT_VIEWS)


def _frozen(
    task: Task,
    folder: Path,
    settings: ClassificationSettings | None = None,
    *,
    kind: str = "linear",
    label_smoothing: float = 0.0,
) -> Tested:
    """A head of a task, trained as `visionkit train` does, on its test pictures."""
    torch.manual_seed(0)
    backbone = task.backbone()
    head = ClassificationHead(
        backbone.pooled_channels,
        len(task.class_names),
        kind=kind,
        label_smoothing=label_smoothing,
    )
    cache = FeatureCache(folder / "features", max_bytes=4 << 30)
    with tempfile.TemporaryDirectory() as run:
        if settings is not None and settings.finetune is not None:
            backbone = _thawed(backbone)
        fit = fit_classification(
            backbone,
            head,
            task.train,
            task.val,
            task.class_names,
            task.framing,
            Path(run),
            settings,
            cache=cache,
        )
    test = classed(task.test, task.class_names, multi_label=False)
    scores, truths = _scores(backbone, head, test, task.framing)
    metrics = evaluate_classes(truths, scores, task.class_names)
    for way in fit.frozen.tried:
        mark = "*" if way == fit.frozen.chosen else " "
        print(f"  {mark} {way}: {way.accuracy:.4f}, {way.surprise:.4f}", flush=True)
    return Tested(fit, metrics)


def _thawed(backbone: Backbone) -> Backbone:
    """The same network, free to learn."""
    thawed = build_backbone(**backbone.spec, weights="random")
    thawed.load_state_dict(backbone.state_dict())
    return thawed


def _scores(
    backbone: Backbone, head: ClassificationHead, test: Classed, framing: Framing
) -> tuple[np.ndarray, np.ndarray]:
    outputs, truths = outputs_of(Classifier(backbone, head), plain_frames(test, framing))
    scores = head.probabilities(outputs).detach().double().numpy()
    return scores, truths.numpy()


def _probe(task: Task, ledger: Ledger) -> float:
    """Accuracy of the linear probe, which learns from all pictures that are not for test."""
    backbone = task.backbone()

    def seen(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        pictures = classed(samples, task.class_names, multi_label=False)
        images = (read_image(sample.uri) for sample in pictures.samples)
        frames = (frame(image, task.framing)[0] for image in images)
        return features_of(backbone, frames), pictures.targets

    start = time.monotonic()
    result = probe(seen([*task.train, *task.val]), seen(task.test))
    note = f"penalty {result.decay:g}, {time.monotonic() - start:.0f} s with the features"
    ledger.add(f"{task.name} logistic regression: top-1", result.accuracy, note=note)
    return round(result.accuracy, 4)


def _add(
    ledger: Ledger,
    name: str,
    tested: Tested,
    *,
    at_least: float | None = None,
    goal: float | None = None,
    note: str = "",
) -> None:
    metrics, chosen = tested.metrics, tested.fit.frozen.chosen
    span = metrics.intervals["accuracy"]
    words = f"ECE {metrics.calibration_error:.3f}, {chosen}"
    ledger.add(
        name,
        metrics.accuracy,
        at_least=at_least,
        goal=goal,
        interval=(round(span.low, 4), round(span.high, 4)),
        note=f"{words}; {note}" if note else words,
    )


def _tuned_note(tested: Tested) -> str:
    fit = tested.fit.finetuned
    if fit is None:
        return ""
    return (
        f"{fit.epochs} epochs, {sum(fit.seconds):.0f} s, held back {1 - fit.start_error:.3f} "
        f"before and {1 - fit.best_error:.3f} after"
    )


def _photos(name: str, folder: Path) -> Task:
    """A set of labelled.py with MobileNetV2, its pictures written as files."""
    given: LabelledSet = LABELLED[name]()
    count = 1 + int(max(given.train.labels.max(), given.test.labels.max()))
    return Task(
        name=name,
        train=_files(given.train, folder / name / "train"),
        val=(),
        test=_files(given.test, folder / name / "test"),
        class_names=tuple(f"{label:03d}" for label in range(count)),
        framing=Framing(_mobilenetv2().image_size, "crop"),  # as `visionkit train` does
        backbone=_mobilenetv2,
    )


def _mobilenetv2() -> Backbone:
    return mobilenetv2((8, 16, 32), pooling="both").freeze().eval()


def _files(pictures: Pictures, folder: Path) -> tuple[Sample, ...]:
    """The pictures as PNG files, as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        path = folder / f"{number:05d}.png"
        if not path.is_file():
            cv2.imwrite(str(path), image[..., ::-1])
        height, width = image.shape[:2]
        samples.append(
            Sample(
                id=path.stem,
                uri=str(path),
                width=width,
                height=height,
                content_hash=content_hash(image),
                labels=(f"{int(label):03d}",),
            )
        )
    return tuple(samples)


def _digit_scans(folder: Path) -> Task:
    """The demo set of `visionkit train task=classification` with the starter weights."""
    root = make_demo_digits(folder / "digits")
    parts = {}
    for part in ("train", "val", "test"):
        paths = find_images(root / part)
        parts[part] = tuple(_digit(path) for path in paths)
    return Task(
        name="digits",
        **parts,
        class_names=tuple("0123456789"),
        framing=Framing((DIGIT_SIDE, DIGIT_SIDE), "crop"),
        backbone=lambda: build_backbone("starter").freeze().eval(),
    )


def _digit(path: Path) -> Sample:
    image = read_image(path)
    height, width = image.shape[:2]
    return Sample(
        id=path.stem,
        uri=str(path),
        width=width,
        height=height,
        content_hash=content_hash(image),
        labels=(path.parent.name,),
    )


if __name__ == "__main__":
    sys.exit(main())
