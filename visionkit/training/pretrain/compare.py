"""The finished student beside its teacher and beside a network that has learned nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F

from visionkit.models.build_backbone import build_backbone
from visionkit.training.pretrain.batches import to_tensor
from visionkit.training.pretrain.material import Material
from visionkit.training.pretrain.measure import measure
from visionkit.training.pretrain.module import Pretraining, see
from visionkit.training.pretrain.objective import DenseDistillation
from visionkit.training.pretrain.searches import background_view
from visionkit.training.pretrain.settings import PretrainConfig
from visionkit.types import Image


def teacher_cosine(
    module: Pretraining, photos: Sequence[Image], *, size: int = 224, batch_size: int = 10
) -> dict[str, float]:
    """Mean cosine of the averaged student's maps, adapted, to the teacher's, as "cosine_16" etc.

    The teacher's maps are whitened as in training.

    Args:
        module: after training.
        photos: that were not learned from; one square view of each is looked at.
        size: of a view in pixels.
        batch_size: photos at once.
    """
    rng = np.random.default_rng(0)
    views = [background_view(rng, photo, size=size) for photo in photos]
    module.eval()
    sums: dict[str, list[float]] = {}
    with torch.no_grad():
        for start in range(0, len(views), batch_size):
            images = to_tensor(views[start : start + batch_size]).float() / 255
            images = images.to(module.device)
            got, _, _ = see(module.averaged, module.scale(images))
            taught, _, _ = module.teacher(images)
            for stride, distil in cast(dict[str, DenseDistillation], module.distil).items():
                wanted = distil.wanted(taught[int(stride)])
                cosine = F.cosine_similarity(distil.adapt(got[int(stride)]), wanted, dim=1)
                sums.setdefault(f"cosine_{stride}", []).extend(cosine.mean(dim=(1, 2)).tolist())
    return {key: float(np.mean(values)) for key, values in sums.items()}


def compare(
    config: PretrainConfig, weights: Path, module: Pretraining, material: Material
) -> dict[str, dict[str, float]]:
    """Network ("these", "teacher", "untrained") -> measure -> value 0..1.

    Args:
        config: of the run.
        weights: file of the averaged student.
        module: after training.
        material: of the run.
    """
    student, teacher = config.student, config.teacher
    torch.manual_seed(0)
    networks = {
        "these": build_backbone(
            student, weights="file", file=weights, mean=config.mean, std=config.std
        ),
        "teacher": build_backbone(
            teacher.name,
            weights="file",
            file=teacher.file,
            mean=teacher.mean,
            std=teacher.std,
            options={"pad_type": teacher.pad_type} if teacher.pad_type else {},
        ),
        "untrained": build_backbone(student, weights="random", mean=config.mean, std=config.std),
    }
    measured = {
        name: measure(
            network.to(module.device),
            material.labelled.first(6000),
            material.labelled_val.first(1200),
            material.searches,
            enlarged=name == "these",  # four times the time, and the teacher's is long
        )
        for name, network in networks.items()
    }
    measured["these"].update(teacher_cosine(module, material.held_out))
    return measured
