from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.conftest import Scenes as SceneFolder
from tests.jobs.conftest import scene, write_broken, write_coco, write_picture
from tests.worlds import PastedScenes, crop_view, mark, photo, view
from visionkit.data.formats import NothingLeftError, read, write
from visionkit.data.images import ImageError
from visionkit.jobs.pictures import write_scenes
from visionkit.jobs.sources import (
    Scenes,
    has_boxes,
    read_backgrounds,
    read_exemplar_scenes,
    read_item_views,
    read_scenes,
    read_unlabelled,
    read_views,
    unknown_items,
)
from visionkit.matching.gallery import Gallery, make_view, save_gallery
from visionkit.training.pairs import LabelledScene
from visionkit.types import ObjectBox, Sample


def sample(name: str, *labels: str, boxes: tuple[str, ...] = (), split: str = "") -> Sample:
    objects = tuple(ObjectBox(label, (0.0, 0.0, 5.0, 5.0)) for label in boxes)
    return Sample(name, f"/pictures/{name}", 9, 9, name, split, labels, objects)  # type: ignore[arg-type]


def test_items_as_crops_logos_and_boxes(tmp_path: Path) -> None:
    write_picture(tmp_path / "logo" / "mark.png", mark(1))
    write_picture(tmp_path / "crop" / "whole.jpg", photo(1))
    image, box = scene(2, 3)
    write_picture(tmp_path / "boxed" / "shelf.png", image)
    write_coco(tmp_path / "boxed", {"shelf.png": ("boxed", box)})
    views, problems = read_views(tmp_path)
    assert problems == []
    assert [view.item for view in views] == ["boxed", "crop", "logo"]
    boxed, crop, logo = views
    assert boxed.crop().shape[:2] == (round(box[3] - box[1]), round(box[2] - box[0]))
    assert crop.image.shape == photo(1).shape
    assert logo.alpha is not None
    assert logo.source == (tmp_path / "logo" / "mark.png").as_posix()


def test_an_item_of_broken_pictures_is_named_and_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "good" / "1.png", photo(1))
    write_broken(tmp_path / "bad" / "1.jpg")
    views, problems = read_views(tmp_path)
    assert [view.item for view in views] == ["good"]
    assert [Path(problem.file).name for problem in problems] == ["1.jpg", "bad"]
    assert "'bad'" in problems[1].reason


def test_items_of_any_format_with_pictures_elsewhere(tmp_path: Path, scenes: SceneFolder) -> None:
    annotations = (scenes.folder / "annotations.json").rename(tmp_path / "annotations.json")
    views, _ = read_views(annotations, image_root=scenes.folder)
    assert [view.item for view in views] == ["item 0", "item 1", "item 2"]


def test_items_of_a_bundle_are_its_views_whatever_they_are_called(tmp_path: Path) -> None:
    known = Gallery().add([view("tea/green", 1), crop_view("..", 2), crop_view("tea/green", 3)])
    save_gallery(known, tmp_path)
    for format in ("auto", "coco"):
        views, problems = read_views(tmp_path, format=format, image_root=tmp_path / "elsewhere")
        assert problems == []
        assert [(each.item, each.id, each.source) for each in views] == [
            (each.item, each.id, each.source)
            for each in (known.views[1], known.views[0], known.views[2])
        ]
        assert read_exemplar_scenes(tmp_path, format=format) is None
    save_gallery(Gallery(), tmp_path)
    with pytest.raises(NothingLeftError):
        read_views(tmp_path)


def test_no_usable_view_is_an_error_with_its_problems(tmp_path: Path) -> None:
    write_broken(tmp_path / "bad" / "1.jpg")
    with pytest.raises(NothingLeftError) as caught:
        read_views(tmp_path)
    assert "1.jpg" in caught.value.problems[0].file
    with pytest.raises(FileNotFoundError):
        read_views(tmp_path / "missing")


def test_one_item_from_pictures_folders_and_globs(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/deeper/2.png", "b/3.png", "b/4.jpg", "5.png"):
        write_picture(tmp_path / name, photo(ord(name.removesuffix(".png")[-1])))
    write_broken(tmp_path / "a" / "broken.jpg")
    sources = [tmp_path / "a", tmp_path / "b" / "*.png", tmp_path / "5.png"]
    views, problems = read_item_views("soda", sources)
    assert [Path(view.source).name for view in views] == ["1.png", "2.png", "3.png", "5.png"]
    assert {view.item for view in views} == {"soda"}
    assert [Path(problem.file).name for problem in problems] == ["broken.jpg"]


def test_links_to_nowhere_are_named_and_left_out(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        write_picture(tmp_path / name, photo(ord(name[0])))
        (tmp_path / name).with_name("link.png").symlink_to(tmp_path / "nowhere.png")
        (tmp_path / name).with_name("README").symlink_to(tmp_path / "nowhere")
    views, problems = read_item_views("soda", [tmp_path / "a"])
    assert [Path(view.source).name for view in views] == ["1.png"]
    assert [Path(problem.file) for problem in problems] == [tmp_path / "a" / "link.png"]
    every, problems = read_views(tmp_path)
    assert [Path(view.source).name for view in every] == ["1.png", "2.png"]
    assert [Path(problem.file).parent.name for problem in problems] == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="check the path"):
        read_item_views("soda", [tmp_path / "a" / "link.png"])


def test_one_item_from_an_annotation_file(scenes: SceneFolder) -> None:
    annotations = scenes.folder / "annotations.json"
    (view,), _ = read_item_views("item 1", [annotations])
    assert Path(view.source).name == "1.png"
    with pytest.raises(ValueError, match=r"must be labelled 'soda'.*item 0, item 1, item 2"):
        read_item_views("soda", [annotations])


def test_a_folder_that_says_where_the_item_is_is_asked(scenes: SceneFolder) -> None:
    (view,), _ = read_item_views("item 2", [scenes.folder])
    x_min, y_min, x_max, y_max = scenes.boxes["2.png"]
    assert view.crop().shape[:2] == (y_max - y_min, x_max - x_min)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("milk, tea")
    with pytest.raises(ValueError, match="can't be told"):
        read_item_views("soda", [tmp_path / "notes.txt"])


def test_copies_are_warned_of(tmp_path: Path) -> None:
    for name in ("milk/1.png", "milk/2.png", "tea/1.png"):
        write_picture(tmp_path / name, photo(1))
    write_picture(tmp_path / "tea" / "2.png", photo(2))
    views, problems = read_views(tmp_path)
    assert len(views) == 4
    problems.sort(key=lambda problem: problem.file)
    assert [(Path(problem.file).parts[-2:], problem.level) for problem in problems] == [
        (("milk", "2.png"), "warning"),
        (("tea", "1.png"), "warning"),
    ]
    assert "counts once" in problems[0].reason
    assert "a copy of milk/1.png" in problems[1].reason


def test_a_box_that_two_items_claim_is_warned_of(tmp_path: Path) -> None:
    image, box = scene(0, 0)
    for item in ("milk", "tea"):
        write_picture(tmp_path / item / f"{item}.png", image)
        write_coco(tmp_path / item, {f"{item}.png": (item, box)})
    _, problems = read_views(tmp_path)
    assert {problem.level for problem in problems} == {"warning"}
    assert Path(problems[-1].file).name == "tea.png"


def test_boxes_of_one_label_are_the_items_whatever_they_are_called(tmp_path: Path) -> None:
    image, box = scene(0, 1)
    write_picture(tmp_path / "1.png", image)
    views, _ = read_item_views("soda", [write_coco(tmp_path, {"1.png": ("bottle", box)})])
    assert [view.item for view in views] == ["soda"]


def test_scenes_are_decoded_when_they_are_asked_for(scenes: SceneFolder) -> None:
    found, problems = read_scenes(scenes.folder)
    assert problems == []
    assert found.names == ["0.png", "1.png", "2.png", "nothing.png"]
    np.testing.assert_allclose(found[1].boxes[0], scenes.boxes["1.png"], atol=0.01)
    assert found[1].items == ("item 1",)
    np.testing.assert_array_equal(found[3].image, photo(77))
    assert found[3].boxes.shape == (0, 4)
    write_broken(scenes.folder / "1.png")
    with pytest.raises(ImageError, match=r"1\.png"):
        found[1]
    assert found[0].items == ("item 0",)
    with pytest.raises(IndexError):
        found[4]


def test_parts_of_scenes() -> None:
    found = Scenes([sample("a", split="train"), sample("b", split="test"), sample("c", "soda")])
    assert found.part("test").names == ["b"]
    assert found.part("val").names == []
    assert found[1:].names == ["b", "c"]
    assert found.boxed().names == ["a", "b"]


def test_splits_are_drawn_only_where_there_are_none(scenes: SceneFolder) -> None:
    found, _ = read_scenes(scenes.folder, splits={"train": 0.0, "val": 0.0, "test": 1.0})
    assert found.part("test").names == found.names
    assert read_scenes(scenes.folder)[0].part("").names == found.names


@pytest.mark.parametrize(
    ("labels", "boxes", "known"),
    [
        ((), (), True),
        (("none",), (), True),
        (("soda",), (), False),
        (("soda",), ("soda",), True),
        (("none", "soda"), (), False),
    ],
)
def test_which_pictures_tell_where_their_items_are(
    labels: tuple[str, ...], boxes: tuple[str, ...], known: bool
) -> None:
    assert has_boxes(sample("a", *labels, boxes=boxes)) is known


def test_pictures_of_one_name_are_told_apart() -> None:
    both = Scenes([sample("a"), sample("b")]).and_then(Scenes([sample("b"), sample("c")]))
    assert both.names == ["a", "b", "b (2)", "c"]
    assert [entry.uri for entry in both.samples][2] == "/pictures/b"


def test_views_are_hidden_on_the_picture_that_they_were_cut_from(scenes: SceneFolder) -> None:
    views, _ = read_views(scenes.folder)
    other = make_view("item 9", photo(1))
    hidden = read_scenes(scenes.folder)[0].hiding([other, *views])
    assert [hidden[index].shown_views for index in range(4)] == [{1}, {2}, {3}, set()]
    assert hidden.part("")[0].shown_views == {1}


def test_views_are_hidden_on_copies_of_the_picture_that_they_were_cut_from(
    scenes: SceneFolder,
) -> None:
    shutil.copy(scenes.folder / "1.png", scenes.folder / "copy.png")
    boxes: dict[str, tuple[str, tuple[float, ...]] | None] = {
        f"{name}.png": (f"item {number}", scenes.boxes[f"{number}.png"])
        for name, number in (("0", 0), ("1", 1), ("copy", 1))
    }
    write_coco(scenes.folder, boxes)
    read = read_scenes(scenes.folder)[0]
    views, _ = read_views(scenes.folder)
    assert [(view.item, Path(view.source).name) for view in views[:2]] == [
        ("item 0", "0.png"),
        ("item 1", "1.png"),
    ]
    hidden = read.hiding(views[:2])
    assert hidden.names == ["0.png", "1.png", "copy.png"]
    assert [hidden[index].shown_views for index in range(3)] == [{0}, {1}, {1}]


@pytest.mark.parametrize("name", ["plain", "beside/../elsewhere"])
def test_composed_scenes_are_the_same_as_pictures_on_disk(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside").mkdir()
    folder = tmp_path / name
    assert len(write_scenes([], folder)) == 0
    made = [PastedScenes(4)[index] for index in range(4)]
    made[0] = LabelledScene(made[0].image, made[0].boxes, made[0].items, frozenset({5}))
    written = write_scenes(made, folder)
    assert written.names == ["0000.png", "0001.png", "0002.png", "0003.png"]
    for composed, found in zip(made, written, strict=True):
        np.testing.assert_array_equal(found.image, composed.image)
        np.testing.assert_array_equal(found.boxes, composed.boxes)
        assert found.items == composed.items
        assert found.shown_views == composed.shown_views


def test_pictures_that_items_were_cut_from_are_scenes_where_all_boxes_are_known(
    tmp_path: Path, scenes: SceneFolder
) -> None:
    own = read_exemplar_scenes(scenes.folder, format="coco")
    assert own is not None
    read_as_scenes, _ = read_scenes(scenes.folder, format="coco")
    assert own.names == read_as_scenes.boxed().names
    assert own.item_counts == {"item 0": 1, "item 1": 1, "item 2": 1}
    assert len(own) == 4  # and one that shows none of them
    write_picture(tmp_path / "items" / "cup" / "1.png", scene(1, 2)[0])
    assert read_exemplar_scenes(tmp_path / "items", format="auto") is None


def test_backgrounds_from_a_glob(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", photo(number))
    write_picture(tmp_path / "else.jpg", photo(5))
    write_broken(tmp_path / "9.png")
    pictures, problems = read_backgrounds(tmp_path / "*.png")
    assert len(pictures) == 3
    np.testing.assert_array_equal(pictures[2], photo(2))
    assert [len(part) for part in (pictures[:2], pictures[3:])] == [2, 0]
    assert [Path(problem.file).name for problem in problems] == ["9.png"]


def test_backgrounds_of_a_manifest_are_its_pictures_without_boxes(
    tmp_path: Path, scenes: SceneFolder
) -> None:
    write(read(scenes.folder).table, tmp_path / "set", "groundtruth")
    found, problems = read_backgrounds(tmp_path / "set" / "output.manifest")
    assert problems == []
    assert [Path(place.uri).name for place in found.scenes.samples] == ["nothing.png"]
    np.testing.assert_array_equal(found[0], photo(77))
    (tmp_path / "set" / "images" / "nothing.png").unlink()
    with pytest.raises(NothingLeftError, match=r"nothing\.png"):
        read_backgrounds(tmp_path / "set" / "output.manifest")


def test_without_a_usable_background_there_is_an_error(tmp_path: Path) -> None:
    write_broken(tmp_path / "9.png")
    with pytest.raises(NothingLeftError):
        read_backgrounds(tmp_path)


def test_labels_that_are_no_item() -> None:
    found = Scenes([sample("a", boxes=("soda", "soda", "tea")), sample("b", "none")])
    (warning,) = unknown_items(found, {"soda"}, "shelf")
    assert (warning.level, warning.file) == ("warning", "shelf")
    assert "'tea' (1 time" in warning.reason
    with pytest.raises(
        ValueError, match=r"items of the gallery \(milk\), got the labels soda, tea"
    ):
        unknown_items(found, {"milk"}, "shelf")
    assert unknown_items(Scenes([sample("b", "none")]), {"milk"}, "shelf") == []


def test_pictures_whatever_they_show(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / "in" / f"{number}.png", photo(number))
    write_broken(tmp_path / "in" / "broken.png")
    rows = [
        '{"source-ref": "in/1.png"}',
        '{"source-ref": "in/0.png", "labels": [0], "labels-metadata": {"class-map": {"0": "cat"},'
        ' "type": "groundtruth/image-classification-multilabel"}}',
        '{"source-ref": "in/gone.png"}',
        "{",
    ]
    (tmp_path / "list.manifest").write_text("\n".join(rows), "utf-8")
    listed, problems = read_unlabelled(tmp_path / "list.manifest")
    assert [(Path(one.uri).name, one.labels) for one in listed] == [("0.png", ()), ("1.png", ())]
    assert [problem.line for problem in problems] == [3, 4]
    found, problems = read_unlabelled(tmp_path / "in")
    assert [Path(one.uri).name for one in found] == ["0.png", "1.png", "2.png"]
    assert [Path(problem.file).name for problem in problems] == ["broken.png"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "list.manifest").rename(tmp_path / "elsewhere" / "list.manifest")
    rooted, _ = read_unlabelled(tmp_path / "elsewhere" / "list.manifest", image_root=tmp_path)
    assert [one.uri for one in rooted] == [one.uri for one in listed]
    with pytest.raises(FileNotFoundError, match=r"none \[.*gone.manifest\]"):
        read_unlabelled(tmp_path / "gone.manifest")
