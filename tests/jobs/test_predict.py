from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import supervision as sv

from tests.jobs.conftest import Scenes, predict_config, write_broken
from tests.worlds import (
    classification_part,
    localization_part,
    new_finder,
    three_items,
    whole_backbone,
)
from visionkit.data.images import read_image
from visionkit.inference.predictor import Predictor
from visionkit.jobs.predict import predict


def lines(folder: Path) -> dict[str, Any]:
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines()]
    return {Path(entry["image"]).name: entry for entry in entries}


def test_items_are_found_and_broken_pictures_skipped(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_broken(scenes.folder / "broken.jpg")
    run = tmp_path / "run"
    config = predict_config(finished_bundle, scenes.folder, score_threshold=0.9)
    summary = predict(config, run)
    found = lines(run)
    assert sorted(found) == ["0.png", "1.png", "2.png", "nothing.png"]
    for name, box in scenes.boxes.items():
        best = found[name]["finds"][0]
        assert best["item"] == f"item {name[0]}"
        overlap = sv.box_iou_batch(np.array([best["box"]]), np.array([box]))
        assert overlap[0, 0] > 0.8
    assert (run / found["0.png"]["drawn"]).is_file()
    finds = sum(len(entry["finds"]) for entry in found.values())
    assert pq.read_table(run / "predictions.parquet").num_rows == finds
    with (run / "problems.csv").open(encoding="utf-8") as file:
        assert [Path(row["file"]).name for row in csv.DictReader(file)] == ["broken.jpg"]
    assert summary.metrics["pictures"] == 4
    assert summary.metrics["finds"] == finds
    assert summary.metrics["skipped"] == 1
    assert summary.unread == 1  # the exit status tells
    said = capsys.readouterr().out
    assert "broken.jpg" in said
    assert "item 1" in said
    assert "visionkit gallery list" in said
    assert "visionkit predict" not in said  # a threshold was chosen already


def test_pictures_that_are_gone_are_listed_and_the_rest_goes_on(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scenes.folder / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (scenes.folder / "README").symlink_to(tmp_path / "nowhere")  # by its name no picture
    find = Predictor.find

    def delete_another(self: Predictor, image: Any, **options: Any) -> sv.Detections:
        (scenes.folder / "2.png").unlink(missing_ok=True)
        return find(self, image, **options)

    monkeypatch.setattr(Predictor, "find", delete_another)
    summary = predict(predict_config(finished_bundle, scenes.folder), tmp_path / "run")
    assert sorted(lines(tmp_path / "run")) == ["0.png", "1.png", "nothing.png"]
    with (tmp_path / "run" / "problems.csv").open(encoding="utf-8") as file:
        reasons = {Path(row["file"]).name: row["reason"] for row in csv.DictReader(file)}
    assert sorted(reasons) == ["2.png", "link.jpg"]
    assert all("there is no such file" in reason for reason in reasons.values())
    assert summary.unread == 2  # the exit status tells


def test_another_threshold_is_proposed(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(predict_config(finished_bundle, scenes.folder / "0.png"), tmp_path / "run")
    assert f"source={scenes.folder / '0.png'} score_threshold=0.5" in capsys.readouterr().out


def test_without_drawing(finished_bundle: Path, scenes: Scenes, tmp_path: Path) -> None:
    config = predict_config(finished_bundle, scenes.folder / "0.png", draw=False)
    predict(config, tmp_path / "run")
    assert not (tmp_path / "run" / "pictures").exists()


def test_a_stopped_run_goes_on_where_it_stopped(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Any] = []
    find = Predictor.find

    def stop_at_the_third(self: Predictor, image: Any, **options: Any) -> sv.Detections:
        if len(searched) == 2:
            raise KeyboardInterrupt
        searched.append(image)
        return find(self, image, **options)

    config = predict_config(finished_bundle, scenes.folder, batch_size=1)
    run = tmp_path / "run"
    monkeypatch.setattr(Predictor, "find", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        predict(config, run)
    assert not (run / "predictions.jsonl").exists()
    searched.clear()
    summary = predict(config, run)
    assert len(searched) == 2, "only those that were left"
    assert len(lines(run)) == 4
    assert summary.metrics["pictures"] == 4
    with pytest.raises(FileExistsError, match="finished"):
        predict(config, run)


def test_another_bundle_does_not_go_on_with_a_stopped_run(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Predictor, image: Any, **options: Any) -> sv.Detections:
        raise KeyboardInterrupt

    run, other = tmp_path / "run", tmp_path / "other"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Predictor, "find", stop)
        predict(predict_config(finished_bundle, scenes.folder), run)
    changed = Predictor.load(finished_bundle, device="cpu")
    changed.remove_item("item 0")
    changed.save(other)
    with pytest.raises(ValueError, match="another bundle"):
        predict(predict_config(other, scenes.folder), run)


def test_no_picture_that_can_be_read(finished_bundle: Path, tmp_path: Path) -> None:
    write_broken(tmp_path / "in" / "broken.jpg")
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="at least one picture must be readable, got none of 1"):
        predict(predict_config(finished_bundle, tmp_path / "in"), run)
    assert (run / "problems.csv").is_file()
    assert not (run / "predictions.jsonl").exists()


def test_a_source_that_is_not_there(finished_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="check the path"):
        predict(predict_config(finished_bundle, tmp_path / "missing"), tmp_path / "run")


def test_a_bundle_without_items_says_how_to_add_one(scenes: Scenes, tmp_path: Path) -> None:
    Predictor(whole_backbone(), new_finder()).save(tmp_path / "bundle")
    with pytest.raises(ValueError, match="visionkit gallery add"):
        predict(predict_config(tmp_path / "bundle", scenes.folder), tmp_path / "run")


# Several heads.


@pytest.fixture(scope="module")
def three_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with all heads; not to be changed."""
    bundle = tmp_path_factory.mktemp("heads") / "bundle"
    Predictor(
        whole_backbone(),
        new_finder(three_items()),
        classification_part(threshold=0.0),
        localization_part(threshold=0.005),
    ).save(bundle)
    return bundle


def test_all_heads_answer(
    three_heads: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = predict(predict_config(three_heads, scenes.folder, batch_size=3), tmp_path / "run")
    rows = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    expected = Predictor.load(three_heads, device="cpu")
    for name, entry in lines(tmp_path / "run").items():
        assert entry["tasks"] == ["exemplar", "classification", "localization"]
        (alone,) = expected.predict(read_image(scenes.folder / name))
        labels = [r["label"] for r in entry["finds"] if r.get("assumed")]
        assert labels == list(alone.labels)
        for task in ("exemplar", "localization"):
            found = [r["box"] for r in entry["finds"] if r["task"] == task]
            boxes = getattr(alone, task).xyxy
            np.testing.assert_allclose(np.reshape(found, (-1, 4)), boxes, atol=0.01)
        assert (tmp_path / "run" / entry["drawn"]).is_file()
    assert {row["task"] for row in rows} == set(entry["tasks"])
    assert summary.metrics["finds"] == sum(row["assumed"] is not False for row in rows)
    assert summary.metrics["pictures_with_finds"] == 4
    said = capsys.readouterr().out
    assert all(words in said for words in ("Found in 4", "Classes of 4", "Located in 4"))


def test_a_part_of_the_heads_answers_as_all_do(
    three_heads: Path, scenes: Scenes, tmp_path: Path
) -> None:
    predict(predict_config(three_heads, scenes.folder, batch_size=2), tmp_path / "all")
    tasks = ["localization"]
    predict(
        predict_config(three_heads, scenes.folder, tasks=tasks, batch_size=2, draw=False),
        tmp_path / "one",
    )
    whole, part = lines(tmp_path / "all"), lines(tmp_path / "one")
    for name, entry in part.items():
        assert entry["tasks"] == tasks
        assert entry["finds"] == [r for r in whole[name]["finds"] if r["task"] == "localization"]


def test_a_stopped_run_goes_on_with_the_same_tasks_only(
    three_heads: Path, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Predictor, images: Any, tasks: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Predictor, "predict", stop)
        predict(predict_config(three_heads, scenes.folder), run)
    with pytest.raises(ValueError, match="another tasks"):
        predict(predict_config(three_heads, scenes.folder, tasks=["classification"]), run)


def test_a_head_that_the_bundle_lacks(
    finished_bundle: Path, scenes: Scenes, tmp_path: Path
) -> None:
    config = predict_config(finished_bundle, scenes.folder, tasks=["classification"])
    with pytest.raises(ValueError, match=r"heads of the bundle \(exemplar\), got classification"):
        predict(config, tmp_path / "run")


def test_a_bundle_without_items_answers_with_its_other_heads(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(whole_backbone(), new_finder(), classification_part(threshold=1.0))
    predictor.save(tmp_path / "bundle")
    summary = predict(predict_config(tmp_path / "bundle", scenes.folder), tmp_path / "run")
    assert summary.metrics["pictures"] == 4
    assert summary.metrics["finds"] == 0
    assert "No picture of: cat, dog, none of both" in capsys.readouterr().out
