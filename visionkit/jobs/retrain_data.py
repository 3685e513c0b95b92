"""What a challenger learns from, as files: a training on them can be run again by hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from visionkit.config import DataConfig
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.formats.groundtruth import boxes_row
from visionkit.data.images import read_image
from visionkit.evaluation.summary import counted
from visionkit.files import write_text
from visionkit.jobs.pictures import NONE_LABEL
from visionkit.jobs.sources import read_views, some_names
from visionkit.jobs.terminal import keep_problems, problems_kept, say
from visionkit.matching.gallery import (
    Gallery,
    View,
    is_gallery,
    load_gallery,
    make_view,
    save_gallery,
)
from visionkit.types import Sample

_OWN = ("scenes", "root", "labels", "boxes", "val", "test")
_GALLERY = "gallery"
_VIEWS = 8
"""So many views of an item that people have named are taken, the largest, one a picture; the
items of the demo set have four."""


def check_data(config: RetrainConfig) -> None:
    """Passes if the config names no pictures but items and backgrounds: the catalog has them.

    Raises:
        ValueError: it does.
    """
    for name in _OWN:
        if getattr(config.data, name) is not None:
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
            write_manifest(folder / f"output-{name}.manifest", part)
    # The root of the disk: a folder nearer to the pictures may hold a file that visionkit wrote
    # with labels that people have taken back since.
    data = replace(config.data, format="groundtruth", image_root=Path(tested[0].uri).anchor)
    if config.task.name != "exemplar":
        return replace(data, root=str(folder), items=None)
    items = _write_views(config, parts["train"], champion, folder / "items")
    return replace(data, items=str(items), scenes=str(folder))


def write_manifest(path: Path, samples: Sequence[Sample]) -> None:
    """Writes pictures as a Ground Truth manifest, each under the path at which it lies.

    Raises:
        RuntimeError: the disk is full.
    """
    classes = sorted({entry.label for sample in samples for entry in sample.objects})
    labels = sorted({label for sample in samples for label in sample.labels})
    lines = []
    for sample in samples:
        row = boxes_row(sample, sample.uri, classes, labels)
        if sample.labels and not sample.objects:  # nobody has said that there are no boxes
            row = {name: value for name, value in row.items() if not name.startswith("boxes")}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def _write_views(
    config: RetrainConfig, learned: Sequence[Sample], champion: str | None, folder: Path
) -> Path:
    """A gallery of the items that are looked for: those known, and those that people have named."""
    pixels = int(config.data.max_megapixels * 1e6)
    views = _known_views(config.data, champion, folder, max_pixels=pixels)
    named = _named_views(learned, {view.item for view in views}, max_pixels=pixels)
    if named:
        items = {view.item for view in named}
        say(
            f"New items, as people have boxed them: {some_names(items)} "
            f"({counted(len(named), 'view')})."
        )
    if not views and not named:
        raise ValueError(
            "data.items must name pictures of the items where no champion knows some and nobody "
            "has drawn a box of one, got none"
        )
    folder.mkdir(exist_ok=True)
    save_gallery(Gallery().add([*views, *named]), folder)
    return folder


def _known_views(
    data: DataConfig, champion: str | None, folder: Path, *, max_pixels: int
) -> list[View]:
    """The views of the config's items, or where it names none of the champion's."""
    if data.items is None:
        gallery = None if champion is None else Path(champion) / _GALLERY
        if gallery is None or not is_gallery(gallery):
            return []
        return list(load_gallery(gallery).views)
    with problems_kept(folder.parent):
        views, problems = read_views(
            data.items,
            format=data.format,
            image_root=data.image_root,
            max_pixels=max_pixels,
        )
    keep_problems(problems, folder.parent)
    return views


def _named_views(
    samples: Sequence[Sample], known: Collection[str], *, max_pixels: int
) -> list[View]:
    """Views of the items that have boxes in the pictures and no view yet."""
    boxes: dict[str, list[tuple[float, Sample, tuple[float, float, float, float]]]] = {}
    for sample in samples:
        largest = {
            entry.label: (_area(entry.box), sample, entry.box)
            for entry in sorted(sample.objects, key=lambda entry: _area(entry.box))
            if entry.label not in known and entry.label != NONE_LABEL
        }
        for item, found in largest.items():
            boxes.setdefault(item, []).append(found)
    return [
        make_view(item, read_image(sample.uri, max_pixels=max_pixels), box=box, source=sample.uri)
        for item, found in sorted(boxes.items())
        for _, sample, box in sorted(found, key=lambda one: (-one[0], one[1].id))[:_VIEWS]
    ]


def _area(box: tuple[float, float, float, float]) -> float:
    x_min, y_min, x_max, y_max = box
    return (x_max - x_min) * (y_max - y_min)
