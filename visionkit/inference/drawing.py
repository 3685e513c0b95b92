"""Predictions drawn on the picture they were made of."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import supervision as sv
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from visionkit.inference.prediction import Prediction
from visionkit.scores import score_text
from visionkit.types import Image

_Colour = tuple[int, int, int]
_EDGE: _Colour = (20, 20, 20)
_GOLDEN_ANGLE = 0.381966  # of a full turn: neighbouring class ids get hues that lie far apart


def draw_prediction(image: Image, prediction: Prediction) -> Image:
    """A copy of the picture with the boxes of all heads and the classes of the whole picture.

    What the exemplar head finds lies on top of what the localization head does. The classes that
    reach their thresholds stand in the upper left corner, one below the other.

    Args:
        image: (H, W, 3) uint8 RGB.
        prediction: boxes in pixels of `image`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    for detections in (prediction.localization, prediction.exemplar):
        if detections is not None and len(detections):
            image = draw_finds(image, detections)
    if not prediction.labels or prediction.classification is None:
        return image.copy()
    return _draw_labels(image, prediction, prediction.classification)


def draw_finds(image: Image, detections: sv.Detections) -> Image:
    """A copy of the picture with a frame and a label for each find, the surest on top.

    The frame is the quad of `detections.data["quad"]` where it is there and finite, else the box.
    Lines and letters grow with the picture. Names in Latin, Greek, Cyrillic and Arabic letters
    are drawn as they are; a letter that the font (DejaVu Sans) lacks is a hollow box.

    Args:
        image: (H, W, 3) uint8 RGB.
        detections: boxes in pixels of `image`; named by `data["class_name"]`, else by class id.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = PillowImage.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    long_side = max(image.shape[:2])
    width = max(2, round(long_side / 400))
    font = _font(max(12, round(long_side / 48)))
    scores = _scores(detections)
    for find in np.argsort(scores, kind="stable"):  # the surest last, so on top
        colour = class_colour(_class_id(detections, int(find)))
        outline = [(float(x), float(y)) for x, y in _outline(detections, int(find))]
        closed = [*outline, outline[0]]
        # A dark edge, lest a frame be lost on ground of its own colour.
        pen.line(closed, fill=_EDGE, width=width + 2, joint="curve")
        pen.line(closed, fill=colour, width=width, joint="curve")
        _draw_label(pen, _label(detections, int(find)), outline, colour, font, canvas.size)
    return np.asarray(canvas)


def _draw_labels(image: Image, prediction: Prediction, classes: sv.Classifications) -> Image:
    canvas = PillowImage.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    font = _font(max(12, round(max(image.shape[:2]) / 48)))
    line = sum(font.getmetrics()) * 1.4
    for row, label in enumerate(prediction.labels, start=1):
        place = prediction.class_names.index(label)
        text = " ".join(label.split())
        if classes.confidence is not None:
            text = f"{text} {score_text(classes.confidence[place])}"
        colour = class_colour(int(classes.class_id[place]))
        _draw_label(pen, text, [(0.0, row * line)], colour, font, canvas.size)
    return np.asarray(canvas)


def class_colour(class_id: int) -> _Colour:
    """RGB of a class, 0..255 each; the same for the same id, far from those of its neighbours."""
    red, green, blue = colorsys.hls_to_rgb((0.58 + class_id * _GOLDEN_ANGLE) % 1.0, 0.46, 0.82)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    text: str,
    outline: list[tuple[float, float]],
    colour: _Colour,
    font: ImageFont.FreeTypeFont,
    canvas_size: tuple[int, int],
) -> None:
    """The label above the frame, or inside it where the picture ends, never off the picture."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    pad = max(2, round((bottom - top) / 5))
    label_width, label_height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(point[0] for point in outline)
    y = min(point[1] for point in outline)
    x = max(0.0, min(x, canvas_size[0] - label_width))
    y = y - label_height if y >= label_height else max(0.0, y)
    pen.rectangle((x, y, x + label_width, y + label_height), fill=colour)
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    ink = (0, 0, 0) if light else (255, 255, 255)
    pen.text((x + pad - left, y + pad - top), text, fill=ink, font=font)


def _outline(detections: sv.Detections, find: int) -> NDArray[np.float64]:
    """(4, 2) corners in order."""
    quads = detections.data.get("quad")
    if quads is not None:
        quad = np.asarray(quads[find], dtype=np.float64).reshape(4, 2)
        if np.isfinite(quad).all():
            return quad
    x_min, y_min, x_max, y_max = detections.xyxy[find].astype(np.float64)
    return np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])


def _label(detections: sv.Detections, find: int) -> str:
    names = detections.data.get("class_name")
    name = str(names[find]) if names is not None else f"class {_class_id(detections, find)}"
    name = " ".join(name.split())  # a line break in a name would draw over the picture
    if detections.confidence is None:
        return name
    return f"{name} {score_text(detections.confidence[find])}"


def _class_id(detections: sv.Detections, find: int) -> int:
    return 0 if detections.class_id is None else int(detections.class_id[find])


def _scores(detections: sv.Detections) -> NDArray[np.float64]:
    if detections.confidence is None:
        return np.zeros(len(detections))
    return detections.confidence.astype(np.float64)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings this font; Pillow's own lacks most letters beyond Western Europe.
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), size)
