"""What became of every find and every true box: the record that box metrics are counted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import supervision as sv
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_T = TypeVar("_T", bound=np.generic)

IOU_THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.50, 0.55 ... 0.95: the overlaps over which COCO averages AP."""

OUTCOMES = ("true", "duplicate", "misplaced", "wrong item", "background")
"""What a find can be: right; a second find of a box already found; on the right item but with too
little overlap; on a box of another item; on nothing. The split of the errors follows TIDE
(Bolya et al., ECCV 2020, section 2.2)."""

_TRUE, _DUPLICATE, _MISPLACED, _WRONG_ITEM, _BACKGROUND = range(len(OUTCOMES))

MISPLACED_IOU = 0.1
"""From this overlap with a box of its item up to 0.5, a find is misplaced (TIDE)."""


@dataclass(frozen=True)
class Truth:
    """The true boxes of one picture.

    Attributes:
        boxes: (N, 4) xyxy in pixels of the upright picture; N may be 0.
        class_ids: (N,) indices into the class names.
    """

    boxes: NDArray[np.float32]
    class_ids: IntArray

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        class_ids = np.asarray(self.class_ids, dtype=np.int64).reshape(-1)
        if len(boxes) != len(class_ids):
            raise ValueError(
                f"Truth must have one class id a box, got {len(boxes)} boxes and "
                f"{len(class_ids)} class ids; give both in the same order."
            )
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "class_ids", class_ids)

    @classmethod
    def empty(cls) -> Truth:
        """A picture that holds none of the items."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Outcomes:
    """Every find and every true box of a set of pictures, in the order given.

    Finds are N rows, true boxes M rows; both number pictures from 0 to `pictures` - 1.

    Attributes:
        pictures: how many pictures there are, those without finds or boxes included.
        picture: (N,) int64, the picture of the find.
        position: (N,) int64, index of the find within its picture's detections.
        class_id: (N,) int64.
        score: (N,) float64.
        box: (N, 4) float32 xyxy.
        kind: (N,) int64, index into `OUTCOMES`, at IoU 0.5.
        iou: (N,) float64, overlap with the box in `truth`; 0 where there is none.
        truth: (N,) int64, row of the true box that the find stands on, or -1.
        matched: (T, N) bool, whether the find is right at each of `IOU_THRESHOLDS`.
        truth_picture: (M,) int64.
        truth_class_id: (M,) int64.
        truth_box: (M, 4) float32 xyxy.
        truth_find: (M,) int64, row of the find that is right about the box at IoU 0.5, or -1.
    """

    pictures: int
    picture: IntArray
    position: IntArray
    class_id: IntArray
    score: FloatArray
    box: NDArray[np.float32]
    kind: IntArray
    iou: FloatArray
    truth: IntArray
    matched: BoolArray
    truth_picture: IntArray
    truth_class_id: IntArray
    truth_box: NDArray[np.float32]
    truth_find: IntArray

    @property
    def is_true(self) -> BoolArray:
        """(N,) bool: the finds that are right at IoU 0.5."""
        right: BoolArray = self.kind == _TRUE
        return right

    def kind_names(self) -> list[str]:
        """The word of `OUTCOMES` for each find."""
        return [OUTCOMES[kind] for kind in self.kind]

    def of_picture(self, picture: int) -> IntArray:
        """(K,) int64: rows of the finds in one picture, in the order of its detections."""
        start, stop = np.searchsorted(self.picture, [picture, picture + 1])
        return np.arange(start, stop, dtype=np.int64)


def judge(
    truths: Sequence[Truth], predictions: Sequence[sv.Detections], *, class_count: int
) -> Outcomes:
    """The outcome of every find, matched as COCO does.

    Within a picture and a class, finds are taken from the highest score down, and each takes
    the free true box that it overlaps most, if by at least the IoU threshold.

    Args:
        truths: one a picture; `Truth.empty()` for a picture that holds nothing.
        predictions: one a picture, in the same order, with `class_id` and `confidence`.
        class_count: how many classes there are.

    Raises:
        ValueError: the two lists differ in length, a class id is out of range, finds have no
            confidence or class, or a number is not finite. The message names the picture.
    """
    if len(truths) != len(predictions):
        raise ValueError(
            f"predictions must have one entry a picture, got {len(predictions)} for "
            f"{len(truths)} truths; give sv.Detections.empty() where nothing was found."
        )
    judged = [
        _judge_picture(truth, detections, picture, class_count)
        for picture, (truth, detections) in enumerate(zip(truths, predictions, strict=True))
    ]
    return _gather(truths, judged)


@dataclass(frozen=True)
class _Judged:
    """One picture's finds; `truth` and `truth_find` count within the picture."""

    class_id: IntArray
    score: FloatArray
    box: NDArray[np.float32]
    kind: IntArray
    iou: FloatArray
    truth: IntArray
    matched: BoolArray
    truth_find: IntArray


def _judge_picture(
    truth: Truth, detections: sv.Detections, picture: int, class_count: int
) -> _Judged:
    class_id, score, box = _read_detections(detections, picture, class_count)
    _check_class_ids(truth.class_ids, class_count, f"truth of picture {picture}")
    _check_finite(truth.boxes, f"truth boxes of picture {picture}")
    iou = _pairwise_iou(box, truth.boxes)  # (N, M)
    same = class_id[:, None] == truth.class_ids[None, :]  # (N, M)
    order = np.argsort(-score, kind="stable")
    taken = [_match(np.where(same, iou, 0.0), order, minimum) for minimum in IOU_THRESHOLDS]
    kind, stands_on = _explain(iou, same, taken[0])
    truth_find = np.full(len(truth.boxes), -1, dtype=np.int64)
    right = np.flatnonzero(taken[0] >= 0)
    truth_find[taken[0][right]] = right
    own_iou = np.zeros(len(box))
    somewhere = np.flatnonzero(stands_on >= 0)
    own_iou[somewhere] = iou[somewhere, stands_on[somewhere]]
    matched = np.stack([row >= 0 for row in taken])
    return _Judged(class_id, score, box, kind, own_iou, stands_on, matched, truth_find)


def _match(iou: FloatArray, order: IntArray, minimum: float) -> IntArray:
    """(N,) index of the true box that each find takes, or -1."""
    taken = np.full(len(iou), -1, dtype=np.int64)
    if iou.shape[1] == 0:
        return taken
    hopeful = iou.max(axis=1) >= minimum
    free = np.ones(iou.shape[1], dtype=bool)
    for find in order[hopeful[order]]:  # few finds overlap anything: the loop is short
        overlap = np.where(free, iou[find], -1.0)
        best = int(overlap.argmax())
        if overlap[best] >= minimum:
            taken[find] = best
            free[best] = False
    return taken


def _explain(iou: FloatArray, same: BoolArray, taken: IntArray) -> tuple[IntArray, IntArray]:
    """Each find's outcome (index into OUTCOMES) and the true box that it stands on, or -1."""
    kind = np.full(len(iou), _BACKGROUND, dtype=np.int64)
    stands_on = np.full(len(iou), -1, dtype=np.int64)
    if iou.shape[1] == 0:
        return kind, stands_on
    own = np.where(same, iou, 0.0)
    other = np.where(same, 0.0, iou)
    # From the weakest explanation to the strongest; the later one overwrites.
    for name, overlap, minimum in (
        (_MISPLACED, own, MISPLACED_IOU),
        (_WRONG_ITEM, other, IOU_THRESHOLDS[0]),
        (_DUPLICATE, own, IOU_THRESHOLDS[0]),
    ):
        holds = overlap.max(axis=1) >= minimum
        kind[holds] = name
        stands_on[holds] = overlap.argmax(axis=1)[holds]
    right = taken >= 0
    kind[right] = _TRUE
    stands_on[right] = taken[right]
    return kind, stands_on


def _gather(truths: Sequence[Truth], judged: Sequence[_Judged]) -> Outcomes:
    finds = np.array([len(one.score) for one in judged], dtype=np.int64)
    boxes = np.array([len(truth.boxes) for truth in truths], dtype=np.int64)
    first_find = np.concatenate([[0], np.cumsum(finds)])[:-1]
    first_box = np.concatenate([[0], np.cumsum(boxes)])[:-1]
    pictures = np.arange(len(truths), dtype=np.int64)
    return Outcomes(
        pictures=len(truths),
        picture=np.repeat(pictures, finds),
        position=_joined(
            [np.arange(count, dtype=np.int64) for count in finds], np.zeros(0, np.int64)
        ),
        class_id=_joined([one.class_id for one in judged], np.zeros(0, np.int64)),
        score=_joined([one.score for one in judged], np.zeros(0)),
        box=_joined([one.box for one in judged], np.zeros((0, 4), np.float32)),
        kind=_joined([one.kind for one in judged], np.zeros(0, np.int64)),
        iou=_joined([one.iou for one in judged], np.zeros(0)),
        truth=_shifted([one.truth for one in judged], first_box),
        matched=_joined(
            [one.matched.T for one in judged], np.zeros((0, len(IOU_THRESHOLDS)), np.bool_)
        ).T.copy(),
        truth_picture=np.repeat(pictures, boxes),
        truth_class_id=_joined([truth.class_ids for truth in truths], np.zeros(0, np.int64)),
        truth_box=_joined([truth.boxes for truth in truths], np.zeros((0, 4), np.float32)),
        truth_find=_shifted([one.truth_find for one in judged], first_find),
    )


def _joined(parts: Sequence[NDArray[_T]], empty: NDArray[_T]) -> NDArray[_T]:
    joined: NDArray[_T] = np.concatenate([empty, *parts])
    return joined


def _shifted(parts: Sequence[IntArray], firsts: IntArray) -> IntArray:
    """Indices within a picture as rows of all pictures; -1 stays -1."""
    moved = [
        np.where(part >= 0, part + first, -1) for part, first in zip(parts, firsts, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int64), *moved]).astype(np.int64, copy=False)


def _pairwise_iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> FloatArray:
    """(N, M) intersection over union in float64; 0 where both boxes have no area."""
    a, b = first.astype(np.float64)[:, None, :], second.astype(np.float64)[None, :, :]
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = size[..., 0] * size[..., 1]
    union = _area(a) + _area(b) - shared
    iou: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _area(boxes: FloatArray) -> FloatArray:
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    area: FloatArray = np.clip(width, 0, None) * np.clip(height, 0, None)
    return area


def _read_detections(
    detections: sv.Detections, picture: int, class_count: int
) -> tuple[IntArray, FloatArray, NDArray[np.float32]]:
    box = np.asarray(detections.xyxy, dtype=np.float32).reshape(-1, 4)
    if len(box) == 0:
        return np.zeros(0, np.int64), np.zeros(0), box
    if detections.class_id is None or detections.confidence is None:
        missing = "class_id" if detections.class_id is None else "confidence"
        raise ValueError(
            f"predictions must have class_id and confidence, got {len(box)} finds without "
            f"{missing} [picture {picture}]; set both before evaluating."
        )
    class_id = np.asarray(detections.class_id, dtype=np.int64)
    score = np.asarray(detections.confidence, dtype=np.float64)
    _check_class_ids(class_id, class_count, f"predictions of picture {picture}")
    _check_finite(box, f"predicted boxes of picture {picture}")
    _check_finite(score, f"predicted scores of picture {picture}")
    return class_id, score, box


def _check_class_ids(class_ids: NDArray[np.integer], class_count: int, where: str) -> None:
    wrong = class_ids[(class_ids < 0) | (class_ids >= class_count)]
    if len(wrong):
        raise ValueError(
            f"class ids must be 0 to {class_count - 1}, got {int(wrong[0])} [{where}]; "
            "give the class names that the ids were made with."
        )


def _check_finite(values: NDArray[np.floating], where: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"numbers must be finite, got nan or infinity [{where}]; leave such boxes out."
        )
