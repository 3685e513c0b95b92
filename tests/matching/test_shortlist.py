from __future__ import annotations

import numpy as np
import pytest
import torch

from visionkit.matching.shortlist import CoarseIndex

SIZE = 10
"""Length of an embedding."""


def embeddings(seed: int, *shape: int) -> torch.Tensor:
    """Unit vectors along the second axis."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=1)


def scores_by_loops(scene: np.ndarray, kernels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """The similarity of each kernel's best window, window by window."""
    rows, columns = kernels.shape[2:]
    half_rows, half_columns = (rows + 1) // 2, (columns + 1) // 2

    def quarters(patch: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        parts = [
            patch[:, y : y + half_rows, x : x + half_columns].mean((1, 2))
            for y in (0, rows - half_rows)
            for x in (0, columns - half_columns)
        ]
        vector = np.concatenate(parts)
        return vector / np.linalg.norm(vector)

    scores = []
    for kernel in kernels:
        similarity = [
            quarters(kernel) @ quarters(scene[:, y : y + rows, x : x + columns])
            for y in range(0, scene.shape[1] - rows + 1, 2)
            for x in range(0, scene.shape[2] - columns + 1, 2)
        ]
        scores.append(max(similarity))
    return np.array(scores)


def test_no_views() -> None:
    assert CoarseIndex([]).best_views(embeddings(0, 1, SIZE, 9, 9), 5).tolist() == []


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (3, 7), (2, 2)])
def test_order_is_that_of_plain_loops(shape: tuple[int, int]) -> None:
    kernels, scene = embeddings(1, 12, SIZE, *shape), embeddings(2, 1, SIZE, 11, 13)
    index = CoarseIndex([(kernels, np.arange(12))])
    expected = np.argsort(-scores_by_loops(scene[0].numpy(), kernels.numpy()), kind="stable")
    assert index.best_views(scene, 12).tolist() == expected.tolist()
    assert index.best_views(scene, 5).tolist() == expected[:5].tolist()


def test_shapes_are_compared_with_each_other() -> None:
    scene = embeddings(3, 1, SIZE, 12, 14)
    others = embeddings(4, 30, SIZE, 4, 4)
    hidden = scene[:, :, 4:7, 6:12].clone()  # lies in the scene, on a step of the search
    index = CoarseIndex([(others, np.arange(30)), (hidden, np.array([30]))])
    assert index.best_views(scene, 1).tolist() == [30]


@pytest.mark.parametrize(("height", "expected"), [(3, [0]), (2, []), (6, [0, 1])])
def test_views_without_room_are_left_out(height: int, expected: list[int]) -> None:
    small, large = embeddings(5, 1, SIZE, 3, 3), embeddings(6, 1, SIZE, 6, 3)
    index = CoarseIndex([(small, np.array([0])), (large, np.array([1]))])
    assert sorted(index.best_views(embeddings(7, 1, SIZE, height, 9), 5).tolist()) == expected
