"""The wall of the report: finds cut out of their pictures, with the view that matched beside."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import supervision as sv
from numpy.typing import NDArray
from PIL import Image as PillowImage

from visionkit.evaluation.metrics import BoxMetrics
from visionkit.evaluation.outcomes import OUTCOMES
from visionkit.evaluation.records import missed_truths
from visionkit.evaluation.summary import number
from visionkit.evaluation.wording import ITEMS, Wording
from visionkit.scores import score_text
from visionkit.types import Image

_SCENE_SIZE = (360, 270)  # width, height of a cut-out in the page
_VIEW_SIDE = 150
_QUALITY = 80
_WRONG_WORDS = {
    "duplicate": "second find of one box",
    "misplaced": "too little overlap (IoU {iou})",
    "wrong item": "this is {truth}",
    "background": "none of the {kinds} is here",
}

Views = Mapping[str, Mapping[str, Image]]
"""The pictures of each item by the id of the view."""


@dataclass(frozen=True)
class Mark:
    """A frame on a cut-out: SVG points in its pixels, and what it marks (right, wrong, truth)."""

    points: str
    kind: str


@dataclass(frozen=True)
class Card:
    """One find or missed box, ready for the page.

    Attributes:
        item: what was found, or missed.
        words: why it stands on the wall.
        evidence: score, similarity, inliers, runner-up, as far as they are known.
        picture: name of the picture that it lies in.
        scene: the cut-out as a data URI.
        width: of the cut-out in pixels.
        height: of the cut-out in pixels.
        marks: frames on it.
        view: the view that matched as a data URI, or "" where it is not known.
        view_name: the file of the view, or its id where that is not known.
        view_words: what the view is to the find.
    """

    item: str
    words: str
    evidence: str
    picture: str
    scene: str
    width: int
    height: int
    marks: tuple[Mark, ...]
    view: str
    view_name: str
    view_words: str


@dataclass(frozen=True)
class Pictures:
    """What the wall shows finds of.

    Attributes:
        names: the name of each picture, in the order evaluated.
        read: the picture of a number, (H, W, 3) uint8 RGB; called only for what is shown.
        predictions: the finds of each picture, as evaluated, with their evidence in `data`.
        views: the pictures of each item.
        view_files: id of a view -> where it came from.
        wording: of the task.
    """

    names: Sequence[str]
    read: Callable[[int], Image]
    predictions: Sequence[sv.Detections]
    views: Views
    view_files: Mapping[str, str]
    wording: Wording = ITEMS


def best_cards(metrics: BoxMetrics, pictures: Pictures, count: int) -> list[Card]:
    """The surest right finds, in turn from each item."""
    right = np.flatnonzero(metrics.outcomes.is_true & metrics.above)
    return [
        _find_card(metrics, pictures, find, "right")
        for find in _in_turn(metrics, right.tolist(), count)
    ]


def worst_cards(metrics: BoxMetrics, pictures: Pictures, count: int) -> list[Card]:
    """The surest wrong finds, in turn from each item."""
    wrong = np.flatnonzero(~metrics.outcomes.is_true & metrics.above)
    return [
        _find_card(metrics, pictures, find, "wrong")
        for find in _in_turn(metrics, wrong.tolist(), count)
    ]


def missed_cards(metrics: BoxMetrics, pictures: Pictures, count: int) -> list[Card]:
    """The largest boxes that were not found, in turn from each item."""
    boxes = metrics.outcomes.truth_box
    side = boxes[:, 2:] - boxes[:, :2]
    class_ids = metrics.outcomes.truth_class_id
    shown = _turns(
        ((int(class_ids[row]), float(side[row].prod()), row) for row in missed_truths(metrics)),
        count,
    )
    return [_missed_card(metrics, pictures, truth) for truth in shown]


def data_uri(image: Image, *, quality: int = _QUALITY) -> str:
    """The picture as a JPEG inside a data URI."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def fitted(image: Image, size: tuple[int, int], *, enlarge: float = 1.0) -> Image:
    """The picture scaled to fit in `size` (width, height), enlarged at most `enlarge` times."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height, enlarge)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, target, interpolation=method), dtype=np.uint8)


def mark(box: NDArray[np.floating], kind: str, *, scale: float = 1.0) -> Mark:
    """A frame around a box (4,) xyxy or a quad (4, 2), in pixels times `scale`."""
    corners = np.asarray(box, dtype=np.float64)
    if corners.shape == (4,):
        x_min, y_min, x_max, y_max = corners
        corners = np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
    return Mark(" ".join(f"{x:.1f},{y:.1f}" for x, y in corners * scale), kind)


def _in_turn(metrics: BoxMetrics, finds: list[int], count: int) -> list[int]:
    outcomes = metrics.outcomes
    return _turns(
        ((int(outcomes.class_id[find]), float(outcomes.score[find]), find) for find in finds), count
    )


def _turns(ranked: Iterable[tuple[int, float, int]], count: int) -> list[int]:
    """Up to `count` rows of (class id, rank, row): the highest of each class, the second ...

    Without turns one easy item would fill the wall.
    """
    seen: dict[int, int] = {}
    turns = []
    for class_id, rank, row in sorted(ranked, key=lambda entry: -entry[1]):
        seen[class_id] = seen.get(class_id, 0) + 1
        turns.append((seen[class_id], -rank, row))
    return [row for _, _, row in sorted(turns)[:count]]


def _find_card(metrics: BoxMetrics, pictures: Pictures, find: int, kind: str) -> Card:
    outcomes = metrics.outcomes
    picture, truth = int(outcomes.picture[find]), int(outcomes.truth[find])
    detections, position = pictures.predictions[picture], int(outcomes.position[find])
    item = metrics.class_names[outcomes.class_id[find]]
    frames: list[tuple[NDArray[np.floating], str]] = []
    if truth >= 0:
        frames.append((outcomes.truth_box[truth], "truth"))
    frames.append((_frame(detections, position), kind))
    view_name = _text(detections, "view", position)
    outcome = OUTCOMES[outcomes.kind[find]]
    words = f"overlap IoU {number(outcomes.iou[find])}"
    if kind == "wrong":
        names = [metrics.class_names[outcomes.truth_class_id[truth]] if truth >= 0 else ""]
        words = _WRONG_WORDS[outcome].format(
            iou=number(outcomes.iou[find]), truth=names[0], kinds=pictures.wording.kinds
        )
    return _card(
        pictures,
        picture,
        item=item,
        words=words,
        evidence=_evidence(metrics, detections, find, position),
        frames=frames,
        view_name=view_name,
        view_words="matched",
    )


def _missed_card(metrics: BoxMetrics, pictures: Pictures, truth: int) -> Card:
    outcomes = metrics.outcomes
    picture, class_id = int(outcomes.truth_picture[truth]), int(outcomes.truth_class_id[truth])
    box = outcomes.truth_box[truth]
    width, height = box[2] - box[0], box[3] - box[1]
    frames: list[tuple[NDArray[np.floating], str]] = [(box, "missed")]
    words, view_name, score = "nothing was found here", "", None
    guess = _best_guess(metrics, truth)
    if guess >= 0:
        detections = pictures.predictions[picture]
        position = int(outcomes.position[guess])
        frames.append((_frame(detections, position), "guess"))
        view_name = _text(detections, "view", position)
        words, score = _guess_words(metrics, guess, class_id), float(outcomes.score[guess])
    item, threshold = metrics.class_names[class_id], metrics.per_class[class_id].threshold
    if view_name not in pictures.views.get(item, {}):
        view_name = next(iter(pictures.views.get(item, {})), "")
    evidence = f"{width:.0f} × {height:.0f} px, threshold {score_text(threshold, beside=score)}"
    return _card(
        pictures,
        picture,
        item=item,
        words=words,
        evidence=evidence,
        frames=frames,
        view_name=view_name,
        view_words="looked for",
    )


def _best_guess(metrics: BoxMetrics, truth: int) -> int:
    """Row of the surest find that stands on a true box, right or not; -1 where there is none."""
    standing = np.flatnonzero(metrics.outcomes.truth == truth)
    if len(standing) == 0:
        return -1
    return int(standing[metrics.outcomes.score[standing].argmax()])


def _guess_words(metrics: BoxMetrics, guess: int, class_id: int) -> str:
    outcomes = metrics.outcomes
    threshold = metrics.per_class[outcomes.class_id[guess]].threshold
    score, iou = score_text(outcomes.score[guess], beside=threshold), number(outcomes.iou[guess])
    if outcomes.class_id[guess] != class_id:
        words = "taken for" if metrics.above[guess] else "only guess, below its threshold:"
        return f"{words} {metrics.class_names[outcomes.class_id[guess]]} ({score})"
    if outcomes.kind[guess] == OUTCOMES.index("misplaced"):
        return f"found at {score}, but with IoU {iou}"
    return f"found at {score}, below the threshold"


def _evidence(metrics: BoxMetrics, detections: sv.Detections, find: int, position: int) -> str:
    threshold = metrics.per_class[metrics.outcomes.class_id[find]].threshold
    score = float(metrics.outcomes.score[find])
    words = score_text(score, beside=threshold), score_text(threshold, beside=score)
    parts = [f"score {words[0]} (threshold {words[1]})"]
    similarity = _value(detections, "similarity", position)
    if math.isfinite(similarity):
        parts.append(f"similarity {score_text(similarity)}")
    inliers = _value(detections, "inliers", position)
    if math.isfinite(inliers):
        parts.append(f"{inliers:.0f} inliers")
    runner_up = _text(detections, "runner_up", position)
    if runner_up:
        nearest = _value(detections, "runner_up_score", position)
        parts.append(f"runner-up {runner_up} {score_text(nearest)}")
    return " · ".join(parts)


def _card(
    pictures: Pictures,
    picture: int,
    *,
    item: str,
    words: str,
    evidence: str,
    frames: Sequence[tuple[NDArray[np.floating], str]],
    view_name: str,
    view_words: str,
) -> Card:
    image = pictures.read(picture)
    x_min, y_min, x_max, y_max = _window([box for box, _ in frames], image.shape[:2])
    cut_out = fitted(image[y_min:y_max, x_min:x_max], _SCENE_SIZE, enlarge=3.0)
    scale = cut_out.shape[1] / (x_max - x_min)
    moved = [
        mark(np.reshape(box, (-1, 2)) - (x_min, y_min), kind, scale=scale)
        if np.size(box) == 8
        else mark(np.asarray(box) - (x_min, y_min, x_min, y_min), kind, scale=scale)
        for box, kind in frames
    ]
    view = pictures.views.get(item, {}).get(view_name)
    return Card(
        item=item,
        words=words,
        evidence=evidence,
        picture=pictures.names[picture],
        scene=data_uri(cut_out),
        width=cut_out.shape[1],
        height=cut_out.shape[0],
        marks=tuple(moved),
        view="" if view is None else data_uri(fitted(view, (_VIEW_SIDE, _VIEW_SIDE), enlarge=4.0)),
        view_name=pictures.view_files.get(view_name) or view_name,
        view_words=view_words,
    )


def _window(
    frames: Sequence[NDArray[np.floating]], image_size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The part of the picture to show, xyxy: the frames in the middle of a 4:3 cut-out."""
    corners = np.concatenate([np.reshape(frame, (-1, 2)) for frame in frames]).astype(np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    aspect = _SCENE_SIZE[0] / _SCENE_SIZE[1]
    size = high - low
    # At least a third of the picture, so that a small find still shows where it lies.
    height = max(2.2 * size[1], 2.2 * size[0] / aspect, 0.33 * image_size[0], 24.0)
    width = min(height * aspect, image_size[1])
    height = min(height, image_size[0])
    x_min = min(max((low[0] + high[0] - width) / 2, 0), image_size[1] - width)
    y_min = min(max((low[1] + high[1] - height) / 2, 0), image_size[0] - height)
    x_max, y_max = math.ceil(x_min + width), math.ceil(y_min + height)
    return int(x_min), int(y_min), min(x_max, image_size[1]), min(y_max, image_size[0])


def _frame(detections: sv.Detections, position: int) -> NDArray[np.floating]:
    """(4, 2) quad of a find where it has one, else its (4,) xyxy box."""
    quads = detections.data.get("quad")
    if quads is not None:
        quad = np.asarray(quads[position], dtype=np.float64).reshape(4, 2)
        if np.isfinite(quad).all():
            return quad
    box: NDArray[np.floating] = detections.xyxy[position].astype(np.float64)
    return box


def _text(detections: sv.Detections, key: str, position: int) -> str:
    values = detections.data.get(key)
    return "" if values is None else str(values[position])


def _value(detections: sv.Detections, key: str, position: int) -> float:
    values = detections.data.get(key)
    return float("nan") if values is None else float(values[position])
