from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tests.jobs.conftest import write_picture
from tests.worlds import mark
from visionkit.cli.compose import compose
from visionkit.config import TrainConfig
from visionkit.inference.predictor import Predictor
from visionkit.jobs.train import train

SMALL = [
    "task=exemplar", "backbone.name=test_resnet", "backbone.weights=random", "seed=3",
    "trainer.accelerator=cpu", "trainer.max_epochs=2", "augment.image_size=[96,128]",
    "task.scenes.train=4", "task.scenes.val=2", "task.scenes.test=3",
    "task.geometry.enabled=false",
]  # fmt: skip


def run(items: Path, folder: Path, *words: str) -> dict[str, float]:
    """Figures of a small training; without the time, which is never the same."""
    config = compose("train", TrainConfig, [*SMALL, f"data.items={items}", *words]).config
    folder.mkdir(exist_ok=True)
    figures = dict(train(config, folder).metrics)
    figures.pop("seconds_per_picture")
    return figures


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per item, two pictures in each."""
    folder = tmp_path_factory.mktemp("items")
    for number in range(3):
        for view, side in enumerate((60, 72)):
            image = cv2.resize(mark(number), (side, side))
            write_picture(folder / f"mark {number}" / f"{view}.png", image)
    return folder


@pytest.fixture(scope="module")
def trained(items: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A training's folder and figures; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(items, folder)


def test_a_run_holds_what_the_documentation_names(trained: tuple[Path, dict[str, float]]) -> None:
    folder, figures = trained
    assert {path.name for path in folder.iterdir()} == {
        "bundle", "checkpoints", "debugger.json", "findings.json", "logs", "metrics.json",
        "outcomes.jsonl", "report.html", "table.parquet", "test_scenes",
    }  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text())["figures"].items() >= figures.items()
    assert Predictor.load(folder / "bundle").items == ["mark 0", "mark 1", "mark 2"]


def test_the_same_seed_gives_the_same_run(
    items: Path, trained: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    folder, figures = trained
    assert run(items, tmp_path / "again") == figures
    files = [path / "bundle" / "weights.safetensors" for path in (folder, tmp_path / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_set_of_classes_is_not_taken_for_items(tmp_path: Path) -> None:
    config = compose("train", TrainConfig, [*SMALL, f"data.root={tmp_path}"]).config
    with pytest.raises(ValueError, match=r"data.items must be given.*got data.root"):
        train(config, tmp_path / "run")
