from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worlds import PastedScenes, new_finder, photo, three_items
from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.finder import Finder
from visionkit.training.fit import FitResult, FitSettings, fit
from visionkit.training.pairs import LabelledScene

QUICK = FitSettings(
    max_epochs=3,
    patience=10,
    batch_size=2,
    learning_rate=1e-2,
    accelerator="cpu",
    progress=False,
)
TRAIN, VAL = PastedScenes(6, seed=1), PastedScenes(3, seed=2)


class Slow(PastedScenes):
    """Scenes that take their time, and whose process may be killed after so many."""

    def __init__(self, count: int, seed: int, interrupt_after: int | None = None) -> None:
        super().__init__(count, seed)
        self._left = interrupt_after

    def __getitem__(self, index: int) -> LabelledScene:
        if self._left is not None:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
        return super().__getitem__(index)


def trained(folder: Path, settings: FitSettings = QUICK) -> tuple[Finder, FitResult]:
    finder = new_finder(three_items())
    return finder, fit(finder, TRAIN, VAL, folder, settings)


def equal(first: ExemplarHead, second: ExemplarHead) -> None:
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0, msg=name)


def losses(result: FitResult) -> list[tuple[float, float]]:
    return [(epoch["train/loss_epoch"], epoch["val/loss"]) for epoch in result.curve]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finder, FitResult, Path]:
    """A whole training; not to be changed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return *trained(folder), folder


@pytest.mark.parametrize(("train", "val"), [(0, 1), (1, 0), (0, 0)])
def test_no_scenes(tmp_path: Path, train: int, val: int) -> None:
    with pytest.raises(ValueError, match=f"got {train} to train and {val} to validate"):
        fit(new_finder(three_items()), PastedScenes(train), PastedScenes(val), tmp_path, QUICK)


def test_scenes_without_any_pair(tmp_path: Path) -> None:
    finder = new_finder()  # an empty gallery proposes nothing
    result = fit(finder, TRAIN, VAL, tmp_path, replace(QUICK, max_epochs=1))
    assert not result.learned
    assert result.best_loss == 0


def test_no_epochs_learn_nothing(tmp_path: Path) -> None:
    finder, result = trained(tmp_path, replace(QUICK, max_epochs=0))
    assert (result.epochs, result.curve, result.learned) == (0, (), False)
    assert result.best_loss == result.untrained_loss
    equal(finder.head, new_finder().head)


def test_training_lowers_the_loss_and_keeps_the_best_epoch(
    uninterrupted: tuple[Finder, FitResult, Path],
) -> None:
    finder, result, _ = uninterrupted
    assert result.epochs == len(result.curve) == len(result.seconds) == 3
    assert result.learned
    assert result.best_loss < result.untrained_loss
    assert result.best_loss == pytest.approx(min(val for _, val in losses(result)), abs=1e-6)
    assert losses(result)[-1][0] < losses(result)[0][0]
    assert not finder.head.training
    found = finder.find(TRAIN[0].image)
    assert np.isfinite(found.confidence).all()


def test_the_backbone_and_the_whitening_stay(
    uninterrupted: tuple[Finder, FitResult, Path],
) -> None:
    finder = uninterrupted[0]
    fresh = new_finder()
    assert finder.backbone.weights_id == fresh.backbone.weights_id
    torch.testing.assert_close(finder.head.projection, fresh.head.projection)


def test_logs_and_checkpoints_lie_in_the_run_folder(
    uninterrupted: tuple[Finder, FitResult, Path],
) -> None:
    folder = uninterrupted[2]
    rows = (folder / "logs" / "part_1" / "metrics.csv").read_text().splitlines()
    assert "val/loss" in rows[0]
    assert list((folder / "logs").glob("events.out.tfevents.*"))
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_the_same_seed_gives_the_same_numbers(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path
) -> None:
    finder, result = trained(tmp_path / "same")
    equal(finder.head, uninterrupted[0].head)
    assert losses(result) == losses(uninterrupted[1])
    other, _ = trained(tmp_path / "other", replace(QUICK, seed=1))
    with pytest.raises(AssertionError):
        equal(other.head, uninterrupted[0].head)


def test_what_ran_before_does_not_change_the_numbers(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path
) -> None:
    torch.rand(7)
    np.random.default_rng().random(7)
    equal(trained(tmp_path)[0].head, uninterrupted[0].head)


# Stopped and resumed.


def test_a_finished_training_is_not_trained_again(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path
) -> None:
    finder, first = trained(tmp_path)
    again, second = trained(tmp_path)
    equal(again.head, finder.head)
    assert second.epochs == first.epochs
    assert second.best_loss == pytest.approx(first.best_loss)
    assert second.curve == first.curve
    assert second.seconds == ()


def test_a_finished_training_that_did_not_get_better_is_not_trained_again(tmp_path: Path) -> None:
    settings = replace(QUICK, learning_rate=1e-9, patience=30)
    _, first = trained(tmp_path, settings)
    _, second = trained(tmp_path, settings)
    assert second.seconds == ()
    assert second.curve == first.curve


@pytest.mark.parametrize("after", [2, 5, 8], ids=["while validating", "in the first epoch", "late"])
def test_stopped_while_pairs_are_made(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path, after: int
) -> None:
    val = Slow(3, 2, after if after < 3 else None)
    train = Slow(6, 1, after - 3 if after >= 3 else None)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(new_finder(three_items()), train, val, tmp_path, QUICK)
    finder, result = trained(tmp_path)
    equal(finder.head, uninterrupted[0].head)
    assert losses(result) == losses(uninterrupted[1])


KILLED = """
import sys
from pathlib import Path
from tests.training.test_fit import QUICK, TRAIN, VAL, fit, new_finder, three_items
import lightning as L
import time

class Pause(L.Callback):  # so that there is time to kill the process in the middle of an epoch
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        print("epoch", trainer.current_epoch, "batch", batch_idx, flush=True)
        time.sleep(0.3 if trainer.current_epoch == 1 else 0)

made = L.Trainer.__init__
def init(self, *arguments, callbacks=(), **options):
    made(self, *arguments, callbacks=[*callbacks, Pause()], **options)
L.Trainer.__init__ = init
fit(new_finder(three_items()), TRAIN, VAL, Path(sys.argv[1]), QUICK)
"""


def test_killed_and_resumed_equals_uninterrupted(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    started = time.monotonic()
    seen = ""
    for line in process.stdout:
        seen = line
        if line.startswith("epoch 1 batch 1") or time.monotonic() - started > 120:
            break
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert seen.startswith("epoch 1 batch 1"), errors
    assert process.returncode == -signal.SIGKILL

    finder, result = trained(tmp_path / "run")
    assert len(result.seconds) == 2  # epochs 1 and 2 only
    assert result.epochs == 3
    # Another process may use other numbers of threads and add up in another order; a training
    # that begins again or shuffles otherwise differs by a thousand times as much.
    for resumed, whole in zip(losses(result), losses(uninterrupted[1]), strict=True):
        assert resumed == pytest.approx(whole, rel=1e-4)
    for name, value in uninterrupted[0].head.state_dict().items():
        torch.testing.assert_close(finder.head.state_dict()[name], value, rtol=1e-2, atol=1e-4)
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_half_a_checkpoint_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, replace(QUICK, max_epochs=1))
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()

    def full(state: object, file: object) -> None:
        Path(str(file)).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        "visionkit.training.lightning_parts.TorchCheckpointIO.save_checkpoint",
        lambda self, state, path, options=None: full(state, path),
    )
    with pytest.raises(RuntimeError, match=r"disk is full.*\.ckpt.*free some space"):
        trained(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
    trained(tmp_path)


# What goes wrong.


def test_a_step_too_large_is_named(tmp_path: Path) -> None:
    wild = replace(QUICK, learning_rate=3e37, gradient_clip=0, max_epochs=3)
    with pytest.raises(RuntimeError, match=r"loss must be finite.*smaller learning rate"):
        trained(tmp_path, wild)


def test_learning_that_makes_it_worse_is_not_kept(tmp_path: Path) -> None:
    finder = new_finder(three_items())
    settings = replace(QUICK, learning_rate=1e4, max_epochs=1, gradient_clip=0)
    result = fit(finder, TRAIN, VAL, tmp_path, settings)
    if not result.learned:
        image = photo(5)
        plain = new_finder(three_items()).find(image)
        np.testing.assert_allclose(finder.find(image).confidence, plain.confidence, atol=1e-5)
    assert not result.learned


def test_training_stops_when_it_no_longer_gets_better(tmp_path: Path) -> None:
    settings = replace(QUICK, learning_rate=1e-9, patience=2, max_epochs=30)
    _, result = trained(tmp_path, settings)
    assert result.epochs < 30


def test_each_scene_is_made_once(tmp_path: Path) -> None:
    """Later epochs read what the first one computed; that is what makes them quick."""

    class Counted(PastedScenes):
        made = 0

        def __getitem__(self, index: int) -> LabelledScene:
            self.made += 1
            return super().__getitem__(index)

    train, val = Counted(3), Counted(2, 2)
    fit(new_finder(three_items()), train, val, tmp_path, replace(QUICK, max_epochs=3))
    assert (train.made, val.made) == (3, 2)


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied"])
def test_a_run_folder_can_go_elsewhere(
    uninterrupted: tuple[Finder, FitResult, Path], tmp_path: Path, copied: bool
) -> None:
    trained(tmp_path / "before", replace(QUICK, max_epochs=3))
    if copied:
        shutil.copytree(tmp_path / "before", tmp_path / "after")
    else:
        (tmp_path / "before").rename(tmp_path / "after")
    finder, result = trained(tmp_path / "after")
    assert result.learned
    assert result.best_loss == pytest.approx(uninterrupted[1].best_loss, abs=1e-6)
    equal(finder.head, uninterrupted[0].head)
