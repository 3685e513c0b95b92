from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.conftest import write_broken, write_picture
from tests.worlds import photo
from visionkit.data.images import read_image
from visionkit.jobs import asking
from visionkit.jobs.asking import ask_each, read_again
from visionkit.types import Sample


def sample(path: Path) -> Sample:
    height, width = photo(1).shape[:2]
    return Sample(path.name, path.as_posix(), width, height, path.name)


def test_what_can_not_be_read_is_told_and_the_rest_is_answered(tmp_path: Path) -> None:
    good = [write_picture(tmp_path / f"{n}.png", photo(n)) for n in (1, 2)]
    broken, gone = write_broken(tmp_path / "broken.jpg"), tmp_path / "gone.png"
    done: list[int] = []
    paths = [good[0], broken, gone, good[1]]
    asked = ask_each(
        [sample(path) for path in paths], lambda uri: read_image(uri).mean(), progress=done.append
    )
    assert (asked.kept, done) == ([0, 3], [1, 1, 1, 1])
    assert asked.answers == [photo(1).mean(), photo(2).mean()]
    assert [Path(problem.file) for problem in asked.problems] == [broken, gone]
    assert "must exist" in asked.problems[1].reason
    assert math.isnan(ask_each([], read_image).seconds)


def test_a_picture_over_the_usual_limit_is_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_picture(tmp_path / "large.png", photo(1))
    monkeypatch.setattr(asking, "MAX_PIXELS", 10)
    np.testing.assert_array_equal(read_again(sample(path)), photo(1))
