from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visionkit.matching.shortlist import CoarseIndex

SIZE = 10
"""Length of an embedding."""
Floats = NDArray[np.float64]


def embeddings(seed: int, *shape: int) -> torch.Tensor:
    """Unit vectors along the second axis."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=1)


def by_similarity(similarity: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
    return similarity


def blurred(cells: Floats) -> Floats:
    """(D, ceil(h / 2), ceil(w / 2)) means of 2x2 cells, of fewer at the rim."""
    rows, columns = cells.shape[1:]
    return np.array(
        [
            [cells[:, y : y + 2, x : x + 2].mean((1, 2)) for x in range(0, columns, 2)]
            for y in range(0, rows, 2)
        ]
    ).transpose(2, 0, 1)


def quarters(patch: Floats) -> Floats:
    """The means of a patch's quarters, which share its middle where a side is odd, as one unit
    vector."""
    rows, columns = patch.shape[1:]
    half_rows, half_columns = (rows + 1) // 2, (columns + 1) // 2
    vector = np.concatenate(
        [
            patch[:, y : y + half_rows, x : x + half_columns].mean((1, 2))
            for y in (0, rows - half_rows)
            for x in (0, columns - half_columns)
        ]
    )
    return vector / np.linalg.norm(vector)


def likeness_by_loops(scene: Floats, kernel: Floats) -> dict[tuple[int, int], float]:
    """Row and column of each window in blurred cells -> how alike its quarters are."""
    cells = blurred(scene)
    rows, columns = -(-kernel.shape[1] // 2), -(-kernel.shape[2] // 2)
    return {
        (y, x): float(quarters(kernel) @ quarters(cells[:, y : y + rows, x : x + columns]))
        for y in range(cells.shape[1] - rows + 1)
        for x in range(cells.shape[2] - columns + 1)
    }


def best_by_loops(scene: Floats, kernel: Floats) -> tuple[float, tuple[float, float]]:
    """The mean cosine, with means of cells, at the best of the two windows whose quarters are
    most alike; and its middle in cells."""
    cells, likeness = blurred(scene), likeness_by_loops(scene, kernel)
    rows, columns = -(-kernel.shape[1] // 2), -(-kernel.shape[2] // 2)
    found = {}
    for y, x in sorted(likeness, key=lambda place: -likeness[place])[:2]:
        found[y, x] = sum(
            float(kernel[:, row, column] @ cells[:, y + row // 2, x + column // 2])
            for row in range(kernel.shape[1])
            for column in range(kernel.shape[2])
        )
    y, x = max(found, key=lambda place: found[place])
    return found[y, x], (2 * y + rows, 2 * x + columns)


def test_no_views() -> None:
    look = CoarseIndex([]).look(embeddings(0, 1, SIZE, 9, 9))
    assert look.best(5, by_similarity, -np.inf).views.tolist() == []


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (3, 7), (2, 2)])
def test_order_is_that_of_plain_loops(shape: tuple[int, int]) -> None:
    kernels, scene = embeddings(1, 12, SIZE, *shape), embeddings(2, 1, SIZE, 11, 13)
    look = CoarseIndex([(kernels, np.arange(12))]).look(scene)
    expected = [best_by_loops(scene[0].double().numpy(), k.double().numpy()) for k in kernels]
    order = sorted(range(12), key=lambda view: -expected[view][0])
    found = look.best(12, by_similarity, -np.inf)
    assert found.views.tolist() == order
    assert [tuple(centre) for centre in found.centres] == [expected[view][1] for view in order]
    assert look.best(5, by_similarity, -np.inf).views.tolist() == order[:5]


def test_what_is_unlikely_is_left_out() -> None:
    kernels, scene = embeddings(1, 12, SIZE, 4, 4), embeddings(2, 1, SIZE, 11, 13)
    look = CoarseIndex([(kernels, np.arange(12))]).look(scene)
    expected = [best_by_loops(scene[0].double().numpy(), k.double().numpy())[0] for k in kernels]
    least = sorted(expected)[-4] - 1e-3
    assert len(look.best(12, by_similarity, least).views) == 4

    def upside_down(
        similarity: NDArray[np.float32], views: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return -similarity - 100 * (views == 3)

    order = sorted(range(12), key=lambda view: expected[view] + 100 * (view == 3))
    assert look.best(12, upside_down, -np.inf).views.tolist() == order


@pytest.mark.parametrize("shape", [(4, 4), (3, 7)])
def test_places_are_those_of_plain_loops(shape: tuple[int, int]) -> None:
    kernels, scene = embeddings(8, 6, SIZE, *shape), embeddings(9, 1, SIZE, 16, 21)
    look = CoarseIndex([(kernels, np.arange(6))]).look(scene)
    found = look.best(6, by_similarity, -np.inf).take(np.array([4, 1]))
    centres, is_place = look.places(found, 4)
    steps = -(-shape[0] // 2), -(-shape[1] // 2)
    for view, own, known in zip(found.views, centres, is_place, strict=True):
        likeness = likeness_by_loops(scene[0].double().numpy(), kernels[view].double().numpy())
        peaks = [
            (y, x)
            for y, x in likeness
            if all(
                likeness[y, x] >= likeness.get((y + dy, x + dx), -9.0)
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            )
        ]
        best = sorted(peaks, key=lambda place: -likeness[place])[:4]
        expected = [(2 * y + steps[0], 2 * x + steps[1]) for y, x in best]
        assert [tuple(centre) for centre in own[known]] == expected
        assert (own[~known] == own[0]).all()


def test_shapes_are_compared_with_each_other() -> None:
    scene = embeddings(3, 1, SIZE, 12, 14)
    others = embeddings(4, 30, SIZE, 4, 4)
    hidden = scene[:, :, 4:7, 6:12].clone()  # lies in the scene, on a step of the search
    index = CoarseIndex([(others, np.arange(30)), (hidden, np.array([30]))])
    found = index.look(scene).best(1, by_similarity, -np.inf)
    assert found.views.tolist() == [30]
    assert found.centres.tolist() == [[6.0, 9.0]]


@pytest.mark.parametrize(("height", "expected"), [(3, [0]), (2, []), (6, [0, 1])])
def test_views_without_room_are_left_out(height: int, expected: list[int]) -> None:
    small, large = embeddings(5, 1, SIZE, 3, 3), embeddings(6, 1, SIZE, 6, 3)
    index = CoarseIndex([(small, np.array([0])), (large, np.array([1]))])
    found = index.look(embeddings(7, 1, SIZE, height, 9)).best(5, by_similarity, -np.inf)
    assert sorted(found.views.tolist()) == expected


def test_thousands_of_views_are_found_by_cluster() -> None:
    # 40 kinds of things, 30 views of each, which differ a little, as real ones do; like theirs,
    # cells side by side resemble each other.
    kinds = embeddings(10, 40, SIZE, 2, 2).repeat_interleave(30, 0)
    kinds = kinds.repeat_interleave(2, 2).repeat_interleave(2, 3)
    noise = torch.randn(kinds.shape, generator=torch.Generator().manual_seed(11))
    kernels = torch.nn.functional.normalize(kinds + 0.15 * noise, dim=1)
    index = CoarseIndex([(kernels, np.arange(1200))])
    lost = []
    for view in range(0, 1200, 60):
        scene = embeddings(100 + view, 1, SIZE, 20, 26)
        scene[0, :, 6:10, 12:16] = kernels[view]
        found = index.look(scene).best(3, by_similarity, -np.inf)
        if view not in found.views or [8.0, 14.0] not in found.centres.tolist():
            lost.append(view)
    assert lost == []
