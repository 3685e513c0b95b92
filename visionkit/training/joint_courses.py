"""What each head brings to a training of several: its batches, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from torch import nn
from torch.utils.data import DataLoader

from visionkit.data.framing import Framing
from visionkit.data.images import MAX_PIXELS
from visionkit.data.problems import Problem
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.training.best_average import Judge
from visionkit.training.boxed import MEMORY, FramedPictures, Turns
from visionkit.training.classification import fit_classification, held_back
from visionkit.training.feature_cache import FeatureCache
from visionkit.training.finetuned import calibrate, error_of, plain_frames, ready_head, view_loader
from visionkit.training.joint_module import JointNetwork
from visionkit.training.joint_settings import JointSettings
from visionkit.training.localization import check_pictures
from visionkit.training.localization_course import box_loader, by_name, lost_problems
from visionkit.training.localization_module import ShownBoxes
from visionkit.training.localization_validation import BoxJudge
from visionkit.types import Sample

AnyHead = TypeVar("AnyHead", ClassificationHead, LocalizationHead)


@dataclass(frozen=True)
class Lesson(Generic[AnyHead]):
    """A head with what it learns from.

    Attributes:
        head: for as many classes as there are names.
        train: pictures to learn from, at least one.
        val: pictures to choose the weights on; may be empty.
        class_names: of its classes, in their order; other labels are left out.
        framing: how the network sees pictures for this head.
        unlabelled: further pictures; classification begins with what it is sure of in them.
    """

    head: AnyHead
    train: Sequence[Sample]
    val: Sequence[Sample]
    class_names: Sequence[str]
    framing: Framing
    unlabelled: Sequence[Sample] = ()


class NamingCourse:
    """The classification head's part; makes it fit the backbone's features as they are.

    Args:
        backbone: as it is before the training.
        lesson: the head and its pictures.
        folder: of the run.
        settings: of the training.
        cache, progress, max_pixels: as of `fit_classification`.

    Attributes:
        head: of the lesson.
        began: how the head began.
    """

    def __init__(
        self,
        backbone: Backbone,
        lesson: Lesson[ClassificationHead],
        folder: Path,
        settings: JointSettings,
        *,
        cache: FeatureCache | None = None,
        progress: Callable[[int], None] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.head = lesson.head
        self._lesson, self._settings, self._max_pixels = lesson, settings.naming, max_pixels
        self.began = fit_classification(
            backbone,
            lesson.head,
            lesson.train,
            lesson.val,
            lesson.class_names,
            lesson.framing,
            folder,
            settings.start,
            unlabelled=lesson.unlabelled,
            cache=cache,
            progress=progress,
            max_pixels=max_pixels,
        )
        began = self.began
        self._learned, judged = held_back(began.learned, began.validated, began.frozen.folds)
        self._frames = plain_frames(
            judged,
            lesson.framing,
            batch_size=self._settings.batch_size,
            workers=self._settings.workers,
            max_pixels=max_pixels,
        )
        self._is_judged = len(judged) > 0
        ready_head(lesson.head, self._learned, self._settings)

    @property
    def judges(self) -> list[Judge]:
        """Accuracy, or of several classes a picture the mean probability of the truth."""
        return [self._judge] if self._is_judged else []

    def batches(self, passes: int) -> DataLoader[Any]:
        """Batches of random views."""
        framing, limit = self._lesson.framing, self._max_pixels
        return view_loader(self._learned, framing, self._settings, passes=passes, max_pixels=limit)

    def finish(self, network: JointNetwork) -> None:
        """Sets the head's temperature, on the backbone as it is now."""
        if self._is_judged:
            calibrate(network.classifier, self._frames)

    def _judge(self, network: nn.Module) -> dict[str, float]:
        error = error_of(cast(JointNetwork, network).classifier, self._frames)
        if self._lesson.head.multi_label:  # the error is a mean negative log likelihood
            return {"val/likelihood": math.exp(-error)}
        return {"val/accuracy": 1 - error}


class LocatingCourse:
    """The localization head's part.

    Args:
        lesson: the head and its pictures.
        settings: of the training.
        max_pixels: larger pictures are not read.

    Attributes:
        head: of the lesson.
        turns: the order of its pictures.

    Raises:
        ValueError: there are no pictures, or the head has another number of classes.
    """

    def __init__(
        self,
        lesson: Lesson[LocalizationHead],
        settings: JointSettings,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.head = lesson.head
        check_pictures(lesson.head, lesson.train, lesson.class_names)
        self._names, self._settings = tuple(lesson.class_names), settings.locating
        self._pictures = FramedPictures(
            lesson.train,
            lesson.class_names,
            lesson.framing,
            max_pixels=max_pixels,
            memory=MEMORY // max(1, settings.workers),  # each process has its own
        )
        held_out = FramedPictures(
            lesson.val, lesson.class_names, lesson.framing, max_pixels=max_pixels
        )
        self._judge = BoxJudge(held_out, batch_size=self._settings.batch_size)
        self._is_judged = len(held_out) > 0
        self.turns = Turns(len(self._pictures), settings.seed)

    @property
    def judges(self) -> list[Judge]:
        """AP, and AP50."""
        measure = self._judge
        judge: Judge = lambda network: measure(cast(JointNetwork, network).localizer)  # noqa: E731
        return [judge] if self._is_judged else []

    def batches(self, passes: int) -> DataLoader[Any]:
        """Batches of changed pictures."""
        return box_loader(self._pictures, self.turns, self._settings, passes=passes)

    def counts(self, shown: ShownBoxes) -> tuple[dict[str, int], dict[str, int]]:
        """Class name -> boxes that were to be shown, and those of them that were lost."""
        return by_name(self._names, shown.given), by_name(self._names, shown.lost)

    def problems(self, shown: ShownBoxes) -> list[Problem]:
        """Pictures to judge on that could not be read, and classes that lost many boxes."""
        return [*self._judge.problems, *lost_problems(self._names, shown)]
