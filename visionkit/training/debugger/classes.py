"""What a model says of classes: how much each counts in the loss, and as what each is named."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from visionkit.training.debugger.batches import labels_of
from visionkit.training.debugger.hooks import Hook

_MOST = 2000  # classes that are counted: their square is kept, and larger numbers may be no labels
_CRITERIA = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def class_weights_of(model: nn.Module) -> Tensor | None:
    """(K,) how much pictures of each class count in the loss; None where all count the same.

    Told by criteria that are modules of the model, and by visionkit's own heads.
    """
    for module in model.modules():
        weights = module.weight if isinstance(module, _CRITERIA) else None
        weights = getattr(module, "class_weights", weights)
        if isinstance(weights, Tensor) and weights.ndim == 1:
            weights = weights.detach().float().cpu()
            if float(weights.max() - weights.min()) > 0:
                return weights
    return None


class NamedClasses:
    """Watches one validation: as which class pictures of each are named.

    The last output of a part of the model that has one number for each class and picture is taken
    for its logits. Where there is none, as in other tasks, nothing is counted.

    Args:
        model: whose direct parts are watched.
        classes: K, as many as the training has shown; 0, or above 2,000, watches
            nothing.
    """

    def __init__(self, model: nn.Module, classes: int) -> None:
        counted = classes if 1 < classes <= _MOST else 0
        self._counts = np.zeros((counted, counted), np.int64)
        self._logits: Tensor | None = None
        parts = list(model.children()) if counted else []
        self._handles = [part.register_forward_hook(Hook(self._keep)) for part in parts]

    def add(self, batch: object) -> None:
        """Counts a batch that has gone through the model."""
        labels, logits = labels_of(batch), self._logits
        self._logits = None
        if labels is None or logits is None or len(labels) != len(logits):
            return
        known = (labels >= 0) & (labels < len(self._counts))
        named = logits.argmax(dim=1).cpu()
        np.add.at(self._counts, (labels[known].numpy(), named[known].numpy()), 1)

    def close(self) -> NDArray[np.int64] | None:
        """(K, K) int64 how many pictures of each class (row) were named as each; None for none."""
        for handle in self._handles:
            handle.remove()
        return self._counts if self._counts.any() else None

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        is_table = isinstance(output, Tensor) and output.ndim == 2 and output.is_floating_point()
        if is_table and output.shape[1] == len(self._counts):
            self._logits = output.detach()
