"""The network as one graph for other engines: uint8 frames in, raw outputs out.

Two graphs make a bundle's network. That of the trained heads has the whole backbone, the pyramid
and the heads. That of the search has the layers up to the map which the exemplar head searches:
scenes are seen at many sizes, where the deeper layers would only cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visionkit.heads.classification import ClassificationHead
from visionkit.heads.dense import Cells
from visionkit.heads.localization import DenseOutputs, LocalizationHead
from visionkit.inference.engines.network import RawOutputs
from visionkit.models.backbone import Backbone

CLASSES = ("logits",)
OBJECTS = ("quality", "boxes", "centres", "strides")
OBJECT_CLASSES = ("classes",)
SEARCHED = ("map",)


class HeadsGraph(nn.Module):
    """Backbone and trained heads.

    Args:
        backbone: in evaluation mode, with all maps that the heads were made for.
        classification, localization: at least one of them.

    Attributes:
        names: of the outputs, in their order: those of `CLASSES`, of `OBJECTS` and, where boxes
            have classes, of `OBJECT_CLASSES`.
    """

    def __init__(
        self,
        backbone: Backbone,
        classification: ClassificationHead | None,
        localization: LocalizationHead | None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classification, self.localization = classification, localization
        self.names: tuple[str, ...] = () if classification is None else CLASSES
        if localization is not None:
            self.names += OBJECTS
            self.names += OBJECT_CLASSES if localization.class_branch is not None else ()

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """The outputs of `names`, of (B, H, W, 3) uint8 RGB."""
        features = self.backbone(_in_floats(frames))
        found: tuple[Tensor, ...] = ()
        if self.classification is not None:
            found += (self.classification(features.pooled),)
        if self.localization is not None:
            said: DenseOutputs = self.localization(features)
            found += (said.quality, said.boxes, said.cells.centres, said.cells.strides)
            found += (said.classes,) if self.localization.class_branch is not None else ()
        return found


class SearchGraph(nn.Module):
    """The backbone up to the map that is searched.

    Args:
        backbone: in evaluation mode; gives the map of `stride`.
        stride: of the map.
    """

    names = SEARCHED

    def __init__(self, backbone: Backbone, stride: int) -> None:
        super().__init__()
        self.backbone, self.stride = backbone, stride

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """(B, C, ceil(H / stride), ceil(W / stride)) float, of (B, H, W, 3) uint8 RGB."""
        return (self.backbone(_in_floats(frames)).maps[self.stride],)


Graph = HeadsGraph | SearchGraph


def raw_outputs(values: Mapping[str, NDArray[np.float32]], tasks: Collection[str]) -> RawOutputs:
    """What an engine gave, as the heads give it.

    Args:
        values: by the names of `HeadsGraph`.
        tasks: which are wanted.
    """
    found = {name: torch.from_numpy(value) for name, value in values.items()}
    logits = found[CLASSES[0]] if "classification" in tasks else None
    if "localization" not in tasks:
        return RawOutputs(logits)
    quality, boxes, centres, strides = (found[name] for name in OBJECTS)
    none = quality.new_zeros(*quality.shape, 0)
    classes = found.get(OBJECT_CLASSES[0], none)
    return RawOutputs(logits, DenseOutputs(quality, boxes, classes, Cells(centres, strides)))


def weights_id(graph: Graph) -> str:
    """SHA-256 over names, shapes and values of all weights: equal for the same graph only."""
    digest = hashlib.sha256()
    for name, value in sorted(graph.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _in_floats(frames: Tensor) -> Tensor:
    """(B, 3, H, W) float32 in 0..1 of (B, H, W, 3) uint8."""
    return frames.permute(0, 3, 1, 2).float() / 255
