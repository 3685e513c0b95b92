"""An item becomes a class: what counts as confirmed, and what is written."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs.conftest import (
    Scenes,
    evaluate_config,
    gallery_config,
    predict_config,
    scene,
    write_coco,
    write_picture,
)
from visionkit.data.formats import read, write
from visionkit.data.images import read_image
from visionkit.data.table import to_samples, to_table
from visionkit.jobs.evaluate import evaluate
from visionkit.jobs.gallery import gallery
from visionkit.jobs.predict import predict
from visionkit.types import ObjectBox, Sample


def promoted(bundle: Path, *runs: Path, **changes: Any) -> list[Sample]:
    """The samples of the data set that is written of the runs."""
    target = bundle.parent / "set"
    finds = [str(run) for run in runs]
    config = gallery_config(bundle, "promote", finds=finds, output=str(target), **changes)
    summary = gallery(config, bundle)
    assert summary.run_folder == target
    return to_samples(read(target).table)


@pytest.fixture
def predicted(bundle: Path, scenes: Scenes, tmp_path: Path) -> Path:
    """A run of predict over one picture of each item, and one of none."""
    run = tmp_path / "predicted"
    predict(predict_config(bundle, scenes.folder, score_threshold=0.9), run)
    return run


@pytest.fixture
def evaluated(bundle: Path, scenes: Scenes, tmp_path: Path) -> Path:
    """A run of evaluate over the same."""
    run = tmp_path / "evaluated"
    run.mkdir()
    evaluate(evaluate_config(bundle, scenes.folder), run)
    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_drawn_pictures_that_were_left_are_confirmed(
    bundle: Path, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wrong,) = (predicted / "pictures").glob("1_*.jpg")
    wrong.unlink()  # a person found a wrong box in 1.png
    samples = promoted(bundle, predicted, reviewed=True, least=1)
    said = {line["image"]: line for line in lines(predicted / "predictions.jsonl")}
    expected = {
        (Path(name).name, find["item"], tuple(find["box"]))
        for name, line in said.items()
        for find in line["finds"]
        if Path(name).name != "1.png"
    }
    found = {
        (Path(s.uri).name, e.label, tuple(np.float32(e.box).tolist()))
        for s in samples
        for e in s.objects
    }
    assert found == {(n, i, tuple(np.float32(b).tolist())) for n, i, b in expected}
    assert {n for n, _, _ in found} == {"0.png", "2.png"}
    assert {e.source for s in samples for e in s.objects} == {
        "exemplar, looked through by a person"
    }
    for sample in samples:
        (original,) = (name for name in said if Path(name).name == Path(sample.uri).name)
        np.testing.assert_array_equal(read_image(sample.uri), read_image(original))
    out = capsys.readouterr().out
    assert "task=localization data=coco data.root=" in out


def test_without_a_look_nothing_is_confirmed(bundle: Path, predicted: Path) -> None:
    with pytest.raises(ValueError, match=r"look through .*pictures, delete .* reviewed=true"):
        promoted(bundle, predicted, least=1)


def test_without_drawings_nobody_can_have_looked(
    bundle: Path, scenes: Scenes, tmp_path: Path
) -> None:
    predict(predict_config(bundle, scenes.folder, draw=False), tmp_path / "plain")
    with pytest.raises(ValueError, match="draw=true"):
        promoted(bundle, tmp_path / "plain", reviewed=True, least=1)


def test_labels_confirm_finds_and_give_their_own_boxes(
    bundle: Path, scenes: Scenes, evaluated: Path
) -> None:
    true = {
        (line["image"], line["item"])
        for line in lines(evaluated / "outcomes.jsonl")
        if line["outcome"] == "true" and line["counted"]
    }
    assert true, "the world is easy enough for some to be found"
    samples = promoted(bundle, evaluated, least=1)
    assert {(s.id.rsplit("/", 1)[-1], e.label) for s in samples for e in s.objects} == {
        (image.rsplit("/", 1)[-1], item) for image, item in true
    }
    for sample in samples:
        (entry,) = sample.objects
        assert entry.box == pytest.approx(scenes.boxes[Path(sample.uri).name], abs=1e-3)
        assert entry.source == "human"


def test_a_picture_of_two_runs_is_there_once_with_its_labelled_boxes(
    bundle: Path, predicted: Path, evaluated: Path
) -> None:
    samples = promoted(bundle, predicted, evaluated, reviewed=True, least=1)
    names = Counter(Path(sample.uri).name for sample in samples)
    assert max(names.values()) == 1
    by_label = {
        line["image"].rsplit("/", 1)[-1]
        for line in lines(evaluated / "outcomes.jsonl")
        if line["outcome"] == "true" and line["counted"]
    }
    for sample in samples:
        sources = {entry.source for entry in sample.objects}
        assert (sources == {"human"}) == (Path(sample.uri).name in by_label)


def test_runs_that_confirm_other_items_of_a_picture_add_up(bundle: Path, tmp_path: Path) -> None:
    (first, box), (second, other) = scene(0, 0), scene(1, 0)
    lower = (other[0], other[1] + len(first), other[2], other[3] + len(first))
    runs = []
    for name, entry in (("a", ("item 0", box)), ("b", ("item 1", lower))):
        write_picture(tmp_path / name / "both.png", np.concatenate([first, second]))
        write_coco(tmp_path / name, {"both.png": entry})
        runs.append(tmp_path / f"run_{name}")
        runs[-1].mkdir()
        evaluate(evaluate_config(bundle, tmp_path / name), runs[-1])
    (sample,) = promoted(bundle, *runs, least=1)
    found = {entry.label: entry.box for entry in sample.objects}
    assert len(found) == len(sample.objects) == 2
    assert found["item 0"] == pytest.approx(box, abs=1e-3)
    assert found["item 1"] == pytest.approx(lower, abs=1e-3)


def test_what_was_missed_beside_a_find_is_no_background(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two pictures show item 0; on one of them lies a box of item 1, too, that is not found."""
    labels = {}
    for number, seed in ((0, 0), (0, 1), (1, 0)):
        image, box = scene(number, seed)
        write_picture(tmp_path / "in" / f"{number}{seed}.png", image)
        labels[f"{number}{seed}.png"] = [ObjectBox(f"item {number}", box)]
    labels["00.png"].append(ObjectBox("item 1", (0.0, 120.0, 30.0, 140.0)))
    samples = [
        Sample(name, (tmp_path / "in" / name).as_posix(), 192, 144, "", objects=tuple(boxes))
        for name, boxes in labels.items()
    ]
    write(to_table(samples), tmp_path / "labelled", "coco")
    (tmp_path / "measured").mkdir()
    evaluate(evaluate_config(bundle, tmp_path / "labelled"), tmp_path / "measured")
    missed = [
        x for x in lines(tmp_path / "measured" / "outcomes.jsonl") if x["outcome"] == "missed"
    ]
    assert [Path(line["image"]).name for line in missed] == ["00.png"]

    def found(**changes: Any) -> dict[str, list[str]]:
        return {
            Path(sample.uri).name: sorted(entry.label for entry in sample.objects)
            for sample in promoted(bundle, tmp_path / "measured", overwrite=True, **changes)
        }

    assert found(least=1) == {
        "00.png": ["item 0", "item 1"],
        "01.png": ["item 0"],
        "10.png": ["item 1"],
    }
    # One of the two boxes of item 1 was found: it is no class of two confirmed finds.
    assert found(least=2) == {"00.png": ["item 0"], "01.png": ["item 0"]}
    assert "Too few confirmed finds: item 1 (1)" in capsys.readouterr().out


def test_one_item_alone(bundle: Path, predicted: Path) -> None:
    samples = promoted(bundle, predicted, item="item 2", reviewed=True, least=1)
    assert {entry.label for sample in samples for entry in sample.objects} == {"item 2"}


def test_class_folders_hold_a_crop_a_find(bundle: Path, predicted: Path) -> None:
    samples = promoted(bundle, predicted, reviewed=True, least=1, format="folders")
    finds = [
        (line["image"], find)
        for line in lines(predicted / "predictions.jsonl")
        for find in line["finds"]
    ]
    assert Counter(sample.labels for sample in samples) == Counter(
        (find["item"],) for _, find in finds
    )
    sizes = sorted(
        (int(np.ceil(f["box"][3]) - int(f["box"][1])), int(np.ceil(f["box"][2]) - int(f["box"][0])))
        for _, f in finds
    )
    assert sorted((sample.height, sample.width) for sample in samples) == sizes


def test_few_confirmed_finds_are_not_enough(bundle: Path, predicted: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 20 confirmed finds .* got .*item \d \d"):
        promoted(bundle, predicted, reviewed=True)
    assert not (bundle.parent / "set").exists()


def test_only_items_with_enough_become_classes(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, seeds in ((0, range(3)), (1, range(1))):
        for seed in seeds:
            image, _ = scene(number, seed)
            write_picture(tmp_path / "more" / f"{number}_{seed}.png", image)
    predict(predict_config(bundle, tmp_path / "more", score_threshold=0.9), tmp_path / "run")
    count = Counter(
        find["item"]
        for line in lines(tmp_path / "run" / "predictions.jsonl")
        for find in line["finds"]
    )
    assert count["item 0"] >= 3 > count["item 1"] > 0
    samples = promoted(bundle, tmp_path / "run", reviewed=True, least=3)
    assert {entry.label for sample in samples for entry in sample.objects} == {"item 0"}
    assert "Too few confirmed finds: item 1 (" in capsys.readouterr().out


def test_pictures_that_are_gone_or_changed_are_reported(
    bundle: Path, predicted: Path, scenes: Scenes
) -> None:
    (scenes.folder / "0.png").unlink()
    write_picture(scenes.folder / "1.png", scene(1, 1)[0][:-7])
    samples = promoted(bundle, predicted, reviewed=True, least=1)
    assert [Path(sample.uri).name for sample in samples] == ["2.png"]
    text = (bundle.parent / "set_problems.csv").read_text()
    assert "0.png,,the picture is gone" in text
    assert "the picture must be of 192x144 pixels" in text


def _composed(run: Path) -> None:
    (run / "test_scenes").mkdir()


def _damaged(run: Path) -> None:
    text = (run / "outcomes.jsonl").read_text()
    (run / "outcomes.jsonl").write_text(text.splitlines()[0] + '\n{"image": "a"}\n')


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_composed, "composed scenes"), (_damaged, r"outcomes\.jsonl, line 2")],
)
def test_runs_that_confirm_nothing(
    bundle: Path, evaluated: Path, damage: Any, message: str
) -> None:
    damage(evaluated)
    with pytest.raises(ValueError, match=message):
        promoted(bundle, evaluated, least=1)


def test_what_is_said_wrongly(bundle: Path, predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="say finds=RUN"):
        promoted(bundle)
    with pytest.raises(FileNotFoundError, match="finished runs of predict or evaluate"):
        promoted(bundle, tmp_path)
    with pytest.raises(ValueError, match=r"item 0, item 1, item 2\), got 'itm 1'; did you mean"):
        promoted(bundle, predicted, item="itm 1")
    with pytest.raises(ValueError, match="cntk can only be read"):
        promoted(bundle, predicted, reviewed=True, least=1, format="cntk")


def test_a_set_that_is_there_is_only_replaced_when_asked(bundle: Path, predicted: Path) -> None:
    promoted(bundle, predicted, reviewed=True, least=1)
    with pytest.raises(FileExistsError):
        promoted(bundle, predicted, reviewed=True, least=1)
    promoted(bundle, predicted, reviewed=True, least=1, overwrite=True)
    shutil.rmtree(bundle.parent / "set")
    gallery(
        gallery_config(bundle, "promote", finds=[str(predicted)], reviewed=True, least=1), bundle
    )
    assert (bundle.parent / "bundle_promoted" / "annotations.json").is_file()


def refused(bundle: Path, target: Path, *runs: Path) -> str:
    """What is said where a set may not take the place of a folder, all of which is still there."""
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    finds = [str(run) for run in runs]
    changes: dict[str, Any] = {"finds": finds, "reviewed": True, "least": 1, "overwrite": True}
    with pytest.raises(FileExistsError) as caught:
        gallery(gallery_config(bundle, "promote", output=str(target), **changes), bundle)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    return str(caught.value)


def test_what_is_no_data_set_is_never_replaced(
    bundle: Path, predicted: Path, tmp_path: Path
) -> None:
    target = bundle.parent / "set"
    target.mkdir()
    promoted(bundle, predicted, reviewed=True, least=1, overwrite=True)  # it was empty
    (target / "thesis.txt").write_text("mine")
    wanted = f"output={target} must hold nothing but a data set.*, got thesis.txt; choose another"
    assert re.search(wanted, refused(bundle, target, predicted))
    with pytest.raises(FileExistsError, match=wanted):  # not told to say overwrite=true
        promoted(bundle, predicted, reviewed=True, least=1)
    (target / "thesis.txt").rename(tmp_path / "thesis.txt")
    (target / "visionkit.json").write_text("{}")
    assert "annotations.json, images, visionkit.json" in refused(bundle, target, predicted)
    file = tmp_path / "file"
    file.write_text("mine")
    config = gallery_config(bundle, "promote", finds=[str(predicted)], output=str(file))
    with pytest.raises(FileExistsError, match=r"must be a folder, but .*file is a file; choose"):
        gallery(config, bundle)


def test_a_set_whose_pictures_or_runs_are_used_is_not_replaced(
    bundle: Path, predicted: Path, tmp_path: Path
) -> None:
    promoted(bundle, predicted, reviewed=True, least=1)
    target, run = bundle.parent / "set", tmp_path / "again"
    predict(predict_config(bundle, target / "images", score_threshold=0.9), run)
    said = refused(bundle, target, run)
    assert "used" in said
    assert f"{target / 'images'}" in said
    shutil.copytree(predicted, target / "images" / "run")
    assert f"finds={target / 'images' / 'run'}" in refused(bundle, target, target / "images/run")
