from __future__ import annotations

import json
import math

import numpy as np
import pytest
import supervision as sv

from visionkit.evaluation.classification import evaluate_classes
from visionkit.evaluation.localization import evaluate_localization
from visionkit.evaluation.metrics import Truth
from visionkit.evaluation.rekognition import classified_summary, located_summary

ENDED = "2026-12-01T10:00:00"


def test_classes() -> None:
    """Ants: two right, one taken for a bee; bees: one right; wasps are neither there nor said."""
    scores = np.array([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.1, 0.9, 0]])
    metrics = evaluate_classes(np.array([0, 0, 0, 1]), scores, ("ant", "bee", "wasp"))
    summary = classified_summary(metrics, model="insects 1", training_images=40, ended=ENDED)
    assert summary["Version"] == 1
    assert summary["EvaluationDetails"] == {
        "EvaluationEndTimestamp": ENDED,
        "Labels": ["ant", "bee", "wasp"],
        "NumberOfTestingImages": 4,
        "NumberOfTrainingImages": 40,
        "ProjectVersionArn": "insects 1",
    }
    over_all = summary["AggregatedEvaluationResults"]
    # Ants: precision 2/2, recall 2/3, F1 4/5. Bees: 1/2, 1/1, 2/3.
    assert over_all["Precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert over_all["Recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert over_all["F1Score"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert [tuple(cell.values()) for cell in over_all["ConfusionMatrix"]] == [
        ("ant", "ant", pytest.approx(2 / 3)),
        ("ant", "bee", pytest.approx(1 / 3)),
        ("bee", "bee", 1.0),
    ]
    assert set(over_all["ConfusionMatrix"][0]) == {"GroundTruthLabel", "PredictedLabel", "Value"}
    ant, bee, wasp = summary["LabelEvaluationResults"]
    assert (ant["Label"], ant["NumberOfTestingImages"], bee["NumberOfTestingImages"]) == (
        "ant", 3, 1,
    )  # fmt: skip
    assert ant["Metrics"]["F1Score"] == pytest.approx(4 / 5)
    assert bee["Metrics"]["Precision"] == pytest.approx(1 / 2)
    assert ant["Metrics"]["Threshold"] is None  # the best class is named, whatever its score
    assert wasp["Metrics"] == dict.fromkeys(["Precision", "Recall", "F1Score", "Threshold"])
    json.dumps(summary, allow_nan=False)


def test_what_was_named_nothing_is_no_confusion() -> None:
    metrics = evaluate_classes(
        np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]), "ab", thresholds=0.8
    )
    summary = classified_summary(metrics, model="m")
    assert summary["AggregatedEvaluationResults"]["ConfusionMatrix"] == [
        {"GroundTruthLabel": "a", "PredictedLabel": "a", "Value": 0.5}
    ]
    assert summary["LabelEvaluationResults"][0]["Metrics"]["Threshold"] == 0.8


def test_pictures_of_several_classes_have_no_confusion_matrix() -> None:
    metrics = evaluate_classes(
        np.array([[True, True]]), np.array([[0.9, 0.2]]), "ab", thresholds=0.5
    )
    over_all = classified_summary(metrics, model="m")["AggregatedEvaluationResults"]
    assert over_all == {"Precision": 1.0, "Recall": 0.5, "F1Score": 0.5}


def test_boxes() -> None:
    """Two cups in one picture, one found; a tin in another, found twice as well as it can be."""
    cups = [[0.0, 0, 50, 50], [100.0, 0, 150, 50]]
    tin = [0.0, 0, 40, 40]
    truths = [
        Truth(np.array(cups), np.array([0, 0])),
        Truth(np.array([tin]), np.array([1])),
        Truth.empty(),
    ]
    found = [
        sv.Detections(np.array(cups[:1]), confidence=np.array([0.9]), class_id=np.array([0])),
        sv.Detections(
            np.array([tin, tin]), confidence=np.array([0.8, 0.7]), class_id=np.array([1, 1])
        ),
        sv.Detections.empty(),
    ]
    metrics = evaluate_localization(
        truths, found, ("cup", "tin", "jar"), thresholds={"cup": 0.5, "tin": 0.25, "jar": 0.5}
    )
    summary = located_summary(metrics, model="m", training_images=7, ended=ENDED)
    over_all = summary["AggregatedEvaluationResults"]
    assert over_all["Precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert over_all["Recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert over_all["F1Score"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    # Of 101 levels of recall cups have those from 0 to 0.5 at precision 1; tins have all.
    assert over_all["AveragePrecision"] == pytest.approx((51 / 101 + 1) / 2)
    assert over_all["AverageRecall"] == pytest.approx((1 / 2 + 1) / 2)
    assert "ConfusionMatrix" not in over_all
    cup, can, jar = summary["LabelEvaluationResults"]
    assert [one["NumberOfTestingImages"] for one in (cup, can, jar)] == [1, 1, 0]
    assert (cup["Metrics"]["Threshold"], can["Metrics"]["Threshold"]) == (0.5, 0.25)
    assert jar["Metrics"]["Recall"] is None
    assert summary["EvaluationDetails"]["NumberOfTestingImages"] == 3
    json.dumps(summary, allow_nan=False)


def test_nothing_at_all_is_null_and_no_error() -> None:
    summary = located_summary(evaluate_localization([], [], ("cup",)), model="m")
    assert set(summary["AggregatedEvaluationResults"].values()) == {None}
    nothing = evaluate_classes(np.zeros(0, np.int64), np.zeros((0, 2)), "ab")
    assert math.isnan(nothing.accuracy)
    empty = classified_summary(nothing, model="m")["AggregatedEvaluationResults"]
    assert empty == {"Precision": None, "Recall": None, "F1Score": None, "ConfusionMatrix": []}
