"""The scorers of a gallery's items as Lightning trains them."""

from __future__ import annotations

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from visionkit.heads.exemplar import ExemplarHead
from visionkit.training.pairs import Lessons


class ExemplarTraining(L.LightningModule):
    """One step: score pairs, lower the binary cross entropy.

    Args:
        head: its `item_weights` are changed in place.
        learning_rate: of Adam, at the start of a cosine schedule.
        weight_decay: strength of the L2 penalty.
    """

    def __init__(
        self,
        head: ExemplarHead,
        *,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.head = head
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay

    def transfer_batch_to_device(
        self, batch: Lessons, device: torch.device, dataloader_idx: int
    ) -> Lessons:
        """The batch on a device."""
        return Lessons(**{name: value.to(device) for name, value in vars(batch).items()})

    def training_step(self, batch: Lessons, batch_idx: int) -> torch.Tensor:
        """Loss of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Lessons, batch_idx: int) -> None:
        """Loss of a batch nobody learns from."""
        self._step(batch, "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with a cosine schedule over all steps."""
        optimizer = torch.optim.Adam(
            [self.head.item_weights], lr=self._learning_rate, weight_decay=self._weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, max(1, int(self.trainer.estimated_stepping_batches))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _step(self, batch: Lessons, stage: str) -> torch.Tensor:
        logits = batch.logits + self.head.item_change(batch.cells, batch.item)
        count = len(logits)
        # The mean of nothing is no number: scenes without a candidate teach nothing.
        total = F.binary_cross_entropy_with_logits(logits, batch.matches, reduction="sum")
        loss = total / max(1, count)
        self.log(f"{stage}/loss", loss, batch_size=max(1, count), on_epoch=True)
        return loss
