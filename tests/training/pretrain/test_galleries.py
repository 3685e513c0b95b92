"""Random galleries: items that never were, each seen by itself and in scenes."""

from __future__ import annotations

import numpy as np
import pytest

from visionkit.data.demo import demo_photos
from visionkit.training.pretrain.galleries import RandomGallery, random_gallery

PHOTOS = demo_photos()[:4]


def gallery(seed: int, scenes: int = 3) -> RandomGallery:
    return random_gallery(np.random.default_rng(seed), PHOTOS, scenes=scenes)


@pytest.mark.parametrize("seed", range(3))
def test_a_few_items_with_a_few_views_each_and_their_places_in_scenes(seed: int) -> None:
    made = gallery(seed)
    items = [view.item for view in made.views]
    assert 4 <= len(set(items)) <= 11
    assert all(1 <= items.count(item) <= 4 for item in items)
    for view in made.views:
        height, width = view.image.shape[:2]
        x_min, y_min, x_max, y_max = view.box
        assert 0 <= x_min < x_max <= width
        assert 0 <= y_min < y_max <= height
    assert len(made.scenes) == 3
    for scene in made.scenes:
        height, width = scene.image.shape[:2]
        assert len(scene.boxes) == len(scene.items)
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= (width, height, width, height)).all()
        assert all(item.startswith("item ") for item in scene.items)  # never what only lies about


def test_scenes_show_the_items_of_the_views() -> None:
    made = gallery(0, scenes=12)
    shown = {item for scene in made.scenes for item in scene.items}
    assert len(shown & {view.item for view in made.views}) >= 3


def test_the_same_numbers_give_the_same_gallery() -> None:
    first, again, other = gallery(5, 1), gallery(5, 1), gallery(6, 1)
    assert [view.id for view in first.views] == [view.id for view in again.views]
    np.testing.assert_array_equal(first.scenes[0].image, again.scenes[0].image)
    assert {view.id for view in first.views}.isdisjoint(view.id for view in other.views)
