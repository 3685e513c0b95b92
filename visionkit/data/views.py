"""Random views of one picture for training: another crop, side, light and colour each time.

Fast enough that one core feeds a small network: a JPEG is decoded no larger than the crop
needs, all of light and colour is one 3x4 matrix over the pixels of the finished crop, and what
comes out is uint8, which the network normalises itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.framing import resized
from visionkit.data.images import MAX_PIXELS, WHITE, lay_on, read_picture
from visionkit.types import Image

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# To luma and two colour axes (YIQ, FCC 1953), in whose plane a turn changes the hue alone.
_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class ViewSettings:
    """How different views of one picture are. 0 switches a change off, but for `area`.

    Attributes:
        area: least and most share of the picture that a view shows, 0..1; a view is as large as
            fits where that is less.
        aspect: largest stretching of a view, as a share: 1/3 is 3/4 to 4/3.
        flip: share of views that are mirrored left to right, 0..1.
        light: largest change of brightness and of contrast, as a share.
        colour: largest change of saturation, as a share, and of the hue, of a quarter turn.
        blur: largest standard deviation of the blur, pixels of the view; every second view is
            blurred.

    Raises:
        ValueError: a setting is out of its range.
    """

    area: tuple[float, float] = (0.25, 1.0)
    aspect: float = 1 / 3
    flip: float = 0.5
    light: float = 0.4
    colour: float = 0.4
    blur: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area of a view must be two rising shares in 0..1, got {self.area}")
        for name, most in {"aspect": 4, "flip": 1, "light": 1, "colour": 1, "blur": 50}.items():
            if not 0 <= (value := getattr(self, name)) <= most:
                raise ValueError(f"{name} of a view must lie in 0..{most}, got {value}")


def random_view(
    rng: np.random.Generator,
    source: str | Path | Image,
    size: tuple[int, int],
    settings: ViewSettings,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """A view of a picture, (height, width, 3) uint8 RGB; the same state of `rng` gives the same.

    Args:
        rng: numbers to draw from; of every view as many.
        source: a picture file, which is read as safely as by `read_image`, or (H, W, 3) uint8.
        size: height and width of the view.
        settings: how different views are.
        max_pixels: larger files are refused.

    Raises:
        ImageError: the file is empty, damaged, cut short, too large or no picture.
        FileNotFoundError: there is no such file.
    """
    draws = rng.random(_DRAWS)
    image, shrink = _read(source, size, settings, draws, max_pixels)
    height, width = image.shape[:2]
    top, left, bottom, right = (
        value / shrink
        for value in _window((height * shrink, width * shrink), size, settings, draws)
    )
    rows, columns = _whole(top, bottom, height), _whole(left, right, width)
    view = _scaled(image[rows, columns], size)
    if draws[4] < settings.flip:
        view = cv2.flip(view, 1)  # type: ignore[assignment]  # it stays uint8
    matrix = _colour_matrix(view, settings, draws[5:9])
    if matrix is not None:
        view = cv2.transform(view, matrix)  # type: ignore[assignment]  # rounds and saturates
    if settings.blur and draws[9] < 0.5:
        sigma = max(2 * draws[9] * settings.blur, 0.1)
        view = cv2.GaussianBlur(view, (0, 0), sigma)  # type: ignore[assignment]
    return view


_DRAWS = 10
"""All numbers that a view is made of, drawn at once: a setting that is off moves no other."""


def _read(
    source: str | Path | Image,
    size: tuple[int, int],
    settings: ViewSettings,
    draws: NDArray[np.float64],
    max_pixels: int,
) -> tuple[Image, int]:
    """The picture, and how many of its pixels one of these stands for, each way."""
    if isinstance(source, np.ndarray):
        return source, 1

    def scale_for(height: int, width: int) -> float:
        top, left, bottom, right = _window((height, width), size, settings, draws)
        return max(size[0] / (bottom - top), size[1] / (right - left))

    picture = read_picture(source, max_pixels=max_pixels, scale_for=scale_for)
    rgb = picture.rgb if picture.alpha is None else lay_on(picture.rgb, picture.alpha, WHITE)
    return rgb, picture.shrink


def _window(
    picture: tuple[int, int],
    size: tuple[int, int],
    settings: ViewSettings,
    draws: Sequence[float] | NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Top, left, bottom and right of the part of a (height, width) picture that is shown.

    Its aspect is that of `size` but for the stretching; where that does not fit at the drawn
    area it is made smaller, not narrower.
    """
    height, width = picture
    low, high = settings.area
    area = (low + (high - low) * draws[0]) * height * width
    stretch = (1 + settings.aspect) ** (2 * draws[1] - 1)
    aspect = stretch * size[1] / size[0]
    shown = np.array([math.sqrt(area / aspect), math.sqrt(area * aspect)])
    shown *= min(1.0, height / shown[0], width / shown[1])
    top, left = (height - shown[0]) * draws[2], (width - shown[1]) * draws[3]
    return top, left, top + shown[0], left + shown[1]


def _whole(start: float, end: float, length: int) -> slice:
    """Whole pixels of `length` from `start` to `end`, at least one."""
    first = min(max(round(start), 0), length - 1)
    return slice(first, min(max(round(end), first + 1), length))


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    """(height, width, 3) uint8, in a tenth of the time of `resized` where little is lost by it.

    Down to half the size no pixel is passed over by straight lines between neighbours; the other
    side may be smaller by the stretching, which is seldom much.
    """
    if min(image.shape[0] / size[0], image.shape[1] / size[1]) > 2:
        return resized(image, size)
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _colour_matrix(
    view: Image, settings: ViewSettings, draws: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """(3, 4): RGB and 1 to RGB, all changes of light and colour in one; None for no change."""
    if not (settings.light or settings.colour):
        return None
    signed = 2 * draws - 1
    brightness, contrast = 1 + settings.light * signed[:2]
    saturation, turn = 1 + settings.colour * signed[2], settings.colour * signed[3] * math.pi / 2
    cosine, sine = saturation * math.cos(turn), saturation * math.sin(turn)
    colour = _FROM_YIQ @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ _TO_YIQ
    grey = float(_LUMA @ np.array(cv2.mean(view)[:3]))
    matrix = np.empty((3, 4))
    matrix[:, :3] = brightness * contrast * colour
    matrix[:, 3] = brightness * (1 - contrast) * grey  # contrast is about the mean of the view
    return matrix
