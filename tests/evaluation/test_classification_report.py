from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_report import Page
from visionkit.data.problems import Problem
from visionkit.evaluation.calibration_error import reliability
from visionkit.evaluation.charts import LearningCurve
from visionkit.evaluation.class_cards import Pool, copy_cards, doubt_cards, mistake_cards
from visionkit.evaluation.classification import ClassificationMetrics, evaluate_classes
from visionkit.evaluation.classification_report import (
    ClassificationReport,
    reliability_chart,
    write_classification_report,
)
from visionkit.evaluation.classification_words import (
    CLASS_COLUMNS,
    class_headline,
    class_remarks,
    class_rows,
)
from visionkit.evaluation.confusion import confusion_pairs, confusion_rows
from visionkit.evaluation.label_errors import LabelDoubt
from visionkit.evaluation.near_copies import NearCopy
from visionkit.evaluation.summary import metrics_json
from visionkit.types import Image

# The second tries to break out of the page.
NAMES = ("ant", "<script>alert(1)</script>", "wasp")
TRUTHS = np.array([0, 0, 1, 1, 2])
SCORES = np.array(
    [[0.9, 0.1, 0.0], [0.05, 0.95, 0.0], [0.4, 0.6, 0.0], [0.7, 0.2, 0.1], [0.4, 0.3, 0.3]]
)
SEVERAL = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], bool)
FILES = [f"{n}<b>.jpg" for n in range(5)]


def read(number: int) -> Image:
    return np.full((20, 30 + number, 3), 40 * number, np.uint8)


POOL = Pool(
    FILES, ["ant", "ant", "bee", "bee", "wasp"], ["train", "test", "train", "val", ""], read
)


def metrics_of(truths: np.ndarray = TRUTHS, scores: np.ndarray = SCORES) -> ClassificationMetrics:
    return evaluate_classes(truths, scores, NAMES, bootstrap_rounds=20)


def written(folder: Path, report: ClassificationReport) -> Page:
    path = write_classification_report(folder / "report.html", report)
    return Page(path.read_text("utf-8"))


@pytest.mark.parametrize("several", [False, True])
def test_the_page_is_whole_and_loads_nothing(tmp_path: Path, several: bool) -> None:
    report = ClassificationReport(
        title="classification on insects",
        metrics=metrics_of(SEVERAL if several else TRUTHS),
        image_names=FILES,
        read_image=read,
        pool=POOL,
        doubts=[LabelDoubt(1, 0, 2, 0.1, 0.8), LabelDoubt(2, -1, 2, float("nan"), 0.9)],
        copies=[NearCopy(0, 1, 0.97, False)],
        learning=[LearningCurve("validation loss", [1, 2], [0.5, 0.4])],
        tried=[("class means, shrinkage 0.3", 0.91, 0.3, True)],
        problems=[Problem("a.jpg", None, "it is empty")],
        config="seed: 0",
        versions={"visionkit": "1"},
    )
    page = written(tmp_path, report)
    assert page.open == []
    assert page.handlers == []
    assert all(a.startswith(("data:", "#")) for a in page.addresses)
    assert page.tags.count("script") == 1
    for words in ("classification on insects", "1<b>.jpg", "it is empty", "shrinkage 0.3", "0.97"):
        assert words in page.text, words


def test_a_page_of_nothing(tmp_path: Path) -> None:
    nothing = evaluate_classes(np.zeros(0, np.int64), np.zeros((0, 3)), NAMES)
    page = written(tmp_path, ClassificationReport("empty", nothing, (), read))
    assert page.open == []
    assert "No pictures were evaluated." in page.text


def test_names_and_pictures_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 4 for 5 pictures"):
        written(tmp_path, ClassificationReport("", metrics_of(), FILES[:4], read))
    report = ClassificationReport("", metrics_of(), FILES, read, copies=[NearCopy(0, 1, 1.0, True)])
    with pytest.raises(ValueError, match="pool must be given"):
        written(tmp_path, report)


def test_the_surest_mistake_stands_first() -> None:
    cards = mistake_cards(metrics_of(), FILES, read, 2)
    # Wrong are pictures 1 (0.95), 3 (0.7) and 4 (0.4).
    assert [card.lines[0] for card in cards] == [FILES[1], FILES[3]]
    assert cards[0].title == f"{NAMES[1]} 0.95"
    assert cards[0].words == "this is ant 0.05"


def test_of_several_classes_the_furthest_from_the_truth_stands_first() -> None:
    metrics = evaluate_classes(SEVERAL, SCORES, NAMES, thresholds=0.5, bootstrap_rounds=5)
    cards = mistake_cards(metrics, FILES, read, 3)
    # Picture 1 shows nothing and was named at 0.95; 0 lacks class 1 at 0.1; 4 lacks 1 at 0.3.
    assert [card.lines[0] for card in cards] == [FILES[1], FILES[0], FILES[4]]
    assert cards[0].words == "none of the classes"
    assert cards[1].words == "is there, score 0.10"


def test_doubts_and_copies_in_words() -> None:
    doubts = [LabelDoubt(1, 0, 2, 0.1, 0.8), LabelDoubt(2, 0, -1, 0.02, float("nan"))]
    first, second = doubt_cards(doubts, NAMES, POOL, 5)
    assert (first.title, first.words) == ("labelled ant", "more likely wasp")
    assert first.lines == ("ant 0.10 · wasp 0.80", FILES[1])
    assert second.words == "seems not to show it"
    copies = [NearCopy(2, 3, 0.99, False), NearCopy(0, 1, 0.95, False), NearCopy(1, 2, 0.9, True)]
    cards = copy_cards(copies, POOL, 2)
    assert cards[0].words == "one look, two labels, in test and train"  # harms most
    assert cards[0].lines[0] == "equal pixels"
    assert len(cards[0].uris) == 2
    assert cards[1].words in ("in train and test", "in train and val")


def test_bars_are_as_high_as_the_share_of_right_answers() -> None:
    chart = str(
        reliability_chart(reliability(np.array([0.95, 0.95, 0.1]), np.array([1, 0, 0], bool)))
    )
    assert chart.count('class="bar"') == 2
    assert 'height="55.0"' in chart  # half of 110
    assert 'height="0.0"' in chart


def test_metrics_are_json() -> None:
    value = json.loads(json.dumps(metrics_json(metrics_of()), allow_nan=False))
    assert value["accuracy"] == pytest.approx(2 / 5)
    assert value["per_class"][2]["precision"] is None
    assert value["reliability"]["accuracy"][1] is None
    assert "outcomes" not in value


def test_the_figures_in_words() -> None:
    metrics = metrics_of()
    assert class_headline(metrics) == "2 of 5 pictures named rightly (40\N{NO-BREAK SPACE}%)."
    said = " ".join(class_remarks(metrics))
    assert "Never named rightly: wasp." in said
    assert "Weakest class: ant, F1 0.40: 1 of 2 pictures named, 2 wrongly so." in said
    assert "Confidence misleads: it is higher" in said
    rows = class_rows(metrics)
    assert len(rows) == 3
    assert len(rows[0]) == len(CLASS_COLUMNS)
    assert rows[0][:2] == ("ant", "2")
    right = metrics_of(TRUTHS, np.eye(3)[TRUTHS])
    assert class_remarks(right) == []
    several = metrics_of(SEVERAL)
    assert class_headline(several).endswith("of 5 pictures.")


def test_confusion_in_rows_and_pairs() -> None:
    confusion = np.array([[3, 1, 0], [2, 0, 4]])
    rows = confusion_rows(confusion, ["a", "b"])
    assert rows[0] == ("a", [(3, 0.75, "right"), (1, 0.25, "wrong"), (0, 0.0, "missed")])
    assert rows[1][1][2] == (4, pytest.approx(4 / 6), "missed")
    assert confusion_pairs(confusion, ["a", "b"]) == [("b", "a", 2), ("a", "b", 1)]
    assert confusion_rows(np.zeros((41, 42), np.int64), ["x"] * 41) == []
