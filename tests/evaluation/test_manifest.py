from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
from PIL import Image as PillowImage

from visionkit.data.formats import read
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import to_samples
from visionkit.evaluation import BoxMetrics, Truth, evaluate_boxes
from visionkit.evaluation.classification import ClassificationMetrics, evaluate_classes
from visionkit.evaluation.manifest import classified_rows, located_rows, verdict, write_manifest
from visionkit.types import ObjectBox, Sample

NAMES = ("cup", "tin")
MARKS = (
    "is-true-positive",
    "is-false-positive",
    "is-true-negative",
    "is-false-negative",
    "is-present-in-ground-truth",
)
CREATED = "2026-12-01T10:00:00"


def picture(folder: Path, name: str, objects: Any = (), labels: Any = ()) -> Sample:
    """A picture of 40 x 30 pixels on the disk, with its boxes (label, xyxy) or labels."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 255, (30, 40, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path)
    boxes = tuple(ObjectBox(label, box) for label, box in objects)
    image = content_hash(read_image(path))
    return Sample(name, path.as_posix(), 40, 30, image, labels=tuple(labels), objects=boxes)


def finds(*found: tuple[int, float, tuple[float, ...]]) -> sv.Detections:
    if not found:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([box for _, _, box in found], np.float32),
        class_id=np.array([class_id for class_id, _, _ in found]),
        confidence=np.array([score for _, score, _ in found], np.float32),
    )


def truth_of(sample: Sample) -> Truth:
    known = [entry for entry in sample.objects if entry.label in NAMES]
    return Truth(
        np.array([entry.box for entry in known], np.float32).reshape(-1, 4),
        np.array([NAMES.index(entry.label) for entry in known], np.int64),
    )


def judged(samples: list[Sample], found: list[sv.Detections]) -> BoxMetrics:
    truths = [truth_of(sample) for sample in samples]
    return evaluate_boxes(truths, found, NAMES, thresholds=0.5, bootstrap_rounds=2)


LEFT, RIGHT, LOW = (1.5, 2.0, 15.25, 12.0), (20.0, 2.0, 35.0, 12.0), (2.0, 15.0, 12.0, 28.0)


@pytest.fixture
def boxed(tmp_path: Path) -> list[Sample]:
    """A picture with a cup and a tin, one with nothing, and one with a spoon and a cup."""
    return [
        picture(tmp_path, "a.png", [("cup", LEFT), ("tin", RIGHT)]),
        picture(tmp_path, "some folder/bb.png"),
        picture(tmp_path, "ccc.png", [("spoon", LEFT), ("cup", RIGHT)]),
    ]


@pytest.fixture
def rows(boxed: list[Sample]) -> list[dict[str, Any]]:
    """The cup of the first is found; its tin only below the threshold, and one where none is."""
    found = [
        finds((0, 0.875, LEFT), (1, 0.25, RIGHT), (1, 0.75, LOW)),
        finds((0, 0.125, LOW)),
        finds(),
    ]
    return list(located_rows(judged(boxed, found), boxed, model="test 1", created=CREATED))


def holds(marked: dict[str, Any]) -> list[str]:
    """The marks that hold; passes only if all five are there."""
    return [name.removeprefix("is-") for name in MARKS if marked[name]]


# Boxes.


def test_no_pictures_make_an_empty_manifest(tmp_path: Path) -> None:
    assert list(located_rows(judged([], []), [], model="m")) == []
    path = write_manifest(tmp_path / "m.manifest", [])
    assert path.read_bytes() == b""


def test_every_true_box_is_marked_found_or_missed(rows: list[dict[str, Any]]) -> None:
    cup, tin = rows[0]["boxes-metadata"]["objects"]
    assert holds(cup) == ["true-positive", "present-in-ground-truth"]
    assert cup["confidence"] == 0.875
    assert holds(tin) == ["false-negative", "present-in-ground-truth"]
    assert tin["confidence"] == 0.25  # of the find that was not sure enough
    assert rows[1]["boxes-metadata"]["objects"] == []
    spoon, unseen = rows[2]["boxes-metadata"]["objects"]
    assert spoon == {}  # of no class that was looked for
    assert holds(unseen) == ["false-negative", "present-in-ground-truth"]
    assert "confidence" not in unseen


def test_every_prediction_is_marked_true_or_false(rows: list[dict[str, Any]]) -> None:
    about = rows[0]["evaluation-0-metadata"]
    right, wrong = about["objects"]
    assert holds(right) == ["true-positive", "present-in-ground-truth"]
    assert holds(wrong) == ["false-positive"]
    assert (right["confidence"], wrong["confidence"]) == (0.875, 0.75)
    assert rows[0]["evaluation-0"]["annotations"] == [
        {"class_id": 0, "left": 1.5, "top": 2.0, "width": 13.75, "height": 10.0},
        {"class_id": 1, "left": 2.0, "top": 15.0, "width": 10.0, "height": 13.0},
    ]
    assert about["class-map"] == {"0": "cup", "1": "tin"}
    assert (about["type"], about["human-annotated"]) == ("groundtruth/object-detection", "no")
    assert (about["job-name"], about["creation-date"]) == ("test 1", CREATED)
    for row in rows[1:]:
        assert row["evaluation-0"]["annotations"] == row["evaluation-0-metadata"]["objects"] == []
        assert row["evaluation-0"]["image_size"] == [{"width": 40, "height": 30, "depth": 3}]


def test_a_manifest_of_boxes_reads_back_as_the_data_set(
    tmp_path: Path, boxed: list[Sample], rows: list[dict[str, Any]]
) -> None:
    path = write_manifest(tmp_path / "run" / "evaluation.manifest", rows)
    back = read(path, image_root=tmp_path)
    assert back.format == "groundtruth"
    assert sorted(to_samples(back.table), key=lambda s: s.uri) == sorted(boxed, key=lambda s: s.uri)
    (problem,) = back.problems
    assert problem.level == "warning"
    # The picture without finds at their thresholds has no prediction to leave out.
    assert "what a model said in its evaluation is no label; left out, in 1 of 3" in problem.reason


def test_predictions_become_labels_under_another_name(
    tmp_path: Path, boxed: list[Sample], rows: list[dict[str, Any]]
) -> None:
    """A person who confirmed the finds of the first picture takes them over."""
    row = {"source-ref": rows[0]["source-ref"]}
    row |= {name.replace("evaluation", "confirmed"): rows[0][name] for name in list(rows[0])[-2:]}
    path = write_manifest(tmp_path / "m.manifest", [row])
    (back,) = to_samples(read(path).table)
    assert back.objects == (
        ObjectBox("cup", LEFT, "test 1", CREATED),
        ObjectBox("tin", LOW, "test 1", CREATED),
    )


def test_a_snapshot_of_rekognition_reads_as_its_labels(tmp_path: Path) -> None:
    """Only the predictions of it are marked."""
    sample = picture(tmp_path, "a.png")
    about = {"type": "groundtruth/image-classification", "class-name": "cup", "confidence": 1}
    said = about | {"class-name": "tin", "human-annotated": "no"}
    said |= verdict(assumed=True, present=False)
    row = {
        "source-ref": "s3://bucket/key/a.png",
        "rekognition-custom-labels-training-0": 1,
        "rekognition-custom-labels-training-0-metadata": about | {"human-annotated": "yes"},
        "rekognition-custom-labels-evaluation-0": 1,
        "rekognition-custom-labels-evaluation-0-metadata": said,
    }
    (back,) = to_samples(read(write_manifest(tmp_path / "m.manifest", [row])).table)
    assert back == replace(sample, labels=("cup",))


def test_a_persons_attribute_named_evaluation_is_a_label(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    about = rows[0]["evaluation-0-metadata"] | {"objects": [{"confidence": 1}, {"confidence": 1}]}
    row = {"source-ref": rows[0]["source-ref"], "evaluation": rows[0]["evaluation-0"]}
    path = write_manifest(tmp_path / "m.manifest", [row | {"evaluation-metadata": about}])
    back = read(path)
    assert back.problems == ()
    assert [entry.label for entry in to_samples(back.table)[0].objects] == ["cup", "tin"]


def test_the_marks_of_many_boxes_add_up_to_the_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples, found = [], []
    for number in range(8):
        corners = rng.uniform(0, [25, 18], (4, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(5, 12, (4, 2))], 1)
        labels = [NAMES[k] for k in rng.integers(0, 2, 4)]
        objects = [(label, tuple(box)) for label, box in zip(labels, boxes.tolist(), strict=True)]
        samples.append(picture(tmp_path, f"{'p' * (number + 1)}.png", objects))
        moved = boxes + rng.normal(0, 1, boxes.shape)
        found.append(finds(*(
            (int(rng.integers(2)), float(rng.uniform()), tuple(box)) for box in moved
        )))  # fmt: skip
    metrics = judged(samples, found)
    truths: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for row in located_rows(metrics, samples, model="m"):
        for marked in row["boxes-metadata"]["objects"]:
            truths.update(holds(marked))
        for marked in row["evaluation-0-metadata"]["objects"]:
            said.update(holds(marked))
    true = sum(one.true for one in metrics.per_class)
    assert 0 < true < 32
    assert truths["true-positive"] == said["true-positive"] == true
    assert truths["false-negative"] == sum(one.missed for one in metrics.per_class)
    assert said["false-positive"] == sum(one.false for one in metrics.per_class)
    assert truths["present-in-ground-truth"] == 32
    assert said["true-negative"] == said["false-negative"] == truths["true-negative"] == 0


def test_other_pictures_than_those_evaluated_are_refused(boxed: list[Sample]) -> None:
    metrics = judged(boxed, [finds()] * 3)
    with pytest.raises(ValueError, match="got 2 for 3"):
        list(located_rows(metrics, boxed[:2], model="m"))
    swapped = [replace(boxed[0], objects=boxed[0].objects[::-1]), *boxed[1:]]
    with pytest.raises(ValueError, match=r"got another 'tin' \[a.png\]"):
        list(located_rows(metrics, swapped, model="m"))


# Classes.


def test_classes_are_marked_by_what_was_said(tmp_path: Path) -> None:
    samples = [
        picture(tmp_path, "a.png", labels=["cup"]),
        picture(tmp_path, "bb.png", labels=["cup"]),
    ]
    metrics = evaluate_classes(np.array([0, 0]), np.array([[0.75, 0.25], [0.375, 0.625]]), NAMES)
    right, wrong = classified_rows(metrics, samples, model="test 1", created=CREATED)
    assert right["evaluation-0"] == 1
    assert right["evaluation-0-metadata"] == {
        "class-name": "cup",
        "type": "groundtruth/image-classification",
        "human-annotated": "no",
        "job-name": "test 1",
        "creation-date": CREATED,
        "confidence": 0.75,
        **verdict(assumed=True, present=True),
    }
    assert holds(right["evaluation-1-metadata"]) == ["true-negative"]
    assert (wrong["evaluation-0"], wrong["evaluation-1"]) == (0, 1)
    assert holds(wrong["evaluation-0-metadata"]) == ["false-negative", "present-in-ground-truth"]
    assert holds(wrong["evaluation-1-metadata"]) == ["false-positive"]
    assert wrong["evaluation-1-metadata"]["confidence"] == 0.625
    assert wrong["label-0"] == 1
    assert wrong["label-0-metadata"]["class-name"] == "cup"


def several(tmp_path: Path) -> tuple[list[Sample], ClassificationMetrics]:
    """Nine classes: a picture of three, one of them not looked for, and a picture of none."""
    samples = [
        picture(tmp_path, "a.png", labels=["k", "b", "a"]),
        picture(tmp_path, "bb.png", labels=[]),
    ]
    present = np.zeros((2, 9), bool)
    present[0, :2] = True
    scores = np.array([[0.9, 0.0, 0.8, 0.1, 0.1, 0.1, 0.05, 0.7, 0.0], [0.3] * 9])
    return samples, evaluate_classes(present, scores, list("abcdefghi"), thresholds=0.75)


def test_of_many_classes_the_true_the_named_and_the_surest_are_written(tmp_path: Path) -> None:
    samples, metrics = several(tmp_path)
    first, second = classified_rows(metrics, samples, model="m")
    told = [int(name.split("-")[1]) for name in first if name.startswith("evaluation-")][::2]
    assert told == [0, 1, 2, 3, 4, 7]  # b is true and least sure; f, as sure as d, is the sixth
    assert [holds(first[f"evaluation-{k}-metadata"])[0] for k in told] == [
        "true-positive", "false-negative", "false-positive", *["true-negative"] * 3,
    ]  # fmt: skip
    assert first["label-9-metadata"]["class-name"] == "k"
    assert second["labels"] == []
    assert sum(name.startswith("evaluation-") for name in second) == 10


def test_a_manifest_of_classes_reads_back_as_the_data_set(tmp_path: Path) -> None:
    samples, metrics = several(tmp_path)
    path = write_manifest(tmp_path / "m.manifest", classified_rows(metrics, samples, model="m"))
    back = read(path)
    assert to_samples(back.table) == samples
    (problem,) = back.problems
    assert "in 2 of 2 lines" in problem.reason


@pytest.mark.parametrize("assumed", [False, True])
@pytest.mark.parametrize("present", [False, True])
def test_exactly_one_of_the_four_marks_holds(assumed: bool, present: bool) -> None:
    marks = verdict(assumed=assumed, present=present)
    assert sum(marks[name] for name in MARKS[:4]) == 1
    assert marks["is-present-in-ground-truth"] == present
    assert marks["is-true-positive"] + marks["is-true-negative"] == (assumed == present)


def test_stray_bytes_in_a_name_do_not_keep_a_manifest_from_being_written(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.manifest", [{"source-ref": "a\udc80.png"}])
    assert json.loads(path.read_text("utf-8")) == {"source-ref": "a\udc80.png"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(path, [{"confidence": float("nan")}])
    assert json.loads(path.read_text("utf-8")) == {"source-ref": "a\udc80.png"}
