"""What a backbone is worth: classes told apart by neighbours, and pieces found again in photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visionkit.models.backbone import Backbone
from visionkit.training.pretrain.batches import to_tensor
from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.views import Cutout, Matrix, photo_cutout, pick, relight
from visionkit.types import Image

_TEMPLATE_SCALES = (0.67, 0.82, 1.0, 1.22, 1.5)


@dataclass(frozen=True)
class Search:
    """One piece to be found again.

    Attributes:
        template: (h, w, 3) uint8, the piece as it was shown before.
        scene: (H, W, 3) uint8 in which it lies, seen anew.
        box: xyxy pixels of the scene.
    """

    template: Image
    scene: Image
    box: tuple[float, float, float, float]


def neighbour_accuracy(
    backbone: Backbone,
    known: LabelledPictures,
    asked: LabelledPictures,
    *,
    size: int,
    neighbours: int = 10,
) -> float:
    """Part 0..1 of `asked` whose class is the one most of its nearest `known` pictures have.

    Cosine of the centred pooled features; neighbours vote with exp(similarity / 0.07), as in
    Wu et al. 2018.
    """
    references = _pooled(backbone, known.images, size)
    centre = references.mean(dim=0)
    queries = F.normalize(_pooled(backbone, asked.images, size) - centre, dim=1)
    similarity = queries @ F.normalize(references - centre, dim=1).T
    best = similarity.topk(min(neighbours, len(references)), dim=1)
    votes = torch.zeros(len(queries), len(known.wnids))
    labels = torch.from_numpy(known.labels)[best.indices]
    votes.scatter_add_(1, labels, (best.values / 0.07).exp())
    return float((votes.argmax(dim=1) == torch.from_numpy(asked.labels)).float().mean())


def measure(
    backbone: Backbone,
    known: LabelledPictures,
    asked: LabelledPictures,
    searches: Mapping[str, Sequence[Search]],
    *,
    size: int = 128,
    enlarged: bool = True,
) -> dict[str, float]:
    """Neighbour accuracy and hit rates, 0..1, of a backbone with maps of stride 8 and 16.

    Args:
        backbone: what is measured.
        known: pictures whose classes are known.
        asked: pictures whose classes are asked for.
        searches: kind -> pieces to find again.
        size: pixels of the labelled pictures as the backbone sees them.
        enlarged: whether pieces are also searched by the map of stride 16 at twice the size.
    """
    values = {"neighbours": neighbour_accuracy(backbone, known, asked, size=size)}
    for kind, pieces in searches.items():
        rates = hit_rates(backbone, pieces, strides=(8, 16))
        values.update({f"{kind}_{stride}": rate for stride, rate in rates.items()})
        if enlarged:
            rates = hit_rates(backbone, pieces, strides=(16,), enlarge=2.0)
            values[f"{kind}_16_enlarged"] = rates[16]
    return values


def make_searches(
    photos: Sequence[Image], marks: Sequence[Cutout], *, count: int, seed: int
) -> dict[str, list[Search]]:
    """Pieces to find again, `count` of each kind, the same for the same arguments.

    "photo": a piece of one of four photos laid side by side, shown turned, scaled, tilted and
    in another light. "mark": a drawn mark that is laid on one of the four, learned from a
    picture of it on another photo.
    """
    rng = np.random.default_rng(seed)
    return {
        "photo": [_photo_search(rng, photos) for _ in range(count)],
        "mark": [_cutout_search(rng, photos, marks) for _ in range(count)],
    }


def hit_rates(
    backbone: Backbone,
    searches: Sequence[Search],
    *,
    strides: Sequence[int],
    enlarge: float = 1.0,
) -> dict[int, float]:
    """Stride -> part 0..1 of the pieces whose best place has an IoU of 0.5 with the right one.

    The template is seen at 5 scales; each time its centred, L2-normalised features are
    correlated with the scene's, without padding, and the best mean similarity wins. This is
    the exemplar head's search without any of its learned parts.

    Args:
        backbone: with maps of these strides.
        searches: see `make_searches`.
        strides: of the maps, in pixels.
        enlarge: factor by which scene and template are enlarged first.
    """
    hits: dict[int, list[bool]] = {stride: [] for stride in strides}
    for search in searches:
        for stride, box in _locate(backbone, search, strides, enlarge).items():
            hits[stride].append(_overlap(box, search.box) >= 0.5)
    return {stride: float(np.mean(found)) if found else 0.0 for stride, found in hits.items()}


@torch.no_grad()
def _locate(
    backbone: Backbone, search: Search, strides: Sequence[int], enlarge: float
) -> dict[int, tuple[float, float, float, float]]:
    scene = backbone(_input(search.scene, enlarge)).maps
    centres = {stride: scene[stride].mean(dim=(0, 2, 3), keepdim=True) for stride in strides}
    best = dict.fromkeys(strides, (-2.0, 0.0, 0.0, 0.0, 0.0))
    for scale in _TEMPLATE_SCALES:
        piece = _input(search.template, enlarge * scale)
        height, width = piece.shape[2] / enlarge, piece.shape[3] / enlarge
        views = backbone(piece).maps
        for stride, centre in centres.items():
            where = F.normalize(scene[stride] - centre, dim=1)[0]
            template = F.normalize(views[stride] - centre, dim=1)[0]
            rows, columns = template.shape[1:]
            if rows > where.shape[1] or columns > where.shape[2]:
                continue
            score = correlate(where, template / (rows * columns))
            place = int(score.argmax())
            y, x = divmod(place, score.shape[1])
            pixels = stride / enlarge
            found = (float(score.flatten()[place]), x * pixels, y * pixels, width, height)
            best[stride] = max(best[stride], found)
    return {
        stride: (left, top, left + width, top + height)
        for stride, (_, left, top, width, height) in best.items()
    }


def correlate(scene: Tensor, template: Tensor) -> Tensor:
    """(C, H, W) and (C, h, w): the (H - h + 1, W - w + 1) sums of products, by way of FFT."""
    height, width = scene.shape[1:]
    rows, columns = template.shape[1:]
    spectrum = torch.fft.rfft2(scene) * torch.fft.rfft2(template, s=(height, width)).conj()
    whole: Tensor = torch.fft.irfft2(spectrum.sum(dim=0), s=(height, width))
    return whole[: height - rows + 1, : width - columns + 1]


def _photo_search(rng: np.random.Generator, photos: Sequence[Image]) -> Search:
    scene, corners = _mosaic(rng, photos)
    x, y = corners[int(rng.integers(4))]
    width, height = rng.integers(40, 97, size=2)
    left, top = (
        x + int(rng.integers(0, 240 - width + 1)),
        y + int(rng.integers(0, 240 - height + 1)),
    )
    scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
    shape = (int(width * scale), int(height * scale))
    view = _view_of_box(rng, scene, (left, top, int(width), int(height)), shape)
    return Search(
        template=relight(rng, view),
        scene=relight(rng, scene),
        box=(float(left), float(top), float(left + width), float(top + height)),
    )


def _cutout_search(
    rng: np.random.Generator, photos: Sequence[Image], marks: Sequence[Cutout]
) -> Search:
    scene, corners = _mosaic(rng, photos)
    mark = marks[int(rng.integers(len(marks)))] if marks else photo_cutout(rng, photos[0])
    x, y = corners[int(rng.integers(4))]
    side = int(rng.integers(40, 121))
    left, top = x + int(rng.integers(0, 240 - side + 1)), y + int(rng.integers(0, 240 - side + 1))
    scene = _lay(scene, mark, (left, top, side))
    other, _ = _mosaic(rng, photos)
    other = _lay(other, mark, (48, 48, 144))
    scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
    shape = (int(side * scale), int(side * scale))
    view = _view_of_box(rng, other, (48, 48, 144, 144), shape)
    return Search(
        template=relight(rng, view),
        scene=relight(rng, scene),
        box=(float(left), float(top), float(left + side), float(top + side)),
    )


def _view_of_box(
    rng: np.random.Generator,
    image: Image,
    box_xywh: tuple[int, int, int, int],
    size: tuple[int, int],
) -> Image:
    """What lies in a box, turned and tilted a little, as (height, width) of `size` (w, h)."""
    x, y, width, height = box_xywh
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)
    middle = corners.mean(axis=0)
    angle = np.deg2rad(rng.normal(0, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jitter = rng.normal(0, 0.04, corners.shape) * (width, height)
    source = ((corners - middle) @ turn.T + middle + jitter).astype(np.float32)
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    matrix: Matrix = np.asarray(cv2.getPerspectiveTransform(source, target), dtype=np.float64)
    warped = cv2.warpPerspective(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, dtype=np.uint8)


def _mosaic(
    rng: np.random.Generator, photos: Sequence[Image]
) -> tuple[Image, list[tuple[int, int]]]:
    """Four photos of 240x240 side by side and their upper left corners (x, y)."""
    scene = np.empty((480, 480, 3), np.uint8)
    corners = [(0, 0), (240, 0), (0, 240), (240, 240)]
    for x, y in corners:
        photo = pick(rng, photos)
        scale = 240 / min(photo.shape[:2])
        enlarged = np.asarray(cv2.resize(photo, None, fx=scale * 1.001, fy=scale * 1.001))
        top = (enlarged.shape[0] - 240) // 2
        left = (enlarged.shape[1] - 240) // 2
        scene[y : y + 240, x : x + 240] = enlarged[top : top + 240, left : left + 240]
    return scene, corners


def _lay(scene: Image, mark: Cutout, place: tuple[int, int, int]) -> Image:
    left, top, side = place
    scaled = np.asarray(cv2.resize(mark, (side, side), interpolation=cv2.INTER_AREA))
    alpha = scaled[..., 3:].astype(np.float32) / 255
    result = scene.copy()
    part = result[top : top + side, left : left + side]
    part[:] = (part * (1 - alpha) + scaled[..., :3] * alpha).astype(np.uint8)
    return result


def _input(image: Image, scale: float) -> Tensor:
    if scale != 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
    return to_tensor([image]).float() / 255


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@torch.no_grad()
def _pooled(backbone: Backbone, images: NDArray[np.uint8], size: int) -> Tensor:
    return torch.cat([backbone(batch).pooled for batch in _scaled(images, size)])


def _scaled(images: NDArray[np.uint8], size: int, batch_size: int = 64) -> Iterator[Tensor]:
    for start in range(0, len(images), batch_size):
        batch = to_tensor(list(images[start : start + batch_size])).float() / 255
        yield F.interpolate(batch, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
