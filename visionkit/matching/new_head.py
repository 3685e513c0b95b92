"""A head that has learned nothing of any gallery."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.pyramid import ScenePyramid
from visionkit.models.backbone import Backbone
from visionkit.models.weights import starter_comparison


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
