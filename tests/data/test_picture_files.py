from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from visionkit.data.picture_files import find_images


def save_png(path: Path) -> None:
    """A small PNG under any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (9, 6)).save(path, format="PNG")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "[x]/d.jpg", ".hidden/e.jpg"):
        save_png(tmp_path / name)
    save_png(tmp_path / "no_extension")
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "deep/script"):
        (tmp_path / name).write_text("no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", ["[x]/d.jpg", "a.png", "b.JPG", "deep/er/c.webp", "no_extension"]),
        ("a.png", ["a.png"]),
        ("*.png", ["a.png"]),
        ("**/*.webp", ["deep/er/c.webp"]),
        ("[x]/*", ["[x]/d.jpg"]),
        ("[ab].*", ["a.png", "b.JPG"]),
    ],
)
def test_find_images(pictures: Path, source: str, found: list[str]) -> None:
    paths = find_images(str(pictures / source) if source else pictures)
    assert sorted(path.relative_to(pictures).as_posix() for path in paths) == found
    assert paths == sorted(paths)


@pytest.mark.parametrize(
    ("source", "words"),
    [("gone", "check the path"), ("*.gif", "nothing matches"), ("deep/s*", "no pictures in")],
)
def test_find_images_says_what_is_missing(pictures: Path, source: str, words: str) -> None:
    with pytest.raises(FileNotFoundError, match=words):
        find_images(pictures / source)


def test_links_to_nowhere_are_found_where_they_are_named_like_pictures(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    for name in ("link.jpg", "README"):
        os.symlink(tmp_path / "nowhere", tmp_path / name)
    for source in (tmp_path, tmp_path / "*"):
        assert [path.name for path in find_images(source)] == ["a.png", "link.jpg"]
    with pytest.raises(FileNotFoundError, match="there is none"):
        find_images(tmp_path / "link.jpg")


def test_find_images_ends_in_linked_circles(pictures: Path) -> None:
    os.symlink(pictures, pictures / "deep" / "circle", target_is_directory=True)
    assert len(find_images(pictures)) == 5
