"""Temperature scaling: confidence that means what it says.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: logits are divided by one
number, which changes no answer.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

_RANGE = (0.02, 50.0)


def fit_temperature(outputs: Tensor, targets: Tensor) -> float:
    """The temperature at which the outputs say the truth best, within 0.02..50; 1 for none.

    Of N pictures that are all named rightly the next may be wrong all the same: the truth is taken
    for (N + 1) / (N + 2) sure, as in Platt, "Probabilistic Outputs for Support Vector Machines",
    1999.

    Args:
        outputs: (N, K) logits of pictures that were not learned from.
        targets: (N,) int64 classes, or (N, K) float 0..1 of classes each for itself.
    """
    pictures, classes = outputs.shape
    if not pictures:
        return 1.0
    outputs, doubt = outputs.detach().double(), 1 / (pictures + 2)

    def surprise(log_temperature: float) -> float:
        scaled = outputs / math.exp(log_temperature)
        if targets.ndim == 1:
            spread = doubt * classes / max(classes - 1, 1)
            return float(F.cross_entropy(scaled, targets, label_smoothing=min(spread, 1.0)))
        doubted = doubt + (1 - 2 * doubt) * targets.double()
        return float(F.binary_cross_entropy_with_logits(scaled, doubted))

    bounds = math.log(_RANGE[0]), math.log(_RANGE[1])
    found = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))
