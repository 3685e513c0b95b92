"""Homographies and bends in batches, against values worked out by hand and by OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from visionkit.training.pretrain import warp


def test_turning_by_a_quarter_and_scaling_by_two() -> None:
    matrix = warp.turn_and_scale(torch.tensor([math.pi / 2]), torch.tensor([2.0]))
    torch.testing.assert_close(
        warp.apply(matrix, torch.tensor([[1.0, 0.0]])),
        torch.tensor([[[0.0, 2.0]]]),
        rtol=0,
        atol=1e-6,
    )


def test_a_tilt_moves_the_corners_as_opencv_says() -> None:
    torch.manual_seed(0)
    offsets = torch.randn(3, 4, 2) * 5
    corners = np.array([[0, 0], [64, 0], [64, 64], [0, 64]], np.float32)
    for matrix, offset in zip(warp.tilt(offsets, 64.0), offsets, strict=True):
        expected = cv2.getPerspectiveTransform(corners, corners + offset.numpy())
        np.testing.assert_allclose(matrix.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_points_behind_the_picture_are_far_away() -> None:
    matrix = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-1, 0, 1]]])
    assert (warp.apply(matrix, torch.tensor([[3.0, 3.0]])) < -1e5).all()


def test_a_bend_is_undone() -> None:
    bend = warp.random_bend(
        8, 100, part=1.0, generator=torch.Generator().manual_seed(0), device=torch.device("cpu")
    )
    points = warp.pixels(100, torch.device("cpu")).expand(8, -1, -1)
    moved = points + bend.displacement(points)
    assert (moved - points).abs().max() > 1
    assert (bend.undone(moved) - points).abs().max() < 0.1


def test_no_part_bent_means_flat() -> None:
    bend = warp.random_bend(
        4, 100, part=0.0, generator=torch.Generator().manual_seed(0), device=torch.device("cpu")
    )
    assert bend.displacement(torch.rand(4, 5, 2) * 100).abs().max() == 0


def test_looking_through_a_shift_moves_pixels() -> None:
    texture = torch.zeros(1, 1, 8, 8)
    texture[0, 0, 2, 3] = 1  # row 2, column 3
    view = warp.look(texture, warp.shift(torch.tensor([[2.0, 1.0]])), 8, outside="zeros")
    assert view[0, 0].nonzero().tolist() == [[3, 5]]
