"""What every task of conf/task must do, whatever it learns; a new one is tested by being there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import safetensors.torch
import torch

from tests.worlds import photo
from visionkit.cli.compose import compose
from visionkit.cli.describe import options_of
from visionkit.config import TrainConfig
from visionkit.inference.predictor import Predictor
from visionkit.jobs.train import train

TASKS = options_of("task", None)
COMMON = (
    "trainer.accelerator=cpu",
    "trainer.progress=false",
    "trainer.max_epochs=2",
    "augment.image_size=[160,160]",
    "data.demo.digits=100",
    "data.demo.pictures=12",
    "data.demo.classes=2",
    "data.demo.items=2",
    "data.demo.views=2",
    "data.demo.scenes=6",
    "data.demo.background=3",
)
TIME = "seconds_per_picture"
SMALL = {
    "minutes": "30",
    "validations": "2",
    "views": "1",
    "width": "32",
    "depth": "1",
    "finetune.enabled": "true",
    "finetune.minutes": "30",
    "learned.max_epochs": "2",
    "scenes.train": "4",
    "scenes.val": "2",
    "scenes.test": "2",
    "scenes.exemplars": "2",
}
"""Options that make a training short, wherever a task has them."""


class Killed(Exception):
    """Raised where a process would die."""


class _Killer(L.Callback):
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise Killed


@contextmanager
def killed_after_an_epoch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every training by Lightning ends as its second epoch begins."""
    fit = L.Trainer.fit

    def mortal(self: L.Trainer, *args: Any, **words: Any) -> Any:
        self.callbacks.append(_Killer())  # type: ignore[attr-defined]
        return fit(self, *args, **words)

    with monkeypatch.context() as patched:
        patched.setattr(L.Trainer, "fit", mortal)
        yield


@dataclass(frozen=True)
class Trained:
    """A finished training and how it is repeated."""

    task: str
    scratch: Path
    folder: Path
    figures: Mapping[str, float]


def run(task: str, scratch: Path, folder: Path) -> Mapping[str, float]:
    config = compose("train", TrainConfig, [f"task={task}", *COMMON]).config
    words = [f"task.{key}={value}" for key, value in short_options(config.task)]
    words.append(f"data.demo.folder={scratch / 'demo'}")
    config = compose("train", TrainConfig, [f"task={task}", *COMMON, *words]).config
    folder.mkdir(exist_ok=True)
    figures = train(config, folder).metrics
    return {key: value for key, value in figures.items() if not key.endswith(TIME)}


def short_options(task: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Options of `SMALL` that this task has, in its own place or in that of a head of it."""
    for entry in fields(task):
        key, value = prefix + entry.name, getattr(task, entry.name)
        if is_dataclass(value):
            yield from short_options(value, f"{key}.")
        elif key in SMALL:
            yield key, SMALL[key]
        elif prefix.partition(".")[0] in TASKS:  # a head of task=all
            own = key.partition(".")[2]
            if own in SMALL and own not in ("minutes", "finetune.minutes", "finetune.enabled"):
                yield key, SMALL[own]
        if entry.name == "image_size":
            yield key, "96"
        elif key.endswith("cache.folder"):
            yield key, "null"


@pytest.fixture(scope="module", params=TASKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    scratch = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(scratch)  # features are cached below the folder of the process
        figures = run(request.param, scratch, scratch / "run")
    return Trained(request.param, scratch, scratch / "run", figures)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "bundle" / "weights.safetensors")


def answers(predictor: Predictor, images: list[Any]) -> list[list[np.ndarray]]:
    found = []
    for one in predictor.predict(images):
        boxes = [each for each in (one.exemplar, one.localization) if each is not None]
        values = [part for each in boxes for part in (each.xyxy, each.confidence, each.class_id)]
        if one.classification is not None:
            values.append(one.classification.confidence)
        found.append([np.asarray(value) for value in values])
    return found


def assert_same(some: list[list[np.ndarray]], others: list[list[np.ndarray]], **near: Any) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for value, expected in zip(one, other, strict=True):
            np.testing.assert_allclose(value, expected, **near)


def test_killed_and_resumed_equals_unbroken_with_the_same_seed(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.scratch)
    folder = trained.scratch / "killed"
    with killed_after_an_epoch(monkeypatch), pytest.raises(Killed):
        run(trained.task, trained.scratch, folder)
    assert not (folder / "bundle").exists()
    figures = run(trained.task, trained.scratch, folder)
    assert figures == pytest.approx(dict(trained.figures))
    expected = weights(trained.folder)
    found = weights(folder)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_a_bundle_answers_the_same_after_a_round_trip(trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.load(trained.folder / "bundle", device="cpu")
    images = [photo(seed) for seed in range(3)]
    expected = answers(predictor, images)
    predictor.save(tmp_path / "again")
    found = answers(Predictor.load(tmp_path / "again", device="cpu"), images)
    assert_same(found, expected, rtol=0, atol=0)


def test_batched_as_one_by_one_and_the_smallest_picture(trained: Trained) -> None:
    predictor = Predictor.load(trained.folder / "bundle", device="cpu")
    images = [photo(1), np.zeros((1, 1, 3), np.uint8), photo(2, 97, 64)]
    together = answers(predictor, images)
    alone = [answers(predictor, [image])[0] for image in images]
    assert_same(together, alone, rtol=1e-3, atol=1e-3)
    assert answers(predictor, []) == []
