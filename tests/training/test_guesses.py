from __future__ import annotations

import math

import pytest
import torch

from visionkit.heads.classification import ClassificationHead
from visionkit.training.guesses import guesses_of, no_guesses

ONE_SIDE, OTHER_SIDE = (1.0, 0.0), (0.0, 1.0)


def head_of(*, multi_label: bool) -> ClassificationHead:
    """Logits (1, -1) on one side and (-1, 1) on the other, times the weight of 1."""
    head = ClassificationHead(2, 2, multi_label=multi_label)
    with torch.no_grad():
        # Features are centred at (0.5, 0.5) and then of length sqrt(2): (1, -1) or (-1, 1).
        head.mean.fill_(0.5)
        head.std.fill_(0.5)
        head.weight.copy_(torch.eye(2))
    return head.eval()


def test_the_likeliest_class_is_guessed_where_it_is_likely_enough() -> None:
    head = head_of(multi_label=False)
    features = torch.tensor([ONE_SIDE, OTHER_SIDE, (0.5, 0.5)])
    sure = 1 / (1 + math.exp(-2))  # of two classes whose logits differ by 2
    found = guesses_of(head, features, temperature=1.0, sure=sure - 1e-4)
    assert found.places.tolist() == [0, 1]
    assert found.shares.tolist() == [[1, 0], [0, 1]]
    assert found.likelihood.tolist() == pytest.approx([sure, sure], abs=1e-4)
    assert len(guesses_of(head, features, temperature=1.0, sure=sure + 1e-4)) == 0
    # Half the temperature, twice the difference.
    surer = guesses_of(head, features, temperature=0.5, sure=0.9)
    assert surer.likelihood.tolist() == pytest.approx([1 / (1 + math.exp(-4))] * 2, abs=1e-4)


def test_of_several_classes_it_must_be_sure_of_each() -> None:
    head = head_of(multi_label=True)
    with torch.no_grad():
        head.weight.mul_(3)
        head.bias[1] = 3.0  # the second class: 0 on one side, 6 on the other
    found = guesses_of(head, torch.tensor([ONE_SIDE, OTHER_SIDE]), temperature=1.0, sure=0.9)
    assert found.places.tolist() == [1]
    assert found.shares.tolist() == [[0, 1]]
    assert found.likelihood.tolist() == pytest.approx([1 / (1 + math.exp(-3))], abs=1e-4)


def test_no_pictures_no_guesses() -> None:
    assert len(no_guesses(3)) == 0
    assert no_guesses(3).shares.shape == (0, 3)
    head = head_of(multi_label=False)
    assert len(guesses_of(head, torch.zeros(0, 2), temperature=1.0, sure=0.5)) == 0
