"""Comparing a place with a view, cell by cell: what their likeness says of score and box.

It sees how alike the cells are, never what they show, so that it knows no items: what it learned
from some holds for others, and for any backbone.
"""

from __future__ import annotations

import torch
from torch import nn

GRID = 8
"""Cells a side of what is compared."""
MAPS = 10
"""Likeness at nine shifts, and how much of a cell the item covers."""
EVIDENCE = 3
"""Numbers beside the maps. The scale, the aspect ratio and how a template fits backgrounds are not
among them: what composed scenes teach of those does not hold in photos (AP50 on FlickrLogos-27's
second subset 0.625 with them, 0.655 without)."""
_MAX_OFFSET = 0.5
_SURE_POINTS = 10.0
"""A box on which so many points agree is more exact than a grid of cells can make it, and stays;
with fewer it moves in proportion."""


class Comparison(nn.Module):
    """Two convolutions over the maps of a pair, then a network of two layers; begins as zero.

    Args:
        hidden: channels of the convolutions.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(MAPS, hidden, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.GELU(),
        )
        self.inner = nn.Linear(2 * hidden + EVIDENCE, 32)
        self.last = nn.Linear(32, 5)
        self.reset_to_zero()

    def reset_to_zero(self) -> None:
        """Changes no score and no box any more."""
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, maps: torch.Tensor, evidence: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) changes of the logits and (N, 4) offsets of the boxes, -0.5..0.5.

        Args:
            maps: (N, 10, 8, 8) float.
            evidence: (N, 3) float, the last log(1 + agreeing points).
        """
        seen = self.look(maps)
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3)), evidence], 1)
        said = self.last(nn.functional.gelu(self.inner(pooled)))
        doubt = (1 - evidence[:, 2:].expm1() / _SURE_POINTS).clamp(min=0)
        return said[:, 0], doubt * said[:, 1:].clamp(-_MAX_OFFSET, _MAX_OFFSET)


def shifted_likeness(scene: torch.Tensor, view: torch.Tensor) -> torch.Tensor:
    """(N, 9, 8, 8): each cell of the view against the 3x3 cells of the scene around its place.

    So it can be seen where a better fit lies.

    Args:
        scene: (N, D, 10, 10) float unit vectors.
        view: (N, D, 8, 8) float unit vectors.
    """
    shifts = [
        (scene[:, :, dy : dy + GRID, dx : dx + GRID] * view).sum(1)
        for dy in range(3)
        for dx in range(3)
    ]
    return torch.stack(shifts, 1)
