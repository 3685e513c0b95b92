"""COCO's figures by COCO's own evaluator, pycocotools, the sizes of boxes told apart."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionkit.evaluation.outcomes import Truth

_MOST = (1, 10, 100)  # finds a picture that count
_SMALL, _LARGE = 32**2, 96**2  # areas in pixels


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's twelve figures; nan where there is no true box of the kind.

    Areas are those of the boxes, in pixels of the original picture: small is below 32 x 32, large
    above 96 x 96. At most 100 finds a picture and class count, the best ones.

    Attributes:
        ap: mean over classes and over IoU 0.5 to 0.95.
        ap50, ap75: at IoU 0.5 and 0.75.
        ap_small, ap_medium, ap_large: `ap` by area.
        ar_1, ar_10, ar_100: mean recall over IoU 0.5 to 0.95 with so many finds a picture.
        ar_small, ar_medium, ar_large: `ar_100` by area.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float


def coco_metrics(
    truths: Sequence[Truth], predictions: Sequence[sv.Detections], class_count: int
) -> CocoMetrics:
    """COCO's figures over all classes.

    Args:
        truths: one a picture; `Truth.empty()` for a picture that holds nothing.
        predictions: one a picture, with `class_id` and `confidence` where it is not empty.
        class_count: how many classes there are.

    Raises:
        ValueError: the two lists differ in length.
    """
    if len(truths) != len(predictions):
        raise ValueError(
            f"predictions must have one entry a picture, got {len(predictions)} for {len(truths)} "
            "truths; give sv.Detections.empty() where nothing was found"
        )
    there, found = _true_boxes(truths), _found_boxes(predictions)
    if not there:
        return CocoMetrics(*[float("nan")] * len(fields(CocoMetrics)))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress and its table
        evaluator = COCOeval(
            _coco(there, len(truths), class_count), _coco(found, len(truths), class_count), "bbox"
        )
        evaluator.params.maxDets = list(_MOST)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    # COCO writes -1 for what is not defined, and a hair less than 1 where all finds are right.
    return CocoMetrics(
        *(round(float(each), 9) if each >= 0 else float("nan") for each in evaluator.stats)
    )


def box_sizes(boxes: NDArray[np.floating]) -> dict[str, int]:
    """How many of the (N, 4) xyxy boxes are "small", "medium" and "large" by COCO's areas.

    One that is exactly 32 x 32 or 96 x 96 counts as medium here; COCO counts it as both.
    """
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(np.float64)
    small, large = int((area < _SMALL).sum()), int((area > _LARGE).sum())
    return {"small": small, "medium": len(area) - small - large, "large": large}


def _coco(boxes: list[dict[str, Any]], pictures: int, class_count: int) -> Any:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": picture} for picture in range(pictures)],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes, start=1)],
        "categories": [{"id": index, "name": str(index)} for index in range(class_count)],
    }
    coco.createIndex()
    return coco


def _true_boxes(truths: Sequence[Truth]) -> list[dict[str, Any]]:
    return [
        {**_box(box, int(class_id), picture), "ignore": 0}
        for picture, truth in enumerate(truths)
        for box, class_id in zip(truth.boxes, truth.class_ids, strict=True)
    ]


def _found_boxes(predictions: Sequence[sv.Detections]) -> list[dict[str, Any]]:
    found = []
    for picture, detections in enumerate(predictions):
        if detections.class_id is None or detections.confidence is None:
            continue  # an empty one
        said = zip(detections.xyxy, detections.class_id, detections.confidence, strict=True)
        for box, class_id, score in said:
            found.append({**_box(box, int(class_id), picture), "score": float(score)})
    return found


def _box(box: NDArray[np.floating], class_id: int, picture: int) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (float(edge) for edge in box)
    width, height = x_max - x_min, y_max - y_min
    return {
        "image_id": picture,
        "category_id": class_id,
        "bbox": [x_min, y_min, width, height],
        "area": width * height,
        "iscrowd": 0,
    }
