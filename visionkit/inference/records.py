"""A prediction as plain values: a record a find or class, for JSON Lines and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import supervision as sv

from visionkit.inference.part_files import utf8
from visionkit.inference.prediction import Prediction

FIND_SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("item", pa.string()),
        pa.field("label", pa.string()),
        pa.field("class_id", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("assumed", pa.bool_()),
        pa.field("box", pa.list_(pa.float32(), 4)),
        pa.field("quad", pa.list_(pa.float32(), 8)),
        pa.field("view", pa.string()),
        pa.field("similarity", pa.float32()),
        pa.field("inliers", pa.int32()),
        pa.field("runner_up", pa.string()),
        pa.field("runner_up_score", pa.float32()),
    ]
)
"""The columns of `predictions.parquet`. `task` is the head that says so: "exemplar" names an
`item`, "localization" and "classification" a `label`. box is xyxy and quad four corners x, y in
turn, in pixels of the upright picture; a class of the whole picture has none, and `assumed` says
whether it reaches its threshold. What a row does not carry is null."""

_BOX_TEXTS = {
    "exemplar": {"item": "class_name", "view": "view", "runner_up": "runner_up"},
    "localization": {"label": "class_name"},
}
_NUMBERS = ("similarity", "inliers", "runner_up_score")
_CLASSES = 5
"""So many of the surest classes of a picture are kept, beside those that are assumed."""


def prediction_records(prediction: Prediction) -> list[dict[str, Any]]:
    """One JSON value a find or class, head by head, each from the highest score down.

    Numbers that are not finite are null.
    """
    records = []
    if prediction.exemplar is not None:
        records += _box_records("exemplar", prediction.exemplar)
    if prediction.classification is not None:
        records += _class_records(prediction, prediction.classification)
    if prediction.localization is not None:
        records += _box_records("localization", prediction.localization)
    return records


def read_prediction(tasks: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Prediction:
    """What `prediction_records` made records of; of the classes, those that were kept.

    Args:
        tasks: that were asked.
        records: as of `prediction_records`.

    Raises:
        KeyError, TypeError, ValueError: they are of another form.
    """
    by_task: dict[str, list[Mapping[str, Any]]] = {task: [] for task in tasks}
    for record in records:
        by_task[record["task"]].append(record)
    boxes = {task: _detections(task, by_task[task]) for task in _BOX_TEXTS if task in by_task}
    found = Prediction(exemplar=boxes.get("exemplar"), localization=boxes.get("localization"))
    if "classification" not in by_task:
        return found
    classes = by_task["classification"]
    return replace(
        found,
        classification=sv.Classifications(
            np.array([record["class_id"] for record in classes], np.int64),
            np.array([record["score"] for record in classes], np.float32),
        ),
        class_names=tuple(str(record["label"]) for record in classes),
        labels=tuple(str(record["label"]) for record in classes if record["assumed"]),
    )


def parquet_rows(line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of `FIND_SCHEMA` of a line of JSON Lines."""
    for find in line["finds"]:
        yield {
            "image": utf8(line["image"]).decode(),
            "width": line["width"],
            "height": line["height"],
            **parquet_find(find),
        }


def parquet_find(find: Mapping[str, Any]) -> dict[str, Any]:
    """A record as columns of Parquet, whose numbers have a type each."""
    row = dict(find)
    if row.get("inliers") is not None:
        row["inliers"] = int(row["inliers"])
    return row


def _box_records(task: str, detections: sv.Detections) -> list[dict[str, Any]]:
    scores = detections.confidence
    order = np.arange(len(detections)) if scores is None else np.argsort(-scores, kind="stable")
    return [_box_record(task, detections, int(find)) for find in order]


def _box_record(task: str, detections: sv.Detections, find: int) -> dict[str, Any]:
    data = detections.data
    record: dict[str, Any] = {"task": task}
    for key, source in _BOX_TEXTS[task].items():
        if source in data:
            record[key] = str(data[source][find])
    if detections.class_id is not None:
        record["class_id"] = int(detections.class_id[find])
    if detections.confidence is not None:
        record["score"] = _number(detections.confidence[find])
    record["box"] = [_number(value) for value in detections.xyxy[find]]
    if "quad" in data:
        quad = np.asarray(data["quad"][find], dtype=np.float32).reshape(8)
        record["quad"] = [_number(value) for value in quad] if np.isfinite(quad).all() else None
    for key in _NUMBERS:
        if key in data:
            record[key] = _number(data[key][find])
    if detections.tracker_id is not None:
        record["track"] = int(detections.tracker_id[find])
    return record


def _class_records(prediction: Prediction, classes: sv.Classifications) -> list[dict[str, Any]]:
    scores = classes.confidence if classes.confidence is not None else np.zeros(len(classes))
    assumed = [name in prediction.labels for name in prediction.class_names]
    order = np.argsort(-scores, kind="stable")
    return [
        {
            "task": "classification",
            "label": prediction.class_names[place],
            "class_id": int(classes.class_id[place]),
            "score": _number(scores[place]),
            "assumed": assumed[place],
        }
        for rank, place in enumerate(order)
        if rank < _CLASSES or assumed[place]
    ]


def _number(value: Any) -> float | int | None:
    """A JSON number with the digits that float32 has, or None where it is not finite."""
    if isinstance(value, int | np.integer):
        return int(value)
    short = float(str(np.float32(value)))
    return short if np.isfinite(short) else None


def _detections(task: str, finds: Sequence[Mapping[str, Any]]) -> sv.Detections:
    if not finds:
        return sv.Detections.empty()
    data: dict[str, Any] = {}
    for key, target in _BOX_TEXTS[task].items():
        if key in finds[0]:
            data[target] = np.array([find[key] for find in finds])
    for key in (*_NUMBERS, "quad"):
        if key in finds[0]:
            empty = [np.nan] * 8 if key == "quad" else np.nan
            values = [empty if find[key] is None else find[key] for find in finds]
            data[key] = np.array(values, dtype=np.float32)
    if "quad" in data:
        data["quad"] = data["quad"].reshape(-1, 4, 2)
    return sv.Detections(
        xyxy=np.array([find["box"] for find in finds], dtype=np.float32),
        class_id=np.array([find["class_id"] for find in finds]) if "class_id" in finds[0] else None,
        confidence=(
            np.array([find["score"] for find in finds], dtype=np.float32)
            if "score" in finds[0]
            else None
        ),
        tracker_id=np.array([find["track"] for find in finds]) if "track" in finds[0] else None,
        data=data,
    )
