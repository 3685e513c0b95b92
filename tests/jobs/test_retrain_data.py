"""What a challenger learns from: the pictures of a version as they are now, and items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, write_picture
from tests.worlds import photo
from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.formats import read, write
from visionkit.data.table import to_samples
from visionkit.jobs.retrain_data import write_data
from visionkit.matching.gallery import load_gallery
from visionkit.types import ObjectBox, Sample


def config(task: str, *words: str) -> RetrainConfig:
    return compose("retrain", RetrainConfig, [f"task={task}", "catalog=c", *words]).config


def exported(scenes: Scenes, folder: Path) -> list[Sample]:
    """The pictures of a set that visionkit wrote: a file beside them says what they show."""
    write(read(scenes.folder).table, folder, "coco")
    return to_samples(read(folder).table)


def test_labels_that_were_taken_back_stay_away(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog", "dog")):
        write_picture(tmp_path / "old" / name / f"{number}.png", photo(number))
    write(read(tmp_path / "old", "folders").table, tmp_path / "set", "folders")
    learned, tested, rejected = to_samples(read(tmp_path / "set", "folders").table)
    assert rejected.labels == ("dog",)
    now = [tested, learned, replace(rejected, labels=())]
    data = write_data(
        config("classification"), now, [tested], None, tmp_path / "data", catalogued=()
    )
    found = to_samples(read(str(data.root), data.format, image_root=data.image_root).table)
    by_place = {each.uri: each for each in found}
    assert by_place[rejected.uri].labels == ()
    assert by_place[learned.uri].labels == ("cat",)


def test_items_of_ones_own_come_in_their_format_and_new_ones_from_boxes(
    scenes: Scenes, tmp_path: Path
) -> None:
    known, named, tested, _ = exported(scenes, tmp_path / "set")
    (tmp_path / "items.csv").write_text(
        f"image,label,x_min,y_min,x_max,y_max\n{Path(known.uri).name},item 0,40,30,120,110\n"
    )
    given = config(
        "exemplar",
        f"data.items={tmp_path / 'items.csv'}",
        "data.format=csv",
        f"data.image_root={Path(known.uri).parent}",
    )
    data = write_data(
        given, [known, named, tested], [tested], None, tmp_path / "data", catalogued=()
    )
    views = load_gallery(Path(str(data.items))).views
    # The item of the test picture alone is none: there is no picture of it to look by.
    assert [(view.item, view.source) for view in views] == [
        ("item 0", known.uri),
        ("item 1", named.uri),
    ]
    found = read(str(data.scenes), data.format, image_root=data.image_root)
    assert {each.uri: each.split for each in to_samples(found.table)} == {
        known.uri: "train",
        named.uri: "train",
        tested.uri: "test",
    }


def test_of_a_new_item_the_largest_box_of_each_picture_is_a_view(
    scenes: Scenes, tmp_path: Path
) -> None:
    first, second, tested, _ = exported(scenes, tmp_path / "set")
    boxes = tuple(ObjectBox("new", (0.0, 0.0, float(side), float(side))) for side in (9, 20, 7))
    learned = [replace(first, objects=boxes), replace(second, objects=(boxes[0],))]
    data = write_data(
        config("exemplar"), [*learned, tested], [tested], None, tmp_path / "data", catalogued=()
    )
    views = load_gallery(Path(str(data.items))).views
    assert [(view.source, view.crop().shape[0]) for view in views] == [
        (first.uri, 20),
        (second.uri, 9),
    ]


def test_without_any_item_there_is_nothing_to_look_for(scenes: Scenes, tmp_path: Path) -> None:
    first, second, *_ = exported(scenes, tmp_path / "set")
    samples = [replace(first, objects=()), second]
    with pytest.raises(ValueError, match=r"data.items must name pictures .* got none"):
        write_data(config("exemplar"), samples, [second], None, tmp_path / "data", catalogued=())
