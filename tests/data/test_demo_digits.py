from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from visionkit.data.demo_digits import COUNT, digit_scans, make_demo_digits
from visionkit.data.formats import read
from visionkit.data.images import read_image
from visionkit.data.table import to_samples
from visionkit.types import Sample

# Of the set's own description: how many scans there are of each digit.
OF_EACH = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def samples(folder: Path) -> list[Sample]:
    found = read(folder, "folders")
    assert found.problems == ()
    return to_samples(found.table)


def test_scans_are_dark_ink_on_light_paper_in_17_levels() -> None:
    scans, digits = digit_scans()
    assert scans.shape == (COUNT, 8, 8)
    assert scans.dtype == np.uint8
    assert Counter(digits.tolist()) == dict(enumerate(OF_EACH))
    assert len(np.unique(scans)) == 17
    assert np.median(scans[:, 0, 0]) == 255
    zeros, ones = scans[digits == 0].mean(0), scans[digits == 1].mean(0)
    assert zeros[4, 4] > 200 > 100 > ones[4, 4]  # a nought has paper in its middle


def test_scans_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    original = datasets.load_digits()
    scans, digits = digit_scans()
    np.testing.assert_array_equal(digits, original.target)
    ink = np.rint((255 - scans.astype(float)) * 16 / 255)
    np.testing.assert_array_equal(ink, original.images)


def test_every_digit_is_in_every_split(tmp_path: Path) -> None:
    made = samples(make_demo_digits(tmp_path / "set", count=200))
    assert len(made) == 200
    counts = Counter((sample.split, sample.labels[0]) for sample in made)
    assert {counts["train", str(digit)] for digit in range(10)} == {12}
    assert {counts["val", str(digit)] for digit in range(10)} == {3}
    assert {counts["test", str(digit)] for digit in range(10)} == {5}


def test_pictures_show_the_scans_of_their_names(tmp_path: Path) -> None:
    scans, digits = digit_scans()
    for sample in samples(make_demo_digits(tmp_path / "set", count=20)):
        place = int(Path(sample.uri).stem.removeprefix("digit_"))
        assert sample.labels == (str(digits[place]),)
        image = read_image(sample.uri)
        assert image.shape == (32, 32, 3)
        shrunk = image[..., 0].reshape(8, 4, 8, 4).mean((1, 3))
        assert np.abs(shrunk - scans[place]).mean() < 20


def test_the_same_seed_gives_the_same_set_and_another_another(tmp_path: Path) -> None:
    first, again, other = (
        {s.id for s in samples(make_demo_digits(tmp_path / name, count=40, seed=seed))}
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other


def test_a_set_that_is_there_is_left_alone_and_a_users_file_never_lost(tmp_path: Path) -> None:
    make_demo_digits(tmp_path / "set", count=20)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*.png")}
    make_demo_digits(tmp_path / "set", count=20)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    (tmp_path / "set" / "mine.png").write_bytes(b"a picture")
    with pytest.raises(FileExistsError, match=r"mine\.png"):
        make_demo_digits(tmp_path / "set", count=30)


@pytest.mark.parametrize("count", [19, COUNT + 1])
def test_counts_out_of_range_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="20 to 1797"):
        make_demo_digits(tmp_path, count=count)
