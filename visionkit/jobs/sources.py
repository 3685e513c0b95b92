"""Where pictures come from: views of items, scenes whose items are known, and backgrounds.

Whatever is wrong with a picture or a line is a problem in a list, and left out; the rest goes
on. Views are held in memory; scenes and backgrounds are checked once and decoded when they are
asked for, so that sets larger than the memory can be used.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from visionkit.data.formats import (
    FORMATS,
    ItemView,
    NothingLeftError,
    detect,
    item_views,
    read,
)
from visionkit.data.formats.border import Border
from visionkit.data.formats.entry import Entry
from visionkit.data.formats.groundtruth import collect_pictures
from visionkit.data.images import MAX_PIXELS, ImageError, read_rgba, why_unread
from visionkit.data.picture_files import IMAGE_SUFFIXES, find_images
from visionkit.data.problems import Problem
from visionkit.data.splits import assign_splits
from visionkit.data.table import to_samples
from visionkit.jobs.pictures import NONE_LABEL, Pictures, Scenes, has_boxes, is_empty
from visionkit.matching.gallery import View, is_gallery, load_gallery, make_view
from visionkit.types import Sample

MANIFEST = ".manifest"

__all__ = [
    "NONE_LABEL",
    "Pictures",
    "Scenes",
    "has_boxes",
    "read_backgrounds",
    "read_exemplar_scenes",
    "read_item_views",
    "read_scenes",
    "read_unlabelled",
    "read_views",
    "some_names",
    "unknown_items",
]


def read_views(
    path: str | Path,
    *,
    format: str = "auto",
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[list[View], list[Problem]]:
    """The views of all items at a path, sorted by item, and what was wrong.

    Args:
        path: a folder per item with crops, logos with transparency or pictures with boxes; or
            a folder or file of any format, whose labelled boxes are the items; or the folder
            `gallery` of a bundle.
        format: one of `visionkit.data.formats.FORMATS`; "auto" is "items". Says nothing of a
            gallery.
        image_root: the folder of the pictures, where they don't lie beside the annotations.
        max_pixels: larger pictures are left out.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
        NothingLeftError: there is no usable view; it holds the problems.
        ValueError: the format is unknown, or can't be told, or a gallery is damaged.
    """
    if is_gallery(path):
        kept = sorted(load_gallery(Path(path)).views, key=lambda view: view.item)
        if not kept:
            raise NothingLeftError(Path(path), [])
        return kept, []
    name = "items" if format == "auto" else format
    found = read(path, name, image_root=image_root, max_pixels=max_pixels)
    views, lost = _cut_out(item_views(found.table), max_pixels)
    problems = [*found.problems, *lost]
    if not views:
        raise NothingLeftError(Path(path), problems)
    told = {problem.file for problem in problems}
    problems += [problem for problem in _same_pictures(views) if problem.file not in told]
    if found.format == "items":
        problems += _lost_items(Path(path), problems, {view.item for view in views})
    return views, problems


def read_item_views(
    item: str,
    sources: Iterable[str | Path],
    *,
    format: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> tuple[list[View], list[Problem]]:
    """The views of one item from pictures, and what was wrong.

    Args:
        item: its name.
        sources: pictures, folders or globs. Each picture is the item as a whole, unless an
            annotation file that is named, or lies in a folder, says where in it the item is.
        format: "auto", or the format of the sources; only boxes labelled `item` are taken, or
            all where they have one label between them.
        max_pixels: larger pictures are left out.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
        NothingLeftError: there is no usable view; it holds the problems.
    """
    views: list[View] = []
    problems: list[Problem] = []
    given = [Path(source) for source in sources]
    for source in given:
        boxed_as = _box_format(source) if format == "auto" else format
        if boxed_as is None:
            wanted = [ItemView(item, _unread(path), None) for path in find_images(source)]
        else:
            found = read(source, boxed_as, max_pixels=max_pixels)
            problems += found.problems
            wanted = _of_item(item, item_views(found.table), source)
        cut, lost = _cut_out(wanted, max_pixels)
        views += cut
        problems += lost
    if not views:
        raise NothingLeftError(Path(", ".join(map(str, given))), problems)
    return views, problems + _same_pictures(views)


def read_scenes(
    path: str | Path,
    *,
    format: str = "auto",
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
    splits: Mapping[str, float] | None = None,
    seed: int = 0,
) -> tuple[Scenes, list[Problem]]:
    """Pictures with labelled boxes, or with labels, and what was wrong.

    Args:
        path: a folder or annotation file of any format.
        format: one of `visionkit.data.formats.FORMATS`, or "auto".
        image_root: the folder of the pictures, where they don't lie beside the annotations.
        max_pixels: larger pictures are left out.
        splits: "train", "val", "test" -> share, for pictures without a split of their own;
            None leaves those in none.
        seed: of the splits.

    Raises:
        FileNotFoundError: there is no such path, or nothing in it.
        NothingLeftError: nothing could be used; it holds the problems.
        ValueError: the format is unknown, or can't be told.
    """
    found = read(path, format, image_root=image_root, max_pixels=max_pixels)
    table = found.table if splits is None else assign_splits(found.table, splits, seed=seed)
    return Scenes(to_samples(table), max_pixels=max_pixels), list(found.problems)


def read_exemplar_scenes(
    path: str | Path,
    *,
    format: str,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Scenes | None:
    """The pictures that items were cut from, as scenes; None where not all their boxes are known.

    A folder per item says of each picture where this item is, and nothing of the others, and so
    does a gallery; a set with boxes says where all of them are. What is wrong with the set,
    `read_views` has told.

    Args:
        path: as for `read_views`.
        format: as for `read_views`.
        image_root: the folder of the pictures, where they don't lie beside the annotations.
        max_pixels: larger pictures are left out.
    """
    if format in ("auto", "items") or is_gallery(path) or not FORMATS[format].carries_boxes:
        return None
    found, _ = read_scenes(path, format=format, image_root=image_root, max_pixels=max_pixels)
    boxed = found.boxed()
    return boxed if len(boxed) else None


def read_backgrounds(
    source: str | Path,
    *,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Pictures, list[Problem]]:
    """Pictures that are known to hold no item, and what was wrong.

    Args:
        source: a picture, a folder with all below it, or a glob; or a Ground Truth manifest, of
            which those pictures count that hold no box, in the order of their hashes: the first
            ones, which thresholds are set on, are as if they were drawn.
        image_root: of a manifest: the folder of the pictures, where they don't lie beside it.
        max_pixels: larger pictures are left out.

    Raises:
        FileNotFoundError: there is no such path, or no picture.
        NothingLeftError: no picture could be used; it holds the problems.
    """
    if Path(source).suffix == MANIFEST:
        samples, problems = _listed(Path(source), image_root, max_pixels)
    else:
        samples, problems = _found(source, max_pixels)
    return Pictures(Scenes(_unlabelled(samples), max_pixels=max_pixels)), list(problems)


def read_unlabelled(
    source: str | Path,
    *,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[list[Sample], list[Problem]]:
    """Pictures whatever they show, without labels and boxes, and what was wrong.

    Args:
        source: a picture, a folder with all below it, or a glob; or a Ground Truth manifest, which
            need not say more than where they lie.
        image_root: of a manifest: the folder of the pictures, where they don't lie beside it.
        max_pixels: larger pictures are left out.

    Raises:
        FileNotFoundError: there is no such path, or no picture.
        NothingLeftError: no picture could be used; it holds the problems.
    """
    if Path(source).suffix != MANIFEST:
        samples, problems = _found(source, max_pixels)
        return _unlabelled(samples), list(problems)
    if not Path(source).is_file():
        raise FileNotFoundError(f"there must be a manifest, but is none [{source}]")
    folder = None if image_root is None else Path(image_root)
    border = Border(folder or Path(source).parent, image_root=folder)
    collect_pictures(Path(source), border)
    listed = to_samples(border.finish(Path(source), max_pixels=max_pixels))
    return _unlabelled(listed), border.problems


def _found(source: str | Path, max_pixels: int) -> tuple[list[Sample], Sequence[Problem]]:
    """The pictures of a picture, folder or glob."""
    paths = [Path(os.path.abspath(path)) for path in find_images(source)]
    border = Border(Path(os.path.commonpath([path.parent for path in paths])))
    for path in paths:
        border.add(Entry(path, path))
    return to_samples(border.finish(Path(source), max_pixels=max_pixels)), border.problems


def _listed(
    manifest: Path, image_root: str | Path | None, max_pixels: int
) -> tuple[list[Sample], Sequence[Problem]]:
    """The pictures without boxes of a manifest, in the order of their hashes."""
    found = read(manifest, "groundtruth", image_root=image_root, max_pixels=max_pixels)
    empty = [sample for sample in to_samples(found.table) if is_empty(sample)]
    if not empty:
        raise NothingLeftError(manifest, found.problems)
    return sorted(empty, key=lambda sample: sample.content_hash), found.problems


def _unlabelled(samples: Sequence[Sample]) -> list[Sample]:
    return [replace(sample, labels=(), objects=()) for sample in samples]


def unknown_items(scenes: Scenes, items: Collection[str], source: str | Path) -> list[Problem]:
    """Warnings of labels that no item of the gallery has.

    Raises:
        ValueError: the scenes have labels, and not one of them is an item.
    """
    counts = {name: count for name, count in scenes.item_counts.items() if name != NONE_LABEL}
    if counts and not any(name in items for name in counts):
        raise ValueError(
            f"the pictures must show items of the gallery ({some_names(items)}), got the labels "
            f"{some_names(counts)} [{source}]; name them alike, or add the items to the gallery"
        )
    return [
        Problem(
            str(source),
            None,
            f"{name!r} ({count} times) is no item of the gallery; not looked for",
            "warning",
        )
        for name, count in counts.items()
        if name not in items
    ]


def _cut_out(wanted: Sequence[ItemView], max_pixels: int) -> tuple[list[View], list[Problem]]:
    """Views in the order wanted; a picture with many boxes is decoded once."""
    by_picture: dict[str, list[int]] = {}
    for number, entry in enumerate(wanted):
        by_picture.setdefault(entry.sample.uri, []).append(number)
    views: dict[int, View] = {}
    problems: list[Problem] = []
    for uri, numbers in by_picture.items():
        try:
            image, alpha = read_rgba(uri, max_pixels=max_pixels)
        except (ImageError, FileNotFoundError) as error:
            problems.append(Problem(uri, None, f"{why_unread(error)}; left out"))
            continue
        for number in numbers:
            item, box = wanted[number].item, wanted[number].box
            try:
                views[number] = make_view(item, image, alpha=alpha, box=box, source=uri)
            except ValueError as error:
                problems.append(Problem(uri, None, f"{error}; left out"))
    return [views[number] for number in sorted(views)], problems


def _of_item(item: str, found: Sequence[ItemView], source: Path) -> list[ItemView]:
    """The views of `item` among those found, or all where they have one label between them."""
    labels = sorted({view.item for view in found})
    if item not in labels and len(labels) > 1:
        raise ValueError(
            f"the boxes must be labelled {item!r}, or all be labelled alike, got the labels "
            f"{some_names(labels)} [{source}]"
        )
    return [replace(view, item=item) for view in found if len(labels) == 1 or view.item == item]


def _same_pictures(views: Sequence[View]) -> list[Problem]:
    """Warnings of views that are copies of earlier ones, of the same item or of another."""
    first: dict[str, View] = {}
    problems = []
    for view in views:
        other = first.setdefault(view.id, view)
        if other is view:
            continue
        reason = f"{other.source} is the same picture of {view.item!r}; it counts once"
        if other.item != view.item:
            reason = (
                f"{other.source} is the same picture, but of {other.item!r} and not "
                f"{view.item!r}: it will be found as both; remove it where it does not belong"
            )
        problems.append(Problem(view.source, None, reason, "warning"))
    return problems


def _lost_items(source: Path, problems: Sequence[Problem], items: set[str]) -> list[Problem]:
    """Items that have a folder and were left out because none of their pictures can be used."""
    if not source.is_dir():
        return []
    troubled = [Path(problem.file) for problem in problems if problem.level == "error"]
    root = Path(os.path.abspath(source))
    return [
        Problem(
            str(folder),
            None,
            f"none of the pictures of {folder.name!r} can be used; the item is left out",
        )
        for folder in sorted(root.iterdir())
        if folder.name not in items and any(folder in file.parents for file in troubled)
    ]


def _box_format(source: Path) -> str | None:
    """The format of the boxes that a file or a folder holds; None where it holds pictures alone.

    Raises:
        ValueError: it is a file, and neither a picture nor of any format.
    """
    if not source.exists() or (source.is_file() and source.suffix.lower() in IMAGE_SUFFIXES):
        return None
    try:
        name = detect(source)
    except ValueError:
        if source.is_file():
            raise
        return None
    return name if FORMATS[name].carries_boxes else None


def _unread(path: Path) -> Sample:
    """A picture of which only the place is known."""
    uri = Path(os.path.abspath(path)).as_posix()
    return Sample(uri, uri, 0, 0, "")


def some_names(names: Collection[str]) -> str:
    """The first five names, and how many more there are."""
    shown = ", ".join(sorted(names)[:5]) or "none"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
