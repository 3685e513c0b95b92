from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, write_picture
from tests.worlds import photo
from visionkit.cli import main
from visionkit.data.formats import read
from visionkit.data.images import content_hash
from visionkit.data.table import load_table, to_samples
from visionkit.flywheel.answers import Correction, Proposal
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.flywheel.frozen import frozen_set
from visionkit.flywheel.queue.carriers import write_carriers
from visionkit.types import Sample


def run(*words: str) -> int:
    return main(list(words))


def imported(scenes: Scenes, folder: Path) -> Catalog:
    place = folder / "catalog"
    source = f"source={scenes.folder}"
    assert run("versions", "import", f"catalog={place}", source, "author=zoe") == 0
    return open_catalog(place)


def relabel(catalog: Catalog, name: str, label: str) -> None:
    truth = catalog.truth(name)
    catalog.correct(Correction(f"{name} {label}", name, truth.revision, "ann", "edit", (label,)))


def test_a_labelled_set_comes_in_and_becomes_a_version(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    assert len(catalog.samples()) == 4
    assert all(truth.reviewed for truth in catalog.truths().values())
    assert all(catalog.thumbnail(sample.id) for sample in catalog.samples())
    assert run("merge", f"catalog={catalog.uri}", "author=zoe", "note=the first") == 0
    (version,) = catalog.versions()
    assert (version.author, version.note, version.samples, version.boxes) == (
        "zoe",
        "the first",
        4,
        3,
    )
    assert "v1: 4 pictures, 3 boxes, 0 answers" in capsys.readouterr().out
    assert run("merge", f"catalog={catalog.uri}") == 2
    assert "got none; review some pictures first" in capsys.readouterr().err


def test_the_same_set_again_changes_nothing_and_other_labels_correct(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    imported(scenes, tmp_path)
    assert catalog.corrections() == []
    path = scenes.folder / "annotations.json"
    path.write_text(path.read_text("utf-8").replace("item 1", "milk"), "utf-8")
    capsys.readouterr()
    imported(scenes, tmp_path)
    (entry,) = catalog.corrections()
    assert (entry.sample_id, entry.reviewer, entry.objects[0].label) == ("1.png", "zoe", "milk")
    assert "0 pictures new, 1 picture corrected, 3 known" in capsys.readouterr().out


def test_versions_are_listed_compared_and_restored(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    place = f"catalog={catalog.uri}"
    assert run("versions", "list", place) == 0
    assert "There is none yet." in capsys.readouterr().out
    run("merge", place)
    relabel(catalog, "0.png", "shelf")
    capsys.readouterr()
    run("versions", "list", place)
    assert "1 picture changed since then." in capsys.readouterr().out
    run("merge", place)
    capsys.readouterr()
    assert run("versions", "diff", place) == 0
    said = capsys.readouterr().out
    assert "v1 to v2: 0 pictures more, 0 less, 1 changed" in said
    assert "  item 0: -1\n  shelf: +1" in said
    assert run("versions", "restore", place, "version=v1", "author=ben") == 0
    assert catalog.at("v3") == catalog.at("v1")
    assert catalog.versions()[-1].author == "ben"
    assert run("versions", "restore", place) == 2
    assert run("versions", "diff", place, "version=v1") == 2
    assert run("versions", "export", place, "version=v9") == 2
    assert "one of the catalog's (v1, v2, v3), got 'v9'" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["coco", "voc", "yolo", "groundtruth", "csv"])
def test_a_version_is_exported_and_reads_back(
    scenes: Scenes, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    run("merge", f"catalog={catalog.uri}")
    relabel(catalog, "0.png", "shelf")
    target = tmp_path / "out"
    words = ("versions", "export", f"catalog={catalog.uri}", f"export_format={form}")
    assert run(*words, f"output={target}") == 0
    found = to_samples(read(target, form).table)
    version = catalog.at("v1")
    assert sorted(sample.content_hash for sample in found) == sorted(
        sample.content_hash for sample in version
    )
    by_hash = {sample.content_hash: sample for sample in found}
    for sample in version:
        again = by_hash[sample.content_hash].objects
        assert [entry.label for entry in again] == [entry.label for entry in sample.objects]
        for one, other in zip(again, sample.objects, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.01)
    assert "train" in capsys.readouterr().out
    assert run(*words, f"output={target}") == 2
    assert run(*words, f"output={target}", "overwrite=true") == 0


def test_a_version_of_classes_is_exported_as_folders_and_reads_back(tmp_path: Path) -> None:
    shown = {"cats/Kitty.png": "cats", "dogs/7.png": "dogs", "dogs/8.png": "dogs"}
    for number, name in enumerate(shown):
        write_picture(tmp_path / "set" / name, photo(number))
    place = f"catalog={tmp_path / 'catalog'}"
    assert run("versions", "import", place, f"source={tmp_path / 'set'}") == 0
    catalog = open_catalog(tmp_path / "catalog")
    relabel(catalog, "dogs/8.png", "wolves & dogs / 2")
    assert run("merge", place) == 0
    target = tmp_path / "out"
    words = ("versions", "export", place, "export_format=folders", f"output={target}")
    assert run(*words) == 0
    expected = {sample.content_hash: (sample.id, sample.labels) for sample in catalog.at("v1")}
    assert expected.keys() == {content_hash(photo(number)) for number in range(3)}
    found = {
        sample.content_hash: (sample.id, sample.labels)
        for sample in to_samples(read(target, "folders").table)
    }
    assert found == expected
    assert found[content_hash(photo(2))][1] == ("wolves & dogs / 2",)
    # What other tools see of it, without the file of visionkit's own: three folders of pictures.
    (target / "visionkit.json").unlink()
    folders = {path.name: len(list(path.iterdir())) for path in target.iterdir()}
    assert len(folders) == 3
    assert set(folders.values()) == {1}
    plain = to_samples(read(target, "folders").table)
    assert {sample.content_hash for sample in plain} == expected.keys()
    assert len({sample.labels for sample in plain}) == 3


def test_pictures_without_a_class_can_not_be_folders(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    run("merge", f"catalog={catalog.uri}")
    words = ("versions", "export", f"catalog={catalog.uri}", "export_format=folders")
    assert run(*words, f"output={tmp_path / 'out'}") == 2
    assert "label" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_version_is_exported_as_the_table_alone(scenes: Scenes, tmp_path: Path) -> None:
    catalog = imported(scenes, tmp_path)
    run("merge", f"catalog={catalog.uri}")
    words = ("versions", "export", f"catalog={catalog.uri}", "export_format=parquet")
    assert run(*words) == 0
    path = tmp_path / "catalog_v1_parquet.parquet"
    assert to_samples(load_table(path)) == catalog.at("v1")
    assert run(*words) == 2


def answered_as_written(folder: Path, tool: str) -> Path:
    """What the tool exports when somebody has left all as it was."""
    if tool == "cvat":
        return folder / "annotations.xml"
    path = folder / "tasks.json"
    tasks = json.loads(path.read_text("utf-8"))
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    path.write_text(json.dumps(tasks), "utf-8")
    return path


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_a_version_goes_to_other_tools_and_their_answers_come_back(
    scenes: Scenes, tmp_path: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    place = f"catalog={catalog.uri}"
    run("merge", place)
    target = tmp_path / "out"
    assert run("versions", "export", place, f"export_format={tool}", f"output={target}") == 0
    path = answered_as_written(target, tool)
    words = ("versions", "import", place, f"source={path}", f"source_format={tool}")
    capsys.readouterr()
    assert run(*words, "author=ann") == 0
    assert "4 answers taken, 0 known from before; 1 picture said to show nothing" in (
        capsys.readouterr().out
    )
    assert {entry.reviewer for entry in catalog.corrections()} == {"ann"}
    assert catalog.unmerged() == 0  # they said what was known
    assert run(*words, "author=ann") == 0
    assert len(catalog.corrections()) == 4


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_what_was_answered_since_a_version_is_not_undone_by_its_way_through_other_tools(
    scenes: Scenes, tmp_path: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = imported(scenes, tmp_path)
    place = f"catalog={catalog.uri}"
    run("merge", place)
    relabel(catalog, "0.png", "shelf")
    target = tmp_path / "out"
    words = ("versions", "export", place, f"export_format={tool}", "version=v1")
    assert run(*words, f"output={target}") == 0
    path = answered_as_written(target, tool)
    capsys.readouterr()
    assert run("versions", "import", place, f"source={path}", f"source_format={tool}") == 0
    assert "3 answers taken" in capsys.readouterr().out
    assert catalog.truth("0.png").labels == ("shelf",)
    assert "0.png: the picture must still be" in (
        (tmp_path / "catalog_problems.csv").read_text("utf-8")
    )


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_pictures_with_long_names_go_to_other_tools_and_come_back(
    tmp_path: Path, tool: str
) -> None:
    names = ["Фотография полки магазина на улице Ленина первый ряд", "я" * 120]
    for number, name in enumerate(names):
        write_picture(tmp_path / "set" / "полка" / f"{name}.png", photo(number))
    place, target = f"catalog={tmp_path / 'catalog'}", tmp_path / "out"
    run("versions", "import", place, f"source={tmp_path / 'set'}", "source_format=folders")
    run("merge", place)
    assert run("versions", "export", place, f"export_format={tool}", f"output={target}") == 0
    path = answered_as_written(target, tool)
    words = ("versions", "import", place, f"source={path}", f"source_format={tool}")
    assert run(*words, "author=ann") == 0
    catalog = open_catalog(tmp_path / "catalog")
    answered = {entry.sample_id for entry in catalog.corrections()}
    assert answered == {f"полка/{name}.png" for name in names}


def test_an_answer_with_two_classes_is_left_out_where_pictures_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ant", "bee"):
        write_picture(tmp_path / "set" / name / f"{name}.jpg", photo(len(name) + ord(name[0])))
    place = f"catalog={tmp_path / 'catalog'}"
    run("versions", "import", place, f"source={tmp_path / 'set'}", "source_format=folders")
    run("merge", place)
    target = tmp_path / "out"
    run("versions", "export", place, "export_format=label_studio", f"output={target}")
    path = target / "tasks.json"
    tasks = json.loads(path.read_text("utf-8"))
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = ["ant", "bee"]
    path.write_text(json.dumps(tasks), "utf-8")
    words = ("versions", "import", place, f"source={path}", "source_format=label_studio")
    capsys.readouterr()
    assert run(*words) == 0
    assert "1 answer taken" in capsys.readouterr().out
    left_out = (tmp_path / "catalog_problems.csv").read_text("utf-8")
    assert "one class at most" in left_out
    assert "one_class=false" in left_out
    assert run(*words, "one_class=false") == 0
    labels = {each.labels for each in open_catalog(tmp_path / "catalog").samples()}
    assert labels == {("ant", "bee"), ("bee",)}


@pytest.mark.parametrize(
    ("tool", "file"), [("label_studio", "tasks.json"), ("cvat", "labels.json")]
)
def test_the_queue_goes_to_other_tools(
    scenes: Scenes, tmp_path: Path, tool: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    place = f"catalog={catalog.uri}"
    words = ("versions", "ask", place, f"tool={tool}", "most=2")
    assert run(*words) == 2
    assert "got none in the review queue" in capsys.readouterr().err
    found = to_samples(read(scenes.folder).table)
    catalog.add_samples([replace(sample, objects=()) for sample in found])
    assert run(*words) == 0
    target = tmp_path / f"catalog_{tool}"
    assert (target / file).is_file()
    assert len([path for path in (target / "images").rglob("*") if path.is_file()]) == 2
    said = capsys.readouterr().out
    assert f"2 pictures to be asked about in {tool}" in said
    for audit, drawn in ((0, False), (1, True)):
        assert run(*words, f"audit={audit}", "overwrite=true") == 0
        if tool == "label_studio":
            tasks = json.loads((target / file).read_text("utf-8"))
            assert all(("Drawn by chance" in each["data"]["reason"]) is drawn for each in tasks)
    assert "versions import" in said


def offered(folder: Path, tool: str) -> tuple[list[str], list[str]]:
    """The names that a written folder offers to boxes and to whole pictures."""
    if tool == "cvat":
        labels = json.loads((folder / "labels.json").read_text("utf-8"))
        boxes = [each["name"] for each in labels if each["type"] in ("rectangle", "any")]
        return boxes, [each["name"] for each in labels if each["type"] in ("tag", "any")]
    config = ET.fromstring((folder / "label_config.xml").read_bytes())  # noqa: S314
    boxes = [str(each.get("value")) for each in config.iter("Label")]
    return boxes, [str(each.get("value")) for each in config.iter("Choice")]


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_every_name_of_the_catalog_may_be_answered(
    scenes: Scenes, tmp_path: Path, tool: str
) -> None:
    catalog = imported(scenes, tmp_path)
    write_picture(tmp_path / "new.png", photo(9))
    path, digest = (tmp_path / "new.png").as_posix(), content_hash(photo(9))
    catalog.add_samples([Sample("new", path, 160, 120, digest)])
    relabel(catalog, "1.png", "shelf")
    box = (1.0, 1.0, 9.0, 9.0)
    find = Proposal("a", "0.png", "exemplar", "milk", 0.9, 0.5, box, "m")
    whole = Proposal("b", "0.png", "classification", "fridge", 0.9, 0.5, None, "m")
    catalog.add_proposals([find, whole])
    named = {entry.label for truth in catalog.truths().values() for entry in truth.objects}
    assert "item 0" in named
    place, target = f"catalog={catalog.uri}", f"output={tmp_path / 'out'}"
    # Only the picture that shows nothing is asked about.
    assert run("versions", "ask", place, f"tool={tool}", "most=1", target) == 0
    assert offered(tmp_path / "out", tool) == (sorted({*named, "milk"}), ["fridge", "shelf"])
    run("merge", place)
    relabel(catalog, "1.png", "rack")  # v1 has the old name, the catalog the new one
    words = ("versions", "export", place, f"export_format={tool}", "overwrite=true", target)
    assert run(*words) == 0
    assert offered(tmp_path / "out", tool)[1] == ["fridge", "rack", "shelf"]


@pytest.mark.parametrize(
    ("tool", "file"), [("label_studio", "label_config.xml"), ("cvat", "labels.json")]
)
def test_where_nothing_has_a_name_yet_one_stands_in(
    tmp_path: Path, tool: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "new.png", photo(9))
    catalog = open_catalog(tmp_path / "catalog", create=True)
    path, digest = (tmp_path / "new.png").as_posix(), content_hash(photo(9))
    catalog.add_samples([Sample("new", path, 160, 120, digest)])
    target = tmp_path / "out"
    words = ("versions", "ask", f"catalog={catalog.uri}", f"tool={tool}", f"output={target}")
    assert run(*words) == 0
    assert offered(target, tool) == (["object"], ["object"])
    assert f"Put your own into {target / file}" in capsys.readouterr().out


def test_importing_needs_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("versions", "import", f"catalog={tmp_path / 'catalog'}") == 2
    assert "say source=PATH" in capsys.readouterr().err
    assert run("versions", "list", f"catalog={tmp_path / 'none'}") == 2
    assert "must be a catalog, but there is none" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["label_studio", "cvat"])
def test_answers_make_no_catalog(
    tmp_path: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answers"
    path.write_text("[]" if tool == "label_studio" else "<annotations/>", "utf-8")
    place = tmp_path / "mistyped"
    words = ("versions", "import", f"catalog={place}", f"source={path}", f"source_format={tool}")
    assert run(*words) == 2
    assert f"{place} must be a catalog, but there is none" in capsys.readouterr().err
    assert not place.exists()


def test_ask_takes_what_drifts_first_and_nothing_frozen(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog", create=True)
    pictures = []
    for number in range(6):
        path = write_picture(tmp_path / "photos" / f"{number}.png", photo(number))
        height, width = photo(number).shape[:2]
        digest = content_hash(photo(number))
        pictures.append(Sample(f"p{number}", path.as_posix(), width, height, digest))
    catalog.add_samples(pictures)
    write_carriers(catalog.uri, {"p4": "its colour drifts"})
    frozen_set(tmp_path / "catalog" / "frozen_test.json", [replace(pictures[2], split="test")])
    words = ["ask", f"catalog={catalog.uri}", "audit=0"]
    assert main(["versions", *words, "most=1", f"output={tmp_path / 'first'}"]) == 0
    assert main(["versions", *words, f"output={tmp_path / 'all'}"]) == 0
    for folder, expected in (("first", {"p4"}), ("all", {"p0", "p1", "p3", "p4", "p5"})):
        tasks = json.loads((tmp_path / folder / "tasks.json").read_text("utf-8"))
        assert {task["data"]["visionkit_id"] for task in tasks} == expected
