"""What all finds of a picture would teach together."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.flywheel.answers import Asked, Proposal, Truth
from visionkit.flywheel.queue.build import QueueSettings, queue_of
from visionkit.flywheel.queue.columns import columns_of
from visionkit.flywheel.queue.crowds import boxes_to_learn
from visionkit.types import ObjectBox, Sample

BOX = (1.0, 1.0, 20.0, 20.0)


def find(
    sample: str, score: float, *, label: str = "cup", task: str = "localization", place: int = 0
) -> Proposal:
    name = f"{sample}-{label}-{place}"
    return Proposal(name, sample, task, label, score, 0.5, BOX, "m")


def queue(
    proposals: list[Proposal], pictures: list[str], known: tuple[str, ...] = ()
) -> list[Asked]:
    """What is asked of the pictures, beside a reviewed one with boxes of known classes."""
    boxes = tuple(ObjectBox(label, BOX) for label in known)
    truths = {name: Truth((), (), 0, False) for name in pictures}
    truths["known"] = Truth((), boxes, 1, True)
    samples = [Sample(name, f"/{name}.jpg", 64, 48, name) for name in truths]
    nothing = np.zeros((0, 1), np.float32)
    return queue_of(samples, truths, proposals, lambda _: ([], nothing), QueueSettings(audit=0.0))


def test_likely_boxes_add_to_the_greatest_doubt_as_a_share_of_the_most() -> None:
    said = [find("a", 0.5), find("b", 0.4), find("b", 0.7, place=1), find("b", 0.9, place=2)]
    doubt = np.array([1.0, 0.8, 0.6, 0.2])
    # Of b the doubt of 0.8, and 1 - 0.4 ** 4 = 0.9744 and 1 - 0.8 ** 4 = 0.5904 of a box beside it.
    weight = boxes_to_learn(columns_of(said, ["a", "b", "c"]), doubt, {})
    assert weight.tolist() == pytest.approx([1 / 2.3648, 1.0, 0.0])


def test_much_that_is_hardly_anything_is_no_crowd() -> None:
    nothing = [find("a", 0.2, place=place) for place in range(20)]  # 0.4 of a doubt each
    boxes = [find("b", 0.8, place=place) for place in range(3)]
    assert [each.sample_id for each in queue([*nothing, *boxes], ["a", "b"])] == ["b", "a"]


def test_where_no_picture_holds_a_whole_doubt_none_is_raised() -> None:
    said = [find("a", 0.9), find("b", 0.95)]
    weight = boxes_to_learn(columns_of(said, ["a", "b"]), np.array([0.2, 0.1]), {"cup": 7})
    assert weight.tolist() == pytest.approx([0.2, 0.1])


def test_a_find_counts_by_the_boxes_that_are_known_of_its_class() -> None:
    said = [find("a", 0.5, label="cup"), find("b", 0.5, label="mug"), find("c", 0.5, label="jug")]
    doubt = np.array([0.5, 0.5, 0.5])
    weight = boxes_to_learn(columns_of(said, list("abc")), doubt, {"cup": 9, "mug": 4, "bowl": 0})
    assert weight.tolist() == pytest.approx([0.05, 0.1, 0.5])  # 1/10, 1/5 and 1 of it


def test_only_finds_of_localization_add_up() -> None:
    said = [find("a", 0.5, task="exemplar"), find("b", 0.5)]
    weight = boxes_to_learn(columns_of(said, ["a", "b"]), np.array([1.0, 0.4]), {})
    assert weight.tolist() == pytest.approx([0.0, 0.4])
    assert boxes_to_learn(columns_of(said[:1], ["a"]), np.ones(1), {}).tolist() == [0.0]


def test_a_picture_with_many_unsure_finds_is_asked_before_one_with_the_least_sure_find() -> None:
    one = [find("one", 0.5)]  # at its threshold: doubt 1
    many = [find("many", 0.65, place=place) for place in range(4)]  # 0.7 each
    sure = [find("sure", 0.99, place=place) for place in range(9)]  # 0.02 each
    asked = queue([*one, *many, *sure], ["sure", "one", "many"])
    assert [each.sample_id for each in asked] == ["many", "one", "sure"]
    assert asked[0].reasons[0].words.endswith("4 finds of the picture are undecided.")
    assert asked[1].reasons[0].words.endswith("its threshold of 0.50.")


def test_classes_of_the_whole_picture_are_no_finds() -> None:
    said = [
        Proposal(f"a-{label}", "a", "classification", label, score, 0.5, None, "m")
        for label, score in (("wet", 0.5), ("dark", 0.55))
    ]
    words = queue(said, ["a"])[0].reasons[0].words
    assert words == "'wet' scores 0.50, 0.00 above its threshold of 0.50."


def test_a_rare_class_is_asked_before_one_that_is_known_well() -> None:
    said = [find("a", 0.5, label="cup"), find("b", 0.6, label="mug")]
    assert [each.sample_id for each in queue(said, ["a", "b"])] == ["a", "b"]
    asked = queue(said, ["a", "b"], known=("cup",) * 5 + ("mug",))
    assert [each.sample_id for each in asked] == ["b", "a"]
