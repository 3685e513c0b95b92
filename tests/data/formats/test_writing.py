"""What is written and comes back as it was, for visionkit and for other tools."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.sets import said, save_picture
from visionkit.data.formats import FORMATS, detect, others_in, read, write
from visionkit.data.formats.sidecar import NAME
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import relative_uris, to_samples, to_table
from visionkit.types import ObjectBox, Sample

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


@pytest.mark.parametrize("splits", [True, False])
@pytest.mark.parametrize("format", WRITABLE)
def test_what_is_not_of_a_set_is_told_apart(
    tmp_path: Path, samples: list[Sample], format: str, splits: bool
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    assert others_in(folder) == []
    samples = samples if splits else [replace(sample, split="") for sample in samples]
    write(to_table(samples), folder, format, overwrite=True)
    (folder / ".DS_Store").touch()
    assert others_in(folder) == []
    (folder / "notes.json").touch()
    (folder / "thesis").mkdir()
    assert others_in(folder) == ["notes.json", "thesis"]
    (folder / NAME).unlink()
    assert {"notes.json", "thesis"} < set(others_in(folder)), "it could be any set"


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
    ("change", "expected"),
    [
        pytest.param((",train,", ",,"), "", id="cleared"),
        pytest.param((",train,", ",val,"), "val", id="changed"),
        pytest.param(("split", "shop"), "train", id="the column is of another meaning"),
    ],
)
def test_a_split_that_was_cleared_in_a_csv_stays_away(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    path = save_picture(tmp_path / "source" / "a.png")
    digest = content_hash(read_image(path))
    objects = (ObjectBox("cola", (1, 2, 11, 12), "model-1"), ObjectBox("cola", (5, 5, 20, 20)))
    sample = Sample("mine", path.as_posix(), 40, 30, digest, "train", objects=objects)
    write(to_table([sample]), tmp_path / "set", "csv")
    file = tmp_path / "set" / "labels.csv"
    file.write_text(file.read_text("utf-8").replace(*change), "utf-8")
    result = read(tmp_path / "set")
    assert result.problems == ()
    assert said(to_samples(result.table)) == said([replace(sample, split=expected)])


@pytest.fixture
def split_samples(tmp_path: Path) -> list[Sample]:
    """Pictures a and c of the split test, b of none, with a box each."""
    made = []
    for number, (name, split) in enumerate((("a", "test"), ("b", ""), ("c", "test"))):
        path = save_picture(tmp_path / "source" / f"{name}.png", seed=number)
        digest = content_hash(read_image(path))
        objects = (ObjectBox("cola", (1, 2, 11, 12), "model-1"),)
        sample = Sample(name, path.as_posix(), 40, 30, digest, objects=objects)
        made.append(replace(sample, split=split))
    return made


def move_coco(folder: Path) -> None:
    """Moves c from the file of the split test to the one of no split."""
    test, rest = (folder / f"annotations_{name}.json" for name in ("test", "unassigned"))
    content, other = (json.loads(file.read_text("utf-8")) for file in (test, rest))
    image, annotation = content["images"].pop(), content["annotations"].pop()
    other["images"].append({**image, "id": 7})
    other["annotations"].append({**annotation, "id": 7, "image_id": 7})
    test.write_text(json.dumps(content), "utf-8")
    rest.write_text(json.dumps(other), "utf-8")


def move_groundtruth(folder: Path) -> None:
    """The same of the lines of manifests."""
    test, rest = (folder / f"output_{name}.manifest" for name in ("test", "unassigned"))
    first, moved = test.read_text("utf-8").splitlines(keepends=True)
    test.write_text(first, "utf-8")
    rest.write_text(rest.read_text("utf-8") + moved, "utf-8")


def unlist_voc(folder: Path) -> None:
    """Takes c from the list of the split test."""
    file = folder / "ImageSets" / "Main" / "test.txt"
    assert file.read_text("utf-8") == "a\nc\n"
    file.write_text("a\n", "utf-8")


@pytest.mark.parametrize(
    ("format", "take_out"),
    [("coco", move_coco), ("groundtruth", move_groundtruth), ("voc", unlist_voc)],
)
def test_a_split_that_was_taken_out_of_the_files_stays_away(
    tmp_path: Path,
    split_samples: list[Sample],
    format: str,
    take_out: Callable[[Path], None],
) -> None:
    write(to_table(split_samples), tmp_path / "set", format)
    take_out(tmp_path / "set")
    result = read(tmp_path / "set")
    assert result.problems == ()
    expected = [*split_samples[:2], replace(split_samples[2], split="")]
    assert said(to_samples(result.table)) == said(expected)


def join_coco(folder: Path) -> None:
    """Makes one file of all pictures, as a tool does that knows no splits."""
    move_coco(folder)
    files = [folder / f"annotations_{name}.json" for name in ("test", "unassigned")]
    first, second = (json.loads(file.read_text("utf-8")) for file in files)
    image, annotation = first["images"].pop(), first["annotations"].pop()
    second["images"].append({**image, "id": 8})
    second["annotations"].append({**annotation, "id": 8, "image_id": 8})
    (folder / "all.json").write_text(json.dumps(second), "utf-8")
    for file in files:
        file.unlink()


def join_groundtruth(folder: Path) -> None:
    """The same of manifests."""
    files = sorted(folder.glob("*.manifest"))
    (folder / "all.manifest").write_text("".join(file.read_text("utf-8") for file in files))
    for file in files:
        file.unlink()


def spoil_voc(folder: Path) -> None:
    """Damages the list of the split test, beside one that is whole."""
    lists = folder / "ImageSets" / "Main"
    (lists / "test.txt").write_bytes(b"\xff\xfe\xff")
    (lists / "train.txt").write_text("another\n", "utf-8")


@pytest.mark.parametrize(
    ("format", "join"),
    [
        ("coco", join_coco),
        ("groundtruth", join_groundtruth),
        ("voc", lambda folder: shutil.rmtree(folder / "ImageSets")),
        ("voc", spoil_voc),
    ],
)
def test_files_that_tell_no_split_leave_those_that_are_known(
    tmp_path: Path, split_samples: list[Sample], format: str, join: Callable[[Path], object]
) -> None:
    write(to_table(split_samples), tmp_path / "set", format)
    join(tmp_path / "set")
    assert said(to_samples(read(tmp_path / "set").table)) == said(split_samples)


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


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ([3], "{3} is gone"),
        ([1, 4], "{1}, {4} are gone"),
        (range(1, 18), "{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10} and 7 more are gone"),
    ],
)
def test_all_pictures_that_are_gone_are_named_at_once(
    tmp_path: Path, samples: list[Sample], gone: Sequence[int], words: str
) -> None:
    for number in gone:
        Path(samples[number].uri).unlink()
    named = words.format(*(sample.uri for sample in samples))
    with pytest.raises(FileNotFoundError, match=re.escape(f"but {named}; ")):
        write(to_table(samples), tmp_path / "set", "coco")
    assert not (tmp_path / "set").exists()


def test_a_picture_without_a_class_is_named_by_its_path(tmp_path: Path) -> None:
    sample = Sample("0123abcd", "/photos/dog.jpg", 9, 9, "0123abcd")
    with pytest.raises(ValueError, match=r"but /photos/dog\.jpg has none"):
        write(to_table([sample]), tmp_path / "out", "folders")
