from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs.conftest import Scenes, evaluate_config, scene, write_broken, write_picture
from tests.worlds import classification_part, new_finder, photo, whole_backbone
from visionkit.data.formats import write
from visionkit.data.table import load_table, to_table
from visionkit.inference.predictor import Predictor
from visionkit.jobs.evaluate import evaluate
from visionkit.jobs.measure import measure
from visionkit.jobs.pictures import Scenes as MeasuredScenes
from visionkit.jobs.sources import read_views
from visionkit.types import ObjectBox, Sample


def run_in(tmp_path: Path) -> Path:
    run = tmp_path / "evaluation"
    run.mkdir()
    return run


def test_boxes_presence_and_none_are_measured(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_in(tmp_path)
    for number in range(2):
        write_picture(tmp_path / "background" / f"{number}.png", photo(50 + number))
    write_broken(tmp_path / "background" / "broken.png")
    background = str(tmp_path / "background")
    config = evaluate_config(finished_bundle, scenes.folder, background=background)
    summary = evaluate(config, run)
    values = json.loads((run / "metrics.json").read_text())
    assert values["boxes"]["pictures"] == 6
    assert values["boxes"]["empty_pictures"] == 3
    assert values["presence"]["none_pictures"] == 3
    assert values["boxes"]["recall"] == 1.0, "each item is found where it was pasted"
    assert summary.metrics["recall"] == 1.0
    outcomes = [json.loads(line) for line in (run / "outcomes.jsonl").read_text().splitlines()]
    assert sum(entry["outcome"] == "true" for entry in outcomes) == 3
    assert load_table(run / "table.parquet").num_rows == 6
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "item 2" in report
    assert "broken.png" in report, "what was left out is said"
    assert "broken.png" in (run / "problems.csv").read_text()
    said = capsys.readouterr().out
    assert "item 2" in said
    assert str(run / "report.html") in said


def test_folders_named_for_items_say_what_is_present(finished_bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(3):
        write_picture(data / f"item {number}" / "1.png", scene(number, number)[0])
    write_picture(data / "none" / "1.png", photo(77))
    run = run_in(tmp_path)
    evaluate(evaluate_config(finished_bundle, data), run)
    values = json.loads((run / "metrics.json").read_text())
    assert values["boxes"]["pictures"] == 1, "where the items are is known of the empty one only"
    assert values["presence"]["pictures"] == 4
    assert values["presence"]["none_pictures"] == 1
    assert values["presence"]["auc"] == 1.0


def test_labels_of_no_item_are_refused(finished_bundle: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "data" / "milk" / "1.png", photo(1))
    with pytest.raises(ValueError, match="got the labels milk"):
        evaluate(evaluate_config(finished_bundle, tmp_path / "data"), run_in(tmp_path))


def test_pictures_with_boxes_alone_say_nothing_of_several_labels(tmp_path: Path) -> None:
    part = classification_part(multi_label=True)
    Predictor(whole_backbone(), None, part).save(tmp_path / "bundle")
    box = ObjectBox("cat", (0.0, 0.0, 40.0, 40.0))
    shown: dict[str, tuple[tuple[str, ...], tuple[ObjectBox, ...]]] = {
        "named": (("cat", "dog"), ()),
        "boxed": ((), (box,)),
        "nothing": ((), ()),
    }
    samples = []
    for number, (name, (labels, objects)) in enumerate(shown.items()):
        path = write_picture(tmp_path / "pictures" / f"{name}.png", photo(number))
        height, width = photo(number).shape[:2]
        samples.append(Sample(name, str(path), width, height, name, labels=labels, objects=objects))
    write(to_table(samples), tmp_path / "data", "groundtruth")
    run = run_in(tmp_path)
    evaluate(evaluate_config(tmp_path / "bundle", tmp_path / "data"), run)
    values = json.loads((run / "metrics.json").read_text())
    assert values["classes"]["pictures"] == 2, "those that are named and the one of nothing"


def test_a_split_without_pictures_is_refused(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path
) -> None:
    config = evaluate_config(finished_bundle, scenes.folder, split="test")
    with pytest.raises(ValueError, match=r"split=test must have pictures.*none; take split=all"):
        evaluate(config, run_in(tmp_path))


def test_nothing_usable_leaves_its_problems(finished_bundle: Path, tmp_path: Path) -> None:
    write_broken(tmp_path / "data" / "item 0" / "1.png")
    run = run_in(tmp_path)
    with pytest.raises(ValueError, match="nothing is left") as caught:
        evaluate(evaluate_config(finished_bundle, tmp_path / "data"), run)
    assert (run / "problems.csv").is_file()
    assert str(run / "problems.csv") in caught.value.__notes__[0]


def test_a_bundle_without_items_says_how_to_add_one(scenes: Scenes, tmp_path: Path) -> None:
    Predictor(whole_backbone(), new_finder()).save(tmp_path / "bundle")
    with pytest.raises(ValueError, match="visionkit gallery add"):
        evaluate(evaluate_config(tmp_path / "bundle", scenes.folder), run_in(tmp_path))


def test_views_cut_from_a_picture_are_not_used_on_it(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    views, _ = read_views(scenes.folder)
    finder = new_finder(views)
    Predictor(finder.backbone, finder).save(tmp_path / "bundle")
    run = run_in(tmp_path)
    evaluate(evaluate_config(tmp_path / "bundle", scenes.folder), run)
    values = json.loads((run / "metrics.json").read_text())
    # Each item has the one view from the one picture that shows it.
    assert values["boxes"]["recall_any"] == 0.0
    assert "3 of 4 pictures were cut up" in capsys.readouterr().out


def test_an_empty_gallery_or_no_picture_can_not_be_measured() -> None:
    with pytest.raises(ValueError, match="got 0 items and 0 pictures"):
        measure(new_finder(), MeasuredScenes([]))
