"""BCCD's pictures with a localization head on the starter backbone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import supervision as sv
import torch
from box_sets import BoxSet
from loop import Pool

from visionkit.data.framing import Framing
from visionkit.data.images import read_image
from visionkit.evaluation.metrics import evaluate_boxes
from visionkit.flywheel.answers import Proposal
from visionkit.flywheel.catalog.locking import file_lock
from visionkit.heads.localization import LocalizationHead
from visionkit.inference.device import pick_device
from visionkit.inference.engines.network import TorchNetwork
from visionkit.inference.locate import locate
from visionkit.models.backbone import Backbone
from visionkit.models.build_backbone import build_backbone
from visionkit.models.weights import starter_boxes
from visionkit.training.boxed import frame_size
from visionkit.training.feature_cache import pooled_features
from visionkit.training.localization import fit_localization
from visionkit.training.localization_settings import AUGMENT, LocalizationSettings
from visionkit.types import Sample

_STRIDES = (8, 16, 32)
_BATCH = 4
_CPU = torch.device("cpu")
_LEAST = 0.05  # score of a find that people are asked about
THRESHOLD = 0.3
"""As a head has it that no validation picture tells better."""


class LocatedLearner:
    """A head that learns anew for so many steps, whatever the number of pictures.

    Args:
        given: the set.
        folder: that trainings are kept in: one that was killed goes on, one that has ended is not
            done again. For one state of the code only.
        steps: of each training.
        side: longer side of the frame, in pixels.
        tuned: whether the backbone learns too.
        figure: that it is scored by, "ap50" or COCO's "ap".
    """

    def __init__(
        self,
        given: BoxSet,
        folder: Path,
        *,
        steps: int,
        side: int,
        tuned: bool = False,
        figure: str = "ap50",
    ) -> None:
        self._given, self._folder, self._figure = given, folder, figure
        self._steps, self._side, self._tuned = steps, side, tuned
        self._framing = Framing(frame_size(given.train, side), "letterbox")
        self._backbone, self._head = new_network(len(given.class_names))

    def pool(self) -> Pool:
        """The pictures to learn from, embedded as `visionkit predict` does."""
        found = pooled_features(self._backbone, self._given.train, self._framing, cache=None)
        unit = torch.nn.functional.normalize(found.features[0], dim=1)
        return Pool(self._given.train, unit.numpy().astype(np.float32))

    def learn(self, samples: Sequence[Sample]) -> None:
        """Learns anew, from these alone."""
        self._backbone, self._head = new_network(len(self._given.class_names))
        if self._tuned:
            self._backbone.free()
        epochs = max(1, round(self._steps / math.ceil(len(samples) / _BATCH)))
        settings = LocalizationSettings(
            max_epochs=epochs,
            batch_size=_BATCH,
            freeze="none" if self._tuned else "all",
            average=0.98,
            augment=replace(AUGMENT, flip_vertical=0.5),
            accelerator="auto",
            progress=False,
        )
        names = self._given.class_names
        folder = self._folder_of(samples)
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / "lock"):  # both orders of a start begin with the same pictures
            fit_localization(
                self._backbone, self._head, samples, (), names, self._framing, folder, settings
            )
        self._to(_CPU)  # where it can go to another process from

    def score(self) -> float:
        """The figure on the test pictures, 0..1."""
        found = self._find(self._given.test)
        truths, names = self._given.truths(), self._given.class_names
        metrics = evaluate_boxes(truths, found, names, bootstrap_rounds=0)
        score: float = getattr(metrics, self._figure)
        return score

    def proposals(self, samples: Sequence[Sample], model: str) -> list[Proposal]:
        """What is found in each picture, and what almost is."""
        names = self._given.class_names
        said = []
        for sample, found in zip(samples, self._find(samples), strict=True):
            if found.confidence is None or found.class_id is None:
                continue
            for number, (box, score, k) in enumerate(
                zip(found.xyxy.tolist(), found.confidence.tolist(), found.class_id, strict=True)
            ):
                if score >= _LEAST:
                    said.append(
                        Proposal(
                            f"{sample.id}:{model}:{number}",
                            sample.id,
                            "localization",
                            names[k],
                            score,
                            THRESHOLD,
                            tuple(box),
                            model,
                        )
                    )
        return said

    def _find(self, samples: Sequence[Sample]) -> list[sv.Detections]:
        self._to(pick_device("auto"))
        network = TorchNetwork(self._backbone, localization=self._head)
        images = [read_image(sample.uri) for sample in samples]
        found = locate(network, self._head, images, self._framing)
        self._to(_CPU)
        return found

    def _folder_of(self, samples: Sequence[Sample]) -> Path:
        """Where what is learned from these is kept."""
        known = [self._steps, self._side, self._tuned, sorted(sample.id for sample in samples)]
        return self._folder / hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]

    def _to(self, device: torch.device) -> None:
        self._backbone.to(device)
        self._head.to(device)


def new_network(class_count: int) -> tuple[Backbone, LocalizationHead]:
    """The starter backbone, frozen, and a head that begins with the boxes that come with it."""
    backbone = build_backbone(strides=_STRIDES).freeze().eval()
    torch.manual_seed(0)
    head = LocalizationHead(backbone.channels, class_count)
    head.load_class_agnostic(starter_boxes()[0])
    return backbone, head
