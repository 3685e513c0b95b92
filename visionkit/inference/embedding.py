"""Whole pictures as vectors, to tell which are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.data.framing import Framing, frame
from visionkit.inference.predictor import Predictor
from visionkit.types import Image

_WHOLE = Framing((224, 224), "stretch")
"""How pictures are seen where no classification head says it: small, and nothing cut off."""


@torch.no_grad()
def embed(predictor: Predictor, images: Sequence[Image]) -> NDArray[np.float32]:
    """(N, D) float32 of length 1: what the backbone sees of each picture, averaged over places.

    It costs a pass of the backbone over small pictures.

    Args:
        predictor: of which the backbone sees, in the framing of its classification head.
        images: N, at least one; (H, W, 3) uint8 RGB.
    """
    framing = _WHOLE if predictor.classification is None else predictor.classification.framing
    frames = np.stack([frame(image, framing)[0] for image in images])
    device = next(predictor.backbone.parameters()).device
    pixels = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255
    pooled = predictor.backbone(pixels).pooled
    return np.asarray(torch.nn.functional.normalize(pooled, dim=1).cpu(), np.float32)
