"""The general comparison of the exemplar head: learned from random galleries on a frozen backbone.

First galleries are made and searched as users' will be, until half of the time is over; what the
comparison sees of the candidates is kept on disk. Then it learns from all of them at once.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import count
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from visionkit.evaluation import Truth, evaluate_boxes
from visionkit.files import atomic_path, write_json
from visionkit.heads.comparison import Comparison
from visionkit.heads.exemplar import (
    BOX_WEIGHT,
    GENERAL_HIDDEN,
    SCORE_OFFSET,
    ExemplarHead,
    PairOutputs,
    PairTargets,
    pair_losses,
)
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.new_finder import whiten
from visionkit.matching.pyramid import ScenePyramid, scene_pyramid
from visionkit.models.backbone import Backbone
from visionkit.models.weights import COMPARISON_FILE
from visionkit.training.pairs import scene_pairs
from visionkit.training.pretrain.galleries import RandomGallery, random_gallery
from visionkit.types import Image

logger = logging.getLogger(__name__)
COMPARISON_MEASURES = "comparison.json"
_SHARDS = "comparison"
_REFERENCE = 24  # photos that views are calibrated on
_SHARD = 10  # galleries a file


@dataclass(frozen=True)
class ComparisonSettings:
    """How the general comparison is learned.

    Attributes:
        minutes: of making and searching galleries; learning takes a fraction more.
        scenes: of a gallery.
        epochs: through all pairs.
        batch_size: pairs a step.
        learning_rate, weight_decay: of AdamW, one cycle.
        held_out: galleries on held-out photos that are only measured on.
        seed: of everything random.
    """

    minutes: float = 30.0
    scenes: int = 5
    epochs: int = 8
    batch_size: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    held_out: int = 12
    seed: int = 0


@dataclass(frozen=True)
class Compared:
    """Candidates as the comparison sees them, with what is true of them.

    Attributes:
        maps: (N, 10, 8, 8) float16. evidence: (N, 3) float32.
        prior: (N,) float32. boxes: (N, 4) float32 xyxy.
        matches: (N,) float32: 1, 0, or -1 for what can't be said.
        true_boxes: (N, 4) float32. has_box: (N,) bool: whether the true box may teach.
    """

    maps: Tensor
    evidence: Tensor
    prior: Tensor
    boxes: Tensor
    matches: Tensor
    true_boxes: Tensor
    has_box: Tensor

    def take(self, index: Tensor) -> Compared:
        """Those at `index`."""
        return Compared(*(getattr(self, field.name)[index] for field in fields(self)))


def refuse_old_pairs(output: str | Path) -> None:
    """Makes sure that no run left pairs in an output folder, for a run that will not use them.

    A later one that goes on would take them for pairs of this run.

    Raises:
        FileExistsError: there are some.
    """
    folder = Path(output) / _SHARDS
    if any(folder.glob("*.safetensors")):
        raise FileExistsError(
            f"{folder} must hold no pairs of a run before, but does; say resume=true to use them "
            "and go on, or choose another output"
        )


def pretrain_comparison(
    backbone: Backbone,
    photos: Sequence[Image],
    held_out: Sequence[Image],
    output: str | Path,
    *,
    settings: ComparisonSettings | None = None,
    resume: bool = False,
) -> Path:
    """Path of the learned comparison in the output folder, float16 safetensors.

    Beside it lies `comparison.json`: losses on held-out galleries and AP50 of finding their items,
    before and after.

    Args:
        backbone: frozen, with the map that the finder searches.
        photos: (H, W, 3) uint8 RGB, learned from.
        held_out: others, measured on.
        output: folder, made if it is not there.
        settings: None takes the defaults.
        resume: whether the pairs that a run left in the folder are used; making goes on.

    Raises:
        ValueError: there are no photos, or no pairs were found in the time given.
        FileExistsError: a run left pairs in the folder, and `resume` is false.
    """
    settings, output = settings or ComparisonSettings(), Path(output)
    if not photos or not held_out:
        raise ValueError(
            f"there must be at least one photo to learn from and one that is held out, got "
            f"{len(photos)} and {len(held_out)}"
        )
    if not resume:
        refuse_old_pairs(output)
    finders = _Finders(backbone, photos[:: max(1, len(photos) // _REFERENCE)][:_REFERENCE])
    pairs = _collect(finders, photos, output / _SHARDS, settings)
    rng = np.random.default_rng([settings.seed, 1])
    unseen = [
        random_gallery(rng, held_out, scenes=settings.scenes) for _ in range(settings.held_out)
    ]
    searched = [(finders.of(gallery), gallery) for gallery in unseen]
    asked = _joined([part for each in searched for part in _pairs(*each)])
    ap50_before = _ap50(searched)
    learned = _learn(pairs, settings)
    before = _losses(Comparison(GENERAL_HIDDEN), asked)
    after = _losses(learned, asked)
    path = output / COMPARISON_FILE
    with atomic_path(path) as partial:
        state = {name: value.half().contiguous() for name, value in learned.state_dict().items()}
        safetensors.torch.save_file(state, partial)
    finders.head.load_general(learned.state_dict())  # the head is every finder's
    measured = {
        "pairs": len(pairs.prior),
        "settings": asdict(settings),
        "losses_before": before,
        "losses_after": after,
        "ap50_before": ap50_before,
        "ap50_after": _ap50(searched),
    }
    write_json(output / COMPARISON_MEASURES, measured)
    logger.info("%s", json.dumps(measured))
    return path


class _Finders:
    """Makes a finder for each gallery, on one backbone and one set of backgrounds."""

    def __init__(self, backbone: Backbone, backgrounds: Sequence[Image]) -> None:
        self.settings = FinderSettings()
        self.backbone = backbone
        self.reference: list[ScenePyramid] = [
            scene_pyramid(image, backbone, self.settings.pyramid) for image in backgrounds
        ]
        self.head = ExemplarHead(backbone.channels[self.settings.pyramid.stride]).eval()
        whiten(self.head, self.reference)

    def of(self, gallery: RandomGallery) -> Finder:
        """A finder of the gallery's items."""
        finder = Finder(self.backbone, self.head, self.settings, self.reference)
        finder.add(gallery.views)
        return finder


def _collect(
    finders: _Finders,
    photos: Sequence[Image],
    folder: Path,
    settings: ComparisonSettings,
) -> Compared:
    """Pairs of new galleries until the time is over, and of those that lie there already."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = sorted(folder.glob("*.safetensors"))
    start, spent = time.monotonic(), 0.0
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("galleries", total=60 * settings.minutes)
        for number in count(len(shards)):
            parts: list[Compared] = []
            for index in range(_SHARD * number, _SHARD * (number + 1)):
                rng = np.random.default_rng([settings.seed, 0, index])
                gallery = random_gallery(rng, photos, scenes=settings.scenes)
                parts += _pairs(finders.of(gallery), gallery)
                spent = time.monotonic() - start
                bar.update(task, completed=spent)
                if spent > 60 * settings.minutes:
                    break
            if parts:
                shards.append(_write(_joined(parts), folder / f"{number:05d}.safetensors"))
            if spent > 60 * settings.minutes:
                break
    return _joined([Compared(**safetensors.torch.load_file(shard)) for shard in shards])


@torch.no_grad()
def _pairs(finder: Finder, gallery: RandomGallery) -> Iterator[Compared]:
    """What the comparison sees of a gallery's scenes, scene by scene."""
    for scene in gallery.scenes:
        pairs, targets = scene_pairs(finder, scene)
        yield Compared(
            finder.head.likeness(pairs).half(),
            pairs.evidence,
            pairs.prior,
            pairs.boxes,
            targets.matches,
            targets.boxes,
            targets.has_box,
        )


def _joined(parts: Sequence[Compared]) -> Compared:
    if not sum(len(part.prior) for part in parts):
        raise ValueError("random galleries must give pairs to learn from, got none; give more time")
    return Compared(
        *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Compared))
    )


def _write(pairs: Compared, path: Path) -> Path:
    with atomic_path(path) as partial:
        safetensors.torch.save_file(
            {name: value.contiguous() for name, value in vars(pairs).items()}, partial
        )
    return path


def _learn(pairs: Compared, settings: ComparisonSettings) -> Comparison:
    """The comparison after all epochs."""
    torch.manual_seed(settings.seed)
    comparison = Comparison(GENERAL_HIDDEN)
    steps = max(1, len(pairs.prior) // settings.batch_size)
    optimizer = torch.optim.AdamW(
        comparison.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps + 1
    )
    for _ in range(settings.epochs):
        for index in torch.randperm(len(pairs.prior)).chunk(steps):
            losses = _loss(comparison, pairs.take(index))
            optimizer.zero_grad()
            total = losses["match"] + BOX_WEIGHT * losses["box"]
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return comparison.eval()


def _loss(comparison: Comparison, pairs: Compared) -> dict[str, Tensor]:
    """The head's losses, with nothing learned but the comparison."""
    change, offsets = comparison(pairs.maps.float(), pairs.evidence)
    outputs = PairOutputs(pairs.prior - SCORE_OFFSET + change, offsets, pairs.boxes)
    return pair_losses(outputs, PairTargets(pairs.matches, pairs.true_boxes, pairs.has_box))


@torch.no_grad()
def _losses(comparison: Comparison, pairs: Compared) -> dict[str, float]:
    return {name: float(loss) for name, loss in _loss(comparison, pairs).items()}


def _ap50(searched: Sequence[tuple[Finder, RandomGallery]]) -> float:
    """Mean AP50 of finding each gallery's items, with the head as it is."""
    values = []
    for finder, gallery in searched:
        names = finder.item_names
        truths = [
            Truth(scene.boxes, np.array([names.index(item) for item in scene.items], np.int64))
            for scene in gallery.scenes
        ]
        found = [finder.find(scene.image) for scene in gallery.scenes]
        values.append(evaluate_boxes(truths, found, names).ap50)
    return float(np.mean(values))
