"""Small pictures with a disc or a square on them, and a small network that learns to find them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.worlds import photo
from visionkit.data.framing import Framing
from visionkit.heads.localization import LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.boxed import Turn, Turns
from visionkit.training.localization import fit_localization
from visionkit.training.localization_course import LocalizationFit
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import ObjectBox, Sample

SIZE = (64, 96)
FRAMING = Framing(SIZE, "letterbox")
NAMES = ("disc", "square")
Trained = tuple[Backbone, LocalizationHead, LocalizationFit]


def samples_in(folder: Path, count: int, *, seed: int = 0) -> list[Sample]:
    """Pictures of 128 x 192 pixels; every fourth one shows nothing."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        image = photo(seed + 10 * index, 128, 192).copy()
        objects = [] if index % 4 == 3 else [_draw(rng, image, index % 2)]
        path = folder / f"{seed}_{index}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        samples.append(
            Sample(path.name, path.as_posix(), 192, 128, path.name, objects=tuple(objects))
        )
    return samples


def new_network(seed: int = 0, classes: int = 2) -> tuple[Backbone, LocalizationHead]:
    """A free backbone and a head with random weights; the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone(
            "mobilenetv4_conv_small_035", weights="random", strides=(8, 16), pool_stride=16
        )
        head = LocalizationHead(backbone.channels, classes, width=16, depth=1)
    return backbone, head


def train(
    folder: Path,
    samples: Sequence[Sample],
    val: Sequence[Sample],
    settings: LocalizationSettings,
    unlabelled: Sequence[Sample] = (),
) -> Trained:
    """What a new network learns."""
    backbone, head = new_network()
    fitted = fit_localization(
        backbone, head, samples, val, NAMES, FRAMING, folder, settings, unlabelled=unlabelled
    )
    return backbone, head, fitted


def equal(first: Trained, second: Trained) -> None:
    """Fails where two networks differ in a single bit."""
    for one, other in zip(first[:2], second[:2], strict=True):
        torch.testing.assert_close(other.state_dict(), one.state_dict(), rtol=0, atol=0)


@contextmanager
def stopped_at(number: int) -> Iterator[None]:
    """Stops a training that runs meanwhile when that many-th pass over its pictures begins."""
    passes = []
    whole_pass = Turns.__iter__

    def interrupted(self: Turns) -> Iterator[Turn]:
        passes.append(1)
        if len(passes) == number:
            raise KeyboardInterrupt
        return whole_pass(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Turns, "__iter__", interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            yield


def _draw(rng: np.random.Generator, image: np.ndarray, label: int) -> ObjectBox:
    side = int(rng.integers(40, 70))
    left, top = int(rng.integers(192 - side)), int(rng.integers(128 - side))
    if label:
        cv2.rectangle(image, (left, top), (left + side - 1, top + side - 1), (250, 220, 0), -1)
    else:
        middle = (left + side // 2, top + side // 2)
        cv2.circle(image, middle, side // 2, (0, 30, 250), -1)
    return ObjectBox(NAMES[label], (left, top, left + side, top + side))
