"""What is asked of the student, against plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from visionkit.training.pretrain.objective import DenseDistillation, logits_loss, match_loss
from visionkit.training.pretrain.views import Pairs
from visionkit.training.pretrain.warp import Bend

STRIDE = 8


def _loss(first: torch.Tensor, second: torch.Tensor, **changes: object) -> torch.Tensor:
    count, _, height, width = first.shape
    every = torch.ones(count, height * STRIDE, width * STRIDE, dtype=torch.bool)
    flat = Bend(torch.zeros(count, 2, 1), torch.zeros(count, 1, 1), torch.zeros(count, 1, 2))
    pairs = Pairs(first, second, torch.eye(3).repeat(count, 1, 1), flat, every, ~every)
    return match_loss(
        first,
        second,
        replace(pairs, **changes),
        stride=STRIDE,
        temperature=0.1,
        anchors=1000,
        distractors=0,
    )


def test_nothing_shared_costs_nothing_and_has_a_gradient() -> None:
    first = torch.randn(2, 4, 3, 3, requires_grad=True)
    shared = torch.zeros(2, 24, 24, dtype=torch.bool)
    loss = _loss(first, torch.randn(2, 4, 3, 3), shared=shared)
    loss.backward()
    assert float(loss.detach()) == 0
    assert first.grad is not None


def test_match_loss_equals_plain_loops() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 4, 4)
    centre = torch.cat([first, second]).mean(dim=(0, 2, 3))
    losses = []
    for pair in range(2):
        for row in range(4):
            for column in range(4):
                query = F.normalize(first[pair, :, row, column] - centre, dim=0)
                right, terms = 0.0, []
                for other in range(2):
                    for y in range(4):
                        for x in range(4):
                            near = math.dist((row, column), (y, x)) < 1.5
                            own = (other, y, x) == (pair, row, column)
                            if other == pair and near and not own:
                                continue
                            key = F.normalize(second[other, :, y, x] - centre, dim=0)
                            terms.append(math.exp(float(query @ key) / 0.1))
                            right = terms[-1] if own else right
                losses.append(-math.log(right / sum(terms)))
    expected = sum(losses) / len(losses)
    assert float(_loss(first, second)) == pytest.approx(expected, rel=1e-4)


def test_features_that_move_with_the_matrix_match() -> None:
    torch.manual_seed(0)
    first = torch.randn(1, 64, 6, 6)
    second = torch.roll(first, shifts=(1, 2), dims=(2, 3))  # one cell down, two to the right
    moved = torch.tensor([[[1.0, 0, 2 * STRIDE], [0, 1, STRIDE], [0, 0, 1]]])
    right = _loss(first, second, matrices=moved)
    wrong = _loss(first, second)
    assert float(right) < 0.2 < 2 < float(wrong)


def test_what_is_covered_in_the_second_view_is_not_asked_for() -> None:
    torch.manual_seed(0)
    first = torch.randn(1, 64, 6, 6)
    second = first.clone()
    second[..., 3:] = torch.randn(1, 64, 6, 3)  # something else lies there
    covered = torch.zeros(1, 48, 48, dtype=torch.bool)
    covered[..., 20:] = True  # cells 3 to 5 have their centres at 24 to 40
    assert float(_loss(first, second, covered=covered)) < 0.2 < 1 < float(_loss(first, second))


def test_distillation_asks_for_the_whitened_map() -> None:
    torch.manual_seed(0)
    mixing = torch.tensor([[3.0, 1.0], [0.0, 0.5]])
    teacher = torch.einsum("dc,bchw->bdhw", mixing, torch.randn(6, 2, 40, 40)) + 7
    distil = DenseDistillation(2, 2, shrinkage=0.0)
    distil.fit(teacher)
    cells = distil.wanted(teacher).movedim(1, -1).flatten(0, 2)
    torch.testing.assert_close(torch.cov(cells.T), torch.eye(2), rtol=0, atol=1e-2)
    torch.testing.assert_close(cells.mean(0), torch.zeros(2), rtol=0, atol=1e-3)


def test_distillation_is_small_for_a_linear_image_of_what_is_wanted() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(4, 3, 8, 8)
    distil = DenseDistillation(3, 3)
    distil.fit(teacher)
    with torch.no_grad():
        distil.adapt.weight.copy_(2 * torch.eye(3)[..., None, None])
        distil.adapt.bias.fill_(1.0)
    loss, cosine = distil((distil.wanted(teacher) - 1) / 2, teacher)
    assert float(loss.detach()) < 1e-4
    assert float(cosine.detach()) == pytest.approx(1, abs=1e-4)


def test_logits_loss_is_the_divergence_of_softened_classes() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = 1 / (1 + math.exp(-1))  # softmax of (2, 0) at temperature 2
    expected = 4 * (p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5))
    assert float(logits_loss(student, teacher, temperature=2)) == pytest.approx(expected, rel=1e-5)
    assert float(logits_loss(teacher, teacher, temperature=2)) == pytest.approx(0, abs=1e-6)
