from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.pictures import NAMES, sample, samples
from visionkit.data.framing import Framing
from visionkit.data.views import ViewSettings
from visionkit.evaluation.label_errors import label_doubts
from visionkit.heads.classification import ClassificationHead
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.training.classification import (
    ClassificationFit,
    ClassificationSettings,
    fit_classification,
)
from visionkit.training.feature_cache import FeatureCache
from visionkit.training.finetune_settings import FinetuneSettings
from visionkit.types import Sample

FRAMING = Framing((32, 32), "crop")
SETTINGS = ClassificationSettings(views=1, view=ViewSettings(area=(0.7, 1.0), colour=0.0))
TUNED = FinetuneSettings(
    max_epochs=1, batch_size=8, fixed_norms=True, accelerator="cpu", progress=False
)


def new_backbone() -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_backbone("mobilenetv4_conv_small_035", weights="random", strides=(8,))


def fitted(
    folder: Path,
    train: list[Sample],
    val: list[Sample],
    settings: ClassificationSettings = SETTINGS,
    *,
    names: tuple[str, ...] = NAMES,
    multi_label: bool = False,
) -> tuple[ClassificationHead, Backbone, ClassificationFit]:
    backbone = new_backbone().freeze() if settings.finetune is None else new_backbone()
    head = ClassificationHead(backbone.pooled_channels, len(names), multi_label=multi_label)
    cache = FeatureCache(folder / "features", max_bytes=1 << 30)
    fit = fit_classification(
        backbone, head, train, val, names, FRAMING, folder, settings, cache=cache
    )
    return head, backbone, fit


def test_what_pictures_show_is_learned_from_their_features(tmp_path: Path) -> None:
    train = samples(tmp_path / "train", 40)
    head, backbone, fit = fitted(tmp_path, train, [])
    assert fit.finetuned is None
    assert fit.problems == ()
    assert len(fit.learned) == 40
    assert fit.features.shape == (40, backbone.pooled_channels)
    assert fit.frozen.chosen.accuracy > 0.8
    assert not head.training
    again, _, second = fitted(tmp_path, train, [])  # now from the cache
    torch.testing.assert_close(again.weight, head.weight, rtol=0, atol=0)
    assert second.frozen.tried == fit.frozen.tried


def test_what_is_wrong_is_reported_and_the_rest_is_learned_from(tmp_path: Path) -> None:
    train = samples(tmp_path / "train", 30)
    Path(train[4].uri).write_bytes(b"")
    train.append(sample(tmp_path, 0, 900, labels=("blue",)))
    fit = fitted(tmp_path, train, [])[2]
    assert len(fit.learned) == len(fit.features) == len(fit.frozen.out_of_fold) == 29
    assert {Path(problem.file).name for problem in fit.problems} == {"0_4.png", "0_900.png"}


def test_validation_pictures_are_not_learned_from(tmp_path: Path) -> None:
    train, val = samples(tmp_path / "train", 30), samples(tmp_path / "val", 24, start=700)
    fit = fitted(tmp_path, train, val)[2]
    assert fit.frozen.judged == len(fit.validated) == 24


def test_a_wrong_label_is_doubted(tmp_path: Path) -> None:
    train = samples(tmp_path / "train", 60)
    train[7] = replace(train[7], labels=("green",))  # it is red
    fit = fitted(tmp_path, train, [])[2]
    doubts = label_doubts(fit.learned.targets.numpy(), fit.frozen.out_of_fold)
    assert 7 in [doubt.picture for doubt in doubts[:3]]


def test_several_classes_a_picture(tmp_path: Path) -> None:
    train = samples(tmp_path / "train", 40)
    train += [sample(tmp_path, 0, 800 + n, labels=()) for n in range(3)]
    head, _, fit = fitted(tmp_path, train, [], multi_label=True)
    assert fit.learned.targets.shape == (43, 2)
    assert np.isfinite(fit.frozen.out_of_fold).all()
    assert head.multi_label


def test_one_picture_of_each_class(tmp_path: Path) -> None:
    head, backbone, fit = fitted(tmp_path, samples(tmp_path / "train", 2), [])
    assert fit.frozen.tried == ()
    assert head(fit.features).argmax(1).tolist() == [0, 1]
    assert backbone.frozen


@pytest.mark.parametrize("validated", [0, 24])
def test_fine_tuning_goes_on_from_there(tmp_path: Path, validated: int) -> None:
    train = samples(tmp_path / "train", 100 if not validated else 20)
    val = samples(tmp_path / "val", validated, start=700)
    settings = replace(SETTINGS, finetune=replace(TUNED))
    _, backbone, fit = fitted(tmp_path, train, val, settings)
    assert fit.finetuned is not None
    assert fit.finetuned.epochs == 1
    assert fit.finetuned.best_error <= fit.finetuned.start_error < 0.3
    if fit.finetuned.best_error < fit.finetuned.start_error:
        assert backbone.weights_id != new_backbone().weights_id


def test_fine_tuning_is_not_compared_with_what_knew_the_answers(tmp_path: Path) -> None:
    """Labels that mean nothing can be learned by heart, and are no better than chance elsewhere."""
    pictures = samples(tmp_path / "train", 200)
    drawn = np.random.default_rng(3).integers(0, 2, len(pictures))
    train = [replace(one, labels=(NAMES[k],)) for one, k in zip(pictures, drawn, strict=True)]
    settings = replace(SETTINGS, finetune=replace(TUNED, max_epochs=0))
    head, _, fit = fitted(tmp_path, train, [], settings)
    assert fit.finetuned is not None
    assert 0.25 < fit.finetuned.start_error < 0.75
    # Nothing was gained, so the head is the one of all pictures after all.
    whole, _, _ = fitted(tmp_path, train, [])
    torch.testing.assert_close(head.weight, whole.weight)


def test_what_it_is_sure_of_is_learned_without_labels(tmp_path: Path) -> None:
    train = samples(tmp_path / "train", 24)
    others = [replace(one, labels=()) for one in samples(tmp_path / "more", 60, start=500)]
    Path(others[0].uri).write_bytes(b"")
    backbone = new_backbone().freeze()
    head = ClassificationHead(backbone.pooled_channels, 2)
    fit = fit_classification(
        backbone, head, train, [], NAMES, FRAMING, tmp_path, SETTINGS, unlabelled=others
    )
    assert fit.frozen.chosen.guesses
    assert len(fit.guessed) == len(fit.frozen.guesses) > 30
    assert others[0] not in fit.guessed
    assert [Path(problem.file).name for problem in fit.problems] == [Path(others[0].uri).name]
    said = [NAMES[k] for k in fit.frozen.guesses.shares.argmax(1).tolist()]
    true = [NAMES[int(sample.id[0])] for sample in fit.guessed]  # the file's name says it
    assert np.mean([a == b for a, b in zip(said, true, strict=True)]) > 0.9
    assert len(fit.learned) == len(fit.features) == len(fit.frozen.out_of_fold) == 24


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one picture, got none of 1"):
        fitted(tmp_path, [sample(tmp_path, 0, 1, labels=("blue",))], [])
    with pytest.raises(ValueError, match="as many classes as there are names, 2, got 3"):
        backbone = new_backbone()
        head = ClassificationHead(backbone.pooled_channels, 3)
        fit_classification(backbone, head, [], [], NAMES, FRAMING, tmp_path)
