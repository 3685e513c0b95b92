"""The exemplar head as Lightning trains it."""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from visionkit.heads.exemplar import BOX_WEIGHT, ExemplarHead, Pairs, PairTargets


class ExemplarTraining(L.LightningModule):
    """One step: compare pairs, lower the loss.

    Args:
        head: is changed in place.
        learning_rate: of AdamW, at the top of a one-cycle cosine schedule.
        weight_decay: of AdamW.
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
        self, batch: tuple[Pairs, PairTargets], device: torch.device, dataloader_idx: int
    ) -> tuple[Pairs, PairTargets]:
        """The batch on a device."""
        pairs, targets = batch
        moved = {name: value.to(device) for name, value in vars(targets).items()}
        return pairs.to(device), PairTargets(**moved)

    def training_step(self, batch: tuple[Pairs, PairTargets], batch_idx: int) -> torch.Tensor:
        """Loss of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: tuple[Pairs, PairTargets], batch_idx: int) -> None:
        """Loss of a batch nobody learns from."""
        self._step(batch, "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a cosine schedule over all steps."""
        trained = [p for p in self.head.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self._learning_rate, weight_decay=self._weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, max(1, int(self.trainer.estimated_stepping_batches))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _step(self, batch: tuple[Pairs, PairTargets], stage: str) -> torch.Tensor:
        pairs, targets = batch
        losses = self.head.loss(self.head(pairs), targets)
        total = losses["match"] + BOX_WEIGHT * losses["box"]
        size = max(1, len(pairs.prior))
        self.log(f"{stage}/loss", total, batch_size=size, on_epoch=True)
        for name, value in losses.items():
            self.log(f"{stage}/{name}", value, batch_size=size, on_step=False, on_epoch=True)
        return total
