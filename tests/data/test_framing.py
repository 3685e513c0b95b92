from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from visionkit.data.framing import GREY, Framing, Placement, channels_first, frame, read_framed
from visionkit.data.images import ImageError, read_image

SIZES = [(1, 1), (1, 500), (500, 1), (3, 5), (97, 64), (64, 97), (640, 480), (375, 500), (32, 48)]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture, so that what is decoded smaller can be compared with what is scaled."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    PillowImage.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("size", SIZES)
def test_every_picture_fills_its_frame_and_boxes_come_back(fit: str, size: tuple[int, int]) -> None:
    framing = Framing((32, 48), fit)  # type: ignore[arg-type]
    framed, placement = frame(photo(*size), framing)
    assert framed.shape == (32, 48, 3)
    assert framed.dtype == np.uint8
    boxes = np.array([[0, 0, size[1], size[0]], [0.25, 0.5, 0.75, 1]], np.float32)
    np.testing.assert_allclose(placement.back(placement.into(boxes)), boxes, atol=1e-3)
    assert placement.into(boxes).dtype == np.float32


def test_no_boxes_are_no_boxes() -> None:
    _, placement = frame(photo(20, 30), Framing((8, 8), "letterbox"))
    assert placement.into(np.zeros((0, 4), np.float32)).shape == (0, 4)
    assert placement.back(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_letterbox_keeps_the_aspect_at_the_upper_left_and_leaves_grey() -> None:
    framed, placement = frame(np.zeros((50, 100, 3), np.uint8), Framing((40, 40), "letterbox"))
    assert placement == Placement(0.4, 0.4, 0, 0, (20, 40))
    assert (framed[:20] == 0).all()
    assert (framed[20:] == GREY).all()
    box = placement.into(np.array([[10, 20, 30, 50]], np.float32))
    np.testing.assert_allclose(box, [[4, 8, 12, 20]])


def test_crop_takes_the_middle_square() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, 25:75] = 200
    framed, placement = frame(image, Framing((25, 25), "crop"))
    assert (framed == 200).all()
    assert placement == Placement(0.5, 0.5, -12.5, 0, (25, 25))
    middle = placement.into(np.array([[25, 0, 75, 50]], np.float32))
    np.testing.assert_allclose(middle, [[0, 0, 25, 25]])


def test_stretch_shows_all_of_the_picture() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, 50:] = 200
    framed, placement = frame(image, Framing((100, 50), "stretch"))  # higher, and less wide
    assert (framed[:, :24] == 0).all()
    assert (framed[:, 26:] == 200).all()
    assert placement == Placement(0.5, 2, 0, 0, (100, 50))
    box = placement.into(np.array([[50, 0, 100, 50]], np.float32))
    np.testing.assert_allclose(box, [[25, 0, 50, 100]])


def test_a_picture_of_the_size_of_the_frame_is_unchanged() -> None:
    image = photo(24, 40)
    for fit in ("crop", "letterbox", "stretch"):
        framed, placement = frame(image, Framing((24, 40), fit))  # type: ignore[arg-type]
        np.testing.assert_array_equal(framed, image)
        assert placement == Placement(1, 1, 0, 0, (24, 40))


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("size", [(600, 800), (801, 603), (2500, 333), (224, 224), (100, 90)])
def test_a_file_is_framed_as_its_picture_is(
    tmp_path: Path, fit: str, size: tuple[int, int]
) -> None:
    framing = Framing((112, 96), fit)  # type: ignore[arg-type]
    path = save(tmp_path / "a.jpg", photo(*size), quality=95)
    framed, placement = read_framed(path, framing)
    expected, whole = frame(read_image(path), framing)
    inner = (slice(0, min(whole.inner[0], placement.inner[0])), slice(0, placement.inner[1]))
    difference = framed[inner].astype(int) - expected[inner]
    assert np.abs(difference).mean() < 4
    # Decoding at a smaller scale rounds sides up to whole small pixels: less than 8 of the file's.
    corners = np.array([[0, 0, size[1], size[0]]], np.float32)
    limit = 8 * max(whole.scale_x, whole.scale_y) + 0.5
    np.testing.assert_allclose(placement.into(corners), whole.into(corners), atol=limit)


def test_a_large_jpeg_is_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visionkit.data import images

    asked = []
    decode = images.decode_jpeg

    def counting(content: bytes, **options: object) -> object:
        asked.append(options["shrink"])
        return decode(content, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "decode_jpeg", counting)
    path = save(tmp_path / "a.jpg", photo(900, 1200))
    for side in (112, 113, 225, 450, 451, 2000):
        read_framed(path, Framing((side, side), "crop"))
    assert asked == [8, 4, 4, 2, 1, 1]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_file_is_framed_upright(tmp_path: Path, orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", photo(300, 800), exif=exif.tobytes(), quality=95)
    framing = Framing((100, 100), "letterbox")
    framed, placement = read_framed(path, framing)
    expected, whole = frame(read_image(path), framing)
    assert placement.inner == whole.inner
    assert np.abs(framed.astype(int) - expected).mean() < 2.5


def test_alpha_is_laid_on_white_and_grey_and_cmyk_become_rgb(tmp_path: Path) -> None:
    framing = Framing((8, 8), "crop")
    clear = save(tmp_path / "a.png", np.zeros((40, 40, 4), np.uint8))
    assert (read_framed(clear, framing)[0] == 255).all()
    PillowImage.new("CMYK", (40, 60), (0, 0, 0, 0)).save(tmp_path / "c.jpg")
    assert (read_framed(tmp_path / "c.jpg", framing)[0] >= 250).all()
    PillowImage.new("L", (400, 600), 77).save(tmp_path / "g.jpg")
    assert (np.abs(read_framed(tmp_path / "g.jpg", framing)[0].astype(int) - 77) <= 1).all()


def test_what_read_image_refuses_is_refused(tmp_path: Path) -> None:
    framing = Framing((16, 16), "letterbox")
    path = save(tmp_path / "a.jpg", photo(600, 800))
    content = path.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg must be a picture"):
        read_framed(tmp_path / "cut.jpg", framing)
    with pytest.raises(ImageError, match="more than the limit"):
        read_framed(path, framing, max_pixels=1000)
    with pytest.raises(FileNotFoundError):
        read_framed(tmp_path / "none.jpg", framing)


@pytest.mark.parametrize(
    ("size", "fit", "words"),
    [((0, 5), "crop", "size of a frame"), ((5, 5), "fill", "crop.*letterbox.*stretch")],
)
def test_a_frame_that_is_none_is_refused(size: tuple[int, int], fit: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Framing(size, fit)  # type: ignore[arg-type]


def test_a_batch_has_its_colours_apart() -> None:
    images = [photo(5, 7, seed) for seed in range(3)]
    batch = channels_first(images)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, np.stack(images).transpose(0, 3, 1, 2))
    cut = photo(20, 20)[3:8, 2:9]  # a part of a picture is not in one piece in memory
    np.testing.assert_array_equal(channels_first([cut])[0, 2], cut[..., 2])
