from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import supervision as sv
import torch

from tests.worlds import (
    SETTINGS,
    PastedScenes,
    crop_view,
    mark,
    new_finder,
    new_head,
    photo,
    reference,
    same_finds,
    scene_with,
    small_backbone,
    three_items,
    view,
)
from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.calibration import BackgroundStatistics, logit
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.gallery import make_view

DATA = {"class_name", "view", "similarity", "inliers", "quad", "runner_up", "runner_up_score"}


@pytest.fixture(scope="module")
def finder() -> Finder:
    """Three items with two views each; not to be changed."""
    return new_finder(three_items())


def disturbed_head(seed: int = 0) -> ExemplarHead:
    """A head that learned something, whatever it is."""
    head = new_head()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return head


def test_an_empty_gallery_finds_nothing() -> None:
    found = new_finder().find(photo(1))
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)
    assert set(found.data) == DATA
    assert found.data["quad"].shape == (0, 4, 2)


def test_without_background_there_is_no_finder() -> None:
    with pytest.raises(ValueError, match="at least one background picture"):
        Finder(small_backbone(), new_head(), SETTINGS, [])


@pytest.mark.parametrize("number", range(3))
def test_a_pasted_mark_is_found(finder: Finder, number: int) -> None:
    image, box = scene_with(mark(number), (60 + 10 * number, 30), 64 + 12 * number, 50 + number)
    found = finder.find(image)
    assert finder.item_names[found.class_id[0]] == f"item {number}"
    assert found.data["class_name"][0] == f"item {number}"
    assert sv.box_iou_batch(np.array([box]), found.xyxy[:1])[0, 0] > 0.7
    assert found.confidence[0] >= finder.thresholds[f"item {number}"]


def test_results_are_in_order_and_within_the_picture(finder: Finder) -> None:
    for scene in (PastedScenes(4)[index] for index in range(4)):
        found = finder.find(scene.image)
        assert set(found.data) == DATA
        assert (np.diff(found.confidence) <= 0).all()
        assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= [192, 144, 192, 144]).all()
        assert (found.xyxy[:, 2:] - found.xyxy[:, :2] >= 1).all()
        by_inliers = found.data["inliers"] > 0
        assert np.isfinite(found.data["quad"][by_inliers]).all()
        views = {view.id: view.item for view in finder.gallery.views}
        assert all(
            views[str(one)] == item
            for one, item in zip(found.data["view"], found.data["class_name"], strict=True)
        )


def test_finds_of_one_item_do_not_overlap_and_are_not_too_many() -> None:
    limited = new_finder(three_items(), replace(SETTINGS, per_item=4, iou_threshold=0.3))
    for scene in (PastedScenes(3)[index] for index in range(3)):
        found = limited.find(scene.image)
        for item in range(3):
            boxes = found.xyxy[found.class_id == item]
            assert len(boxes) <= 4
            overlap = sv.box_iou_batch(boxes, boxes) - np.eye(len(boxes))
            assert (overlap <= 0.3 + 1e-6).all()


@pytest.mark.parametrize(
    "size",
    [(1, 1), (3, 5), (7, 7), (1, 4000), (4000, 1), (30, 200), (16, 16)],
    ids=["a pixel", "tiny", "under the stride", "a line", "a column", "a strip", "one template"],
)
def test_pictures_of_any_size(finder: Finder, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
    found = finder.find(image)
    assert np.isfinite(found.confidence).all()
    assert (found.xyxy <= [size[1], size[0]] * 2).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 4000), (4000, 1), (144, 192)])
def test_items_of_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    odd = make_view("odd", rng.integers(0, 255, (*size, 3)).astype(np.uint8))
    finder = new_finder([odd, view("item 0", 0)])
    assert 0 <= finder.thresholds["odd"] <= 1
    found = finder.find(scene_with(mark(0), (60, 30), 64, 50)[0])
    assert found.data["class_name"][0] == "item 0"


SWITCHES: list[tuple[str, FinderSettings]] = [
    ("correlation", replace(SETTINGS, use_geometry=False, use_learned=False)),
    ("geometry", replace(SETTINGS, use_correlation=False, use_learned=False)),
    ("geometry and learned", replace(SETTINGS, use_correlation=False)),
    ("correlation and learned", replace(SETTINGS, use_geometry=False)),
]


@pytest.mark.parametrize(("name", "settings"), SWITCHES, ids=[name for name, _ in SWITCHES])
def test_each_part_alone_finds(name: str, settings: FinderSettings) -> None:
    finder = new_finder(three_items(), settings)
    image, box = scene_with(mark(1), (50, 30), 96, 51)
    found = finder.find(image)
    assert sv.box_iou_batch(np.array([box]), found.xyxy)[0].max() > 0.6
    if "geometry" in name:
        assert found.data["inliers"].max() >= 5
    else:
        assert (found.data["inliers"] == 0).all()


def test_with_every_part_off_nothing_is_found() -> None:
    settings = replace(SETTINGS, use_correlation=False, use_geometry=False)
    assert len(new_finder(three_items(), settings).find(photo(1))) == 0


def test_a_head_that_learned_nothing_changes_nothing(finder: Finder) -> None:
    plain = new_finder(three_items(), replace(SETTINGS, use_learned=False))
    for scene in (PastedScenes(4)[index] for index in range(4)):
        same_finds(finder.find(scene.image), plain.find(scene.image))


def test_scores_before_learning_are_the_prior(finder: Finder) -> None:
    proposals = finder.propose(PastedScenes(1)[0].image)
    pairs = finder.pairs(proposals)
    scores = finder.head.decode(finder.head(pairs), pairs).scores.detach().numpy()
    np.testing.assert_allclose(
        scores, 1 / (1 + np.exp(-(proposals.prior.astype(float) - 2.5))), atol=1e-6
    )
    assert (np.diff(proposals.prior) <= 0).all()


def test_what_was_learned_changes_answers_and_can_be_switched_off() -> None:
    learned = new_finder(three_items(), head=disturbed_head())
    off = new_finder(three_items(), replace(SETTINGS, use_learned=False), head=new_head())
    image = PastedScenes(1)[0].image
    assert not np.allclose(
        np.sort(learned.find(image).confidence)[-5:], np.sort(off.find(image).confidence)[-5:]
    )


# What comes and goes.


@pytest.mark.parametrize("head", [new_head, disturbed_head], ids=["untrained", "trained"])
def test_an_item_added_and_removed_leaves_no_trace(head: Callable[[], ExemplarHead]) -> None:
    finder = new_finder(three_items(), head=head())
    image = PastedScenes(1)[0].image
    before, thresholds = finder.find(image), dict(finder.thresholds)
    finder.add([view("another", 7), crop_view("another", 8)])
    assert finder.item_names == ["another", "item 0", "item 1", "item 2"]
    assert "another" in finder.find(image).data["class_name"]
    finder.remove("another")
    assert finder.item_names == ["item 0", "item 1", "item 2"]
    same_finds(before, finder.find(image))
    assert finder.thresholds == thresholds


def test_thresholds_that_were_measured_stay_when_others_come_and_go() -> None:
    finder = new_finder(three_items())
    finder.thresholds = {"item 0": 0.11, "item 1": 0.22, "item 2": 0.33}
    finder.add([view("another", 7)])
    assert {item: finder.thresholds[item] for item in ("item 0", "item 1", "item 2")} == {
        "item 0": 0.11,
        "item 1": 0.22,
        "item 2": 0.33,
    }
    finder.remove("item 1")
    assert sorted(finder.thresholds) == ["another", "item 0", "item 2"]
    finder.add([view("item 0", 9)])  # another view may raise false alarms: measured anew
    assert finder.thresholds["item 0"] != 0.11
    assert finder.thresholds["item 2"] == 0.33


def test_thresholds_are_of_scores_as_they_are_given() -> None:
    """A head that learned to say "yes" more often asks for more, too."""
    head = new_head()
    with torch.no_grad():
        head.general.last.bias[0] = 6.0  # half of it is used: adds 3 to every score's log odds
    generous = new_finder(three_items(), replace(SETTINGS, use_geometry=False), head=head)
    plain = new_finder(three_items(), replace(SETTINGS, use_geometry=False))
    for item in plain.item_names:
        odds = [np.log(f.thresholds[item] / (1 - f.thresholds[item])) for f in (generous, plain)]
        assert odds[0] - odds[1] == pytest.approx(3, abs=0.02)


def test_thresholds_are_set_anew_for_what_was_learned_since() -> None:
    finder = new_finder(three_items(), replace(SETTINGS, use_geometry=False))
    before = {item: np.log(value / (1 - value)) for item, value in finder.thresholds.items()}
    with torch.no_grad():
        finder.head.general.last.bias[0] = 6.0  # learned after the views were added
    finder.calibrate(finder.item_names)
    changes = {
        item: np.log(value / (1 - value)) - before[item]
        for item, value in finder.thresholds.items()
    }
    assert changes == pytest.approx(dict.fromkeys(finder.item_names, 3.0), abs=0.02)
    finder.thresholds = dict.fromkeys(finder.item_names, 0.5)
    finder.calibrate(["item 1"])
    assert [item for item, value in finder.thresholds.items() if value != 0.5] == ["item 1"]


def test_calibration_does_not_depend_on_how_large_the_gallery_is() -> None:
    """All templates are measured on every background picture, however few are searched in use."""
    narrow = replace(SETTINGS, search=replace(SETTINGS.search, dense_views=2))
    first, second = new_finder(three_items()), new_finder(three_items(), narrow)
    np.testing.assert_allclose(first.statistics.mean, second.statistics.mean, atol=1e-5)
    np.testing.assert_allclose(first.statistics.spread, second.statistics.spread, atol=1e-5)


def test_the_first_item_can_be_removed_too(finder: Finder) -> None:
    without = new_finder(three_items())
    without.remove("item 0")
    never = new_finder(three_items()[2:])
    image = PastedScenes(1)[0].image
    same_finds(without.find(image), never.find(image))
    without.add(three_items()[:2])
    same_finds(without.find(image), finder.find(image))


def test_the_last_item_can_be_removed() -> None:
    finder = new_finder([view("only", 1)])
    finder.remove("only")
    assert finder.item_names == []
    assert finder.thresholds == {}
    assert finder.statistics.mean.shape == (0,)
    assert len(finder.find(photo(1))) == 0
    finder.add([view("only", 1)])
    assert finder.item_names == ["only"]


def test_added_at_once_or_one_by_one(finder: Finder) -> None:
    one_by_one = new_finder()
    for each in three_items():
        one_by_one.add([each])
    image = PastedScenes(1)[0].image
    same_finds(finder.find(image), one_by_one.find(image))
    assert one_by_one.thresholds == pytest.approx(finder.thresholds, abs=0.2)


def test_copies_change_nothing(finder: Finder) -> None:
    twice = new_finder([*three_items(), *three_items()])
    twice.add([three_items()[3]])
    assert len(twice.gallery.views) == 6
    assert len(twice.templates) == 18
    same_finds(finder.find(photo(2)), twice.find(photo(2)))


def test_an_item_that_is_not_there_can_not_be_removed() -> None:
    finder = new_finder([view("soda", 1)])
    with pytest.raises(ValueError, match="got 'tea'"):
        finder.remove("tea")
    assert finder.item_names == ["soda"]


def test_adding_is_whole_or_not_at_all() -> None:
    finder = new_finder(three_items())
    image = PastedScenes(1)[0].image
    before = finder.find(image)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finder.add([view("another", 7), view("another", 8)], progress=interrupt)
    assert finder.item_names == ["item 0", "item 1", "item 2"]
    assert len(finder.gallery.views) == 6
    same_finds(before, finder.find(image))
    finder.add([view("another", 7)])
    assert "another" in finder.find(image).data["class_name"]


def test_two_items_with_the_same_picture_are_each_others_runner_up() -> None:
    finder = new_finder([view("soda", 1), view("juice", 1)])
    image, box = scene_with(mark(1), (50, 30), 80, 51)
    found = finder.find(image)
    here = sv.box_iou_batch(np.array([box]), found.xyxy)[0] > 0.6
    assert here.sum() == 1  # one place shows one item
    found = finder.find(image, rivals=True)
    here = sv.box_iou_batch(np.array([box]), found.xyxy)[0] > 0.6
    assert set(found.data["class_name"][here]) == {"soda", "juice"}
    assert set(found.data["runner_up"][here]) == {"soda", "juice"}
    scores = found.confidence[here]
    assert scores[0] == pytest.approx(scores[1])
    np.testing.assert_allclose(found.data["runner_up_score"][here], scores, atol=1e-5)


def test_a_single_item_has_no_runner_up() -> None:
    found = new_finder([view("soda", 1)]).find(scene_with(mark(1), (50, 30), 80, 51)[0])
    assert set(found.data["runner_up"]) == {""}
    assert (found.data["runner_up_score"] == 0).all()


def test_a_hidden_view_is_not_used(finder: Finder) -> None:
    image, _ = scene_with(mark(1), (50, 30), 80, 51)
    hidden = {2, 3}  # both views of item 1
    found = finder.find(image, without=hidden)
    assert "item 1" not in found.data["class_name"]
    one = finder.find(image, without={2})
    assert finder.gallery.views[2].id not in one.data["view"]
    assert "item 1" in one.data["class_name"]


def test_nothing_is_found_when_every_view_is_hidden(finder: Finder) -> None:
    assert len(finder.find(photo(1), without=range(6))) == 0


def test_a_large_gallery_is_narrowed_and_still_finds() -> None:
    settings = replace(SETTINGS, search=replace(SETTINGS.search, dense_views=12))
    others = [view(f"other {number}", 100 + number) for number in range(20)]
    finder = new_finder([*others, *three_items()], settings)
    image, box = scene_with(mark(0), (50, 30), 90, 51)
    found = finder.find(image)
    assert found.data["class_name"][0] == "item 0"
    assert sv.box_iou_batch(np.array([box]), found.xyxy[:1])[0, 0] > 0.6
    assert len(set(found.data["class_name"])) < 23


def test_no_more_views_are_verified_than_asked_for() -> None:
    """Two items in one scene: points verify both, or the likelier one alone."""
    scenes = [scene_with(mark(number), (50, 30), 96, 51)[0] for number in (1, 2)]
    views = [view(f"item {number}", number) for number in (1, 2)]

    def verified(limit: int) -> set[str]:
        geometry = replace(SETTINGS.geometry, verified_views=limit)
        found = new_finder(views, replace(SETTINGS, geometry=geometry)).find(np.hstack(scenes))
        return set(found.data["class_name"][found.data["inliers"] > 0])

    assert verified(2) == {"item 1", "item 2"}
    assert len(verified(1)) == 1


def test_thresholds_follow_the_false_alarm_rate() -> None:
    strict = new_finder(three_items(), replace(SETTINGS, false_alarm_rate=0.001))
    loose = new_finder(three_items(), replace(SETTINGS, false_alarm_rate=0.3))
    assert all(strict.thresholds[item] > loose.thresholds[item] for item in strict.item_names)


def test_a_large_picture_is_no_likelier_to_show_an_item() -> None:
    finder = new_finder(three_items(), replace(SETTINGS, use_geometry=False, use_learned=False))

    def best(height: int, width: int) -> float:
        """Mean log odds of the best find in pictures without items."""
        tops = [finder.find(photo(seed, height, width)).confidence[0] for seed in range(12)]
        return float(logit(np.array(tops)).mean())

    # The larger pictures have about three times as many places, so their best place fits better
    # by sqrt(6) / pi * log(3) = 0.9 standard deviations. Where that was not taken off they
    # scored 1.4 higher; what is left is what four reference pictures can't tell.
    assert best(240, 320) - best(144, 192) == pytest.approx(0, abs=0.7)


def test_items_together_keep_to_the_rate() -> None:
    alone = new_finder([three_items()[0]])
    many = new_finder([three_items()[0], *(view(f"other {n}", 50 + n) for n in range(6))])
    assert many.thresholds["item 0"] > alone.thresholds["item 0"]


def test_reference_too_small_to_search_in_is_named() -> None:
    tiny = Finder(
        small_backbone(),
        new_head(),
        SETTINGS,
        [replace(reference()[0], levels=reference()[0].levels[-1:])],
    )
    tiny.reference = (replace(tiny.reference[0], levels=(_corner(tiny),)),)
    with pytest.raises(ValueError, match="large enough to search in"):
        tiny.add([view("soda", 1)])
    assert tiny.item_names == []


def _corner(finder: Finder):  # type: ignore[no-untyped-def]
    level = finder.reference[0].levels[0]
    return replace(level, features=level.features[:, :1, :1])


@pytest.mark.parametrize("learned", [False, True])
def test_a_place_that_fits_far_worse_than_any_background_scores_nothing(learned: bool) -> None:
    finder = new_finder(three_items(), replace(SETTINGS, use_learned=learned, use_geometry=False))
    count = len(finder.templates)
    finder.statistics = BackgroundStatistics(
        np.full(count, 0.99, np.float32), np.full(count, 0.001, np.float32)
    )
    assert (finder.find(photo(1)).confidence < 1e-6).all()


def test_an_item_that_goes_takes_what_was_learned_of_it_along() -> None:
    finder = new_finder(three_items())
    finder.learn_items()
    assert finder.learned == {"item 0": 0, "item 1": 1, "item 2": 2}
    untrained = finder.find(photo(5))
    with torch.no_grad():
        finder.head.item_weights[1].fill_(1.0)
    changed = finder.find(photo(5), rivals=True)
    plain = new_finder(three_items()).find(photo(5), rivals=True)
    for item in ("item 0", "item 1", "item 2"):
        scores = [found.confidence[found["class_name"] == item] for found in (changed, plain)]
        assert np.allclose(*scores, atol=1e-6) == (item != "item 1")
    finder.remove("item 0")  # the others keep theirs, whose places in the gallery have moved
    assert finder.learned == {"item 1": 1, "item 2": 2}
    finder.remove("item 1")
    finder.add([entry for entry in three_items() if entry.item == "item 1"])
    assert finder.learned == {"item 2": 2}
    finder.forget_items()
    finder.add([entry for entry in three_items() if entry.item == "item 0"])
    np.testing.assert_allclose(finder.find(photo(5)).confidence, untrained.confidence, atol=1e-6)
