"""Champion against challenger: promoted only beyond chance, and never over a forgotten class."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import supervision as sv
from numpy.typing import NDArray

from visionkit.evaluation import Truth, evaluate_boxes
from visionkit.evaluation.classification import evaluate_classes
from visionkit.flywheel.marks import Marks, located_marks, named_marks
from visionkit.flywheel.paired import Contest
from visionkit.flywheel.promotion import compare, first_verdict, other_head

NAMES = ("ant", "bee", "cat", "dog")


def answers(
    accuracy: float, *, seed: int, pictures: int = 400, classes: int = 4, hard: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What pictures show, and what a model of this accuracy says; which are hard is shared."""
    truth = np.arange(pictures) % classes
    rng = np.random.default_rng(seed)
    draw = rng.random(pictures)
    if hard:  # most of what is hard is so for every model
        draw = 0.85 * np.random.default_rng(99).random(pictures) + 0.15 * draw
    wrong = np.argsort(draw) >= accuracy * pictures
    said = np.where(wrong, (truth + 1 + rng.integers(0, classes - 1, pictures)) % classes, truth)
    return truth[:, None] == np.arange(classes), said[:, None] == np.arange(classes)


def marks(accuracy: float, *, seed: int, pictures: int = 400) -> Marks:
    return named_marks(*answers(accuracy, seed=seed, pictures=pictures), NAMES)


def test_nothing_to_test_on_leaves_the_champion() -> None:
    nothing = named_marks(np.zeros((0, 2), bool), np.zeros((0, 2), bool), NAMES[:2])
    verdict = compare(nothing, nothing)
    assert not verdict.promoted
    assert verdict.changes == ()
    assert verdict.words[1] == "Nothing can be told from 0 test pictures."


def test_figures_are_those_of_the_evaluation() -> None:
    present, said = answers(0.7, seed=3)
    metrics = evaluate_classes(present.argmax(1), said.astype(np.float64), NAMES)
    found = named_marks(present, said, NAMES)
    assert found.mean() == pytest.approx(metrics.macro_f1)
    assert found.by_class().tolist() == pytest.approx([one.f1 for one in metrics.per_class])
    assert found.interval().low == pytest.approx(metrics.intervals["macro_f1"].low)


def test_ap_is_that_of_the_evaluation() -> None:
    rng = np.random.default_rng(0)
    truths, predictions = [], []
    for _ in range(30):
        corners = rng.uniform(0, 80, (3, 2))
        boxes = np.concatenate([corners, corners + 15], axis=1).astype(np.float32)
        ids = rng.integers(0, 2, 3)
        moved = (boxes + rng.uniform(-6, 6, boxes.shape)).astype(np.float32)
        truths.append(Truth(boxes, ids))
        predictions.append(sv.Detections(moved, None, rng.random(3).astype(np.float32), ids))
    metrics = evaluate_boxes(truths, predictions, NAMES[:2])
    found = located_marks(truths, predictions, NAMES[:2])
    assert found.figure == "AP50"
    assert found.mean() == pytest.approx(metrics.ap50)
    assert found.by_class().tolist() == pytest.approx([one.ap50 for one in metrics.per_class])
    assert found.support.tolist() == [one.truths for one in metrics.per_class]


def test_much_better_is_promoted_and_the_other_way_round_not() -> None:
    worse, better = marks(0.7, seed=1), marks(0.8, seed=2)
    verdict = compare(worse, better)
    assert verdict.promoted
    assert verdict.gain == pytest.approx(better.mean() - worse.mean())
    assert verdict.interval.low < verdict.gain < verdict.interval.high
    assert verdict.words[0].startswith(
        f"The challenger is promoted: F1 {worse.mean():.3f} before and {better.mean():.3f} after"
    )
    back = compare(better, worse)
    assert not back.promoted
    assert back.words[0].startswith("The champion stays: ")


def test_the_same_model_is_not_promoted() -> None:
    verdict = compare(marks(0.7, seed=1), marks(0.7, seed=1))
    assert not verdict.promoted
    assert (verdict.gain, verdict.chance) == (0.0, 1.0)
    assert (verdict.interval.low, verdict.interval.high) == (0.0, 0.0)


def test_equal_models_get_through_hardly_ever() -> None:
    contest = Contest(rounds=1000)
    promoted = [
        compare(marks(0.75, seed=2 * k), marks(0.75, seed=2 * k + 1), contest).promoted
        for k in range(200)
    ]
    # At a level of 0.01 two of 200 are to be expected; more than seven come once in 1,000 times.
    assert sum(promoted) <= 7


@pytest.mark.parametrize(
    ("pictures", "level", "promoted"),
    [(1, 0.01, False), (6, 0.01, False), (7, 0.01, True), (6, 0.02, True), (7, 0.005, False)],
)
def test_a_gain_takes_as_many_pictures_as_a_sign_test_does(
    pictures: int, level: float, promoted: bool
) -> None:
    # All right after all wrong; by chance that comes once in 2, 64 and 128 times.
    present = np.ones((pictures, 1), bool)
    verdict = compare(
        named_marks(present, ~present, NAMES[:1]),
        named_marks(present, present, NAMES[:1]),
        Contest(level=level),
    )
    assert verdict.promoted is promoted
    assert verdict.gain == 1
    if not promoted:
        needed = {0.01: 7, 0.005: 8}[level]
        shown = f"{pictures} of {pictures} test picture{'s' if pictures > 1 else ''} otherwise"
        assert verdict.words[1:] == (
            f"The two answer {shown}, and fewer than {needed} can't tell a gain from chance at "
            f"{100 * level:g} %: add test pictures and say loop.refreeze=true.",
        )


def test_pictures_that_both_answer_alike_tell_no_gain() -> None:
    present = np.arange(100)[:, None] % 2 == np.arange(2)
    before = present.copy()
    before[:6] = ~before[:6]
    before = np.concatenate([before, np.zeros((100, 1), bool)], axis=1)
    after = np.concatenate([present, np.ones((100, 1), bool)], axis=1)
    shown = np.concatenate([present, np.zeros((100, 1), bool)], axis=1)  # of the third nothing
    verdict = compare(named_marks(shown, before, NAMES[:3]), named_marks(shown, after, NAMES[:3]))
    assert verdict.chance < 0.01 < verdict.gain
    assert not verdict.promoted
    assert verdict.words[1].startswith("The two answer 6 of 100 test pictures otherwise")


def test_equal_models_hardly_ever_get_through_on_few_pictures() -> None:
    rng = np.random.default_rng(0)
    contest = Contest(rounds=1000, class_level=1.0)
    promoted = 0
    for pictures in (1, 2, 4, 8, 12):
        truth = np.arange(pictures) % 2
        present = truth[:, None] == np.arange(2)
        for _ in range(100):
            before, after = (
                named_marks(
                    present,
                    np.where(rng.random(pictures) < 0.6, truth, 1 - truth)[:, None] == np.arange(2),
                    NAMES[:2],
                )
                for _ in range(2)
            )
            promoted += compare(before, after, contest).promoted
    # At a level of 0.01 at most five of 500 are to be expected; more than 12 once in 500 times.
    assert promoted <= 12


def test_boxes_are_answered_alike_where_the_same_is_found_with_the_same_scores() -> None:
    truth = Truth(np.array([[0, 0, 10, 10]], np.float32), np.array([0]))
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    found = sv.Detections(boxes, None, np.array([0.9, 0.4], np.float32), np.array([0, 0]))
    surer = replace(found, confidence=np.array([0.9, 0.5], np.float32))
    nothing = sv.Detections.empty()

    def answers(*finds: sv.Detections) -> tuple[bytes, ...]:
        return located_marks([truth] * len(finds), finds, NAMES[:2]).answers

    assert answers() == ()
    assert answers(found, found, found[[1, 0]])[1:] == answers(found, found)
    assert len(set(answers(found, surer, nothing))) == 3
    alien = replace(found, class_id=np.array([0, 1]))  # of a class that no picture shows
    assert answers(alien) == answers(found[[0]])


def test_a_strict_level_can_be_met() -> None:
    present = np.ones((400, 1), bool)
    before = np.zeros((400, 1), bool)
    before[:10] = True
    champion, challenger = (named_marks(present, said, NAMES[:1]) for said in (before, present))
    verdict = compare(champion, challenger, Contest(level=0.0001))
    assert verdict.promoted
    assert verdict.chance <= 0.0001


def test_chance_is_the_share_of_the_draws_that_gain_nothing() -> None:
    champion, challenger = marks(0.75, seed=5), marks(0.77, seed=6)
    verdict = compare(champion, challenger, Contest(rounds=4000))
    rng = np.random.default_rng(1)
    present, before = answers(0.75, seed=5)
    _, after = answers(0.77, seed=6)
    against = 0
    for _ in range(2000):
        drawn = rng.integers(0, 400, 400)
        f1 = [named_marks(present[drawn], said[drawn], NAMES).mean() for said in (before, after)]
        against += f1[1] <= f1[0]
    assert verdict.chance == pytest.approx(against / 2000, abs=0.03)


def test_a_gain_that_is_too_small_is_not_worth_it() -> None:
    worse, better = marks(0.7, seed=1), marks(0.8, seed=2)
    verdict = compare(worse, better, Contest(least_gain=0.5))
    assert not verdict.promoted
    assert verdict.words[1].endswith("is less than the 0.5 that is asked for.")
    verdict = compare(worse, better, Contest(least_score=0.95))
    assert not verdict.promoted
    assert verdict.words[-1] == f"F1 {better.mean():.3f} is less than the 0.95 that is asked for."


def test_a_forgotten_class_keeps_the_better_challenger_out() -> None:
    present, before = answers(0.6, seed=1)
    after = present.copy()  # all right, but for the dogs, which it calls cats
    dogs = present[:, 3]
    after[dogs] = np.array([False, False, True, False])
    verdict = compare(named_marks(present, before, NAMES), named_marks(present, after, NAMES))
    assert verdict.chance < 0.01 < verdict.gain
    assert not verdict.promoted
    assert [one.name for one in verdict.forgotten] == ["dog"]
    assert verdict.changes[0].name == "dog"
    assert "1 class is forgotten, each by more than 0.1: dog (0." in verdict.words[1]
    assert "to 0.00)" in verdict.words[1]
    borne = Contest(most_loss=1.0)
    assert compare(
        named_marks(present, before, NAMES), named_marks(present, after, NAMES), borne
    ).promoted


def test_one_picture_of_a_small_class_is_no_forgetting() -> None:
    present = np.zeros((204, 2), bool)
    present[:200, 0], present[200:, 1] = True, True
    before, after = present.copy(), present.copy()
    before[:60] = [False, True]  # the champion is bad at the large class
    after[200] = [True, False]  # and the challenger misses one of the four of the small one
    verdict = compare(
        named_marks(present, before, NAMES[:2]), named_marks(present, after, NAMES[:2])
    )
    assert verdict.forgotten == ()
    assert verdict.promoted


def test_a_loss_that_may_be_chance_is_said() -> None:
    present = np.zeros((312, 3), bool)
    present[:200, 0], present[200:212, 1], present[212:, 2] = True, True, True
    before, after = present.copy(), present.copy()
    before[:100] = [False, False, True]  # the champion is bad at the first class
    after[200:203] = [True, False, False]  # three of the twelve of the second are lost: F1 18/21
    champion = named_marks(present, before, NAMES[:3])
    verdict = compare(champion, named_marks(present, after, NAMES[:3]))
    assert verdict.promoted
    assert verdict.words[-1] == (
        "No class is forgotten beyond chance; too little of bee (1.00 to 0.86) is in the test "
        "pictures to tell."
    )
    unspoiled = compare(champion, named_marks(present, present, NAMES[:3]))
    assert unspoiled.words[-1] == "No class is forgotten."


def test_a_class_that_one_does_not_know_counts_as_never_found() -> None:
    present, said = answers(0.9, seed=1)
    unknown = said.copy()
    unknown[:, 3] = False
    verdict = compare(named_marks(present, unknown, NAMES), named_marks(present, said, NAMES))
    assert verdict.promoted
    assert verdict.changes[-1].name == "dog"
    assert verdict.changes[-1].champion == 0.0


def test_a_large_test_set_is_drawn_in_pieces_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contest = Contest(rounds=500)
    whole = compare(marks(0.7, seed=1), marks(0.72, seed=2), contest)
    monkeypatch.setattr("visionkit.flywheel.paired._MOST_WEIGHTS", 400 * 100)
    pieces = compare(marks(0.7, seed=1), marks(0.72, seed=2), contest)
    assert pieces.chance == pytest.approx(whole.chance, abs=0.06)
    assert pieces.gain == whole.gain


def test_the_first_model_is_used_if_it_is_good_enough() -> None:
    verdict = first_verdict(marks(0.8, seed=1))
    assert verdict.promoted
    assert math.isnan(verdict.champion)
    assert [one.name for one in verdict.changes] == list(NAMES)
    low = first_verdict(marks(0.8, seed=1), Contest(least_score=0.9))
    assert not low.promoted
    assert low.words == (
        "No model is used yet.",
        f"F1 {low.challenger:.3f} is less than the 0.9 that is asked for.",
    )


def test_no_first_model_is_used_where_nothing_can_be_told() -> None:
    verdict = first_verdict(named_marks(np.zeros((3, 2), bool), np.zeros((3, 2), bool), NAMES[:2]))
    assert not verdict.promoted
    assert verdict.words == (
        "No model is used yet.",
        "Nothing can be told from 3 test pictures.",
    )


def test_a_head_that_need_gain_nothing_is_kept_as_it_was() -> None:
    same = marks(0.8, seed=1)
    other = other_head("classification", same, same, untested=("eel", "fox", "gnu", "hen"))
    assert other.kept
    assert (other.gain, other.interval.low, other.interval.high) == (0, 0, 0)
    assert other.words == (
        f"The head classification, on the backbone that moved, is kept: F1 {same.mean():.3f} "
        f"before and {same.mean():.3f} after on 400 test pictures. No class is forgotten. "
        "Of eel, fox, gnu and 1 more the test pictures show nothing."
    )


def test_a_head_that_forgets_a_class_keeps_the_better_challenger_out() -> None:
    present, before = answers(0.9, seed=1)
    after = before.copy()
    after[present[:, 3]] = False  # of dogs it says nothing any more
    other = other_head(
        "localization", named_marks(present, before, NAMES), named_marks(present, after, NAMES)
    )
    assert not other.kept
    assert "is not kept: F1 0.9" in other.words
    assert "1 class is forgotten, each by more than 0.1: dog (0.88 to 0.00)." in other.words
    better = marks(0.7, seed=1), marks(0.8, seed=2)
    assert compare(*better).promoted
    verdict = compare(*better, others=[other])
    assert not verdict.promoted
    assert verdict.words[0].startswith("The champion stays: ")
    assert verdict.words[1:] == (other.words,)
    assert verdict.others == (other,)


def test_a_head_of_many_classes_is_not_kept_where_only_their_mean_is_surely_lost() -> None:
    # Eight classes of three pictures each, all right before; now two of the three are missed of
    # every second class: F1 of these falls from 1 to 0.5, the mean from 1 to 0.75. The missing of
    # two of three may be chance for each of them (all three drawn from one: 1 in 27), not for all.
    present = np.repeat(np.eye(8, dtype=bool), 3, axis=0)
    after = present.copy()
    for k in range(0, 8, 2):
        after[3 * k : 3 * k + 2] = False
    names = [f"class {k}" for k in range(8)]
    contest = Contest(class_level=0.001)
    other = other_head(
        "classification",
        named_marks(present, present, names),
        named_marks(present, after, names),
        contest,
    )
    assert (other.champion, other.challenger) == (1, pytest.approx(0.75))
    assert [one for one in other.changes if one.forgotten] == []
    assert not other.kept
    assert "The mean of its classes lost more than 0.1, beyond chance." in other.words
    borne = Contest(class_level=0.001, most_loss=0.3)
    assert other_head(
        "classification",
        named_marks(present, present, names),
        named_marks(present, after, names),
        borne,
    ).kept


def test_a_head_that_nothing_can_be_told_of_is_not_kept() -> None:
    nothing = named_marks(np.zeros((3, 2), bool), np.zeros((3, 2), bool), NAMES[:2])
    other = other_head("localization", nothing, nothing)
    assert not other.kept
    assert other.words.endswith("is not kept. Nothing can be told from 3 test pictures.")


def test_a_promoted_challenger_says_how_the_other_heads_did() -> None:
    other = other_head("localization", marks(0.8, seed=1), marks(0.81, seed=3))
    verdict = compare(marks(0.7, seed=1), marks(0.8, seed=2), others=[other])
    assert verdict.promoted
    assert verdict.words[-1] == other.words


def test_others_than_the_same_pictures_are_refused() -> None:
    champion = marks(0.8, seed=1)
    with pytest.raises(ValueError, match="measured on the same, got pictures 400 and 200"):
        compare(champion, marks(0.8, seed=1, pictures=200))
    with pytest.raises(ValueError, match="got figure F1 and AP50"):
        compare(champion, replace(champion, figure="AP50"))
    present, said = answers(0.8, seed=1)
    with pytest.raises(ValueError, match="measured on the same labels"):
        compare(champion, named_marks(np.roll(present, 1, axis=1)[:, ::-1] | present, said, NAMES))
    with pytest.raises(ValueError, match=r"must both be \(pictures, 4\)"):
        named_marks(present, said[:5], NAMES)


def test_who_wins_without_being_promoted_is_told_so() -> None:
    held = Contest(promote=False)
    first = first_verdict(marks(0.8, seed=1), held)
    assert first.words[0].startswith("The first model would be used, but loop.promote is false: F1")
    better = compare(marks(0.5, seed=1), marks(0.9, seed=2), held)
    assert better.promoted  # it has what it takes
    assert better.words[0].startswith(
        "The challenger would be promoted, but loop.promote is false: F1 "
    )
