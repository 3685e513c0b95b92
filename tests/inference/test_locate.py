from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import supervision as sv
import torch
from torch import Tensor

from tests.training.boxes import new_network
from tests.worlds import photo
from visionkit.data.framing import Framing
from visionkit.heads.dense import cells_of
from visionkit.heads.localization import DenseOutputs, LocalizationHead
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.locate import Tiles, locate
from visionkit.models.backbone import Backbone
from visionkit.types import Features, Image

FRAMING = Framing((64, 96), "letterbox")


class Reds(Backbone):
    """Stands in for a trained network: its map of stride 1 is the pixels themselves."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Features:
        self.seen.append(len(images))
        return Features({1: images}, images.mean((2, 3)))


class BoxOfReds(LocalizationHead):
    """Finds the one box around all red pixels, if there are any: class 1, score by its area."""

    def __init__(self) -> None:
        super().__init__({8: 8}, 2, width=8, depth=1, iou_threshold=0.5)

    def forward(self, inputs: Features) -> DenseOutputs:
        images = inputs.maps[1]
        cells = cells_of({64: torch.zeros(1, 1, 1, 1)})
        boxes = torch.zeros(len(images), 1, 4)
        quality = torch.full((len(images), 1), -20.0)
        for index, image in enumerate(images):
            red = (image[0] > 0.8) & (image[1] < 0.2)
            rows, columns = red.any(1).nonzero()[:, 0], red.any(0).nonzero()[:, 0]
            if len(rows):
                edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                boxes[index, 0] = torch.tensor([float(edge) for edge in edges])
                quality[index] = 2.0
        classes = torch.tensor([-20.0, 3.0]).expand(len(images), 1, 2)
        return DenseOutputs(quality, boxes, classes, cells)


def with_red(height: int, width: int, *boxes: tuple[int, int, int, int]) -> Image:
    image = np.full((height, width, 3), 90, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = (255, 0, 0)
    return image


def found(images: list[Image], tiles: Tiles | None = None, **options: int) -> list[sv.Detections]:
    return found_by(Reds(), images, FRAMING, tiles=tiles, **options)


def found_by(
    backbone: Reds, images: list[Image], framing: Framing, **options: Any
) -> list[sv.Detections]:
    head = BoxOfReds()
    return locate(TorchNetwork(backbone, localization=head), head, images, framing, **options)


# Whole pictures.


def test_no_pictures() -> None:
    assert found([]) == []


def test_a_picture_without_objects() -> None:
    (nothing,) = found([with_red(64, 96)])
    assert nothing.xyxy.shape == (0, 4)
    assert len(nothing) == 0


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((64, 96), (10, 20, 30, 50)),
        ((640, 960), (100, 200, 300, 500)),
        ((32, 24), (4, 8, 16, 20)),  # enlarged, and beside it grey
        ((400, 100), (20, 40, 80, 120)),
    ],
)
def test_boxes_are_in_pixels_of_the_picture(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    (one,) = found([with_red(*size, box)])
    pixel = 1 / FRAMING.scale(*size)
    np.testing.assert_allclose(one.xyxy, [box], atol=1.5 * pixel)
    assert one.class_id is not None
    assert one.class_id.tolist() == [1]


def test_batched_equals_one_by_one() -> None:
    backbone, head = new_network()
    head.score_threshold = 0.0
    images = [photo(1, 100, 50), photo(2, 64, 96), photo(3, 300, 400)]
    network = TorchNetwork(backbone.eval(), localization=head.eval())
    together = locate(network, head, images, FRAMING)
    for image, expected in zip(images, together, strict=True):
        (alone,) = locate(network, head, [image], FRAMING, batch_size=1)
        np.testing.assert_allclose(alone.xyxy, expected.xyxy, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(alone.confidence, expected.confidence, rtol=1e-4)
        height, width = image.shape[:2]
        assert (expected.xyxy >= 0).all()
        assert (expected.xyxy <= [width, height, width, height]).all()


def test_the_backbone_sees_batches_of_all_pictures_together() -> None:
    backbone = Reds()
    found_by(backbone, [with_red(64, 96)] * 5, FRAMING, batch_size=2)
    assert backbone.seen == [2, 2, 1]


# Tiles.


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Tiles(scale=0),
        lambda: Tiles(scale=float("nan")),
        lambda: Tiles(overlap=1.0),
        lambda: Tiles(overlap=-0.1),
        lambda: Tiles(most=0),
    ],
)
def test_tiles_out_of_range(wrong: Callable[[], Tiles]) -> None:
    with pytest.raises(ValueError, match="tiles"):
        wrong()


@pytest.mark.parametrize("size", [(64, 96), (64, 10), (20, 20)])
def test_a_picture_that_fits_has_no_tiles(size: tuple[int, int]) -> None:
    backbone = Reds()
    found_by(backbone, [with_red(*size)], FRAMING, tiles=Tiles())
    assert backbone.seen == [1]


def test_a_small_object_that_is_lost_in_the_whole_picture_is_found_in_a_tile() -> None:
    box = (700, 500, 702, 502)  # a fifth of a pixel of the frame
    image = with_red(640, 960, box)
    assert len(found([image])[0]) == 0
    (one,) = found([image], Tiles(most=200))
    np.testing.assert_allclose(one.xyxy, [box], atol=0.01)


def test_an_object_in_the_overlap_is_found_once() -> None:
    # Two tiles of 96 x 64 side by side overlap from column 54 to 96.
    (one,) = found([with_red(64, 150, (60, 10, 90, 40))], Tiles())
    assert len(one) == 1
    np.testing.assert_allclose(one.xyxy, [[60, 10, 90, 40]], atol=2)


def test_an_object_that_every_tile_cuts_is_found_in_the_whole_picture() -> None:
    box = (20, 10, 140, 50)
    (one,) = found([with_red(64, 150, box)], Tiles())
    assert len(one) == 1
    np.testing.assert_allclose(one.xyxy, [box], atol=2.5)


def test_objects_at_the_rim_of_the_picture_stay() -> None:
    (one,) = found([with_red(64, 150, (0, 0, 20, 20))], Tiles())
    np.testing.assert_allclose(one.xyxy, [[0, 0, 20, 20]], atol=2)


@pytest.mark.parametrize(("most", "expected"), [(1, 0), (1000, 13 * 13)])
def test_tiles_are_no_more_than_allowed(most: int, expected: int) -> None:
    """A frame covers 96 x 64 of 960 x 640 in steps of 72 x 48: 13 each way."""
    backbone = Reds()
    found_by(backbone, [with_red(640, 960)], FRAMING, tiles=Tiles(most=most))
    assert sum(backbone.seen) == 1 + expected


def test_where_tiles_would_be_too_many_they_are_larger() -> None:
    backbone = Reds()
    found_by(backbone, [with_red(640, 960)], FRAMING, tiles=Tiles(most=20))
    assert 4 <= sum(backbone.seen) - 1 <= 20


def test_every_pixel_lies_in_a_tile() -> None:
    """One red pixel anywhere is found at its place."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, top = int(rng.integers(398)), int(rng.integers(298))
        box = (left, top, left + 2, top + 2)
        (one,) = found([with_red(300, 400, box)], Tiles())
        assert len(one) >= 1
        assert np.abs(one.xyxy - box).max(1).min() < 0.01
