"""The gallery: which items are looked for, and every picture that shows one."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit import files
from visionkit.data.images import read_rgba
from visionkit.types import Image

_CONTEXT = 0.5
"""How much of the picture around the box a view keeps, in parts of the box's longer side."""
_SEEN = 25
"""Alpha up to which a pixel is taken for transparent."""
_OPAQUE = 255
_MAX_BOX_SIDE = 384
"""Views are stored no larger than this: templates are at most 180 px on their longer side,
local features gain nothing beyond 384."""
_LIST = "gallery.json"
_NAMED = 10
"""So many items are named in an error; a gallery may hold thousands."""


@dataclass(frozen=True, eq=False)
class View:
    """One picture of an item.

    Attributes:
        id: from the pixels and the box: equal for copies.
        item: name of the item.
        image: (H, W, 3) uint8 RGB; the item and, where there was any, what stood around it.
        alpha: (H, W) uint8, 255 where the item is; None where the whole box is the item.
        box: x_min, y_min, x_max, y_max of the item within `image`, pixels.
        source: path of the picture it came from, or "".
        from_catalog: whether a retraining cut it from a box of the catalog, and takes it away again
            where people no longer say that the item is there.
    """

    id: str
    item: str
    image: Image
    alpha: NDArray[np.uint8] | None
    box: tuple[float, float, float, float]
    source: str = ""
    from_catalog: bool = False

    def crop(self) -> Image:
        """(h, w, 3) uint8 RGB: the item without what stood around it; at least 1x1."""
        x_min, y_min, x_max, y_max = _whole_pixels(self.box, self.image.shape)
        return np.ascontiguousarray(self.image[y_min:y_max, x_min:x_max])


def make_view(
    item: str,
    image: Image,
    *,
    alpha: NDArray[np.uint8] | None = None,
    box: Sequence[float] | None = None,
    source: str = "",
) -> View:
    """A view of `item` cut from a picture, with some of what stands around it.

    Args:
        item: name of the item.
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8, 0 where the picture is transparent. Without a box the item's
            extent is where it is not.
        box: xyxy of the item in pixels; None is the whole picture.
        source: path of the picture, kept as evidence.

    Raises:
        ValueError: the name is empty, or the box is not four numbers or holds no pixel of the
            picture, or all of it is transparent.
    """
    where = f"[{source or 'picture'}]"
    if not item.strip():
        raise ValueError(f"an item must have a name, got {item!r} {where}")
    extent = _extent(image, alpha) if box is None else box
    x_min, y_min, x_max, y_max = _checked_box(extent, image, item, where)
    margin = _CONTEXT * max(x_max - x_min, y_max - y_min)
    around = (x_min - margin, y_min - margin, x_max + margin, y_max + margin)
    left, top, right, bottom = _whole_pixels(around, image.shape)
    cut = image[top:bottom, left:right]
    cut_alpha = None if alpha is None else alpha[top:bottom, left:right]
    if cut_alpha is not None and not (cut_alpha > _SEEN).any():
        raise ValueError(
            f"a picture of {item} must show something, but all of it is transparent {where}"
        )
    inner = (x_min - left, y_min - top, x_max - left, y_max - top)
    scale = min(1.0, _MAX_BOX_SIDE / max(x_max - x_min, y_max - y_min))
    if scale < 1:
        cut, cut_alpha, inner = _shrink(cut, cut_alpha, inner, scale)
    if cut_alpha is not None and (cut_alpha == _OPAQUE).all():
        cut_alpha = None  # as a picture without transparency is read back
    cut = np.ascontiguousarray(cut)
    return View(_view_id(cut, cut_alpha, inner), item, cut, cut_alpha, inner, source)


def _checked_box(
    box: Sequence[float], image: Image, item: str, where: str
) -> tuple[float, float, float, float]:
    """The box, cut at the rim of the picture."""
    extent = tuple(float(edge) for edge in box)
    if len(extent) != 4:
        raise ValueError(
            f"the box of {item} must be four numbers, x_min, y_min, x_max, y_max, got {extent} "
            f"{where}"
        )
    x_min, y_min, x_max, y_max = _clip(extent, image.shape)
    if not (x_max - x_min >= 1 and y_max - y_min >= 1):  # written so that NaN does not pass
        raise ValueError(
            f"the box of {item} must hold at least one pixel of the picture, got "
            f"{extent} in {image.shape[1]}x{image.shape[0]} {where}"
        )
    return x_min, y_min, x_max, y_max


@dataclass(frozen=True)
class Gallery:
    """All items with their views; every view is kept, none is averaged away.

    Attributes:
        views: in the order they were added.
    """

    views: tuple[View, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the items, sorted."""
        return tuple(sorted({view.item for view in self.views}))

    def add(self, views: Iterable[View]) -> Gallery:
        """A gallery with these views too; a view that the same item already has is left out."""
        kept = list(self.views)
        known = {(view.item, view.id) for view in kept}
        for view in views:
            if (view.item, view.id) not in known:
                known.add((view.item, view.id))
                kept.append(view)
        return replace(self, views=tuple(kept))

    def remove(self, item: str) -> Gallery:
        """A gallery without this item.

        Raises:
            ValueError: there is no such item.
        """
        if item not in self.items:
            known = ", ".join(self.items[:_NAMED]) or "it is empty"
            more = f" and {len(self.items) - _NAMED} more" if len(self.items) > _NAMED else ""
            close = difflib.get_close_matches(item, self.items, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"item must be one of the gallery's ({known}{more}), got {item!r}{hint}"
            )
        return self.drop({n for n, view in enumerate(self.views) if view.item == item})

    def drop(self, views: Collection[int]) -> Gallery:
        """A gallery without the views of these indices; an item without views is gone."""
        kept = (view for index, view in enumerate(self.views) if index not in views)
        return replace(self, views=tuple(kept))


def is_gallery(folder: str | Path) -> bool:
    """Whether a folder is one that `save_gallery` wrote."""
    return (Path(folder) / _LIST).is_file()


def save_gallery(gallery: Gallery, folder: Path) -> None:
    """Writes `gallery.json` and a PNG a view into an existing folder."""
    entries = []
    (folder / "views").mkdir(exist_ok=True)
    for view in gallery.views:
        name = f"views/{view.id}.png"
        (folder / name).write_bytes(_encode(view))
        entry: dict[str, Any] = {"id": view.id, "item": view.item, "file": name}
        entry |= {"box": view.box, "source": view.source}
        # Only where it is so: other galleries are, to the last bit, what they were before.
        entries.append(entry | {"from_catalog": True} if view.from_catalog else entry)
    files.write_json(folder / _LIST, {"views": entries})


def load_gallery(folder: Path) -> Gallery:
    """The gallery of a folder that `save_gallery` wrote.

    Raises:
        ValueError: the list or a picture is damaged; names the file.
    """
    path = folder / _LIST
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["views"]
        return Gallery(tuple(_read_view(folder, entry) for entry in entries))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"the gallery must be whole, got: {error} [{path}]; take the bundle from its "
            f"source again"
        ) from error


def _read_view(folder: Path, entry: dict[str, Any]) -> View:
    name = str(entry["file"])
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a view's file must lie within the gallery, got {name}")
    image, alpha = read_rgba(folder / name)
    x_min, y_min, x_max, y_max = (float(edge) for edge in entry["box"])
    box = (x_min, y_min, x_max, y_max)
    # Views once kept an alpha that is opaque all over, which is not read back.
    opaque = np.full(image.shape[:2], _OPAQUE, np.uint8) if alpha is None else alpha
    if all(_view_id(image, seen, box) != entry["id"] for seen in (alpha, opaque)):
        raise ValueError(f"the picture {name} is not the one that was saved")
    return View(
        entry["id"],
        str(entry["item"]),
        image,
        alpha,
        box,
        str(entry["source"]),
        from_catalog=bool(entry.get("from_catalog", False)),
    )


def _encode(view: View) -> bytes:
    channels = cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR)
    if view.alpha is not None:
        channels = np.dstack([channels, view.alpha])
    done, encoded = cv2.imencode(".png", channels)
    if not done:
        raise RuntimeError(f"the view {view.id} of {view.item} could not be written as PNG")
    return encoded.tobytes()


def _view_id(
    image: Image, alpha: NDArray[np.uint8] | None, box: tuple[float, float, float, float]
) -> str:
    digest = hashlib.sha256(repr((image.shape, [round(edge, 2) for edge in box])).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    if alpha is not None:
        digest.update(np.ascontiguousarray(alpha).tobytes())
    return digest.hexdigest()[:16]


def _extent(image: Image, alpha: NDArray[np.uint8] | None) -> tuple[float, float, float, float]:
    """The whole picture, or the bounding box of what is not transparent in it."""
    height, width = image.shape[:2]
    if alpha is None or not (alpha > _SEEN).any():
        return (0.0, 0.0, float(width), float(height))
    rows, columns = np.nonzero((alpha > _SEEN).any(1))[0], np.nonzero((alpha > _SEEN).any(0))[0]
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def _clip(box: Sequence[float], shape: Sequence[int]) -> tuple[float, float, float, float]:
    height, width = shape[:2]
    x_min, y_min, x_max, y_max = box
    return (max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width)), min(y_max, float(height)))


def _whole_pixels(box: Sequence[float], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The smallest box of whole pixels around `box`, within the picture, at least 1x1."""
    height, width = shape[:2]
    left, top = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    right, bottom = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _shrink(
    image: Image,
    alpha: NDArray[np.uint8] | None,
    box: tuple[float, float, float, float],
    scale: float,
) -> tuple[Image, NDArray[np.uint8] | None, tuple[float, float, float, float]]:
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    x_scale, y_scale = size[0] / width, size[1] / height
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_alpha = None
    if alpha is not None:
        small_alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
    x_min, y_min, x_max, y_max = box
    return small, small_alpha, (x_min * x_scale, y_min * y_scale, x_max * x_scale, y_max * y_scale)
