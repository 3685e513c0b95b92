"""What the backbone sees in each view, ready to be searched for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.matching.gallery import View
from visionkit.matching.pyramid import to_input
from visionkit.models.backbone import Backbone
from visionkit.types import Image

_MARGIN = 3
"""Cells around a view that the backbone sees but the template leaves out: at the rim of a
picture the features are those of the padding."""


@dataclass(frozen=True)
class Template:
    """A view's feature patch at one size.

    Attributes:
        view: index of the view in the gallery.
        cells: length of the item's longer side in cells of the map; may be broken.
        features: (C, h, w) float16, not normalised, on the CPU.
        weights: (h, w) float32 0..1, how much of each cell the item covers.
        extent: width and height of the item, in parts of the patch's; about 1.
    """

    view: int
    cells: float
    features: torch.Tensor
    weights: torch.Tensor
    extent: tuple[float, float]


def build_templates(
    views: Sequence[View],
    backbone: Backbone,
    *,
    stride: int,
    cells: Sequence[float],
    first_view: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Template]:
    """A template for each view and each size, view by view.

    Args:
        views: what to look for.
        backbone: gives the map of `stride`.
        stride: in pixels.
        cells: sizes of the templates: length of the longer side in cells.
        first_view: index of the first of `views` in the gallery.
        progress: called with 1 after each view.
    """
    templates = []
    for index, view in enumerate(views):
        image = on_calm_ground(view)
        for size in cells:
            templates.append(_template(view, image, index + first_view, size, backbone, stride))
        if progress is not None:
            progress(1)
    return templates


def on_calm_ground(view: View) -> Image:
    """(H, W, 3) uint8 RGB: the view with its transparent parts filled.

    White, as most paper and screens are, unless the mark itself is nearly white: then a dark
    gray, so that it can be seen.
    """
    if view.alpha is None:
        return view.image
    alpha = view.alpha.astype(np.float32)[..., None] / 255
    solid = view.image[view.alpha > 127]
    is_light = solid.size > 0 and float(np.percentile(solid.mean(-1), 20)) > 200
    ground = 48.0 if is_light else 255.0
    laid = view.image.astype(np.float32) * alpha + ground * (1 - alpha)
    return np.asarray(laid.round(), np.uint8)


def _template(
    view: View, image: Image, index: int, cells: float, backbone: Backbone, stride: int
) -> Template:
    x_min, y_min, x_max, y_max = view.box
    width, height = x_max - x_min, y_max - y_min
    scale = cells * stride / max(width, height)
    # At least two cells a side: one cell matches anywhere. A rest of under a third of a
    # cell is mostly background, so it gets no cell of its own.
    rows = max(2, math.ceil(height * scale / stride - 0.3))
    columns = max(2, math.ceil(width * scale / stride - 0.3))
    size = ((columns + 2 * _MARGIN) * stride, (rows + 2 * _MARGIN) * stride)
    to_patch = np.array(
        [
            [scale, 0, (size[0] - 1) / 2 - scale * ((x_min + x_max) / 2 - 0.5)],
            [0, scale, (size[1] - 1) / 2 - scale * ((y_min + y_max) / 2 - 0.5)],
        ]
    )
    patch = _warp(image, to_patch, size, scale, cv2.BORDER_REPLICATE)
    inner = slice(_MARGIN, _MARGIN + rows), slice(_MARGIN, _MARGIN + columns)
    device = next(backbone.parameters()).device
    with torch.no_grad():
        features = backbone(to_input(patch, device)).maps[stride][0]
    return Template(
        view=index,
        cells=cells,
        features=features[:, inner[0], inner[1]].half().cpu(),
        weights=_cell_weights(view, to_patch, size, scale, stride)[inner],
        extent=(width * scale / stride / columns, height * scale / stride / rows),
    )


def _cell_weights(
    view: View, to_patch: NDArray[np.float64], size: tuple[int, int], scale: float, stride: int
) -> torch.Tensor:
    shape = (size[1] // stride, size[0] // stride)
    if view.alpha is None:
        return torch.ones(shape)
    alpha = _warp(view.alpha, to_patch, size, scale, cv2.BORDER_CONSTANT)
    cells = alpha.reshape(shape[0], stride, shape[1], stride).mean((1, 3)) / 255
    # Ground within a mark says something too (the hole of an O), so no cell counts nothing.
    return torch.from_numpy(cells).float().clamp(min=0.1)


def _warp(
    picture: NDArray[np.uint8],
    to_patch: NDArray[np.float64],
    size: tuple[int, int],
    scale: float,
    border: int,
) -> NDArray[np.uint8]:
    if scale < 0.75:  # bilinear sampling alone would alias
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale), np.uint8)
    warped = cv2.warpAffine(picture, to_patch, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, np.uint8)
