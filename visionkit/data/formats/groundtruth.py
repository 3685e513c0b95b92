"""SageMaker Ground Truth: an augmented manifest, a JSON object a line.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html: object detection,
single-label and multi-label image classification. A picture in a bucket is looked for by its
key, and by the ends of its key, below the folder of the manifest.

A manifest may carry what a model said in its evaluation (`visionkit.evaluation.manifest`, and the
snapshots of Rekognition Custom Labels): an attribute with "evaluation" in its name whose metadata
say what is true of it. Those are no labels, and are left out with a warning.
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
from visionkit.data.picture_files import is_junk
from visionkit.files import write_text
from visionkit.types import Sample

BOXES = "groundtruth/object-detection"
CLASS = "groundtruth/image-classification"
CLASSES = "groundtruth/image-classification-multilabel"
_METADATA = "-metadata"
_JUDGED = "is-true-positive"


def find(folder: Path) -> list[Path]:
    """Manifests right in a folder."""
    files = (*folder.glob("*.manifest"), *folder.glob("*.jsonl"))
    return sorted(file for file in files if not is_junk(file.name))


def collect(source: Path, border: Border) -> None:
    """Adds what a manifest, or all manifests of a folder, state."""
    files = find(source) if source.is_dir() else [source]
    # Beside a manifest of a split one of none says that its pictures are in none.
    states_split = any(split_in_name(file.stem) for file in files)
    for file in files:
        stated = _lines(file, border)
        judged = sum(
            _Line(file, number, border, states_split).collect(text) for number, text in stated
        )
        if judged:
            reason = "what a model said in its evaluation is no label; left out"
            border.report(file, None, f"{reason}, in {judged} of {len(stated)} lines", "warning")


def collect_pictures(manifest: Path, border: Border) -> None:
    """Adds the pictures of a manifest whatever it says of them; it need not say anything."""
    for number, text in _lines(manifest, border):
        found = _Line(manifest, number, border).picture(text)
        if found is not None:
            border.add(found[1])


def _lines(file: Path, border: Border) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty; none of a file that can't be read."""
    try:
        lines = read_text(file).split("\n")
    except TextError as error:
        border.report(file, error.line, error.reason)
        return []
    return [(number, text) for number, text in enumerate(lines, start=1) if text.strip()]


def write(samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Writes `output.manifest`, or one file a split; returns the picture's path by id."""
    names = place(samples, lambda _: "images")
    classes = class_names(samples)
    labels = sorted({label for sample in samples for label in sample.labels})
    parts = by_split(samples)
    for split, part in parts.items():
        rows = (boxes_row(sample, names[sample.id], classes, labels) for sample in part)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_text(folder / f"output{split_suffix(split, parts)}.manifest", "".join(lines))
    return names


def boxes_row(
    sample: Sample, name: str, classes: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """The line of a picture: its labels, if it has any, and its boxes, if only none of them.

    Args:
        sample: the picture.
        name: where it lies.
        classes: names of boxes; the index is the `class_id`.
        labels: names of whole pictures, likewise.
    """
    row: dict[str, Any] = {"source-ref": name}
    if sample.labels:
        row["labels"] = [labels.index(label) for label in sample.labels]
        row["labels-metadata"] = {
            "class-map": {str(labels.index(label)): label for label in sample.labels},
            "type": CLASSES,
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
    # People are "human", or "human:<name>" where the catalog knows who it was.
    human = all(entry.source.split(":")[0] == "human" for entry in sample.objects)
    row["boxes-metadata"] = {
        "objects": [{} for _ in annotations],
        "class-map": {str(classes.index(entry.label)): entry.label for entry in sample.objects},
        "type": BOXES,
        "human-annotated": "yes" if human else "no",
        "creation-date": max((entry.created for entry in sample.objects), default=""),
    }
    return row


@dataclass
class _Line:
    file: Path
    number: int
    border: Border
    states_split: bool = False

    def collect(self, text: str) -> bool:
        """Adds what a line states; returns whether what a model said was left out of it."""
        found = self.picture(text)
        if found is None:
            return False
        row, entry = found
        attributes = list(_attributes(row))
        labels = [
            (value, about) for name, value, about in attributes if not _is_judged(name, about)
        ]
        known = [self._add(entry, *parts) for parts in labels]
        if any(known):
            self.border.add(entry)
        else:
            types = ", ".join((BOXES, CLASS, CLASSES))
            self._report(f"an attribute must have metadata of a type of {types}")
        return len(labels) < len(attributes)

    def picture(self, text: str) -> tuple[Mapping[str, Any], Entry] | None:
        """The row of a line and its picture; None where it has none, which is reported."""
        try:
            row = parse_json_line(text)
        except TextError as error:
            self._report(error.reason)
            return None
        folder = self.file.parent
        name = _local_name(row.get("source-ref"), self.border.image_root or folder)
        path = self.border.resolve(name, [folder, folder / "images"], self.file, self.number)
        if path is None:
            return None
        entry = Entry(path, self.file, self.number, split=split_in_name(self.file.stem))
        entry.states_split = self.states_split
        return row, entry

    def _report(self, reason: str) -> None:
        self.border.report(self.file, self.number, f"{reason}; left out")

    def _add(self, entry: Entry, value: object, metadata: Mapping[str, Any]) -> bool:
        """Adds one attribute; returns whether its type is known."""
        kind = metadata.get("type")
        class_map = metadata.get("class-map")
        names = class_map if isinstance(class_map, dict) else {}
        if kind == BOXES:
            self._add_boxes(entry, value, metadata, names)
        elif kind == CLASSES:
            numbers_ = value if isinstance(value, list) else [value]
            found = [names.get(str(number)) for number in numbers_]
            if None in found:
                self._report(f"classes must be in the class-map, got {value!r:.80}")
            entry.labels += [str(name) for name in found if name is not None]
        elif kind == CLASS:
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


def _attributes(row: Mapping[str, Any]) -> Iterator[tuple[str, object, Mapping[str, Any]]]:
    """Name, value and metadata of each labelled attribute of a line."""
    for key, metadata in row.items():
        name = key.removesuffix(_METADATA)
        if name != key and name in row and isinstance(metadata, dict):
            yield name, row[name], metadata


def _is_judged(name: str, metadata: Mapping[str, Any]) -> bool:
    """Whether an attribute is what a model said in its evaluation."""
    objects = metadata.get("objects")
    entries = objects if isinstance(objects, list) else []
    judged = any(isinstance(entry, dict) and _JUDGED in entry for entry in (metadata, *entries))
    return judged and "evaluation" in name.split("-")


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
