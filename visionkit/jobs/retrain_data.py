"""What a challenger learns from, as files: a training on them can be run again by hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visionkit.config import DataConfig
from visionkit.config.flywheel import RetrainConfig
from visionkit.data.formats.groundtruth import boxes_row
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.files import write_text
from visionkit.flywheel.catalog import Catalog
from visionkit.jobs.catalog_views import cut_views, without_cut
from visionkit.jobs.pictures import is_empty
from visionkit.jobs.sources import MANIFEST, read_backgrounds, read_views, some_names
from visionkit.jobs.terminal import keep_problems, problems_kept, say
from visionkit.matching.gallery import (
    Gallery,
    View,
    is_gallery,
    load_gallery,
    save_gallery,
)
from visionkit.types import Sample

_OWN = ("scenes", "root", "labels", "boxes", "val", "test", "unlabelled")
_GALLERY = "gallery"
_BACKGROUND_LIST = Path("background", "output.manifest")
_UNLABELLED = {"classification": 5000}
"""How many of them a task takes that is told nothing; not all sets of boxes gain by them."""
_UNLABELLED_LIST = Path("unlabelled", "output.manifest")
_BACKGROUNDS = 200
"""More are read for nothing: thresholds are set on 24, scenes are composed on some hundred."""
_LEAST_BACKGROUNDS = 6
"""Fewer would be what scenes to learn from and scenes to choose on are composed on alike."""


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
    *,
    catalogued: Collection[str],
    unseen: Sequence[Sample] = (),
) -> DataConfig:
    """The config of the data, which is written into a folder as Ground Truth manifests.

    What is a copy of a test picture is not learned from.

    Args:
        config: of the job.
        samples: of the version, those of the frozen test set among them.
        tested: the frozen test set.
        champion: bundle whose items are looked for on, or None.
        folder: to write into.
        catalogued: where all pictures of the catalog lie, those that are in no version, too.
        unseen: pictures of the catalog that nobody has looked at.

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
    if config.task.name != "classification":  # which has no use for a background, and says so
        data = replace(data, background=_own_background(config.data, folder))
    if config.task.name != "exemplar":
        known = {sample.content_hash for sample in samples}
        others = [sample for sample in unseen if sample.content_hash not in known]
        told = config.loop.unlabelled
        most = _UNLABELLED.get(config.task.name, 0) if told is None else told
        unlabelled = _write_unlabelled(others, folder, most=most)
        return replace(data, root=str(folder), items=None, unlabelled=unlabelled)
    items = _write_views(config, parts["train"], champion, folder / "items", catalogued)
    background = data.background or _write_backgrounds(parts["train"], folder)
    return replace(data, items=str(items), scenes=str(folder), background=background)


def write_manifest(path: Path, samples: Sequence[Sample]) -> None:
    """Writes pictures as a Ground Truth manifest, each under the path at which it lies.

    Raises:
        RuntimeError: the disk is full.
    """
    classes = sorted({entry.label for sample in samples for entry in sample.objects})
    labels = sorted({label for sample in samples for label in sample.labels})
    rows = []
    for sample in samples:
        row = boxes_row(sample, sample.uri, classes, labels)
        if sample.labels and not sample.objects:  # nobody has said that there are no boxes
            row = {name: value for name, value in row.items() if not name.startswith("boxes")}
        rows.append(row)
    _write_rows(path, rows)


def unseen_pictures(catalog: Catalog) -> list[Sample]:
    """The pictures that came without labels and that nobody has answered about, if only "unsure".

    Those of the test split are none of them.
    """
    answered = {correction.sample_id for correction in catalog.corrections()}
    truths = catalog.truths()
    return [
        sample
        for sample in catalog.samples()
        if sample.id not in answered
        and sample.split != "test"
        and not truths[sample.id].reviewed
        and not (sample.labels or sample.objects)
    ]


def _write_unlabelled(others: Sequence[Sample], folder: Path, *, most: int) -> str | None:
    """The list of so many pictures, as if drawn: those first by their hashes; None for none."""
    chosen = sorted(others, key=lambda sample: sample.content_hash)[:most]
    if not chosen:
        return None
    path = folder / _UNLABELLED_LIST
    path.parent.mkdir(exist_ok=True)
    _write_rows(path, [{"source-ref": sample.uri} for sample in chosen])
    return str(path)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(path, "".join(lines))


def _own_background(data: DataConfig, folder: Path) -> str | None:
    """The config's background; of a list a copy that says where on the disk its pictures lie."""
    if data.background is None or Path(data.background).suffix != MANIFEST:
        return data.background
    pixels = int(data.max_megapixels * 1e6)
    path = folder / _BACKGROUND_LIST
    path.parent.mkdir(exist_ok=True)
    with problems_kept(path.parent):
        found, problems = read_backgrounds(
            data.background, image_root=data.image_root, max_pixels=pixels
        )
    keep_problems(problems, path.parent)
    write_manifest(path, found.scenes.samples)
    return str(path)


def _write_backgrounds(learned: Sequence[Sample], folder: Path) -> str | None:
    """The list of pictures in which people found no item; None where there are few.

    Of many those are taken that come first by their hashes, which is as if they were drawn: the
    newest would be those that the champion was wrong about.
    """
    empty = {sample.content_hash: sample for sample in learned if is_empty(sample)}
    if len(empty) < _LEAST_BACKGROUNDS:
        return None
    chosen = [empty[key] for key in sorted(empty)][:_BACKGROUNDS]
    path = folder / _BACKGROUND_LIST
    path.parent.mkdir(exist_ok=True)
    write_manifest(path, chosen)
    say(f"Backgrounds: {counted(len(chosen), 'picture')} in which people found no item.")
    return str(path)


def _write_views(
    config: RetrainConfig,
    learned: Sequence[Sample],
    champion: str | None,
    folder: Path,
    catalogued: Collection[str],
) -> Path:
    """A gallery of the items that are looked for: those known, and those that people have boxed."""
    pixels = int(config.data.max_megapixels * 1e6)
    known, problems = _known_views(config.data, champion, folder, max_pixels=pixels)
    own = without_cut(known, catalogued)
    cut, lost = cut_views(
        learned,
        own,
        each=config.loop.views,
        most=config.loop.most_views,
        max_pixels=pixels,
    )
    keep_problems([*problems, *lost], folder.parent)
    if not own and not cut:
        raise ValueError(
            "data.items must name pictures of the items where no champion knows some and nobody "
            "has drawn a box of one, got none"
        )
    _say_cut(cut, {view.item for view in known})
    folder.mkdir(exist_ok=True)
    save_gallery(Gallery().add([*own, *cut]), folder)
    return folder


def _say_cut(views: Sequence[View], known: Collection[str]) -> None:
    new = [view for view in views if view.item not in known]
    more = [view for view in views if view.item in known]
    if new:
        items = some_names({view.item for view in new})
        say(f"New items, as people have boxed them: {items} ({counted(len(new), 'view')}).")
    if more:
        items = some_names({view.item for view in more})
        say(f"More views, as people have boxed them: {counted(len(more), 'view')} of {items}.")


def _known_views(
    data: DataConfig, champion: str | None, folder: Path, *, max_pixels: int
) -> tuple[list[View], list[Problem]]:
    """The views of the config's items, or where it names none of the champion's."""
    if data.items is None:
        gallery = None if champion is None else Path(champion) / _GALLERY
        if gallery is None or not is_gallery(gallery):
            return [], []
        return list(load_gallery(gallery).views), []
    with problems_kept(folder.parent):
        return read_views(
            data.items,
            format=data.format,
            image_root=data.image_root,
            max_pixels=max_pixels,
        )
