"""Marks that never were: logo-like pictures with transparency, drawn from a seed.

They are the items of the demo set, and the endless supply of unknown items that the exemplar
head learns on. Emblems, lettering, badges and labels, in two to four flat colours, sometimes
with a gradient or a rim of light.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data import lettering, shapes
from visionkit.data.canvas import Canvas, Colour, both, either, minus
from visionkit.data.lettering import Mask
from visionkit.data.shapes import Shape

_WHITE: Colour = (0.98, 0.98, 0.97)
_BLACK: Colour = (0.07, 0.07, 0.08)
_SHARPNESS = 2  # drawn this much larger than asked for, for smooth edges


@dataclass(frozen=True)
class _Palette:
    """Colours of one mark: `main` and `second` stand out from each other, `third` from both."""

    main: Colour
    second: Colour
    third: Colour


def draw_mark(rng: np.random.Generator, size: int = 256) -> NDArray[np.uint8]:
    """A logo-like mark as (H, W, 4) uint8 RGBA, cut to its ink, longest side `size`.

    Colours are not premultiplied. The same state of `rng` gives the same mark.

    Args:
        rng: numbers to draw from.
        size: longest side in pixels, at least 16.

    Raises:
        ValueError: `size` is smaller than 16.
    """
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}; ask for a larger mark")
    canvas = Canvas(_SHARPNESS * size)
    palette = _palette(rng)
    weights = np.array([weight for weight, _ in _LAYOUTS])
    layout = _LAYOUTS[int(rng.choice(len(_LAYOUTS), p=weights / weights.sum()))][1]
    layout(canvas, rng, palette)
    if rng.random() < 0.15:
        _sheen(canvas, rng)
    if _is_plain(canvas):
        return draw_mark(rng, size)
    return canvas.picture(size)


def _is_plain(canvas: Canvas) -> bool:
    """Whether there is next to nothing, or nothing but one colour in a bulging outline.

    Such a mark could not be told from any ball or sign.
    """
    mask = (canvas.alpha > 0.5).astype(np.uint8)
    area = cv2.countNonZero(mask)
    if area < 0.01 * mask.size:
        return True
    hull = cv2.convexHull(cv2.findNonZero(mask))
    spread = cv2.meanStdDev(canvas.rgb, mask=mask)[1].max()
    return area > 0.93 * cv2.contourArea(hull) and float(spread) < 0.12


def _palette(rng: np.random.Generator) -> _Palette:
    hue = rng.random()
    if rng.random() < 0.5:  # red, yellow, green and blue are what most marks are printed in
        hue = float(rng.choice([0.0, 0.12, 0.38, 0.6])) + rng.normal(0, 0.025)
    kind = rng.random()
    strong = _colour(hue, rng.uniform(0.55, 1), rng.uniform(0.35, 0.9))
    if kind < 0.1:
        strong = _BLACK
    light = _colour(hue + rng.uniform(-0.1, 0.1), rng.uniform(0, 0.3), 0.97)
    second = _WHITE if rng.random() < 0.6 else light
    if kind > 0.8:  # two strong colours
        second = _colour(hue + rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.95), rng.uniform(0.75, 1))
    if abs(_luminance(strong) - _luminance(second)) < 0.3:
        second = _WHITE if _luminance(strong) < 0.55 else _BLACK
    third = _colour(hue + rng.choice([0.08, 0.35, 0.5, 0.65]), rng.uniform(0.5, 0.95), 0.9)
    if rng.random() < 0.3:
        third = _BLACK if _luminance(strong) > 0.4 else _colour(0.13, 0.85, 0.98)
    return _Palette(strong, second, third)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(float(hue) % 1, float(saturation), float(value))


def _luminance(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def _emblem_mask(canvas: Canvas, rng: np.random.Generator, size: float) -> Mask:
    """A shape, often cut into or doubled, about the centre."""
    shape = shapes.random_shape(rng)
    if rng.random() < 0.25:
        shape = shapes.fitted(shapes.turned(shape, rng.uniform(-0.5, 0.5)))
    mask = canvas.mask(shape, size)
    extra = rng.random()
    if extra < 0.2:
        mask = minus(mask, canvas.mask(shapes.random_shape(rng), 0.5 * size))
    elif extra < 0.35:
        mask = minus(mask, _stripes(canvas, rng))
    elif extra < 0.45:
        mask = either(mask, canvas.mask(shapes.random_shape(rng), 0.8 * size))
    if rng.random() < 0.3:
        mask = _rounded(mask, canvas.side * 0.015)
    return np.asarray(mask, np.uint8)


def _stripes(canvas: Canvas, rng: np.random.Generator) -> Mask:
    count = int(rng.integers(1, 5))
    pitch = 2 / (count + 1)
    thick = pitch * rng.uniform(0.08, 0.2)
    bands = [
        shapes.moved(shapes.box(1.6, thick), 0, -1 + (index + 1) * pitch)[0]
        for index in range(count)
    ]
    return canvas.mask(shapes.turned(bands, float(rng.choice([0, 0, 0.4, 0.8, np.pi / 2]))))


def _rounded(mask: Mask, radius: float) -> Mask:
    soft = cv2.GaussianBlur(mask, (0, 0), max(radius, 0.5)).astype(np.float32)
    return np.asarray(np.clip((soft - 127.5) * max(radius, 1) * 1.5 + 127.5, 0, 255), np.uint8)


def _outlined(mask: Mask, width: float) -> Mask:
    side = max(3, 2 * round(width) + 1)
    return np.asarray(
        cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8
    )


def _plate(rng: np.random.Generator, *, wide: bool = False) -> Shape:
    """An outline that carries something else."""
    if wide:
        kind = int(rng.integers(4))
        height = rng.uniform(0.35, 0.6)
        bands: list[Callable[[], Shape]] = [
            lambda: shapes.box(1, height, rng.choice([0.0, 0.1, 0.2])),
            lambda: shapes.box(1, height, height),
            lambda: shapes.scaled(shapes.circle(), 1, height),
            lambda: [shapes.box(1, height)[0] + shapes.box(1, height)[0][:, 1:] * [[-0.25, 0]]],
        ]
        return bands[kind]()
    plates: list[Callable[[], Shape]] = [
        shapes.circle,
        shapes.circle,
        lambda: shapes.seal(int(rng.integers(10, 30)), rng.uniform(0.03, 0.08)),
        lambda: shapes.box(0.9, 0.9, rng.choice([0.0, 0.2, 0.4])),
        lambda: shapes.shield(rng.uniform(0, 1.5)),
        lambda: shapes.polygon(int(rng.choice([4, 5, 6, 8]))),
        lambda: shapes.scaled(shapes.circle(), 0.75, 1),
        lambda: shapes.blob(rng.uniform(0.8, 1, 7), mirrored=True),
    ]
    return plates[int(rng.integers(len(plates)))]()


def _shade(canvas: Canvas, rng: np.random.Generator, colour: Colour) -> NDArray[np.float32]:
    """The colour, or one time in four a gradient to a darker or other tone of it."""
    if rng.random() > 0.25:
        return np.asarray(colour, np.float32)
    other = np.asarray(colour) * rng.uniform(0.45, 0.75)
    if rng.random() < 0.3:
        other = np.asarray(_colour(rng.random(), 0.9, 0.95))
    ramp = np.linspace(0, 1, canvas.side, dtype=np.float32)
    mix = ramp[:, None, None] if rng.random() < 0.7 else ramp[None, :, None]
    mixed = np.asarray(colour, np.float32) * (1 - mix) + other.astype(np.float32) * mix
    return np.broadcast_to(mixed, (canvas.side, canvas.side, 3)).astype(np.float32)


def _emblem(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    mask = _emblem_mask(canvas, rng, 1.0)
    if rng.random() < 0.2:
        canvas.paint(_outlined(mask, 0.02 * canvas.side), palette.third)
    canvas.paint(mask, _shade(canvas, rng, palette.main))
    for colour in (palette.second, palette.third)[: int(rng.choice([0, 1, 1, 2]))]:
        inner = _emblem_mask(canvas, rng, rng.uniform(0.35, 0.75))
        canvas.paint(both(inner, mask), colour)


def _pieces(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    """One outline divided among the colours."""
    mask = _emblem_mask(canvas, rng, 1.0)
    canvas.paint(mask, palette.main)
    angle = rng.uniform(0, np.pi)
    half_plane = shapes.turned(shapes.moved(shapes.box(2, 2), 2 + rng.uniform(-0.2, 0.2), 0), angle)
    canvas.paint(both(mask, canvas.mask(half_plane)), palette.third)
    if rng.random() < 0.5:
        quarter = shapes.turned(shapes.moved(shapes.box(2, 2), 2, 2), angle)
        canvas.paint(both(mask, canvas.mask(quarter)), palette.second)
    if rng.random() < 0.4:
        canvas.erase(canvas.mask(shapes.turned(shapes.box(2, rng.uniform(0.02, 0.06)), angle)))


def _wordmark(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    text, font = lettering.random_text(rng)
    mask = canvas.placed(lettering.styled_mask(rng, text, font), 0, 0, 0.95, 0.6)
    style = rng.random()
    if style < 0.25:
        canvas.paint(_outlined(mask, 0.014 * canvas.side), palette.second)
    canvas.paint(mask, _shade(canvas, rng, palette.main))
    if style > 0.75:
        colour = palette.third if rng.random() < 0.5 else palette.main
        stroke = shapes.swoosh(rng.uniform(-0.5, 0.5), rng.uniform(0.04, 0.1))
        canvas.paint(canvas.mask(shapes.moved(stroke, 0, 0.5)), colour)


def _two_lines(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    text, font = lettering.random_text(rng, 2)
    below, other_font = lettering.random_text(rng, 3)
    canvas.paint(
        canvas.placed(lettering.styled_mask(rng, text, font), 0, -0.2, 0.95, 0.3), palette.main
    )
    small = lettering.text_mask(below, other_font, spacing=float(rng.uniform(0, 0.3)))
    canvas.paint(canvas.placed(small, 0, 0.28, rng.uniform(0.5, 0.95), 0.11), palette.third)


def _monogram(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    plate = _plate(rng)
    base = canvas.mask(plate)
    canvas.paint(base, _shade(canvas, rng, palette.main))
    if rng.random() < 0.4:
        canvas.paint(canvas.mask(plate, 0.9), palette.second)
        canvas.paint(canvas.mask(plate, 0.82), palette.main)
    letters = lettering.random_word(rng, 1)[: int(rng.integers(1, 4))].upper()
    mask = lettering.styled_mask(rng, letters, str(rng.choice(lettering.FONTS)))
    canvas.paint(canvas.placed(mask, 0, 0, 0.55, 0.45), palette.second)


def _badge(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    """A round badge with lettering along its rim and an emblem in the middle."""
    rim = shapes.circle()
    if rng.random() < 0.4:
        rim = shapes.seal(int(rng.integers(12, 36)), rng.uniform(0.03, 0.06))
    canvas.paint(canvas.mask(rim), palette.main)
    canvas.paint(canvas.mask(shapes.ring(0.94, 0.91)), palette.second)
    inner = rng.uniform(0.52, 0.6)
    canvas.paint(canvas.mask(shapes.circle(inner)), palette.second)
    for above in (True, False)[: int(rng.integers(1, 3))]:
        text, font = lettering.random_text(rng, 3)
        arched = lettering.arched_mask(
            text, font, size=canvas.side, radius=(0.91 + inner) / 2, above=above
        )
        canvas.paint(arched, palette.second)
    colour = palette.third if _apart(palette.third, palette.second) else palette.main
    canvas.paint(_emblem_mask(canvas, rng, inner * 0.75), colour)


def _ribbon(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    """A plate with an emblem, and a ribbon with a word across it."""
    plate = _plate(rng)
    canvas.paint(canvas.mask(plate, 0.88), palette.main)
    canvas.paint(canvas.mask(plate, 0.78), palette.second)
    emblem = _emblem_mask(canvas, rng, 0.5)
    canvas.paint(emblem, palette.main)
    y, height = rng.uniform(-0.1, 0.45), rng.uniform(0.14, 0.22)
    tail = np.array(
        [
            (-1, y + 0.05),
            (-0.7, y + 0.05),
            (-0.7, y + 0.1 + 2 * height),
            (-1, y + 0.1 + 2 * height),
            (-0.88, y + 0.07 + height),
        ]
    )
    for side in (1, -1):
        canvas.paint(canvas.mask([tail * [side, 1]]), 0.6 * np.asarray(palette.third, np.float32))
    band = shapes.moved(shapes.box(0.82, height), 0, y + height)
    canvas.paint(canvas.mask(band), palette.third)
    text, font = lettering.random_text(rng)
    ink = palette.second if _apart(palette.third, palette.second) else _BLACK
    word = lettering.styled_mask(rng, text, font)
    canvas.paint(canvas.placed(word, 0, y + height, 0.7, height * 0.68), ink)


def _lockup(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    """An emblem beside or above a word, on a plate half the time."""
    text, font = lettering.random_text(rng)
    word = lettering.styled_mask(rng, text, font)
    ink, word_ink = palette.main, palette.main
    beside = rng.random() < 0.6
    if rng.random() < 0.5:
        plate = shapes.box(1, 0.42 if beside else 0.85, rng.choice([0.0, 0.1, 0.4]))
        canvas.paint(canvas.mask(plate), _shade(canvas, rng, palette.main))
        ink, word_ink = palette.second, palette.second
    if _apart(palette.third, palette.main) and rng.random() < 0.5:
        ink = palette.third
    emblem = lettering.trimmed(_emblem_mask(canvas, rng, 0.9))
    if beside:
        canvas.paint(canvas.placed(emblem, -0.6, 0, 0.28, 0.28), ink)
        canvas.paint(canvas.placed(word, 0.28, 0, 0.55, 0.26), word_ink)
    else:
        canvas.paint(canvas.placed(emblem, 0, -0.26, 0.5, 0.45), ink)
        canvas.paint(canvas.placed(word, 0, 0.5, 0.8, 0.2), word_ink)


def _word_plate(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    plate = _plate(rng, wide=True)
    mask = canvas.mask(plate)
    canvas.paint(mask, palette.third if rng.random() < 0.3 else palette.second)
    canvas.paint(canvas.mask(plate, rng.uniform(0.9, 1)), _shade(canvas, rng, palette.main))
    text, font = lettering.random_text(rng)
    word = lettering.styled_mask(rng, text, font)
    canvas.paint(canvas.placed(word, 0, 0, 0.74, 0.26), palette.second)


def _label(canvas: Canvas, rng: np.random.Generator, palette: _Palette) -> None:
    """The front of a pack: ground, pattern, word, emblem and small print."""
    width = rng.uniform(0.55, 0.95)
    front = canvas.mask(shapes.box(width, 1, rng.choice([0.0, 0.06, 0.15])))
    canvas.paint(front, _shade(canvas, rng, palette.main))
    band = shapes.moved(shapes.box(1.2, rng.uniform(0.2, 0.5)), 0, rng.uniform(-0.6, 0.8))
    tilt = float(rng.choice([0, 0, -0.3, 0.3]))
    canvas.paint(both(front, canvas.mask(shapes.turned(band, tilt))), palette.third)
    disc = canvas.mask(shapes.moved(_plate(rng), 0, 0.5), 0.5)
    canvas.paint(both(front, disc), palette.second)
    emblem = lettering.trimmed(_emblem_mask(canvas, rng, 0.9))
    canvas.paint(canvas.placed(emblem, 0, 0.25, 0.28, 0.28), palette.main)
    text, font = lettering.random_text(rng)
    word = canvas.placed(lettering.styled_mask(rng, text, font), 0, -0.5, width * 0.85, 0.24)
    canvas.paint(_outlined(word, 0.012 * canvas.side), palette.main)
    canvas.paint(word, palette.second)
    for line in range(int(rng.integers(0, 3))):
        small, font = lettering.random_text(rng, 3)
        print_mask = lettering.text_mask(small, font)
        canvas.paint(
            canvas.placed(print_mask, 0, 0.72 + 0.1 * line, width * 0.6, 0.035), palette.second
        )


def _sheen(canvas: Canvas, rng: np.random.Generator) -> None:
    """Light on the upper half, as on enamel."""
    gloss = shapes.moved(shapes.scaled(shapes.circle(), 1.3, 0.8), rng.uniform(-0.3, 0.3), -0.7)
    light = canvas.mask(gloss).astype(np.float32) / 255 * rng.uniform(0.15, 0.3)
    added = (light * canvas.alpha)[..., None]
    canvas.rgb += added - canvas.rgb * light[..., None]


def _apart(first: Colour, second: Colour) -> bool:
    return abs(_luminance(first) - _luminance(second)) > 0.25


_Layout = Callable[[Canvas, np.random.Generator, _Palette], None]
_LAYOUTS: tuple[tuple[float, _Layout], ...] = (
    (0.20, _emblem),
    (0.09, _pieces),
    (0.15, _wordmark),
    (0.06, _two_lines),
    (0.08, _monogram),
    (0.10, _badge),
    (0.07, _ribbon),
    (0.10, _lockup),
    (0.07, _word_plate),
    (0.08, _label),
)
