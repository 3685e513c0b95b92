"""Data sets of other tools, read into visionkit's table and written from it.

A format is one file here with `find` (its files in a folder), `collect` (what they state) and
`write`. `border.py` checks what any of them states.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from visionkit.data.formats import (
    cntk,
    coco,
    csv_rows,
    folders,
    groundtruth,
    items,
    voc,
    yolo,
)
from visionkit.data.formats.border import Border, NothingLeftError
from visionkit.data.formats.items import ItemView, item_views
from visionkit.data.formats.sidecar import NAME as SIDECAR_NAME
from visionkit.data.formats.sidecar import read_sidecar, write_sidecar
from visionkit.data.images import MAX_PIXELS
from visionkit.data.picture_files import is_junk
from visionkit.data.problems import Problem
from visionkit.data.table import to_samples
from visionkit.files import atomic_folder
from visionkit.types import Sample

__all__ = [
    "FORMATS",
    "ItemView",
    "NothingLeftError",
    "Read",
    "detect",
    "item_views",
    "others_in",
    "read",
    "write",
]


_NAMED = 10
"""So many pictures that are gone are named."""


@dataclass(frozen=True)
class Format:
    """How a format is read and written.

    Attributes:
        expects: what a folder of it holds, for errors.
        find: its files in a folder; none if the folder is not of this format.
        collect: adds what a file or folder states to a border.
        write: writes annotations to a folder, and returns where in it each picture goes, by id;
            None where the format is read only.
        suffixes: of a file that is one set by itself.
        carries_boxes: whether it holds boxes.
        carries_labels: whether it holds labels of whole pictures; in the others only visionkit's
            own file has them.
        path_decides: whether the path of a picture says split and, if it carries some, label.
        written: patterns of the names that `write` makes in a folder beside those of pictures.
    """

    expects: str
    find: Callable[[Path], list[Path]]
    collect: Callable[[Path, Border], None]
    write: Callable[[Sequence[Sample], Path], dict[str, str]] | None
    suffixes: tuple[str, ...] = ()
    carries_boxes: bool = True
    carries_labels: bool = False
    path_decides: bool = False
    written: tuple[str, ...] = ()


# In the order of asking: the surest sign first.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "coco": Format(
            "a .json file of COCO",
            coco.find,
            coco.collect,
            coco.write,
            suffixes=(".json",),
            written=("annotations*.json",),
        ),
        "voc": Format(
            ".xml files of Pascal VOC",
            voc.find,
            voc.collect,
            voc.write,
            suffixes=(".xml",),
            written=("Annotations", "ImageSets"),
        ),
        "cntk": Format(
            "pictures with .bboxes.tsv files beside them", cntk.find, cntk.collect, write=None
        ),
        "groundtruth": Format(
            "a .manifest or .jsonl file of Ground Truth",
            groundtruth.find,
            groundtruth.collect,
            groundtruth.write,
            suffixes=(".manifest", ".jsonl"),
            carries_labels=True,
            written=("output*.manifest",),
        ),
        "yolo": Format(
            "data.yaml, or pictures with .txt files of boxes",
            yolo.find,
            yolo.collect,
            yolo.write,
            suffixes=(".yaml", ".yml", ".names"),
            path_decides=True,
            written=("data.yaml", "labels"),
        ),
        "csv": Format(
            "a .csv or .tsv file with a column of paths",
            csv_rows.find,
            csv_rows.collect,
            csv_rows.write,
            suffixes=(".csv", ".tsv"),
            carries_labels=True,
            written=(csv_rows.FILE_NAME,),
        ),
        "folders": Format(
            "a folder per class with pictures in it",
            folders.find,
            folders.collect,
            folders.write,
            carries_boxes=False,
            carries_labels=True,
            path_decides=True,
        ),
        "items": Format(
            "a folder per item with pictures in it",
            lambda _: [],
            items.collect,
            items.write,
            carries_labels=True,
            path_decides=True,
        ),
    }
)


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        table: of `visionkit.data.table.SCHEMA`, sorted by id; uris are absolute, ids are paths
            within `root`.
        problems: what was wrong; what is an error was left out.
        root: the folder that the pictures lie in.
        format: the format it was read as.
    """

    table: pa.Table
    problems: tuple[Problem, ...]
    root: Path
    format: str


def read(
    path: str | Path,
    format: str = "auto",
    *,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Read:
    """The usable pictures of a data set with their boxes and labels, and what was wrong.

    Args:
        path: a folder, or an annotation file.
        format: one of `FORMATS`, or "auto". A folder of folders of pictures is taken as class
            folders; say "items" to have them as items. With "items", a file or folder of any
            other format is a set whose boxes are the items.
        image_root: the folder of the pictures, where they don't lie beside the annotations. No
            path is followed out of it.
        max_pixels: larger pictures are left out.

    Raises:
        FileNotFoundError: there is no such path, or nothing of the format in the folder.
        NothingLeftError: nothing could be used; it holds the problems.
        ValueError: the format is unknown, or can't be told.
    """
    source = Path(os.path.abspath(Path(path).expanduser()))
    if not source.exists():
        raise FileNotFoundError(f"{path} must be a data set, but there is none; check the path")
    name = detect(source) if format == "auto" else _known(format)
    if name == "items" and source.is_file():
        name = detect(source)
    pictures = None if image_root is None else Path(os.path.abspath(image_root))
    if pictures is not None and not pictures.is_dir():
        raise FileNotFoundError(f"image_root must be a folder, got {image_root}; check the path")
    chosen = FORMATS[name]
    border = Border(pictures or _root_of(source), image_root=pictures)
    chosen.collect(source, border)
    found = border.entries or border.problems or chosen.find(source)
    if source.is_dir() and not found:
        raise FileNotFoundError(
            f"{path} must hold {chosen.expects}, but holds {_content(source)}; check the path, "
            "or say another format (data.format= of train, source_format= of versions import)"
        )
    table = border.finish(
        source,
        carries_boxes=chosen.carries_boxes,
        carries_labels=chosen.carries_labels,
        path_decides=chosen.path_decides,
        max_pixels=max_pixels,
    )
    return Read(table, tuple(border.problems), border.root, name)


def detect(path: str | Path) -> str:
    """The format of a data set, told by its files.

    Raises:
        ValueError: it can't be told.
    """
    source = Path(path)
    for name, format in FORMATS.items():
        if source.is_file():
            if source.suffix.lower() in format.suffixes or format.find(source.parent) == [source]:
                return name
        elif format.find(source):
            return name
    held = f", which holds {_content(source)}," if source.is_dir() else ""
    raise ValueError(
        f"the format of {path}{held} can't be told; check the path, or say which it is "
        f"(data.format= of train, source_format= of versions import): {', '.join(FORMATS)}"
    )


def write(
    table: pa.Table,
    path: str | Path,
    format: str,
    *,
    image_root: str | Path = ".",
    overwrite: bool = False,
) -> None:
    """Writes a folder with a copy of all pictures and their annotations, whole or not at all.

    What the format itself can't carry is in `visionkit.json` beside it, so that `read` gives
    back the same table but for `uri`.

    Args:
        table: of `visionkit.data.table.SCHEMA`.
        path: the folder to make.
        format: one of `FORMATS`; class folders need a label for every picture.
        image_root: what relative uris are relative to.
        overwrite: whether a folder that is there is replaced.

    Raises:
        ValueError: the format can't be written, or not with these pictures.
        FileNotFoundError: pictures are gone; it names them.
        FileExistsError: `path` is there and `overwrite` is false.
        RuntimeError: the disk is full.
    """
    write_format = FORMATS[_known(format)].write
    if write_format is None:
        writable = ", ".join(name for name, each in FORMATS.items() if each.write)
        raise ValueError(f"{format} can only be read; write one of {writable}")
    samples = to_samples(table)
    if not samples:
        raise ValueError("a data set must have at least one picture, got an empty table")
    with atomic_folder(path, overwrite=overwrite) as folder:
        names = write_format(samples, folder)
        pictures = [Path(image_root) / sample.uri for sample in samples]
        _check_there(pictures)
        for sample, picture in zip(samples, pictures, strict=True):
            target = folder / names[sample.id]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target)
        write_sidecar(folder, samples, names)


def others_in(folder: Path) -> list[str]:
    """Names in a folder that are not of a set that `write` made there; all where there is none."""
    names = sorted(entry.name for entry in folder.iterdir() if not is_junk(entry.name))
    try:
        pictures = read_sidecar(folder)
    except ValueError:  # damaged, or not of visionkit
        pictures = {}
    if not pictures:
        return names
    ours = {SIDECAR_NAME, *(name.partition("/")[0] for name in pictures)}
    patterns = [pattern for format in FORMATS.values() for pattern in format.written]
    return [n for n in names if n not in ours and not any(fnmatchcase(n, p) for p in patterns)]


def _known(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f"format must be auto or one of {', '.join(FORMATS)}, got {format!r}")
    return format


def _content(folder: Path) -> str:
    """The first names in a folder, and how many more there are."""
    names = sorted(entry.name for entry in folder.iterdir() if not is_junk(entry.name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) or "nothing") + more


def _root_of(source: Path) -> Path:
    """The folder that holds the pictures of a set as well as its annotations."""
    folder = source if source.is_dir() else source.parent
    return folder.parent if folder.name.lower() == "annotations" else folder


def _check_there(pictures: Sequence[Path]) -> None:
    """Passes if all pictures are files.

    Raises:
        FileNotFoundError: some are not; it names the first of them.
    """
    gone = [str(path) for path in pictures if not path.is_file()]
    if gone:
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        raise FileNotFoundError(
            "all pictures of the table must be there, but "
            f"{', '.join(gone[:_NAMED])}{more} {'is' if len(gone) == 1 else 'are'} gone; put back "
            "what is gone, or read the set again"
        )
