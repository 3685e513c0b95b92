"""Labelled pictures that come into a catalog again: from another set, changed, moved, at once."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from tests.jobs.conftest import write_coco, write_picture
from tests.worlds import photo
from visionkit.cli import main
from visionkit.data.images import content_hash
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.jobs import imported
from visionkit.types import ObjectBox

BOX = (10.0, 10.0, 40.0, 40.0)
OTHER = (50.0, 20.0, 70.0, 60.0)


class Shop:
    """A catalog in a folder, and what is imported into it."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "catalog"
        self.problems = folder / "catalog_problems.csv"

    def take(self, source: Path, form: str = "auto", author: str = "zoe") -> Catalog:
        words = [f"catalog={self.place}", f"source={source}", f"source_format={form}"]
        assert main(["versions", "import", *words, f"author={author}"]) == 0
        return open_catalog(self.place)

    def reasons(self) -> list[str]:
        with self.problems.open(encoding="utf-8", newline="") as file:
            return [row["reason"] for row in csv.DictReader(file)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def folders(folder: Path, classes: dict[str, int]) -> Path:
    """Class folders: path -> number of the photo."""
    for name, number in classes.items():
        write_picture(folder / name, photo(number))
    return folder


def shown(catalog: Catalog, name: str) -> tuple[tuple[str, ...], list[tuple[str, object]]]:
    truth = catalog.truth(name)
    return truth.labels, [(entry.label, entry.box) for entry in truth.objects]


def answer(catalog: Catalog, name: str, *objects: ObjectBox, labels: tuple[str, ...] = ()) -> None:
    revision = catalog.truth(name).revision
    entry = Correction(f"{name} {revision}", name, revision, "ann", "edit", labels, objects)
    catalog.correct(entry)


def csv_file(folder: Path, *rows: str) -> Path:
    text = "path,label,xmin,ymin,xmax,ymax\n" + "".join(f"{row}\n" for row in rows)
    (folder / "labels.csv").write_text(text, "utf-8")
    return folder


def test_boxes_and_labels_of_the_same_pictures_come_one_after_the_other(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = folders(tmp_path / "classes", {"cat/1.png": 1, "dog/2.png": 2})
    boxes = folders(tmp_path / "boxes", {"1.png": 1, "2.png": 2})
    write_coco(boxes, {"1.png": ("tail", BOX), "2.png": None})
    shop.take(classes, "folders")
    catalog = shop.take(boxes, "coco")
    assert shown(catalog, "cat/1.png") == (("cat",), [("tail", BOX)])
    assert shown(catalog, "dog/2.png") == (("dog",), [])
    assert "1 picture corrected, 1 known" in capsys.readouterr().out
    catalog = shop.take(classes, "folders")
    assert shown(catalog, "cat/1.png") == (("cat",), [("tail", BOX)])
    assert len(catalog.corrections()) == 1


def test_a_set_takes_back_only_what_its_format_states(shop: Shop, tmp_path: Path) -> None:
    source = folders(tmp_path / "set", {"1.png": 1, "2.png": 2, "3.png": 3})
    write_coco(source, {"1.png": ("tail", BOX), "2.png": ("tail", BOX), "3.png": ("tail", BOX)})
    shop.take(source, "coco")
    csv_file(source, "1.png,cat,,,,", "2.png,,,,,", "3.png,paw,50,20,70,60")
    catalog = shop.take(source, "csv")
    assert shown(catalog, "1.png") == (("cat",), [("tail", BOX)])  # it says nothing of boxes
    assert shown(catalog, "2.png") == ((), [])
    assert shown(catalog, "3.png") == ((), [("paw", OTHER)])
    csv_file(source, "1.png,paw,50,20,70,60", "2.png,dog,,,,", "3.png,,,,,")
    shop.take(source, "csv")
    assert shown(catalog, "1.png") == (("cat",), [("paw", OTHER)])
    assert shown(catalog, "2.png") == (("dog",), [])
    assert shown(catalog, "3.png") == ((), [])


def test_a_file_that_was_replaced_is_another_picture(shop: Shop, tmp_path: Path) -> None:
    source = folders(tmp_path / "set", {"1.png": 1})
    write_coco(source, {"1.png": ("cat", BOX)})
    (old,) = shop.take(source).samples()
    large = photo(2, 288, 384)
    write_picture(source / "1.png", large)
    far = (300.0, 200.0, 340.0, 230.0)  # outside the old picture
    write_coco(source, {"1.png": ("cat", far)})
    catalog = shop.take(source)
    first, second = catalog.samples()
    assert first == old
    assert catalog.corrections() == []
    assert second.id == second.content_hash == content_hash(large)
    assert (second.height, second.width) == large.shape[:2]
    assert shown(catalog, second.id) == ((), [("cat", far)])
    (reason,) = shop.reasons()
    assert "shows another one now" in reason
    assert "1.png" in reason
    assert shop.take(source).samples() == [first, second]
    assert catalog.corrections() == []


def test_the_same_statement_again_takes_back_no_answer(shop: Shop, tmp_path: Path) -> None:
    source = folders(tmp_path / "set", {"1.png": 1, "2.png": 2})
    write_coco(source, {"1.png": ("cat", BOX), "2.png": None})
    catalog = shop.take(source)
    answer(catalog, "1.png", ObjectBox("lynx", BOX))
    answer(catalog, "2.png", ObjectBox("fox", OTHER))
    write_picture(source / "3.png", photo(3))
    write_coco(source, {"1.png": ("cat", BOX), "2.png": None, "3.png": ("dog", BOX)})
    catalog = shop.take(source)
    assert len(catalog.samples()) == 3
    assert len(catalog.corrections()) == 2
    assert shown(catalog, "1.png") == ((), [("lynx", BOX)])
    write_coco(source, {"1.png": ("dog", BOX), "2.png": None, "3.png": ("dog", BOX)})
    catalog = shop.take(source)
    assert shown(catalog, "1.png") == ((), [("dog", BOX)])  # the set says something else now
    assert shown(catalog, "2.png") == ((), [("fox", OTHER)])
    answer(catalog, "1.png", ObjectBox("wolf", BOX))
    catalog = shop.take(source)
    assert shown(catalog, "1.png") == ((), [("wolf", BOX)])
    assert len(catalog.corrections()) == 4
    write_coco(source, {"1.png": ("cat", BOX), "2.png": None, "3.png": ("dog", BOX)})
    assert shown(shop.take(source), "1.png") == ((), [("cat", BOX)])  # as at first, but it changed


def test_an_answer_that_was_exported_takes_back_no_later_one(shop: Shop, tmp_path: Path) -> None:
    photos = folders(tmp_path / "photos", {"1.png": 1, "2.png": 2})
    write_coco(photos, {"1.png": None, "2.png": None})
    catalog = shop.take(photos)
    answer(catalog, "1.png", ObjectBox("Pepsi", BOX))
    answer(catalog, "2.png", ObjectBox("Pepsi", BOX))
    catalog.merge(author="ann")
    words = [f"catalog={shop.place}", "export_format=coco", f"output={tmp_path / 'out'}"]
    assert main(["versions", "export", *words]) == 0
    shop.take(tmp_path / "out")
    answer(catalog, "1.png", ObjectBox("Cola", BOX))
    answer(catalog, "2.png", ObjectBox("Cola", BOX))
    catalog.correct(Correction("back", "2.png", 2, "ann", "undo"))
    catalog = shop.take(tmp_path / "out")
    assert shown(catalog, "1.png") == ((), [("Cola", BOX)])
    assert shown(catalog, "2.png") == ((), [("Pepsi", BOX)])
    (reason,) = shop.reasons()
    assert reason.startswith("the set says of 1.png what people had answered before")


def test_of_a_changed_statement_the_rest_takes_back_no_answer(shop: Shop, tmp_path: Path) -> None:
    classes = folders(tmp_path / "classes", {"cat/1.png": 1})
    boxes = folders(tmp_path / "boxes", {"1.png": 1})
    write_coco(boxes, {"1.png": ("tail", BOX)})
    catalog = shop.take(classes, "folders")
    answer(catalog, "cat/1.png", labels=("lynx",))
    shop.take(boxes, "coco")
    catalog = shop.take(classes, "folders")
    assert shown(catalog, "cat/1.png") == (("lynx",), [("tail", BOX)])
    answer(catalog, "cat/1.png", ObjectBox("paw", OTHER), labels=("lynx",))
    (classes / "cat").rename(classes / "dog")
    shop.take(classes, "folders")
    catalog = shop.take(boxes, "coco")
    assert shown(catalog, "cat/1.png") == (("dog",), [("paw", OTHER)])


def test_what_nobody_vouches_for_any_more_is_taken_again(shop: Shop, tmp_path: Path) -> None:
    source = folders(tmp_path / "set", {"1.png": 1})
    write_picture(tmp_path / "other" / "2.png", photo(2))
    write_coco(tmp_path / "other", {"2.png": None})
    catalog = shop.take(tmp_path / "other")
    catalog.merge(author="zoe")
    write_coco(source, {"1.png": ("cat", BOX)})
    catalog = shop.take(source)
    catalog.merge(author="zoe")
    catalog.restore("v1", author="zoe")
    assert not catalog.truth("1.png").reviewed
    catalog = shop.take(source)
    assert catalog.truth("1.png").reviewed
    assert shown(catalog, "1.png") == ((), [("cat", BOX)])


def test_a_box_that_is_said_again_keeps_who_said_it_first(shop: Shop, tmp_path: Path) -> None:
    source = csv_file(folders(tmp_path / "set", {"1.png": 1}), "1.png,cat,10,10,40,40")
    catalog = shop.take(source)
    (cat,) = catalog.truth("1.png").objects
    answer(catalog, "1.png", cat, ObjectBox("dog", OTHER))
    before = catalog.truth("1.png").objects
    fox = "1.png,fox,1,1,9,9"
    csv_file(source, fox, "1.png,dog,50,20,70,60", "1.png,cat,10,10,40,40")
    after = shop.take(source).truth("1.png").objects
    assert {entry.label: entry.source for entry in after} == {
        "cat": "human",
        "dog": "human:ann",
        "fox": "human:zoe",
    }
    assert [entry for entry in after if entry.label != "fox"] == [before[1], before[0]]
    csv_file(source, "1.png,cat,10,10,40,40", "1.png,dog,50,20,70,60", fox)
    catalog = shop.take(source)
    assert len(catalog.corrections()) == 2  # another order is nothing new


def test_of_copies_that_disagree_the_same_one_counts_each_time(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folders(tmp_path / "set", {"b.png": 1, "c.png": 1})
    write_coco(source, {"b.png": ("cat", BOX), "c.png": ("dog", OTHER)})
    catalog = shop.take(source)
    assert [sample.id for sample in catalog.samples()] == ["b.png"]
    write_picture(source / "a.png", photo(1))  # sorts before the one that the catalog has
    boxes = {"a.png": ("fox", BOX), "b.png": ("cat", BOX), "c.png": ("cat", BOX)}
    write_coco(source, boxes)
    capsys.readouterr()
    for _ in range(2):
        catalog = shop.take(source)
        assert catalog.corrections() == []
        assert "0 pictures new, 0 pictures corrected, 3 known or copies" in capsys.readouterr().out
        assert shown(catalog, "b.png") == ((), [("cat", BOX)])
    assert [reason for reason in shop.reasons() if "that counts" in reason] == [
        "the file is a copy of b.png, of which the set says something else; that counts"
    ]
    write_coco(source, boxes | {"b.png": ("owl", BOX)})
    for _ in range(2):
        catalog = shop.take(source)
        assert shown(catalog, "b.png") == ((), [("owl", BOX)])
        assert len(catalog.corrections()) == 1


def test_two_imports_at_once_lose_no_picture(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = (folders(tmp_path / who, {"1.png": n}) for n, who in enumerate(("ann", "ben")))
    write_picture(ann / "2.png", photo(5))
    write_picture(ben / "3.png", photo(5))
    write_coco(ann, {"1.png": ("cat", BOX), "2.png": None})
    write_coco(ben, {"1.png": ("dog", BOX), "3.png": None})
    read = imported.read_image

    def while_ben_imports(path: str) -> object:
        monkeypatch.setattr(imported, "read_image", read)
        shop.take(ben, author="ben")
        return read(path)

    monkeypatch.setattr(imported, "read_image", while_ben_imports)
    catalog = shop.take(ann, author="ann")
    first = content_hash(photo(0))
    assert [sample.id for sample in catalog.samples()] == ["1.png", "3.png", first]
    assert shown(catalog, first) == ((), [("cat", BOX)])
    assert shown(catalog, "1.png") == ((), [("dog", BOX)])


def test_a_split_that_a_picture_did_not_come_with_is_not_taken_and_said(
    shop: Shop, tmp_path: Path
) -> None:
    source = folders(tmp_path / "set", {"1.png": 1, "2.png": 2, "3.png": 3})
    shop.take(csv_file(source, "1.png,cat,,,,", "2.png,dog,,,,", "3.png,dog,,,,"), "csv")
    (source / "labels.csv").write_text(
        "path,label,split\n1.png,cat,\n2.png,dog,test\n3.png,dog,val\n", "utf-8"
    )
    catalog = shop.take(source, "csv")
    assert [sample.split for sample in catalog.samples()] == ["", "", ""]
    (reason,) = shop.reasons()
    assert "another one of 2 pictures: 2.png stays in none and is not in test" in reason


def test_who_answers_meanwhile_is_not_overruled_and_the_rest_goes_on(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folders(tmp_path / "set", {"1.png": 1, "2.png": 2})
    write_coco(source, {"1.png": ("cat", BOX), "2.png": None})
    other = shop.take(source)
    write_picture(source / "3.png", photo(3))
    write_coco(source, {"1.png": ("dog", BOX), "2.png": ("dog", BOX), "3.png": None})
    correct = Catalog.correct

    def after_ann(self: Catalog, correction: Correction) -> object:
        monkeypatch.setattr(Catalog, "correct", correct)
        answer(other, "1.png", ObjectBox("lynx", BOX))
        return correct(self, correction)

    monkeypatch.setattr(Catalog, "correct", after_ann)
    capsys.readouterr()
    catalog = shop.take(source)
    assert "1 picture new, 1 picture corrected, 0 known" in capsys.readouterr().out
    assert shown(catalog, "1.png") == ((), [("lynx", BOX)])
    assert shown(catalog, "2.png") == ((), [("dog", BOX)])
    assert len(catalog.samples()) == 3
    (reason,) = shop.reasons()
    assert "ann has answered since" in reason


def test_pictures_that_were_moved_are_found_by_importing_them_again(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folders(tmp_path / "set", {"1.png": 1, "2.png": 2})
    write_coco(source, {"1.png": ("cat", BOX), "2.png": None})
    shop.take(source).merge(author="zoe")
    export = ["versions", "export", f"catalog={shop.place}", f"output={tmp_path / 'out'}"]
    source = source.rename(tmp_path / "moved")
    assert main(export) == 2
    capsys.readouterr()
    catalog = shop.take(source)
    assert "2 pictures found where they lie now" in capsys.readouterr().out
    assert [Path(sample.uri).parent for sample in catalog.samples()] == [source] * 2
    assert catalog.corrections() == []
    assert main(export) == 0
    shutil.copytree(source, tmp_path / "copy")
    capsys.readouterr()
    assert shop.take(tmp_path / "copy").samples() == catalog.samples()  # copies of what is there
    assert "found where they lie" not in capsys.readouterr().out


def test_a_picture_that_another_took_the_place_of_is_found_again(
    shop: Shop, tmp_path: Path
) -> None:
    source = folders(tmp_path / "set", {"1.png": 1})
    write_coco(source, {"1.png": ("cat", BOX)})
    shop.take(source)
    (source / "1.png").rename(source / "old.png")
    write_picture(source / "1.png", photo(2))
    write_coco(source, {"1.png": ("dog", BOX)})
    shop.take(source)
    write_coco(source, {"1.png": ("dog", BOX), "old.png": ("cat", BOX)})
    first, second = shop.take(source).samples()
    assert [Path(each.uri).name for each in (first, second)] == ["old.png", "1.png"]
    assert [each.content_hash for each in (first, second)] == [
        content_hash(photo(1)),
        content_hash(photo(2)),
    ]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_picture_whose_file_shows_something_else_is_found_where_it_lies_now(
    shop: Shop, tmp_path: Path, damaged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folders(tmp_path / "set", {"1.png": 1})
    write_coco(source, {"1.png": ("cat", BOX)})
    shop.take(source).merge(author="zoe")
    kept = Path(shutil.copytree(source, tmp_path / "kept"))
    if damaged:
        (source / "1.png").write_bytes(b"\x89PNG")
    else:
        write_picture(source / "1.png", photo(2))
    export = ["versions", "export", f"catalog={shop.place}", f"output={tmp_path / 'out'}"]
    assert main(export) == 2  # which says to import it from where it lies now
    capsys.readouterr()
    (sample,) = shop.take(kept).samples()
    assert "1 picture found where they lie now" in capsys.readouterr().out
    assert Path(sample.uri).parent == kept
    assert main(export) == 0


def test_merge_is_named_as_the_next_step_only_where_there_is_something_to_merge(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folders(tmp_path / "set", {"cat/1.png": 1, "dog/2.png": 2})
    catalog = shop.take(source)
    assert f" merge catalog={shop.place}" in capsys.readouterr().out.replace("merge.py", "merge")
    catalog.merge(author="zoe")
    shop.take(source)
    said = capsys.readouterr().out
    assert "0 pictures new" in said
    assert "Next:" not in said
