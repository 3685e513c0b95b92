from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds import crop_view, photo, small_backbone, view
from visionkit.matching.gallery import make_view
from visionkit.matching.templates import build_templates, on_calm_ground


def test_no_views_no_templates() -> None:
    assert build_templates([], small_backbone(), stride=8, cells=(6.0,)) == []


def test_view_by_view_each_size() -> None:
    seen: list[int] = []
    templates = build_templates(
        [view("a", 1), crop_view("b", 2)],
        small_backbone(),
        stride=8,
        cells=(6.0, 4.2),
        first_view=5,
        progress=seen.append,
    )
    assert [(t.view, t.cells) for t in templates] == [(5, 6.0), (5, 4.2), (6, 6.0), (6, 4.2)]
    assert seen == [1, 1]


@pytest.mark.parametrize(
    ("width", "height", "cells", "shape"),
    [
        # (rows, columns), worked out by hand: a rest of up to 0.3 of a cell gets none.
        (80, 80, 8.0, (8, 8)),
        (80, 40, 8.0, (4, 8)),
        (40, 80, 8.0, (8, 4)),
        (80, 43, 8.0, (4, 8)),  # 4.3 cells high
        (80, 45, 8.0, (5, 8)),  # 4.5 cells high
        (80, 80, 11.3, (11, 11)),
        (80, 80, 5.66, (6, 6)),
        (80, 2, 8.0, (2, 8)),  # never a single cell
        (1, 1, 8.0, (8, 8)),
    ],
)
def test_shape_follows_the_item(
    width: int, height: int, cells: float, shape: tuple[int, int]
) -> None:
    made = make_view("a", photo(3)[:height, :width])
    template = build_templates([made], small_backbone(), stride=8, cells=(cells,))[0]
    assert tuple(template.weights.shape) == shape
    assert tuple(template.features.shape[1:]) == shape
    assert torch.isfinite(template.features).all()
    # The item's extent within the patch keeps its form.
    item_width, item_height = template.extent[0] * shape[1], template.extent[1] * shape[0]
    assert max(item_width, item_height) == pytest.approx(cells)
    assert item_width / item_height == pytest.approx(width / height)


@pytest.mark.parametrize(("height", "width"), [(1, 4000), (4000, 1)])
def test_a_strip_is_a_view_too(height: int, width: int) -> None:
    strip = np.full((height, width, 3), 90, np.uint8)
    template = build_templates([make_view("a", strip)], small_backbone(), stride=8, cells=(8.0,))[0]
    assert sorted(template.weights.shape) == [2, 8]
    assert torch.isfinite(template.features).all()


def test_weights_say_where_the_item_is() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :32] = 255
    alpha[0, 0] = alpha[-1, -1] = 255  # the extent is the whole picture
    image = photo(4)[:64, :64]
    opaque, half = (
        build_templates([made], small_backbone(), stride=8, cells=(8.0,))[0].weights
        for made in (make_view("a", image), make_view("a", image, alpha=alpha))
    )
    torch.testing.assert_close(opaque, torch.ones(8, 8))
    torch.testing.assert_close(half[1:7, :3], torch.ones(6, 3))
    torch.testing.assert_close(half[1:7, 5:], torch.full((6, 3), 0.1))


def test_a_template_is_what_the_backbone_sees_of_the_view_in_its_place() -> None:
    image = photo(5, 160, 160)
    scene = small_backbone()(
        torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
    ).maps[8][0]
    made = make_view("a", image, box=(48, 56, 112, 120))  # whole cells, 64 pixels
    template = build_templates([made], small_backbone(), stride=8, cells=(8.0,))[0]
    expected = scene[:, 7:15, 6:14].flatten()
    similarity = torch.cosine_similarity(template.features.float().flatten(), expected, dim=0)
    assert similarity > 0.99


@pytest.mark.parametrize(
    ("colour", "ground"), [(30, 255), (128, 255), (245, 48)], ids=["dark", "gray", "nearly white"]
)
def test_calm_ground_lets_the_mark_be_seen(colour: int, ground: int) -> None:
    image = np.full((20, 20, 3), colour, np.uint8)
    alpha = np.zeros((20, 20), np.uint8)
    alpha[5:15, 5:15] = 255
    alpha[5, 5] = 51  # a fifth
    laid = on_calm_ground(make_view("a", image, alpha=alpha, box=(0, 0, 20, 20)))
    assert (laid[0, 0] == ground).all()
    assert (laid[10, 10] == colour).all()
    assert laid[5, 5, 0] == round(0.2 * colour + 0.8 * ground)


def test_calm_ground_of_a_picture_without_transparency_is_the_picture() -> None:
    made = make_view("a", photo(6))
    np.testing.assert_array_equal(on_calm_ground(made), photo(6))
