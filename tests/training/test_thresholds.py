from __future__ import annotations

import pytest

from tests.worlds import PastedScenes, new_finder, photo, three_items
from visionkit.matching.calibration import item_rate, item_thresholds
from visionkit.training.pairs import LabelledScene
from visionkit.training.thresholds import set_thresholds


def test_an_empty_gallery_needs_no_thresholds() -> None:
    finder = new_finder()
    assert set_thresholds(finder, [], [photo(1)]) == 1
    assert finder.thresholds == {}


def test_an_item_counts_where_it_is_not_shown() -> None:
    finder = new_finder(three_items())
    scenes = [PastedScenes(8)[index] for index in range(8)]
    seen: list[int] = []
    backgrounds = [photo(1), photo(2)]
    assert set_thresholds(finder, scenes, backgrounds, progress=seen.append) == 10
    assert seen == [1] * 10
    pictures = [(scene.image, scene.items) for scene in scenes]
    pictures += [(image, ()) for image in backgrounds]
    best: dict[str, list[float]] = {item: [] for item in finder.item_names}
    for image, shown in pictures:
        found = finder.find(image)
        for item in finder.item_names:
            own = found.confidence[found.data["class_name"] == item]
            if item not in shown:
                best[item].append(max(own, default=0.0))
    rate = item_rate(finder.settings.false_alarm_rate, 3)
    assert finder.thresholds == pytest.approx(item_thresholds(best, rate))


def test_hidden_views_raise_no_false_alarms() -> None:
    scene = PastedScenes(4)[1]
    other = LabelledScene(scene.image, scene.boxes, ("another",), frozenset({2, 3}))
    hidden, open_ = new_finder(three_items()), new_finder(three_items())
    set_thresholds(hidden, [other], [photo(1)])
    set_thresholds(open_, [LabelledScene(scene.image, scene.boxes, ("another",))], [photo(1)])
    assert hidden.thresholds["item 1"] < open_.thresholds["item 1"]


def test_an_item_in_every_picture_can_not_be_measured() -> None:
    finder = new_finder(three_items())
    before = dict(finder.thresholds)
    scene = PastedScenes(4)[1]
    everywhere = LabelledScene(scene.image, scene.boxes, ("item 1",))
    with pytest.raises(ValueError, match="item 1"):
        set_thresholds(finder, [everywhere], [])
    assert finder.thresholds == before
