"""The demo set: the form of a user's own data, made once, and never over something else."""

from __future__ import annotations

from pathlib import Path

import pytest

import visionkit.data.demo as demo_module
from visionkit.data.demo import DemoSet, demo_photos, make_demo_set
from visionkit.data.formats import item_views, read
from visionkit.data.images import content_hash, read_image, read_rgba
from visionkit.data.picture_files import find_images
from visionkit.data.table import to_samples

SMALL = {"items": 2, "views": 3, "scenes": 6, "background": 4}
PHOTOS = Path(demo_module.__file__).parent / "demo_photos"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    return make_demo_set(tmp_path_factory.mktemp("demo") / "set", **SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "value"), [("items", 0), ("views", 0), ("scenes", 2), ("background", -1), ("seed", -1)]
)
def test_numbers_too_small_are_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} of the demo set must be at least"):
        make_demo_set(tmp_path / "set", **{**SMALL, name: value})
    assert not (tmp_path / "set").exists()


def test_items_are_a_folder_each_with_their_views(made: DemoSet) -> None:
    found = read(made.items, "items")
    assert found.problems == ()
    views = item_views(found.table)
    assert [view.item for view in views] == ["mark_01"] * 3 + ["mark_02"] * 3
    assert len({view.sample.content_hash for view in views}) == 6
    for folder in sorted(made.items.iterdir()):
        alpha = read_rgba(folder / "view_1.png")[1]
        assert alpha is not None
        assert alpha.min() == 0


def test_scenes_have_boxes_of_the_items_in_every_split(made: DemoSet) -> None:
    found = read(made.scenes)
    assert found.format == "coco"
    assert found.problems == ()
    samples = to_samples(found.table)
    assert [sample.split for sample in samples].count("test") == 2
    assert {sample.split for sample in samples} == {"train", "val", "test"}
    labels = {entry.label for sample in samples for entry in sample.objects}
    assert labels == {"mark_01", "mark_02"}


def test_background_pictures_are_all_there(made: DemoSet) -> None:
    assert len(find_images(made.background)) == 4


def test_a_set_that_is_there_is_left_alone(made: DemoSet) -> None:
    folder = made.items.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make_demo_set(folder, **SMALL) == made
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_same_seed_gives_the_same_files(made: DemoSet, tmp_path: Path) -> None:
    again = make_demo_set(tmp_path / "again", **SMALL)
    assert contents(again.items.parent) == contents(made.items.parent)
    other = make_demo_set(tmp_path / "other", seed=1, **SMALL)
    assert contents(other.items) != contents(made.items)


@pytest.mark.parametrize("damage", ["cut short", "deleted", "unreadable marker"])
def test_a_damaged_set_is_made_again(made: DemoSet, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "set"
    make_demo_set(folder, **SMALL)
    whole = contents(folder)
    victim = folder / "items" / "mark_01" / "view_2.jpg"
    if damage == "cut short":
        victim.write_bytes(victim.read_bytes()[:100])
    elif damage == "deleted":
        victim.unlink()
    else:
        (folder / "demo.json").write_text("{", "utf-8")
    make_demo_set(folder, **SMALL)
    assert contents(folder) == whole


def test_other_settings_make_another_set_in_its_place(tmp_path: Path) -> None:
    make_demo_set(tmp_path, **SMALL)
    fewer = make_demo_set(tmp_path, **{**SMALL, "items": 1, "background": 0})
    assert [folder.name for folder in fewer.items.iterdir()] == ["mark_01"]
    assert list(fewer.background.iterdir()) == []


def test_what_a_user_has_in_the_folder_is_never_lost(tmp_path: Path) -> None:
    make_demo_set(tmp_path, **SMALL)
    mine = tmp_path / "items" / "mark_01" / "mine.jpg"
    mine.write_bytes(b"a picture")
    make_demo_set(tmp_path, **SMALL)  # the set is whole, so nothing is done
    with pytest.raises(FileExistsError, match=r"holds items/mark_01/mine\.jpg; name another"):
        make_demo_set(tmp_path, **{**SMALL, "items": 1})
    assert mine.read_bytes() == b"a picture"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; name another"):
        make_demo_set(tmp_path / "set", **SMALL)
    assert (tmp_path / "set").read_text() == "mine"


def test_no_photo_is_in_two_parts() -> None:
    hashes = [
        content_hash(photo)
        for part in ("train", "val", "test", "background")
        for photo in demo_photos(part)
    ]
    assert len(set(hashes)) == len(hashes)
    assert len(demo_photos()) >= 8


def test_the_photos_are_small_and_their_licences_told() -> None:
    licences = (PHOTOS / "LICENCES.md").read_text("utf-8")
    photos = find_images(PHOTOS)
    assert sum(path.stat().st_size for path in photos) <= 400_000
    for path in photos:
        assert f"| {path.relative_to(PHOTOS).as_posix()} |" in licences
        assert min(read_image(path).shape[:2]) >= 120
