from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
import supervision as sv

from visionkit.evaluation.box_errors import ERRORS, ErrorKind
from visionkit.evaluation.coco import coco_metrics
from visionkit.evaluation.localization import LocalizationMetrics, evaluate_localization
from visionkit.evaluation.metrics import Truth

NAMES = ("cup", "tin")
Object = tuple[int, float, list[float]]


def truth(*objects: tuple[int, list[float]]) -> Truth:
    return Truth(
        np.array([box for _, box in objects], np.float32).reshape(-1, 4),
        np.array([class_id for class_id, _ in objects], np.int64),
    )


def finds(*objects: Object) -> sv.Detections:
    if not objects:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([box for _, _, box in objects], np.float32),
        class_id=np.array([class_id for class_id, _, _ in objects]),
        confidence=np.array([score for _, score, _ in objects], np.float32),
    )


def evaluated(truths: list[Truth], predictions: list[sv.Detections]) -> LocalizationMetrics:
    return evaluate_localization(truths, predictions, NAMES, thresholds=0.0, bootstrap_rounds=2)


def by_name(metrics: LocalizationMetrics) -> dict[str, ErrorKind]:
    assert tuple(error.name for error in metrics.errors) == ERRORS
    return {error.name: error for error in metrics.errors}


# COCO's figures.


def test_nothing_at_all_gives_undefined_figures_and_no_error() -> None:
    metrics = evaluated([], [])
    assert all(math.isnan(figure) for figure in astuple(metrics.coco))
    assert [error.count for error in metrics.errors] == [0] * 6
    assert all(math.isnan(error.share) for error in metrics.errors)
    assert all(math.isnan(error.ap50_without) for error in metrics.errors)


def test_finds_on_backgrounds_alone() -> None:
    metrics = evaluated([Truth.empty()], [finds((0, 0.9, [0, 0, 10, 10]))])
    assert math.isnan(metrics.coco.ap)
    assert by_name(metrics)["background"].count == 1
    assert by_name(metrics)["background"].share == 1


def test_nothing_found_is_zero() -> None:
    metrics = evaluated([truth((0, [0, 0, 50, 50]))], [finds()])
    assert (metrics.coco.ap, metrics.coco.ar_100) == (0, 0)
    assert by_name(metrics)["missed"].count == 1


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 for 0 truths"):
        coco_metrics([], [finds()], 2)


def test_sizes_are_told_apart_by_the_area_of_the_box() -> None:
    """Of a small, a medium and a large cup the medium one is not found."""
    small, medium, large = [0.0, 0, 20, 20], [100.0, 0, 150, 50], [200.0, 0, 400, 200]
    metrics = evaluated(
        [truth((0, small), (0, medium), (0, large))],
        [finds((0, 0.9, small), (0, 0.8, large))],
    ).coco
    by_size = metrics.ap_small, metrics.ap_medium, metrics.ap_large
    assert by_size == pytest.approx((1, 0, 1))
    assert (metrics.ar_small, metrics.ar_medium, metrics.ar_large) == pytest.approx((1, 0, 1))
    # Recall 2/3: of 101 levels those from 0 to 0.66 have precision 1.
    assert metrics.ap == pytest.approx(67 / 101)
    assert metrics.ar_1 == pytest.approx(1 / 3)
    assert metrics.ar_10 == metrics.ar_100 == pytest.approx(2 / 3)


def test_the_place_counts_for_ap_and_not_for_ap50() -> None:
    """A find that overlaps by 40 / 50 is right at IoU 0.5 to 0.8: at 7 of 10 levels."""
    metrics = evaluated([truth((0, [0, 0, 50, 10]))], [finds((0, 0.9, [0, 0, 40, 10]))]).coco
    assert (metrics.ap50, metrics.ap75) == pytest.approx((1, 1))
    assert metrics.ap == pytest.approx(0.7)
    assert metrics.ar_100 == pytest.approx(0.7)


def test_what_is_all_right_is_exactly_one() -> None:
    """Else it would be shown as 0.99."""
    metrics = evaluated([truth((0, CUP), (1, TIN))], [finds((0, 0.9, CUP), (1, 0.8, TIN))]).coco
    assert (metrics.ap, metrics.ap50, metrics.ap_large, metrics.ar_10) == (1, 1, 1, 1)


def test_classes_count_alike() -> None:
    box = [0.0, 0, 50, 50]
    truths = [truth((0, box)), truth((0, box)), truth((1, box))]
    metrics = evaluated(truths, [finds((0, 0.9, box)), finds((0, 0.9, box)), finds()]).coco
    assert metrics.ap50 == pytest.approx(0.5)


def test_ours_and_cocos_figures_agree() -> None:
    rng = np.random.default_rng(0)
    truths, predictions = [], []
    for _ in range(12):
        corner = rng.uniform(0, 200, (3, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 120, (3, 2))], 1)
        class_ids = rng.integers(0, 2, 3)
        truths.append(Truth(boxes, class_ids))
        predictions.append(
            sv.Detections(
                xyxy=(boxes + rng.normal(0, 6, boxes.shape)).astype(np.float32),
                class_id=class_ids,
                confidence=rng.uniform(0, 1, 3).astype(np.float32),
            )
        )
    metrics = evaluated(truths, predictions)
    assert 0.1 < metrics.coco.ap < 0.9
    for name in ("ap", "ap50", "ap75"):
        expected = getattr(metrics.coco, name)
        assert getattr(metrics.boxes, name) == pytest.approx(expected, abs=1e-6)


# Kinds of error. Precision at the 101 recalls, by hand.

CUP, TIN = [0.0, 0, 100, 100], [200.0, 0, 300, 100]


@pytest.mark.parametrize(
    ("name", "find", "without"),
    [
        ("class", (0, 0.5, TIN), 1.0),
        ("place", (1, 0.5, [260.0, 0, 360, 100]), 1.0),  # IoU 40 / 160
        ("both", (0, 0.5, [260.0, 0, 360, 100]), 0.5),
        ("background", (1, 0.5, [400.0, 0, 500, 100]), 0.5),
        ("background", (1, 0.5, [295.0, 0, 395, 100]), 0.5),  # IoU 5 / 195
        ("copy", (0, 0.5, [0.0, 0, 100, 90]), 0.5),
    ],
)
def test_one_error_of_each_kind(name: str, find: Object, without: float) -> None:
    """The cup is found, the tin is not: AP50 is 1 for cups, 0 for tins, whatever the wrong find."""
    metrics = evaluated([truth((0, CUP), (1, TIN))], [finds((0, 0.9, CUP), find)])
    assert metrics.boxes.ap50 == pytest.approx(0.5)
    errors = by_name(metrics)
    on_the_tin = name in ("class", "place")  # it explains why the tin is not found
    assert {each: error.count for each, error in errors.items()} == {
        **dict.fromkeys(ERRORS, 0),
        name: 1,
        "missed": 0 if on_the_tin else 1,
    }
    assert errors[name].share == (1 if on_the_tin else 0.5)
    assert errors[name].ap50_without == pytest.approx(without)
    assert errors[name].gain == pytest.approx(without - 0.5)
    # Without boxes that were missed no tin is left, and AP50 is that of cups.
    assert errors["missed"].ap50_without == pytest.approx(0.5 if on_the_tin else 1.0)


def test_a_wrong_find_that_is_surer_than_the_right_one() -> None:
    """On nothing at 0.9, the cup at 0.8: precision 1/2 at every recall, and 1 without the error."""
    predictions = [finds((0, 0.9, [400, 0, 500, 100]), (0, 0.8, CUP))]
    metrics = evaluated([truth((0, CUP))], predictions)
    assert metrics.boxes.ap50 == pytest.approx(0.5)
    errors = by_name(metrics)
    assert errors["background"].gain == pytest.approx(0.5)
    for name in ("class", "place", "both", "copy", "missed"):
        assert errors[name].gain == 0


def test_two_wrong_finds_of_one_box_put_only_one_right() -> None:
    """Both tins at the place of one cup: put right, the surer one finds it and the other goes."""
    predictions = [finds((1, 0.9, CUP), (1, 0.8, CUP))]
    metrics = evaluated([truth((0, CUP), (0, TIN))], predictions)
    assert metrics.boxes.ap50 == 0
    # One of two cups found at precision 1: the levels from 0 to 0.5.
    assert by_name(metrics)["class"].ap50_without == pytest.approx(51 / 101)
    assert by_name(metrics)["class"].count == 2
    assert by_name(metrics)["missed"].count == 1


def test_only_finds_at_their_threshold_are_counted_but_all_count_for_ap50() -> None:
    predictions = [finds((0, 0.9, CUP), (0, 0.3, TIN))]
    metrics = evaluate_localization(
        [truth((0, CUP), (1, TIN))], predictions, NAMES, thresholds=0.5, bootstrap_rounds=2
    )
    errors = by_name(metrics)
    assert errors["class"].count == 0
    assert errors["missed"].count == 1
    assert errors["class"].ap50_without == pytest.approx(1.0)
