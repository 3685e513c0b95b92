"""Trained heads with what their answers mean: names of the classes, framing, thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import supervision as sv
import torch
from numpy.typing import NDArray
from torch import Tensor

from visionkit.data.framing import Framing, Placement
from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.engines.network import Network
from visionkit.inference.locate import Tiles, locate
from visionkit.inference.prediction import Prediction, above_threshold
from visionkit.inference.seen import Seen
from visionkit.matching.results import names_at
from visionkit.models.backbone import Backbone
from visionkit.types import BoxArray, Image

_DECODING = ("score_threshold", "iou_threshold", "max_detections")


@dataclass(frozen=True)
class ClassificationPart:
    """A trained classification head.

    Attributes:
        head: on the backbone's pooled vector.
        class_names: of its classes, in their order.
        framing: how it was taught to see pictures.
        thresholds: class -> confidence 0..1 from which it is taken to be there.

    Raises:
        ValueError: names or thresholds are not those of the head's classes.
    """

    head: ClassificationHead
    class_names: tuple[str, ...]
    framing: Framing
    thresholds: Mapping[str, float]
    task: ClassVar[str] = "classification"

    def __post_init__(self) -> None:
        _check_names("classification", self.class_names, self.head.class_count, self.thresholds)

    @property
    def multi_label(self) -> bool:
        """Whether a picture may show several of the classes, or none."""
        return self.head.multi_label

    def fits(self, backbone: Backbone) -> bool:
        """Whether the head takes what this backbone gives, by shape."""
        return bool(self.head.sizes["channels"] == backbone.pooled_channels)

    @torch.no_grad()
    def answer(
        self, seen: Seen, into: Sequence[Prediction], score_threshold: float | None = None
    ) -> list[Prediction]:
        """The predictions `into` with what this head says of each picture.

        Args:
            seen: B pictures, in this part's framing, of which the head was asked.
            into: B predictions.
            score_threshold: 0..1, one for all classes; None takes each class's own.
        """
        logits = seen.outputs.classification
        if logits is None:
            raise RuntimeError("the classification head must have been asked, got no logits")
        answers = self.head.decode(logits, None)
        return [
            replace(
                prediction,
                classification=answer,
                class_names=self.class_names,
                labels=self.labels(answer, score_threshold),
            )
            for answer, prediction in zip(answers, into, strict=True)
        ]

    def labels(self, answer: sv.Classifications, limit: float | None) -> tuple[str, ...]:
        """The classes that reach their thresholds, or one threshold for all, the surest first."""
        if answer.confidence is None:
            return ()
        order = np.argsort(-answer.confidence, kind="stable")[: None if self.multi_label else 1]
        ranked = [(self.class_names[n], float(answer.confidence[n])) for n in order]
        return tuple(
            name
            for name, score in ranked
            if score >= (self.thresholds[name] if limit is None else limit)
        )

    def describe(self) -> dict[str, Any]:
        """Plain JSON values from which, with the head's weights, `restore` makes the same part."""
        return {"head": self.head.sizes, **_described(self)}

    @classmethod
    def restore(
        cls, description: Mapping[str, Any], state: Mapping[str, Tensor]
    ) -> ClassificationPart:
        """The part that `describe` described, on the CPU.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: description and weights don't fit.
        """
        head = ClassificationHead(**description["head"])
        head.load_state_dict(state)
        return cls(head.eval(), *_restored(description))


@dataclass(frozen=True)
class LocalizationPart:
    """A trained localization head.

    Attributes:
        head: on the backbone's maps.
        class_names: of its classes, in their order; one name for a head without classes.
        framing: how it was taught to see pictures.
        thresholds: class -> score 0..1 from which a box is given.
        tiles: how large pictures are also seen in parts; None sees each picture whole only.

    Raises:
        ValueError: names or thresholds are not those of the head's classes.
    """

    head: LocalizationHead
    class_names: tuple[str, ...]
    framing: Framing
    thresholds: Mapping[str, float]
    tiles: Tiles | None = None
    task: ClassVar[str] = "localization"

    def __post_init__(self) -> None:
        sizes: Mapping[str, Any] = self.head.sizes
        count = max(sizes["class_count"], 1)
        _check_names("localization", self.class_names, count, self.thresholds)

    def fits(self, backbone: Backbone) -> bool:
        """Whether the head takes what this backbone gives, by shape."""
        sizes: Mapping[str, Any] = self.head.sizes
        return bool(sizes["channels"].items() <= backbone.channels.items())

    def answer(
        self, seen: Seen, into: Sequence[Prediction], score_threshold: float | None = None
    ) -> list[Prediction]:
        """The predictions `into` with the boxes that this head sees in each picture.

        Args:
            seen: B pictures, in this part's framing, of which the head was asked.
            into: B predictions.
            score_threshold: 0..1, one for all classes; None takes each class's own.
        """
        inner = [placement.inner for placement in seen.placements]
        if seen.outputs.localization is None:
            raise RuntimeError("the localization head must have been asked, got no outputs")
        least = (
            min(self.thresholds.values(), default=0.0)
            if score_threshold is None
            else score_threshold
        )
        found = self.head.decode(seen.outputs.localization, inner, least=least)
        for boxes, placement in zip(found, seen.placements, strict=True):
            boxes.xyxy = _in_picture(np.asarray(boxes.xyxy, np.float32), placement)
        return self._put(found, into, score_threshold)

    def answer_in_tiles(
        self,
        network: Network,
        images: Sequence[Image],
        into: Sequence[Prediction],
        score_threshold: float | None = None,
    ) -> list[Prediction]:
        """As `answer`, by passes of its own over the pictures and their tiles.

        Args:
            network: the predictor's.
            images: B pictures, (H, W, 3) uint8 RGB.
            into: B predictions.
            score_threshold: as of `answer`.
        """
        found = locate(network, self.head, images, self.framing, tiles=self.tiles)
        return self._put(found, into, score_threshold)

    def _put(
        self, found: Sequence[sv.Detections], into: Sequence[Prediction], limit: float | None
    ) -> list[Prediction]:
        names, predictions = self.class_names, []
        for boxes, prediction in zip(found, into, strict=True):
            boxes.data["class_name"] = names_at(names, np.asarray(boxes.class_id, np.int64))
            kept = above_threshold(boxes, names, self.thresholds, limit)
            predictions.append(replace(prediction, localization=kept))
        return predictions

    def describe(self) -> dict[str, Any]:
        """Plain JSON values from which, with the head's weights, `restore` makes the same part."""
        decoding = {name: getattr(self.head, name) for name in _DECODING}
        tiles = None if self.tiles is None else asdict(self.tiles)
        return {"head": {**self.head.sizes, **decoding}, "tiles": tiles, **_described(self)}

    @classmethod
    def restore(
        cls, description: Mapping[str, Any], state: Mapping[str, Tensor]
    ) -> LocalizationPart:
        """The part that `describe` described, on the CPU.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: description and weights don't fit.
        """
        sizes = dict(description["head"])
        channels = {int(stride): int(count) for stride, count in sizes.pop("channels").items()}
        head = LocalizationHead(channels, **sizes)  # JSON has no numbers as keys
        head.load_state_dict(state)
        tiles = description["tiles"]
        return cls(
            head.eval(), *_restored(description), tiles=None if tiles is None else Tiles(**tiles)
        )


Part = ClassificationPart | LocalizationPart
"""A trained head, of either kind."""


def _in_picture(boxes: BoxArray, placement: Placement) -> BoxArray:
    """(N, 4) float32 xyxy boxes of a frame as boxes of the picture, none outside of what was seen.

    Single precision leaves a box at the rim a hair beyond it, hence whole pixels.
    """
    if not len(boxes):
        return boxes
    low, high = _rim(placement)
    return np.clip(placement.back(boxes), low, high).astype(np.float32)


@lru_cache(maxsize=256)
def _rim(placement: Placement) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(4,) least and greatest xyxy of what was seen of a picture; the same for a whole video."""
    height, width = placement.inner
    rim = placement.back(np.array([[0, 0, width, height]], np.float32))[0].round()
    return np.tile(rim[:2], 2), np.tile(rim[2:], 2)


def _described(part: Part) -> dict[str, Any]:
    return {
        "class_names": list(part.class_names),
        "framing": {"size": list(part.framing.size), "fit": part.framing.fit},
        "thresholds": dict(part.thresholds),
    }


def _restored(
    description: Mapping[str, Any],
) -> tuple[tuple[str, ...], Framing, dict[str, float]]:
    height, width = description["framing"]["size"]
    framing = Framing((int(height), int(width)), description["framing"]["fit"])
    names = tuple(str(name) for name in description["class_names"])
    return names, framing, {name: float(description["thresholds"][name]) for name in names}


def _check_names(
    what: str, names: Sequence[str], count: int, thresholds: Mapping[str, float]
) -> None:
    if len(names) != count or len({*names}) != count:
        raise ValueError(
            f"class_names of the {what} head must be {count} different ones, got {list(names)}"
        )
    if {*thresholds} != {*names} or not all(0 <= value <= 1 for value in thresholds.values()):
        raise ValueError(
            f"thresholds of the {what} head must be one in 0..1 for each of {list(names)}, "
            f"got {dict(thresholds)}"
        )
