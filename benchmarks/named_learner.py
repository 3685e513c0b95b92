"""Grocery's pictures with a head on a frozen MobileNetV2, which learns in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from classification import Task, _photos
from loop import Pool
from numpy.typing import NDArray
from torch import Tensor

from visionkit.evaluation.near_copies import copy_groups, near_copies
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.marks import Marks, named_marks
from visionkit.heads.classification import ClassificationHead
from visionkit.training.classed import classed
from visionkit.training.feature_cache import FeatureCache, pooled_features
from visionkit.training.frozen import FrozenSettings, fit_frozen
from visionkit.types import Sample

VIEWS = 8
MEANS = FrozenSettings(shrinkages=(0.1, 0.3, 0.6), penalties=())
"""Class means alone: learned in a second, and close to the best where pictures come by chance."""

AS_RETRAINED = FrozenSettings(shrinkages=(0.1, 0.3, 0.6), penalties=(1e-3,))
"""As retraining learns: class means, regression or both, whichever held-back pictures favour; with
fewer strengths of each tried, so that a round of the loop takes seconds. Class means alone suffer
from a queue, which asks for what lies between the classes. What it is sure of in the pictures that
nobody was asked about is learned, too, whatever the order."""


@dataclass(frozen=True)
class Seen:
    """A set as the frozen backbone sees it.

    Attributes:
        task: the pictures.
        train: (1 + VIEWS, N, C) float32 of the pictures to learn from.
        test: (M, C) float32.
        labels, tested: (N,) and (M,) int64.
    """

    task: Task
    train: Tensor
    test: Tensor
    labels: Tensor
    tested: Tensor

    @property
    def pool(self) -> Pool:
        """The pictures to learn from, embedded as `visionkit predict` does."""
        unit = torch.nn.functional.normalize(self.train[0], dim=1)
        return Pool(self.task.train, unit.numpy().astype(np.float32))


def grocery_seen(folder: Path) -> Seen:
    """Grocery, seen once; features are kept in the folder."""
    task = _photos("grocery", folder)
    cache = FeatureCache(folder / "features", max_bytes=4 << 30)
    backbone = task.backbone()
    parts = []
    for samples, views in ((task.train, VIEWS), (task.test, 0)):
        known = classed(samples, task.class_names, multi_label=False)
        found = pooled_features(backbone, known.samples, task.framing, cache=cache, views=views)
        parts.append((found.features, known.targets))
    (train, labels), (test, tested) = parts
    return Seen(task, train, test[0], labels, tested)


def held_back(seen: Seen, *, share: float = 1 / 3, alike: float = 0.75, seed: int = 0) -> Seen:
    """The set with a share of its training pictures in place of the test pictures.

    Pictures that look alike, of one shelf as a rule, are learned from or measured on together.

    Args:
        seen: the set.
        share: of the training pictures at most.
        alike: cosine of standardised features from which pictures count as alike.
        seed: of the draw of groups.
    """
    features = seen.train[0].numpy()
    groups = copy_groups(len(features), near_copies(features, similarity=alike))
    size = np.bincount(groups)
    room, chosen = int(share * len(features)), np.zeros(len(size), bool)
    for group in np.random.default_rng(seed).permutation(len(size)):
        chosen[group] = size[group] <= room
        room -= int(size[group] * chosen[group])
    held = torch.from_numpy(chosen[groups])
    known = torch.isin(seen.labels, seen.labels[~held].unique())
    pool, held = ~held, held & known
    train, test = (
        tuple(seen.task.train[place] for place in torch.nonzero(part).flatten().tolist())
        for part in (pool, held)
    )
    return Seen(
        replace(seen.task, train=train, test=test),
        seen.train[:, pool],
        seen.train[0, held],
        seen.labels[pool],
        seen.labels[held],
    )


def fitted_head(
    seen: Seen,
    places: Sequence[int],
    labels: Tensor,
    settings: FrozenSettings = MEANS,
    *,
    views: Sequence[int] = (0, 1, 2, 3, 4),
    unlabelled: Sequence[int] = (),
) -> ClassificationHead:
    """A head that learned from some of the pictures.

    Args:
        seen: the set.
        places: numbers of the pictures.
        labels: (len(places),) int64 what they are said to show.
        settings: of the fit.
        views: which of the frames and views; 0 is the plain frame.
        unlabelled: numbers of further pictures, of which it takes what it is sure of.
    """
    torch.manual_seed(settings.seed)
    head = ClassificationHead(seen.train.shape[2], len(seen.task.class_names))
    fit_frozen(
        head,
        seen.train[list(views)][:, list(places)],
        labels,
        settings,
        unlabelled=seen.train[0, list(unlabelled)],
    )
    return head.eval()


@torch.no_grad()
def probabilities(head: ClassificationHead, features: Tensor) -> NDArray[np.float64]:
    """(N, K) what a head says of (N, C) features."""
    found: NDArray[np.float64] = head.probabilities(head(features)).double().numpy()
    return found


def marks_of(seen: Seen, head: ClassificationHead) -> Marks:
    """How a head does on the test pictures."""
    classes = np.arange(len(seen.task.class_names))
    present = seen.tested.numpy()[:, None] == classes
    said = probabilities(head, seen.test).argmax(axis=1)[:, None] == classes
    return named_marks(present, said, seen.task.class_names)


class NamedLearner:
    """A head on frozen features of Grocery, learned as `visionkit retrain` learns it."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._place = {sample.id: place for place, sample in enumerate(seen.task.train)}
        self._number = {name: k for k, name in enumerate(seen.task.class_names)}
        self._head: ClassificationHead | None = None

    def learn(self, samples: Sequence[Sample]) -> None:
        """Learns anew, from these and from what it is sure of in all others of the set."""
        labels = torch.tensor([self._number[sample.labels[0]] for sample in samples])
        places = [self._place[sample.id] for sample in samples]
        left = sorted({*self._place.values()} - {*places})
        self._head = fitted_head(self._seen, places, labels, AS_RETRAINED, unlabelled=left)

    def score(self) -> float:
        """Share of the test pictures that are named rightly."""
        said = probabilities(self._learned, self._seen.test).argmax(axis=1)
        return float((said == self._seen.tested.numpy()).mean())

    def proposals(self, samples: Sequence[Sample], model: str) -> list[Proposal]:
        """The likeliest class of each picture, and the next."""
        places = [self._place[sample.id] for sample in samples]
        scores = probabilities(self._learned, self._seen.train[0, places])
        names = self._seen.task.class_names
        found = []
        for sample, row in zip(samples, scores, strict=True):
            best, second = np.argsort(-row)[:2]
            found.append(
                Proposal(
                    f"{sample.id}:{model}",
                    sample.id,
                    "classification",
                    names[best],
                    float(row[best]),
                    0.0,
                    None,
                    model,
                    names[second],
                    float(row[second]),
                )
            )
        return found

    @property
    def _learned(self) -> ClassificationHead:
        if self._head is None:
            raise RuntimeError("it must have learned, but has not; call learn first")
        return self._head
