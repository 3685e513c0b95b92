"""Small labelled pictures for tests of training for classification."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from visionkit.data.images import content_hash
from visionkit.types import Image, Sample

NAMES = ("green", "red")


def picture(label: int, seed: int, side: int = 40) -> Image:
    """(side, side, 3) uint8: noise with a disc in the colour of the class."""
    rng = np.random.default_rng([label, seed])
    image = rng.integers(60, 120, (side, side, 3)).astype(np.uint8)
    x, y = (int(value) for value in rng.integers(12, side - 12, 2))
    colour = ((30, 220, 40), (230, 30, 30))[label]
    cv2.circle(image, (x, y), 10, colour, -1)
    return image


def sample(folder: Path, label: int, seed: int, *, labels: tuple[str, ...] | None = None) -> Sample:
    """The picture as a file."""
    image = picture(label, seed)
    path = folder / f"{label}_{seed}.png"
    cv2.imwrite(str(path), image[..., ::-1])
    named = (NAMES[label],) if labels is None else labels
    return Sample(path.stem, str(path), 40, 40, content_hash(image), labels=named)


def samples(folder: Path, count: int, start: int = 0) -> list[Sample]:
    """So many pictures, of the classes by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    return [sample(folder, number % 2, start + number) for number in range(count)]
