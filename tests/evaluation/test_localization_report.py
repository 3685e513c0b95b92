"""The report and the words of an evaluation of objects of known classes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from tests.pages import Page
from visionkit.evaluation.coco import box_sizes
from visionkit.evaluation.localization import LocalizationMetrics, evaluate_localization
from visionkit.evaluation.metrics import Truth
from visionkit.evaluation.records import outcome_records
from visionkit.evaluation.report import LearningCurve, Report, TrainingScene, write_report
from visionkit.evaluation.summary import (
    CLASS_COLUMNS,
    headline,
    item_rows,
    metrics_json,
    number,
    remarks,
    text_table,
)
from visionkit.evaluation.wording import CLASSES
from visionkit.types import Image

NAMES = ("cup", "<b>tin</b>")
SMALL, MEDIUM, LARGE = [0.0, 0, 20, 20], [40.0, 0, 90, 50], [100.0, 0, 220, 120]
EXEMPLAR_ONLY = ("item", "view", "composed scene", "presence", "in the picture at all")


def finds(*found: tuple[int, float, list[float]]) -> sv.Detections:
    if not found:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([box for _, _, box in found], np.float32),
        class_id=np.array([class_id for class_id, _, _ in found]),
        confidence=np.array([score for _, score, _ in found], np.float32),
    )


def found_and_missed() -> tuple[LocalizationMetrics, list[sv.Detections]]:
    """The small and the large cup are found, the medium one is taken for a tin; one on nothing."""
    truths = [Truth(np.array([SMALL, MEDIUM, LARGE]), np.zeros(3, np.int64)), Truth.empty()]
    predictions = [
        finds((0, 0.9, SMALL), (1, 0.8, MEDIUM), (0, 0.7, LARGE)),
        finds((1, 0.6, SMALL)),
    ]
    metrics = evaluate_localization(truths, predictions, NAMES, thresholds=0.5, bootstrap_rounds=9)
    return metrics, predictions


def report_of(metrics: LocalizationMetrics, predictions: list[sv.Detections]) -> Report:
    return Report(
        title="boxes",
        metrics=metrics.boxes,
        predictions=predictions,
        image_names=[f"{index}.png" for index in range(len(predictions))],
        read_image=picture,
        coco=metrics.coco,
        errors=metrics.errors,
        wording=CLASSES,
        learning=[LearningCurve("AP", [1, 2], [0.1, 0.2])],
    )


def picture(index: int) -> Image:
    return np.random.default_rng(index).integers(0, 255, (150, 240, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("report") / "report.html"
    return Page(write_report(path, report_of(*found_and_missed())).read_text("utf-8"))


def row_of(page: Page, start: str) -> list[str]:
    """The words of a row of a table, from its first cell on."""
    lines = [line.strip() for line in page.text.splitlines()]
    (line,) = [line for line in lines if line.startswith(start)]
    return line.removeprefix(start).split()


def test_a_report_of_nothing_says_none(tmp_path: Path) -> None:
    nothing = report_of(evaluate_localization([], [], []), [])
    page = Page(write_report(tmp_path / "r.html", nothing).read_text("utf-8"))
    assert page.open == []
    assert "No pictures were evaluated." in page.text
    assert "nan" not in page.text


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert page.outside == []
    assert page.handlers == []
    assert NAMES[1] in page.text


def test_no_part_speaks_of_what_only_the_exemplar_head_has(page: Page) -> None:
    text = page.text.lower()
    assert [words for words in EXEMPLAR_ONLY if words in text] == []
    for heading in ("Classes", "Confusion between classes", "Kinds of error", "Sizes of objects"):
        assert heading in page.text
    assert "2 classes" in page.text
    assert "1 of them without objects" in page.text


def test_the_kinds_of_error_are_those_of_the_metrics(page: Page) -> None:
    """A cup taken for a tin, and a tin on nothing. AP50 is 67 / 101, and 1 without the first."""
    assert row_of(page, "classon an object of another class") == ["150", "%1.000.34"]
    assert row_of(page, "backgroundon nothing") == ["150", "%0.660.00"]
    assert row_of(page, "missedan object that no find is on") == ["00", "%0.660.00"]


def test_the_sizes_are_those_of_the_metrics(page: Page) -> None:
    # IoU is 1 wherever a cup is found: AP and recall are 1 or 0 by size, 67 / 101 and 2/3 over all.
    assert row_of(page, "all3") == ["0.660.67"]
    assert row_of(page, "small: below 32 × 32 px") == ["11.001.00"]
    assert row_of(page, "medium1") == ["0.000.00"]
    assert row_of(page, "large: above 96 × 96 px") == ["11.001.00"]
    assert "AP50 0.66, AP75 0.66; recall (AR) with one find a picture 0.33" in page.text


def test_the_headline_figures_are_those_of_the_metrics(page: Page) -> None:
    boxes = found_and_missed()[0].boxes
    shown = re.findall(r"^\s+(AP50|AP|Recall|Precision)\n\s+(\S+)$", page.text, flags=re.MULTILINE)
    assert dict(shown) == {
        "AP50": number(boxes.ap50),
        "AP": number(boxes.ap),
        "Recall": number(2 / 3),
        "Precision": number(1 / 2),
    }


def test_the_words_are_of_classes_and_objects() -> None:
    boxes = found_and_missed()[0].boxes
    assert headline(boxes, CLASSES).replace("\N{NO-BREAK SPACE}", " ") == (
        "2 of 3 boxes of 1 class found (67 %), and 50 % of 4 finds right. "
        "1 false alarm on 1 picture without objects (1.00 a picture)."
    )
    assert "1 of 2 wrong finds lies on a box of another class." in remarks(boxes, CLASSES)
    table = text_table(CLASS_COLUMNS, item_rows(boxes)).splitlines()
    assert table[0].startswith("class")


def test_records_of_finds_name_labels() -> None:
    boxes = found_and_missed()[0].boxes
    records = list(outcome_records(boxes, ["a", "b"], wording=CLASSES))
    assert [(one["label"], one["outcome"]) for one in records] == [
        ("cup", "true"),
        (NAMES[1], "wrong class"),
        ("cup", "true"),
        (NAMES[1], "background"),
        ("cup", "missed"),
    ]
    assert records[1]["truth_label"] == "cup"
    assert not any("item" in key for record in records for key in record)


def test_cocos_figures_as_json() -> None:
    metrics = evaluate_localization([], [], NAMES)
    values = metrics_json(metrics.coco)
    assert set(values.values()) == {None}
    assert len(values) == 12
    assert metrics_json(found_and_missed()[0].coco)["ap_medium"] == 0
    json.dumps(values, allow_nan=False)


def test_pictures_as_seen_in_training_are_shown_where_there_are_any(tmp_path: Path) -> None:
    report = report_of(*found_and_missed())
    scenes = [TrainingScene(picture(1), np.array([SMALL]), ["cup"])]
    shown = Report(**{**vars(report), "training_scenes": [*scenes, TrainingScene(
        picture(2), np.zeros((0, 4)), []
    )]})  # fmt: skip
    text = Page(write_report(tmp_path / "r.html", shown).read_text("utf-8")).text
    assert "Training pictures" in text
    assert "no objects" in text
    assert "item" not in text


def test_sizes_of_boxes() -> None:
    assert box_sizes(np.zeros((0, 4))) == {"small": 0, "medium": 0, "large": 0}
    boxes = np.array([SMALL, MEDIUM, LARGE, [0, 0, 32, 32], [0, 0, 96, 96], [0, 0, 96.1, 96]])
    assert box_sizes(boxes) == {"small": 1, "medium": 3, "large": 2}
