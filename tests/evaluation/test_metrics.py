from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import supervision as sv
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionkit.evaluation import BoxMetrics, Truth, evaluate_boxes
from visionkit.evaluation.average_precision import average_precision, average_precision_rounds

NAMES = ("cup", "box", "tin")


def truth(*objects: tuple[int, list[float]]) -> Truth:
    return Truth(
        np.array([box for _, box in objects], np.float32).reshape(-1, 4),
        np.array([class_id for class_id, _ in objects], np.int64),
    )


def finds(*objects: tuple[int, float, list[float]]) -> sv.Detections:
    if not objects:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([box for _, _, box in objects], np.float32),
        class_id=np.array([class_id for class_id, _, _ in objects]),
        confidence=np.array([score for _, score, _ in objects], np.float32),
    )


def random_set(pictures: int, seed: int, boxes: int = 3) -> tuple[list[Truth], list[sv.Detections]]:
    """Boxes of three classes; finds near most of them, doubles, and finds of nothing."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, boxes + 1))
        corner = rng.uniform(0, 300, (count, 2))
        box = np.concatenate([corner, corner + rng.uniform(20, 120, (count, 2))], axis=1)
        class_id = rng.integers(0, 3, count)
        near = np.repeat(box, 2, axis=0) + rng.normal(0, 7, (2 * count, 4))
        corner = rng.uniform(0, 300, (4, 2))
        stray = np.concatenate([corner, corner + rng.uniform(20, 120, (4, 2))], axis=1)
        truths.append(Truth(box, class_id))
        predictions.append(
            sv.Detections(
                xyxy=np.concatenate([near, stray]).astype(np.float32),
                class_id=np.concatenate([np.repeat(class_id, 2), rng.integers(0, 3, 4)]),
                confidence=rng.uniform(0, 1, 2 * count + 4).astype(np.float32),
            )
        )
    return truths, predictions


def coco_figures(truths: list[Truth], predictions: list[sv.Detections]) -> np.ndarray:
    """AP, AP50 and AP75 by COCO's own evaluator."""

    def xywh(box: np.ndarray) -> list[float]:
        x_min, y_min, x_max, y_max = box.astype(np.float64).tolist()
        return [x_min, y_min, x_max - x_min, y_max - y_min]

    boxes, found = [], []
    for picture, (there, said) in enumerate(zip(truths, predictions, strict=True)):
        for box, class_id in zip(there.boxes, there.class_ids, strict=True):
            boxes.append(
                {"id": len(boxes) + 1, "image_id": picture, "category_id": int(class_id),
                 "bbox": xywh(box), "area": 1.0, "iscrowd": 0}
            )  # fmt: skip
        for box, class_id, score in zip(said.xyxy, said.class_id, said.confidence, strict=True):
            found.append(
                {"image_id": picture, "category_id": int(class_id), "bbox": xywh(box),
                 "score": float(score)}
            )  # fmt: skip
    coco = COCO()
    coco.dataset = {
        "images": [{"id": picture} for picture in range(len(truths))],
        "annotations": boxes,
        "categories": [{"id": index, "name": name} for index, name in enumerate(NAMES)],
    }
    coco.createIndex()
    evaluator = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator.stats[:3]


def test_nothing_at_all_gives_undefined_figures_and_no_error() -> None:
    metrics = evaluate_boxes([], [], NAMES)
    assert math.isnan(metrics.ap50)
    assert math.isnan(metrics.f1)
    assert math.isnan(metrics.intervals["ap50"].low)
    assert [one.truths for one in metrics.per_class] == [0, 0, 0]
    assert metrics.confusion.shape == (4, 4)


def test_empty_pictures_without_finds_have_no_false_alarms() -> None:
    metrics = evaluate_boxes([Truth.empty()] * 2, [finds()] * 2, NAMES)
    assert (metrics.empty_pictures, metrics.false_alarms, metrics.clean_pictures) == (2, 0.0, 1.0)
    assert math.isnan(metrics.recall)


def test_a_class_list_may_be_empty() -> None:
    metrics = evaluate_boxes([Truth.empty()], [finds()], [])
    assert metrics.per_class == ()
    assert metrics.confusion.tolist() == [[0]]


@pytest.fixture(scope="module")
def worked() -> BoxMetrics:
    """Three pictures small enough to count by hand.

    Picture 0: a cup and a box. Found: the cup (0.9), the cup again (0.8), a tin on the box (0.6).
    Picture 1: a cup. Found: the cup, too far off, IoU 50 / 150 = 1/3 (0.7).
    Picture 2: nothing. Found: a cup (0.5).
    """
    cup, box = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 70.0, 70.0]
    return evaluate_boxes(
        [truth((0, cup), (1, box)), truth((0, cup)), truth()],
        [
            finds((0, 0.9, cup), (0, 0.8, [0.0, 0.0, 10.0, 9.0]), (2, 0.6, box)),
            finds((0, 0.7, [5.0, 0.0, 15.0, 10.0])),
            finds((0, 0.5, cup)),
        ],
        NAMES,
        thresholds={"cup": 0.5, "box": 0.5, "tin": 0.5},
    )


def test_worked_example_average_precision(worked: BoxMetrics) -> None:
    # Cup: right at rank 1 of 4, recall 1/2, so precision 1 at the 51 recalls 0.00 to 0.50.
    assert worked.per_class[0].ap50 == pytest.approx(51 / 101)
    assert worked.per_class[1].ap50 == 0.0
    assert math.isnan(worked.per_class[2].ap50)  # no tin to find
    assert worked.ap50 == pytest.approx((51 / 101 + 0) / 2)
    # Pooled: right at rank 1, recall 1/3, so precision 1 at the 34 recalls 0.00 to 0.33.
    assert worked.ap50_pooled == pytest.approx(34 / 101)


def test_worked_example_counts(worked: BoxMetrics) -> None:
    cup, box, tin = worked.per_class
    assert (cup.truths, cup.finds, cup.true, cup.false, cup.missed) == (2, 4, 1, 3, 1)
    assert (cup.precision, cup.recall) == (1 / 4, 1 / 2)
    assert cup.f1 == pytest.approx(2 * 1 / (4 + 2))
    assert math.isnan(box.precision)  # never said
    assert (box.recall, box.missed) == (0.0, 1)
    assert (tin.precision, tin.false) == (0.0, 1)
    assert (worked.precision, worked.recall) == (1 / 5, 1 / 3)
    assert worked.false_alarms == 1.0  # one picture without items, one find on it
    assert cup.false_alarms == 1.0
    assert worked.clean_pictures == 0.0


def test_worked_example_outcomes(worked: BoxMetrics) -> None:
    assert worked.outcomes.kind_names() == [
        "true",
        "duplicate",
        "wrong item",
        "misplaced",
        "background",
    ]
    assert worked.outcomes.iou == pytest.approx([1.0, 0.9, 1.0, 1 / 3, 0.0])
    assert worked.outcomes.truth.tolist() == [0, 0, 1, 2, -1]
    assert worked.outcomes.truth_find.tolist() == [0, -1, -1]
    assert worked.outcome_counts["true"] == 1
    assert worked.outcomes.of_picture(1).tolist() == [3]


def test_worked_example_confusion(worked: BoxMetrics) -> None:
    #                                 cup box tin missed
    assert worked.confusion.tolist() == [[1, 0, 0, 1],
                                         [0, 0, 1, 1],
                                         [0, 0, 0, 0],
                                         [3, 0, 0, 0]]  # fmt: skip
    assert (worked.per_class[1].nearest, worked.per_class[1].nearest_count) == ("tin", 1)
    assert worked.per_class[0].nearest == ""


def test_worked_example_thresholds(worked: BoxMetrics) -> None:
    cup, box, _ = worked.per_class
    # Down to 0.9: one find, one right, F1 = 2/3; every lower threshold adds wrong finds.
    assert cup.assumed_threshold == pytest.approx(0.9)
    assert cup.assumed_f1 == pytest.approx(2 / 3)
    assert cup.precise_threshold == pytest.approx(0.9)
    assert math.isnan(box.assumed_threshold)


def test_worked_example_recall_at_false_alarms(worked: BoxMetrics) -> None:
    # At 0.1 false finds a picture, 3 pictures allow none: only the first find, of three boxes.
    assert worked.recall_at_false_alarms == pytest.approx(1 / 3)
    assert worked.recall_any == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_is_that_of_coco(seed: int) -> None:
    truths, predictions = random_set(60, seed)
    metrics = evaluate_boxes(truths, predictions, NAMES, bootstrap_rounds=10)
    ours = [metrics.ap, metrics.ap50, metrics.ap75]
    np.testing.assert_allclose(ours, coco_figures(truths, predictions), atol=1e-9)


def test_bootstrap_rounds_equal_evaluating_the_repeated_pictures() -> None:
    truths, predictions = random_set(12, seed=3)
    outcomes = evaluate_boxes(truths, predictions, NAMES, bootstrap_rounds=10).outcomes
    rng = np.random.default_rng(0)
    weights = rng.multinomial(12, np.full(12, 1 / 12), size=5).astype(float)
    rounds = average_precision_rounds(
        outcomes.is_true, outcomes.score, outcomes.picture, outcomes.truth_picture, weights
    )
    for row, figure in zip(weights.astype(int), rounds, strict=True):
        again = np.repeat(np.arange(12), row)
        repeated = evaluate_boxes(
            [truths[i] for i in again], [predictions[i] for i in again], NAMES, bootstrap_rounds=1
        ).outcomes
        expected = average_precision(repeated.is_true, repeated.score, len(repeated.truth_class_id))
        assert figure == pytest.approx(expected, abs=1e-9)


def test_intervals_hold_the_figure_and_narrow_with_more_pictures() -> None:
    few = evaluate_boxes(*random_set(20, seed=5), NAMES)
    many = evaluate_boxes(*random_set(320, seed=5), NAMES)
    for name in ("ap50", "ap50_pooled", "precision", "recall", "f1", "false_alarms"):
        spread = [one.intervals[name].high - one.intervals[name].low for one in (few, many)]
        assert many.intervals[name].low <= getattr(many, name) <= many.intervals[name].high
        assert spread[1] < spread[0]


def test_each_class_keeps_to_its_own_threshold() -> None:
    box = [0.0, 0.0, 10.0, 10.0]
    there = [truth((0, box), (1, [20.0, 0.0, 30.0, 10.0]))]
    said = [finds((0, 0.4, box), (1, 0.4, [20.0, 0.0, 30.0, 10.0]))]
    metrics = evaluate_boxes(there, said, ("a", "b"), thresholds={"a": 0.3, "b": 0.5})
    assert [one.true for one in metrics.per_class] == [1, 0]
    assert metrics.above.tolist() == [True, False]
    assert metrics.per_class[1].ap50 == 1.0  # AP does not look at thresholds


def test_a_find_takes_the_best_free_box_and_ties_of_score_fall_together() -> None:
    left, right = [0.0, 0.0, 10.0, 10.0], [2.0, 0.0, 12.0, 10.0]
    there = [truth((0, left), (0, right))]
    said = [finds((0, 0.9, right), (0, 0.9, right))]
    outcomes = evaluate_boxes(there, said, ("a",)).outcomes
    # The second takes the other box, IoU 80 / 120, since the better one is taken.
    assert outcomes.truth.tolist() == [1, 0]
    assert outcomes.is_true.all()


def test_none_as_threshold_is_the_best_f1_and_finds_nothing_where_nothing_is_right() -> None:
    box = [0.0, 0.0, 10.0, 10.0]
    metrics = evaluate_boxes([truth((0, box))], [finds((0, 0.8, box), (1, 0.9, box))], ("a", "b"))
    assert metrics.per_class[0].threshold == pytest.approx(0.8)
    assert metrics.per_class[1].threshold == math.inf
    assert metrics.per_class[1].finds == 0


def _without_scores() -> sv.Detections:
    return sv.Detections(xyxy=np.zeros((1, 4), np.float32), class_id=np.array([0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: evaluate_boxes([truth()], [], NAMES), "got 0 for 1 truths"),
        (lambda: evaluate_boxes([truth()], [finds((3, 0.5, [0, 0, 1, 1]))], NAMES),
         "must be 0 to 2, got 3 .predictions of picture 0"),
        (lambda: evaluate_boxes([truth((-1, [0, 0, 1, 1]))], [finds()], NAMES),
         "got -1 .truth of picture 0"),
        (lambda: evaluate_boxes([truth()], [finds((0, math.nan, [0, 0, 1, 1]))], NAMES),
         "scores of picture 0"),
        (lambda: evaluate_boxes([truth((0, [0, 0, math.inf, 1]))], [finds()], NAMES),
         "truth boxes of picture 0"),
        (lambda: evaluate_boxes([truth()], [_without_scores()], NAMES), "without confidence"),
        (lambda: evaluate_boxes([], [], NAMES, thresholds={"cup": 0.5, "box": 0.5}),
         "none for 'tin'"),
        (lambda: evaluate_boxes([], [], NAMES, thresholds=math.nan), "got nan .'cup'"),
        (lambda: Truth(np.zeros((2, 4), np.float32), np.zeros(1, np.int64)),
         "2 boxes and 1 class ids"),
    ],
    ids=["lengths", "unknown class", "negative class", "nan score", "endless box", "no scores",
         "threshold missing", "nan threshold", "truth lengths"],
)  # fmt: skip
def test_wrong_input_is_refused_in_words(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_boxes_without_area_overlap_nothing() -> None:
    flat = [5.0, 5.0, 5.0, 5.0]
    metrics = evaluate_boxes([truth((0, flat))], [finds((0, 0.9, flat))], ("a",))
    assert metrics.outcomes.kind_names() == ["background"]
