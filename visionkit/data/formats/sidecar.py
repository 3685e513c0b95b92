"""What a format can't carry, in a file beside it that other tools don't look at.

`visionkit.json` holds id, split, labels, and boxes with their provenance, by the path of the
picture within the set. It only ever adds to what the format itself says: a box that was
changed or added with another tool is not in it, and keeps the values of that tool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from visionkit.data.table import to_table
from visionkit.files import write_json
from visionkit.types import ObjectBox, Sample, Split

NAME = "visionkit.json"
_VERSION = 1
_TOLERANCE = 1e-3
"""Pixels by which a box may differ from its copy here, and still be the same."""


def write_sidecar(folder: Path, samples: Sequence[Sample], names: Mapping[str, str]) -> None:
    """Writes `folder/visionkit.json`.

    Args:
        folder: where the set lies.
        samples: all its pictures.
        names: id -> path of the picture within `folder`, as a POSIX string.
    """
    pictures = {
        names[sample.id]: {
            "id": sample.id,
            "split": sample.split,
            "labels": list(sample.labels),
            "objects": [
                [entry.label, list(entry.box), entry.source, entry.created]
                for entry in sample.objects
            ],
        }
        for sample in samples
    }
    write_json(folder / NAME, {"version": _VERSION, "pictures": pictures})


def read_sidecar(folder: Path) -> dict[str, Sample]:
    """Path of a picture within `folder` -> what is known beyond the format; {} without a file.

    The samples hold no size and no hash.

    Raises:
        ValueError: the file is damaged or of a newer version.
    """
    file = folder / NAME
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["version"] > _VERSION:
            raise ValueError(f"it has version {content['version']}; update visionkit")
        json.dumps(content, ensure_ascii=False).encode()  # refuses half characters
        known = {name: _sample(name, entry) for name, entry in content["pictures"].items()}
        to_table(list(known.values()))  # refuses unfit labels and boxes, and ids that repeat
        return known
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it can't be used ({type(error).__name__}: {error})") from error


def complete(
    sample: Sample,
    known: Sample,
    *,
    states_split: bool,
    carries_boxes: bool,
    carries_labels: bool,
    path_decides: bool,
) -> Sample:
    """`sample`, as a format gave it, with what only the sidecar knows.

    Args:
        sample: with labels, split and boxes from the format; "" and () where it gave none.
        known: the same picture in the sidecar.
        states_split: whether the format says of the split also that there is none.
        carries_boxes: whether the format holds boxes; those that it lacks were taken out.
        carries_labels: whether it holds labels of whole pictures; likewise.
        path_decides: whether split and labels follow from the path, by which `known` was found,
            so that they can't have changed since; but for a split that is stated.
    """
    unsaid = not states_split and (path_decides or not sample.split)
    split = known.split if unsaid else sample.split
    labels = sample.labels if carries_labels and not path_decides else known.labels
    objects = _with_provenance(sample.objects, known.objects) if carries_boxes else known.objects
    return replace(sample, id=known.id, split=split, labels=labels, objects=objects)


def _with_provenance(
    found: Sequence[ObjectBox], known: Sequence[ObjectBox]
) -> tuple[ObjectBox, ...]:
    remaining = list(known)
    completed = []
    for entry in found:
        twin = next((other for other in remaining if _same(entry, other)), None)
        if twin is not None:
            remaining.remove(twin)
        completed.append(twin or entry)
    return tuple(completed)


def _same(one: ObjectBox, other: ObjectBox) -> bool:
    return one.label == other.label and all(
        abs(a - b) <= _TOLERANCE for a, b in zip(one.box, other.box, strict=True)
    )


def _sample(name: str, entry: Mapping[str, Any]) -> Sample:
    if entry["split"] not in get_args(Split):
        raise ValueError(f"split {entry['split']!r} of {name}")
    return Sample(
        id=str(entry["id"]),
        uri="",
        width=0,
        height=0,
        content_hash="",
        split=entry["split"],
        labels=tuple(str(label) for label in entry["labels"]),
        objects=tuple(_object(*values) for values in entry["objects"]),
    )


def _object(label: str, box: Sequence[float], source: str, created: str) -> ObjectBox:
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    return ObjectBox(str(label), (x_min, y_min, x_max, y_max), str(source), str(created))
