from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.pictures import NAMES, samples
from visionkit.data.framing import Framing
from visionkit.data.views import ViewSettings
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training import finetuned
from visionkit.training.classed import Classed, classed
from visionkit.training.classification_module import Classifier
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.training.finetuned import FinetuneFit, fit_finetuned, outputs_of, plain_frames
from visionkit.training.mixing import MixSettings

FRAMING = Framing((32, 32), "crop")
QUICK = FinetuneSettings(
    max_epochs=3,
    patience=10,
    batch_size=8,
    learning_rate=5e-3,
    average=0.5,
    fixed_norms=True,
    mix=MixSettings(),
    views=ViewSettings(area=(0.8, 1.0), light=0.1, colour=0.0),
    accelerator="cpu",
    progress=False,
)


def new_model(*, multi_label: bool = False) -> tuple[Backbone, ClassificationHead]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("mobilenetv4_conv_small_035", weights="random", strides=(8, 16))
        head = ClassificationHead(backbone.pooled_channels, 2, multi_label=multi_label)
        torch.nn.init.normal_(head.weight, std=0.01)
    return backbone, head


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classed, Classed]:
    folder = tmp_path_factory.mktemp("pictures")
    return (
        classed(samples(folder / "train", 32), NAMES, multi_label=False),
        classed(samples(folder / "val", 24, start=500), NAMES, multi_label=False),
    )


Trained = tuple[Backbone, ClassificationHead, FinetuneFit]


def trained(
    pictures: tuple[Classed, Classed], folder: Path, settings: FinetuneSettings = QUICK
) -> Trained:
    backbone, head = new_model()
    return backbone, head, fit_finetuned(backbone, head, *pictures, FRAMING, folder, settings)


@pytest.fixture(scope="module")
def uninterrupted(
    pictures: tuple[Classed, Classed], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trained, Path]:
    """A whole training; not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    return trained(pictures, folder), folder


def equal(first: Trained, second: Trained) -> None:
    for one, other in zip(first[:2], second[:2], strict=True):
        state = other.state_dict()
        for name, value in one.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=0, msg=name)


def losses(result: FinetuneFit) -> list[tuple[float, float]]:
    return [(epoch["train/loss_epoch"], epoch["val/loss"]) for epoch in result.curve]


def test_no_pictures(pictures: tuple[Classed, Classed], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one picture, got none"):
        trained((pictures[0].part([]), pictures[1]), tmp_path)


def test_no_epochs_change_nothing(pictures: tuple[Classed, Classed], tmp_path: Path) -> None:
    backbone, head, result = trained(pictures, tmp_path, replace(QUICK, max_epochs=0))
    fresh, fresh_head = new_model()
    assert backbone.weights_id == fresh.weights_id
    torch.testing.assert_close(head.weight, fresh_head.weight)
    assert (result.epochs, result.curve) == (0, ())
    assert result.best_error == result.start_error


def test_training_lowers_loss_and_error(uninterrupted: tuple[Trained, Path]) -> None:
    backbone, head, result = uninterrupted[0]
    assert result.epochs == len(result.curve) == 3
    assert losses(result)[-1][0] < losses(result)[0][0]
    assert result.best_error < result.start_error
    assert result.best_error == pytest.approx(min(epoch["val/error"] for epoch in result.curve))
    assert not backbone.training
    assert not head.training


def test_what_is_kept_has_the_error_that_is_told(
    uninterrupted: tuple[Trained, Path], pictures: tuple[Classed, Classed]
) -> None:
    backbone, head, result = uninterrupted[0]
    outputs, targets = outputs_of(Classifier(backbone, head), plain_frames(pictures[1], FRAMING))
    assert float((outputs.argmax(1) != targets).float().mean()) == pytest.approx(result.best_error)
    assert float(head.temperature) != 1


def test_the_same_seed_gives_the_same_numbers(
    uninterrupted: tuple[Trained, Path], pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    torch.rand(3)
    again = trained(pictures, tmp_path / "same")
    equal(again, uninterrupted[0])
    assert losses(again[2]) == losses(uninterrupted[0][2])
    other = trained(pictures, tmp_path / "other", replace(QUICK, seed=1))
    with pytest.raises(AssertionError):
        equal(other, uninterrupted[0])


class Interrupted(finetuned.Drawn):
    """The third epoch is not begun."""

    def __iter__(self) -> Iterator[int]:
        if self._epoch == 2:
            raise KeyboardInterrupt
        return super().__iter__()


def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    uninterrupted: tuple[Trained, Path],
    pictures: tuple[Classed, Classed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(finetuned, "Drawn", Interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(pictures, tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    resumed = trained(pictures, tmp_path)
    equal(resumed, uninterrupted[0])
    assert losses(resumed[2]) == losses(uninterrupted[0][2])
    assert len(resumed[2].seconds) == 1


def test_a_stopped_run_goes_on_after_its_last_epoch_though_an_earlier_one_was_better(
    pictures: tuple[Classed, Classed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(QUICK, learning_rate=1e-9)  # no epoch is better than the first
    with monkeypatch.context() as patch:
        patch.setattr(finetuned, "Drawn", Interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(pictures, tmp_path, settings)
    resumed = trained(pictures, tmp_path, settings)
    assert len(resumed[2].seconds) == 1


def test_a_run_that_was_moved_knows_its_best_epoch(
    pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    settings = replace(QUICK, max_epochs=6, learning_rate=2e-3)
    first = trained(pictures, tmp_path / "before", settings)
    (tmp_path / "before").rename(tmp_path / "after")
    second = trained(pictures, tmp_path / "after", settings)
    assert (second[2].best_error, second[2].seconds) == (first[2].best_error, ())
    equal(second, first)


@pytest.mark.parametrize(
    "ending",
    [{"patience": 1, "learning_rate": 1e-9}, {"minutes": 1e-4}],
    ids=["no better", "time over"],
)
def test_a_training_that_ended_early_is_not_gone_on_with(
    pictures: tuple[Classed, Classed], tmp_path: Path, ending: dict[str, Any]
) -> None:
    settings = replace(QUICK, max_epochs=9, **ending)
    first = trained(pictures, tmp_path, settings)
    second = trained(pictures, tmp_path, settings)
    assert (second[2].epochs, second[2].seconds) == (first[2].epochs, ())
    assert first[2].epochs < 9
    equal(second, first)


def test_a_training_that_ended_early_goes_on_with_more_patience(
    pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    settings = replace(QUICK, max_epochs=4, learning_rate=1e-9, patience=1)
    first = trained(pictures, tmp_path, settings)
    second = trained(pictures, tmp_path, replace(settings, patience=9))
    assert (first[2].epochs, second[2].epochs) == (2, 4)


def test_a_backbone_that_only_gets_worse_is_put_back(
    pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    first = trained(pictures, tmp_path / "good", replace(QUICK, max_epochs=5))
    assert first[2].best_error == 0
    before = first[0].weights_id
    worse = replace(QUICK, learning_rate=1e-6, max_epochs=1)
    result = fit_finetuned(first[0], first[1], *pictures, FRAMING, tmp_path / "worse", worse)
    assert result.best_error == result.start_error == 0
    assert first[0].weights_id == before


def test_without_validation_pictures_the_last_average_is_kept(
    pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    backbone, head, result = trained((pictures[0], pictures[1].part([])), tmp_path)
    assert result.best_error != result.best_error  # nan
    assert float(head.temperature) == 1
    outputs, targets = outputs_of(Classifier(backbone, head), plain_frames(pictures[1], FRAMING))
    assert float((outputs.argmax(1) == targets).float().mean()) > 0.7
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    "options",
    [
        {"balance": "sampling"},
        {"balance": "weights"},
        {"mix": MixSettings(mixup=0.5, cutmix=0.5)},
        {"freeze": "early"},
        {"fixed_norms": False},
        {"minutes": 10.0},
    ],
    ids=lambda options: "_".join(options),
)
def test_every_setting_trains(
    pictures: tuple[Classed, Classed], tmp_path: Path, options: dict[str, Any]
) -> None:
    few = pictures[0].part([0, 2, 4, 6, 8, 10, 12, 14, 1, 3])
    backbone, _, result = trained(
        (few, pictures[1]), tmp_path, replace(QUICK, max_epochs=1, **options)
    )
    assert result.epochs == 1
    assert torch.isfinite(torch.tensor(losses(result))).all()
    fresh = new_model()[0]
    same = [
        torch.equal(value, other)
        for value, other in zip(
            backbone.network.parameters(), fresh.network.parameters(), strict=True
        )
    ]
    if result.best_error < result.start_error:
        assert any(same) == ("freeze" in options)


def test_the_clock_ends_training(pictures: tuple[Classed, Classed], tmp_path: Path) -> None:
    hurried = replace(QUICK, max_epochs=1000, minutes=1e-4)
    assert trained(pictures, tmp_path, hurried)[2].epochs <= 1


def test_several_classes_a_picture(pictures: tuple[Classed, Classed], tmp_path: Path) -> None:
    def several(part: Classed) -> Classed:
        return Classed(part.samples, torch.eye(2)[part.targets])

    backbone, head = new_model(multi_label=True)
    train, val = (several(part) for part in pictures)
    result = fit_finetuned(backbone, head, train, val, FRAMING, tmp_path, QUICK)
    assert result.best_error < result.start_error


def test_pictures_that_are_gone_are_reported(
    pictures: tuple[Classed, Classed], tmp_path: Path
) -> None:
    gone = replace(pictures[0].samples[0], uri=str(tmp_path / "gone.png"))
    train = Classed((gone, *pictures[0].samples[1:]), pictures[0].targets)
    result = trained((train, pictures[1]), tmp_path / "run", replace(QUICK, max_epochs=1))[2]
    assert [problem.file for problem in result.problems] == [gone.uri]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"average": 1.5}, "average of the training must lie in 0..1, got 1.5"),
        ({"minutes": 0.0}, "above 0 or None"),
        ({"batch_size": 0}, "1 or more"),
        ({"freeze": "late"}, "none, early or all, got 'late'"),
        ({"balance": "more"}, "got 'more'"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FinetuneSettings(**options)
