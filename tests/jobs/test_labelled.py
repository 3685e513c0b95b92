from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.jobs.conftest import write_broken, write_picture
from tests.worlds import photo
from visionkit.cli.compose import compose
from visionkit.config import DataConfig, TrainConfig
from visionkit.data.formats import NothingLeftError
from visionkit.jobs.labelled import Kind, LabelledSet, read_labelled
from visionkit.types import Sample


def config(*words: str) -> DataConfig:
    composed: TrainConfig = compose("train", TrainConfig, ["task=exemplar", *words]).config
    return composed.data


def read(kind: Kind, *words: str) -> LabelledSet:
    return read_labelled(config(*words), kind)


def told(found: LabelledSet | NothingLeftError, words: str) -> list[str]:
    """Names of the files of which something is said."""
    return [Path(p.file).name for p in found.problems if words in p.reason]


def sizes(found: LabelledSet) -> tuple[int, int, int]:
    return len(found.train), len(found.val), len(found.test)


def classes(folder: Path, **counts: int) -> Path:
    """Class folders with so many pictures; all pictures differ, `a__b` is a folder in a folder."""
    seed = 1000 * len(list(folder.parent.iterdir()))
    for name, count in counts.items():
        for number in range(count):
            seed += 1
            place = folder / name.replace("__", "/")
            write_picture(place / f"{number:02d}.png", photo(seed, 20, 24))
    return folder


def coco(folder: Path, boxes: dict[str, Sequence[tuple[str, Sequence[float]]]]) -> Path:
    """COCO over new pictures of 60 x 40 pixels: file -> label and x, y, width, height."""
    names = sorted({label for entries in boxes.values() for label, _ in entries})
    images, annotations = [], []
    for number, (file, entries) in enumerate(boxes.items()):
        write_picture(folder / file, photo(zlib.crc32(file.encode()) % 10_000, 40, 60))
        images.append({"id": number, "file_name": file, "width": 60, "height": 40})
        for label, box in entries:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": names.index(label),
                    "bbox": list(box),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    path = folder / "annotations.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content, indent=1), "utf-8")
    return path


def labels(samples: Sequence[Sample]) -> Counter[str]:
    return Counter(label for sample in samples for label in sample.labels)


def test_splits_of_folders_are_kept(tmp_path: Path) -> None:
    root = classes(
        tmp_path / "set", train__ant=4, train__bee=3, val__ant=2, val__bee=1, test__bee=2
    )
    found = read("classification", "data=folders", f"data.root={root}")
    assert found.class_names == ("ant", "bee")
    assert sizes(found) == (7, 3, 2)
    assert labels(found.train) == {"ant": 4, "bee": 3}
    assert not found.multi_label
    assert found.problems == ()


def test_without_splits_they_are_drawn_and_the_same_each_time(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=60, bee=60)
    words = f"data.root={root}"
    first, again = read("classification", words), read("classification", words)
    assert first == again
    assert sum(sizes(first)) == 120
    assert min(sizes(first)) > 2
    other = read_labelled(config(words), "classification", seed=1)
    assert other.train != first.train


def test_folders_of_the_set_can_be_named_as_splits(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant__old=5, ant__new=2, bee__old=5, bee__new=2)
    found = read("classification", f"data.root={root}", f"data.test={root / 'ant' / 'new'}")
    assert {sample.id for sample in found.test} == {"ant/new/00.png", "ant/new/01.png"}


def test_other_folders_can_be_named_as_splits(tmp_path: Path) -> None:
    root = classes(tmp_path / "a", ant=5, bee=5)
    val = classes(tmp_path / "b", ant=2, bee=1)
    test = classes(tmp_path / "c", bee=4)
    words = [f"data.root={root}", f"data.val={val}", f"data.test={test}"]
    found = read("classification", "data=folders", *words)
    assert sizes(found) == (10, 3, 4)
    ids = [sample.id for part in (found.train, found.val, found.test) for sample in part]
    assert len(set(ids)) == 17  # though each folder has a bee/00.png
    assert all(Path(sample.uri).is_file() for sample in found.test)


def test_a_split_is_not_named_by_the_folder_of_the_whole_set(tmp_path: Path) -> None:
    box = [("cola", (1, 2, 20, 10))]
    root = coco(tmp_path / "set_test", {f"{number}.png": box for number in range(6)}).parent
    val = coco(tmp_path / "valid", {f"v{number}.png": box for number in range(2)}).parent
    words = [f"data.root={root}", f"data.val={val}", "data.splits.train=0.9", "data.splits.test=0"]
    assert sizes(read("localization", *words)) == (6, 2, 0)


def test_a_list_of_the_sets_own_pictures_can_be_named_as_a_split(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=5, bee=5)
    listed = root / "held_out.csv"
    listed.write_text("path,label\nant/01.png,ant\nbee/03.png,bee\n")
    found = read("classification", "data=folders", f"data.root={root}", f"data.test={listed}")
    assert {sample.id for sample in found.test} == {"ant/01.png", "bee/03.png"}
    assert sum(sizes(found)) == 10


def test_several_labels_a_picture_make_a_multi_label_set(tmp_path: Path) -> None:
    classes(tmp_path / "set", x=4)
    listed = tmp_path / "set" / "all.csv"
    rows = ['x/00.png,"[""cat"", ""dog""]"', "x/01.png,cat", "x/02.png,dog", "x/03.png,[]"]
    listed.write_text("path,labels,xmin,ymin,xmax,ymax\n" + "".join(f"{r},,,,\n" for r in rows))
    found = read("classification", "data=csv", f"data.root={listed}", "data.splits.val=0.1")
    assert found.multi_label
    everything = {s.id: s.labels for s in (*found.train, *found.val, *found.test)}
    assert everything["x/00.png"] == ("cat", "dog")
    assert everything["x/03.png"] == ()  # shows none of them


def test_boxes_pictures_without_any_and_backgrounds(tmp_path: Path) -> None:
    boxes = {f"{i}.png": [("cat", (5, 5, 20, 20))] for i in range(30)}
    path = coco(tmp_path / "set", {**boxes, "none.png": []})
    for number in range(5):
        write_picture(tmp_path / "empty" / f"{number}.png", photo(7000 + number))
    words = [f"data.root={path}", f"data.background={tmp_path / 'empty'}"]
    found = read("localization", "data=coco", *words)
    assert found.class_names == ("cat",)
    assert sum(sizes(found)) == 36
    everything = (*found.train, *found.val, *found.test)
    assert sum(not sample.objects for sample in everything) == 6
    assert all(sample.labels == () for sample in everything)
    unread = read("classification", f"data.root={classes(tmp_path / 'c', a=3, b=3)}", words[1])
    assert told(unread, "of no use to classification") == ["empty"]


# Bad input, as users bring it: each is reported where it is, and the rest goes on.


def test_a_class_with_one_picture_is_learned_from(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=20, bee=20, wasp=1, train=0)
    for seed in range(5):
        found = read_labelled(config(f"data.root={root}"), "classification", seed=seed)
        assert labels(found.train)["wasp"] == 1
        assert told(found, "'wasp' has one picture") == ["set"]


def test_a_class_only_in_the_test_split_is_left_out_of_it(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", train__ant=9, train__bee=9, test__ant=2, test__moth=3)
    found = read("classification", f"data.root={root}")
    assert found.class_names == ("ant", "bee")
    assert len(found.test) == 2
    assert told(found, "moth has no picture to learn from, only in test") == [
        "00.png",
        "01.png",
        "02.png",
    ]


def test_a_class_of_boxes_only_in_the_test_split_loses_its_boxes(tmp_path: Path) -> None:
    boxes = {f"train_{i}.png": [("cat", (5, 5, 20, 20))] for i in range(9)}
    train = coco(tmp_path / "a", boxes)
    test = coco(
        tmp_path / "b",
        {
            "both.png": [("cat", (5, 5, 20, 20)), ("dog", (1, 1, 9, 9))],
            "dog.png": [("dog", (1, 1, 9, 9))],
        },
    )
    found = read("localization", f"data.root={train}", f"data.test={test}")
    assert found.class_names == ("cat",)
    assert [[entry.label for entry in sample.objects] for sample in found.test] == [["cat"]]
    assert told(found, "that label is left out") == ["both.png"]
    assert told(found, "only in test; left out") == ["dog.png"]


def test_empty_splits_are_said(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=1, bee=1)
    found = read("classification", f"data.root={root}")
    assert sizes(found) == (2, 0, 0)
    assert told(found, "validation split is empty") == told(found, "test split is empty") == ["set"]


def test_a_named_split_of_which_nothing_can_be_used_is_empty(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=9, bee=9)
    write_broken(tmp_path / "val" / "ant" / "a.jpg")
    found = read(
        "classification", "data=folders", f"data.root={root}", f"data.val={tmp_path / 'val'}"
    )
    assert told(found, "val is without it") == ["val"]
    assert "a.jpg" in told(found, "left out")
    assert len(found.train) > 10


def test_bad_pictures_and_annotations_are_named_by_file_and_line(tmp_path: Path) -> None:
    boxes: dict[str, Sequence[tuple[str, Sequence[float]]]] = {
        f"{i}.png": [("cat", (5, 5, 20, 20))] for i in range(20)
    }
    boxes["zero.png"] = [("cat", (5, 5, 0, 0)), ("cat", (5, 5, 20, 20))]
    boxes["outside.png"] = [("cat", (500, 500, 20, 20))]
    boxes["thin.png"] = [("cat", (5, 5, 2.5, 20))]
    boxes["gone.png"] = [("cat", (5, 5, 20, 20))]
    path = coco(tmp_path / "set", boxes)
    (tmp_path / "set" / "gone.png").unlink()
    write_broken(tmp_path / "set" / "3.png")
    content = path.read_text("utf-8").splitlines()
    found = read("localization", f"data.root={path}")
    everything = {sample.id: sample for sample in (*found.train, *found.val, *found.test)}
    assert len(everything) == 21  # of 24: gone, broken and outside are left out
    assert len(everything["zero.png"].objects) == 1
    by_line = {p.reason: p.line for p in found.problems if p.line is not None}
    (line,) = [line for reason, line in by_line.items() if "above 0" in reason]
    nearby = "\n".join(content[line - 1 : line + 12])
    assert '"bbox": [' in nearby
    assert told(found, "'gone.png' must exist") == ["annotations.json"]
    assert told(found, "damaged") == ["3.png"] or told(found, "cut short") == ["3.png"]
    assert told(found, "1 of 1 boxes are thinner than 4 pixels (2.5 at least)") == ["thin.png"]


def test_copies_across_splits_are_moved_and_said(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", train__ant=9, train__bee=9, val__ant=3, test__ant=3)
    copy = root / "test" / "ant" / "same.png"
    copy.write_bytes((root / "train" / "bee" / "04.png").read_bytes())
    found = read("classification", f"data.root={root}")
    assert len(found.test) == 3
    assert "test/ant/same.png" in {sample.id for sample in found.train}
    assert told(found, "moved there") == ["same.png"]
    assert told(found, "copies must have the same labels")  # and perhaps one is wrong


def test_copies_across_named_sets_are_never_in_two_splits(tmp_path: Path) -> None:
    root, test = classes(tmp_path / "a", ant=9, bee=9), classes(tmp_path / "b", ant=2, bee=2)
    (test / "bee" / "same.png").write_bytes((root / "bee" / "02.png").read_bytes())
    found = read("classification", f"data.root={root}", f"data.test={test}")
    assert len(found.test) == 6  # that of root was in no split, and follows its copy
    root.rename(tmp_path / "train")
    test.rename(tmp_path / "test")
    found = read("classification", "data=folders", f"data.root={tmp_path}")
    assert told(found, "moved there") == ["same.png"]
    assert len(found.test) == 4


def test_tiny_and_endless_pictures_are_named_and_kept(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=9, bee=9)
    write_picture(root / "ant" / "dot.png", np.zeros((1, 1, 3), np.uint8))
    write_picture(root / "ant" / "strip.png", np.full((20, 20_000, 3), 9, np.uint8))
    found = read("classification", f"data.root={root}")
    assert told(found, "1 x 1 pixels") == ["dot.png"]
    assert told(found, "20000 x 20 pixels") == ["strip.png"]
    assert sum(sizes(found)) == 20
    small = read("classification", f"data.root={root}", "data.max_megapixels=0.1")
    assert told(small, "more than the limit") == ["strip.png"]
    assert sum(sizes(small)) == 19


def test_names_that_differ_in_case_only_are_named(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", Ant=5, bee=5)
    listed = root / "all.csv"
    rows = [f"Ant/{i:02d}.png,{'Ant' if i else 'ant'}\nbee/{i:02d}.png,bee\n" for i in range(5)]
    listed.write_text("path,label\n" + "".join(rows))
    found = read("classification", f"data.root={listed}")
    assert told(found, "'Ant' and 'ant' differ in case") == ["all.csv"]


# What can't be learned from at all.


def test_the_wrong_kind_of_set_names_the_right_task(tmp_path: Path) -> None:
    folders = classes(tmp_path / "set", ant=2, bee=2)
    with pytest.raises(NothingLeftError, match="task=classification learns from them"):
        read("localization", "data=folders", f"data.root={folders}")
    boxed = coco(tmp_path / "boxed", {"a.png": [("cat", (5, 5, 20, 20))]})
    with pytest.raises(NothingLeftError, match="task=localization learns from them"):
        read("classification", f"data.root={boxed}")


def test_one_class_and_no_boxes_are_too_little(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=5)
    with pytest.raises(NothingLeftError, match="two classes to learn from, got ant"):
        read("classification", f"data.root={root}")
    empty = coco(tmp_path / "boxed", {"a.png": [], "b.png": []})
    with pytest.raises(NothingLeftError, match="a box to learn from, got none"):
        read("localization", f"data.root={empty}")


def test_a_set_without_training_pictures_says_how_to_name_them(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", test__ant=3, test__bee=3, val__bee=2)
    with pytest.raises(NothingLeftError, match="6 for test and 2 for val; name those for training"):
        read("classification", f"data.root={root}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.test=x"], "data.root must be given with data.test"),
        (["data.items=x"], "for task=exemplar; name the pictures with data.root"),
        (["data=coco"], "data.root must be given with data.format=coco"),
    ],
)
def test_configs_that_contradict_themselves_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read("classification", *words)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", ant=2, bee=2)
    with pytest.raises(FileNotFoundError, match="gone"):
        read("classification", f"data.root={tmp_path / 'gone'}")
    with pytest.raises(FileNotFoundError, match="gone"):
        read("classification", f"data.root={root}", f"data.val={tmp_path / 'gone'}")


# The demo sets.


def test_without_data_the_demo_set_is_read(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        digits = read("classification", "data.demo.digits=60")
        boxes = read("localization", "data.demo.pictures=8", "data.demo.classes=2")
    finally:
        os.chdir(before)
    assert digits.class_names == tuple("0123456789")
    assert sum(sizes(digits)) == 60
    assert digits.problems == ()
    assert (tmp_path / "runs" / "demo_digits").is_dir()
    assert len(boxes.class_names) == 2
    assert sum(sizes(boxes)) == 8
    assert (tmp_path / "runs" / "demo_boxes").is_dir()


# Real sets, with the dirt that they are known to have.


@pytest.mark.parametrize(
    ("kind", "words", "expected", "names", "said"),
    [
        (
            "localization",
            ["data=voc", "data.root={}/localization/bccd"],
            (205, 87, 72),
            ("Platelets", "RBC", "WBC"),
            {"BloodImage_00338.xml": "above 0", "BloodImage_00343.xml": "above 0"},
        ),
        (
            "localization",
            ["data=yolo", "data.root={}/localization/tomato_yolo"],
            (64, 17, 0),
            ("Tomato",),
            {"data.yaml": "which is not there", "tomato_yolo": "test split is empty"},
        ),
        (
            "classification",
            ["data=folders", "data.root={}/classification/hymenoptera"],
            (245, 153, 0),
            ("ants", "bees"),
            {"hymenoptera": "test split is empty"},
        ),
    ],
)
def test_real_sets(
    shared_data: Path,
    kind: Kind,
    words: list[str],
    expected: tuple[int, int, int],
    names: tuple[str, ...],
    said: dict[str, str],
) -> None:
    found = read(kind, *(word.format(shared_data) for word in words))
    assert sizes(found) == expected
    assert found.class_names == names
    assert {Path(problem.file).name for problem in found.problems} == set(said)
    for problem in found.problems:
        assert said[Path(problem.file).name] in problem.reason


def test_raccoons_by_their_lists(shared_data: Path) -> None:
    folder = shared_data / "localization" / "raccoon"
    test = f"data.test={folder / 'test_labels.csv'}"
    found = read("localization", f"data.root={folder / 'train_labels.csv'}", test)
    assert len(found.train) + len(found.val) == 160
    assert sum(len(sample.objects) for sample in found.test) == 44
    by_folder = read("localization", "data=voc", f"data.root={folder}", test)
    assert {Path(s.uri) for s in by_folder.test} == {Path(s.uri) for s in found.test}
    hashes = [
        {sample.content_hash for sample in part} for part in (found.train, found.val, found.test)
    ]
    assert not hashes[0] & hashes[1]  # the set has four pairs of copies
    assert not (hashes[0] | hashes[1]) & hashes[2]


def test_pictures_are_read_as_they_lie(shared_data: Path) -> None:
    root = shared_data / "classification" / "hymenoptera"
    found = read("classification", f"data.root={root}")
    (odd,) = [sample for sample in found.train if sample.uri.endswith(".gif")]
    assert odd.labels == ("ants",)  # a label error, which only looking at it can tell
    assert cv2.imread(found.train[0].uri).shape[:2] == (found.train[0].height, found.train[0].width)


def test_every_malformed_file_is_read_or_reported(shared_data: Path) -> None:
    """Which problem each file has is the matter of tests/data/test_malformed.py."""
    outcomes: Counter[str] = Counter()
    plain, folder = config(), shared_data / "malformed" / "annotations"
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".xml", ".csv")]
    for path in paths:
        kind: Kind = "classification" if path.suffix == ".csv" else "localization"
        try:
            found = read_labelled(replace(plain, root=str(path)), kind)
        except NothingLeftError as error:
            outcomes["refused"] += bool(error.problems)
        else:
            assert found.train, path
            assert all(set(labels([s])) <= set(found.class_names) for s in found.train)
            outcomes["read"] += 1
    assert outcomes["read"] >= 10
    assert outcomes["read"] + outcomes["refused"] == len(paths) > 40


def test_further_pictures_are_no_copies_of_labelled_ones(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", cat=12, dog=12)
    for number in range(3):
        write_picture(tmp_path / "more" / f"{number}.png", photo(90_000 + number, 20, 24))
    write_picture(tmp_path / "more" / "again.png", photo(90_000, 20, 24))
    for place in (root / "cat").glob("*.png"):
        (tmp_path / "more" / f"copy_{place.name}").write_bytes(place.read_bytes())
    found = read("classification", f"data.root={root}", f"data.unlabelled={tmp_path / 'more'}")
    assert len(found.unlabelled) == 3
    assert {one.labels for one in found.unlabelled} == {()}
    assert sum(sizes(found)) == 24
    without = read("classification", f"data.root={root}")
    write_broken(tmp_path / "broken" / "one.png")
    lost = read("classification", f"data.root={root}", f"data.unlabelled={tmp_path / 'broken'}")
    assert without.unlabelled == lost.unlabelled == ()
    assert told(lost, "learned without it") == ["broken"]
    assert (without.train, without.val, without.test) == (found.train, found.val, found.test)


def test_further_pictures_are_for_localization_too(tmp_path: Path) -> None:
    boxes = {f"{n}.png": [("cap", (5.0, 5.0, 20.0, 20.0))] for n in range(6)}
    path = coco(tmp_path / "set", boxes)
    write_picture(tmp_path / "more" / "new.png", photo(90_000, 20, 24))
    for place in list((tmp_path / "set").rglob("*.png")):
        (tmp_path / "more" / f"copy_{place.name}").write_bytes(place.read_bytes())
    found = read("localization", f"data.root={path}", f"data.unlabelled={tmp_path / 'more'}")
    assert [(Path(one.uri).name, one.objects) for one in found.unlabelled] == [("new.png", ())]
    with pytest.raises(ValueError, match=r"data.root must be given with data.unlabelled"):
        read("classification", f"data.unlabelled={tmp_path / 'set'}")
