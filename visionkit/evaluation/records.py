"""Every find and every missed box as a row, marked with what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from visionkit.evaluation.metrics import BoxMetrics
from visionkit.evaluation.wording import ITEMS, Wording
from visionkit.files import atomic_write


def outcome_records(
    metrics: BoxMetrics, images: Sequence[str], *, wording: Wording = ITEMS
) -> Iterator[dict[str, Any]]:
    """One JSON value a find, and one a box that no find at its threshold is right about.

    A find has `image`, `item`, `score`, `box` (xyxy pixels), `outcome` (one of `OUTCOMES`), `iou`,
    `counted` (whether it reaches its threshold), and, where it stands on a true box, `truth_item`
    and `truth_box`. A box not found has the outcome "missed" and no score.

    Args:
        metrics: of `evaluate_boxes`.
        images: the name of each picture, in the order evaluated.
        wording: of the task; with `CLASSES`, "label" stands for "item" in these names.

    Raises:
        ValueError: the number of names is not that of the pictures.
    """
    if len(images) != metrics.pictures:
        raise ValueError(
            f"images must name every picture evaluated, got {len(images)} names for "
            f"{metrics.pictures} pictures; give them in the order evaluated."
        )
    outcomes, names, key = metrics.outcomes, metrics.class_names, wording.key
    kinds = [wording.outcome(name) for name in outcomes.kind_names()]
    for find in range(len(outcomes.score)):
        record = {
            "image": images[outcomes.picture[find]],
            key: names[outcomes.class_id[find]],
            "score": float(outcomes.score[find]),
            "box": outcomes.box[find].tolist(),
            "outcome": kinds[find],
            "iou": float(outcomes.iou[find]),
            "counted": bool(metrics.above[find]),
        }
        if outcomes.truth[find] >= 0:
            record[f"truth_{key}"] = names[outcomes.truth_class_id[outcomes.truth[find]]]
            record["truth_box"] = outcomes.truth_box[outcomes.truth[find]].tolist()
        yield record
    for truth in missed_truths(metrics):
        yield {
            "image": images[outcomes.truth_picture[truth]],
            key: names[outcomes.truth_class_id[truth]],
            "box": outcomes.truth_box[truth].tolist(),
            "outcome": "missed",
        }


def missed_truths(metrics: BoxMetrics) -> list[int]:
    """Rows of the true boxes that no find at or above its threshold is right about."""
    find = metrics.outcomes.truth_find
    return [row for row in range(len(find)) if find[row] < 0 or not metrics.above[find[row]]]


def write_outcomes(
    path: str | Path, metrics: BoxMetrics, images: Sequence[str], *, wording: Wording = ITEMS
) -> Path:
    """Path of the JSON Lines file with a line for each of `outcome_records`.

    Raises:
        ValueError: the number of names is not that of the pictures.
        RuntimeError: the disk is full.
    """
    with atomic_write(path) as file:
        for record in outcome_records(metrics, images, wording=wording):
            text = json.dumps(record, ensure_ascii=False)
            file.write(text.encode("utf-8", errors="backslashreplace") + b"\n")
    return Path(path)
