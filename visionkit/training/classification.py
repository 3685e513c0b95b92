"""Training for classification: on what a frozen backbone sees first, and where asked on from there.

A head that fits the features as they are keeps them whole when the backbone learns, too (Kumar et
al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visionkit.data.framing import Framing
from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.data.views import ViewSettings
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.training.classed import Classed, classed
from visionkit.training.feature_cache import FeatureCache, Pooled, pooled_features
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.finetuned import FinetuneFit, fit_finetuned
from visionkit.training.frozen import FrozenFit, FrozenSettings, fit_frozen
from visionkit.types import Sample

_FEWEST = 20  # validation pictures; fewer choose by luck


@dataclass(frozen=True)
class ClassificationSettings:
    """How a classification head is trained.

    Attributes:
        views: random views of each picture, beside its plain frame, that the frozen backbone sees.
        view: how they differ.
        frozen: what is tried on frozen features.
        finetune: how the backbone is trained afterwards; None leaves it as it is.
        hold_back: whether the head is left without the pictures that `held_back` judges on, for
            a training that goes on from it; fine-tuning here always is.
        batch_size: pictures that the frozen backbone sees at once; more only cost memory on a CPU.
        seed: of the views.
    """

    views: int = 8
    view: ViewSettings = field(
        default_factory=lambda: ViewSettings(area=(0.35, 1.0), light=0.2, colour=0.1)
    )
    frozen: FrozenSettings = field(default_factory=FrozenSettings)
    finetune: FinetuneSettings | None = None
    hold_back: bool = False
    batch_size: int = 8
    seed: int = 0


@dataclass(frozen=True)
class ClassificationFit:
    """What training came to.

    Attributes:
        frozen: of the frozen features.
        finetuned: of backbone and head together, or None.
        learned: the pictures to learn from, as they were used.
        validated: the pictures to validate on; empty where folds did it.
        features: (N, C) float32 of the plain frames of `learned`, by the backbone as it was.
        guessed: the pictures without a label that were learned as `frozen.guesses` says.
        problems: pictures and labels that were left out.
        seeing, fitting: seconds for the features, from the cache or not, and for the head on them.
    """

    frozen: FrozenFit
    finetuned: FinetuneFit | None
    learned: Classed
    validated: Classed
    features: Tensor
    guessed: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    seeing: float
    fitting: float


def fit_classification(
    backbone: Backbone,
    head: ClassificationHead,
    train: Sequence[Sample],
    val: Sequence[Sample],
    class_names: Sequence[str],
    framing: Framing,
    folder: Path,
    settings: ClassificationSettings | None = None,
    *,
    unlabelled: Sequence[Sample] = (),
    cache: FeatureCache | None = None,
    progress: Callable[[int], None] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> ClassificationFit:
    """Trains the head, and where asked the backbone, in place; both are in evaluation mode then.

    Where there are fewer than 20 pictures to validate on, frozen features are judged by folds, and
    fine-tuning holds back a fifth of the pictures to learn from.

    Args:
        backbone: gives the pooled features.
        head: of as many classes as there are names.
        train: labelled pictures to learn from.
        val: labelled pictures to choose settings and set the temperature on; may be empty.
        class_names: pictures of other labels are left out and reported.
        framing: the size that the network sees.
        folder: of the run: checkpoints and logs of fine-tuning.
        settings: None takes the defaults.
        unlabelled: further pictures, of which the head on frozen features learns what it is sure
            of, where that is better on held-back pictures.
        cache: of features; None computes them anew.
        progress: called with the number of frames and views that the frozen backbone saw.
        max_pixels: larger pictures are not read.

    Raises:
        ValueError: no picture is left to learn from, or the head has another number of classes.
        RuntimeError: the disk is full, or the loss is not finite.
    """
    settings = settings or ClassificationSettings()
    if head.class_count != len(class_names):
        raise ValueError(
            f"the head must be for as many classes as there are names, {len(class_names)}, got "
            f"{head.class_count}; make it with class_count={len(class_names)}"
        )
    clock = time.monotonic()
    to_see = _Sight(backbone, framing, settings, cache, progress, max_pixels)
    learned, features, problems = to_see.of(
        classed(train, class_names, multi_label=head.multi_label), views=settings.views
    )
    validated, held, more = to_see.of(classed(val, class_names, multi_label=head.multi_label))
    others = to_see.features(unlabelled)
    seeing = time.monotonic() - clock
    if not len(learned):
        raise ValueError(f"training must have at least one picture, got none of {len(train)}")
    clock = time.monotonic()
    device = head.bias.device
    head.cpu()
    frozen = fit_frozen(
        head,
        features,
        learned.targets,
        settings.frozen,
        val=(held[0], validated.targets),
        unlabelled=others.features[0],
    )
    head.to(device).eval()
    fitting = time.monotonic() - clock
    whole = {name: value.clone() for name, value in head.state_dict().items()}
    held_places = places_held_back(validated, frozen.folds)
    if held_places and (settings.finetune is not None or settings.hold_back):
        _learn_without(held_places, head, features, learned.targets, settings.frozen)
    finetuned = None
    if settings.finetune is not None:
        rest, judged = held_back(learned, validated, frozen.folds)
        finetuned = fit_finetuned(
            backbone, head, rest, judged, framing, folder, settings.finetune, max_pixels=max_pixels
        )
        if held_places and not finetuned.best_error < finetuned.start_error:
            head.load_state_dict(whole)  # nothing was gained: all pictures count again
        more += list(finetuned.problems)
    return ClassificationFit(
        frozen=frozen,
        finetuned=finetuned,
        learned=learned,
        validated=validated,
        features=features[0],
        guessed=tuple(unlabelled[place] for place in others.kept[frozen.guesses.places].tolist()),
        problems=(*problems, *more, *others.problems),
        seeing=seeing,
        fitting=fitting,
    )


@dataclass(frozen=True)
class _Sight:
    """How the frozen backbone sees pictures."""

    backbone: Backbone
    framing: Framing
    settings: ClassificationSettings
    cache: FeatureCache | None
    progress: Callable[[int], None] | None
    max_pixels: int

    def of(self, pictures: Classed, *, views: int = 0) -> tuple[Classed, Tensor, list[Problem]]:
        """The pictures that can be read, their (1 + views, N, C) features, and all problems."""
        found = self.features(pictures.samples, views=views)
        return pictures.part(found.kept), found.features, [*pictures.problems, *found.problems]

    def features(self, samples: Sequence[Sample], *, views: int = 0) -> Pooled:
        """The features of pictures whatever they show."""
        return pooled_features(
            self.backbone,
            samples,
            self.framing,
            cache=self.cache,
            views=views,
            settings=self.settings.view,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            progress=self.progress,
            max_pixels=self.max_pixels,
        )


def places_held_back(validated: Classed, folds: NDArray[np.int64]) -> list[int]:
    """Which of the pictures to learn from are judged on instead; none where others are for that.

    Args:
        validated: pictures to judge on; from 20 on they are enough.
        folds: (N,) the fold of each picture learned from; look-alikes are in one.
    """
    held: list[int] = np.flatnonzero(folds == 0).tolist()
    return held if len(validated) < _FEWEST <= len(held) else []


def held_back(
    learned: Classed, validated: Classed, folds: NDArray[np.int64]
) -> tuple[Classed, Classed]:
    """What backbone and head learn from together, and what they are judged on.

    Args:
        learned: pictures to learn from.
        validated: those to judge on; where they are fewer than 20, a fold of the others is taken
            instead, or none where that is fewer, too.
        folds: (N,) the fold of each picture learned from.
    """
    held = places_held_back(validated, folds)
    if not held:
        return learned, validated if len(validated) >= _FEWEST else learned.part([])
    return learned.part(_others(held, len(learned))), learned.part(held)


def _learn_without(
    held: Sequence[int],
    head: ClassificationHead,
    features: Tensor,
    targets: Tensor,
    settings: FrozenSettings,
) -> None:
    """Learns the head anew without what it is judged on, lest its start look perfect there."""
    device, rest = head.bias.device, _others(held, len(targets))
    head.cpu()
    on = features[0, list(held)], targets[list(held)]
    fit_frozen(head, features[:, rest], targets[rest], settings, val=on)
    head.to(device).eval()


def _others(places: Sequence[int], count: int) -> list[int]:
    return sorted({*range(count)} - {*places})
