"""Temperature scaling: confidence that means what it says.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: logits are divided by one
number, which changes no answer.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

_RANGE = (0.02, 50.0)


def fit_temperature(outputs: Tensor, targets: Tensor) -> float:
    """The temperature at which the outputs say the truth best, within 0.02..50; 1 for none.

    Args:
        outputs: (N, K) logits of pictures that were not learned from.
        targets: (N,) int64 classes, or (N, K) float 0..1 of classes each for itself.
    """
    if not len(outputs):
        return 1.0
    outputs = outputs.detach().double()

    def surprise(log_temperature: float) -> float:
        return float(likelihood_loss(outputs / math.exp(log_temperature), targets))

    bounds = math.log(_RANGE[0]), math.log(_RANGE[1])
    found = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))


def likelihood_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """() mean negative log likelihood of (N,) classes or (N, K) shares, by (N, K) logits."""
    if targets.ndim == 1:
        return F.cross_entropy(outputs, targets)
    return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))


@torch.no_grad()
def tempered(outputs: Tensor, targets: Tensor) -> tuple[float, float]:
    """The best temperature, and the mean negative log likelihood at it."""
    temperature = fit_temperature(outputs, targets)
    return temperature, float(likelihood_loss(outputs.double() / temperature, targets))
