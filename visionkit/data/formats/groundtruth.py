"""SageMaker Ground Truth: an augmented manifest, a JSON object a line.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html: object detection,
single-label and multi-label image classification. A picture in a bucket is looked for by its
key, and by the ends of its key, below the folder of the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry, EntryBox, numbers, stated_size
from visionkit.data.formats.paths import is_file, split_in_name
from visionkit.data.formats.place import by_split, class_names, place, split_suffix, to_xywh
from visionkit.data.formats.text import TextError, parse_json_line, read_text
from visionkit.data.images import is_junk
from visionkit.files import write_text
from visionkit.types import Sample

_BOXES = "groundtruth/object-detection"
_CLASS = "groundtruth/image-classification"
_CLASSES = "groundtruth/image-classification-multilabel"
_METADATA = "-metadata"


def find(folder: Path) -> list[Path]:
    """Manifests right in a folder."""
    files = (*folder.glob("*.manifest"), *folder.glob("*.jsonl"))
    return sorted(file for file in files if not is_junk(file.name))


def collect(source: Path, border: Border) -> None:
    """Adds what a manifest, or all manifests of a folder, state."""
    for file in find(source) if source.is_dir() else [source]:
        try:
            lines = read_text(file).split("\n")
        except TextError as error:
            border.report(file, error.line, error.reason)
            continue
        for number, text in enumerate(lines, start=1):
            if text.strip():
                _Line(file, number, border).collect(text)


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes `output.manifest`, or one file a split; returns the picture's path by id."""
    names = place(samples, lambda _: "images")
    classes = class_names(samples)
    labels = sorted({label for sample in samples for label in sample.labels})
    parts = by_split(samples)
    for split, part in parts.items():
        rows = (_to_json(sample, names[sample.id], classes, labels) for sample in part)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_text(folder / f"output{split_suffix(split, parts)}.manifest", "".join(lines))
    return names


def _to_json(
    sample: Sample, name: str, classes: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {"source-ref": name}
    if sample.labels:
        row["labels"] = [labels.index(label) for label in sample.labels]
        row["labels-metadata"] = {
            "class-map": {str(labels.index(label)): label for label in sample.labels},
            "type": _CLASSES,
            "human-annotated": "yes",
        }
    annotations = []
    for entry in sample.objects:
        left, top, width, height = to_xywh(entry)
        box = {"left": left, "top": top, "width": width, "height": height}
        annotations.append({"class_id": classes.index(entry.label), **box})
    row["boxes"] = {
        "image_size": [{"width": sample.width, "height": sample.height, "depth": 3}],
        "annotations": annotations,
    }
    human = all(entry.source == "human" for entry in sample.objects)
    row["boxes-metadata"] = {
        "objects": [{} for _ in annotations],
        "class-map": {str(classes.index(entry.label)): entry.label for entry in sample.objects},
        "type": _BOXES,
        "human-annotated": "yes" if human else "no",
        "creation-date": max((entry.created for entry in sample.objects), default=""),
    }
    return row


@dataclass
class _Line:
    file: Path
    number: int
    border: Border

    def collect(self, text: str) -> None:
        try:
            row = parse_json_line(text)
        except TextError as error:
            self._report(error.reason)
            return
        folder = self.file.parent
        name = _local_name(row.get("source-ref"), self.border.image_root or folder)
        path = self.border.resolve(name, [folder, folder / "images"], self.file, self.number)
        if path is None:
            return
        entry = Entry(path, self.file, self.number, split=split_in_name(self.file.stem))
        known = [self._add(entry, *parts) for parts in _attributes(row)]
        if any(known):
            self.border.add(entry)
        else:
            types = ", ".join((_BOXES, _CLASS, _CLASSES))
            self._report(f"an attribute must have metadata of a type of {types}")

    def _report(self, reason: str) -> None:
        self.border.report(self.file, self.number, f"{reason}; left out")

    def _add(self, entry: Entry, value: object, metadata: Mapping[str, Any]) -> bool:
        """Adds one attribute; returns whether its type is known."""
        kind = metadata.get("type")
        class_map = metadata.get("class-map")
        names = class_map if isinstance(class_map, dict) else {}
        if kind == _BOXES:
            self._add_boxes(entry, value, metadata, names)
        elif kind == _CLASSES:
            numbers_ = value if isinstance(value, list) else [value]
            found = [names.get(str(number)) for number in numbers_]
            if None in found:
                self._report(f"classes must be in the class-map, got {value!r:.80}")
            entry.labels += [str(name) for name in found if name is not None]
        elif kind == _CLASS:
            name = metadata.get("class-name", names.get(str(value)))
            if name is None:
                self._report(f"the metadata must have a class-name for {value!r:.80}")
            else:
                entry.labels.append(str(name))
        else:
            return False
        return True

    def _add_boxes(
        self, entry: Entry, value: object, metadata: Mapping[str, Any], names: Mapping[str, Any]
    ) -> None:
        content = value if isinstance(value, dict) else {}
        annotations = content.get("annotations")
        if not isinstance(annotations, list):
            self._report("an attribute for object detection must have a list of annotations")
            entry.lost += 1
            return
        entry.size = _size(content.get("image_size"))
        source = "human"
        if metadata.get("human-annotated") == "no":
            source = _text(metadata.get("job-name")) or "model"
        created = _text(metadata.get("creation-date"))
        for annotation in annotations:
            stated = annotation if isinstance(annotation, dict) else {}
            box = numbers([stated.get(key) for key in ("left", "top", "width", "height")], 4)
            name = names.get(str(stated.get("class_id")))
            if box is None or name is None:
                self._report(
                    "a box must have left, top, width, height and a class_id of the class-map, "
                    f"got {annotation!r:.120}"
                )
                entry.lost += 1
                continue
            left, top, width, height = box
            corners = (left, top, left + width, top + height)
            entry.boxes.append(
                EntryBox(str(name), corners, self.number, source=source, created=created)
            )


def _attributes(row: Mapping[str, Any]) -> Iterator[tuple[object, Mapping[str, Any]]]:
    """Value and metadata of each labelled attribute of a line."""
    for key, metadata in row.items():
        name = key.removesuffix(_METADATA)
        if name != key and name in row and isinstance(metadata, dict):
            yield row[name], metadata


def _local_name(reference: object, folder: Path) -> object:
    """The part of a bucket's path that exists below `folder`, else the file's own name."""
    if not isinstance(reference, str) or not reference.startswith("s3://"):
        return reference
    parts = [part for part in reference.removeprefix("s3://").split("/")[1:] if part != ".."]
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if is_file(folder / end)), "/".join(parts[-1:]))


def _text(stated: object) -> str:
    """A string; JSON may hold half characters, which no file can."""
    return stated.encode("utf-8", "replace").decode() if isinstance(stated, str) else ""


def _size(stated: object) -> tuple[int, int] | None:
    first = stated[0] if isinstance(stated, list) and stated else None
    if not isinstance(first, dict):
        return None
    return stated_size(first.get("width"), first.get("height"))
