"""Pictures for the page: looked up by id in the catalog, decoded safely, made anew and kept.

Only what the catalog took is shown: an answer about another picture would be written to it.

A picture is never sent as it lies on the disk: what a browser gets was decoded and encoded here, so
that it holds pixels only, upright and of a size that screens need.
"""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image as PillowImage

from visionkit.data.images import ImageError, content_hash, read_image
from visionkit.flywheel.boxes import Box
from visionkit.types import Image, Sample

SIDE = 1600
"""Longer side of a picture at most, in pixels: more than a page shows without zooming."""
LEAST_SIDE = 400
"""Smaller ones are enlarged to it: the page can't draw boxes of a few pixels."""
THUMBNAIL_SIDE = 256
CROP_SIDE = 320
_QUALITY = 88
_MARGIN = 0.35
"""Of a crop's longer side on each side: what stands around tells what it is."""


class PictureStore:
    """JPEG files by id, of which the ones asked for last are kept in memory.

    Args:
        sample_of: a picture of the catalog by its id; KeyError for an unknown one.
        kept_bytes: how much is kept.
    """

    def __init__(self, sample_of: Callable[[str], Sample], *, kept_bytes: int = 256 << 20) -> None:
        self._sample_of, self._kept_bytes = sample_of, kept_bytes
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def picture(self, sample_id: str) -> bytes:
        """The whole picture as JPEG, its longer side `LEAST_SIDE` to `SIDE`.

        Raises:
            KeyError: there is no such picture in the catalog.
            ImageError: its file is damaged, no picture, or shows another one by now.
            FileNotFoundError: its file is gone.
        """
        return self._made(
            ("picture", sample_id),
            lambda: _fitted(self._read(sample_id), SIDE, least=LEAST_SIDE),
        )

    def thumbnail(self, sample_id: str) -> bytes:
        """The whole picture as JPEG, its longer side `THUMBNAIL_SIDE` at most; raises likewise."""
        return self._made(
            ("thumbnail", sample_id), lambda: _fitted(self._read(sample_id), THUMBNAIL_SIDE)
        )

    def crop(self, proposal_id: str, sample_id: str, box: Box) -> bytes:
        """What a box shows, with some of its surroundings, as JPEG; raises likewise."""
        return self._made(
            ("crop", proposal_id), lambda: _fitted(_around(self._read(sample_id), box), CROP_SIDE)
        )

    def _read(self, sample_id: str) -> Image:
        sample = self._sample_of(sample_id)
        image = read_image(sample.uri)
        if content_hash(image) != sample.content_hash:
            raise ImageError(
                sample.uri,
                "it shows another picture than when the catalog took it",
                "put that one back, or import it from where it lies (visionkit versions import)",
            )
        return image

    def _made(self, key: tuple[str, str], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._size += len(made)
            while self._size > self._kept_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped)
        return made


def _fitted(image: Image, side: int, *, least: int = 1) -> bytes:
    """JPEG of an (H, W, 3) uint8 RGB picture, its longer side `least` to `side` pixels."""
    picture = PillowImage.fromarray(image)
    longer = max(picture.size)
    scale = min(max(longer, least), side) / longer
    if scale != 1:
        width, height = (max(1, round(length * scale)) for length in picture.size)
        picture = picture.resize((width, height), PillowImage.Resampling.LANCZOS, reducing_gap=2.0)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _around(image: Image, box: Box) -> Image:
    """(h, w, 3) uint8: the box and a margin, as far as the picture reaches; at least one pixel."""
    height, width = image.shape[:2]
    margin = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    left = min(max(math.floor(box[0] - margin), 0), width - 1)
    top = min(max(math.floor(box[1] - margin), 0), height - 1)
    right = min(max(math.ceil(box[2] + margin), left + 1), width)
    bottom = min(max(math.ceil(box[3] + margin), top + 1), height)
    return image[top:bottom, left:right]
