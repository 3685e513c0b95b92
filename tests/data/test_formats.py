from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.data.formats import (
    FORMATS,
    NothingLeftError,
    detect,
    item_views,
    read,
    write,
)
from visionkit.data.formats.sidecar import NAME
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import relative_uris, to_samples, to_table
from visionkit.types import ObjectBox, Sample, Split

WRITABLE = sorted(name for name, format in FORMATS.items() if format.write)
WITH_BOXES = [name for name in WRITABLE if FORMATS[name].carries_boxes]
AWKWARD_NAMES = [
    " leading space.jpg",
    "comma,quote'semi;colon.jpg",
    "hash#percent%20&amp.jpg",
    "-starts-with-dash.jpg",
    "two.dots.in.name.jpg",
    "emoji_🙂.jpg",
    "商品画像/ロゴ 図.jpg",
    "nfd_e\u0301.jpg",
    "line\u2028separator \x85.jpg",
    "[brackets]{x}.jpg",
    "$HOME`tick`.jpg",
    "=formula.jpg",
    "a/b/c/deep.jpg",
    "images/images.jpg",
    "__MACOSX/Thumbs.db/a.jpg",
    "same.jpg",
    "same.png",
    "Same.JPG",
    "long_" * 36 + ".jpg",
]
AWKWARD_LABELS = ['ロゴ "新" , <b>&amp;', "=cmd()", "'=x", "a/b", "..", "it's; 50 %", "7", "[x]|y"]


def save_picture(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path, "PNG")
    return path


def random_objects(rng: np.random.Generator, count: int) -> tuple[ObjectBox, ...]:
    """Boxes with all 24 bits of float32, of a person or a model."""
    low = rng.uniform(0, [20, 15], (count, 2)).astype(np.float32)
    high = (low + rng.uniform(1.5, 15, (count, 2))).astype(np.float32)
    boxes = np.concatenate([low, high], axis=1).tolist()
    return tuple(
        ObjectBox(
            AWKWARD_LABELS[int(rng.integers(len(AWKWARD_LABELS)))],
            tuple(box),
            source="human" if number % 2 else "model-1.2",
            created="" if number % 3 else "2026-11-23T10:00:00+00:00",
        )
        for number, box in enumerate(boxes)
    )


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Pictures with awkward names, labels, splits, many boxes and none."""
    rng = np.random.default_rng(1)
    made = []
    for number, name in enumerate(sorted(AWKWARD_NAMES)):
        path = save_picture(tmp_path / "source" / name, seed=number)
        made.append(
            Sample(
                id=name,
                uri=path.as_posix(),
                width=40,
                height=30,
                content_hash=content_hash(read_image(path)),
                split=("train", "val", "test")[number % 3],
                labels=tuple(AWKWARD_LABELS[number % 5 : number % 5 + 1 + number % 3]),
                objects=random_objects(rng, count=(number % 4) * 5),
            )
        )
    return made


def said(samples: list[Sample]) -> list[Sample]:
    """The samples, sorted as `read` does, without where the files lie."""
    return sorted((replace(s, uri="") for s in samples), key=lambda sample: sample.id)


@pytest.mark.parametrize("splits", ["all", "none", "some"])
@pytest.mark.parametrize("format", WRITABLE)
def test_round_trip_loses_nothing(
    tmp_path: Path, samples: list[Sample], format: str, splits: str
) -> None:
    if format == "folders" and splits == "some":
        pytest.skip("class folders have splits for all pictures or none")
    if splits != "all":
        kept = samples[:4] if splits == "some" else []
        samples = [s if s in kept else replace(s, split="") for s in samples]
    write(to_table(samples), tmp_path / "set", format)
    first = read(tmp_path / "set", format)
    assert first.problems == ()
    assert said(to_samples(first.table)) == said(samples)
    # From the folder alone, told by its files, from relative uris, and over an old set.
    if format != "items":
        assert detect(tmp_path / "set") == format
    relative = relative_uris(first.table, first.root)
    (tmp_path / "again").mkdir()
    write(relative, tmp_path / "again", format, image_root=first.root, overwrite=True)
    assert said(to_samples(read(tmp_path / "again", format).table)) == said(samples)


@pytest.mark.parametrize("format", WITH_BOXES)
def test_boxes_come_back_without_the_sidecar(
    tmp_path: Path, samples: list[Sample], format: str
) -> None:
    """What other tools see: labels and boxes to the last bit, and splits."""
    boxed = [sample for sample in samples if sample.objects]
    write(to_table(boxed), tmp_path / "set", format)
    (tmp_path / "set" / NAME).unlink()
    back = to_samples(read(tmp_path / "set", format).table)
    assert len(back) == len(boxed)
    by_hash = {sample.content_hash: sample for sample in back}
    for sample in boxed:
        twin = by_hash[sample.content_hash]
        assert [(o.label, o.box) for o in twin.objects] == [
            (o.label, o.box) for o in sample.objects
        ]
        assert twin.split == sample.split


@pytest.mark.parametrize("format", WITH_BOXES)
def test_a_picture_without_boxes_is_a_normal_picture(tmp_path: Path, format: str) -> None:
    path = save_picture(tmp_path / "source" / "a.png")
    sample = Sample("a.png", path.as_posix(), 40, 30, content_hash(read_image(path)))
    write(to_table([sample]), tmp_path / "set", format)
    assert said(to_samples(read(tmp_path / "set", format).table)) == said([sample])


@pytest.mark.parametrize("format", WITH_BOXES)
def test_boxes_of_one_pixel_come_back(tmp_path: Path, format: str) -> None:
    path = save_picture(tmp_path / "source" / "a.png", width=333, height=77)
    whole = [(x, y, x + 1, y + 1) for x in range(0, 333, 7) for y in range(0, 77, 4)]
    rounded = [(x + 0.3, 15.3, x + 1.3, 16.3) for x in (2, 15, 31, 63, 255)]
    boxes = np.asarray(whole + rounded, np.float32).tolist()
    objects = tuple(ObjectBox("dot", tuple(box)) for box in boxes)
    digest = content_hash(read_image(path))
    sample = Sample("a.png", path.as_posix(), 333, 77, digest, objects=objects)
    write(to_table([sample]), tmp_path / "set", format)
    result = read(tmp_path / "set", format)
    assert result.problems == ()
    assert said(to_samples(result.table)) == said([sample])


def test_what_another_tool_changed_wins_over_the_sidecar(
    tmp_path: Path, samples: list[Sample]
) -> None:
    sample = replace(samples[3], objects=(ObjectBox("cola", (1, 2, 11, 12), "model-1"),) * 1)
    write(to_table([sample]), tmp_path / "set", "coco")
    file = tmp_path / "set" / f"annotations_{sample.split}.json"
    content = json.loads(file.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 2, "bbox": [5, 5, 10, 10]})
    file.write_text(json.dumps(content))
    (back,) = to_samples(read(tmp_path / "set").table)
    assert [(box.box, box.source) for box in back.objects] == [
        ((1, 2, 11, 12), "model-1"),
        ((5, 5, 15, 15), "human"),
    ]
    (tmp_path / "set" / NAME).write_text('{"version": 99}')
    result = read(tmp_path / "set")
    assert [problem.level for problem in result.problems] == ["warning"]
    assert "update visionkit" in result.problems[0].reason


@pytest.mark.parametrize(
    ("format", "file", "stated"),
    [
        ("csv", "labels.csv", '"[""dog""]"'),
        ("groundtruth", "output.manifest", '"labels": [0], '),
    ],
)
@pytest.mark.parametrize("objects", [(), (ObjectBox("cola", (1, 2, 11, 12), "model-1"),)])
def test_a_label_that_was_deleted_stays_away(
    tmp_path: Path, format: str, file: str, stated: str, objects: tuple[ObjectBox, ...]
) -> None:
    path = save_picture(tmp_path / "source" / "a.png")
    digest = content_hash(read_image(path))
    sample = Sample("mine", path.as_posix(), 40, 30, digest, labels=("dog",), objects=objects)
    write(to_table([sample]), tmp_path / "set", format)
    text = (tmp_path / "set" / file).read_text("utf-8")
    assert stated in text
    (tmp_path / "set" / file).write_text(text.replace(stated, ""), "utf-8")
    result = read(tmp_path / "set")
    assert result.problems == ()
    assert said(to_samples(result.table)) == said([replace(sample, labels=())])


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["human"], "yes"),
        (["human:ann", "human"], "yes"),
        (["human:ann", "human:bob"], "yes"),
        (["model-1.2"], "no"),
        (["human:ann", "model-1.2"], "no"),
        (["humanoid-2"], "no"),
    ],
)
def test_groundtruth_says_whether_people_drew_the_boxes(
    tmp_path: Path, sources: list[str], expected: str
) -> None:
    path = save_picture(tmp_path / "source" / "a.png")
    boxes = (ObjectBox("cola", (n, 2, 20, 10), source) for n, source in enumerate(sources))
    digest = content_hash(read_image(path))
    sample = Sample("a.png", path.as_posix(), 40, 30, digest, objects=tuple(boxes))
    write(to_table([sample]), tmp_path / "set", "groundtruth")
    row = json.loads((tmp_path / "set" / "output.manifest").read_text("utf-8"))
    assert row["boxes-metadata"]["human-annotated"] == expected


@pytest.mark.parametrize(
    ("format", "sample", "words"),
    [
        ("cntk", {}, "can only be read"),
        ("cocoa", {}, "format must be auto or one of"),
        ("folders", {"labels": ()}, "need a label for every picture"),
        ("coco", {"uri": "/not/there.jpg"}, "is gone"),
    ],
)
def test_what_can_not_be_written(
    tmp_path: Path, samples: list[Sample], format: str, sample: dict[str, object], words: str
) -> None:
    table = to_table([replace(samples[0], **sample)])  # type: ignore[arg-type]
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        write(table, tmp_path / "set", format)
    assert not (tmp_path / "set").exists()
    with pytest.raises(ValueError, match="at least one picture"):
        write(to_table([]), tmp_path / "set", "coco")
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError, match="overwrite=true"):
        write(to_table(samples), tmp_path / "set", "coco")


def boxes_of(path: Path, format: str = "auto", **options: object) -> dict[str, list[object]]:
    """Id -> (label, box) of each box, or labels of the picture."""
    table = read(path, format, **options).table  # type: ignore[arg-type]
    return {
        sample.id: [(o.label, o.box) for o in sample.objects] or list(sample.labels)
        for sample in to_samples(table)
    }


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Text files, and pictures for names that end in .png."""
    for number, (name, text) in enumerate(files.items()):
        if name.endswith(".png"):
            save_picture(folder / name, seed=number)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
    return folder


COCO_FILE = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 8]}],
        "categories": [{"id": 1, "name": "cola"}],
    }
)
VOC_FILE = """<annotation><filename>a.png</filename><object><name>cola</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object></annotation>"""
MANIFEST = json.dumps(
    {
        "source-ref": "s3://bucket/some/key/a.png",
        "x": {"annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 9, "height": 8}]},
        "x-metadata": {"type": "groundtruth/object-detection", "class-map": {"0": "cola"}},
    }
)
YOLO_LINE = "0 0.1375 0.2 0.225 0.266666667"  # the same box of a picture of 40 x 30
BOX = ("cola", (1.0, 2.0, 10.0, 10.0))


@pytest.mark.parametrize(
    ("files", "format", "expected"),
    [
        ({"annotations/instances_val2017.json": COCO_FILE, "val2017/a.png": ""}, "coco", BOX),
        ({"train/_annotations.coco.json": COCO_FILE, "train/a.png": ""}, "coco", BOX),
        ({"Annotations/a.xml": VOC_FILE, "JPEGImages/a.png": ""}, "voc", BOX),
        ({"annotations/b.xml": VOC_FILE, "images/b.png": ""}, "voc", BOX),
        ({"a.xml": VOC_FILE, "a.png": ""}, "voc", BOX),
        ({"a.txt": YOLO_LINE, "a.png": "", "classes.txt": "cola\n"}, "yolo", BOX),
        (
            {
                "data.yaml": "names: {0: cola}\ntrain: ../train/images\n",
                "train/labels/a.txt": YOLO_LINE,
                "train/images/a.png": "",
            },
            "yolo",
            BOX,
        ),
        ({"output.manifest": MANIFEST, "key/a.png": ""}, "groundtruth", BOX),
        ({"t.csv": "file;class;x1;y1;x2;y2\na.png;cola;1;2;10;10", "a.png": ""}, "csv", BOX),
        (
            {"a.bboxes.tsv": "1\t2\t10\t10\n", "a.bboxes.labels.tsv": "cola", "a.png": ""},
            "cntk",
            BOX,
        ),
        ({"t.csv": "path,label\na.png,cola\n", "a.png": ""}, "csv", "cola"),
        ({"t.csv": 'path,labels\na.png,"[""cola""]"\n', "a.png": ""}, "csv", "cola"),
        ({"t.csv": "a.png, cola, 3\n", "a.png": ""}, "csv", "cola"),
        ({"train/cola/deep/a.png": ""}, "folders", "cola"),
    ],
)
def test_layouts_of_other_tools(
    tmp_path: Path, files: dict[str, str], format: str, expected: object
) -> None:
    write_files(tmp_path, files)
    assert detect(tmp_path) == format
    (found,) = boxes_of(tmp_path).values()
    if isinstance(expected, str):
        assert found == [expected]
    else:
        ((label, box),) = found
        assert label == expected[0]
        assert box == pytest.approx(expected[1], abs=1e-4)


def test_class_folders_keep_classes_that_desktops_call_their_files(tmp_path: Path) -> None:
    classes = ("Thumbs.db", "desktop.ini", "__macosx", ".hidden")
    made = []
    for number, label in enumerate(classes):
        path = save_picture(tmp_path / "source" / f"{number}.png", seed=number)
        digest = content_hash(read_image(path))
        made.append(Sample(path.name, path.as_posix(), 40, 30, digest, labels=(label,)))
    write(to_table(made), tmp_path / "set", "folders")
    assert said(to_samples(read(tmp_path / "set", "folders").table)) == said(made)


@pytest.mark.parametrize("classes", [("car", "train"), ("Test", "VAL"), ("train",)])
@pytest.mark.parametrize("splits", [("", ""), ("val", "train")])
@pytest.mark.parametrize("folder", ["", "shelf/"])
def test_class_folders_keep_classes_that_are_called_as_splits_are(
    tmp_path: Path, classes: tuple[str, ...], splits: tuple[Split, Split], folder: str
) -> None:
    made = []
    for number, (label, split) in enumerate(zip(classes, splits, strict=False)):
        path = save_picture(tmp_path / "source" / f"{number}.png", seed=number)
        digest = content_hash(read_image(path))
        made.append(
            Sample(f"{folder}{digest}.png", path.as_posix(), 40, 30, digest, split, (label,))
        )
    write(to_table(made), tmp_path / "set", "folders")
    result = read(tmp_path / "set", "folders")
    assert result.problems == ()
    assert said(to_samples(result.table)) == said(made)
    (tmp_path / "set" / NAME).unlink()
    plain = to_samples(read(tmp_path / "set", "folders").table)
    assert {sample.content_hash: sample.labels for sample in plain} == {
        sample.content_hash: sample.labels for sample in made
    }


@pytest.mark.parametrize(
    ("files", "expected", "words"),
    [
        pytest.param(
            ["car/a.png", "bus/deep/b.png", "train/c.png"],
            {
                "car/a.png": ("", "car"),
                "bus/deep/b.png": ("", "bus"),
                "train/c.png": ("", "train"),
            },
            "train is taken for a class",
            id="a class beside others",
        ),
        pytest.param(
            ["train/car/a.png", "train/bus/b.png", "test/c.png", "more/d.png"],
            {
                "train/car/a.png": ("train", "car"),
                "train/bus/b.png": ("train", "bus"),
                "more/d.png": ("", "more"),
            },
            "left out: c.png",
            id="a split of which the pictures have no class",
        ),
        pytest.param(
            ["train/car/a.png", "train/bus/b.png", "test/c.png"],
            {"train/car/a.png": ("train", "car"), "train/bus/b.png": ("train", "bus")},
            "left out: c.png",
            id="splits alone",
        ),
    ],
)
def test_a_folder_that_is_called_as_a_split_is(
    tmp_path: Path, files: list[str], expected: dict[str, tuple[str, str]], words: str
) -> None:
    result = read(write_files(tmp_path, dict.fromkeys(files, "")), "folders")
    found = {sample.id: (sample.split, *sample.labels) for sample in to_samples(result.table)}
    assert found == expected
    assert [problem.level for problem in result.problems] == ["warning"]
    assert words in result.problems[0].reason


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"cola/1.png": "", "cola/b/2.png": ""},
            {"cola/1.png": ["cola"], "cola/b/2.png": ["cola"]},
        ),
        ({"fanta/a.png": "", "fanta/a.xml": VOC_FILE}, {"fanta/a.png": [("fanta", BOX[1])]}),
        ({"fanta/a.png": "", "fanta/x.json": COCO_FILE}, {"fanta/a.png": [("fanta", BOX[1])]}),
        (
            {"x.json": COCO_FILE, "a.png": "", "fanta/1.png": ""},
            {"a.png": [BOX], "fanta/1.png": ["fanta"]},
        ),
        ({"Annotations/a.xml": VOC_FILE, "JPEGImages/a.png": ""}, {"JPEGImages/a.png": [BOX]}),
    ],
)
def test_items(tmp_path: Path, files: dict[str, str], expected: dict[str, list[object]]) -> None:
    assert boxes_of(write_files(tmp_path, files), "items") == expected


def test_items_of_which_one_can_not_be_used(tmp_path: Path) -> None:
    two = VOC_FILE.replace("</annotation>", "<object><name>x</name></object></annotation>")
    write_files(tmp_path, {"loose.png": "", "fanta/a.png": "", "good/b.png": ""})
    (tmp_path / "empty").mkdir()
    other = VOC_FILE.replace("a.png", "c.png").replace("cola", "pepsi")
    write_files(tmp_path, {"fanta/a.xml": two, "fanta/c.xml": other, "fanta/c.png": ""})
    result = read(tmp_path, "items")
    assert [sample.id for sample in to_samples(result.table)] == ["good/b.png"]
    reasons = " | ".join(problem.reason for problem in result.problems)
    for words in (
        "must lie in a folder that is named for their item; left out: loose.png",
        "the item 'empty' must have a picture",
        "c.png must have a box of 'fanta'; left out",
    ):
        assert words in reasons


def test_item_views(tmp_path: Path) -> None:
    write_files(tmp_path, {"x.json": COCO_FILE, "a.png": "", "beer/1.png": "", "beer/2.png": ""})
    views = item_views(read(tmp_path, "items").table)
    assert [(view.item, view.sample.id, view.box) for view in views] == [
        ("beer", "beer/1.png", None),
        ("beer", "beer/2.png", None),
        ("cola", "a.png", BOX[1]),
    ]


def csv_file(*rows: str, header: str = "path,label,xmin,ymin,xmax,ymax,width,height") -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "words", "boxes_left"),
    [
        (csv_file("a.png,cola,30,2,10,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "above 0", 1),
        (csv_file("a.png,cola,1,2,nan,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "finite", 1),
        (csv_file("a.png,cola,1,2,x,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "4 numbers", 1),
        (csv_file("a.png,,1,2,10,10,40,30", "a.png,cola,1,2,9,9,40,30"), 2, "not be empty", 1),
        (csv_file("a.png,cola,1,2,90,10,40,30"), 2, "cut off at the border", 1),
        (csv_file("a.png,cola,1,2,9,9,40,30", "a.png,cola,2,2,9,9"), 3, "8 cells, got 6", 1),
        (csv_file("a.png,cola,1,2,9,9,80,60", "b.png,cola,1,2,9,9,,"), 2, "got 80 x 60", 1),
        (csv_file("a.png,cola,1,2,9,9,30,40", "b.png,cola,1,2,9,9,,"), 2, "EXIF turn", 1),
        (csv_file("../a.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), 2, "must stay below", 1),
        (csv_file("c.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), 2, "must exist", 1),
        (csv_file("bad.png,cola,1,2,9,9,,", "b.png,cola,1,2,9,9,,"), None, "is a text file", 1),
    ],
)
def test_problems_are_located(
    tmp_path: Path, text: str, line: int | None, words: str, boxes_left: int
) -> None:
    files = {"set/t.csv": text, "set/a.png": "", "set/b.png": "", "a.png": ""}
    write_files(tmp_path, files)
    (tmp_path / "set/bad.png").write_text("no picture")
    result = read(tmp_path / "set")
    found = [problem for problem in result.problems if words in problem.reason]
    assert [problem.line for problem in found] == [line]
    assert sum(len(sample.objects) for sample in to_samples(result.table)) == boxes_left


PICTURE_A = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}
SIDECAR = '{"version": 1, "pictures": {"a.png": {"id": "a", "split": "", %s, "objects": []}}}'


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x.json": json.dumps(PICTURE_A).replace('"id"', '"width": 1e999, "id"')}, None),
        ({"x.json": json.dumps(PICTURE_A).replace("1", "9" * 5000)}, "can't be read"),
        ({"x.json": json.dumps(PICTURE_A), NAME: SIDECAR % '"labels": ["\\ud800"]'}, "lost"),
        ({"x.json": json.dumps(PICTURE_A), NAME: SIDECAR % '"labels": [" "]'}, "lost"),
        ({"x.json": json.dumps(PICTURE_A), NAME: "[" * 100_000}, "lost"),
        ({"data.yaml": f"names: [a]\ntrain: {'x' * 5000}"}, "not there"),
        ({"data.yaml": "names: [a]\ntrain: [", "a.txt": ""}, "YAML is broken"),
        ({"a.txt": "9" * 5000 + " .5 .5 .1 .1\n"}, "number of a class"),
        ({"t.csv": 'path,label\na.png,"cola\n'}, "row is broken"),
        (
            {"x.manifest": MANIFEST.replace('"annotations"', '"image_size": [1], "annotations"')},
            None,
        ),
    ],
)
def test_odd_content_is_reported_and_raises_nothing_else(
    tmp_path: Path, files: dict[str, str], words: str | None
) -> None:
    """What mutating the files of sets at random has brought to light."""
    write_files(tmp_path, {"a.png": "", **files})
    try:
        problems = read(tmp_path).problems
    except NothingLeftError as error:
        problems = error.problems
    found = " | ".join(problem.reason for problem in problems)
    assert found == "" if words is None else words in found


def test_image_root_is_where_pictures_are_and_the_border(tmp_path: Path) -> None:
    write_files(tmp_path, {"labels/x.json": COCO_FILE, "pictures/a.png": "", "other/c.png": ""})
    file = tmp_path / "labels" / "x.json"
    assert boxes_of(file, image_root=tmp_path / "pictures") == {"a.png": [BOX]}
    with pytest.raises(NothingLeftError, match="set image_root"):
        read(file, image_root=tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="image_root must be a folder"):
        read(file, image_root=tmp_path / "gone")


def test_windows_separators_and_both_forms_of_accents(tmp_path: Path) -> None:
    save_picture(tmp_path / "deep" / "nfd_e\u0301.png")
    write_files(tmp_path, {"t.csv": "path,label\ndeep\\nfd_\u00e9.png,cola\n"})
    assert list(boxes_of(tmp_path).values()) == [["cola"]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "gone", "check the path"),
        (lambda folder: folder, "can't be told"),
        (lambda folder: write_files(folder, {"a.md": "x"}) / "a.md", "can't be told"),
        (lambda folder: write_files(folder, {"x.json": "{}"}) / "x.json", "nothing is left"),
    ],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read(make(tmp_path))


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_without_anything_says_what_was_expected(format: str, tmp_path: Path) -> None:
    words = f"{tmp_path} must hold .*, but holds {{}}; check the path, or say another format"
    with pytest.raises(FileNotFoundError, match=words.format("nothing")):
        read(tmp_path, format)
    write_files(tmp_path, {f"{name}.md": "x" for name in "abcde"})
    with pytest.raises(FileNotFoundError, match=words.format(r"a\.md, b\.md, c\.md and 2 more")):
        read(tmp_path, format)


def test_a_set_without_pictures_is_none_of_another_format(tmp_path: Path) -> None:
    content = {"images": [], "annotations": [], "categories": []}
    write_files(tmp_path, {"annotations.json": json.dumps(content)})
    with pytest.raises(NothingLeftError):
        read(tmp_path, "coco")


def test_a_format_that_can_not_be_told_says_what_is_there(tmp_path: Path) -> None:
    words = "the format of {}, which holds {}, can't be told; check the path, or say which it is"
    with pytest.raises(ValueError, match=words.format(tmp_path, "nothing")):
        read(tmp_path)
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=words.format(tmp_path, "pictures")):
        read(tmp_path)


def test_copies_that_contradict_each_other_are_reported(tmp_path: Path) -> None:
    save_picture(tmp_path / "cola" / "1.png")
    shutil.copytree(tmp_path / "cola", tmp_path / "pepsi")
    result = read(tmp_path, "items")
    assert len(to_samples(result.table)) == 2
    (problem,) = result.problems
    assert problem.reason == (
        "copies must have the same labels, but this is a copy of cola/1.png with others"
    )


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_names_that_are_no_utf8_are_left_out(tmp_path: Path) -> None:
    save_picture(tmp_path / "cola" / "1.png")
    os.rename(tmp_path / "cola" / "1.png", os.fsencode(tmp_path / "cola") + b"/\xff.png")
    save_picture(tmp_path / "cola" / "2.png")
    result = read(tmp_path, "folders")
    assert [sample.id for sample in to_samples(result.table)] == ["cola/2.png"]
    assert "its name is not UTF-8; rename it" in result.problems[0].reason


@pytest.mark.parametrize(
    ("folder", "pictures", "boxes", "problems"),
    [  # counts of the manifest, less the two boxes of zero size that it names
        ("localization/bccd", 364, {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}, 2),
        ("localization/raccoon", 200, {"raccoon": 217}, 0),
        ("localization/raccoon/train_labels.csv", 160, {"raccoon": 173}, 0),
        ("localization/tomato_yolo", 81, {"Tomato": 1183}, 1),
        ("classification/hymenoptera", 398, {}, 0),
        ("exemplar/fridge/testImages", 5, {"squash": 10, "water": 5}, 0),
    ],
)
def test_real_sets(
    shared_data: Path, folder: str, pictures: int, boxes: dict[str, int], problems: int
) -> None:
    result = read(shared_data / folder)
    samples = to_samples(result.table)
    found = [box.label for sample in samples for box in sample.objects]
    assert len(samples) == pictures
    assert {label: found.count(label) for label in boxes} == boxes
    assert len(result.problems) == problems


def test_what_can_t_be_told_names_the_options_that_say_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no data set", "utf-8")
    with pytest.raises(ValueError, match=r"data\.format= of train, source_format= of versions"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"source_format= of versions import"):
        read(tmp_path, "coco")


def test_a_picture_without_a_class_is_named_by_its_path(tmp_path: Path) -> None:
    sample = Sample("0123abcd", "/photos/dog.jpg", 9, 9, "0123abcd")
    with pytest.raises(ValueError, match=r"but /photos/dog\.jpg has none"):
        write(to_table([sample]), tmp_path / "out", "folders")
