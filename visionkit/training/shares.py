"""What pictures show of each class as a table, and how much each class counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shares_of(targets: Tensor, class_count: int) -> Tensor:
    """(N, K) float32 of (N,) classes; (N, K) stay as they are."""
    return (F.one_hot(targets, class_count) if targets.ndim == 1 else targets).float()


def class_weights(targets: Tensor, class_count: int) -> Tensor:
    """(K,) float32 with which every class counts the same; 1 on average over the pictures.

    Args:
        targets: (N,) int64 classes, or (N, K) float 0 or 1.
        class_count: K.
    """
    shown = shares_of(targets, class_count).sum(0)
    weights = shown.sum() / shown.clamp(min=1) / max(int((shown > 0).sum()), 1)
    return torch.where(shown > 0, weights, torch.ones_like(weights))
