from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from visionkit.heads.classification import KINDS, ClassificationHead, Kind

CHANNELS, CLASSES = 6, 3


def new_head(kind: Kind = "linear", seed: int = 0, **options: object) -> ClassificationHead:
    """A head whose weights are anything but zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = ClassificationHead(CHANNELS, CLASSES, kind=kind, **options)  # type: ignore[arg-type]
        torch.nn.init.normal_(head.weight)
        torch.nn.init.normal_(head.bias)
    return head


def features_of(pictures: int, seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(pictures, CHANNELS, generator=torch.Generator().manual_seed(seed))


def apart(pictures: int, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Features of classes that lie far apart, and the classes."""
    labels = torch.arange(pictures) % classes
    return 5 * torch.eye(classes, CHANNELS)[labels] + 0.3 * features_of(pictures), labels


# Shapes, and nothing at all.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("pictures", [0, 1, 4])
def test_any_number_of_pictures(kind: Kind, multi_label: bool, pictures: int) -> None:
    head = new_head(kind, multi_label=multi_label)
    outputs = head(features_of(pictures))
    assert outputs.shape == (pictures, CLASSES)
    loss = head.loss(outputs, torch.ones(pictures, CLASSES) / CLASSES)["class"]
    assert loss.ndim == 0
    assert math.isfinite(loss.item())
    loss.backward()
    found = head.decode(outputs, None)
    assert [one.class_id.tolist() for one in found] == [[0, 1, 2]] * pictures


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_one_by_one(kind: Kind) -> None:
    head, features = new_head(kind), features_of(5)
    together = head(features)
    for index in range(5):
        torch.testing.assert_close(head(features[index : index + 1])[0], together[index])


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_made_again_from_its_sizes(kind: Kind) -> None:
    head = new_head(kind, multi_label=True)
    head.fit_standard(features_of(9))
    head.temperature.fill_(1.7)
    again = ClassificationHead(**head.sizes)  # type: ignore[arg-type]
    again.load_state_dict(head.state_dict())
    ours, theirs = head.probabilities(head(features_of(4))), again(features_of(4))
    torch.testing.assert_close(again.probabilities(theirs), ours)


# What the numbers are.


def test_linear_logits_by_plain_loops() -> None:
    head, features = new_head(), features_of(4)
    head.fit_standard(features_of(9, seed=1))
    learned = features_of(9, seed=1).double().numpy()
    usual = np.mean([learned[:, c].var() for c in range(CHANNELS)])  # counts as ten pictures
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    outputs = head(features).detach().numpy()
    for picture in range(4):
        standard = []
        for c in range(CHANNELS):
            mean = learned[:, c].mean()
            deviation = math.sqrt((9 * learned[:, c].var() + 10 * usual) / 19)
            standard.append((features[picture, c].item() - mean) / deviation)
        length = math.sqrt(sum(value * value for value in standard) / CHANNELS)
        for k in range(CLASSES):
            expected = bias[k]
            for c in range(CHANNELS):
                expected += weight[k, c] * standard[c] / length
            assert outputs[picture, k] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_cosine_logits_see_directions_only() -> None:
    head, features = new_head("cosine"), features_of(4)
    assert head.scale is not None
    outputs = head(features)
    torch.testing.assert_close(head(7 * features), outputs)
    x, w = features[2].numpy(), head.weight[1].detach().numpy()
    cosine = (x * w).sum() / math.sqrt((x * x).sum() * (w * w).sum())
    expected = head.scale.item() * cosine + head.bias[1].item()
    assert outputs[2, 1].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_of_one_class_a_picture_by_plain_loops(smoothing: float) -> None:
    head = new_head(label_smoothing=smoothing)
    weights = [1.0, 2.0, 0.5]
    head.set_class_weights(torch.tensor(weights))
    outputs, labels = torch.randn(5, CLASSES), [0, 2, 1, 1, 0]
    total = weight = 0.0
    for picture, label in enumerate(labels):
        logits = outputs[picture].tolist()
        normaliser = sum(math.exp(value) for value in logits)
        entropy = 0.0
        for k in range(CLASSES):
            share = (1 - smoothing) * (k == label) + smoothing / CLASSES
            entropy -= share * math.log(math.exp(logits[k]) / normaliser)
        total += weights[label] * entropy
        weight += weights[label]
    loss = head.loss(outputs, torch.tensor(labels))["class"]
    assert float(loss) == pytest.approx(total / weight, rel=1e-5)


def test_mixed_pictures_count_each_class_by_its_share() -> None:
    head, outputs = new_head(), torch.randn(1, CLASSES)
    losses = [head.loss(outputs, torch.tensor([k]))["class"].item() for k in range(CLASSES)]
    mixed = head.loss(outputs, torch.tensor([[0.3, 0.0, 0.7]]))["class"].item()
    assert mixed == pytest.approx(0.3 * losses[0] + 0.7 * losses[2], rel=1e-5)


def test_loss_of_several_classes_a_picture_by_plain_loops() -> None:
    head = new_head(multi_label=True)
    head.set_class_weights(torch.tensor([1.0, 3.0, 1.0]))
    outputs = torch.randn(2, CLASSES)
    truth = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    total = weight = 0.0
    for picture in range(2):
        for k in range(CLASSES):
            chance = 1 / (1 + math.exp(-outputs[picture, k].item()))
            there = truth[picture][k]
            counted = 3.0 if there and k == 1 else 1.0
            total -= counted * math.log(chance if there else 1 - chance)
            weight += counted
    loss = head.loss(outputs, torch.tensor(truth))["class"]
    assert float(loss) == pytest.approx(total / weight, rel=1e-5)


def test_confidence_is_read_at_the_temperature() -> None:
    head = new_head()
    outputs = torch.tensor([[2.0, 0.0, -2.0]])
    head.temperature.fill_(2.0)
    powers = [math.exp(1.0), 1.0, math.exp(-1.0)]
    expected = [power / sum(powers) for power in powers]
    np.testing.assert_allclose(head.decode(outputs, None)[0].confidence, expected, rtol=1e-5)
    several = new_head(multi_label=True)
    several.temperature.fill_(2.0)
    expected = [1 / (1 + math.exp(-1)), 0.5, 1 / (1 + math.exp(1))]
    np.testing.assert_allclose(several.decode(outputs, None)[0].confidence, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_temperature_that_is_taken_in_changes_no_probability(kind: Kind) -> None:
    head, features = new_head(kind), features_of(5)
    head.temperature.fill_(1.7)
    before = head.probabilities(head(features))
    head.absorb_temperature()
    assert float(head.temperature) == 1
    torch.testing.assert_close(head.probabilities(head(features)), before)


def test_channels_that_never_vary_stay_finite() -> None:
    head, features = new_head(), features_of(4)
    features[:, 2] = 7.0
    head.fit_standard(features)
    assert 0.1 < float(head.std[2]) < float(head.std[0])
    head.fit_standard(features[:1])
    assert head.std.tolist() == [1.0] * CHANNELS
    torch.testing.assert_close(head.standardised(features[:1]), torch.zeros(1, CHANNELS))


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.1])
def test_shrinkage_out_of_range(shrinkage: float) -> None:
    labels = torch.arange(4) % CLASSES
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        new_head().start_from_prototypes(features_of(4), labels, shrinkage=shrinkage)


# Prototypes.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pictures", [3, 30])
def test_prototypes_name_classes_from_one_picture_each(kind: Kind, pictures: int) -> None:
    head = new_head(kind)
    features, labels = apart(pictures)
    head.fit_standard(features)
    head.start_from_prototypes(features, labels)
    unseen, truth = apart(60)
    assert head(unseen).argmax(1).tolist() == truth.tolist()


def test_linear_prototypes_are_the_nearest_mean() -> None:
    head, features = new_head(), features_of(12)
    labels = torch.arange(12) % CLASSES
    head.start_from_prototypes(features, labels)
    standard, unseen = head.standardised(features), features_of(40, seed=3)
    for picture, outputs in zip(unseen, head(unseen), strict=True):
        squares = []
        for k in range(CLASSES):
            mean = standard[labels == k].mean(0)
            squares.append(float((head.standardised(picture[None])[0] - mean).square().sum()))
        assert int(outputs.argmax()) == int(np.argmin(squares))
        odds = (outputs[0] - outputs[1]).item()
        expected = (squares[1] - squares[0]) / 2 / math.sqrt(CHANNELS)
        assert odds == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("shrinkage", [0.1, 0.5])
def test_directions_in_which_a_class_varies_count_less(shrinkage: float) -> None:
    head, features = new_head(), features_of(30)
    labels = torch.arange(30) % CLASSES
    head.start_from_prototypes(features, labels, shrinkage=shrinkage)
    standard = head.standardised(features).double().numpy()
    means = [standard[labels.numpy() == k].mean(0) for k in range(CLASSES)]
    within = np.zeros((CHANNELS, CHANNELS))
    for row, label in zip(standard, labels.tolist(), strict=True):
        within += np.outer(row - means[label], row - means[label]) / 30
    size = np.trace(within) / CHANNELS
    covariance = (1 - shrinkage) * within / size + shrinkage * np.eye(CHANNELS)
    inverse = np.linalg.inv(covariance * math.sqrt(CHANNELS))
    unseen = features_of(5, seed=3)
    found, seen = head(unseen), head.standardised(unseen).double().numpy()
    for picture in range(5):
        gaps = [seen[picture] - mean for mean in means]
        distances = [gap @ inverse @ gap / 2 for gap in gaps]
        expected = distances[1] - distances[0]
        odds = (found[picture, 0] - found[picture, 1]).item()
        assert odds == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_prototypes_of_several_classes_a_picture(kind: Kind) -> None:
    head = new_head(kind, multi_label=True)
    there = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0.0]] * 5)
    features = 6 * there @ torch.eye(CLASSES, CHANNELS) + 0.2 * features_of(20)
    head.fit_standard(features)
    head.start_from_prototypes(features, there)
    assert (head(features)[:, :2] > 0).tolist() == (there[:, :2] > 0).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_class_without_pictures_is_never_named(kind: Kind, multi_label: bool) -> None:
    head = new_head(kind, multi_label=multi_label)
    shares = torch.eye(CLASSES)[torch.tensor([0, 1, 0, 1])]
    head.start_from_prototypes(features_of(4), shares)
    assert head.probabilities(head(features_of(50, seed=5)))[:, 2].max().item() < 1e-4


def test_a_class_that_every_picture_shows_is_always_named() -> None:
    head = new_head(multi_label=True)
    head.start_from_prototypes(features_of(4), torch.tensor([[1, 0, 0], [1, 1, 0.0]] * 2))
    assert head(features_of(50, seed=5))[:, 0].min().item() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls_on_one_batch(kind: Kind) -> None:
    head = new_head(kind)
    features, labels = apart(12)
    head.fit_standard(features)
    optimizer = torch.optim.SGD(head.parameters(), 0.1)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = head.loss(head(features), labels)["class"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# What is refused.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 0}, "1 or more, got 0 and 3"),
        ({"class_count": 0}, "1 or more, got 6 and 0"),
        ({"kind": "quadratic"}, "one of linear, cosine, got 'quadratic'"),
        ({"label_smoothing": 1.0}, "under 1, got 1.0"),
    ],
)
def test_settings_out_of_range(options: dict[str, object], words: str) -> None:
    given = {"channels": CHANNELS, "class_count": CLASSES, **options}
    with pytest.raises(ValueError, match=words):
        ClassificationHead(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("targets", "multi_label"),
    [
        (torch.tensor([0, 3]), False),
        (torch.tensor([0, -1]), False),
        (torch.tensor([0]), False),
        (torch.tensor([0.0, 1.0]), False),
        (torch.zeros(2, 2), False),
        (torch.tensor([0, 1]), True),
    ],
)
def test_targets_that_do_not_fit(targets: Tensor, multi_label: bool) -> None:
    with pytest.raises(ValueError, match="targets must be"):
        new_head(multi_label=multi_label).loss(torch.zeros(2, CLASSES), targets)


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, -1.0, 1.0], [1.0, math.nan, 1.0]])
def test_class_weights_that_do_not_fit(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="class weights must be 3 numbers"):
        new_head().set_class_weights(torch.tensor(weights))


@pytest.mark.parametrize("features", [torch.zeros(0, CHANNELS), torch.zeros(2, CHANNELS + 1)])
def test_features_that_do_not_fit(features: Tensor) -> None:
    with pytest.raises(ValueError, match=r"features must be \(N > 0, 6\)"):
        new_head().fit_standard(features)
