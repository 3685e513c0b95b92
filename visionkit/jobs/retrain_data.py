"""What a challenger learns from, as files: a training on them can be run again by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from visionkit.config import DataConfig
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.formats.groundtruth import boxes_row
from visionkit.files import write_text
from visionkit.inference.predictor import Predictor
from visionkit.matching.gallery import View
from visionkit.types import Sample

_OWN = ("items", "scenes", "root", "labels", "boxes", "val", "test")


def check_data(config: RetrainConfig) -> None:
    """Passes if the config names no pictures but items and backgrounds: the catalog has them.

    Raises:
        ValueError: it does.
    """
    for name in _OWN:
        if getattr(config.data, name) is not None and name != "items":
            raise ValueError(
                f"data.{name} must not be given to retrain, got {getattr(config.data, name)}; the "
                f"pictures are those of the catalog [{config.catalog}]"
            )


def write_data(
    config: RetrainConfig,
    samples: Sequence[Sample],
    tested: Sequence[Sample],
    champion: str | None,
    folder: Path,
) -> DataConfig:
    """The config of the data, which is written into a folder as Ground Truth manifests.

    What is a copy of a test picture is not learned from.

    Args:
        config: of the job.
        samples: of the version, those of the frozen test set among them.
        tested: the frozen test set.
        champion: bundle whose items are looked for on, or None.
        folder: to write into.

    Raises:
        ValueError: no picture is left to learn from.
        RuntimeError: the disk is full.
    """
    frozen = {sample.id for sample in tested} | {sample.content_hash for sample in tested}
    learned = [s for s in samples if s.id not in frozen and s.content_hash not in frozen]
    if not learned:
        raise ValueError(
            f"there must be pictures to learn from beside the {len(tested)} frozen for the test, "
            "got none; review some more"
        )
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "train": [sample for sample in learned if sample.split != "val"],
        "val": [sample for sample in learned if sample.split == "val"],
        "test": list(tested),
    }
    for name, part in parts.items():
        if part:
            _write_manifest(folder / f"output-{name}.manifest", part)
    root = os.path.commonpath([str(Path(s.uri).parent) for s in (*learned, *tested)])
    data = replace(config.data, format="auto", image_root=root)
    if config.task.name != "exemplar":
        return replace(data, root=str(folder), items=None, format="groundtruth")
    items = config.data.items
    if items is None:
        items = str(_write_views(champion, folder / "items"))
    return replace(data, items=items, scenes=str(folder))


def _write_manifest(path: Path, samples: Sequence[Sample]) -> None:
    classes = sorted({entry.label for sample in samples for entry in sample.objects})
    labels = sorted({label for sample in samples for label in sample.labels})
    lines = []
    for sample in samples:
        row = boxes_row(sample, sample.uri, classes, labels)
        if sample.labels and not sample.objects:  # nobody has said that there are no boxes
            row = {name: value for name, value in row.items() if not name.startswith("boxes")}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def _write_views(champion: str | None, folder: Path) -> Path:
    """Folder of the champion's items, a folder an item with its views."""
    views: Sequence[View] = ()
    if champion is not None:
        predictor = Predictor.load(champion, engine="torch")
        views = predictor.finder.gallery.views if "exemplar" in predictor.tasks else ()
    if not views:
        raise ValueError(
            "data.items must name pictures of the items where there is no champion that knows "
            "some, got none"
        )
    for view in views:
        place = folder / view.item / f"{view.id}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        x_min, y_min, x_max, y_max = (round(edge) for edge in view.box)
        layers = [view.image] if view.alpha is None else [view.image, view.alpha[..., None]]
        pixels = np.concatenate(layers, axis=2)[y_min:y_max, x_min:x_max]
        PillowImage.fromarray(pixels).save(place)
    return folder
