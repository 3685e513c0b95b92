"""The border where data of any format become the table: here they are checked, once.

A reader of a format adds what its files say (`Entry`) and reports what it can't read.
`Border.finish` decodes each picture and checks boxes against it. What is wrong is reported
with file, line and reason, and left out; the rest goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa

from visionkit.data.formats.entry import Entry, EntryBox, box_problem, clip, words
from visionkit.data.formats.paths import candidates, is_file, is_folder
from visionkit.data.formats.sidecar import NAME, complete, read_sidecar
from visionkit.data.images import (
    MAX_PIXELS,
    WHITE,
    ImageError,
    content_hash,
    lay_on,
    read_picture,
    why_unread,
)
from visionkit.data.problems import Problem, summarize
from visionkit.data.table import label_problem, to_table
from visionkit.types import ObjectBox, Sample

_ROUNDING = 1.0
"""Pixels by which boxes may leave the picture without a word: formats count from 0 or 1."""


class NothingLeftError(ValueError):
    """Data of which nothing could be used.

    Attributes:
        problems: why.
    """

    def __init__(self, source: Path, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{source} must hold at least one usable picture, but nothing is left; "
            + summarize(problems)
        )
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Decoded:
    width: int
    height: int
    content_hash: str
    notes: tuple[str, ...]


class Border:
    """Takes what files state, and gives the table and what was wrong.

    Args:
        root: no path is followed out of this folder; ids are paths within it.
        image_root: where pictures are looked for first; None is only where the format has them.

    Attributes:
        problems: what was found so far.
        entries: path -> what is stated of it, in the order of adding.
    """

    def __init__(self, root: Path, *, image_root: Path | None = None) -> None:
        self.root = root
        self.image_root = image_root
        self.problems: list[Problem] = []
        self.entries: dict[Path, Entry] = {}

    def inside(self, path: Path) -> PurePosixPath:
        """`path` within the root; only its name where it lies elsewhere."""
        inner = path.relative_to(self.root) if path.is_relative_to(self.root) else Path(path.name)
        return PurePosixPath(inner.as_posix())

    def report(
        self,
        file: Path,
        line: int | None,
        reason: str,
        level: Literal["error", "warning"] = "error",
    ) -> None:
        """Notes a problem."""
        self.problems.append(Problem(str(file), line, reason, level))

    def report_many(self, file: Path, paths: Sequence[Path], reason: str) -> None:
        """Notes one problem for many pictures; none if there are none."""
        if paths:
            shown = ", ".join(path.name for path in paths[:3])
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            self.report(file, None, f"{reason}: {shown}{more}", "warning")

    def add(self, entry: Entry) -> None:
        """Takes what is stated of a picture; a second statement is merged into the first."""
        first = self.entries.setdefault(entry.path, entry)
        if first is entry:
            return
        self.report(
            entry.file,
            entry.line,
            f"{entry.path.name} must be listed once, but is also in {first.file.name}"
            f"{f' line {first.line}' if first.line else ''}; both are merged",
            "warning",
        )
        known = {(box.label, box.box) for box in first.boxes}
        first.boxes += [box for box in entry.boxes if (box.label, box.box) not in known]
        first.labels += [label for label in entry.labels if label not in first.labels]
        first.lost += entry.lost
        first.split = first.split or entry.split
        first.states_split |= entry.states_split

    def resolve(
        self, name: object, folders: Iterable[Path], file: Path, line: int | None
    ) -> Path | None:
        """The existing file `name` in the first of `folders` that has it; None if reported.

        Windows separators and both Unicode forms of accents are understood. Absolute paths and
        paths with `..` are refused where they leave the root.
        """
        if not isinstance(name, str) or not name.strip():
            self.report(file, line, f"the picture must be named, got {name!r}; left out")
            return None
        places = [self.image_root] if self.image_root else []
        places += [folder for folder in folders if folder not in places]
        escapes = True
        for path in candidates(name, places):
            if not path.is_relative_to(self.root):
                continue
            escapes = False
            if is_file(path):
                return path
        if escapes:
            reason = (
                f"the path {name!r} must stay below {self.root}; left out "
                "(set image_root to a folder above the pictures if they lie elsewhere)"
            )
        else:
            looked = " or ".join(str(place) for place in [p for p in places if is_folder(p)][:2])
            reason = (
                f"the picture {name!r} must exist, but is not in {looked}; left out "
                "(set image_root if the pictures lie elsewhere)"
            )
        self.report(file, line, reason)
        return None

    def finish(
        self,
        source: Path,
        *,
        carries_boxes: bool = True,
        carries_labels: bool = False,
        path_decides: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> pa.Table:
        """The table of all that is usable, sorted by id.

        Args:
            source: what was read, for the error.
            carries_boxes: whether the format holds boxes; see `sidecar.complete`.
            carries_labels: whether it holds labels of whole pictures; likewise.
            path_decides: whether split and labels follow from the path of a picture.
            max_pixels: larger pictures are left out.

        Raises:
            NothingLeftError: nothing is usable.
        """
        known = self._sidecar()
        samples: list[Sample] = []
        taken: set[str] = set()
        for entry, decoded in self._decode(max_pixels):
            sample = self._sample(entry, decoded)
            if sample is None:
                continue
            if sample.id in known:
                sample = complete(
                    sample,
                    known[sample.id],
                    states_split=entry.states_split,
                    carries_boxes=carries_boxes,
                    carries_labels=carries_labels,
                    path_decides=path_decides,
                )
            # A picture that was added since may be called as another was.
            while sample.id in taken:
                sample = replace(sample, id=f"{sample.id}_2")
            taken.add(sample.id)
            samples.append(sample)
        if not samples:
            raise NothingLeftError(source, self.problems)
        samples.sort(key=lambda sample: sample.id)
        self._check_copies(samples)
        self._check_classes(source, samples)
        return to_table(samples)

    def _sidecar(self) -> dict[str, Sample]:
        try:
            return read_sidecar(self.root)
        except ValueError as error:
            self.report(self.root / NAME, None, f"{error}; provenance is lost", "warning")
            return {}

    def _decode(self, max_pixels: int) -> Iterator[tuple[Entry, _Decoded]]:
        """Entries whose picture can be used; the others are reported."""

        def decode(entry: Entry) -> _Decoded | str:
            try:
                entry.path.as_posix().encode("utf-8")
                picture = read_picture(entry.path, max_pixels=max_pixels)
            except UnicodeEncodeError:
                return "its name is not UTF-8; rename it"
            except (ImageError, FileNotFoundError) as error:
                return why_unread(error)
            rgb = picture.rgb
            if picture.alpha is not None:
                rgb = lay_on(rgb, picture.alpha, WHITE)
            height, width = rgb.shape[:2]
            return _Decoded(width, height, content_hash(rgb), picture.notes)

        entries = list(self.entries.values())
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for entry, decoded in zip(entries, pool.map(decode, entries), strict=True):
                if isinstance(decoded, str):
                    self.report(entry.path, None, f"{decoded}; left out")
                    continue
                for note in decoded.notes:
                    self.report(entry.path, None, note, "warning")
                yield entry, decoded

    def _sample(self, entry: Entry, decoded: _Decoded) -> Sample | None:
        size = (decoded.width, decoded.height)
        if entry.size is not None and entry.size != size:
            turned = " (was it annotated before its EXIF turn?)" if entry.size == size[::-1] else ""
            self.report(
                entry.file,
                entry.line,
                f"the size must be that of {entry.path.name}, {size[0]} x {size[1]}, "
                f"got {entry.size[0]} x {entry.size[1]}{turned}; left out",
            )
            return None
        boxes = [self._box(entry.file, box, size) for box in entry.boxes]
        objects = list(dict.fromkeys(box for box in boxes if box is not None))
        lost = entry.lost + boxes.count(None)
        if lost and not objects:
            self.report(
                entry.file,
                entry.line,
                f"none of the {lost} boxes of {entry.path.name} can be used; left out, "
                "so that it is not taken for a picture without any",
            )
            return None
        labels = self._labels(entry)
        if labels is None:
            return None
        return Sample(
            id=entry.path.relative_to(self.root).as_posix(),
            uri=entry.path.as_posix(),
            width=decoded.width,
            height=decoded.height,
            content_hash=decoded.content_hash,
            split=entry.split,
            labels=labels,
            objects=tuple(objects),
        )

    def _labels(self, entry: Entry) -> tuple[str, ...] | None:
        labels = tuple(dict.fromkeys(label.strip() for label in entry.labels))
        for label in labels:
            reason = label_problem(label)
            if reason:
                self.report(entry.file, entry.line, f"{reason}; left out")
                return None
        return labels

    def _box(self, file: Path, stated: EntryBox, size: tuple[int, int]) -> ObjectBox | None:
        """The box in pixels and within the picture; None where it was reported."""
        label = stated.label.strip()
        x_scale, y_scale = size if stated.relative else (1, 1)
        x_min, y_min, x_max, y_max = stated.box
        box = (x_min * x_scale, y_min * y_scale, x_max * x_scale, y_max * y_scale)
        reason = label_problem(label) or box_problem(box, size)
        if reason:
            self.report(file, stated.line, f"{reason}; left out")
            return None
        inside = clip(box, size)
        if max(abs(a - b) for a, b in zip(box, inside, strict=True)) > _ROUNDING:
            self.report(
                file,
                stated.line,
                f"the box must lie within the {size[0]} x {size[1]} picture, got "
                f"{words(box)} (x_min, y_min, x_max, y_max); cut off at the border "
                "(are its numbers in the order of this format?)",
                "warning",
            )
        return ObjectBox(label, inside, stated.source, stated.created)

    def _check_copies(self, samples: Sequence[Sample]) -> None:
        """Warns of copies that contradict each other."""
        first: dict[str, Sample] = {}
        for sample in samples:
            other = first.setdefault(sample.content_hash, sample)
            if other is sample:
                continue
            if _said(other) != _said(sample):
                what = "labels"
            elif other.split != sample.split:
                what = "splits"
            else:
                continue
            self.report(
                Path(sample.uri),
                None,
                f"copies must have the same {what}, but this is a copy of {other.id} with others",
                "warning",
            )

    def _check_classes(self, source: Path, samples: Sequence[Sample]) -> None:
        labels = {label for sample in samples for label in sample.labels}
        if len(labels) == 1 and len(samples) > 1 and not any(s.objects for s in samples):
            self.report(
                source,
                None,
                f"all pictures have the one label {labels.pop()!r}; a classifier has nothing to "
                "learn from them",
                "warning",
            )


def _said(sample: Sample) -> tuple[set[str], set[str]]:
    return set(sample.labels), {entry.label for entry in sample.objects}
