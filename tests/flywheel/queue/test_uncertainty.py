"""Which pictures models are unsure of, and what they say against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.queue.columns import Doubts, columns_of
from visionkit.flywheel.queue.uncertainty import (
    doubts_by_entropy,
    doubts_by_frames,
    doubts_by_geometry,
    doubts_by_heads,
    doubts_by_margin,
)

Box = tuple[float, float, float, float]
HERE: Box = (10.0, 10.0, 50.0, 50.0)


def named(sample: str, label: str, score: float, second: str = "", other: float = 0.0) -> Proposal:
    """A class of the whole picture that is named whatever its score."""
    name = f"{sample}-{label}-c"
    return Proposal(name, sample, "classification", label, score, 0.0, None, "m", second, other)


def found(
    sample: str,
    label: str,
    score: float,
    *,
    task: str = "localization",
    threshold: float = 0.5,
    box: Box = HERE,
    inliers: int = -1,
    track: int = -1,
) -> Proposal:
    """A find."""
    name = f"{sample}-{label}-{box[0]}-{score}"
    return Proposal(
        name, sample, task, label, score, threshold, box, "m", inliers=inliers, track=track
    )


def test_nothing_said_is_nothing_doubted() -> None:
    columns = columns_of([], ["a", "b"])
    kinds: list[Doubts] = [
        doubts_by_margin(columns),
        doubts_by_entropy(columns),
        doubts_by_heads(columns),
        doubts_by_geometry(columns),
        doubts_by_frames(columns, video_of=str),
    ]
    assert [each.weight.tolist() for each in kinds] == [[0.0, 0.0]] * 5
    assert columns_of([named("x", "cat", 0.5)], ["a"]).proposals == []


@pytest.mark.parametrize(
    ("one", "weight", "words"),
    [
        # at its threshold: all of it; at the ends 0; half-way between half of it
        (found("a", "cup", 0.5), 1.0, "'cup' scores 0.50, 0.00 above its threshold of 0.50."),
        (found("a", "cup", 0.25), 0.5, "'cup' scores 0.25, 0.25 below its threshold of 0.50."),
        (found("a", "cup", 0.95, threshold=0.9), 0.5, "'cup' scores 0.95, 0.05 above its thr"),
        (named("a", "cat", 0.5, "dog", 0.3), 0.8, "'cat' (0.50) is only 0.20 ahead of 'dog' (0.3"),
        (named("a", "cat", 0.4), 0.6, "'cat' is the likeliest with no more than 0.40."),
    ],
)
def test_margin_is_the_way_to_the_threshold_or_the_runner_up(
    one: Proposal, weight: float, words: str
) -> None:
    doubts = doubts_by_margin(columns_of([one], ["a"]))
    assert doubts.weight[0] == pytest.approx(weight)
    assert doubts.words(0).startswith(words)


def test_the_most_doubtful_find_of_a_picture_counts() -> None:
    said = [found("a", "cup", 0.9), found("a", "mug", 0.55), found("b", "cup", 0.99)]
    doubts = doubts_by_margin(columns_of(said, ["b", "a"]))
    assert doubts.weight.tolist() == pytest.approx([0.02, 0.9])
    assert "'mug'" in doubts.words(1)


def test_of_the_classes_of_a_picture_only_the_best_has_a_lead() -> None:
    said = [named("a", "cat", 0.9, "dog", 0.1), named("a", "dog", 0.1, "cat", 0.0)]
    doubts = doubts_by_margin(columns_of(said, ["a"]))
    assert doubts.weight[0] == pytest.approx(1 - 0.8)


def test_entropy_is_that_of_the_scores_and_the_rest_as_a_share_of_the_widest() -> None:
    said = [named("a", "cat", 0.5), named("a", "dog", 0.25), named("b", "cat", 1.0)]
    doubts = doubts_by_entropy(columns_of(said, ["a", "b", "c"]))
    bits = 0.5 * 1 + 0.25 * 2 + 0.25 * 2  # of 0.5, 0.25 and the rest
    assert doubts.weight.tolist() == pytest.approx([min(bits / math.log2(2), 1.0), 0.0, 0.0])
    four = [named(name, name, 0.7, "x", 0.1) for name in ("a", "b", "c", "d")]
    nats = -(0.7 * math.log(0.7) + 0.1 * math.log(0.1) + 0.2 * math.log(0.2))
    doubts = doubts_by_entropy(columns_of(four, ["a"]))
    assert doubts.weight[0] == pytest.approx(min(nats / math.log(2), 1.0))
    doubts = doubts_by_entropy(columns_of(four, ["a", "b", "c", "d"]))
    assert doubts.weight[0] == pytest.approx(nats / math.log(4))
    assert f"{nats / math.log(4):.2f} of the widest" in doubts.words(0)


def test_heads_contradict_each_other_at_one_place_and_over_the_whole_picture() -> None:
    one_place = [
        found("a", "pepsi", 0.8, task="exemplar"),
        found("a", "cola", 0.7),
        found("b", "pepsi", 0.8, task="exemplar"),
        found("b", "cola", 0.7, box=(100.0, 100.0, 140.0, 140.0)),
        found("c", "pepsi", 0.8, task="exemplar"),
        found("c", "pepsi", 0.7),
        found("d", "pepsi", 0.8, task="exemplar"),
        found("d", "cola", 0.2),  # below its threshold: not said
    ]
    doubts = doubts_by_heads(columns_of(one_place, ["a", "b", "c", "d"]))
    assert doubts.weight.tolist() == pytest.approx([0.7, 0.0, 0.0, 0.0])
    assert doubts.words(0) == (
        "At one place exemplar says 'pepsi' (0.80) and localization 'cola' (0.70)."
    )
    whole = [
        named("a", "cat", 0.9),
        found("a", "dog", 0.6),
        named("b", "cat", 0.9),
        found("b", "cat", 0.6),
        found("b", "dog", 0.7, box=(100.0, 100.0, 140.0, 140.0)),
        named("c", "street", 0.9),  # of which the other head knows nothing
        found("c", "dog", 0.6),
    ]
    doubts = doubts_by_heads(columns_of(whole, ["a", "b", "c"]))
    assert doubts.weight.tolist() == pytest.approx([0.6, 0.0, 0.0])
    assert "and no 'cat'" in doubts.words(0)


def test_a_class_is_contradicted_by_a_head_that_knows_it_and_finds_nothing() -> None:
    said = [
        found("a", "cat", 0.8),  # so the other head knows cats
        named("b", "cat", 0.9, "dog", 0.1),
        found("c", "cat", 0.3),  # below its threshold
        named("c", "cat", 0.7, "dog", 0.3),
        named("d", "street", 0.9),  # of which the other head knows nothing
        named("e", "cat", 0.6),
        found("e", "cat", 0.9),
        named("f", "street", 0.9),
        named("f", "cat", 0.1),  # not the likeliest
        replace(named("g", "cat", 0.9), model="other"),  # which has one head
    ]
    doubts = doubts_by_heads(columns_of(said, list("abcdefg")))
    assert doubts.weight.tolist() == pytest.approx([0.0, 0.9, 0.7, 0.0, 0.0, 0.0, 0.0])
    assert doubts.words(1) == "Classification says 'cat' (0.90), but localization finds nothing."


def test_geometry_against_look() -> None:
    said = [
        found("a", "logo", 0.3, task="exemplar", inliers=24),
        found("b", "logo", 0.9, task="exemplar", inliers=2),
        found("c", "logo", 0.9, task="exemplar", inliers=20),
        found("d", "logo", 0.9, task="exemplar", inliers=30),
        found("e", "disc", 0.9, task="exemplar", inliers=0),  # plain: it never has points
        found("f", "logo", 0.2, task="exemplar", inliers=3),
    ]
    doubts = doubts_by_geometry(columns_of(said, ["a", "b", "c", "d", "e", "f"]))
    usual = 20  # the middle of 2, 20 and 30
    expected = [24 / (24 + 8), 0.5 * (1 - 2 / usual), 0.0, 0.0, 0.0, 0.0]
    assert doubts.weight.tolist() == pytest.approx(expected)
    assert doubts.words(0).startswith("24 points agree with 'logo', but its look scores 0.30")
    assert doubts.words(1).endswith("but 2 points agree where 20 usually do.")


def test_frames_of_a_track_vote_in_their_own_video() -> None:
    said = [
        found("v1_a", "fox", 0.9, track=1),
        found("v1_b", "fox", 0.8, track=1),
        found("v1_c", "dog", 0.9, track=1),
        found("v1_d", "fox", 0.3, track=1),
        found("v2_a", "dog", 0.9, track=1),  # another video: another track
    ]
    ids = [one.sample_id for one in said]
    doubts = doubts_by_frames(columns_of(said, ids), video_of=lambda name: name[:2])
    middle = (0.8 + 0.9) / 2  # of 0.9, 0.8, 0.9 and 0.3
    assert doubts.weight.tolist() == pytest.approx([0.0, 0.0, 3 / 4, middle - 0.3, 0.0])
    assert doubts.words(2) == "It says 'dog' where 3 of the 4 frames of the track say 'fox'."
