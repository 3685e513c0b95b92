"""What a challenger learns from: the pictures of a version as they are now, and items."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.conftest import Scenes, write_broken, write_picture
from tests.worlds import photo, view
from visionkit.cli.compose import compose
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.formats import read, write
from visionkit.data.formats.groundtruth import boxes_row
from visionkit.data.images import read_image
from visionkit.data.table import to_samples
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import open_catalog
from visionkit.jobs.retrain_data import unseen_pictures, write_data
from visionkit.jobs.sources import read_backgrounds, read_unlabelled
from visionkit.matching.gallery import Gallery, View, load_gallery, make_view, save_gallery
from visionkit.types import ObjectBox, Sample


def config(task: str, *words: str) -> RetrainConfig:
    return compose("retrain", RetrainConfig, [f"task={task}", "catalog=c", *words]).config


def pictures(folder: Path, count: int) -> list[Sample]:
    """So many photos on disk, of which nobody has said anything yet."""
    for number in range(count):
        write_picture(folder / "photos" / f"{number}.png", photo(number))
    return [replace(sample, labels=()) for sample in to_samples(read(folder, "folders").table)]


def box(label: str, side: int) -> ObjectBox:
    return ObjectBox(label, (20.0, 10.0, 20.0 + side, 10.0 + side))


def cut_view(item: str, source: str) -> View:
    """A view as a turn of the wheel cut it."""
    image = photo(len(source))
    return replace(make_view(item, image, source=source), from_catalog=True)


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


def test_a_new_item_gets_no_tiny_views_beside_large_ones(tmp_path: Path) -> None:
    *learned, tested = pictures(tmp_path, 5)
    sides = (30, 100, 40, 24)
    boxed = [
        replace(sample, objects=(box("new", side),))
        for sample, side in zip(learned, sides, strict=True)
    ]
    data = write_data(
        config("exemplar"), [*boxed, tested], [tested], None, tmp_path / "data", catalogued=()
    )
    views = load_gallery(Path(str(data.items))).views
    assert [view.crop().shape[0] for view in views] == [100, 40]


def gallery_of(bundle: Path, views: list[View]) -> Path:
    """A folder that holds a gallery as a bundle does."""
    (bundle / "gallery").mkdir(parents=True)
    save_gallery(Gallery().add(views), bundle / "gallery")
    return bundle


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), {"item 0": 3, "new": 3}),
        (("loop.views=2",), {"item 0": 2, "new": 2}),
        (("loop.most_views=3",), {"item 0": 2, "new": 1}),
        (("loop.views=0",), {}),
    ],
    ids=["all of a few", "two an item", "three in all, by turns", "none"],
)
def test_known_items_get_views_from_boxes_up_to_a_number(
    tmp_path: Path, words: tuple[str, ...], wanted: dict[str, int]
) -> None:
    samples = pictures(tmp_path, 4)
    learned = [
        replace(sample, objects=(box("item 0", 60 + number), box("new", 50)))
        for number, sample in enumerate(samples[:3])
    ]
    champion = gallery_of(tmp_path / "bundle", [view("item 0", 1)])
    data = write_data(
        config("exemplar", *words),
        [*learned, samples[3]],
        [samples[3]],
        str(champion),
        tmp_path / "data",
        catalogued=(),
    )
    views = load_gallery(Path(str(data.items))).views
    assert [each.source for each in views if not each.from_catalog] == ["item 0_1.png"]
    cut = [each for each in views if each.from_catalog]
    assert Counter(each.item for each in cut) == wanted
    # The largest first: of the last pictures.
    known = [each.source for each in cut if each.item == "item 0"]
    assert known == [sample.uri for sample in reversed(learned)][: len(known)]


def test_what_says_nothing_new_is_no_view(tmp_path: Path) -> None:
    first, copied, small, broken, gone, tested = pictures(tmp_path, 6)
    shown = [
        replace(first, objects=(box("item 0", 80), box("item 0", 60), box("none", 90))),
        # The frame after it: all but the same.
        replace(copied, objects=(box("item 0", 80),)),
        replace(small, objects=(box("item 0", 39), box("new", 39))),
        replace(broken, objects=(box("item 0", 70),)),
        replace(gone, objects=(box("item 0", 71),)),
    ]
    lighter = np.minimum(read_image(first.uri).astype(int) + 3, 255).astype(np.uint8)
    write_picture(Path(copied.uri), lighter)
    write_broken(Path(broken.uri))
    Path(gone.uri).unlink()
    champion = gallery_of(tmp_path / "bundle", [view("item 0", 1)])
    data = write_data(
        config("exemplar"),
        [*shown, tested],
        [tested],
        str(champion),
        tmp_path / "data",
        catalogued=(),
    )
    cut = load_gallery(Path(str(data.items))).views[1:]
    assert [(each.item, each.source, each.crop().shape[0]) for each in cut] == [
        ("item 0", first.uri, 80),
        ("new", small.uri, 39),
    ]
    problems = (tmp_path / "data" / "problems.csv").read_text("utf-8")
    assert [Path(name).name in problems for name in (broken.uri, gone.uri)] == [True, True]


def test_views_of_earlier_turns_stay_only_where_nobody_can_take_them_back(tmp_path: Path) -> None:
    here, unsaid, tested = pictures(tmp_path, 3)
    earlier = [
        view("item 0", 1),
        cut_view("item 0", here.uri),
        cut_view("item 0", unsaid.uri),
        cut_view("item 0", "/another/catalog.png"),
    ]
    data = write_data(
        config("exemplar"),
        [replace(here, objects=(box("item 1", 50),)), tested],
        [tested],
        str(gallery_of(tmp_path / "bundle", earlier)),
        tmp_path / "data",
        catalogued={here.uri, unsaid.uri, tested.uri},
    )
    assert [(each.item, each.source) for each in load_gallery(Path(str(data.items))).views] == [
        ("item 0", "item 0_1.png"),
        ("item 0", "/another/catalog.png"),
        ("item 1", here.uri),
    ]


@pytest.mark.parametrize("count", [5, 6])
def test_pictures_without_boxes_are_backgrounds_where_there_are_enough(
    tmp_path: Path, count: int
) -> None:
    samples = pictures(tmp_path, count + 4)
    empty, (shown, labelled, copied, tested) = samples[:count], samples[count:]
    others = [
        replace(shown, objects=(box("item 0", 50),)),
        replace(labelled, labels=("sunny",)),  # of which nobody has said that it has no boxes
        replace(copied, content_hash=tested.content_hash),
    ]
    data = write_data(
        config("exemplar"),
        [*empty, *others, tested],
        [tested],
        None,
        tmp_path / "data",
        catalogued=(),
    )
    if count < 6:
        assert data.background is None
        return
    found, problems = read_backgrounds(str(data.background), image_root=data.image_root)
    assert problems == []
    by_hash = sorted(empty, key=lambda sample: sample.content_hash)
    assert [sample.uri for sample in found.scenes.samples] == [sample.uri for sample in by_hash]


def test_backgrounds_of_ones_own_are_used_alone(tmp_path: Path) -> None:
    *empty, shown, tested = pictures(tmp_path, 8)
    data = write_data(
        config("exemplar", f"data.background={tmp_path}"),
        [*empty, replace(shown, objects=(box("item 0", 50),)), tested],
        [tested],
        None,
        tmp_path / "data",
        catalogued=(),
    )
    assert data.background == str(tmp_path)


@pytest.mark.parametrize("task", ["exemplar", "localization"])
def test_backgrounds_of_ones_own_may_be_listed_by_paths_below_an_image_root(
    tmp_path: Path, task: str
) -> None:
    *empty, shown, tested = pictures(tmp_path, 5)
    lines = []
    for sample in empty:
        path = str(Path(sample.uri).relative_to(tmp_path))
        lines.append(json.dumps(boxes_row(sample, path, [], [])) + "\n")
    lines.append(lines[0].replace("0.png", "gone.png"))
    (tmp_path / "lists").mkdir()
    own = tmp_path / "lists" / "own.manifest"
    own.write_text("".join(lines), "utf-8")
    data = write_data(
        config(task, f"data.background={own}", f"data.image_root={tmp_path}"),
        [replace(shown, objects=(box("item 0", 50),)), tested],
        [tested],
        None,
        tmp_path / "data",
        catalogued=(),
    )
    found, problems = read_backgrounds(str(data.background), image_root=data.image_root)
    assert problems == []
    assert {sample.uri for sample in found.scenes.samples} == {sample.uri for sample in empty}
    left_out = (tmp_path / "data" / "background" / "problems.csv").read_text("utf-8")
    assert "gone.png" in left_out


def test_a_background_that_classification_has_no_use_for_is_not_read(tmp_path: Path) -> None:
    *learned, tested = (replace(each, labels=("cat",)) for each in pictures(tmp_path, 3))
    given = str(tmp_path / "gone.manifest")
    data = write_data(
        config("classification", f"data.background={given}"),
        [*learned, tested],
        [tested],
        None,
        tmp_path / "data",
        catalogued=(),
    )
    assert data.background == given


def test_without_any_item_there_is_nothing_to_look_for(scenes: Scenes, tmp_path: Path) -> None:
    first, second, *_ = exported(scenes, tmp_path / "set")
    samples = [replace(first, objects=()), second]
    with pytest.raises(ValueError, match=r"data.items must name pictures .* got none"):
        write_data(config("exemplar"), samples, [second], None, tmp_path / "data", catalogued=())


def test_pictures_that_nobody_has_looked_at(tmp_path: Path) -> None:
    shown = pictures(tmp_path, 7)
    came = [replace(shown[0], labels=("cat",)), replace(shown[1], split="test"), *shown[2:]]
    catalog = open_catalog(tmp_path / "catalog", create=True)
    catalog.add_samples(came)
    answers = (("edit", ("dog",)), ("unsure", ()), ("reject", ()))
    for number, (action, labels) in enumerate(answers, start=2):
        name = came[number].id
        catalog.correct(Correction(f"a{number}", name, 0, "ann", action, labels=labels))  # type: ignore[arg-type]
    assert [one.uri for one in unseen_pictures(catalog)] == [one.uri for one in came[5:]]


def test_what_nobody_has_looked_at_is_listed_for_classes_and_for_boxes(tmp_path: Path) -> None:
    first, second, tested, *unseen = pictures(tmp_path, 8)
    told = [replace(first, labels=("cat",)), replace(second, labels=("dog",))]
    frozen = replace(tested, labels=("cat",))
    copy = replace(tested, id="copy", uri=unseen[0].uri)  # of a frozen picture, at another place

    def listed(name: str, task: str, *words: str) -> list[str]:
        data = write_data(
            config(task, *words), [*told, frozen], [frozen], None, tmp_path / name,
            catalogued=(), unseen=[copy, *unseen[1:]],
        )  # fmt: skip
        if data.unlabelled is None:
            return []
        found, _ = read_unlabelled(data.unlabelled, image_root=data.image_root)
        return [one.uri for one in found]

    assert sorted(listed("all", "classification")) == sorted(one.uri for one in unseen[1:])
    assert len(listed("two", "classification", "loop.unlabelled=2")) == 2
    assert listed("none", "classification", "loop.unlabelled=0") == []
    assert listed("boxes", "localization") == []  # not all sets gain by them
    told = listed("told", "localization", "loop.unlabelled=9")
    assert sorted(told) == sorted(one.uri for one in unseen[1:])
