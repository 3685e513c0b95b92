from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.pictures import NAMES, picture, sample, samples
from visionkit.data.framing import Framing
from visionkit.data.problems import Problem
from visionkit.data.views import ViewSettings
from visionkit.training.classed import ClassedViews, Drawn, classed

FRAMING = Framing((32, 24), "crop")


def test_no_pictures() -> None:
    found = classed([], NAMES, multi_label=False)
    assert (len(found), found.targets.dtype, found.problems) == (0, torch.int64, ())
    assert classed([], NAMES, multi_label=True).targets.shape == (0, 2)


def test_classes_by_name(tmp_path: Path) -> None:
    found = classed(samples(tmp_path, 4), NAMES, multi_label=False)
    assert found.targets.tolist() == [0, 1, 0, 1]
    assert found.part([3, 0]).targets.tolist() == [1, 0]
    assert found.part([3]).samples == found.samples[3:]


def test_labels_that_do_not_fit_are_reported(tmp_path: Path) -> None:
    given = [
        sample(tmp_path, 0, 1),
        sample(tmp_path, 0, 2, labels=("blue",)),
        sample(tmp_path, 0, 3, labels=()),
        sample(tmp_path, 0, 4, labels=("red", "green")),
        sample(tmp_path, 1, 5, labels=("red", "blue")),
    ]
    found = classed(given, NAMES, multi_label=False)
    assert [one.id for one in found.samples] == ["0_1", "1_5"]
    assert found.targets.tolist() == [0, 1]
    told = [(Path(one.file).stem, one.level, one.reason.split(";")[0]) for one in found.problems]
    assert told == [
        ("0_2", "error", "the label 'blue' is none of the classes that are learned"),
        ("0_2", "error", "a picture must have one class, got 0"),
        ("0_3", "error", "a picture must have one class, got 0"),
        ("0_4", "error", "a picture must have one class, got 2"),
        ("1_5", "warning", "the label 'blue' is none of the classes that are learned"),
    ]
    several = classed(given, NAMES, multi_label=True)
    assert several.targets.tolist() == [[1, 0], [0, 0], [0, 0], [1, 1], [0, 1]]
    assert {one.level for one in several.problems} == {"warning"}


def test_plain_frames_and_views_of_each_epoch(tmp_path: Path) -> None:
    pictures = classed(samples(tmp_path, 3), NAMES, multi_label=False)
    frames = ClassedViews(pictures, FRAMING)
    views = ClassedViews(pictures, FRAMING, views=ViewSettings())
    number, plain = frames[3 + 1]
    assert number == 1
    assert isinstance(plain, np.ndarray)
    assert plain.shape == (32, 24, 3)
    np.testing.assert_array_equal(plain, frames[1][1])
    first, again, later = views[1][1], views[1][1], views[3 + 1][1]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    batch = views.collate([views[2], views[0]])
    assert batch.images.shape == (2, 3, 32, 24)
    assert batch.images.dtype == torch.uint8
    assert batch.targets.tolist() == [0, 0]
    assert batch.numbers.tolist() == [2, 0]
    np.testing.assert_array_equal(batch.images[0].permute(1, 2, 0).numpy(), views[2][1])


def test_pictures_that_are_gone_or_damaged_are_reported(tmp_path: Path) -> None:
    given = samples(tmp_path, 3)
    Path(given[0].uri).unlink()
    Path(given[1].uri).write_bytes(b"no picture")
    frames = ClassedViews(classed(given, NAMES, multi_label=False), FRAMING)
    batch = frames.collate([frames[n] for n in range(3)])
    assert batch.numbers.tolist() == [2]
    assert [problem.file for problem in batch.problems] == [given[0].uri, given[1].uri]
    empty = frames.collate([frames[0]])
    assert empty.images.shape == (0, 3, 32, 24)
    assert isinstance(frames[0][1], Problem)


def test_every_epoch_has_an_order_of_its_own_and_shows_all() -> None:
    order = Drawn(7, seed=3, weights=None)
    first = list(order)
    assert sorted(first) == list(range(7))
    assert list(order) == first
    order.set_epoch(2)
    later = list(order)
    assert sorted(later) == list(range(14, 21))
    assert [entry - 14 for entry in later] != first
    assert len(order) == 7


def test_weights_draw_rare_pictures_more_often() -> None:
    order = Drawn(1000, seed=0, weights=np.where(np.arange(1000) < 100, 9.0, 1.0))
    rare = sum(entry < 100 for entry in order)
    assert rare == pytest.approx(500, abs=60)


def test_the_side_of_a_picture_does_not_matter(tmp_path: Path) -> None:
    one = sample(tmp_path, 1, 0)
    assert picture(1, 0).shape == (40, 40, 3)
    large = ClassedViews(
        classed([replace(one, width=1, height=1)], NAMES, multi_label=False), FRAMING
    )
    assert isinstance(large[0][1], np.ndarray)
