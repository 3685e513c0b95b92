"""Words that never were, set in the fonts that come with matplotlib and Pillow."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

Mask = NDArray[np.uint8]
"""(H, W) uint8, 255 is inside."""

_FONT_FILES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
    "cmb10.ttf",
    "cmtt10.ttf",
)
_PILLOW_FONT = ""  # Pillow's own, which has no file
FONTS = (*_FONT_FILES, _PILLOW_FONT)

_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "cr",
    "dr",
    "fl",
    "gr",
    "kl",
    "pl",
    "pr",
    "sk",
    "sp",
    "st",
    "tr",
    "sh",
    "ch",
    "qu",
    "y",
    "x",
]
_VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "y", "ai", "ea", "oo", "io"]
_CODAS = ["", "", "", "n", "r", "s", "x", "l", "m", "t", "k", "nd", "rt", "sk"]
_OTHER_LETTERS = {
    "greek": "ΑΒΓΔΕΖΗΘΚΛΜΝΞΠΡΣΤΦΨΩ",
    "cyrillic": "АБВГДЕЖЗИКЛМНПРСТУФЦЧШЩЮЯ",
    "georgian": "აბგდევზთიკლმნოპრსტუფქშჩცძწჭხჯ",
    "armenian": "ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏ",
}
_EM = 144
_CAPITAL = 0.73  # height of capitals, in ems


def random_word(rng: np.random.Generator, syllables: int) -> str:
    """A word one could say, in small letters, capitals or mixed; rarely with a digit."""
    parts = [
        str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) + str(rng.choice(_CODAS))
        for _ in range(syllables)
    ]
    word = "".join(parts)[:9]
    if rng.random() < 0.08:
        word += str(rng.integers(2, 100))
    return [word, word.upper(), word.upper(), word.capitalize()][int(rng.integers(4))]


def random_text(rng: np.random.Generator, syllables: int = 0) -> tuple[str, str]:
    """A word and a font that has its letters; one word in ten is not in Latin letters."""
    syllables = syllables or int(rng.choice([1, 2, 2, 3]))
    if rng.random() < 0.1:
        letters = _OTHER_LETTERS[str(rng.choice(list(_OTHER_LETTERS)))]
        picked = rng.choice(list(letters), 2 * syllables)
        return "".join(picked), str(rng.choice([f for f in FONTS if f.startswith("DejaVuSans-B")]))
    return random_word(rng, syllables), str(rng.choice(FONTS))


def text_mask(text: str, font: str, *, spacing: float = 0.0) -> Mask:
    """The text as a mask cut to its ink, about 144 pixels an em.

    Args:
        text: one line with at least one letter that leaves ink.
        font: one of FONTS.
        spacing: added between letters, in ems; negative pushes them together.
    """
    face = _face(font)
    left = [face.getlength(text[:index]) + index * spacing * _EM for index in range(len(text))]
    width = int(left[-1] + 2 * _EM + face.getlength(text[-1]))
    page = PillowImage.new("L", (width, 2 * _EM))
    draw = ImageDraw.Draw(page)
    for letter, x in zip(text, left, strict=True):
        draw.text((x + _EM / 2, _EM / 2), letter, fill=255, font=face)
    return trimmed(np.asarray(page))


def styled_mask(rng: np.random.Generator, text: str, font: str) -> Mask:
    """The text with random spacing, weight, width and slant, cut to its ink."""
    mask = text_mask(text, font, spacing=float(rng.choice([0, 0, -0.05, 0.06, 0.15])))
    weight = int(rng.choice([0, 0, 3, 6, 9]))
    if weight:
        pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (weight, weight))
        mask = np.asarray(cv2.dilate(np.pad(mask, weight), pen), np.uint8)
    slant = float(rng.choice([0, 0, 0, 0.2, 0.3, -0.15]))
    stretch = float(rng.choice([1, 1, 0.7, 0.8, 1.25, 1.5]))
    return trimmed(_sheared(mask, slant, stretch))


def arched_mask(text: str, font: str, *, size: int, radius: float, above: bool) -> Mask:
    """(size, size) mask with the text along a circle about the centre.

    Args:
        text: one line; it is spread so that it takes at most two thirds of the circle.
        font: one of FONTS.
        size: side of the mask in pixels.
        radius: of the letters' middle, as a fraction of half the side.
        above: along the upper half, tops outwards; else along the lower half, tops inwards.
    """
    page = np.zeros((size, size), np.uint8)
    height = 0.15 * radius * size
    widths = np.array([_face(font).getlength(letter) for letter in text]) / _EM * height * 1.35
    angles = (np.cumsum(widths) - widths / 2) / (radius * size / 2)
    total = float(widths.sum()) / (radius * size / 2)
    squeeze = min(1.0, 4.2 / total)
    angles = (angles - total / 2) * squeeze
    for letter, angle in zip(text, angles, strict=True):
        if letter.strip():
            _stamp(page, _letter(letter, font), angle, radius, height * squeeze, above)
    return page


def trimmed(mask: Mask) -> Mask:
    """The part of the mask that holds ink; the mask itself where there is none."""
    x, y, width, height = cv2.boundingRect(mask)
    return mask[y : y + height, x : x + width] if width else mask


def _sheared(mask: Mask, slant: float, stretch: float) -> Mask:
    height, width = mask.shape
    extra = abs(slant) * height
    move = extra if slant > 0 else 0.0
    matrix = np.array([[stretch, -slant, move], [0, 1, 0]], np.float64)
    size = (int(np.ceil(width * stretch + extra)) + 1, height)
    return np.asarray(cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_AREA), np.uint8)


def _stamp(
    page: Mask, letter: Mask, angle: float, radius: float, height: float, above: bool
) -> None:
    half = len(page) / 2
    scale = height / (_CAPITAL * _EM)
    turn = angle if above else -angle
    direction = -1 if above else 1
    centre_x = half + np.sin(angle) * radius * half
    centre_y = half + direction * np.cos(angle) * radius * half
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    rows, columns = letter.shape
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = [centre_x, centre_y] - matrix[:, :2] @ [columns / 2, rows / 2]
    drawn = cv2.warpAffine(letter, matrix, (len(page), len(page)), flags=cv2.INTER_LINEAR)
    np.maximum(page, drawn, out=page)


@cache
def _letter(letter: str, font: str) -> Mask:
    """One letter, capitals' middle in the middle, so that all of a word share the base line."""
    face = _face(font)
    width = max(1, int(np.ceil(face.getlength(letter))))
    page = PillowImage.new("L", (width, round(1.5 * _EM)))
    base_line = (0.75 + _CAPITAL / 2) * _EM
    ImageDraw.Draw(page).text((0, base_line), letter, fill=255, font=face, anchor="ls")
    return np.asarray(page)


@cache
def _face(font: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if font == _PILLOW_FONT:
        return ImageFont.load_default(_EM)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / font), _EM)
