from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.matching.candidates import Candidates, no_candidates
from visionkit.matching.pairs import gather_pairs
from visionkit.matching.pyramid import Level, ScenePyramid
from visionkit.matching.templates import Template

CHANNELS = 3


def scene() -> ScenePyramid:
    generator = torch.Generator().manual_seed(0)
    levels = (
        Level(torch.randn(CHANNELS, 20, 30, generator=generator), 1.0, 1.0),
        Level(torch.randn(CHANNELS, 10, 15, generator=generator), 0.5, 0.5),
    )
    return ScenePyramid(levels, (160, 240), 8)


def template() -> Template:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(CHANNELS, 5, 7, generator=generator).half()
    weights = torch.rand(5, 7, generator=generator)
    return Template(0, 8.0, features, weights, (0.9, 0.7))


def sampled(features: NDArray[np.float32], x: float, y: float) -> NDArray[np.float64]:
    """(C,) the map at a place, where cell i reaches from i to i + 1; zero beyond one cell."""
    height, width = features.shape[1:]
    if not (-0.5 <= y <= height + 0.5 and -0.5 <= x <= width + 0.5):
        return np.zeros(len(features))
    row, column = np.clip(y - 0.5, 0, height - 1), np.clip(x - 0.5, 0, width - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = row - top, column - left
    upper = features[:, top, left] * (1 - along) + features[:, top, right] * along
    lower = features[:, bottom, left] * (1 - along) + features[:, bottom, right] * along
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def grid(
    features: NDArray[np.float32], box: tuple[float, float, float, float], size: int
) -> NDArray[np.float64]:
    """(C, size, size): the map at the middle of each part of a box, which is in cells."""
    x_min, y_min, x_max, y_max = box
    result = np.zeros((len(features), size, size))
    for row in range(size):
        for column in range(size):
            x = x_min + (column + 0.5) * (x_max - x_min) / size
            y = y_min + (row + 0.5) * (y_max - y_min) / size
            result[:, row, column] = sampled(features, x, y)
    return result


def test_no_candidates() -> None:
    none = np.zeros(0, np.float32)
    pairs = gather_pairs(
        no_candidates(),
        none,
        np.zeros(0, np.int64),
        scene(),
        [template()],
        np.zeros(0, np.int64),
    )
    shapes = [tuple(value.shape) for value in vars(pairs).values()]
    assert shapes == [(0, 3, 10, 10), (0, 3, 8, 8), (0, 8, 8), (0,), (0, 3), (0, 4), (0,)]


def test_grids_and_evidence_are_those_of_plain_loops() -> None:
    boxes = np.array([[40, 24, 104, 56], [100, 60, 180, 140], [-10, 100, 50, 170]], np.float32)
    candidates = Candidates(
        boxes,
        np.array([0.6, 0.4, 0.2], np.float32),
        np.array([0, 0, 0]),
        np.array([0, 1, 0]),
    )
    prior = np.array([2.0, -1.0, 0.5], np.float32)
    inliers = np.array([0, 7, 1])
    pyramid, view = scene(), template()
    pairs = gather_pairs(candidates, prior, inliers, pyramid, [view], np.array([2, -1, 0]))
    assert pairs.item.tolist() == [2, -1, 0]

    for number, (box, level) in enumerate(zip(boxes, candidates.level, strict=True)):
        scale = (1.0, 0.5)[level]
        x_min, y_min, x_max, y_max = (float(edge) * scale / 8 for edge in box)
        # One of eight cells more on each side.
        margin_x, margin_y = (x_max - x_min) / 8, (y_max - y_min) / 8
        around = (x_min - margin_x, y_min - margin_y, x_max + margin_x, y_max + margin_y)
        expected = grid(pyramid.levels[level].features.numpy(), around, 10)
        np.testing.assert_allclose(pairs.scene[number].numpy(), expected, atol=1e-4)

    # The item covers 0.9 of 7 and 0.7 of 5 cells, in the middle.
    item = (3.5 - 3.15, 2.5 - 1.75, 3.5 + 3.15, 2.5 + 1.75)
    expected = grid(view.features.float().numpy(), item, 8)
    np.testing.assert_allclose(pairs.view[2].numpy(), expected, atol=1e-4)
    expected = grid(view.weights.numpy()[None], item, 8)[0]
    np.testing.assert_allclose(pairs.weights[1].numpy(), expected, atol=1e-5)

    np.testing.assert_allclose(
        pairs.evidence.numpy(),
        [
            [0.5, 0.6, 0],
            [-0.25, 0.4, math.log(8)],
            [0.125, 0.2, math.log(2)],
        ],
        atol=1e-6,
    )
    np.testing.assert_array_equal(pairs.prior.numpy(), prior)
    np.testing.assert_array_equal(pairs.boxes.numpy(), boxes)


def test_a_box_without_extent_gives_finite_numbers() -> None:
    candidates = Candidates(
        np.array([[10, 10, 10, 10]], np.float32),
        np.zeros(1, np.float32),
        np.array([0]),
        np.array([0]),
    )
    pairs = gather_pairs(
        candidates,
        np.zeros(1, np.float32),
        np.array([0]),
        scene(),
        [template()],
        np.array([-1]),
    )
    assert all(torch.isfinite(value).all() for value in vars(pairs).values())


def test_each_candidate_gets_its_own_view() -> None:
    generator = torch.Generator().manual_seed(2)
    views = [
        Template(n, 8.0, torch.full((CHANNELS, 4, 4), float(n)).half(), torch.ones(4, 4), (1, 1))
        for n in range(3)
    ]
    chosen = torch.randint(0, 3, (9,), generator=generator).numpy()
    candidates = Candidates(
        np.tile(np.array([[8, 8, 64, 64]], np.float32), (9, 1)),
        np.zeros(9, np.float32),
        chosen,
        np.zeros(9, np.int64),
    )
    zeros = np.zeros(9, np.float32)
    pairs = gather_pairs(candidates, zeros, np.zeros(9, np.int64), scene(), views, np.full(9, -1))
    assert pairs.view.mean((1, 2, 3)).tolist() == chosen.tolist()
