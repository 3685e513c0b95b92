"""The network behind one interface, and torch as the engine that all others are measured by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from visionkit.heads.classification import ClassificationHead
from visionkit.heads.localization import DenseOutputs, LocalizationHead
from visionkit.models.backbone import Backbone
from visionkit.types import Features, Image


@dataclass(frozen=True)
class RawOutputs:
    """What trained heads say of B frames, before it is decoded; None from those not asked.

    Attributes:
        classification: (B, K) float logits.
        localization: what every cell says, boxes in pixels of the frame.
    """

    classification: Tensor | None = None
    localization: DenseOutputs | None = None


class Network(Protocol):
    """Backbone and trained heads, whatever runs them.

    Only numbers up to here depend on the engine: frames are made and outputs are decoded by the
    same code for all.
    """

    def outputs(self, frames: Sequence[Image], tasks: Collection[str]) -> RawOutputs:
        """What the heads say, from one pass of the backbone.

        Args:
            frames: B pictures, at least one, (H, W, 3) uint8 RGB of one size.
            tasks: which heads, "classification" and "localization", of those that are there.
        """


class TorchNetwork:
    """The network run by torch.

    Args:
        backbone: in evaluation mode, with all maps that the heads were made for.
        classification, localization: the heads that may be asked, on the backbone's device.
        compiled: whether `torch.compile` makes kernels of the backbone. It is worth its minute on
            a GPU; on a CPU OpenVINO is faster and ready at once.
    """

    def __init__(
        self,
        backbone: Backbone,
        classification: ClassificationHead | None = None,
        localization: LocalizationHead | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        self._backbone = backbone
        self._see = torch.compile(backbone, dynamic=True) if compiled else backbone
        self._classification, self._localization = classification, localization

    @torch.no_grad()
    def outputs(self, frames: Sequence[Image], tasks: Collection[str]) -> RawOutputs:
        """What the heads say, from one pass of the backbone; see `Network`."""
        classes = self._classification if "classification" in tasks else None
        objects = self._localization if "localization" in tasks else None
        pixels = torch.from_numpy(np.stack(frames)).to(self._device)
        # The channels lie last in memory, as in pictures: see `to_input` of matching/pyramid.py.
        features: Features = self._see(pixels.permute(0, 3, 1, 2).float() / 255)
        return RawOutputs(
            None if classes is None else classes(features.pooled),
            None if objects is None else objects(features),
        )

    @property
    def _device(self) -> torch.device:
        parts = [self._classification, self._localization, self._backbone]
        there = (part for part in parts if part is not None)
        return next(parameter.device for part in there for parameter in part.parameters())
