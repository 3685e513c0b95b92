from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import supervision as sv
import torch

from tests.jobs.conftest import write_broken, write_picture
from tests.pages import Page
from tests.worlds import localization_part, photo, whole_backbone
from visionkit.data.formats import read
from visionkit.data.images import ImageError, content_hash, read_image
from visionkit.data.table import load_table, to_samples
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.locate import Tiles
from visionkit.inference.parts import LocalizationPart
from visionkit.inference.predictor import Predictor
from visionkit.jobs.measure_localization import (
    MeasuredLocalization,
    located_by,
    measure_localization,
    measure_located,
    say_located,
    write_located,
)
from visionkit.types import ObjectBox, Sample

NAMES = ("car", "bus")
CAR, BUS = (10.0, 10.0, 60.0, 40.0), (100.0, 50.0, 180.0, 130.0)


def sample(folder: Path, name: str, *objects: tuple[str, tuple[float, ...]]) -> Sample:
    path = write_picture(folder / name, photo(len(name)))
    boxes = tuple(ObjectBox(label, (*map(float, box),)) for label, box in objects)  # type: ignore[arg-type]
    return Sample(name, path.as_posix(), 192, 144, content_hash(read_image(path)), objects=boxes)


@pytest.fixture
def street(tmp_path: Path) -> list[Sample]:
    """A car and a bus, a bike that is not looked for, nothing, and a file that was cut short."""
    broken = write_broken(tmp_path / "broken.jpg")
    return [
        sample(tmp_path, "a.png", ("car", CAR), ("bus", BUS)),
        sample(tmp_path, "bb.png", ("bike", BUS)),
        Sample("broken.jpg", broken.as_posix(), 192, 144, "0"),
        Sample("gone.png", (tmp_path / "gone.png").as_posix(), 192, 144, "1"),
        sample(tmp_path, "ccc.png"),
    ]


def finds(*found: tuple[int, float, tuple[float, ...]]) -> sv.Detections:
    return sv.Detections(
        xyxy=np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        class_id=np.array([class_id for class_id, _, _ in found], np.int64),
        confidence=np.array([score for _, score, _ in found], np.float32),
    )


def network_of(part: LocalizationPart) -> TorchNetwork:
    """The network that a predictor with this head has."""
    return TorchNetwork(whole_backbone().full(), localization=part.head)


def locate(uri: str) -> sv.Detections:
    """The car, the bus at a low score, and a car where the bike is."""
    read_image(uri)
    name = Path(uri).name
    return {
        "a.png": finds((0, 0.9, CAR), (1, 0.2, BUS)),
        "bb.png": finds((0, 0.7, BUS)),
    }.get(name, finds())


@pytest.fixture
def measured(street: list[Sample]) -> MeasuredLocalization:
    return measure_located(locate, street, NAMES, thresholds=0.5)


def test_no_pictures_at_all(tmp_path: Path) -> None:
    measured = measure_located(locate, [], NAMES, thresholds=0.5)
    assert measured.figures == {}
    assert math.isnan(measured.seconds)
    report = write_located(tmp_path, measured, title="nothing", thresholds_from="")
    assert "No pictures were evaluated." in report.read_text("utf-8")


def test_only_pictures_that_can_not_be_read(street: list[Sample]) -> None:
    measured = measure_located(locate, street[2:4], NAMES, thresholds=None)
    assert measured.samples == ()
    assert len(measured.problems) == 2


def test_broken_pictures_are_reported_and_left_out(
    street: list[Sample], measured: MeasuredLocalization
) -> None:
    assert [one.id for one in measured.samples] == ["a.png", "bb.png", "ccc.png"]
    assert [problem.file for problem in measured.problems] == [street[2].uri, street[3].uri]
    assert measured.problems[0].reason.endswith("not measured")
    assert measured.problems[1].reason == "the picture must exist; not measured"


def test_the_figures(measured: MeasuredLocalization) -> None:
    boxes = measured.metrics.boxes
    assert (boxes.pictures, boxes.empty_pictures, boxes.truths) == (3, 2, 2)
    assert boxes.precision == 1 / 2
    assert boxes.recall == 1 / 2
    assert boxes.false_alarms == 1 / 2  # the bike is nothing that is looked for
    figures = measured.figures
    assert figures["ap50"] == pytest.approx(1.0)
    assert figures["f1"] == 1 / 2
    assert figures["ap_medium"] == 1
    assert not {"ap_small", "ap_large"} & set(figures)  # there are none
    assert figures["seconds_per_picture"] > 0


def test_each_picture_moves_the_bar(street: list[Sample]) -> None:
    steps: list[int] = []
    measure_located(locate, street, NAMES, thresholds=0.5, progress=steps.append)
    assert steps == [1] * 5


def test_a_class_without_a_threshold_is_refused(street: list[Sample]) -> None:
    with pytest.raises(ValueError, match="got none for 'bus'"):
        measure_located(locate, street, NAMES, thresholds={"car": 0.5})


def test_all_files_of_an_evaluation(
    tmp_path: Path, measured: MeasuredLocalization, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    report = write_located(
        folder, measured, title="cars 1", thresholds_from="All are 0.5.", training_images=12
    )
    assert {file.name for file in folder.iterdir()} == {
        "evaluation.manifest", "evaluation_summary.json", "metrics.json", "outcomes.jsonl",
        "report.html", "table.parquet",
    }  # fmt: skip
    values = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert values["figures"] == measured.figures
    assert values["boxes"]["recall"] == 0.5
    assert values["coco"]["ap"] == measured.metrics.coco.ap
    assert [error["name"] for error in values["errors"]][-1] == "missed"
    assert values["errors"][-1]["count"] == 1
    lines = (folder / "outcomes.jsonl").read_text("utf-8").splitlines()
    outcomes = [json.loads(line) for line in lines]
    assert [(one["label"], one["outcome"]) for one in outcomes] == [
        ("car", "true"), ("bus", "true"), ("car", "background"), ("bus", "missed"),
    ]  # fmt: skip
    assert tuple(to_samples(load_table(folder / "table.parquet"))) == measured.samples
    summary = json.loads((folder / "evaluation_summary.json").read_text("utf-8"))
    assert summary["EvaluationDetails"]["NumberOfTrainingImages"] == 12
    assert summary["EvaluationDetails"]["ProjectVersionArn"] == "cars 1"
    back = read(folder / "evaluation.manifest", image_root=tmp_path)
    assert to_samples(back.table) == list(measured.samples)
    page = Page(report.read_text("utf-8"))
    assert page.outside == []
    assert "All are 0.5." in page.text
    assert "not measured" in page.text
    say_located(measured)
    said = capsys.readouterr().out
    assert "Each class at its threshold" in said
    assert "2 pictures could not be read and are not measured." in said


def test_a_manifest_whose_pictures_lie_elsewhere_says_how_to_find_them(
    tmp_path: Path, measured: MeasuredLocalization
) -> None:
    write_located(tmp_path / "run", measured, title="t", thresholds_from="")
    with pytest.raises(ValueError, match="set image_root to a folder above the pictures"):
        read(tmp_path / "run" / "evaluation.manifest")


@pytest.mark.parametrize("tiles", [None, Tiles(scale=1.0)])
def test_a_head_is_measured_as_it_predicts(street: list[Sample], tiles: Tiles | None) -> None:
    part = replace(localization_part(threshold=0.0), tiles=tiles)
    backbone = whole_backbone().full()
    measured = measure_localization(part, network_of(part), street, thresholds=part.thresholds)
    predictor = Predictor(backbone, localization=part)
    for picture, found in zip(measured.samples, measured.predictions, strict=True):
        (prediction,) = predictor.predict([picture.uri], score_threshold=0.0)
        assert prediction.localization is not None
        assert len(found) == len(prediction.localization) > 0
        np.testing.assert_allclose(found.xyxy, prediction.localization.xyxy, atol=1e-3)
        np.testing.assert_allclose(found.confidence, prediction.localization.confidence, atol=1e-5)
    assert torch.is_grad_enabled()


def test_the_thresholds_of_a_head_do_not_hide_finds_from_the_curves(street: list[Sample]) -> None:
    low, high = localization_part(threshold=0.0), localization_part(threshold=1.0)
    found = [located_by(part, network_of(part))(street[0].uri) for part in (low, high)]
    assert len(found[0]) == len(found[1]) > 0


@pytest.mark.parametrize("tiles", [None, Tiles(scale=1.0)])
def test_pictures_above_the_limit_are_left_out(street: list[Sample], tiles: Tiles | None) -> None:
    part = replace(localization_part(), tiles=tiles)
    find = located_by(part, network_of(part), max_pixels=192 * 144 - 1)
    with pytest.raises(ImageError):
        find(street[0].uri)
    measured = measure_localization(
        part, network_of(part), street, thresholds=0.5, max_pixels=192 * 144 - 1
    )
    assert len(measured.problems) == 5
