"""Pictures in: decoding files safely to upright 8-bit RGB.

What a file holds counts, not its name. Compositing rule: transparency is laid on white, or on
a stated colour, in plain 8-bit values. Sixteen bits are scaled to eight, animations and
documents give their first picture, colour profiles are not applied.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from visionkit.data.jpeg import DamagedJpegError, decode_jpeg, largest_shrink
from visionkit.types import Image

Color = tuple[int, int, int]
Alpha = NDArray[np.uint8]

WHITE: Color = (255, 255, 255)
MAX_PIXELS = 80_000_000
"""240 MB as RGB; above the pictures of common cameras and phones, below Pillow's own limit."""
MAX_FILE_BYTES = 1 << 29

# No EPS, PDF or WMF: Pillow hands those to other programs.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
# What Pillow's decoders raise on damaged files.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
_BOMB = (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning)
_RESAVE = "save it again from the original, or leave it out"


class ImageError(ValueError):
    """A file that can't be used as a picture; the message says why and what to do.

    Attributes:
        path: the file.
        reason: what is wrong with it.
        way_out: what to do.
    """

    def __init__(self, path: str | Path, reason: str, way_out: str = _RESAVE) -> None:
        super().__init__(f"{path} must be a picture, but {reason}; {way_out}")
        self.path, self.reason, self.way_out = Path(path), reason, way_out

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str, str]]:
        """Lets the error travel between processes."""
        return type(self), (self.path, self.reason, self.way_out)


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: (H, W, 3) uint8 RGB, upright; colours as stored, also where transparent.
        alpha: (H, W) uint8, 0 is transparent; None where everything is opaque.
        notes: what was odd but could be put right.
        shrink: 1, 2, 4 or 8: how many pixels of the file one pixel stands for, each way.
    """

    rgb: Image
    alpha: Alpha | None = None
    notes: tuple[str, ...] = ()
    shrink: int = 1


def read_image(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, background: Color = WHITE
) -> Image:
    """The picture as (H, W, 3) uint8 RGB, upright, with transparency laid on `background`.

    Args:
        path: a picture file, of any name.
        max_pixels: larger pictures are refused before memory is allocated for them. More than
            2 * PIL.Image.MAX_IMAGE_PIXELS (179 million) is never opened.
        background: RGB in 0..255.

    Raises:
        ImageError: the file is empty, damaged, cut short, too large or no picture.
        FileNotFoundError: there is no such file.
    """
    picture = read_picture(path, max_pixels=max_pixels)
    return picture.rgb if picture.alpha is None else lay_on(picture.rgb, picture.alpha, background)


def read_rgba(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image, Alpha | None]:
    """The picture as (H, W, 3) uint8 RGB and its (H, W) uint8 alpha, None where all is opaque.

    Colours are as stored (not premultiplied); under full transparency they mean nothing.

    Raises:
        ImageError: the file is empty, damaged, cut short, too large or no picture.
        FileNotFoundError: there is no such file.
    """
    picture = read_picture(path, max_pixels=max_pixels)
    return picture.rgb, picture.alpha


def read_picture(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    scale_for: Callable[[int, int], float] | None = None,
) -> Picture:
    """The decoded picture with its alpha and with notes on what had to be put right.

    Args:
        path: a picture file, of any name.
        max_pixels: larger pictures are refused, even if they would be decoded smaller.
        scale_for: is given height and width of the upright picture, and says at which scale it
            is needed; a JPEG is then decoded at a half, a quarter or an eighth of its size where
            that is no less. None is at its full size.

    Raises:
        ImageError: the file is empty, damaged, cut short, too large or no picture.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    content = _read_bytes(path)
    try:
        with _open(path, content) as opened:
            _check_size(path, opened.size, max_pixels)
            picture = _decode_jpeg(opened, content, scale_for) or _decode(path, opened)
            return _upright(picture, _orientation(opened))
    except ImageError:
        raise
    except DamagedJpegError as error:
        raise ImageError(path, str(error)) from error
    except _BOMB as error:
        raise ImageError(
            path, f"it is larger than Pillow opens ({error})", "save it smaller"
        ) from error
    except _DECODE_ERRORS as error:
        raise ImageError(path, _in_words(error)) from error


def lay_on(rgb: Image, alpha: Alpha, background: Color = WHITE) -> Image:
    """(H, W, 3) uint8 RGB: `rgb` laid on a plain `background` by `alpha` (H, W) uint8."""
    opacity = alpha[..., None].astype(np.uint16)
    color = np.asarray(background, np.uint16)
    mixed = rgb.astype(np.uint16) * opacity + color * (255 - opacity)  # at most 255 * 255
    return ((mixed + 127) // 255).astype(np.uint8)


def content_hash(image: Image) -> str:
    """32 hexadecimal digits that are equal for copies: over the size and the decoded pixels.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def why_unread(error: ImageError | FileNotFoundError) -> str:
    """Why a picture of many could not be read and what to do, as a list of problems has it."""
    if isinstance(error, ImageError):
        return f"{error.reason}; {error.way_out}"
    return "there is no such file, or only a link to none; put it back"


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, "it is a folder", "name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "it is not a regular file", "copy the picture into a file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(path, f"it has {status.st_size >> 20} MB", "save it smaller")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} must be a file or folder, but there is none; check the path"
        ) from error
    except OSError as error:
        reason = f"it can't be read ({error.strerror})"
        raise ImageError(path, reason, "check its permissions") from error
    if not content:
        raise ImageError(path, "it is empty (0 bytes)", "fetch it again, or leave it out")
    return content


def _open(path: Path, content: bytes) -> PillowImage.Image:
    """The picture with its header read and its pixels not."""
    PillowImage.init()
    formats = [name for name in _FORMATS if name in PillowImage.OPEN]
    try:
        return PillowImage.open(BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        raise ImageError(path, *_what_else(content)) from error


def _what_else(content: bytes) -> tuple[str, str]:
    """Reason and way out for a file in which no picture was found."""
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer", "fetch the picture itself with `git lfs pull`"
    if b"<svg" in head:
        return "it is an SVG drawing", "export it as PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, perhaps an error page", "download the picture again"
    if content[4:8] == b"ftyp":
        return "it is a HEIC picture or a video", "export it as JPEG or PNG"
    if content.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")):
        return "its header is cut short or damaged", _RESAVE
    if all(byte >= 32 or byte in b"\t\r\n" for byte in content[:512]):
        return "it is a text file", "leave it out"
    return "its format is not known", "save it as JPEG or PNG"


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            path,
            f"it has {width} x {height} pixels, more than the limit of {max_pixels}",
            "save it smaller, or raise the limit (data.max_megapixels)",
        )
    if width < 1 or height < 1:
        raise ImageError(path, f"its size is {width} x {height}")


def _in_words(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return f"it is damaged or cut short ({error})"


def _decode_jpeg(
    opened: PillowImage.Image,
    content: bytes,
    scale_for: Callable[[int, int], float] | None,
) -> Picture | None:
    """The decoded JPEG, not yet turned upright; None where Pillow has to decode the file."""
    if opened.format not in ("JPEG", "MPO"):
        return None
    shrink = 1
    if scale_for is not None:
        width, height = opened.size if _orientation(opened) < 5 else opened.size[::-1]
        shrink = largest_shrink(scale_for(height, width))
    rgb, notes = decode_jpeg(content, shrink=shrink)
    return None if rgb is None else Picture(rgb, notes=notes, shrink=shrink)


def _decode(path: Path, opened: PillowImage.Image) -> Picture:
    opened.load()
    if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in ("PNG", "PPM")):
        return Picture(_repeat_gray(_from_16_bit(np.asarray(opened))))
    if opened.mode in ("I", "F"):
        way_out = "save it with 8 or 16 bits"
        raise ImageError(path, "its 32-bit values have no stated range", way_out)
    if opened.has_transparency_data:
        rgba = np.asarray(opened.convert("RGBA"))
        alpha = np.ascontiguousarray(rgba[..., 3])
        return Picture(np.ascontiguousarray(rgba[..., :3]), None if alpha.min() == 255 else alpha)
    return Picture(np.array(opened.convert("RGB")))


def _from_16_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    scaled = (values.astype(np.uint32) + 128) // 257  # 65535 -> 255
    return np.minimum(scaled, 255).astype(np.uint8)


def _repeat_gray(gray: NDArray[np.uint8]) -> Image:
    return np.repeat(gray[..., None], 3, axis=2)


def _orientation(opened: PillowImage.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or it is no such value."""
    try:
        value = opened.getexif().get(0x0112, 1)
    except _DECODE_ERRORS:
        return 1  # damaged EXIF data say nothing about the pixels
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(picture: Picture, orientation: int) -> Picture:
    if orientation == 1:
        return picture
    alpha = None if picture.alpha is None else _turn(picture.alpha, orientation)
    return replace(picture, rgb=_turn(picture.rgb, orientation), alpha=alpha)


def _turn(array: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undoes EXIF orientation 2..8 of an (H, W, ...) array."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)  # 5 is a plain transpose, 6..8 turn it further
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
