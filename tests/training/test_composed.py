from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.worlds import crop_view, photo, three_items, view
from visionkit.data.compose import ComposeSettings
from visionkit.matching.gallery import Gallery, make_view
from visionkit.training.composed import ComposedScenes

SETTINGS = ComposeSettings(image_size=(120, 160), items=(1, 2), item_side=(40.0, 0.6), empty=0.25)


def scenes(gallery: Gallery, count: int = 6, seed: int = 0, **settings: object) -> ComposedScenes:
    return ComposedScenes(
        gallery,
        [photo(1), photo(2)],
        count=count,
        settings=replace(SETTINGS, **settings),
        seed=seed,
    )


def test_no_scenes() -> None:
    none = scenes(Gallery(), count=0)
    assert len(none) == 0
    with pytest.raises(IndexError):
        none[0]


def test_an_empty_gallery_gives_empty_scenes() -> None:
    scene = scenes(Gallery(), count=1)[0]
    assert scene.items == ()
    assert scene.boxes.shape == (0, 4)


def test_without_photos_there_are_no_scenes() -> None:
    with pytest.raises(ValueError, match="at least one background photo"):
        ComposedScenes(Gallery(), [], count=1, settings=SETTINGS, seed=0)


def test_scenes_can_be_walked_through() -> None:
    source = scenes(Gallery().add(three_items()))
    walked = [scene.items for scene in source]  # type: ignore[attr-defined]
    assert walked == [source[index].items for index in range(6)]
    for index in (-1, 6):
        with pytest.raises(IndexError):
            source[index]


def test_the_same_number_and_seed_give_the_same_scene() -> None:
    gallery = Gallery().add(three_items())
    first, second = scenes(gallery), scenes(gallery)
    second[0]  # what was asked for before makes no difference
    for index in (3, 1):
        np.testing.assert_array_equal(first[index].image, second[index].image)
        np.testing.assert_array_equal(first[index].boxes, second[index].boxes)
    assert not np.array_equal(first[0].image, scenes(gallery, seed=1)[0].image)
    assert not np.array_equal(first[0].image, first[1].image)


def test_boxes_lie_in_the_picture_and_are_of_items() -> None:
    source = scenes(Gallery().add(three_items()), count=12)
    shown = 0
    for index in range(12):
        scene = source[index]
        assert scene.image.dtype == np.uint8
        assert scene.image.shape[2] == 3
        height, width = scene.image.shape[:2]
        assert len(scene.boxes) == len(scene.items)
        assert set(scene.items) <= {"item 0", "item 1", "item 2"}
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= [width, height, width, height]).all()
        shown += len(scene.items)
    assert shown > 0


def test_a_shown_view_is_hidden_if_its_item_has_others() -> None:
    views = [view("many", 0), crop_view("many", 0), view("one", 1)]
    source = scenes(Gallery().add(views), count=12, empty=0.0)
    hidden = set()
    for index in range(12):
        scene = source[index]
        assert 2 not in scene.shown_views
        if "many" in scene.items:
            assert scene.shown_views & {0, 1}
        hidden |= scene.shown_views
    assert hidden == {0, 1}


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 300)])
def test_tiny_views_can_be_shown(size: tuple[int, int]) -> None:
    tiny = make_view("tiny", np.full((*size, 3), 200, np.uint8))
    scene = scenes(Gallery().add([tiny]), count=1, empty=0.0)[0]
    assert scene.image.shape[2] == 3
