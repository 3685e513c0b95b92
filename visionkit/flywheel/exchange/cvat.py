"""CVAT: XML of the form "CVAT for images 1.1", and the same back.

docs.cvat.ai/docs/dataset_management/formats/format-cvat. The names of the pictures carry id and
revision. CVAT says of no picture whether somebody has looked at it: all in a file count as
answered.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from visionkit.data.formats.text import Element, TextError, read_xml
from visionkit.data.problems import Problem
from visionkit.files import write_bytes, write_json
from visionkit.flywheel.boxes import Box
from visionkit.flywheel.exchange.answered import Answered, Answers
from visionkit.flywheel.exchange.class_names import ClassNames
from visionkit.flywheel.exchange.naming import by_digest, read_name
from visionkit.flywheel.exchange.outlines import around_ellipse, around_points
from visionkit.flywheel.exchange.question import Question
from visionkit.types import ObjectBox, Sample

ANNOTATIONS_NAME, LABELS_NAME = "annotations.xml", "labels.json"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_MASK = ("left", "top", "width", "height")


def write(
    questions: Sequence[Question], names: Mapping[str, str], offered: ClassNames, folder: Path
) -> None:
    """Writes annotations.xml to upload, and labels.json for the raw labels of the task."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    labels = _labels(offered)
    root.append(_meta(labels, len(questions)))
    for number, question in enumerate(questions):
        root.append(_image(number, question, names[question.sample.id]))
    ET.indent(root)
    write_bytes(folder / ANNOTATIONS_NAME, ET.tostring(root, encoding="utf-8") + b"\n")
    raw = [{"name": name, "type": kind, "attributes": []} for name, kind in labels.items()]
    write_json(folder / LABELS_NAME, raw)


def read(path: Path, samples: Mapping[str, Sample]) -> Answers:
    """The answers in an annotations.xml; a picture without boxes and tags shows nothing.

    Args:
        path: the exported file.
        samples: by id.

    Raises:
        ValueError: the file is no such export.
    """
    try:
        root = read_xml(path)
    except TextError as error:
        raise ValueError(f"{path}: {error}") from error
    if root.tag != "annotations":
        raise ValueError(f"{path} must begin with <annotations> as CVAT exports, got <{root.tag}>")
    answered: list[Answered] = []
    problems: list[Problem] = []
    ids = by_digest(samples)
    for element in root.children:
        if element.tag == "track":
            problems.append(_problem(path, element, "tracks can't be read; export for images"))
        elif element.tag == "image":
            try:
                sample_id, revision = read_name(element.attributes["name"], ids)
                if sample_id not in samples:
                    raise ValueError(f"the picture must be in the catalog, got {sample_id!r}")
                _check_size(element.attributes, samples[sample_id])
                answered.append(_answer(element, sample_id, revision))
            except (KeyError, ValueError) as error:
                problems.append(_problem(path, element, f"{error.args[0]}; left out"))
    return Answers(tuple(answered), tuple(problems))


def _labels(offered: ClassNames) -> dict[str, str]:
    """Name -> what of CVAT it labels: boxes, whole pictures or any; sorted."""
    kinds = dict.fromkeys(offered.boxes, "rectangle") | dict.fromkeys(offered.whole, "tag")
    kinds |= dict.fromkeys({*offered.boxes} & {*offered.whole}, "any")
    return dict(sorted(kinds.items()))


def _meta(labels: Mapping[str, str], count: int) -> ET.Element:
    """What CVAT says of a task in an export; other tools read the labels from it."""
    meta = ET.Element("meta")
    task = ET.SubElement(meta, "task")
    ET.SubElement(task, "size").text = str(count)
    ET.SubElement(task, "mode").text = "annotation"
    listed = ET.SubElement(task, "labels")
    for name, kind in labels.items():
        label = ET.SubElement(listed, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "type").text = kind
        ET.SubElement(label, "attributes")
    return meta


def _image(number: int, question: Question, name: str) -> ET.Element:
    sample = question.sample
    size = {"width": str(sample.width), "height": str(sample.height)}
    element = ET.Element("image", {"id": str(number), "name": name, **size})
    for entry in question.shown:
        element.append(_box(entry))
    for label in question.shown_labels:
        ET.SubElement(element, "tag", {"label": label, "source": "auto"})
    return element


def _box(entry: ObjectBox) -> ET.Element:
    corners = (f"{value:.2f}" for value in entry.box)
    values = {"label": entry.label, "source": "auto", "occluded": "0", "z_order": "0"}
    return ET.Element("box", values | dict(zip(_CORNERS, corners, strict=True)))


def _answer(element: Element, sample_id: str, revision: int) -> Answered:
    labels: list[str] = []
    boxes, unread = [], []
    outlines = 0
    for child in element.children:
        label = child.attributes.get("label", "")
        if child.tag == "tag":
            labels.append(label)
        elif (box := _around(child)) is not None:
            boxes.append((label, box))
            outlines += child.tag != "box"
        else:
            unread.append(child.tag)
    names = tuple(dict.fromkeys(labels))
    return Answered(
        sample_id, revision, "", names, tuple(boxes), outlines, tuple(unread), line=element.line
    )


def _check_size(values: Mapping[str, str], sample: Sample) -> None:
    """Passes if the boxes are of a picture of the size that was written, as far as it is said.

    Raises:
        ValueError: they are not.
    """
    stated = tuple(values.get(name, "") for name in ("width", "height"))
    if all(stated) and stated != (str(sample.width), str(sample.height)):
        raise ValueError(
            f"the size of {sample.id} must be {sample.width} x {sample.height} as it was written, "
            f"got {stated[0]} x {stated[1]}; upload the written pictures as they are"
        )


def _around(shape: Element) -> Box | None:
    """Xyxy in pixels of what a shape covers; None of one that covers nothing, such as a line."""
    values = shape.attributes
    if shape.tag == "box":
        return _corners(values)
    if shape.tag == "polygon":
        texts = (point.split(",") for point in values["points"].split(";"))
        points = [(float(x), float(y)) for x, y in texts]
        return around_points(points) if len(points) > 2 else None
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = (float(values[name]) for name in ("cx", "cy", "rx", "ry"))
        return around_ellipse(x, y, radius_x, radius_y, degrees=float(values.get("rotation", 0)))
    if shape.tag == "mask":
        left, top, width, height = (float(values[name]) for name in _MASK)
        return left, top, left + width, top + height
    return None


def _corners(values: Mapping[str, str]) -> Box:
    """Xyxy in pixels of what a box covers, if it is turned about its middle, too."""
    x_min, y_min, x_max, y_max = (float(values[name]) for name in _CORNERS)
    angle = math.radians(float(values.get("rotation", 0)))
    if not angle:
        return x_min, y_min, x_max, y_max
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = x_max - x_min, y_max - y_min
    right, down = (cos * width + sin * height) / 2, (sin * width + cos * height) / 2
    x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
    return x - right, y - down, x + right, y + down


def _problem(path: Path, element: Element, reason: str) -> Problem:
    return Problem(str(path), element.line, reason)
