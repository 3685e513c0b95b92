from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worlds import PastedScenes, mark, new_finder, photo, scene_with, three_items
from visionkit.matching.finder import Finder
from visionkit.matching.gallery import View
from visionkit.training.pairs import (
    PAIRS_PER_SCENE,
    LabelledScene,
    LessonDataset,
    Lessons,
    join,
    scene_lessons,
    scene_pairs,
)


@pytest.fixture(scope="module")
def finder() -> Finder:
    """Three items with two views each and room to learn them; not to be changed."""
    return learner(three_items())


def learner(views: Sequence[View]) -> Finder:
    finder = new_finder(views)
    finder.learn_items()
    return finder


def equal(first: Lessons, second: Lessons) -> None:
    for name, value in vars(first).items():
        assert torch.equal(value, vars(second)[name]), name
        assert value.dtype == vars(second)[name].dtype, name


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def test_an_empty_scene_teaches_what_is_not_there(finder: Finder) -> None:
    pairs, targets = scene_pairs(finder, LabelledScene.empty(photo(1)))
    assert 0 < len(pairs.prior) <= PAIRS_PER_SCENE
    assert (targets.matches == 0).all()
    assert not targets.has_box.any()


def test_a_scene_without_candidates_gives_no_pairs() -> None:
    pairs, targets = scene_pairs(new_finder(), LabelledScene.empty(photo(1)))
    assert pairs.scene.shape[0] == pairs.prior.shape[0] == 0
    assert targets.matches.shape == (0,)
    assert targets.boxes.shape == (0, 4)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_truth_is_by_overlap_with_the_same_item(finder: Finder, index: int) -> None:
    scene = PastedScenes(4)[index]
    pairs, targets = scene_pairs(finder, scene)
    proposals = finder.propose(scene.image)
    keys = zip(map(tuple, proposals.candidates.boxes.tolist()), proposals.prior, strict=True)
    items = dict(zip(keys, finder.items_of(proposals.candidates), strict=True))
    true_item = finder.item_names.index(scene.items[0])
    true_box = tuple(scene.boxes[0].tolist())
    matched = 0
    for number, box in enumerate(map(tuple, pairs.boxes.tolist())):
        item = items[box, np.float32(pairs.prior[number])]
        overlap = iou(box, true_box) if item == true_item else 0.0
        expected = 1 if overlap >= 0.5 else 0 if overlap < 0.4 else -1
        assert targets.matches[number] == expected
        assert bool(targets.has_box[number]) == (overlap >= 0.3)
        if expected == 1:
            assert tuple(targets.boxes[number].tolist()) == true_box
            matched += 1
    assert matched > 0


def test_another_items_place_is_no_match(finder: Finder) -> None:
    image, box = scene_with(mark(1), (50, 30), 90, 51)
    scene = LabelledScene(image, np.array([box], np.float32), ("something else",))
    assert (scene_pairs(finder, scene)[1].matches == 0).all()


def test_two_boxes_of_one_item_each_teach_their_own(finder: Finder) -> None:
    image, first = scene_with(mark(1), (5, 30), 80, 51)
    image[30:110, 105:185] = image[30:110, 5:85]
    second = (first[0] + 100, first[1], first[2] + 100, first[3])
    scene = LabelledScene(image, np.array([first, second], np.float32), ("item 1", "item 1"))
    _, targets = scene_pairs(finder, scene)
    taught = {tuple(box) for box in targets.boxes[targets.matches == 1].tolist()}
    assert taught == {first, second}


def test_shown_views_do_not_match_themselves(finder: Finder) -> None:
    scene = PastedScenes(4)[1]
    number = int(scene.items[0][-1])
    hidden = LabelledScene(
        scene.image, scene.boxes, scene.items, frozenset({2 * number, 2 * number + 1})
    )
    assert (scene_pairs(finder, scene)[1].matches == 1).any()
    assert not (scene_pairs(finder, hidden)[1].matches == 1).any()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_lessons_are_of_pairs_of_which_something_is_known(finder: Finder, index: int) -> None:
    scene = PastedScenes(4)[index]
    pairs, targets = scene_pairs(finder, scene)
    lessons = scene_lessons(finder, scene)
    known = [n for n, match in enumerate(targets.matches.tolist()) if match >= 0]
    assert lessons.matches.tolist() == [targets.matches[n] for n in known]
    assert lessons.item.tolist() == [pairs.item[n] for n in known]
    torch.testing.assert_close(lessons.logits, finder.head(pairs).logits[known])
    assert lessons.cells.shape == (len(known), finder.head.item_features)
    true_item = finder.item_names.index(scene.items[0])
    right = {item for item, match in zip(lessons.item, lessons.matches, strict=True) if match}
    assert {int(item) for item in right} == {true_item}


def test_items_without_a_scorer_teach_nothing() -> None:
    assert len(scene_lessons(new_finder(three_items()), PastedScenes(1)[0]).item) == 0


def test_joined_batches_are_all_lessons_in_order(finder: Finder) -> None:
    parts = [scene_lessons(finder, PastedScenes(4)[index]) for index in range(3)]
    joined = join(parts)
    sizes = [len(part.item) for part in parts]
    assert len(joined.logits) == len(joined.matches) == sum(sizes)
    torch.testing.assert_close(joined.cells[sizes[0]], parts[1].cells[0])
    torch.testing.assert_close(joined.logits[-1], parts[2].logits[-1])


# The cache.


class CountedScenes(PastedScenes):
    """Scenes that count how often they were made."""

    made = 0

    def __getitem__(self, index: int) -> LabelledScene:
        self.made += 1
        return super().__getitem__(index)


def test_cached_lessons_are_the_lessons(finder: Finder, tmp_path: Path) -> None:
    scenes = CountedScenes(4)
    cached = LessonDataset(finder, scenes, tmp_path / "cache")
    first = [cached[index] for index in range(4)]
    assert scenes.made == 4
    second = [cached[index] for index in range(4)]
    assert scenes.made == 4
    uncached = LessonDataset(finder, PastedScenes(4), None)
    for index in range(4):
        equal(first[index], second[index])
        equal(first[index], uncached[index])


@pytest.mark.parametrize("content", [b"", b"damaged", None], ids=["empty", "damaged", "cut"])
def test_a_damaged_cache_is_computed_anew(
    finder: Finder, tmp_path: Path, content: bytes | None
) -> None:
    scenes = CountedScenes(1)
    cached = LessonDataset(finder, scenes, tmp_path)
    first = cached[0]
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-10] if content is None else content)
    equal(cached[0], first)
    assert scenes.made == 2
    equal(cached[0], first)
    assert scenes.made == 2


def test_a_cache_of_other_views_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """A run folder that is used again with another gallery must not teach yesterday's lessons."""
    before = LessonDataset(learner(three_items()), PastedScenes(1), tmp_path)[0]
    now = learner(three_items()[:4])
    after = LessonDataset(now, PastedScenes(1), tmp_path)[0]
    equal(after, LessonDataset(now, PastedScenes(1), None)[0])
    assert len(before.logits) != len(after.logits) or not torch.equal(before.logits, after.logits)
