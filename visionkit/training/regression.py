"""Logistic regression: the weights of a linear head at the minimum of its penalised loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from visionkit.heads.classification import ClassificationHead


def regress(
    head: ClassificationHead, features: Tensor, shares: Tensor, *, penalty: float, steps: int
) -> None:
    """Sets weight and bias of a linear head to those that minimise loss and penalty.

    Begins with the weights that the head has; where it begins changes only how soon it ends.

    Args:
        head: standardises the features.
        features: (N, C) float32.
        shares: (N, K) float32, what each shows.
        penalty: half of it times the sum of the squared weights is added to the mean loss.
        steps: of L-BFGS at most (scipy's: torch's loads its compiler first, which takes longer
            than learning from a few hundred pictures).
    """
    with torch.no_grad():
        standard = head.standardised(features)
    size = head.weight.numel()

    def place(values: NDArray[np.float64]) -> None:
        learned = torch.from_numpy(values).to(head.weight.dtype)
        with torch.no_grad():
            head.weight.copy_(learned[:size].view_as(head.weight))
            head.bias.copy_(learned[size:])

    def loss_and_gradient(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        place(values)
        loss = head.loss(head.of_standardised(standard), shares)["class"]
        total = loss + penalty / 2 * head.weight.square().sum()
        gradients = torch.autograd.grad(total, [head.weight, head.bias])
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        return total.item(), flat.double().numpy()

    start = torch.cat([head.weight.flatten(), head.bias]).detach().double().numpy()
    options = {"maxiter": steps, "maxcor": 10, "ftol": 1e-9, "gtol": 1e-6}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    place(found.x)
