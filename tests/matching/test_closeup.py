from __future__ import annotations

import numpy as np
import pytest
import torch

from visionkit.matching.closeup import closest

SIZE = 6
"""Length of an embedding."""
SHAPES = ((3, 4), (4, 2), (4, 4))
"""Rows and columns of the templates, which are padded to the largest."""


def cells_of(seed: int, *shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_loops(
    cells: np.ndarray,
    kernel: np.ndarray,
    centre: tuple[float, float],  # type: ignore[type-arg]
) -> tuple[float, tuple[int, int]]:
    """The best dot product of a kernel with the cells at the first cells up to one cell off that
    which puts its middle on the centre, within the scene."""
    rows, columns = kernel.shape[1:]
    last = cells.shape[0] - rows, cells.shape[1] - columns
    first = [
        int(min(max(round(middle - side / 2), 0), end))
        for middle, side, end in zip(centre, (rows, columns), last, strict=True)
    ]
    found = {}
    for y in range(first[0] - 1, first[0] + 2):
        for x in range(first[1] - 1, first[1] + 2):
            if 0 <= y <= last[0] and 0 <= x <= last[1]:
                patch = cells[y : y + rows, x : x + columns].transpose(2, 0, 1)
                found[y, x] = float((patch * kernel).sum())
    place = max(found, key=lambda each: found[each])
    return found[place], place


@pytest.mark.parametrize("size", [(11, 14), (4, 9), (5, 4)])
def test_as_by_plain_loops(size: tuple[int, int]) -> None:
    cells = cells_of(0, *size, SIZE)
    kernels = [cells_of(1 + number, SIZE, *shape) for number, shape in enumerate(SHAPES)]
    padded = np.zeros((3, SIZE, 4, 4), np.float32)
    for row, kernel in zip(padded, kernels, strict=True):
        row[:, : kernel.shape[1], : kernel.shape[2]] = kernel
    rng = np.random.default_rng(9)
    # Beyond the scene, too: what lies there is drawn in.
    centres = rng.uniform(-2, 1, (3, 7, 2)) + rng.uniform(0, 1, (3, 7, 2)) * (np.array(size) + 2)
    found = closest(torch.from_numpy(cells), torch.from_numpy(padded), np.array(SHAPES), centres)
    for number, kernel in enumerate(kernels):
        for place in range(7):
            value, first = by_loops(cells, kernel, tuple(centres[number, place]))
            assert found.similarity[number, place] == pytest.approx(value, abs=1e-4)
            assert (found.rows[number, place], found.columns[number, place]) == first


def test_what_does_not_fit_is_nowhere() -> None:
    cells = torch.from_numpy(cells_of(0, 3, 9, SIZE))
    kernels = torch.from_numpy(cells_of(1, 1, SIZE, 4, 4))
    found = closest(cells, kernels, np.array([[4, 4]]), np.full((1, 2, 2), 2.0))
    assert (found.similarity == -np.inf).all()
