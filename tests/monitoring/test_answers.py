"""What heads say, as measures: worked by hand, with nothing found as a normal answer."""

from __future__ import annotations

import numpy as np
import pytest
import supervision as sv

from visionkit.inference.prediction import Prediction
from visionkit.monitoring.answers import measures_of, unknown_measures


def boxes(*entries: tuple[list[float], str]) -> sv.Detections:
    return sv.Detections(
        xyxy=np.array([box for box, _ in entries], np.float32).reshape(-1, 4),
        confidence=np.full(len(entries), 0.5, np.float32),
        class_id=np.zeros(len(entries), int),
        data={"class_name": np.array([name for _, name in entries], dtype=str)},
    )


def test_boxes_are_measured_relative_to_the_picture() -> None:
    found = boxes(([0, 0, 20, 10], "car"), ([10, 10, 30, 20], "car"), ([0, 0, 20, 10], "bus"))
    measures = measures_of(Prediction(localization=found), (100, 200))
    assert measures.kinds == {"localization.class": "car"}
    numbers = measures.numbers
    assert numbers["localization.count"] == 3
    assert numbers["localization.score"] == 0.5
    assert numbers["localization.size"] == pytest.approx(-2)  # 200 of 20,000 pixels
    assert numbers["localization.aspect"] == pytest.approx(np.log10(2))
    assert numbers["localization.x"] == pytest.approx((10 + 20 + 10) / 3 / 200)
    assert numbers["localization.y"] == pytest.approx((5 + 15 + 5) / 3 / 100)


def test_nothing_found_is_a_count_of_none() -> None:
    measures = measures_of(Prediction(exemplar=boxes()), (10, 10))
    assert measures.kinds == {"exemplar.class": "none of them"}
    assert measures.numbers["exemplar.count"] == 0
    assert np.isnan(measures.numbers["exemplar.size"])


@pytest.mark.parametrize(("labels", "kind"), [(("a",), "a"), ((), "none of them")])
def test_a_classification_is_its_class_score_and_doubt(labels: tuple[str, ...], kind: str) -> None:
    answer = sv.Classifications(class_id=np.arange(2), confidence=np.array([0.5, 0.5]))
    measures = measures_of(Prediction(classification=answer, labels=labels), (10, 10))
    assert measures.kinds == {"classification.class": kind}
    assert measures.numbers["classification.score"] == 0.5
    assert measures.numbers["classification.entropy"] == pytest.approx(1.0)


def test_what_is_not_asked_has_the_same_measures_without_values() -> None:
    found = measures_of(Prediction(localization=boxes()), (10, 10))
    unknown = unknown_measures(["localization"])
    assert unknown.numbers.keys() == found.numbers.keys()
    assert unknown.kinds == {"localization.class": ""}
    assert all(np.isnan(value) for value in unknown.numbers.values())
