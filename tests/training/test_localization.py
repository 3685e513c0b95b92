from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.training import boxes
from tests.training.boxes import FRAMING, NAMES, Trained, equal, new_network, samples_in
from visionkit.training.boxed import FramedPictures, TrainingPictures, Turn, Turns, join
from visionkit.training.localization import fit_localization, start_boxes
from visionkit.training.localization_module import LocalizationTraining, Localizer
from visionkit.training.localization_settings import LocalizationSettings
from visionkit.types import Sample

QUICK = LocalizationSettings(
    max_epochs=3, batch_size=2, validations=3, accelerator="cpu", progress=False, mosaic=0.3
)


def train(
    folder: Path,
    samples: list[Sample],
    val: list[Sample] | None = None,
    settings: LocalizationSettings = QUICK,
) -> Trained:
    return boxes.train(folder, samples, val or [], settings)


def losses(trained: Trained) -> list[float]:
    return [epoch["train/loss_epoch"] for epoch in trained[2].curve]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Sample], list[Sample]]:
    folder = tmp_path_factory.mktemp("pictures")
    return samples_in(folder, 6), samples_in(folder, 3, seed=1)


@pytest.fixture(scope="module")
def whole(
    pictures: tuple[list[Sample], list[Sample]], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A whole training; not to be changed."""
    return train(tmp_path_factory.mktemp("whole"), *pictures)


# What is refused.


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        train(tmp_path, [])


def test_a_head_for_other_classes(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    backbone, head = new_network(classes=3)
    with pytest.raises(ValueError, match=r"2, got 3.*class_count=2"):
        fit_localization(backbone, head, pictures[0], [], NAMES, FRAMING, tmp_path, QUICK)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"average": 1.5}, "average"),
        ({"scales": (1.2, 0.8)}, "scales"),
        ({"scales": (0.0, 1.0)}, "scales"),
        ({"batch_size": 0}, "batch_size"),
        ({"minutes": 0.0}, "minutes"),
        ({"max_epochs": None}, "minutes or max_epochs"),
        ({"freeze": "some"}, "freeze"),
        ({"warm_up": float("nan")}, "warm_up"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **wrong)


def test_a_loss_that_is_not_finite(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    settings = replace(QUICK, learning_rate=1e30, warm_up=0.0, gradient_clip=0.0, fixed_norms=False)
    with pytest.raises(RuntimeError, match=r"loss must be finite.*learning_rate"):
        train(tmp_path, pictures[0], settings=settings)


# What training does.


def test_the_loss_of_one_batch_falls(pictures: tuple[list[Sample], list[Sample]]) -> None:
    backbone, head = new_network()
    framed = FramedPictures(pictures[0], NAMES, FRAMING)
    shown = TrainingPictures(framed, None)
    batch = join([shown[Turn(0, index)] for index in range(4)])
    settings = replace(QUICK, scales=(1.0, 1.0), learning_rate=3e-3)
    module = LocalizationTraining(Localizer(backbone, head), settings, Turns(4, 0))
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[assignment, method-assign]
    optimizer = module.configure_optimizers()
    module.train()
    steps = []
    for _ in range(60):
        loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.append(float(loss.detach()))
    assert np.mean(steps[-5:]) < 0.5 * steps[0]


def test_a_whole_training(whole: Trained) -> None:
    backbone, head, fitted = whole
    assert fitted.epochs == len(fitted.curve) == len(fitted.seconds) == 3
    assert fitted.steps == 9
    assert not backbone.training
    assert not head.training
    assert losses(whole)[-1] < losses(whole)[0]
    validated = [epoch["val/ap"] for epoch in fitted.curve if "val/ap" in epoch]
    assert len(validated) == 3
    assert fitted.best_ap == pytest.approx(max(validated))
    assert 1 <= fitted.best_epoch <= 3
    assert set(fitted.given) == set(fitted.lost) == set(NAMES)
    assert all(fitted.lost[name] <= fitted.given[name] for name in NAMES)


def test_the_same_seed_gives_the_same_numbers(
    whole: Trained, pictures: tuple[list[Sample], list[Sample]], tmp_path: Path
) -> None:
    torch.rand(7)  # what ran before makes no difference
    np.random.default_rng().random(7)
    same = train(tmp_path / "same", *pictures)
    equal(same, whole)
    assert losses(same) == losses(whole)
    other = train(tmp_path / "other", *pictures, settings=replace(QUICK, seed=1))
    assert losses(other) != losses(whole)


def test_other_processes_prepare_the_same_pictures(
    whole: Trained, pictures: tuple[list[Sample], list[Sample]], tmp_path: Path
) -> None:
    # From a process of its own: this one runs threads of many libraries, and a fork of it may die.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        settings = replace(QUICK, workers=1)
        equal(fresh.submit(train, tmp_path, *pictures, settings=settings).result(), whole)


def test_figures_stand_only_where_something_was_measured(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    fitted = train(tmp_path, *pictures, settings=replace(QUICK, validations=1))[2]
    assert ["val/ap" in epoch for epoch in fitted.curve] == [False, False, True]


def test_no_epochs_learn_nothing(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    backbone, head, fitted = train(tmp_path, *pictures, settings=replace(QUICK, max_epochs=0))
    fresh = new_network()
    equal((backbone, head, fitted), (*fresh, fitted))
    assert (fitted.epochs, fitted.steps, fitted.best_epoch, fitted.curve) == (0, 0, 0, ())


def test_without_validation_pictures_the_last_average_is_kept(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    fitted = train(tmp_path, pictures[0])[2]
    assert fitted.best_epoch == 3
    assert np.isnan(fitted.best_ap)
    assert not any("val/ap" in epoch for epoch in fitted.curve)


def test_pictures_without_any_box_teach_that_nothing_is_there(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    empty = [replace(sample, objects=()) for sample in pictures[0]]
    backbone, head, fitted = train(tmp_path, empty, empty[:1])
    assert fitted.given == {"disc": 0, "square": 0}
    assert fitted.best_ap == 0
    assert losses((backbone, head, fitted))[-1] < losses((backbone, head, fitted))[0]


@pytest.mark.parametrize(
    ("freeze", "still"), [("none", 0), ("early", 1), ("all", 2)], ids=["free", "partly", "frozen"]
)
def test_what_is_frozen_stays(
    tmp_path: Path,
    pictures: tuple[list[Sample], list[Sample]],
    freeze: str,
    still: int,
) -> None:
    settings = replace(QUICK, max_epochs=1, freeze=freeze)  # type: ignore[arg-type]
    backbone, _, _ = train(tmp_path, pictures[0], settings=settings)
    before = dict(new_network()[0].network.named_parameters())
    moved = [
        not torch.equal(before[name], value) for name, value in backbone.network.named_parameters()
    ]
    assert (any(moved), all(moved)) == {0: (True, True), 1: (True, False), 2: (False, False)}[still]
    statistics = new_network()[0].network.state_dict()
    for name, value in backbone.network.state_dict().items():
        if "running" in name:  # fixed_norms
            torch.testing.assert_close(value, statistics[name])


def test_training_ends_when_the_time_is_over(
    tmp_path: Path,
    pictures: tuple[list[Sample], list[Sample]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = replace(QUICK, max_epochs=None, minutes=2 / 60, progress=True)
    start = time.monotonic()
    fitted = train(tmp_path, *pictures, settings=settings)[2]
    assert time.monotonic() - start < 60
    assert fitted.epochs >= 1
    assert fitted.best_epoch == fitted.epochs or fitted.best_ap > 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("Epoch 1: loss ")
    assert "validation AP50" in lines[-1]


def test_boxes_that_many_pictures_lose_are_reported(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    assert QUICK.augment is not None
    settings = replace(QUICK, augment=replace(QUICK.augment, shift=1.0), mosaic=0.0)
    fitted = train(tmp_path, pictures[0], settings=settings)[2]
    assert sum(fitted.lost.values()) > 0
    warned = [problem for problem in fitted.problems if problem.level == "warning"]
    assert {problem.file for problem in warned} <= set(NAMES)
    assert any("stay in sight" in problem.reason for problem in warned)


def test_pictures_that_are_gone_are_reported_and_the_others_learned(
    tmp_path: Path, pictures: tuple[list[Sample], list[Sample]]
) -> None:
    gone = [replace(sample, uri=f"{sample.uri}.gone") for sample in pictures[0][:1]]
    fitted = train(tmp_path, gone + pictures[0][1:], gone + pictures[1])[2]
    missing = [problem for problem in fitted.problems if problem.level == "error"]
    assert {problem.file for problem in missing} == {gone[0].uri}
    assert fitted.epochs == 3


def test_a_start_from_boxes_without_classes(tmp_path: Path) -> None:
    _, head = new_network(seed=5)
    safetensors.torch.save_file(head.class_agnostic_state(), tmp_path / "boxes.safetensors")
    _, started = new_network(seed=6)
    start_boxes(started, tmp_path / "boxes.safetensors")
    for name, value in head.class_agnostic_state().items():
        torch.testing.assert_close(started.state_dict()[name], value)
    assert not torch.equal(
        started.state_dict()["class_branch.logits.weight"],
        head.state_dict()["class_branch.logits.weight"],
    )


# Stopped and resumed.


def test_a_finished_training_is_not_trained_again(
    pictures: tuple[list[Sample], list[Sample]], tmp_path: Path
) -> None:
    first = train(tmp_path, *pictures)
    second = train(tmp_path, *pictures)
    equal(first, second)
    assert second[2].curve == first[2].curve
    assert second[2].seconds == ()
    assert (second[2].best_ap, second[2].best_epoch) == (first[2].best_ap, first[2].best_epoch)
    assert second[2].given == first[2].given


KILLED = """
import sys
from pathlib import Path
from tests.training import test_localization as tests
from tests.training.boxes import samples_in
from visionkit.training import boxed

folder = Path(sys.argv[1])
shown = []
whole = boxed.TrainingPictures.__getitem__

def counted(self, turn):
    shown.append(turn)
    if len(shown) == 9:  # six pictures an epoch: in the second one
        print("now", flush=True)
        import time
        time.sleep(600)
    return whole(self, turn)

boxed.TrainingPictures.__getitem__ = counted
tests.train(folder, samples_in(folder.parent, 6), samples_in(folder.parent, 3, seed=1))
"""


def test_a_killed_training_ends_like_one_that_was_not(whole: Trained, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "run")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "now"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = train(tmp_path / "run", samples_in(tmp_path, 6), samples_in(tmp_path, 3, seed=1))
    equal(resumed, whole)
    assert losses(resumed) == losses(whole)
    assert len(resumed[2].seconds) == 2
    assert resumed[2].given == whole[2].given
