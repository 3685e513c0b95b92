"""A finder with an empty gallery, and its head, which has learned nothing of any."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.finder import Finder, FinderSettings
from visionkit.matching.pyramid import ScenePyramid, scene_pyramid
from visionkit.models.backbone import Backbone
from visionkit.models.weights import starter_comparison
from visionkit.types import Image


def new_finder(
    backbone: Backbone, background: Sequence[Image], settings: FinderSettings | None = None
) -> Finder:
    """A finder with an empty gallery, which sees by a view of a backbone.

    Args:
        backbone: frozen, with a map of the stride that is searched.
        background: (H, W, 3) uint8 RGB pictures without items, at least one.
        settings: how items are found.
    """
    settings = settings or FinderSettings()
    stride = settings.pyramid.stride
    # Deeper layers are left away: most of the time goes into seeing a picture at many scales.
    seeing = backbone.to(memory_format=torch.channels_last).view((stride,), pool_stride=stride)
    reference = [scene_pyramid(image, seeing, settings.pyramid) for image in background]
    head = new_head(seeing, reference, stride=stride)
    return Finder(seeing, head, settings, reference)


def new_head(
    backbone: Backbone, reference: Sequence[ScenePyramid], *, stride: int, **sizes: int
) -> ExemplarHead:
    """A head that has learned nothing of any gallery, on the backbone's device.

    It has the comparison that comes with the starter weights, which fits any backbone.

    Args:
        backbone: frozen.
        reference: background pictures as the backbone sees them, at this stride.
        stride: of the map that is searched.
        sizes: see `ExemplarHead`.
    """
    head = ExemplarHead(backbone.channels[stride], **sizes)
    head.load_general(starter_comparison())
    whiten(head.to(reference[0].levels[0].features.device), reference)
    return head.eval()


def whiten(head: ExemplarHead, reference: Sequence[ScenePyramid]) -> None:
    """Fits the head's whitening to the cells of background pictures."""
    cells = [level.features.flatten(1).T for pyramid in reference for level in pyramid.levels]
    head.fit_whitening(torch.cat(cells))
