from __future__ import annotations

import pytest
import torch

from visionkit.heads.classification import ClassificationHead
from visionkit.training.regression import regress


def learned(
    head: ClassificationHead, views: int = 1, penalty: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(views, 40, 5, generator=generator)
    shares = torch.eye(3)[torch.arange(40) % 3]
    rows, wanted = features.flatten(0, 1), shares.repeat(views, 1)
    regress(head, rows, wanted, penalty=penalty, steps=500)
    return features, shares


@pytest.mark.parametrize("views", [1, 3])
def test_weights_are_where_the_gradient_vanishes(views: int) -> None:
    head = ClassificationHead(5, 3)
    features, shares = learned(head, views)
    standard = head.standardised(features.flatten(0, 1))
    weight, bias = head.weight.detach(), head.bias.detach()
    error = (standard @ weight.T + bias).softmax(1) - shares.repeat(views, 1)
    gradient = error.T @ standard / len(standard) + 0.1 * weight
    assert float(gradient.abs().max()) < 1e-3
    assert float(error.mean(0).abs().max()) < 1e-3


def test_several_classes_a_picture() -> None:
    head = ClassificationHead(5, 3, multi_label=True)
    features, shares = learned(head)
    standard, weight = head.standardised(features[0]), head.weight.detach()
    error = (standard @ weight.T + head.bias.detach()).sigmoid() - shares
    gradient = error.T @ standard / (3 * 40) + 0.1 * weight
    assert float(gradient.abs().max()) < 1e-3


def test_where_it_begins_does_not_matter() -> None:
    first, second = ClassificationHead(5, 3), ClassificationHead(5, 3)
    torch.nn.init.normal_(second.weight)
    learned(first)
    learned(second)
    torch.testing.assert_close(first.weight, second.weight, rtol=1e-2, atol=1e-3)


def test_a_stronger_penalty_gives_smaller_weights() -> None:
    weak, strong = ClassificationHead(5, 3), ClassificationHead(5, 3)
    learned(weak, penalty=0.01)
    learned(strong, penalty=1.0)
    assert float(strong.weight.detach().norm()) < 0.5 * float(weak.weight.detach().norm())
