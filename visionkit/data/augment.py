"""Augmentation of real pictures, with boxes that follow.

The only module that imports albumentations: 2.0.8 is its last release under the MIT licence, and
what is now installed under the same import name by `albumentationsx` is AGPL-3.0. Composed scenes
need none of it; they bring their own light, blur and noise (`visionkit.data.camera`).
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.types import BoxArray, Image

_INSTALL = "install it with `pip install albumentations==2.0.8`"
_GREY = 114


@dataclass(frozen=True)
class AugmentSettings:
    """How pictures are changed. 0 switches a change off.

    Attributes:
        flip: share of pictures that are mirrored left to right, 0..1. Off by default: mirrored
            lettering and logos are other things.
        flip_vertical: share of pictures that are mirrored top to bottom, 0..1; for what is seen
            from above or through a microscope.
        scale: largest zoom in or out, as a share: 0.3 is 0.7 to 1.3 times.
        shift: largest shift, as a share of the picture's sides.
        roll: largest turn within the picture, degrees.
        perspective: largest move of a corner, as a share of the picture's sides.
        light: largest change of brightness and contrast, as a share.
        colour: largest change of hue (of 180 degrees) and saturation, as a share.
        blur: largest standard deviation of the blur, pixels.
        noise: largest standard deviation of the noise, as a share of full brightness.
        jpeg: lowest JPEG quality, 1..100; 100 is off.
        min_visible: boxes of which less is left in the picture are dropped, 0..1.

    Raises:
        ValueError: a setting is out of its range.
    """

    flip: float = 0.0
    flip_vertical: float = 0.0
    scale: float = 0.3
    shift: float = 0.1
    roll: float = 8.0
    perspective: float = 0.05
    light: float = 0.3
    colour: float = 0.15
    blur: float = 1.5
    noise: float = 0.05
    jpeg: int = 40
    min_visible: float = 0.3

    def __post_init__(self) -> None:
        limits = {
            "flip": 1, "flip_vertical": 1, "scale": 0.9, "shift": 1, "roll": 180,
            "perspective": 0.45, "light": 1, "colour": 1, "blur": 50, "noise": 1, "min_visible": 1,
        }  # fmt: skip
        for name, most in limits.items():
            if not 0 <= (value := getattr(self, name)) <= most:
                raise ValueError(f"{name} of the augmentation must lie in 0..{most}, got {value}")
        if not 1 <= self.jpeg <= 100:
            raise ValueError(f"jpeg of the augmentation must lie in 1..100, got {self.jpeg}")


@dataclass(frozen=True)
class Augmented:
    """A changed picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, of the size it had.
        boxes: (M, 4) float32 xyxy pixels of what is left in the picture, M <= N.
        kept: (M,) int64, which of the boxes given these are.
    """

    image: Image
    boxes: BoxArray
    kept: NDArray[np.int64]


def augment(
    rng: np.random.Generator,
    image: Image,
    boxes: BoxArray | None = None,
    settings: AugmentSettings | None = None,
) -> Augmented:
    """The picture as it might have been taken otherwise, and its boxes.

    The same state of `rng` gives the same picture.

    Args:
        rng: numbers to draw from.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy pixels; None is no boxes.
        settings: None takes the defaults.

    Raises:
        ImportError: albumentations is missing, or its AGPL successor stands in its place.
        ValueError: boxes are not (N, 4), or have no extent.
    """
    boxes = np.zeros((0, 4), np.float32) if boxes is None else boxes
    _check_boxes(boxes)
    pipeline = _pipeline(settings or AugmentSettings())
    pipeline.set_random_seed(int(rng.integers(2**31)))
    result = pipeline(image=image, bboxes=boxes, index=np.arange(len(boxes)))
    return Augmented(
        image=result["image"],
        boxes=np.asarray(result["bboxes"], np.float32).reshape(-1, 4),
        kept=np.asarray(result["index"], np.int64),
    )


def _check_boxes(boxes: BoxArray) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4) xyxy, got {boxes.shape}; reshape them")
    flat = ~((boxes[:, 2:] > boxes[:, :2]).all(1))
    if flat.any():
        first = int(np.flatnonzero(flat)[0])
        raise ValueError(
            f"boxes must have x_max > x_min and y_max > y_min, got {boxes[first].tolist()} "
            f"[box {first}]; leave it out"
        )


@lru_cache(maxsize=16)
def _pipeline(settings: AugmentSettings) -> Any:
    library = _albumentations()
    boxes = library.BboxParams(
        format="pascal_voc",
        label_fields=["index"],
        min_visibility=settings.min_visible,
        clip=True,
    )
    return library.Compose(
        [*_geometry(library, settings), *_photometry(library, settings)], bbox_params=boxes
    )


def _geometry(library: ModuleType, settings: AugmentSettings) -> list[Any]:
    steps = [library.NoOp()]  # albumentations warns where nothing takes the boxes
    if settings.flip:
        steps.append(library.HorizontalFlip(p=settings.flip))
    if settings.flip_vertical:
        steps.append(library.VerticalFlip(p=settings.flip_vertical))
    if settings.scale or settings.shift or settings.roll:
        steps.append(
            library.Affine(
                scale=(1 - settings.scale, 1 + settings.scale),
                translate_percent=(-settings.shift, settings.shift),
                rotate=(-settings.roll, settings.roll),
                balanced_scale=True,
                fill=_GREY,
                p=0.8,
            )
        )
    if settings.perspective:
        # Half the largest move is the standard deviation of the moves.
        spread = (0.0, settings.perspective / 2)
        steps.append(library.Perspective(scale=spread, fill=_GREY, p=0.5))
    return steps


def _photometry(library: ModuleType, settings: AugmentSettings) -> list[Any]:
    steps = []
    if settings.light:
        steps.append(library.RandomBrightnessContrast(settings.light, settings.light, p=0.8))
    if settings.colour:
        hue, saturation = round(90 * settings.colour), round(255 * settings.colour)
        steps.append(library.HueSaturationValue(hue, saturation, 0, p=0.5))
    if settings.blur:
        steps.append(library.GaussianBlur(blur_limit=0, sigma_limit=(0.1, settings.blur), p=0.3))
    if settings.noise:
        steps.append(library.GaussNoise(std_range=(0.0, settings.noise), p=0.4))
    if settings.jpeg < 100:
        steps.append(library.ImageCompression(quality_range=(settings.jpeg, 95), p=0.5))
    return steps


def _albumentations() -> ModuleType:
    """The library, of the release that may be used.

    Raises:
        ImportError: it is missing, or is another release.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news
    try:
        library = importlib.import_module("albumentations")
    except ModuleNotFoundError as error:
        if error.name != "albumentations":
            raise
        raise ImportError(
            f"augmentation must have albumentations, but it is missing; {_INSTALL}"
        ) from error
    version = getattr(library, "__version__", "unknown")
    if version != "2.0.8":
        raise ImportError(
            "albumentations must be 2.0.8, the last release under the MIT licence, "
            f"got {version}; remove it (also albumentationsx, which is AGPL) and {_INSTALL}"
        )
    return library
