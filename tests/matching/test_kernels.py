from __future__ import annotations

import numpy as np
import torch

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.kernels import Kernels
from visionkit.matching.templates import Template

CHANNELS = 5
SHAPES = ((3, 4), (4, 4), (3, 4), (6, 2))


def templates() -> list[Template]:
    rng = np.random.default_rng(0)
    return [
        Template(
            number,
            8.0,
            torch.from_numpy(rng.normal(size=(CHANNELS, *shape)).astype(np.float16)),
            torch.from_numpy(rng.uniform(0.1, 1, shape).astype(np.float32)),
            (1.0, 1.0),
        )
        for number, shape in enumerate(SHAPES)
    ]


def new_kernels() -> Kernels:
    return Kernels(templates(), ExemplarHead(CHANNELS, embedding_size=CHANNELS).eval())


def by_hand(template: Template) -> np.ndarray:  # type: ignore[type-arg]
    """Unit vectors, of which each counts by its share of the weights."""
    features, weights = template.features.double().numpy(), template.weights.double().numpy()
    return features / np.linalg.norm(features, axis=0) * weights / weights.sum()


def test_smaller_templates_have_zeros_below_and_to_the_right() -> None:
    given = templates()
    kernels = new_kernels().padded(np.array([3, 0, 1])).numpy()
    assert kernels.shape == (3, CHANNELS, 6, 4)
    for kernel, number in zip(kernels, (3, 0, 1), strict=True):
        rows, columns = SHAPES[number]
        np.testing.assert_allclose(kernel[:, :rows, :columns], by_hand(given[number]), atol=1e-6)
        assert not kernel[:, rows:].any()
        assert not kernel[:, :, columns:].any()


def test_templates_whose_longer_sides_are_equal_come_together() -> None:
    parts = new_kernels().alike(np.arange(4))
    found = [(own.tolist(), tuple(kernels.shape[2:])) for own, kernels in parts]
    assert found == [([0, 1, 2], (4, 4)), ([3], (6, 2))]
    assert list(new_kernels().alike(np.zeros(0, np.int64))) == []


def test_templates_of_one_shape_come_together() -> None:
    parts = list(new_kernels().shapes(np.array([3, 2, 0])))
    found = {tuple(kernels.shape[2:]): own.tolist() for kernels, own in parts}
    assert found == {(3, 4): [2, 0], (6, 2): [3]}
    first = next(kernels for kernels, own in parts if 0 in own)
    np.testing.assert_allclose(first[1].numpy(), by_hand(templates()[0]), atol=1e-6)
