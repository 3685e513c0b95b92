"""Label Studio: a JSON list of tasks, with predictions, and its JSON export back.

Its form is that of labelstud.io/guide/tasks and /guide/export: boxes in percent of the picture,
turned about their upper left corner. Each task carries id and revision of its picture.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from visionkit.data.formats.text import TextError, read_text
from visionkit.data.problems import Problem
from visionkit.files import write_bytes, write_json
from visionkit.flywheel.boxes import Box
from visionkit.flywheel.exchange.answered import Answered, Answers
from visionkit.flywheel.exchange.class_names import ClassNames
from visionkit.flywheel.exchange.outlines import around_ellipse, around_points
from visionkit.flywheel.exchange.question import Question
from visionkit.types import Sample

TASKS_NAME, CONFIG_NAME = "tasks.json", "label_config.xml"
_ID, _REVISION = "visionkit_id", "visionkit_revision"
_NAMED = "labels"
"""So the types of results end that name what was drawn, with the names under the same word."""
_SHAPES = ("rectangle", "polygon", "ellipse", "brush", "keypoint", "vector")
"""Types of what was drawn alone; its name is a result of the same id."""
_SERVED = "/data/local-files/?d=images/"
"""How Label Studio serves local files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def write(
    questions: Sequence[Question], names: Mapping[str, str], offered: ClassNames, folder: Path
) -> None:
    """Writes tasks.json, and label_config.xml for the settings of the project."""
    write_json(folder / TASKS_NAME, [_task(each, names[each.sample.id]) for each in questions])
    choice = "single" if all(each.one_class for each in questions) else "multiple"
    write_bytes(folder / CONFIG_NAME, _config(offered, choice))


def read(path: Path, samples: Mapping[str, Sample]) -> Answers:
    """The answers in a JSON export; tasks that nobody answered are left out.

    Args:
        path: the exported file.
        samples: by id, for their sizes.

    Raises:
        ValueError: the file is no such export.
    """
    try:
        tasks = json.loads(read_text(path))
    except TextError as error:
        raise ValueError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON export of Label Studio, got {error}") from error
    if not isinstance(tasks, list):
        raise ValueError(f"{path} must be a JSON export of Label Studio, which is a list of tasks")
    answered: list[Answered] = []
    problems: list[Problem] = []
    for number, task in enumerate(tasks, start=1):
        try:
            answer = _answer(task, samples)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"task {number} must be one of those written by visionkit, got {error!r}"
            problems.append(Problem(str(path), None, f"{reason}; left out"))
        else:
            answered += [answer] if answer else []
    return Answers(tuple(answered), tuple(problems))


def _task(question: Question, name: str) -> dict[str, Any]:
    sample = question.sample
    data = {
        "image": _SERVED + quote(name),
        _ID: sample.id,
        _REVISION: question.revision,
        "reason": question.reason,
    }
    result = [_rectangle(sample, number, question) for number in range(len(question.shown))]
    if question.shown_labels:
        result.append(_choices(question.shown_labels))
    model = next((entry.model for entry in question.proposals), "visionkit")
    return {"data": data, "predictions": [{"model_version": model, "result": result}]}


def _rectangle(sample: Sample, number: int, question: Question) -> dict[str, Any]:
    entry = question.shown[number]
    x_min, y_min, x_max, y_max = entry.box
    return {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_width": sample.width,
        "original_height": sample.height,
        "value": {
            "x": 100 * x_min / sample.width,
            "y": 100 * y_min / sample.height,
            "width": 100 * (x_max - x_min) / sample.width,
            "height": 100 * (y_max - y_min) / sample.height,
            "rotation": 0,
            "rectanglelabels": [entry.label],
        },
    }


def _choices(labels: Sequence[str]) -> dict[str, Any]:
    value = {"choices": list(labels)}
    return {"id": "whole", "type": "choices", "from_name": "whole", "to_name": "image"} | {
        "value": value
    }


def _config(offered: ClassNames, choice: str) -> bytes:
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="$reason")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true")
    controls: tuple[tuple[str, str, str, Sequence[str], dict[str, str]], ...] = (
        ("RectangleLabels", "box", "Label", offered.boxes, {}),
        ("Choices", "whole", "Choice", offered.whole, {"choice": choice}),
    )
    for tag, name, child, labels, options in controls:
        if labels:
            control = ET.SubElement(view, tag, {"name": name, "toName": "image", **options})
            for label in labels:
                ET.SubElement(control, child, value=label)
    ET.indent(view)
    content: bytes = ET.tostring(view, encoding="utf-8")
    return content + b"\n"


def _answer(task: Mapping[str, Any], samples: Mapping[str, Sample]) -> Answered | None:
    """What somebody said of a picture; None where nobody has."""
    if not isinstance(task, dict):
        raise TypeError(f"a task must be an object, got {task!r:.40}")
    if "data" not in task:
        raise ValueError("no data; export as JSON, not as JSON-MIN")
    given = [each for each in task.get("annotations", ()) if isinstance(each, dict)]
    if not given:
        return None
    last = _last(given)
    data = task["data"]
    sample = samples[str(data[_ID])]
    labels: list[str] = []
    boxes, unread = [], []
    outlines = 0
    results = last.get("result", ())
    named = {result.get("id", "") for result in results if result["type"].endswith(_NAMED)}
    for result in results:
        kind, value = result["type"], result.get("value", {})
        # Others, such as relations between boxes, say nothing of what is taken here; nor does a
        # choice about a box, which has its id.
        if kind == "choices" and result.get("id") not in named:
            labels += [str(label) for label in value["choices"]]
        elif kind in _SHAPES and result.get("id") not in named:
            unread.append(f"a {kind} without a label")
        elif kind.endswith(_NAMED) and (box := _around(value, sample)) is not None:
            boxes += [(str(label), box) for label in value[kind]]
            outlines += "height" not in value
        elif kind.endswith(_NAMED):
            unread.append(kind)
    return Answered(
        sample.id,
        int(data[_REVISION]),
        _who(last.get("completed_by")),
        tuple(dict.fromkeys(labels)),
        tuple(boxes),
        outlines,
        tuple(unread),
        unsure=bool(last.get("was_cancelled")),
    )


def _last(given: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The annotation that counts: the newest of somebody who could tell in the end."""
    in_order = sorted(given, key=_updated)
    people = {_who(each.get("completed_by")): each for each in in_order}
    told = [each for each in people.values() if not each.get("was_cancelled")]
    return max(told or in_order, key=_updated)


def _updated(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at", ""))


def _around(value: Mapping[str, Any], sample: Sample) -> Box | None:
    """Xyxy in pixels of what a shape covers; None of one that is no closed outline."""
    if {"x", "y", "width", "height"} <= value.keys():
        return _corners(value, sample)
    x_scale, y_scale = sample.width / 100, sample.height / 100
    if "points" in value:
        points = [(float(x) * x_scale, float(y) * y_scale) for x, y in value["points"]]
        return around_points(points) if len(points) > 2 else None
    if "radiusX" in value:
        x, radius_x = (float(value[name]) * x_scale for name in ("x", "radiusX"))
        y, radius_y = (float(value[name]) * y_scale for name in ("y", "radiusY"))
        degrees = float(value.get("rotation") or 0)
        return around_ellipse(x, y, radius_x, radius_y, degrees=degrees)
    return None


def _corners(value: Mapping[str, Any], sample: Sample) -> Box:
    """Xyxy in pixels of what a box covers, if it is turned, too."""
    x, width = (float(value[name]) * sample.width / 100 for name in ("x", "width"))
    y, height = (float(value[name]) * sample.height / 100 for name in ("y", "height"))
    angle = math.radians(float(value.get("rotation") or 0))
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
    return around_points(
        [(x + cos * right - sin * down, y + sin * right + cos * down) for right, down in corners]
    )


def _who(value: object) -> str:
    """A person as the export names them: by number, or with an address."""
    if isinstance(value, dict):
        return str(value.get("email") or "") or _who(value.get("id"))
    return "" if value is None else f"annotator {value}"
