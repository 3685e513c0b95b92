"""The linear probe of benchmarks/probe.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from probe import learn, probe


def test_learned_weights_are_where_the_gradient_vanishes() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 3, generator=generator)
    labels = torch.arange(40) % 2
    weights = learn(features, labels, 2, 0.1)
    error = (features @ weights[:-1] + weights[-1]).softmax(1) - torch.eye(2)[labels]
    gradient = features.T @ error / 40 + 0.1 * weights[:-1]
    assert float(gradient.abs().max()) < 1e-3
    assert float(error.mean(0).abs().max()) < 1e-3


def test_classes_that_lie_apart_are_told_apart() -> None:
    labels = torch.arange(60) % 3
    features = torch.eye(3)[labels] + 0.01 * torch.randn(60, 3)
    assert probe((features, labels), (torch.eye(3), torch.arange(3))).accuracy == 1.0


def test_too_few_pictures_are_refused() -> None:
    few = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="at least 10"):
        probe(few, few)
