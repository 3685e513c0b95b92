from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.data.images import (
    ImageError,
    content_hash,
    lay_on,
    read_image,
    read_picture,
    read_rgba,
)


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    """A picture in which every pixel differs, so that any turn shows."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 20, columns * 20, rows * 7 + columns * 3], axis=2).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    PillowImage.fromarray(array).save(path, **options)
    return path


def test_reads_rgb_unchanged(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.png", gradient()))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn_is_applied(tmp_path: Path, orientation: int) -> None:
    """EXIF 2.32, table 6: where the first row and column of the stored picture belong."""
    upright = gradient()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: np.swapaxes(upright, 0, 1),
        6: np.rot90(upright, 1),
        7: np.swapaxes(upright[::-1, ::-1], 0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif.tobytes())
    np.testing.assert_array_equal(read_image(path), upright)


def test_alpha_is_laid_on_white_or_a_stated_color(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., 3] = [[0, 255], [51, 102]]
    path = save(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(read_image(path)[..., 0], [[255, 0], [204, 153]])
    red = read_image(path, background=(200, 0, 0))
    np.testing.assert_array_equal(red[..., 0], [[200, 0], [160, 120]])
    np.testing.assert_array_equal(red[..., 1], 0)


@pytest.mark.parametrize(
    ("mode", "alpha_expected"),
    [("RGB", False), ("L", False), ("CMYK", False), ("RGBA", True), ("LA", True), ("P", False)],
)
def test_rgba_is_split(tmp_path: Path, mode: str, alpha_expected: bool) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    image = PillowImage.new(mode, (5, 4))
    image.save(tmp_path / f"a.{suffix}")
    rgb, alpha = read_rgba(tmp_path / f"a.{suffix}")
    assert rgb.shape == (4, 5, 3)
    assert (alpha is not None) is alpha_expected
    if alpha is not None:
        assert alpha.shape == (4, 5)


def test_opaque_alpha_is_none(tmp_path: Path) -> None:
    rgba = np.full((3, 3, 4), 255, np.uint8)
    assert read_rgba(save(tmp_path / "a.png", rgba))[1] is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 256 * 128, 65535]], np.uint16)
    PillowImage.fromarray(values).save(tmp_path / f"a.{suffix}")
    # v / 257, rounded: 32768 / 257 = 127.5
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}")[0, :, 0], [0, 1, 128, 255])


def test_16_bits_of_a_pgm_are_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 257, 256 * 128, 65535]], ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5\n4 1\n65535\n" + values.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm")[0, :, 0], [0, 1, 128, 255])


def test_32_bit_values_are_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="no stated range; save it with 8 or 16 bits"):
        read_image(tmp_path / "a.tif")


def test_size_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gradient(6, 9))
    assert read_image(path, max_pixels=54).shape == (6, 9, 3)
    with pytest.raises(ImageError, match="9 x 6 pixels, more than the limit of 53"):
        read_image(path, max_pixels=53)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG drawing"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"hello\n", "text file"),
        (b"\x89PNG\r\n\x1a\n", "header is cut short"),
        (bytes(range(256)), "format is not known"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def jpeg_bytes() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    out = io.BytesIO()
    PillowImage.fromarray(noise).save(out, "JPEG")
    return out.getvalue()


def test_damaged_jpegs(tmp_path: Path) -> None:
    whole = jpeg_bytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:-2])
    assert read_picture(path).notes == ("its end marker is missing; the picture itself is whole",)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path)
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 60] = b"\x11" * 60
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="it is a folder"):
        read_image(tmp_path)


def test_lay_on_is_exact_at_the_ends() -> None:
    rgb = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(lay_on(rgb, np.full((2, 2), 255, np.uint8)), rgb)
    np.testing.assert_array_equal(lay_on(rgb, np.zeros((2, 2), np.uint8)), 255)


def test_content_hash_tells_pictures_apart_by_pixels_and_size(tmp_path: Path) -> None:
    one = gradient()
    assert content_hash(one) == content_hash(read_image(save(tmp_path / "copy.png", one)))
    assert content_hash(one) != content_hash(one.reshape(9, 6, 3))
    assert content_hash(one) != content_hash(one[:, ::-1])
