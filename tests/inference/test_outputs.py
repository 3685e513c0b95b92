from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import supervision as sv
from PIL import Image as PillowImage

from visionkit.inference.drawing import class_colour, draw_finds, draw_prediction
from visionkit.inference.outputs import PredictionWriter, read_predictions
from visionkit.inference.prediction import Prediction
from visionkit.inference.records import FIND_SCHEMA, prediction_records

GREY = np.full((80, 120, 3), 128, np.uint8)
SETTINGS = {"bundle": "b1", "score_threshold": 0.5}


def two_finds() -> sv.Detections:
    return sv.Detections(
        xyxy=np.array([[5, 6, 30.5, 40], [50, 10, 110, 70]], np.float32),
        class_id=np.array([1, 0]),
        confidence=np.array([0.3, 0.9], np.float32),
        data={
            "class_name": np.array(["milk", "egg carton"]),
            "view": np.array(["milk/1.png", "egg/2.png"]),
            "similarity": np.array([0.61, 0.93], np.float32),
            "inliers": np.array([0, 24]),
            "runner_up": np.array(["juice", "milk"]),
            "runner_up_score": np.array([np.nan, 0.4], np.float32),
        },
    )


def write_all(folder: Path, pictures: dict[str, sv.Detections], **options: Any) -> Any:
    writer = PredictionWriter(folder, settings=SETTINGS, **options)
    for name, found in pictures.items():
        if name not in writer.done:
            writer.write(name, GREY, Prediction(exemplar=found))
    return writer.finish()


def test_no_pictures_give_empty_files_with_the_columns(tmp_path: Path) -> None:
    files = write_all(tmp_path, {})
    assert (files.images, files.finds) == (0, 0)
    assert files.jsonl.read_text() == ""
    table = pq.read_table(files.parquet)
    assert table.num_rows == 0
    assert table.schema.names == FIND_SCHEMA.names


def test_a_picture_without_finds_has_its_line_and_no_row(tmp_path: Path) -> None:
    files = write_all(tmp_path, {"a.png": sv.Detections.empty()}, draw=False)
    assert json.loads(files.jsonl.read_text()) == {
        "image": "a.png",
        "width": 120,
        "height": 80,
        "tasks": ["exemplar"],
        "finds": [],
    }
    assert pq.read_table(files.parquet).num_rows == 0
    assert files.drawn is None


def test_rows_carry_box_score_and_evidence_from_the_best_down(tmp_path: Path) -> None:
    files = write_all(tmp_path, {"dir/a.png": two_finds()})
    rows = pq.read_table(files.parquet).to_pylist()
    assert [row["item"] for row in rows] == ["egg carton", "milk"]
    assert rows[1]["box"] == [5.0, 6.0, 30.5, 40.0]
    assert rows[0]["score"] == pytest.approx(0.9)
    assert (rows[0]["view"], rows[0]["inliers"], rows[0]["runner_up"]) == ("egg/2.png", 24, "milk")
    assert rows[1]["runner_up_score"] is None
    assert rows[0]["quad"] is None
    assert json.loads(pq.read_metadata(files.parquet).metadata[b"visionkit.settings"]) == SETTINGS
    line = json.loads(files.jsonl.read_text())
    with PillowImage.open(tmp_path / line["drawn"]) as drawn:
        assert drawn.size == (120, 80)


def test_predictions_read_back_are_those_written(tmp_path: Path) -> None:
    found = two_finds()
    found.data["quad"] = np.arange(16, dtype=np.float32).reshape(2, 4, 2) / 3
    files = write_all(tmp_path, {"a.png": found, "b.png": sv.Detections.empty()})
    (name, first), (other, second) = read_predictions(files.jsonl)
    back, none = first.exemplar, second.exemplar
    assert back is not None
    assert none is not None
    assert (name, other, len(none)) == ("a.png", "b.png", 0)
    assert (back, first.classification, first.localization) == (first.exemplar, None, None)
    order = [1, 0]
    np.testing.assert_array_equal(back.xyxy, found.xyxy[order])
    np.testing.assert_array_equal(back.confidence, found.confidence[order])
    np.testing.assert_array_equal(back.class_id, found.class_id[order])
    for key in found.data:
        np.testing.assert_array_equal(back.data[key], np.asarray(found.data[key])[order])


def test_a_stopped_run_goes_on_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    pictures = {f"{index}.png": two_finds() for index in range(7)}
    unbroken = write_all(tmp_path / "unbroken", pictures, part_pictures=3)

    killed = PredictionWriter(tmp_path / "killed", settings=SETTINGS, part_pictures=3)
    for name in list(pictures)[:5]:
        killed.write(name, GREY, Prediction(exemplar=pictures[name]))
    del killed  # kill -9: nothing is flushed, the last two pictures are lost
    again = PredictionWriter(tmp_path / "killed", settings=SETTINGS, part_pictures=3)
    assert again.done == {"0.png", "1.png", "2.png"}
    resumed = write_all(tmp_path / "killed", pictures, part_pictures=3)

    assert resumed.jsonl.read_bytes() == unbroken.jsonl.read_bytes()
    assert pq.read_table(resumed.parquet).equals(pq.read_table(unbroken.parquet))
    assert (resumed.images, resumed.finds) == (7, 14)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "pictures",
        "predictions.jsonl",
        "predictions.parquet",
    ]


def test_ctrl_c_keeps_every_picture_so_far(tmp_path: Path) -> None:
    def interrupted() -> None:
        with PredictionWriter(tmp_path, settings=SETTINGS) as writer:
            writer.write("a.png", GREY, Prediction(exemplar=two_finds()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "predictions.jsonl").exists()
    assert PredictionWriter(tmp_path, settings=SETTINGS).done == {"a.png"}


def test_the_block_finishes_by_itself(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path, settings=SETTINGS) as writer:
        writer.write("a.png", GREY, Prediction(exemplar=two_finds()))
    assert (tmp_path / "predictions.jsonl").exists()


def _finished(folder: Path) -> None:
    write_all(folder, {"a.png": two_finds()})
    PredictionWriter(folder, settings=SETTINGS)


def _other_settings(folder: Path) -> None:
    PredictionWriter(folder, settings=SETTINGS)
    PredictionWriter(folder, settings={**SETTINGS, "score_threshold": 0.7})


def _twice(folder: Path) -> None:
    writer = PredictionWriter(folder, settings=SETTINGS)
    writer.write("a.png", GREY, Prediction(exemplar=two_finds()))
    writer.write("a.png", GREY, Prediction(exemplar=two_finds()))


def _damaged(folder: Path) -> None:
    (folder / "p.jsonl").write_text('{"image": "a", "tasks": [], "finds": [{"score": 1}]}\n')
    list(read_predictions(folder / "p.jsonl"))


def _not_json(folder: Path) -> None:
    (folder / "p.jsonl").write_text('{"image": "a", "tasks": [], "finds": []}\n{"ima')
    list(read_predictions(folder / "p.jsonl"))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (_finished, FileExistsError, "finished one; choose another folder or overwrite=true"),
        (_other_settings, ValueError, "another score_threshold"),
        (_twice, ValueError, "got a.png again"),
        (_damaged, ValueError, "line 1"),
        (_not_json, ValueError, "line 2"),
    ],
    ids=["finished folder", "other settings", "same picture twice", "damaged", "cut off"],
)
def test_wrong_use_is_refused_in_words(
    tmp_path: Path, act: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(tmp_path)


def test_overwrite_deletes_what_was_there(tmp_path: Path) -> None:
    write_all(tmp_path, {"a.png": two_finds()})
    files = write_all(tmp_path, {"b.png": sv.Detections.empty()}, overwrite=True, draw=False)
    assert [name for name, _ in read_predictions(files.jsonl)] == ["b.png"]
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    "name", ["日本/ラベル.png", 'quote"and\\slash.png', "stray-\udc80-byte.png", "x" * 300 + ".png"]
)
def test_odd_picture_names_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    files = write_all(tmp_path, {name: two_finds()})
    assert [back for back, _ in read_predictions(files.jsonl)] == [name]
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    assert pq.read_table(files.parquet).num_rows == 2


def test_two_pictures_of_one_name_are_drawn_to_two_files(tmp_path: Path) -> None:
    write_all(tmp_path, {"a/x.png": two_finds(), "b/x.png": two_finds()})
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def test_a_find_without_evidence_has_only_what_it_carries() -> None:
    bare = sv.Detections(xyxy=np.array([[1, 2, 3, 4]], np.float32))
    records = prediction_records(Prediction(exemplar=bare))
    assert records == [{"task": "exemplar", "box": [1.0, 2.0, 3.0, 4.0]}]


def test_drawing_leaves_the_picture_given_and_pixels_off_the_frames_alone() -> None:
    before = GREY.copy()
    drawn = draw_finds(GREY, two_finds())
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(drawn[75, 5], [128, 128, 128])
    np.testing.assert_array_equal(drawn[60, 110], class_colour(0))  # right edge of the second box


def test_a_frame_is_seen_on_ground_of_its_own_colour() -> None:
    ground = np.full_like(GREY, class_colour(0))
    drawn = draw_finds(ground, two_finds())
    beside = drawn[60, 106:115].astype(int).sum(-1)  # across the right edge of the second box
    assert beside.min() < sum(class_colour(0)) // 3


def test_drawing_follows_the_quad_where_there_is_one() -> None:
    found = two_finds()
    quads = np.full((2, 4, 2), np.nan, np.float32)
    quads[1] = [[60, 50], [100, 50], [100, 75], [60, 75]]
    found.data["quad"] = quads
    drawn = draw_finds(GREY, found)
    np.testing.assert_array_equal(drawn[75, 80], class_colour(0))
    np.testing.assert_array_equal(drawn[25, 5], class_colour(1))  # no quad: its box


def test_drawing_takes_no_finds_tiny_pictures_and_boxes_past_the_border() -> None:
    np.testing.assert_array_equal(draw_finds(GREY, sv.Detections.empty()), GREY)
    tiny = np.zeros((3, 2, 3), np.uint8)
    past = sv.Detections(xyxy=np.array([[-50, -50, 900, 900]], np.float32))
    assert draw_finds(tiny, past).shape == (3, 2, 3)


# Answers of several heads.


def all_answers() -> Prediction:
    located = sv.Detections(
        xyxy=np.array([[1, 2, 30, 40], [5, 5, 9, 9]], np.float32),
        class_id=np.array([1, 0]),
        confidence=np.array([0.4, 0.8], np.float32),
        data={"class_name": np.array(["bus", "car"])},
    )
    scores = np.array([0.05, 0.3, 0.02, 0.01, 0.4, 0.2, 0.02], np.float32)
    return Prediction(
        exemplar=two_finds(),
        classification=sv.Classifications(np.arange(7), scores),
        localization=located,
        class_names=("a", "b", "c", "d", "e", "f", "g"),
        labels=("e", "b"),
    )


def test_all_heads_stand_in_one_line_and_one_table(tmp_path: Path) -> None:
    with PredictionWriter(tmp_path, settings=SETTINGS) as writer:
        writer.write("a.png", GREY, all_answers())
        files = writer.finish()
    line = json.loads(files.jsonl.read_text())
    assert line["tasks"] == ["exemplar", "classification", "localization"]
    rows = pq.read_table(files.parquet).to_pylist()
    assert [(row["task"], row["item"] or row["label"]) for row in rows] == [
        ("exemplar", "egg carton"),
        ("exemplar", "milk"),
        ("classification", "e"),
        ("classification", "b"),
        ("classification", "f"),
        ("classification", "a"),
        ("classification", "c"),
        ("localization", "car"),
        ("localization", "bus"),
    ]
    assert [row["assumed"] for row in rows[2:7]] == [True, True, False, False, False]
    assert rows[2]["box"] is None
    assert (rows[7]["item"], rows[7]["assumed"], rows[7]["box"]) == (None, None, [5, 5, 9, 9])
    assert (rows[0]["label"], rows[0]["image"], rows[7]["width"]) == (None, "a.png", 120)
    assert files.finds == 6  # two items, two classes that are assumed, two boxes


def test_a_class_that_is_assumed_is_kept_however_many_are_surer() -> None:
    scores = np.linspace(0.9, 0.3, 7).astype(np.float32)
    names = tuple("abcdefg")
    prediction = Prediction(
        classification=sv.Classifications(np.arange(7), scores), class_names=names, labels=("g",)
    )
    kept = [record["label"] for record in prediction_records(prediction)]
    assert kept == ["a", "b", "c", "d", "e", "g"]


def test_answers_of_all_heads_read_back(tmp_path: Path) -> None:
    said = all_answers()
    none = Prediction(
        classification=sv.Classifications(np.zeros(0, int), np.zeros(0, np.float32)),
        localization=sv.Detections.empty(),
    )
    with PredictionWriter(tmp_path, settings=SETTINGS, draw=False) as writer:
        writer.write("a.png", GREY, said)
        writer.write("b.png", GREY, none)
        files = writer.finish()
    (_, back), (_, empty) = read_predictions(files.jsonl)
    assert back.tasks == said.tasks
    assert back.labels == ("e", "b")
    assert back.class_names == ("e", "b", "f", "a", "c")
    assert back.classification is not None
    assert back.classification.class_id.tolist() == [4, 1, 5, 0, 2]
    expected = np.array([0.4, 0.3, 0.2, 0.05, 0.02], np.float32)
    np.testing.assert_array_equal(back.classification.confidence, expected)
    assert back.localization is not None
    assert back.localization.data["class_name"].tolist() == ["car", "bus"]
    assert back.localization.data.keys() == {"class_name"}
    assert empty.tasks == ("classification", "localization")
    assert (len(empty.classification or []), len(empty.localization or [])) == (0, 0)


def test_drawing_shows_every_head() -> None:
    said = all_answers()
    large = np.repeat(np.repeat(GREY, 4, 0), 4, 1)
    located = said.localization
    assert located is not None
    located.xyxy = np.array([[200, 100, 300, 200], [320, 200, 400, 300]], np.float32)
    drawn = draw_prediction(large, said)
    np.testing.assert_array_equal(drawn[180, 300], class_colour(1))  # right edge of the bus
    np.testing.assert_array_equal(drawn[280, 400], class_colour(0))  # of the car
    np.testing.assert_array_equal(drawn[60, 110], class_colour(0))  # of the surer item
    classes = Prediction(
        classification=said.classification, class_names=said.class_names, labels=said.labels
    )
    labelled = draw_prediction(large, classes)
    for label, row in (("e", 0), ("b", 1)):
        colour = class_colour(said.class_names.index(label))
        rows = np.flatnonzero((labelled == colour).all(-1).any(1))
        assert len(rows) > 5
        assert (rows.min() > 8) == bool(row), "one below the other"
    nothing = draw_prediction(large, Prediction(localization=sv.Detections.empty()))
    np.testing.assert_array_equal(nothing, large)
    assert nothing is not large
