from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from visionkit.heads.classification import KINDS, ClassificationHead, Kind
from visionkit.training.frozen import FrozenFit, FrozenSettings, fit_frozen

CHANNELS, CLASSES = 16, 4
SETTINGS = FrozenSettings(shrinkages=(0.1, 1.0), penalties=(1e-2,), steps=20)


def clouds(
    pictures: int, *, views: int = 1, noise: float = 1.0, classes: int = CLASSES, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """(views, N, C) features about a centre a class, whose channels differ in size; and classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (CLASSES, CHANNELS))
    labels = np.arange(pictures) % classes
    spread = np.geomspace(0.1, 3, CHANNELS)
    own = centres[labels] + noise * spread * rng.normal(0, 1, (pictures, CHANNELS))
    seen = own + 0.1 * rng.normal(0, 1, (views, pictures, CHANNELS))
    return torch.from_numpy(7 + 5 * seen).float(), torch.from_numpy(labels)


def fitted(
    features: Tensor,
    targets: Tensor,
    settings: FrozenSettings = SETTINGS,
    *,
    kind: Kind = "linear",
    val: tuple[Tensor, Tensor] | None = None,
    unlabelled: Tensor | None = None,
) -> tuple[ClassificationHead, FrozenFit]:
    head = ClassificationHead(CHANNELS, CLASSES, kind=kind, multi_label=targets.ndim == 2)
    return head, fit_frozen(head, features, targets, settings, val=val, unlabelled=unlabelled)


def share_right(head: ClassificationHead, features: Tensor, labels: Tensor) -> float:
    return float((head(features).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_of_each_class_is_enough(kind: Kind) -> None:
    features, labels = clouds(CLASSES, noise=0.2)
    head, result = fitted(features, labels, kind=kind)
    unseen, truth = clouds(200, noise=0.2, seed=1)
    assert share_right(head, unseen[0], truth) > 0.9
    assert result.tried == ()
    assert np.isnan(result.out_of_fold).all()  # no other picture shows the class
    assert float(head.temperature) == 1


def test_unseen_pictures_are_named_nearly_as_well_as_can_be() -> None:
    features, labels = clouds(200, views=2)
    head, result = fitted(features, labels)
    unseen, truth = clouds(2000, seed=1)
    # The best that can be done: the centre that is nearest in units of the noise.
    centres = 7 + 5 * np.random.default_rng(99).normal(0, 1, (CLASSES, CHANNELS))
    gaps = (unseen[0].numpy()[:, None] - centres) / np.geomspace(0.1, 3, CHANNELS)
    best = float((np.square(gaps).sum(2).argmin(1) == truth.numpy()).mean())
    assert share_right(head, unseen[0], truth) > best - 0.05
    assert result.judged == 200
    assert result.chosen in result.tried
    assert result.chosen.accuracy > 0.9


def test_the_better_way_is_chosen_on_held_back_pictures() -> None:
    features, labels = clouds(200, noise=4.0)
    _, result = fitted(features, labels, replace(SETTINGS, penalties=()))
    fine, plain = result.tried
    assert (fine.shrinkage, plain.shrinkage) == (0.1, 1.0)
    assert fine.surprise < plain.surprise  # channels differ in noise: the covariance tells
    assert result.chosen == fine


def test_regression_helps_where_means_fail() -> None:
    # Nothing tells the classes, but one is six times as common: means don't know that.
    features = torch.randn(1, 350, CHANNELS, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(350) % 7 == 0).long()
    _, result = fitted(features, labels)
    assert result.chosen.how in ("regression", "both")
    assert result.chosen.accuracy == pytest.approx(6 / 7, abs=0.03)
    assert max(way.accuracy for way in result.tried if way.how == "means") < 0.75


def test_what_is_chosen_has_the_smallest_surprise_and_is_what_was_learned() -> None:
    features, labels = clouds(120, noise=3.0)
    val, truth = clouds(100, noise=3.0, seed=2)
    head, result = fitted(features, labels, val=(val[0], truth))
    assert [way.how for way in result.tried] == ["means", "means", "regression", "both"]
    assert result.chosen.surprise == min(way.surprise for way in result.tried)
    said = head.probabilities(head(val[0])).detach()
    chances = said[torch.arange(100), truth]
    assert -float(chances.log().mean()) == pytest.approx(result.chosen.surprise, rel=1e-3)
    assert share_right(head, val[0], truth) == pytest.approx(result.chosen.accuracy)


def test_validation_pictures_choose_and_are_not_learned_from() -> None:
    features, labels = clouds(80)
    val, truth = clouds(60, seed=2)
    head, result = fitted(features, labels, val=(val[0], truth))
    assert result.judged == 60
    other, _ = fitted(features, labels, val=(val[0].flip(0), truth.flip(0)))
    torch.testing.assert_close(other.weight, head.weight)
    assert result.out_of_fold.shape == (80, CLASSES)
    assert np.isfinite(result.out_of_fold).all()


def test_too_few_validation_pictures_leave_the_choice_to_folds() -> None:
    features, labels = clouds(80)
    val, truth = clouds(10, seed=2)
    assert fitted(features, labels, val=(val[0], truth))[1].judged == 80


def test_out_of_fold_is_by_heads_that_did_not_see_the_picture() -> None:
    features, labels = clouds(120, noise=0.3)
    wrong = labels.clone()
    wrong[7] = (wrong[7] + 1) % CLASSES
    _, result = fitted(features, wrong)
    assert int(result.out_of_fold[7].argmax()) == int(labels[7])
    np.testing.assert_allclose(result.out_of_fold.sum(1), 1, rtol=1e-5)


def test_copies_are_no_test_of_each_other() -> None:
    # Labels by chance, and of every picture ten copies: only by copies can they be known.
    rng = np.random.default_rng(0)
    once = rng.normal(0, 1, (60, CHANNELS))
    labels = torch.from_numpy(np.repeat(rng.integers(0, CLASSES, 60), 10))
    features = np.repeat(once, 10, axis=0) + 0.01 * rng.normal(0, 1, (600, CHANNELS))
    _, result = fitted(torch.from_numpy(features).float()[None], labels)
    assert result.chosen.accuracy < 0.5


def test_confidence_is_calibrated() -> None:
    features, labels = clouds(300, noise=2.0)
    head, _ = fitted(features, labels)
    unseen, truth = clouds(4000, noise=2.0, seed=1)
    best = head.probabilities(head(unseen[0])).detach().max(1)
    right = (best.indices == truth).float().mean()
    assert float(best.values.mean()) == pytest.approx(float(right), abs=0.06)


def test_several_classes_a_picture() -> None:
    rng = np.random.default_rng(0)
    present = torch.from_numpy(rng.integers(0, 2, (240, CLASSES))).float()
    centres = torch.from_numpy(np.random.default_rng(5).normal(0, 3, (CLASSES, CHANNELS))).float()
    features = present @ centres + torch.from_numpy(rng.normal(0, 0.5, (240, CHANNELS))).float()
    head, result = fitted(features[None, :200], present[:200])
    said = head.probabilities(head(features[200:])) > 0.5
    assert float((said == (present[200:] > 0.5)).float().mean()) > 0.9
    assert result.chosen.accuracy > 0.9


def test_the_same_seed_gives_the_same_numbers() -> None:
    features, labels = clouds(100)
    (first, one), (again, two) = fitted(features, labels), fitted(features, labels)
    assert one.tried == two.tried
    torch.testing.assert_close(first.weight, again.weight, rtol=0, atol=0)


def test_a_class_without_pictures_is_never_named() -> None:
    features, labels = clouds(90, classes=3)
    head, _ = fitted(features, labels)
    assert 3 not in head(clouds(400, seed=1)[0][0]).argmax(1)


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (torch.zeros(1, 0, CHANNELS), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(4, CHANNELS), torch.arange(4)),
        (torch.zeros(1, 4, CHANNELS), torch.arange(3)),
    ],
)
def test_what_does_not_fit(features: Tensor, targets: Tensor) -> None:
    with pytest.raises(ValueError, match=r"features must be \(views, N > 0, C\)"):
        fitted(features, targets)


def test_what_it_is_sure_of_in_unlabelled_pictures_is_learned_too() -> None:
    features, labels = clouds(24, noise=2.5)
    more, hidden = clouds(800, noise=2.5, seed=3)
    unseen, truth = clouds(2000, noise=2.5, seed=1)
    alone, before = fitted(features, labels)
    head, after = fitted(features, labels, unlabelled=more[0])
    assert after.chosen.guesses
    assert str(after.chosen).endswith("once more with what it was sure of")
    assert after.chosen.surprise < before.chosen.surprise
    assert share_right(head, unseen[0], truth) > share_right(alone, unseen[0], truth) + 0.03
    places, guessed = after.guesses.places, after.guesses.shares.argmax(1)
    assert len(places) > 100
    assert float((guessed == hidden[places]).float().mean()) > 0.9
    assert float(after.guesses.likelihood.min()) >= SETTINGS.sure


def test_guesses_that_mislead_are_not_learned() -> None:
    features, labels = clouds(80, noise=0.5)
    # They are of none of the classes, and far from all: a head is sure of them for nothing.
    strange = 7 + 60 * torch.randn(400, CHANNELS, generator=torch.Generator().manual_seed(1))
    alone, before = fitted(features, labels)
    head, after = fitted(features, labels, unlabelled=strange)
    assert after.tried[-1].guesses
    assert not after.chosen.guesses
    assert after.tried[:-1] == before.tried
    assert len(after.guesses) == 0
    torch.testing.assert_close(head.weight, alone.weight, rtol=0, atol=0)


def test_too_few_pictures_to_choose_by_leave_the_unlabelled_ones_alone() -> None:
    features, labels = clouds(12, noise=0.5)
    more, _ = clouds(100, noise=0.5, seed=3)
    alone, _ = fitted(features, labels)
    head, result = fitted(features, labels, unlabelled=more[0])
    assert len(result.guesses) == 0
    torch.testing.assert_close(head.weight, alone.weight, rtol=0, atol=0)


def test_several_classes_of_unlabelled_pictures_are_guessed() -> None:
    features, labels = clouds(60)
    several = torch.zeros(60, CLASSES)
    several[torch.arange(60), labels] = 1
    more, hidden = clouds(400, seed=3)
    _, result = fitted(features, several, unlabelled=more[0])
    assert result.chosen.guesses
    true = hidden[result.guesses.places, None] == torch.arange(CLASSES)
    right = result.guesses.shares.bool() == true
    assert len(result.guesses) > 40
    assert float(right.all(1).float().mean()) > 0.9
