from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from visionkit.data.demo_boxes import CLASSES, make_demo_boxes
from visionkit.data.formats import read
from visionkit.data.images import read_image
from visionkit.data.picture_files import find_images
from visionkit.data.table import to_samples
from visionkit.types import Sample


def samples(folder: Path) -> list[Sample]:
    found = read(folder)
    assert found.format == "coco"
    assert found.problems == ()
    return to_samples(found.table)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("demo") / "set"
    return samples(make_demo_boxes(folder, pictures=40, classes=3))


def test_splits_have_their_shares_and_classes_their_boxes(made: list[Sample]) -> None:
    assert Counter(sample.split for sample in made) == {"train": 24, "val": 6, "test": 10}
    counts = Counter(entry.label for sample in made for entry in sample.objects)
    assert set(counts) == set(list(CLASSES)[:3])
    assert min(counts.values()) > 10
    for split in ("train", "val", "test"):
        labels = {e.label for s in made if s.split == split for e in s.objects}
        assert len(labels) == 3


def test_boxes_lie_in_their_pictures_and_some_pictures_have_none(made: list[Sample]) -> None:
    assert 0 < sum(not sample.objects for sample in made) < 12
    for sample in made:
        assert (sample.width, sample.height) == (320, 240)
        for entry in sample.objects:
            x_min, y_min, x_max, y_max = entry.box
            assert 0 <= x_min < x_max <= 320
            assert 0 <= y_min < y_max <= 240


def test_a_box_is_around_something(made: list[Sample]) -> None:
    """Along its sides the picture changes more from pixel to pixel than it does on average."""
    inside, everywhere = [], []
    for sample in made:
        steps = np.abs(np.diff(read_image(sample.uri).astype(float), axis=1)).mean(2)
        everywhere.append(steps.mean())
        for entry in sample.objects:
            x_min, y_min, x_max, y_max = (int(value) for value in entry.box)
            inside.append(steps[y_min:y_max, x_min : x_max - 1].max())
    assert np.median(inside) > 4 * np.median(everywhere)


def test_the_same_seed_gives_the_same_files_and_another_others(tmp_path: Path) -> None:
    def files(name: str, seed: int) -> list[bytes]:
        folder = make_demo_boxes(tmp_path / name, pictures=6, classes=1, seed=seed)
        return [path.read_bytes() for path in find_images(folder)]

    first = files("a", 0)
    assert first == files("b", 0)
    assert first != files("c", 1)


@pytest.mark.parametrize("name", list(CLASSES))
def test_things_of_every_class_can_be_drawn(name: str) -> None:
    for seed in range(20):
        for outline in CLASSES[name](np.random.default_rng(seed)):
            assert outline.shape[1] == 2
            assert np.isfinite(outline).all()
            assert np.abs(outline).max() <= 1.6


@pytest.mark.parametrize(
    ("options", "words"),
    [({"pictures": 5}, "at least 6"), ({"classes": 0}, "1 to 8"), ({"classes": 9}, "1 to 8")],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, options: dict[str, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_demo_boxes(tmp_path, **options)  # type: ignore[arg-type]
