"""Templates as kernels of convolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.templates import Template


class Kernels:
    """Templates embedded and weighted so that a convolution gives the mean cosine.

    Args:
        templates: T of them.
        head: embeds them.

    Attributes:
        sizes: (T, 2) int64 rows and columns of each.
    """

    def __init__(self, templates: Sequence[Template], head: ExemplarHead) -> None:
        self.sizes = np.array([t.weights.shape for t in templates], np.int64).reshape(-1, 2)
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, template in enumerate(templates):
            by_shape[tuple(template.weights.shape)].append(number)  # type: ignore[index]
        self._blocks = [_embedded([templates[n] for n in own], head) for own in by_shape.values()]
        self._block = np.zeros(len(templates), np.int64)
        self._row = np.zeros(len(templates), np.int64)
        for block, own in enumerate(by_shape.values()):
            self._block[own] = block
            self._row[own] = np.arange(len(own))

    def shapes(
        self, templates: NDArray[np.int64]
    ) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
        """Those of one shape at a time: (N, D, h, w) kernels and (N,) which templates they are."""
        for block in np.unique(self._block[templates]):
            own = templates[self._block[templates] == block]
            yield self._blocks[block][self._rows(own)], own

    def alike(
        self, templates: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        """Those whose longer sides are equal at a time: which they are, and `padded`.

        One convolution finds them all: with few kernels it would leave most of a core idle.
        """
        longest = self.sizes[templates].max(1, initial=0)
        for length in np.unique(longest):
            own = templates[longest == length]
            yield own, self.padded(own)

    def padded(self, templates: NDArray[np.int64]) -> torch.Tensor:
        """(N, D, h, w) kernels, with zeros below and to the right of smaller ones."""
        rows, columns = self.sizes[templates].max(0).tolist()
        first = self._blocks[0]
        kernels = first.new_zeros(len(templates), first.shape[1], rows, columns)
        for block in np.unique(self._block[templates]):
            own = np.flatnonzero(self._block[templates] == block)
            found = self._blocks[block][self._rows(templates[own])]
            kernels[own, :, : found.shape[2], : found.shape[3]] = found
        return kernels

    def _rows(self, templates: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(self._row[templates]).to(self._blocks[0].device)


def _embedded(templates: Sequence[Template], head: ExemplarHead) -> torch.Tensor:
    device = head.center.device
    with torch.no_grad():
        features = torch.stack([template.features for template in templates]).to(device).float()
        weights = torch.stack([template.weights for template in templates]).to(device)
        weights = weights / weights.sum((1, 2), keepdim=True)
        return head.embed(features) * weights[:, None]
