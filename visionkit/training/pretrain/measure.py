"""What a backbone is worth: classes told by a linear layer, pieces found again in photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visionkit.models.backbone import Backbone
from visionkit.training.pretrain.batches import to_tensor
from visionkit.training.pretrain.pictures import LabelledPictures
from visionkit.training.pretrain.searches import Search
from visionkit.types import Image

_TEMPLATE_SCALES = (0.67, 0.82, 1.0, 1.22, 1.5)


def probe_accuracy(
    backbone: Backbone,
    known: LabelledPictures,
    asked: LabelledPictures,
    *,
    size: int,
    penalty: float = 0.03,
) -> float:
    """Part 0..1 of `asked` whose class a linear layer learned from `known` names.

    The layer is ridge regression of the standardised pooled features to the classes, solved in
    one step. What it says goes with logistic regression, which takes minutes; nearest neighbours
    do not: they fell from 0.15 to 0.09 while logistic regression rose.

    Args:
        backbone: what is measured.
        known: pictures whose classes are known.
        asked: pictures whose classes are asked for.
        size: pixels of the pictures as the backbone sees them.
        penalty: of the squared weights, in parts of a feature's variance.
    """
    learned = _pooled(backbone, known.images, size)
    mean, spread = learned.mean(0), learned.std(0, correction=0).clamp(min=1e-6)
    learned = ((learned - mean) / spread).double()
    wanted = F.one_hot(torch.from_numpy(known.labels), len(known.wnids)).double()
    shares = wanted.mean(0)
    gram = learned.T @ learned / len(learned)
    gram += penalty * torch.eye(len(gram), dtype=gram.dtype)
    layer = torch.linalg.solve(gram, learned.T @ (wanted - shares) / len(learned))
    seen = ((_pooled(backbone, asked.images, size) - mean) / spread).double()
    named = (seen @ layer + shares).argmax(1)
    return float((named == torch.from_numpy(asked.labels)).float().mean())


def measure(
    backbone: Backbone,
    known: LabelledPictures,
    asked: LabelledPictures,
    searches: Mapping[str, Sequence[Search]],
    *,
    size: int = 128,
    enlarged: bool = True,
) -> dict[str, float]:
    """Accuracy of a linear layer and hit rates, 0..1, of a backbone with maps of stride 8 and 16.

    Args:
        backbone: what is measured.
        known: pictures whose classes are known.
        asked: pictures whose classes are asked for.
        searches: kind -> pieces to find again.
        size: pixels of the labelled pictures as the backbone sees them.
        enlarged: whether pieces are also searched by the map of stride 16 at twice the size.
    """
    values = {"probe": probe_accuracy(backbone, known, asked, size=size)}
    for kind, pieces in searches.items():
        rates = hit_rates(backbone, pieces, strides=(8, 16))
        values.update({f"{kind}_{stride}": rate for stride, rate in rates.items()})
        if enlarged:
            rates = hit_rates(backbone, pieces, strides=(16,), enlarge=2.0)
            values[f"{kind}_16_enlarged"] = rates[16]
    return values


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
    device = next(backbone.parameters()).device
    scene = backbone(_input(search.scene, enlarge).to(device)).maps
    centres = {stride: scene[stride].mean(dim=(0, 2, 3), keepdim=True) for stride in strides}
    best = dict.fromkeys(strides, (-2.0, 0.0, 0.0, 0.0, 0.0))
    for scale in _TEMPLATE_SCALES:
        piece = _input(search.template, enlarge * scale)
        height, width = piece.shape[2] / enlarge, piece.shape[3] / enlarge
        views = backbone(piece.to(device)).maps
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
    device = next(backbone.parameters()).device
    batches = _scaled(images, size)
    return torch.cat([backbone(batch.to(device)).pooled.cpu() for batch in batches])


def _scaled(images: NDArray[np.uint8], size: int, batch_size: int = 64) -> Iterator[Tensor]:
    for start in range(0, len(images), batch_size):
        batch = to_tensor(list(images[start : start + batch_size])).float() / 255
        yield F.interpolate(batch, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
