from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.worlds import crop_view, photo, view
from visionkit.matching.gallery import Gallery, load_gallery, make_view, save_gallery
from visionkit.types import Image


def numbered(height: int, width: int) -> Image:
    """A picture in which every pixel differs: red counts columns, green counts rows."""
    rows, columns = np.indices((height, width))
    return np.stack([columns % 256, rows % 256, np.zeros_like(rows)], -1).astype(np.uint8)


def test_empty_gallery() -> None:
    gallery = Gallery()
    assert gallery.items == ()
    assert gallery.add([]).views == ()
    with pytest.raises(ValueError, match="it is empty"):
        gallery.remove("soda")


@pytest.mark.parametrize(
    ("box", "kept", "inner"),
    [
        # (40..60, 20..30): half of the longer side, 10 pixels, is kept around it.
        ((40, 20, 60, 30), (30, 10, 70, 40), (10, 10, 30, 20)),
        ((0, 0, 20, 10), (0, 0, 30, 20), (0, 0, 20, 10)),
        ((-5, -5, 15, 5), (0, 0, 23, 13), (0, 0, 15, 5)),
        ((90.5, 40.5, 99.5, 49.5), (86, 36, 100, 50), (4.5, 4.5, 13.5, 13.5)),
        (None, (0, 0, 100, 50), (0, 0, 100, 50)),
    ],
    ids=["in the middle", "in a corner", "reaches out", "broken pixels", "the whole picture"],
)
def test_view_keeps_what_stands_around_the_box(
    box: tuple[float, ...] | None, kept: tuple[int, ...], inner: tuple[float, ...]
) -> None:
    image = numbered(50, 100)
    made = make_view("soda", image, box=box)
    left, top, right, bottom = kept
    np.testing.assert_array_equal(made.image, image[top:bottom, left:right])
    assert made.box == pytest.approx(inner)


def test_extent_of_a_transparent_picture_is_what_can_be_seen() -> None:
    alpha = np.zeros((50, 100), np.uint8)
    alpha[20:30, 40:60] = 255
    made = make_view("soda", numbered(50, 100), alpha=alpha)
    np.testing.assert_array_equal(made.crop()[0, 0], [40, 20, 0])
    assert made.crop().shape == (10, 20, 3)
    assert made.alpha is not None
    assert made.alpha.shape == made.image.shape[:2]


@pytest.mark.parametrize("box", [None, (0, 0, 20, 20)])
def test_a_picture_of_which_nothing_can_be_seen_is_no_view(box: tuple[int, ...] | None) -> None:
    alpha = np.zeros((50, 100), np.uint8)
    alpha[40:, 80:] = 255 if box else 20
    with pytest.raises(ValueError, match=r"all of it is transparent \[ghost\.png\]"):
        make_view("soda", numbered(50, 100), alpha=alpha, box=box, source="ghost.png")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 1), (3, 3), (600, 900)])
def test_view_of_any_size_keeps_its_shape(height: int, width: int) -> None:
    made = make_view("soda", numbered(height, width))
    x_min, y_min, x_max, y_max = made.box
    assert max(x_max - x_min, y_max - y_min) <= 384
    assert made.crop().size > 0
    if min(height, width) > 10:
        assert (x_max - x_min) / (y_max - y_min) == pytest.approx(width / height, rel=0.01)


@pytest.mark.parametrize(
    ("item", "box", "message"),
    [
        (" ", None, "must have a name"),
        ("soda", (120, 0, 130, 10), "at least one pixel"),
        ("soda", (10, 10, 10, 20), "at least one pixel"),
        ("soda", (20, 20, 10, 10), "at least one pixel"),
        ("soda", (float("nan"), 0, 10, 10), "at least one pixel"),
        ("soda", (0, 0, float("nan"), 10), "at least one pixel"),
        ("soda", (1, 2, 3), "four numbers"),
    ],
    ids=["no name", "outside", "no width", "turned round", "NaN", "NaN edge", "three numbers"],
)
def test_view_that_can_not_be(item: str, box: tuple[float, ...] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        make_view(item, numbered(50, 100), box=box, source="shelf.jpg")
    assert "shelf.jpg" in str(error.value)


def test_copies_are_kept_once_an_item() -> None:
    first, copy, other_item = view("soda", 1), view("soda", 1), view("juice", 1)
    assert first.id == copy.id == other_item.id
    gallery = Gallery().add([first, copy, other_item, view("soda", 2)]).add([copy])
    assert [(v.item, v.id) for v in gallery.views] == [
        ("soda", first.id),
        ("juice", first.id),
        ("soda", view("soda", 2).id),
    ]
    assert gallery.items == ("juice", "soda")


def test_the_same_picture_with_another_box_is_another_view() -> None:
    image = photo(1)
    assert (
        make_view("a", image, box=(0, 0, 50, 50)).id != make_view("a", image, box=(0, 0, 50, 51)).id
    )


def test_remove_takes_all_views_of_the_item_only() -> None:
    gallery = Gallery().add([view("soda", 1), view("juice", 2), view("soda", 3)])
    assert [v.item for v in gallery.remove("soda").views] == ["juice"]
    with pytest.raises(ValueError, match=r"\(juice, soda\), got 'tea'"):
        gallery.remove("tea")
    assert gallery.items == ("juice", "soda")


@pytest.mark.parametrize("count", [0, 1, 4])
def test_saved_and_loaded(tmp_path: Path, count: int) -> None:
    views = [view("Søda ünd 茶 / ../x", 1), crop_view("b", 2), view("b", 1), crop_view("c", 3)]
    views[1] = replace(views[1], from_catalog=True)
    gallery = Gallery().add(views[:count])
    save_gallery(gallery, tmp_path)
    loaded = load_gallery(tmp_path)
    assert len(loaded.views) == count
    for before, after in zip(gallery.views, loaded.views, strict=True):
        assert (after.id, after.item, after.box, after.source, after.from_catalog) == (
            before.id,
            before.item,
            before.box,
            before.source,
            before.from_catalog,
        )
        np.testing.assert_array_equal(after.image, before.image)
        assert (after.alpha is None) == (before.alpha is None)
        if before.alpha is not None:
            np.testing.assert_array_equal(after.alpha, before.alpha)


def test_an_opaque_part_of_a_transparent_picture_is_saved_and_loaded(tmp_path: Path) -> None:
    alpha = np.zeros((50, 100), np.uint8)
    alpha[:, :60] = 255
    made = make_view("soda", numbered(50, 100), alpha=alpha, box=(10, 10, 30, 20))
    assert made.id == make_view("soda", numbered(50, 100), box=(10, 10, 30, 20)).id
    save_gallery(Gallery((made,)), tmp_path)
    assert load_gallery(tmp_path).views[0].id == made.id


def test_a_gallery_in_which_opaque_views_kept_their_alpha_is_loaded(tmp_path: Path) -> None:
    made = crop_view("soda", 1)
    save_gallery(Gallery((made,)), tmp_path)
    digest = hashlib.sha256(
        repr((made.image.shape, [round(edge, 2) for edge in made.box])).encode()
        + made.image.tobytes()
        + np.full(made.image.shape[:2], 255, np.uint8).tobytes()
    )
    entries = json.loads((tmp_path / "gallery.json").read_text())
    entries["views"][0]["id"] = digest.hexdigest()[:16]
    (tmp_path / "gallery.json").write_text(json.dumps(entries))
    (loaded,) = load_gallery(tmp_path).views
    assert (loaded.id, loaded.alpha) == (digest.hexdigest()[:16], None)


def _no_list(folder: Path) -> None:
    (folder / "gallery.json").unlink()


def _half_a_list(folder: Path) -> None:
    path = folder / "gallery.json"
    path.write_text(path.read_text()[:50])


def _deep_list(folder: Path) -> None:
    (folder / "gallery.json").write_text("[" * 100_000)


def _other_list(folder: Path) -> None:
    (folder / "gallery.json").write_text("[]")


def _no_box(folder: Path) -> None:
    path = folder / "gallery.json"
    content = json.loads(path.read_text())
    del content["views"][0]["box"]
    path.write_text(json.dumps(content))


def _no_picture(folder: Path) -> None:
    shutil.rmtree(folder / "views")


def _other_picture(folder: Path) -> None:
    first, second = sorted((folder / "views").glob("*.png"))
    shutil.copy(first, second)


def _half_a_picture(folder: Path) -> None:
    first = next((folder / "views").glob("*.png"))
    first.write_bytes(first.read_bytes()[:200])


@pytest.mark.parametrize(
    "damage",
    [
        _no_list,
        _half_a_list,
        _deep_list,
        _other_list,
        _no_box,
        _no_picture,
        _other_picture,
        _half_a_picture,
    ],
)
def test_damaged_gallery_names_the_file(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    save_gallery(Gallery().add([view("a", 1), view("b", 2)]), tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=r"gallery must be whole.*gallery\.json"):
        load_gallery(tmp_path)


@pytest.mark.parametrize("place", ["../secret.png", "/etc/secret.png", "views/../../secret.png"])
def test_view_outside_the_gallery_is_refused(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    save_gallery(Gallery().add([view("a", 1)]), folder)
    picture = next((folder / "views").glob("*.png"))
    shutil.copy(picture, tmp_path / "secret.png")
    path = folder / "gallery.json"
    path.write_text(path.read_text().replace(f"views/{picture.name}", place))
    with pytest.raises(ValueError, match="must lie within the gallery"):
        load_gallery(folder)
