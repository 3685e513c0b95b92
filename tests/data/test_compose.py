"""Composed scenes: boxes are those of the pixels that are seen, whatever lies on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from visionkit.data.camera import take_photo
from visionkit.data.compose import ComposedScene, ComposeSettings, Cutout, compose_scene
from visionkit.data.cutouts import Pose, photo_patch, place, rgba_cutout, sheet

Pixels = NDArray[np.uint8]

# One item and nothing else, so that its pixels can be found by their colour.
ALONE = ComposeSettings(
    image_size=(120, 160),
    items=(1, 1),
    empty=0.0,
    item_side=(30.0, 0.6),
    mount=0.0,
    cover=0.0,
    bend=0.0,
    roll=0.0,
    tilt=0.0,
    distractors=(0, 0),
    patches=(0, 0),
    camera=0.0,
)
COLOURS = {"red": (235, 20, 20), "green": (20, 235, 20), "blue": (20, 20, 235)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def plain(colour: tuple[int, int, int] = (0, 0, 0), rows: int = 120, columns: int = 160) -> Pixels:
    return np.full((rows, columns, 3), colour, np.uint8)


def block(name: str, *, margin: int = 0, rows: int = 60, columns: int = 60) -> Cutout:
    """A block of one colour; with a margin it lies in a larger transparent picture."""
    image = plain(COLOURS[name], rows + 2 * margin, columns + 2 * margin)
    alpha = np.zeros(image.shape[:2], np.uint8)
    alpha[margin : margin + rows, margin : margin + columns] = 255
    return Cutout(image, alpha, name, f"{name} view")


def seen_box(image: Pixels, name: str, share: float = 0.5) -> tuple[float, float, float, float]:
    """The box of the pixels in which the colour has this share of its greatest strength."""
    channel = list(COLOURS).index(name)
    others = [index for index in range(3) if index != channel]
    strength = image[..., channel].astype(float) - image[..., others].max(2)
    rows, columns = np.nonzero(strength > share * strength.max())
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def same(first: ComposedScene, second: ComposedScene) -> bool:
    return np.array_equal(first.image, second.image) and np.array_equal(first.boxes, second.boxes)


def test_without_cutouts_a_scene_is_empty() -> None:
    scene = compose_scene(rng(), plain((90, 120, 60)), [], settings=ALONE)
    assert scene.image.shape == (120, 160, 3)
    assert scene.image.dtype == np.uint8
    assert scene.boxes.shape == (0, 4)
    assert scene.boxes.dtype == np.float32
    assert scene.quads.shape == (0, 4, 2)
    assert scene.visible.shape == (0,)
    assert scene.labels == []
    assert scene.views == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"roll": 30.0},
        {"tilt": 30.0},
        {"bend": 1.0},
        {"roll": 60.0, "tilt": 20.0, "bend": 1.0},
        {"item_side": (8.0, 0.15)},
        {"item_side": (100.0, 1.0)},
    ],
    ids=["upright", "turned", "tilted", "bent", "all at once", "tiny", "large"],
)
def test_boxes_are_tight_around_what_is_seen(changes: dict[str, Any]) -> None:
    found = 0
    for seed in range(12):
        scene = compose_scene(
            rng(seed), plain(), [block("green", margin=20)], settings=replace(ALONE, **changes)
        )
        if scene.labels:
            found += 1
            assert scene.boxes[0] == pytest.approx(seen_box(scene.image, "green"), abs=1.01), seed
    assert found >= 9


def test_boxes_lie_as_the_item_lies_in_its_picture() -> None:
    """A block in the middle half of its picture is in the middle half of the quad."""
    for seed in range(6):
        scene = compose_scene(rng(seed), plain(), [block("red", margin=30)], settings=ALONE)
        if scene.visible[0] < 1:
            continue
        left, top = scene.quads[0].min(0)
        right, bottom = scene.quads[0].max(0)
        expected = [
            left + (right - left) / 4,
            top + (bottom - top) / 4,
            right - (right - left) / 4,
            bottom - (bottom - top) / 4,
        ]
        assert scene.boxes[0] == pytest.approx(expected, abs=1.01), seed


def test_crops_without_alpha_are_boxed_whole() -> None:
    crop = Cutout(plain(COLOURS["blue"], 40, 80), None, "blue")
    for seed in range(6):
        scene = compose_scene(rng(seed), plain((60, 60, 60)), [crop], settings=ALONE)
        assert scene.boxes[0] == pytest.approx(seen_box(scene.image, "blue", 0.1), abs=3), seed


def test_what_covers_an_item_shrinks_its_box() -> None:
    """In crowded scenes the boxes are still those of each colour's pixels."""
    settings = replace(
        ALONE,
        image_size=(180, 240),
        items=(3, 3),
        item_side=(40.0, 0.5),
        min_visible=0.3,
        cover=1.0,
        distractors=(3, 3),
    )
    grey = Cutout(plain((128, 128, 128), 40, 40), None, "grey")
    checked, covered = 0, 0
    for seed in range(30):
        scene = compose_scene(
            rng(seed), plain((70, 70, 70)), [block(name) for name in COLOURS], [grey], settings
        )
        for label, box, visible in zip(scene.labels, scene.boxes, scene.visible, strict=True):
            assert visible >= 0.3
            if scene.labels.count(label) == 1:
                checked += 1
                covered += visible < 0.95
                assert box == pytest.approx(seen_box(scene.image, str(label)), abs=2.01), seed
    assert checked > 15
    assert covered > 8


def test_enough_of_every_item_is_visible() -> None:
    settings = ComposeSettings(image_size=(120, 160), items=(4, 8), min_visible=0.7, cover=1.0)
    scenes = [
        compose_scene(rng(seed), plain((90, 90, 90)), [block("red"), block("blue")], (), settings)
        for seed in range(20)
    ]
    visible = np.concatenate([scene.visible for scene in scenes])
    assert len(visible) > 40
    assert visible.min() >= 0.7
    assert visible.max() <= 1.0


def test_labels_and_views_name_what_was_pasted() -> None:
    cutouts = [block("red"), block("green"), block("blue")]
    labels = set()
    for seed in range(20):
        scene = compose_scene(rng(seed), plain(), cutouts, settings=ALONE)
        for label, view in zip(scene.labels, scene.views, strict=True):
            assert view == f"{label} view"
            strongest = int(scene.image.reshape(-1, 3).max(0).argmax())
            assert label == list(COLOURS)[strongest]
            labels.add(label)
    assert labels == set(COLOURS)


def test_what_is_transparent_never_shows() -> None:
    image = plain(COLOURS["red"], 80, 80)
    image[30:50, 30:50] = COLOURS["blue"]
    alpha = np.zeros((80, 80), np.uint8)
    alpha[30:50, 30:50] = 255
    settings = replace(ALONE, roll=30.0, tilt=20.0, bend=0.5)
    for seed in range(10):
        scene = compose_scene(rng(seed), plain(), [Cutout(image, alpha, "blue")], settings=settings)
        assert (scene.image[..., 0].astype(int) <= scene.image[..., 2].astype(int) + 2).all()


def test_marks_that_would_not_show_get_a_ground_that_shows_them() -> None:
    dark = Cutout(plain((12, 12, 12), 50, 50), np.full((50, 50), 255, np.uint8), "dark")
    for seed in range(6):
        scene = compose_scene(rng(seed), plain((12, 12, 12)), [dark], settings=ALONE)
        left, top, right, bottom = scene.boxes[0].astype(int)
        inside = scene.image[top + 2 : bottom - 2, left + 2 : right - 2].mean()
        assert scene.image.max() > inside + 60, seed


def test_sizes_reach_from_small_to_large() -> None:
    settings = replace(ALONE, image_size=(240, 320), item_side=(24.0, 0.8))
    sides = []
    for seed in range(60):
        scene = compose_scene(rng(seed), plain(), [block("red")], settings=settings)
        sides += [float(max(box[2:] - box[:2])) for box in scene.boxes]
    assert 15 <= min(sides) < 32
    assert 130 < max(sides) < 250
    assert np.median(sides) < 100  # small ones are drawn more often


def test_a_share_of_scenes_is_empty() -> None:
    settings = replace(ALONE, image_size=(48, 64), item_side=(12.0, 0.3), empty=0.4)
    empty = sum(
        not compose_scene(rng(seed), plain(), [block("red")], settings=settings).labels
        for seed in range(150)
    )
    assert 0.28 < empty / 150 < 0.52  # four standard deviations are 0.16


def test_the_same_seed_gives_the_same_scene() -> None:
    photo = rng(9).integers(0, 255, (100, 130, 3), np.uint8)
    settings = ComposeSettings(image_size=(90, 120))
    first, again, other = (
        compose_scene(rng(seed), photo, [block("red"), block("blue")], [block("green")], settings)
        for seed in (5, 5, 6)
    )
    assert same(first, again)
    assert not same(first, other)


def test_inputs_are_left_as_they_were() -> None:
    photo, cutout = plain((10, 80, 30)), block("red")
    compose_scene(rng(1), photo, [cutout], [cutout], ComposeSettings())
    assert np.array_equal(photo, plain((10, 80, 30)))
    assert np.array_equal(cutout.image, block("red").image)


@pytest.mark.parametrize("size", [(20, 14), (1, 40), (700, 500)], ids=["small", "a line", "large"])
def test_photos_of_any_size_are_made_to_fit(size: tuple[int, int]) -> None:
    photo = plain((50, 60, 70), *size)
    if min(size) < 8:
        with pytest.raises(ValueError, match="at least 8x8 pixels"):
            compose_scene(rng(), photo, [block("red")], settings=ALONE)
        return
    for seed in range(4):
        scene = compose_scene(rng(seed), photo, [block("red")], settings=ALONE)
        assert scene.image.shape == (120, 160, 3)


def test_a_background_that_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(120, 160, 3\) float64"):
        compose_scene(rng(), np.zeros((120, 160, 3)), [], settings=ALONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "alpha", "message"),
    [
        (plain()[..., 0], None, "uint8 RGB image, got"),
        (plain(rows=3), None, "at least 4x4 pixels, got 160x3"),
        (plain(), np.zeros((5, 5), np.uint8), r"alpha of cutout 'x' .* must be uint8 \(120, 160\)"),
        (plain(), np.zeros((120, 160), np.uint8), "opaque somewhere"),
    ],
    ids=["gray", "a line", "alpha of another size", "nothing opaque"],
)
def test_unusable_cutouts_are_refused(image: Pixels, alpha: Pixels | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cutout(image, alpha, "x")


def test_a_picture_with_transparency_becomes_a_cutout_of_its_own() -> None:
    picture = np.dstack([plain((7, 8, 9)), np.full((120, 160), 255, np.uint8)])
    cutout = rgba_cutout(picture, "x")
    picture[:] = 0
    assert cutout.image.flags.c_contiguous
    assert (cutout.image == (7, 8, 9)).all()
    assert cutout.alpha is not None
    assert (cutout.alpha == 255).all()
    assert (cutout.label, cutout.view, cutout.mountable) == ("x", "", True)
    with pytest.raises(ValueError, match=r"must be \(H, W, 4\) RGBA, got \(120, 160, 3\)"):
        rgba_cutout(plain(), "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (16, 64)}, "image_size must be at least 32x32"),
        ({"items": (3, 2)}, r"items must be \(least, most\)"),
        ({"empty": 1.2}, r"empty must lie in 0\.\.1, got 1\.2"),
        ({"item_side": (2.0, 0.5)}, "item_side must be pixels from 8 up"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComposeSettings(**changes)


@pytest.mark.parametrize("bend", [0.0, 0.03])
def test_the_quad_is_where_the_corners_are_seen(bend: float) -> None:
    image = plain(rows=80, columns=120)
    image[-12:, -12:] = 255  # the third corner, clockwise from the top left
    pose = Pose((200, 150), 100, roll=0.4, yaw=0.5, pitch=-0.3, bend=bend, waves=(0.8, 0.3, 1.0))
    placed = place(sheet(Cutout(image, None, "x"), 100), pose)
    rows, columns = np.nonzero(placed.colour.min(2) > 127)
    pixels = np.stack([columns + placed.left, rows + placed.top], 1) + 0.5
    to_corner = np.linalg.norm(pixels[:, None] - placed.quad[None], axis=2).min(0)
    assert to_corner[2] < 2.0
    assert (to_corner[[0, 1, 3]] > 30).all()


def test_an_item_that_faces_the_camera_has_the_side_it_was_asked_for() -> None:
    placed = place(sheet(block("red", rows=50, columns=200), 60), Pose((100, 100), 60))
    width, height = placed.quad[2] - placed.quad[0]
    assert (width, height) == pytest.approx((120, 30), rel=0.02)  # their product is 60 * 60
    assert placed.quad.mean(0) == pytest.approx([100, 100], abs=0.5)


def test_patches_are_pieces_of_their_photo() -> None:
    photo = np.arange(60 * 90, dtype=np.uint32).reshape(60, 90)
    coded = np.stack([photo >> 8, photo & 255, photo * 0], 2).astype(np.uint8)
    for seed in range(20):
        patch = photo_patch(rng(seed), coded, label="piece")
        numbers = patch.image[..., 0].astype(int) * 256 + patch.image[..., 1]
        y, x = divmod(int(numbers[0, 0]), 90)
        rows, columns = numbers.shape
        assert np.array_equal(numbers, photo[y : y + rows, x : x + columns])
        assert patch.label == "piece"


def test_a_camera_without_strength_changes_nothing() -> None:
    image = rng(3).integers(0, 255, (40, 50, 3), np.uint8)
    assert np.array_equal(take_photo(rng(), image, 0), image)
    with pytest.raises(ValueError, match="0 or more, got -1"):
        take_photo(rng(), image, -1)


@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
def test_a_camera_keeps_the_picture_recognisable(strength: float) -> None:
    image = plain((40, 60, 80), 60, 80)
    image[20:40, 30:50] = 220
    for seed in range(25):
        photo = take_photo(rng(seed), image, strength)
        assert photo.shape == image.shape
        assert photo.dtype == np.uint8
        assert photo[25:35, 35:45].mean() > photo[:15].mean() + 15, seed
