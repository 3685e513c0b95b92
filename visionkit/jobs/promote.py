"""From an item that is found by its pictures to a class that can be trained: a data set of it."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image as PillowImage

from visionkit.config import GalleryConfig, did_you_mean, used_paths
from visionkit.data.formats import FORMATS, others_in, write
from visionkit.data.images import content_hash, read_image
from visionkit.data.table import to_table
from visionkit.evaluation.summary import counted
from visionkit.jobs.confirmed import confirmed_finds
from visionkit.jobs.replacing import check_not_used, lies_in
from visionkit.jobs.sources import some_names
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import keep_problems, replace_problems, say, say_next, say_table
from visionkit.types import Image, Sample


def promote(config: GalleryConfig, items: Sequence[str], target: Path) -> Summary:
    """Writes the confirmed finds of items as a data set, and says how to train on it.

    In a format that carries boxes it holds the whole pictures, as class folders one crop a find.

    Args:
        config: `item` or None for all with enough finds, `finds` the runs, `format`, `least`,
            `reviewed`, `overwrite`.
        items: of the gallery.
        target: folder of the data set.

    Raises:
        FileNotFoundError: a folder of `finds` is no finished run.
        FileExistsError: the target is there and `overwrite` is False, or holds anything but a
            data set, or some of what is used.
        ValueError: there is no such item, no run is given, or too few finds are confirmed; or
            the format can't be written.
        RuntimeError: the disk is full.
    """
    if not config.finds:
        raise ValueError(
            "finds must name folders of runs of predict or evaluate, got none; say finds=RUN"
        )
    if config.item is not None and config.item not in items:
        raise ValueError(
            f"item must be one of the gallery's ({', '.join(items[:10]) or 'it is empty'}), "
            f"got {config.item!r}{did_you_mean(config.item, items)}"
        )
    _check_free(config, target)
    form = "coco" if config.format == "auto" else config.format
    wanted = items if config.item is None else [config.item]
    found, problems = confirmed_finds(config.finds, wanted, reviewed=config.reviewed)
    list_name = f"{target.name}_problems.csv"
    count = sum((picture.count() for picture in found), Counter[str]())
    chosen = {item for item in wanted if count[item] >= config.least}
    if not chosen:
        keep_problems(problems, target.parent, name=list_name)
        best = ", ".join(f"{item} {number}" for item, number in count.most_common(5)) or "none"
        raise ValueError(
            f"an item must have at least {config.least} confirmed finds to become a class, got "
            f"{best}; predict on more pictures, or say a smaller least="
        )
    samples = [
        replace(each.sample, objects=tuple(e for e in each.sample.objects if e.label in chosen))
        for each in found
        if each.items & chosen
    ]
    lost = next((sample.uri for sample in samples if lies_in(target, sample.uri)), None)
    if lost is not None:
        raise FileExistsError(
            f"output must hold none of the pictures that are used, but {lost} lies in {target} and "
            "overwrite=true would delete it; choose another"
        )
    if FORMATS[form].carries_boxes:
        write(to_table(samples), target, form, overwrite=config.overwrite)
    else:
        with tempfile.TemporaryDirectory() as folder:
            crops = list(_crops(samples, Path(folder)))
            write(to_table(crops), target, form, overwrite=config.overwrite)
    # Now that it is written: a target that may not be overwritten keeps its own list.
    replace_problems(problems, target.parent, name=list_name)
    _say(count, wanted, chosen, samples, target, form)
    finds = sum(count[item] for item in chosen)
    return Summary(target, {"items": len(chosen), "pictures": len(samples), "finds": finds})


def _check_free(config: GalleryConfig, target: Path) -> None:
    """Passes if a data set may be written there, which takes nothing else with it.

    Raises:
        FileExistsError: it may not.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"output must be a folder, but {target} is a file; choose another")
    others = others_in(target)
    if others:
        raise FileExistsError(
            f"output={target} must hold nothing but a data set that visionkit wrote, got "
            f"{some_names(others)}; choose another folder"
        )
    if config.overwrite:
        check_not_used(target, used_paths(config))


def _crops(samples: Sequence[Sample], folder: Path) -> Iterator[Sample]:
    """A sample a box, whose picture is written into `folder`."""
    for number, sample in enumerate(samples):
        image = read_image(sample.uri)
        for place, entry in enumerate(sample.objects):
            crop = _crop(image, entry.box)
            name = f"{Path(sample.uri).stem}_{number}_{place}.png"
            path = folder / f"{number}_{place}.png"
            PillowImage.fromarray(crop).save(path)
            height, width = crop.shape[:2]
            yield Sample(
                name, path.as_posix(), width, height, content_hash(crop), labels=(entry.label,)
            )


def _crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """(h, w, 3) uint8: the whole pixels that a box touches, at least one."""
    height, width = image.shape[:2]
    left, top = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    right, bottom = max(math.ceil(box[2]), left + 1), max(math.ceil(box[3]), top + 1)
    return image[top:bottom, left:right]


def _say(
    count: Counter[str],
    wanted: Sequence[str],
    chosen: set[str],
    samples: Sequence[Sample],
    target: Path,
    form: str,
) -> None:
    rows = [
        (item, str(count[item]), str(sum(any(e.label == item for e in s.objects) for s in samples)))
        for item in sorted(chosen)
    ]
    say_table(f"Written to {target}", ("class", "confirmed finds", "pictures"), rows)
    few = [f"{item} ({count[item]})" for item in wanted if item not in chosen and count[item]]
    if few:
        say(f"Too few confirmed finds: {', '.join(few[:8])}")
    say(f"{counted(len(samples), 'picture')}, format {form}: {target}")
    task = "localization" if FORMATS[form].carries_boxes else "classification"
    say_next(["train", f"task={task}", f"data={form}", f"data.root={target}"])
