"""Labelled pictures that come into a catalog again: from another set, changed, moved, at once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.jobs.conftest import write_coco, write_picture
from tests.worlds import photo
from visionkit.cli import main
from visionkit.data.images import content_hash
from visionkit.flywheel.answers import Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
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
